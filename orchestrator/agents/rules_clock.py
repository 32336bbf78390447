"""Times in plain words: "every Friday at 4 pm, Europe/Berlin" as a cron expression and a time zone. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from orchestrator.cron import CronError, checked_cron, zones

HOUR: Final = 9  # where a day is named and no time
_DAYS: Final = {
    "monday": "1",
    "tuesday": "2",
    "wednesday": "3",
    "thursday": "4",
    "friday": "5",
    "saturday": "6",
    "sunday": "0",
    "weekday": "1-5",
    "working day": "1-5",
    "workday": "1-5",
    "weekend": "0,6",
}
_DAY: Final = "|".join(_DAYS)
_AND: Final = r"(?:\s*,\s*(?:and\s+)?|\s+and\s+)"
_PARTS: Final = {"morning": 9, "noon": 12, "afternoon": 15, "evening": 18, "night": 22, "midnight": 0}
_WHEN: Final = re.compile(
    rf"\b(?:(?:every|each|on)\s+(?P<days>(?:{_DAY})s?(?:{_AND}(?:every\s+|on\s+)?(?:{_DAY})s?){{0,6}})"
    rf"|every\s+(?P<count>\d{{1,2}})\s+(?P<counted>minute|hour)s?"
    r"|(?:every|each)\s+(?P<unit>minute|hour|day|week|month|morning|afternoon|evening|night)"
    r"|(?P<adverb>hourly|daily|weekly|monthly)"
    r"|on\s+the\s+(?P<date>\d{1,2})(?:st|nd|rd|th)?(?:\s+day)?\s+of\s+(?:every|each|the)\s+month)\b",
    re.IGNORECASE,
)
_AT: Final = re.compile(
    r"\bat\s+(?:(?P<word>noon|midnight)|(?P<hour>\d{1,2})(?:[:.h](?P<minute>\d{2}))?\s*(?P<half>[ap]\.?m\b\.?)?"
    r"(?:\s*o'clock)?)(?![\w:%])",
    re.IGNORECASE,
)
_ZONE: Final = re.compile(
    r"(?:\(|\bin\s+|,\s*)?(?<![\w/])(?P<zone>[A-Za-z]{2,20}(?:/[A-Za-z0-9_+-]{1,40}){1,2}|UTC)(?![\w/])\)?"
    r"(?:\s+time)?"
)


class Clock(NamedTuple):
    """What a text says about time."""

    rest: str  # the text without it
    cron: str  # "": nothing
    zone: str  # "": none named


def clock(text: str) -> Clock:
    """Take the time out of a text. Without a repetition there is none: "at 9" alone starts nothing."""
    when = _WHEN.search(text)
    if when is None:
        return Clock(text, "", "")
    at, zone = _AT.search(text), ""
    cut = [when.span()]
    if at is not None:
        cut.append(at.span())
    for found in _ZONE.finditer(text):
        known = zones().get(found["zone"].casefold())
        if known is not None:
            zone = known
            cut.append(found.span())
            break
    try:
        cron = checked_cron(_cron(when, at))
    except CronError:  # "every 75 minutes", "at 45"
        return Clock(text, "", "")
    rest = text
    for begin, end in sorted(cut, reverse=True):
        rest = f"{rest[:begin]} {rest[end:]}"
    return Clock(re.sub(r"^[\s,;:.]+", "", re.sub(r"[^\S\n]+", " ", rest)), cron, zone)


def _cron(when: re.Match[str], at: re.Match[str] | None) -> str:
    hour, minute = _time(at)
    if when["count"]:
        count, most = int(when["count"]), 59 if when["counted"].lower() == "minute" else 23
        if not 1 <= count <= most:
            raise CronError("not so often in a clock's round")
        return (
            f"*/{count} * * * *" if when["counted"].lower() == "minute" else f"{minute or 0} */{count} * * *"
        )
    unit = (when["unit"] or "").lower() or {
        "hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month"
    }.get((when["adverb"] or "").lower(), "")  # fmt: skip
    if unit == "minute":
        return "* * * * *"
    if unit == "hour":
        return f"{minute or 0} * * * *"
    if hour is None:
        hour = _PARTS.get(unit, HOUR)
    clock_time = f"{minute or 0} {hour}"
    if when["date"]:
        return f"{clock_time} {int(when['date'])} * *"
    if unit == "week":
        return f"{clock_time} * * 1"
    if unit == "month":
        return f"{clock_time} 1 * *"
    if when["days"]:
        days = [_DAYS[day.lower()] for day in re.findall(_DAY, when["days"], re.IGNORECASE)]
        return f"{clock_time} * * {','.join(dict.fromkeys(days))}"
    return f"{clock_time} * * *"


def _time(at: re.Match[str] | None) -> tuple[int | None, int | None]:
    if at is None:
        return None, None
    if at["word"]:
        return _PARTS[at["word"].lower()], 0
    hour, half = int(at["hour"]), (at["half"] or "").lower()[:1]
    if half and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    return hour, int(at["minute"] or 0)
