"""Graphs of tasks: start them, wait for them, look at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pydantic import TypeAdapter

from quartet_client.answers import GraphRun, Submitted
from quartet_client.asking import begin, get, polled
from quartet_client.effects import Flow, Request
from quartet_client.errors import BadArgument
from quartet_client.graphs import Graph
from quartet_client.operation import Calls, operation
from quartet_client.patience import patiently
from quartet_client.replies import check, read_as
from quartet_client.settings import Settings, part

_LIST: Final = TypeAdapter(list[GraphRun])


class GraphCalls(Calls):
    """Methods of both clients."""

    @operation
    def submit(self, graph: Graph, *, idempotency_key: str | None = None) -> Flow[Submitted]:
        """Start a graph.

        Args:
            graph: made by `GraphBuilder` or a pattern.
            idempotency_key: the same again gives the same graph; None: one is made.

        Raises:
            Conflict: its workflow_id is taken.
            Invalid: a role nobody has, or a cycle.
            BadArgument: it is no graph.
        """
        return (yield from _submitted(self.settings, graph, idempotency_key))

    @operation
    def status(self, workflow_id: str) -> Flow[GraphRun]:
        """How far a graph is.

        Raises:
            NotFound: there is none.
        """
        return (yield from _status(self.settings, workflow_id))

    @operation
    def wait(
        self,
        workflow_id: str,
        timeout: float = 600.0,
        on_progress: Callable[[GraphRun], Any] | None = None,
    ) -> Flow[GraphRun]:
        """Wait until a graph has ended, over restarts of the server too.

        Args:
            workflow_id: of the graph.
            timeout: seconds.
            on_progress: called with the graph whenever it changed; may be async in `AsyncQuartet`.

        Raises:
            NotFound: there is none.
            TimedOut: it goes on; `last` is how far it was.
        """
        return (yield from _ended(self.settings, workflow_id, timeout, on_progress))

    @operation
    def run_graph(
        self,
        graph: Graph,
        timeout: float = 600.0,
        on_progress: Callable[[GraphRun], Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Flow[GraphRun]:
        """Start a graph and wait until it has ended: `submit` and `wait`.

        Args:
            graph: as for `submit`.
            timeout: as for `wait`.
            on_progress: as for `wait`.
            idempotency_key: as for `submit`.
        """
        taken = yield from _submitted(self.settings, graph, idempotency_key)
        return (yield from _ended(self.settings, taken.workflow_id, timeout, on_progress))

    @operation
    def workflows(self, *, status: str | None = None, limit: int | None = None) -> Flow[list[GraphRun]]:
        """Graphs, newest first.

        Args:
            status: only these: pending, running, completed, failed, partial.
            limit: at most that many.
        """
        params = {name: v for name, v in (("status", status), ("limit", limit)) if v is not None}
        return read_as(
            (yield from patiently(self.settings, Request("GET", "/workflows", params, repeatable=True))),
            _LIST,
        )

    @operation
    def delete(self, workflow_id: str) -> Flow[None]:
        """Stop a graph if it runs, and take it off the list.

        Raises:
            NotFound: there is none.
        """
        check((yield from patiently(self.settings, Request("DELETE", f"/workflows/{part(workflow_id)}"))))


def _submitted(own: Settings, graph: Graph, key: str | None) -> Flow[Submitted]:
    if not isinstance(graph, Graph):  # pyright: ignore[reportUnnecessaryIsInstance] - programs are not all checked
        raise BadArgument(f"a graph is made by GraphBuilder or by a pattern; it is no {type(graph).__name__}")
    return (yield from begin(own, "/run-graph", Submitted, graph.body(), key))


def _status(own: Settings, workflow_id: str) -> Flow[GraphRun]:
    return (yield from get(own, f"/status/{part(workflow_id)}", GraphRun))


def _ended(
    own: Settings, workflow_id: str, timeout_s: float, on_progress: Callable[[GraphRun], Any] | None
) -> Flow[GraphRun]:
    return (
        yield from polled(
            own, lambda once: _status(once, workflow_id), lambda seen: seen.ended, timeout_s, on_progress
        )
    )
