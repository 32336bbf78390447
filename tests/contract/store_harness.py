"""What the store's contract tests share: implementations to open, and short ways to make facts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from orchestrator.events import (
    ApprovalId,
    ApprovalRequested,
    ApprovalResolved,
    DecisionGiven,
    Json,
    ModelAnswered,
    Problem,
    RunCreated,
    RunEnded,
    RunEvent,
    RunId,
    RunStatus,
    Steered,
    StepEnded,
    StepFailed,
    StepStarted,
    TurnRecord,
    Usage,
    Who,
)
from orchestrator.infra.sqlite_store import SqliteStore
from orchestrator.ports import Store

ADA = Who(key="web:ada", name="Ada")
LATER = datetime(2030, 1, 1, tzinfo=UTC)


class OpenStore(Store, Protocol):
    """A store with what only operators use."""

    async def rebuild_views(self, fold_status: Callable[[list[RunEvent]], RunStatus] | None = None) -> None:
        """Write the read models anew."""
        ...


Opener = Callable[[], Awaitable[OpenStore]]


@pytest.fixture(params=["sqlite"])
async def opener(tmp_path: Path) -> AsyncGenerator[Opener]:
    """Opens the same database again and again, each time as another owner; closes all at the end."""
    opened: list[OpenStore] = []

    async def open_store() -> OpenStore:
        store = await SqliteStore.open(tmp_path / "quartet.db", owners_dir=tmp_path / "owners")
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        await store.close()


@pytest.fixture
async def store(opener: Opener) -> OpenStore:
    """One open store."""
    return await opener()


def turn(key: str, text: str = "Compare A and B") -> TurnRecord:
    """A turn of Ada's."""
    return TurnRecord(key=key, text=text, who=ADA, at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


def created(
    key: str, conversation: str = "web:local:general:c1", text: str = "Compare A and B"
) -> RunCreated:
    """A run's first fact."""
    return RunCreated(
        conversation_id=conversation,
        workflow="quartet",
        workflow_version="1",
        workflow_digest="d" * 64,
        engine="rules",
        turn=turn(key, text),
    )


async def started(
    store: Store, name: str, conversation: str | None = None, text: str = "Compare A and B"
) -> RunId:
    """A run that began, in a conversation of its own unless one is named. Its log is two events long."""
    run_id = RunId(name)
    await store.accept(run_id, created(f"key-{name}", conversation or f"web:local:general:{name}", text))
    return run_id


async def claim(store: Store, run_id: RunId) -> int | None:
    """Claim a run. Returns the epoch alone."""
    claimed = await store.claim(run_id)
    return None if claimed is None else claimed.epoch


def begun(node: str = "builder", visit: int = 1, attempt: int = 1) -> StepStarted:
    """A step began."""
    return StepStarted(node=node, visit=visit, attempt=attempt)


def done(node: str = "builder", visit: int = 1, output: Json | None = None) -> StepEnded:
    """A step ended."""
    return StepEnded(node=node, visit=visit, attempt=1, output=output or {"body": "text"})


def failed(retry_at: datetime | None) -> StepFailed:
    """An attempt failed."""
    problem = Problem(kind="model_unavailable", message="no answer")
    return StepFailed(node="builder", visit=1, attempt=1, problem=problem, retry_at=retry_at)


def asked(run_id: RunId, expires_at: datetime = LATER, visit: int = 1, body: str = "") -> ApprovalRequested:
    """A question to people."""
    return ApprovalRequested(
        node="approve",
        of="planner",
        visit=visit,
        approval_id=ApprovalId(f"{run_id}-approve-{visit}"),
        title="The plan",
        body=body,
        arguments={"goal": "Compare"},
        digest="e" * 64,
        expires_at=expires_at,
    )


def decided(run_id: RunId, comment: str = "") -> DecisionGiven:
    """Ada approved."""
    return DecisionGiven(
        approval_id=ApprovalId(f"{run_id}-approve-1"), decision="approve", who=ADA, comment=comment
    )


def resolved(run_id: RunId, visit: int = 1) -> ApprovalResolved:
    """The engine took note."""
    return ApprovalResolved(
        node="approve",
        visit=visit,
        approval_id=ApprovalId(f"{run_id}-approve-{visit}"),
        outcome="approve",
        who=ADA,
        output={"goal": "Compare"},
    )


def answered(model: str = "gpt-5", cost: float | None = 0.5, tokens: int = 10) -> ModelAnswered:
    """A model answered."""
    usage = Usage(input_tokens=tokens, output_tokens=1, cached_tokens=2, calls=1, cost_usd=cost)
    return ModelAnswered(
        node="builder", visit=1, attempt=1, call=1, provider="openai", model=model, bits=(), usage=usage
    )


def steered(key: str = "s1", text: str = "shorter") -> Steered:
    """A message for the agents at work."""
    return Steered(key=key, text=text, who=ADA)


def ended(body: str = "The answer") -> RunEnded:
    """The run completed."""
    return RunEnded(status="completed", answer={"body": body})


async def soon(condition: Callable[[], bool], within: timedelta = timedelta(seconds=5)) -> None:
    """Wait until the condition holds.

    Raises:
        TimeoutError: it did not.
    """
    async with asyncio.timeout(within.total_seconds()):
        while not condition():  # noqa: ASYNC110  (conditions of all kinds, not only ours to signal)
            await asyncio.sleep(0.005)
