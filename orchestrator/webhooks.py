"""Addresses that are told of runs and approvals: what is kept of them and of each notice.

A webhook keeps how far in the log its notices were made (`Webhook.event`). Notices and the move of that
mark are written in one transaction, so a crash neither loses a notice nor makes one twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from orchestrator.events import RunEvent

WebhookState = Literal["on", "off", "removed"]
NoticeState = Literal["waiting", "sent", "failed"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is told."""

    id: str
    url: str
    kinds: tuple[str, ...]  # which notices; empty: all
    secret: bytes  # encrypted
    digest: str  # of the call that made it
    made_at: datetime  # aware, UTC, like the others
    made_by: str  # person key
    state: WebhookState
    note: str  # why it is off
    event: int  # place in the log, over all runs, up to which notices were made
    failures: int  # failed attempts since the last good one
    failing_since: datetime | None


class NewWebhook(NamedTuple):
    """A webhook that is to be kept; the store adds when it was made and where the log stands."""

    id: str
    url: str
    kinds: tuple[str, ...]
    secret: bytes
    digest: str
    made_by: str


class LogEntry(NamedTuple):
    """An event in the order of commits over all runs, with what is known of its run."""

    n: int
    event: RunEvent
    conversation_id: str
    workflow: str


class LogPart(NamedTuple):
    """Events behind a place in the log."""

    entries: Sequence[LogEntry]
    event: int  # the place up to which they were looked at
    more: bool  # there is more behind it


class NewNotice(NamedTuple):
    """A notice that is to be sent."""

    id: str
    event: int  # the order of sending; 0: before all others
    run_id: str
    kind: str
    body: str  # JSON, as it is sent
    at: datetime  # of the event


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice and what became of it."""

    id: str
    webhook: str
    run_id: str
    kind: str
    body: str
    at: datetime  # of the event
    state: NoticeState
    attempts: int
    aside: bool  # it failed while others got through; they do not wait for it any more
    due: datetime  # the next attempt; when none follows, the last one
    status: int  # HTTP status of the last answer; 0: none came
    problem: str


class NoticePage(NamedTuple):
    """Some notices, newest first."""

    items: Sequence[Notice]
    next: str | None  # cursor


class Attempt(NamedTuple):
    """How sending a notice ended."""

    notice_id: str
    at: datetime
    state: NoticeState  # after it
    due: datetime
    status: int
    problem: str
    counts: bool = True  # it says whether the receiver is well
    aside: bool = False


class Webhooks(Protocol):
    """Webhooks and their notices. Several processes may write; one sends."""

    async def add_webhook(self, new: NewWebhook, *, most: int) -> Webhook:
        """Keep a webhook that is told of what is committed from now on.

        One that has this id stays as it is, and is returned.

        Raises:
            Refused: there are `most` already.
        """
        ...

    async def webhook(self, webhook_id: str) -> Webhook | None:
        """One webhook; removed ones too."""
        ...

    async def webhooks(self) -> list[Webhook]:
        """Those that were not removed, oldest first."""
        ...

    async def change_webhook(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        kinds: Sequence[str] | None = None,
        state: Literal["on", "off"] | None = None,
        note: str = "",
    ) -> Webhook | None:
        """Change what is given; None: it is not there any more.

        One that is switched on is told of what is committed from then on, and what waits is due at once.
        """
        ...

    async def remove_webhook(self, webhook_id: str) -> bool:
        """Forget its notices and its secret; False: it is not there any more."""
        ...

    async def log_behind(self, event: int, types: Collection[str], *, limit: int = 200) -> LogPart:
        """Events of these types behind a place in the log. Of a fork only what is its own.

        An event that cannot be read is left out.
        """
        ...

    async def add_notices(
        self, webhook_id: str, notices: Sequence[NewNotice], *, behind: int, event: int
    ) -> bool:
        """Keep notices that are due at once and move the webhook's place from `behind` to `event`.

        Notices that are there already wait again. False, and nothing was done: the place is another one.
        """
        ...

    async def add_notice(self, webhook_id: str, notice: NewNotice) -> None:
        """Keep one that belongs to no event."""
        ...

    async def next_notices(self, webhook_id: str, now: datetime) -> list[Notice]:
        """The next to send, and the next of another run; those of one run come one after the other.

        The first may be due later: until then the others wait. Those aside come when they are due.
        """
        ...

    async def note_attempt(self, attempt: Attempt) -> None:
        """Keep how an attempt ended. What is not waiting any more stays as it is.

        After the first good one of a receiver that failed, what waits in line is due at once.
        """
        ...

    async def notice(self, notice_id: str) -> Notice | None:
        """One notice."""
        ...

    async def notices(
        self, webhook_id: str, *, state: NoticeState | None = None, limit: int = 50, cursor: str | None = None
    ) -> NoticePage:
        """A webhook's notices, newest first.

        Raises:
            Refused: the cursor is not one of ours.
        """
        ...

    async def replay_notice(self, webhook_id: str, notice_id: str) -> bool:
        """Let one wait again, due at once; False: there is none of this id."""
        ...

    async def replay_since(self, webhook_id: str, since: datetime) -> bool:
        """Let the notices of all events since then be made and sent again; False: it is not on."""
        ...

    async def prune_notices(self, before: datetime) -> int:
        """Forget notices whose last attempt, or the next one of which, was due before; how many."""
        ...
