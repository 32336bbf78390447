"""The second loop: what is done there, what is called at home, and what a cancellation waits for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from orchestrator.agents.apart import Home, HomeSink, apart
from orchestrator.errors import Fenced
from orchestrator.events import Body, Json
from orchestrator.tools.registry import AgentTool

NAME: ContextVar[str] = ContextVar("NAME", default="")


class Sink:
    """Notes where it is called."""

    def __init__(self, refuses: bool = False) -> None:
        self.threads: list[int] = []
        self.told: list[str] = []
        self._refuses = refuses

    async def record(self, *bodies: Body) -> None:
        self.threads.append(threading.get_ident())
        if self._refuses:
            raise Fenced("another process has it")

    def doing(self, text: str) -> None:
        self.threads.append(threading.get_ident())
        self.told.append(text)

    async def checkpoint(self, content: Json) -> None:
        self.threads.append(threading.get_ident())

    def steering(self) -> tuple[str, ...]:
        return ("shorter, please",)


async def test_it_works_in_another_thread_and_what_is_called_at_home_is_called_there() -> None:
    sink, seen = Sink(), [0]
    here = threading.get_ident()
    NAME.set("ada")

    async def look(**arguments: Any) -> Any:
        assert threading.get_ident() == here
        return {"for": NAME.get(), **arguments}

    home = Home()
    there_sink = HomeSink(home, sink)
    tool = home.tool(AgentTool("look", "Look.", look, lambda arguments: "looks"))

    async def work() -> Any:
        seen[0] = threading.get_ident()
        there_sink.doing("thinks")
        await there_sink.record()
        await there_sink.checkpoint({"at": 1})
        return await tool.run(where="here"), there_sink.steering()

    assert await apart(work) == ({"for": "ada", "where": "here"}, ("shorter, please",))
    assert seen[0] != here
    assert set(sink.threads) == {here}
    assert (len(sink.threads), sink.told) == (3, ["thinks"])


async def test_what_it_raises_there_and_what_home_refuses_arrive_as_they_are() -> None:
    home = Home()
    sink = HomeSink(home, Sink(refuses=True))

    async def breaks() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await apart(breaks)
    with pytest.raises(Fenced):
        await apart(sink.record)


async def test_home_goes_on_while_it_computes() -> None:
    begun, may_end = threading.Event(), threading.Event()

    async def computes() -> str:
        begun.set()
        assert may_end.wait(20)  # holds its own loop, as arithmetic does
        return "done"

    task = asyncio.create_task(apart(computes))
    async with asyncio.timeout(20):
        while not begun.is_set():  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(0.001)
    may_end.set()
    assert await task == "done"


async def test_a_cancellation_goes_on_when_it_has_ended_there() -> None:
    ended: list[str] = []
    begun = asyncio.Event()
    home = Home()

    async def works() -> None:
        home.soon(begun.set)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("there")

    task = asyncio.create_task(apart(works))
    async with asyncio.timeout(20):
        await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["there"]


FORKS = """
import asyncio, os
from orchestrator.agents.apart import apart

async def works():
    return os.getpid()

assert asyncio.run(apart(works)) == os.getpid()
pid = os.fork()
if pid == 0:
    os._exit(0 if asyncio.run(asyncio.wait_for(apart(works), 20)) == os.getpid() else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_fork_has_a_loop_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS], timeout=60, check=False)
    assert done.returncode == 0
