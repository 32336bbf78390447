"""Discord, for the shared journeys: each conversation is a thread in a channel of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import ClassVar

from adapters.discord.outbound import mark, marks_in
from tests.contract.harness_discord import drawn
from tests.journey import discord_desk
from tests.journey.desks import DECIDERS, Desk, Files, Talk
from tests.twins.discord import DiscordTwin
from tests.twins.discord.people import Modal, Person, Seen

CORRECT = "Correct"  # opens a form again that was sent with errors


class DiscordTalk(Talk):
    """A thread, with the channel in which it was begun and what the bot tells people directly meanwhile."""

    def __init__(self, desk: DiscordDesk, channel: str, root: str) -> None:
        super().__init__(desk)
        self.one = desk.one
        self.channel = channel
        self.thread = root  # it has the id of the message that it was begun on
        self.key = f"discord:{self.one.discord.guild_id}:{channel}:{root}"
        self._last = root

    async def says(self, text: str, *, files: Files = ()) -> None:
        self._last = self.one.ada.posts(self.thread, text, files)

    async def takes_back(self) -> None:
        self.one.ada.deletes(self._last)

    async def presses(self, label: str, *, by: Sequence[str] = ("ada",)) -> None:
        seen = await self.one.message(self.thread, label)
        pressed = [self._person(name).clicks(seen.id, label=label) for name in by]
        await asyncio.gather(*(each.wait() for each in pressed))

    async def fills(self, values: Mapping[str, str]) -> None:
        [modal] = await self.one.until(self._opened)
        if modal is None:  # Discord closes a form that is sent; what was wrong stands beside this button
            note = await self.one.message(self.thread, CORRECT)
            await self.one.ada.clicks(note.id, label=CORRECT).wait()
            modal = await self.one.until(lambda: self.one.ada.modal)
        sent = self.one.ada.submits(modal, {f"f:{name}": value for name, value in values.items()})
        await sent.wait()

    def _opened(self) -> tuple[Modal | None] | None:
        modal = self.one.ada.modal
        corrects = any(CORRECT in seen.labels for seen in self._seen("ada"))
        return (modal,) if modal is not None or corrects else None

    async def commands(self, words: str) -> None:
        await self.one.until(lambda: "quartet" in self.one.ada.commands(self.thread))
        await self.one.ada.types_command(f"quartet {words}", self.thread).wait()

    async def rates(self, *, good: bool) -> None:
        seen = await self.one.message(self.thread, discord_desk.ANSWER)
        [button] = [b for b in seen.buttons if b.custom_id.startswith("q:good:" if good else "q:bad:")]
        await self.one.ada.clicks(seen.id, custom_id=button.custom_id).wait()

    async def screen(self, *, by: str = "ada") -> str:
        texts = [drawn(seen.text) for seen in self._seen(by)]
        texts += [file.text for seen in self._seen(by) for file in seen.files]
        return "\n".join(texts)

    async def cards(self) -> Counter[str]:
        known = self.desk.rows("SELECT card_id FROM deliveries WHERE conversation_id = ?", self.key)
        kinds = {mark(card_id, 0): str(card_id).split(":")[1] for (card_id,) in known}
        marks = [marks_in({"components": list(seen.components)}) for seen in self.one.ours(self.thread)]
        return Counter(kinds[found] for found in marks if found in kinds)

    def _seen(self, by: str) -> list[Seen]:
        person = self._person(by)
        seen = [seen for place in (self.channel, self.thread) for seen in self.one.sees(place, by=person)]
        directly = self.one.sees(person.dm, by=person)
        return [*seen, *(each for each in directly if int(each.id) > int(self.thread))]

    def _person(self, name: str) -> Person:
        return self.one.discord.person(name)


class DiscordDesk(Desk):
    """A guild of the twin's."""

    column: ClassVar[str] = "Discord"
    cannot: ClassVar[Mapping[str, str]] = {}
    one: discord_desk.Desk

    async def open(self) -> None:
        twin = DiscordTwin(time_scale=0.05)
        approvers = [f"discord:{twin.person(name).id}" for name in DECIDERS]
        async with AsyncExitStack() as opened:
            made = discord_desk.desk(
                self.folder, discord=twin, env=self.variables(), config={"chat": {"approvers": approvers}}
            )
            self.one = await opened.enter_async_context(made)
            self._opened = opened.pop_all()

    async def close(self) -> None:
        await self._opened.aclose()

    async def begins(self, text: str, *, files: Files = ()) -> Talk:
        discord = self.one.discord
        channel = discord.channel(f"talk-{len(discord.backend.channels)}")
        root = self.one.ada.mentions(channel, text, files)
        await self.one.until(lambda: root in self.one.ada.sees_threads(channel))
        return DiscordTalk(self, channel, root)

    async def kill(self) -> None:
        await self.one.kill()

    async def start(self) -> None:
        await self.one.start()

    def log(self) -> str:
        return self.one.log()
