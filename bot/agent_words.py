"""An agent in words, for lists and for itself: the same in chat and in the terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.ports import AgentInfo

NOTHING = "–"
_MARKS = {"idle": "○", "busy": "●", "error": "!", "offline": "×"}  # beside the word, for those who skim


def model(info: AgentInfo) -> str:
    """What plays it: "openai:gpt-5", "engine: rules", or where it works."""
    if info.model == "rules":
        return "engine: rules"
    return info.model or f"runs elsewhere ({info.origin})"


def load(info: AgentInfo) -> str:
    """Steps under way, of those it takes: "1 of 4"."""
    return f"{info.load} of {info.max_concurrent}" if info.max_concurrent else str(info.load)


def success(info: AgentInfo) -> str:
    """How often its steps end well: "96 % of 31"."""
    return NOTHING if info.success_rate is None else f"{info.success_rate * 100:.0f} % of {info.steps:,}"


def mean(info: AgentInfo) -> str:
    """How long its steps take."""
    return NOTHING if info.mean_s is None else f"{info.mean_s:.1f} s"


def short(info: AgentInfo) -> str:
    """An agent in one line, behind its name."""
    can = ", ".join(info.capabilities) or "no capabilities named"
    bits = [f"{_MARKS[info.status]} {info.status}", can, model(info)]
    if info.load:
        bits.insert(1, f"works on {load(info)}")
    if info.success_rate is not None:
        bits.append(f"{info.success_rate * 100:.0f} % well")
    return " · ".join(bits)


def facts(info: AgentInfo) -> tuple[tuple[str, str], ...]:
    """All that there is to say of an agent: (label, value)."""
    rows = [
        ("name", info.name),
        ("capabilities", ", ".join(info.capabilities) or "none named"),
        ("model", model(info)),
        ("tools", ", ".join(info.tools) or "none"),
        ("priority", info.priority),
        ("status", f"{info.status}: {info.trouble}" if info.trouble else info.status),
        ("load", load(info)),
        ("success", success(info)),
        ("mean time", mean(info)),
    ]
    return tuple(rows)


def as_json(info: AgentInfo) -> dict[str, Any]:
    """For programs."""
    return {
        "name": info.name,
        "title": info.title,
        "capabilities": list(info.capabilities),
        "model": info.model,
        "tools": list(info.tools),
        "priority": info.priority,
        "status": info.status,
        "trouble": info.trouble,
        "working": info.load,
        "max_concurrent": info.max_concurrent,
        "steps": info.steps,
        "success_rate": info.success_rate,
        "mean_seconds": info.mean_s,
        "origin": info.origin,
    }


def table(infos: Sequence[AgentInfo]) -> list[str]:
    """Lines of a list in the terminal, the capabilities of each below it."""
    lines: list[str] = []
    for info in infos:
        lines.append(f"{info.name}: {', '.join(info.capabilities) or 'no capabilities named'}")
        status = f"{info.status} ({info.trouble})" if info.trouble else info.status
        figures = f"success {success(info)} · mean {mean(info)}"
        lines.append(f"  {model(info)} · {status} · working on {load(info)} · {figures}")
    return lines
