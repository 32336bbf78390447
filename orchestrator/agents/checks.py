"""What we do with an agent's output before it counts. Pure.

Sources are numbered 1..n and their quotes compared with what tools really returned; claims without
a source are marked; plans must hang together; a review says whether it repeats an earlier one; a report's
issues stand once each, the worst first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from orchestrator.artifacts import (
    Draft,
    Finding,
    Issue,
    MadeFile,
    Plan,
    Report,
    ResearchBrief,
    Review,
    Reviewed,
    Source,
)
from orchestrator.events import Json

UNSOURCED = "(unsourced)"
UNVERIFIED = "(quote not verified)"
SEVERITIES = ("critical", "major", "minor", "info")  # the worst first
_CITATION = re.compile(r"(?<![\w\]])\[(\d{1,4}(?:\s*,\s*\d{1,4})*)\](?!\()")
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`)", re.DOTALL)


def tidy_brief(brief: ResearchBrief, seen: Sequence[str]) -> ResearchBrief:
    """Number sources 1..n, verify quotes, drop dangling ids, mark claims without a source.

    Args:
        seen: every text that tools returned or that came with the turn.
    """
    material = " ".join(_words(text) for text in seen)
    numbers: dict[int, int] = {}  # the model's number → ours
    known: dict[tuple[str, str], int] = {}
    sources: list[Source] = []
    for source in brief.sources:
        same = (source.url, _words(source.quoted))
        if same not in known:
            known[same] = len(sources) + 1
            quote = _words(source.quoted)
            title = source.title.replace(UNVERIFIED, "").strip()
            if not quote or quote not in material:
                title = f"{title} {UNVERIFIED}".strip()
            sources.append(source.model_copy(update={"id": known[same], "title": title}))
        numbers.setdefault(source.id, known[same])
    findings: list[Finding] = []
    for finding in brief.findings:
        ids = list(dict.fromkeys(numbers[i] for i in finding.source_ids if i in numbers))
        claim = finding.claim.replace(UNSOURCED, "").strip()
        findings.append(Finding(claim=claim if ids else f"{claim} {UNSOURCED}", source_ids=ids))
    summary = _renumber(brief.summary, numbers)
    return brief.model_copy(update={"summary": summary, "findings": findings, "sources": sources})


def _renumber(text: str, numbers: Mapping[int, int]) -> str:
    def replace(match: re.Match[str]) -> str:
        ids = [int(n) for n in match[1].split(",")]
        kept = [str(numbers[i]) for i in ids if i in numbers]
        return f"[{', '.join(kept)}]" if kept else ""

    return _CITATION.sub(replace, text)


def plan_flaw(plan: Plan) -> str | None:
    """Why the plan does not hang together, for whoever wrote it; None: it does."""
    ids = [task.id for task in plan.tasks]
    double = sorted({i for i in ids if ids.count(i) > 1})
    if double:
        return f"Task ids must be unique; these occur more than once: {', '.join(double)}."
    for task in plan.tasks:
        unknown = sorted(set(task.depends_on) - set(ids))
        if unknown:
            return (
                f"Task {task.id!r} depends on unknown tasks: {', '.join(unknown)}. "
                f"Tasks are {', '.join(ids)}."
            )
    left = {task.id: set(task.depends_on) for task in plan.tasks}
    while free := [i for i, needs in left.items() if not needs]:
        for i in free:
            del left[i]
        for needs in left.values():
            needs.difference_update(free)
    if left:
        return f"These tasks depend on each other in a circle: {', '.join(sorted(left))}."
    return None


def mark_citations(draft: Draft, known: Iterable[int]) -> Draft:
    """Mark `[n]` in the body that no source stands behind; code is left alone."""
    ids = set(known)

    def replace(match: re.Match[str]) -> str:
        numbers = [int(n) for n in match[1].split(",")]
        if all(n in ids for n in numbers):
            return match[0]
        good = [str(n) for n in numbers if n in ids]
        bad = [str(n) for n in numbers if n not in ids]
        kept = f"[{', '.join(good)}] " if good else ""
        return f"{kept}(no source {', '.join(bad)})"

    pieces = _CODE.split(draft.body)
    body = "".join(p if i % 2 else _CITATION.sub(replace, p) for i, p in enumerate(pieces))
    return draft if body == draft.body else draft.model_copy(update={"body": body})


def reviewed(review: Review, previous: Sequence[Json]) -> Reviewed:
    """The review as the log keeps it; repeated if there was an earlier one, and nothing is new in this."""
    fields = {name: getattr(review, name) for name in Review.model_fields}
    earlier = {
        _words(str(finding.get("problem", "")))
        for one in previous
        for finding in cast(list[Mapping[str, Any]], one.get("findings") or [])
    }
    repeated = bool(previous) and all(_words(f.problem) in earlier for f in review.findings)
    return Reviewed(**fields, repeated=repeated)


def tidy_report(report: Report) -> Report:
    """Issues once each and the worst first, items without empty ones, the newest file of each name."""
    issues: dict[tuple[str, str], Issue] = {}
    for issue in sorted(report.issues, key=lambda i: SEVERITIES.index(i.severity)):
        issues.setdefault((issue.where.strip(), _words(issue.problem) or issue.problem), issue)
    items = dict.fromkeys(text for item in report.items if (text := " ".join(item.split())))
    files: dict[str, MadeFile] = {file.name: file for file in report.files if file.name.strip()}
    return report.model_copy(
        update={"issues": list(issues.values()), "items": list(items), "files": list(files.values())}
    )


def texts_in(value: object) -> Iterable[str]:
    """Every string in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in cast(Mapping[str, object], value).values():
            yield from texts_in(item)
    elif isinstance(value, Sequence):
        for item in cast(Sequence[object], value):
            yield from texts_in(item)


def _words(text: str) -> str:
    """Text without case, markup and punctuation, for comparing."""
    return " ".join(re.findall(r"\w+", text.casefold()))
