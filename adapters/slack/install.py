"""Workspaces that installed the app: their tokens, encrypted in slack.db, and refreshed in time.

One row for a workspace or a whole organisation; no tokens of people are asked for or kept. Bolt's
OAuth flow writes here (`oauth.py`), everything else asks `Installations.bot`.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from logging import Logger
from pathlib import Path
from typing import Any, Final

import aiohttp
from slack_bolt.error import BoltError
from slack_sdk.errors import SlackClientError, SlackTokenRotationError
from slack_sdk.oauth.installation_store import Bot, Installation
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.oauth.token_rotation.async_rotator import AsyncTokenRotator

from adapters.database import Database
from adapters.errors import NotAllowed, PlatformDown
from adapters.sealed import CannotOpen, Seal
from adapters.slack.installation import (
    LAST_USE_S,
    REFRESH_BEFORE_MIN,
    bot_token,
    ends_soon,
    good_until,
    plain,
    why,
)
from adapters.slack.ports import BotToken
from adapters.slack.tokens import API_URL, web_client

SCHEMA = Path(__file__).with_name("schema.sql")  # of slack.db
PURPOSE: Final = b"quartet slack installations"  # what was sealed for another one cannot be opened
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    bot: BotToken
    until: float  # epoch seconds; after it the token is looked at again


class Installations(AsyncInstallationStore):
    """Where the tokens of workspaces are. Implements `Tokens`, and the store that Bolt asks for.

    Args:
        database: slack.db, open.
        keys: what tokens are encrypted with; the first encrypts, all decrypt.
        client_id: of the app; with `client_secret` tokens that end are refreshed.
        client_secret: of the app.
        api_url: Slack's Web API, with a slash at the end.
        install_url: where people install the app, for messages.
    """

    def __init__(
        self,
        database: Database,
        keys: Sequence[str],
        *,
        client_id: str = "",
        client_secret: str = "",
        api_url: str = API_URL,
        install_url: str = "/slack/install",
    ) -> None:
        self._database = database
        self._seal = Seal(keys, PURPOSE)
        self._install_url = install_url
        self._rotator = AsyncTokenRotator(
            client_id=client_id, client_secret=client_secret, client=web_client(api_url=api_url)
        )
        self._known: dict[tuple[str, str], _Known] = {}
        self._version = 0  # raised by every change, so that nothing old is remembered after it
        self._refreshing: dict[tuple[str, str], asyncio.Task[Installation]] = {}

    # ── asked by whoever calls Slack ─────────────────────────────────────────────────────────

    async def bot(self, team: str, enterprise: str = "") -> BotToken:
        """The token of a workspace, else of its organisation; fresh for at least half a minute.

        Raises:
            NotAllowed: not installed there, or no key opens what is stored; the message says what to do.
            PlatformDown: the token has ended and Slack gives no new one now.
        """
        known = self._known.get((team, enterprise))
        if known is not None and time.time() < known.until:
            return known.bot
        version = self._version
        installation = await self._find(team, enterprise)
        if installation is None:
            raise NotAllowed(
                f"Quartet is not installed in workspace {team or enterprise}; install: {self._install_url}"
            )
        if ends_soon(installation):
            installation = await self._refreshed(installation)
        if installation.is_enterprise_install and team and enterprise:
            await self._learn(team, enterprise)
        bot = bot_token(installation)
        if version == self._version:
            self._known[team, enterprise] = _Known(bot, good_until(installation))
        return bot

    async def installed(self) -> tuple[tuple[str, BotToken | None], ...]:
        """All workspaces and organisations: the name or id, and the token; None: no key opens it."""
        rows = await self._database.read(
            lambda db: db.execute("SELECT * FROM installations WHERE user = '' ORDER BY at").fetchall()
        )
        found: list[tuple[str, BotToken | None]] = []
        for row in rows:
            try:
                installation = Installation(**self._seal.open(row["installation"]))
            except CannotOpen:
                found.append((row["team"] or row["enterprise"], None))
            else:
                name = installation.team_name or installation.enterprise_name
                found.append((name or row["team"] or row["enterprise"], bot_token(installation)))
        return tuple(found)

    async def installed_since(self, team: str, enterprise: str, since: float) -> bool:
        """Whether it was installed anew after it was removed: Slack may tell of the removal late.

        Args:
            since: when it was removed, epoch seconds.
        """

        def work(db: sqlite3.Connection) -> bool:
            return (
                db.execute(
                    "SELECT 1 FROM installations WHERE at > ? AND (team = ? OR team = '' AND enterprise = ?)",
                    (since + 1, team, enterprise),
                ).fetchone()
                is not None
            )

        return await self._database.read(work)

    async def rotate(self) -> tuple[str, ...]:
        """Encrypt by the first key what is still encrypted by another; call it at start.

        Returns:
            The workspaces that no key opens; each is told of in the log.
        """

        def renew(db: sqlite3.Connection) -> list[str]:
            lost: list[str] = []
            for row in db.execute("SELECT rowid, * FROM installations").fetchall():
                try:
                    renewed = self._seal.renewed(row["installation"])
                except CannotOpen:
                    lost.append(row["team"] or row["enterprise"])
                    continue
                if renewed is not None:
                    db.execute(
                        "UPDATE installations SET installation = ? WHERE rowid = ?", (renewed, row["rowid"])
                    )
            return lost

        lost = tuple(await self._database.write(renew))
        for workspace in lost:
            log.error("%s", self._cannot_open(workspace))
        return lost

    async def close(self) -> None:
        """Let refreshes under way end, so that no new token is lost; before the database is closed."""
        await asyncio.gather(*self._refreshing.values(), return_exceptions=True)

    # ── asked by Bolt ────────────────────────────────────────────────────────────────────────

    @property
    def logger(self) -> Logger:
        """For Bolt."""
        return log

    async def async_save(self, installation: Installation) -> None:
        """Keep an installation, in place of an older one of the same workspace.

        Raises:
            BoltError: it has no bot token.
        """
        if not installation.bot_token:
            raise BoltError("the installation has no bot token; the app must ask for bot scopes")
        kept = Installation(**installation.to_dict_for_copying())
        kept.user_token = kept.user_refresh_token = kept.user_token_expires_at = None
        sealed = self._seal.shut(plain(kept))
        enterprise = installation.enterprise_id or ""
        team = "" if installation.is_enterprise_install else installation.team_id or ""

        def write(db: sqlite3.Connection) -> None:
            if team:  # a workspace that joined an organisation since has one row, not two
                db.execute("DELETE FROM installations WHERE team = ?", (team,))
            db.execute(
                "INSERT OR REPLACE INTO installations VALUES (?, ?, '', ?, ?)",
                (enterprise, team, sealed, time.time()),
            )

        await self._database.write(write)
        self._changed()

    async def async_save_bot(self, bot: Bot) -> None:
        """Keep a bot's new token."""
        found = await self._find(bot.team_id or "", bot.enterprise_id or "")
        values: dict[str, Any] = found.to_dict_for_copying() if found is not None else {"user_id": ""}
        given: dict[str, Any] = {k: v for k, v in bot.to_dict_for_copying().items() if v is not None}
        await self.async_save(Installation(**(values | given)))

    async def async_find_installation(
        self,
        *,
        enterprise_id: str | None,
        team_id: str | None,
        user_id: str | None = None,
        is_enterprise_install: bool | None = False,
    ) -> Installation | None:
        """The installation of a workspace, else of its organisation. None: none that can be read."""
        try:
            found = await self._find("" if is_enterprise_install else team_id or "", enterprise_id or "")
        except NotAllowed as error:
            log.error("%s", error)  # noqa: TRY400 - it says all there is to know
            return None
        return None if found is not None and user_id not in (None, found.user_id) else found

    async def async_find_bot(
        self, *, enterprise_id: str | None, team_id: str | None, is_enterprise_install: bool | None = False
    ) -> Bot | None:
        """As `async_find_installation`."""
        found = await self.async_find_installation(
            enterprise_id=enterprise_id, team_id=team_id, is_enterprise_install=is_enterprise_install
        )
        return found.to_bot() if found is not None else None

    async def async_delete_bot(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        """Forget a workspace (or an organisation, without `team_id`): uninstalled, or its token revoked."""
        team, enterprise = team_id or "", enterprise_id or ""

        def delete(db: sqlite3.Connection) -> None:
            if team:
                db.execute("DELETE FROM installations WHERE team = ?", (team,))
                db.execute("DELETE FROM organisations WHERE team = ?", (team,))
            elif enterprise:
                db.execute("DELETE FROM installations WHERE enterprise = ? AND team = ''", (enterprise,))
                db.execute("DELETE FROM organisations WHERE enterprise = ?", (enterprise,))

        await self._database.write(delete)
        self._changed()

    async def async_delete_installation(
        self, *, enterprise_id: str | None, team_id: str | None, user_id: str | None = None
    ) -> None:
        """Forget a workspace; of a person's token (`user_id`) there is nothing to forget."""
        if user_id is None:
            await self.async_delete_bot(enterprise_id=enterprise_id, team_id=team_id)

    # ── rows ─────────────────────────────────────────────────────────────────────────────────

    async def _find(self, team: str, enterprise: str) -> Installation | None:
        def look(db: sqlite3.Connection) -> sqlite3.Row | None:
            if team:
                own = db.execute(
                    "SELECT * FROM installations WHERE team = ? AND user = ''", (team,)
                ).fetchone()
                if own is not None:
                    return own
            of = enterprise
            if not of and team:
                known = db.execute("SELECT enterprise FROM organisations WHERE team = ?", (team,)).fetchone()
                of = known["enterprise"] if known is not None else ""
            if not of:
                return None
            return db.execute(
                "SELECT * FROM installations WHERE enterprise = ? AND team = '' AND user = ''", (of,)
            ).fetchone()

        row = await self._database.read(look)
        if row is None:
            return None
        try:
            return Installation(**self._seal.open(row["installation"]))
        except CannotOpen:
            raise NotAllowed(self._cannot_open(row["team"] or row["enterprise"])) from None

    def _cannot_open(self, workspace: str) -> str:
        return (
            f"the token stored for Slack workspace {workspace} cannot be read: no key in QUARTET_SECRET_KEY "
            f"opens it; put the former key back behind a comma, or install the app again: {self._install_url}"
        )

    async def _learn(self, team: str, enterprise: str) -> None:
        await self._database.write(
            lambda db: db.execute("INSERT OR REPLACE INTO organisations VALUES (?, ?)", (team, enterprise))
        )

    def _changed(self) -> None:
        self._version += 1
        self._known.clear()

    # ── tokens that end ──────────────────────────────────────────────────────────────────────

    async def _refreshed(self, installation: Installation) -> Installation:
        """The installation with a token that lasts; one exchange at a time for each."""
        key = (installation.enterprise_id or "", installation.team_id or "")
        task = self._refreshing.get(key)
        if task is None:
            task = asyncio.create_task(
                self._exchange(installation), name=f"slack token of {key[1] or key[0]}"
            )
            self._refreshing[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        # The exchange goes on when whoever asked is cancelled: the old token may be gone already.
        return await asyncio.shield(task)

    def _ended(self, key: tuple[str, str], task: asyncio.Task[Installation]) -> None:
        del self._refreshing[key]
        if not task.cancelled():
            task.exception()  # seen, even where nobody waits for it any more

    async def _exchange(self, installation: Installation) -> Installation:
        # Somebody may have exchanged it between our look and this task.
        team = "" if installation.is_enterprise_install else installation.team_id or ""
        current = await self._find(team, installation.enterprise_id or "") or installation
        if not ends_soon(current):
            return current
        try:
            fresh = await self._rotator.perform_bot_token_rotation(
                bot=current.to_bot(), minutes_before_expiration=REFRESH_BEFORE_MIN
            )
        except (
            SlackTokenRotationError,
            SlackClientError,
            aiohttp.ClientError,
            TimeoutError,
            OSError,
        ) as error:
            workspace = current.team_id or current.enterprise_id
            reason = why(error)
            if (current.bot_token_expires_at or 0) > time.time() + LAST_USE_S:
                log.warning(
                    "the Slack token of %s could not be refreshed (%s); it still works", workspace, reason
                )
                return current
            raise PlatformDown(
                f"the Slack token of {workspace} has ended and could not be refreshed ({reason}); "
                f"if it stays so, install the app again: {self._install_url}"
            ) from None
        if fresh is None:
            return current
        current.bot_token = fresh.bot_token
        current.bot_refresh_token = fresh.bot_refresh_token or current.bot_refresh_token
        current.bot_token_expires_at = fresh.bot_token_expires_at
        await self.async_save(current)
        return current
