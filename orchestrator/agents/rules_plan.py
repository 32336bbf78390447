"""The planner by rules: a plan from the form of the turn, and from what people asked to change. Pure."""

from __future__ import annotations

import re
from typing import Literal

from orchestrator.agents.rules_research import ONLY_NEAR
from orchestrator.agents.rules_text import shortened, stems
from orchestrator.agents.rules_turn import compared, earlier_questions, is_follow_up
from orchestrator.artifacts import Plan, PlanTask, ResearchBrief
from orchestrator.ports import StepInput

Form = Literal["compare", "how", "list", "write", "files", "question"]

_TASKS: dict[Form, list[tuple[str, str, str]]] = {
    "question": [
        ("answer", "Answer", "The first paragraph answers the question, with its source."),
        ("details", "Details", "Each further point has its source."),
    ],
    "how": [
        ("answer", "How to do it", "One paragraph says what to do, with its source."),
        ("details", "What else to know", "Each further point has its source."),
    ],
    "list": [
        ("list", "List", "Every entry has its source."),
        ("details", "Details", "What must be known about the entries."),
    ],
    "write": [
        ("opening", "Opening", "Says what the text is about."),
        ("body", "Main part", "Every claim has its source."),
    ],
    "files": [
        ("answer", "Summary", "The main points of the attached files."),
        ("details", "Further points", "What else the files say, each with its source."),
    ],
}


NEAREST = "The nearest passage"
TEMPLATE_TITLES = frozenset(title for rows in _TASKS.values() for _, title, _ in rows) | {
    "Side by side",
    "What could not be found",
    NEAREST,
}
"""Titles that say nothing of the subject; a task that a person renamed says what belongs into it."""


def form(text: str, *, with_files: bool = False) -> Form:
    """What kind of answer a turn asks for."""
    t = text.casefold().strip()
    if compared(text):
        return "compare"
    if re.search(r"\b(how (do|can|to|should|would|does)|steps? to|set ?up|guide|instructions? for)\b", t):
        return "how"
    if with_files and re.search(r"\b(summar|attached|file|document)", t):
        return "files"
    if re.match(r"(please )?(list|name|enumerate)\b|which .*\b(are|exist)\b|what are\b", t):
        return "list"
    if re.match(r"(please )?(write|draft|compose|create|prepare)\b", t):
        return "write"
    return "files" if with_files and not t.endswith("?") else "question"


def plan(step: StepInput, brief: ResearchBrief) -> Plan:
    """A plan for the turn."""
    kind = form(step.turn.text, with_files=any(f.text for f in step.turn.files))
    tasks = _tasks(kind, step) if brief.findings else []
    if len(brief.findings) == 1 and kind != "compare":
        tasks = tasks[:1]  # there is nothing left for the details
    gaps = PlanTask(id="gaps", title="What could not be found", acceptance="Open questions are named.")
    if any(ONLY_NEAR in gap for gap in brief.gaps):
        # What is missing comes first, so that nobody takes the nearest passage for an answer.
        near = PlanTask(id="nearest", title=NEAREST, acceptance="It is called what it is.")
        tasks = [gaps, near]
    elif brief.gaps or not tasks:
        tasks.append(gaps)
    for number, comment in enumerate(filter(str.strip, step.comments), start=1):
        tasks = _changed(tasks, comment, number)
    for number, text in enumerate(filter(str.strip, step.steering), start=1):
        title = shortened(text, 80)
        tasks.append(
            PlanTask(id=f"steered-{number}", title=title, acceptance=f"Covers: {shortened(text, 300)}")
        )
    goal = shortened(step.turn.text, 300) or "Answer the request."
    if is_follow_up(step):
        goal += f" (after “{shortened(earlier_questions(step)[-1], 120)}”)"
    asked = [f"{k}: {v}" for k, v in step.turn.context.items()]
    risks = [f"Asked for: {shortened(a, 100)}." for a in asked] + list(brief.gaps)
    if not brief.findings:
        risks.append("Without sources the answer can only say what is missing.")
    return Plan(goal=goal, outline=[task.title for task in tasks], tasks=tasks, risks=risks)


def _tasks(kind: Form, step: StepInput) -> list[PlanTask]:
    if kind == "compare":
        sides = compared(step.turn.text) or ("", "")
        left, right = (shortened(re.sub(r"[?.!]+$", "", s), 60) for s in sides)
        rows = [
            ("left", left[:1].upper() + left[1:], f"What the sources say about {left}."),
            ("right", right[:1].upper() + right[1:], f"What the sources say about {right}."),
            ("both", "Side by side", "What the sources say about both."),
        ]
    else:
        rows = _TASKS[kind]
    made: list[PlanTask] = []
    for task_id, title, acceptance in rows:
        needs = [made[0].id] if made and kind != "compare" else []
        made.append(PlanTask(id=task_id, title=title or "Topic", depends_on=needs, acceptance=acceptance))
    return made


def _changed(tasks: list[PlanTask], comment: str, number: int) -> list[PlanTask]:
    """The tasks after a person's comment: something is left out, or something is added."""
    out = re.match(
        r"\s*(?:please\s+)?(?:no|drop|remove|without|leave out|skip)\s+(?:the\s+)?(.+)",
        comment,
        re.IGNORECASE,
    )
    if out:
        gone = stems(out[1])
        kept = [t for t in tasks if not gone or not gone <= stems(f"{t.id} {t.title}")]
        if kept and len(kept) < len(tasks):
            ids = {t.id for t in kept}
            return [t.model_copy(update={"depends_on": [d for d in t.depends_on if d in ids]}) for t in kept]
        if gone and any(gone <= stems(title) for title in TEMPLATE_TITLES):
            return tasks  # it is not in the plan anyway
    bare = re.sub(
        r"^\s*(?:please\s+)?(?:(?:also\s+)?(?:add|include|cover|mention)\s+)?",
        "",
        comment,
        flags=re.IGNORECASE,
    )
    title = shortened(bare or comment, 80) or f"Change {number}"
    return [
        *tasks,
        PlanTask(
            id=f"asked-{number}",
            title=title[:1].upper() + title[1:],
            acceptance=f"Covers what was asked for: {shortened(comment, 300)}",
        ),
    ]
