"""Tell Discord of our commands, once for each change: it allows few such calls a day.

What Discord was told is known by its digest. A sync that fails is tried again and never keeps the bot from
working: commands that Discord knew before go on as before.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog

from adapters.database import Database
from adapters.errors import AdapterError

FIRST_PAUSE_S = 30.0  # until a sync that failed is tried again
LONGEST_PAUSE_S = 1800.0
EVERYWHERE = ""  # the "guild" of commands that all guilds and direct messages have

Put = Callable[[str, Sequence[Mapping[str, Any]]], Awaitable[None]]

log = structlog.get_logger(__name__)


class CommandSync:
    """Keeps the commands that Discord knows as they are here.

    Args:
        database: discord.db, table `facts`.
        put: replaces the commands of a guild, or of all (`EVERYWHERE`).
        guilds: guild ids where the commands are registered; none: everywhere.
        first_pause_s: seconds until a sync that failed is tried again.
    """

    def __init__(
        self,
        database: Database,
        put: Put,
        guilds: Sequence[str] = (),
        *,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._database = database
        self._put = put
        self._guilds = tuple(dict.fromkeys(guilds)) or (EVERYWHERE,)
        self._first_pause_s = first_pause_s
        self._task: asyncio.Task[None] | None = None
        self._telling = asyncio.Lock()
        self._again = asyncio.Event()  # what Discord knows may have changed meanwhile
        self.trouble = ""  # why Discord does not know our commands yet, with the remedy

    def start(self, application: str, commands: Sequence[Mapping[str, Any]]) -> None:
        """Begin to tell Discord, in the background. Called again, as in a new guild, it tries at once."""
        self._again.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(
                self._until_known(application, commands), name="discord-commands"
            )

    async def done(self) -> None:
        """Wait until Discord knows them."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Leave it. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def once(self, application: str, commands: Sequence[Mapping[str, Any]]) -> int:
        """Tell Discord what it does not know yet; how many calls it took.

        Commands that were registered where they are not wanted any more are removed: people would see
        everything twice.

        Raises:
            AdapterError: Discord did not take it; what it took is known.
        """
        async with self._telling:
            return await self._once(application, commands)

    async def _once(self, application: str, commands: Sequence[Mapping[str, Any]]) -> int:
        known = await self._known(application)
        now = digest(commands)
        wanted: dict[str, Sequence[Mapping[str, Any]]] = dict.fromkeys(self._guilds, commands)
        unwanted = [guild for guild in known if guild not in wanted]
        calls, refused = 0, None
        for guild in (*(g for g in wanted if known.get(g) != now), *unwanted):
            try:
                await self._put(guild, wanted.get(guild, ()))
            except AdapterError as error:  # one guild that the bot is not in keeps no other from its commands
                refused = refused or error
            else:
                await self._note(application, guild, now if guild in wanted else None)
                calls += 1
        if refused is not None:
            raise refused
        return calls

    async def forget(self, application: str, guild: str) -> None:
        """Discord may have dropped a guild's commands: the bot was removed from it."""
        async with self._telling:  # what is being told now may be dropped already
            await self._note(application, guild, None)

    async def _until_known(self, application: str, commands: Sequence[Mapping[str, Any]]) -> None:
        pause_s = self._first_pause_s
        while True:
            self._again.clear()
            try:
                calls = await self.once(application, commands)
            except (AdapterError, sqlite3.Error) as error:
                self.trouble = f"Discord does not know the current /quartet commands yet: {error}"[:500]
                log.warning(
                    "The commands could not be registered at Discord; it is tried again.",
                    action="discord.commands_refused",
                    error=str(error)[:300],
                    again_in_s=round(pause_s),
                )
            else:
                self.trouble = ""
                if calls:
                    log.info(
                        "The commands were registered at Discord.", action="discord.commands", calls=calls
                    )
                if not self._again.is_set():
                    return
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _known(self, application: str) -> dict[str, str]:
        """What Discord was told last: guild → digest."""
        begin = f"commands:{application}:"

        def work(db: sqlite3.Connection) -> dict[str, str]:
            rows = db.execute(
                "SELECT name, value FROM facts WHERE substr(name, 1, ?) = ?", (len(begin), begin)
            ).fetchall()
            return {row["name"].removeprefix(begin): row["value"] for row in rows}

        return await self._database.read(work)

    async def _note(self, application: str, guild: str, known: str | None) -> None:
        name = f"commands:{application}:{guild}"

        def work(db: sqlite3.Connection) -> None:
            if known is None:
                db.execute("DELETE FROM facts WHERE name = ?", (name,))
            else:
                db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, known))

        await self._database.write(work)


def digest(commands: Sequence[Mapping[str, Any]]) -> str:
    """What tells one set of commands from another, whatever their order."""
    ordered = sorted(json.dumps(command, sort_keys=True, default=str) for command in commands)
    return hashlib.sha256("\n".join(ordered).encode()).hexdigest()
