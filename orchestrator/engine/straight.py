"""The step that most steps of most runs are: one ends well, the one behind it begins. Pure.

What `moves`, `facts` and `fold` say of it in turn is worked out here in one go, in half the instructions. It
is never another thing than they say; where anything else goes on, nothing is said here, and they are asked.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from orchestrator.engine.state import NodeState, RunState, Step
from orchestrator.engine.steps import started
from orchestrator.events import StepEnded, StepStarted
from orchestrator.workflow import Straight, Workflow


def onward(
    workflow: Workflow, state: RunState, ended: StepEnded, at: datetime
) -> tuple[StepStarted, RunState] | None:
    """What begins when a step has ended, and the state after both facts; None: the long way has to be gone.

    Args:
        workflow: the definition that the run began with.
        state: the fold of the run's log, in which the step is under way.
        ended: its end, not in the log yet.
        at: aware, UTC.
    """
    name = ended.node
    straight = workflow.straight
    target = straight.to.get(name)
    if target is None or target == name or state.unended != (name,) or state.frontier or state.open_groups:
        return None
    nodes, steps = state.nodes, state.steps
    node, before = nodes[name], nodes.get(target)
    if (
        node.status != "working"
        or node.visit != ended.visit
        or node.attempt != ended.attempt
        or not _unhindered(straight, state, at)
    ):
        return None
    visit = before.visit + 1 if before is not None else 1
    working = NodeState("working", visit, 1, at, step=len(steps))
    if before is not None:  # in a loop: what earlier visits took is carried on
        working = replace(
            working, seconds=before.seconds, usage=before.usage, http_retries=before.http_retries
        )
    following = [*steps, Step(target, visit, 1, "working", at)]
    following[node.step] = replace(steps[node.step], status="done", ended_at=at, problem=None)
    key = f"{name}>{target}"
    edges, outputs = state.edges, state.outputs
    after = replace(
        state,
        seq=state.seq + 2,
        nodes={**nodes, name: node.done(at, ended.seconds), target: working},
        unended=(target,),
        outputs={**outputs, name: (*outputs.get(name, ()), ended.output)},
        edges={**edges, key: edges.get(key, 0) + 1},
        steps=tuple(following),
        heard=len(state.steered),
    )
    return started(target, visit, 1, (name,)), after


def _unhindered(straight: Straight, state: RunState, at: datetime) -> bool:
    """Whether nothing keeps the next step from beginning. No question is open: its node would be unended."""
    if state.stop is not None or state.ended is not None or state.paused or state.pause_wanted:
        return False
    if state.started_at is None:  # a fork in the queue, whose shared past is at work
        return False
    deadline = state.created.deadline
    if deadline is not None and deadline <= at:
        return False
    return len(state.steps) < straight.max_steps and state.model_calls < straight.max_model_calls
