"""Questions that were not typed as messages (`/quartet ask`, the menu): said aloud, then taken as turns.

Discord's nonce keeps the root message from being posted twice for some minutes; after a longer time it is
looked for in the channel by its words, so that after a crash it is found and not posted a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from adapters.contract import Attachment, ConversationRef, Person, Receipt, ThreadLine, Turn
from adapters.discord import threads
from adapters.discord.inbound import message_key
from adapters.discord.inbox import Row
from adapters.discord.office import Office
from adapters.discord.outbound import plain
from adapters.discord.payload import HOLDS_THREADS, channel_of, ident
from adapters.discord.ports import DIRECT, DiscordRefused
from adapters.discord.refusals import NO_REPLIES
from adapters.errors import AdapterError, CardRefused, ConversationGone, MessageGone, NotAllowed
from adapters.payload import items, mapping, text
from adapters.urgency import Urgency

LONGEST = 1_600  # characters of a question that are shown; the run has all of it
LOOKED_THROUGH = 100  # messages, after a crash
EARLIER_S = 60.0  # how far before its arrival a root may lie: clocks differ
NONCE = 25  # characters


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asks, and where."""

    person: Person
    conversation: ConversationRef  # where it was asked; without a thread in a server's channel it gets one
    words: str
    workflow: str | None = None
    earlier: tuple[ThreadLine, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    about: str = ""  # the message in question, in quotation marks
    answers: str = ""  # its id, where it stands in the same place


async def ask(
    office: Office, row: Row, question: Question, when: datetime
) -> tuple[Receipt, ConversationRef]:
    """Say the question where it was asked and hand it in as a turn there. What is refused is taken back.

    Returns:
        What the bot says to it, or why it cannot be asked there; and its conversation.

    Raises:
        PlatformDown: Discord is not reached; it can be tried again with the same row.
    """
    asked = question.conversation
    kind = channel_of(row.arrival.payload)[2]
    own_thread = asked.workspace != DIRECT and not asked.thread
    if own_thread and kind not in HOLDS_THREADS:
        return Receipt(accepted=False, text=threads.NOT_HERE), asked
    root = ""
    try:
        root = await _root(office, row, question)
        there = asked.model_copy(update={"thread": root}) if own_thread else asked
        if own_thread:
            await threads.make(office.api, there, question.words)
    except threads.NoThread as error:
        await _take_back(office, asked, root)
        return Receipt(accepted=False, text=str(error)), asked
    except (NotAllowed, ConversationGone, MessageGone, CardRefused, DiscordRefused) as error:
        return Receipt(accepted=False, text=_remedy(error)), asked
    await office.inbox.open_thread(there)
    receipt = await office.bot.turn(
        Turn(
            key=row.arrival.key,
            conversation=there,
            person=question.person,
            text=f"{question.words}\n\n{question.about}" if question.about else question.words,
            attachments=question.attachments,
            earlier=question.earlier,
            workflow=question.workflow,
            at=when,
        )
    )
    if receipt.accepted:
        if receipt.run_id:
            await office.inbox.posted_question(there, root, receipt.run_id, question.person.id)
        office.later.do(office.sender.busy(there, "is starting to work …"))
    else:
        await _take_back(office, there, root)
    return receipt, there


async def _root(office: Office, row: Row, question: Question) -> str:
    """The id of the root message, posted now or before a crash."""
    body = plain(_said(question))
    channel = question.conversation.thread or question.conversation.channel
    if row.again:
        found = await _posted(office, row, question.conversation, channel, text(body, "content"))
        if found:
            return found
    body = {**body, "nonce": ident(row.arrival.payload, "id")[:NONCE], "enforce_nonce": True}
    path = f"/channels/{channel}/messages"
    if question.answers:
        answers = {"message_reference": {"message_id": question.answers, "fail_if_not_exists": False}}
        try:
            made = await office.api.call("POST", path, {**body, **answers}, urgency=Urgency.REPLY)
            return ident(mapping(made), "id")
        except DiscordRefused as error:
            if error.code != NO_REPLIES:  # then it is said without a reply: the run has what it is about
                raise
    return ident(mapping(await office.api.call("POST", path, body, urgency=Urgency.REPLY)), "id")


def _said(question: Question) -> str:
    shown = question.words if len(question.words) <= LONGEST else question.words[:LONGEST] + " …"
    return f"{question.person.name} asks: {shown}"


async def _posted(office: Office, row: Row, asked: ConversationRef, channel: str, said: str) -> str:
    """The root message of before a crash: with the same words, and not that of another question."""
    since_ms = int((row.received - EARLIER_S) * 1000) - 1_420_070_400_000
    found = await office.api.call(
        "GET",
        f"/channels/{channel}/messages",
        urgency=Urgency.REPLY,
        query={"after": str(max(since_ms, 0) << 22), "limit": str(LOOKED_THROUGH)},
    )
    for one in items(found):
        message = mapping(one)
        ours = ident(mapping(message.get("author")), "id") == office.gateway.me.user
        if not ours or text(message, "content").strip() != said.strip():
            continue
        key = message_key(asked.workspace, channel, ident(message, "id"))
        if await office.inbox.turn_at(key) is None:
            return ident(message, "id")
    return ""


async def _take_back(office: Office, conversation: ConversationRef, root: str) -> None:
    """Delete what was said; the thread on it, which has no other message, closes."""
    asked_in = conversation.channel if conversation.thread in ("", root) else conversation.thread

    async def delete() -> None:
        if conversation.thread == root:
            await office.api.call("PATCH", f"/channels/{root}", {"archived": True}, urgency=Urgency.REPLY)
        try:
            await office.api.call("DELETE", f"/channels/{asked_in}/messages/{root}", urgency=Urgency.REPLY)
        except MessageGone:
            return

    if root:
        office.later.do(delete())


def _remedy(error: AdapterError) -> str:
    return f"This could not be asked here: {str(error).rstrip('.')}."
