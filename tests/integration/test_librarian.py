"""What happens with a drafted workflow after its approval: once, and only what was approved."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import ConversationRef, Person
from adapters.web.inbound import key_person
from bot.channel_settings import ChannelPolicy
from bot.design import draft_check, free_name, says_now
from bot.design_librarian import Librarian, Played
from bot.schedules import Schedules
from orchestrator.errors import AgentFailed
from orchestrator.events import RunId, StepEnded, Who
from orchestrator.library import SHIPPED, FromFile, Library
from orchestrator.ports import AgentInfo, StepInput
from orchestrator.workflow import Workflow
from tests.unit.agents.steps import MemorySink
from tests.unit.bot.office import ADA, Desk, SystemClock, desk

pytestmark = pytest.mark.timeout(60)
SLACK = ConversationRef(platform="slack", workspace="T1", channel="C1", thread="1.2")
SAM = Person(platform="slack", id="USAM", name="Sam")
EVE = Person(platform="slack", id="UEVE", name="Eve")
YAML = """\
name: notes
nodes:
  notes: {kind: agent, agent: builder, task: Write notes}
answer: {draft: notes}
"""
DRAFT = {"yaml": YAML, "explanation": "Writes notes.", "schedule": "0 16 * * 5", "time_zone": "Europe/Berlin"}
DESIGNING: dict[str, Any] = {
    "name": "design",
    "nodes": {
        "design": {"kind": "agent", "agent": "workflow_designer"},
        "approval": {"kind": "approval", "of": "design"},
        "save": {"kind": "agent", "agent": "librarian"},
    },
    "edges": [{"from": "design", "to": "approval"}, {"from": "approval", "to": "save"}],
}
INFOS = tuple(
    AgentInfo(name, name, (ability,), "rules", ())
    for name, ability in (("builder", "writing"), ("librarian", "workflow_saving"))
)


class Office:
    """A desk with a library and its librarian."""

    def __init__(self, built: Desk, library: Library) -> None:
        self.desk, self.library = built, library
        self.policy = ChannelPolicy()
        self.flaw = draft_check(lambda: library, lambda: INFOS)
        built.service.workflows = library
        built.workflows["design"] = Workflow.model_validate(DESIGNING)
        self.schedules = Schedules(built.service, self._policy, SystemClock())
        self.look, self.save = Librarian(
            built.service, library, self.schedules, self._policy, self.flaw
        ).players()

    async def _policy(self, conversation: ConversationRef) -> ChannelPolicy:
        return self.policy

    async def designed(
        self, key: str = "t", person: Person = ADA, **draft: str
    ) -> tuple[RunId, dict[str, Any]]:
        """A run with a draft that waits for approval."""
        turn = self.desk.turn("design a workflow", key=key, person=person, workflow="design")
        place = SLACK if person.platform == "slack" else turn.conversation
        place = place.model_copy(update={"thread": key})
        receipt = await self.desk.intake.take(turn.model_copy(update={"conversation": place}))
        assert receipt.accepted, receipt.text
        run_id, output = RunId(receipt.run_id), {**DRAFT, **draft}
        await self.desk.go(run_id)
        await self.desk.go(run_id, StepEnded(node="design", visit=1, attempt=1, output=output))
        return run_id, output

    async def approved(self, run_id: RunId, person: Person = ADA) -> None:
        state = await self.desk.state(run_id)
        (asked,) = state.open_approvals()
        who = Who(key=person.key, name=person.name)
        await self.desk.service.decide(asked.asked.approval_id, decision="approve", who=who)
        await self.desk.go(run_id)

    async def works(
        self, player: Played, run_id: RunId, output: dict[str, Any], **inputs: str
    ) -> dict[str, Any]:
        state = await self.desk.state(run_id)
        step = StepInput(
            run_id=run_id, node="save", visit=1, attempt=1, agent="librarian", turn=state.created.turn,
            exchanges=(), settings=state.created.settings, outputs={"design": output}, inputs=inputs,
        )  # fmt: skip
        return await player.run(step, MemorySink())


@pytest.fixture
async def office(tmp_path: Path) -> AsyncGenerator[Office]:
    async with desk(tmp_path) as built:
        library = Library(built.store)
        files = [
            FromFile(built.workflows["quartet"], SHIPPED, "quartet.yaml"),
            FromFile(Workflow.model_validate(DESIGNING), SHIPPED, "design.yaml"),
        ]
        await library.load(files)
        yield Office(built, library)


async def test_an_approved_draft_is_saved_and_scheduled_once_however_often_it_is_done(office: Office) -> None:
    run_id, output = await office.designed()
    await office.approved(run_id)
    first = await office.works(office.save, run_id, output, then="run")
    again = await office.works(office.save, run_id, output, then="run")  # a crash came before it was noted
    assert first == again
    assert first["outcome"] == "saved"
    (version,) = await office.library.versions("notes")
    assert (version.who, version.note) == (Who(key="web:ada", name="Ada"), f"designed in run {run_id}")
    (row,) = await office.schedules.all()
    assert (row.cron, row.zone, row.workflow) == ("0 16 * * 5", "Europe/Berlin", "notes")
    runs = [r for r in (await office.desk.store.runs()).items if r.workflow == "notes"]
    assert len(runs) == 1


async def test_what_nobody_approved_is_never_saved(office: Office) -> None:
    run_id, output = await office.designed()
    with pytest.raises(AgentFailed, match="Nobody has approved"):
        await office.works(office.save, run_id, output)
    await office.approved(run_id)
    other = {**output, "yaml": YAML.replace("Write notes", "Something else")}
    with pytest.raises(AgentFailed, match="Nobody has approved"):
        await office.works(office.save, run_id, other)
    assert "notes" not in office.library


async def test_somebody_elses_workflow_is_not_replaced_but_an_admin_may(office: Office) -> None:
    for key, person in (("a", SAM), ("b", EVE)):
        run_id, output = await office.designed(key, person, explanation=f"By {key}", schedule="")
        looked = await office.works(office.look, run_id, output)
        await office.approved(run_id, person)
        made = await office.works(office.save, run_id, output)
    assert "saved as `notes_2`" in looked["body"]
    assert "Saved **notes_2** as version 1" in made["body"]
    assert [v.who and v.who.name for v in await office.library.versions("notes")] == ["Sam"]
    office.policy = ChannelPolicy(admins=("slack:UEVE",))
    changed = YAML.replace("Write notes", "Write better notes")
    run_id, output = await office.designed("c", EVE, yaml=changed, schedule="")
    await office.approved(run_id, EVE)
    made = await office.works(office.save, run_id, output)
    assert "Saved **notes** as version 2" in made["body"]


async def test_on_the_page_who_has_a_named_key_replaces_workflows_as_others_there_do(office: Office) -> None:
    holder = key_person("eve", is_admin=False)
    for key, person, text in (("a", SAM, YAML), ("b", holder, YAML.replace("Write notes", "Write more"))):
        run_id, output = await office.designed(key, person, yaml=text, schedule="")
        await office.approved(run_id, person)
        made = await office.works(office.save, run_id, output)
    assert "Saved **notes** as version 2" in made["body"]
    assert (await office.library.versions("notes"))[-1].who == Who(key="api:eve", name="eve")


async def test_the_clock_can_be_left_out(office: Office) -> None:
    run_id, output = await office.designed()
    await office.approved(run_id)
    looked = await office.works(office.look, run_id, output, by_clock="never")
    assert "clock" not in looked["body"]
    await office.works(office.save, run_id, output, by_clock="never")
    assert await office.schedules.all() == []


async def test_what_became_wrong_meanwhile_is_not_saved_and_says_why(office: Office) -> None:
    run_id, output = await office.designed(yaml=YAML.replace("name: notes", "name: quartet"))
    await office.approved(run_id)
    made = await office.works(office.save, run_id, output)
    assert made["outcome"] == "refused"
    assert "is the name of a shipped workflow" in made["body"]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("agent: builder", "agent: librarian", "librarian"),
        ("agent: builder", "requires: [workflow_saving]", "no agent has the capability"),
        ("name: notes", "name: quartet", "quartet_2"),
        ("name: notes", "name: design", "shipped"),
        ("task: Write notes", "task: Use sk-abcdefghijk", "secret"),
        ("task: Write notes", 'task: "{{ inputs.__class__ }}"', "draft:3:"),
        ("name: notes", "name: !!python/object:os.system x", "draft:1:"),
        ("agent: builder", "agent: bilder", "did you mean 'builder'"),
        (YAML, "[]", "draft"),
        (YAML, "a: &a [*a]", "draft"),
        (YAML, "\x00", "draft"),
    ],
)
async def test_a_draft_that_may_not_be_is_told_where_and_why(
    office: Office, before: str, after: str, told: str
) -> None:
    assert office.flaw(YAML) == ""
    why = office.flaw(YAML.replace(before, after))
    assert told in why
    assert "abcdefghijk" not in why


def test_names_and_words() -> None:
    assert free_name("a", {"a": 1, "a_2": 1}) == "a_3"
    assert len(free_name("x" * 40, {"x" * 40: 1})) <= 40
    assert says_now("write notes and run it now")
    assert not says_now("write notes that run every day")
