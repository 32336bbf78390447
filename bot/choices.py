"""What somebody may mean who is typing a command: workflows, runs, agents. Pure.

The best comes first: what begins with what is typed, then what holds all of its words anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from adapters.contract import Choice
from adapters.plain import clipped
from orchestrator.ports import AgentInfo, RunRow
from orchestrator.workflow import Workflow

MOST: Final = 25  # chat platforms take no more
LABEL_LENGTH: Final = 100


def of_workflows(workflows: Iterable[Workflow], typed: str) -> Sequence[Choice]:
    """Workflows by name, with what they are for."""
    return best(
        (_choice(w.name, f"{w.name}: {w.description or 'no description'}") for w in _by_name(workflows)),
        typed,
    )


def of_runs(rows: Iterable[RunRow], typed: str) -> Sequence[Choice]:
    """Runs in the order given, by id; the label begins with what was asked."""
    return best((_run(row) for row in rows), typed)


def of_agents(agents: Iterable[AgentInfo], typed: str) -> Sequence[Choice]:
    """Agents in the order given, by name."""
    return best((_choice(a.name, _agent(a)) for a in agents), typed)


def best(choices: Iterable[Choice], typed: str) -> Sequence[Choice]:
    """At most `MOST` of the choices that fit what is typed, the best first."""
    words = typed.casefold().split()
    begun = " ".join(words)
    fitting = [c for c in choices if all(word in f"{c.value} {c.label}".casefold() for word in words)]
    fitting.sort(key=lambda c: not (c.value.casefold().startswith(begun) or _label(c).startswith(begun)))
    return fitting[:MOST]


def _label(choice: Choice) -> str:
    return choice.label.casefold()


def _by_name(workflows: Iterable[Workflow]) -> list[Workflow]:
    return sorted(workflows, key=lambda w: w.name)


def _choice(value: str, label: str) -> Choice:
    return Choice(value=value, label=clipped(" ".join(label.split()), LABEL_LENGTH))


def _run(row: RunRow) -> Choice:
    # Id and state are never cut off: two runs may have been asked for in the same words.
    tail = f" · {row.status} · {row.id}"
    title = clipped(" ".join(row.text.split()) or "no text", LABEL_LENGTH - len(tail))
    return Choice(value=row.id, label=f"{title}{tail}")


def _agent(agent: AgentInfo) -> str:
    return ": ".join(bit for bit in (agent.title or agent.name, ", ".join(agent.capabilities)) if bit)
