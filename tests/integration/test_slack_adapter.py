"""The adapter against a Slack on loopback, with real Bolt: in Socket Mode and by signed HTTP."""

# What no outside can bring about at will (a stop half done, a broken library) is done inside the adapter.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import gc
import html
import io
import json
import re
import socket
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from adapters.contract import (
    Button,
    Card,
    CardId,
    Choice,
    ChoiceKind,
    Click,
    Command,
    ConversationRef,
    FactsPart,
    Feedback,
    Form,
    FormField,
    FormInput,
    Home,
    HomeQuestion,
    MarkdownPart,
    Person,
    Receipt,
    Turn,
    Withdrawal,
)
from adapters.errors import NotAllowed, PlatformDown
from adapters.slack.adapter import SlackAdapter, slack_adapter
from adapters.slack.manifest import manifest
from tests.loopback import on_loopback
from tests.twins.slack import SlackTwin
from tests.twins.slack.signed_http import sign

LIMIT_S = 60.0


class Bot:
    """The bot's side: keeps what came in; answers are scripted by `receipts`, by kind."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.clicks: list[Click] = []
        self.commands: list[Command] = []
        self.forms: list[FormInput] = []
        self.withdrawals: list[Withdrawal] = []
        self.feedbacks: list[Feedback] = []
        self.homes: list[Person] = []
        self.receipts: dict[str, deque[Receipt | Exception]] = {}
        self.slow_s: dict[str, float] = {}
        self.home_shown = Home(usage=FactsPart(facts=(("Tokens", "12"),)))

    def answers(self, kind: str, *receipts: Receipt | Exception) -> None:
        self.receipts.setdefault(kind, deque()).extend(receipts)

    async def _answer(self, kind: str, kept: list[Any], given: Any) -> Receipt:
        await asyncio.sleep(self.slow_s.get(kind, 0))  # the bot itself takes time: a model, a slow disk
        script = self.receipts.get(kind)
        answer = script.popleft() if script else Receipt(accepted=True, run_id=f"r-{len(kept)}")
        if isinstance(answer, Exception):
            raise answer
        kept.append(given)
        return answer

    async def turn(self, turn: Turn) -> Receipt:
        return await self._answer("turn", self.turns, turn)

    async def click(self, click: Click) -> Receipt:
        return await self._answer("click", self.clicks, click)

    async def command(self, command: Command) -> Receipt:
        return await self._answer("command", self.commands, command)

    async def form(self, given: FormInput) -> Receipt:
        return await self._answer("form", self.forms, given)

    async def withdraw(self, given: Withdrawal) -> Receipt:
        return await self._answer("withdraw", self.withdrawals, given)

    async def feedback(self, given: Feedback) -> Receipt:
        return await self._answer("feedback", self.feedbacks, given)

    async def home(self, workspace: str, person: Person) -> Home:
        self.homes.append(person)
        return self.home_shown

    async def choices(self, kind: ChoiceKind, conversation: ConversationRef, typed: str) -> Sequence[Choice]:
        raise AssertionError("Slack does not ask while somebody types")


class Desk:
    """One Slack, one adapter, one bot."""

    def __init__(self, slack: SlackTwin, home: Path, mode: str) -> None:
        self.slack = slack
        self.home = home
        self.mode = mode
        self.bot = Bot()
        self.adapter = self._build()

    def _build(self, **more: Any) -> SlackAdapter:
        return slack_adapter(
            self.home,
            bot_token=self.slack.bot_token,
            app_token=self.slack.app_token if self.mode == "socket" else "",
            signing_secret=self.slack.app.signing_secret,
            api_url=self.slack.api_url,
            **more,
        )

    async def until(self, predicate: Any) -> Any:
        return await self.slack.until(predicate, within_s=LIMIT_S)

    def notes(self, who: str, channel: str = "", thread: str | None = None) -> list[str]:
        """What this person alone sees."""
        user = self.slack.person(who).id
        return [note.text for note in self.slack.world.ephemerals if note.user == user]

    async def restart(self, **more: Any) -> None:
        await self.adapter.stop()
        self.adapter = self._build(**more)
        await self.adapter.start(self.bot)


@asynccontextmanager
async def serving(adapter: SlackAdapter, port: int = 0) -> AsyncGenerator[str]:
    """The adapter's routes on loopback."""
    async with on_loopback(Starlette(routes=list(adapter.routes())), port) as url:
        yield url


def browsing() -> aiohttp.ClientSession:
    """A browser, which keeps cookies of loopback addresses as well."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


@pytest.fixture(params=["socket", "http"])
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    mode = request.param
    async with SlackTwin(mode=mode, time_scale=0.01) as slack:
        desk = Desk(slack, tmp_path, mode)
        await desk.adapter.start(desk.bot)
        try:
            if mode == "http":
                async with serving(desk.adapter) as url:
                    await slack.set_events_url(f"{url}/slack/events")
                    yield desk
            else:
                yield desk
        finally:
            await desk.adapter.stop()


async def test_a_mention_becomes_one_turn_though_it_comes_as_two_events(desk: Desk) -> None:
    slack = desk.slack
    ada = slack.person("ada")
    ts = ada.mentions(slack.general, "what do llamas eat &amp; drink?")
    await desk.until(lambda: desk.bot.turns)
    await desk.until(lambda: not slack.delivery.unacked())
    turn = desk.bot.turns[0]
    assert (turn.text, turn.person.id, turn.key) == (
        "what do llamas eat & drink?",
        ada.id,
        f"slack:{slack.team.id}:{slack.general}:{ts}",
    )
    assert turn.conversation == ConversationRef(
        platform="slack", workspace=slack.team.id, channel=slack.general, thread=ts
    )
    assert len(desk.bot.turns) == 1
    await desk.until(lambda: any(c.method == "assistant.threads.setStatus" for c in slack.calls))


EDIT = Form(
    id="edit:a1",
    title="Edit the plan",
    fields=(
        FormField(name="goal", label="Goal", value="feed llamas"),
        FormField(name="note", label="Note", required=False),
    ),
)


def approval(**more: Any) -> Card:
    return Card(
        id=CardId("r:approval:a1"),
        kind="approval",
        title="Is the plan right?",
        parts=(MarkdownPart(text="Feed the llamas."),),
        buttons=(
            Button(action="approve", target="a1", label="Approve", style="primary"),
            Button(action="edit", target="a1", label="Edit", needs_form=True),
        ),
        **more,
    )


async def asked(desk: Desk, text: str = "hello") -> ConversationRef:
    """Ada's mention, taken by the bot."""
    desk.slack.person("ada").mentions(desk.slack.general, text)
    count = len(desk.bot.turns)
    await desk.until(lambda: len(desk.bot.turns) > count)
    return desk.bot.turns[-1].conversation


async def test_every_event_delivered_three_times_is_one_turn(desk: Desk) -> None:
    desk.slack.delivery.duplicate(3)
    desk.slack.delivery.reorder(4)
    await asked(desk)
    await desk.until(lambda: not desk.slack.delivery.unacked())
    await asked(desk, "another")
    assert [turn.text for turn in desk.bot.turns] == ["hello", "another"]


async def test_a_reply_counts_without_mention_only_where_the_bot_was_asked(desk: Desk) -> None:
    slack, ada, bob = desk.slack, desk.slack.person("ada"), desk.slack.person("bob")
    elsewhere = bob.posts(slack.general, "private talk")
    bob.posts(slack.general, "among ourselves", thread=elsewhere)
    here = await asked(desk)
    bob.posts(slack.general, f"and <@{ada.id}> asks for alpacas", thread=here.thread)
    await desk.until(lambda: len(desk.bot.turns) == 2)
    reply = desk.bot.turns[1]
    assert (reply.conversation, reply.person.name, reply.text) == (here, "bob", "and @ada asks for alpacas")
    await desk.until(lambda: not slack.delivery.unacked())
    assert len(desk.bot.turns) == 2


async def test_a_mention_in_a_thread_brings_what_was_said_before(desk: Desk) -> None:
    slack, ada, bob = desk.slack, desk.slack.person("ada"), desk.slack.person("bob")
    root = bob.posts(slack.general, "llamas look hungry")
    bob.posts(slack.general, "very", thread=root)
    ada.mentions(slack.general, "what to do?", thread=root)
    await desk.until(lambda: desk.bot.turns)
    turn = desk.bot.turns[0]
    assert [(line.author, line.text, line.by_bot) for line in turn.earlier] == [
        ("bob", "llamas look hungry", False),
        ("bob", "very", False),
    ]
    ada.posts(slack.general, "more", thread=root)
    await desk.until(lambda: len(desk.bot.turns) == 2)
    assert desk.bot.turns[1].earlier == ()


async def test_an_edit_an_unfurl_and_the_bots_own_words_start_nothing(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    here = await asked(desk, "look at https://example.com/page")
    ada.edits(here.thread, f"<@{slack.bot.bot_user}> now something else")
    slack.unfurls(slack.general, here.thread)
    await desk.adapter.post(here, approval(), nonce="n")
    slack.other_bot("deploybot").mentions(slack.general, "deployed", here.thread)
    await desk.until(lambda: not slack.delivery.unacked())
    await asked(desk, "last")
    assert [turn.text for turn in desk.bot.turns][1:] == ["last"]


async def test_other_bots_count_when_allowed_but_not_for_ever(desk: Desk) -> None:
    slack = desk.slack
    if desk.mode == "http":
        pytest.skip("the same decision, made before any door matters")
    await desk.restart(allowed_bots=["*"], bot_turns=2)
    here = await asked(desk)
    robot = slack.other_bot("deploybot")
    for number in range(4):
        robot.mentions(slack.general, f"loop {number}", here.thread)
    await desk.until(lambda: len(desk.bot.turns) == 3)
    await desk.until(lambda: not slack.delivery.unacked())
    slack.person("ada").posts(slack.general, "go on", thread=here.thread)
    await desk.until(lambda: len(desk.bot.turns) == 4)
    robot.mentions(slack.general, "loop again", here.thread)
    await desk.until(lambda: len(desk.bot.turns) == 5)
    assert [turn.text for turn in desk.bot.turns] == ["hello", "loop 0", "loop 1", "go on", "loop again"]


async def test_a_refused_turn_is_told_to_its_writer_alone(desk: Desk) -> None:
    desk.bot.answers("turn", Receipt(accepted=False, text="Only root may start turns here."))
    await asked(desk)
    await desk.until(lambda: any("Only root" in note for note in desk.notes("ada")))
    assert desk.notes("bob") == []


async def test_what_the_bot_answers_to_a_command_in_a_thread_is_a_reply_there(desk: Desk) -> None:
    desk.bot.answers("turn", Receipt(accepted=True, text="Nothing works here now.", run_id=""))
    here = await asked(desk, "status")
    ada = desk.slack.person("ada")
    await desk.until(
        lambda: any("Nothing works" in seen.text for seen in ada.sees(here.channel, here.thread))
    )


async def test_a_turn_that_the_bot_could_not_store_is_handed_in_again(desk: Desk) -> None:
    desk.bot.answers("turn", PlatformDown("the database is away"), PlatformDown("still"))
    here = await asked(desk)
    assert [turn.conversation for turn in desk.bot.turns] == [here]


async def test_what_was_kept_before_a_crash_is_handed_in_after_the_restart(desk: Desk) -> None:
    desk.bot.slow_s["turn"] = 3600
    ada = desk.slack.person("ada")
    ada.mentions(desk.slack.general, "do not lose me")
    await desk.until(lambda: desk.slack.delivery.parcels and not desk.slack.delivery.unacked())
    assert desk.bot.turns == []
    desk.bot.slow_s.clear()
    if desk.mode == "socket":
        await desk.restart()
    else:
        await desk.adapter.stop()
        await desk.adapter.start(desk.bot)
    await desk.until(lambda: desk.bot.turns)
    assert [turn.text for turn in desk.bot.turns] == ["do not lose me"]


async def test_a_press_of_a_button_is_a_click_and_its_refusal_is_told_to_who_pressed(desk: Desk) -> None:
    slack, bob = desk.slack, desk.slack.person("bob")
    here = await asked(desk)
    posted = await desk.adapter.post(here, approval(), nonce="n")
    desk.bot.answers("click", Receipt(accepted=False, text="Only ada may approve."))
    bob.clicks(slack.general, posted.message_id, "Approve")
    await desk.until(lambda: any("Only ada may approve." in note for note in desk.notes("bob")))
    click = desk.bot.clicks[0]
    assert (click.action, click.target, click.person.id, click.conversation) == (
        "approve",
        "a1",
        bob.id,
        here,
    )
    assert click.message is not None
    assert click.message.message_id == posted.message_id
    assert bob.warnings == []


async def test_a_press_brings_the_groups_of_who_pressed(desk: Desk) -> None:
    slack, bob = desk.slack, desk.slack.person("bob")
    group = slack.world.add_group(slack.team.id, "leads", [bob.id])
    here = await asked(desk)
    posted = await desk.adapter.post(here, approval(), nonce="n")
    bob.clicks(slack.general, posted.message_id, "Approve")
    await desk.until(lambda: desk.bot.clicks)
    assert desk.bot.clicks[0].person.groups == (group.id,)


@pytest.mark.parametrize("slow_s", [0.0, 1.6], ids=["at once", "after a while"])
async def test_a_form_opens_shows_errors_at_fields_and_is_taken(desk: Desk, slow_s: float) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    here = await asked(desk)
    posted = await desk.adapter.post(here, approval(), nonce="n")
    desk.bot.slow_s["click"] = slow_s
    desk.bot.answers("click", Receipt(accepted=True, form=EDIT, run_id="r-0"))
    ada.clicks(slack.general, posted.message_id, "Edit")
    view = await desk.until(
        lambda: ada.modal if ada.modal and "field:goal" in str(ada.modal.payload) else None
    )
    desk.bot.answers("form", Receipt(accepted=False, errors={"goal": "say more"}))
    submitted = await ada.submits(view, {"field:goal": {"value": "x"}})
    assert (submitted.outcome, submitted.errors) == ("errors", {"field:goal": "say more"})
    submitted = await ada.submits(view, {"field:goal": {"value": "feed llamas and alpacas"}})
    assert ada.modal is None, submitted
    assert [form.values["goal"] for form in desk.bot.forms] == ["x", "feed llamas and alpacas"]
    assert {(form.form_id, form.conversation, form.person.id) for form in desk.bot.forms} == {
        ("edit:a1", here, ada.id)
    }


async def test_a_refused_form_says_why_in_its_place(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    here = await asked(desk)
    posted = await desk.adapter.post(here, approval(), nonce="n")
    desk.bot.answers("click", Receipt(accepted=True, form=EDIT))
    ada.clicks(slack.general, posted.message_id, "Edit")
    view = await desk.until(lambda: ada.modal)
    desk.bot.answers("form", Receipt(accepted=False, text="Bob was faster."))
    await ada.submits(view, {})
    assert ada.modal is not None
    assert "Bob was faster." in str(ada.modal.payload)


async def test_a_form_that_takes_long_is_answered_by_a_note(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    here = await asked(desk)
    posted = await desk.adapter.post(here, approval(), nonce="n")
    desk.bot.answers("click", Receipt(accepted=True, form=EDIT))
    ada.clicks(slack.general, posted.message_id, "Edit")
    view = await desk.until(lambda: ada.modal)
    desk.bot.slow_s["form"] = 2.6
    desk.bot.answers("form", Receipt(accepted=False, text="Bob was faster."))
    await ada.submits(view, {})
    assert ada.modal is None
    await desk.until(lambda: any("Bob was faster." in note for note in desk.notes("ada")))
    assert len(desk.bot.forms) == 1


async def test_words_after_quartet_are_a_command_answered_to_their_writer(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    desk.bot.answers("command", Receipt(accepted=True, text="Two runs work <here>."))
    ada.slash(slack.general, "/quartet", "status")
    await desk.until(lambda: any("Two runs work" in note for note in desk.notes("ada")))
    command = desk.bot.commands[0]
    assert (command.text, command.conversation.channel, command.conversation.thread) == (
        "status",
        slack.general,
        "",
    )


async def test_a_question_by_slash_command_is_said_aloud_and_answered_in_its_thread(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    ada.slash(slack.general, "/quartet", "run quartet feed <!channel> llamas")
    await desk.until(lambda: desk.bot.turns)
    turn = desk.bot.turns[0]
    root = [seen for seen in ada.sees(slack.general) if not seen.ephemeral][-1]
    assert (turn.workflow, turn.conversation.thread) == ("quartet", root.ts)
    assert "ada" in root.text
    assert "<!channel>" not in root.text
    ada.posts(slack.general, "and alpacas", thread=root.ts)
    await desk.until(lambda: len(desk.bot.turns) == 2)
    ada.reacts(root.ts, "x")
    await desk.until(lambda: desk.bot.clicks)
    click = desk.bot.clicks[0]
    assert (click.action, click.target, click.quiet) == ("stop", "r-0", True)
    assert click.conversation == turn.conversation


async def test_what_the_bot_says_of_a_message_to_its_writer_alone_is_not_read_by_others(desk: Desk) -> None:
    here = await asked(desk)
    handed = Receipt(accepted=True, run_id="r-0", text="Handed to the agents at work.", private=True)
    desk.bot.answers("turn", handed)
    desk.slack.person("ada").posts(here.channel, "shorter please", thread=here.thread)
    await desk.until(lambda: "Handed to the agents at work." in desk.notes("ada"))
    ben = desk.slack.person("ben")
    assert not [seen for seen in ben.sees(here.channel, here.thread) if "Handed" in seen.text]


async def test_files_of_a_mention_may_come_with_its_other_event(desk: Desk) -> None:
    ada, slack = desk.slack.person("ada"), desk.slack
    me = {"team_id": slack.team.id, "authorizations": [{"team_id": slack.team.id, "is_bot": True}]}
    said = {
        "channel": slack.general,
        "channel_type": "channel",
        "user": ada.id,
        "text": f"<@{slack.bot.bot_user}> read this",
        "ts": "1700000000.000100",
    }
    bare = {**said, "type": "app_mention", "upload": True}
    file = {"id": "F0LATE", "name": "notes.txt", "mimetype": "text/plain", "size": 3}
    whole = {**said, "type": "message", "subtype": "file_share", "files": [file]}
    await desk.adapter._take({**me, "type": "event_callback", "event_id": "Ev-bare", "event": bare})
    await asyncio.sleep(0.1)
    assert desk.bot.turns == []  # it speaks of a file: it waits a moment
    await desk.adapter._take({**me, "type": "event_callback", "event_id": "Ev-whole", "event": whole})
    await desk.until(lambda: desk.bot.turns)
    (turn,) = desk.bot.turns
    assert [one.name for one in turn.attachments] == ["notes.txt"]
    assert turn.text == "read this"


async def test_a_press_that_never_gets_through_is_told_to_who_pressed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.lanes.MOST_TRIES", 1)
    here = await asked(desk)
    posted = await desk.adapter.post(here, approval(), nonce="n")
    desk.bot.answers("click", PlatformDown("the disk is full"))
    desk.slack.person("ada").clicks(here.channel, posted.message_id, "Approve")
    await desk.until(lambda: any("tried many times" in note for note in desk.notes("ada")))


async def test_what_comes_while_it_is_stopped_is_handed_in_after_the_start(desk: Desk) -> None:
    await asked(desk)
    body = {
        "type": "event_callback",
        "team_id": desk.slack.team.id,
        "event_id": "Ev-late",
        "authorizations": [{"team_id": desk.slack.team.id, "is_bot": True}],
        "event": {
            "type": "message",
            "channel": "D0LATE",
            "channel_type": "im",
            "user": desk.slack.person("ada").id,
            "text": "are you there?",
            "ts": "100.000100",
        },
    }
    lanes, desk.adapter._lanes = desk.adapter._lanes, None  # as in the middle of `stop`
    assert await desk.adapter._take(body) is None
    desk.adapter._lanes = lanes
    assert len(desk.bot.turns) == 1
    await desk.restart()
    await desk.until(lambda: "are you there?" in [turn.text for turn in desk.bot.turns])


async def test_a_refused_question_is_taken_back_and_told_privately(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    desk.bot.answers("turn", Receipt(accepted=False, text="There is no workflow 'nope'."))
    ada.slash(slack.general, "/quartet", "run nope feed llamas")
    await desk.until(lambda: any("no workflow" in note for note in desk.notes("ada")))
    await desk.until(lambda: not [seen for seen in ada.sees(slack.general) if "llamas" in seen.text])


async def test_a_question_where_the_bot_is_not_says_how_to_bring_it(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    private = slack.channel("secret", "ada", private=True, with_bot=False)
    ada.slash(private, "/quartet", "ask feed llamas")
    await desk.until(lambda: any("/invite" in note for note in desk.notes("ada")))
    assert desk.bot.turns == []


async def test_a_question_that_could_not_be_stored_is_said_aloud_once(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    desk.bot.answers("turn", PlatformDown("away"), PlatformDown("away"))
    ada.slash(slack.general, "/quartet", "ask feed llamas")
    await desk.until(lambda: desk.bot.turns)
    assert len([seen for seen in ada.sees(slack.general) if "feed llamas" in seen.text]) == 1


async def test_the_message_shortcut_asks_about_that_message_in_its_thread(desk: Desk) -> None:
    slack, ada, bob = desk.slack, desk.slack.person("ada"), desk.slack.person("bob")
    ts = bob.posts(slack.general, "llamas look hungry")
    ada.message_shortcut(slack.general, ts, "quartet:ask_about")
    view = await desk.until(lambda: ada.modal)
    submitted = await ada.submits(view, {"field:text": {"value": "what do they eat?"}})
    await desk.until(lambda: desk.bot.turns)
    assert ada.modal is None, submitted
    turn = desk.bot.turns[0]
    assert (turn.conversation.thread, turn.person.id) == (ts, ada.id)
    assert turn.text == "what do they eat?\n\nAbout this message by bob: “llamas look hungry”"
    assert [(line.author, line.text) for line in turn.earlier] == [("bob", "llamas look hungry")]
    assert any("what do they eat?" in seen.text for seen in bob.sees(slack.general, ts))


async def test_the_global_shortcut_asks_in_the_chosen_channel(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    ada.global_shortcut("quartet:ask_new")
    view = await desk.until(lambda: ada.modal)
    await ada.submits(
        view, {"field:text": {"value": "feed llamas"}, "field:channel": {"value": slack.general}}
    )
    await desk.until(lambda: desk.bot.turns)
    assert (desk.bot.turns[0].text, desk.bot.turns[0].conversation.channel) == ("feed llamas", slack.general)


async def test_a_direct_message_is_a_conversation_and_its_threads_are_others(desk: Desk) -> None:
    ada = desk.slack.person("ada")
    ada.changes_context(desk.slack.general)
    await desk.until(lambda: desk.slack.delivery.parcels and not desk.slack.delivery.unacked())
    ts = ada.direct_message("hello")
    await desk.until(lambda: len(desk.bot.turns) == 1)
    ada.direct_message("deeper", thread=ts)
    await desk.until(lambda: len(desk.bot.turns) == 2)
    top, deep = desk.bot.turns
    assert (top.conversation.channel, top.conversation.thread) == (ada.dm, "")
    assert (deep.conversation.channel, deep.conversation.thread) == (ada.dm, ts)
    assert top.context == {"viewing": desk.slack.general}


async def test_opening_the_pane_suggests_what_to_ask_and_home_is_published(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    ada.opens_home("messages")
    await desk.until(
        lambda: any(c.method == "assistant.threads.setSuggestedPrompts" and not c.error for c in slack.calls)
    )
    (call,) = [c for c in slack.calls if c.method == "assistant.threads.setSuggestedPrompts"]
    in_manifest = manifest()["features"]["agent_view"]["suggested_prompts"]
    assert json.loads(json.dumps(call.arguments["prompts"])) == in_manifest
    ada.opens_home("home")
    home = await desk.until(lambda: ada.home)
    assert "12" in str(home.payload)


async def test_an_approval_on_home_is_clicked_in_its_conversation_and_home_shows_it(desk: Desk) -> None:
    ada = desk.slack.person("ada")
    here = await asked(desk)
    card = approval()
    desk.bot.home_shown = Home(
        questions=(HomeQuestion(conversation=here, card=card),), usage=FactsPart(facts=(("Tokens", "12"),))
    )
    ada.opens_home("home")
    await desk.until(lambda: ada.home)
    desk.bot.home_shown = Home(usage=FactsPart(facts=(("Tokens", "99"),)))
    ada.clicks_home("Approve")
    await desk.until(lambda: desk.bot.clicks)
    click = desk.bot.clicks[0]
    assert (click.action, click.target, click.conversation) == ("approve", "a1", here)
    await desk.until(lambda: ada.home is not None and "99" in str(ada.home.payload))


async def test_what_names_another_workspace_is_refused_and_home_is_drawn_anew(desk: Desk) -> None:
    ada = {"id": desk.slack.person("ada").id, "team_id": desk.slack.team.id}
    there = "slack:T0ELSEWHERE:C0ELSEWHERE:1.1"
    common = {"team": {"id": desk.slack.team.id}, "user": ada, "trigger_id": "1.2.dead"}
    pressed = {"action_id": "quartet:approve", "value": f"a-1\n{there}", "type": "button"}
    await desk.adapter._take(
        {**common, "type": "block_actions", "view": {"type": "home", "id": "V1"}, "actions": [pressed]}
    )
    await desk.until(lambda: desk.bot.homes)
    view: dict[str, Any] = {
        "id": "V2",
        "hash": "1.x",
        "type": "modal",
        "callback_id": "quartet:form",
        "private_metadata": json.dumps({"form": "edit:a-1", "conversation": there}),
        "state": {"values": {}},
    }
    answer = await desk.adapter._take({**common, "type": "view_submission", "view": view})
    assert answer is not None
    assert answer["response_action"] == "update"
    assert "another workspace" in json.dumps(answer)
    assert (desk.bot.clicks, desk.bot.forms) == ([], [])


async def test_a_cross_on_the_status_card_or_the_question_stops_quietly(desk: Desk) -> None:
    ada = desk.slack.person("ada")
    here = await asked(desk)
    stop = Button(action="stop", target="r-0", label="Stop", style="danger")
    card = Card(id=CardId("r-0:status"), kind="status", title="T", status="working", buttons=(stop,))
    posted = await desk.adapter.post(here, card, nonce="n")
    ada.reacts(posted.message_id, "x")
    await desk.until(lambda: len(desk.bot.clicks) == 1)
    ada.reacts(here.thread, "no_entry")
    await desk.until(lambda: len(desk.bot.clicks) == 2)
    ada.reacts(here.thread, "thumbsup")
    assert {(c.action, c.target, c.quiet, c.conversation) for c in desk.bot.clicks} == {
        ("stop", "r-0", True, here)
    }


async def test_a_cross_on_the_approval_or_the_answer_stops_the_run_too(desk: Desk) -> None:
    ada = desk.slack.person("ada")
    here = await asked(desk)
    question = approval().model_copy(update={"id": CardId("r-0:approval:a-1"), "buttons": ()})
    asking = await desk.adapter.post(here, question, nonce="a")
    reply = Card(id=CardId(f"{desk.bot.turns[0].key}:reply"), kind="reply", title="Quartet")
    told = await desk.adapter.post(here, reply, nonce="b")
    ada.reacts(told.message_id, "x")
    ada.reacts(asking.message_id, "x")
    await desk.until(lambda: desk.bot.clicks)
    assert [(c.action, c.target, c.quiet, c.conversation) for c in desk.bot.clicks] == [
        ("stop", "r-0", True, here)
    ]


async def test_cards_wait_while_the_bot_is_not_in_the_channel_and_who_asked_is_told_once(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    here = await asked(desk)
    ada.removes(slack.general, slack.bot.bot_user)
    answer = Card(id=CardId("r-0:answer"), kind="answer", title="A", parts=(MarkdownPart(text="Hay."),))
    for _ in range(2):
        with pytest.raises(PlatformDown, match="/invite"):
            await desk.adapter.post(here, answer, nonce="n")
    with pytest.raises(PlatformDown, match="/invite"):  # after a restart it is looked for first
        await desk.adapter.find(here, CardId("r-1:answer"))
    await desk.until(lambda: [seen for seen in ada.sees(ada.dm) if "/invite" in seen.text])
    ada.invites(slack.general, slack.bot.bot_user)
    await desk.adapter.post(here, answer, nonce="n")
    assert any("Hay." in seen.shows for seen in ada.sees(here.channel, here.thread))
    assert len([seen for seen in ada.sees(ada.dm) if "/invite" in seen.text]) == 1


async def test_a_refused_file_is_told_with_what_to_do(desk: Desk) -> None:
    why = "'a.zip' is not taken: .zip files are programs or archives"
    desk.bot.answers(
        "turn", Receipt(accepted=False, text=why), Receipt(accepted=False, text="Only root may.")
    )
    ada, slack = desk.slack.person("ada"), desk.slack
    files = [("a.zip", "application/zip", b"PK"), ("n.md", "text/markdown", b"x"), ("b.exe", "x/y", b"MZ")]
    ada.mentions(slack.general, "read this", files=files)
    await desk.until(lambda: desk.notes("ada"))
    (note,) = desk.notes("ada")
    assert note.startswith("Your question was not started: 'a.zip' is not taken")
    assert "'b.exe'" in note
    assert note.endswith("Or send it again without a.zip, b.exe.")
    ada.mentions(slack.general, "and this", files=files)
    await desk.until(lambda: len(desk.notes("ada")) == 2)
    assert desk.notes("ada")[1] == "Only root may."


async def test_stop_passes_a_message_whose_file_cannot_be_had_and_takes_it_back(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    here = await asked(desk)
    desk.bot.answers("turn", *[PlatformDown("the file cannot be fetched")] * 3)
    files = [("notes.md", "text/markdown", b"x")]
    ada.posts(slack.general, "read this", thread=here.thread, files=files)
    await desk.until(lambda: len(desk.bot.receipts["turn"]) < 3)
    desk.bot.receipts["turn"].clear()
    ada.posts(slack.general, "stop", thread=here.thread)
    await desk.until(lambda: len(desk.bot.turns) == 2)
    assert desk.bot.turns[1].text == "stop"
    assert any("not started" in note for note in desk.notes("ada"))


async def test_slacks_own_stop_button_stops_the_run_of_that_thread(desk: Desk) -> None:
    here = await asked(desk)
    await desk.adapter.post(here, approval(), nonce="n")
    desk.slack.person("ada").stops_session(here.channel, here.thread)
    await desk.until(lambda: desk.bot.clicks)
    click = desk.bot.clicks[0]
    assert (click.action, click.target, click.quiet) == ("stop", "r-0", False)


async def test_deleting_the_message_withdraws_its_turn(desk: Desk) -> None:
    here = await asked(desk)
    desk.slack.person("ada").deletes(here.thread)
    await desk.until(lambda: desk.bot.withdrawals)
    given = desk.bot.withdrawals[0]
    assert (given.turn_key, given.conversation) == (desk.bot.turns[0].key, here)
    assert given.person.id == desk.slack.person("ada").id


async def test_thumbs_beneath_an_answer_are_feedback(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    here = await asked(desk)
    answer = Card(
        id=CardId("r-0:answer"), kind="answer", title="A", parts=(MarkdownPart(text="Hay."),), feedback="r-0"
    )
    posted = await desk.adapter.post(here, answer, nonce="n")
    ada.gives_feedback(slack.general, posted.message_id, "bad")
    await desk.until(lambda: desk.bot.feedbacks)
    given = desk.bot.feedbacks[0]
    assert (given.target, given.good, given.person.id) == ("r-0", False, ada.id)


async def test_a_file_comes_with_the_turn_and_can_be_fetched(desk: Desk) -> None:
    slack, ada = desk.slack, desk.slack.person("ada")
    ada.mentions(slack.general, "read this", files=[("notes.md", "text/markdown", b"# Llamas\n")])
    await desk.until(lambda: desk.bot.turns)
    (file,) = desk.bot.turns[0].attachments
    assert (file.name, file.media_type, file.size) == ("notes.md", "text/markdown", 9)
    assert await desk.adapter.download(file) == b"# Llamas\n"


async def test_removing_the_app_is_said_and_nothing_of_it_counts_any_more(desk: Desk) -> None:
    with capture_logs() as logs:
        desk.slack.uninstalls()
        await desk.until(lambda: any("was removed" in one["event"] for one in logs))
        await desk.until(lambda: "was removed" in desk.adapter.trouble)
    for told in (desk.adapter.trouble, *[one["event"] for one in logs if "was removed" in one["event"]]):
        assert "SLACK_BOT_TOKEN" in told
        assert "/slack/install" not in told  # not served without OAuth


async def test_a_revoked_token_is_told_as_that(desk: Desk) -> None:
    desk.slack.revokes_token()
    await desk.until(lambda: "was revoked" in desk.adapter.trouble)
    assert "SLACK_BOT_TOKEN" in desk.adapter.trouble


# ── the socket ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def socket_desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with SlackTwin(time_scale=0.01) as slack:
        desk = Desk(slack, tmp_path, "socket")
        await desk.adapter.start(desk.bot)
        yield desk
        await desk.adapter.stop()


async def test_nothing_is_lost_or_doubled_though_the_socket_breaks_again_and_again(socket_desk: Desk) -> None:
    desk, slack = socket_desk, socket_desk.slack
    ada = slack.person("ada")
    for number in range(12):
        ada.mentions(slack.general, f"question {number}")
        if number % 3 == 2:
            await slack.disconnect(close_after_s=0.05)
        else:
            slack.drop_sockets()
        await desk.until(lambda: slack.connections)
    await desk.until(lambda: len(desk.bot.turns) >= 12)
    await desk.until(lambda: not slack.delivery.unacked())
    assert sorted(turn.text for turn in desk.bot.turns) == sorted(f"question {n}" for n in range(12))
    assert desk.adapter.trouble == ""


async def test_two_hundred_mentions_are_acknowledged_fast(socket_desk: Desk) -> None:
    desk, slack = socket_desk, socket_desk.slack
    ada = slack.person("ada")
    for number in range(200):
        ada.mentions(slack.general, f"question {number}")
        await asyncio.sleep(0.01)
    await desk.until(lambda: len(desk.bot.turns) == 200)
    latencies = sorted(slack.ack_latencies())
    p99 = latencies[int(len(latencies) * 0.99) - 1]
    print(f"ack p50 {latencies[len(latencies) // 2]:.3f} s, p99 {p99:.3f} s of {len(latencies)}")
    assert p99 < 1.0


@pytest.mark.parametrize("which", ["bot", "app"])
async def test_a_wrong_token_is_named(tmp_path: Path, which: str) -> None:
    async with SlackTwin() as slack:
        tokens = {"bot_token": slack.bot_token, "app_token": slack.app_token}
        wrong = tokens | {f"{which}_token": "xoxb-wrong" if which == "bot" else "xapp-wrong"}
        bot = Bot()
        adapter = slack_adapter(
            tmp_path, api_url=slack.api_url, bot_token=wrong["bot_token"], app_token=wrong["app_token"]
        )
        try:
            with pytest.raises(NotAllowed, match=f"SLACK_{which.upper()}_TOKEN"):
                await adapter.start(bot)
        finally:
            await adapter.stop()


async def test_a_start_may_be_repeated_once_slack_is_back(tmp_path: Path) -> None:
    async with SlackTwin() as slack:
        bot = Bot()
        adapter = slack_adapter(
            tmp_path, api_url=slack.api_url, bot_token=slack.bot_token, app_token=slack.app_token
        )
        try:
            slack.faults.order("auth.test", error="fatal_error")
            with pytest.raises(PlatformDown):
                await adapter.start(bot)
            slack.faults.order("apps.connections.open", error="internal_error")
            with pytest.raises(PlatformDown):
                await adapter.start(bot)
            await adapter.start(bot)
            slack.person("ada").mentions(slack.general, "hello")
            await slack.until(lambda: bot.turns)
        finally:
            await adapter.stop()


async def test_a_start_that_is_broken_off_leaves_no_connection_open(tmp_path: Path) -> None:
    async with SlackTwin() as slack:
        adapter = slack_adapter(
            tmp_path, api_url=slack.api_url, bot_token=slack.bot_token, app_token=slack.app_token
        )
        slack.faults.order("apps.connections.open", latency_s=30)
        starting = asyncio.create_task(adapter.start(Bot()))
        await slack.until(lambda: slack.faults.count("apps.connections.open"), within_s=LIMIT_S)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await adapter.stop()
        slack.faults.clear()
        del starting, adapter
        gc.collect()  # an open session warns, and warnings are errors


async def test_the_socket_is_renewed_though_the_library_breaks(socket_desk: Desk) -> None:
    desk = socket_desk
    connection = desk.adapter._connection
    assert connection is not None
    assert connection._client is not None
    tried = asyncio.Event()

    async def breaks() -> str:
        tried.set()
        raise RuntimeError("a bug of a library's, with xapp-secret")

    client: Any = connection._client
    client.issue_new_wss_url = breaks
    desk.slack.drop_sockets()
    async with asyncio.timeout(LIMIT_S):
        await tried.wait()
        await desk.until(lambda: "RuntimeError" in desk.adapter.trouble)
    assert "secret" not in desk.adapter.trouble
    del client.issue_new_wss_url
    await desk.until(lambda: desk.adapter.trouble == "")
    await asked(desk)


# ── HTTP ─────────────────────────────────────────────────────────────────────────────────────


async def test_only_slack_may_post(tmp_path: Path) -> None:
    async with SlackTwin(mode="http") as slack:
        desk = Desk(slack, tmp_path, "http")
        await desk.adapter.start(desk.bot)
        try:
            async with serving(desk.adapter) as url:
                await slack.set_events_url(f"{url}/slack/events")
                await asked(desk)
                parcel = slack.delivery.parcels[0]
                for fault in ("wrong secret", "no signature", "other body", "stale", "future"):
                    assert await slack.http.forge(parcel, fault=fault) == 401, fault
                assert await slack.http.forge(parcel, fault="none") == 200
        finally:
            await desk.adapter.stop()
        assert len(desk.bot.turns) == 1


async def post(url: str, body: bytes, **headers: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/slack/events", data=io.BytesIO(body), headers=headers) as answer,
    ):
        return answer.status, await answer.text()


async def test_what_is_no_payload_is_refused_clearly(tmp_path: Path) -> None:
    async with SlackTwin(mode="http") as slack:
        adapter = slack_adapter(
            tmp_path,
            bot_token=slack.bot_token,
            signing_secret=slack.app.signing_secret,
            api_url=slack.api_url,
        )
        async with serving(adapter) as url:
            assert (await post(url, b"{}"))[0] == 503  # not started yet: Slack tries again
            await adapter.start(Bot())
            try:
                secret = slack.app.signing_secret
                for body in (
                    b"{",
                    b"[]",
                    b"\xff\xfe",
                    b'"x"',
                    b"payload=%7B",
                    b'{"enterprise": 5}',
                    b'{"type":"event_callback","event":3}',
                    b"{" * 9_000,
                ):
                    signed = sign(secret, body.decode("latin-1"), int(time.time()))
                    signed |= {"Content-Type": "application/json"}
                    assert (await post(url, body, **signed))[0] in (400, 401), body[:20]
                assert (await post(url, b"x" * 2_000_001, **sign(secret, "x", 1)))[0] == 413
                odd = {"X-Slack-Request-Timestamp": "soon", "X-Slack-Signature": "v0=é"}
                assert (await post(url, b"{}", **odd))[0] == 401
                for body in (b"{}", b'{"type":"event_callback"}', b"a=b"):
                    signed = sign(secret, body.decode(), int(time.time()))
                    assert (await post(url, body, **signed))[0] == 200, body
            finally:
                await adapter.stop()


# ── many workspaces ──────────────────────────────────────────────────────────────────────────


async def test_a_second_workspace_installs_is_answered_and_leaves(tmp_path: Path) -> None:
    async with SlackTwin(mode="http", installed=False) as slack, browsing() as browser:
        bot = Bot()
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        adapter = slack_adapter(
            tmp_path,
            signing_secret=slack.app.signing_secret,
            client_id=slack.app.client_id,
            client_secret=slack.app.client_secret,
            secret_keys=["7Zx0w0qk3y9c3yQ2m1b8d5f4g6h8j0k2l4z6x8c0v2A="],
            base_url=f"http://127.0.0.1:{port}",
            api_url=slack.api_url,
            authorize_url=slack.authorize_url,
        )
        await adapter.start(bot)
        try:
            async with serving(adapter, port) as url:
                await slack.set_events_url(f"{url}/slack/events")
                async with browser.get(f"{url}/slack/install") as page:
                    found = re.search(r'href="([^"]+oauth/v2/authorize[^"]+)"', await page.text())
                    assert page.status == 200
                    assert found is not None
                async with browser.get(html.unescape(found[1])) as page:
                    assert page.status == 200, await page.text()
                slack.world.join(slack.general, slack.bot.bot_user)
                ada = slack.person("ada")
                ada.mentions(slack.general, "hello")
                await slack.until(lambda: bot.turns)
                slack.uninstalls()
                await slack.until(lambda: not slack.delivery.unacked())
                place = bot.turns[0].conversation
                with pytest.raises((NotAllowed, PlatformDown)):
                    await adapter.post(place, approval(), nonce="n")
                assert adapter.trouble == ""  # one workspace that left is no trouble for all others
        finally:
            await adapter.stop()
