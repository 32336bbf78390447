"""Slack goes away and comes back: sockets that break, an API that is out, a token that is refused."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.journey.bot_process import eventually
from tests.journey.slack_desk import APPROVAL, Desk, desk
from tests.journey.slack_kills import at_rest, rows, shown_in
from tests.twins.slack import SlackTwin

pytestmark = pytest.mark.timeout(300)

ONE_OF_EACH = {"status 0": 1, "approval 0": 1, "answer 0": 1}
OUTAGE_S = 30.0


def twin(time_scale: float = 0.05) -> SlackTwin:
    """A Slack that delivers again soon."""
    return SlackTwin(ack_limit_s=0.5, time_scale=time_scale)


async def asks(one: Desk, count: int) -> dict[str, str]:
    """As many questions, each in a channel of its own; returns channel → thread."""
    first = len(one.slack.world.channels)
    channels = [one.slack.channel(f"tea-{first + number}", "ada") for number in range(count)]
    return {channel: one.ada.mentions(channel, "What is tea?") for channel in channels}


async def approves(one: Desk, channel: str, thread: str) -> None:
    """Press Approve, again where Slack says that the app did not respond."""
    card = await one.message(thread, APPROVAL, channel=channel)
    while True:
        await one.until(lambda: one.slack.connections)
        parcel = one.ada.clicks(channel, card.ts, APPROVAL)
        await parcel.settled.wait()
        if parcel.acked:
            return
        await one.until(lambda: one.ada.warnings)
        one.ada.warnings.clear()


async def finishes(one: Desk, threads: dict[str, str]) -> None:
    """All of it is approved, answered, and there once."""
    await asyncio.gather(*(approves(one, channel, thread) for channel, thread in threads.items()))
    await all_there(one, threads)


async def all_there(one: Desk, threads: dict[str, str]) -> None:
    """All of it is answered, and there once."""
    for channel, thread in threads.items():
        await one.done(thread, channel=channel)
    await one.settled()
    await one.until(lambda: at_rest(one))
    assert {channel: shown_in(one, channel) for channel in threads} == dict.fromkeys(threads, ONE_OF_EACH)
    runs = rows(one, "quartet.db", "SELECT id FROM runs WHERE conversation_id LIKE 'slack:%'")
    assert len(runs) == len(threads)


async def test_the_socket_breaks_twenty_times_and_nothing_is_lost(tmp_path: Path) -> None:
    async with desk(tmp_path, slack=twin()) as one:
        threads: dict[str, str] = {}
        deciding: list[asyncio.Task[None]] = []
        for number in range(20):
            new = await asks(one, 1) if number % 2 else {}
            threads |= new
            deciding += [asyncio.create_task(approves(one, *each)) for each in new.items()]
            opened = one.slack.sockets.opened
            assert one.slack.drop_sockets() == 1
            await one.until(lambda opened=opened: one.slack.sockets.opened > opened and one.slack.connections)
        await asyncio.gather(*deciding)
        await all_there(one, threads)
        again = [p for p in one.slack.delivery.parcels if p.kind == "events_api" and len(p.attempts) > 1]
        assert again  # some were on their way when the socket broke, and came by Slack's retries
        assert (await one.health())["status"] == "healthy"


async def test_slack_asks_for_new_connections_during_work_and_nothing_is_lost(tmp_path: Path) -> None:
    # Clicks come once: what is pressed while connections change must be taken as well.
    async with desk(tmp_path, slack=SlackTwin(time_scale=0.05)) as one:
        threads: dict[str, str] = {}
        for reason in ("warning", "refresh_requested", "refresh_requested", "link_disabled"):
            opened = one.slack.sockets.opened
            leaving = asyncio.create_task(one.slack.disconnect(reason, close_after_s=1.0))
            threads |= await asks(one, 2)
            for _ in range(8):
                await asyncio.sleep(0.012)  # some before the new connection stands, some after
                one.ada.slash(one.general, "/quartet", "help")
            await leaving
            await one.until(lambda opened=opened: one.slack.sockets.opened > opened)
        await finishes(one, threads)
        assert {(len(p.attempts), p.acked) for p in one.slack.delivery.parcels} == {(1, True)}


async def test_the_api_is_out_for_half_a_minute_and_all_is_shown_after_it(tmp_path: Path) -> None:
    # At this pace Slack delivers again what is not acknowledged after 6 s and after 30 s more.
    async with desk(tmp_path, slack=twin(0.1)) as one:
        waiting = await asks(one, 2)
        for channel, thread in waiting.items():
            await one.message(thread, APPROVAL, channel=channel)
        working = await asks(one, 2)
        await one.until(lambda: not one.slack.delivery.unacked())
        began = time.monotonic()
        one.slack.faults.outage(True)
        for channel, thread in waiting.items():
            await approves(one, channel, thread)  # the socket still stands
        one.slack.drop_sockets()
        path = await asyncio.to_thread(one.bot.post_turn, "What is coffee?")
        await asyncio.to_thread(one.bot.until_card, path, "approval")  # the page goes on
        trouble = await asyncio.to_thread(eventually, lambda: _trouble(one), "health to tell of Slack")
        assert "Slack" in trouble
        await asyncio.sleep(OUTAGE_S / 2 - (time.monotonic() - began))
        missed = await asks(one, 1)  # by what is delivered once more, 36 s later, Slack is there again
        await asyncio.sleep(OUTAGE_S - (time.monotonic() - began))
        assert one.slack.connections == 0
        one.slack.faults.outage(False)
        back = time.monotonic()
        await one.until(lambda: one.slack.connections)
        await one.until(lambda: all(shown_in(one, c)["answer 0"] for c in waiting))
        assert time.monotonic() - back < 25.0
        await asyncio.gather(*(approves(one, *each) for each in (working | missed).items()))
        await all_there(one, waiting | working | missed)
        assert (await one.health())["status"] == "healthy"


def _trouble(one: Desk) -> str:
    slack = one.bot.client.get("/health").json()["components"]["slack"]
    return slack["detail"] if slack["status"] != "healthy" else ""


WRITES = (
    "chat.startStream", "chat.appendStream", "chat.stopStream", "chat.postMessage", "chat.update",
    "assistant.threads.setStatus",
)  # fmt: skip


@pytest.mark.parametrize(
    ("progress", "status"), [("stream", 500), ("blocks", 0)], ids=["stream-500", "blocks-cut"]
)
async def test_every_write_fails_before_and_after_its_effect(
    tmp_path: Path, progress: str, status: int
) -> None:
    async with desk(tmp_path, slack=twin(), config={"slack": {"progress": progress}}) as one:
        for method in WRITES:
            one.slack.faults.order(method, status=status)
            one.slack.faults.order(method, status=status, after_effect=True, times=2)
        threads = await asks(one, 3)
        await finishes(one, threads)
        failed = {call.method for call in one.slack.calls if call.status != 200}
        assert {"chat.postMessage", "chat.update"} <= failed


async def test_the_token_is_refused_in_the_middle_and_taken_again(tmp_path: Path) -> None:
    async with desk(tmp_path, slack=twin()) as one:
        threads = await asks(one, 2)
        for channel, thread in threads.items():
            await one.message(thread, APPROVAL, channel=channel)
        refused = one.slack.faults.order("*", error="invalid_auth", times=1_000_000)
        for channel, thread in threads.items():
            await approves(one, channel, thread)
        trouble = await asyncio.to_thread(eventually, lambda: _trouble(one), "health to tell of Slack")
        assert "invalid_auth" in trouble
        assert "SLACK_BOT_TOKEN" in trouble
        path = await asyncio.to_thread(one.bot.post_turn, "What is coffee?")
        await asyncio.to_thread(one.bot.until_card, path, "approval")  # the page goes on
        await asyncio.to_thread(one.bot.click, path, "approve")
        await asyncio.to_thread(one.bot.until_card, path, "answer")
        said = [line for line in one.log().splitlines() if "slack_token" in line]
        assert said
        assert all("SLACK_BOT_TOKEN" in line for line in said)
        assert len(said) < 20, "an outage must not fill the log"
        assert not any(shown_in(one, channel)["answer 0"] for channel in threads)
        one.slack.faults.clear()
        assert refused.times > 0
        await all_there(one, threads)
        assert (await one.health())["status"] == "healthy"
