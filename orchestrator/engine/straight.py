"""The steps that most steps of most runs are: one ends well, the one behind it begins. Pure.

What `moves`, `facts` and `fold` say of them in turn is worked out here in one go, in half the instructions:
how a run begins, how it goes on, how it comes to its end. It is never another thing than they say; where
anything else goes on, nothing is said here, and they are asked.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from orchestrator.engine import ways
from orchestrator.engine.answer import answer_of
from orchestrator.engine.state import Finished, NodeState, RunState, Step
from orchestrator.engine.steps import completed, started
from orchestrator.events import Json, RunEnded, StepEnded, StepStarted
from orchestrator.workflow import Straight, Workflow


def begun(workflow: Workflow, state: RunState, at: datetime) -> tuple[StepStarted, RunState] | None:
    """What begins where nothing has, and the state after it; None: the long way has to be gone.

    Args:
        workflow: the definition that the run began with.
        state: the fold of the run's log.
        at: aware, UTC.
    """
    straight = workflow.straight
    first = straight.entry
    if not first or state.nodes or state.frontier or not _is_free(state, at) or _is_spent(straight, state):
        return None
    after = replace(
        state,
        seq=state.seq + 1,
        nodes={first: NodeState("working", 1, 1, at, step=len(state.steps))},
        unended=(first,),
        steps=(*state.steps, Step(first, 1, 1, "working", at)),
        heard=len(state.steered),
    )
    return started(first, 1, 1), after


def onward(
    workflow: Workflow, state: RunState, ended: StepEnded, at: datetime
) -> tuple[StepStarted | RunEnded, RunState] | None:
    """What follows when a step has ended, and the state after both facts; None: the long way has to be gone.

    Args:
        workflow: the definition that the run began with.
        state: the fold of the run's log, in which the step is under way.
        ended: its end, not in the log yet.
        at: aware, UTC.
    """
    name = ended.node
    straight = workflow.straight
    target = straight.to.get(name)
    if target is None:
        return _over(workflow, state, ended, at) if name in straight.ends else None
    if target == name or not _is_last(state, ended, at) or _is_spent(straight, state):
        return None
    before = state.nodes.get(target)
    visit = before.visit + 1 if before is not None else 1
    working = NodeState("working", visit, 1, at, step=len(state.steps))
    if before is not None:  # in a loop: what earlier visits took is carried on
        working = replace(
            working, seconds=before.seconds, usage=before.usage, http_retries=before.http_retries
        )
    nodes, outputs, steps = _closed(state, ended, at)
    nodes[target] = working
    steps.append(Step(target, visit, 1, "working", at))
    key, edges = f"{name}>{target}", state.edges
    after = replace(
        state,
        seq=state.seq + 2,
        nodes=nodes,
        unended=(target,),
        outputs=outputs,
        edges={**edges, key: edges.get(key, 0) + 1},
        steps=tuple(steps),
        heard=len(state.steered),
    )
    return started(target, visit, 1, (name,)), after


def _over(
    workflow: Workflow, state: RunState, ended: StepEnded, at: datetime
) -> tuple[RunEnded, RunState] | None:
    """The end of a run whose last step has ended well."""
    if not _is_last(state, ended, at):
        return None
    nodes, outputs, steps = _closed(state, ended, at)
    after = replace(
        state,
        nodes=nodes,
        unended=(),
        outputs=outputs,
        steps=tuple(steps),
        frontier=(Finished(ended.node, "success"),),
    )
    if ways.end(workflow, after).status != "completed":
        return None
    body = completed(answer_of(workflow, after).model_dump(mode="json"))
    return body, replace(after, seq=state.seq + 2, ended=body, ended_at=at)


def _is_last(state: RunState, ended: StepEnded, at: datetime) -> bool:
    """Whether this very attempt is under way, nothing else is or waits, and nothing hinders what follows."""
    if state.unended != (ended.node,) or state.frontier or state.open_groups or not _is_free(state, at):
        return False
    node = state.nodes[ended.node]
    return node.status == "working" and node.visit == ended.visit and node.attempt == ended.attempt


def _closed(
    state: RunState, ended: StepEnded, at: datetime
) -> tuple[dict[str, NodeState], dict[str, tuple[Json, ...]], list[Step]]:
    """Nodes, outputs and steps once the step has ended."""
    name, outputs = ended.node, state.outputs
    node = state.nodes[name]
    steps = list(state.steps)
    steps[node.step] = replace(steps[node.step], status="done", ended_at=at, problem=None)
    return (
        {**state.nodes, name: node.done(at, ended.seconds)},
        {**outputs, name: (*outputs.get(name, ()), ended.output)},
        steps,
    )


def _is_free(state: RunState, at: datetime) -> bool:
    """Whether nothing keeps the run from going on. No question is open: its node would be unended."""
    if state.stop is not None or state.ended is not None or state.paused or state.pause_wanted:
        return False
    if state.started_at is None:  # in the queue, or a fork there whose shared past is at work
        return False
    deadline = state.created.deadline
    return deadline is None or deadline > at


def _is_spent(straight: Straight, state: RunState) -> bool:
    """Whether the workflow allows no further step."""
    return len(state.steps) >= straight.max_steps or state.model_calls >= straight.max_model_calls
