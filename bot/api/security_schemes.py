"""What the OpenAPI document says of keys, so that generated clients send them. Pure."""

from __future__ import annotations

from typing import Any, Final

OPEN: Final = frozenset({"/health"})
STREAM: Final = "text/event-stream"

SCHEMES: Final[dict[str, Any]] = {
    "ApiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "a named key (`quartet keys add`), or the value of API_KEY",
    },
    "Bearer": {"type": "http", "scheme": "bearer", "description": "the same keys"},
    "Ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "for streams and sockets, from `POST /v1/tickets`: one use, 60 seconds",
    },
}


def add_security(document: dict[str, Any]) -> None:
    """Say of every operation how callers show who they are.

    Args:
        document: an OpenAPI document; changed.
    """
    document.setdefault("components", {})["securitySchemes"] = SCHEMES
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in OPEN:
                operation["security"] = []
                continue
            ways = ["ApiKey", "Bearer"]
            if any(STREAM in answer.get("content", {}) for answer in operation["responses"].values()):
                ways.append("Ticket")
            operation["security"] = [{way: []} for way in ways]
