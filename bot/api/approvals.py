"""`/v1/approvals`: questions that wait for people, and their answers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, ValidationError

from bot.api.auth import CallerOf, needs, needs_name
from bot.api.core import Core
from bot.api.errors import ProblemError, field_errors, invalid, problems, wrong
from bot.api.json_values import JsonObject, Text
from bot.api.paging import Cursor, Limit
from bot.api.views import ApprovalList, ApprovalView, approval_view, outcome, waiting_view
from bot.approval_cards import wants_text
from bot.artifact_parts import artifact_of
from bot.edit_forms import answer_given
from bot.form_errors import FormErrors
from bot.permissions import may_decide
from bot.plan_form import check_plan
from orchestrator.artifacts import Plan
from orchestrator.engine.state import Approval, RunState
from orchestrator.errors import NotFound, Refused
from orchestrator.events import ApprovalId, ApprovalRequested, DecisionKind, Json


class DecisionIn(BaseModel):
    """What somebody decided."""

    decision: DecisionKind
    comment: Text = Field(default="", max_length=4_000, description="with `changes`: what to change")
    edited: JsonObject | None = Field(default=None, description="with `edit`: the new arguments, whole")
    digest: str = Field(
        default="",
        pattern=r"^([0-9a-f]{64})?$",
        description="of the question you saw; another one is refused",
    )


class Approvals:
    """The routes."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def router(self) -> APIRouter:
        """To be included."""
        router = APIRouter(tags=["approvals"])
        router.add_api_route(
            "/v1/approvals",
            self.approvals,
            methods=["GET"],
            dependencies=[needs("read")],
            operation_id="listApprovals",
            summary="Questions that wait for people",
            responses=problems(),
        )
        router.add_api_route(
            "/v1/approvals/{approval_id}",
            self.decide,
            methods=["POST"],
            dependencies=[needs("approve"), needs_name()],
            operation_id="decideApproval",
            summary="Decide",
            responses=problems(404, 409, 415),
        )
        return router

    async def approvals(self, limit: Limit = 50, cursor: Cursor = None) -> ApprovalList:
        """Waiting questions, oldest first."""
        try:
            page = await self._core.ready().store.waiting(limit=limit, cursor=cursor)
        except Refused as error:
            raise wrong("cursor", str(error)) from error
        return ApprovalList(items=[waiting_view(row) for row in page.items], next=page.next)

    async def decide(self, approval_id: str, body: DecisionIn, caller: CallerOf) -> ApprovalView:
        """Decide. The first decision counts; a later one gets 409 with the outcome and changes nothing."""
        service = self._core.ready()
        row = await service.store.approval(ApprovalId(approval_id))
        if row is None:
            raise NotFound(f"there is no approval {approval_id[:100]!r}; GET /v1/approvals lists them")
        state = await service.state(row.run_id)
        approval = state.approvals[row.asked.approval_id]
        asked = approval.asked
        allowed = may_decide(asked, caller.actor, requester=state.created.turn.who.key)
        if not allowed.ok:
            raise ProblemError(403, allowed.reason)
        if body.digest and body.digest != asked.digest:
            raise ProblemError(
                409,
                "What you saw is not what is asked; look at `approval` and decide on that.",
                extra={"approval": approval_view(state, approval).model_dump(mode="json")},
            )
        edited = check_edited(asked, body)
        decided = await service.decide(
            asked.approval_id,
            decision=body.decision,
            who=caller.who,
            groups=caller.actor.groups,
            comment=body.comment,
            edited=edited,
            digest=body.digest,
        )
        if not decided.counted:
            raise _late(state, decided.approval)
        return approval_view(state, decided.approval)


def check_edited(asked: ApprovalRequested, body: DecisionIn) -> Json | None:
    """The edited arguments, if they are of the kind that was asked about.

    Raises:
        ProblemError: 422 with the field.
    """
    if wants_text(asked) and body.decision not in ("edit", "reject"):
        raise wrong("decision", 'this asks for words: decide `edit` with `edited` {"text": "…"}, or `reject`')
    if body.decision != "edit":
        if body.edited is not None:
            raise wrong("edited", f"goes with the decision `edit`, not with `{body.decision}`")
        return None
    if body.edited is None:
        raise wrong("edited", "an edit needs the new arguments, whole")
    if wants_text(asked):
        return _answer(body.edited)
    kind = artifact_of(asked.arguments)
    if kind is None:
        foreign = sorted(body.edited.keys() ^ asked.arguments.keys())
        if foreign:
            raise wrong("edited", f"keys stay as they are; check {foreign[0][:100]!r}")
        return body.edited
    try:
        edited = type(kind).model_validate(body.edited)
    except ValidationError as error:
        raise invalid(field_errors(error.errors(), "edited")) from error
    flaw = check_plan(edited) if isinstance(edited, Plan) else ""
    if flaw:
        raise wrong("edited.tasks", flaw)
    return edited.model_dump(mode="json")


def _answer(edited: Json) -> Json:
    text = edited.get("text")
    if edited.keys() != {"text"} or not isinstance(text, str):
        raise wrong("edited", 'an answer is {"text": "…"}')
    try:
        return answer_given({"text": text})
    except FormErrors as error:
        raise wrong("edited.text", error.errors["text"]) from error


def _late(state: RunState, approval: Approval) -> ProblemError:
    what = outcome(approval)
    by: dict[str, Any] = approval_view(state, approval).model_dump(mode="json")
    if what is None:
        detail = f"The run has ended ({state.status}); your decision changed nothing."
    else:
        name = f" by {by['decided_by']}" if by["decided_by"] else ""
        detail = f"This was already decided ({what}{name}); your decision changed nothing."
    return ProblemError(409, detail, extra={"outcome": what or state.status, "approval": by})
