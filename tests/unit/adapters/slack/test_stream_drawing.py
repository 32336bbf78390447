"""Streams show what changed, once, and give up where chunks cannot say it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.messages.chunk import Chunk as SdkChunk
from syrupy.assertion import SnapshotAssertion

from adapters.contract import (
    AgentRow,
    Button,
    Card,
    CardPart,
    FactsPart,
    NotesPart,
    PlanPart,
    RowsPart,
    TaskLine,
)
from adapters.errors import CardRefused
from adapters.slack.stream_drawing import Chunk, changes, opening, size
from tests.twins.slack.blocks import check_chunks
from tests.unit.adapters.strategies import cards

STOP = Button(action="stop", target="r1", label="Stop", style="danger")


def status(*rows: AgentRow, parts: Sequence[CardPart] = (), **more: Any) -> Card:
    fields = {"id": "r1:status", "kind": "status", "title": "How do we cross?", "status": "working"}
    return Card.model_validate({**fields, "parts": (RowsPart(rows=rows), *parts), "buttons": (STOP,), **more})


def check(chunks: Sequence[Chunk]) -> None:
    check_chunks(list(chunks))
    parse = cast("Callable[[Chunk], SdkChunk | None]", SdkChunk.parse)  # pyright: ignore[reportUnknownMemberType]
    for chunk in chunks:
        assert parse(chunk) is not None
        assert all(len(chunk.get(key, "")) <= 256 for key in ("title", "details"))


WORKING = AgentRow(name="Researcher", state="working", doing="searching the knowledge folder")
DONE = AgentRow(name="Researcher", state="done", seconds=12.0, tokens=4321, cost_usd=0.0123)
WAITING = AgentRow(name="Planner", state="waiting")


def test_a_stream_begins_with_the_plan_its_agents_and_the_buttons(snapshot: SnapshotAssertion) -> None:
    chunks = opening(status(DONE, WORKING, WAITING, label="engine: rules"))
    check(chunks)
    assert chunks == snapshot
    assert [chunk["id"] for chunk in chunks if chunk["type"] == "task_update"] == [
        "r1:status#0",
        "r1:status#1",
        "r1:status#2",
    ]


def test_only_what_changed_is_sent() -> None:
    before = status(WORKING, WAITING)
    assert changes(before, before) == []
    after = status(DONE, WAITING)
    chunks = changes(before, after)
    assert chunks == [
        {
            "type": "task_update",
            "id": "r1:status#0",
            "title": "Researcher: done",
            "status": "complete",
            "details": "12 s · 4,321 tokens · $0.0123\n",
        }
    ]


def test_what_an_agent_does_replaces_what_it_did() -> None:
    after = status(WORKING.model_copy(update={"doing": "reading two pages"}), WAITING)
    chunks = changes(status(WORKING, WAITING), after)
    assert chunks is not None
    check(chunks)
    assert [chunk["title"] for chunk in chunks] == ["Researcher: working, reading two pages"]
    # Slack appends details: what is only for now must not be in them.
    assert "details" not in chunks[0]


def test_counting_on_is_no_change() -> None:
    before = status(WORKING, parts=(FactsPart(facts=(("Tokens", "1"),)),))
    after = status(
        WORKING.model_copy(update={"tokens": 99, "seconds": 3.0}),
        parts=(FactsPart(facts=(("Tokens", "2"),)),),
    )
    assert changes(before, after) == []


def test_details_are_told_once_and_again_after_another_round() -> None:
    again = DONE.model_copy(update={"state": "working", "doing": "round 2"})
    assert changes(status(DONE, WAITING, status="a"), status(DONE, WAITING, status="b")) == [
        {"type": "plan_update", "title": "How do we cross? · b"}
    ]
    begun = changes(status(DONE), status(again))
    assert begun is not None
    assert "details" not in begun[0]
    ended = changes(status(again), status(DONE.model_copy(update={"seconds": 20.0})))
    assert ended is not None
    assert ended[0]["details"] == "20 s · 4,321 tokens · $0.0123\n"


def test_a_new_status_is_a_new_title() -> None:
    chunks = changes(status(WORKING), status(WORKING, status="waiting for approval"))
    assert chunks == [{"type": "plan_update", "title": "How do we cross? · waiting for approval"}]


def test_notes_and_the_plan_are_appended_once() -> None:
    plan = PlanPart(goal="Cross <!here> dry", tasks=(TaskLine(id="t1", title="Survey"),))
    note = NotesPart(title="Handed to the agents", notes=("be quick",))
    chunks = changes(status(WORKING), status(WORKING, parts=(plan, note)))
    assert chunks is not None
    check(chunks)
    told = [chunk["text"] for chunk in chunks]
    assert len(told) == 2
    assert "t1: Survey" in told[0]
    assert "<!here>" not in told[0]
    assert "be quick" in told[1]
    done = plan.model_copy(update={"tasks": (TaskLine(id="t1", title="Survey", state="done"),)})
    later = changes(status(WORKING, parts=(plan, note)), status(WORKING, parts=(done, note)))
    assert later == [{"type": "plan_update", "title": "How do we cross? · working · 1 of 1 tasks done"}]


def test_chunks_cannot_say_other_buttons_other_agents_or_the_end() -> None:
    before = status(WORKING, WAITING)
    assert changes(before, status(WORKING, WAITING, buttons=())) is None
    assert changes(before, status(WORKING)) is None
    assert changes(before, status(WORKING, AgentRow(name="Builder", state="waiting"))) is None
    note = NotesPart(title="Handed to the agents", notes=("be quick",))
    assert changes(status(WORKING, parts=(note,)), status(WORKING)) is None


def test_the_opening_stays_small_however_much_the_agents_say() -> None:
    rows = [
        AgentRow(name=f"Agent {n} " + "x" * 300, state="failed", doing="y" * 5_000, seconds=1.0)
        for n in range(6)
    ]
    notes = NotesPart(title="Handed to the agents", notes=("w" * 5_000,) * 9)
    chunks = opening(status(*rows, title="z" * 5_000, parts=(notes,)))
    check(chunks)
    assert size(chunks) <= 2_000


@settings(deadline=None)
@given(before=cards(st.text(max_size=40)), after=cards(st.text(max_size=40)))
def test_any_two_cards_give_chunks_that_slack_takes(before: Card, after: Card) -> None:
    before = before.model_copy(update={"id": before.id[:200]})
    after = after.model_copy(update={"id": before.id, "kind": before.kind, "buttons": before.buttons})
    try:
        check(opening(before))
        chunks = changes(before, after)
    except CardRefused:
        return
    if chunks is not None:
        check(chunks)
        assert size(chunks) >= sum(len(str(chunk.get("text", ""))) for chunk in chunks)
