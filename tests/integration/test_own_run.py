"""A command beside the server minds its own turn; what else it starts is the server's work."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.app import Core, open_core
from config.load import load_settings
from orchestrator.events import RunId, RunSettings, TurnRecord, Who

pytestmark = pytest.mark.timeout(120)
WITHIN_S = 60.0


async def start(core: Core, key: str) -> RunId:
    who = Who(key="web:ada", name="Ada")
    turn = TurnRecord(key=key, text="How do I stop a run?", who=who, at=datetime.now(UTC))
    settings = RunSettings(approvals="auto")
    return (await core.service.start(conversation_id=f"api:{key}", turn=turn, settings=settings)).run_id


async def end(core: Core, run_id: RunId) -> str:
    async with asyncio.timeout(WITHIN_S):
        while True:
            row = await core.store.run(run_id)
            if row is not None and row.ended_at is not None:
                return row.status
            await asyncio.sleep(0.05)


async def test_what_a_command_starts_besides_its_turn_is_done_by_the_server(tmp_path: Path) -> None:
    settings = load_settings(env={"QUARTET_HOME": str(tmp_path)}, env_file=None)
    async with open_core(settings, own="mine") as command:
        other = await start(command, "retry:1")
        assert await end(command, await start(command, "mine")) == "completed"
        row = await command.store.run(other)
        assert row is not None
        assert row.status == "running"
        async with open_core(settings) as server:
            assert await end(server, other) == "completed"


async def test_who_only_looks_takes_nothing_in_hand(tmp_path: Path) -> None:
    settings = load_settings(env={"QUARTET_HOME": str(tmp_path)}, env_file=None)
    async with open_core(settings, execute=False) as looks:
        run_id = await start(looks, "k1")
        async with open_core(settings) as server:
            assert await end(server, run_id) == "completed"
