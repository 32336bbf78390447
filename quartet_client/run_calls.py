"""Runs, their log, and the questions that wait for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from quartet_client.answers import Approval, Page, Run, RunDetail, RunEvent
from quartet_client.asking import begin, get, post
from quartet_client.effects import Flow, Frame, Request
from quartet_client.operation import Calls, operation, streaming
from quartet_client.patience import Streaming, following
from quartet_client.replies import fit, read_text
from quartet_client.settings import part

Decision = Literal["approve", "edit", "changes", "reject"]
END: Final = "end"  # the last event of a log's stream


class RunCalls(Calls):
    """Methods of both clients."""

    @operation
    def runs(
        self, *, status: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Flow[Page[Run]]:
        """Runs of every conversation, newest first.

        Args:
            status: only these: queued, running, waiting, paused, or as in `answers.ENDED`.
            limit: at most 100.
            cursor: `next` of the page before.
        """
        return (
            yield from get(
                self.settings, "/v1/runs", Page[Run], {"status": status, "limit": limit, "cursor": cursor}
            )
        )

    @operation
    def run(self, run_id: str) -> Flow[RunDetail]:
        """A run with its steps and its answer.

        Raises:
            NotFound: there is none.
        """
        return (yield from get(self.settings, f"/v1/runs/{part(run_id)}", RunDetail))

    @streaming
    def events(self, run_id: str, *, after: int = 0) -> Streaming[RunEvent]:
        """Every event of a run's log: those there are, then live, until it ends.

        A connection that breaks is opened again behind the last event: nothing is missing, nothing
        comes twice, also over a restart of the server.

        Args:
            run_id: of the run.
            after: give only what comes behind this number.

        Raises:
            NotFound: there is no such run.
        """
        yield from following(self.settings, _Log(run_id, after))

    @operation
    def stop(self, run_id: str) -> Flow[Run]:
        """End a run now.

        Raises:
            Conflict: it has ended.
        """
        return (yield from post(self.settings, f"/v1/runs/{part(run_id)}/stop", Run))

    @operation
    def pause(self, run_id: str) -> Flow[Run]:
        """Start no new steps.

        Raises:
            Conflict: it has ended.
        """
        return (yield from post(self.settings, f"/v1/runs/{part(run_id)}/pause", Run))

    @operation
    def resume(self, run_id: str) -> Flow[Run]:
        """Go on after a pause.

        Raises:
            Conflict: it has ended.
        """
        return (yield from post(self.settings, f"/v1/runs/{part(run_id)}/resume", Run))

    @operation
    def fork(
        self,
        run_id: str,
        from_step: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> Flow[Run]:
        """Run again from a step; what came before it is taken over.

        Args:
            run_id: of the run.
            from_step: its node.
            inputs: of the workflow, where they change.
            idempotency_key: the same again gives the same run; None: one is made.
        """
        body = {"from_step": from_step, **({"inputs": dict(inputs)} if inputs is not None else {})}
        return (yield from begin(self.settings, f"/v1/runs/{part(run_id)}/fork", Run, body, idempotency_key))

    @operation
    def approvals(self, *, limit: int | None = None, cursor: str | None = None) -> Flow[Page[Approval]]:
        """Questions that wait for people, oldest first.

        Args:
            limit: at most 100.
            cursor: `next` of the page before.
        """
        return (
            yield from get(self.settings, "/v1/approvals", Page[Approval], {"limit": limit, "cursor": cursor})
        )

    @operation
    def decide(
        self,
        approval_id: str,
        decision: Decision,
        *,
        comment: str = "",
        edited: Mapping[str, Any] | None = None,
        digest: str = "",
    ) -> Flow[Approval]:
        """Answer a question. The first decision counts.

        Args:
            approval_id: of the question.
            decision: approve, edit, changes or reject.
            comment: with `changes`: what to change.
            edited: with `edit`: the new arguments, whole; `{"text": …}` answers a question that wants words.
            digest: of the question you saw; another one is refused.

        Raises:
            Conflict: decided already (`problem["outcome"]`), or another question is asked now.
            Forbidden: the key may not decide.
        """
        body: dict[str, Any] = {"decision": decision}
        body |= {"comment": comment} if comment else {}
        body |= {"edited": dict(edited)} if edited is not None else {}
        body |= {"digest": digest} if digest else {}
        return (yield from post(self.settings, f"/v1/approvals/{part(approval_id)}", Approval, body))


class _Log:
    """The log of a run, as far as it came."""

    def __init__(self, run_id: str, after: int) -> None:
        self.ended = False
        self._path = f"/v1/runs/{part(run_id)}/events"
        self._seen = after

    def request(self) -> Request:
        return Request("GET", self._path, headers={"Last-Event-ID": str(self._seen)})

    def take(self, frame: Frame) -> RunEvent | None:
        if frame.event == END:
            self.ended = True
            return None
        event = fit(read_text(frame.data), RunEvent)
        if event.seq <= self._seen:
            return None
        self._seen = event.seq
        return event
