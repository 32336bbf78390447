"""Many runs at once on Discord: who waited how long, and how long its limits would have made anybody wait.

    storm = Storm(desk)
    storm.begin(channels=8, each=10, direct=10, threads=10)  # every question in one moment
    await storm.there("answer", within_s=60)                 # people approve what appears
    waits = await storm.waits("approval")                    # each counted from its event in the run's log

What is best is computed in `discord_waits.py`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from simcord.backend.models import Message

from tests.journey.discord_desk import APPROVAL, Desk
from tests.journey.discord_waits import Waits, best
from tests.twins.discord.faults import Call
from tests.twins.discord.people import Interaction, Person
from tests.twins.discord.rates import GLOBAL
from tests.twins.discord.seen import seen
from tests.twins.discord.strict import SEND

PEOPLE = 10
POSTED = {"approval": "approval_requested", "answer": "run_ended"}  # kind of card → the event that it shows
EDIT = "PATCH /channels/{channel_id}/messages/{message_id}"
TYPING = "POST /channels/{channel_id}/typing"
SYSTEM = (18, 21)  # messages by which Discord tells of a thread
_NO_GLOBAL = ("/interactions/", "/webhooks/")


@dataclass(frozen=True, slots=True)
class Shown:
    """A card that came to Discord."""

    kind: str  # status, approval, answer
    place: str  # the channel, thread or direct messages where it stands
    id: str
    at: float  # epoch seconds


@dataclass
class Storm:
    """Runs that were begun, and what came to Discord of them.

    Args:
        desk: the Discord, and the bot.
        approve_at_once: people approve each question as soon as they see it; else when `approve` is called.
    """

    desk: Desk
    approve_at_once: bool = True
    places: list[str] = field(default_factory=list[str])  # where each run is answered
    shown: list[Shown] = field(default_factory=list[Shown])
    clicks: list[Interaction] = field(default_factory=list[Interaction])
    _owners: dict[str, Person] = field(default_factory=dict[str, Person])  # of direct messages
    _open: list[Shown] = field(default_factory=list[Shown])  # approvals that nobody has pressed
    _events: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])

    def __post_init__(self) -> None:
        discord = self.desk.discord
        discord.backend.subscribers.append(self._told)
        self.people = [discord.person(f"person{number}") for number in range(PEOPLE)]
        self._channels: list[str] = []
        self._began = len(discord.calls)

    # ── what people do ───────────────────────────────────────────────────────────────────────

    def channels(self, count: int) -> list[str]:
        """Text channels."""
        while len(self._channels) < count:
            self._channels.append(self.desk.discord.channel(f"storm{len(self._channels)}"))
        return self._channels[:count]

    def ask(self, channel: str) -> str:
        """Somebody begins a run in a channel; returns where its answer will be."""
        place = self._person().mentions(channel, self._question())
        self.places.append(place)
        return place

    def begin(self, *, channels: int, each: int, direct: int = 0, threads: int = 0) -> None:
        """Runs in one moment: so many in each channel; in direct messages; in threads that were there."""
        made = self.channels(channels)
        begun = [self._person().starts_thread(made[n % channels], f"Tea {n}") for n in range(threads)]
        for _ in range(each):
            for channel in made:
                self.ask(channel)
        for person in self.people[:direct]:
            self.ask_directly(person)
        for thread in begun:
            self._person().mentions(thread, self._question())
            self.places.append(thread)

    async def begin_slowly(self, *, channels: int, runs: int, pause_s: float) -> None:
        """One run after the other, in the channels in turn."""
        for number in range(runs):
            self.ask(self.channels(channels)[number % channels])
            await asyncio.sleep(pause_s)

    def ask_directly(self, person: Person) -> str:
        """Somebody begins a run in their direct messages; returns where these are."""
        person.dms(self._question())
        self.places.append(person.dm)
        self._owners[person.dm] = person
        return person.dm

    def approve(self) -> None:
        """Everything that was asked and is not approved yet."""
        for asked in self._open:
            self._approves(asked)
        self._open.clear()

    async def approve_within(self, seconds: float) -> None:
        """The same, one after the other."""
        asked, self._open = self._open, []
        begun = time.monotonic()
        for number, each in enumerate(asked):
            self._approves(each)
            await asyncio.sleep(max(0.0, begun + (number + 1) * seconds / len(asked) - time.monotonic()))

    def _approves(self, asked: Shown) -> None:
        person = self._owners.get(asked.place, self.people[0])
        self.clicks.append(person.clicks(asked.id, label=APPROVAL))

    def _person(self) -> Person:
        return self.people[len(self.places) % PEOPLE]

    def _question(self) -> str:
        return f"What is tea, question {len(self.places)}?"

    # ── what came of it ──────────────────────────────────────────────────────────────────────

    async def there(self, kind: str, *, within_s: float) -> None:
        """Wait until every run has its card of this kind."""
        wanted = set(self.places)

        def all_there() -> bool:
            if self.approve_at_once:
                self.approve()
            return wanted <= {each.place for each in self.shown if each.kind == kind}

        await self.desk.until(all_there, within_s)

    async def ended(self, *, within_s: float) -> None:
        """Wait until every approval says who decided, and every status card how the run ended."""
        await self.there("status", within_s=within_s)

        def none_open() -> bool:
            return not any(
                {APPROVAL, "Stop"} & set(seen(self.desk.discord.backend, message).labels)
                for place in self.places
                for message in self._ours(place)
            )

        await self.desk.until(none_open, within_s)

    def kinds(self) -> Counter[tuple[str, str]]:
        """How many cards of each kind stand in each place now."""
        backend = self.desk.discord.backend
        was = {each.id: each.kind for each in self.shown}
        return Counter(
            (place, was.get(str(message.id)) or _kind(seen(backend, message).components))
            for place in self.places
            for message in self._ours(place)
        )

    async def waits(self, kind: str, *, since: int = 0, opens: float = float("-inf")) -> Waits:
        """How long the cards of a kind took from their event to Discord.

        Args:
            since: the number of the first run that counts; those before it were over by then.
            opens: Discord let nothing through before, epoch seconds.
        """
        counted = set(self.places[since:])
        posts = [each for each in self.shown if each.kind in POSTED and each.place in counted]
        times = [(await self._times(each.place))[POSTED[each.kind]] for each in posts]
        ideal = best([(time, each.place) for time, each in zip(times, posts, strict=True)], opens)
        mine = [number for number, each in enumerate(posts) if each.kind == kind]
        return Waits(
            [posts[number].at - times[number] for number in mine],
            [ideal[number] - times[number] for number in mine],
        )

    async def last_of_those(self, kind: str, *, before: float) -> float:
        """When the last card of a kind came whose event was before then; both epoch seconds."""
        asked = [each for each in self.shown if each.kind == kind]
        return max([each.at for each in asked if (await self._times(each.place))[POSTED[kind]] < before])

    def calls(self) -> Counter[str]:
        """How often each method was called since the storm began, refused calls included."""
        return Counter(each.name for each in self.desk.discord.calls[self._began :])

    def progress(self) -> list[Call]:
        """The calls that nobody waits for: the sign that we work, and all that status cards say."""
        status = {each.id for each in self.shown if each.kind == "status"}
        return [call for call in self.desk.discord.calls[self._began :] if is_progress(call, status)]

    def crowding(self) -> list[int]:
        """For every call of progress: how many of the last second's places were left beside it."""
        limit, second = GLOBAL
        progress = {id(call) for call in self.progress()}
        lately: deque[float] = deque()
        left: list[int] = []
        for call in self.desk.discord.calls[self._began :]:
            if call.path.startswith(_NO_GLOBAL):
                continue
            lately.append(call.at)
            while lately[0] <= call.at - second:
                lately.popleft()
            if id(call) in progress:
                left.append(limit - len(lately))
        return left

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _ours(self, place: str) -> list[Message]:
        discord = self.desk.discord
        found = discord.backend.messages.get(int(place), {}).values()
        return [each for each in found if str(each.author_id) == discord.bot_id and each.type not in SYSTEM]

    def _told(self, event: str, payload: Mapping[str, Any]) -> None:
        if event != "MESSAGE_CREATE" or str(payload["author"]["id"]) != self.desk.discord.bot_id:
            return
        if payload.get("type") in SYSTEM:
            return
        at = self.desk.discord.backend.made_at(int(payload["id"])).timestamp()
        shown = Shown(_kind(payload["components"]), str(payload["channel_id"]), str(payload["id"]), at)
        self.shown.append(shown)
        if shown.kind == "approval":
            self._open.append(shown)

    async def _times(self, place: str) -> dict[str, float]:
        """The time of the last event of each type of the run that is answered there, epoch seconds."""
        if place not in self._events:
            log = await asyncio.to_thread(read_log, self.desk, self._run(place))
            self._events[place] = {e["type"]: datetime.fromisoformat(e["at"]).timestamp() for e in log}
        return self._events[place]

    def _run(self, place: str) -> str:
        """The run that is answered there: what is said of an answer names it."""
        for message in self._ours(place):
            for button in seen(self.desk.discord.backend, message).buttons:
                if button.custom_id.startswith("q:good:"):
                    return button.custom_id.removeprefix("q:good:")
        raise AssertionError(f"nothing was answered in {place}")


def is_progress(call: Call, status: set[str]) -> bool:
    """Whether nobody waits for a call.

    Args:
        status: the ids of all status cards.
    """
    if call.name == TYPING:
        return True
    if call.name == EDIT:
        return call.path.rsplit("/", 1)[1] in status
    answer: Any = call.answer or {}
    return call.name == SEND and answer.get("id") in status


def read_log(desk: Desk, run: str) -> list[dict[str, Any]]:
    """The events of a run that has ended."""
    text = desk.bot.client.get(f"/v1/runs/{run}/events").raise_for_status().text
    told = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    return [event for event in told if "seq" in event]  # the stream's own end is no event


def _kind(components: object) -> str:
    """What a card is, by what can be pressed on it."""
    shown = json.dumps(components)
    if '"q:approve:' in shown:
        return "approval"
    return "answer" if '"q:good:' in shown else "status"
