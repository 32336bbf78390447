"""Webhooks as people and programs set them up: checked addresses, sealed secrets, replays."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

import structlog

from adapters.sealed import Seal
from bot.webhooks.notices import KINDS, ping
from bot.webhooks.sending import Sender
from bot.webhooks.signing import new_secret
from orchestrator.errors import NotFound, Refused
from orchestrator.ports import Clock, Store
from orchestrator.webhooks import NewWebhook, NoticePage, NoticeState, Webhook

log = structlog.get_logger(__name__)

MOST: Final = 50
PURPOSE: Final = b"quartet webhook secrets"


class Made(NamedTuple):
    """A new webhook, with what is shown this once."""

    webhook: Webhook
    secret: str


class WebhookBook:
    """Keeps webhooks.

    Args:
        store: where.
        sender: checks addresses.
        clock: for pings.
        keys: what secrets are encrypted with; asked for once, in a thread.
    """

    def __init__(self, store: Store, sender: Sender, clock: Clock, keys: Callable[[], Sequence[str]]) -> None:
        self._store = store
        self._sender = sender
        self._clock = clock
        self._keys = keys
        self._sealing: Seal | None = None
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` when there may be something to send."""
        self._listeners.append(listener)

    async def add(
        self,
        url: str,
        kinds: Sequence[str] = (),
        *,
        made_by: str,
        webhook_id: str = "",
        digest: str = "",
    ) -> Made:
        """Tell an address of what is committed from now on. The same id again gives the same webhook.

        Args:
            url: https, or a host that is allowed.
            kinds: which notices; empty: all.
            made_by: person key.
            webhook_id: "": a new one.
            digest: of what was asked for, kept along.

        Raises:
            AddressRefused: nothing may be sent there.
            Refused: an unknown kind, too many webhooks.
            ConfigError: the keys that secrets are encrypted with cannot be used.
        """
        known = await self._store.webhook(webhook_id) if webhook_id else None
        if known is None:
            check_kinds(kinds)
            await self._sender.check(url)
            new = NewWebhook(
                id=webhook_id or f"wh_{secrets.token_hex(8)}",
                url=url,
                kinds=tuple(dict.fromkeys(kinds)),
                secret=(await self._sealed()).shut({"secret": new_secret()}),
                digest=digest,
                made_by=made_by,
            )
            known = await self._store.add_webhook(new, most=MOST)
            log.info("a webhook was made", action="webhook_added", webhook=known.id)
        return Made(known, "" if known.state == "removed" else await self.secret(known))

    async def secret(self, webhook: Webhook) -> str:
        """What its notices are signed with.

        Raises:
            CannotOpen: the key that it was encrypted with is gone.
            ConfigError: the keys cannot be used.
        """
        return str((await self._sealed()).open(webhook.secret)["secret"])

    async def all(self) -> list[Webhook]:
        """All of them, oldest first."""
        return await self._store.webhooks()

    async def one(self, webhook_id: str) -> Webhook:
        """One webhook.

        Raises:
            NotFound: there is none.
        """
        found = await self._store.webhook(webhook_id)
        if found is None or found.state == "removed":
            raise _missing(webhook_id)
        return found

    async def change(
        self,
        webhook_id: str,
        *,
        url: str | None = None,
        kinds: Sequence[str] | None = None,
        state: Literal["on", "off"] | None = None,
    ) -> Webhook:
        """Change what is given.

        Raises:
            NotFound: there is none.
            AddressRefused, Refused: as in `add`.
        """
        await self.one(webhook_id)
        check_kinds(kinds or ())
        if url is not None:
            await self._sender.check(url)
        changed = await self._store.change_webhook(
            webhook_id, url=url, kinds=kinds, state=state, note="by request" if state == "off" else ""
        )
        if changed is None:
            raise _missing(webhook_id)
        self._tell()
        return changed

    async def remove(self, webhook_id: str) -> None:
        """Tell it nothing more and forget its notices. Raises NotFound."""
        if not await self._store.remove_webhook(webhook_id):
            raise _missing(webhook_id)
        log.info("a webhook was removed", action="webhook_removed", webhook=webhook_id)

    async def notices(
        self, webhook_id: str, *, state: NoticeState | None = None, limit: int = 50, cursor: str | None = None
    ) -> NoticePage:
        """Its notices, newest first.

        Raises:
            NotFound: there is no such webhook.
            Refused: the cursor is not one of ours.
        """
        await self.one(webhook_id)
        return await self._store.notices(webhook_id, state=state, limit=limit, cursor=cursor)

    async def replay(
        self, webhook_id: str, *, notice_id: str | None = None, since: datetime | None = None
    ) -> None:
        """Send one notice again, or those of all events since a time; each keeps its id.

        Args:
            since: aware.

        Raises:
            NotFound: there is no such webhook or notice.
            Refused: the webhook is off.
        """
        await self._on(webhook_id)
        if notice_id is not None and not await self._store.replay_notice(webhook_id, notice_id):
            raise NotFound(f"there is no notice {notice_id[:60]!r} of this webhook; it may have been pruned")
        if since is not None:
            await self._store.replay_since(webhook_id, since)
        self._tell()

    async def test(self, webhook_id: str) -> str:
        """Send a ping, before all that waits, once. Returns the id of its notice.

        Raises:
            NotFound: there is no such webhook.
            Refused: it is off.
        """
        await self._on(webhook_id)
        notice_id = f"msg_{secrets.token_hex(13)}"
        await self._store.add_notice(webhook_id, ping(notice_id, webhook_id, self._clock.now()))
        self._tell()
        return notice_id

    async def _on(self, webhook_id: str) -> None:
        if (await self.one(webhook_id)).state != "on":
            raise Refused("this webhook is off; switch it on first")

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    async def _sealed(self) -> Seal:
        if self._sealing is None:
            self._sealing = Seal(await asyncio.to_thread(self._keys), PURPOSE)
        return self._sealing


def check_kinds(kinds: Sequence[str]) -> None:
    """See that there are such notices.

    Raises:
        Refused: there are not.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise Refused(f"there are no notices {unknown[0][:40]!r}; there are: {', '.join(KINDS)}")


def _missing(webhook_id: str) -> NotFound:
    return NotFound(f"there is no webhook {webhook_id[:60]!r} here")
