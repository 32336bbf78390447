"""What is wrong in the configuration: where, what, and how to mend it. Never the value of a secret.

ConfigError            holds every problem found, not only the first
└── ConfigProblem …    (values, one for each thing to mend)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PREFIXED = re.compile(r"\b(xox[a-z](?:\.xox[a-z])?-|xapp-|sk-|gsk_|tvly-)[\w.-]{6,}")
_THREE_PARTS = re.compile(r"[\w-]{20,}\.[\w-]{6,}\.[\w-]{20,}", re.ASCII)  # Discord's
_LETTERS_AND_DIGITS = re.compile(r"\b[A-Za-z0-9]{20,}\b")


def cloak(text: str) -> str:
    """The text without what looks like a token: people paste tokens under wrong names, too."""
    text = _THREE_PARTS.sub("…", _PREFIXED.sub(r"\1…", text))
    return _LETTERS_AND_DIGITS.sub(lambda found: "…" if _is_random(found[0]) else found[0], text)


def _is_random(word: str) -> bool:
    return sum(c.isdigit() for c in word) >= 3 and any(c.isalpha() for c in word)


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing to mend."""

    file: str  # as people know it: "config/quartet.yaml", ".env", "environment"
    line: int | None  # first is 1; None where there are no lines
    column: int | None  # first is 1
    key: str  # "agents.builder.model", "SLACK_BOT_TOKEN", "" for the file as a whole
    message: str  # what is wrong
    remedy: str  # what to do about it

    def __post_init__(self) -> None:
        """Whatever a message repeats of a value, it is no token."""
        for name in ("key", "message", "remedy"):
            object.__setattr__(self, name, cloak(getattr(self, name)))

    def __str__(self) -> str:
        """One line: `file:line:column: key: message; remedy`."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        parts = [place, self.key, "; ".join(part for part in (self.message, self.remedy) if part)]
        return " ".join(": ".join(part for part in parts if part).split())


class ConfigError(Exception):
    """The configuration cannot be used; `str()` is one line for each problem."""

    def __init__(self, problems: Iterable[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(given: str, valid: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The valid name that `given` was probably meant to be; None: nothing is near."""
    folded = {name.casefold(): name for name in valid}
    found = difflib.get_close_matches(given.casefold(), folded, n=1, cutoff=cutoff)
    return folded[found[0]] if found else None


def suggest(given: str, valid: Iterable[str]) -> str:
    """The remedy for a wrong name: the nearest valid one, or the list of them."""
    names = sorted(set(valid))
    near = nearest(given, names)
    if near is not None:
        return f"did you mean {near!r}?"
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"valid here: {shown}" if names else "nothing of this kind is valid here"


def short_path(path: Path) -> str:
    """A path as people know it: below the working directory without its beginning."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
