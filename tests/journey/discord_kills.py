"""The bot is killed at one point of a conversation on Discord, started again, and looked at closely.

A point is a call of Discord's API (killed as it arrives, or when it is done and not answered yet), an event
of the gateway that was just sent, or a commit of one of the bot's databases (before it, or right after it).
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adapters.discord.outbound import mark, marks_in
from tests.journey.discord_desk import APPROVAL, Desk
from tests.journey.slack_kills import ANSWERS, FILE, PARAGRAPHS
from tests.twins.discord.faults import Call, Moment
from tests.twins.discord.gateway import ANSWER_LIMIT_S
from tests.twins.discord.seen import Seen

__all__ = ["ANSWERS", "FILE", "PARAGRAPHS"]

ONE_OF_EACH = {"status 0": 1, "approval 0": 1, "answer 0": 1}
# The answer in two messages, with a file.
ONE_LONG = {**ONE_OF_EACH, "answer 1": 1, f"file {FILE['name']}": 1}
PARTS = 4
DEAD_S = 1.0  # how long Discord waits for a bot that is killed: no need for 3 s

Phase = Literal["mention", "click"]


@dataclass(frozen=True)
class Point:
    """Where the bot is killed: once it was mentioned, or once Approve was clicked."""

    phase: Phase
    call: str = ""  # as `name_of` has it
    moment: Moment = "done"
    event: str = ""  # of the gateway: killed as soon as it was sent
    database: str = ""
    wrote: str = ""  # a regular expression, for the statements of the transaction
    when: Literal["before", "after"] = "after"

    def __str__(self) -> str:
        called = f"{self.call} {self.moment}" if self.call else f"{self.when} {self.wrote}"
        what = self.event or called
        return re.sub(r"[^a-z0-9]+", "-", f"{self.phase} {what}".lower()).strip("-")


class Kill:
    """One kill of a bot, and its start after that."""

    def __init__(self, one: Desk, point: Point) -> None:
        self.one = one
        self.point = point
        self._struck = False

    def arm(self) -> None:
        """From now on the point is waited for; an event's kill is `strikes_event`."""
        point = self.point
        if point.call:
            self.one.discord.faults.watch = self._strike
        elif point.database:
            order = {"database": point.database, "wrote": point.wrote, "when": point.when}
            path = order_of(self.one.bot.folder)
            path.with_suffix(".new").write_text(json.dumps(order), encoding="utf-8")
            path.with_suffix(".new").rename(path)

    async def struck(self) -> None:
        """Wait for the kill, and start the bot again."""
        if self.point.event:
            await asyncio.sleep(0)  # the event leaves
            self.one.bot.kill()
        await self.one.until(self.one.bot.died)
        await self.one.until(lambda: not self.one.discord.gateway.connected)
        await self.one.start()

    def _strike(self, call: Call, moment: Moment) -> bool:
        if self._struck or (name_of(self.one, call), moment) != (self.point.call, self.point.moment):
            return False
        self._struck = True
        self.one.bot.kill()
        return True


async def ready(one: Desk) -> None:
    """A bot that lives, with no kill ordered: a test that failed leaves neither behind for its next try."""
    order_of(one.bot.folder).unlink(missing_ok=True)
    one.discord.faults.watch = lambda call, moment: False
    if one.bot.died():
        await one.start()


@contextmanager
def dead(one: Desk) -> Generator[None]:
    """What people do in the block is waited for as long as a bot that is killed is worth."""
    one.discord.gateway.answer_limit_s = DEAD_S
    try:
        yield
    finally:
        one.discord.gateway.answer_limit_s = ANSWER_LIMIT_S


def order_of(folder: Path) -> Path:
    """The file with the next kill at a commit."""
    return folder / "kill.json"


def environment(folder: Path) -> dict[str, str]:
    """Variables of a bot that can be killed at its commits."""
    return {"KILL_ORDER": str(order_of(folder))}


def name_of(one: Desk, call: Call) -> str:
    """A call by what it is for: `post status`, `post answer 1`, `edit approval`, `thread`, `callback`, …"""
    name = call.name
    if name.endswith("/messages") or name.endswith("/messages/{message_id}"):
        verb = {"POST": "post", "PATCH": "edit"}.get(call.method, call.method.lower())
        found = marks_in(call.body)
        if found is not None:
            return f"{verb} {_card(one, found).removesuffix(' 0')}"
        return f"{verb} message"
    return name.rpartition("/")[2].removesuffix("s")


class Conversation:
    """One conversation with a bot that is killed at a point of its question, and at one of its answer."""

    def __init__(self, one: Desk, asking: Point, answering: Point, channel: str) -> None:
        self.one = one
        self.channel = channel
        self.thread = ""
        self._asking = Kill(one, asking)
        self._answering = Kill(one, answering)

    async def through(self) -> None:
        """Ask, approve, read the answer, with the kills on the way."""
        one = self.one
        one.models.twin.load(ANSWERS)
        self._asking.arm()
        self.thread = one.ada.mentions(self.channel, "What is tea?")
        await self._asking.struck()
        card = await one.message(self.thread, APPROVAL)
        await one.until(lambda: self._at_rest(over=False))
        self._answering.arm()
        with dead(one):
            pressed = one.ada.clicks(card.id, label=APPROVAL)
        one.forgiven.append(pressed)  # Discord says so to her when the bot was too dead to answer
        await self._answering.struck()
        if (await pressed.wait()).failed and not self._decided():
            await self._presses_again(card)
        await one.done(self.thread)
        await one.until(lambda: self._at_rest(over=True))

    async def _presses_again(self, card: Seen) -> None:
        """Discord said "This interaction failed", and nothing became of it: the button still works."""
        one = self.one
        await one.until(lambda: at_rest(one))
        if APPROVAL in one.ada.sees_message(card.id).labels:
            pressed = await one.ada.clicks(card.id, label=APPROVAL).wait()
            assert not pressed.failed

    def check(self) -> None:
        """One thread, one run, one of each card, nothing else."""
        one = self.one
        assert list(one.ada.sees_threads(self.channel)) == [self.thread]
        assert shown_in(one, self.thread) == ONE_LONG
        assert shown_in(one, self.channel) == {}
        assert len(self._rows("SELECT id FROM runs WHERE conversation_id LIKE ?")) == 1
        said = "\n".join(each.text for each in one.ours(self.thread))
        assert [said.count(paragraph.strip()) for paragraph in PARAGRAPHS] == [1] * len(PARAGRAPHS)

    async def feedback(self) -> None:
        """The buttons of the answer live."""
        pressed = await self.one.presses(self.one.ada, self.thread, "👍 Good answer")
        assert not pressed.failed
        events = "SELECT 1 FROM events JOIN runs ON runs.n = events.run"
        wanted = f"{events} WHERE conversation_id LIKE ? AND type = 'feedback_given'"
        await self.one.until(lambda: self._rows(wanted))

    # ── what is there ────────────────────────────────────────────────────────────────────────

    def _decided(self) -> bool:
        events = "SELECT 1 FROM events JOIN runs ON runs.n = events.run"
        return bool(self._rows(f"{events} WHERE conversation_id LIKE ? AND type = 'decision_given'"))

    def _at_rest(self, *, over: bool) -> bool:
        return at_rest(self.one) and self._rows(
            "SELECT ended_at IS NOT NULL FROM runs WHERE conversation_id LIKE ?"
        ) == [(int(over),)]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return rows(self.one, "quartet.db", query, f"discord:%:{self.channel}:%")


def rows(one: Desk, database: str, query: str, *values: str) -> list[tuple[Any, ...]]:
    """What stands in one of the bot's databases."""
    with closing(sqlite3.connect(f"file:{one.bot.home / database}?mode=ro", uri=True)) as db:
        return db.execute(query, values).fetchall()


def at_rest(one: Desk, thread: str = "") -> bool:
    """All that came in is handed in, and all of every run (of a thread) is shown."""
    lane = f"%{thread}"
    if rows(one, "discord.db", "SELECT 1 FROM inbox WHERE state = 'new' AND lane LIKE ?", lane):
        return False
    return not rows(one, "quartet.db", "SELECT 1 FROM runs WHERE unshown AND conversation_id LIKE ?", lane)


def shown_in(one: Desk, place: str) -> Counter[str]:
    """How often each message of a card, each file and whatever else of the bot's stands somewhere."""
    return Counter(name for seen in one.ours(place, by=one.root) for name in _names(one, seen))


def _names(one: Desk, seen: Seen) -> list[str]:
    found = marks_in({"components": list(seen.components)})
    files = [f"file {file.name}" for file in seen.files]
    return [*([_card(one, found)] if found is not None else [seen.text[:80]]), *files]


def _card(one: Desk, found: int) -> str:
    """The card that a container shows, as `answer 1`."""
    cards = [str(row[0]) for row in rows(one, "quartet.db", "SELECT card_id FROM deliveries")]
    for card in cards:
        for part in range(PARTS):
            if mark(card, part) == found:
                return f"{card.split(':')[1]} {part}"
    return f"an unknown card {found}"
