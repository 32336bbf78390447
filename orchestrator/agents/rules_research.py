"""The researcher by rules: good queries from the turn, then extracts with verbatim quotes. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.agents.rules_extract import (
    Extract,
    claim,
    covers,
    from_file,
    from_passage,
    nearest,
    wants_summary,
)
from orchestrator.agents.rules_text import joined, keywords, overlap, shortened, stem, stems, words
from orchestrator.agents.rules_turn import (
    MOST_KEYWORDS,
    compared,
    earlier_questions,
    introductions,
    is_follow_up,
    language,
    own_keywords,
    subject,
)
from orchestrator.artifacts import Finding, ResearchBrief, Source
from orchestrator.events import Json
from orchestrator.ports import StepInput

FOLDER = "the knowledge folder"
ONLY_NEAR = "the passage shown is only the nearest"
MOST_FINDINGS = 8
_NUMBERS = frozenset({"two", "three", "four", "five", "six"})
_ASKS = frozenset({"who", "where", "when", "why"})


def queries(step: StepInput) -> list[str]:
    """What to look for: the turn's keywords; each side apart when two things are compared."""
    if titles := introductions(step):
        return list(titles)
    if wants_summary(step):
        return []  # the attached files are meant, not the folder
    sides = compared(step.turn.text)
    if sides and all(keywords(side) for side in sides):
        return [" ".join(keywords(side)[:MOST_KEYWORDS]) for side in sides]
    wanted = subject(step)
    return [" ".join(wanted)] if wanted else []


def brief(step: StepInput, passages: Sequence[Json]) -> ResearchBrief:
    """Extracts of the passages and of attached files, best first, each with its source."""
    titles = introductions(step)
    sides = compared(step.turn.text)
    near: list[Extract] = []
    if titles:
        chosen = _introduced(titles, passages)
    elif sides and all(keywords(side) for side in sides):
        chosen = _both(step, sides, passages)
    else:
        chosen, near = _fitting(step, passages)
    # An answer out of what is only near says so: see `_gaps`.
    missing = _missing(step, chosen)
    shown = chosen or near
    sources = [Source(id=n, title=e.title, url=e.url, quoted=e.quote) for n, e in enumerate(shown, start=1)]
    findings = [Finding(claim=claim(e), source_ids=[n]) for n, e in enumerate(shown, start=1)]
    return ResearchBrief(
        summary=_summary(step, chosen, near),
        findings=findings,
        sources=sources,
        gaps=_gaps(step, chosen, near, missing, passages),
    )


def _introduced(titles: Sequence[str], passages: Sequence[Json]) -> list[Extract]:
    """The passages under exactly these headings, in this order."""
    made: dict[str, Extract] = {}
    for title in titles:
        for passage in passages:
            if str(passage.get("title", "")).split(" › ")[-1].casefold() == title.casefold():
                extract = from_passage(passage, frozenset(), 0)
                made.setdefault(extract.url, extract)
    return [e for e in made.values() if e.quote]


def _both(step: StepInput, sides: Sequence[str], passages: Sequence[Json]) -> list[Extract]:
    """For each side what fits it best, then one more of each; nothing twice."""
    ranked: list[list[Extract]] = []
    for side in sides:
        wanted = stems(side)
        fit = [
            from_passage(p, wanted, n, narrow=True)
            for n, p in enumerate(passages)
            if covers(wanted, wanted, f"{p.get('title', '')} {p.get('text', '')}")
            and _readable(step, str(p.get("text", "")))
        ]
        ranked.append(_best(fit, 0.9)[:2])
    mixed = [side[n] for n in range(2) for side in ranked if n < len(side)]
    return _once(mixed)


def _fitting(step: StepInput, passages: Sequence[Json]) -> tuple[list[Extract], list[Extract]]:
    """Extracts that speak of the question; and, where there are none, the nearest one."""
    wanted = frozenset(stem(word) for word in subject(step))
    own = frozenset(stem(word) for word in own_keywords(step)) or wanted
    extracts: list[Extract] = []
    near: list[Extract] = []
    for place, passage in enumerate(passages):
        title, text = str(passage.get("title", "")), str(passage.get("text", ""))
        if not _readable(step, text):
            continue
        if covers(own, wanted, f"{title} {text}"):
            made = from_passage(passage, wanted, place, asks=_asks(step.turn.text))
            # Of a question that leans on another, its own words count more than those it borrows.
            extracts.append(
                replace(made, fit=made.fit + 1.2 * overlap(own, title.split(" › ")[-1]))
                if own < wanted
                else made
            )
        elif nearest(own, title, text):
            near.append(from_passage(passage, wanted, place))
    for file in step.turn.files:
        if file.text and file.text.strip():
            extracts += from_file(file.name, file.text, own, whole=wants_summary(step))
    return _best(extracts), _best(near)[:1]


def _asks(text: str) -> frozenset[str]:
    """Words of a heading that answers just this question."""
    return _NUMBERS if re.search(r"\bhow many\b", text, re.IGNORECASE) else _ASKS & set(words(text))


def _best(extracts: Sequence[Extract], part: float = 0.62) -> list[Extract]:
    """The best extracts, each once; weak ones go when strong ones are there."""
    ranked = sorted(extracts, key=lambda e: (-e.fit, e.url))
    best = ranked[0].fit if ranked else 0.0
    return _once([e for e in ranked if e.quote and e.fit >= part * best])[:MOST_FINDINGS]


def _once(extracts: Sequence[Extract]) -> list[Extract]:
    chosen: dict[str, Extract] = {}
    for extract in extracts:
        chosen.setdefault(" ".join(extract.quote.split()), extract)
    return list(chosen.values())


def _readable(step: StepInput, text: str) -> bool:
    """The passage is in the language of the question: a word that two languages share says little."""
    spoken = language(step.turn.text)
    return not spoken or language(text) == spoken


def _missing(step: StepInput, chosen: Sequence[Extract]) -> list[str]:
    covered = stems(" ".join(f"{e.title} {e.whole}" for e in chosen))
    return [word for word in own_keywords(step) if stem(word) not in covered]


def _summary(step: StepInput, chosen: Sequence[Extract], near: Sequence[Extract]) -> str:
    if not chosen:
        nearest_one = f" The nearest passage is {near[0].title}." if near else ""
        return f"Nothing in {FOLDER} or in attached files fits this request.{nearest_one}"
    places = list(dict.fromkeys(e.title.split(" › ")[0] for e in chosen))
    count = "1 passage" if len(chosen) == 1 else f"{len(chosen)} passages"
    start = f"{count} fit, from {joined(places[:4])}."
    if is_follow_up(step):
        start += f" Read together with the earlier question “{shortened(earlier_questions(step)[-1], 120)}”."
    return start


def _gaps(
    step: StepInput,
    chosen: Sequence[Extract],
    near: Sequence[Extract],
    missing: Sequence[str],
    passages: Sequence[Json],
) -> list[str]:
    gaps: list[str] = []
    # A word that some passage has is in the folder, though nothing there fits the question.
    there = stems(" ".join(f"{p.get('title', '')} {p.get('text', '')}" for p in passages))
    spoken = language(step.turn.text)
    about = joined(f"“{w}”" for w in (missing or subject(step))[:6])
    if not chosen and spoken:
        what = f"in {spoken}" if spoken != "another language" else "not in English"
        gaps.append(
            f"The question seems to be {what}, the documents are in English, and the rules engine does not "
            "translate. Ask in English, or connect a model."
        )
    elif not chosen and near:
        known = [w for w in own_keywords(step) if stem(w) not in stems(f"{near[0].title} {near[0].whole}")]
        asked = known or own_keywords(step)
        absent = [w for w in asked if stem(w) not in there]
        about = joined(f"“{w}”" for w in (absent or asked)[:6])
        said = f"Nothing in {FOLDER} about" if absent else f"No passage in {FOLDER} speaks of"
        gaps.append(f"{said} {about} in this connection; {ONLY_NEAR}.")
    elif not chosen:
        where = f"{FOLDER} or in the attached files" if any(f.text for f in step.turn.files) else FOLDER
        asked = missing or subject(step)
        absent = [w for w in asked if stem(w) not in there]
        if asked and not absent:
            gaps.append(f"No passage in {where} answers this; {about} occurs, but not as the question asks.")
        else:
            about = joined(f"“{w}”" for w in absent[:6]) or f"“{shortened(step.turn.text, 80)}”"
            gaps.append(f"Nothing in {where} about {about}.")
    elif missing:
        gaps.append(f"The passages found do not speak of {about}.")
    gaps += [
        f"The attached file {f.name} could not be read as text." for f in step.turn.files if f.text is None
    ]
    return gaps
