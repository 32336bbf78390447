"""The bot is killed at one point of a conversation on Slack, started again, and looked at closely.

A point is a call of Slack's API (killed as it arrives, or when it is done and not answered yet), or a
commit of one of the bot's databases (killed before it, or right after it).
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.house import PLAN, REVIEW
from tests.journey.bot_process import ROOT
from tests.journey.slack_desk import APPROVAL, Desk
from tests.twins.slack.faults import Call, Moment
from tests.twins.slack.workspace import Message

AT_COMMIT = Path(__file__).with_name("at_commit")
PARAGRAPHS = [f"Paragraph {n} of the answer. " + "Tea is warm. " * 12 for n in range(28)]
FILE = {"name": "tea.csv", "media_type": "text/csv", "text": "name,warm\ntea,yes\n" * 400}
DRAFT: dict[str, Any] = {
    "body": "\n\n".join(PARAGRAPHS),
    "files": [FILE],
    "task_results": [{"task_id": "t1", "done": True, "note": ""}],
}
BRIEF: dict[str, Any] = {
    "summary": "Tea is a warm drink.",
    "findings": [{"claim": "Tea is a warm drink made of leaves.", "source_ids": [1]}],
    "sources": [
        {
            "id": 1,
            "title": "Tea",
            "url": "tea.md#what-tea-is",
            "quoted": "Tea is a warm drink made of leaves.",
        }
    ],
    "gaps": [],
}
SEARCH: dict[str, Any] = {"tool_calls": [{"name": "knowledge_search", "arguments": {"query": "what is tea"}}]}
ACCEPTED = {name: value for name, value in REVIEW.items() if name != "repeated"}
# Each agent may be killed while it is asked, and is asked once more then.
ANSWERS: dict[str, Any] = {
    "answers": {
        "researcher": [SEARCH, {"output": BRIEF}, {"output": BRIEF}],
        "planner": [{"output": PLAN}] * 2,
        "builder": [{"output": DRAFT}] * 2,
        "reviewer": [{"output": ACCEPTED}] * 2,
    }
}
ONE_OF_EACH = {"status 0": 1, "approval 0": 1, "answer 0": 1, "answer 1": 1, "file tea.csv": 1}

Phase = Literal["mention", "click"]
_CARD = re.compile(r":(status|approval|answer)\b")
_PART = re.compile(r"part['\"]+: (\d+)")


@dataclass(frozen=True)
class Point:
    """Where the bot is killed: once it was mentioned, or once Approve was clicked."""

    phase: Phase
    call: str = ""  # as `name_of` has it
    moment: Moment = "done"
    database: str = ""
    wrote: str = ""  # a regular expression, for the statements of the transaction
    when: Literal["before", "after"] = "after"
    looked_for: bool = False  # what was being posted is looked for on Slack

    def __str__(self) -> str:
        what = f"{self.call} {self.moment}" if self.call else f"{self.when} {self.wrote}"
        return re.sub(r"[^a-z0-9]+", "-", f"{self.phase} {what}".lower()).strip("-")


def name_of(call: Call) -> str:
    """A call by what it is for, whatever method shows it: `post status`, `post answer 1`, `edit approval`."""
    arguments = call.arguments
    shown = str(arguments.get("metadata") or arguments.get("chunks") or "")
    card, part = _CARD.search(shown), _PART.search(shown)
    number = f" {part[1]}" if part and part[1] != "0" else ""
    verb = {"chat.postMessage": "post", "chat.startStream": "post", "chat.update": "edit"}.get(call.method)
    return f"{verb} {card[1]}{number}" if verb and card else call.method


def environment(folder: Path) -> dict[str, str]:
    """Variables of a bot that can be killed at its commits."""
    return {"PYTHONPATH": f"{AT_COMMIT}:{ROOT}", "KILL_ORDER": str(_order(folder))}


def _order(folder: Path) -> Path:
    return folder / "kill.json"


class Kill:
    """One kill of a bot, and its start after that."""

    def __init__(self, one: Desk, point: Point) -> None:
        self.one = one
        self.point = point
        self.calls = 0  # calls of Slack's API when it was killed
        self._struck = False

    def arm(self) -> None:
        """From now on the point is waited for."""
        point = self.point
        if point.call:
            self.one.slack.faults.watch = self._strike
        else:
            order = {"database": point.database, "wrote": point.wrote, "when": point.when}
            path = _order(self.one.bot.folder)
            path.with_suffix(".new").write_text(json.dumps(order), encoding="utf-8")
            path.with_suffix(".new").rename(path)

    async def struck(self) -> None:
        """Wait for the kill, and start the bot again."""
        await self.one.until(self.one.bot.died)
        self.calls = self.calls or len(self.one.slack.calls)
        await asyncio.to_thread(self.one.bot.start)
        await self.one.until(lambda: self.one.slack.connections)

    def _strike(self, call: Call, moment: Moment) -> bool:
        if self._struck or (name_of(call), moment) != (self.point.call, self.point.moment):
            return False
        self._struck = True
        self.calls = len(self.one.slack.calls)
        self.one.bot.kill()
        return True


async def ready(one: Desk) -> None:
    """A bot that lives, with no kill ordered: a test that failed leaves neither behind for its next try."""
    _order(one.bot.folder).unlink(missing_ok=True)
    one.slack.faults.watch = lambda call, moment: False
    if one.bot.died():
        await asyncio.to_thread(one.bot.start)
        await one.until(lambda: one.slack.connections)


class Conversation:
    """One conversation with a bot that is killed at a point of it."""

    def __init__(self, one: Desk, point: Point, channel: str) -> None:
        self.one = one
        self.point = point
        self.channel = channel
        self.thread = ""
        self._kill = Kill(one, point)

    async def through(self) -> None:
        """Ask, approve, read the answer, with the kill on the way."""
        one, phase = self.one, self.point.phase
        one.models.twin.load(ANSWERS)
        if phase == "mention":
            self._kill.arm()
        self.thread = one.ada.mentions(self.channel, "What is tea?")
        if phase == "mention":
            await self._kill.struck()
        card = await one.message(self.thread, APPROVAL, channel=self.channel)
        if phase == "click":
            await one.until(lambda: self._at_rest(over=False))
            self._kill.arm()
        parcel = one.ada.clicks(self.channel, card.ts, APPROVAL)
        if phase == "click":
            await self._kill.struck()
            if not parcel.acked:  # Slack says so to her, and gives up
                await one.until(lambda: one.ada.warnings)
                one.ada.warnings.clear()
                one.ada.clicks(self.channel, card.ts, APPROVAL)
        await one.done(self.thread, channel=self.channel)
        await one.until(lambda: self._at_rest(over=True))

    def check(self) -> None:
        """One run, one of each card, nothing else."""
        assert shown_in(self.one, self.channel) == ONE_OF_EACH
        assert len(self._rows("SELECT id FROM runs WHERE conversation_id LIKE ?")) == 1
        said = "\n".join(message.text for message in self._ours())
        assert [said.count(paragraph.strip()) for paragraph in PARAGRAPHS] == [1] * len(PARAGRAPHS)
        after = [
            call.method for call in self.one.slack.calls[self._kill.calls :] if call.channel == self.channel
        ]
        assert ("conversations.replies" in after) or not self.point.looked_for, after

    async def feedback(self) -> None:
        """The buttons of the answer live."""
        answer = await self.one.message(self.thread, "Good answer", channel=self.channel)
        self.one.ada.gives_feedback(self.channel, answer.ts, "good")
        events = "SELECT 1 FROM events JOIN runs ON runs.n = events.run"
        wanted = f"{events} WHERE conversation_id LIKE ? AND type = 'feedback_given'"
        await self.one.until(lambda: self._rows(wanted))

    # ── what is there ────────────────────────────────────────────────────────────────────────

    def _ours(self) -> list[Message]:
        return _ours(self.one, self.channel)

    def _at_rest(self, *, over: bool) -> bool:
        return at_rest(self.one) and self._rows(
            "SELECT ended_at IS NOT NULL FROM runs WHERE conversation_id LIKE ?"
        ) == [(int(over),)]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return rows(self.one, "quartet.db", query, f"slack:%:{self.channel}:%")


def rows(one: Desk, database: str, query: str, *values: str) -> list[tuple[Any, ...]]:
    """What stands in one of the bot's databases."""
    with closing(sqlite3.connect(f"file:{one.bot.home / database}?mode=ro", uri=True)) as db:
        return db.execute(query, values).fetchall()


def at_rest(one: Desk) -> bool:
    """All that came in is handed in, and all of every run is shown."""
    if rows(one, "slack.db", "SELECT 1 FROM inbox WHERE state = 'new'"):
        return False
    return not rows(one, "quartet.db", "SELECT 1 FROM runs WHERE unshown")


def shown_in(one: Desk, channel: str) -> Counter[str]:
    """How often each message of a card, each file and whatever else of the bot's stands in a channel."""
    return Counter(name for message in _ours(one, channel) for name in _names(message))


def _ours(one: Desk, channel: str) -> list[Message]:
    return [message for message in one.slack.world.messages[channel].values() if message.bot_id]


def _names(message: Message) -> list[str]:
    metadata: dict[str, Any] = (message.metadata or {}).get("event_payload") or {}
    card = _CARD.search(str(metadata.get("card", "")))
    names = [f"{card[1]} {metadata['part']}"] if card else []
    files = [f"file {FILE['name']}"] * len(message.files)
    return [*names, *files] or [message.text[:50]]
