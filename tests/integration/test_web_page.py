"""The chat page in a real Chromium: live progress, forms, keyboard, reconnects, phones, hostile words.

The bot behind it is a small scripted one; the cards are posted through the adapter as the bot would.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect
from starlette.applications import Starlette

from adapters.contract import (
    AgentRow,
    Button,
    Card,
    CardId,
    ConversationRef,
    FactsPart,
    FilePart,
    Form,
    FormField,
    ImagePart,
    MarkdownPart,
    NotesPart,
    PlanPart,
    Receipt,
    RowsPart,
    RowState,
    SourceLine,
    SourcesPart,
    TaskLine,
)
from adapters.web.adapter import WebAdapter
from config.documents import read_model
from orchestrator import pictures
from orchestrator.pictures import Status
from orchestrator.workflow import Workflow
from tests.browser import needs_chromium, open_browser
from tests.builders import ROOT
from tests.contract.adapter_harness import RecordingInbound
from tests.contract.harness_web import OneKey
from tests.loopback import on_loopback

pytestmark = [pytest.mark.browser, needs_chromium]

AGENTS = ("researcher", "planner", "builder", "reviewer")
PLAN = PlanPart(
    goal="A guide for new colleagues",
    outline=("What runs where", "The five steps"),
    tasks=(
        TaskLine(id="t1", title="Collect the facts", acceptance="Every claim has a source"),
        TaskLine(id="t2", title="Write the five steps", depends_on=("t1",)),
    ),
    risks=("The folder is a month old",),
)
DEPLOYMENT = read_model(ROOT / "config" / "workflows" / "deployment.yaml", Workflow)
STOP = Button(action="stop", target="run-1", label="Stop", style="danger")
EDIT = Form(
    id="edit:ap-1",
    title="Edit the plan",
    note="What you send is what the builder gets.",
    fields=(
        FormField(name="goal", label="Goal", value=PLAN.goal, hint="One sentence"),
        FormField(name="tasks", label="Tasks", value="Collect\nWrite", multiline=True),
        FormField(name="why", label="Comment", required=False),
    ),
)


def status_card(done: int) -> Card:
    """The status card when so many agents are done."""

    def row(i: int, name: str) -> AgentRow:
        state: RowState = "done" if i < done else "working" if i == done else "waiting"
        since = datetime.now(UTC) - timedelta(seconds=65) if state == "working" else None
        return AgentRow(
            name=name,
            state=state,
            doing="reading" if since else "",
            since=since,
            seconds=None if state == "waiting" else 4.0,
            tokens=1234 if state == "done" else 0,
            cost_usd=0.0042 if state == "done" else None,
        )

    return Card(
        id=CardId("run-1:status"),
        kind="status",
        title="The team works on it" if done < 4 else "The team is done",
        status="working" if done < 4 else "completed",
        parts=(RowsPart(rows=tuple(row(i, name) for i, name in enumerate(AGENTS))),),
        buttons=(STOP,) if done < 4 else (),
        label="engine: rules",
    )


def approval_card(status: str = "waiting for approval") -> Card:
    """The question about the plan; without buttons once it is decided."""
    buttons = (
        Button(action="approve", target="ap-1", label="Approve", style="primary"),
        Button(action="edit", target="ap-1", label="Edit", needs_form=True),
        Button(action="changes", target="ap-1", label="Ask for changes", needs_form=True),
        Button(action="reject", target="ap-1", label="Reject", style="danger"),
    )
    return Card(
        id=CardId("run-1:approval:ap-1"),
        kind="approval",
        title="Is this plan right?",
        status=status,
        parts=(PLAN,),
        buttons=buttons if status.startswith("waiting") else (),
    )


ANSWER = Card(
    id=CardId("run-1:answer"),
    kind="answer",
    title="Answer",
    status="completed",
    label="engine: rules",
    parts=(
        MarkdownPart(
            text="## How\n\nIn **five** steps [1].\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```\ncode\n```"
        ),
        SourcesPart(
            sources=(
                SourceLine(number=1, title="Deploying", url="https://example.org/deploying", quoted="five"),
            )
        ),
        NotesPart(title="Review notes", notes=("Name an owner",)),
        FilePart(name="guide.md", media_type="text/markdown", text="# Guide\n"),
        FactsPart(facts=(("Tokens", "4,936"), ("Cost", "$0.0168"))),
    ),
)


class Stage:
    """A served page with a scripted bot, and a browser."""

    def __init__(self, home: Path, browser: Browser, *, keyed: bool = False) -> None:
        self.home = home
        self.browser = browser
        self.bot = RecordingInbound()
        self.adapter = WebAdapter(home, sign_in=OneKey() if keyed else None)
        self.app = Starlette(routes=list(self.adapter.routes()))
        self.address = ""

    @property
    def conversation(self) -> ConversationRef:
        """Where the first turn was written."""
        return self.bot.turns[0].conversation

    async def open(self, path: str = "/", **options: object) -> Page:
        """A page of a new person. What it logs as an error ends the test."""
        context: BrowserContext = await self.browser.new_context(**options)  # pyright: ignore[reportArgumentType]
        context.set_default_timeout(60_000)
        page = await context.new_page()
        page.on("pageerror", lambda error: pytest.fail(f"the page's script failed: {error}"))
        await page.goto(self.address + path)
        return page

    async def write(self, page: Page, text: str) -> None:
        """Write and send with the Enter key; then the conversation's page is there."""
        await page.get_by_role("textbox").fill(text)
        await page.get_by_role("textbox").press("Enter")
        await page.wait_for_url(re.compile(r"/c/"))
        await expect(page.locator(".turn").last).to_contain_text(text.split("\n")[0])


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as browser:
        yield browser


@pytest.fixture
async def stage(tmp_path: Path, browser: Browser) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path, browser)
    await stage.adapter.start(stage.bot)
    async with on_loopback(stage.app) as stage.address:
        yield stage
        await stage.adapter.stop()


async def test_a_turn_is_shown_live_approved_and_answered(stage: Stage) -> None:
    page = await stage.open()
    await stage.write(page, "Write a guide\nfor new colleagues")
    assert stage.bot.turns[0].text == "Write a guide\nfor new colleagues"
    assert stage.bot.turns[0].person.name == "you"

    ref = await stage.adapter.post(stage.conversation, status_card(0), nonce="s")
    card = page.locator("article.status")
    await expect(card.locator("li.working")).to_contain_text("researcher working")
    await expect(card.locator("li.working")).to_contain_text(
        re.compile(r"1 min 0\d s")
    )  # counts on by itself
    await stage.adapter.edit(ref, status_card(2))
    await expect(card.locator("li.done")).to_have_count(2)
    await expect(card.locator("li.done").first).to_contain_text("4 s · 1,234 tokens · $0.0042")
    await expect(page.locator("nav .badge")).to_have_text("working")

    approval = await stage.adapter.post(stage.conversation, approval_card(), nonce="a")
    await page.get_by_role("button", name="Approve").click()
    await stage.bot.until(clicks=1)
    assert (stage.bot.clicks[0].action, stage.bot.clicks[0].target) == ("approve", "ap-1")
    await stage.adapter.edit(approval, approval_card("approved by you"))
    await expect(page.get_by_role("button", name="Approve")).to_have_count(0)

    await stage.adapter.edit(ref, status_card(4))
    await stage.adapter.post(stage.conversation, ANSWER, nonce="x")
    answer = page.locator("article.answer")
    await expect(answer.locator("strong", has_text="five")).to_be_visible()
    await expect(page.locator("article.card")).to_have_count(3)
    await expect(page.get_by_role("status")).to_have_text("Quartet: Answer: completed")
    await answer.get_by_role("link", name="[1]").click()
    await expect(answer.locator(".sources li:target")).to_contain_text("Deploying")
    await expect(page.locator("nav .badge")).to_have_text("completed")


async def test_form_shows_what_is_wrong_and_gives_the_focus_back(stage: Stage) -> None:
    page = await stage.open()
    await stage.write(page, "Write a guide")
    await stage.adapter.post(stage.conversation, approval_card(), nonce="a")
    stage.bot.answer_clicks.append(Receipt(accepted=True, form=EDIT))
    stage.bot.answer_forms.append(Receipt(accepted=False, errors={"goal": "Name the readers."}))

    await page.get_by_role("button", name="Edit").focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Edit the plan")
    await expect(dialog.get_by_label("Goal")).to_be_focused()
    await dialog.get_by_label("Goal").fill("")
    await dialog.get_by_role("button", name="Send").click()
    await expect(dialog.get_by_role("alert").first).to_contain_text("This is needed.")
    assert stage.bot.forms == []
    await dialog.get_by_label("Goal").fill("A guide <b>")
    await dialog.get_by_role("button", name="Send").click()
    await expect(dialog.get_by_role("alert").first).to_contain_text("Name the readers.")
    await expect(dialog.get_by_label("Goal")).to_have_value("A guide <b>")
    await expect(dialog.get_by_label("Goal")).to_be_focused()
    await expect(dialog.get_by_label("Goal")).to_have_accessible_description("One sentence Name the readers.")
    await dialog.get_by_label("Goal").fill("A guide for gardeners")
    await dialog.get_by_label("Goal").press("Enter")
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_role("button", name="Edit")).to_be_focused()
    assert dict(stage.bot.forms[-1].values) == {
        "goal": "A guide for gardeners",
        "tasks": "Collect\nWrite",
        "why": "",
    }


async def test_escape_and_cancel_close_the_form_and_send_nothing(stage: Stage) -> None:
    page = await stage.open()
    await stage.write(page, "Write a guide")
    await stage.adapter.post(stage.conversation, approval_card(), nonce="a")
    dialog = page.get_by_role("dialog")
    for close in ("Escape", "Cancel"):
        stage.bot.answer_clicks.append(Receipt(accepted=True, form=EDIT))
        await page.get_by_role("button", name="Edit").click()
        await expect(dialog).to_be_visible()
        if close == "Escape":
            await page.keyboard.press("Escape")
        else:
            await dialog.get_by_role("link", name="Cancel").click()
        await expect(dialog).to_be_hidden()
    assert stage.bot.forms == []


async def test_an_edit_keeps_focus_and_opened_parts(stage: Stage) -> None:
    page = await stage.open()
    await stage.write(page, "Write a guide")
    ref = await stage.adapter.post(stage.conversation, status_card(0), nonce="s")
    answer = await stage.adapter.post(stage.conversation, ANSWER, nonce="x")
    stop = page.get_by_role("button", name="Stop")
    await stop.focus()
    await page.get_by_text("Show", exact=True).evaluate("one => one.parentElement.open = true")
    await stage.adapter.edit(ref, status_card(1))
    await stage.adapter.edit(answer, ANSWER.model_copy(update={"title": "The answer"}))
    await expect(page.get_by_role("heading", name="The answer")).to_be_visible()
    await expect(stop).to_be_focused()
    await expect(page.locator(".file pre")).to_be_visible()


async def test_nothing_is_lost_or_doubled_when_the_server_was_away(stage: Stage) -> None:
    home = stage.home
    bot = RecordingInbound()
    adapter = WebAdapter(home / "other")
    await adapter.start(bot)
    async with on_loopback(Starlette(routes=list(adapter.routes()))) as address:
        stage.address = address
        stage.bot = bot
        page = await stage.open()
        await stage.write(page, "Write a guide")
        conversation = bot.turns[0].conversation
        ref = await adapter.post(conversation, status_card(0), nonce="s")
        await expect(page.locator("li.working")).to_contain_text("researcher")
        await page.get_by_role("textbox").fill("half a thought")
        await adapter.stop()
    away = page.locator("#away")
    await expect(away).to_have_text("The server does not answer. Reconnecting…")
    await expect(away).to_be_in_viewport()
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator("#composer-wrong")).to_have_text(
        "That did not arrive. The server does not answer. Try again in a moment."
    )

    again = WebAdapter(home / "other")
    await again.start(bot)
    await again.edit(ref, status_card(1))
    await again.edit(ref, status_card(3))
    await again.post(conversation, approval_card(), nonce="a")
    await again.note(conversation, bot.turns[0].person, "Only for you.")
    async with on_loopback(Starlette(routes=list(again.routes())), port=int(address.rsplit(":", 1)[1])):
        await expect(page.locator("li.working")).to_contain_text("reviewer", timeout=60_000)
        await expect(page.locator("article.approval")).to_have_count(1)
        await expect(page.locator("article.status")).to_have_count(1)
        await expect(page.locator("article.turn")).to_have_count(1)
        await expect(page.locator(".notice")).to_have_count(1)
        await expect(page.get_by_role("textbox")).to_have_value("half a thought")
        await expect(away).to_be_hidden()
        await expect(page.locator("#composer-wrong")).to_be_hidden()  # the connection is back
        await page.get_by_role("button", name="Stop").click()
        await bot.until(clicks=1)
        await expect(page.locator("#composer-wrong")).to_be_hidden()
        await again.stop()
    assert len(bot.turns) == 1


async def test_a_refusal_of_a_message_stays_and_the_next_message_takes_it_away(stage: Stage) -> None:
    page = await stage.open()
    await stage.write(page, "Write a guide")
    for words in ("There is no setting 'nonsense'.", "There is no command 'hlep'."):
        stage.bot.answer_commands.append(Receipt(accepted=False, text=words))
        box = page.get_by_role("textbox")
        await box.fill("/quartet settings nonsense=1")
        async with page.expect_response(re.compile("/messages$")) as answered:
            await box.press("Enter")
        await (await answered.value).finished()
        await expect(box).to_have_value("")  # what the answer brings about is done
        await expect(page.locator(".notice")).to_have_count(1)
        await expect(page.locator(".notice")).to_contain_text(words)


async def test_what_was_taken_is_told_for_a_moment_and_not_again(stage: Stage) -> None:
    page = await stage.open()
    await stage.write(page, "Write a guide")
    await page.clock.install()
    person = stage.bot.turns[0].person
    await stage.adapter.note(stage.conversation, person, "There is no setting 'nonsense'.")
    async with page.expect_response(re.compile("/dismiss$")) as dismissed:
        await stage.adapter.note(stage.conversation, person, "Taken as the answer.")
    assert (await dismissed.value).ok
    await expect(page.locator(".notice")).to_have_count(2)
    await page.clock.fast_forward(7_000)
    await expect(page.locator(".notice", has_text="Taken")).to_have_css("opacity", "1")
    await page.locator(".notice", has_text="Taken").get_by_role("button").focus()
    await page.clock.run_for(4_000)
    await expect(page.locator(".notice")).to_have_count(2)  # not taken from under somebody's fingers
    await page.get_by_role("textbox").focus()
    await page.clock.run_for(3_000)
    await expect(page.locator(".notice")).to_have_count(1)
    await expect(page.locator(".notice")).to_contain_text("There is no setting")
    await page.reload()
    await expect(page.locator(".notice")).to_have_count(1)
    await expect(page.locator(".notice")).to_contain_text("There is no setting")


async def test_a_failure_on_the_first_page_goes_when_the_server_is_back(stage: Stage) -> None:
    page = await stage.open()
    await page.context.set_offline(offline=True)
    await page.get_by_role("textbox").fill("Write a guide")
    await page.get_by_role("textbox").press("Enter")
    wrong = page.locator("#composer-wrong")
    await expect(wrong).to_have_text(
        "That did not arrive. The server does not answer. Try again in a moment."
    )
    await page.context.set_offline(offline=False)
    await expect(wrong).to_be_hidden(timeout=20_000)
    await expect(page.get_by_role("textbox")).to_have_value("Write a guide")


def picture_card(statuses: Mapping[str, Status] | None = None) -> Card:
    """A large workflow, most of which is waiting."""
    workflow = DEPLOYMENT
    known: dict[str, Status] = dict.fromkeys(workflow.nodes, "waiting")
    graph = pictures.graph_of(workflow, {**known, **(statuses or {})})
    part = ImagePart(name=workflow.name, alt=pictures.describe(graph), svg=pictures.svg(graph))
    return Card(id=CardId("run-1:picture"), kind="picture", title="The workflow", parts=(part,))


async def _step_in_sight(page: Page, kind: str) -> None:
    """The middle of a step of that kind is inside the picture's box."""
    await expect(page.locator(f".drawing {kind}").first).to_be_attached()
    await page.wait_for_function(
        """kind => {
            const box = document.querySelector(".drawing").getBoundingClientRect();
            return [...document.querySelectorAll(`.drawing ${kind}`)].some(one => {
                const at = one.getBoundingClientRect();
                const x = (at.left + at.right) / 2, y = (at.top + at.bottom) / 2;
                return x > box.left && x < box.right && y > box.top && y < box.bottom;
            });
        }""",
        arg=kind,
    )


@pytest.mark.parametrize(("width", "height"), [(1300, 1100), (650, 550), (320, 640)])
async def test_a_large_picture_shows_the_step_at_work(stage: Stage, width: int, height: int) -> None:
    page = await stage.open(viewport={"width": width, "height": height})
    await stage.write(page, "run deployment")
    steps = list(DEPLOYMENT.nodes)
    ref = await stage.adapter.post(stage.conversation, picture_card(), nonce="p")
    await _step_in_sight(page, ".node")
    await stage.adapter.edit(ref, picture_card({steps[0]: "done", steps[-1]: "working"}))
    await _step_in_sight(page, ".node.working")
    await page.reload()
    await _step_in_sight(page, ".node.working")
    box = page.get_by_role("region", name="Picture of deployment, scrolls")
    await box.focus()
    before = await box.evaluate("one => one.scrollTop")
    await page.keyboard.press("Home")
    await page.wait_for_function(
        "before => document.querySelector('.drawing').scrollTop < before", arg=before
    )
    await stage.adapter.edit(ref, picture_card({steps[0]: "working"}))
    await expect(page.locator(".node.working")).to_have_count(1)
    await expect(box).to_be_focused()
    for place in ("document.documentElement", "document.querySelector('main')"):
        assert await page.evaluate(f"{place}.scrollWidth - {place}.clientWidth") <= 0


async def test_labels_of_facts_stay_in_one_piece(stage: Stage) -> None:
    page = await stage.open()
    await stage.write(page, "schedules")
    value = "environment staging, version 1.2, " * 12
    card = ANSWER.model_copy(update={"parts": (FactsPart(facts=(("Inputs", value), ("s821b80cde", value))),)})
    await stage.adapter.post(stage.conversation, card, nonce="x")
    await expect(page.locator(".facts dt")).to_have_count(2)
    heights = await page.locator(".facts dt").evaluate_all(
        "all => all.map(one => { const r = document.createRange(); r.selectNodeContents(one);"
        " return r.getClientRects().length; })"
    )
    assert heights == [1, 1]


async def test_a_long_answer_is_shown_from_its_beginning_and_stays_there(stage: Stage) -> None:
    page = await stage.open(viewport={"width": 1000, "height": 600})
    await stage.write(page, "Write a guide")
    ref = await stage.adapter.post(stage.conversation, status_card(0), nonce="s")
    await expect(page.locator("article.status")).to_be_visible()
    long = MarkdownPart(text="\n\n".join(f"Paragraph {n}." for n in range(60)))
    for kind, card in (("approval", approval_card()), ("answer", ANSWER)):
        await stage.adapter.post(
            stage.conversation, card.model_copy(update={"parts": (long, *card.parts)}), nonce=kind
        )
        await stage.adapter.edit(ref, status_card(2 if kind == "approval" else 4))
        await expect(page.locator("article.status li.done")).to_have_count(2 if kind == "approval" else 4)
        await expect(page.locator(f"article.{kind} h2")).to_be_in_viewport()
        assert await page.locator(f"article.{kind}").evaluate("one => one.getBoundingClientRect().top") < 60
    await page.reload()
    await expect(page.locator("article.answer h2")).to_be_in_viewport()


async def test_a_reader_of_earlier_words_is_not_moved(stage: Stage) -> None:
    page = await stage.open(viewport={"width": 1000, "height": 600})
    await stage.write(page, "Write a guide\n" + "and more\n" * 80)
    await page.locator("main").evaluate("one => { one.scrollTop = 100; }")
    await stage.adapter.post(stage.conversation, ANSWER, nonce="x")
    await expect(page.locator("article.answer")).to_be_attached()
    assert await page.locator("main").evaluate("one => one.scrollTop") == 100


async def test_a_plan_that_is_to_be_decided_has_no_states_and_times_are_of_one_zone(stage: Stage) -> None:
    page = await stage.open(timezone_id="Asia/Kolkata", locale="en-GB")
    await stage.write(page, "Write a guide")
    tasks = tuple(task.model_copy(update={"state": None}) for task in PLAN.tasks)
    facts = FactsPart(facts=(("Decided", "2026-05-04 20:00:05 UTC"), ("Odd", "2026-99-99 20:00 UTC")))
    parts = (PLAN.model_copy(update={"tasks": tasks}), facts)
    card = approval_card("approved").model_copy(update={"parts": parts})
    await stage.adapter.post(stage.conversation, card, nonce="a")
    await expect(page.locator("article.approval .tasks .state")).to_have_count(0)
    await expect(page.locator("article.approval .tasks")).not_to_contain_text("None")
    decided, odd = page.locator("article.approval dd").nth(0), page.locator("article.approval dd").nth(1)
    await expect(decided).to_contain_text("5 May 2026")
    await expect(decided).to_contain_text("01:30")
    await expect(decided.locator("time")).to_have_attribute("title", "2026-05-04 20:00:05 UTC")
    await expect(odd).to_have_text("2026-99-99 20:00 UTC")


async def test_a_refusal_is_seen_by_that_person_alone_until_dismissed(
    tmp_path: Path, browser: Browser
) -> None:
    stage = Stage(tmp_path, browser, keyed=True)
    await stage.adapter.start(stage.bot)
    async with on_loopback(stage.app) as stage.address:
        ada = await _signed_in(stage, "Ada")
        await stage.write(ada, "Write a guide")
        assert (stage.bot.turns[0].person.id, stage.bot.turns[0].person.name) == ("ada", "Ada")
        ben = await _signed_in(stage, "Ben")
        await ben.goto(ada.url)
        await stage.adapter.post(stage.conversation, approval_card(), nonce="a")
        stage.bot.answer_clicks.append(Receipt(accepted=False, text="Ben may not decide this."))
        await ben.get_by_role("button", name="Reject").click()
        await expect(ben.locator(".notice")).to_contain_text("Ben may not decide this.")
        assert stage.bot.clicks[0].person.id == "ben"
        await ben.reload()
        await expect(ben.locator(".notice")).to_contain_text("Ben may not decide this.")
        await stage.adapter.post(stage.conversation, ANSWER, nonce="x")
        await expect(ada.locator("article.answer")).to_be_visible()
        await expect(ada.locator(".notice")).to_have_count(0)
        await ben.get_by_role("button", name="Dismiss").click()
        await expect(ben.locator(".notice")).to_have_count(0)
        await ben.reload()
        await expect(ben.locator(".notice")).to_have_count(0)
        await ben.get_by_role("button", name="Sign out").click()
        await expect(ben.get_by_label("Key")).to_be_visible()
        await stage.adapter.stop()


async def _signed_in(stage: Stage, name: str) -> Page:
    page = await stage.open()
    await page.get_by_label("Your name").fill(name)
    await page.get_by_label("Key").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("not the key")
    await page.get_by_label("Key").fill("sesame")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="What should the team work on?")).to_be_visible()
    return page


async def test_everything_works_without_scripts(stage: Stage, tmp_path: Path) -> None:
    page = await stage.open(java_script_enabled=False)
    sketch = tmp_path / "sketch.bin"
    sketch.write_bytes(bytes(range(256)))
    await page.get_by_role("textbox").fill("Write a guide")
    await page.locator("input[type=file]").set_input_files(sketch)
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator(".turn")).to_contain_text("Write a guide")
    await expect(page.locator(".turn")).to_contain_text("sketch.bin")

    await stage.adapter.post(stage.conversation, approval_card(), nonce="a")
    stage.bot.answer_clicks.append(Receipt(accepted=True, form=EDIT))
    await page.get_by_role("link", name="Reload it").click()
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_label("Goal").fill("")
    await page.locator("#form").get_by_role("button", name="Send").click()
    await expect(page.locator("#form [role=alert]").first).to_contain_text("This is needed.")
    await page.get_by_label("Goal").fill("For gardeners")
    await page.locator("#form").get_by_role("button", name="Send").click()
    await expect(page.locator("#form")).to_have_count(0)
    assert stage.bot.forms[0].values["goal"] == "For gardeners"
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("#composer-wrong")).to_have_text("Write something first, or attach a file.")


async def test_keyboard_alone_is_enough(stage: Stage) -> None:
    page = await stage.open()
    await stage.write(page, "Write a guide")
    await stage.adapter.post(stage.conversation, approval_card(), nonce="a")
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    await page.evaluate("document.activeElement.blur()")
    await page.goto(page.url)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the conversation")).to_be_focused()
    await page.keyboard.press("Enter")
    reached: list[str] = []
    for _ in range(12):
        await page.keyboard.press("Tab")
        reached.append(
            str(await page.evaluate("document.activeElement.innerText || document.activeElement.id"))
        )
        if reached[-1] == "Reject":
            break
    assert [name for name in reached if name in ("Approve", "Edit", "Ask for changes", "Reject")] == [
        "Approve",
        "Edit",
        "Ask for changes",
        "Reject",
    ]
    await page.keyboard.press("Space")
    await stage.bot.until(clicks=1)
    assert stage.bot.clicks[0].action == "reject"


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (320, "dark"), (640, "light"), (1280, "dark")])
async def test_no_sideways_scrolling_at_any_width(stage: Stage, width: int, scheme: str) -> None:
    long = "w" * 300
    page = await stage.open(viewport={"width": width, "height": 700}, color_scheme=scheme)
    await stage.write(page, f"Write about {long}")
    await stage.adapter.post(stage.conversation, status_card(1), nonce="s")
    await stage.adapter.post(stage.conversation, approval_card(), nonce="a")
    table = "| " + " | ".join(["column"] * 30) + " |\n" + "|" + "---|" * 30
    wide = MarkdownPart(
        text=f"{long}\n\n```\n{long}\n```\n\n{table}\n\n# {long}\n\n[{long}](https://{long}.example)"
    )
    parts = (wide, FilePart(name=long, media_type="text/plain", text=long), FactsPart(facts=((long, long),)))
    widest = ANSWER.model_copy(update={"parts": (*ANSWER.parts, *parts), "title": long, "status": long})
    await stage.adapter.post(stage.conversation, widest, nonce="x")
    await stage.adapter.note(stage.conversation, stage.bot.turns[0].person, long)
    await expect(page.locator(".notice")).to_be_visible()
    for place in ("document.documentElement", "document.querySelector('main')"):
        assert await page.evaluate(f"{place}.scrollWidth - {place}.clientWidth") <= 0


HOSTILE = (
    "</textarea></pre><script>window.ran=1</script><img src=x onerror='window.ran=2'>"
    "\"' onfocus=window.ran=3 autofocus"
)


async def test_script_in_every_text_is_text(stage: Stage, tmp_path: Path) -> None:
    asked: list[str] = []
    page = await stage.open()
    page.on("request", lambda request: asked.append(request.url))
    file = tmp_path / "<img src=x onerror=window.ran=4>.html"
    file.write_text("<script>window.ran=5</script>")
    await page.locator("input[type=file]").set_input_files(file)
    await stage.write(page, HOSTILE)
    title = await page.title()
    assert title.startswith("</textarea></pre><script>")

    parts = (
        MarkdownPart(text=f"{HOSTILE}\n\n[x](javascript:window.ran=6) ![y](https://evil.example/y.png)"),
        RowsPart(rows=(AgentRow(name=HOSTILE, state="working", doing=HOSTILE),)),
        PlanPart(
            goal=HOSTILE,
            tasks=(TaskLine(id=HOSTILE, title=HOSTILE, acceptance=HOSTILE, depends_on=(HOSTILE,)),),
            outline=(HOSTILE,),
            risks=(HOSTILE,),
        ),
        SourcesPart(
            sources=(SourceLine(number=1, title=HOSTILE, url="javascript:window.ran=7", quoted=HOSTILE),)
        ),
        FactsPart(facts=((HOSTILE, HOSTILE),)),
        NotesPart(title=HOSTILE, notes=(HOSTILE,)),
        FilePart(name=HOSTILE, media_type=HOSTILE, text=HOSTILE),
    )
    button = Button(action="edit", target=HOSTILE, label=HOSTILE)
    card = Card(
        id=CardId(HOSTILE),
        kind="status",
        title=HOSTILE,
        status=HOSTILE,
        label=HOSTILE,
        parts=parts,
        buttons=(button,),
    )
    await stage.adapter.post(stage.conversation, card, nonce="h")
    await stage.adapter.busy(stage.conversation, HOSTILE)
    await stage.adapter.note(stage.conversation, stage.bot.turns[0].person, HOSTILE)
    await expect(page.locator(".notice")).to_contain_text("<script>window.ran=1</script>")
    await expect(page.locator("#busy")).to_have_text(HOSTILE)
    field = FormField(name=HOSTILE, label=HOSTILE, value=HOSTILE, hint=HOSTILE, multiline=True)
    form = Form(id=HOSTILE, title=HOSTILE, note=HOSTILE, submit=HOSTILE, fields=(field,))
    stage.bot.answer_clicks.append(Receipt(accepted=True, form=form))
    stage.bot.answer_forms.append(Receipt(accepted=False, errors={HOSTILE: HOSTILE}))
    await page.locator("article.card button").last.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.locator("textarea")).to_have_value(HOSTILE)
    await dialog.locator("button.primary").click()
    await expect(dialog.locator("p.wrong").first).to_contain_text("window.ran=1")
    assert stage.bot.clicks[0].target == HOSTILE
    assert stage.bot.forms[0].values == {HOSTILE: HOSTILE}
    await page.reload()
    await expect(page.locator("article.card")).to_contain_text("window.ran=7")
    await page.get_by_text("Show", exact=True).click()
    await expect(page.locator(".file pre")).to_have_text(HOSTILE)
    assert await page.evaluate("window.ran") is None
    assert [url for url in asked if not url.startswith(stage.address)] == []


async def test_files_go_up_and_come_down_unchanged(stage: Stage, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    sketch = tmp_path / "sketch ü.bin"
    sketch.write_bytes(content)
    page = await stage.open()
    await page.locator("input[type=file]").set_input_files(sketch)
    await stage.write(page, "Look at this")
    (attached,) = stage.bot.turns[0].attachments
    assert (attached.name, attached.size) == ("sketch ü.bin", len(content))
    assert await stage.adapter.download(attached) == content
    async with page.expect_download() as found:
        await page.get_by_role("link", name="sketch ü.bin").click()
    download = await found.value
    assert download.suggested_filename == "sketch ü.bin"
    assert await asyncio.to_thread(Path(await download.path()).read_bytes) == content
    await stage.adapter.post(stage.conversation, ANSWER, nonce="x")
    async with page.expect_download() as found:
        await page.get_by_role("link", name="guide.md").click()
    made = await found.value
    assert await asyncio.to_thread(Path(await made.path()).read_text) == "# Guide\n"


@pytest.mark.parametrize("scripts", [True, False])
async def test_far_too_long_a_text_gets_a_clear_answer(stage: Stage, *, scripts: bool) -> None:
    page = await stage.open(java_script_enabled=scripts)
    if scripts:
        await page.evaluate("document.getElementById('text').value = 'word '.repeat(60_000)")
    else:
        await page.get_by_role("textbox").fill("word " * 60_000)
    await page.get_by_role("button", name="Send").click()
    wrong = page.locator("#composer-wrong")
    await expect(wrong).to_contain_text("Too long: at most 200,000 characters")
    await expect(wrong).to_contain_text("Attach it as a file instead.")
    assert stage.bot.turns == []


async def test_options_reach_the_bot_and_stay_in_sight(stage: Stage) -> None:
    page = await stage.open()
    await page.get_by_text("Options").click()
    await page.get_by_label("Tone").select_option("formal")
    await page.get_by_label("Length").select_option("short")
    await stage.write(page, "Write a guide")
    assert dict(stage.bot.turns[0].context) == {"tone": "formal", "length": "short"}
    await expect(page.locator(".turn")).to_contain_text("tone: formal · length: short")


async def test_a_command_is_answered_in_the_conversation(stage: Stage) -> None:
    page = await stage.open()
    stage.bot.answer_commands.append(Receipt(accepted=True, text="**Two** runs."))
    await stage.write(page, "/quartet runs")
    await expect(page.locator("article.reply strong")).to_have_text("Two")
    assert stage.bot.commands[0].text == "runs"
    assert stage.bot.turns == []


async def test_shift_and_enter_breaks_the_line(stage: Stage) -> None:
    page = await stage.open()
    box = page.get_by_role("textbox")
    await box.fill("one")
    await box.press("Shift+Enter")
    await box.press_sequentially("two")
    await expect(box).to_have_value("one\ntwo")
    assert stage.bot.turns == []


async def test_a_second_tab_follows_and_the_list_shows_new_conversations(stage: Stage) -> None:
    first = await stage.open()
    await stage.write(first, "The first thing")
    other = await stage.open()
    await stage.write(other, "The second thing")
    await expect(first.locator("nav li").first).to_contain_text("The second thing")
    follower = await stage.open(first.url.removeprefix(stage.address))
    await stage.write(first, "And one more")
    await expect(follower.locator(".turn").last).to_contain_text("And one more")
    await expect(follower.locator(".turn")).to_have_count(2)
    await expect(first.locator(".turn")).to_have_count(2)
