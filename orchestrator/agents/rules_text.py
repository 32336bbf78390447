"""Words, sentences and blocks: what the rules engine knows of language. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_FILLER = """
a about above after again all also am an and another any are as at be because been before being below
between both but by can cannot could did do does doing done down each else every few for from further
get give had has have having he help her here him his how i if in into is it its itself just know let
like make many may me might more most much must my need no nor not now of off on once one only or other
our out over own perhaps please put really same say see shall she should so some such take tell than
thank thanks that the their them then there these they thing things this those through to too under
until up us use using very want was way we were what when where whether which while who whom why will
with within without would yes yet you your quartet hello hi hey explain describe write draft compose
summarise summarize list compare comparison difference differences versus vs work works working
"""
_POINTERS = "it its they them those these he she same"
FILLER = frozenset(_FILLER.split())
POINTERS = frozenset(_POINTERS.split())
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"”’)\]]*\s+(?=[A-Z0-9“\"(`*\[])")


def stem(word: str) -> str:
    """A crude English stem: enough that "approvals", "approved" and "approve" meet."""
    w = word.casefold()
    for ending in (
        "ations",
        "ation",
        "ings",
        "ing",
        "ies",
        "ied",
        "als",
        "al",
        "ers",
        "er",
        "ed",
        "es",
        "s",
        "e",
        "y",
    ):
        if w.endswith(ending) and len(w) - len(ending) >= 3:
            w = w[: -len(ending)]
            break
    return w[:-1] if len(w) > 3 and w[-1] == w[-2] else w


def words(text: str) -> list[str]:
    """Lower-case words."""
    return re.findall(r"[^\W_]+(?:['’_.-][^\W_]+)*", text.casefold())


def keywords(text: str) -> list[str]:
    """The words that carry the meaning, in order, each once."""
    found: dict[str, str] = {}
    for word in words(text):
        if word not in FILLER and (len(word) > 1 or word.isdigit()):
            found.setdefault(stem(word), word)
    return list(found.values())


def stems(text: str) -> frozenset[str]:
    """Stems of the words that carry the meaning."""
    return frozenset(stem(w) for part in keywords(text) for w in (part, *re.split(r"[_.-]", part)) if w)


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a list, a table or a piece of code, verbatim."""

    text: str
    kind: str  # "prose", "list", "table", "code"


def blocks(text: str) -> list[Block]:
    """Cut Markdown at blank lines; code stays whole."""
    made: list[Block] = []
    lines: list[str] = []
    fence = ""

    def end() -> None:
        whole = "\n".join(lines).strip("\n")
        lines.clear()
        if whole.strip():
            made.append(Block(whole, _kind(whole)))

    for line in text.split("\n"):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and not fence:
            end()
            fence = mark[1]
            lines.append(line)
        elif fence:
            lines.append(line)
            if mark and mark[1].startswith(fence):
                fence = ""
                end()
        elif line.strip():
            lines.append(line)
        else:
            end()
    end()
    return made


def _kind(text: str) -> str:
    first = text.lstrip()
    if first.startswith(("```", "~~~")):
        return "code"
    if first.startswith("|"):
        return "table"
    return "list" if re.match(r"([-*+]|\d+[.)])\s", first) else "prose"


def sentences(text: str) -> list[str]:
    """Sentences of a paragraph, verbatim but for line breaks."""
    return [s.strip() for s in _SENTENCE_END.split(" ".join(text.split())) if s.strip()]


def items(text: str) -> list[str]:
    """Items of a list, without their marks."""
    found: list[str] = []
    for line in text.split("\n"):
        mark = re.match(r"\s*(?:[-*+]|\d+[.)])\s+(.*)", line)
        if mark:
            found.append(mark[1].strip())
        elif found and line.strip():
            found[-1] += " " + line.strip()
    return found


def overlap(wanted: frozenset[str], text: str) -> float:
    """Which part of the wanted stems a text has, 0 to 1."""
    return len(wanted & stems(text)) / len(wanted) if wanted else 0.0


def shortened(text: str, most: int) -> str:
    """One line of at most `most` characters."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    return line[: most - 1].rsplit(" ", 1)[0].rstrip(",;:.") + "…"


def joined(parts: Iterable[str]) -> str:
    """One line: "a", "a and b", "a, b and c"."""
    named = list(parts)
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}" if named else ""
