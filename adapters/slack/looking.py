"""Look for our messages on Slack itself: asked only when nobody knows whether a post went through.

A card's messages carry its id in their metadata; a stream, which takes no metadata, in its tasks' ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.contract import CardId, ConversationRef
from adapters.payload import Payload, items, mapping
from adapters.slack.ports import BotToken
from adapters.slack.uploads import Calls
from adapters.urgency import Urgency

CARD_EVENT = "quartet_card"
PAGE = 200  # Slack's own advice; it may give fewer
PAGES = 10  # of a thread; direct messages are read from the newest on
DEPTH = 6  # of blocks in blocks


@dataclass(slots=True)
class Found:
    """What is there of a card."""

    parts: dict[int, str] = field(default_factory=dict[int, str])  # number → ts
    texts: dict[int, str] = field(default_factory=dict[int, str])  # number → its top-level text
    streaming: bool = False
    files: list[tuple[str, str, str, str]] = field(
        default_factory=list[tuple[str, str, str, str]]
    )  # all files of ours: ts, id, name, title

    @property
    def messages(self) -> list[str]:
        """The ts of its messages, in order, up to the first that is missing."""
        there: list[str] = []
        while len(there) in self.parts:
            there.append(self.parts[len(there)])
        return there


async def look(api: Calls, conversation: ConversationRef, card_id: CardId, urgency: Urgency) -> Found:
    """Read the conversation and pick out what is the card's."""
    me = await api.me(conversation.workspace)
    arguments: dict[str, Any] = {
        "channel": conversation.channel,
        "limit": PAGE,
        "include_all_metadata": True,
    }
    method = "conversations.history"
    if conversation.thread:
        method = "conversations.replies"
        arguments["ts"] = conversation.thread
    found = Found()
    for _ in range(PAGES):
        answer = await api.call(conversation.workspace, method, arguments, urgency=urgency)
        for message in _dicts(answer.get("messages")):
            if _is_ours(message, me):
                _sort_in(found, message, card_id)
        cursor = mapping(answer.get("response_metadata")).get("next_cursor")
        # In a direct message the newest come first: what we look for was posted not long ago.
        if not cursor or (not conversation.thread and 0 in found.parts):
            break
        arguments["cursor"] = str(cursor)
    found.files.sort()
    return found


def _is_ours(message: Mapping[str, Any], me: BotToken) -> bool:
    # Any app may write our kind of metadata; only ours has our bot's id.
    by = {message.get("bot_id"), message.get("user")} - {None, ""}
    return not (me.bot_id or me.bot_user) or bool(by & ({me.bot_id, me.bot_user} - {""}))


def _sort_in(found: Found, message: Mapping[str, Any], card_id: CardId) -> None:
    ts = str(message.get("ts", ""))
    for file in _dicts(message.get("files")):
        found.files.append((ts, str(file.get("id")), str(file.get("name")), str(file.get("title"))))
    metadata = mapping(message.get("metadata"))
    payload = mapping(metadata.get("event_payload"))
    number: object = None
    if metadata.get("event_type") == CARD_EVENT and payload.get("card") == card_id:
        number = payload.get("part")
    elif any(task.startswith(f"{card_id}#") for task in _task_ids(message.get("blocks"), DEPTH)):
        number = 0
    # The first wins where one was posted twice, so that every search finds the same.
    if isinstance(number, int) and (number not in found.parts or ts < found.parts[number]):
        found.parts[number] = ts
        found.texts[number] = str(message.get("text", ""))
        if number == 0:
            found.streaming = metadata.get("event_type") != CARD_EVENT


def _task_ids(blocks: object, depth: int) -> Iterator[str]:
    for block in _dicts(blocks):
        task_id = block.get("task_id")
        if isinstance(task_id, str):
            yield task_id
        if depth > 0:
            for inner in block.values():
                yield from _task_ids(inner, depth - 1)


def _dicts(value: object) -> list[Payload]:
    return [mapping(each) for each in items(value)]
