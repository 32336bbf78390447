"""What everything that came in is worked with: the bot, Slack, the people, the ways back."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.contract import Inbound, Person
from adapters.errors import AdapterError
from adapters.later import Later
from adapters.slack.answers import Answers
from adapters.slack.inbound import Arrival, Me
from adapters.slack.inbox import Inbox
from adapters.slack.naming import Naming
from adapters.slack.payload import presser
from adapters.slack.people import People
from adapters.slack.ports import Api, Tokens


@dataclass(frozen=True, slots=True)
class Office:
    """The parts that the steps share."""

    bot: Inbound
    api: Api
    tokens: Tokens
    people: People
    naming: Naming
    inbox: Inbox
    answers: Answers
    later: Later

    async def me(self, team: str, enterprise: str) -> Me:
        """Who we are in a workspace; empty where it cannot be told now."""
        try:
            token = await self.tokens.bot(team, enterprise)
        except AdapterError:
            return Me()
        return Me(token.bot_user, token.bot_id, token.app_id)

    async def who(self, arrival: Arrival, *, admin_of: str = "", groups: bool = True) -> Person:
        """Who pressed or typed something.

        Raises:
            PlatformDown: groups cannot be looked up now.
        """
        user, name = presser(arrival.payload)
        return await self.people.person(
            arrival.team, arrival.enterprise, user, name=name, groups=groups, admin_of=admin_of
        )
