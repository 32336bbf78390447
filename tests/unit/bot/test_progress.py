"""A card that nobody waits for: what a platform asks to wait outlives the news that it is back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from adapters.contract import Card, CardId, ConversationRef
from adapters.errors import PlatformDown, RateLimited
from bot.progress import Progress
from bot.showing import Shown
from orchestrator.events import RunId
from orchestrator.infra.sqlite_store import SqliteStore
from tests.unit.bot.platform import MemoryPlatform

TALK = ConversationRef.from_key("web:local:general:c1")


async def test_a_platform_that_is_back_does_not_end_what_it_asked_to_wait(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "q.db", owners_dir=tmp_path / "owners")
    platform, marked = MemoryPlatform(), asyncio.Event()
    platform.go_wrong("post", PlatformDown("502"), RateLimited("slow down", retry_after_s=60.0))
    progress, shown = Progress(marked.set), Shown(store, RunId("r1"), {})
    for _ in range(2):
        async with asyncio.TaskGroup() as group:
            progress.begin(
                group, platform, TALK, Card(id=CardId("r1:status"), kind="status", title="Working"), shown
            )
    progress.retry_now()
    assert not progress.may_begin(0.0)
    progress.forget_timer()
    await store.close()
