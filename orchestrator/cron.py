"""When something is due by the clock: cron expressions in five fields, in a time zone. Pure.

A time that the clock skips when it goes forward is due as soon as it has; one that comes twice when it
goes back is due the first time. Every-so-often expressions (`*/30 * * * *`) simply go on in real time.
"""

from __future__ import annotations

import difflib
import os
import zoneinfo
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from cronsim import CronSim, CronSimError

MAX_LENGTH: Final = 100  # characters of an expression
EXAMPLE: Final = "`0 16 * * 5` is Fridays at 16:00"
_FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
_ZONEINFO: Final = "zoneinfo/"


class CronError(ValueError):
    """It is no time that something can be due. The message says what can be written."""


def checked_cron(text: str) -> str:
    """An expression as it is kept: five fields with single spaces.

    Raises:
        CronError: it is none, or never comes true.
    """
    fields = text.split()
    if len(text) > MAX_LENGTH or len(fields) != len(_FIELDS):
        given = f"{len(fields)} fields" if len(text) <= MAX_LENGTH else f"{len(text)} characters"
        raise CronError(
            f"a cron expression has five fields ({', '.join(_FIELDS)}), not {given}; for example {EXAMPLE}"
        )
    expression = " ".join(fields)
    try:
        # Where nothing fits for fifty years, nothing ever will.
        next(CronSim(expression, datetime(2024, 1, 1)))  # noqa: DTZ001 - fields alone, of no zone
    except StopIteration:
        raise CronError(f"{expression!r} never comes true; for example {EXAMPLE}") from None
    except (CronSimError, ValueError, OverflowError) as error:
        what = str(error).removeprefix("Bad ").replace("-", " ")
        raise CronError(f"{expression!r}: the {what} cannot be read; for example {EXAMPLE}") from None
    return expression


def checked_zone(name: str) -> str:
    """A time zone by its IANA name, as it is spelt there; letters may be small.

    Raises:
        CronError: there is none; names the nearest one.
    """
    known = zones()
    if not known:
        raise CronError("this machine knows no time zones; install the package tzdata (pip install tzdata)")
    found = known.get(name.casefold())
    if found is None:
        raise CronError(f"there is no time zone {name[:60]!r}; {_nearest(name)}")
    return found


@cache
def zones() -> dict[str, str]:
    """Time zones by their names in small letters."""
    return {name.casefold(): name for name in sorted(zoneinfo.available_timezones())}


def _nearest(name: str) -> str:
    wanted = name.strip().casefold().replace(" ", "_")[:60]
    known = zones()
    # People name cities: "berlin" means Europe/Berlin.
    cities = {key.rpartition("/")[2]: key for key in known}
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.75)
    near = near or [cities[c] for c in difflib.get_close_matches(wanted.rpartition("/")[2], cities, n=1)]
    if near:
        return f"did you mean {known[near[0]]!r}?"
    return "write an IANA name, such as Europe/Berlin, America/New_York or UTC"


@cache
def local_zone() -> str:
    """The time zone of this machine; UTC where it does not say."""
    given = os.environ.get("TZ", "").removeprefix(":")
    try:
        place = Path("/etc/localtime").resolve().as_posix()
    except OSError:
        place = ""
    found = given or (place.partition(_ZONEINFO)[2] if _ZONEINFO in place else "")
    return zones().get(found.casefold(), "UTC")


def next_time(cron: str, zone: str, after: datetime) -> datetime:
    """The first time that is due later than `after`.

    Args:
        cron: as `checked_cron` gives it.
        zone: as `checked_zone` gives it.
        after: aware.

    Returns:
        Aware, UTC.

    Raises:
        CronError: there is none, or this machine does not know the zone.
    """
    try:
        place = zoneinfo.ZoneInfo(zone)
        for at in CronSim(cron, after.astimezone(place)):
            due = at.astimezone(UTC)
            # In the hour that the clock repeats, fields alone would give a time that has been.
            if due > after:
                return due
    except (zoneinfo.ZoneInfoNotFoundError, CronSimError, ValueError, OverflowError) as error:
        raise CronError(f"{cron!r} in {zone!r} cannot be worked out ({error})") from None
    raise CronError(f"{cron!r} in {zone!r} does not come true any more")


def latest_time(cron: str, zone: str, due: datetime, now: datetime, grace: timedelta) -> datetime | None:
    """The newest time since `due` that is not longer ago than `grace`; None: all of them are.

    Args:
        due: the time that was waited for; not after `now`.
    """
    found = due if now - due <= grace else None
    at = due if found is not None else now - grace - timedelta(microseconds=1)
    while (at := next_time(cron, zone, at)) <= now:
        found = at
    return found


def schedule_flaw(cron: str, zone: str) -> str:
    """What is wrong with a draft's schedule, for whoever wrote it; "": nothing, or there is none."""
    try:
        if cron.strip():
            checked_cron(cron)
        if zone.strip():
            checked_zone(zone)
    except CronError as error:
        return str(error)
    return ""
