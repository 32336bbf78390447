"""The researcher by rules: good queries from the turn, then extracts with verbatim quotes. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.agents.rules_text import (
    POINTERS,
    blocks,
    items,
    joined,
    keywords,
    overlap,
    sentences,
    shortened,
    stem,
    stems,
    words,
)
from orchestrator.artifacts import Finding, ResearchBrief, Source
from orchestrator.events import Json
from orchestrator.ports import StepInput

FOLDER = "the knowledge folder"
MOST_FINDINGS = 8
MOST_KEYWORDS = 12
QUOTE_CHARS = 700
NEAR = 0.34  # a passage with a smaller part of the keywords is not about the question


@dataclass(frozen=True, slots=True)
class Extract:
    """A piece of a passage that fits the question."""

    title: str
    url: str
    quote: str  # verbatim
    fit: float


def queries(step: StepInput) -> list[str]:
    """What to look for: the turn's keywords; each side apart when two things are compared."""
    sides = compared(step.turn.text)
    wanted = subject(step)
    if sides and all(keywords(side) for side in sides):
        return [" ".join(keywords(side)[:MOST_KEYWORDS]) for side in sides]
    return [" ".join(wanted)] if wanted else []


def compared(text: str) -> tuple[str, str] | None:
    """The two things that a turn compares."""
    match = re.search(
        r"(?:differences?\s+between|compare)\s+(.+?)\s+(?:and|with|to)\s+(.+)|(.+?)\s+(?:vs\.?|versus)\s+(.+)",
        text,
        re.IGNORECASE,
    )
    if not match:
        return None
    left, right = (match[1], match[2]) if match[1] else (match[3], match[4])
    return left, right


def is_follow_up(step: StepInput) -> bool:
    """The turn leans on what was said before: few keywords of its own, or words that point back."""
    own = words(step.turn.text)
    return bool(earlier_questions(step)) and (
        len(keywords(step.turn.text)) <= 1 or bool(POINTERS & set(own[:12])) or own[:1] == ["and"]
    )


def earlier_questions(step: StepInput) -> list[str]:
    """What people asked before in this conversation, oldest first."""
    return [line.text for line in step.exchanges if line.role == "person" and line.text.strip()]


def subject(step: StepInput) -> list[str]:
    """Keywords of the turn, with those of the last question where this one leans on it."""
    found = keywords(step.turn.text)
    for text in step.steering:
        found += keywords(text)
    if is_follow_up(step):
        found += keywords(earlier_questions(step)[-1])
    unique = {stem(word): word for word in reversed(found)}
    return [word for word in dict.fromkeys(found) if unique[stem(word)]][:MOST_KEYWORDS]


def brief(step: StepInput, passages: Sequence[Json]) -> ResearchBrief:
    """Extracts of the passages and of attached files, best first, each with its source."""
    wanted = frozenset(stem(word) for word in subject(step))
    own = stems(step.turn.text) or wanted
    extracts = _from_passages(passages, wanted, own) + _from_files(step, wanted)
    chosen = _chosen(extracts)
    sources = [Source(id=n, title=e.title, url=e.url, quoted=e.quote) for n, e in enumerate(chosen, start=1)]
    findings = [Finding(claim=claim(e.quote), source_ids=[n]) for n, e in enumerate(chosen, start=1)]
    covered = stems(" ".join(f"{e.title} {e.quote}" for e in chosen))
    missing = [word for word in subject(step) if stem(word) not in covered]
    return ResearchBrief(
        summary=_summary(step, chosen),
        findings=findings,
        sources=sources,
        gaps=_gaps(step, bool(chosen), missing),
    )


def claim(quote: str) -> str:
    """A quote as a claim: without headings and emphasis, otherwise its own words."""
    return re.sub(r"(?m)^#{1,6}\s+", "", quote).strip()


def _summary(step: StepInput, chosen: Sequence[Extract]) -> str:
    if not chosen:
        return f"Nothing in {FOLDER} or in attached files fits this request."
    places = list(dict.fromkeys(e.title.split(" › ")[0] for e in chosen))
    count = "1 passage" if len(chosen) == 1 else f"{len(chosen)} passages"
    start = f"{count} fit, from {joined(places[:4])}."
    if is_follow_up(step):
        start += f" Read together with the earlier question “{shortened(earlier_questions(step)[-1], 120)}”."
    return start


def _gaps(step: StepInput, found: bool, missing: Sequence[str]) -> list[str]:
    gaps: list[str] = []
    if not found:
        about = joined(f"“{w}”" for w in subject(step)[:6]) or "this"
        gaps.append(f"Nothing in {FOLDER} about {about}.")
    elif missing:
        gaps.append(f"The passages found do not speak of {joined(f'“{w}”' for w in missing[:6])}.")
    gaps += [
        f"The attached file {f.name} could not be read as text." for f in step.turn.files if f.text is None
    ]
    return gaps


def _from_passages(passages: Sequence[Json], wanted: frozenset[str], own: frozenset[str]) -> list[Extract]:
    found: list[Extract] = []
    for place, passage in enumerate(passages):
        title, url, text = (str(passage.get(k, "")) for k in ("title", "url", "text"))
        whole = overlap(wanted, f"{title} {text}")
        if whole < NEAR:
            continue
        # The search's own order weighs rare words; ours adds how much of the question is covered.
        rank = 1 / (1 + place * 0.15)
        fit = whole + 0.5 * overlap(wanted, title) + 0.25 * overlap(own, text) + 0.5 * rank
        found.append(Extract(title, url, _window(text, wanted), fit))
    return found


def _from_files(step: StepInput, wanted: frozenset[str]) -> list[Extract]:
    found: list[Extract] = []
    for file in step.turn.files:
        if not file.text or not file.text.strip():
            continue
        pieces = blocks(file.text[:200_000])
        # What occurs often in a file matters in it; a summary needs that when the question has no word of it.
        often: dict[str, int] = {}
        for piece in pieces:
            for s in stems(piece.text):
                often[s] = often.get(s, 0) + 1
        top = frozenset(sorted(often, key=lambda s: (-often[s], s))[:12])
        scored = [
            (2 * overlap(wanted, p.text) + overlap(top, p.text) + (0.2 if n == 0 else 0), -n, p.text)
            for n, p in enumerate(pieces)
        ]
        for score, place, text in sorted(sorted(scored, reverse=True)[:3], key=lambda s: -s[1]):
            # A file that a person attached is meant: it comes before what the folder has.
            found.append(
                Extract(
                    f"Attached file {file.name}",
                    f"attachment:{file.name}",
                    _window(text, wanted | top),
                    3 + score + place / 1e6,
                )
            )
    return found


def _window(text: str, wanted: frozenset[str]) -> str:
    """The best run of blocks of a passage, verbatim; a list keeps the line that introduces it."""
    pieces = blocks(text)
    if sum(len(p.text) for p in pieces) <= QUOTE_CHARS:
        return text.strip()
    best = max(range(len(pieces)), key=lambda n: (overlap(wanted, pieces[n].text), -n))
    first = best
    if pieces[best].kind in ("list", "code", "table") and best > 0 and pieces[best - 1].kind == "prose":
        first = best - 1
    last, size = best, sum(len(p.text) for p in pieces[first : best + 1])
    while last + 1 < len(pieces) and size + len(pieces[last + 1].text) <= QUOTE_CHARS:
        last += 1
        size += len(pieces[last].text)
    start = text.find(pieces[first].text)
    end = text.find(pieces[last].text, start) + len(pieces[last].text)
    window = text[start:end].strip()
    return window if len(window) <= 2 * QUOTE_CHARS else _part(window, wanted)


def _part(text: str, wanted: frozenset[str]) -> str:
    """The best sentence or line of something long, with what follows it, verbatim."""
    pieces = items(text) or [s for s in sentences(text) if s in text] or text.split("\n")
    best = max(pieces, key=lambda s: overlap(wanted, s))
    start = max(text.find(best[:60]), 0)
    return text[start : start + QUOTE_CHARS].rsplit(" ", 1)[0].strip()


def _chosen(extracts: Sequence[Extract]) -> list[Extract]:
    """The best extracts, each place once; weak ones go when strong ones are there."""
    ranked = sorted(extracts, key=lambda e: (-e.fit, e.url))
    best = ranked[0].fit if ranked else 0.0
    chosen: dict[tuple[str, str], Extract] = {}
    for extract in ranked:
        if extract.quote and extract.fit >= 0.45 * best:
            chosen.setdefault((extract.url, extract.quote), extract)
    return list(chosen.values())[:MOST_FINDINGS]
