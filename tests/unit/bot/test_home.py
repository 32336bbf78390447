"""A person's own page shows what concerns them, and opens the settings of channels they administer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.contract import Button, Click, ConversationRef, FormInput, Home, Person, Receipt
from bot.channel_settings import ChannelPolicy
from bot.settings_form import DEFAULT, settings_form
from orchestrator.events import ModelAnswered, RunSettings, TurnRecord, Usage, Who
from tests.builders import NOW
from tests.unit.bot.office import ADA, BOB, EVE, HERE, Desk, desk

BOSS = Person(platform="web", id="boss", name="Boss", is_admin=True)
CHANNEL = HERE.channel_key
PAGE = ConversationRef(platform="web", workspace="local", channel="home")  # where such a click comes from


def titles(home: Home) -> list[str]:
    return [q.card.title for q in home.questions]


async def home(d: Desk, person: Person, workspace: str = "local") -> Home:
    return await d.inbox.home(workspace, person)


# ── questions ────────────────────────────────────────────────────────────────────────────────


async def test_question_is_shown_to_who_asked_where_nobody_is_named(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        _, approval = await d.asked()
        (question,) = (await home(d, ADA)).questions
        assert question.conversation == HERE
        assert {b.target for b in question.card.buttons} == {approval}
        assert {b.action for b in question.card.buttons} == {"approve", "edit", "changes", "reject"}
        assert (await home(d, BOB)).questions == ()
        assert (await home(d, BOSS)).questions == ()
        assert (await home(d, ADA, "elsewhere")).questions == ()


async def test_question_is_shown_to_named_people_and_groups_alone(tmp_path: Path) -> None:
    async with desk(tmp_path, approvers=("web:bob", "guests")) as d:
        run_id, approval = await d.asked()
        assert len((await home(d, BOB)).questions) == 1
        assert len((await home(d, EVE)).questions) == 1  # in the group
        assert (await home(d, ADA)).questions == ()
        assert (await d.press("approve", approval, BOB)).accepted
        assert (await home(d, EVE)).questions == ()
        await d.go(run_id)
        assert (await home(d, BOB)).questions == ()


async def test_who_asked_does_not_see_what_they_may_not_decide(tmp_path: Path) -> None:
    async with desk(tmp_path, approvers=("web:ada", "web:bob"), allow_requester=False) as d:
        await d.asked()
        assert (await home(d, ADA)).questions == ()
        assert len((await home(d, BOB)).questions) == 1


async def test_click_on_the_page_decides_with_the_conversation_of_the_question(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.asked()
        (question,) = (await home(d, ADA)).questions
        button = question.card.buttons[0]
        click = Click(
            key="c",
            conversation=question.conversation,
            person=ADA,
            action=button.action,
            target=button.target,
            at=NOW,
        )
        assert (await d.inbox.click(click)).accepted


# ── runs and usage ───────────────────────────────────────────────────────────────────────────


async def test_runs_are_the_persons_own_ten_newest_of_this_workspace(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        for n in range(12):
            there = HERE.model_copy(update={"thread": f"c{n}"})
            await d.intake.take(
                d.turn(f"Question\n{n}", key=f"k{n}").model_copy(update={"conversation": there})
            )
        await d.intake.take(d.turn("Bob's", key="kb", person=BOB))
        far = HERE.model_copy(update={"workspace": "far"})
        await d.intake.take(d.turn("Far", key="kf").model_copy(update={"conversation": far}))
        runs = (await home(d, ADA)).runs
        assert [r.title for r in runs] == [f"Question {n}" for n in range(11, 1, -1)]
        assert runs[0].status == "running"
        assert runs[0].conversation.thread == "c11"
        assert [r.title for r in (await home(d, ADA, "far")).runs] == ["Far"]


async def test_usage_is_said_as_the_command_says_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        page = await home(d, ADA)
        ((_, words),) = page.usage.facts
        assert words == "no model was used"
        assert page.label == "engine: rules"
        run_id, _ = await d.asked()
        used = Usage(input_tokens=1_000, output_tokens=5, calls=1, cost_usd=0.25)
        answer = ModelAnswered(
            node="builder", visit=1, attempt=1, call=1, provider="openai", model="m", bits=(), usage=used
        )
        await d.go(run_id, answer)
        assert (await home(d, BOB)).usage.facts == (("openai:m", "1,000 in · 5 out · 1 calls · $0.2500"),)


# ── channels ─────────────────────────────────────────────────────────────────────────────────


async def in_channel(d: Desk, channel: str, thread: str = "c1", workspace: str = "local") -> None:
    there = ConversationRef(platform="web", workspace=workspace, channel=channel, thread=thread)
    turn = TurnRecord(key=f"{there.key}", text="x", who=Who(key="web:ada", name="Ada"), at=NOW)
    await d.service.start(conversation_id=there.key, turn=turn, settings=RunSettings())


async def test_admins_see_the_latest_channels_and_others_those_that_name_them(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        for n in range(25):
            await in_channel(d, f"ch{n:02}")
        await in_channel(d, "ch03", thread="c2")
        await in_channel(d, "direct", thread="")
        await in_channel(d, "there", workspace="far")
        await d.store.change_settings("web:local:ch05", {"admins": ["web:bob"], "verbosity": "short"})
        await d.store.change_settings("web:far:there", {"admins": ["web:bob"]})
        channels = [c.channel_key for c in (await home(d, BOSS)).channels]
        assert channels == ["web:local:ch03", *[f"web:local:ch{n:02}" for n in range(24, 4, -1)]][:20]
        (own,) = (await home(d, BOB)).channels
        assert own.channel_key == "web:local:ch05"
        assert dict(own.facts)["verbosity"] == "short"
        assert own.button == Button(
            action="settings", target="web:local:ch05", label="Settings", needs_form=True
        )
        assert (await home(d, ADA)).channels == ()


async def test_direct_messages_of_others_are_nobodys_to_administer(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        for channel in ("D0ADA", "C0TEAM"):
            there = ConversationRef(platform="slack", workspace="T1", channel=channel, thread="1.2")
            turn = TurnRecord(key=there.key, text="x", who=Who(key="slack:U1", name="Ada"), at=NOW)
            await d.service.start(conversation_id=there.key, turn=turn, settings=RunSettings())
        await d.store.change_settings("slack:T1:D0BOB", {"verbosity": "short"})
        boss = Person(platform="slack", id="UBOSS", name="Boss", is_admin=True)
        assert [c.channel_key for c in (await home(d, boss, "T1")).channels] == ["slack:T1:C0TEAM"]


async def test_in_discords_direct_messages_everybody_has_their_own_alone(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        ada = Person(platform="discord", id="1", name="Ada", is_admin=True)
        bob = Person(platform="discord", id="2", name="Bob", is_admin=True)
        used = Usage(input_tokens=1_000, output_tokens=5, calls=1, cost_usd=0.25)
        answer = ModelAnswered(
            node="researcher", visit=1, attempt=1, call=1, provider="openai", model="m", bits=(), usage=used
        )
        for person, channel in ((ada, "11"), (bob, "12")):
            there = ConversationRef(platform="discord", workspace="@me", channel=channel)
            turn = TurnRecord(key=there.key, text="x", who=Who(key=person.key, name=person.name), at=NOW)
            accepted = await d.service.start(conversation_id=there.key, turn=turn, settings=RunSettings())
            if person is ada:
                await d.go(accepted.run_id, answer)
        await d.store.change_settings("discord:@me:12", {"verbosity": "short"})
        assert (await home(d, ada, "@me")).channels == ()
        assert dict((await home(d, ada, "@me")).usage.facts).keys() == {"openai:m"}
        stranger = Person(platform="discord", id="3", name="Eve")
        for other in (bob, stranger):
            assert "openai:m" not in dict((await home(d, other, "@me")).usage.facts)
        assert [r.conversation.channel for r in (await home(d, bob, "@me")).runs] == ["12"]
        assert (await home(d, ada, "77")).runs == ()


# ── the settings form ────────────────────────────────────────────────────────────────────────


async def opened(
    d: Desk, person: Person = BOSS, target: str = CHANNEL, at: ConversationRef = PAGE
) -> Receipt:
    click = Click(key="c", conversation=at, person=person, action="settings", target=target, at=NOW)
    return await d.inbox.click(click)


async def sent(
    d: Desk, values: dict[str, str], person: Person = BOSS, at: ConversationRef = PAGE, key: str = "f"
) -> Receipt:
    given = FormInput(
        key=key, conversation=at, person=person, form_id=f"settings:{CHANNEL}", values=values, at=NOW
    )
    return await d.inbox.form(given)


async def test_form_shows_what_is_set_and_changes_what_was_changed(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.store.change_settings(
            CHANNEL, {"busy": "steer", "approvers": ["web:bob"], "language": "German"}
        )
        form = (await opened(d)).form
        assert form is not None
        assert form.id == f"settings:{CHANNEL}"
        shown = {f.name: f.value for f in form.fields}
        assert (shown["busy"], shown["approvers"], shown["language"]) == ("steer", "web:bob", "German")
        assert (shown["verbosity"], shown["model"], shown["tools"]) == (DEFAULT, "", "")
        assert all(f.value in dict(f.choices) for f in form.fields if f.choices)
        new = {
            "busy": DEFAULT,
            "verbosity": "full",
            "approvers": "web:bob, S123",
            "language": "",
            "expires_after": "2h",
            "model": "openai:gpt-5",
            "allow_requester": "no",
            "tools": "all",
        }
        receipt = await sent(d, shown | new)
        assert receipt.accepted, receipt
        assert "verbosity = full" in receipt.text
        stored = await d.store.settings(CHANNEL)
        models = {f"models.{a}": "openai:gpt-5" for a in d.service.agents.names()}
        wanted: dict[str, Any] = {
            "verbosity": "full",
            "approvers": ["web:bob", "S123"],
            "expires_after_s": 7200.0,
            "allow_requester": False,
            "tools": "all",
        }
        assert stored == wanted | models
        again = (await opened(d)).form
        assert again is not None
        assert {f.name: f.value for f in again.fields}["model"] == "openai:gpt-5"
        same = await sent(d, {f.name: f.value for f in again.fields}, key="f2")
        assert same.text == "Nothing was changed."


async def test_errors_stand_at_their_fields_and_nothing_is_changed(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        bad = {
            "busy": "sleep",
            "expires_after": "soon",
            "model": "gpt",
            "language": "x" * 3_000,
            "admins": "a b",
        }
        receipt = await sent(d, bad | {"verbosity": "full"})
        assert not receipt.accepted
        assert set(receipt.errors) == set(bad)
        assert await d.store.settings(CHANNEL) == {}


@pytest.mark.parametrize(
    ("channel_key", "said"),
    [
        ("discord:100000000000000001:100000000000000002", "Of the channel <#100000000000000002>. Runs"),
        ("discord:@me:100000000000000002", "Of this conversation. Runs"),
        ("slack:T1:C1", "Of the channel C1 (slack). Runs"),
    ],
)
def test_a_settings_form_names_its_channel_as_the_platform_does(channel_key: str, said: str) -> None:
    form = settings_form(channel_key, ChannelPolicy(), {}, workflows=("quartet",), agents=())
    assert form.note.startswith(said)


async def test_settings_form_refuses_an_approver_who_can_be_nobody(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        receipt = await sent(d, {"approvers": "bob", "admins": "web:bob"})
        assert set(receipt.errors) == {"approvers"}
        assert "web:ada" in receipt.errors["approvers"]
        assert await d.store.settings(CHANNEL) == {}


async def test_what_has_no_field_is_read_as_a_setting_or_refused(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        receipt = await sent(d, {"models.builder": "openai:gpt-5", "bussy": "steer", "verbosity": "full"})
        assert set(receipt.errors) == {"bussy"}
        assert "did you mean 'busy'" in receipt.errors["bussy"]
        assert await d.store.settings(CHANNEL) == {}
        assert (await sent(d, {"models.builder": "openai:gpt-5"})).accepted
        assert await d.store.settings(CHANNEL) == {"models.builder": "openai:gpt-5"}


async def test_form_sent_again_does_not_take_back_what_came_after(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        assert (await sent(d, {"verbosity": "full"})).accepted
        await d.store.change_settings(CHANNEL, {"verbosity": "short"})
        assert (await sent(d, {"verbosity": "full"})).accepted
        assert await d.store.settings(CHANNEL) == {"verbosity": "short"}


@pytest.mark.parametrize("person", [ADA, BOB, EVE])
async def test_who_does_not_administer_a_channel_changes_nothing(tmp_path: Path, person: Person) -> None:
    async with desk(tmp_path) as d:
        receipt = await opened(d, person)
        assert (receipt.accepted, receipt.form) == (False, None)
        assert "Only admins" in receipt.text
        assert not (await sent(d, {"admins": person.key}, person)).accepted
        assert await d.store.settings(CHANNEL) == {}
        await d.store.change_settings(CHANNEL, {"admins": [person.key]})
        assert (await opened(d, person)).form is not None


@pytest.mark.parametrize(
    "target",
    ["", "web", "web:local", "web:far:general", "slack:local:general", "web:local:general:c1", "x" * 500],
)
async def test_channels_of_other_workspaces_and_nonsense_are_refused(tmp_path: Path, target: str) -> None:
    async with desk(tmp_path) as d:
        receipt = await opened(d, target=target)
        assert (receipt.accepted, receipt.form) == (False, None)
        given = FormInput(
            key="f",
            conversation=PAGE,
            person=BOSS,
            form_id=f"settings:{target}",
            values={"verbosity": "full"},
            at=NOW,
        )
        assert not (await d.inbox.form(given)).accepted
        assert await d.store.settings_in("web:far") == {}
