"""What every chat platform's adapter does alike. One suite; `adapter_harness.py` says what it needs.

Nothing here knows a platform: scenarios act through people and look at what people see.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from adapters.contract import (
    AgentRow,
    Button,
    Card,
    CardId,
    CardKind,
    CardPart,
    FactsPart,
    FilePart,
    Form,
    FormField,
    ImagePart,
    MarkdownPart,
    MessageRef,
    NotesPart,
    PlanPart,
    Receipt,
    RowsPart,
    SourceLine,
    SourcesPart,
    TaskLine,
)
from adapters.errors import ConversationGone, MessageGone, RateLimited
from tests import parity
from tests.contract.adapter_harness import LIMIT_S, ChatHarness, Harness, count, shows
from tests.contract.harness_discord import DiscordHarness
from tests.contract.harness_slack import SlackHttpHarness, SlackSocketHarness
from tests.contract.harness_terminal import PipedHarness, TerminalHarness
from tests.contract.harness_web import WebHarness

HARNESSES: list[type[Harness]] = [
    TerminalHarness,
    PipedHarness,
    WebHarness,
    SlackSocketHarness,
    SlackHttpHarness,
    DiscordHarness,
]
ONE_PERSON = "One person sits at a terminal"
PAPER = "What an earlier command printed at a terminal is paper"


@pytest.fixture(params=HARNESSES, ids=lambda h: h.name)
async def h(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    parity.tell(request, request.param.column)
    async with request.param() as harness:
        yield harness


@pytest.fixture(params=HARNESSES, ids=lambda h: h.name)
async def chat(request: pytest.FixtureRequest) -> AsyncIterator[ChatHarness]:
    """Platforms where messages can be edited, deleted and reacted to; elsewhere what was sent is sent."""
    parity.tell(request, request.param.column)
    if request.param.sent_stays:
        pytest.skip(request.param.sent_stays)
    async with request.param() as harness:
        yield harness


# ── cards for the scenarios ──────────────────────────────────────────────────────────────────

APPROVAL_BUTTONS = (
    Button(action="approve", target="ap-1", label="Approve it", style="primary"),
    Button(action="edit", target="ap-1", label="Edit the plan", needs_form=True),
    Button(action="changes", target="ap-1", label="Ask for changes now", needs_form=True),
    Button(action="reject", target="ap-1", label="Reject it", style="danger"),
)


def card(card_id: str, title: str, *parts: CardPart, kind: CardKind = "status", **more: Any) -> Card:
    return Card(id=CardId(card_id), kind=kind, title=title, parts=parts, **more)


def approval(title: str = "Plan for the bridge") -> Card:
    return card("run-1:approval:ap-1", title, MarkdownPart(text="Shall it be built?"), kind="approval",
                status="waiting for approval", buttons=APPROVAL_BUTTONS)  # fmt: skip


SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 20 10" width="20" height="10">'
    '<title>ferry</title><rect width="20" height="10" fill="#fff"/><text x="1" y="8">Load</text></svg>'
)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def picture(card_id: str, words: str) -> Card:
    part = ImagePart(name="ferry", alt=words, svg=SVG, png=PNG)
    return card(card_id, "The workflow ferry", part, kind="picture")


def plan_form() -> Form:
    return Form(
        id="edit:ap-1",
        title="Change the plan here",
        fields=(
            FormField(name="goal", label="Goal of the plan", value="a bridge", hint="one sentence"),
            FormField(name="tasks", label="Tasks in order", value="dig\nbuild", multiline=True),
            FormField(name="comment", label="Remark to keep", required=False),
        ),
        note="What you send is what will be built.",
    )


EVERY_PART: tuple[CardPart, ...] = (
    MarkdownPart(text="A **bold** beginning\n\n- first point\n- second point\n\n```\nprint('code')\n```"),
    RowsPart(
        rows=(
            AgentRow(name="researcher", state="done", doing="found fifteen pages", seconds=12.0, tokens=4321,
                     cost_usd=0.0123),
            AgentRow(name="planner", state="failed", doing="lost its thread", seconds=3.0),
            AgentRow(name="builder", state="waiting"),
        )
    ),
    PlanPart(
        goal="Cross the river dry",
        tasks=(
            TaskLine(id="t1", title="Survey the banks", acceptance="a map exists", state="done"),
            TaskLine(id="t2", title="Lay the beams", acceptance="they carry a cart", depends_on=("t1",)),
        ),
        outline=("Where it stands", "What it is made of"),
        risks=("the flood in spring",),
    ),
    SourcesPart(
        sources=(
            SourceLine(number=1, title="On Bridges", url="https://example.org/bridges?a=1&b=2",
                       quoted="An arch carries what a beam cannot."),
            SourceLine(number=2, title="House notes", url="knowledge/notes.md"),
        )
    ),
    FactsPart(facts=(("Total tokens", "9,876"), ("Money spent", "$0.0456"))),
    NotesPart(title="Notes of the review", notes=("the railing is missing", "paint it later")),
    FilePart(name="bridge.txt", media_type="text/plain", text="beam one\nbeam two\n"),
)  # fmt: skip
EVERY_TEXT = (
    "A full card", "all is well", "engine: rules",
    "beginning", "bold", "first point", "second point", "print('code')",
    "researcher", "found fifteen pages", "12 s", "4,321", "$0.0123", "planner", "lost its thread", "builder",
    "Cross the river dry", "Survey the banks", "a map exists", "Lay the beams", "they carry a cart", "t1",
    "t2", "Where it stands", "What it is made of", "the flood in spring",
    "On Bridges", "https://example.org/bridges?a=1&b=2", "An arch carries what a beam cannot.",
    "House notes", "knowledge/notes.md",
    "Total tokens", "9,876", "Money spent", "$0.0456",
    "Notes of the review", "the railing is missing", "paint it later",
    "bridge.txt", "beam one", "beam two",
)  # fmt: skip


async def seen_soon(h: Harness, text: str, *, person: str = "ada") -> None:
    """Wait until a text is on the screen; platforms may paint a moment later."""
    async with asyncio.timeout(LIMIT_S):
        while not shows(await h.visible_text(person=person), text):  # noqa: ASYNC110 - screens tell nobody
            await asyncio.sleep(0.01)


async def post_patiently(h: Harness, one: Card) -> MessageRef:
    """Post as the outbox does: a status card for which there is no room now is tried again when told."""
    while True:
        try:
            return await h.adapter.post(h.conversation, one, nonce=one.id)
        except RateLimited as error:
            assert one.kind in ("status", "picture")  # other cards wait in there
            await asyncio.sleep(error.retry_after_s)


# ── what comes in ────────────────────────────────────────────────────────────────────────────


async def test_message_arrives_once_with_person_time_and_file(h: Harness) -> None:
    """Message arrives once, with person, time and file"""
    content = bytes(range(256)) * 40
    await h.person_posts(
        "Build us a bridge, please", files=[("sketch.dat", "application/octet-stream", content)]
    )
    await h.inbound.until(turns=1)

    (turn,) = h.inbound.turns
    assert turn.text == "Build us a bridge, please"
    assert turn.conversation == h.conversation
    assert turn.person.platform == h.adapter.platform
    assert turn.person.id
    assert turn.person.name
    assert turn.at.utcoffset() is not None
    (attached,) = turn.attachments
    assert (attached.name, attached.size) == ("sketch.dat", len(content))
    assert await h.adapter.download(attached) == content


async def test_same_delivery_twice_has_the_same_key(h: Harness) -> None:
    await h.person_posts("once")
    await h.person_posts_again()
    await h.person_posts("once")
    await h.inbound.until(turns=2)

    keys = [turn.key for turn in h.inbound.turns]
    # A platform may swallow the second delivery itself; another message with the same words is another one.
    assert len(set(keys)) == 2
    assert keys[-1] != keys[0]


async def test_hostile_words_arrive_as_they_were_written(h: Harness) -> None:
    for text in HOSTILE:
        await h.person_posts(text)
    await h.inbound.until(turns=len(HOSTILE))
    assert [turn.text for turn in h.inbound.turns] == HOSTILE


async def test_what_a_refused_message_is_told_is_shown(h: Harness) -> None:
    h.inbound.answer_turns.append(Receipt(accepted=False, text="Only members of the crew may ask."))
    await h.person_posts("let me in")
    await seen_soon(h, "Only members of the crew may ask.")


async def test_command_shows_the_text_of_its_receipt(h: Harness) -> None:
    h.inbound.answer_commands.append(Receipt(accepted=True, text="Two runs are under way."))
    await h.person_types_command("status")
    await h.inbound.until(commands=1)
    assert h.inbound.commands[0].text == "status"
    place = h.conversation.model_copy(update={"thread": ""}) if h.commands_in_channel else h.conversation
    assert h.inbound.commands[0].conversation == place
    await seen_soon(h, "Two runs are under way.")


async def test_two_people_are_told_apart(h: Harness) -> None:
    await h.person_posts("I would like a bridge")
    if not h.people_apart:
        pytest.skip(ONE_PERSON)
    await h.person_posts("And I a tunnel", person="bob")
    await h.inbound.until(turns=2)
    ada, bob = h.inbound.turns
    assert (ada.text, bob.text) == ("I would like a bridge", "And I a tunnel")
    assert ada.person.key != bob.person.key
    assert ada.conversation == bob.conversation == h.conversation
    await h.adapter.post(h.conversation, approval(), nonce="n1")
    await h.person_clicks(CardId("run-1:approval:ap-1"), "approve", person="bob")
    assert h.inbound.clicks[0].person.key == bob.person.key


async def test_edit_of_a_message_starts_nothing(chat: ChatHarness) -> None:
    await chat.person_posts("Build a bridge")
    await chat.person_edits("Build a better bridge")
    await chat.person_posts("And then a road")
    await chat.inbound.until(turns=2)
    assert [turn.text for turn in chat.inbound.turns] == ["Build a bridge", "And then a road"]


async def test_deleting_a_message_takes_its_turn_back(chat: ChatHarness) -> None:
    await chat.person_posts("Build a bridge")
    await chat.inbound.until(turns=1)
    await chat.person_deletes()
    await chat.inbound.until(withdrawals=1)
    (turn,), (given,) = chat.inbound.turns, chat.inbound.withdrawals
    assert (given.turn_key, given.conversation, given.person.key) == (
        turn.key,
        turn.conversation,
        turn.person.key,
    )
    assert given.at.utcoffset() is not None


@pytest.mark.parametrize("rows", [(), (AgentRow(name="builder", state="working", doing="digging"),)])
async def test_a_cross_on_the_status_card_stops_quietly(
    chat: ChatHarness, rows: tuple[AgentRow, ...]
) -> None:
    stop = Button(action="stop", target="run-1", label="Stop it", style="danger")
    working = card("run-1:status", "A bridge", RowsPart(rows=rows), status="working", buttons=(stop,))
    await chat.adapter.post(chat.conversation, working, nonce="n1")
    await chat.person_crosses(CardId("run-1:status"))
    await chat.inbound.until(clicks=1)
    (click,) = chat.inbound.clicks
    assert (click.action, click.target, click.quiet) == ("stop", "run-1", True)
    assert click.conversation == chat.conversation


async def test_status_card_is_one_card_from_first_row_to_last_word(h: Harness) -> None:
    stop = Button(action="stop", target="run-1", label="Stop it", style="danger")
    steps = [
        (RowsPart(rows=(AgentRow(name="builder", state="waiting"),)), "working", (stop,)),
        (RowsPart(rows=(AgentRow(name="builder", state="working", doing="digging"),)), "working", (stop,)),
        (RowsPart(rows=(AgentRow(name="builder", state="done", doing="dug a hole"),)), "done", ()),
    ]
    first, *later = [
        card("run-1:status", "A bridge", rows, status=status, buttons=buttons)
        for rows, status, buttons in steps
    ]
    message = await post_patiently(h, first)
    await seen_soon(h, "waiting")
    for changed, word in zip(later, ("digging", "dug a hole"), strict=True):
        message = await h.adapter.edit(message, changed)
        await seen_soon(h, word)
        assert await h.visible_cards() == ["run-1:status"]
    screen = await h.visible_text()
    assert shows(screen, "done")
    if "status" in h.replaces:
        assert not shows(screen, "digging")
        assert not shows(screen, "Stop it")


# ── what is shown ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["status", "approval", "answer", "error", "reply"])
async def test_post_shows_everything_of_a_full_card(h: Harness, kind: CardKind) -> None:
    buttons = APPROVAL_BUTTONS if kind == "approval" else ()
    full = card("run-1:full", "A full card", *EVERY_PART, kind=kind, status="all is well",
                label="engine: rules", buttons=buttons)  # fmt: skip
    await h.adapter.post(h.conversation, full, nonce="n1")
    for button in buttons:
        await seen_soon(h, button.label)
    screen = await h.visible_text()
    assert [text for text in EVERY_TEXT if not shows(screen, text)] == []
    assert await h.visible_cards() == ["run-1:full"]


async def test_picture_is_shown_with_the_words_that_say_the_same(h: Harness) -> None:
    """A picture is shown, and told in words"""
    words = (
        "Workflow ferry: 2 steps. Begins at Load. Load leads to Sail the *river* & <moor>. Sail ends here."
    )
    shown = await post_patiently(h, picture("run-1:picture", words))
    await seen_soon(h, "Workflow ferry: 2 steps.")
    screen = await h.visible_text()
    for sentence in ("Begins at Load.", "Load leads to Sail the", "Sail ends here."):
        assert shows(screen, sentence), sentence
    assert shows(screen, "The workflow ferry")
    assert await h.visible_cards() == ["run-1:picture"]
    assert await h.executed() == []
    found = await h.adapter.find(h.conversation, CardId("run-1:picture"))
    assert found is not None
    assert found.message_id == shown.message_id


async def test_picture_that_is_none_is_told_in_words_alone(h: Harness) -> None:
    broken = ImagePart(name="ferry", alt="Load leads to Sail.", svg="<svg onload='alert(1)'>", png="AAAA")
    one = card("run-1:picture", "The workflow ferry", broken, kind="picture")
    await post_patiently(h, one)
    await seen_soon(h, "Load leads to Sail.")
    assert await h.executed() == []


async def test_post_returns_the_handle_that_edit_takes(h: Harness) -> None:
    first = card("run-1:status", "Work on the bridge", MarkdownPart(text="digging"), status="working")
    message = await h.adapter.post(h.conversation, first, nonce="n1")
    assert message.conversation == h.conversation
    second = card("run-1:status", "Work on the bridge", MarkdownPart(text="building"), status="nearly there")
    await h.adapter.edit(message, second)

    screen = await h.visible_text()
    assert shows(screen, "building")
    assert shows(screen, "nearly there")
    assert await h.visible_cards() == ["run-1:status"]
    if "status" in h.replaces:
        assert not shows(screen, "digging")


@pytest.mark.parametrize("kind", ["status", "approval", "answer", "error", "reply"])
async def test_edit_changes_the_card_and_adds_none(h: Harness, kind: CardKind) -> None:
    first = card("run-1:c", "Hull of the ship", MarkdownPart(text="old planks"), kind=kind)
    message = await h.adapter.post(h.conversation, first, nonce="n1")
    for text in ("new planks", "newer planks", "newest planks"):
        changed = card("run-1:c", "Hull of the ship", MarkdownPart(text=text), kind=kind)
        message = await h.adapter.edit(message, changed)
    screen = await h.visible_text()
    assert shows(screen, "newest planks")
    assert await h.visible_cards() == ["run-1:c"]
    if kind in h.replaces:
        assert not shows(screen, "old planks")
        assert not shows(screen, "newer planks")


async def test_edit_without_change_says_nothing_twice(h: Harness) -> None:
    same = card("run-1:c", "Keel of the ship", MarkdownPart(text="oak wood"), status="laid")
    message = await h.adapter.post(h.conversation, same, nonce="n1")
    await h.adapter.edit(message, same)
    screen = await h.visible_text()
    assert count(screen, "oak wood") == 1
    assert await h.visible_cards() == ["run-1:c"]


async def test_edit_of_what_is_gone_says_so(h: Harness) -> None:
    gone = MessageRef(conversation=h.conversation, message_id="999999999")
    with pytest.raises(MessageGone):
        await h.adapter.edit(gone, card("run-1:c", "Nowhere"))


async def test_same_nonce_posts_once(h: Harness) -> None:
    one = card("run-1:status", "Only one of me")
    refs = await asyncio.gather(*(h.adapter.post(h.conversation, one, nonce="same") for _ in range(3)))
    assert len({ref.message_id for ref in refs}) == 1
    assert await h.visible_cards() == ["run-1:status"]


async def test_find_knows_what_was_posted_and_nothing_else(h: Harness) -> None:
    message = await h.adapter.post(h.conversation, card("run-1:status", "Find me"), nonce="n1")
    found = await h.adapter.find(h.conversation, CardId("run-1:status"))
    assert found is not None
    assert found.message_id == message.message_id
    assert await h.adapter.find(h.conversation, CardId("run-2:status")) is None


async def test_find_after_restart_where_the_platform_remembers(h: Harness) -> None:
    message = await h.adapter.post(h.conversation, card("run-1:status", "Find me later"), nonce="n1")
    await h.restart()
    found = await h.adapter.find(h.conversation, CardId("run-1:status"))
    if not h.remembers:
        assert found is None
        pytest.skip(PAPER)
    assert found is not None
    assert found.message_id == message.message_id
    await h.adapter.edit(found, card("run-1:status", "Find me later", MarkdownPart(text="found again")))
    await seen_soon(h, "found again")
    assert await h.visible_cards() == ["run-1:status"]


async def test_posts_appear_in_the_order_in_which_they_were_asked_for(h: Harness) -> None:
    cards = [card(f"run-1:{i}", f"Card number {i:02d}", MarkdownPart(text=f"body {i}"), kind="reply")
             for i in range(h.in_a_row)]  # fmt: skip
    await asyncio.gather(*(h.adapter.post(h.conversation, c, nonce=c.id) for c in cards))
    assert await h.visible_cards() == [c.id for c in cards]


async def test_note_is_seen_by_the_person_it_is_for(h: Harness) -> None:
    await h.person_posts("hello")
    await h.inbound.until(turns=1)
    await h.adapter.note(h.conversation, h.inbound.turns[0].person, "You are number three in the queue.")
    await seen_soon(h, "You are number three in the queue.")
    if h.people_apart:
        assert not shows(await h.visible_text(person="bob"), "You are number three in the queue.")


async def test_busy_never_raises(h: Harness) -> None:
    await h.adapter.busy(h.conversation, "thinking about <b>it</b> \x1b[31m")
    await h.adapter.busy(h.conversation, "")
    await h.adapter.busy(h.conversation.model_copy(update={"thread": h.nowhere}), "thinking")
    assert await h.executed() == []
    await h.adapter.stop()
    await h.adapter.busy(h.conversation, "late")


async def test_post_elsewhere_is_refused_and_shows_nothing_here(h: Harness) -> None:
    elsewhere = h.conversation.model_copy(update={"thread": h.nowhere})
    with pytest.raises(ConversationGone):
        await h.adapter.post(elsewhere, card("run-9:status", "Lost card"), nonce="n9")
    assert not shows(await h.visible_text(), "Lost card")


# ── buttons and forms ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("action", ["approve", "reject"])
async def test_click_arrives_with_action_and_target(h: Harness, action: str) -> None:
    message = await h.adapter.post(h.conversation, approval(), nonce="n1")
    await h.person_clicks(CardId("run-1:approval:ap-1"), action)
    (click,) = h.inbound.clicks
    assert (click.action, click.target) == (action, "ap-1")
    assert click.conversation == h.conversation
    assert click.person.name
    assert click.at.utcoffset() is not None
    assert click.message is None or click.message.message_id == message.message_id


async def test_two_clicks_have_two_keys(h: Harness) -> None:
    await h.adapter.post(h.conversation, approval(), nonce="n1")
    h.inbound.answer_clicks.append(Receipt(accepted=False, text="Not you."))
    await h.person_clicks(CardId("run-1:approval:ap-1"), "approve")
    await h.person_clicks(CardId("run-1:approval:ap-1"), "approve")
    keys = [click.key for click in h.inbound.clicks]
    assert len(set(keys)) == len(keys) == 2


async def test_refusal_of_a_click_is_told_to_the_person_alone(h: Harness) -> None:
    await h.adapter.post(h.conversation, approval(), nonce="n1")
    h.inbound.answer_clicks.append(Receipt(accepted=False, text="Only the captain may decide this."))
    await h.person_clicks(CardId("run-1:approval:ap-1"), "approve")
    await seen_soon(h, "Only the captain may decide this.")
    if h.people_apart:
        assert not shows(await h.visible_text(person="bob"), "Only the captain may decide this.")
    assert await h.visible_cards() == ["run-1:approval:ap-1"]


async def test_question_is_answered_in_words(h: Harness) -> None:
    """A question is answered in words"""
    buttons = (
        Button(action="answer", target="ap-1", label="Answer it", style="primary", needs_form=True),
        Button(action="reject", target="ap-1", label="Reject it", style="danger"),
    )
    one = card("run-1:approval:ap-1", "Which river?", MarkdownPart(text="Which river is it?"),
               kind="approval", status="waiting for your answer", buttons=buttons)  # fmt: skip
    field = FormField(name="text", label="Your answer", multiline=True)
    form = Form(id="answer:ap-1", title="Answer", fields=(field,), note="Which river is it?")
    await h.adapter.post(h.conversation, one, nonce="n1")
    h.inbound.answer_clicks.append(Receipt(accepted=True, form=form))
    await h.person_clicks(CardId("run-1:approval:ap-1"), "answer")
    assert (h.inbound.clicks[0].action, h.inbound.clicks[0].target) == ("answer", "ap-1")
    await seen_soon(h, "Your answer")
    await h.person_fills(form, {"text": "The Elbe,\nabove Dresden"})
    assert h.inbound.forms[0].form_id == "answer:ap-1"
    assert _lines(h.inbound.forms[0].values) == {"text": "The Elbe,\nabove Dresden"}


async def test_form_opens_shows_errors_at_fields_and_is_then_accepted(h: Harness) -> None:
    form = plan_form()
    await h.adapter.post(h.conversation, approval(), nonce="n1")
    h.inbound.answer_clicks.append(Receipt(accepted=True, form=form))
    wrong = {"goal": "The goal must name a river.", "tasks": "There must be a third task."}
    h.inbound.answer_forms.append(Receipt(accepted=False, errors=wrong))

    await h.person_clicks(CardId("run-1:approval:ap-1"), "edit")
    assert h.inbound.clicks[0].action == "edit"
    await seen_soon(h, "Change the plan here")
    await seen_soon(h, "What you send is what will be built.")

    await h.person_fills(form, {"goal": "a <b>boat</b> & oars", "tasks": "fell\nsaw\nbuild", "comment": ""})
    await seen_soon(h, "The goal must name a river.")
    for field in form.fields:
        await seen_soon(h, field.label)
        await seen_soon(h, field.hint)
    first = h.inbound.forms[0]
    assert first.form_id == "edit:ap-1"
    assert first.conversation == h.conversation
    assert _lines(first.values) == {
        "goal": "a <b>boat</b> & oars",
        "tasks": "fell\nsaw\nbuild",
        "comment": "",
    }

    await h.person_fills(form, {"goal": "a boat on the Elbe", "tasks": "fell\nsaw\nbuild", "comment": "soon"})
    assert h.inbound.forms[1].values["goal"] == "a boat on the Elbe"
    assert h.inbound.forms[1].values["comment"] == "soon"
    assert h.inbound.forms[0].key != h.inbound.forms[1].key


async def test_every_field_of_a_form_is_shown_with_its_value(h: Harness) -> None:
    form = Form(
        id="edit:ap-1",
        title="One field to change",
        fields=(FormField(name="goal", label="Aim", value="as it was <i>&amp;", hint="keep it short"),),
    )
    await h.adapter.post(h.conversation, approval(), nonce="n1")
    h.inbound.answer_clicks.append(Receipt(accepted=True, form=form))
    await h.person_clicks(CardId("run-1:approval:ap-1"), "edit")
    for text in ("One field to change", "Aim", "as it was <i>&amp;", "keep it short"):
        await seen_soon(h, text)


async def test_card_without_buttons_any_more_takes_no_click(h: Harness) -> None:
    message = await h.adapter.post(h.conversation, approval(), nonce="n1")
    await seen_soon(h, "Approve it")
    decided = approval().model_copy(update={"buttons": (), "status": "approved by Grace"})
    await h.adapter.edit(message, decided)
    await seen_soon(h, "approved by Grace")
    assert h.inbound.clicks == []
    if "approval" in h.replaces:
        assert not shows(await h.visible_text(), "Ask for changes now")


# ── hostile text ─────────────────────────────────────────────────────────────────────────────

HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "</pre></div></body><h1>outside</h1>",
    "\"' onmouseover=alert(3) x='",
    "[click me](javascript:alert(4)) ![i](https://evil.example/pixel.png)",
    "&lt;b&gt; &#60;script&#62; %3Cscript%3E {{7*7}} ${7*7}",
    "@everyone @here <!channel> <@U123> <#C1>",
    "naïve e\u0301 👩‍👩‍👧 🇩🇪 العربية עברית 漢字",
    "*_~`|> # - 1. [ ] \\ ||spoiler||",
]
CONTROLS = (
    "before\x1b[2Jmiddle\x1b]0;title\x07after\x9b31m bell\x07 back\x08 nul\x00 del\x7f rlo\u202eend\u2066"
)


@pytest.mark.parametrize("kind", ["status", "answer", "reply"])
async def test_hostile_text_in_every_field_is_text(h: Harness, kind: CardKind) -> None:
    for i, text in enumerate(HOSTILE[:6]):
        await post_patiently(h, _full_of(text, i, kind))
    assert await h.executed() == []
    screen = await h.visible_text()
    for i, text in enumerate(HOSTILE[:6]):
        # Markdown is rendered, so its marks may go; every other field shows the text letter by letter.
        assert shows(screen, f"fact{i} {text}"), text
        assert shows(screen, f"note{i} {text}"), text
        assert shows(screen, f"doing{i} {text}"), text
        assert shows(screen, f"goal{i} {text}"), text
        assert shows(screen, f"file{i} {text}"), text
    assert len(await h.visible_cards()) == 6


async def test_html_in_markdown_is_shown_not_obeyed(h: Harness) -> None:
    """HTML in Markdown is shown, not obeyed"""
    text = "Look: <script>alert(1)</script> and <b onclick=alert(2)>this</b> and <!-- hidden --> end"
    await h.adapter.post(h.conversation, card("c", "Tags", MarkdownPart(text=text), kind="answer"), nonce="n")
    screen = await h.visible_text()
    for word in ("<script>alert(1)</script>", "<b onclick=alert(2)>this</b>", "<!-- hidden -->", "end"):
        assert shows(screen, word)
    assert await h.executed() == []


async def test_control_characters_do_nothing_and_no_letter_is_lost(h: Harness) -> None:
    for i, kind in enumerate(cast("list[CardKind]", ["status", "reply", "answer"])):
        await h.adapter.post(h.conversation, _full_of(CONTROLS, i, kind), nonce=f"n{i}")
    await h.adapter.note(h.conversation, await _ada(h), CONTROLS)
    assert await h.executed() == []
    screen = await h.visible_text()
    for word in ("before", "middle", "after", "31m", "bell", "back", "nul", "del", "rlo", "end"):
        assert count(screen, word) >= 3, word


async def test_letters_of_every_script_stay(h: Harness) -> None:
    text = HOSTILE[6]
    await h.adapter.post(h.conversation, _full_of(text, 0, "reply"), nonce="n")
    await seen_soon(h, text)


@pytest.mark.timeout(180)  # a platform that takes one message a second needs half a minute
@pytest.mark.parametrize("kind", ["status", "answer", "reply"])
async def test_a_hundred_thousand_characters_arrive_whole(h: Harness, kind: CardKind) -> None:
    words = [f"word{i:05d}" for i in range(10_000)]
    text = "\n\n".join(" ".join(words[i : i + 50]) for i in range(0, len(words), 50))
    assert len(text) >= 90_000
    await post_patiently(h, card("c", "A long one", MarkdownPart(text=text), kind=kind))
    screen = "".join((await h.visible_text()).split())
    if kind == "status" and h.crops:
        await h.adapter.stop()
        screen = "".join((await h.visible_text()).split())
    assert [word for word in words if word not in screen] == []
    assert await h.visible_cards() == ["c"]


async def test_one_long_line_arrives_whole(h: Harness) -> None:
    text = "x" * 50_000 + "END"
    await h.adapter.post(
        h.conversation, card("c", "A line", MarkdownPart(text=text), kind="reply"), nonce="n"
    )
    assert shows(await h.visible_text(), text)


# ── limits and the end ───────────────────────────────────────────────────────────────────────


def test_limits_say_what_fits(h: Harness) -> None:
    limits = h.adapter.limits
    assert limits.text >= 2_000
    assert limits.buttons >= 5
    assert limits.button_label >= 20
    assert limits.messages >= 1
    assert limits.file_bytes > 0


async def test_as_many_buttons_and_as_long_labels_as_the_limits_allow(h: Harness) -> None:
    label = "L" * h.adapter.limits.button_label
    buttons = tuple(
        Button(action="approve", target=f"ap-{i}", label=label) for i in range(h.adapter.limits.buttons)
    )
    crowded = card("c", "Crowded", kind="approval", buttons=buttons)
    await h.adapter.post(h.conversation, crowded, nonce="n")
    await seen_soon(h, "Crowded")
    await seen_soon(h, label)


async def test_stop_twice_is_quiet_and_nothing_is_delivered_after(h: Harness) -> None:
    await h.adapter.post(h.conversation, approval(), nonce="n1")
    await h.adapter.stop()
    await h.adapter.stop()
    assert h.inbound.clicks == []


async def test_work_goes_on_after_restart(h: Harness) -> None:
    await h.person_posts("first")
    await h.restart()
    await h.person_posts("second")
    await h.inbound.until(turns=2)
    assert [turn.text for turn in h.inbound.turns] == ["first", "second"]
    await h.adapter.post(h.conversation, card("run-2:status", "After the restart"), nonce="n2")
    await seen_soon(h, "After the restart")


# ── small things ─────────────────────────────────────────────────────────────────────────────


async def _ada(h: Harness) -> Any:
    await h.person_posts("hello")
    await h.inbound.until(turns=1)
    return h.inbound.turns[0].person


def _full_of(text: str, i: int, kind: CardKind) -> Card:
    """A card with the text in every field that takes text."""
    return Card(
        id=CardId(f"run-{i}:hostile"),
        kind=kind,
        title=f"Title number {i}",
        status=text[:60].replace("\n", " "),
        label=f"engine: {text[:20]}",
        parts=(
            MarkdownPart(text=f"markdown{i} {text}"),
            RowsPart(rows=(AgentRow(name=f"agent{i}", state="working", doing=f"doing{i} {text}"),)),
            PlanPart(
                goal=f"goal{i} {text}",
                tasks=(TaskLine(id="t", title=f"task{i} {text}", acceptance=f"accept{i} {text}"),),
                outline=(f"outline{i} {text}",),
                risks=(f"risk{i} {text}",),
            ),
            SourcesPart(
                sources=(
                    SourceLine(number=1, title=f"source{i} {text}", url=f"javascript:{text}", quoted=text),
                )
            ),
            FactsPart(facts=((f"fact{i} {text}", text),)),
            NotesPart(title=f"notes{i} {text}", notes=(f"note{i} {text}",)),
            FilePart(name=f"name{i}.txt", media_type="text/plain", text=f"file{i} {text}"),
        ),
    )


def _lines(values: Any) -> dict[str, str]:
    """Browsers send line ends as CR LF."""
    return {name: value.replace("\r\n", "\n") for name, value in values.items()}
