"""The picture of a run's workflow as a card of its own, where the workflow is not the usual one.

Drawing takes tens of milliseconds of a core, so it is done in a thread, one drawing at a time, each once, and
of a run that goes on only now and then. Nobody waits for it: a picture that is not there yet is asked for
again when it is; one that cannot be drawn is logged and left out.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import structlog

from adapters.contract import Card, CardId, ImagePart
from bot.run_facts import label
from orchestrator import pictures
from orchestrator.engine.state import NodeStatus, RunState
from orchestrator.events import RunId
from orchestrator.workflow import Workflow

log = structlog.get_logger(__name__)

# Everybody knows what these look like; the workflow that a design is about has a picture of its own.
USUAL: Final = frozenset({"quartet", "design"})
KEPT: Final = 64  # drawings
EVERY_S: Final = 1.0  # between two drawings of a run that goes on …
SHARE: Final = 20.0  # … and so many times as long as one took: a large workflow is drawn more seldom
Kind = Literal["svg", "png", "words"]


@dataclass(frozen=True, slots=True)
class Picture:
    """How far a run's picture is."""

    card: Card | None = None
    pending: bool = False  # it is being drawn: ask again


NONE: Final = Picture()


@dataclass(slots=True)
class _Drawing:
    """A drawing on its way."""

    runs: set[RunId]
    ready: list[Callable[[], None]]


class Pictures:
    """Draws workflows.

    Args:
        usual: workflows that are not drawn.
    """

    def __init__(self, usual: frozenset[str] = USUAL) -> None:
        self._usual = usual
        self._drawn: OrderedDict[object, ImagePart | None] = OrderedDict()  # None: it could not be drawn
        self._drawing: dict[object, _Drawing] = {}
        self._next: OrderedDict[RunId, float] = OrderedDict()  # monotonic seconds: not drawn anew before
        self._timers: dict[RunId, asyncio.TimerHandle] = {}
        self._one = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def of(
        self, workflow: Workflow, state: RunState, kind: Kind, ready: Callable[[], None], about: str = ""
    ) -> Picture:
        """The picture of a run's workflow, as it is to be seen now; drawn meanwhile where it is not there.

        Args:
            workflow: the definition the run began with.
            state: the run.
            kind: what the platform shows; "svg" shows where the run is, others the workflow alone.
            ready: called when a picture that is pending can be asked for again.
            about: the question that is about this workflow; "": it is the run's own.
        """
        if workflow.name in self._usual and not about:
            return NONE
        statuses = statuses_of(workflow, state) if kind == "svg" and not about else {}
        key = (workflow.digest, kind, tuple(statuses.items()))
        if key in self._drawn:
            self._drawn.move_to_end(key)
            part = self._drawn[key]
            return NONE if part is None else Picture(_card(state, part, about))
        if key in self._drawing:
            self._drawing[key].runs.add(state.run_id)
            self._drawing[key].ready.append(ready)
        elif not about and state.ended is None and (left := self._wait(state.run_id)) > 0:
            self._later(state.run_id, left, ready)
        else:
            self._drawing[key] = _Drawing({state.run_id}, [ready])
            task = asyncio.create_task(self._draw(key, workflow, statuses, kind), name="picture")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return Picture(pending=True)

    async def close(self) -> None:
        """Draw nothing more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wait(self, run_id: RunId) -> float:
        """Seconds until its picture may be drawn anew."""
        return self._next.get(run_id, 0.0) - time.monotonic()

    def _later(self, run_id: RunId, seconds: float, ready: Callable[[], None]) -> None:
        """Say in time that it can be drawn anew; once is enough."""
        if run_id in self._timers:
            return

        def due() -> None:
            self._timers.pop(run_id, None)
            ready()

        self._timers[run_id] = asyncio.get_running_loop().call_later(seconds, due)

    async def _draw(
        self, key: object, workflow: Workflow, statuses: Mapping[str, NodeStatus], kind: Kind
    ) -> None:
        part: ImagePart | None = None
        took = 0.0
        try:
            async with self._one:
                begun = time.monotonic()
                part = await asyncio.to_thread(_drawn, workflow, statuses, kind)
                took = time.monotonic() - begun
        except Exception:
            # Whatever is wrong with a picture, the run is shown without it.
            log.exception("a workflow was not drawn", action="picture_failed", workflow=workflow.name)
        drawing = self._drawing.pop(key)
        self._drawn[key] = part
        while len(self._drawn) > KEPT:
            self._drawn.popitem(last=False)
        for run_id in drawing.runs:
            self._next[run_id] = time.monotonic() + max(EVERY_S, SHARE * took)
            self._next.move_to_end(run_id)
        while len(self._next) > KEPT * 16:
            self._next.popitem(last=False)
        for ready in drawing.ready:
            ready()


def statuses_of(workflow: Workflow, state: RunState) -> dict[str, NodeStatus]:
    """Where each node of a run's own workflow is; empty before anything has begun."""
    found: dict[str, NodeStatus] = {}
    for name in workflow.nodes:
        now = state.nodes.get(name)
        if now is not None:
            # What ended with the run did not fail by itself.
            broken_off = now.status == "failed" and now.problem is None
            found[name] = "skipped" if broken_off else now.status
        elif state.ended is not None:
            found[name] = "skipped"
    return found


def _drawn(workflow: Workflow, statuses: Mapping[str, NodeStatus], kind: Kind) -> ImagePart:
    graph = pictures.graph_of(workflow, statuses)
    return ImagePart(
        name=workflow.name,
        alt=pictures.describe(graph),
        svg=pictures.svg(graph) if kind == "svg" else "",
        png=base64.b64encode(pictures.png(graph)).decode("ascii") if kind == "png" else "",
    )


def _card(state: RunState, part: ImagePart, about: str) -> Card:
    return Card(
        id=CardId(f"{state.run_id}:picture:{about}" if about else f"{state.run_id}:picture"),
        kind="picture",
        title=f"The drafted workflow {part.name}" if about else f"The workflow {part.name}",
        parts=(part,),
        label=label(state),
    )
