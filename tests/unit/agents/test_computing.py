"""Where agents compute: another process, in order, back after it died, gone with whoever cancels it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
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


def sleep_long(mark: Path) -> None:
    mark.write_text(f"{os.getpid()}\n")
    time.sleep(PATIENCE_S)


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


async def test_a_cancelled_step_ends_the_process_and_those_behind_it_get_another(tmp_path: Path) -> None:
    compute = OwnProcess()
    mark = tmp_path / "begun"
    slow = asyncio.create_task(compute(sleep_long, mark))
    async with asyncio.timeout(PATIENCE_S / 2):
        while not mark.exists() or not mark.read_text().endswith("\n"):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
        first = int(mark.read_text())
        behind = asyncio.create_task(compute(who))
        await asyncio.sleep(0)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert await behind != first
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
