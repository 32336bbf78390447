"""Notices of real runs arrive signed, in order, at least once, and can be sent again."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.sealed import CannotOpen
from bot.webhooks.dispatcher import DELAYS_S, KEPT, OFF_AFTER, SUSPECT
from config.documents import read_model
from config.paths import WORKFLOWS_DIR
from orchestrator.errors import NotFound, Refused
from orchestrator.events import RunId
from orchestrator.workflow import Workflow
from tests.contract.store_harness import ended, started
from tests.house import ADA, house
from tests.integration.webhook_desk import (
    OK,
    Desk,
    Post,
    always,
    desk,
    desk_over,
    hang,
    receiver,
    status,
    verified,
)

WORKFLOWS = {"quartet": read_model(WORKFLOWS_DIR / "quartet.yaml", Workflow)}


async def ran(one: Desk, *names: str) -> None:
    """Runs that are over, as the log has them."""
    for name in names:
        run_id = await started(one.store, name)
        await one.store.append(run_id, [ended()], epoch=None, status="completed")


def runs(posts: list[Post]) -> list[tuple[str, str]]:
    return [(post.said["data"]["run_id"], post.type.partition(".")[2]) for post in posts]


# ── what is told ─────────────────────────────────────────────────────────────────────────────


async def test_a_run_with_an_approval_is_told_signed_and_in_order(tmp_path: Path) -> None:
    async with house(tmp_path, WORKFLOWS) as built, receiver() as there:
        one = desk_over(built.store, there.host)
        _, secret = await one.add(there.url)
        built.agents.say_all_good()
        run_id = await built.turn("What is tea?", conversation="api:local:c1:", approvals="ask")
        state = await built.asked(run_id)
        (approval,) = state.open_approvals()
        await built.service.decide(approval.asked.approval_id, decision="approve", who=ADA)
        await built.ended(run_id)
        await one.round()
        await one.sender.close()

    bodies = [verified(secret, post, now=one.clock.now()) for post in there.posts]
    assert [body["type"] for body in bodies] == [
        "run.created",
        "run.started",
        "approval.requested",
        "approval.decided",
        "run.completed",
    ]
    for post, body in zip(there.posts, bodies, strict=True):
        assert set(body) == {"id", "type", "timestamp", "data"}
        assert body["id"] == post.id
        assert post.headers["content-type"] == "application/json"
        assert post.path == "/hook?token=in-the-address"
        data = body["data"]
        assert (data["run_id"], data["conversation_id"]) == (run_id, "c1")
        assert data["workflow"] == "quartet"
        assert data["links"] == {"run": f"https://bot.example/v1/runs/{run_id}"}
        assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    assert len({post.id for post in there.posts}) == 5
    assert [body["data"]["status"] for body in bodies] == [
        "queued",
        "running",
        "waiting",
        "running",
        "completed",
    ]
    assert bodies[2]["data"]["approval"]["digest"] == approval.asked.digest
    assert bodies[3]["data"]["approval"] == {
        "id": approval.asked.approval_id,
        "node": approval.asked.node,
        "outcome": "approve",
        "decided_by": "Ada",
    }
    assert bodies[4]["data"]["answer"]["excerpt"] == "Tea is warm [1]."


async def test_a_body_that_was_changed_or_another_secret_does_not_verify(tmp_path: Path) -> None:
    async with receiver() as there, desk(tmp_path, there.host) as one:
        _, secret = await one.add(there.url)
        _, other = await one.add(there.url)
        await started(one.store, "r1")
        await one.round()
        post = next(p for p in there.posts if verifies(secret, p, one))
        assert not verifies(other, post, one)
        assert not verifies(secret, Post(post.path, post.headers, post.body + b" "), one)
        assert not verifies(secret, Post(post.path, {**post.headers, "webhook-id": "msg_x"}, post.body), one)


def verifies(secret: str, post: Post, one: Desk) -> bool:
    try:
        verified(secret, post, now=one.clock.now())
    except AssertionError:
        return False
    return True


async def test_only_the_kinds_that_were_asked_for_are_told(tmp_path: Path) -> None:
    async with receiver() as there, desk(tmp_path, there.host) as one:
        await one.add(there.url, "run.completed")
        await ran(one, "r1", "r2")
        await one.round()
        assert runs(there.posts) == [("r1", "completed"), ("r2", "completed")]


async def test_long_answers_are_told_as_an_excerpt(tmp_path: Path) -> None:
    async with receiver() as there, desk(tmp_path, there.host) as one:
        await one.add(there.url, "run.completed")
        run_id = await started(one.store, "r1")
        await one.store.append(run_id, [ended("ä" * 100_000)], epoch=None, status="completed")
        await one.round()
        (post,) = there.posts
        assert len(post.body) < 2_000
        assert post.said["data"]["answer"] == {
            "excerpt": "ä" * 299 + "…",
            "url": "https://bot.example/v1/runs/r1",
        }


async def test_what_was_before_the_webhook_is_not_told(tmp_path: Path) -> None:
    async with receiver() as there, desk(tmp_path, there.host) as one:
        await ran(one, "r1")
        await one.add(there.url)
        await ran(one, "r2")
        await one.round()
        assert {run for run, _ in runs(there.posts)} == {"r2"}


# ── retries ──────────────────────────────────────────────────────────────────────────────────


async def test_a_failing_receiver_gets_the_same_notice_at_the_times_of_the_table(tmp_path: Path) -> None:
    async with receiver(always(status(500))) as there, desk(tmp_path, there.host) as one:
        webhook_id, secret = await one.add(there.url, "run.created")
        await started(one.store, "r1")
        await one.round()
        for tries, delay in enumerate(DELAYS_S, 1):
            assert len(there.posts) == tries
            one.clock.on(seconds=delay - 1)
            await one.round()
            assert len(there.posts) == tries, "it came too early"
            one.clock.on(seconds=1)
            await one.round()
            verified(secret, there.posts[-1], now=one.clock.now())
        assert len(set(there.ids)) == 1
        assert len(there.posts) == len(DELAYS_S) + 1
        (row,) = (await one.book.notices(webhook_id)).items
        assert (row.state, row.attempts, row.status) == ("failed", len(DELAYS_S) + 1, 500)
        assert row.problem == "it answered 500"
        one.clock.on(days=1)
        await one.round()
        assert len(there.posts) == len(DELAYS_S) + 1
        assert timedelta(hours=24) <= timedelta(seconds=sum(DELAYS_S)) <= timedelta(hours=72)


@pytest.mark.parametrize(
    ("given", "wait_s"),
    [
        ("900", 900),
        ("1", DELAYS_S[0]),
        ("99999999999999999999", 86_400),
        ("-5", DELAYS_S[0]),
        ("soon", DELAYS_S[0]),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
    ],
)
async def test_retry_after_is_obeyed(tmp_path: Path, given: str, wait_s: int) -> None:
    async with (
        receiver(always(status(429, f"Retry-After: {given}"))) as there,
        desk(tmp_path, there.host) as one,
    ):
        await one.add(there.url, "run.created")
        await started(one.store, "r1")
        await one.round()
        one.clock.on(seconds=wait_s - 1)
        await one.round()
        assert len(there.posts) == 1
        there.script = always(OK)
        one.clock.on(seconds=1)
        await one.round()
        assert len(there.posts) == 2


async def test_gone_switches_a_webhook_off(tmp_path: Path) -> None:
    async with receiver(always(status(410))) as there, desk(tmp_path, there.host) as one:
        webhook_id, _ = await one.add(there.url)
        await ran(one, "r1", "r2")
        await one.round()
        row = await one.row(webhook_id)
        assert (row.state, "410" in row.note) == ("off", True)
        one.clock.on(days=1)
        await one.round()
        assert len(there.posts) == 1


async def test_after_days_of_failures_a_webhook_is_off_and_says_why(tmp_path: Path) -> None:
    async with receiver(always(status(503))) as there, desk(tmp_path, there.host) as one:
        webhook_id, _ = await one.add(there.url)
        await ran(one, *(f"r{i}" for i in range(5)))
        begin = one.clock.now()
        while (await one.row(webhook_id)).state == "on":
            await one.round()
            one.clock.on(hours=1)
            assert one.clock.now() - begin < OFF_AFTER + timedelta(days=1)
        assert one.clock.now() - begin >= OFF_AFTER
        row = await one.row(webhook_id)
        assert "nothing got through since" in row.note
        assert "503" in row.note
        assert len(there.posts) < 100, "a dead receiver is not asked all the time"
        with pytest.raises(Refused, match="off"):
            await one.book.test(webhook_id)


async def test_a_notice_at_fault_steps_aside_and_holds_its_own_run_alone(tmp_path: Path) -> None:
    async def script(post: Post, writer: asyncio.StreamWriter) -> bytes:
        bad = post.said["data"]["run_id"] == "r1" and post.type == "run.started" and not healed
        return status(500) if bad else OK

    healed = False
    async with receiver(script) as there, desk(tmp_path, there.host) as one:
        await one.add(there.url)
        await ran(one, "r1", "r2")
        for tries in range(SUSPECT):
            await one.round()
            one.clock.on(seconds=DELAYS_S[tries])
        await one.round()
        through = list(dict.fromkeys(runs(there.posts)))
        assert through == [
            ("r1", "created"),
            ("r1", "started"),
            ("r2", "created"),
            ("r2", "started"),
            ("r2", "completed"),
        ]
        healed = True
        there.posts.clear()
        one.clock.on(days=1)
        await one.round()
        assert runs(there.posts) == [("r1", "started"), ("r1", "completed")]


async def test_a_receiver_that_hangs_does_not_hold_the_others(tmp_path: Path) -> None:
    async with receiver(hang) as stuck, receiver() as well, desk(tmp_path, stuck.host, well.host) as one:
        await one.add(stuck.url)
        await one.add(well.url)
        working = asyncio.create_task(one.dispatcher.run())
        try:
            await ran(one, *(f"r{i}" for i in range(10)))
            await well.until(30)
            assert runs(well.posts)[-1] == ("r9", "completed")
            assert len(stuck.posts) == 1
        finally:
            working.cancel()
            await asyncio.wait([working])


async def test_a_thousand_runs_while_the_receiver_is_down_arrive_in_order_and_once(tmp_path: Path) -> None:
    async with receiver() as before:
        port = before.port
    async with desk(tmp_path, f"127.0.0.1:{port}") as one:
        await one.add(before.url, "run.completed")
        await one.round()
        names = [f"r{i}" for i in range(1_000)]
        await asyncio.gather(*(started(one.store, name) for name in names))
        await asyncio.gather(
            *(one.store.append(RunId(n), [ended()], epoch=None, status="completed") for n in names)
        )
        for _ in range(5):
            await one.round()
            one.clock.on(minutes=20)
        log = await everything(one)
        async with receiver(port=port) as there:
            one.clock.on(hours=2)
            await one.round()
            assert runs(there.posts) == log
            assert len(set(there.ids)) == 1_000


async def everything(one: Desk) -> list[tuple[str, str]]:
    """What is in the log, in the order of commits."""
    words = {"run_ended": "completed"}
    found, place = list[tuple[str, str]](), 0
    while True:
        part = await one.store.log_behind(place, tuple(words))
        found += [(e.event.run_id, words[e.event.body.type]) for e in part.entries]
        place = part.event
        if not part.more:
            return found


# ── again ────────────────────────────────────────────────────────────────────────────────────


async def test_what_was_sent_and_not_noted_is_sent_again_with_the_same_id(tmp_path: Path) -> None:
    async with receiver() as there, desk(tmp_path, there.host) as one:
        await one.add(there.url)
        await ran(one, "r1")
        there.script = hang
        sending = asyncio.create_task(one.round())
        await there.until(1)
        sending.cancel()  # as at the end of the bot: it arrived, and nobody heard so
        await asyncio.wait([sending])
        there.script = always(OK)
        await one.round()
        assert there.ids[0] == there.ids[1]
        assert runs(there.posts[1:]) == [("r1", "created"), ("r1", "started"), ("r1", "completed")]


async def test_one_notice_is_replayed_with_its_id(tmp_path: Path) -> None:
    async with receiver() as there, desk(tmp_path, there.host) as one:
        webhook_id, secret = await one.add(there.url)
        await ran(one, "r1")
        await one.round()
        first = list(there.ids)
        await one.book.replay(webhook_id, notice_id=first[1])
        one.clock.on(minutes=10)
        await one.round()
        assert there.ids == [*first, first[1]]
        verified(secret, there.posts[-1], now=one.clock.now())
        with pytest.raises(NotFound):
            await one.book.replay(webhook_id, notice_id="msg_none")


async def test_all_since_a_time_is_replayed_also_what_was_pruned_or_missed(tmp_path: Path) -> None:
    async with receiver() as there, desk(tmp_path, there.host) as one:
        await ran(one, "r0")
        since = datetime.now(UTC)
        await ran(one, "r1")
        webhook_id, _ = await one.add(there.url)
        await ran(one, "r2")
        await one.round()
        first = dict(zip(runs(there.posts), there.ids, strict=True))
        there.posts.clear()
        one.clock.on(days=KEPT.days + 1)
        await one.dispatcher.prune()
        assert not (await one.book.notices(webhook_id)).items
        await one.book.replay(webhook_id, since=since)
        await one.round()
        assert runs(there.posts) == [
            (r, k) for r in ("r1", "r2") for k in ("created", "started", "completed")
        ]
        assert {key: first[key] for key in first} == dict(
            list(zip(runs(there.posts), there.ids, strict=True))[3:]
        )


async def test_a_ping_goes_before_what_waits_and_wakes_a_receiver_that_came_back(tmp_path: Path) -> None:
    async with receiver(always(status(500))) as there, desk(tmp_path, there.host) as one:
        webhook_id, secret = await one.add(there.url)
        await ran(one, "r1")
        await one.round()
        notice_id = await one.book.test(webhook_id)
        await one.round()
        there.script = always(OK)
        there.posts.clear()
        notice = await one.store.notice(notice_id)
        assert notice is not None
        assert (notice.state, notice.attempts) == ("failed", 1)  # a ping is tried once
        assert (await one.row(webhook_id)).failures == 1

        await one.book.test(webhook_id)
        one.clock.on(seconds=1)  # long before the next attempt of what waits
        await one.round()
        assert there.types == ["ping", "run.created", "run.started", "run.completed"]
        assert verified(secret, there.posts[0], now=one.clock.now())["data"] == {"webhook_id": webhook_id}


async def test_a_lost_key_is_told_and_nothing_is_sent_unsigned(tmp_path: Path) -> None:
    async with receiver() as there, desk(tmp_path, there.host) as one:
        webhook_id, _ = await one.add(there.url, "run.created")
        other = desk_over(one.store, there.host, keys=("o" * 32,))
        with pytest.raises(CannotOpen):
            await other.book.secret(await one.row(webhook_id))
        await started(one.store, "r1")
        await other.round()
        assert not there.posts
        (row,) = (await one.book.notices(webhook_id)).items
        assert (row.state, "QUARTET_SECRET_KEY" in row.problem) == ("waiting", True)
        rotated = desk_over(one.store, there.host, keys=("o" * 32, "k" * 32))
        rotated.clock.on(minutes=1)
        await rotated.round()
        assert len(there.posts) == 1
        for each in (other, rotated):
            await each.sender.close()


async def test_the_secret_lies_nowhere_in_the_open(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with receiver(always(status(500))) as there, desk(tmp_path, there.host) as one:
        webhook_id, secret = await one.add(there.url)
        await ran(one, "r1")
        await one.round()
        page = await one.book.notices(webhook_id)
        assert secret not in repr(page)
        assert secret not in json.dumps([post.said for post in there.posts])
    shown = capfd.readouterr()
    logged = (
        shown.out
        + shown.err
        + "".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpcore"))
    )
    assert "notice_attempt" in logged or "webhook_added" in logged
    assert secret.removeprefix("whsec_") not in logged
    kept = await asyncio.to_thread(lambda: b"".join(f.read_bytes() for f in tmp_path.rglob("quartet.db*")))
    assert len(kept) > 10_000
    assert secret.removeprefix("whsec_").encode() not in kept


async def test_the_verifying_snippet_of_the_documentation_tells_right_from_wrong(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "api-webhooks.md"
    (snippet,) = re.findall(r"```python\n(.*?)```", await asyncio.to_thread(page.read_text), re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet, names)
    verify = names["verify"]
    async with receiver() as there, desk(tmp_path, there.host) as one:
        _, secret = await one.add(there.url, "run.created")
        await started(one.store, "r1")
        await one.round()
        (post,) = there.posts
        soon = 2 * 3_600.0  # the desk's clock is ahead
        verify(secret, post.headers, post.body, soon)
        for headers, body in (
            (post.headers, post.body + b" "),
            ({**post.headers, "webhook-id": "msg_other"}, post.body),
            ({**post.headers, "webhook-signature": "v1,AAAA v2,BBBB"}, post.body),
        ):
            with pytest.raises(ValueError, match="signature"):
                verify(secret, headers, body, soon)
        with pytest.raises(ValueError, match="too old"):
            verify(secret, post.headers, post.body)
