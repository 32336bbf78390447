"""Chat: a turn and its answer, whole or as it comes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from quartet_client.answers import ChatAnswer, ChatEvent, Health
from quartet_client.asking import ROUND_S, SLACK_S, begin, key_of, keyed
from quartet_client.effects import Connect, Flow, Request
from quartet_client.errors import BadAnswer, BadArgument
from quartet_client.operation import Calls, operation, streaming
from quartet_client.patience import Streaming, patiently, talking
from quartet_client.replies import error_of, fit, read, read_text
from quartet_client.socket_errors import raise_said

Turn = str | Sequence[Mapping[str, str]]
"""What is asked: a text, or messages `{"role": …, "content": …}`, the last one the user's."""


class ChatCalls(Calls):
    """Methods of both clients."""

    @operation
    def chat(
        self,
        turn: Turn,
        *,
        conversation_id: str | None = None,
        context: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout: float = 600.0,
    ) -> Flow[ChatAnswer]:
        """One turn, and its answer.

        It waits in rounds of less than a minute, so that no proxy ends it. When `timeout` is over, or
        people are asked (`context={"approvals": "ask"}`), the answer says how far it is; the run goes on.

        Args:
            turn: a text, or messages of which the last one is the turn.
            conversation_id: yours to choose; None: a new one.
            context: `approvals`, `workflow`, `language`, `timeout_s`; further keys reach the agents.
            idempotency_key: the same again gives the same run; None: one is made.
            timeout: seconds; `context["timeout_s"]` goes before it.

        Raises:
            ApiError: refused.
            Unreachable: no connection.
        """
        key = key_of(idempotency_key)
        given = dict(context or {})
        deadline = time.monotonic() + float(given.pop("timeout_s", timeout))
        while True:
            wait = max(0.0, min(ROUND_S, deadline - time.monotonic()))
            body = chat_body(turn, conversation_id, {**given, "timeout_s": wait})
            answer = yield from begin(
                self.settings, "/v1/chat", ChatAnswer, body, key, max(self.settings.timeout_s, wait + SLACK_S)
            )
            asked = given.get("approvals") == "ask" and answer.metadata.approvals
            if answer.ended or asked or time.monotonic() >= deadline:
                return answer

    @streaming
    def chat_stream(
        self,
        turn: Turn,
        *,
        conversation_id: str | None = None,
        context: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Streaming[ChatEvent]:
        """One turn, and what the agents do as they do it; the last event is `complete` and has the answer.

        A connection that breaks is opened again, and nothing comes twice.

        Args:
            turn: as for `chat`.
            conversation_id: as for `chat`.
            context: as for `chat`.
            idempotency_key: as for `chat`.
        """
        body = chat_body(turn, conversation_id, context or {})
        key = key_of(idempotency_key)
        with keyed(key):
            yield from talking(self.settings, _ChatTalk(body, key))

    @operation
    def health(self) -> Flow[Health]:
        """How the bot is; also when it is starting or its database is down."""
        reply = yield from patiently(self.settings, Request("GET", "/health"))
        if reply.status != 503:
            return read(reply, Health)
        try:
            return fit(reply.json(), Health)
        except (ValueError, BadAnswer):  # of something between
            raise error_of(reply) from None


def chat_body(turn: Turn, conversation_id: str | None, context: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a chat call."""
    if not isinstance(turn, str) and not _are_messages(turn):
        raise BadArgument('a turn is text, or messages like {"role": "user", "content": "…"}')
    messages = [{"role": "user", "content": turn}] if isinstance(turn, str) else [dict(m) for m in turn]
    named = {"conversation_id": conversation_id} if conversation_id is not None else {}
    return {**named, "messages": messages, "context": dict(context)}


def _are_messages(given: object) -> bool:
    return isinstance(given, Sequence) and all(
        isinstance(m, Mapping) for m in cast("Sequence[object]", given)
    )


class _ChatTalk:
    """The socket of a turn, as far as it came."""

    resumes = True

    def __init__(self, body: Mapping[str, Any], key: str) -> None:
        self.ended = False
        self.over = False
        self._body = body
        self._key = key
        self._seen = 0

    def connect(self) -> Connect:
        return Connect("/v1/chat/stream")

    def first(self) -> str:
        return json.dumps({**self._body, "idempotency_key": self._key, "after": self._seen})

    def take(self, text: str) -> ChatEvent | None:
        fields = read_text(text)
        raise_said(fields)
        seq = fields.get("seq")
        if isinstance(seq, int):
            if seq <= self._seen:
                return None
            self._seen = seq
        self.ended = fields.get("type") == "complete"
        answer = fit(fields, ChatAnswer) if self.ended else None
        return ChatEvent(type=str(fields.get("type", "")), fields=fields, answer=answer)
