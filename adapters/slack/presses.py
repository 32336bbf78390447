"""Buttons, feedback and `/quartet`: handed in, and everyone who pressed something is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import structlog

from adapters.contract import Person, Receipt
from adapters.errors import AdapterError
from adapters.payload import mapping, text
from adapters.slack import meaning, roots
from adapters.slack.agent_pane import AgentPane
from adapters.slack.forms import draw_form, loading, refusal
from adapters.slack.inbound import Arrival, conversation_at
from adapters.slack.inbox import Row
from adapters.slack.office import Office
from adapters.slack.payload import ident, place, presser
from adapters.urgency import Urgency

FORM_WITHIN_S = 1.2  # after this a form that is still awaited gets its place on the screen
ELSEWHERE = "This stands in another workspace. The page shows what is in this one now."
TOO_LATE = "That took longer than Slack keeps a form open for. Please press the button again."

log = structlog.get_logger(__name__)


class Presses:
    """The steps of what is pressed or typed as a command."""

    def __init__(self, office: Office, pane: AgentPane) -> None:
        self._office = office
        self._pane = pane

    async def click(self, row: Row) -> str:
        """Hand in a button; a form in answer is opened at once, or as soon as it is there."""
        button = meaning.pressed(row.arrival)
        if button is None:
            return ""
        if button.home and button.conversation.workspace != row.arrival.team:
            # The page was drawn for another of the organisation's workspaces: this one's is drawn instead.
            self._office.later.do(self._pane.publish(row.arrival, presser(row.arrival.payload)[0]))
            await self._open(row.arrival, button.trigger, refusal(ELSEWHERE))
            return ""
        asked = asyncio.ensure_future(self._click(row, button))
        view = ""
        try:
            # After a restart the trigger is dead: there is nothing to be opened in time.
            left_s = max(FORM_WITHIN_S - (time.time() - row.received), 0.0)
            if button.opens_form and button.trigger and not row.again:
                await asyncio.wait([asked], timeout=left_s)
                if not asked.done():
                    view = await self._open(row.arrival, button.trigger, loading("One moment"))
            person, receipt = await asked
        except BaseException:
            asked.cancel()
            if view:
                await self._update(
                    row.arrival, view, refusal("It could not be taken just now; it is tried again.")
                )
            raise
        await self._answer(row, button, person, receipt, view)
        return receipt.run_id

    async def _click(self, row: Row, button: meaning.Pressed) -> tuple[Person, Receipt]:
        person = await self._office.who(row.arrival, admin_of=button.conversation.channel)
        click = meaning.click(row.arrival, button, person, meaning.received(row.received))
        return person, await self._office.bot.click(click)

    async def _answer(
        self, row: Row, button: meaning.Pressed, person: Person, receipt: Receipt, view: str
    ) -> None:
        arrival, office = row.arrival, self._office
        drawn = draw_form(receipt.form, button.conversation) if receipt.form is not None else None
        said = await office.naming.text(arrival.team, receipt.text)
        if view:
            await self._update(arrival, view, drawn or refusal(said or "There is nothing to fill in."))
        elif drawn is not None:
            if not await self._open(arrival, button.trigger, drawn):
                said = TOO_LATE
                await self._privately(row, button, person, said)
        elif receipt.card is not None:
            url = text(arrival.payload, "response_url")
            await office.answers.card_privately(button.conversation, person, receipt.card, response_url=url)
        elif said:
            await self._privately(row, button, person, said)
        if button.home:
            office.later.do(self._pane.publish(arrival, person.id))

    async def _privately(self, row: Row, button: meaning.Pressed, person: Person, said: str) -> None:
        """A note; on App Home, which has no place for one, a modal."""
        if button.home and await self._open(row.arrival, button.trigger, refusal(said)):
            return
        url = text(row.arrival.payload, "response_url")
        await self._office.answers.privately(button.conversation, person, said, response_url=url)

    async def feedback(self, row: Row) -> str:
        """Hand in what somebody thinks of an answer."""
        button = meaning.pressed(row.arrival)
        person = await self._office.who(row.arrival, groups=False)
        when = meaning.received(row.received)
        given = meaning.feedback(row.arrival, button, person, when) if button else None
        if button is None or given is None:
            return ""
        receipt = await self._office.bot.feedback(given)
        said = receipt.text or ("Thank you, noted." if receipt.accepted else "")
        if said:
            await self._privately(row, button, person, said)
        return ""

    # ── /quartet ─────────────────────────────────────────────────────────────────────────────

    async def command(self, row: Row) -> str:
        """Perform words after `/quartet`; what they answer is seen by the person alone."""
        arrival = row.arrival
        channel = place(arrival.payload)[0]
        words = meaning.command_words(arrival.payload)
        person = await self._office.who(arrival, admin_of=channel)
        when = meaning.received(row.received)
        there = conversation_at(arrival.team, channel)
        asked = meaning.asked_for(words)
        if asked is not None:
            question = roots.Question(person, user_team(arrival), channel, "", *asked)
            receipt, _ = await roots.ask(self._office, row, question, when)
            if receipt.accepted and not receipt.text and receipt.card is None:
                return receipt.run_id
        else:
            receipt = await self._office.bot.command(meaning.command(arrival, person, when))
        url = text(arrival.payload, "response_url")
        if receipt.form is not None and not row.again:
            await self._open(arrival, text(arrival.payload, "trigger_id"), draw_form(receipt.form, there))
        elif receipt.card is not None:
            await self._office.answers.card_privately(there, person, receipt.card, response_url=url)
        else:
            said = receipt.text or ("Done." if receipt.accepted else "This was not accepted.")
            await self._office.answers.privately(there, person, said, response_url=url)
        return receipt.run_id

    # ── modals ───────────────────────────────────────────────────────────────────────────────

    async def _open(self, arrival: Arrival, trigger: str, view: Mapping[str, Any]) -> str:
        """Open a modal; "" where Slack does not (the trigger is dead)."""
        return await open_view(self._office, arrival, trigger, view)

    async def _update(self, arrival: Arrival, view: str, drawn: Mapping[str, Any]) -> None:
        try:
            await self._office.api.call(
                arrival.team,
                "views.update",
                {"view_id": view, "view": dict(drawn)},
                urgency=Urgency.PERSON,
                enterprise=arrival.enterprise,
            )
        except AdapterError as error:  # the person has closed it
            log.info("A form could not be shown.", action="slack.view_gone", error=str(error)[:200])


async def open_view(office: Office, arrival: Arrival, trigger: str, view: Mapping[str, Any]) -> str:
    """Open a modal.

    Returns:
        Its id; "" where Slack does not open it: a trigger lives for 3 s.
    """
    if not trigger:
        return ""
    try:
        answer = await office.api.call(
            arrival.team,
            "views.open",
            {"trigger_id": trigger, "view": dict(view)},
            urgency=Urgency.PERSON,
            enterprise=arrival.enterprise,
        )
    except AdapterError as error:
        log.info("A form could not be opened.", action="slack.no_view", error=str(error)[:200])
        return ""
    return text(mapping(answer.get("view")), "id") or "?"


def user_team(arrival: Arrival) -> str:
    """The workspace of who pressed or typed something: another one in shared channels."""
    return ident(mapping(arrival.payload.get("user")), "team_id") or arrival.team
