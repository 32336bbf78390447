"""Clicks and forms become decisions and controls, after asking whether this person may.

The first decision that fits counts; whoever comes later is told privately what was decided.
Nothing here trusts a click: the approval, the person and the edited text are checked anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from adapters.contract import Click, Feedback, FormInput, Person, Receipt
from bot.approval_cards import wants_text
from bot.artifact_parts import artifact_of
from bot.channel_settings import ChannelPolicy
from bot.edit_forms import answer_form, answer_given, changes_form, edit_form, edited_arguments
from bot.form_errors import FormErrors
from bot.permissions import Permissions
from orchestrator.artifacts import WorkflowDraft
from orchestrator.engine.state import Approval, RunState
from orchestrator.errors import NotFound, OrchestratorError, Refused, StoreFailed
from orchestrator.events import ApprovalId, DecisionKind, Json, RunId, Who
from orchestrator.ports import ApprovalRow
from orchestrator.service import Service

log = structlog.get_logger(__name__)

_WORDS = {
    "approve": "approved",
    "edit": "approved with edits",
    "changes": "changes asked for",
    "reject": "rejected",
}
_WITH_FORM = ("edit", "changes", "answer")
_NEEDS_WORDS = "This asks for words of yours: press Answer on the card, or reply in the conversation."
_NEEDS_DECISION = "This asks for a decision: press one of the buttons on the card."


class Decisions:
    """What people press and send.

    Args:
        service: the core.
        permissions: who may do what.
        draft_flaw: what is wrong with a drafted workflow's YAML that was edited; None: not looked at.
    """

    def __init__(
        self, service: Service, permissions: Permissions, draft_flaw: Callable[[str], str] | None = None
    ) -> None:
        self._service = service
        self._permissions = permissions
        self._draft_flaw = draft_flaw

    async def click(self, click: Click, policy: ChannelPolicy) -> Receipt:
        """Take a click. Never raises for what a person can do wrong.

        Raises:
            StoreFailed: nothing was recorded; it can be tried again.
        """
        if not click.quiet:
            return await self._click(click, policy)
        # Whoever puts a mark under a message may mean anything by it; who asked means us.
        if click.action in _WITH_FORM or await self._asked_by(click) != click.person.key:
            return Receipt(accepted=False)
        receipt = await self._click(click, policy)
        return receipt if receipt.accepted else receipt.model_copy(update={"text": ""})

    async def _asked_by(self, click: Click) -> str:
        """The person key of who asked for the run that a click is about; "" if there is none."""
        store = self._service.store
        if click.action in ("approve", "reject"):
            approval = await store.approval(ApprovalId(click.target))
            row = None if approval is None else await store.run(approval.run_id)
        else:
            row = await store.run(RunId(click.target))
        return "" if row is None else row.who

    async def _click(self, click: Click, policy: ChannelPolicy) -> Receipt:
        try:
            match click.action:
                case "approve" | "reject":
                    return await self._decide(click, ApprovalId(click.target), click.action)
                case "edit" | "changes" | "answer":
                    return await self._form(click, ApprovalId(click.target), click.action)
                case "stop" | "pause" | "resume":
                    return await self._control(click, RunId(click.target), click.action, policy)
                case "retry":
                    return await self._retry(click, RunId(click.target), policy)
                case _:
                    return Receipt(
                        accepted=False, text=f"This version does not know the button {click.action[:40]!r}."
                    )
        except StoreFailed:
            raise  # no refusal: it can be tried again
        except OrchestratorError as error:
            return Receipt(accepted=False, text=str(error))

    async def form(self, given: FormInput) -> Receipt:
        """Take a form. Errors come back at their fields; nothing is recorded then.

        Raises:
            StoreFailed: nothing was recorded; it can be tried again.
        """
        action, _, target = given.form_id.partition(":")
        if action not in _WITH_FORM or not target:
            return Receipt(accepted=False, text="This form is not known here; open it again from the card.")
        approval_id = ApprovalId(target)
        try:
            row = await self._service.store.approval(approval_id)
            if row is None:
                raise NotFound(f"there is no approval {approval_id!r}")
            _check_place(given, row.conversation_id)
            if action == "changes":
                comment = given.values.get("comment", "").strip()
                if not comment:
                    return Receipt(accepted=False, errors={"comment": "say what should be different"})
                return await self._decide(given, approval_id, "changes", comment=comment[:4_000])
            if wants_text(row.asked):
                edited = answer_given(given.values)
                return await self._decide(given, approval_id, "edit", edited=edited)
            if action == "answer":
                return Receipt(accepted=False, text=_NEEDS_DECISION, run_id=row.run_id)
            edited = edited_arguments(row.asked, given.values)
            await self._check_draft(edited)
            return await self._decide(given, approval_id, "edit", edited=edited)
        except FormErrors as error:
            return Receipt(accepted=False, errors=error.errors)
        except StoreFailed:
            raise  # no refusal: it can be tried again
        except OrchestratorError as error:
            return Receipt(accepted=False, text=str(error))

    async def _check_draft(self, edited: Json) -> None:
        """An edited workflow is checked before it counts.

        Raises:
            FormErrors: something is wrong with it; says where.
        """
        if self._draft_flaw is None or not isinstance(found := artifact_of(edited), WorkflowDraft):
            return
        flaw = await asyncio.to_thread(self._draft_flaw, found.yaml)
        if flaw:
            raise FormErrors({"yaml": flaw[:1_000]})

    async def feedback(self, given: Feedback) -> Receipt:
        """Keep what somebody thinks of an answer: anyone in its conversation may say so.

        Raises:
            StoreFailed: nothing was recorded; it can be tried again.
        """
        run_id = RunId(given.target)
        try:
            row = await self._service.store.run(run_id)
            if row is None:
                raise NotFound("This answer is not known here any more.")
            _check_place(given, row.conversation_id)
            await self._service.feedback(
                run_id, who=who(given.person), good=given.good, comment=given.comment.strip()[:4_000]
            )
        except StoreFailed:
            raise  # no refusal: it can be tried again
        except OrchestratorError as error:
            return Receipt(accepted=False, text=str(error), run_id=given.target)
        return Receipt(accepted=True, text="Thank you for telling us.", run_id=run_id)

    async def _decide(
        self,
        given: Click | FormInput,
        approval_id: ApprovalId,
        decision: DecisionKind,
        *,
        comment: str = "",
        edited: Json | None = None,
    ) -> Receipt:
        row = await self._known(approval_id)
        _check_place(given, row.conversation_id)
        state = await self._service.state(row.run_id)
        allowed = self._permissions.decide(
            given.conversation.key, given.person, row.asked, state.created.turn.who.key
        )
        if not allowed.ok:
            return Receipt(accepted=False, text=allowed.reason, run_id=row.run_id)
        if wants_text(row.asked) and decision not in ("edit", "reject"):
            return Receipt(accepted=False, text=_NEEDS_WORDS, run_id=row.run_id)
        decided = await self._service.decide(
            approval_id,
            decision=decision,
            who=who(given.person),
            groups=given.person.groups,
            comment=comment,
            edited=edited,
        )
        if decided.counted:
            return Receipt(accepted=True, run_id=decided.run_id)
        return Receipt(accepted=False, run_id=decided.run_id, text=_too_late(decided.approval, state))

    async def _form(self, click: Click, approval_id: ApprovalId, action: str) -> Receipt:
        row = await self._known(approval_id)
        _check_place(click, row.conversation_id)
        state = await self._service.state(row.run_id)
        allowed = self._permissions.decide(
            click.conversation.key, click.person, row.asked, state.created.turn.who.key
        )
        if not allowed.ok:
            return Receipt(accepted=False, text=allowed.reason, run_id=row.run_id)
        approval = state.approvals[approval_id]
        if approval.decision is not None or approval.resolved is not None or state.ended is not None:
            return Receipt(accepted=False, run_id=row.run_id, text=_too_late(approval, state))
        return self._opened(row, action)

    @staticmethod
    def _opened(row: ApprovalRow, action: str) -> Receipt:
        """The form behind a button, if the question is of the kind that has it."""
        text = wants_text(row.asked)
        if text and action == "changes":
            return Receipt(accepted=False, text=_NEEDS_WORDS, run_id=row.run_id)
        if action == "answer" and not text:
            return Receipt(accepted=False, text=_NEEDS_DECISION, run_id=row.run_id)
        if action == "changes":
            form = changes_form(row.asked)
        else:
            form = answer_form(row.asked) if text else edit_form(row.asked)
        return Receipt(accepted=True, run_id=row.run_id, form=form)

    async def _known(self, approval_id: ApprovalId) -> ApprovalRow:
        row = await self._service.store.approval(approval_id)
        if row is None:
            raise NotFound("This question is not known here any more.")
        return row

    async def _control(self, click: Click, run_id: RunId, action: str, policy: ChannelPolicy) -> Receipt:
        state = await self._service.state(run_id)
        _check_place(click, state.created.conversation_id)
        allowed = self._permissions.control(
            click.conversation.key, click.person, action, state.created.turn.who.key, policy
        )
        if not allowed.ok:
            return Receipt(accepted=False, text=allowed.reason, run_id=run_id)
        person = who(click.person)
        if action == "stop":
            await self._service.stop(run_id, who=person)
        elif action == "pause":
            await self._service.pause(run_id, who=person)
        else:
            await self._service.resume(run_id, who=person)
        return Receipt(accepted=True, run_id=run_id)

    async def _retry(self, click: Click, run_id: RunId, policy: ChannelPolicy) -> Receipt:
        state = await self._service.state(run_id)
        _check_place(click, state.created.conversation_id)
        if state.status != "failed":
            raise Refused(f"Only a failed run can be tried again; this one is {state.status}.")
        allowed = self._permissions.start(click.conversation.key, click.person, policy)
        if not allowed.ok:
            return Receipt(accepted=False, text=allowed.reason, run_id=run_id)
        created = state.created
        # The key hangs on the failed run, so that two clicks are one new run.
        turn = created.turn.model_copy(update={"key": f"retry:{run_id}"})
        accepted = await self._service.start(
            conversation_id=created.conversation_id,
            turn=turn,
            workflow=created.workflow,
            settings=policy.to_run_settings(),
            inputs=created.inputs,
            priority=created.priority,
        )
        return Receipt(accepted=True, run_id=accepted.run_id)


def who(person: Person) -> Who:
    """A person, as the log remembers them."""
    return Who(key=person.key, name=person.name)


def _check_place(given: Click | FormInput | Feedback, conversation_id: str) -> None:
    """Cards are pressed where they stand: who may act in one conversation may not in every one.

    Raises:
        Refused: it comes from somewhere else.
    """
    if given.conversation.key != conversation_id:
        raise Refused("This belongs to another conversation; press the button on the card there.")


def _too_late(approval: Approval, state: RunState) -> str:
    decision, resolved = approval.decision, approval.resolved
    if decision is not None:
        word = (
            "answered"
            if wants_text(approval.asked) and decision.decision == "edit"
            else _WORDS[decision.decision]
        )
        return f"This was already {word} by {decision.who.name}; your click changed nothing."
    if resolved is not None and resolved.outcome == "expired":
        return "This has expired; your click changed nothing. Write again to start a new turn."
    return f"The run has ended ({state.status}); your click changed nothing."
