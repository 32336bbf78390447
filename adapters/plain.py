"""A card as plain text: everything that is on it, readable without any drawing. Pure.

The terminal prints it, Slack sends it as a message's top-level text (screen readers and
notifications read that), and tests compare what each platform shows with it.
"""

from __future__ import annotations

import base64
import re

from adapters.contract import AgentRow, Card, CardPart, ImagePart, PlanPart, SourceLine, TaskLine

_HARMFUL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Line breaks made the same; control characters and halves of characters left out."""
    return _HARMFUL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def clipped(text: str, most: int) -> str:
    """At most `most` characters: what is longer ends with `…`."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def card_text(card: Card) -> str:
    """The full content of a card as plain text, in Markdown where the card holds Markdown.

    Nothing is cut. Blocks are separated by an empty line; the text ends without a line break.
    """
    head = " · ".join(bit for bit in (card.title, card.status, card.label) if bit)
    blocks = [head, *(_part_text(part) for part in card.parts)]
    if card.buttons:
        blocks.append("Buttons: " + ", ".join(button.label for button in card.buttons))
    return "\n\n".join(block for block in blocks if block)


def row_facts(row: AgentRow) -> tuple[str, ...]:
    """What an agent's line counts: seconds, tokens, cost; without what is not known yet."""
    facts: list[str] = []
    if row.seconds is not None:
        facts.append(seconds_text(row.seconds))
    if row.tokens:
        facts.append(f"{row.tokens:,} tokens")
    if row.cost_usd is not None:
        facts.append(cost_text(row.cost_usd))
    return tuple(facts)


def png_bytes(part: ImagePart) -> bytes:
    """A picture's PNG; empty where there is none, or what is there is none."""
    try:
        content = base64.b64decode(part.png, validate=True)
    except ValueError:
        return b""
    return content if content.startswith(b"\x89PNG\r\n\x1a\n") else b""


def seconds_text(seconds: float) -> str:
    """Seconds as people read them: `0.4 s`, `12 s`, `3 min 05 s`."""
    if seconds < 0.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def cost_text(cost_usd: float) -> str:
    """US dollars with as many digits as small sums need: `$1.20`, `$0.0042`."""
    return f"${cost_usd:.2f}" if cost_usd >= 1 or cost_usd == 0 else f"${cost_usd:.4f}"


def _part_text(part: CardPart) -> str:
    match part.kind:
        case "markdown":
            return part.text
        case "rows":
            return "\n".join(_row_text(row) for row in part.rows)
        case "plan":
            return _plan_text(part)
        case "sources":
            return "\n".join(["Sources:", *(_source_text(source) for source in part.sources)])
        case "facts":
            return "\n".join(f"{label}: {value}" for label, value in part.facts)
        case "notes":
            return "\n".join([f"{part.title}:", *(f"- {note}" for note in part.notes)])
        case "file":
            return f"File: {part.name} ({part.media_type})\n\n{part.text}"
        case "image":
            return f"Picture: {part.alt}"


def _row_text(row: AgentRow) -> str:
    said = f"{row.name}: {row.state}"
    if row.doing:
        said += f", {row.doing}"
    facts = row_facts(row)
    return f"- {said} ({', '.join(facts)})" if facts else f"- {said}"


def _plan_text(plan: PlanPart) -> str:
    lines = [f"Goal: {plan.goal}"]
    if plan.outline:
        lines += ["", "Outline:", *(f"- {section}" for section in plan.outline)]
    if plan.tasks:
        lines += ["", "Tasks:", *(_task_text(task) for task in plan.tasks)]
    if plan.risks:
        lines += ["", "Risks:", *(f"- {risk}" for risk in plan.risks)]
    return "\n".join(lines)


def _task_text(task: TaskLine) -> str:
    facts = [task.state] if task.state else []
    if task.depends_on:
        facts.append(f"after {', '.join(task.depends_on)}")
    text = f"- {task.id}: {task.title}" + (f" ({'; '.join(facts)})" if facts else "")
    return f"{text}\n  Done when: {task.acceptance}" if task.acceptance else text


def _source_text(source: SourceLine) -> str:
    text = f"[{source.number}] {source.title} ({source.url})"
    if not source.quoted:
        return text
    quoted = source.quoted.replace("\n", "\n    > ")
    return f"{text}\n    > {quoted}"
