"""A second loop, in a thread of its own, for agents that compute instead of waiting for a model.

The rules engine works for milliseconds on end. On the loop of the server everybody else would wait
for it: calls, streams, clicks. Here they do not: Python hands over between the two threads. What
belongs to the server's loop (the log, tools with their connections) is called there.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, TypeVar

from orchestrator.events import Body, Json
from orchestrator.ports import StepSink
from orchestrator.tools.registry import AgentTool

END_S: Final = 1.0  # a step that was cancelled gets this long to end there
T = TypeVar("T")


class _Loop:
    """The thread's loop. One for the process: a fork has to have its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._of = 0  # the process it runs in

    def get(self) -> asyncio.AbstractEventLoop:
        """The loop, running."""
        with self._lock:
            if self._loop is None or self._of != os.getpid():
                self._loop = asyncio.new_event_loop()
                self._of = os.getpid()
                threading.Thread(target=self._loop.run_forever, name="agents", daemon=True).start()
            return self._loop


_LOOP = _Loop()


class Home:
    """The loop that a step comes from, as the step sees it from the other one."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def soon(self, work: Callable[..., object], *given: Any) -> None:
        """Do something there, without waiting for it."""
        self._loop.call_soon_threadsafe(work, *given)

    def tool(self, tool: AgentTool) -> AgentTool:
        """A tool, to be called from the other loop."""

        async def run(**arguments: Any) -> Any:
            return await self.call(_awaited(tool.run, arguments))

        return replace(tool, run=run)


async def _awaited(run: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    return await run(**arguments)


class HomeSink:
    """A step's sink, as seen from the other loop. Implements `ports.StepSink`."""

    def __init__(self, home: Home, sink: StepSink) -> None:
        self._home = home
        self._sink = sink

    async def record(self, *bodies: Body) -> None:
        """Append facts."""
        await self._home.call(self._sink.record(*bodies))

    def doing(self, text: str) -> None:
        """What the agent does now."""
        self._home.soon(self._sink.doing, text)

    async def checkpoint(self, content: Json) -> None:
        """Keep where it stands."""
        await self._home.call(self._sink.checkpoint(content))

    def steering(self) -> tuple[str, ...]:
        """Messages that arrived so far: a tuple that is made anew, never changed."""
        return self._sink.steering()


async def apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do something on the second loop; its result, or what it raises.

    Cancelled, it ends there before the cancellation goes on, so that nothing is recorded behind it.
    """
    home, over = asyncio.get_running_loop(), asyncio.Event()

    async def whole() -> T:
        try:
            return await work()
        finally:
            home.call_soon_threadsafe(over.set)

    future = asyncio.run_coroutine_threadsafe(whole(), _LOOP.get())
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        try:
            async with asyncio.timeout(END_S):
                await over.wait()
        except TimeoutError:
            pass  # it does not listen; the log refuses what it still appends
        raise
