"""Hand in what people write: turns, deleted messages, and reactions that stop a run."""

from __future__ import annotations

from adapters.attachments import not_started, unread
from adapters.contract import ConversationRef, Receipt, ThreadLine, Turn
from adapters.discord import meaning, threads
from adapters.discord.inbound import Arrival, Spoken, message_key, place, spoken
from adapters.discord.inbox import NO_CONTENT as NO_CONTENT_TOLD
from adapters.discord.inbox import Row
from adapters.discord.office import Office
from adapters.discord.payload import ident
from adapters.discord.ports import DIRECT
from adapters.errors import MessageGone
from adapters.payload import items, mapping, text
from adapters.urgency import Urgency

PASS = frozenset({"stop", "status", "runs", "help"})  # words that need nothing of what came before them
NOTHING_SAID = "You mentioned me without a question. Write what you want to know; `help` lists the commands."
NO_CONTENT = (
    "I cannot read messages here that do not mention me: Discord keeps their text from me. Mention me in "
    "each, or have the Message Content Intent switched on for me (Discord's developer portal, page Bot)."
)


class Turns:
    """The steps of a message."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def message(self, row: Row) -> str:
        """Hand in a message.

        Returns:
            The run it became, "" for none.
        """
        arrival, office = row.arrival, self._office
        said = spoken(arrival.payload)
        if said is None:
            return ""
        turn = await self._turn(arrival, said)
        if turn is None:
            return ""
        if meaning.says_nothing(turn):
            await office.inbox.in_vain(arrival, said.thread)
            return await self._empty(arrival, said, turn)
        try:
            made = await self._placed(said, turn)
        except threads.NoThread as error:
            if not said.bot:
                there = _stands(turn.conversation, said)
                await office.notes.privately(there, turn.person, str(error), reply_to=said.message)
            return ""
        except MessageGone:
            return ""  # deleted before anything began
        receipt = await office.bot.turn(turn)
        if receipt.accepted:
            await office.inbox.accepted(turn.conversation)
        else:
            await office.inbox.in_vain(arrival, said.thread)
        if receipt.accepted and receipt.run_id and receipt.card is None and not receipt.text:
            office.later.do(office.sender.busy(turn.conversation, "is starting to work …"))
            if unread(turn.attachments):
                office.later.do(
                    office.notes.privately(turn.conversation, turn.person, unread(turn.attachments))
                )
        await self._tell(row, said, turn, receipt)
        if made and not receipt.accepted:
            office.later.do(self._close(turn.conversation))
        return receipt.run_id

    async def _placed(self, said: Spoken, turn: Turn) -> bool:
        """See to it that the turn's conversation is there; whether its thread was made now."""
        if said.guild == DIRECT or (said.thread and not said.root):
            return False
        if not said.thread:
            raise threads.NoThread(threads.NOT_HERE)
        words = turn.text or (
            turn.attachments[0].name if turn.attachments else f"Question by {turn.person.name}"
        )
        return await threads.make(self._office.api, turn.conversation, words)

    async def _tell(self, row: Row, said: Spoken, turn: Turn, receipt: Receipt) -> None:
        notes = self._office.notes
        if receipt.accepted and not receipt.private:
            await notes.in_conversation(turn.conversation, receipt, row.arrival.key, again=row.again)
        elif receipt.text:
            words = receipt.text if receipt.accepted else not_started(turn.attachments, receipt.text)
            await notes.privately(turn.conversation, turn.person, words)

    async def _empty(self, arrival: Arrival, said: Spoken, turn: Turn) -> str:
        """A message without a word: say what to do, to people alone."""
        office = self._office
        if said.bot:
            return ""
        if arrival.kind != "reply":
            there = _stands(turn.conversation, said)
            await office.notes.privately(there, turn.person, NOTHING_SAID, reply_to=said.message)
        elif not office.gateway.content and await office.inbox.first_time(f"{NO_CONTENT_TOLD}{said.thread}"):
            await office.sender.say(turn.conversation, NO_CONTENT)
        return ""

    async def _turn(self, arrival: Arrival, said: Spoken) -> Turn | None:
        office = self._office
        who = await office.who(arrival)
        me = office.gateway.me
        earlier: tuple[ThreadLine, ...] = ()
        if said.thread and said.message != said.thread and await office.inbox.first_in_lane(arrival):
            earlier = await office.people.earlier(said.thread, said.message, me)
        return meaning.turn(arrival, who, own=me.user, earlier=earlier)

    async def _close(self, conversation: ConversationRef) -> None:
        """A thread that was made for nothing goes out of sight; whoever writes in it opens it again."""
        await self._office.api.call(
            "PATCH", f"/channels/{conversation.thread}", {"archived": True}, urgency=Urgency.REPLY
        )

    # ── taking back ──────────────────────────────────────────────────────────────────────────

    async def deleted(self, row: Row) -> str:
        """Withdraw the turn of a deleted message, where it still waits.

        Discord does not say who had written it: the inbox knows.
        """
        arrival, office = row.arrival, self._office
        gone = spoken(arrival.payload)
        if gone is None:
            return ""
        who = await office.inbox.writer(message_key(gone.guild, gone.stands_in, gone.message))
        when = meaning.received(row.received)
        given = meaning.withdrawal(arrival, meaning.nameless(who), when)
        if given is not None and who:
            there = ConversationRef.from_key(arrival.lane)
            await office.bot.withdraw(given.model_copy(update={"conversation": there}))
        return ""

    async def reaction(self, row: Row) -> str:
        """A reaction that means stop, on a card of a run or on the message that was the turn."""
        arrival, office = row.arrival, self._office
        channel, message = meaning.reacted_to(arrival)
        there = place(arrival.payload)
        known = await office.inbox.stop_at(there, message)
        known = known or await office.inbox.turn_at(message_key(arrival.guild, channel, message))
        if known is None:
            return ""
        who = await office.people.who(arrival, known.conversation)
        when = meaning.received(row.received)
        await office.bot.click(meaning.stop(arrival, known.conversation, who, known.run_id, when))
        return ""


def passes(row: Row) -> bool:
    """Whether it is a word that need not wait for a message whose file cannot be had."""
    return _word(row) in PASS


def takes_back(row: Row, stuck: Row) -> bool:
    """Whether a person stops with it their own message, which has not been taken yet."""
    one, other = spoken(row.arrival.payload), spoken(stuck.arrival.payload)
    return _word(row) == "stop" and one is not None and other is not None and one.author == other.author != ""


def _word(row: Row) -> str:
    """The text of a message that brings no files, as a word."""
    payload = row.arrival.payload
    if spoken(payload) is None or items(payload.get("attachments")) or row.arrival.pressed:
        return ""
    return meaning.said_in(payload, _own(payload)).strip().lower().rstrip(".!?")


def _own(payload: meaning.Payload) -> str:
    """Whom a message names first, which is us where it begins with a word for us."""
    content = text(payload, "content").lstrip()
    for one in items(payload.get("mentions")):
        user = ident(mapping(one), "id")
        if content.startswith((f"<@{user}>", f"<@!{user}>")):
            return user
    return ""


def _stands(conversation: ConversationRef, said: Spoken) -> ConversationRef:
    """Where the message stands now: its own thread may never be made."""
    return conversation.model_copy(update={"thread": ""}) if said.root else conversation
