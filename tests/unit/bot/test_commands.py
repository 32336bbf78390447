"""The words after `/quartet` and after a mention, over a real core."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import Card, Command, ConversationRef, FactsPart, NotesPart, Person, Receipt, Turn
from adapters.plain import card_text
from bot.channel_settings import ChannelPolicy
from bot.command_words import WORDS, is_command
from bot.commands import Commands
from bot.permissions import Permissions
from orchestrator.errors import StoreFailed
from orchestrator.events import Json, ModelAnswered, RunId, Usage, Who
from orchestrator.ports import StepInput, StepSink
from orchestrator.workflow import Workflow
from tests.house import BRIEF, House, SystemClock, house

HERE = ConversationRef(platform="web", workspace="local", channel="general", thread="c1")
OUTSIDE = ConversationRef(platform="web", workspace="local", channel="general")
ELSEWHERE = ConversationRef(platform="web", workspace="local", channel="other", thread="c1")
ADA = Person(platform="web", id="ada", name="Ada")
EVE = Person(platform="web", id="eve", name="Eve")
BOSS = Person(platform="web", id="boss", name="Boss", is_admin=True)
SMALL = Workflow.model_validate(
    {
        "name": "small",
        "nodes": {
            "one": {"kind": "agent", "agent": "researcher"},
            "asked": {"kind": "approval", "of": "one", "title": "Go on?"},
        },
        "edges": [{"from": "one", "to": "asked"}],
    }
)


# ── which text is a command ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        *WORDS,
        "STOP",
        " stop ",
        "stop!",
        "help?",
        "status.",
        "stop rabcdefghjkmn",
        "status r23456789abcd",
        "run small Write a mail",
        "run Small\nWrite a mail",
        "runs waiting",
        "help settings",
        "settings busy=steer",
        "settings busy =",
        "settings models.builder=openai:gpt-5",
        "settings nonsense=1",
    ],
)
def test_a_word_alone_or_in_its_own_form_is_a_command(text: str) -> None:
    assert is_command(text, ["small"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stop the world, I want to get off",
        "stop\nthe world",
        "help me write a mail",
        "help, what is tea?",
        "status of our Q3 planning?",
        "why is the sky blue?",
        "ask my boss for a raise",
        "run tests on this code",
        "runs of bad luck",
        "usage of commas in German",
        "agents of change",
        "settings for a camera at night",
        "settings: which are best?",
        "settings a=b\nand c=d",
        "resume of my career",
        "pause menu design",
        "workflows in hospitals",
        "stopp",
        "please stop",
        "stop abc",
    ],
)
def test_a_sentence_that_begins_with_a_word_is_a_turn(text: str) -> None:
    assert not is_command(text, ["small"])


@given(st.text(max_size=60))
def test_any_text_is_one_or_the_other(text: str) -> None:
    assert is_command(text, ["small"]) in (True, False)


# ── performing them ──────────────────────────────────────────────────────────────────────────


class Desk:
    """Commands over a house, with an intake that starts what it is given."""

    def __init__(self, built: House) -> None:
        self.house = built
        self.turns: list[Turn] = []
        self.permissions = Permissions(SystemClock())
        self.commands = Commands(
            built.service,
            self.permissions,
            self.start,
            ChannelPolicy(),
            ("openai", "ollama", "my-llm"),
            SystemClock(),
            tools=("knowledge_search", "web_search"),
        )
        self._keys = 0

    async def start(self, turn: Turn) -> Receipt:
        self.turns.append(turn)
        return Receipt(accepted=True, run_id="rxxxxxxxxxxxx")

    def command(self, text: str, person: Person = ADA, conversation: ConversationRef = HERE) -> Command:
        self._keys += 1
        return Command(
            key=f"command-{self._keys}",
            conversation=conversation,
            person=person,
            text=text,
            at=datetime.now(UTC),
        )

    async def say(self, text: str, person: Person = ADA, conversation: ConversationRef = HERE) -> Receipt:
        return await self.commands.perform(self.command(text, person, conversation))

    async def text(self, text: str, person: Person = ADA, conversation: ConversationRef = HERE) -> str:
        receipt = await self.say(text, person, conversation)
        return card_text(receipt.card) if receipt.card else receipt.text

    async def waiting_run(
        self, key: str = "k1", conversation: ConversationRef = HERE, text: str = "Tea?"
    ) -> RunId:
        self.house.agents.say("researcher", BRIEF)
        run_id = await self.house.turn(
            text,
            key=key,
            conversation=conversation.key,
            workflow="small",
            who=Who(key=ADA.key, name=ADA.name),
        )
        await self.house.asked(run_id)
        return run_id


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with house(tmp_path, {"small": SMALL}) as built:
        yield Desk(built)
        built.agents.check()


async def test_ask_and_run_hand_a_turn_to_the_intake_under_the_commands_key(desk: Desk) -> None:
    receipt = await desk.say("ask  What is\ntea?")
    await desk.say("run SMALL\n Write it")
    first, second = desk.turns
    assert receipt.run_id == "rxxxxxxxxxxxx"
    assert (first.key, first.text, first.workflow) == ("command-1", "What is\ntea?", None)
    assert (second.text, second.workflow, second.conversation) == ("Write it", "small", HERE)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ask", "TEXT"),
        ("run", "small"),
        ("team", "TEXT"),
        ("fork", "STEP"),
        ("run small", "what is to be done"),
        ("run smal Write", "'small'"),
    ],
)
async def test_an_incomplete_turn_is_refused_with_its_form(desk: Desk, text: str, hint: str) -> None:
    receipt = await desk.say(text)
    assert not receipt.accepted
    assert hint in receipt.text
    assert desk.turns == []


async def test_an_unknown_word_names_the_nearest_and_all(desk: Desk) -> None:
    receipt = await desk.say("stauts")
    assert not receipt.accepted
    assert "Did you mean `status`?" in receipt.text
    assert "workflows" in receipt.text
    assert len((await desk.say("x" * 10_000)).text) < 300


async def test_status_shows_what_works_and_what_waits_for_people(desk: Desk) -> None:
    assert await desk.text("status") == "Nothing works or waits here."
    run_id = await desk.waiting_run(text="**Tea** <b>")
    text = await desk.text("status")
    assert run_id in text
    assert "waiting · small" in text
    assert "Go on?" in text
    assert run_id in await desk.text(f"status {run_id}")


async def test_stop_ends_the_run_of_this_conversation(desk: Desk) -> None:
    nothing = await desk.say("stop")
    assert not nothing.accepted
    assert "nothing to stop" in nothing.text
    run_id = await desk.waiting_run()
    receipt = await desk.say("stop")
    assert (receipt.accepted, receipt.run_id) == (True, run_id)
    assert (await desk.house.ended(run_id)).status == "stopped"


async def test_a_command_delivered_again_is_not_performed_again(desk: Desk) -> None:
    first = await desk.waiting_run("k1")
    stop = desk.command("stop")
    assert (await desk.commands.perform(stop)).run_id == first
    await desk.house.ended(first)
    second = await desk.waiting_run("k2")
    again = await desk.commands.perform(stop)
    assert "not performed again" in again.text
    setting = desk.command("settings busy=steer", BOSS)
    assert (await desk.commands.perform(setting)).accepted
    assert (await desk.say("settings busy=interrupt", BOSS)).accepted
    assert "not performed again" in (await desk.commands.perform(setting)).text
    assert (await desk.commands.policy(HERE)).busy == "interrupt"
    state = await desk.house.service.state(second)
    assert (state.stop, state.ended) == (None, None)


async def test_a_command_that_the_store_failed_is_no_refusal(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise StoreFailed("the disk is full")

    run_id = await desk.waiting_run()
    stop = desk.command("stop")
    with monkeypatch.context() as away:
        away.setattr(desk.house.store, "unfinished", fails)
        with pytest.raises(StoreFailed):
            await desk.commands.perform(stop)
    assert (await desk.commands.perform(stop)).run_id == run_id


async def test_a_tool_that_is_misspelt_is_refused_with_the_nearest(desk: Desk) -> None:
    refused = await desk.say("settings tools=knowlege_search", BOSS)
    assert not refused.accepted
    assert "did you mean 'knowledge_search'?" in refused.text
    assert (await desk.say("settings tools=knowledge_search", BOSS)).accepted


async def test_a_provider_with_a_dash_can_be_chosen(desk: Desk) -> None:
    receipt = await desk.say("settings model=my-llm:x", BOSS)
    assert receipt.accepted, receipt.text
    policy = await desk.commands.policy(HERE)
    assert set(policy.models.values()) == {"my-llm:x"}


async def test_stop_from_outside_of_the_thread_finds_the_persons_own_run(desk: Desk) -> None:
    first = await desk.waiting_run("k1")
    assert "nothing to stop" in (await desk.say("stop", EVE, OUTSIDE)).text
    other = await desk.waiting_run("k2", HERE.model_copy(update={"thread": "c2"}))
    unclear = await desk.say("stop", ADA, OUTSIDE)
    assert first in unclear.text
    assert other in unclear.text
    assert (await desk.say(f"stop {other}", ADA, OUTSIDE)).accepted
    await desk.house.ended(other)
    assert (await desk.say("stop", ADA, OUTSIDE)).run_id == first


async def test_a_stranger_may_not_stop_and_why_says_so(desk: Desk) -> None:
    run_id = await desk.waiting_run()
    assert "Nothing is remembered" in await desk.text("why", EVE)
    refused = await desk.say("stop", EVE)
    assert not refused.accepted
    assert (await desk.house.service.state(run_id)).ended is None
    why = await desk.text("why", EVE)
    assert why.startswith("Refused to stop a run at ")
    assert "web:ada asked for this one" in why
    assert (await desk.say("stop", BOSS)).accepted
    assert "Allowed to stop a run" in await desk.text("why", BOSS)


async def test_a_run_of_another_channel_cannot_be_named(desk: Desk) -> None:
    run_id = await desk.waiting_run()
    for text in (f"stop {run_id}", f"status {run_id}"):
        receipt = await desk.say(text, BOSS, ELSEWHERE)
        assert not receipt.accepted
        assert "no run" in receipt.text
    assert not (await desk.say("stop everything", BOSS)).accepted
    assert (await desk.house.service.state(run_id)).ended is None


async def test_pause_and_resume_reach_the_run(desk: Desk) -> None:
    gate = asyncio.Event()

    async def slow(step: StepInput, sink: StepSink) -> Json:
        await gate.wait()
        return BRIEF

    desk.house.agents.say("researcher", slow)
    run_id = await desk.house.turn(conversation=HERE.key, workflow="small", who=Who(key=ADA.key, name="Ada"))
    assert (await desk.say("pause")).run_id == run_id
    await desk.house.until(run_id, lambda s: s.paused)
    assert (await desk.say("resume")).run_id == run_id
    await desk.house.until(run_id, lambda s: not s.paused)
    gate.set()
    await desk.house.asked(run_id)


async def test_runs_lists_those_of_the_channel_by_status(desk: Desk) -> None:
    assert "No runs in this channel" in await desk.text("runs")
    run_id = await desk.waiting_run()
    assert run_id in await desk.text("runs")
    assert run_id in await desk.text("runs WAITING")
    assert "No failed runs" in await desk.text("runs failed")
    assert "No runs in this channel" in await desk.text("runs", ADA, ELSEWHERE)
    assert not (await desk.say("runs lost")).accepted


async def test_workflows_agents_and_help_are_lists(desk: Desk) -> None:
    assert "small" in await desk.text("workflows")
    assert "Researcher" in await desk.text("agents")
    text = await desk.text("")
    assert all(word in text for word in WORDS)
    assert await desk.text("help stop") == WORDS["stop"]
    assert "home" not in text


async def test_on_discord_help_lists_the_persons_own_page_too(desk: Desk) -> None:
    there = ConversationRef(platform="discord", workspace="1", channel="2", thread="3")
    text = await desk.text("help", ADA, there)
    assert all(word in text for word in (*WORDS, "home: your own page"))
    assert (await desk.text("help home", ADA, there)).startswith("home: your own page")
    assert desk.commands.is_command("help home")


@pytest.mark.parametrize(
    ("place", "whose"),
    [
        (ConversationRef(platform="discord", workspace="1", channel="2", thread="3"), "of this server"),
        (ConversationRef(platform="slack", workspace="T1", channel="C1", thread="1.2"), "of this workspace"),
        (ConversationRef(platform="discord", workspace="@me", channel="2"), "this conversation"),
    ],
)
async def test_usage_says_whose_it_is_in_the_words_of_the_platform(
    desk: Desk, place: ConversationRef, whose: str
) -> None:
    async def spends(step: StepInput, sink: StepSink) -> Json:
        used = Usage(input_tokens=1, output_tokens=1, calls=1)
        await sink.record(
            ModelAnswered(
                node=step.node, visit=step.visit, attempt=step.attempt, call=1,
                provider="openai", model="gpt-5", bits=(), usage=used,
            )
        )  # fmt: skip
        return BRIEF

    desk.house.agents.say("researcher", spends)
    await desk.house.asked(await desk.house.turn(conversation=place.key, workflow="small"))
    receipt = await desk.say("usage", ADA, place)
    assert receipt.card is not None
    assert receipt.card.title.endswith(whose)


async def test_a_refusal_begins_as_a_sentence_does(desk: Desk) -> None:
    run_id = await desk.waiting_run()
    await desk.say(f"stop {run_id}")
    await desk.house.ended(run_id)
    assert (await desk.text(f"pause {run_id}")).startswith(f"Run {run_id} has ended")
    assert (await desk.text("run nope Write")).startswith("There is no workflow 'nope'")
    assert (await desk.text("settings admins=you", BOSS)).startswith("admins: 'you'")  # as it is typed


async def test_usage_sums_this_month_by_model(desk: Desk) -> None:
    assert "No model was used" in await desk.text("usage")

    async def spends(step: StepInput, sink: StepSink) -> Json:
        for model, cost in (("gpt-5", 0.25), ("local", None)):
            used = Usage(input_tokens=1_000, output_tokens=50, calls=1, cost_usd=cost)
            await sink.record(
                ModelAnswered(
                    node=step.node,
                    visit=step.visit,
                    attempt=step.attempt,
                    call=1,
                    provider="openai",
                    model=model,
                    bits=(),
                    usage=used,
                )
            )
        return BRIEF

    desk.house.agents.say("researcher", spends)
    await desk.house.asked(await desk.house.turn(conversation=HERE.key, workflow="small"))
    receipt = await desk.say("usage")
    assert receipt.card is not None
    facts = dict(_facts(receipt.card))
    assert facts["openai:gpt-5"] == "1,000 in · 50 out · 1 calls · $0.2500"
    assert facts["openai:local"].endswith("no known price")
    assert facts["all"] == "2,000 in · 100 out · 2 calls · $0.2500"


async def test_usage_of_the_rules_engine_costs_nothing(desk: Desk) -> None:
    async def thinks(step: StepInput, sink: StepSink) -> Json:
        used = Usage(calls=1)
        await sink.record(
            ModelAnswered(
                node=step.node, visit=step.visit, attempt=step.attempt, call=1,
                provider="rules", model="rules", bits=(), usage=used,
            )
        )  # fmt: skip
        return BRIEF

    desk.house.agents.say("researcher", thinks)
    await desk.house.asked(await desk.house.turn(conversation=HERE.key, workflow="small"))
    text = await desk.text("usage")
    assert "engine: rules: no cost, no model was asked" in text
    assert "price" not in text


async def test_settings_show_where_each_value_comes_from_and_change_for_admins_only(desk: Desk) -> None:
    refused = await desk.say("settings busy=steer", ADA)
    assert not refused.accepted
    assert "admins" in refused.text
    assert (await desk.say("settings busy=steer", BOSS)).accepted
    receipt = await desk.say("settings")
    assert receipt.card is not None
    facts = dict(_facts(receipt.card))
    assert facts["busy"] == "steer (channel)"
    assert facts["approvals"] == "ask (default)"
    assert facts["expires_after"] == "24h (default)"
    assert "expires_after = 2h" in (await desk.say("settings expires_after=2h", BOSS)).text
    assert (await desk.commands.policy(HERE)).busy == "steer"
    assert (await desk.commands.policy(ELSEWHERE)).busy == "queue"
    assert (await desk.say("settings busy=", BOSS)).accepted
    assert (await desk.commands.policy(HERE)).busy == "queue"


async def test_on_the_page_a_setting_says_that_it_holds_for_all_of_it(desk: Desk) -> None:
    page = ConversationRef(platform="web", workspace="local", channel="general", thread="c1")
    there = (await desk.say("settings busy=steer", BOSS, page)).text
    assert "whole page" in there
    slack = ConversationRef(platform="slack", workspace="T1", channel="C1", thread="1.2")
    elsewhere = (await desk.say("settings busy=steer", BOSS, slack)).text
    assert "Set for this channel: busy = steer" in elsewhere
    assert "expires_after_s" not in (await desk.say("settings nonsense=1", BOSS)).text


async def test_a_bare_id_of_slack_is_a_person_and_a_bare_name_is_refused(desk: Desk) -> None:
    slack = ConversationRef(platform="slack", workspace="T1", channel="C1", thread="1.2")
    set_ = await desk.say("settings approvers=U4B22770004", BOSS, slack)
    assert "approvers = slack:U4B22770004" in set_.text
    refused = await desk.say("settings approvers=ada", BOSS, slack)
    assert not refused.accepted
    assert "approvers=@ada" in refused.text
    assert (await desk.commands.policy(slack)).approvers == ("slack:U4B22770004",)


async def test_a_wrong_setting_changes_nothing_and_a_stored_one_that_broke_is_shown(desk: Desk) -> None:
    for text, hint in (
        ("settings bussy=steer", "'busy'"),
        ("settings busy=now", "queue"),
        ("settings busy", "="),
    ):
        receipt = await desk.say(text, BOSS)
        assert not receipt.accepted
        assert hint in receipt.text
    assert await desk.house.store.settings(HERE.channel_key) == {}
    await desk.house.store.change_settings(HERE.channel_key, {"verbosity": "LOUD"})
    receipt = await desk.say("settings")
    assert receipt.card is not None
    [notes] = [part for part in receipt.card.parts if isinstance(part, NotesPart)]
    assert "LOUD" in notes.notes[0]
    assert dict(_facts(receipt.card))["verbosity"] == "normal (default)"


async def test_an_admin_named_in_the_channel_may_change_settings(desk: Desk) -> None:
    assert (await desk.say("settings admins=web:ada", BOSS)).accepted
    assert (await desk.say("settings model=openai:gpt-5", ADA)).accepted
    policy = await desk.commands.policy(HERE)
    assert policy.models == dict.fromkeys(("researcher", "planner", "builder", "reviewer"), "openai:gpt-5")


def _facts(card: Card) -> tuple[tuple[str, str], ...]:
    [facts] = [part for part in card.parts if isinstance(part, FactsPart)]
    return facts.facts
