"""What happens with an approved draft: it is saved, starts by the clock, is run. Once for each design.

Two agents that no model plays: one says before the approval what will happen, the other does it afterwards.
A crash in between changes nothing: the version bears the run's id, the schedule and the run have keys of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from adapters.contract import ConversationRef
from bot.channel_settings import ChannelPolicy
from bot.design import free_name, read_draft, says_now, warnings
from bot.design_cards import LIBRARIAN, READER
from bot.schedules import Schedules
from bot.schedules_words import next_told, time_told
from config.errors import ConfigError
from orchestrator.agents.player import AgentCard
from orchestrator.artifacts import Issue, MadeFile, Report, WorkflowDraft
from orchestrator.cron import CronError, local_zone
from orchestrator.engine.state import RunState
from orchestrator.errors import AgentFailed, NotFound, Refused
from orchestrator.events import Json, Who
from orchestrator.library import Library
from orchestrator.ports import StepInput, StepSink, WorkflowVersion
from orchestrator.service import Service
from orchestrator.workflow import Workflow
from orchestrator.workflow_text import text_of

MOST_NAMES: Final = 50  # tried, where others have saved under the same one
_LOCAL: Final = ("web:", "terminal:")  # people at the machine itself, or with its key


class Librarian:
    """Saves what was designed.

    Args:
        service: the core.
        library: where workflows are kept.
        schedules: what starts by the clock.
        policy: what holds in a channel.
        flaw: what is wrong with a draft's YAML (`design.draft_check`).
    """

    def __init__(
        self,
        service: Service,
        library: Library,
        schedules: Schedules,
        policy: Callable[[ConversationRef], Awaitable[ChannelPolicy]],
        flaw: Callable[[str], str],
    ) -> None:
        self._service = service
        self._library = library
        self._schedules = schedules
        self._policy = policy
        self._flaw = flaw

    def players(self) -> tuple[Played, Played]:
        """The two agents, to be registered."""
        return Played(READER, self._look), Played(LIBRARIAN, self._save)

    # ── before the approval ──────────────────────────────────────────────────────────────────

    async def _look(self, step: StepInput) -> Report:
        draft = _draft(step)
        workflow = read_draft(draft)
        state = await self._service.state(step.run_id)
        name, newest = await self._place(workflow.name, state)
        version = newest.version + 1 if newest is not None else 1
        kept = f"it is kept as version {version} of `{name}`" if newest else f"it is saved as `{name}`"
        todo = [kept]
        if cron := _cron(draft, step):
            zone = draft.time_zone or local_zone()
            first = time_told(self._schedules.following(cron, zone), zone)
            todo.append(f"starts by the clock (`{cron}`), first {first}")
        if _now(step):
            todo.append("is run once at once")
        cautions = warnings(workflow)
        if name != workflow.name:
            cautions.append(f"`{workflow.name}` was saved by somebody else and stays as it is; {_ADMINS}")
        if cron and not draft.time_zone:
            cautions.append(f"No time zone was named, so the bot's own is taken: {local_zone()}.")
        body = f"After approval {', '.join(todo)}."
        if cron:
            body += " `design: by_clock=never …` would leave the clock out."
        if cautions:
            body += "\n\nLook twice:\n" + "\n".join(f"- {one}" for one in cautions)
        return Report(
            body=body,
            outcome="checked",
            issues=[Issue(severity="info", problem=one) for one in cautions],
        )

    # ── after it ─────────────────────────────────────────────────────────────────────────────

    async def _save(self, step: StepInput) -> Report:
        draft = _draft(step)
        state = await self._service.state(step.run_id)
        if not _was_approved(state, draft):
            raise AgentFailed("Nobody has approved this draft, so it is not saved.")
        why = self._flaw(draft.yaml)
        if why:
            return _refused(f"The workflow was not saved, since it is not right any more:\n\n{why}", draft)
        workflow = read_draft(draft)
        mark = f"designed in run {step.run_id}"
        saved = await self._saved(workflow.name, mark)
        name = saved[0] if saved is not None else (await self._place(workflow.name, state))[0]
        renamed = Workflow.model_validate({**_values(workflow), "name": name})
        try:
            version = (
                saved[1]
                if saved is not None
                else await self._library.save(renamed, who=_approver(state), note=mark)
            )
        except Refused as error:
            return _refused(f"The workflow was not saved: {error}", draft)
        lines = [f"Saved **{name}** as version {version}. Start it with `run {name}`."]
        if name != workflow.name:
            lines.append(f"`{workflow.name}` was saved by somebody else and stays as it was; {_ADMINS}")
        lines += await self._start(step, state, draft, name)
        file = MadeFile(name=f"{name}.yaml", media_type="application/yaml", text=text_of(renamed))
        return Report(body="\n\n".join(lines), outcome="saved", files=[file])

    async def _start(self, step: StepInput, state: RunState, draft: WorkflowDraft, name: str) -> list[str]:
        created, lines = state.created, list[str]()
        if cron := _cron(draft, step):
            try:
                row = await self._schedules.add(
                    key=f"design:{step.run_id}",
                    conversation_id=created.conversation_id,
                    workflow=name,
                    cron=cron,
                    zone=draft.time_zone or local_zone(),
                    text=created.turn.text,
                    who=created.turn.who,
                )
                lines.append(f"It starts by the clock: {next_told(row)} for the first time "
                             f"(schedule {row.id}; `schedules` lists them).")  # fmt: skip
            except (CronError, Refused, NotFound, ValueError) as error:
                lines.append(f"It does not start by the clock: {error}. `schedules add` can be tried.")
        if _now(step):
            try:
                accepted = await self._service.start(
                    conversation_id=created.conversation_id,
                    turn=created.turn.model_copy(update={"key": f"design:{step.run_id}:run"}),
                    workflow=name,
                    settings=created.settings,
                )
                lines.append(f"Its first run is {accepted.run_id}.")
            except (Refused, NotFound) as error:
                lines.append(f"It was not run: {error}")
        return lines

    async def _place(self, name: str, state: RunState) -> tuple[str, WorkflowVersion | None]:
        """The name under which it may be saved, and the version that it replaces."""
        await self._library.refresh()
        for number in range(1, MOST_NAMES + 1):
            tried = name if number == 1 else f"{name[:36]}_{number}"
            rows = await self._service.store.workflow_versions(tried)
            newest = rows[-1] if rows else None
            if newest is None or (newest.definition is None and not newest.source):
                return tried, newest
            if not self._library.source(tried) and await self._may_replace(newest, state):
                return tried, newest
        return free_name(f"{name[:30]}_{state.run_id[:6]}", self._library), None

    async def _may_replace(self, newest: WorkflowVersion, state: RunState) -> bool:
        people = {state.created.turn.who.key, _approver(state).key}
        if newest.who is not None and newest.who.key in people:
            return True
        try:
            place = ConversationRef.from_key(state.created.conversation_id)
        except ValueError:  # asked for over HTTP: with the key of this bot
            return True
        policy = await self._policy(place)
        # On the page everyone is at the machine or holds a key, and who has a named one is `api:…`.
        return place.platform == "web" or any(
            key.startswith(_LOCAL) or key in policy.admins for key in people
        )

    async def _saved(self, name: str, mark: str) -> tuple[str, int] | None:
        """What this run has saved before a crash."""
        for number in range(1, MOST_NAMES + 1):
            tried = name if number == 1 else f"{name[:36]}_{number}"
            rows = await self._service.store.workflow_versions(tried)
            for row in rows:
                if row.note == mark:
                    return tried, row.version
            if not rows:
                return None
        return None


class Played:
    """An agent that is a function. Implements `Player`."""

    def __init__(self, card: AgentCard, work: Callable[[StepInput], Awaitable[Report]]) -> None:
        self._card = card
        self._work = work

    @property
    def card(self) -> AgentCard:
        """Who it is."""
        return self._card

    def reference(self, chosen: str | None = None) -> str:
        """No model plays it."""
        return ""

    async def run(self, step: StepInput, sink: StepSink) -> Json:
        """Work on one step.

        Raises:
            AgentFailed: there is no draft, or nobody approved it.
        """
        try:
            report = await self._work(step)
        except ConfigError as error:
            raise AgentFailed(f"The draft cannot be read: {str(error)[:500]}") from None
        return report.model_dump(mode="json")


_ADMINS: Final = (
    "who may replace it: whoever saved it, the admins in this channel's settings (`settings admins=…`), "
    "and the person at the machine itself."
)


def _draft(step: StepInput) -> WorkflowDraft:
    for output in reversed(list(step.outputs.values())):
        if "yaml" in output and "explanation" in output:
            return WorkflowDraft.model_validate(output)
    raise AgentFailed("There is no drafted workflow in this run; start it with `design: TEXT`.")


def _cron(draft: WorkflowDraft, step: StepInput) -> str:
    return "" if step.inputs.get("by_clock") == "never" else draft.schedule.strip()


def _now(step: StepInput) -> bool:
    then = step.inputs.get("then")
    return then == "run" or (then != "save" and says_now(step.turn.text))


def _was_approved(state: RunState, draft: WorkflowDraft) -> bool:
    """Whether this very text was approved in this run: any workflow may name the librarian."""
    resolved = [a.resolved for a in state.approvals.values() if a.resolved is not None]
    asked = {a.asked.approval_id: a.asked.arguments for a in state.approvals.values()}
    return any(
        each.outcome in ("approve", "edit")
        and (each.output or asked[each.approval_id]).get("yaml") == draft.yaml
        for each in resolved
    )


def _approver(state: RunState) -> Who:
    """Who saves it: whoever approved the draft, else who asked for it."""
    for approval in reversed(list(state.approvals.values())):
        if approval.decision is not None and "yaml" in approval.asked.arguments:
            return approval.decision.who
    return state.created.turn.who


def _refused(why: str, draft: WorkflowDraft) -> Report:
    file = MadeFile(name="workflow.yaml", media_type="application/yaml", text=draft.yaml)
    return Report(body=why, outcome="refused", files=[file])


def _values(workflow: Workflow) -> dict[str, object]:
    return {field: getattr(workflow, field) for field in Workflow.model_fields}
