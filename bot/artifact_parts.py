"""What a question is about, as parts of a card that people can read. Pure.

Hand-overs that we know are laid out as what they are; any other JSON as labelled values and lists. Nothing is
cut without saying so: what would be too much for a card is attached as a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from pydantic import ValidationError

from adapters.contract import (
    CardPart,
    FactsPart,
    FilePart,
    MarkdownPart,
    NotesPart,
    PlanPart,
    RowState,
    SourceLine,
    SourcesPart,
    TaskLine,
)
from bot.team_cards import team_parts
from orchestrator.artifacts import (
    Artifact,
    Delegation,
    Draft,
    Issue,
    MadeFile,
    Plan,
    Report,
    ResearchBrief,
    Reviewed,
    TeamPlan,
    WorkflowDraft,
)
from orchestrator.events import Json

MOST_FILES: Final = 5  # attached to a question
MOST_VALUES: Final = 60  # of JSON that we do not know, on a card
MOST_ITEMS: Final = 100  # in one list
_KNOWN: tuple[type[Artifact], ...] = (
    Plan,
    TeamPlan,
    WorkflowDraft,
    Report,
    Draft,
    ResearchBrief,
    Reviewed,
    Delegation,
)
_PROSE = frozenset({"body", "text", "markdown", "summary", "explanation", "description"})


def artifact_of(arguments: Json | None) -> Artifact | None:
    """The hand-over that these arguments are; None: none that we know."""
    if not arguments:
        return None
    for kind in _KNOWN:
        try:
            return kind.model_validate(arguments)
        except ValidationError:
            continue
    return None


def as_plan(arguments: Json | None) -> Plan | None:
    """The plan that these arguments are; None if they are none."""
    found = artifact_of(arguments)
    return found if isinstance(found, Plan) else None


def plan_part(plan: Plan, state: RowState | None = "waiting", done: frozenset[str] = frozenset()) -> PlanPart:
    """A plan as part of a card; `state` is that of the tasks that are not done, None shows none."""
    return PlanPart(
        goal=plan.goal,
        outline=tuple(plan.outline),
        risks=tuple(plan.risks),
        tasks=tuple(
            TaskLine(
                id=t.id,
                title=t.title,
                acceptance=t.acceptance,
                depends_on=tuple(t.depends_on),
                state="done" if t.id in done else state,
            )
            for t in plan.tasks
        ),
    )


def parts_of(arguments: Json) -> list[CardPart]:
    """What a question is about, to be read before deciding on it."""
    match artifact_of(arguments):
        case Plan() as plan:
            return [plan_part(plan, state=None)]  # it is the plan that is in question, not the work
        case TeamPlan():
            return list(team_parts(arguments) or ())
        case WorkflowDraft() as draft:
            return _workflow(draft)
        case Report() as report:
            return _report(report)
        case Draft() as draft:
            return [*_prose(draft.body), *_open_tasks(draft), *_files(draft.files)]
        case ResearchBrief() as brief:
            return _brief(brief)
        case Reviewed() as review:
            return _review(review)
        case Delegation() as next_one:
            return _delegation(next_one)
        case _:
            return _anything(arguments)


# ── hand-overs that we know ──────────────────────────────────────────────────────────────────


def _prose(text: str) -> list[CardPart]:
    return [MarkdownPart(text=text)] if text.strip() else []


def _notes(title: str, notes: Sequence[str]) -> list[CardPart]:
    """A list; where it is too long, how many are left out of it."""
    if not notes:
        return []
    left = len(notes) - MOST_ITEMS
    shown = [*notes[:MOST_ITEMS], f"… and {left:,} more, left out here"] if left > 0 else [*notes]
    return [NotesPart(title=title, notes=tuple(shown))]


def _facts(*facts: tuple[str, str]) -> list[CardPart]:
    found = tuple((name, value) for name, value in facts if value.strip())
    return [FactsPart(facts=found)] if found else []


def _files(files: Sequence[MadeFile]) -> list[CardPart]:
    """The first files whole, the others by name."""
    parts: list[CardPart] = [
        FilePart(name=f.name, media_type=f.media_type, text=f.text) for f in files[:MOST_FILES]
    ]
    left = [f"{f.name}, {len(f.text):,} characters" for f in files[MOST_FILES:]]
    return [*parts, *_notes("Further files, not attached here", left)]


def _report(report: Report) -> list[CardPart]:
    return [
        *_prose(report.body),
        *_facts(("Outcome", "" if report.outcome == "done" else report.outcome)),
        *_notes("Issues", [_issue(issue) for issue in report.issues]),
        *_notes("Items", report.items),
        *_files(report.files),
    ]


def _issue(issue: Issue) -> str:
    where = f" ({issue.where})" if issue.where.strip() else ""
    said = f"{issue.severity}{where}: {issue.problem}"
    return f"{said}\nRemedy: {issue.remedy}" if issue.remedy.strip() else said


def _open_tasks(draft: Draft) -> list[CardPart]:
    left = [f"{r.task_id}: {r.note or 'not done'}" for r in draft.task_results if not r.done]
    return _notes("Not done", left)


def _brief(brief: ResearchBrief) -> list[CardPart]:
    findings = [
        finding.claim + "".join(f" [{number}]" for number in finding.source_ids) for finding in brief.findings
    ]
    sources = [SourceLine(number=s.id, title=s.title, url=s.url, quoted=s.quoted) for s in brief.sources]
    return [
        *_prose(brief.summary),
        *_notes("Findings", findings),
        *([SourcesPart(sources=tuple(sources))] if sources else []),
        *_notes("Not found out", brief.gaps),
    ]


def _review(review: Reviewed) -> list[CardPart]:
    found = [
        f"{f.severity} ({f.where}): {f.problem}" if f.where.strip() else f"{f.severity}: {f.problem}"
        for f in review.findings
    ]
    return [
        *_facts(("Score", f"{review.score:g} of 10"), ("Verdict", review.verdict)),
        *_notes("Findings", found),
    ]


def _workflow(draft: WorkflowDraft) -> list[CardPart]:
    schedule = f"{draft.schedule} ({draft.time_zone or 'the default time zone'})" if draft.schedule else ""
    return [
        *_prose(draft.explanation),
        *_facts(("Schedule", schedule)),
        FilePart(name="workflow.yaml", media_type="application/yaml", text=draft.yaml),
    ]


def _delegation(delegation: Delegation) -> list[CardPart]:
    return _facts(
        ("Next", delegation.member or ("nobody: it is done" if delegation.done else "")),
        ("Task", delegation.task),
        ("Why", delegation.reason),
    )


# ── anything else ────────────────────────────────────────────────────────────────────────────


def _anything(arguments: Json) -> list[CardPart]:
    """Values by their names, lists as lists. What is too much is in a file that goes with the card."""
    if not arguments:
        return [MarkdownPart(text="It is about nothing in particular: no values were handed over.")]
    said = list(_values("", arguments))
    parts: list[CardPart] = []
    facts: list[tuple[str, str]] = []
    cut = any(len(value) > MOST_ITEMS for _, value in said if isinstance(value, tuple))
    for name, value in said[:MOST_VALUES]:
        if isinstance(value, str) and name not in _PROSE:
            facts.append((name, value))
            continue
        if facts:
            parts.append(FactsPart(facts=tuple(facts)))
            facts = []
        parts += _prose(value) if isinstance(value, str) else _notes(name, value)
    if facts:
        parts.append(FactsPart(facts=tuple(facts)))
    left = len(said) - MOST_VALUES
    if left > 0:
        parts.append(
            NotesPart(title="Left out here", notes=(f"{left:,} further values; all are in the file below.",))
        )
    if left > 0 or cut:
        text = json.dumps(arguments, indent=2, ensure_ascii=False)
        parts.append(FilePart(name="whole.json", media_type="application/json", text=text))
    return parts


def _values(path: str, value: Any) -> Iterator[tuple[str, str | tuple[str, ...]]]:
    """Each value with its name; a list of plain values is one."""
    if isinstance(value, dict) and value:
        for name, inner in cast("Json", value).items():
            yield from _values(f"{path} › {name}" if path else name, inner)
    elif isinstance(value, list) and value:
        items = cast("list[Any]", value)
        if any(_is_nested(item) for item in items):
            for number, item in enumerate(items, start=1):
                yield from _values(f"{path} › {number}", item)
        else:
            yield path, tuple(map(_said, items))
    else:
        yield path, _said(value)


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(cast("Json | list[Any]", value))


def _said(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
