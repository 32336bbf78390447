"""Somebody else's page in a real Chromium, behind an nginx that buffers: live, and whole after ten cuts."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from playwright.async_api import Page

from tests.browser import needs_chromium, open_browser
from tests.journey.api_clients import Frame, SocketListener, Stream
from tests.journey.bot_process import Bot
from tests.journey.slow_models import slow_models
from tests.nginx import Line, Nginx, line, needs_nginx, nginx
from tests.twins.openai_server import ModelServer

pytestmark = [pytest.mark.browser, needs_chromium, needs_nginx, pytest.mark.timeout(300)]

PAGE = Path(__file__).with_name("api_page.html")
KEY = "page-key"
CUTS = 10
WITHIN_S = 60.0


class Shown(NamedTuple):
    """A page that follows three runs, and what stands between it and the bot."""

    page: Page
    bot: Bot
    proxy: Nginx
    line: Line
    session: str
    calls: httpx2.AsyncClient  # past the proxy, with the key

    async def until(self, condition: str, given: Any = None) -> None:
        """Wait for a condition in the page."""
        await self.page.wait_for_function(condition, arg=given, timeout=WITHIN_S * 1000)


@asynccontextmanager
async def shown(folder: Path, models: AbstractContextManager[ModelServer]) -> AsyncGenerator[Shown]:
    """Three runs have begun, and the page follows them."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(models)
        env = {"OPENAI_API_KEY": server.key, "OPENAI_BASE_URL": f"{server.url}/v1", "API_KEY": KEY}
        bot = Bot(folder, env)
        stack.callback(bot.kill)
        await asyncio.to_thread(bot.start)
        wire = await stack.enter_async_context(line(bot.port))
        proxy = await stack.enter_async_context(nginx(folder / "nginx", wire.port))
        await asyncio.to_thread(shutil.copy, PAGE, proxy.folder / "pages")
        transport = httpx2.AsyncHTTPTransport(verify=False)
        calls = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=bot.url, headers={"X-API-Key": KEY}, transport=transport, timeout=30)
        )
        task = await calls.post("/api/start-task", json={"task": "Explain tea"})
        session = str(task.raise_for_status().json()["session_id"])
        browser = await stack.enter_async_context(open_browser())
        page = await browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(f"{proxy.url}/pages/{PAGE.name}#{KEY}")
        await page.evaluate("(session) => window.follow(session)", session)
        yield Shown(page, bot, proxy, wire, session, calls)
        assert not errors
        assert await page.evaluate("window.wrong") == []


# The newest that there is to tell while an agent of each run is held at its work.
NEWEST = {
    "execute": "(m) => m.event === 'update' && m.data.execution.tasks.some((t) => t.status === 'running')",
    "chat": "(m) => m.type === 'start' && m.agent === 'builder'",
    "session": "(m) => m.content === 'coordinator (to Ann): Ask.'",
}


async def test_events_arrive_in_the_page_while_the_runs_go_on(tmp_path: Path) -> None:
    async with shown(tmp_path, slow_models(0.1, held=("builder", "qa"))) as s:
        for name, newest in NEWEST.items():
            await s.until(f"(name) => (window.got[name] ?? []).some({newest})", name)
        runs = (await s.calls.get("/v1/runs")).json()["items"]
        assert [run["status"] for run in runs] == ["running"] * 3
        assert await s.page.evaluate("Object.values(window.opened)") == [1, 1, 1]


async def test_a_line_that_is_cut_ten_times_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    dice = random.Random(7)
    async with shown(tmp_path, slow_models(0.5)) as s:
        await s.until("Object.values(window.opened).every((times) => times > 0)")
        for number in range(CUTS):
            opened = await s.page.evaluate("({...window.opened})")
            await asyncio.sleep(dice.uniform(0, 0.2))  # the moment of the cut is what is drawn here
            if number % 2:
                await s.proxy.cut()  # between the page and the proxy
            else:
                s.line.cut()  # between the proxy and the bot
            again = "(before) => Object.keys(before).every((n) => ended[n] || opened[n] > before[n])"
            await s.until(again, opened)
            assert not await s.page.evaluate("Object.values(window.ended).every((over) => over)")
        await s.until("Object.values(window.ended).every((over) => over)")
        got = await s.page.evaluate("window.got")
        opened = await s.page.evaluate("window.opened")
        assert max(opened.values()) == CUTS + 1
        await _execute_is_whole(s, got["execute"])
        await _chat_is_whole(s, got["chat"])
        await _session_is_whole(s, got["session"])


async def _execute_is_whole(s: Shown, got: list[dict[str, Any]]) -> None:
    name = got[-1]["data"]["execution"]["id"]
    late = Stream(s.bot, "/api/execute/stream", "done", {"id": name}, {"X-API-Key": KEY})
    whole = await asyncio.to_thread(late.over)
    assert [Frame(one["id"], one["event"], one["data"]) for one in got] == whole


async def _chat_is_whole(s: Shown, got: list[dict[str, Any]]) -> None:
    late = SocketListener(
        s.bot,
        lambda _: "/v1/chat/stream",
        lambda _: {"run_id": got[-1]["run_id"]},
        {"X-API-Key": KEY},
    )
    whole = await asyncio.to_thread(late.over)
    # What an agent does in between is told while it happens, and may be lost.
    facts = [{k: v for k, v in one.items() if k != "at_ms"} for one in got if one["type"] != "progress"]
    assert facts == [one for one in whole if one["type"] != "progress"]


async def _session_is_whole(s: Shown, got: list[dict[str, Any]]) -> None:
    logs = (await s.calls.get(f"/api/sessions/{s.session}/logs")).raise_for_status().json()
    # Each connection begins with the status where it stands.
    came = [one for n, one in enumerate(got) if n == 0 or one["id"] != got[n - 1]["id"]]
    assert [(one["id"], one["content"]) for one in came if one["id"]] == [
        (entry["id"], entry["content"]) for entry in logs
    ]
