"""A session's log and status, made of its run's events. Pure.

Each event gives its lines once, from what came before it alone. So the log of a longer run begins with the
log of the shorter one: a line that was sent never changes, and its number is where a socket goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from bot.team_cards import Talk
from orchestrator.artifacts import PERSON
from orchestrator.engine.fold import apply
from orchestrator.engine.state import RunState
from orchestrator.events import (
    ApprovalRequested,
    DecisionGiven,
    RunEnded,
    RunEvent,
    RunPaused,
    RunResumed,
    Steered,
    StepEnded,
    StepFailed,
)
from orchestrator.workflow import Assigned, Workflow

EntryType = Literal["log", "status", "error"]
SessionStatus = Literal["BUILDING_TEAM", "EXECUTING_TASK", "WAITING_FOR_INPUT", "COMPLETED", "ERROR"]
_ENDS = {"stopped": "Stopped", "rejected": "Rejected", "expired": "Expired"}


class Entry(NamedTuple):
    """One line of a session's log."""

    id: int  # 1, 2, 3, … within the session
    type: EntryType
    content: str
    at: datetime  # aware, UTC
    live: bool = True  # False: what people said themselves, which sockets leave out


class SessionLog:
    """The log so far. Feed it every event of the run, in order.

    Args:
        workflow: that the run began with.
    """

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._talk = Talk(workflow)
        self._told = ""  # what the person was last told
        self.state: RunState | None = None
        self.length = 0  # entries so far

    @property
    def status(self) -> SessionStatus:
        """What the session is doing after the events so far."""
        return "BUILDING_TEAM" if self.state is None else status_of(self.state)

    def feed(self, event: RunEvent) -> list[Entry]:
        """The entries that one more event adds."""
        before, was = self.state, self.status
        state = self.state = apply(before, event)
        if before is None or before.ended is not None:
            return []
        found: list[tuple[EntryType, str, bool]] = list(self._lines(before, state, event))
        status = status_of(state)
        if status != was:
            found.append(("status", status, True))
        entries = [
            Entry(self.length + number, kind, content, event.at, live)
            for number, (kind, content, live) in enumerate(found, start=1)
        ]
        self.length += len(entries)
        return entries

    def _lines(
        self, before: RunState, state: RunState, event: RunEvent
    ) -> Iterable[tuple[EntryType, str, bool]]:
        match event.body:
            case StepEnded() as body:
                made = len(state.outputs.get(body.node, ())) > len(before.outputs.get(body.node, ()))
                if made and isinstance(self._workflow.nodes.get(body.node), Assigned):
                    node = state.nodes[body.node]
                    spoken = self._talk.said(body.node, body.output, agent=node.agent, member=node.member)
                    if spoken.receiver == PERSON:
                        self._told = spoken.text
                    yield "log", spoken.line, True
            case StepFailed() as body:
                if state.nodes.get(body.node) != before.nodes.get(body.node):
                    node = state.nodes[body.node]
                    sender = self._talk.sender(body.node, agent=node.agent, member=node.member)
                    again = " It is tried again." if body.retry_at is not None else ""
                    yield "log", f"{sender} (to team): This failed: {body.problem.message}{again}", True
            case ApprovalRequested() as body:
                question = body.body.strip() or body.title
                if asks_people(state, body) and question != self._told:
                    self._told = question
                    yield "log", f"{self._talk.sender(body.node)} (to {PERSON}): {question}", True
            case DecisionGiven() as body:
                given, had = state.approvals.get(body.approval_id), before.approvals.get(body.approval_id)
                if given is not None and had is not None and given.decision != had.decision:
                    yield "log", f"User: {_decided(body)}", False
            case Steered() as body:
                if len(state.steered) > len(before.steered):
                    yield "log", f"User: {body.text.strip()}", False
            case RunPaused():
                yield "log", "The session is paused.", True
            case RunResumed():
                yield "log", "The session goes on.", True
            case RunEnded() as body:
                yield from self._end(body)
            case _:
                pass

    def _end(self, body: RunEnded) -> Iterable[tuple[EntryType, str, bool]]:
        if body.status == "failed":
            yield "error", body.problem.message if body.problem else "It failed.", True
        elif body.status == "completed":
            answer = str((body.answer or {}).get("body", "")).strip()
            if answer and not (self._told and answer.startswith(self._told)):
                yield "log", f"team (to {PERSON}): {answer}", True
        else:
            reason = f": {body.reason}" if body.reason else ""
            yield "log", f"{_ENDS[body.status]}{reason}", True


def entries(workflow: Workflow, events: Iterable[RunEvent]) -> list[Entry]:
    """The whole log of a run."""
    log = SessionLog(workflow)
    return [entry for event in events for entry in log.feed(event)]


def status_of(state: RunState) -> SessionStatus:
    """What a session is doing."""
    if state.ended is not None:
        return "ERROR" if state.ended.status == "failed" else "COMPLETED"
    if waiting(state) is not None:
        return "WAITING_FOR_INPUT"
    return "EXECUTING_TASK" if _has_team(state) else "BUILDING_TEAM"


def waiting(state: RunState) -> ApprovalRequested | None:
    """The oldest question that people have to answer."""
    return next((a.asked for a in state.open_approvals() if asks_people(state, a.asked)), None)


def asks_people(state: RunState, asked: ApprovalRequested) -> bool:
    """Whether a question waits for people; others are settled in the moment in which they are asked."""
    settings = state.created.settings
    by_itself = settings.approvals == "auto" and asked.wants == "decision" and not asked.approvers
    return not by_itself and settings.asks == "people"


def _has_team(state: RunState) -> bool:
    """Whether somebody put a team together, or delegates without one."""
    made = (outputs[-1] for outputs in state.outputs.values() if outputs)
    return any(("members" in one and "speaking" in one) or {"member", "done"} <= one.keys() for one in made)


def _decided(body: DecisionGiven) -> str:
    if body.edited is not None:
        return str(body.edited.get("text", "")).strip() or "edited"
    said = {"approve": "approved", "reject": "rejected", "changes": "asked for changes"}
    word = said.get(body.decision, body.decision)
    return f"{word}: {body.comment.strip()}" if body.comment.strip() else word
