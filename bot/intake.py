"""A message becomes a run: deduplicate, authorise, then answer, start, queue, steer or interrupt.

`take` returns when the turn is durable. What is refused is told why; nothing that was
accepted is ever silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_args

import structlog

from adapters.contract import Attachment, ChatAdapter, ConversationRef, Receipt, Turn, Withdrawal
from adapters.errors import AdapterError, PlatformDown, RateLimited
from bot.channel_settings import ChannelPolicy
from bot.decisions import who
from bot.permissions import Permissions
from bot.replies import Replies
from orchestrator.errors import OrchestratorError, Refused, StoreFailed
from orchestrator.events import Line, Priority, StoredFile, TurnRecord
from orchestrator.inputs import TEXT
from orchestrator.ports import RunRow
from orchestrator.service import Service
from orchestrator.workflow import Workflow

log = structlog.get_logger(__name__)

MAX_TEXT = 200_000  # characters of one message
MAX_FILES = 10
EARLIER = 30  # lines of thread text by others that a turn carries

ReadText = Callable[[str, str, bytes], str | None]  # (name, media type, content) → its text, None: binary
PolicyOf = Callable[[ConversationRef], Awaitable[ChannelPolicy]]


class Intake:
    """Takes turns.

    Args:
        service: the core.
        permissions: who may do what.
        adapters: by platform, for the files' bytes.
        policy: what holds in a channel.
        read_text: what can be read of a file; runs in a thread.
    """

    def __init__(
        self,
        service: Service,
        permissions: Permissions,
        adapters: Mapping[str, ChatAdapter],
        policy: PolicyOf,
        read_text: ReadText,
    ) -> None:
        self._service = service
        self._permissions = permissions
        self._adapters = adapters
        self._policy = policy
        self._read_text = read_text
        self._replies = Replies(service)

    async def take(self, turn: Turn) -> Receipt:
        """Start, queue or hand on a turn.

        Raises:
            StoreFailed: nothing was stored; the same turn can be handed in again.
            PlatformDown: a file cannot be had now; as above.
            RateLimited: a file cannot be had yet; as above.
        """
        refusal = check_text(turn.text, len(turn.attachments))
        if refusal:
            return Receipt(accepted=False, text=refusal)
        known = await self._service.store.known(turn.key)
        if known is not None:  # delivered again
            return Receipt(accepted=True, run_id=known)
        answered = await self._replies.take(turn)
        if answered is not None:
            return answered
        policy = await self._policy(turn.conversation)
        allowed = self._permissions.start(turn.conversation.key, turn.person, policy)
        if not allowed.ok:
            return Receipt(accepted=False, text=allowed.reason)
        workflow = turn.workflow or policy.workflow
        try:
            definition = self._service.workflow(workflow)
            files = await self._files(turn)
            record = _record(turn, files)
            unfinished = await self._service.store.unfinished(turn.conversation.key)
            # Delivered again while the first one was being stored: it must not steer or stop its own run.
            known = await self._service.store.known(turn.key)
            if known is not None:
                return Receipt(accepted=True, run_id=known)
            if unfinished and turn.workflow is None:
                if policy.busy == "steer":
                    steered = await self._steer(turn, unfinished)
                    if steered is not None:
                        return steered
                if policy.busy == "interrupt":
                    await self._interrupt(turn, unfinished)
            accepted = await self._service.start(
                conversation_id=turn.conversation.key,
                turn=record,
                workflow=workflow,
                settings=policy.to_run_settings(),
                inputs=_inputs(definition, turn),
                priority=_priority(turn.priority),
                deadline=turn.deadline,
            )
        except (StoreFailed, PlatformDown, RateLimited):
            raise  # no refusal: the adapter keeps the turn and hands it in again
        except (OrchestratorError, AdapterError) as error:
            return Receipt(accepted=False, text=str(error))
        return Receipt(accepted=True, run_id=accepted.run_id)

    async def withdraw(self, given: Withdrawal) -> Receipt:
        """End the run of a message that its author deleted, if it has not begun. Nothing is said to them.

        Raises:
            StoreFailed: nothing was recorded; it can be tried again.
        """
        store = self._service.store
        run_id = await store.known(given.turn_key)
        row = None if run_id is None else await store.run(run_id)
        if row is None or row.who != given.person.key or row.conversation_id != given.conversation.key:
            return Receipt(accepted=False)
        try:
            # A message that was handed to a run at work did not make that run.
            made = (await self._service.state(row.id)).created.turn.key == given.turn_key
            done = made and await self._service.withdraw(row.id, who=who(given.person))
        except StoreFailed:
            raise
        except OrchestratorError as error:
            log.warning("a turn was not withdrawn", action="withdraw_failed", run_id=row.id, error=str(error))
            done = False
        return Receipt(accepted=done, run_id=row.id)

    async def _steer(self, turn: Turn, unfinished: list[RunRow]) -> Receipt | None:
        """Hand the message on; None: the run has ended meanwhile, so it is a turn of its own."""
        row = unfinished[0]
        if turn.attachments:
            raise OrchestratorError(
                "Files cannot be handed to agents at work; wait for the answer, or stop the run."
            )
        try:
            await self._service.steer(row.id, key=turn.key, text=turn.text, who=who(turn.person))
        except Refused:
            return None
        return Receipt(accepted=True, run_id=row.id, text="Handed to the agents at work.", private=True)

    async def _interrupt(self, turn: Turn, unfinished: list[RunRow]) -> None:
        for row in reversed(unfinished):  # the newest first, so that none of them starts in between
            try:
                await self._service.stop(row.id, who=who(turn.person), reason="a new message came")
            except OrchestratorError:
                log.info("the run ended by itself", action="interrupt_late", run_id=row.id)

    async def _files(self, turn: Turn) -> tuple[StoredFile, ...]:
        adapter = self._adapters.get(turn.conversation.platform)
        if not turn.attachments or adapter is None:
            return ()
        return tuple([await self._file(adapter, a) for a in turn.attachments])

    async def _file(self, adapter: ChatAdapter, attachment: Attachment) -> StoredFile:
        content = await adapter.download(attachment)
        sha256 = await self._service.store.put_blob(content)
        text = await asyncio.to_thread(self._read_text, attachment.name, attachment.media_type, content)
        return StoredFile(
            name=attachment.name,
            media_type=attachment.media_type,
            size=len(content),
            sha256=sha256,
            text=text,
        )


def check_text(text: str, files: int) -> str:
    """Why this cannot be a turn; "" if it can."""
    if not text.strip() and not files:
        return "The message is empty. Write what you want to know or have done."
    if len(text) > MAX_TEXT:
        most = f"{MAX_TEXT:,}"
        return f"The message is too long: {len(text):,} of at most {most} characters. Attach it as a file."
    if files > MAX_FILES:
        return f"Too many files: {files} of at most {MAX_FILES}."
    return ""


def _record(turn: Turn, files: tuple[StoredFile, ...]) -> TurnRecord:
    earlier = tuple(
        Line(role="bot" if line.by_bot else "other", name=line.author, text=line.text)
        for line in turn.earlier[-EARLIER:]
    )
    return TurnRecord(
        key=turn.key,
        text=turn.text,
        who=who(turn.person),
        at=turn.at,
        context={k: v for k, v in turn.context.items() if v},
        files=files,
        earlier=earlier,
    )


def _inputs(workflow: Workflow, turn: Turn) -> Mapping[str, Any]:
    """A run's inputs. The request can be read as one anyway; where it must be there, it is checked too."""
    needs_text = TEXT in workflow.inputs.get("required", ())
    return {TEXT: turn.text, **turn.inputs} if needs_text else turn.inputs


def _priority(word: str) -> Priority | None:
    """A run's priority by its name; None: as the workflow says.

    Raises:
        Refused: it is none.
    """
    for priority in get_args(Priority):
        if priority == word:
            return priority
    if word:
        raise Refused(f"{word[:40]!r} is no priority; priorities are {', '.join(get_args(Priority))}")
    return None
