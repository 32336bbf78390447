"""The format of server-sent events, read as an EventSource reads it."""

from __future__ import annotations


class EventLines:
    """Takes the lines of a stream, one after the other."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}

    def take(self, line: str) -> dict[str, str] | None:
        """The event that ends with this line: its fields, and what a comment says as "comment"."""
        if not line:
            event, self._fields = self._fields, {}
            return event or None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in self._fields:
            value = f"{self._fields['data']}\n{value}"
        self._fields[name or "comment"] = value
        return None
