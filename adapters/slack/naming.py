"""Keys in the bot's own words (`slack:U…`, ids of user groups) → names. What cannot be had stays a key.

The bot knows people by key; who reads "Only slack:U02AB may decide here" does not. Names are written as plain
text: nobody is notified.
"""

from __future__ import annotations

import re

from adapters.contract import Card, CardPart, FactsPart, Home
from adapters.slack.people import People

_PERSON = re.compile(r"(?<![\w:/])slack:([UW][A-Z0-9]{2,40})(?!\w)")
_GROUP = re.compile(r"(?<![\w:/])(S[A-Z0-9]{7,40})(?!\w)")


class Naming:
    """Puts names in.

    Args:
        people: knows them.
    """

    def __init__(self, people: People) -> None:
        self._people = people

    async def text(self, team: str, text: str) -> str:
        """The bot's words with names."""
        people = _PERSON.findall(text)
        if people:
            names = await self._people.names(team, "", people)
            text = _PERSON.sub(lambda m: f"@{names[m[1]]}" if m[1] in names else m[0], text)
        if _GROUP.search(text):
            handles = await self._people.handles(team, "")
            text = _GROUP.sub(lambda m: f"@{handles[m[1]]}" if m[1] in handles else m[0], text)
        return text

    async def card(self, team: str, card: Card) -> Card:
        """The card with names in its facts; what agents and people wrote stays as it is."""
        if not any(_keys_in(part) for part in card.parts):
            return card
        return card.model_copy(update={"parts": tuple([await self._part(team, part) for part in card.parts])})

    async def home(self, team: str, home: Home) -> Home:
        """A person's page with names."""
        questions = [
            question.model_copy(update={"card": await self.card(team, question.card)})
            for question in home.questions
        ]
        channels = [
            channel.model_copy(update={"facts": await self._facts(team, channel.facts)})
            for channel in home.channels
        ]
        return home.model_copy(update={"questions": tuple(questions), "channels": tuple(channels)})

    async def _part(self, team: str, part: CardPart) -> CardPart:
        if not _keys_in(part):
            return part
        assert isinstance(part, FactsPart)
        return FactsPart(facts=await self._facts(team, part.facts))

    async def _facts(self, team: str, facts: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        return tuple([(label, await self.text(team, value)) for label, value in facts])


def _keys_in(part: CardPart) -> bool:
    return isinstance(part, FactsPart) and any(
        _PERSON.search(value) or _GROUP.search(value) for _, value in part.facts
    )
