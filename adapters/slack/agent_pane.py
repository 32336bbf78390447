"""The agent's own surfaces in Slack: App Home, suggested prompts, what a person looks at, thread titles."""

from __future__ import annotations

import time
from collections import OrderedDict

from adapters.contract import Turn
from adapters.payload import mapping
from adapters.plain import clipped
from adapters.slack.home import draw_home
from adapters.slack.inbound import Arrival, viewed
from adapters.slack.inbox import Row
from adapters.slack.manifest import PROMPTS
from adapters.slack.office import Office
from adapters.slack.payload import ident
from adapters.urgency import Urgency

KEPT = 5_000  # people whose view is remembered
AGAIN_S = 600.0  # prompts stay where they are; they are not set at every look
TITLE = 60  # characters


class AgentPane:
    """What happens outside of conversations."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._viewing: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._prompted: OrderedDict[tuple[str, str], float] = OrderedDict()

    def viewing(self, team: str, user: str) -> str:
        """The channel that a person looks at; "" where it is not known."""
        return self._viewing.get((team, user), "")

    async def viewed(self, row: Row) -> str:
        """Remember what a person looks at now."""
        user, channel = viewed(row.arrival.payload)
        _remember(self._viewing, (row.arrival.team, user), channel)
        return ""

    async def opened(self, row: Row) -> str:
        """Somebody opened the conversation with the bot: suggest what to ask."""
        arrival = row.arrival
        event = mapping(arrival.payload.get("event"))
        user, channel = ident(event, "user"), ident(event, "channel")
        if mapping(event.get("context")).get("entities"):
            _remember(self._viewing, (arrival.team, user), viewed(arrival.payload)[1])
        key = (arrival.team, user)
        if not channel or time.monotonic() - self._prompted.get(key, -AGAIN_S) < AGAIN_S:
            return ""
        _remember(self._prompted, key, time.monotonic())
        prompts = [{"title": title, "message": message} for title, message in PROMPTS]
        self._office.later.do(
            self._call(
                arrival,
                "assistant.threads.setSuggestedPrompts",
                {"channel_id": channel, "title": "Ask the team", "prompts": prompts},
            )
        )
        return ""

    def title(self, arrival: Arrival, turn: Turn, *, first: bool) -> None:
        """Name a new thread in a direct message after its first words."""
        if not (first and turn.conversation.thread and arrival.kind == "direct" and turn.text):
            return
        title = clipped(" ".join(turn.text.split()), TITLE)
        place = {"channel_id": turn.conversation.channel, "thread_ts": turn.conversation.thread}
        self._office.later.do(self._call(arrival, "assistant.threads.setTitle", {**place, "title": title}))

    async def home(self, row: Row) -> str:
        """Somebody opened App Home."""
        await self.publish(row.arrival, ident(mapping(row.arrival.payload.get("event")), "user"))
        return ""

    async def publish(self, arrival: Arrival, user: str) -> None:
        """Show a person's App Home as it is now.

        Raises:
            AdapterError: it could not be shown.
        """
        person = await self._office.people.person(arrival.team, arrival.enterprise, user, groups=True)
        home = await self._office.naming.home(arrival.team, await self._office.bot.home(arrival.team, person))
        await self._call(arrival, "views.publish", {"user_id": user, "view": draw_home(home)})

    async def _call(self, arrival: Arrival, method: str, arguments: dict[str, object]) -> None:
        await self._office.api.call(
            arrival.team, method, arguments, urgency=Urgency.PERSON, enterprise=arrival.enterprise
        )


def _remember(
    kept: OrderedDict[tuple[str, str], str] | OrderedDict[tuple[str, str], float],
    key: tuple[str, str],
    value: object,
) -> None:
    kept[key] = value  # pyright: ignore[reportArgumentType]
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)
