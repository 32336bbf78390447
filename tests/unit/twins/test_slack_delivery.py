"""The parcels' way: retries as documented, duplicates, other orders, held events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

from tests.twins.slack.delivery import Answer, Attempt, Delivery, Parcel

FAST = 0.001  # a minute is 60 ms


class Bot:
    """Answers attempts in the order of a script; acknowledges when the script is over."""

    def __init__(self, *script: Answer) -> None:
        self._script: Iterator[Answer] = iter(script)
        self.got: list[tuple[str, int, str]] = []

    async def carry(self, parcel: Parcel, attempt: Attempt) -> Answer:
        self.got.append((parcel.event_id, attempt.number, attempt.reason))
        return next(self._script, Answer(ok=True))


def event(number: int) -> Parcel:
    return Parcel("events_api", {"event_id": f"Ev{number}", "event": {"type": "message"}})


@asynccontextmanager
async def delivery_to(bot: Bot, time_scale: float = FAST) -> AsyncGenerator[Delivery]:
    delivery = Delivery(bot, time_scale=time_scale)
    try:
        yield delivery
    finally:
        await delivery.close()


NO_ANSWER = Answer(ok=False, failure="http_timeout")


async def test_an_acknowledged_event_comes_once() -> None:
    bot = Bot()
    async with delivery_to(bot) as delivery:
        answer = await delivery.ask(event(1))
    assert answer.ok
    assert bot.got == [("Ev1", 0, "")]
    assert len(delivery.ack_latencies()) == 1


async def test_an_event_without_answer_comes_again_three_times_with_reason_and_then_never() -> None:
    bot = Bot(*[NO_ANSWER] * 9)
    async with delivery_to(bot) as delivery:
        parcel = event(1)
        answer = await delivery.ask(parcel)
    assert not answer.ok
    assert bot.got == [("Ev1", 0, ""), *[("Ev1", n, "http_timeout") for n in (1, 2, 3)]]
    assert delivery.unacked() == [parcel]
    assert delivery.ack_latencies() == []


async def test_the_pauses_between_the_attempts_are_none_a_minute_and_five() -> None:
    bot = Bot(*[NO_ANSWER] * 9)
    async with delivery_to(bot) as delivery:
        parcel = event(1)
        await delivery.ask(parcel)
    first, again, after_1_min, after_5_min = [attempt.sent_at for attempt in parcel.attempts]
    assert again - first < 60 * FAST
    assert after_1_min - again >= 60 * FAST - 0.002
    assert after_5_min - after_1_min >= 300 * FAST - 0.002


async def test_retries_end_with_the_first_acknowledgement() -> None:
    bot = Bot(NO_ANSWER)
    async with delivery_to(bot) as delivery:
        parcel = event(1)
        answer = await delivery.ask(parcel)
    assert answer.ok
    assert parcel.acked
    assert [number for _, number, _ in bot.got] == [0, 1]


async def test_a_bot_that_asks_for_no_retry_gets_none() -> None:
    bot = Bot(Answer(ok=False, failure="http_error", status=500, again=False))
    async with delivery_to(bot) as delivery:
        assert not (await delivery.ask(event(1))).ok
    assert len(bot.got) == 1


async def test_an_interaction_is_never_repeated() -> None:
    bot = Bot(NO_ANSWER)
    async with delivery_to(bot) as delivery:
        answer = await delivery.ask(Parcel("interactive", {"type": "block_actions"}))
    assert answer == NO_ANSWER
    assert len(bot.got) == 1


async def test_duplicates_carry_one_event_id() -> None:
    bot = Bot()
    async with delivery_to(bot) as delivery:
        delivery.duplicate(3)
        parcel = delivery.post(event(1))
        delivery.post(Parcel("interactive", {}))
        async with asyncio.timeout(60):
            while len(bot.got) < 4:
                await parcel.settled.wait()
                await asyncio.sleep(0)
    assert [event_id for event_id, _, _ in bot.got].count("Ev1") == 3


async def test_a_window_of_events_goes_in_opposite_order() -> None:
    bot = Bot()
    async with delivery_to(bot) as delivery:
        delivery.reorder(3)
        parcels = [delivery.post(event(number)) for number in range(4)]
        async with asyncio.timeout(60):
            await asyncio.gather(*(parcel.settled.wait() for parcel in parcels))
    assert [event_id for event_id, _, _ in bot.got] == ["Ev2", "Ev1", "Ev0", "Ev3"]


async def test_held_events_wait_for_release_and_interactions_do_not() -> None:
    bot = Bot()
    async with delivery_to(bot) as delivery:
        delivery.hold()
        held = delivery.post(event(1))
        await delivery.ask(Parcel("interactive", {"type": "block_actions"}))
        assert bot.got == [("", 0, "")]
        assert delivery.held == 1
        delivery.release()
        async with asyncio.timeout(60):
            await held.settled.wait()
    assert [event_id for event_id, _, _ in bot.got] == ["", "Ev1"]


async def test_without_a_bot_every_attempt_fails() -> None:
    delivery = Delivery(None, time_scale=0)
    parcel = event(1)
    assert (await delivery.ask(parcel)).failure == "connection_failed"
    assert len(parcel.attempts) == 4
    await delivery.close()
