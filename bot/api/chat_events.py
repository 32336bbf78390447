"""What a chat socket tells of a run, from its events: each agent's start, progress and result. Pure.

Every message made of an event has its number, `seq`: who comes back behind it misses nothing. What
an agent does in between (`progress`) is no event, has no number and may be lost.
"""

from __future__ import annotations

from bot.api.entries import Doing
from bot.api.views import approval_view, chat_response, moment, outside_id
from orchestrator.engine.fold import apply
from orchestrator.engine.scopes import local, scope
from orchestrator.engine.state import RunState
from orchestrator.events import (
    AgentAssigned,
    ApprovalRequested,
    ApprovalResolved,
    Json,
    RunCreated,
    RunEnded,
    RunEvent,
    RunPaused,
    RunResumed,
    RunStarted,
    StepEnded,
    StepFailed,
    StepStarted,
)
from orchestrator.workflow import Assigned, Workflow


class ChatEvents:
    """The messages of one run, in order.

    Args:
        workflow: the definition that the run keeps.
    """

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self.state: RunState | None = None

    def of(self, event: RunEvent) -> Json | None:
        """What is told of an event; None: nothing. Every event has to come, from the first."""
        self.state = apply(self.state, event)
        told = self._told(self.state, event)
        return None if told is None else {**told, "seq": event.seq, "at": moment(event.at)}

    def progress(self, doing: Doing) -> Json | None:
        """What is told of an agent's doing; None when its work is over, as it was said late."""
        node = self.state.nodes.get(doing.node) if self.state is not None else None
        if node is None or node.status != "working":
            return None
        return {
            "type": "progress",
            "node": doing.node,
            "agent": self._agent(doing.node),
            "text": doing.text,
        }

    def _told(self, state: RunState, event: RunEvent) -> Json | None:
        match body := event.body:
            case RunCreated():
                return {
                    "type": "accepted",
                    "run_id": event.run_id,
                    "conversation_id": outside_id(body.conversation_id),
                    "workflow": body.workflow,
                }
            case RunStarted() | RunPaused() | RunResumed():
                return {"type": "status", "status": state.status}
            case StepStarted():
                # Who it is, is said by the next event where the workflow leaves it open.
                agent = self._agent(body.node)
                return self._start(body, agent) if agent else None
            case AgentAssigned():
                return self._start(body, body.agent)
            case StepEnded() | StepFailed() if agent := self._agent(body.node):
                return self._result(body, agent)
            case ApprovalRequested() | ApprovalResolved():
                approval = state.approvals[body.approval_id]
                kind = "approval" if isinstance(body, ApprovalRequested) else "decision"
                return {"type": kind, "approval": approval_view(state, approval).model_dump(mode="json")}
            case RunEnded():
                return {"type": "complete", **chat_response(state).model_dump(mode="json")}
            case _:
                return None

    @staticmethod
    def _start(body: StepStarted | AgentAssigned, agent: str) -> Json:
        return {
            "type": "start",
            "node": body.node,
            "agent": agent,
            "visit": body.visit,
            "attempt": body.attempt,
        }

    @staticmethod
    def _result(body: StepEnded | StepFailed, agent: str) -> Json:
        problem = body.problem if isinstance(body, StepFailed) else None
        return {
            "type": "result",
            "node": body.node,
            "agent": agent,
            "visit": body.visit,
            "attempt": body.attempt,
            "status": "done" if problem is None else "failed",
            "output": body.output if isinstance(body, StepEnded) else None,
            "problem": problem and {"kind": problem.kind, "message": problem.message},
            "seconds": body.seconds,
        }

    def _agent(self, instance: str) -> str:
        """Who works on a node; "": nobody (yet)."""
        node = self.state.nodes.get(instance) if self.state is not None else None
        if node is not None and node.agent:
            return node.agent
        try:
            definition = scope(self._workflow, instance).workflow.nodes[local(instance)]
        except KeyError:
            return ""
        return definition.agent or "" if isinstance(definition, Assigned) else ""
