"""News reach who listens, and nobody else."""

from __future__ import annotations

import asyncio

from orchestrator.bus import Bus, Flag
from orchestrator.events import RunId
from orchestrator.ports import News

ONE, OTHER = RunId("r1"), RunId("r2")


def test_listener_of_one_run_hears_of_that_run_alone() -> None:
    bus, heard, all_heard = Bus(), list[int](), list[int]()
    bus.listen(lambda n: heard.append(n.seq), ONE)
    bus.listen(lambda n: all_heard.append(n.seq))
    bus.publish(News(ONE, 1))
    bus.publish(News(OTHER, 2))
    assert heard == [1]
    assert all_heard == [1, 2]


def test_ended_listener_hears_nothing_more() -> None:
    bus, heard = Bus(), list[int]()
    end = bus.listen(lambda n: heard.append(n.seq), ONE)
    end()
    bus.publish(News(ONE, 1))
    assert heard == []


def test_ending_twice_does_not_silence_who_came_later() -> None:
    bus, heard = Bus(), list[int]()
    end = bus.listen(lambda _: None, ONE)
    end()
    bus.listen(lambda n: heard.append(n.seq), ONE)
    end()
    bus.publish(News(ONE, 1))
    assert heard == [1]


def test_listener_may_end_itself_while_it_is_told() -> None:
    bus, heard = Bus(), list[int]()

    def once(news: News) -> None:
        heard.append(news.seq)
        end()

    end = bus.listen(once, ONE)
    bus.listen(lambda n: heard.append(-n.seq), ONE)
    bus.publish(News(ONE, 1))
    bus.publish(News(ONE, 2))
    assert sorted(heard) == [-2, -1, 1]


async def test_flag_set_before_the_wait_is_not_lost() -> None:
    flag = Flag()
    flag.set()
    assert await flag.wait(5)
    assert not await flag.wait(0.001)


async def test_flag_wakes_who_waits() -> None:
    flag = Flag()
    waiting = asyncio.create_task(flag.wait(5))
    await asyncio.sleep(0)
    flag.set(News(ONE, 1))
    assert await waiting
