"""An agent that speaks A2A (JSON-RPC over HTTP), versions 1.0 and 0.3, as its card says.

The step is sent as a message; a task that comes of it is asked for until it has ended, found again after
a crash, and cancelled when the step is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urljoin

from msgspec.structs import replace

from orchestrator.agents.elsewhere import wire
from orchestrator.agents.elsewhere.network import Calls, origin
from orchestrator.agents.elsewhere.resuming import Resuming
from orchestrator.agents.elsewhere.specs import A2aSpec
from orchestrator.agents.elsewhere.surroundings import ElsewherePlayer
from orchestrator.artifacts import ARTIFACTS
from orchestrator.errors import AgentFailed
from orchestrator.events import Json
from orchestrator.ports import StepInput, StepSink

CARD = ".well-known/agent-card.json"
FIRST_POLL_S = 0.25
LONGEST_POLL_S = 5.0
GOODBYE_S = 0.8
WORKING = frozenset({"submitted", "working", "unspecified", "unknown", ""})


@dataclass(frozen=True, slots=True)
class _Way:
    """How an agent is spoken to."""

    url: str
    new: bool  # 1.0; else 0.3

    def method(self, name: str) -> str:
        return name if self.new else _OLD[name]

    @property
    def headers(self) -> dict[str, str]:
        return {"A2A-Version": "1.0"} if self.new else {}


_OLD = {"SendMessage": "message/send", "GetTask": "tasks/get", "CancelTask": "tasks/cancel"}


class A2aPlayer(ElsewherePlayer[A2aSpec]):
    """An agent that speaks A2A."""

    async def work(self, step: StepInput, sink: StepSink) -> Json:
        """Send the step, and wait for the task."""
        spec, token = self.spec, self.key(self.spec.token_env)
        kept = Resuming(step, sink)
        async with self.around.network.client(spec.url, token, spec.title) as client:
            calls = Calls(self.around.network, client, spec.title, token)
            way = await self._way(calls)
            try:
                answer = await self._answer(calls, way, step, kept)
            except asyncio.CancelledError:
                if kept.call is not None:
                    await self._goodbye(calls, way, kept.call)
                raise
        return self._artifact(answer, step)

    async def probe(self) -> None:
        """Fetch its card."""
        spec, token = self.spec, self.key(self.spec.token_env)
        async with self.around.network.client(spec.url, token, spec.title) as client:
            await self._way(Calls(self.around.network, client, spec.title, token))

    # ── the card ─────────────────────────────────────────────────────────────────────────────

    async def _way(self, calls: Calls) -> _Way:
        spec = self.spec
        card_url = spec.url if spec.url.endswith(".json") else urljoin(spec.url.rstrip("/") + "/", CARD)
        async with calls.answer("GET", card_url) as answer:
            card = wire.parse(await calls.read(answer), spec.title)
        self.heard()
        for url, new in _interfaces(card):
            url = spec.endpoint or urljoin(card_url, url)
            if origin(url) != origin(spec.url) and spec.endpoint is None:
                raise AgentFailed(
                    f"{spec.title}: its card names another host than its url; "
                    "if that is right, write the address as `endpoint:`"
                )
            if spec.token_env is not None and origin(url) != origin(spec.url):
                raise AgentFailed(
                    f"{spec.title}: its key is sent to the host of its url only; give both one host"
                )
            return _Way(url, new)
        raise AgentFailed(f"{spec.title}: its card offers no JSON-RPC of A2A 1.0 or 0.3 at {CARD}")

    # ── the task ─────────────────────────────────────────────────────────────────────────────

    async def _answer(self, calls: Calls, way: _Way, step: StepInput, kept: Resuming) -> Json:
        """The ended task, or the message that was answered instead of one."""
        if kept.call is None:
            told = wire.step_of(replace(step, checkpoint=kept.own), self.spec.output)
            given = await self._call(calls, way, "SendMessage", _message(told, way.new))
        else:
            given = await self._call(calls, way, "GetTask", {"id": kept.call})
        wait = FIRST_POLL_S
        while True:
            answer = given.get("task") or given.get("message") or given
            answer = wire.mapping(answer)
            status = answer.get("status")
            if not isinstance(status, dict):
                return answer  # a message
            words = cast("Json", status)
            state = _state(words.get("state"))
            if state == "completed":
                return answer
            if state not in WORKING:
                raise self._failed(state, words)
            if not isinstance(answer.get("id"), str):
                raise AgentFailed(f"{self.spec.title}: its task has no id")
            await kept.under_way(answer["id"])
            if said := _text(words.get("message")):
                kept.doing(wire.one_line(said)[: wire.DOING_CHARS])
            await asyncio.sleep(wait)
            wait = min(wait * 1.5, LONGEST_POLL_S)
            given = await self._call(calls, way, "GetTask", {"id": answer["id"]})

    def _failed(self, state: str, status: Json) -> AgentFailed:
        title, said = self.spec.title, wire.one_line(_text(status.get("message")))
        because = f": {said}" if said else ""
        if state in ("input-required", "auth-required"):
            return AgentFailed(f"{title} asks for more ({state}){because}; put it into the node's task")
        return AgentFailed(f"{title}: its task was {state}{because}", retryable=state == "canceled")

    async def _call(self, calls: Calls, way: _Way, method: str, params: Json) -> Json:
        body = {"jsonrpc": "2.0", "id": str(uuid.uuid4()), "method": way.method(method), "params": params}
        async with calls.answer("POST", way.url, body=body, headers=way.headers) as answer:
            said: Any = wire.parse(await calls.read(answer), self.spec.title)
        self.heard()
        words = wire.mapping(said)
        error = words.get("error")
        if isinstance(error, dict):
            detail = cast("Json", error)
            message = calls.masked(wire.one_line(str(detail.get("message") or "")))
            raise AgentFailed(
                f"{self.spec.title} refuses {way.method(method)} ({detail.get('code')}): {message}"
            )
        if not isinstance(words.get("result"), dict):
            raise AgentFailed(f"{self.spec.title}: its answer is no JSON-RPC result")
        return cast("Json", words["result"])

    async def _goodbye(self, calls: Calls, way: _Way, task: str) -> None:
        """Tell it that nobody waits any more. It may not hear it."""
        with contextlib.suppress(AgentFailed, TimeoutError):
            await asyncio.wait_for(self._call(calls, way, "CancelTask", {"id": task}), GOODBYE_S)

    # ── the artifact ─────────────────────────────────────────────────────────────────────────

    def _artifact(self, answer: Json, step: StepInput) -> Json:
        spec = self.spec
        parts = [p for made in wire.dicts(answer.get("artifacts")) for p in wire.dicts(made.get("parts"))]
        parts = parts or wire.dicts(answer.get("parts"))
        if not parts:  # some say it in the last status
            status = wire.mapping(answer.get("status"))
            parts = wire.dicts(wire.mapping(status.get("message")).get("parts"))
        for part in parts:
            data = wire.unwrapped(part.get("data"))
            if data is not None:
                return wire.artifact(data, step, spec.output, spec.title)
        text = "\n\n".join(p["text"] for p in parts if isinstance(p.get("text"), str))
        if not text.strip():
            raise AgentFailed(f"{spec.title}: its task ended without text or JSON")
        return wire.from_text(text, step, spec.output, spec.title)


def _interfaces(card: Any) -> Iterator[tuple[str, bool]]:
    """Addresses of JSON-RPC by a card, in its order, and whether they speak 1.0."""
    words = wire.mapping(card)
    for one in wire.dicts(words.get("supportedInterfaces")):
        version, url = str(one.get("protocolVersion") or "1.0"), one.get("url")
        if (
            one.get("protocolBinding") == "JSONRPC"
            and isinstance(url, str)
            and version.startswith(("1.", "0.3"))
        ):
            yield url, version.startswith("1.")
    if isinstance(words.get("url"), str) and words.get("preferredTransport", "JSONRPC") == "JSONRPC":
        yield words["url"], False
    for one in wire.dicts(words.get("additionalInterfaces")):
        if one.get("transport") == "JSONRPC" and isinstance(one.get("url"), str):
            yield one["url"], False


def _message(step: wire.Step, new: bool) -> Json:
    """The step as a message: in words for any agent, as data for those that know us."""
    schema = json.dumps(ARTIFACTS[step.output].model_json_schema(), ensure_ascii=False)
    lines = [step.task or step.request]
    if step.task:
        lines.append(f"The request was: {step.request}")
    if step.outcomes:
        lines.append(f"`outcome` must be one of: {', '.join(step.outcomes)}.")
    lines.append(f"Answer with JSON that fits this schema ({step.output}): {schema}")
    parts: list[Json] = [{"text": "\n\n".join(lines)}, {"data": wire.request_of(step)}]
    # The same step under the same id: a server that knows it does not begin again.
    message: Json = {"messageId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"quartet:{step.key}")), "parts": parts}
    modes = ["application/json", "text/plain"]
    if new:
        message["role"] = "ROLE_USER"
        return {
            "message": message,
            "configuration": {"acceptedOutputModes": modes, "returnImmediately": True},
        }
    message |= {"role": "user", "kind": "message"}
    for part in parts:
        part["kind"] = "text" if "text" in part else "data"
    return {"message": message, "configuration": {"acceptedOutputModes": modes, "blocking": False}}


def _state(given: Any) -> str:
    """A task's state as 0.3 calls it: TASK_STATE_INPUT_REQUIRED → input-required."""
    return str(given or "").removeprefix("TASK_STATE_").lower().replace("_", "-")


def _text(message: Any) -> str:
    words = wire.mapping(message)
    return " ".join(p["text"] for p in wire.dicts(words.get("parts")) if isinstance(p.get("text"), str))
