"""Slack, for the shared journeys: each conversation is a thread in a channel of its own, by Socket Mode."""

from __future__ import annotations

import asyncio
import html
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, ClassVar

from tests.journey import slack_desk
from tests.journey.desks import DECIDERS, Desk, Files, Talk
from tests.twins.slack import Person, Seen, SlackTwin


class SlackTalk(Talk):
    """A thread, with the channel in which it stands."""

    def __init__(self, desk: SlackDesk, channel: str, root: str) -> None:
        super().__init__(desk)
        self.one = desk.one
        self.channel = channel
        self.root = root
        self.key = f"slack:{self.one.slack.team.id}:{channel}:{root}"
        self._last = root
        self._errors: dict[str, str] = {}  # beneath the inputs of ada's form

    async def says(self, text: str, *, files: Files = ()) -> None:
        self._last = self.one.ada.posts(self.channel, text, self.root, files)
        await self.one.settled()

    async def takes_back(self) -> None:
        self.one.ada.deletes(self._last)
        await self.one.settled()

    async def presses(self, label: str, *, by: Sequence[str] = ("ada",)) -> None:
        seen = await self.one.message(self.root, label, channel=self.channel)
        for name in by:
            self._person(name).clicks(self.channel, seen.ts, label)
        await self.one.settled()

    async def fills(self, values: Mapping[str, str]) -> None:
        ada = self.one.ada
        blocks = {f"field:{name}": {"value": value} for name, value in values.items()}
        view = await self.one.until(lambda: ada.modal if _asks(ada, blocks) else None)
        submitted = await ada.submits(view, blocks)
        assert submitted.outcome in ("closed", "errors"), submitted
        self._errors = submitted.errors

    async def commands(self, words: str) -> None:
        parcel = self.one.ada.slash(self.channel, "/quartet", words)
        await parcel.settled.wait()

    async def rates(self, *, good: bool) -> None:
        seen = await self.one.message(self.root, slack_desk.ANSWER, channel=self.channel)
        self.one.ada.gives_feedback(self.channel, seen.ts, "good" if good else "bad")
        await self.one.settled()

    async def screen(self, *, by: str = "ada") -> str:
        texts = [html.unescape(seen.shows) for seen in self._seen(by)]
        texts += [file.text for seen in self._seen(by) for file in seen.files]
        modal = self._person(by).modal
        if modal is not None and by == "ada":
            texts += [str(modal.payload["title"]["text"]), *self._errors.values()]
        return "\n".join(texts)

    async def cards(self) -> Counter[str]:
        return Counter(kind for seen in self._seen("ada") for kind in self._kinds(seen))

    def _kinds(self, seen: Seen) -> list[str]:
        """What card begins with this message; a stream gets its metadata when it ends."""
        message = self.one.slack.world.messages[self.channel].get(seen.ts)
        if message is None or message.app_id != self.one.slack.app.id:
            return []
        payload: dict[str, Any] = (message.metadata or {}).get("event_payload") or {}
        if "card" in payload:
            return [str(payload["card"]).split(":")[1]] if payload["part"] == 0 else []
        return ["status"] if seen.streaming else []

    def _seen(self, by: str) -> list[Seen]:
        """Channel and thread; before its first reply Slack shows the thread's notes in the channel."""
        person = self._person(by)
        both = {seen.ts: seen for thread in (None, self.root) for seen in person.sees(self.channel, thread)}
        return [both[ts] for ts in sorted(both, key=float)]

    def _person(self, name: str) -> Person:
        return self.one.slack.person(name)


class SlackDesk(Desk):
    """A workspace of the twin's."""

    column: ClassVar[str] = "Slack"
    cannot: ClassVar[Mapping[str, str]] = {}
    one: slack_desk.Desk

    async def open(self) -> None:
        twin = SlackTwin(time_scale=0.01)
        approvers = [f"slack:{twin.person(name).id}" for name in DECIDERS]
        async with AsyncExitStack() as opened:
            made = slack_desk.desk(
                self.folder, slack=twin, env=self.variables(), config={"chat": {"approvers": approvers}}
            )
            self.one = await opened.enter_async_context(made)
            self._opened = opened.pop_all()

    async def close(self) -> None:
        await self._opened.aclose()

    async def begins(self, text: str, *, files: Files = ()) -> Talk:
        slack = self.one.slack
        channel = slack.channel(f"talk-{len(slack.world.channels)}", "ada", "bob", "cem")
        return SlackTalk(self, channel, self.one.ada.mentions(channel, text, files=files))

    async def kill(self) -> None:
        await asyncio.to_thread(self.one.bot.kill)

    async def start(self) -> None:
        await asyncio.to_thread(self.one.bot.start)
        await self.one.until(lambda: self.one.slack.connections)

    def log(self) -> str:
        return self.one.log()


def _asks(person: Person, blocks: Mapping[str, object]) -> bool:
    """Whether the form on somebody's screen has these inputs."""
    if person.modal is None:
        return False
    return set(blocks) <= {block.get("block_id") for block in person.modal.payload["blocks"]}
