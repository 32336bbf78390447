"""Send files into a conversation: get an address for each, send the bytes, then show them all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from adapters.contract import ConversationRef
from adapters.slack.outbound import SlackFile
from adapters.slack.ports import Api, BotToken
from adapters.urgency import Urgency


class Calls(Api, Protocol):
    """What sending needs of the API besides calls."""

    async def upload(self, url: str, content: bytes) -> None:
        """Send a file's bytes to the address Slack gave for them. Raises PlatformDown."""
        ...

    async def me(self, team: str, enterprise: str = "") -> BotToken:
        """Who we are in a workspace. Raises PlatformDown."""
        ...


async def prepare(
    api: Calls, team: str, files: Sequence[SlackFile], urgency: Urgency
) -> list[dict[str, str]]:
    """Bring files to Slack, where nobody sees them yet. May be repeated: Slack drops what is never shown.

    Returns:
        What `show` wants.
    """
    ready: list[dict[str, str]] = []
    for file in files:
        content = file.content if isinstance(file.content, bytes) else file.content.encode("utf-8", "replace")
        content = content or b"\n"  # Slack refuses empty files
        arguments = {"filename": file.name, "length": len(content)}
        if file.alt:
            arguments["alt_txt"] = file.alt
        given = await api.call(team, "files.getUploadURLExternal", arguments, urgency=urgency)
        await api.upload(str(given["upload_url"]), content)
        ready.append({"id": str(given["file_id"]), "title": file.title or file.name})
    return ready


async def show(
    api: Calls, conversation: ConversationRef, ready: Sequence[Mapping[str, str]], urgency: Urgency
) -> list[str]:
    """Show prepared files in the conversation: all of them or none.

    Returns:
        Their ids.
    """
    arguments: dict[str, Any] = {"files": [dict(each) for each in ready], "channel_id": conversation.channel}
    if conversation.thread:
        arguments["thread_ts"] = conversation.thread
    await api.call(conversation.workspace, "files.completeUploadExternal", arguments, urgency=urgency)
    return [each["id"] for each in ready]
