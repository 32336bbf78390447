"""Platforms are connected beside the page: one that cannot be reached keeps nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from adapters.contract import Inbound
from adapters.errors import NotAllowed, PlatformDown
from bot import platforms as platforms_module
from bot import progress as progress_module
from bot.platforms import Platforms
from tests.contract.adapter_harness import RecordingInbound
from tests.unit.bot.platform import MemoryPlatform

WITHIN_S = 5.0


class Moody(MemoryPlatform):
    """Starts as it was told: each error once, then well."""

    def __init__(self, *errors: Exception, name: str = "slack") -> None:
        super().__init__(platform="slack" if name == "slack" else "web")
        self.errors = list(errors)
        self.starts = 0
        self.gate: asyncio.Event | None = None
        self.started = asyncio.Event()

    async def start(self, inbound: Inbound) -> None:
        self.starts += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.started.set()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(progress_module, "BACKOFF_S", (0.01,))
    monkeypatch.setattr(platforms_module, "AGAIN_S", 0.01)


@asynccontextmanager
async def connecting(platforms: Platforms, ready: list[str]) -> AsyncGenerator[asyncio.Task[None]]:
    task = asyncio.create_task(platforms.connect(RecordingInbound(), ready.append))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_trouble_is_said_once_and_tried_until_it_is_over() -> None:
    refused = [NotAllowed("SLACK_BOT_TOKEN is not valid;\nset a new one") for _ in range(4)]
    moody = Moody(*refused, PlatformDown("slack.com cannot be reached"), RuntimeError("bug"))
    said: list[str] = []
    ready: list[str] = []
    platforms = Platforms([moody], said.append)
    assert platforms.state("slack") == ("starting", "being connected")
    assert not platforms.connected("slack")
    async with connecting(platforms, ready) as task, asyncio.timeout(WITHIN_S):
        await task
    assert moody.starts == 7
    assert [line.split(":")[0] for line in said] == ["Slack is not connected"] * 3 + ["Slack is connected."]
    assert "SLACK_BOT_TOKEN is not valid; set a new one" in said[0]
    assert all("\n" not in line for line in said)
    assert ready == ["slack"]
    assert platforms.state("slack") == ("healthy", "")
    assert platforms.connected("slack")


async def test_one_that_hangs_does_not_keep_the_others_waiting() -> None:
    hanging, good = Moody(name="web"), Moody()
    hanging.gate = asyncio.Event()
    ready: list[str] = []
    platforms = Platforms([hanging, good])
    async with connecting(platforms, ready), asyncio.timeout(WITHIN_S):
        await good.started.wait()
        assert ready == ["slack"]
        assert platforms.connected("slack")
        assert not platforms.connected("web")


async def test_health_says_why_while_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms_module, "AGAIN_S", 60.0)
    said = asyncio.Event()
    platforms = Platforms([Moody(NotAllowed("set SLACK_BOT_TOKEN"))], lambda _: said.set())
    async with connecting(platforms, []), asyncio.timeout(WITHIN_S):
        await said.wait()
        assert platforms.state("slack") == ("degraded", "set SLACK_BOT_TOKEN")
        assert not platforms.connected("slack")


def test_platforms_that_are_not_connected_here_are_always_there() -> None:
    platforms = Platforms(())
    assert platforms.connected("web")
    assert platforms.state("web") == ("healthy", "")


async def test_platform_that_is_reached_again_is_told_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms_module, "LOOK_S", 0.001)
    moody, ready = Moody(), asyncio.Queue[str]()
    platforms = Platforms([moody])
    await platforms.connect(RecordingInbound(), lambda _: None)
    watching = asyncio.create_task(platforms.watch(ready.put_nowait))
    async with asyncio.timeout(WITHIN_S):
        for _ in range(2):
            moody.trouble = "the socket is down"
            await asyncio.sleep(0.05)  # many looks
            assert ready.empty()
            moody.trouble = ""
            assert await ready.get() == "slack"
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    assert ready.empty()


async def test_what_a_platform_lacks_is_said_when_it_is_connected_and_keeps_nobody_waiting() -> None:
    said: list[str] = []
    moody = Moody()
    moody.lacking = "replies need a mention;\nswitch on the Message Content Intent"
    platforms = Platforms([moody], said.append)
    await platforms.connect(RecordingInbound(), lambda _: None)
    assert platforms.state("slack") == ("healthy", "")
    assert said == [
        "Slack is connected.",
        "Slack: replies need a mention; switch on the Message Content Intent",
    ]


def test_platform_that_could_not_be_made_is_degraded_and_says_why() -> None:
    platforms = Platforms((), broken={"slack": "it cannot be loaded"})
    assert platforms.state("slack") == ("degraded", "it cannot be loaded")
    assert platforms.adapters() == []
