"""Start what is due by the clock: exactly one run for each due time, however often it is looked at.

A run's key is `schedule:<id>:<due time>`, and the store makes one run of a key. So a process that was
killed between starting a run and saying so, or a second process beside this one, starts it again and
gets the same run. Of what was missed while nobody looked the newest time is made up for, if it is not
longer ago than `GRACE`; the others are logged and left out.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

import structlog

from adapters.contract import ConversationRef
from bot.channel_settings import ChannelPolicy
from bot.permissions import Actor, may_start
from orchestrator.cron import CronError, checked_cron, checked_zone, latest_time, next_time
from orchestrator.errors import NotFound, OrchestratorError, Refused, StoreFailed
from orchestrator.events import Priority, RunId, TurnRecord, Who
from orchestrator.inputs import checked
from orchestrator.ports import Clock, Schedule
from orchestrator.service import Service

log = structlog.get_logger(__name__)

GRACE: Final = timedelta(hours=1)
POLL_S: Final = 1.0  # a due time is noticed within this time
MOST: Final = 100  # schedules of one channel
MAX_TEXT: Final = 20_000  # characters of a schedule's request

PolicyOf = Callable[[ConversationRef], Awaitable[ChannelPolicy]]


class Schedules:
    """Keeps schedules and starts their runs.

    Args:
        service: the core.
        policy: what holds in a channel.
        clock: tells what is due.
        grace: so long ago a missed time may be that is made up for.
    """

    def __init__(self, service: Service, policy: PolicyOf, clock: Clock, grace: timedelta = GRACE) -> None:
        self._service = service
        self._store = service.store
        self._policy = policy
        self._clock = clock
        self._grace = grace

    # ── what there is ────────────────────────────────────────────────────────────────────────

    async def add(
        self,
        *,
        key: str,
        conversation_id: str,
        workflow: str,
        cron: str,
        zone: str,
        text: str,
        who: Who,
        inputs: Mapping[str, Any] | None = None,
        priority: str = "",
        groups: tuple[str, ...] = (),
        is_admin: bool = False,
    ) -> Schedule:
        """Keep a schedule. The same key again gives the same one, also if it was changed or removed since.

        Args:
            key: of the command or run that makes it.
            conversation_id: where its runs take place.
            inputs: of the workflow; its defaults are filled in when a run starts.

        Raises:
            CronError: the time or the zone cannot be.
            NotFound: there is no such workflow.
            Refused: the inputs are not what it takes, or there are too many schedules.
        """
        cron, zone = checked_cron(cron), checked_zone(zone)
        definition = self._service.workflow(workflow)
        checked(definition, inputs or {})
        if len(text) > MAX_TEXT:
            raise Refused(f"the request of a schedule has at most {MAX_TEXT:,} characters, not {len(text):,}")
        place = ConversationRef.from_key(conversation_id)
        schedule_id = id_of(key)
        known = await self._store.schedule(schedule_id)
        if known is not None:
            return known
        if len(await self.of_channel(place)) >= MOST:
            raise Refused(f"there are {MOST} schedules in this channel already; remove one first")
        now = self._clock.now()
        new = Schedule(
            id=schedule_id,
            conversation_id=conversation_id,
            workflow=definition.name,
            cron=cron,
            zone=zone,
            text=text,
            inputs=dict(inputs or {}),
            priority=priority,
            who=who,
            groups=groups,
            is_admin=is_admin,
            state="on",
            note="",
            due=next_time(cron, zone, now),
            last_run="",
            at=now,
        )
        if not await self._store.add_schedule(new):
            return await self.one(schedule_id)
        log.info("a schedule was made", action="schedule_added", schedule=schedule_id, workflow=new.workflow)
        return new

    def following(self, cron: str, zone: str) -> datetime:
        """The next time from now; aware, UTC. Raises CronError."""
        return next_time(checked_cron(cron), checked_zone(zone), self._clock.now())

    async def one(self, schedule_id: str) -> Schedule:
        """A schedule.

        Raises:
            NotFound: there is none.
        """
        found = await self._store.schedule(schedule_id)
        if found is None or found.state == "removed":
            raise NotFound(f"there is no schedule {schedule_id[:40]!r}; `schedules` lists them")
        return found

    async def of_channel(self, place: ConversationRef) -> list[Schedule]:
        """The schedules of a channel, oldest first."""
        rows = await self._store.schedules()
        return [row for row in rows if row.conversation_id.startswith(f"{place.channel_key}:")]

    async def all(self) -> list[Schedule]:
        """Those of all channels, oldest first."""
        return await self._store.schedules()

    async def pause(self, schedule_id: str, note: str = "") -> None:
        """Start nothing more. Raises NotFound."""
        await self.one(schedule_id)
        await self._store.set_schedule(schedule_id, "paused", note)

    async def resume(self, schedule_id: str) -> datetime:
        """Go on with the next time from now; what was due meanwhile is left out.

        Raises:
            NotFound: there is no such schedule.
        """
        row = await self.one(schedule_id)
        due = row.due if row.state == "on" else next_time(row.cron, row.zone, self._clock.now())
        await self._store.set_schedule(schedule_id, "on", "", due)
        return due

    async def remove(self, schedule_id: str) -> None:
        """Take it away. Runs at work go on. Raises NotFound."""
        await self.one(schedule_id)
        await self._store.set_schedule(schedule_id, "removed")

    # ── starting ─────────────────────────────────────────────────────────────────────────────

    async def watch(self) -> None:
        """Start what is due, until cancelled."""
        while True:
            try:
                await self.start_due()
            except StoreFailed as error:  # the next time may do: nothing was passed over
                log.warning("schedules were not looked at", action="schedules_unseen", error=str(error))
            except Exception:
                # One broken schedule must not end the bot.
                log.exception("schedules broke", action="schedules_broke")
            await asyncio.sleep(POLL_S)

    async def start_due(self) -> list[RunId]:
        """Start what is due now, once.

        Raises:
            StoreFailed: the database fails; what was not started is due still.
        """
        now = self._clock.now()
        started: list[RunId] = []
        for row in await self._store.schedules_due(now):
            try:
                run_id = await self._due(row, now)
            except StoreFailed:
                raise
            except (OrchestratorError, CronError, ValueError) as error:
                # Tried again every minute it would only fail every minute.
                note = f"paused, since a run could not be started: {error}"
                await self._store.set_schedule(row.id, "paused", note)
                log.warning(
                    "a schedule was paused", action="schedule_paused", schedule=row.id, error=str(error)
                )
                continue
            if run_id is not None:
                started.append(run_id)
        return started

    async def _due(self, row: Schedule, now: datetime) -> RunId | None:
        following = next_time(row.cron, row.zone, now)
        at = latest_time(row.cron, row.zone, row.due, now, self._grace)
        if at != row.due:
            made_up = "" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"
            log.warning(
                "times of a schedule were missed",
                action="schedule_missed",
                schedule=row.id,
                since=f"{row.due:%Y-%m-%d %H:%M} UTC",
                made_up_for=made_up or "none of them",
            )
        if at is None:
            await self._store.schedule_done(row.id, row.due, following)
            return None
        run_id = await self.start(row, key=f"schedule:{row.id}:{at:%Y-%m-%dT%H:%M:%SZ}", at=at)
        await self._store.schedule_done(row.id, row.due, following, run_id)
        return run_id

    async def start(self, row: Schedule, *, key: str, at: datetime | None = None) -> RunId:
        """Start a run of a schedule, as the person who made it. The same key is one run.

        Args:
            key: idempotency key.
            at: when it was due; None: now.

        Raises:
            Refused: that person may not start turns there any more, or the workflow takes other inputs now.
            NotFound: there is no such workflow any more.
        """
        policy = await self._policy(ConversationRef.from_key(row.conversation_id))
        allowed = may_start(policy, Actor(row.who.key, row.groups, row.is_admin))
        if not allowed.ok:
            raise Refused(f"{row.who.name} may not start turns here any more. {allowed.reason}")
        accepted = await self._service.start(
            conversation_id=row.conversation_id,
            turn=TurnRecord(
                key=key,
                text=row.text or row.workflow,
                who=row.who,
                at=(at or self._clock.now()).astimezone(UTC),
            ),
            workflow=row.workflow,
            settings=policy.to_run_settings(),
            inputs=row.inputs,
            priority=_priority(row.priority),
        )
        log.info(
            "a schedule started a run", action="schedule_started", schedule=row.id, run_id=accepted.run_id
        )
        return accepted.run_id


def id_of(key: str) -> str:
    """A schedule's id, e.g. `s4f0c2ab91`: the same for the same command."""
    return f"s{hashlib.sha256(key.encode()).hexdigest()[:9]}"


def _priority(word: str) -> Priority | None:
    return next((known for known in get_args(Priority) if known == word), None)
