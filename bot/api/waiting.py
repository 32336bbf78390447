"""A call that waits for a run: until there is something to tell, the time is up, or the caller hung up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from fastapi import Request

from bot.api.core import Core
from orchestrator.engine.fold import apply
from orchestrator.engine.state import RunState
from orchestrator.events import RunId


def has_ended(state: RunState) -> bool:
    """Whether the run is over."""
    return state.ended is not None


async def waited(
    core: Core,
    run_id: RunId,
    request: Request,
    timeout_s: float,
    until: Callable[[RunState], bool] = has_ended,
) -> RunState:
    """The run as it is when `until` holds for it, or nobody waits any more. The run goes on in any case.

    Args:
        core: the bot.
        run_id: the run.
        request: whose caller waits.
        timeout_s: seconds that the caller waits at most; 0: not at all.
        until: what the caller waits for.

    Raises:
        NotFound: no such run.
        UnknownEvent: its log cannot be read by this version.
    """
    state = await core.ready().state(run_id)
    if until(state):
        return state
    gone = asyncio.Event()
    watching = asyncio.create_task(_watch(request, gone))
    try:
        async with asyncio.timeout(timeout_s), aclosing(core.follow(run_id, state.seq, gone)) as events:
            async for event in events:
                state = apply(state, event)
                if until(state):
                    break
    except TimeoutError:
        pass  # 202: it goes on
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return state


async def _watch(request: Request, gone: asyncio.Event) -> None:
    """Notice that the caller hung up, so that nothing waits for nobody."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()
