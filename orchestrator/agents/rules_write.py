"""The builder by rules: one section for each task of the approved plan, made of extracts with [n]. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from orchestrator.agents import rules_plan
from orchestrator.agents.rules_plan import TEMPLATE_TITLES
from orchestrator.agents.rules_text import (
    Block,
    blocks,
    items,
    joined,
    keywords,
    overlap,
    sentences,
    shortened,
    stem,
    stems,
)
from orchestrator.agents.rules_turn import earlier_questions, is_follow_up
from orchestrator.artifacts import Draft, Finding, Plan, PlanTask, ResearchBrief, Reviewed, TaskResult
from orchestrator.ports import StepInput

Length = Literal["short", "normal", "full"]
Shape = Literal["", "bullets", "table", "prose"]
FOOTER = "_Put together by Quartet's rules engine: extracts from the sources, no language model._"
REMEDY = (
    "Quartet's rules engine answers only from the knowledge folder and from attached files. "
    "Add documents there, ask with other words, or connect a model (for example with `OPENAI_API_KEY`)."
)
_SHORT = re.compile(r"\b(short|shorter|brief|briefly|concise|tl;?dr|one paragraph)\b")
_LONG = re.compile(r"\b(long|longer|full|detailed|thorough|more detail)\b")
_LEADS = ("answer", "opening", "nearest")  # tasks that open the answer with its best extract


def draft(step: StepInput, brief: ResearchBrief, plan: Plan) -> Draft:
    """The answer in Markdown."""
    wished = " ".join([*step.turn.context.values(), *step.comments, *step.steering]).casefold()
    brief, unsaid = _aimed(step, brief, plan)
    length = _length(step, wished)
    shape = _shape(wished, step.turn.text.casefold())
    shares = _shares(plan.tasks, brief, length)
    parts = _opening(step)
    results: list[TaskResult] = []
    for task in plan.tasks:
        text = (
            _missing(brief)
            if task.id == "gaps"
            else _section(shares[task.id], shape, length, lead=task.id in _LEADS)
        )
        if not text and task.title in TEMPLATE_TITLES and brief.findings:
            # All that was found stands above: a section of ours without anything new is left out.
            results.append(TaskResult(task_id=task.id, done=True, note="nothing further was found"))
            continue
        done = bool(text or _fitting(task.title, brief))
        results.append(TaskResult(task_id=task.id, done=done, note="" if done else "no source fits"))
        parts.append(f"## {_plain(task.title)}\n\n{text or _nothing(task.title, brief)}")
    told = [finding for got in shares.values() for finding in got]
    for title in _other_sections(step, brief, plan):
        fresh = [f for f in _fitting(title, brief) if f not in told][:2]
        told += fresh
        parts.append(f"## {_plain(title)}\n\n{_section(fresh, shape, length) or _nothing(title, brief)}")
    return Draft(
        body=_revised("\n\n".join([*parts, *unsaid, *_unmet(step), FOOTER]), step), task_results=results
    )


def _aimed(step: StepInput, brief: ResearchBrief, plan: Plan) -> tuple[ResearchBrief, list[str]]:
    """The findings that an edited goal asks for first, and what it asks for that none of them speaks of."""
    if plan.goal == rules_plan.plan(step, brief).goal:
        return brief, []
    wanted = {stem(word): word for word in keywords(plan.goal)}
    fresh = frozenset(wanted) - stems(step.turn.text)
    if not fresh:
        return brief, []
    ranked = sorted(brief.findings, key=lambda f: -overlap(fresh, f"{_place(f, brief)} {f.claim}"))
    told = stems(" ".join(f"{_place(f, brief)} {f.claim}" for f in ranked))
    missing = [_plain(shortened(word, 40)) for name, word in wanted.items() if name in fresh - told]
    # A goal in a planner's own words says more than was searched for: only where nothing of it is there.
    note = f"_The sources found say nothing about {joined(f'“{w}”' for w in missing[:6])} of the goal._"
    return brief.model_copy(update={"findings": ranked}), [note] if fresh.isdisjoint(told) else []


def _nothing(title: str, brief: ResearchBrief) -> str:
    """Why a section has no extract: it stands in another section already, or there is none."""
    if fitting := _fitting(title, brief)[:1]:
        return f"The passage above speaks of this too. {_marks(fitting[0])}"
    return f"The sources say nothing about “{_plain(title)}”."


def _unmet(step: StepInput) -> list[str]:
    """Wishes of the turn that rules cannot meet, in one line."""
    wishes = dict(step.turn.context)
    if step.settings.language:
        wishes.setdefault("language", step.settings.language)
    left: list[str] = []
    for key, value in wishes.items():
        met = (
            (key == "length" and (_SHORT.search(value.casefold()) or _LONG.search(value.casefold())))
            or (key == "length" and value.casefold().strip() in ("normal", "medium"))
            or (key == "format" and (_shape(value.casefold(), "") or "markdown" in value.casefold()))
            or (key == "language" and re.match(r"en\b|en[-_]|english", value, re.IGNORECASE))
        )
        if not met:
            left.append(f"{_plain(shortened(key, 40))} “{_plain(shortened(value, 60))}”".replace("_", " "))
    return [f"_Not something rules can change: {', '.join(left)}._"] if left else []


def _missing(brief: ResearchBrief) -> str:
    """The gaps, and what helps when nothing at all was found."""
    if not brief.gaps:
        return ""
    remedy = "" if brief.findings else f"\n\n{REMEDY}"
    return _bullets(brief.gaps) + remedy


def _opening(step: StepInput) -> list[str]:
    asked = earlier_questions(step)
    if not asked or not is_follow_up(step):
        return []
    return [f"_Following on from your earlier question “{_plain(shortened(asked[-1], 140))}”._"]


def _length(step: StepInput, wished: str) -> Length:
    if _SHORT.search(wished):
        return "short"
    if _LONG.search(wished):
        return "full"
    return step.settings.verbosity


def _shape(wished: str, text: str) -> Shape:
    for words in (wished, text):
        if re.search(r"\btable\b", words):
            return "table"
        if re.search(r"\b(bullets?|bullet points?|as a list)\b", words):
            return "bullets"
        if re.search(r"\b(prose|paragraphs?|essay)\b", words):
            return "prose"
    return ""


def _shares(tasks: Sequence[PlanTask], brief: ResearchBrief, length: Length) -> dict[str, list[Finding]]:
    """Which findings each task gets: one with words of its own those that fit them, others the rest.

    No finding goes to two tasks.
    """
    most = {"short": 1, "normal": 3, "full": 8}[length]
    shares: dict[str, list[Finding]] = {}
    taken: list[Finding] = []
    lead = any(task.id in _LEADS and task.title in TEMPLATE_TITLES for task in tasks)
    kept = brief.findings[:1] if lead else []  # the best one opens the answer, whatever else fits it
    for task in tasks:
        if task.title not in TEMPLATE_TITLES:
            fitting = [f for f in _fitting(task.title, brief) if f not in taken]
            shares[task.id] = [f for f in fitting if f not in kept][: 2 if length == "normal" else most]
            taken += shares[task.id]
    left = [f for f in brief.findings if f not in taken]
    for task in tasks:
        if task.id not in shares:
            count = 0 if task.id == "gaps" else 1 if task.id in _LEADS else most
            shares[task.id] = left[:count]
            left = left[count:]
    return shares


def _fitting(title: str, brief: ResearchBrief) -> list[Finding]:
    wanted = stems(title)
    scored = [
        (overlap(wanted, f.claim) + 0.5 * overlap(wanted, _place(f, brief)), -n, f)
        for n, f in enumerate(brief.findings)
    ]
    return [f for score, _, f in sorted(scored, key=lambda s: s[:2], reverse=True) if score >= 0.3]


def _place(finding: Finding, brief: ResearchBrief) -> str:
    """Headings of the passages that a finding stands on."""
    return " ".join(s.title.split(" › ")[-1] for s in brief.sources if s.id in finding.source_ids)


def _other_sections(step: StepInput, brief: ResearchBrief, plan: Plan) -> list[str]:
    """Sections of the outline that a person added: those of tasks that were taken out go with them."""
    planned = rules_plan.plan(step, brief)
    ours = {t.title.casefold().strip() for t in [*plan.tasks, *planned.tasks]}
    ours |= {title.casefold() for title in TEMPLATE_TITLES}
    return [o for o in plan.outline if o.strip() and o.casefold().strip() not in ours]


def _section(findings: Sequence[Finding], shape: Shape, length: Length, *, lead: bool = False) -> str:
    if not findings:
        return ""
    if shape == "table" and not lead:
        rows = [f"| {_cell(_brief_text(f.claim, 'short'))} | {_marks(f)} |" for f in findings]
        return "\n".join(["| What the sources say | Source |", "| --- | --- |", *rows])
    if shape == "bullets":
        return _bullets([f"{_brief_text(f.claim, 'short')} {_marks(f)}" for f in findings])
    return "\n\n".join(_extract(f, shape, "short" if length == "short" else "normal") for f in findings)


def _extract(finding: Finding, shape: Shape, length: Length) -> str:
    """A finding with its marks after every paragraph and list item; code and tables keep their lines."""
    marks = _marks(finding)
    pieces: list[str] = []
    for block in blocks(finding.claim):
        if shape == "prose":
            text = " ".join(items(block.text)) if block.kind == "list" else " ".join(block.text.split())
            pieces.append(f"{text} {marks}" if block.kind != "code" else block.text)
        else:
            pieces.append(_marked(block, marks))
        if length == "short":
            break
    # A line that ends in a colon introduces what follows: both belong together.
    if length == "short" and pieces and re.search(r":\s*\[[\d, ]+\]$", pieces[0]):
        rest = blocks(finding.claim)[1:2]
        pieces += [_marked(b, marks) for b in rest]
    return "\n\n".join(pieces)


def _marked(block: Block, marks: str) -> str:
    if block.kind == "code":
        return f"{block.text}\n\nSource: {marks}"
    if block.kind == "table":
        return f"{block.text}\n\nSource: {marks}"
    if block.kind == "list":
        lines = block.text.split("\n")
        ends = [
            n
            for n in range(len(lines))
            if n + 1 == len(lines) or re.match(r"\s*([-*+]|\d+[.)])\s", lines[n + 1])
        ]
        return "\n".join(f"{line} {marks}" if n in ends else line for n, line in enumerate(lines))
    return f"{block.text} {marks}"


def _brief_text(claim: str, length: Length) -> str:
    prose = [b for b in blocks(claim) if b.kind == "prose"]
    if not prose:
        listed = items(claim)
        return "; ".join(i.rstrip(".;") for i in listed[:4]) if listed else shortened(claim, 300)
    found = sentences(prose[0].text)
    return " ".join(found[:1] if length == "short" else found) or shortened(claim, 300)


def _marks(finding: Finding) -> str:
    return " ".join(f"[{i}]" for i in finding.source_ids) or "(unsourced)"


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {' '.join(t.split())}" for t in texts)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _plain(text: str) -> str:
    return " ".join(text.split()).strip("# ")


def _revised(body: str, step: StepInput) -> str:
    """The body with the last review's exact edits, where each fits once."""
    for output in step.outputs.values():
        if "verdict" not in output:
            continue
        for finding in Reviewed.model_validate(output).findings:
            if finding.edit is not None and body.count(finding.edit.find) == 1:
                body = body.replace(finding.edit.find, finding.edit.replace)
    return body
