"""Agents of one's own beside the shipped ones: read at the start, taken up while the bot runs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.app import Core, open_core
from bot.check import check
from config.load import load_settings, survey
from orchestrator.agents.registry import AgentRegistry
from orchestrator.errors import AgentFailed, NoAgent
from tests.elsewhere import program
from tests.journey.bot_process import ROOT
from tests.unit.agents.steps import MemorySink, step

COUNTER = """
name: counter
title: Counter
origin: command
capabilities: [counting]
command: {command}
"""
SAY = "say(artifact={'body': 'three cats'})"


def file(tmp_path: Path, name: str = "counter", code: str = SAY, text: str = COUNTER) -> Path:
    folder = tmp_path / "agents"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text.replace("{command}", json.dumps(program(code))))
    (tmp_path / "q.yaml").write_text("agents_path: [agents]\n")
    return folder / f"{name}.yaml"


def env(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"QUARTET_HOME": str(tmp_path / "home"), **more}


async def until(core: Core, holds: Callable[[AgentRegistry], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds(core.agents):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_files_that_come_change_and_go_are_taken_up_while_the_bot_runs(tmp_path: Path) -> None:
    path = file(tmp_path)
    settings = load_settings(config_file=tmp_path / "q.yaml", env=env(tmp_path), env_file=None)
    async with open_core(settings) as core:
        assert core.agents.choose(["counting"]).agent == "counter"
        asked = step("counter", "cats")
        assert (await core.agents.run(asked, MemorySink()))["body"] == "three cats"
        file(tmp_path, "second", text=COUNTER.replace("counter", "second").replace("counting", "more"))
        await until(core, lambda agents: "second" in agents.names())
        slow = asyncio.create_task(core.agents.run(step("second", "cats"), MemorySink()))
        file(tmp_path, code="say(artifact={'body': 'nine lives of cats'})")
        (tmp_path / "agents/second.yaml").unlink()
        await until(core, lambda agents: "second" not in agents.names())
        assert (await slow)["body"] == "three cats"  # what is under way ends in peace
        assert (await core.agents.run(asked, MemorySink()))["body"] == "nine lives of cats"
        path.write_text("name: counter\norigin: rocket\n")
        await until(core, lambda agents: any("rocket" in info.trouble for info in agents.infos()))
        with pytest.raises(NoAgent, match="'rocket' is not one of python, http, a2a, mcp, command"):
            await core.agents.run(asked, MemorySink())
        file(tmp_path)
        await until(core, lambda agents: all(not info.trouble for info in agents.infos()))
        assert (await core.agents.run(asked, MemorySink()))["body"] == "three cats"


async def test_an_agent_that_does_not_load_is_told_and_stops_nothing(tmp_path: Path) -> None:
    file(tmp_path, "bad", text="name: bad\norigin: command\ncomand: [x]\n")
    given = env(tmp_path, AGENTS_PYTHON="nobody-offers-this")
    settings = load_settings(config_file=tmp_path / "q.yaml", env=given, env_file=None)
    async with open_core(settings) as core:
        infos = {info.name: info for info in core.agents.infos()}
        assert infos["bad"].status == "error"
        assert "the key" in infos["bad"].trouble
        assert "no installed package offers" in infos["nobody-offers-this"].trouble
        assert infos["builder"].status == "idle"
        with pytest.raises(NoAgent, match="nobody-offers-this cannot work"):
            await core.agents.run(step("nobody-offers-this", "x"), MemorySink())


def test_check_tells_what_is_wrong_with_agents_of_ones_own(tmp_path: Path) -> None:
    file(tmp_path)
    file(tmp_path, "double", text=COUNTER.replace("name: counter", "name: builder"))
    given = env(tmp_path, AGENTS_PYTHON="nobody-offers-this")
    rows, fine = check(survey(config_file=tmp_path / "q.yaml", env=given, env_file=None))
    found = {row.name: row for row in rows}
    assert not fine
    assert (found["agent counter"].value, found["agent counter"].state) == ("command", "ok")
    wrong = " ".join(row.note for row in rows if row.state == "wrong")
    assert "there is an agent 'builder' already" in wrong
    assert "no installed package offers an agent 'nobody-offers-this'" in wrong


async def test_the_program_of_the_page_works(tmp_path: Path) -> None:
    """docs/agents.md: its command agent, exactly as printed."""
    page = (ROOT / "docs/agents.md").read_text()
    code = page.split("```python title=counter.py\n")[1].split("```")[0]
    text = page.split("```yaml title=counter.yaml\n")[1].split("```")[0]
    (tmp_path / "counter.py").write_text(code)
    file(tmp_path, text=text.replace("/opt/agents/counter.py", str(tmp_path / "counter.py")))
    settings = load_settings(config_file=tmp_path / "q.yaml", env=env(tmp_path), env_file=None)
    async with open_core(settings) as core:
        sink = MemorySink()
        made = await core.agents.run(step("counter", "cats and cats"), sink)
        assert made["body"] == "3 words"
        assert sink.said[-1] == "counting"
        with pytest.raises(AgentFailed):
            await core.agents.run(step("counter", ""), sink)


def test_every_other_file_of_the_page_is_valid(tmp_path: Path) -> None:
    from bot.own_agents import read_own

    page = (ROOT / "docs/agents.md").read_text()
    files = re.findall(r"```yaml title=(\w+\.yaml)\n(.*?)```", page, re.S)
    assert len(files) == 5
    kinds: set[str] = set()
    for name, text in files:
        (tmp_path / name).write_text(text)
        kinds.add(getattr(read_own(tmp_path / name, {}), "origin", "file"))
    assert kinds == {"file", "http", "a2a", "mcp", "command"}
