"""The twin's rate limits and ordered faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler

from tests.twins.slack.rates import Rates
from tests.unit.twins.slack_office import Office, office, refused


@pytest.fixture
async def slack() -> AsyncIterator[Office]:
    async with office() as made:
        yield made


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def spend(rates: Rates, method: str, channel: str = "") -> int:
    """How many calls go through before the first 429."""
    number = 0
    while rates.take("A", "T", method, channel) == 0:
        number += 1
    return number


# ── rates ────────────────────────────────────────────────────────────────────────────────────


def test_bursts_are_those_of_the_tiers() -> None:
    rates = Rates(Hand())
    assert spend(rates, "apps.uninstall") == 1
    assert spend(rates, "chat.startStream") == 20
    assert spend(rates, "chat.update") == 50
    assert spend(rates, "chat.appendStream") == 100
    assert spend(rates, "assistant.threads.setStatus") == 60


def test_posts_are_limited_in_the_channel_and_in_the_workspace() -> None:
    hand = Hand()
    rates = Rates(hand)
    assert spend(rates, "chat.postMessage", "C1") == 4
    hand.at += 1.0
    assert spend(rates, "chat.postMessage", "C1") == 1
    sent = sum(spend(rates, "chat.postMessage", f"D{n}") for n in range(30))
    assert sent == 60 - 1  # the workspace's bucket was refilled, then gave C1 one


def test_a_bucket_refills_evenly_and_retry_after_says_when() -> None:
    hand = Hand()
    rates = Rates(hand)
    spend(rates, "chat.startStream")
    wait = rates.take("A", "T", "chat.startStream")
    assert wait == 3
    hand.at += 3.0
    assert rates.take("A", "T", "chat.startStream") == 0
    assert rates.take("A", "T", "chat.startStream") == 3


def test_a_call_before_its_retry_after_is_noted_as_impatient() -> None:
    hand = Hand()
    rates = Rates(hand)
    spend(rates, "chat.startStream")
    assert rates.impatient == []
    hand.at += 1.0
    assert rates.take("A", "T", "chat.startStream") == 2
    (noted,) = rates.impatient
    assert (noted.method, noted.team, noted.early_s, noted.after_s) == ("chat.startStream", "T", 2.0, 1.0)
    assert rates.take("A", "T2", "chat.startStream") == 0
    hand.at += 2.0
    assert rates.take("A", "T", "chat.startStream") == 0
    assert len(rates.impatient) == 1


def test_scale_makes_buckets_refill_faster_and_off_lets_everything_through() -> None:
    hand = Hand()
    rates = Rates(hand)
    rates.scale = 60.0
    spend(rates, "chat.update")
    hand.at += 1.0
    assert spend(rates, "chat.update") == 50
    rates.on = False
    assert [rates.take("A", "T", "chat.update") for _ in range(200)] == [0] * 200


async def test_too_many_posts_are_answered_429_with_retry_after(slack: Office) -> None:
    for _ in range(4):
        await slack.client.chat_postMessage(channel=slack.general.id, text="x")
    with pytest.raises(SlackApiError) as caught:
        await slack.client.chat_postMessage(channel=slack.general.id, text="x")
    response = cast("Any", caught.value.response)
    assert (response.status_code, response["error"]) == (429, "ratelimited")
    assert response.headers["Retry-After"] == "1"
    assert len(slack.world.messages[slack.general.id]) == 4
    assert slack.api.rates.impatient == []


async def test_slack_sdks_retry_waits_long_enough_to_be_patient(slack: Office) -> None:
    patient = slack.client_with(slack.client.token)
    patient.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=2))
    for _ in range(5):
        await patient.chat_postMessage(channel=slack.general.id, text="x")
    assert slack.api.rates.impatient == []
    assert [c.status for c in slack.api.faults.calls] == [200] * 4 + [429, 200]


# ── faults ───────────────────────────────────────────────────────────────────────────────────


async def test_an_ordered_error_happens_as_often_as_ordered(slack: Office) -> None:
    slack.api.faults.order("chat.postMessage", error="internal_error", times=2)
    words = [
        await refused(slack.client.chat_postMessage(channel=slack.general.id, text="x")) for _ in range(3)
    ]
    assert words == ["internal_error", "internal_error", ""]
    assert len(slack.world.messages[slack.general.id]) == 1
    assert (slack.api.faults.count("chat.postMessage"), slack.api.faults.count(ok=True)) == (3, 1)


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_broken_connection_leaves_the_effect_only_when_ordered(
    slack: Office, after_effect: bool
) -> None:
    slack.api.faults.order("chat.postMessage", after_effect=after_effect)
    with pytest.raises(aiohttp.ClientError):
        await slack.client.chat_postMessage(channel=slack.general.id, text="x")
    assert len(slack.world.messages[slack.general.id]) == int(after_effect)
    assert slack.api.faults.calls[-1].status == 0


async def test_a_500_may_come_after_the_effect(slack: Office) -> None:
    slack.api.faults.order("chat.postMessage", after_effect=True, status=500)
    with pytest.raises(SlackApiError) as caught:
        await slack.client.chat_postMessage(channel=slack.general.id, text="x")
    assert cast("Any", caught.value.response).status_code == 500
    assert len(slack.world.messages[slack.general.id]) == 1


async def test_an_ordered_429_must_be_obeyed_like_any_other(slack: Office) -> None:
    slack.api.faults.order("chat.update", retry_after=7)
    said = await slack.client.chat_postMessage(channel=slack.general.id, text="x")
    update = slack.client.chat_update
    assert await refused(update(channel=slack.general.id, ts=said["ts"], text="y")) == "ratelimited"
    assert await refused(update(channel=slack.general.id, ts=said["ts"], text="y")) == "ratelimited"
    assert [i.method for i in slack.api.rates.impatient] == ["chat.update"]


async def test_latency_delays_and_then_all_is_well(slack: Office) -> None:
    slack.api.faults.order("*", latency_s=0.2)
    began = time.monotonic()
    assert await refused(slack.client.auth_test()) == ""
    assert time.monotonic() - began >= 0.2
    slack.api.faults.order("auth.test", latency_s=1, after_effect=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await slack.client.auth_test()


async def test_in_an_outage_every_call_breaks(slack: Office) -> None:
    slack.api.faults.outage(True)
    for call in (slack.client.auth_test, slack.client.api_test):
        with pytest.raises(aiohttp.ClientError):
            await call()
    slack.api.faults.outage(False)
    assert await refused(slack.client.auth_test()) == ""


async def test_the_journal_holds_arguments_and_never_the_token(slack: Office) -> None:
    await slack.client.chat_postMessage(channel=slack.general.id, text="hello")
    (call,) = slack.api.faults.calls
    assert (call.method, call.team, call.channel) == ("chat.postMessage", slack.team.id, slack.general.id)
    assert call.arguments["text"] == "hello"
    assert str(slack.client.token) not in repr(call) + repr(dict(call.arguments))
