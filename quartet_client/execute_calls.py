"""Goals: work on one and get what came of it, whole or as it comes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

from quartet_client.answers import Executed, Execution, ExecutionEvent
from quartet_client.asking import ROUND_S, SLACK_S, begin, key_of, keyed
from quartet_client.effects import Flow, Frame, Request
from quartet_client.errors import BadArgument
from quartet_client.operation import Calls, operation, streaming
from quartet_client.patience import Streaming, following
from quartet_client.replies import fit, read_text

Goal = str | Mapping[str, Any]
"""A text, or `{"title", "description", "constraints", "success_criteria"}`."""
DONE: Final = "done"


class ExecuteCalls(Calls):
    """Methods of both clients."""

    @operation
    def execute(
        self,
        goal: Goal,
        strategy: str | None = None,
        *,
        idempotency_key: str | None = None,
        timeout: float = 600.0,
    ) -> Flow[Executed]:
        """Work on a goal and wait for what comes of it.

        It waits in rounds, as `chat` does. When `timeout` is over, the answer says how far it is; it goes on.

        Args:
            goal: a text, or an object with title, description, constraints, success_criteria.
            strategy: simple, parallel_optimize, resource_aware, cost_optimize; None: the server's choice.
            idempotency_key: the same again gives the same execution; None: one is made.
            timeout: seconds.
        """
        given = goal if isinstance(goal, str) else _parts(goal)
        body = {"goal": given, **({"strategy": strategy} if strategy is not None else {})}
        key = key_of(idempotency_key)
        deadline = time.monotonic() + timeout
        while True:
            wait = max(0.0, min(ROUND_S, deadline - time.monotonic()))
            answer = yield from begin(
                self.settings,
                "/api/execute",
                Executed,
                {**body, "timeout_s": wait},
                key,
                max(self.settings.timeout_s, wait + SLACK_S),
            )
            if answer.execution.ended or time.monotonic() >= deadline:
                return answer

    @streaming
    def execute_stream(
        self, goal: Goal, strategy: str | None = None, *, idempotency_key: str | None = None
    ) -> Streaming[ExecutionEvent]:
        """Work on a goal and give what happens as it happens: `progress`, `update`, at the end `done`.

        A connection that breaks is opened again behind the last event.

        Args:
            goal: as for `execute`.
            strategy: as for `execute`.
            idempotency_key: as for `execute`.
        """
        key = key_of(idempotency_key)
        with keyed(key):
            yield from following(self.settings, _Work(goal, strategy, key))


def _parts(goal: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(goal, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - programs are not all checked
        raise BadArgument(f"a goal is text, or an object with a title; it is no {type(goal).__name__}")
    return dict(goal)


class _Work:
    """The stream of an execution, as far as it came."""

    def __init__(self, goal: Goal, strategy: str | None, key: str) -> None:
        self.ended = False
        self._params = {"goal": goal if isinstance(goal, str) else json.dumps(_parts(goal))}
        if strategy is not None:
            self._params["strategy"] = strategy
        self._params["idempotency_key"] = key
        self._seen = ""

    def request(self) -> Request:
        headers = {"Last-Event-ID": self._seen} if self._seen else {}
        return Request("GET", "/api/execute/stream", self._params, headers=headers)

    def take(self, frame: Frame) -> ExecutionEvent | None:
        fields = read_text(frame.data)
        self.ended = frame.event == DONE
        self._seen = frame.id or self._seen
        shown = fields.get("execution") if frame.event in ("update", DONE) else None
        execution = fit(shown, Execution) if shown is not None else None
        return ExecutionEvent(type=frame.event, execution=execution, fields=fields)
