"""The words about workflows over a real store: starting with inputs, looking, versions, going back, forks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import Attachment, Command, ConversationRef, Person, Receipt, ThreadLine, Turn
from adapters.plain import card_text
from bot.channel_settings import ChannelPolicy
from bot.command_answers import fenced
from bot.command_words import is_command, of_workflows, read
from bot.commands import Commands, MoreWord
from bot.file_text import file_text
from bot.intake import Intake
from bot.permissions import Permissions
from bot.schedules_words import ScheduleWords
from orchestrator.events import RunId, Who
from orchestrator.library import SHIPPED, FromFile, Library
from orchestrator.workflow import Workflow
from tests.house import BRIEF, House, SystemClock, house

HERE = ConversationRef(platform="web", workspace="local", channel="general", thread="c1")
ADA = Person(platform="web", id="ada", name="Ada")
BOSS = Person(platform="web", id="boss", name="Boss", is_admin=True)
NODES = {
    "one": {"kind": "agent", "agent": "researcher"},
    "asked": {"kind": "approval", "of": "one", "title": "Go on?"},
}
INPUTS = {
    "type": "object",
    "properties": {
        "environment": {"enum": ["staging", "production"], "description": "where to"},
        "count": {"type": "integer", "default": 3},
    },
    "required": ["environment"],
}


def flow(name: str, **more: Any) -> Workflow:
    edges = [{"from": "one", "to": "asked"}]
    return Workflow.model_validate({"name": name, "nodes": NODES, "edges": edges, **more})


FILES = (
    FromFile(flow("quartet"), SHIPPED, "quartet.yaml"),
    FromFile(flow("team"), SHIPPED, "team.yaml"),
    FromFile(flow("deployment", description="Brings it out", inputs=INPUTS), SHIPPED, "deployment.yaml"),
)


class Desk:
    """Commands and the intake over a house whose workflows are a library."""

    def __init__(self, built: House, library: Library) -> None:
        self.house = built
        self.library = library
        built.service.workflows = library
        self.permissions = Permissions(SystemClock())
        self.designed: list[str] = []
        self.commands = Commands(
            built.service,
            self.permissions,
            self.start,
            ChannelPolicy(),
            (),
            SystemClock(),
            library=library,
            more={"design": MoreWord("design: TEXT: draft a workflow", self.design)},
        )
        self.intake = Intake(built.service, self.permissions, {}, self.commands.policy, file_text)
        self._keys = 0

    async def start(self, turn: Turn) -> Receipt:
        return await self.intake.take(turn)

    async def design(self, command: Command, rest: str) -> Receipt:
        self.designed.append(rest)
        return Receipt(accepted=True, text="drafted")

    def command(self, text: str, person: Person = ADA) -> Command:
        self._keys += 1
        key = f"command-{self._keys}"
        return Command(key=key, conversation=HERE, person=person, text=text, at=datetime.now(UTC))

    async def say(self, text: str, person: Person = ADA) -> Receipt:
        return await self.commands.perform(self.command(text, person))

    async def text(self, text: str, person: Person = ADA) -> str:
        receipt = await self.say(text, person)
        return card_text(receipt.card) if receipt.card else receipt.text

    def mention(self, text: str, **more: Any) -> Turn | Receipt | None:
        return self.commands.read_turn(
            Turn(key="t1", conversation=HERE, person=ADA, text=text, at=datetime.now(UTC), **more)
        )

    async def waits(self, receipt: Receipt) -> RunId:
        assert receipt.accepted, receipt.text
        self.house.agents.say("researcher", BRIEF)
        await self.house.asked(RunId(receipt.run_id))
        return RunId(receipt.run_id)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with house(tmp_path, {}) as built:
        library = Library(built.store)
        await library.load(FILES)
        yield Desk(built, library)
        built.agents.check()


# ── starting ─────────────────────────────────────────────────────────────────────────────────


async def test_inputs_priority_and_deadline_reach_the_run(desk: Desk) -> None:
    receipt = await desk.say("run Deployment environment=staging count=5 priority=high deadline=2h Ship it")
    run_id = await desk.waits(receipt)
    created = (await desk.house.service.state(run_id)).created
    assert (created.workflow, created.turn.text) == ("deployment", "Ship it")
    assert created.inputs == {"environment": "staging", "count": 5}
    assert created.priority == "high"
    assert created.deadline is not None
    assert 7_100 < (created.deadline - datetime.now(UTC)).total_seconds() <= 7_200


async def test_a_workflow_with_inputs_needs_no_text(desk: Desk) -> None:
    run_id = await desk.waits(await desk.say("run deployment environment=staging"))
    created = (await desk.house.service.state(run_id)).created
    assert created.turn.text == "deployment environment=staging"


@pytest.mark.parametrize(
    ("text", "hints"),
    [
        (
            "run deployment Ship it",
            ("environment: is missing", "For example: run deployment environment=staging"),
        ),
        ("run deployment environment=moon", ("staging, production", "For example")),
        ("run deployment environment=staging count=many", ("count", "whole number")),
        ("run deployment enviroment=staging", ("did you mean environment=",)),
        ("run deployment environment=staging priority=now", ("critical, high, medium, low",)),
        ("run deployment environment=staging deadline=never", ("is no time",)),
        ("run deployment environment='staging", ("not closed",)),
        ("run deploy environment=staging", ("did you mean 'deployment'",)),
        ("run", ("run WORKFLOW [KEY=VALUE", "deployment, quartet, team")),
        ("run quartet", ("Say what to do",)),
        ("team", ("team: TEXT",)),
    ],
)
async def test_what_is_missing_or_wrong_is_told_and_nothing_starts(
    desk: Desk, text: str, hints: tuple[str, ...]
) -> None:
    receipt = await desk.say(text)
    assert not receipt.accepted
    for hint in hints:
        assert hint in receipt.text
    assert (await desk.house.store.runs()).items == ()


async def test_a_mention_keeps_its_files_and_its_thread(desk: Desk) -> None:
    file = Attachment(id="f", name="a.txt", media_type="text/plain", size=1)
    line = ThreadLine(author="Bob", text="Look", at=datetime.now(UTC))
    for text, workflow, rest in (
        ("team: build a shop", "team", "build a shop"),
        ("TEAM:build\na shop", "team", "build\na shop"),
        ("run quartet Write a mail", "quartet", "Write a mail"),
    ):
        turn = desk.mention(text, attachments=(file,), earlier=(line,), context={"tone": "formal"})
        assert isinstance(turn, Turn)
        assert (turn.workflow, turn.text, turn.attachments, turn.earlier) == (
            workflow,
            rest,
            (file,),
            (line,),
        )
        assert turn.context == {"tone": "formal"}
    refused = desk.mention("run deployment Ship it")
    assert isinstance(refused, Receipt)
    assert "environment: is missing" in refused.text
    assert desk.mention("team spirit is what we need") is None
    assert desk.mention("run tests on this code") is None


async def test_a_workflow_chosen_on_the_platform_takes_its_inputs_from_the_text(desk: Desk) -> None:
    turn = desk.mention("environment=production Ship it", workflow="deployment")
    assert isinstance(turn, Turn)
    assert (turn.inputs, turn.text) == ({"environment": "production"}, "Ship it")
    again = desk.commands.read_turn(turn)
    assert again == turn
    wrong = desk.mention("Ship it", workflow="nowhere")
    assert isinstance(wrong, Receipt)
    assert "There is no workflow 'nowhere'" in wrong.text


async def test_the_same_run_command_again_is_the_same_run(desk: Desk) -> None:
    command = desk.command("run quartet Tea?")
    first = await desk.commands.perform(command)
    assert (await desk.commands.perform(command)).run_id == first.run_id
    await desk.waits(first)


# ── which text is a command ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "team: build a shop",
        "Team:build",
        "design: every Friday collect the merged changes",
        "design",
        "help design",
        "workflows deployment",
        "workflows versions quartet",
        "workflows diff quartet 1 2",
        "workflows rollback gone 2",
        "workflows remove quartet",
        "fork rabcdefghj234 build",
        "fork rabcdefghj234 review/one[2] environment=staging",
    ],
)
def test_words_of_this_form_are_commands(text: str) -> None:
    assert is_command(text, ["quartet", "deployment"], more=["design"])


@pytest.mark.parametrize(
    "text",
    [
        "design a logo",
        "design the page: it is old",
        "team up with sales",
        "schedules: every Friday",
        "workflows in hospitals",
        "workflows versions compared with each other",
        "workflows remove doubt and haste",
        "workflows are great, explain them",
        "workflows show promise in hospitals",
        "run the tests for me",
        "run the deployment by me again",
        "run deploymnt-tests of the page",
        "workflows diff a b c",
        "fork in the road",
        "fork the repository for me",
        "fork rabcdefghj234 Build it anew",
        "teams: what are they?",
    ],
)
def test_sentences_that_begin_alike_are_turns(text: str) -> None:
    assert not is_command(text, ["quartet", "deployment"], more=["design"])


@pytest.mark.parametrize(
    "text",
    [
        "run deploymnt x",
        "run Deployments\nShip it",
        "workflows deploymnt",
        "workflows versions nope",
        "workflows show deploymnt",
        "workflows remove",
        "workflows diff deployment 1",
        "workflows rollback deploymnt last",
        "fork zzz",
        "fork zzz a",
        "fork zzz a environment=staging count=3",
        "fork rabcdefghj234",
    ],
)
def test_what_is_nearly_a_command_is_none_that_costs_money(text: str) -> None:
    assert is_command(text, ["quartet", "deployment"], more=["design"])


@pytest.mark.parametrize(
    "text",
    [
        "remove zzz",
        "list",
        "add",
        "run s1",
        'add "0 16 * *" Europe/Berlin quartet Write',
        "add 0 16 * * quartet Write it up",
        'add "0 16 * * 5" Europe/Berlin quartet Write',
    ],
)
def test_what_is_nearly_a_word_about_schedules_is_one(text: str) -> None:
    assert ScheduleWords.takes(text)


@pytest.mark.parametrize(
    "text",
    [
        "are great",
        "add stress to my life",
        "add 3 people to the team",
        "run my whole life",
        "remove freedom, do they not",
    ],
)
def test_sentences_about_schedules_are_turns(text: str) -> None:
    assert not ScheduleWords.takes(text)


async def test_a_slip_in_a_workflows_name_is_told_and_starts_nothing(desk: Desk) -> None:
    told = "There is no workflow 'deploymnt'; did you mean 'deployment'?"
    for text in ("run deploymnt x", "run deploymnt"):
        refused = desk.mention(text)
        assert isinstance(refused, Receipt)
        assert (refused.accepted, refused.text) == (False, told)
        assert await desk.text(text) == told
    with_file = Attachment(id="a", name="a.txt", media_type="text/plain", size=1, locator="a")
    assert isinstance(desk.mention("run deploymnt x", attachments=(with_file,)), Receipt)
    assert desk.mention("run the tests for me") is None
    for text, hint in (
        ("workflows versions nope", "no workflow 'nope'"),
        ("workflows show deploymnt", "did you mean 'deployment'"),
        ("workflows diff deployment 1", "Write workflows diff NAME A B"),
        ("workflows show", "Write workflows show NAME"),
        ("fork zzz a", "'zzz' is not the id of a run"),
    ):
        assert hint in await desk.text(text), text
    assert not (await desk.house.store.runs()).items


async def test_show_and_list_are_known_in_chat_as_in_the_terminal(desk: Desk) -> None:
    assert await desk.text("workflows show deployment") == await desk.text("workflows deployment")
    assert await desk.text("workflows list") == await desk.text("workflows")


@given(st.text(max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    words = read(text)
    assert words.rest == words.rest.strip()
    assert of_workflows(text) is None or len(of_workflows(text) or ()) in (2, 3, 4)


async def test_an_injected_word_is_performed_and_listed(desk: Desk) -> None:
    assert (await desk.say("design: every Friday, tell us")).text == "drafted"
    assert (await desk.say("design a thing")).text == "drafted"
    assert desk.designed == ["every Friday, tell us", "a thing"]
    assert "design: TEXT" in await desk.text("help")
    assert await desk.text("help design") == "design: TEXT: draft a workflow"
    assert not desk.commands.is_command("design a logo")
    assert "There is no command 'schedules'" in await desk.text("schedules")
    assert "Did you mean `design`" in await desk.text("desing x")


# ── looking ──────────────────────────────────────────────────────────────────────────────────


async def test_a_workflow_tells_what_it_does_and_takes(desk: Desk) -> None:
    text = await desk.text("workflows deployment")
    for bit in ("Brings it out", "one, asked", "environment: one of staging, production", "where to"):
        assert bit in text
    assert "run deployment environment=staging" in text
    assert "Brings it out" in await desk.text("workflows")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("workflows deploymen", "did you mean 'deployment'"),
        ("workflows versions", "Write workflows versions NAME"),
        ("workflows diff quartet 1", "Write workflows diff NAME A B"),
        ("workflows rollback quartet one", "Write workflows rollback NAME N"),
        ("workflows rollback quartet 1; drop", "Write workflows rollback"),
        ("workflows of hospitals", "or workflows NAME"),
        ("workflows versions ../../x", "Write workflows versions"),
        ("workflows diff quartet 1 99", "it has 1 to 1"),
        ("workflows versions nowhere", "There is no workflow 'nowhere'"),
    ],
)
async def test_words_about_workflows_that_do_not_fit_are_refused(desk: Desk, text: str, hint: str) -> None:
    receipt = await desk.say(text, BOSS)
    assert not receipt.accepted
    assert hint in receipt.text


async def test_versions_and_their_difference_are_shown(desk: Desk) -> None:
    who = Who(key="web:ada", name="Ada")
    await desk.library.save(flow("notes"), who=who, note="first")
    await desk.library.save(flow("notes", description="with ``` and ~~~"), who=who)
    text = await desk.text("workflows versions notes")
    assert "2 (now)" in text
    assert "Ada · first" in text
    shown = await desk.text("workflows diff notes 1 2")
    assert "+description: with ``` and ~~~" in shown
    assert "say the same" in await desk.text("workflows diff notes 2 2")


def test_nothing_in_a_block_can_end_it() -> None:
    assert fenced(["a ````` b", "```"], "diff") == "``````diff\na ````` b\n```\n``````"


# ── changing ─────────────────────────────────────────────────────────────────────────────────


async def test_only_admins_go_back_or_remove_and_a_command_counts_once(desk: Desk) -> None:
    who = Who(key="web:ada", name="Ada")
    await desk.library.save(flow("notes", description="old"), who=who)
    await desk.library.save(flow("notes", description="new"), who=who)
    for text in ("workflows rollback notes 1", "workflows remove notes"):
        refused = await desk.say(text)
        assert not refused.accepted
        assert "Only admins of this channel may change workflows" in refused.text
    assert "Refused to change workflows" in await desk.text("why")
    back = desk.command("workflows rollback notes 1", BOSS)
    assert "again as in version 1 (now version 3)" in (await desk.commands.perform(back)).text
    assert desk.library["notes"].description == "old"
    await desk.library.save(flow("notes", description="newest"), who=who)
    assert "not performed again" in (await desk.commands.perform(back)).text
    assert desk.library["notes"].description == "newest"
    assert "rollback notes 4" in await desk.text("workflows remove notes", BOSS)
    assert "notes" not in desk.library
    assert (await desk.say("workflows rollback notes 4", BOSS)).accepted
    assert "is shipped and stays" in await desk.text("workflows remove quartet", BOSS)


async def test_a_run_keeps_the_definition_it_began_with(desk: Desk) -> None:
    who = Who(key="web:ada", name="Ada")
    await desk.library.save(flow("notes"), who=who)
    before = await desk.waits(await desk.say("run notes Tea?"))
    await desk.say("workflows remove notes", BOSS)
    digest = (await desk.house.service.state(before)).created.workflow_digest
    assert (await desk.house.store.definition(digest))["name"] == "notes"
    assert "There is no workflow 'notes'" in (await desk.say("run notes Tea?")).text


# ── forks ────────────────────────────────────────────────────────────────────────────────────


async def test_a_fork_goes_on_from_a_step_with_other_inputs(desk: Desk) -> None:
    run_id = await desk.waits(await desk.say("run deployment environment=staging Ship it"))
    await desk.say(f"stop {run_id}")
    await desk.house.ended(run_id)
    command = desk.command(f"fork {run_id} one environment=production")
    receipt = await desk.commands.perform(command)
    assert receipt.text == f"Run {receipt.run_id} goes on from one of {run_id}."
    forked = await desk.waits(receipt)
    created = (await desk.house.service.state(forked)).created
    assert created.inputs == {"environment": "production", "count": 3}
    assert (await desk.commands.perform(command)).run_id == forked


@pytest.mark.parametrize(
    ("rest", "hint"),
    [
        ("", "Say from which step"),
        ("nowhere", "nowhere"),
        ("../one", "Say from which step"),
        ("one Ship it", "takes inputs alone"),
        ("one environment=moon", "staging, production"),
        ("one priority=high", "takes inputs alone"),
    ],
)
async def test_a_fork_that_cannot_be_is_refused(desk: Desk, rest: str, hint: str) -> None:
    run_id = await desk.waits(await desk.say("run deployment environment=staging Ship it"))
    refused = await desk.say(f"fork {run_id} {rest}")
    assert not refused.accepted
    assert hint in refused.text
    assert len((await desk.house.store.runs()).items) == 1


async def test_a_run_that_is_not_here_is_not_forked(desk: Desk) -> None:
    assert "`runs` lists them" in (await desk.say("fork rabcdefghj234 one")).text
    assert "Say which run" in (await desk.say("fork")).text
