"""The façade of the core: start, steer, decide, stop, pause, resume, follow. Every entrance goes through it.

Facts from outside are appended here, by any process that has the store; the process that owns
the run notices them. Nothing here knows chat platforms or HTTP.
"""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

from orchestrator import approvals
from orchestrator import inputs as inputs_of
from orchestrator.bus import Bus, Flag
from orchestrator.engine import forks, steps
from orchestrator.engine.fold import fold
from orchestrator.engine.state import Approval, RunState
from orchestrator.errors import Conflict, NotFound, Refused
from orchestrator.events import (
    ENDED,
    WITHDRAWN,
    ApiCall,
    ApprovalId,
    Body,
    DecisionGiven,
    DecisionKind,
    Engine,
    FeedbackGiven,
    Forked,
    Json,
    PauseRequested,
    Priority,
    ResumeRequested,
    RunCreated,
    RunEvent,
    RunId,
    RunSettings,
    Steered,
    StopRequested,
    TurnRecord,
    Who,
)
from orchestrator.ids import new_run_id
from orchestrator.ports import Accepted, Agents, News, Scheduler, Store
from orchestrator.workflow import Workflow

REMEMBERED = 10_000  # definitions that are known to be kept
_USUAL = RunSettings()
FOLLOW_POLL_S = 0.5  # a follower notices what other processes appended within this time


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of a decision."""

    counted: bool  # this very decision is the one that counts
    approval: Approval  # with the decision or resolution that counts
    run_id: RunId


class Service:
    """The core, for chat, HTTP, terminal and console alike."""

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        agents: Agents,
        workflows: Mapping[str, Workflow],
        bus: Bus,
        engine: Engine,
        *,
        executes: Callable[[TurnRecord], bool] = lambda _: True,
    ) -> None:
        """Put it together.

        Args:
            executes: whether this process advances the run of a turn; then it is claimed as it is accepted.
        """
        self.store = store
        self.agents = agents
        self.workflows = workflows
        self.bus = bus
        self._scheduler = scheduler
        self._engine: Engine = engine
        self._executes = executes
        self._saved: set[str] = set()

    def workflow(self, name: str) -> Workflow:
        """A definition by name.

        Raises:
            NotFound: names the nearest one there is.
        """
        found = self.workflows.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self.workflows, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(self.workflows))}"
            raise NotFound(f"there is no workflow {name!r}; {hint}")
        return found

    async def start(
        self,
        *,
        conversation_id: str,
        turn: TurnRecord,
        workflow: str = "quartet",
        definition: Workflow | None = None,
        settings: RunSettings | None = None,
        inputs: Mapping[str, Any] | None = None,
        priority: Priority | None = None,
        deadline: datetime | None = None,
        engine: Engine | None = None,
    ) -> Accepted:
        """Make a run of a turn; it begins at once, or after the conversation's unfinished runs.

        The turn's key is the idempotency key: the same key again gives the same run.

        Args:
            workflow: by name.
            definition: instead, one that has no name in the library; it has been checked.
            inputs: of the workflow; its defaults are filled in.
            priority: None: what the workflow's inputs say (`severity` critical to low), else medium.
            deadline: aware, UTC; a run that is not done by then ends as expired.
            engine: None: the bot's; a run that brings keys of its own has models where the bot has none.

        Raises:
            NotFound: no such workflow.
            Refused: the inputs are not what the workflow takes.
        """
        definition = definition or self.workflow(workflow)
        checked = inputs_of.checked(definition, inputs or {})
        await self._keep(definition)
        created = steps.created(
            conversation_id,
            definition,
            engine or self._engine,
            turn,
            settings or _USUAL,
            checked,
            priority or _priority(checked),
            deadline,
        )
        return await self._accept(created)

    async def fork(
        self,
        run_id: RunId,
        node: str,
        *,
        key: str,
        who: Who,
        inputs: Mapping[str, Any] | None = None,
        settings: RunSettings | None = None,
        call: ApiCall | None = None,
    ) -> Accepted:
        """Begin a run that shares another one's past up to a step, with changed inputs where given.

        Args:
            run_id: the run to fork; it may have ended or not.
            node: the step to begin anew, in its latest visit.
            key: idempotency key, as of a turn.
            who: asks for it; the new run's requester.
            inputs: those that change.
            settings: what holds in the channel now; None: what held for the other run.
            call: how it came in over HTTP; None: it did not.

        Raises:
            NotFound: no such run.
            Refused: the run has no such step, the inputs are not what its workflow takes, or it had keys of
                its own, which are for it alone.
        """
        events = await self.store.events(run_id)
        state = fold(events)
        if state is None:
            raise NotFound(f"there is no run {run_id!r}; `quartet runs` lists them")
        if state.created.settings.own_keys:
            raise Refused(
                f"The run {run_id} brought keys of its own, and its keys are gone or will be at its end: "
                "start a new one, and send the keys with it."
            )
        definition = Workflow.model_validate(await self.store.definition(state.created.workflow_digest))
        given = {**state.created.inputs, **(inputs or {})}
        if inputs:
            given = inputs_of.checked(definition, given)
        new = new_run_id()
        changed = given != state.created.inputs
        past, visit = forks.past(events, node, new, datetime.now(UTC), changed=changed)
        created = state.created.model_copy(
            update={
                "turn": state.created.turn.model_copy(update={"key": key, "who": who, "call": call}),
                "inputs": given,
                "deadline": None,
                "settings": settings or state.created.settings,
                "forked": Forked(run_id=run_id, node=node, visit=visit),
            }
        )
        return await self._accept(created, new, past)

    async def _accept(
        self, created: RunCreated, run_id: RunId | None = None, past: Sequence[Body] = ()
    ) -> Accepted:
        accepted = await self.store.accept(
            run_id or new_run_id(), created, past=past, claim=self._executes(created.turn)
        )
        if not accepted.duplicate:
            self.bus.publish(News(accepted.run_id, 1))
            if accepted.queued_behind == 0:
                await self._scheduler.wake(accepted.run_id)
        return accepted

    async def _keep(self, definition: Workflow) -> None:
        """Keep what a run begins with: the definition may be another one tomorrow."""
        if definition.digest not in self._saved:
            await self.store.save_definition(
                definition.digest, definition.model_dump(mode="json", by_alias=True)
            )
            if len(self._saved) >= REMEMBERED:  # to save one again does no harm
                self._saved.clear()
            self._saved.add(definition.digest)

    async def state(self, run_id: RunId) -> RunState:
        """The fold of a run's log.

        Raises:
            NotFound: no such run.
        """
        state = fold(await self.store.events(run_id))
        if state is None:
            raise NotFound(f"there is no run {run_id!r}; `quartet runs` lists them")
        return state

    async def decide(
        self,
        approval_id: ApprovalId,
        *,
        decision: DecisionKind,
        who: Who,
        groups: Collection[str] = (),
        comment: str = "",
        edited: Json | None = None,
        digest: str = "",
        key: str = "",
    ) -> Decided:
        """Record a decision. The first that fits counts; a later one changes nothing and is told so.

        Args:
            key: inbox key of the message that is the answer; delivered again it is known (`Log.known`).

        Raises:
            NotFound: no such approval.
            Refused: this person may not decide, or what was edited is not valid. Nothing is recorded.
        """
        row = await self.store.approval(approval_id)
        if row is None:
            raise NotFound(f"there is no approval {approval_id!r}")
        state = await self.state(row.run_id)
        approval = state.approvals[approval_id]
        refusal = approvals.may_decide(
            approval.asked, person=who.key, groups=groups, requester=state.created.turn.who.key
        )
        if refusal:
            raise Refused(refusal)
        if digest and digest != approval.asked.digest:
            raise Refused("What you saw is not what is asked now; look at the card again.")
        if decision == "edit" and edited is None:
            raise Refused("An edit needs the edited text.")
        if approval.decision is not None or approval.resolved is not None or state.ended is not None:
            decided = [d for d in (approval.decision, *approval.late) if d is not None]
            if all(d.who.key != who.key for d in decided):  # one late word of each person is kept
                await self.fact(
                    row.run_id, self._decision(approval_id, decision, who, comment, edited, digest)
                )
            return Decided(counted=False, approval=approval, run_id=row.run_id)
        fact = self._decision(approval_id, decision, who, comment, edited, digest, key)
        seq = await self.fact(row.run_id, fact)
        after = fold(e for e in await self.store.events(row.run_id) if e.seq <= seq)
        assert after is not None
        approval = after.approvals[approval_id]
        counted = approval.decision == fact and fact not in approval.late
        return Decided(counted=counted, approval=approval, run_id=row.run_id)

    @staticmethod
    def _decision(
        approval_id: ApprovalId,
        decision: DecisionKind,
        who: Who,
        comment: str,
        edited: Json | None,
        digest: str,
        key: str = "",
    ) -> DecisionGiven:
        return DecisionGiven(
            approval_id=approval_id,
            decision=decision,
            who=who,
            comment=comment,
            edited=edited,
            digest=digest,
            key=key,
        )

    async def steer(self, run_id: RunId, *, key: str, text: str, who: Who) -> None:
        """Hand a message to the agents at work.

        Raises:
            Refused: the run has ended.
        """
        await self._control(run_id, Steered(key=key, text=text, who=who))

    async def stop(self, run_id: RunId, *, who: Who, reason: str = "") -> None:
        """End a run now; a queued one ends before it began.

        Raises:
            NotFound: no such run.
            Refused: it has ended already.
        """
        await self._control(run_id, StopRequested(who=who, reason=reason))

    async def withdraw(self, run_id: RunId, *, who: Who) -> bool:
        """End a run that still waits for its place. Whether it was one: what works or has ended stays.

        Raises:
            NotFound: no such run.
        """
        while True:
            state = await self.state(run_id)
            if state.started_at is not None or state.ended is not None:
                return False
            stop = StopRequested(who=who, reason=WITHDRAWN)
            try:
                # Only if nothing came since we looked: it may be starting at this moment.
                await self.fact(run_id, stop, expected_seq=state.seq)
            except Conflict:
                continue
            return True

    async def feedback(self, run_id: RunId, *, who: Who, good: bool, comment: str = "") -> None:
        """Keep what a person thinks of a run's answer; their newest word counts, the same again adds nothing.

        Raises:
            NotFound: no such run.
            Refused: there is no answer yet.
        """
        state = await self.state(run_id)
        if state.ended is None:
            raise Refused("There is no answer yet; say what you think of it when it is there.")
        fact = FeedbackGiven(who=who, good=good, comment=comment)
        if state.feedback.get(who.key) != fact:
            await self.fact(run_id, fact)

    async def pause(self, run_id: RunId, *, who: Who) -> None:
        """Start no new steps. Raises NotFound, Refused."""
        await self._control(run_id, PauseRequested(who=who))

    async def resume(self, run_id: RunId, *, who: Who) -> None:
        """Go on. Raises NotFound, Refused."""
        await self._control(run_id, ResumeRequested(who=who))

    async def _control(self, run_id: RunId, body: Body) -> None:
        row = await self.store.run(run_id)
        if row is None:
            raise NotFound(f"there is no run {run_id!r}; `quartet runs` lists them")
        if row.status in ENDED:
            raise Refused(f"run {run_id} has ended already ({row.status})")
        await self.fact(run_id, body)

    async def fact(self, run_id: RunId, body: Body, *, expected_seq: int | None = None) -> int:
        """Append a fact from outside and wake the run. Returns its sequence number.

        Raises:
            Conflict: the log is longer than `expected_seq`; None appends wherever it stands.
        """
        appended = await self.store.append(run_id, [body], epoch=None, expected_seq=expected_seq)
        self.bus.publish(News(run_id, appended.seq))
        await self._scheduler.wake(run_id)
        return appended.seq

    async def follow(self, run_id: RunId, *, after: int = 0) -> AsyncIterator[RunEvent]:
        """The run's events with `seq > after`: those there are, then live, until the run has ended.

        Raises:
            NotFound: no such run.
        """
        flag = Flag()
        deaf = self.bus.listen(flag.set, run_id)
        try:
            row = await self.store.run(run_id)
            if row is None:
                raise NotFound(f"there is no run {run_id!r}; `quartet runs` lists them")
            while True:
                for event in await self.store.events(run_id, after=after):
                    after = event.seq
                    yield event
                row = await self.store.run(run_id)
                if row is None or (row.status in ENDED and row.seq <= after):
                    return
                await flag.wait(FOLLOW_POLL_S)
        finally:
            deaf()


def _priority(inputs: Mapping[str, Any]) -> Priority:
    """A bug's severity sets how urgent its run is."""
    given = str(inputs.get("severity", "")).lower()
    return next((p for p in get_args(Priority) if p == given), "medium")
