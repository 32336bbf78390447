"""An agent behind an address that speaks our protocol: POST the step, get the artifact, or poll for it.

docs/agents.md says it for authors: 200 with {"artifact": …}, 202 with {"poll": address}, or lines of JSON
as they come (application/x-ndjson).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast
from urllib.parse import urljoin

from msgspec.structs import replace

from orchestrator.agents.elsewhere import wire
from orchestrator.agents.elsewhere.lines import Lines
from orchestrator.agents.elsewhere.network import Calls, origin, retry_after
from orchestrator.agents.elsewhere.resuming import Resuming
from orchestrator.agents.elsewhere.specs import HttpSpec
from orchestrator.agents.elsewhere.surroundings import ElsewherePlayer
from orchestrator.errors import AgentFailed
from orchestrator.events import Json
from orchestrator.ports import StepInput, StepSink

POLL_S = 1.0
LONGEST_POLL_S = 10.0
LONGEST_WAIT_S = 60.0  # however long an agent asks us to
GOODBYE_S = 0.8  # for telling an agent that it is stopped
LINES = "application/x-ndjson"


class HttpPlayer(ElsewherePlayer[HttpSpec]):
    """An agent behind an address."""

    async def work(self, step: StepInput, sink: StepSink) -> Json:
        """Ask for it, and wait."""
        spec, token = self.spec, self.key(self.spec.token_env)
        kept = Resuming(step, sink)
        async with self.around.network.client(spec.url, token, spec.title) as client:
            calls = Calls(self.around.network, client, spec.title, token)
            try:
                made = await self._made(calls, step, kept)
            except asyncio.CancelledError:
                if kept.call is not None:
                    await _goodbye(calls, kept.call)
                raise
        return wire.artifact(made, step, spec.output, spec.title)

    async def _made(self, calls: Calls, step: StepInput, kept: Resuming) -> object:
        if kept.call is None:
            told = wire.step_of(replace(step, checkpoint=kept.own), self.spec.output)
            headers = {
                "Idempotency-Key": wire.key_of(step).encode("ascii", "backslashreplace").decode(),
                "Accept": f"application/json, {LINES}",
            }
            made, pause = await self._ask(calls, "POST", self.spec.url, kept, wire.request_of(told), headers)
            if made is not None:
                return made
        else:
            pause = 0.0
        wait = POLL_S
        while True:
            await asyncio.sleep(min(pause if pause is not None else wait, LONGEST_WAIT_S))
            wait = min(wait * 1.5, LONGEST_POLL_S)
            assert kept.call is not None
            made, pause = await self._ask(calls, "GET", kept.call, kept)
            if made is not None:
                return made

    async def _ask(
        self,
        calls: Calls,
        method: str,
        url: str,
        kept: Resuming,
        body: Json | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[object | None, float | None]:
        """One call: the artifact if it is there, and the seconds that the agent asks to wait."""
        title = self.spec.title
        async with calls.answer(method, url, body=body, headers=headers) as answer:
            if answer.headers.get("content-type", "").partition(";")[0].strip().lower() == LINES:
                return await self._streamed(calls, answer, kept), None
            content = await calls.read(answer)
            self.heard()
            said: Any = wire.parse(content, title) if content.strip() else {}
            if not isinstance(said, dict):
                raise AgentFailed(f"{title}: its answer is no object of JSON")
            words = wire.mapping(cast("Any", said))
            if answer.status_code != 202:
                made = await wire.take({k: v for k, v in words.items() if k != "poll"}, kept, title)
                if made is None:
                    raise AgentFailed(f"{title} answered {answer.status_code} without an artifact")
                return made, None
            await self._told(words, kept)
            given = words.get("poll") or answer.headers.get("location") or kept.call
            if not isinstance(given, str) or not given:
                raise AgentFailed(f"{title} answered 202 and does not say where to ask again (poll)")
            poll = urljoin(url, given)
            if origin(poll) != origin(self.spec.url):
                raise AgentFailed(f"{title}: its poll address is on another host; that is not followed")
            await kept.under_way(poll)
            return None, retry_after(answer.headers)

    async def _told(self, words: dict[str, Any], kept: Resuming) -> None:
        news = {k: v for k, v in words.items() if k in ("doing", "checkpoint", "error")}
        if news:
            await wire.take(news, kept, self.spec.title)

    async def _streamed(self, calls: Calls, answer: Any, kept: Resuming) -> object:
        lines = Lines(self.spec.title)
        async for piece in calls.pieces(answer):
            await asyncio.sleep(0)  # an agent that says much must not hold up the others
            for line in lines.feed(piece):
                self.heard()
                made = await wire.take(wire.parse(line, self.spec.title), kept, self.spec.title)
                if made is not None:
                    return made
        for line in lines.last():
            made = await wire.take(wire.parse(line, self.spec.title), kept, self.spec.title)
            if made is not None:
                return made
        raise AgentFailed(f"{self.spec.title} ended without an artifact", retryable=True)

    async def probe(self) -> None:
        """Ask its health address, or whether anything answers at its own."""
        spec, token = self.spec, self.key(self.spec.token_env)
        if spec.health is None:
            return
        async with self.around.network.client(spec.health, token, spec.title) as client:
            calls = Calls(self.around.network, client, spec.title, token)
            async with calls.answer("GET", spec.health):
                pass


async def _goodbye(calls: Calls, poll: str) -> None:
    """Tell an agent that nobody waits any more. It may not hear it."""

    async def tell() -> None:
        async with calls.answer("DELETE", poll):
            pass

    with contextlib.suppress(AgentFailed, TimeoutError):
        await asyncio.wait_for(tell(), GOODBYE_S)
