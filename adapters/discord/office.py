"""What everything that came in is worked with: the bot, Discord, the people, the ways back."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.contract import ConversationRef, Inbound, Person
from adapters.discord.answers import Answers
from adapters.discord.gateway import Gateway
from adapters.discord.inbound import Arrival, conversation_of
from adapters.discord.inbox import Inbox
from adapters.discord.keys import Naming
from adapters.discord.notes import Notes
from adapters.discord.people import People
from adapters.discord.ports import Api
from adapters.discord.sending import Sender
from adapters.later import Later


@dataclass(frozen=True, slots=True)
class Office:
    """The parts that the steps share."""

    bot: Inbound
    api: Api
    gateway: Gateway
    sender: Sender
    people: People
    naming: Naming
    inbox: Inbox
    answers: Answers
    notes: Notes
    later: Later

    async def who(self, arrival: Arrival, conversation: ConversationRef | None = None) -> Person:
        """Who did it, with what they may do in a conversation; where they did it, if none is given.

        Raises:
            PlatformDown: roles cannot be looked up now.
        """
        return await self.people.who(arrival, conversation or conversation_of(arrival))
