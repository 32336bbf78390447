"""The fold: a run's state after its events. Pure and incremental.

`apply(state, event)` never fails on a log that the engine wrote, nor on facts from outside
in any order: what does not fit (a late decision, a stop after the end) changes nothing but
the sequence number and the record of what came late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec.structs import replace

from orchestrator.engine.scopes import item_of, local
from orchestrator.engine.state import (
    Approval,
    Finished,
    Group,
    NodeState,
    Outcome,
    RunState,
    Step,
)
from orchestrator.events import (
    AgentAssigned,
    ApprovalId,
    ApprovalRequested,
    ApprovalResolved,
    Body,
    BranchDropped,
    BranchTaken,
    CheckpointSaved,
    DecisionGiven,
    EdgesTaken,
    FeedbackGiven,
    GroupStarted,
    ModelAnswered,
    ModelRetried,
    OutputSentBack,
    PauseRequested,
    Problem,
    ResumeRequested,
    RunCreated,
    RunEnded,
    RunEvent,
    RunPaused,
    RunResumed,
    RunStarted,
    Steered,
    StepEnded,
    StepFailed,
    StepSkipped,
    StepStarted,
    StopRequested,
    ToolReturned,
    Usage,
)
from orchestrator.workflow import scope_of

Change = dict[str, Any]  # the fields of a state that an event changes


def fold(events: Iterable[RunEvent]) -> RunState | None:
    """The state after a whole log; None for an empty one."""
    state: RunState | None = None
    for event in events:
        state = apply(state, event)
    return state


def apply(state: RunState | None, event: RunEvent) -> RunState:
    """The state after one more event.

    Raises:
        ValueError: the first event is not RunCreated, or numbers are not in order.
    """
    run_id, seq, at, body = event
    if state is None:
        if not isinstance(body, RunCreated):
            raise ValueError(f"run {run_id}: the log begins with {body.type!r}, not with 'run_created'")
        return RunState(run_id, seq, body, at)
    if seq != state.seq + 1:
        raise ValueError(f"run {state.run_id}: event {seq} does not follow {state.seq}")
    return grown(state, body, at)


def grown(state: RunState, body: Body, at: datetime) -> RunState:
    """The state after the next event, which holds `body`: `apply` without an envelope."""
    change = _CHANGES[type(body)](state, body, at) if state.ended is None else _after_the_end(state, body)
    change["seq"] = state.seq + 1
    return replace(state, **change)


def _after_the_end(state: RunState, body: Any) -> Change:
    if isinstance(body, DecisionGiven) and body.approval_id in state.approvals:
        return {"approvals": _late(state, body)}
    if isinstance(body, FeedbackGiven):
        return {"feedback": {**state.feedback, body.who.key: body}}
    return {}


# ── one function for each body ───────────────────────────────────────────────────────────────


def _run_started(state: RunState, body: RunStarted, at: datetime) -> Change:
    return {"started_at": state.started_at or at}


def _run_created(state: RunState, body: RunCreated, at: datetime) -> Change:
    return {}  # only the first event creates; the store never writes a second one


def _run_paused(state: RunState, body: RunPaused, at: datetime) -> Change:
    return {"paused": True}


def _run_resumed(state: RunState, body: RunResumed, at: datetime) -> Change:
    return {"paused": False}


def _run_ended(state: RunState, body: RunEnded, at: datetime) -> Change:
    if not state.unended and not state.open_groups:  # nothing was under way
        return {"ended": body, "ended_at": at}
    steps = tuple(
        s if s.ended_at else replace(s, status="failed" if s.status == "working" else s.status, ended_at=at)
        for s in state.steps
    )
    nodes = {
        name: _broken_off(n, at) if n.status in ("working", "retrying", "open") else n
        for name, n in state.nodes.items()
    }
    return {"ended": body, "ended_at": at, "steps": steps, "nodes": nodes, "unended": (), "open_groups": ()}


def _broken_off(node: NodeState, at: datetime) -> NodeState:
    # Between two attempts nobody works: those seconds are not the node's.
    worked = (at - node.started_at).total_seconds() if node.status == "working" else 0.0
    return replace(node, status="failed", ended_at=at, seconds=node.seconds + worked)


def _step_started(state: RunState, body: StepStarted, at: datetime) -> Change:
    name, visit, attempt = body.node, body.visit, body.attempt
    node = NodeState("working", visit, attempt, at, step=len(state.steps))
    before = state.nodes.get(name)
    if before is not None:
        node = replace(node, seconds=before.seconds, usage=before.usage, http_retries=before.http_retries)
        if before.visit == visit and before.checkpoint is not None:
            node = replace(node, checkpoint=before.checkpoint)
    after = body.after
    change = _used_up(state, after, name) if after else {}
    if name in state.open_groups:  # what it undid is undone: now it works itself, in the same step
        change["groups"] = {**state.groups, name: replace(state.groups[name], open=False)}
        change["open_groups"] = _without(state.open_groups, name)
        node = replace(node, step=before.step if before is not None else -1)
    else:
        change["steps"] = (*state.steps, Step(name, visit, attempt, "working", at))
    change["nodes"] = {**state.nodes, name: node}
    if state.heard != len(state.steered):
        change["heard"] = len(state.steered)
    if name not in state.unended:
        change["unended"] = (*state.unended, name)
    if state.open_groups and attempt == 1:
        _note_begun(state, name, change)
    return change


def _note_begun(state: RunState, name: str, change: Change) -> None:
    """Count what begins in the group that it is part of."""
    item = item_of(name)
    owner = item[0] if item is not None else scope_of(name)
    group = state.groups.get(owner) if owner else None
    if group is not None and group.open:
        groups: Mapping[str, Group] = change.get("groups", state.groups)
        change["groups"] = {**groups, owner: replace(group, begun=group.begun + 1)}


def _used_up(state: RunState, after: tuple[str, ...], target: str) -> Change:
    if not after:
        return {}
    edges = {**state.edges}
    left = list(state.frontier)
    to = local(target)
    for source in after:
        key = f"{source}>{target}"
        edges[key] = edges.get(key, 0) + 1
        for i, ended in enumerate(left):
            if ended.node == source and (ended.to is None or ended.to == to):
                del left[i]
                break
    return {"frontier": tuple(left) if left else (), "edges": edges}


def _edges_taken(state: RunState, body: EdgesTaken, at: datetime) -> Change:
    left = list(state.frontier)
    for i, ended in enumerate(left):
        if ended.node == body.node and ended.to is None:
            left[i : i + 1] = [replace(ended, to=to, dead=body.dead) for to in body.to]
            break
    return {"frontier": tuple(left)}


def _branch_dropped(state: RunState, body: BranchDropped, at: datetime) -> Change:
    return {"frontier": _used_up(state, body.after, body.node).get("frontier", state.frontier)}


def _group_started(state: RunState, body: GroupStarted, at: datetime) -> Change:
    name = body.node
    change = _step_started(
        state, StepStarted(node=name, visit=body.visit, attempt=body.attempt, after=body.after), at
    )
    nodes: dict[str, NodeState] = change["nodes"]
    nodes[name] = replace(nodes[name], status="open")
    within = f"{name}/"
    before = {n: node.visit for n, node in nodes.items() if n.startswith(within)}
    if before:  # it was here before: its variables begin anew, its visits are counted from now
        change["outputs"] = {n: out for n, out in state.outputs.items() if not n.startswith(within)}
        edges: Mapping[str, int] = change.get("edges", state.edges)
        change["edges"] = {key: count for key, count in edges.items() if not key.startswith(within)}
    if body.kind == "undo":
        inside = name[: name.rfind("/") + 1]
        taken_back = {f"{inside}{item['node']}": int(item.get("visit", 0)) for item in body.items}
        change["undone"] = {**state.undone, **taken_back}
    group = Group(body.kind, body.visit, body.attempt, body.items, body.inputs, before=before)
    change["groups"] = {**change.get("groups", state.groups), name: group}
    if name not in state.open_groups:
        change["open_groups"] = (*state.open_groups, name)
    return change


def _step_skipped(state: RunState, body: StepSkipped, at: datetime) -> Change:
    name = body.node
    change = _used_up(state, body.after, name)
    before = state.nodes.get(name)
    under_way = before is not None and before.visit == body.visit and name in state.unended
    if under_way and before is not None:
        worked = (at - before.started_at).total_seconds() if before.status == "working" else 0.0
        node = replace(before, status="skipped", ended_at=at, seconds=before.seconds + worked, recorded=())
        change["nodes"] = {**state.nodes, name: node}
        change["steps"] = _close(state.steps, name, "skipped", at, None, before.step)
        change["unended"] = _without(state.unended, name)
        if name in state.open_groups:
            _close_group(state, name, at, change)
        _count_item(state, name, well=False, change=change)
    else:
        node = NodeState("skipped", body.visit, 1, at, at)
        if before is not None:
            node = replace(node, seconds=before.seconds, usage=before.usage, http_retries=before.http_retries)
        change["nodes"] = {**state.nodes, name: node}
        frontier: tuple[Finished, ...] = change.get("frontier", state.frontier)
        change["frontier"] = (*frontier, Finished(name, "skipped"))
    return change


def _close_group(state: RunState, name: str, at: datetime, change: Change) -> None:
    """A group has ended: what of it is still under way is given up, its branches lead nowhere."""
    inside = (f"{name}/", f"{name}[")
    groups: Mapping[str, Group] = change.get("groups", state.groups)
    kept = {n: replace(g, open=False) if n == name or n.startswith(inside) else g for n, g in groups.items()}
    change["groups"] = kept
    open_groups: tuple[str, ...] = change.get("open_groups", state.open_groups)
    change["open_groups"] = tuple(n for n in open_groups if n != name and not n.startswith(inside))
    frontier: tuple[Finished, ...] = change.get("frontier", state.frontier)
    change["frontier"] = tuple(f for f in frontier if not f.node.startswith(inside))
    unended: tuple[str, ...] = change.get("unended", state.unended)
    lost = [n for n in unended if n.startswith(inside)]
    if lost:
        nodes: dict[str, NodeState] = {**change.get("nodes", state.nodes)}
        steps: tuple[Step, ...] = change.get("steps", state.steps)
        for n in lost:
            nodes[n] = replace(nodes[n], status="skipped", ended_at=at, recorded=())
            steps = _close(steps, n, "skipped", at, None)
        change["nodes"], change["steps"] = nodes, steps
        change["unended"] = tuple(n for n in unended if n not in lost)


def _count_item(state: RunState, name: str, *, well: bool, change: Change) -> bool:
    """Count the end of an item in its group. Whether it was one: its end leads nowhere by itself."""
    item = item_of(name)
    if item is None:
        return False
    owner, index = item
    groups: Mapping[str, Group] = change.get("groups", state.groups)
    group = groups.get(owner)
    if group is not None and group.open:
        counted = (
            replace(group, done=group.done + 1) if well else replace(group, failed=(*group.failed, index))
        )
        change["groups"] = {**groups, owner: counted}
    return True


def _step_ended(state: RunState, body: StepEnded, at: datetime) -> Change:
    name = body.node
    node = _current(state, name, body.visit, body.attempt)
    if node is None:
        return {}
    change: Change = {
        "nodes": {**state.nodes, name: node.done(at, body.seconds)},
        "unended": _without(state.unended, name),
        "outputs": {**state.outputs, name: (*state.outputs.get(name, ()), body.output)},
        "steps": _close(state.steps, name, "done", at, None, node.step),
    }
    if name in state.open_groups:
        _close_group(state, name, at, change)
    if not _count_item(state, name, well=True, change=change):
        frontier: tuple[Finished, ...] = change.get("frontier", state.frontier)
        change["frontier"] = (*frontier, Finished(name, "success"))
    return change


def _step_failed(state: RunState, body: StepFailed, at: datetime) -> Change:
    name = body.node
    node = _current(state, name, body.visit, body.attempt)
    if node is None:
        return {}
    again = body.retry_at is not None
    node = replace(
        node,
        status="retrying" if again else "failed",
        ended_at=at,
        seconds=node.seconds + body.seconds,
        problem=body.problem,
        retry_at=body.retry_at,
        recorded=(),
    )
    change: Change = {
        "nodes": {**state.nodes, name: node},
        "steps": _close(state.steps, name, "failed", at, body.problem, node.step),
    }
    if name in state.open_groups:
        _close_group(state, name, at, change)
    if not again:
        change["unended"] = _without(change.get("unended", state.unended), name)
        if not _count_item(state, name, well=False, change=change):
            frontier: tuple[Finished, ...] = change.get("frontier", state.frontier)
            change["frontier"] = (*frontier, Finished(name, "error"))
    return change


def _without(names: tuple[str, ...], gone: str) -> tuple[str, ...]:
    if names == (gone,):
        return ()
    if gone not in names:
        return names
    i = names.index(gone)
    return names[:i] + names[i + 1 :]


def _current(state: RunState, name: str, visit: int, attempt: int) -> NodeState | None:
    """The node, if this very attempt is under way."""
    now = state.nodes.get(name)
    fits = (
        now is not None
        and now.status in ("working", "open")
        and now.visit == visit
        and now.attempt == attempt
    )
    return now if fits else None


def _close(
    steps: tuple[Step, ...],
    node: str,
    status: Literal["done", "failed", "skipped"],
    at: datetime,
    problem: Problem | None,
    known: int = -1,
) -> tuple[Step, ...]:
    for i in _where(steps, node, known):
        step = steps[i]
        if step.node == node and step.ended_at is None:
            changed = list(steps)
            changed[i] = replace(step, status=status, ended_at=at, problem=problem)
            return tuple(changed)
    return steps


def _where(steps: tuple[Step, ...], node: str, known: int) -> Sequence[int]:
    """Where a node's step may stand, likeliest first.

    In a wide run it lies far from the end; where it is known to lie, nothing is searched.
    """
    if 0 <= known < len(steps) and steps[known].node == node:
        return (known,)
    return range(len(steps) - 1, -1, -1)


def _branch_taken(state: RunState, body: BranchTaken, at: datetime) -> Change:
    change = _used_up(state, body.after, body.node)
    before = state.nodes.get(body.node)
    node = NodeState(
        status="done",
        visit=body.visit,
        attempt=1,
        started_at=at,
        ended_at=at,
        usage=before.usage if before else Usage(),
    )
    change["nodes"] = {**state.nodes, body.node: node}
    change["unended"] = _without(state.unended, body.node)
    frontier: tuple[Finished, ...] = change.get("frontier", state.frontier)
    change["frontier"] = (*frontier, Finished(body.node, "success", to=body.to))
    if state.open_groups:
        _note_begun(state, body.node, change)
    return change


def _recorded(state: RunState, body: ModelAnswered | ToolReturned | OutputSentBack, at: datetime) -> Change:
    node = state.nodes.get(body.node)
    if node is None:
        return {}
    change: Change = {}
    used = Usage()
    if isinstance(body, ModelAnswered):
        used = body.usage.model_copy(update={"calls": max(1, body.usage.calls)})
        change["usage"] = state.usage.plus(used)
        change["model_calls"] = state.model_calls + 1
        change["steps"] = _spend(state.steps, body.node, used, node.step)
    current = _current(state, body.node, body.visit, body.attempt)
    recorded = (*node.recorded, body) if current else node.recorded
    node = replace(node, recorded=recorded, usage=node.usage.plus(used) if used.calls else node.usage)
    change["nodes"] = {**state.nodes, body.node: node}
    return change


def _agent_assigned(state: RunState, body: AgentAssigned, at: datetime) -> Change:
    node = _current(state, body.node, body.visit, body.attempt)
    if node is None:
        return {}
    steps = list(state.steps)
    for i in _where(state.steps, body.node, node.step):
        if steps[i].node == body.node and steps[i].ended_at is None:
            steps[i] = replace(steps[i], agent=body.agent, member=body.member)
            break
    node = replace(node, agent=body.agent, member=body.member)
    return {"nodes": {**state.nodes, body.node: node}, "steps": tuple(steps)}


def _checkpoint_saved(state: RunState, body: CheckpointSaved, at: datetime) -> Change:
    node = _current(state, body.node, body.visit, body.attempt)
    if node is None:
        return {}
    node = replace(node, checkpoint=(body.attempt, body.content))
    return {"nodes": {**state.nodes, body.node: node}}


def _spend(steps: tuple[Step, ...], node: str, used: Usage, known: int) -> tuple[Step, ...]:
    for i in _where(steps, node, known):
        if steps[i].node == node:
            return (*steps[:i], replace(steps[i], usage=steps[i].usage.plus(used)), *steps[i + 1 :])
    return steps


def _model_retried(state: RunState, body: ModelRetried, at: datetime) -> Change:
    node = state.nodes.get(body.node)
    if node is None:
        return {}
    return {"nodes": {**state.nodes, body.node: replace(node, http_retries=node.http_retries + 1)}}


def _approval_requested(state: RunState, body: ApprovalRequested, at: datetime) -> Change:
    node = state.nodes.get(body.node)
    change: Change = {"approvals": {**state.approvals, body.approval_id: Approval(body, at)}}
    if node is not None:
        change["nodes"] = {**state.nodes, body.node: replace(node, status="asking")}
        if body.node not in state.unended:
            change["unended"] = (*state.unended, body.node)
        change["steps"] = tuple(
            replace(s, status="asking") if s.node == body.node and s.ended_at is None else s
            for s in state.steps
        )
    return change


def _decision_given(state: RunState, body: DecisionGiven, at: datetime) -> Change:
    approval = state.approvals.get(body.approval_id)
    if approval is None:
        return {}
    fits = (
        approval.decision is None
        and approval.resolved is None
        and body.digest in ("", approval.asked.digest)
        and (body.decision != "edit" or body.edited is not None)
        and (approval.asked.wants == "decision" or body.decision in ("edit", "reject"))
    )
    if not fits:
        return {"approvals": _late(state, body)}
    return {
        "approvals": {**state.approvals, body.approval_id: replace(approval, decision=body, decided_at=at)}
    }


def _late(state: RunState, body: DecisionGiven) -> dict[ApprovalId, Approval]:
    approval = state.approvals[body.approval_id]
    return {**state.approvals, body.approval_id: replace(approval, late=(*approval.late, body))}


_OUTCOMES: dict[str, Outcome] = {
    "approve": "success",
    "edit": "success",
    "changes": "changes",
    "reject": "rejected",
}


def _approval_resolved(state: RunState, body: ApprovalResolved, at: datetime) -> Change:
    approval = state.approvals.get(body.approval_id)
    if approval is None or approval.resolved is not None:
        return {}
    asked = approval.asked
    if body.outcome == "withdrawn":  # its step is skipped; that says what follows
        return {"approvals": {**state.approvals, body.approval_id: replace(approval, resolved=body)}}
    if body.outcome == "expired":
        outcome: Outcome = {"expire": "expired", "reject": "rejected", "approve": "success"}[asked.on_expiry]  # type: ignore[assignment]
    else:
        outcome = _OUTCOMES[body.outcome]
    node = state.nodes[body.node]
    change: Change = {
        "approvals": {**state.approvals, body.approval_id: replace(approval, resolved=body)},
        "nodes": {**state.nodes, body.node: replace(node, status="done", ended_at=at)},
        "unended": _without(state.unended, body.node),
        "steps": _close(state.steps, body.node, "done", at, None),
        "frontier": (*state.frontier, Finished(body.node, outcome)),
    }
    if body.output is not None and body.output != state.latest(asked.of):
        change["outputs"] = {**state.outputs, asked.of: (*state.outputs.get(asked.of, ()), body.output)}
    if body.outcome == "changes" and body.comment:
        change["comments"] = (*state.comments, body.comment)
    return change


def _steered(state: RunState, body: Steered, at: datetime) -> Change:
    if any(s.key == body.key for s in state.steered):
        return {}
    return {"steered": (*state.steered, body)}


def _stop_requested(state: RunState, body: StopRequested, at: datetime) -> Change:
    return {"stop": state.stop or body}


def _pause_requested(state: RunState, body: PauseRequested, at: datetime) -> Change:
    return {"pause_wanted": True}


def _resume_requested(state: RunState, body: ResumeRequested, at: datetime) -> Change:
    return {"pause_wanted": False}


def _feedback_given(state: RunState, body: FeedbackGiven, at: datetime) -> Change:
    return {"feedback": {**state.feedback, body.who.key: body}}


_CHANGES: dict[type, Callable[..., Change]] = {
    RunCreated: _run_created,
    RunStarted: _run_started,
    RunPaused: _run_paused,
    RunResumed: _run_resumed,
    RunEnded: _run_ended,
    StepStarted: _step_started,
    StepEnded: _step_ended,
    StepFailed: _step_failed,
    BranchTaken: _branch_taken,
    EdgesTaken: _edges_taken,
    BranchDropped: _branch_dropped,
    StepSkipped: _step_skipped,
    GroupStarted: _group_started,
    AgentAssigned: _agent_assigned,
    CheckpointSaved: _checkpoint_saved,
    ModelAnswered: _recorded,
    ToolReturned: _recorded,
    OutputSentBack: _recorded,
    ModelRetried: _model_retried,
    ApprovalRequested: _approval_requested,
    DecisionGiven: _decision_given,
    ApprovalResolved: _approval_resolved,
    Steered: _steered,
    StopRequested: _stop_requested,
    PauseRequested: _pause_requested,
    ResumeRequested: _resume_requested,
    FeedbackGiven: _feedback_given,
}
