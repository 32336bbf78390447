"""Hand in what people write: turns, deleted messages, and what stops a run."""

from __future__ import annotations

import asyncio
import time

from adapters.attachments import not_started, unread
from adapters.contract import ConversationRef, Person, Receipt, ThreadLine, Turn
from adapters.payload import items, mapping, text
from adapters.slack import meaning
from adapters.slack.agent_pane import AgentPane
from adapters.slack.inbound import Arrival, Spoken, conversation_at, deleted, spoken
from adapters.slack.inbox import Known, Row
from adapters.slack.office import Office
from adapters.slack.payload import bot_user_of, ident, stamp
from adapters.slack.people import nameless
from adapters.slack.reading import command as command_words
from adapters.slack.reading import mentioned

FILES_S = 1.0  # how long a mention waits for the files that it speaks of
LOOK_S = 0.05
PASS = frozenset({"stop", "status", "runs", "help"})  # words that need nothing of what came before them
NOTHING_SAID = "You mentioned me without a question. Write what you want to know; `help` lists the commands."


class Turns:
    """The steps of a message.

    Args:
        pane: knows what a person looks at beside the conversation.
    """

    def __init__(self, office: Office, pane: AgentPane) -> None:
        self._office = office
        self._pane = pane

    async def message(self, row: Row) -> str:
        """Hand in a message.

        Returns:
            The run it became, "" for none.
        """
        arrival, office = row.arrival, self._office
        said = spoken(arrival.payload)
        if said is None:
            return ""
        arrival = await self._with_files(row)
        turn, first = await self._turn(arrival, said)
        if turn is None or not (turn.text or turn.attachments):
            return await self._empty(arrival, said)
        receipt = await office.bot.turn(turn)
        if receipt.accepted and receipt.run_id and receipt.card is None and not receipt.text:
            office.later.do(office.answers.busy(turn.conversation))
            self._pane.title(arrival, turn, first=first)
            if unread(turn.attachments):
                office.later.do(
                    office.answers.privately(turn.conversation, turn.person, unread(turn.attachments))
                )
        await self._tell(row, turn, receipt)
        return receipt.run_id

    async def _tell(self, row: Row, turn: Turn, receipt: Receipt) -> None:
        if receipt.accepted and not receipt.private:
            await self._office.answers.in_thread(turn.conversation, receipt, row.arrival.key, again=row.again)
        elif receipt.text:
            said = receipt.text if receipt.accepted else not_started(turn.attachments, receipt.text)
            await self._office.answers.privately(turn.conversation, turn.person, said)

    async def _with_files(self, row: Row) -> Arrival:
        """A mention with its files, which may come a moment later with its message event."""
        arrival, until = row.arrival, row.received + FILES_S
        while meaning.lacks_files(arrival) and time.time() < until:
            await asyncio.sleep(LOOK_S)
            arrival = await self._office.inbox.latest(row.arrival)
        return arrival

    async def _empty(self, arrival: Arrival, said: Spoken) -> str:
        """A mention without a word: say what to do, to people alone."""
        if arrival.kind != "reply" and not said.bot:
            person = nameless(said.user)
            await self._office.answers.privately(_conversation(arrival), person, NOTHING_SAID)
        return ""

    async def _turn(self, arrival: Arrival, said: Spoken) -> tuple[Turn | None, bool]:
        """The turn, and whether it is the first of its conversation."""
        office = self._office
        event = mapping(arrival.payload.get("event"))
        me = await office.me(arrival.team, arrival.enterprise)
        own = me.bot_user or bot_user_of(arrival.payload)
        first = await office.inbox.first_in_lane(arrival)
        comes_late = first and said.thread not in ("", said.ts)

        async def earlier() -> tuple[ThreadLine, ...]:
            if not comes_late:
                return ()
            place = (said.channel, said.thread, said.ts)
            return await office.people.earlier(arrival.team, arrival.enterprise, *place, me)

        others = [user for user in mentioned(text(event, "text")) if user != own]
        person, names, lines = await asyncio.gather(
            self._writer(arrival, said, own),
            office.people.names(arrival.team, arrival.enterprise, others),
            earlier(),
        )
        viewing = self._pane.viewing(arrival.team, said.user) if arrival.kind == "direct" else ""
        turn = meaning.turn(arrival, person, names=names, own=own, earlier=lines, viewing=viewing)
        return turn, first

    async def _writer(self, arrival: Arrival, said: Spoken, own: str) -> Person:
        event = mapping(arrival.payload.get("event"))
        people = self._office.people
        if said.bot or not said.user:
            profile = mapping(event.get("bot_profile"))
            return await people.bot(said.user or said.bot, text(profile, "name") or text(event, "username"))
        # `@Quartet settings busy=steer` is for who administers the channel: nothing else asks for it.
        settings = "settings" in text(event, "text").lower().split()[:3]
        return await people.person(
            arrival.team,
            arrival.enterprise,
            said.user,
            name=text(mapping(event.get("user_profile")), "display_name"),
            groups=True,  # a channel may name who may start turns there
            admin_of=said.channel if settings else "",
        )

    # ── taking back ──────────────────────────────────────────────────────────────────────────

    async def deleted(self, row: Row) -> str:
        """Withdraw the turn of a deleted message, where it still waits."""
        gone = deleted(row.arrival.payload)
        if gone is None:
            return ""
        person = await self._office.people.person(row.arrival.team, row.arrival.enterprise, gone.user or "U0")
        given = meaning.withdrawal(row.arrival, person)
        if given is not None:
            await self._office.bot.withdraw(given)
        return ""

    async def reaction(self, row: Row) -> str:
        """A reaction that means stop, on a status card or on the message that was the turn."""
        arrival, inbox = row.arrival, self._office.inbox
        event = mapping(arrival.payload.get("event"))
        item = mapping(event.get("item"))
        place = (arrival.team, ident(item, "channel"), stamp(item, "ts"))
        known = await inbox.stop_at(*place) or await inbox.turn_at(*place)
        if known is not None:
            await self._stop(row, known, ident(event, "user"), quiet=True)
        return ""

    async def stopped(self, row: Row) -> str:
        """Slack's own Stop button in a conversation."""
        arrival, inbox = row.arrival, self._office.inbox
        event = mapping(arrival.payload.get("event"))
        channel, thread = ident(event, "channel"), stamp(event, "thread_ts")
        threads = [thread, ""] if channel.startswith("D") else [thread]
        known: Known | None = None
        for one in dict.fromkeys(threads):
            there = conversation_at(arrival.team, channel, one)
            known = known or await inbox.stops_in(there) or await inbox.latest_turn(there)
        if known is not None:
            await self._stop(row, known, ident(event, "user"), quiet=False)
        return ""

    async def _stop(self, row: Row, known: Known, user: str, *, quiet: bool) -> None:
        arrival, office = row.arrival, self._office
        person = await office.people.person(
            arrival.team, arrival.enterprise, user, groups=True, admin_of=known.conversation.channel
        )
        when = meaning.received(row.received)
        click = meaning.stop(arrival, known.conversation, person, known.run_id, quiet=quiet, when=when)
        receipt = await office.bot.click(click)
        if receipt.text and not quiet:
            await office.answers.privately(known.conversation, person, receipt.text)


def passes(row: Row) -> bool:
    """Whether it is a word that need not wait for a message whose file cannot be had."""
    return _word(row) in PASS


def takes_back(row: Row, stuck: Row) -> bool:
    """Whether a person stops with it their own message, which has not been taken yet."""
    one, other = spoken(row.arrival.payload), spoken(stuck.arrival.payload)
    return _word(row) == "stop" and one is not None and other is not None and one.user == other.user != ""


def _word(row: Row) -> str:
    """The text of a message that brings no files, as a word."""
    event = mapping(row.arrival.payload.get("event"))
    if spoken(row.arrival.payload) is None or items(event.get("files")):
        return ""
    words = command_words(text(event, "text"), {}, own=bot_user_of(row.arrival.payload))
    return words.strip().lower().rstrip(".!?")


def _conversation(arrival: Arrival) -> ConversationRef:
    said = spoken(arrival.payload)
    assert said is not None
    return conversation_at(arrival.team, said.channel, said.thread)
