"""Keys in the bot's own words (`discord:17…`, ids of roles) → names. What cannot be had stays a key.

The bot knows people by key; who reads "Only discord:17… may decide here" does not. Names are written as plain
text: nobody is notified.
"""

from __future__ import annotations

import re

from adapters.contract import Card, CardPart, FactsPart, Home
from adapters.discord.people import People

_PERSON = re.compile(r"(?<![\w:/])discord:(\d{15,20})(?![\w:])", re.ASCII)
_ROLE = re.compile(r"(?<![\w:/@#&-])(\d{15,20})(?![\w:/-])", re.ASCII)


class Naming:
    """Puts names in.

    Args:
        people: knows them.
    """

    def __init__(self, people: People) -> None:
        self._people = people

    async def text(self, guild: str, text: str) -> str:
        """The bot's words with names."""
        people = _PERSON.findall(text)
        if people:
            names = await self._people.names(guild, people)
            text = _PERSON.sub(lambda m: f"@{names[m[1]]}" if m[1] in names else m[0], text)
        if _ROLE.search(text):
            roles = await self._people.roles(guild)
            text = _ROLE.sub(lambda m: f"@{roles[m[1]].lstrip('@')}" if m[1] in roles else m[0], text)
        return text

    async def card(self, guild: str, card: Card) -> Card:
        """The card with names in its facts; what agents and people wrote stays as it is."""
        if not any(_keys_in(part) for part in card.parts):
            return card
        return card.model_copy(
            update={"parts": tuple([await self._part(guild, part) for part in card.parts])}
        )

    async def home(self, guild: str, home: Home) -> Home:
        """A person's page with names."""
        questions = [
            question.model_copy(update={"card": await self.card(guild, question.card)})
            for question in home.questions
        ]
        channels = [
            channel.model_copy(update={"facts": await self._facts(guild, channel.facts)})
            for channel in home.channels
        ]
        return home.model_copy(update={"questions": tuple(questions), "channels": tuple(channels)})

    async def _part(self, guild: str, part: CardPart) -> CardPart:
        if not _keys_in(part):
            return part
        assert isinstance(part, FactsPart)
        return FactsPart(facts=await self._facts(guild, part.facts))

    async def _facts(self, guild: str, facts: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        return tuple([(label, await self.text(guild, value)) for label, value in facts])


def _keys_in(part: CardPart) -> bool:
    return isinstance(part, FactsPart) and any(
        _PERSON.search(value) or _ROLE.search(value) for _, value in part.facts
    )
