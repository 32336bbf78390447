"""Questions that were not typed as messages (`/quartet ask`, shortcuts): said aloud, then taken as turns.

The root message carries the inbox's key in its metadata, so that after a crash it is found and not
posted a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapters.contract import ConversationRef, Person, Receipt, ThreadLine, Turn
from adapters.errors import AdapterError, ConversationGone, MessageGone, NotAllowed
from adapters.payload import items, mapping, text
from adapters.slack.inbound import conversation_at
from adapters.slack.inbox import Row
from adapters.slack.office import Office
from adapters.slack.payload import stamp
from adapters.slack.ports import SlackRefused
from adapters.slack.text import neutral
from adapters.urgency import Urgency

EVENT = "quartet_root"
LONGEST = 3_500  # characters of a question that are shown; the run has all of it
LOOKED_THROUGH = 100  # messages, after a crash
EARLIER_S = 60.0  # how far before its arrival a root may lie: clocks differ


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asks, and where."""

    person: Person
    user_team: str
    channel: str
    thread: str  # "" for a new one
    words: str
    workflow: str | None = None
    earlier: tuple[ThreadLine, ...] = ()
    about: str = ""  # the message in question, which stands in the thread already


async def ask(
    office: Office, row: Row, question: Question, when: datetime
) -> tuple[Receipt, ConversationRef]:
    """Say the question in its channel and hand it in as a turn there. What is refused is taken back.

    Returns:
        What the bot says to it, or why it cannot be asked there; and its conversation.

    Raises:
        PlatformDown: Slack is not reached; it can be tried again with the same row.
    """
    arrival = row.arrival
    channel_itself = conversation_at(arrival.team, question.channel)
    try:
        ts = await _root(office, row, question)
    except (NotAllowed, ConversationGone, SlackRefused) as error:
        return Receipt(accepted=False, text=_remedy(question.channel, error)), channel_itself
    direct = question.channel.startswith("D")
    thread = question.thread or ("" if direct else ts)
    conversation = channel_itself.model_copy(update={"thread": thread})
    await office.inbox.open_thread(conversation, question.person.id, question.user_team)
    receipt = await office.bot.turn(
        Turn(
            key=arrival.key,
            conversation=conversation,
            person=question.person,
            text=f"{question.words}\n\n{question.about}" if question.about else question.words,
            earlier=question.earlier,
            workflow=question.workflow,
            at=when,
        )
    )
    if receipt.accepted:
        if receipt.run_id and ts:
            await office.inbox.posted_question(conversation, ts, receipt.run_id)
        office.later.do(office.answers.busy(conversation))
    else:
        await _take_back(office, row, question.channel, ts)
    return receipt, conversation


async def _root(office: Office, row: Row, question: Question) -> str:
    """The ts of the root message, posted now or before a crash."""
    arrival = row.arrival
    if row.again:
        found = await _posted(office, row, question)
        if found:
            return found
    shown = question.words if len(question.words) <= LONGEST else question.words[:LONGEST] + " …"
    quoted = "\n".join(f"&gt; {line}" for line in neutral(shown).splitlines())
    answer = await office.api.call(
        arrival.team,
        "chat.postMessage",
        {
            "channel": question.channel,
            "text": f"*{neutral(question.person.name)}* asked:\n{quoted}",
            **({"thread_ts": question.thread} if question.thread else {}),
            "metadata": {"event_type": EVENT, "event_payload": {"key": arrival.key}},
            "unfurl_links": False,
            "unfurl_media": False,
        },
        urgency=Urgency.REPLY,
        enterprise=arrival.enterprise,
    )
    return stamp(answer, "ts")


async def _posted(office: Office, row: Row, question: Question) -> str:
    arrival = row.arrival
    place: dict[str, Any] = {"channel": question.channel, "oldest": f"{row.received - EARLIER_S:.6f}"}
    if question.thread:
        place["ts"] = question.thread
    found = await office.api.call(
        arrival.team,
        "conversations.replies" if question.thread else "conversations.history",
        {**place, "include_all_metadata": True, "limit": LOOKED_THROUGH},
        urgency=Urgency.REPLY,
        enterprise=arrival.enterprise,
    )
    for one in items(found.get("messages")):
        message = mapping(one)
        metadata = mapping(message.get("metadata"))
        if metadata.get("event_type") == EVENT and _key(metadata) == arrival.key:
            return stamp(message, "ts")
    return ""


def _key(metadata: Mapping[str, Any]) -> str:
    return text(mapping(metadata.get("event_payload")), "key")


async def _take_back(office: Office, row: Row, channel: str, ts: str) -> None:
    arrival = row.arrival

    async def delete() -> None:
        try:
            await office.api.call(
                arrival.team,
                "chat.delete",
                {"channel": channel, "ts": ts},
                urgency=Urgency.REPLY,
                enterprise=arrival.enterprise,
            )
        except MessageGone:
            return

    office.later.do(delete())


def _remedy(channel: str, error: AdapterError) -> str:
    if isinstance(error, SlackRefused) or "invite" not in str(error):
        return (
            f"This could not be asked in <#{channel}>: {error}."
            if channel
            else f"This could not be asked: {error}."
        )
    return "I am not in that channel. Type /invite @Quartet there, then ask again."
