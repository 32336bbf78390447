"""A run's log as lines for people. Pure."""

from __future__ import annotations

from typing import assert_never

from orchestrator.events import Body, Usage


def describe(body: Body) -> str:
    """One fact in one line."""
    match body.type:
        case "run_created":
            return f"created by {body.turn.who.name}: workflow {body.workflow}, engine: {body.engine}"
        case "run_started":
            return "started"
        case "run_paused":
            return "paused"
        case "run_resumed":
            return "resumed"
        case "run_ended":
            why = body.problem.message if body.problem is not None else body.reason
            return f"ended: {body.status}" + (f" ({why})" if why else "")
        case "step_started":
            return f"{_step(body.node, body.visit, body.attempt)} started"
        case "step_ended":
            return f"{_step(body.node, body.visit, body.attempt)} done in {body.seconds:.1f} s"
        case "step_failed":
            again = "; it is tried again" if body.retry_at is not None else ""
            return f"{_step(body.node, body.visit, body.attempt)} failed: {body.problem.message}{again}"
        case "branch_taken":
            return f"{body.node} → {body.to or 'end'}" + (f" because {body.why}" if body.why else "")
        case "edges_taken":
            ways = ", ".join(body.to) or "end"
            return f"{body.node} → {ways}" + (" (skipped: it failed)" if body.dead else "")
        case "branch_dropped":
            return f"{body.node} went on without {', '.join(body.after)}"
        case "step_skipped":
            return f"{_step(body.node, body.visit, 1)} skipped: {body.why}"
        case "group_started":
            count = f" over {len(body.items)} items" if body.kind != "workflow" else ""
            return f"{_step(body.node, body.visit, body.attempt)} started as {_GROUPS[body.kind]}{count}"
        case "agent_assigned":
            who = f"{body.member} ({body.agent})" if body.member else body.agent
            return f"  {body.node}: {who} works" + (f", {body.why}" if body.why else "")
        case "checkpoint_saved":
            return f"  {body.node}: saved where it stands"
        case "model_answered":
            return f"  {body.node}: {body.provider}:{body.model} answered, {usage_text(body.usage)}"
        case "tool_returned":
            return f"  {body.node}: tool {body.tool} " + ("returned" if body.ok else "failed")
        case "model_retried":
            status = body.status if body.status is not None else "no connection"
            return f"  {body.node}: model call failed ({status}), again in {body.delay_s:.1f} s"
        case "output_sent_back":
            return f"  {body.node}: the answer did not fit and was sent back: {body.reason}"
        case "approval_requested":
            return f"{body.node} asks: {body.title} ({body.approval_id})"
        case "decision_given":
            said = f": {body.comment}" if body.comment else ""
            return f"{body.who.name} says {body.decision} to {body.approval_id}{said}"
        case "approval_resolved":
            by = f" by {body.who.name}" if body.who is not None else ""
            return f"{body.node} settled: {body.outcome}{by}"
        case "steered":
            return f"{body.who.name} tells the agents: {body.text}"
        case "stop_requested":
            return f"{body.who.name} asks to stop" + (f": {body.reason}" if body.reason else "")
        case "pause_requested":
            return f"{body.who.name} asks to pause"
        case "resume_requested":
            return f"{body.who.name} asks to go on"
        case "feedback_given":
            said = f": {body.comment}" if body.comment else ""
            return f"{body.who.name} says that the answer is {'good' if body.good else 'not good'}{said}"
        case _:  # pyright: ignore[reportUnnecessaryComparison]
            assert_never(body)


_GROUPS = {"map": "a map", "workflow": "a workflow", "undo": "the undoing"}


def usage_text(usage: Usage) -> str:
    """Tokens and cost."""
    cost = f", ${usage.cost_usd:.4f}" if usage.cost_usd is not None else ""
    return f"{usage.input_tokens + usage.output_tokens:,} tokens{cost}"


def _step(node: str, visit: int, attempt: int) -> str:
    more = [f"visit {visit}"] if visit > 1 else []
    more += [f"attempt {attempt}"] if attempt > 1 else []
    return f"{node} ({', '.join(more)})" if more else node
