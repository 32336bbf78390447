"""Webhooks and their notices: nothing is made twice or left out, and the order is that of the log."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.errors import Refused
from orchestrator.events import RunId
from orchestrator.webhooks import Attempt, NewNotice, NewWebhook, NoticeState, Webhook
from tests.contract.store_harness import (
    Opener,
    OpenStore,
    asked,
    begun,
    created,
    ended,
    opener,
    resolved,
    started,
    store,
)

__all__ = ["opener", "store"]  # fixtures

TYPES = ("run_created", "run_started", "run_ended", "approval_requested", "approval_resolved")
FAR = datetime(2100, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


async def hook(store: OpenStore, name: str = "wh_1", *kinds: str, most: int = 50) -> Webhook:
    new = NewWebhook(name, "https://example.com/a", kinds, b"sealed", "digest", "api:ada")
    return await store.add_webhook(new, most=most)


def new_notice(name: str, event: int, run: str = "r1") -> NewNotice:
    return NewNotice(name, event, run, "run.created", f'{{"id":"{name}"}}', LONG_AGO)


async def put(store: OpenStore, *notices: NewNotice, webhook: str = "wh_1") -> None:
    """Keep notices as the dispatcher does, without moving far."""
    row = await store.webhook(webhook)
    assert row is not None
    assert await store.add_notices(webhook, notices, behind=row.event, event=row.event + 1)


async def tried(
    store: OpenStore,
    name: str,
    state: NoticeState,
    *,
    due: datetime = FAR,
    aside: bool = False,
    counts: bool = True,
    at: datetime = LONG_AGO,
) -> None:
    status, problem = (200, "") if state == "sent" else (500, "it answered 500")
    await store.note_attempt(Attempt(name, at, state, due, status, problem, counts, aside))


async def upcoming(store: OpenStore, now: datetime | None = None, webhook: str = "wh_1") -> list[str]:
    return [row.id for row in await store.next_notices(webhook, now or datetime.now(UTC))]


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────


async def test_a_webhook_is_kept_and_begins_where_the_log_stands(store: OpenStore) -> None:
    await started(store, "r1")
    made = await hook(store, "wh_1", "run.completed")
    assert made == await store.webhook("wh_1")
    assert (made.url, made.kinds, made.secret) == ("https://example.com/a", ("run.completed",), b"sealed")
    assert (made.state, made.note, made.failures, made.failing_since) == ("on", "", 0, None)
    assert (await store.log_behind(made.event, TYPES)).entries == []
    await started(store, "r2")
    part = await store.log_behind(made.event, TYPES)
    assert [(e.event.run_id, e.event.body.type) for e in part.entries] == [
        ("r2", "run_created"),
        ("r2", "run_started"),
    ]


async def test_the_same_id_again_changes_nothing(store: OpenStore) -> None:
    first = await hook(store)
    new = NewWebhook("wh_1", "https://example.com/b", (), b"other", "other", "api:bob")
    assert await store.add_webhook(new, most=1) == first
    assert await store.webhooks() == [first]


async def test_there_are_only_so_many(store: OpenStore) -> None:
    await hook(store, "wh_1", most=1)
    with pytest.raises(Refused, match="remove one first"):
        await hook(store, "wh_2", most=1)
    await store.remove_webhook("wh_1")
    await hook(store, "wh_2", most=1)


async def test_changes_keep_what_is_not_named(store: OpenStore) -> None:
    await hook(store, "wh_1", "run.failed")
    changed = await store.change_webhook("wh_1", url="https://example.com/b")
    assert changed is not None
    assert (changed.url, changed.kinds, changed.state) == ("https://example.com/b", ("run.failed",), "on")
    changed = await store.change_webhook("wh_1", kinds=())
    assert changed is not None
    assert (changed.url, changed.kinds) == ("https://example.com/b", ())
    assert await store.change_webhook("wh_none", url="https://example.com") is None


async def test_a_removed_webhook_forgets_its_secret_and_its_notices(store: OpenStore) -> None:
    await hook(store)
    await put(store, new_notice("n1", 1))
    assert await store.remove_webhook("wh_1")
    assert not await store.remove_webhook("wh_1")
    row = await store.webhook("wh_1")
    assert row is not None
    assert (row.state, row.secret) == ("removed", b"")
    assert await store.webhooks() == []
    assert await store.notice("n1") is None
    assert await store.change_webhook("wh_1", state="on") is None
    await tried(store, "n1", "sent")  # an answer that comes too late


async def test_switched_on_again_it_is_told_of_what_follows_and_of_what_waits(store: OpenStore) -> None:
    await hook(store)
    await put(store, new_notice("n1", 1))
    await tried(store, "n1", "waiting", due=FAR)
    off = await store.change_webhook("wh_1", state="off", note="by request")
    assert off is not None
    assert (off.state, off.note, off.failures) == ("off", "by request", 1)
    await started(store, "r1")
    on = await store.change_webhook("wh_1", state="on")
    assert on is not None
    assert (on.state, on.note, on.failures, on.failing_since) == ("on", "", 0, None)
    assert (await store.log_behind(on.event, TYPES)).entries == []
    (waiting,) = await store.next_notices("wh_1", FAR)
    assert waiting.due <= datetime.now(UTC)


# ── the log ──────────────────────────────────────────────────────────────────────────────────


async def test_the_log_is_read_in_the_order_of_commits_over_all_runs(store: OpenStore) -> None:
    for name in ("r1", "r2", "r3"):
        await started(store, name)
    await store.append(RunId("r2"), [begun(), ended()], epoch=None, status="completed")
    await store.append(RunId("r1"), [asked(RunId("r1"))], epoch=None, status="waiting")
    place, seen = 0, list[tuple[str, str]]()
    while True:
        part = await store.log_behind(place, TYPES, limit=2)
        seen += [(e.event.run_id, e.event.body.type) for e in part.entries]
        assert len(part.entries) <= 2
        place = part.event
        if not part.more:
            break
    assert seen == [
        *[(name, kind) for name in ("r1", "r2", "r3") for kind in ("run_created", "run_started")],
        ("r2", "run_ended"),
        ("r1", "approval_requested"),
    ]
    assert (await store.log_behind(place, TYPES)).event == place


async def test_the_place_moves_over_events_of_no_interest(store: OpenStore) -> None:
    await started(store, "r1")
    place = (await store.log_behind(0, TYPES)).event
    await store.append(RunId("r1"), [begun()], epoch=None, status="running")
    part = await store.log_behind(place, TYPES)
    assert part.entries == []
    assert part.event > place
    assert not part.more


async def test_large_answers_are_read_whole(store: OpenStore) -> None:
    await started(store, "r1")
    await store.append(RunId("r1"), [ended("x" * 50_000)], epoch=None, status="completed")
    entry = (await store.log_behind(0, TYPES)).entries[-1]
    assert entry.event.body == ended("x" * 50_000)
    assert (entry.conversation_id, entry.workflow) == ("web:local:general:r1", "quartet")


async def test_of_a_fork_only_its_own_facts_are_told(store: OpenStore) -> None:
    run = RunId("r1")
    await store.accept(run, created("k1"), past=[asked(run), resolved(run)])
    await store.append(run, [asked(run, visit=2)], epoch=None, status="waiting")
    told = [e.event.body for e in (await store.log_behind(0, TYPES)).entries]
    assert [body.type for body in told] == ["run_created", "run_started", "approval_requested"]
    assert told[-1] == asked(run, visit=2)


# ── making ───────────────────────────────────────────────────────────────────────────────────


async def test_notices_and_the_place_are_kept_together_or_not_at_all(opener: Opener) -> None:
    one, other = await opener(), await opener()
    place = (await hook(one)).event
    wins = await asyncio.gather(
        *(
            each.add_notices("wh_1", [new_notice(f"n{i}", place + 1)], behind=place, event=place + 1)
            for i, each in enumerate([one, other, one, other])
        )
    )
    assert sorted(wins) == [False, False, False, True]
    page = await one.notices("wh_1")
    assert [row.id for row in page.items] == [f"n{wins.index(True)}"]


async def test_nothing_is_made_for_a_webhook_that_is_off(store: OpenStore) -> None:
    row = await hook(store)
    await store.change_webhook("wh_1", state="off")
    assert not await store.add_notices("wh_1", [new_notice("n1", 1)], behind=row.event, event=row.event + 1)
    assert await store.notice("n1") is None


# ── sending ──────────────────────────────────────────────────────────────────────────────────


async def test_the_next_is_the_oldest_event_and_runs_do_not_overtake_themselves(store: OpenStore) -> None:
    await hook(store)
    await put(store, new_notice("b", 12, "r2"), new_notice("a2", 11), new_notice("a1", 10))
    assert await upcoming(store) == ["a1", "b"]  # a2 is of the same run as a1
    await tried(store, "a1", "sent")
    assert await upcoming(store) == ["a2", "b"]


async def test_a_failed_notice_holds_its_line_until_it_is_due(store: OpenStore) -> None:
    await hook(store)
    await put(store, new_notice("a", 10), new_notice("b", 11, "r2"))
    await tried(store, "a", "waiting", due=FAR)
    first, second = await store.next_notices("wh_1", datetime.now(UTC))
    assert (first.id, first.due, first.attempts, first.status) == ("a", FAR, 1, 500)
    assert second.id == "b"


async def test_one_that_stepped_aside_holds_its_own_run_alone(store: OpenStore) -> None:
    await hook(store)
    await put(store, new_notice("a1", 10), new_notice("a2", 11), new_notice("b", 12, "r2"))
    await tried(store, "a1", "waiting", due=FAR, aside=True, counts=False)
    assert await upcoming(store) == ["b"]
    assert await upcoming(store, FAR) == ["a1", "b"]
    await tried(store, "a1", "failed")
    assert await upcoming(store) == ["a2", "b"]


async def test_a_ping_goes_before_all_and_waits_for_none(store: OpenStore) -> None:
    await hook(store)
    await put(store, new_notice("a", 10))
    for name in ("p1", "p2"):
        await store.add_notice("wh_1", new_notice(name, 0, ""))
    assert await upcoming(store) == ["p1", "p2"]


async def test_failures_are_counted_until_one_gets_through_which_hurries_the_line(store: OpenStore) -> None:
    await hook(store)
    await put(store, new_notice("a", 10), new_notice("x", 11, "r2"), new_notice("b", 12, "r3"))
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    await tried(store, "x", "waiting", due=FAR, aside=True, counts=False, at=begin)
    await tried(store, "a", "waiting", due=FAR, at=begin)
    await tried(store, "a", "waiting", due=FAR, at=begin + timedelta(hours=1))
    row = await store.webhook("wh_1")
    assert row is not None
    assert (row.failures, row.failing_since) == (2, begin)
    await tried(store, "b", "sent", at=begin + timedelta(hours=2))
    row = await store.webhook("wh_1")
    assert row is not None
    assert (row.failures, row.failing_since) == (0, None)
    dues = {name: notice.due for name in "ax" if (notice := await store.notice(name)) is not None}
    assert dues == {"a": begin + timedelta(hours=2), "x": FAR}


async def test_what_was_sent_is_not_changed_by_a_late_failure(store: OpenStore) -> None:
    await hook(store)
    await put(store, new_notice("a", 10))
    await tried(store, "a", "sent")
    await tried(store, "a", "waiting", counts=False)
    row = await store.notice("a")
    assert row is not None
    assert (row.state, row.attempts, row.status) == ("sent", 1, 200)


# ── looking, replaying, forgetting ───────────────────────────────────────────────────────────


async def test_pages_are_newest_first_and_leave_nothing_out(store: OpenStore) -> None:
    await hook(store)
    await hook(store, "wh_2")
    await put(store, *(new_notice(f"n{i}", 10 + i) for i in range(5)))
    await put(store, new_notice("other", 1), webhook="wh_2")
    await tried(store, "n3", "sent")
    seen, cursor = list[str](), None
    while True:
        page = await store.notices("wh_1", limit=2, cursor=cursor)
        seen += [row.id for row in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == ["n4", "n3", "n2", "n1", "n0"]
    assert [row.id for row in (await store.notices("wh_1", state="sent")).items] == ["n3"]
    with pytest.raises(Refused, match="no cursor"):
        await store.notices("wh_1", cursor="-1")


async def test_a_replayed_notice_waits_again_in_its_old_place(store: OpenStore) -> None:
    await hook(store)
    await put(store, new_notice("a", 10), new_notice("b", 11, "r2"))
    await tried(store, "a", "sent")
    assert await store.replay_notice("wh_1", "a")
    assert await upcoming(store) == ["a", "b"]
    row = await store.notice("a")
    assert row is not None
    assert row.attempts == 0
    assert not await store.replay_notice("wh_2", "a")
    assert not await store.replay_notice("wh_1", "none")


async def test_replay_since_goes_back_to_that_time_and_never_forward(store: OpenStore) -> None:
    await started(store, "r1")
    await started(store, "r2")
    events = (await store.log_behind(0, TYPES)).entries
    second = next(e for e in events if e.event.run_id == "r2")
    await hook(store)
    assert await store.replay_since("wh_1", second.event.at)
    row = await store.webhook("wh_1")
    assert row is not None
    assert {e.event.run_id for e in (await store.log_behind(row.event, TYPES)).entries} == {"r2"}
    assert await store.replay_since("wh_1", FAR)
    assert (await store.webhook("wh_1")) == row
    assert await store.replay_since("wh_1", LONG_AGO)
    row = await store.webhook("wh_1")
    assert row is not None
    assert row.event == 0
    await store.change_webhook("wh_1", state="off")
    assert not await store.replay_since("wh_1", LONG_AGO)


async def test_a_notice_that_is_made_again_keeps_its_id_and_waits_once(store: OpenStore) -> None:
    await hook(store)
    await put(store, new_notice("a", 10))
    await tried(store, "a", "sent")
    await put(store, new_notice("a", 10))
    page = await store.notices("wh_1")
    assert [(row.id, row.state, row.attempts) for row in page.items] == [("a", "waiting", 0)]


async def test_only_what_is_over_for_long_is_pruned(store: OpenStore) -> None:
    await hook(store)
    await put(store, *(new_notice(name, 10) for name in ("old", "new", "waiting")))
    await tried(store, "old", "sent", due=LONG_AGO)
    await tried(store, "new", "sent", due=FAR)
    assert await store.prune_notices(LONG_AGO + timedelta(days=1)) == 1
    assert sorted(row.id for row in (await store.notices("wh_1")).items) == ["new", "waiting"]
