"""The reviewer by rules: citations, coverage of the plan, form, length. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orchestrator.agents.rules_text import blocks, shortened
from orchestrator.artifacts import Draft, Edit, Plan, ResearchBrief, Review, ReviewFinding
from orchestrator.ports import StepInput

PENALTY = {"minor": 0.5, "major": 1.5, "critical": 4.0}
GOOD = 7.0
SHORT_WORDS = 350
NOTHING, LITTLE = 3.0, 5.0  # the most that an answer gets which found nothing, or only a part
_OURS = re.compile(r"^(_.*_|Source: .*|The sources say nothing about .*)$", re.DOTALL)


def review(step: StepInput, brief: ResearchBrief, plan: Plan | None, draft: Draft) -> Review:
    """Judge the draft; without a plan not whether it covers one."""
    findings = [
        *_empty(draft),
        *(_covered(plan, draft) if plan is not None else ()),
        *_cited(brief, draft),
        *_form(draft),
        *_sized(step, draft),
        *_honest(brief),
    ]
    score = min(scored(findings), _most(brief))
    return Review(score=score, findings=findings, verdict="accept" if score >= GOOD else "revise")


def scored(findings: Sequence[ReviewFinding]) -> float:
    """The score that remarks leave."""
    score = max(0.0, 10.0 - sum(PENALTY[f.severity] for f in findings))
    if any(f.severity == "critical" for f in findings):
        score = min(score, GOOD - 1)
    return round(score, 1)


def formal(step: StepInput, draft: Draft) -> list[ReviewFinding]:
    """What can be said of a text without knowing what it stands on."""
    return [*_empty(draft), *_form(draft), *_sized(step, draft)]


def _empty(draft: Draft) -> list[ReviewFinding]:
    if not draft.body.strip():
        return [ReviewFinding(severity="critical", where="whole answer", problem="The answer is empty.")]
    found: list[ReviewFinding] = []
    sections = re.split(r"(?m)^## +", draft.body)[1:]
    for section in sections:
        title, _, text = section.partition("\n")
        if not text.strip():
            found.append(
                ReviewFinding(severity="major", where=title.strip(), problem="The section is empty.")
            )
    return found


def _covered(plan: Plan, draft: Draft) -> list[ReviewFinding]:
    results = {r.task_id: r for r in draft.task_results}
    found: list[ReviewFinding] = []
    for task in plan.tasks:
        result = results.get(task.id)
        if result is None:
            problem = f"The task “{shortened(task.title, 80)}” of the plan is not in the draft."
            found.append(ReviewFinding(severity="major", where=task.id, problem=problem))
        elif not result.done:
            problem = f"No source fits the task “{shortened(task.title, 80)}”; the answer says so."
            found.append(ReviewFinding(severity="minor", where=task.id, problem=problem))
    return found


def _cited(brief: ResearchBrief, draft: Draft) -> list[ReviewFinding]:
    found: list[ReviewFinding] = []
    known = {s.id for s in brief.sources}
    used = {int(n) for n in re.findall(r"\[(\d{1,4})\]", draft.body)}
    if unknown := sorted(used - known):
        listed = ", ".join(f"[{n}]" for n in unknown)
        found.append(
            ReviewFinding(severity="major", where="citations", problem=f"No source stands behind {listed}.")
        )
    if not brief.sources:
        return found
    under = ""
    for block in blocks(draft.body):
        if block.text.startswith("#"):
            under = block.text.lstrip("# ")
            continue
        gaps = (
            block.kind == "list" and all(g in " ".join(block.text.split()) for g in brief.gaps) and brief.gaps
        )
        plain = block.kind in ("code", "table") or _OURS.match(block.text.strip()) or gaps
        if not plain and not re.search(r"\[\d+\]", block.text):
            where = under or "start"
            problem = f"No source is given for “{shortened(block.text, 80)}”."
            found.append(ReviewFinding(severity="major", where=where, problem=problem))
    return found


def _form(draft: Draft) -> list[ReviewFinding]:
    """Slips that can be mended exactly: a word written twice, a space too many."""
    found: list[ReviewFinding] = []
    prose = [b.text for b in blocks(draft.body) if b.kind in ("prose", "list")]
    for text in prose:
        for match in re.finditer(r"\b([A-Za-z]{2,}) \1\b", text):
            if match[1].casefold() in ("that", "had"):
                continue
            edit = _edit(draft.body, text, match.start(), match.end(), match[1])
            problem = f"The word “{match[1]}” stands there twice."
            found.append(ReviewFinding(severity="minor", where="wording", problem=problem, edit=edit))
        for match in re.finditer(r" ([,.;:])(?=\s|$)", text):
            edit = _edit(draft.body, text, match.start(), match.end(), match[1])
            problem = f"There is a space before “{match[1]}”."
            found.append(ReviewFinding(severity="minor", where="wording", problem=problem, edit=edit))
    return found[:6]


def _edit(body: str, text: str, start: int, end: int, right: str) -> Edit | None:
    """An edit whose `find` occurs once: it takes in as much around the slip as that needs."""
    for around in (0, 10, 25, 60, 150):
        a, b = max(0, start - around), min(len(text), end + around)
        find = text[a:b]
        if body.count(find) == 1:
            return Edit(find=find, replace=text[a:start] + right + text[end:b])
    return None


def _sized(step: StepInput, draft: Draft) -> list[ReviewFinding]:
    wished = " ".join(step.turn.context.values()).casefold()
    short = step.settings.verbosity == "short" or re.search(r"\b(short|brief|concise)\b", wished)
    count = len(draft.body.split())
    if short and count > SHORT_WORDS:
        problem = f"A short answer was asked for; this one has {count} words."
        return [ReviewFinding(severity="minor", where="length", problem=problem)]
    return []


def _honest(brief: ResearchBrief) -> list[ReviewFinding]:
    found = [ReviewFinding(severity="major", where="gaps", problem=f"It is open: {g}") for g in _open(brief)]
    if not brief.sources:
        problem = (
            "Nothing was found, so the answer can only say that. "
            "Add documents to the knowledge folder, or connect a model."
        )
        found.append(ReviewFinding(severity="major", where="sources", problem=problem))
    return found


def _open(brief: ResearchBrief) -> list[str]:
    """Gaps in what was asked; a file that cannot be read is named but is no part of the question."""
    return [gap for gap in brief.gaps if not gap.startswith("The attached file ")]


def _most(brief: ResearchBrief) -> float:
    """The best score that so much of an answer can get, however tidy the draft is."""
    if not brief.sources:
        return NOTHING
    return LITTLE if _open(brief) else 10.0
