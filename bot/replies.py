"""A plain reply answers the question that a run asks in the conversation, where exactly one is open.

Commands stay commands, `run …` stays a turn, and whoever may not answer is heard as anybody else. The answer
is remembered under its message's inbox key: delivered again it is no turn.
"""

from __future__ import annotations

from typing import Final

import structlog

from adapters.contract import Receipt, Turn
from bot.approval_cards import wants_text
from bot.decisions import who
from bot.edit_forms import MAX_ANSWER, answer_given
from bot.form_errors import FormErrors
from bot.permissions import Actor, may_decide
from orchestrator.errors import OrchestratorError, StoreFailed
from orchestrator.events import ApprovalRequested
from orchestrator.ports import RunRow
from orchestrator.service import Service

log = structlog.get_logger(__name__)

TAKEN: Final = "Taken as the answer."
TOO_LATE: Final = "Somebody else answered a moment before; write again to start a new turn."


class Replies:
    """Takes messages that answer a question.

    Args:
        service: the core.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def take(self, turn: Turn) -> Receipt | None:
        """Take a message as the answer; None: it is none, and goes its ordinary way.

        Raises:
            StoreFailed: nothing was stored; the same turn can be handed in again.
        """
        if turn.workflow is not None or turn.attachments:
            return None
        try:
            asked = await self._question(turn)
            if asked is None:
                return None
            edited = answer_given({"text": turn.text})
            decided = await self._service.decide(
                asked.approval_id,
                decision="edit",
                who=who(turn.person),
                groups=turn.person.groups,
                edited=edited,
                key=turn.key,
            )
        except FormErrors:
            words = f"{len(turn.text):,} of at most {MAX_ANSWER:,} characters"
            text = f"This is too long for an answer: {words}. Send a shorter one."
            return Receipt(accepted=False, text=text)
        except StoreFailed:
            raise
        except OrchestratorError as error:
            log.info("a reply was not taken as an answer", action="reply_not_taken", error=str(error))
            return None
        if decided.counted:
            return Receipt(accepted=True, run_id=decided.run_id, text=TAKEN, private=True)
        if await self._service.store.known(turn.key) is None:
            return None  # somebody was faster, and nothing of this was kept
        decision = decided.approval.decision
        if decision is not None and decision.key == turn.key:
            return Receipt(accepted=True, run_id=decided.run_id)  # delivered twice at once
        return Receipt(accepted=True, run_id=decided.run_id, text=TOO_LATE, private=True)

    async def _question(self, turn: Turn) -> ApprovalRequested | None:
        """The one question of the conversation that wants words, if this person may answer it."""
        found: list[tuple[ApprovalRequested, str]] = []
        for row in await self._asking(turn):
            state = await self._service.state(row.id)
            requester = state.created.turn.who.key
            found += [(a.asked, requester) for a in state.open_approvals() if wants_text(a.asked)]
        if len(found) != 1:
            return None
        ((asked, requester),) = found
        return asked if may_decide(asked, Actor.of(turn.person), requester=requester).ok else None

    async def _asking(self, turn: Turn) -> list[RunRow]:
        """Runs of the conversation that have begun."""
        rows = await self._service.store.unfinished(turn.conversation.key)
        return [row for row in rows if row.status != "queued"]
