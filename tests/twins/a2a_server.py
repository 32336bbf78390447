"""An A2A agent on loopback, in the two versions there are: 1.0 (SendMessage) and 0.3 (message/send).

A task goes through the states it is given, one for each look at it, and ends with its parts.
"""

from __future__ import annotations

import uuid
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Json = dict[str, Any]
_NEW = {"SendMessage": "send", "GetTask": "get", "CancelTask": "cancel"}
_OLD = {"message/send": "send", "tasks/get": "get", "tasks/cancel": "cancel"}


class A2aTwin:
    """An agent.

    Args:
        new: speaks 1.0; else 0.3.
        states: of a task, in 0.3's words.
        parts: of its artifact, without `kind`.
        card: changes to its card.
        said: what its statuses say.
        answers: replaces results, by what was asked ("send", "get", "cancel").
    """

    def __init__(
        self,
        *,
        new: bool = True,
        states: tuple[str, ...] = ("submitted", "working", "completed"),
        parts: list[Json] | None = None,
        card: Json | None = None,
        said: str = "",
        answers: dict[str, Any] | None = None,
    ) -> None:
        self.new = new
        self.states = states
        self.parts = parts or [{"data": {"body": "three cats"}}]
        self.changes = card or {}
        self.said = said
        self.answers = answers or {}
        self.asked: list[tuple[str, Json]] = []
        self.problems: list[str] = []
        self.looks: dict[str, int] = {}
        self.app = Starlette(
            routes=[
                Route("/.well-known/agent-card.json", self._card),
                Route("/rpc", self._rpc, methods=["POST"]),
            ]
        )

    async def _card(self, request: Request) -> Response:
        url = f"http://{request.headers['host']}/rpc"
        card: Json = {
            "name": "Twin",
            "description": "Counts cats.",
            "version": "1",
            "capabilities": {},
            "defaultInputModes": ["text/plain"],
            "defaultOutputModes": ["application/json"],
            "skills": [],
        }
        if self.new:
            card["supportedInterfaces"] = [
                {"url": "grpc://nowhere", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
                {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
            ]
        else:
            card |= {"url": url, "preferredTransport": "JSONRPC", "protocolVersion": "0.3.0"}
        return JSONResponse(card | self.changes)

    async def _rpc(self, request: Request) -> Response:
        body = await request.json()
        what = (_NEW if self.new else _OLD).get(body.get("method"))
        if body.get("jsonrpc") != "2.0" or what is None:
            self.problems.append(f"no request of this version: {body}")
            return self._error(body, -32601, "Method not found")
        if self.new and request.headers.get("a2a-version") != "1.0":
            self.problems.append("no A2A-Version")
        self.asked.append((what, body["params"]))
        if what in self.answers:
            return JSONResponse(self.answers[what] | {"jsonrpc": "2.0", "id": body["id"]})
        if what == "send":
            self._check(body["params"])
            task = str(uuid.uuid4())
            self.looks[task] = 0
        else:
            task = body["params"]["id"]
            if task not in self.looks:
                return self._error(body, -32001, "Task not found")
            self.looks[task] += 1
        made = self._task(task, "canceled" if what == "cancel" else None)
        result = {"task": made} if self.new and what == "send" else made
        return JSONResponse({"jsonrpc": "2.0", "id": body["id"], "result": result})

    def _error(self, body: Json, code: int, message: str) -> Response:
        error = {"code": code, "message": message}
        return JSONResponse({"jsonrpc": "2.0", "id": body.get("id"), "error": error})

    def _check(self, params: Json) -> None:
        message, wants = params["message"], params["configuration"]
        role = "ROLE_USER" if self.new else "user"
        if message["role"] != role or not message["messageId"] or not message["parts"]:
            self.problems.append(f"no message: {message}")
        if any(("kind" in part) == self.new for part in message["parts"]) or ("kind" in message) == self.new:
            self.problems.append("kinds belong to 0.3 alone")
        if wants.get("returnImmediately") is not True and wants.get("blocking") is not False:
            self.problems.append("waits for the end")

    def _task(self, task: str, state: str | None) -> Json:
        state = state or self.states[min(self.looks[task], len(self.states) - 1)]
        shown = f"TASK_STATE_{state.upper().replace('-', '_')}" if self.new else state
        status: Json = {"state": shown, "timestamp": "2026-01-01T00:00:00Z"}
        if self.said:
            status["message"] = {
                "messageId": "m",
                "role": "ROLE_AGENT" if self.new else "agent",
                "parts": [self._part({"text": self.said})],
            }
        made: Json = {"id": task, "contextId": "c", "status": status}
        if not self.new:
            made["kind"] = "task"
        if state == "completed":
            made["artifacts"] = [{"artifactId": "a", "parts": [self._part(part) for part in self.parts]}]
        return made

    def _part(self, part: Json) -> Json:
        return part if self.new else {"kind": next(iter(part)), **part}
