"""Where agents compute: another process, in order, back after it died."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import pytest

from orchestrator.agents.computing import OwnProcess, in_thread
from orchestrator.errors import AgentFailed

PATIENCE_S = 60


def who() -> int:
    return os.getpid()


def twice(text: str) -> str:
    return text * 2


def refuse() -> None:
    raise ValueError("no")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(mark: Path) -> int:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def interrupted() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    return "went on"


def work_until(begun: Path, may_end: Path) -> None:
    begun.touch()
    until = time.monotonic() + PATIENCE_S
    while not may_end.exists() and time.monotonic() < until:
        time.sleep(0.01)


def children() -> set[int]:
    """Processes that this one started."""
    pid = os.getpid()
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


async def test_it_works_in_another_process_that_stays_and_gives_way() -> None:
    compute = OwnProcess()
    first = await compute(who)
    assert first != os.getpid()
    assert await compute(who) == first
    assert await compute(twice, "tea") == "teatea"
    assert os.getpriority(os.PRIO_PROCESS, first) > os.getpriority(os.PRIO_PROCESS, 0)
    assert await in_thread(who) == os.getpid()


async def test_what_it_raises_arrives_and_it_works_on() -> None:
    compute = OwnProcess()
    before = await compute(who)
    with pytest.raises(ValueError, match="no"):
        await compute(refuse)
    assert await compute(who) == before


async def test_ctrl_c_is_not_for_it() -> None:
    assert await OwnProcess()(interrupted) == "went on"


async def test_work_is_done_again_when_the_process_died(tmp_path: Path) -> None:
    compute = OwnProcess()
    before = await compute(who)
    assert await compute(die_once, tmp_path / "died") != before


async def test_work_that_kills_it_twice_is_a_failure_and_the_next_work_is_done() -> None:
    compute = OwnProcess()
    with pytest.raises(AgentFailed, match="memory") as failed:
        await compute(die)
    assert failed.value.retryable
    assert await compute(twice, "a") == "aa"


async def test_whoever_is_cancelled_does_not_wait_and_the_next_ones_have_the_same_process(
    tmp_path: Path,
) -> None:
    compute = OwnProcess()
    first = await compute(who)
    begun, may_end = tmp_path / "begun", tmp_path / "may-end"
    slow = asyncio.create_task(compute(work_until, begun, may_end))
    async with asyncio.timeout(PATIENCE_S):
        while not begun.exists():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
        behind = asyncio.create_task(compute(who))
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert not behind.done()
        may_end.touch()
        assert await behind == first


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
async def test_steps_that_are_stopped_while_the_process_starts_leave_no_others_behind() -> None:
    compute, before = OwnProcess(), children()
    for _ in range(4):
        step = asyncio.create_task(compute(who))
        await asyncio.sleep(0.03)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
    assert children() - before == {await compute(who)}


async def test_where_the_rules_broke_is_told() -> None:
    with pytest.raises(ValueError, match="no") as broken:
        await OwnProcess()(refuse)
    assert "in refuse" in "".join(traceback.format_exception(broken.value))
