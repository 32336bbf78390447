"""What a report of a fault says by itself (steps, errors, versions), and what it does not say. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.agents.rules_text import blocks, items, shortened

MOST = 12  # of each kind
LINE_CHARS = 400  # of a line that are looked at
MOST_LINES = 5_000

_ERROR = re.compile(
    r"\b\w*(error|exception|panic|fatal|traceback|segfault|segmentation fault)\b"
    r"|\b[45]\d\d\b.{0,40}\b(status|error)\b"
    r"|\bstatus\b.{0,20}\b[45]\d\d\b|^\s{2,}(at |File \")",
    re.I,
)
_EXPECTED = re.compile(r"\b(expect(ed|s)?|should(n't| not)?|supposed to)\b", re.I)
_ACTUAL = re.compile(
    r"\b(instead|actual(ly)?|but (it|then|get|gets|got)|happens|shows|crash\w*|hangs)\b", re.I
)
_VERSION = re.compile(
    r"\b(version|v)\s?\d+(\.\d+)+\b|\b(windows|macos|linux|ubuntu|android|ios|chrome|firefox|safari|edge)\b",
    re.I,
)
_STEP = re.compile(
    r"\b(steps? to|to reproduce|reproduce|when (i|you|we)|after (i|you|we)|if (i|you|we))\b", re.I
)
_QUESTIONS = {
    "Steps": "Which steps show it, one after the other, from a fresh start?",
    "Error texts": "What exactly does the error say, or what is seen instead?",
    "Expected": "What should have happened?",
    "Versions and places": "Which version is it, and on which system or browser?",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was said, and what was not."""

    found: dict[str, list[str]]  # title → lines, verbatim
    missing: list[str]  # questions
    lacking: bool  # neither steps nor an error: there is nothing to begin with


def evidence(texts: Sequence[str]) -> Evidence:
    """What texts about a fault say."""
    found: dict[str, list[str]] = {
        title: [] for title in ("Steps", "Error texts", "Expected", "Seen", "Versions and places")
    }
    for text in texts:
        listed = [item for b in blocks(text) if b.kind == "list" for item in items(b.text)]
        if len(listed) > 1:
            found["Steps"] += listed
        for line in text.split("\n")[:MOST_LINES]:
            cut = line[:LINE_CHARS]
            for title, pattern in (
                ("Steps", _STEP),
                ("Error texts", _ERROR),
                ("Expected", _EXPECTED),
                ("Seen", _ACTUAL),
                ("Versions and places", _VERSION),
            ):
                if pattern.search(cut):
                    found[title].append(cut.strip())
    kept = {
        title: list(dict.fromkeys(shortened(line, 300) for line in lines))[:MOST]
        for title, lines in found.items()
    }
    missing = [question for title, question in _QUESTIONS.items() if not kept[title]]
    return Evidence(kept, missing, lacking=not kept["Steps"] and not kept["Error texts"])
