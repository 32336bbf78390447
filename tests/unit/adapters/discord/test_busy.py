"""The sign that we work: kept up while somebody says so, never in the way of anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import ConversationRef
from adapters.discord.busy import KEPT, SILENCE_S, Typing
from adapters.discord.ports import Upload
from adapters.discord.refusals import ThreadArchived
from adapters.urgency import Urgency
from tests.unit.adapters.discord.going_out import desk

TYPING = "POST /channels/{channel_id}/typing"


@dataclass
class Counted:
    """Discord's API where only how often it is called matters (`ports.Api`)."""

    paths: list[str] = field(default_factory=list[str])
    errors: list[Exception] = field(default_factory=list[Exception])

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        urgency: Urgency,
        query: Mapping[str, str] | None = None,
        files: Sequence[Upload] = (),
    ) -> Any:
        assert (method, urgency) == ("POST", Urgency.PROGRESS)
        self.paths.append(path)
        if self.errors:
            raise self.errors.pop()


def thread(number: int) -> ConversationRef:
    return ConversationRef(platform="discord", workspace="1", channel="2", thread=str(number))


async def test_it_is_sent_again_before_discord_forgets_it_and_ends_after_silence() -> None:
    now, api = [0.0], Counted()
    typing = Typing(api, lambda: now[0])
    await typing.set(thread(3), "is reading")
    for now[0], calls in ((1.0, 1), (7.9, 1), (8.1, 2), (12.0, 2), (16.2, 3), (SILENCE_S + 9, 3), (9e9, 3)):
        await typing.refresh()
        assert len(api.paths) == calls
    assert set(api.paths) == {"/channels/3/typing"}


async def test_it_ends_when_the_work_ends_and_begins_again_at_once() -> None:
    api = Counted()
    typing = Typing(api, lambda: 0.0)
    await typing.set(thread(3), "is reading")
    await typing.set(thread(3), "is writing")
    await typing.set(thread(3), "")
    await typing.refresh()
    assert len(api.paths) == 1
    await typing.set(thread(3), "is reading")
    assert len(api.paths) == 2


async def test_only_so_many_conversations_type_at_once() -> None:
    now, api = [0.0], Counted()
    typing = Typing(api, lambda: now[0])
    for number in range(KEPT + 50):
        await typing.set(thread(number + 1), "is reading")
    api.paths.clear()
    now[0] = 9.0
    await typing.refresh()
    assert len(api.paths) == KEPT


async def test_a_thread_that_was_closed_shows_it_when_it_is_open_again() -> None:
    now, api = [0.0], Counted()
    typing = Typing(api, lambda: now[0])
    api.errors = [ThreadArchived("the thread is closed")]
    await typing.set(thread(3), "is reading")
    await typing.refresh()
    assert len(api.paths) == 1
    now[0] = 9.0
    await typing.refresh()
    assert len(api.paths) == 2


@pytest.mark.parametrize(("status", "code"), [(403, 50013), (404, 10003), (401, 0), (500, 0), (429, 0)])
async def test_it_never_raises_and_does_not_insist(tmp_path: Path, status: int, code: int) -> None:
    async with desk(tmp_path) as made:
        if status == 429:
            made.twin.faults.order(TYPING, retry_after=5, times=5)
        else:
            made.twin.faults.order(TYPING, status=status, code=code, times=5)
        for _ in range(3):
            await made.sender.busy(made.conversation, "is reading")
        assert made.names() == [TYPING]
