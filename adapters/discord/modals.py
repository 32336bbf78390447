"""Forms that come back, and the command in a message's menu, which opens one.

Discord closes a form when it is sent: what is wrong with it is said in a note with a button Correct, which
opens it again with what was typed. That is kept in memory for a quarter of an hour.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from adapters.contract import ConversationRef, Form, Person, Receipt, ThreadLine
from adapters.discord import meaning, roots
from adapters.discord.forms import FormTooLarge, FormUnreadable, ask_form, draw_form, errors_note, read_form
from adapters.discord.inbound import Arrival, conversation_of
from adapters.discord.inbox import Row
from adapters.discord.meaning import Targeted
from adapters.discord.office import Office
from adapters.discord.payload import at, channel_of, ident, snowflake
from adapters.discord.ports import DIRECT
from adapters.errors import AdapterError, PlatformDown, RateLimited
from adapters.payload import mapping, text
from adapters.urgency import Urgency

REMEMBERED_S = 15 * 60.0
MOST = 500  # forms, and messages that somebody asks about
ASK = "q:ask:"
QUESTION = "text"  # the field of the question
SETTINGS = "settings:"  # begins the id of a form that may be for another channel
GONE = "What you had typed is not here any more. Press the button on the card again."
NO_MESSAGE = "Discord does not let me see that message. Mention me beside it, and copy what matters."
TOO_LATE = "That took longer than Discord waits for a form. Please choose it from the menu again."


@dataclass(frozen=True, slots=True)
class _Typed:
    form: Form
    values: Mapping[str, str]
    until: float  # monotonic seconds


class Opened:
    """The forms that people have before them, with what they typed."""

    def __init__(self) -> None:
        self._forms: OrderedDict[tuple[str, str], _Typed] = OrderedDict()
        self._messages: OrderedDict[str, Targeted] = OrderedDict()

    def remember(self, person: str, form: Form, values: Mapping[str, str]) -> None:
        """A person has this form, with these values in it."""
        self._forms[person, form.id] = _Typed(form, values, time.monotonic() + REMEMBERED_S)
        self._forms.move_to_end((person, form.id))
        while len(self._forms) > MOST:
            self._forms.popitem(last=False)

    def of(self, person: str, form_id: str) -> tuple[Form, Mapping[str, str]] | None:
        """The form and what was typed; None: it is too long ago."""
        known = self._forms.get((person, form_id))
        if known is None or known.until < time.monotonic():
            return None
        return known.form, known.values

    def forget(self, person: str, form_id: str) -> None:
        """It was taken."""
        self._forms.pop((person, form_id), None)

    def about(self, target: str, message: Targeted) -> None:
        """Somebody asks about this message."""
        self._messages[target] = message
        while len(self._messages) > MOST:
            self._messages.popitem(last=False)

    def message(self, target: str) -> Targeted | None:
        """The message that somebody asks about; None: it is too long ago."""
        return self._messages.get(target)


class Modals:
    """The steps of forms.

    Args:
        opened: the forms that people have before them.
    """

    def __init__(self, office: Office, opened: Opened) -> None:
        self._office = office
        self._opened = opened

    async def ask_about(self, row: Row) -> str:
        """The command in a message's menu: a form for a question about that message."""
        arrival, office = row.arrival, self._office
        message = meaning.targeted(arrival, own=office.gateway.me.user)
        if message is None:
            await self._say(arrival, NO_MESSAGE)
            return ""
        there = conversation_of(arrival)
        target = f"{there.thread or there.channel}:{message.message}"
        self._opened.about(target, message)
        try:
            drawn = ask_form(target, quoted=message.text)
        except FormTooLarge as error:
            await self._say(arrival, str(error))
            return ""
        if not await office.answers.form(arrival, drawn):
            await self._say(arrival, TOO_LATE)
        return ""

    async def again(self, row: Row) -> str:
        """Press Correct: the form opens again, with what was typed."""
        arrival = row.arrival
        button = meaning.pressed(arrival)
        person = meaning.person(arrival.payload)
        known = self._opened.of(person.id, button.target) if button is not None else None
        if known is None:
            await self._say(arrival, GONE)
        else:
            try:
                drawn = draw_form(*known)
            except FormTooLarge as error:
                await self._say(arrival, str(error))
                return ""
            if not await self._office.answers.form(arrival, drawn):
                await self._say(arrival, "That took too long. Press Correct again.")
        return ""

    async def form(self, row: Row) -> str:
        """A form was sent."""
        data = mapping(row.arrival.payload.get("data"))
        try:
            form_id, values = read_form(data)
        except FormUnreadable as error:
            await self._say(row.arrival, str(error))
            return ""
        if text(data, "custom_id").startswith(ASK):
            return await self._asked(row, form_id, values)
        return await self._filled(row, form_id, values)

    async def _filled(self, row: Row, form_id: str, values: Mapping[str, str]) -> str:
        arrival, office = row.arrival, self._office
        there = conversation_of(arrival)
        meant = _meant(form_id, there)
        person = await office.who(arrival, meant)
        when = meaning.received(row.received)
        given = meaning.form_input(arrival, form_id, meant, values, person, when)
        receipt = await office.bot.form(given)
        if receipt.errors:
            await self._wrong(arrival, person, form_id, given.values, receipt)
            return receipt.run_id
        self._opened.forget(person.id, form_id)
        said = receipt.text or ("" if receipt.accepted else "This was not accepted.")
        await self._done(arrival, person, said)
        return receipt.run_id

    async def _wrong(
        self, arrival: Arrival, person: Person, form_id: str, values: Mapping[str, str], receipt: Receipt
    ) -> None:
        """Say what is wrong with a form, and offer to correct it."""
        known = self._opened.of(person.id, form_id)
        said = "Your form was not taken: " + " ".join(receipt.errors.values())
        if known is None:
            await self._say(arrival, f"{said} Press the button on the card again.")
            return
        self._opened.remember(person.id, known[0], values)
        if not await self._office.answers.tell(arrival, [errors_note(known[0], receipt.errors)]):
            await self._office.notes.privately(conversation_of(arrival), person, said)

    # ── a question about a message ───────────────────────────────────────────────────────────

    async def _asked(self, row: Row, target: str, values: Mapping[str, str]) -> str:
        arrival, office = row.arrival, self._office
        person = await office.who(arrival)
        stands_in = channel_of(arrival.payload)[0]
        if target.partition(":")[0] != stands_in:  # nobody asks about what they may not see
            await self._say(arrival, NO_MESSAGE)
            return ""
        words = next(iter(values.values()), "").strip()
        if not words:
            await self._say(arrival, "Write what you want to know, and choose it from the menu again.")
            return ""
        message = self._opened.message(target) or await self._fetched(target)
        earlier: tuple[ThreadLine, ...] = ()
        about, attachments = "", ()
        if message is not None:
            attachments = message.attachments
            quoted = message.text[: meaning.LONGEST_QUOTE]
            about = _about(message.author, quoted, words)
            if quoted:
                when = at(message.message)
                earlier = (ThreadLine(author=message.author, text=quoted, at=when, by_bot=message.by_us),)
        question = roots.Question(
            person,
            conversation_of(arrival),
            words,
            earlier=earlier,
            attachments=attachments,
            about=about,
            answers=message.message if message is not None else "",
        )
        receipt, there = await roots.ask(office, row, question, meaning.received(row.received))
        said = receipt.text
        if not said:
            where = f"<#{there.thread}>" if there.thread else "this conversation"
            said = f"Your question is worked on in {where}." if receipt.accepted else "This was not accepted."
        await self._done(arrival, person, said)
        return receipt.run_id

    async def _fetched(self, target: str) -> Targeted | None:
        """The message that somebody asks about, of before a restart; None where Discord does not show it."""
        channel, _, message = target.partition(":")
        if not (channel.isdecimal() and message.isdecimal()):
            return None
        try:
            found = mapping(
                await self._office.api.call(
                    "GET", f"/channels/{channel}/messages/{message}", urgency=Urgency.PERSON
                )
            )
        except (PlatformDown, RateLimited):
            raise
        except AdapterError:
            return None
        line = meaning.line(found, own=self._office.gateway.me.user)
        files = meaning.attachments(found, channel, message)
        if line is None and not files:
            return None
        author = line.author if line is not None else "somebody"
        by_us = ident(mapping(found.get("author")), "id") == self._office.gateway.me.user
        return Targeted(message, author, line.text if line is not None else "", files, by_us)

    # ── answers ──────────────────────────────────────────────────────────────────────────────

    async def _done(self, arrival: Arrival, person: Person, said: str) -> None:
        from_card = bool(ident(mapping(arrival.payload.get("message")), "id"))
        if not said and from_card:
            await self._office.answers.seen(arrival)
            return
        there = conversation_of(arrival)
        await self._office.notes.privately(there, person, said or "Done.", arrival=arrival)

    async def _say(self, arrival: Arrival, said: str) -> None:
        person = meaning.person(arrival.payload)
        await self._office.notes.privately(conversation_of(arrival), person, said, arrival=arrival)


def _meant(form_id: str, there: ConversationRef) -> ConversationRef:
    """The conversation that a form is for: settings may be those of another channel."""
    if not form_id.startswith(SETTINGS):
        return there
    try:
        meant = ConversationRef.from_key(f"{form_id.removeprefix(SETTINGS)}:")
    except ValueError:
        return there
    guild, channel = meant.workspace, meant.channel
    known = meant.platform == "discord" and snowflake(channel) and (guild == DIRECT or snowflake(guild))
    return meant if known and not meant.thread and meant.channel_key != there.channel_key else there


def _about(author: str, quoted: str, words: str) -> str:
    """The message that somebody asks about, as it goes below their own words; "" where they repeat it.

    It is another person's text: it stands in quotation marks, under that person's name.
    """
    quoted = quoted.strip()
    if not quoted or quoted in words:
        return ""
    inner = quoted.replace("“", "‘").replace("”", "’")
    return f"About this message by {' '.join(author.split())[:80]}: “{inner}”"
