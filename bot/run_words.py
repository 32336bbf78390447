"""Read `run WORKFLOW [KEY=VALUE …] [TEXT]`: inputs, priority and deadline out of what people typed. Pure.

Only keys that the workflow knows count, and only before and after the text: `version=2` in the middle
of a sentence, and any other word with a `=`, is text. Values with spaces stand in quotation marks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final, get_args

from orchestrator.events import Priority

PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
LONGEST: Final = timedelta(days=366)  # until a deadline
MOST_PAIRS: Final = 100
TAIL: Final = 4_000  # characters in which inputs after the text are looked for
_KEY: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,59})=")
_AFTER_SPACE: Final = re.compile(r"(?<=\s)(?=[A-Za-z][A-Za-z0-9_-]{0,59}=)")
_QUOTES: Final[Mapping[str, str]] = {'"': '"', "'": "'", "“": "”", "„": "“", "‘": "’", "«": "»"}
_SPAN: Final = re.compile(r"(?:\d{1,6}(?:\.\d{1,3})?[smhdw])+", re.ASCII)
_PART: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smhdw])", re.ASCII)
_UNITS: Final[Mapping[str, str]] = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_CLOCK: Final = re.compile(r"([01]?\d|2[0-3])[:.]([0-5]\d)", re.ASCII)
_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYS: Final = ("today", "tomorrow", *_WEEKDAYS)
DEADLINES: Final = "2h, 30m, 3d, 17:00, tomorrow 17:00, friday, 2026-01-31 or 2026-01-31T17:00"


class WordsError(ValueError):
    """The words of a run cannot be read. The message says what can."""


@dataclass(frozen=True, slots=True)
class RunWords:
    """What was typed after a workflow's name."""

    inputs: Mapping[str, str]  # as typed; the workflow's schema says what they become
    text: str
    priority: Priority | None
    deadline: datetime | None  # aware, UTC


def parse(rest: str, known: Collection[str], now: datetime) -> RunWords:
    """Take apart what stands after a workflow's name.

    Args:
        rest: as typed.
        known: names of the workflow's inputs; its own `priority` and `deadline` go before ours.
        now: aware; its zone is that of a deadline without one.

    Raises:
        WordsError: a value is not closed, a key is given twice or misspelt, a deadline or priority is none.
    """
    names = {_folded(name): name for name in known}
    ours = {word for word in ("priority", "deadline") if word not in names}
    begun, middle = _leading(rest, {*names, *ours})
    closing, text = _trailing(middle, {*names, *ours})
    pairs: dict[str, str] = {}
    for key, value in [*begun, *closing]:
        name = names.get(_folded(key), _folded(key))
        if name in pairs:
            raise WordsError(f"{name} is given twice; give it once.")
        pairs[name] = value
    priority = _priority(pairs.pop("priority")) if "priority" in ours and "priority" in pairs else None
    deadline = (
        parse_deadline(pairs.pop("deadline"), now) if "deadline" in ours and "deadline" in pairs else None
    )
    return RunWords(pairs, text, priority, deadline)


def _folded(name: str) -> str:
    return name.casefold().replace("-", "_")


# ── pairs ────────────────────────────────────────────────────────────────────────────────────


def _leading(text: str, known: Collection[str]) -> tuple[list[tuple[str, str]], str]:
    """The pairs that a text begins with, and what is left of it."""
    pairs: list[tuple[str, str]] = []
    left = text.strip()
    while found := _KEY.match(left):
        key = found[1]
        if _folded(key) not in known:
            near = difflib.get_close_matches(_folded(key), known, n=1, cutoff=0.75)
            if near:
                raise WordsError(f"There is no input {key!r}; did you mean {near[0]}=…?")
            break
        value, left = _value(key, left[found.end() :])
        if _folded(key) == "deadline" and (joined := _with_time(value, left)):
            value, left = joined
        pairs.append((key, value))
        if len(pairs) > MOST_PAIRS:
            raise WordsError(f"More than {MOST_PAIRS} inputs were given; give fewer.")
    return pairs, left


def _trailing(text: str, known: Collection[str]) -> tuple[list[tuple[str, str]], str]:
    """The pairs that a text ends with, and what stands before them."""
    for found in _AFTER_SPACE.finditer(text, max(0, len(text) - TAIL)):
        key = _KEY.match(text, found.start())
        if key is None or _folded(key[1]) not in known:
            continue
        try:
            pairs, left = _leading(text[found.start() :], known)
        except WordsError:
            if _unbroken(text[found.start() :], known):
                raise
            continue
        if not left:
            return pairs, text[: found.start()].strip()
    return [], text.strip()


def _unbroken(text: str, known: Collection[str]) -> bool:
    """Whether every word is a pair of a known key: then what is wrong in it is no part of a sentence."""
    return all((key := _KEY.match(word)) is not None and _folded(key[1]) in known for word in text.split())


def _value(key: str, text: str) -> tuple[str, str]:
    """A value and what comes after it."""
    if text[:1] in _QUOTES and text[:1]:
        closing = _QUOTES[text[0]]
        value = ""
        i = 1
        while i < len(text):
            if text[i] == "\\" and text[i + 1 : i + 2] in (closing, "\\") and i + 1 < len(text):
                value += text[i + 1]
                i += 2
            elif text[i] == closing and (i + 1 == len(text) or text[i + 1].isspace()):
                return value, text[i + 1 :].strip()
            else:
                value += text[i]
                i += 1
        raise WordsError(f"The quotation mark of {key}= is not closed; write {key}={text[0]}…{closing}.")
    value, *others = text.split(maxsplit=1) if text[:1] and not text[:1].isspace() else ["", text.strip()]
    return value, others[0] if others else ""


def _with_time(value: str, left: str) -> tuple[str, str] | None:
    """`deadline=tomorrow 17:00` without quotation marks: the day and its time are one value."""
    day = value.casefold()
    if day not in _DAYS and not re.fullmatch(r"\d{4}-\d\d-\d\d", day):
        return None
    clock, *others = left.split(maxsplit=1) or [""]
    return (f"{value} {clock}", others[0] if others else "") if _CLOCK.fullmatch(clock) else None


# ── priority and deadline ────────────────────────────────────────────────────────────────────


def _priority(word: str) -> Priority:
    for priority in PRIORITIES:
        if priority == word.casefold():
            return priority
    raise WordsError(f"priority={word[:40]} is none; priorities are {', '.join(PRIORITIES)}.")


def parse_priority(word: str) -> Priority:
    """A priority by its name.

    Raises:
        WordsError: it is none; names those there are.
    """
    return _priority(word.strip())


def parse_deadline(text: str, now: datetime) -> datetime:
    """A moment in the future, in UTC: `2h`, `1h30m`, `17:00`, `tomorrow 17:00`, `friday`, or ISO 8601.

    A day alone means its end. What has no zone is in that of `now`.

    Raises:
        WordsError: it is no moment, is over, or too far away.
    """
    words = " ".join(text.casefold().split())
    at = _after(words, now) or _named(words.split(), now) or _iso(text.strip(), now)
    if at is None:
        raise WordsError(f"deadline={text[:40]} is no time; write for example {DEADLINES}.")
    if at <= now:
        raise WordsError(f"deadline={text[:40]} is over already; now it is {now:%Y-%m-%d %H:%M %Z}.")
    if at - now > LONGEST:
        raise WordsError(f"deadline={text[:40]} is more than a year away; give an earlier one.")
    return at.astimezone(UTC)


def _after(words: str, now: datetime) -> datetime | None:
    if not _SPAN.fullmatch(words):
        return None
    try:
        return now + sum((timedelta(**{_UNITS[u]: float(n)}) for n, u in _PART.findall(words)), timedelta())
    except OverflowError:
        raise WordsError("The deadline is more than a year away; give an earlier one.") from None


def _named(words: Sequence[str], now: datetime) -> datetime | None:
    """`17:00`, `today 17:00`, `tomorrow`, `friday 9:30`."""
    if not words or len(words) > 2:
        return None
    clock = _CLOCK.fullmatch(words[-1])
    hour = time(int(clock[1]), int(clock[2])) if clock else time(23, 59, 59)
    days = words[:-1] if clock else words
    if not days:
        at = datetime.combine(now.date(), hour, now.tzinfo)
        return at if at > now else at + timedelta(days=1)
    if len(days) > 1 or days[0] not in _DAYS:
        return None
    ahead = {"today": 0, "tomorrow": 1}.get(days[0])
    if ahead is None:
        ahead = (_WEEKDAYS.index(days[0]) - now.weekday()) % 7
    at = datetime.combine(now.date() + timedelta(days=ahead), hour, now.tzinfo)
    return at + timedelta(days=7) if days[0] in _WEEKDAYS and at <= now else at


def _iso(text: str, now: datetime) -> datetime | None:
    try:
        at = datetime.fromisoformat(text.replace("z", "Z"))
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            at = datetime.combine(at.date(), time(23, 59, 59))
        # A year that cannot be told in another zone overflows.
        at = at.replace(tzinfo=now.tzinfo) if at.tzinfo is None else at
        at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at
