"""Reports by rules: what is at hand, arranged for whoever does the work. Pure.

A report takes the request, the inputs, the task and earlier outputs and makes of them what its agent's
capabilities are for: requirements, parts to build, a test plan, the evidence of a fault, findings by
patterns, a summary. It says itself that nothing was run, written or judged.

Its outcome is one of those that were offered, by these rules:

1. `not_reproduced`, where a fault was reported without steps and without an error's text;
2. a word for findings (`changes_requested`, …), where patterns found something major or critical;
3. a word that claims nothing (`not_run`, `by_hand`, …);
4. the first that was offered. Without an offer it is `done`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from orchestrator.agents import rules_code, rules_earlier, rules_evidence
from orchestrator.agents.rules_text import blocks, items, joined, sentences, shortened
from orchestrator.artifacts import Issue, Report
from orchestrator.events import Json
from orchestrator.ports import StepInput

FOOTER = (
    "_Put together by Quartet's rules engine: extracts and checklists, no language model. "
    "Nothing was run, no code was written and nothing was judged._"
)
EARLIER = "### From earlier steps"
NOTHING_FOUND = "The patterns found nothing. That is no proof that there is nothing."
NO_CODE = (
    "There was no code to look at. Put code between two lines of ```, attach it as a file, or paste a change "
    "as a diff."
)
NEUTRAL = (
    "not_run",
    "not_tried",
    "not_checked",
    "not_judged",
    "not_scanned",
    "not_done",
    "by_hand",
    "planned",
    "unknown",
    "skipped",
)
FINDINGS = ("changes_requested", "changes_needed", "findings", "issues_found", "vulnerable", "not_compliant")
MOST_PARTS = 8  # that one design is cut into
MOST_POINTS = 40  # of any list
POINT_CHARS = 300
QUOTE_CHARS = 2_000
EXTRACT_CHARS = 1_200  # of an earlier output in a summary
MOST_EARLIER = 30


def report(step: StepInput, capabilities: Sequence[str] = ()) -> Report:
    """What can be said without a model.

    Args:
        capabilities: of the agent; the first that there is a form for decides what is made.
    """
    form = next((FORMS[c] for c in capabilities if c in FORMS), _generic)
    made = form(step, capabilities)
    sections = [*made.sections, *_led_here(step, form)]
    body = "\n\n".join([*_opening(step), *sections, FOOTER])
    outcome = _outcome(step, made)
    return Report(body=body, outcome=outcome, issues=made.issues, items=made.points[:MOST_POINTS])


class Made:
    """The parts of a report that depend on what the agent can do."""

    def __init__(
        self, *sections: str, points: Sequence[str] = (), issues: Sequence[Issue] = (), lacking: bool = False
    ) -> None:
        self.sections = [section for section in sections if section]
        self.points = list(dict.fromkeys(shortened(p, POINT_CHARS) for p in points if p.strip()))
        self.issues = list(issues)
        self.lacking = lacking  # too little was reported


def _outcome(step: StepInput, made: Made) -> str:
    offered = step.outcomes
    if not offered:
        return "done"
    if made.lacking and "not_reproduced" in offered:
        return "not_reproduced"
    if any(issue.severity in ("critical", "major") for issue in made.issues):
        for word in FINDINGS:
            if word in offered:
                return word
    return next((word for word in offered if word in NEUTRAL), offered[0])


# ── forms ────────────────────────────────────────────────────────────────────────────────────


def _requirements(step: StepInput, _: Sequence[str]) -> Made:
    texts = [step.turn.text, *step.comments, *step.steering, *rules_earlier.answers(step)]
    points = [point for text in texts for point in statements(text)]
    return Made(_listed("Requirements, as they were asked for", points), _options(step), points=points)


def _parts(step: StepInput, _: Sequence[str]) -> Made:
    needed = rules_earlier.first_items(step) or statements(step.turn.text)
    parts = needed[:MOST_PARTS]
    if len(needed) > MOST_PARTS:
        parts[-1] = "; ".join(needed[MOST_PARTS - 1 :])
    said = "One part for each requirement, so that they can be worked on one by one:"
    asked = _listed("Asked for since", step.comments)
    return Made(_listed("Parts", parts, said), asked, _options(step), points=parts)


def _coding(step: StepInput, _: Sequence[str]) -> Made:
    wanted = [rules_earlier.said(step.item)] if step.item is not None else rules_earlier.first_items(step)
    known = [f"{i.where}: {i.problem} {i.remedy}".strip(": ") for i in rules_earlier.earlier_issues(step)]
    return Made(
        _listed("To be written", wanted or statements(step.turn.text), box=True),
        _listed("To be mended", [*known, *step.comments], box=True),
        _options(step),
    )


def _testing(step: StepInput, _: Sequence[str]) -> Made:
    needed = rules_earlier.first_items(step) or statements(step.turn.text)
    points = [f"Check: {shortened(point, POINT_CHARS - 10)}" for point in needed]
    return Made(
        _listed("Test plan", points, "None of these was run.", box=True), _from_task(step), points=points
    )


def _debugging(step: StepInput, _: Sequence[str]) -> Made:
    told = [
        step.turn.text,
        *(str(v) for v in step.inputs.values() if isinstance(v, str)),
        *rules_earlier.answers(step),
    ]
    told += [file.text for file in step.turn.files if file.text]
    seen = rules_evidence.evidence(told)
    sections = [_listed(title, found) for title, found in seen.found.items()]
    asked = _listed("Not said yet", seen.missing)
    lists = _from_task(step)
    return Made(*sections, asked, lists, _options(step), points=seen.missing, lacking=seen.lacking)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _review(step: StepInput, capabilities: Sequence[str]) -> Made:
    earlier = rules_earlier.earlier_issues(step)
    lines = len(rules_code.code(step))
    if earlier and ("code_review" in capabilities or not lines):
        found, said = earlier, f"{_count(len(earlier), 'finding')}, put together from the steps before."
    else:
        aspects = [a for a in rules_code.ASPECTS if a in capabilities] or list(rules_code.ASPECTS)
        found = [issue for issue in rules_code.issues(step, aspects) if issue not in earlier]
        were = "was" if lines == 1 else "were"
        looked = f"{_count(lines, 'line')} of code {were} looked at by patterns for {joined(aspects)}."
        new = f"{_count(len(found), 'new finding')}." if found else NOTHING_FOUND
        said = f"{looked} {new}"
    return Made(
        said if lines or found else NO_CODE, _from_task(step), issues=rules_earlier.worst_first(found)
    )


def _summary(step: StepInput, _: Sequence[str]) -> Made:
    open_points = [
        f"**{i.severity}** {i.where}: {i.problem}"
        for i in rules_earlier.worst_first(rules_earlier.earlier_issues(step))
    ]
    open_points += [rules_earlier.failed(step.problem)] if step.problem is not None else []
    return Made(*_extracts(step, EXTRACT_CHARS), _listed("Open points", open_points))


def _writing(step: StepInput, _: Sequence[str]) -> Made:
    wanted = rules_earlier.first_items(step) or statements(step.turn.text)
    return Made(_listed("To be written", wanted, box=True), _options(step))


def _generic(step: StepInput, _: Sequence[str]) -> Made:
    points = items(step.task)
    failed = [rules_earlier.failed(step.problem)] if step.problem is not None else []
    earlier = _extracts(step, 300)
    return Made(
        _listed("To be done", points, "Nothing of it has been done by rules.", box=True),
        _listed("What failed", failed),
        _options(step),
        EARLIER if earlier else "",
        *earlier,
        points=points,
    )


Form = Callable[[StepInput, Sequence[str]], Made]
FORMS: Mapping[str, Form] = {
    "requirements": _requirements,
    "architecture": _parts,
    "coding": _coding,
    "testing": _testing,
    "debugging": _debugging,
    "security": _review,
    "performance": _review,
    "style": _review,
    "code_review": _review,
    "documentation": _summary,
    "writing": _writing,
    "summary": _summary,
}


# ── pieces ───────────────────────────────────────────────────────────────────────────────────


def _led_here(step: StepInput, form: Form) -> list[str]:
    """What led to a step that is asked for something of its own, where the form does not show it anyway."""
    if not step.turn.parts or form in (_summary, _generic):
        return []
    earlier = _extracts(step, EXTRACT_CHARS)
    return [EARLIER, *earlier] if earlier else []


def _opening(step: StepInput) -> list[str]:
    """The task, the member's part, the item; the request where nothing else says what it is about."""
    parts: list[str] = []
    prose = " ".join(" ".join(b.text for b in blocks(step.task) if b.kind == "prose").split())
    if prose:
        parts.append(f"**Task:** {shortened(sentences(prose)[0], QUOTE_CHARS)}")
    if step.member is not None:
        parts.append(f"**{step.member.get('name', '')}**, {shortened(str(step.member.get('role', '')), 200)}")
    if step.undoing:
        parts.append(f"**To be undone:** the work of {_titled(step.undoing)}.")
        made = _cut(_bare(rules_earlier.text_of(_made_by(step.item))), EXTRACT_CHARS)
        parts += [f"**What it said:**\n\n{made}"] if made.strip() else []
    elif step.item is not None:
        parts.append(f"**Item:** {shortened(rules_earlier.said(step.item), QUOTE_CHARS)}")
    return parts or [f"**Request:** {shortened(step.turn.text, QUOTE_CHARS)}"]


def _made_by(item: object) -> Json:
    """The output of a step that is undone."""
    output = cast("Json", item).get("output") if isinstance(item, dict) else None
    return cast("Json", output) if isinstance(output, dict) else {}


def _titled(node: str) -> str:
    return node.replace("_", " ").capitalize()


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most].rsplit(chr(10), 1)[0].rstrip()}\n\n…"


def _options(step: StepInput) -> str:
    rows = [
        f"{name.replace('_', ' ')}: {shortened(words, 200)}"
        for name, value in step.inputs.items()
        if name != "text"
        and value is not False
        and (words := rules_earlier.said(value))
        and "\n" not in words
    ]
    return _listed("Options", rows)


def _from_task(step: StepInput) -> str:
    return _listed("Asked for by the task", items(step.task), box=True)


def _listed(title: str, points: Sequence[str], said: str = "", *, box: bool = False) -> str:
    rows = [f"- {'[ ] ' if box else ''}{shortened(p, POINT_CHARS)}" for p in points if p.strip()]
    if not rows:
        return ""
    if len(rows) > MOST_POINTS:
        rows = [*rows[:MOST_POINTS], f"- … and {len(rows) - MOST_POINTS} more"]
    return "\n\n".join(part for part in (f"### {title}", said, "\n".join(rows)) if part)


def statements(text: str) -> list[str]:
    """The points of a text: its list items, else its sentences; code is none."""
    parts = blocks(text)
    listed = [point for b in parts if b.kind == "list" for point in items(b.text)]
    prose = [s for b in parts if b.kind == "prose" for s in sentences(b.text) if not s.endswith(":")]
    return (listed or prose)[:MOST_POINTS]


def _extracts(step: StepInput, most: int) -> list[str]:
    """The beginning of every earlier output and of what each member said, without our own remarks."""
    talked = [(said.member, said.output) for said in step.talk]
    others = [
        (node, output)
        for node, output in step.outputs.items()
        # A node that members share has the last one's output alone; that stands among the talk.
        if node != rules_earlier.own(step) and all(output != spoken for _, spoken in talked)
    ]
    parts: list[str] = []
    for who, output in [*others, *talked][-MOST_EARLIER:]:
        kept = _bare(rules_earlier.text_of(output))
        if kept.strip():
            parts.append(f"### {_titled(who)}\n\n{_cut(kept, most)}")
    return parts


def _bare(text: str) -> str:
    """A body without what every report of ours says: task, options, footer, what it took from others."""
    sections = re.split(r"(?m)^(?=#{1,6} )", text.replace(FOOTER, "").split(EARLIER)[0])
    own = [b for s in sections if not s.startswith("### Options") for b in blocks(s)]
    kept = [b.text for b in own if not b.text.startswith("**Task:**")]
    return "\n\n".join(re.sub(r"^#{1,6} ", "#### ", text) for text in kept)
