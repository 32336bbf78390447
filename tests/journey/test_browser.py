"""A newcomer's first minutes in a real Chromium, against the real bot."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser import needs_chromium, open_browser
from tests.house import BRIEF, DRAFT, PLAN, REVIEW
from tests.journey.bot_process import ROOT, Bot
from tests.twins.openai_server import ModelServer

pytestmark = [pytest.mark.browser, needs_chromium, pytest.mark.timeout(300)]

REVIEWED = {k: v for k, v in REVIEW.items() if k != "repeated"}
OUTPUTS: dict[str, Any] = {"researcher": BRIEF, "planner": PLAN, "builder": DRAFT, "reviewer": REVIEWED}
SCREENSHOT = ROOT / "docs" / "images" / "conversation.png"
PROGRESS = """
() => {
  window.seen = [];
  const look = () => {
    for (const row of document.querySelectorAll('.rows li')) {
      const state = row.querySelector('strong').textContent + ' ' + row.querySelector('.state').textContent;
      if (window.seen.at(-1) !== state && !window.seen.includes(state)) window.seen.push(state);
    }
  };
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true});
}
"""


@asynccontextmanager
async def page_of(bot: Bot, **options: Any) -> AsyncGenerator[Page]:
    async with open_browser() as browser:
        page = await browser.new_page(viewport={"width": 1180, "height": 980}, **options)
        page.set_default_timeout(60_000)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        await page.goto(bot.url)
        yield page
        assert not errors, errors


async def write(page: Page, text: str) -> None:
    await page.get_by_role("textbox").fill(text)
    await page.keyboard.press("Enter")


async def press(page: Page, name: str) -> None:
    await page.get_by_role("button", name=name, exact=True).click()


async def started(bot: Bot) -> Bot:
    await asyncio.to_thread(bot.start)
    return bot


async def test_a_turn_is_approved_and_answered_and_the_next_one_sees_it(tmp_path: Path) -> None:
    bot = Bot(tmp_path, {"KNOWLEDGE_DIR": str(ROOT / "knowledge")})
    try:
        await started(bot)
        async with page_of(bot) as page:
            await write(page, "How do approvals work, and who may decide?")
            await expect(page.get_by_role("heading", name="Approve the plan")).to_be_visible()
            await expect(page.locator(".rows li")).to_have_count(4)
            await press(page, "Approve")
            answer = page.locator("article.answer")
            await expect(answer).to_be_visible()
            await expect(answer.locator(".sources li").first).to_be_visible()
            await expect(answer).to_contain_text("approvals.md")
            await expect(answer).to_contain_text("engine: rules")
            await expect(page.get_by_text("approved by you")).to_be_visible()
            await expect(page.locator("article.status")).to_contain_text("done")
            if os.environ.get("QUARTET_SCREENSHOTS"):
                SCREENSHOT.parent.mkdir(parents=True, exist_ok=True)
                await page.set_viewport_size({"width": 1180, "height": 1500})
                await page.evaluate("document.querySelector('#thread').scrollIntoView()")
                await page.screenshot(path=SCREENSHOT)
            await write(page, "And how do I change that?")
            await expect(page.locator("article.approval")).to_have_count(2)
            await press(page, "Approve")
            await expect(page.locator("article.answer")).to_have_count(2)
            # The second turn says nothing of approvals: only the first does.
            await expect(page.locator("article.answer").nth(1)).to_contain_text("approv")
            await page.reload()
            for kind in ("status", "approval", "answer"):
                await expect(page.locator(f"article.{kind}")).to_have_count(2)
    finally:
        bot.kill()


async def test_progress_of_four_agents_is_seen_live(tmp_path: Path) -> None:
    answers = {agent: [{"output": output, "delay_s": 0.6}] for agent, output in OUTPUTS.items()}
    with ModelServer({"answers": answers}) as server:
        bot = Bot(tmp_path, {"OPENAI_API_KEY": server.key, "OPENAI_BASE_URL": f"{server.url}/v1"})
        try:
            await started(bot)
            async with page_of(bot) as page:
                await write(page, "What is tea?")
                await page.wait_for_selector("article.status")
                await page.evaluate(PROGRESS)
                await press(page, "Approve")
                await expect(page.locator("article.answer")).to_contain_text("Tea is warm")
                await expect(page.locator("article.answer")).to_contain_text("Tokens")
                seen: list[str] = await page.evaluate("window.seen")
        finally:
            bot.kill()
    for agent in ("Researcher", "Planner", "Builder", "Reviewer"):
        assert f"{agent} done" in seen
    # The page was watched from the first card on: the later agents are seen to begin, one after the other.
    assert [s for s in seen if s.endswith(" working")][-3:] == [
        "Planner working",
        "Builder working",
        "Reviewer working",
    ]


async def test_an_edited_plan_is_what_the_builder_gets(tmp_path: Path) -> None:
    answers = {agent: [{"output": output}] for agent, output in OUTPUTS.items()}
    with ModelServer({"answers": answers}) as server:
        bot = Bot(tmp_path, {"OPENAI_API_KEY": server.key, "OPENAI_BASE_URL": f"{server.url}/v1"})
        try:
            await started(bot)
            async with page_of(bot) as page:
                await write(page, "What is tea?")
                await press(page, "Edit")
                form = page.get_by_role("dialog")
                await form.get_by_label("Tasks").fill("t1. Write [after nothing]")
                await form.get_by_role("button", name="Approve with edits").click()
                await expect(form.get_by_text("comes after 'nothing'").first).to_be_visible()
                await form.get_by_label("Goal").fill("Explain iced tea <script>alert(1)</script>")
                await form.get_by_label("Tasks").fill("t1. Write about iced tea :: says cold")
                await form.get_by_role("button", name="Approve with edits").click()
                await expect(page.locator("article.answer")).to_be_visible()
                await expect(page.get_by_text("approved with edits by you")).to_be_visible()
                journal = server.journal()
        finally:
            bot.kill()
    [request] = [r for r in journal["requests"] if r["agent"] == "builder"]
    assert "Explain iced tea" in request["prompt"]
    assert "Write about iced tea" in request["prompt"]
    assert "Write about tea" not in request["prompt"]


async def test_reject_ends_the_run_and_nothing_is_built(tmp_path: Path) -> None:
    bot = Bot(tmp_path, {"KNOWLEDGE_DIR": str(ROOT / "knowledge")})
    try:
        await started(bot)
        async with page_of(bot) as page:
            await write(page, "How do approvals work?")
            await press(page, "Reject")
            await expect(page.get_by_role("heading", name="Rejected")).to_be_visible()
            await expect(page.locator("article.answer")).to_have_count(0)
            assert await asyncio.to_thread(lambda: [r["status"] for r in bot.runs()]) == ["rejected"]
    finally:
        bot.kill()


async def test_an_open_page_survives_a_kill_of_the_server(tmp_path: Path) -> None:
    bot = Bot(tmp_path, {"KNOWLEDGE_DIR": str(ROOT / "knowledge")})
    try:
        await started(bot)
        async with open_browser() as browser:
            page = await browser.new_page()
            page.set_default_timeout(60_000)
            await page.goto(bot.url)
            await write(page, "How do approvals work?")
            await expect(page.get_by_role("button", name="Approve", exact=True)).to_be_visible()
            await asyncio.to_thread(bot.kill)
            await started(bot)
            await press(page, "Approve")
            # Nobody reloads: the page connects again by itself and catches up.
            await expect(page.locator("article.answer")).to_be_visible(timeout=60_000)
            for kind in ("status", "approval", "answer"):
                await expect(page.locator(f"article.{kind}")).to_have_count(1)
    finally:
        bot.kill()


async def test_script_in_every_text_field_is_shown_as_text(tmp_path: Path) -> None:
    bot = Bot(tmp_path, {"KNOWLEDGE_DIR": str(ROOT / "knowledge")})
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script> [a](javascript:alert(3)) **bold**"
    try:
        await started(bot)
        async with page_of(bot) as page:
            dialogs: list[str] = []
            page.on("dialog", lambda d: dialogs.append(d.message))
            await write(page, evil)
            await press(page, "Ask for changes")
            form = page.get_by_role("dialog")
            await form.get_by_role("textbox").fill(evil)
            await form.get_by_role("button", name="Plan again").click()
            await expect(page.locator("article.approval")).to_have_count(2)
            await press(page, "Approve")
            await expect(page.locator("article.answer, article.error")).to_be_visible()
            assert await page.locator("main img, main script").count() == 0
            assert await page.locator("a[href^='javascript']").count() == 0
            await expect(page.get_by_text("<img src=x onerror=alert(1)>").first).to_be_visible()
            assert not dialogs
    finally:
        bot.kill()
