"""`Store` on one SQLite file: one writer that commits in groups, readers beside it.

Every method is one function run in a connection's thread: see sqlite_log, sqlite_append,
sqlite_views, sqlite_deliveries, sqlite_definitions, sqlite_schedules and sqlite_marks for what they do, and
`ports` for what they promise. Several processes may open the same file.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from orchestrator.api_keys import ApiKey, NewKey
from orchestrator.errors import StoreFailed
from orchestrator.events import ApprovalId, Body, Json, Line, RunCreated, RunEvent, RunId, RunStatus, Usage
from orchestrator.infra import (
    sqlite_definitions,
    sqlite_deliveries,
    sqlite_keys,
    sqlite_log,
    sqlite_marks,
    sqlite_measures,
    sqlite_outcomes,
    sqlite_rebuild,
    sqlite_run_keys,
    sqlite_schedules,
    sqlite_views,
    sqlite_webhooks,
)
from orchestrator.infra.sqlite_append import Append
from orchestrator.infra.sqlite_codec import encode
from orchestrator.infra.sqlite_connections import Connection, connect, translated
from orchestrator.infra.sqlite_migrations import migrate, shipped
from orchestrator.infra.sqlite_owners import Owners
from orchestrator.infra.sqlite_writer import GroupWriter
from orchestrator.marks import Mark
from orchestrator.measures import Measured
from orchestrator.ports import (
    Accepted,
    AgentOutcome,
    Appended,
    ApprovalRow,
    Claimed,
    Delivery,
    Due,
    NewVersion,
    Page,
    RunRow,
    Schedule,
    ScheduleState,
    Undelivered,
    WorkflowVersion,
)
from orchestrator.webhooks import (
    Attempt,
    LogPart,
    NewNotice,
    NewWebhook,
    Notice,
    NoticePage,
    NoticeState,
    Webhook,
)

READERS = 2
MOST_CLAIMED = 2_000
BIG_TURN = 200_000  # characters; encoding more than this would hold the loop for milliseconds
T = TypeVar("T")
P = ParamSpec("P")


class SqliteStore:
    """Implements `ports.Store`. Open with `SqliteStore.open`, close with `close`."""

    def __init__(self, path: Path, writer: Connection, readers: Sequence[Connection], owners: Owners) -> None:
        self.path = path
        self.owners = owners
        self._connections = (writer, *readers)
        self._readers = tuple(readers)
        self._writer = GroupWriter(writer, path)
        self._closed = False
        self._claimed: OrderedDict[RunId, Claimed] = OrderedDict()  # as they were accepted

    @classmethod
    async def open(cls, path: Path, *, owners_dir: Path) -> SqliteStore:
        """Open or make a database, and bring its schema up to date.

        Args:
            path: the file; its folder is made.
            owners_dir: where the processes that share the file hold their locks.

        Raises:
            StoreFailed: not a database, of a newer Quartet, damaged, or not writable; says what to do.
        """
        await asyncio.to_thread(_make_folder, path)
        migrations = await asyncio.to_thread(shipped)
        opened: list[Connection] = []
        try:
            writer = await connect(path, write=True)
            opened.append(writer)
            with translated(path):
                await writer.call(migrate, str(path), migrations)
            for _ in range(READERS):
                opened.append(await connect(path, write=False))
            owners = await asyncio.to_thread(Owners, owners_dir)
        except BaseException:
            for connection in opened:
                await connection.close()
            raise
        return cls(path, writer, opened[1:], owners)

    async def close(self) -> None:
        """Commit what is under way and close every connection. May be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._writer.close()
        finally:  # their threads would keep the program from ending
            for connection in self._connections:
                await connection.close()
            await asyncio.to_thread(self.owners.close)

    async def _read(self, work: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise StoreFailed(f"database {self.path} was closed; open it again")
        reader = min(self._readers, key=lambda connection: connection.pending)
        with translated(self.path):
            return await reader.call(work, *args, **kwargs)

    # ── the log ──────────────────────────────────────────────────────────────────────────────

    async def accept(
        self, run_id: RunId, created: RunCreated, *, past: Sequence[Body] = (), claim: bool = False
    ) -> Accepted:
        """See `Log.accept`."""
        if len(created.turn.text) > BIG_TURN:
            encoded = await asyncio.to_thread(encode, created)
        else:
            encoded = encode(created)
        owner = self.owners.me if claim else None
        accepted = await self._writer.put(sqlite_log.Accept(run_id, created, encoded, past, owner))
        if owner is not None and accepted.begun and not accepted.queued_behind:
            claimed = Claimed(sqlite_log.FIRST_EPOCH, accepted.position, list(accepted.begun))
            self._claimed[accepted.run_id] = claimed
            if len(self._claimed) > MOST_CLAIMED:  # nobody asks for it any more; it can be claimed again
                self._claimed.popitem(last=False)
        return accepted

    async def append(
        self,
        run_id: RunId,
        bodies: Sequence[Body],
        *,
        epoch: int | None,
        expected_seq: int | None = None,
        status: RunStatus | None = None,
    ) -> Appended:
        """See `Log.append`."""
        rows = [encode(body) for body in bodies]
        return await self._writer.put(Append(run_id, bodies, rows, epoch, expected_seq, status))

    async def events(self, run_id: RunId, *, after: int = 0, limit: int | None = None) -> list[RunEvent]:
        """See `Log.events`."""
        return await self._read(sqlite_log.events, run_id, after, limit)

    async def claim(self, run_id: RunId) -> Claimed | None:
        """See `Log.claim`."""
        accepted = self._claimed.pop(run_id, None)
        if accepted is not None:
            return accepted
        taken = await self._writer.put(sqlite_log.Claim(run_id, self.owners))
        self._claimed.pop(run_id, None)  # of a turn that was accepted meanwhile; this claim is newer
        if taken is None:
            return None
        try:
            if taken.rows is None or any(large for *_, large in taken.rows):
                events = await self.events(run_id)
            else:
                events = sqlite_log.decoded(run_id, taken.rows, _no_blob)
        except BaseException:
            await self.release(run_id, taken.epoch)
            raise
        return Claimed(taken.epoch, taken.position, events)

    async def known(self, key: str) -> RunId | None:
        """See `Log.known`."""
        return await self._read(sqlite_log.known, key)

    async def first_time(self, key: str) -> bool:
        """See `Log.first_time`."""
        return await self._writer.do(lambda t: sqlite_log.first_time(t, key), touches=())

    async def release(self, run_id: RunId, epoch: int, *, seen: int | None = None) -> None:
        """See `Log.release`."""
        await self._writer.do(lambda t: sqlite_log.release(t, run_id, epoch, seen), touches=(run_id,))

    async def heads(self, run_ids: Sequence[RunId]) -> dict[RunId, int]:
        """See `Log.heads`."""
        return await self._read(sqlite_log.heads, run_ids)

    async def save_definition(self, digest: str, definition: Json) -> None:
        """See `Log.save_definition`."""
        text = json.dumps(definition, ensure_ascii=False)
        await self._writer.do(lambda t: sqlite_log.save_definition(t, digest, text), touches=())

    async def definition(self, digest: str) -> Json:
        """See `Log.definition`."""
        return await self._read(sqlite_log.definition, digest)

    async def put_blob(self, content: bytes) -> str:
        """See `Log.put_blob`."""
        return await self._writer.do(lambda t: sqlite_log.put_blob(t, content), touches=())

    async def blob(self, sha256: str) -> bytes:
        """See `Log.blob`."""
        return await self._read(sqlite_log.blob, sha256)

    # ── read models ──────────────────────────────────────────────────────────────────────────

    async def run(self, run_id: RunId) -> RunRow | None:
        """See `Views.run`."""
        return await self._read(sqlite_views.run, run_id)

    async def runs(
        self,
        *,
        status: RunStatus | None = None,
        conversation_id: str | None = None,
        who: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunRow]:
        """See `Views.runs`.

        Raises:
            Refused: the cursor is not one of ours.
        """
        return await self._read(sqlite_views.runs, status, conversation_id, who, limit, cursor)

    async def entered(
        self,
        workspace: str,
        *,
        statuses: Collection[RunStatus] = (),
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunRow]:
        """See `Views.entered`.

        Raises:
            Refused: the cursor is not one of ours.
        """
        return await self._read(sqlite_views.entered, workspace, statuses, limit, cursor)

    async def count(self, status: RunStatus) -> int:
        """See `Views.count`."""
        return await self._read(sqlite_views.count, status)

    async def channels(self, workspace: str, *, limit: int = 20) -> list[str]:
        """See `Views.channels`."""
        return await self._read(sqlite_views.channels, workspace, limit)

    async def unfinished(self, conversation_id: str) -> list[RunRow]:
        """See `Views.unfinished`."""
        return await self._read(sqlite_views.unfinished, conversation_id)

    async def waiting(
        self, *, workspace: str = "", limit: int = 100, cursor: str | None = None
    ) -> Page[ApprovalRow]:
        """See `Views.waiting`.

        Raises:
            Refused: the cursor is not one of ours.
        """
        return await self._read(sqlite_views.waiting, workspace, limit, cursor)

    async def approval(self, approval_id: ApprovalId) -> ApprovalRow | None:
        """See `Views.approval`."""
        return await self._read(sqlite_views.approval, approval_id)

    async def exchanges(self, conversation_id: str, *, before: int, limit: int) -> list[Line]:
        """See `Views.exchanges`."""
        return await self._read(sqlite_views.exchanges, conversation_id, before, limit)

    async def due(self, *, until: datetime) -> list[Due]:
        """See `Views.due`."""
        return await self._read(sqlite_views.due, until)

    async def to_wake(self) -> list[RunId]:
        """See `Views.to_wake`."""
        return await self._read(sqlite_views.to_wake, datetime.now(UTC), self.owners)

    async def usage_since(self, since: datetime, *, workspace: str = "") -> dict[str, Usage]:
        """See `Views.usage_since`."""
        return await self._read(sqlite_views.usage_since, since, workspace)

    async def agent_outcomes(self, *, limit: int = 2_000) -> list[AgentOutcome]:
        """See `Views.agent_outcomes`."""
        return await self._read(sqlite_outcomes.agent_outcomes, limit)

    async def agents_at_work(self) -> dict[str, int]:
        """See `Views.agents_at_work`."""
        return await self._read(sqlite_outcomes.agents_at_work)

    async def log_end(self) -> int:
        """See `Measures.log_end`."""
        return await self._read(sqlite_measures.log_end)

    async def measured(self, *, after: int) -> Measured:
        """See `Measures.measured`."""
        return await self._read(sqlite_measures.measured, after)

    async def rebuild_views(self, fold_status: sqlite_rebuild.FoldStatus | None = None) -> None:
        """Write every read model anew from the log, in one transaction.

        Args:
            fold_status: the status of a run that has not ended, from its events; None: the status it has now.

        Raises:
            UnknownEvent: the log holds something this program cannot read; nothing was changed.
        """
        await self._writer.do(lambda t: sqlite_rebuild.rebuild(t, fold_status))

    # ── deliveries and settings ──────────────────────────────────────────────────────────────

    async def deliveries(self, run_id: RunId) -> dict[str, Delivery]:
        """See `Deliveries.deliveries`."""
        return await self._read(sqlite_deliveries.deliveries, run_id)

    async def save_delivery(self, delivery: Delivery) -> None:
        """See `Deliveries.save_delivery`."""
        await self._writer.do(lambda t: sqlite_deliveries.save_delivery(t, delivery), touches=())

    async def undelivered(self) -> list[Undelivered]:
        """See `Deliveries.undelivered`."""
        return await self._read(sqlite_deliveries.undelivered)

    async def presented(self, run_id: RunId, seq: int) -> None:
        """See `Deliveries.presented`."""
        await self._writer.do(lambda t: sqlite_deliveries.presented(t, run_id, seq), touches=(run_id,))

    async def settings(self, channel_key: str) -> dict[str, Any]:
        """See `ChannelSettings.settings`."""
        return await self._read(sqlite_deliveries.settings, channel_key)

    async def settings_in(self, workspace: str) -> dict[str, dict[str, Any]]:
        """See `ChannelSettings.settings_in`."""
        return await self._read(sqlite_deliveries.settings_in, workspace)

    async def change_settings(self, channel_key: str, changes: Mapping[str, Any]) -> None:
        """See `ChannelSettings.change_settings`."""
        await self._writer.do(
            lambda t: sqlite_deliveries.change_settings(t, channel_key, changes), touches=()
        )

    # ── workflow definitions ─────────────────────────────────────────────────────────────────

    async def add_version(self, new: NewVersion) -> int:
        """See `Definitions.add_version`."""
        text = None if new.definition is None else json.dumps(new.definition, ensure_ascii=False)
        return await self._writer.do(lambda t: sqlite_definitions.add_version(t, new, text), touches=())

    async def workflow_versions(self, name: str) -> list[WorkflowVersion]:
        """See `Definitions.workflow_versions`."""
        return await self._read(sqlite_definitions.workflow_versions, name)

    async def newest_versions(self) -> list[WorkflowVersion]:
        """See `Definitions.newest_versions`."""
        return await self._read(sqlite_definitions.newest_versions)

    async def versions_mark(self) -> int:
        """See `Definitions.versions_mark`."""
        return await self._read(sqlite_definitions.versions_mark)

    # ── schedules ────────────────────────────────────────────────────────────────────────────

    async def add_schedule(self, new: Schedule) -> bool:
        """See `Schedules.add_schedule`."""
        return await self._writer.do(lambda t: sqlite_schedules.add_schedule(t, new), touches=())

    async def schedule(self, schedule_id: str) -> Schedule | None:
        """See `Schedules.schedule`."""
        return await self._read(sqlite_schedules.schedule, schedule_id)

    async def schedules(self) -> list[Schedule]:
        """See `Schedules.schedules`."""
        return await self._read(sqlite_schedules.schedules)

    async def schedules_due(self, until: datetime) -> list[Schedule]:
        """See `Schedules.schedules_due`."""
        return await self._read(sqlite_schedules.schedules_due, until)

    async def schedule_done(
        self, schedule_id: str, due: datetime, following: datetime, run_id: str = ""
    ) -> bool:
        """See `Schedules.schedule_done`."""
        return await self._writer.do(
            lambda t: sqlite_schedules.schedule_done(t, schedule_id, due, following, run_id), touches=()
        )

    async def set_schedule(
        self, schedule_id: str, state: ScheduleState, note: str = "", due: datetime | None = None
    ) -> bool:
        """See `Schedules.set_schedule`."""
        return await self._writer.do(
            lambda t: sqlite_schedules.set_schedule(t, schedule_id, state, note, due), touches=()
        )

    # ── runs that came over HTTP ─────────────────────────────────────────────────────────────

    async def mark(self, run_id: RunId) -> Mark:
        """See `Marks.mark`."""
        return await self._read(sqlite_marks.mark, run_id)

    async def hide(self, run_id: RunId) -> None:
        """See `Marks.hide`."""
        await self._writer.do(lambda t: sqlite_marks.hide(t, run_id), touches=())

    async def heard(self, run_id: RunId, lines: int) -> None:
        """See `Marks.heard`."""
        await self._writer.do(lambda t: sqlite_marks.heard(t, run_id, lines), touches=())

    # ── keys of callers over HTTP ────────────────────────────────────────────────────────────

    async def add_api_key(self, new: NewKey, *, instead_of: str = "") -> ApiKey:
        """See `ApiKeys.add_api_key`."""
        return await self._writer.do(lambda t: sqlite_keys.add_api_key(t, new, instead_of), touches=())

    async def revoke_api_key(self, key_id: str) -> ApiKey | None:
        """See `ApiKeys.revoke_api_key`."""
        return await self._writer.do(lambda t: sqlite_keys.revoke_api_key(t, key_id), touches=())

    async def api_keys(self) -> list[ApiKey]:
        """See `ApiKeys.api_keys`."""
        return await self._read(sqlite_keys.api_keys)

    async def api_keys_mark(self) -> tuple[int, int]:
        """See `ApiKeys.api_keys_mark`."""
        return await self._read(sqlite_keys.api_keys_mark)

    # ── keys that one run alone uses ─────────────────────────────────────────────────────────

    async def keep_run_keys(self, turn_key: str, sealed: bytes) -> bool:
        """See `RunKeys.keep_run_keys`."""
        return await self._writer.do(lambda t: sqlite_run_keys.keep_run_keys(t, turn_key, sealed), touches=())

    async def run_keys(self, turn_key: str) -> bytes | None:
        """See `RunKeys.run_keys`."""
        return await self._read(sqlite_run_keys.run_keys, turn_key)

    async def drop_run_keys(self, turn_key: str) -> None:
        """See `RunKeys.drop_run_keys`."""
        await self._writer.do(lambda t: sqlite_run_keys.drop_run_keys(t, turn_key), touches=())

    async def sweep_run_keys(self, until: datetime) -> int:
        """See `RunKeys.sweep_run_keys`."""
        return await self._writer.do(lambda t: sqlite_run_keys.sweep_run_keys(t, until), touches=())

    # ── webhooks ─────────────────────────────────────────────────────────────────────────────

    async def add_webhook(self, new: NewWebhook, *, most: int) -> Webhook:
        """See `Webhooks.add_webhook`."""
        return await self._writer.do(lambda t: sqlite_webhooks.add_webhook(t, new, most), touches=())

    async def webhook(self, webhook_id: str) -> Webhook | None:
        """See `Webhooks.webhook`."""
        return await self._read(sqlite_webhooks.webhook, webhook_id)

    async def webhooks(self) -> list[Webhook]:
        """See `Webhooks.webhooks`."""
        return await self._read(sqlite_webhooks.webhooks)

    async def change_webhook(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        kinds: Sequence[str] | None = None,
        state: Literal["on", "off"] | None = None,
        note: str = "",
    ) -> Webhook | None:
        """See `Webhooks.change_webhook`."""
        return await self._writer.do(
            lambda t: sqlite_webhooks.change_webhook(t, webhook_id, url, kinds, state, note), touches=()
        )

    async def remove_webhook(self, webhook_id: str) -> bool:
        """See `Webhooks.remove_webhook`."""
        return await self._writer.do(lambda t: sqlite_webhooks.remove_webhook(t, webhook_id), touches=())

    async def log_behind(self, event: int, types: Collection[str], *, limit: int = 200) -> LogPart:
        """See `Webhooks.log_behind`."""
        return await self._read(sqlite_webhooks.log_behind, event, types, limit)

    async def add_notices(
        self, webhook_id: str, notices: Sequence[NewNotice], *, behind: int, event: int
    ) -> bool:
        """See `Webhooks.add_notices`."""
        return await self._writer.do(
            lambda t: sqlite_webhooks.add_notices(t, webhook_id, notices, behind, event), touches=()
        )

    async def add_notice(self, webhook_id: str, notice: NewNotice) -> None:
        """See `Webhooks.add_notice`."""
        await self._writer.do(lambda t: sqlite_webhooks.add_notice(t, webhook_id, notice), touches=())

    async def next_notices(self, webhook_id: str, now: datetime) -> list[Notice]:
        """See `Webhooks.next_notices`."""
        return await self._read(sqlite_webhooks.next_notices, webhook_id, now)

    async def note_attempt(self, attempt: Attempt) -> None:
        """See `Webhooks.note_attempt`."""
        await self._writer.do(lambda t: sqlite_webhooks.note_attempt(t, attempt), touches=())

    async def notice(self, notice_id: str) -> Notice | None:
        """See `Webhooks.notice`."""
        return await self._read(sqlite_webhooks.notice, notice_id)

    async def notices(
        self, webhook_id: str, *, state: NoticeState | None = None, limit: int = 50, cursor: str | None = None
    ) -> NoticePage:
        """See `Webhooks.notices`.

        Raises:
            Refused: the cursor is not one of ours.
        """
        return await self._read(sqlite_webhooks.notices, webhook_id, state, limit, cursor)

    async def replay_notice(self, webhook_id: str, notice_id: str) -> bool:
        """See `Webhooks.replay_notice`."""
        return await self._writer.do(
            lambda t: sqlite_webhooks.replay_notice(t, webhook_id, notice_id), touches=()
        )

    async def replay_since(self, webhook_id: str, since: datetime) -> bool:
        """See `Webhooks.replay_since`."""
        return await self._writer.do(lambda t: sqlite_webhooks.replay_since(t, webhook_id, since), touches=())

    async def prune_notices(self, before: datetime) -> int:
        """See `Webhooks.prune_notices`."""
        return await self._writer.do(lambda t: sqlite_webhooks.prune_notices(t, before), touches=())


def _no_blob(sha256: str) -> bytes | None:
    """There are none: no field of these rows was too large."""
    return None


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed(
            f"database {path}: its folder cannot be made ({error.strerror}); set QUARTET_HOME to a folder "
            "that this account may write"
        ) from error
