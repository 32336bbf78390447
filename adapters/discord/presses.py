"""Buttons, feedback and `/quartet`: handed in, and everyone who pressed something is answered."""

from __future__ import annotations

from adapters.contract import ConversationRef, Form, Person, Receipt
from adapters.discord import meaning, roots
from adapters.discord.forms import FormTooLarge, draw_form
from adapters.discord.home import draw_home
from adapters.discord.inbound import Arrival, conversation_of
from adapters.discord.inbox import Row
from adapters.discord.modals import Opened
from adapters.discord.office import Office
from adapters.discord.ports import DIRECT

TOO_LATE = "That took longer than Discord waits for a form. Please press the button again."
TOO_LATE_COMMAND = "That took longer than Discord waits for a form. Please give the command again."
AGAIN_AFTER_RESTART = "I was started again just then. Please press the button again."
THANKS = "Thank you, noted."


class Presses:
    """The steps of what is pressed or typed as a command.

    Args:
        opened: the forms that people have before them.
    """

    def __init__(self, office: Office, opened: Opened) -> None:
        self._office = office
        self._opened = opened

    async def click(self, row: Row) -> str:
        """Hand in a button; a form in answer is opened where the answer comes in time."""
        arrival, office = row.arrival, self._office
        button = meaning.pressed(arrival)
        if button is None:
            await office.answers.seen(arrival)
            return ""
        person = await office.who(arrival, button.conversation)
        when = meaning.received(row.received)
        receipt = await office.bot.click(meaning.click(arrival, button, person, when))
        late = AGAIN_AFTER_RESTART if row.again else TOO_LATE
        await self._answer(arrival, button.conversation, person, receipt, late)
        return receipt.run_id

    async def feedback(self, row: Row) -> str:
        """Hand in what somebody thinks of an answer."""
        arrival, office = row.arrival, self._office
        button = meaning.pressed(arrival)
        if button is None:
            await office.answers.seen(arrival)
            return ""
        person = await office.who(arrival)
        given = meaning.feedback(arrival, button, person, meaning.received(row.received))
        receipt = await office.bot.feedback(given) if given is not None else Receipt(accepted=False)
        if receipt.accepted and not receipt.text:
            receipt = receipt.model_copy(update={"text": THANKS})
        await self._answer(arrival, button.conversation, person, receipt, "")
        return ""

    async def command(self, row: Row) -> str:
        """Perform words after `/quartet`; what they answer is seen by the person alone."""
        arrival, office = row.arrival, self._office
        there = conversation_of(arrival)
        person = await office.who(arrival)
        when = meaning.received(row.received)
        asked = meaning.asked_for(arrival)
        if asked is None:
            receipt = await office.bot.command(meaning.command(arrival, person, when))
        else:
            question = roots.Question(person, there, asked.text, asked.workflow)
            receipt, there = await roots.ask(office, row, question, when)
            receipt = _told(receipt, there)
        if receipt.card is None and receipt.form is None and not receipt.text:
            said = "Done." if receipt.accepted else "This was not accepted."
            receipt = receipt.model_copy(update={"text": said})
        await self._answer(arrival, conversation_of(arrival), person, receipt, TOO_LATE_COMMAND)
        return receipt.run_id

    async def home(self, row: Row) -> str:
        """Show a person's own page to them."""
        arrival, office = row.arrival, self._office
        person = await office.who(arrival)
        page = await office.naming.home(arrival.guild, await office.bot.home(arrival.guild, person))
        places = await office.inbox.places([question.card.id for question in page.questions])
        links = {card: _link(there, message) for card, (there, message) in places.items()}
        if not await office.answers.tell(arrival, draw_home(page, links)):
            await office.notes.privately(conversation_of(arrival), person, TOO_LATE_COMMAND)
        return ""

    async def _answer(
        self, arrival: Arrival, there: ConversationRef, person: Person, receipt: Receipt, late: str
    ) -> None:
        """Answer what was pressed or typed; never raises but for cancellation.

        Args:
            late: what is said where a form comes too late.
        """
        office, said = self._office, receipt.text
        if receipt.form is not None:
            said = await self._open(arrival, person, receipt.form, late)
            if not said:
                return
        elif receipt.card is not None:
            await office.notes.card_privately(arrival, person, receipt.card)
            return
        if said:
            await office.notes.privately(there, person, said, arrival=arrival)
        else:
            await office.answers.seen(arrival)

    async def _open(self, arrival: Arrival, person: Person, form: Form, late: str) -> str:
        """Open a form; what is to be said instead where it does not open."""
        try:
            drawn = draw_form(form)
        except FormTooLarge as error:
            return str(error)
        self._opened.remember(person.id, form, {})
        return "" if await self._office.answers.form(arrival, drawn) else late


def _told(receipt: Receipt, there: ConversationRef) -> Receipt:
    """What is said to who asked with a command: where the answer will be."""
    if not receipt.accepted or receipt.text or receipt.card is not None:
        return receipt
    where = f"<#{there.thread}>" if there.thread else "this conversation"
    return receipt.model_copy(update={"text": f"Your question is worked on in {where}."})


def _link(conversation: ConversationRef, message: str) -> str:
    """The address of a message."""
    channel = conversation.thread or conversation.channel
    guild = conversation.workspace if conversation.workspace != DIRECT else "@me"
    return f"https://discord.com/channels/{guild}/{channel}/{message}"
