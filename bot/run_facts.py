"""Small things about a run in words: what it cost, how long it took, what it was given. Pure."""

from __future__ import annotations

import json
from typing import Any

from adapters.plain import clipped
from orchestrator.engine.state import RunState
from orchestrator.events import Engine, Usage

VALUE_LENGTH = 120  # characters of one input
INPUTS = 8  # of a run on its card


def label(state: RunState) -> str:
    """Shown on every card where no language model worked."""
    return "engine: rules" if state.created.engine == "rules" else ""


def money(usd: float | None) -> str:
    """A cost in words."""
    if usd is None:
        return "no known price"
    return f"${usd:.4f}" if usd < 1 else f"${usd:.2f}"


def duration(seconds: float) -> str:
    """Seconds in words."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def run_facts(state: RunState) -> tuple[tuple[str, str], ...]:
    """Which run it is, and what it used."""
    facts: list[tuple[str, str]] = [("Workflow", state.created.workflow), ("Run", state.run_id)]
    facts += _usage_facts(state.usage, state.created.engine)
    if state.ended_at is not None and state.started_at is not None:
        facts.append(("Time", duration((state.ended_at - state.started_at).total_seconds())))
    return tuple(facts)


def given_facts(state: RunState) -> tuple[tuple[str, str], ...]:
    """What was asked for besides the words of the turn: inputs, priority, deadline, where it was forked."""
    created = state.created
    facts: list[tuple[str, str]] = []
    if created.inputs:
        facts.append(("Inputs", _inputs(created.inputs)))
    if created.priority != "medium":
        facts.append(("Priority", created.priority))
    if created.deadline is not None:
        facts.append(("Deadline", f"{created.deadline:%Y-%m-%d %H:%M} UTC"))
    if created.forked is not None:
        facts.append(("Forked from", f"{created.forked.run_id} at {created.forked.node}"))
    return tuple(facts)


def _inputs(inputs: dict[str, Any]) -> str:
    said = [f"{name} {_value(value)}" for name, value in list(inputs.items())[:INPUTS]]
    more = len(inputs) - len(said)
    return ", ".join([*said, *([f"and {more} more"] if more else [])])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return clipped(" ".join(text.split()), VALUE_LENGTH) or "nothing"


def _usage_facts(usage: Usage, engine: Engine) -> list[tuple[str, str]]:
    tokens = f"{usage.input_tokens + usage.output_tokens:,}"
    if usage.input_tokens or usage.output_tokens:
        tokens += f" ({usage.input_tokens:,} in, {usage.output_tokens:,} out)"
        return [("Tokens", tokens), ("Cost", money(usage.cost_usd))]
    # A call that was broken off is not counted, but it was made.
    why = "no model was asked" if engine == "rules" else "no model has answered"
    return [("Tokens", tokens), ("Cost", f"nothing, {why}")]
