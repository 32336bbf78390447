"""Service, intake and decisions on a real store, without agents: the log goes on as a test plays it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.contract import Click, ConversationRef, FormInput, Person, Turn
from bot.channel_forms import ChannelForms
from bot.channel_settings import ChannelPolicy
from bot.commands import Commands
from bot.decisions import Decisions
from bot.file_text import file_text
from bot.home import Homes
from bot.inbox import Inbox
from bot.intake import Intake
from bot.permissions import Permissions
from orchestrator.bus import Bus
from orchestrator.engine.facts import facts
from orchestrator.engine.moves import moves
from orchestrator.engine.state import RunState
from orchestrator.events import ApprovalId, Body, RunId, StepEnded
from orchestrator.infra.sqlite_store import SqliteStore
from orchestrator.ports import Advance
from orchestrator.service import Service
from orchestrator.workflow import Workflow
from tests.builders import NOW, brief, plan, quartet
from tests.house import ScriptedAgents
from tests.unit.bot.platform import MemoryPlatform

ADA = Person(platform="web", id="ada", name="Ada")
BOB = Person(platform="web", id="bob", name="Bob")
EVE = Person(platform="web", id="eve", name="Eve", groups=("guests",))
HERE = ConversationRef(platform="web", workspace="local", channel="general", thread="c1")


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class Wakes:
    """Implements `ports.Scheduler`: remembers who was woken."""

    woken: list[RunId] = field(default_factory=list[RunId])

    async def wake(self, run_id: RunId, at: datetime | None = None) -> None:
        self.woken.append(run_id)

    async def run(self, advance: Advance) -> None:
        raise AssertionError("nothing is advanced here")


class Desk:
    """Everything a person's act meets on its way to the log."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.wakes = Wakes()
        self.platform = MemoryPlatform()
        self.policy = ChannelPolicy()
        permissions = Permissions(SystemClock())
        self.workflows = {"quartet": quartet()}
        self.service = Service(store, self.wakes, ScriptedAgents(), self.workflows, Bus(), "rules")
        self.intake = Intake(self.service, permissions, {"web": self.platform}, self._policy, file_text)
        self.decisions = Decisions(self.service, permissions)
        defaults = ChannelPolicy()
        self.commands = Commands(
            self.service,
            permissions,
            self.intake.take,
            defaults,
            ("openai",),
            SystemClock(),
            tools=("web_search",),
        )
        forms = ChannelForms(self.service, permissions, self.commands, defaults)
        homes = Homes(self.service, self.commands, defaults, "rules")
        self.inbox = Inbox(self.intake, self.decisions, self.commands, forms, homes)

    async def _policy(self, conversation: ConversationRef) -> ChannelPolicy:
        return self.policy

    def use(self, workflow: Workflow) -> None:
        """Make another workflow known."""
        self.workflows[workflow.name] = workflow

    def turn(self, text: str = "Explain tea", *, key: str = "t1", person: Person = ADA, **more: Any) -> Turn:
        return Turn(key=key, conversation=HERE, person=person, text=text, at=NOW, **more)

    def click(self, action: str, target: str, person: Person = ADA) -> Click:
        return Click(key="c", conversation=HERE, person=person, action=action, target=target, at=NOW)

    async def press(self, action: str, target: str, person: Person = ADA):
        return await self.decisions.click(self.click(action, target, person), self.policy)

    async def send(self, form_id: str, values: dict[str, str], person: Person = ADA):
        given = FormInput(
            key="f", conversation=HERE, person=person, form_id=form_id, values=values, at=NOW
        )  # fmt: skip
        return await self.decisions.form(given)

    async def state(self, run_id: str) -> RunState:
        return await self.service.state(RunId(run_id))

    async def go(self, run_id: str, *bodies: Body) -> RunState:
        """Append facts and the moves that follow, as the engine would."""
        if bodies:
            await self.store.append(RunId(run_id), list(bodies), epoch=None)
        while True:
            state = await self.state(run_id)
            now = datetime.now(UTC)
            workflow = self.workflows[state.created.workflow]
            todo = moves(workflow, state, now)
            for move in todo:
                following = facts(workflow, state, move, now)
                await self.store.append(RunId(run_id), following, epoch=None)
                state = await self.state(run_id)
            if not todo:
                return state

    async def asked(self, **turn: Any) -> tuple[str, ApprovalId]:
        """A run that waits for approval."""
        receipt = await self.intake.take(self.turn(**turn))
        assert receipt.accepted, receipt.text
        await self.go(receipt.run_id)
        for node, output in (("researcher", brief()), ("planner", plan())):
            state = await self.go(receipt.run_id, StepEnded(node=node, visit=1, attempt=1, output=output))
        (approval,) = state.open_approvals()
        return receipt.run_id, approval.asked.approval_id


@asynccontextmanager
async def desk(folder: Path, **policy: Any) -> AsyncGenerator[Desk]:
    store = await SqliteStore.open(folder / "quartet.db", owners_dir=folder / "owners")
    try:
        built = Desk(store)
        built.policy = ChannelPolicy(**policy)
        yield built
    finally:
        await store.close()
