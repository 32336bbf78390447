"""The words after `/quartet schedules`: list, add, pause, resume, remove, run."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from adapters.contract import Command, FactsPart, NotesPart, Receipt, Turn
from bot.command_answers import card, no, sentence, short, yes
from bot.command_words import FEW
from bot.permissions import Actor, is_admin, may_start
from bot.schedules import PolicyOf, Schedules
from orchestrator.cron import CronError, checked_cron, checked_zone
from orchestrator.errors import OrchestratorError, StoreFailed
from orchestrator.events import Who
from orchestrator.ports import Schedule
from orchestrator.service import Service

FORM: Final = (
    'schedules, schedules add "CRON" ZONE WORKFLOW [KEY=VALUE …] TEXT, schedules pause|resume|remove|run ID: '
    "what starts by the clock"
)
EXAMPLE: Final = 'schedules add "0 16 * * 5" Europe/Berlin quartet Write the release notes'
ID: Final = re.compile(r"s[0-9a-f]{9}")
_FIELDS: Final = re.compile(r"(?:[0-9*/,-]+ ){2}[0-9L*/,-]+ [0-9A-Za-z*/,-]+ [0-9A-Za-z*/,#-]+")
VERBS: Final = ("pause", "resume", "remove", "run")
_QUOTES: Final = "\"'`“”„‘’«»"
_QUOTED: Final = re.compile(rf"[{_QUOTES}]([^{_QUOTES}]*)[{_QUOTES}]\s*(.*)", re.DOTALL)
# What somebody wrote who meant a time: in quotes, or two words of a cron expression.
_LIKE_CRON: Final = re.compile(rf"[{_QUOTES}]\s*[0-9*@]|[0-9*/,-]+ [0-9L*/,-]+ ")
_AGAIN: Final = "This command came before and is not performed again; `schedules` shows how things are."

ReadTurn = Callable[[Turn], Turn | Receipt | None]


class ScheduleWords:
    """Words about schedules, performed.

    Args:
        schedules: what starts by the clock.
        service: the core.
        policy: what holds in a channel.
        read_turn: takes a workflow's inputs out of words (`Commands.read_turn`).
    """

    def __init__(self, schedules: Schedules, service: Service, policy: PolicyOf, read_turn: ReadTurn) -> None:
        self._schedules = schedules
        self._service = service
        self._policy = policy
        self._read_turn = read_turn

    @staticmethod
    def takes(rest: str) -> bool:
        """Whether words after a mention's `schedules` are one of these commands and no turn.

        Few words that begin as a command does are one, and so is what only looks like a time.
        """
        verb, *given = rest.split()
        if verb.lower() not in ("add", "list", *VERBS):
            return False
        if 2 + len(given) <= FEW:
            return True
        return verb.lower() == "add" and _LIKE_CRON.match(" ".join(given)) is not None

    async def perform(self, command: Command, rest: str) -> Receipt:
        """Do what the words say. Never raises for what a person can do wrong.

        Raises:
            StoreFailed: the same command can be handed in again.
        """
        verb, *given = rest.split(maxsplit=1) or [""]
        words = given[0].strip() if given else ""
        try:
            match verb.lower():
                case "" | "list":
                    return await self._list(command)
                case "add":
                    return await self._add(command, words)
                case "pause" | "resume" | "remove" | "run":
                    return await self._change(command, verb.lower(), words.lower())
                case _:
                    return no(f"Write {FORM}. For example: {EXAMPLE}")
        except StoreFailed:
            raise
        except (OrchestratorError, CronError) as error:
            return no(sentence(str(error)))

    async def _list(self, command: Command) -> Receipt:
        rows = await self._schedules.of_channel(command.conversation)
        if not rows:
            return yes(f"Nothing starts by the clock in this channel. For example: {EXAMPLE}")
        facts = tuple((row.id, described(row)) for row in rows)
        notes = tuple(f"{row.id}: {row.note}" for row in rows if row.note)
        parts = [FactsPart(facts=facts), *([NotesPart(title="Paused", notes=notes)] if notes else [])]
        return card(command, "Schedules of this channel", parts)

    async def _add(self, command: Command, words: str) -> Receipt:
        cron, rest = _cron_and_rest(words)
        zone, *more = rest.split(maxsplit=1) or [""]
        name, *said = more[0].split(maxsplit=1) if more else [""]
        if not cron or not zone or not name:
            return no(f"Say when, where the clock hangs, and what: {EXAMPLE}")
        cron, zone = checked_cron(cron), checked_zone(zone)
        policy = await self._policy(command.conversation)
        actor = Actor.of(command.person)
        allowed = may_start(policy, actor)
        if not allowed.ok:
            return no(allowed.reason)
        turn = self._read_turn(
            Turn(
                key=command.key,
                conversation=command.conversation,
                person=command.person,
                text=said[0] if said else "",
                workflow=self._service.workflow(name.lower()).name,
                at=command.at,
            )
        )
        if not isinstance(turn, Turn):
            return turn or no(f"Say what to do: {EXAMPLE}")
        if turn.deadline is not None:
            return no("A schedule takes no deadline: a time that comes once is nothing for a clock.")
        row = await self._schedules.add(
            key=command.key,
            conversation_id=command.conversation.key,
            workflow=turn.workflow or "",
            cron=cron,
            zone=zone,
            text=turn.text,
            who=Who(key=command.person.key, name=command.person.name),
            inputs=turn.inputs,
            priority=turn.priority,
            groups=command.person.groups,
            is_admin=command.person.is_admin,  # whom the channel's settings name is asked anew each time
        )
        return yes(f"Schedule {row.id}: {row.workflow} starts {next_told(row)} for the first time. "
                   f"`schedules remove {row.id}` takes it away.")  # fmt: skip

    async def _change(self, command: Command, verb: str, schedule_id: str) -> Receipt:
        if ID.fullmatch(schedule_id) is None:
            return no(f"Say which: schedules {verb} ID; `schedules` lists them.")
        row = await self._schedules.one(schedule_id)
        if not row.conversation_id.startswith(f"{command.conversation.channel_key}:"):
            return no(f"There is no schedule {schedule_id} in this channel; `schedules` lists them.")
        policy = await self._policy(command.conversation)
        if row.who.key != command.person.key and not is_admin(policy, Actor.of(command.person)):
            return no(f"Only {row.who.name}, who made it, and admins of this channel may {verb} a schedule.")
        if verb == "run":
            run_id = await self._schedules.start(row, key=f"schedule:{row.id}:{command.key}")
            return yes(f"Started {row.workflow} ({run_id}).", run_id)
        if not await self._service.store.first_time(command.key):
            return yes(_AGAIN)
        if verb == "pause":
            await self._schedules.pause(row.id)
            return yes(f"Schedule {row.id} starts nothing until `schedules resume {row.id}`.")
        if verb == "remove":
            await self._schedules.remove(row.id)
            return yes(f"Removed schedule {row.id}. Runs at work go on.")
        await self._schedules.resume(row.id)
        return yes(f"Schedule {row.id} goes on: {next_told(await self._schedules.one(row.id))}.")


def described(row: Schedule) -> str:
    """A schedule in one line."""
    when = "paused" if row.state == "paused" else f"next {next_told(row)}"
    bits = (row.cron, when, row.workflow, f"“{short(' '.join(row.text.split()), 60)}”", f"by {row.who.name}")
    return " · ".join(bits)


def next_told(row: Schedule) -> str:
    """The next time, as the clock there shows it."""
    return time_told(row.due, row.zone)


def time_told(due: datetime, zone: str) -> str:
    """A time, as the clock in a zone shows it."""
    try:
        at = due.astimezone(ZoneInfo(zone))
    except (KeyError, ValueError, OSError):  # the zone is not known here any more
        return f"{due:%a %Y-%m-%d %H:%M} UTC"
    return f"{at:%a %Y-%m-%d %H:%M} {zone}"


def _cron_and_rest(words: str) -> tuple[str, str]:
    """The expression, in quotes or as five words, and what comes after it; ("", …): there is none."""
    quoted = _QUOTED.fullmatch(words.strip())
    if quoted is not None:
        return quoted[1].strip(), quoted[2]
    parts = words.split(maxsplit=5)
    if len(parts) < 5 or _FIELDS.fullmatch(" ".join(parts[:5])) is None:
        return "", words
    return " ".join(parts[:5]), parts[5] if len(parts) > 5 else ""
