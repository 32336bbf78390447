"""Tools of MCP servers that play agents, over stdio and over HTTP, with the library's own server."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.agents.elsewhere.mcp import McpPlayer
from orchestrator.agents.elsewhere.specs import McpSpec
from orchestrator.errors import AgentFailed
from orchestrator.events import Json
from tests.elsewhere import spec, surroundings
from tests.loopback import on_loopback
from tests.twins import mcp_server
from tests.unit.agents.steps import MemorySink, step

STEP = step("own", "cats", task="Count", inputs={"where": "garden", "n": 3})
STDIO = [sys.executable, str(Path(mcp_server.__file__))]


async def play(folder: Path, tool: str, *, allow: tuple[str, ...] = (), **more: Any) -> Json:
    variables = more.pop("variables", None)
    server: dict[str, Any] = {"command": STDIO} if "url" not in more else {}
    given = spec("mcp", tool=tool, **server, **more)
    assert isinstance(given, McpSpec)
    async with surroundings(folder, allow=allow, variables=variables) as around:
        return await McpPlayer(given, around).run(STEP, MemorySink())


@asynccontextmanager
async def over_http() -> AsyncGenerator[str]:
    app = mcp_server.app()
    async with app.router.lifespan_context(app), on_loopback(app) as base:
        yield base


async def test_a_tool_over_stdio_is_given_what_it_takes_of_the_step(tmp_path: Path) -> None:
    made = await play(tmp_path, "count")
    assert (made["body"], made["outcome"]) == ("Count cats garden", "done")


async def test_a_tool_over_http_is_given_the_arguments_of_its_file(tmp_path: Path) -> None:
    async with over_http() as base:
        allow = (base.partition("//")[2],)
        arguments = {"question": "{{ inputs.n }} {{ request }}, {{ task }}"}
        made = await play(tmp_path, "describe", url=f"{base}/mcp", allow=allow, arguments=arguments)
        assert made["body"] == "about 3 cats, Count"
        with pytest.raises(AgentFailed, match="private network"):
            await play(tmp_path, "describe", url=f"{base}/mcp", arguments=arguments)


async def test_a_server_as_a_program_gets_no_keys_and_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    body = (await play(tmp_path, "surroundings", env=["MINE"], variables={"MINE": "1"}))["body"]
    assert body.startswith(str(tmp_path / "workspaces"))
    assert "MINE" in body
    assert "SLACK" not in body
    assert list((tmp_path / "workspaces").iterdir()) == []


@pytest.mark.parametrize(
    ("tool", "more", "message"),
    [
        ("stumble", {}, "^Own failed: .*stumble"),
        ("climb", {}, "its server has no tool 'climb'; tools are count, describe"),
        ("describe", {}, "the tool needs question; write `arguments:` in its file"),
        ("describe", {"arguments": {"question": "{{ nobody }}"}}, "its arguments cannot be filled in"),
        ("count", {"output": "Plan"}, "its answer is no Plan"),
        (
            "describe",
            {"output": "Plan", "arguments": {"question": "x"}},
            "answered in words where a Plan is wanted",
        ),
        ("swallow", {"memory_mb": 1500}, "^Own failed: .*(Memory|swallow)"),
    ],
)
async def test_what_goes_wrong_is_told_in_one_line(
    tmp_path: Path, tool: str, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(AgentFailed, match=message) as failed:
        await play(tmp_path, tool, **more)
    assert "\n" not in str(failed.value)


async def test_a_server_that_is_none_is_told(tmp_path: Path) -> None:
    given = spec("mcp", tool="count", command=[sys.executable, "-c", "print('hello')"])
    assert isinstance(given, McpSpec)
    async with surroundings(tmp_path) as around:
        with pytest.raises(AgentFailed, match="its MCP server failed"):
            await asyncio.wait_for(McpPlayer(given, around).run(STEP, MemorySink()), 20)


async def test_a_stopped_call_ends_within_a_second(tmp_path: Path) -> None:
    work = asyncio.create_task(play(tmp_path, "sleep"))
    async with asyncio.timeout(10):
        while not list(tmp_path.glob("workspaces/*")):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.02)
    began = time.monotonic()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert time.monotonic() - began < 1.5
    async with asyncio.timeout(6):  # and its server goes as well
        while list(tmp_path.glob("workspaces/*")):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "needs one server; write either `url:` or `command:`"),
        ({"url": "https://x.example", "command": ["x"]}, "needs one server"),
        ({"url": "https://x.example", "memory_mb": 64}, "memory_mb goes with `command:`; remove memory_mb"),
        ({"command": ["x"], "token_env": "K"}, "token_env goes with `url:`"),
        ({"command": "rm -rf /"}, "no shell takes it apart"),
        ({"url": "https://me:pw@x.example"}, "holds a name or password"),
        ({"url": "file:///etc/passwd"}, "is no address"),
        ({"command": ["x"], "arguments": {"a": [{"b": "{{ x"}]}}, "without closing it"),
    ],
)
def test_a_file_that_cannot_work_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec("mcp", tool="count", **keys)
