"""How every family of routes starts a run: one name, one conversation, and once however often it is sent."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, NamedTuple

from fastapi import Header
from pydantic import BaseModel

from bot.api.auth import Caller
from bot.api.core import Core
from bot.api.errors import ProblemError, wrong
from bot.api.json_values import clean_text
from orchestrator.errors import NotFound
from orchestrator.events import (
    ApiCall,
    Engine,
    Json,
    Priority,
    RunCreated,
    RunEvent,
    RunId,
    RunSettings,
    TurnPart,
    TurnRecord,
)
from orchestrator.service import Service
from orchestrator.workflow import Workflow

Family = Literal["graph", "execute", "session"]
# What a run is called there, the field with its name, and what to do where there is none.
_WORDS: Final[dict[Family, tuple[str, str, str]]] = {
    "graph": ("graph", "workflow_id", "GET /workflows lists them"),
    "execute": ("execution", "id", "POST /api/execute starts one"),
    "session": ("session", "session_id", "GET /api/sessions lists them"),
}
IdempotencyKey = Annotated[
    str | None, Header(max_length=200, description="the same key with the same body starts nothing twice")
]
_NAMES = uuid.UUID("6f0c6a53-52bd-4b1b-8f0a-5a2c7f7c4f3e")  # of names that are made of idempotency keys


class Started(NamedTuple):
    """A run that a call started, or had started before."""

    run_id: RunId
    name: str  # what the family calls it
    again: bool  # this very call came before
    begun: tuple[RunEvent, ...]  # the log so far; empty: look


def workspace(family: Family) -> str:
    """The workspace that a family's conversations are in: `api:graph`."""
    return f"api:{family}"


def turn_key(family: Family, name: str) -> str:
    """The key of the turn that began the run of a name: `api:graph:NAME`."""
    return f"{workspace(family)}:{name}"


def conversation(family: Family, name: str) -> str:
    """Each run of these families is a conversation of its own."""
    return f"{turn_key(family, name)}:"


def name_in(family: Family, conversation_id: str) -> str:
    """What a family calls the run of a conversation."""
    return conversation_id.removeprefix(f"{workspace(family)}:").removesuffix(":")


def is_named(family: Family, created: RunCreated) -> bool:
    """Whether a run of a family's conversation is what its name means; forks are runs and have none."""
    return created.turn.key == turn_key(family, name_in(family, created.conversation_id))


def name_of(caller: Caller, key: str | None) -> str:
    """A name where the caller gave none: the same for the same idempotency key.

    Raises:
        ProblemError: 422, the key cannot be one.
    """
    check_key(key)
    if key is None:
        return str(uuid.uuid4())
    return str(uuid.uuid5(_NAMES, f"{caller.who.key}\0{key}"))


def check_key(key: str | None) -> None:
    """See that an idempotency key can be kept; None: none came, which is fine.

    Raises:
        ProblemError: 422.
    """
    if key is None:
        return
    try:
        clean_text(key)
    except ValueError as error:
        raise wrong("Idempotency-Key", str(error)) from error
    if not key.strip():
        raise wrong("Idempotency-Key", "is empty; leave it out, or send a new text for each turn")


def other_body(there: str = "") -> ProblemError:
    """The error where an idempotency key came with another body before.

    Args:
        there: where that was, in words: " in 'tea'".
    """
    return wrong("Idempotency-Key", f"was used with another body{there}; take a new one for each")


def digest_of(body: BaseModel | Mapping[str, Any]) -> str:
    """SHA-256 of what was sent, whatever the order of its fields.

    Secrets must be left out of `body`: the digest is kept in the log.
    """
    plain = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


async def start(
    core: Core,
    caller: Caller,
    family: Family,
    *,
    name: str,
    text: str,
    digest: str,
    key: str | None = None,
    workflow: str = "",
    definition: Workflow | None = None,
    inputs: Mapping[str, Any] | None = None,
    settings: RunSettings | None = None,
    instruction: str = "",
    about: Json | None = None,
    parts: Mapping[str, TurnPart] | None = None,
    priority: Priority | None = None,
    deadline: datetime | None = None,
    engine: Engine | None = None,
) -> Started:
    """Start a run under a name of its family.

    Args:
        core: the bot.
        caller: whose run it is.
        family: of the routes.
        name: unique in the family, without `:` at its end; see `name_of`.
        text: the turn.
        digest: `digest_of` the body.
        key: Idempotency-Key.
        workflow: by name; "": the default one.
        definition: instead, one of its own; checked.
        inputs: of the workflow.
        settings: None: those of turns over HTTP, with automatic approvals and nobody to ask.
        instruction: of the caller, for every agent.
        about: kept with the turn for the family's answers.
        parts: of the turn, by node, where nodes are asked for something of their own.
        priority: None: as the workflow says.
        deadline: aware, UTC.
        engine: None: the bot's.

    Raises:
        ProblemError: 409 the name is taken; 422 the idempotency key came with another body.
        Refused: the inputs are not what the workflow takes.
    """
    service = core.ready()
    check_key(key)
    accepted = await service.start(
        conversation_id=conversation(family, name),
        turn=TurnRecord(
            key=turn_key(family, name),
            text=text,
            who=caller.who,
            at=datetime.now(UTC),
            instruction=instruction,
            call=ApiCall(key=key or "", digest=digest, about=about or {}),
            parts=dict(parts or {}),
        ),
        workflow=workflow or core.policy.workflow,
        definition=definition,
        inputs=inputs,
        settings=settings or unattended(core),
        priority=priority,
        deadline=deadline,
        engine=engine,
    )
    if accepted.duplicate:
        await _same(service, accepted.run_id, caller, family, key=key, digest=digest, name=name)
    return Started(accepted.run_id, name, accepted.duplicate, accepted.begun)


def unattended(core: Core) -> RunSettings:
    """Settings of runs that nobody watches: approvals are automatic, questions are refused."""
    return core.policy.to_run_settings().model_copy(update={"approvals": "auto", "asks": "refuse"})


async def _same(
    service: Service,
    run_id: RunId,
    caller: Caller,
    family: Family,
    *,
    key: str | None,
    digest: str,
    name: str,
) -> None:
    before = (await service.state(run_id)).created.turn
    call = before.call or ApiCall()
    if not key or key != call.key or before.who.key != caller.who.key:
        raise ProblemError(409, await _taken(service, run_id, family, name))
    if digest != call.digest:
        raise other_body()


async def _taken(service: Service, run_id: RunId, family: Family, name: str) -> str:
    noun, field, _ = _WORDS[family]
    if (await service.store.mark(run_id)).hidden:
        return f"{name[:100]!r} was the {field} of a {noun} that was deleted; take another one."
    return f"There is a {noun} {name[:100]!r} already; take another {field}."


async def find(core: Core, family: Family, name: str) -> RunId:
    """The run of a name.

    Raises:
        NotFound: there is none, or it was hidden.
    """
    service = core.ready()
    run_id = await service.store.known(turn_key(family, name))
    if run_id is None or (await service.store.mark(run_id)).hidden:
        noun, _, remedy = _WORDS[family]
        raise NotFound(f"there is no {noun} {name[:100]!r}; {remedy}")
    return run_id
