"""Other apps' bots in the workspace: what they write."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.twins.slack.server import SlackTwin


class OtherBot:
    """Another app's bot. `slack.other_bot("deploybot")` gives one."""

    def __init__(self, slack: SlackTwin, app: str, user: str) -> None:
        self._slack = slack
        self.app = app
        self.id = user

    def posts(
        self, channel: str, text: str, thread: str | None = None, *, subtype: str = "bot_message"
    ) -> str:
        """Write in a channel; the bot joins it if it must. `subtype` "" is how newer apps write."""
        self._slack.world.join(channel, self.id)
        message = self._slack.world.post(
            channel, user=self.id, text=text, thread_ts=thread or "", subtype=subtype
        )
        return message.ts

    def mentions(
        self, channel: str, text: str, thread: str | None = None, *, subtype: str = "bot_message"
    ) -> str:
        """Write to the app's bot."""
        team = self._slack.world.users[self.id].team
        bot = self._slack.bot_of(team).bot_user
        return self.posts(channel, f"<@{bot}> {text}", thread, subtype=subtype)
