"""Modals that come back, and the shortcuts that open one.

Slack waits 3 s for the answer to a modal, and shows errors at its fields only in that answer. So
whoever acknowledges waits a little for the work; what takes longer is told by a note.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import structlog

from adapters.contract import ConversationRef, Person, Receipt, ThreadLine
from adapters.payload import mapping, text
from adapters.slack import meaning, roots
from adapters.slack.agent_pane import AgentPane
from adapters.slack.forms import FormUnreadable, ask_form, errors, read_ask, read_form, refusal
from adapters.slack.inbound import conversation_at
from adapters.slack.inbox import Row
from adapters.slack.office import Office
from adapters.slack.payload import at, ident, place, stamp
from adapters.slack.presses import TOO_LATE, open_view, user_team
from adapters.slack.reading import mentioned, readable

WAIT_S = 2.3  # for the answer that goes with the acknowledgement
REMEMBERED = 500  # answers, for forms that are sent twice
QUOTE = 2_000  # characters of a message that go with the modal: Slack has room for 3,000 in all
ELSEWHERE = "This belongs to another workspace. Open it there, and press the button again."
Answer = Mapping[str, Any]

log = structlog.get_logger(__name__)


class Waiting:
    """Who acknowledges a modal meets here who works on it."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, asyncio.Future[Answer]] = OrderedDict()
        self._late: set[str] = set()

    async def answer(self, key: str, since: float) -> Answer | None:
        """The answer, if it is there in time; None: acknowledge plainly.

        Args:
            since: when the modal came, in seconds of `time.monotonic`.
        """
        future = self._future(key)
        left_s = max(WAIT_S - (time.monotonic() - since), 0.0)
        done, _ = await asyncio.wait([future], timeout=left_s)
        if not done:
            self._late.add(key)
            return None
        return future.result()

    def settle(self, key: str, answer: Answer) -> bool:
        """Give the answer. False: nobody waits for it any more."""
        future = self._answers.get(key)
        if future is None:  # of before a restart
            return False
        if not future.done():
            future.set_result(answer)
        if key in self._late:
            self._late.discard(key)
            return False
        return True

    def expects(self, key: str) -> bool:
        """Whether the answer is known, or somebody works on it."""
        return key in self._answers

    def begin(self, key: str) -> None:
        """Somebody will work on it."""
        self._future(key)

    def _future(self, key: str) -> asyncio.Future[Answer]:
        future = self._answers.get(key)
        if future is None:
            future = self._answers[key] = asyncio.get_running_loop().create_future()
            while len(self._answers) > REMEMBERED:
                old, _ = self._answers.popitem(last=False)
                self._late.discard(old)
        return future


class Modals:
    """The steps of modals.

    Args:
        waiting: where acknowledgements wait.
    """

    def __init__(self, office: Office, pane: AgentPane, waiting: Waiting) -> None:
        self._office = office
        self._pane = pane
        self._waiting = waiting

    # ── shortcuts ────────────────────────────────────────────────────────────────────────────

    async def ask_about(self, row: Row) -> str:
        """The message shortcut: a modal for a question about that message."""
        payload = row.arrival.payload
        message = mapping(payload.get("message"))
        channel, thread, ts = place(payload)
        users = [ident(message, "user"), *mentioned(text(message, "text"))]
        names = await self._office.people.names(row.arrival.team, row.arrival.enterprise, users)
        quoted = readable(text(message, "text"), names)[:QUOTE]
        author = names.get(ident(message, "user")) or text(message, "username") or "somebody"
        metadata = {
            "team": row.arrival.team,
            "channel": channel,
            "thread": thread or ts or stamp(payload, "message_ts"),
            "ts": ts or stamp(payload, "message_ts"),
            "author": author[:80],
            "quoted": quoted,
        }
        await self._ask(row, ask_form(metadata, quoted=quoted))
        return ""

    async def ask_new(self, row: Row) -> str:
        """The global shortcut: a modal for a question in a channel."""
        await self._ask(row, ask_form({"team": row.arrival.team}, pick_channel=True))
        return ""

    async def _ask(self, row: Row, view: Mapping[str, Any]) -> None:
        trigger = "" if row.again else text(row.arrival.payload, "trigger_id")
        if await open_view(self._office, row.arrival, trigger, view):
            return
        channel = place(row.arrival.payload)[0]
        if channel:
            there = conversation_at(row.arrival.team, channel)
            person = await self._office.who(row.arrival, groups=False)
            url = text(row.arrival.payload, "response_url")
            await self._office.answers.privately(there, person, TOO_LATE, response_url=url)

    # ── what comes back ──────────────────────────────────────────────────────────────────────

    async def submission(self, row: Row) -> str:
        """A modal was sent."""
        view = mapping(row.arrival.payload.get("view"))
        try:
            if text(view, "callback_id") == "quartet:ask":
                return await self._asked(row, view)
            return await self._filled(row, view)
        except FormUnreadable as error:
            person = await self._office.who(row.arrival, groups=False)
            await self._answer(row, None, person, Receipt(accepted=False, text=str(error)), {})
            return ""

    async def _filled(self, row: Row, view: Mapping[str, Any]) -> str:
        form_id, conversation, values = read_form(view)
        if conversation.workspace != row.arrival.team:
            raise FormUnreadable(ELSEWHERE)
        settings = form_id.startswith("settings")
        person = await self._office.who(row.arrival, admin_of=conversation.channel if settings else "")
        when = meaning.received(row.received)
        given = meaning.form_input(row.arrival, form_id, conversation, values, person, when)
        receipt = await self._office.bot.form(given)
        at_fields = errors(receipt.errors, view) if receipt.errors else {}
        await self._answer(row, conversation, person, receipt, at_fields)
        if settings:
            self._office.later.do(self._pane.publish(row.arrival, person.id))
        return receipt.run_id

    async def _asked(self, row: Row, view: Mapping[str, Any]) -> str:
        metadata, words, channel = read_ask(view)
        person = await self._office.who(row.arrival, groups=False)
        channel = channel or metadata.get("channel", "")
        quoted = metadata.get("quoted", "")
        earlier = (
            (
                ThreadLine(
                    author=metadata.get("author", "somebody"), text=quoted, at=at(metadata.get("ts", ""))
                ),
            )
            if quoted
            else ()
        )
        question = roots.Question(
            person,
            user_team(row.arrival),
            channel,
            metadata.get("thread", ""),
            words.strip(),
            earlier=earlier,
            about=meaning.about(metadata.get("author", "somebody"), quoted, words) if quoted else "",
        )
        if not question.words:
            receipt, there = Receipt(accepted=False, errors={"text": "Write what you want to know."}), None
        else:
            receipt, there = await roots.ask(self._office, row, question, meaning.received(row.received))
        at_fields = errors(receipt.errors, view) if receipt.errors else {}
        await self._answer(row, there, person, receipt, at_fields)
        return receipt.run_id

    async def _answer(
        self,
        row: Row,
        conversation: ConversationRef | None,
        person: Person,
        receipt: Receipt,
        at_fields: Mapping[str, str],
    ) -> None:
        """Answer in the modal, or by a note where nobody waits any more."""
        if at_fields:
            in_modal: Answer = {"response_action": "errors", "errors": dict(at_fields)}
            said = "Your form was not taken: " + " ".join(receipt.errors.values())
        elif not receipt.accepted:
            said = await self._office.naming.text(row.arrival.team, receipt.text) or "This was not accepted."
            in_modal = {"response_action": "update", "view": refusal(said)}
        else:
            in_modal, said = {}, receipt.text
        in_time = self._waiting.settle(row.arrival.key, in_modal)
        told = in_time and not receipt.accepted
        if said and not told and conversation is not None:
            await self._office.answers.privately(conversation, person, said)
