"""Whoever pressed something is answered once and in time, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from adapters.discord.answers import ANSWER_S, EPHEMERAL, Answers
from adapters.discord.inbound import place
from adapters.discord.outbound import draw_note
from adapters.discord.ports import DiscordRefused, Upload
from adapters.errors import PlatformDown
from adapters.later import Later
from adapters.urgency import Urgency
from tests.calm import Watch
from tests.unit.adapters.discord.arrivals import ADA, done, pressed, submitted, typed

LIMIT_S = 60.0
NOTE = draw_note("Only ada may approve.")


class Api:
    """Keeps what was called; errors are scripted."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.errors: list[Exception | None] = []
        self.called = asyncio.Event()
        self.slow = asyncio.Event()
        self.slow.set()

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
        assert urgency is Urgency.PERSON
        await self.slow.wait()
        self.calls.append((method, path.rpartition("/")[2], body))
        self.called.set()
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error

    def kinds(self) -> list[Any]:
        """The types of first answers, and where other things went."""
        return [body["type"] if path == "callback" else (method, path) for method, path, body in self.calls]


@pytest.fixture
async def later() -> AsyncIterator[Later]:
    later = Later()
    yield later
    await later.stop()


async def until(api: Api, count: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while len(api.calls) < count:
            api.called.clear()
            await api.called.wait()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [(pressed(), [6]), (typed("status"), [5]), (submitted(), [5]), (submitted(message={"id": "77"}), [6])],
    ids=["button", "command", "form of a command", "form of a button"],
)
async def test_who_waits_too_long_is_told_to_wait_in_the_way_of_what_they_did(
    later: Later, payload: dict[str, Any], expected: list[int]
) -> None:
    api = Api()
    Answers(api, defer_s=0.01).expect(done(payload), later, time.monotonic())
    await until(api, 1)
    assert api.kinds() == expected


async def test_a_deferral_counts_from_when_it_came(later: Later) -> None:
    api = Api()
    Answers(api, defer_s=100).expect(done(pressed()), later, time.monotonic() - 100)
    await until(api, 1)
    assert api.kinds() == [6]


async def test_what_is_said_in_time_is_the_answer_and_the_rest_follows(later: Later) -> None:
    api, arrival = Api(), done(pressed())
    answers = Answers(api)
    answers.expect(arrival, later, time.monotonic())
    assert await answers.tell(arrival, [*NOTE, *NOTE])
    assert [kind if kind == 4 else kind[0] for kind in api.kinds()] == [4, "POST"]
    assert all((body.get("data") or body)["flags"] & EPHEMERAL for _, _, body in api.calls), (
        "others must not see it"
    )


async def test_a_command_that_was_told_to_wait_is_answered_in_that_place(later: Later) -> None:
    api, arrival = Api(), done(typed("status"))
    answers = Answers(api, defer_s=0)
    answers.expect(arrival, later, time.monotonic())
    await until(api, 1)
    assert await answers.tell(arrival, [*NOTE, *NOTE])
    assert [kind if isinstance(kind, int) else kind[0] for kind in api.kinds()] == [5, "PATCH", "POST"]


async def test_a_form_opens_only_as_the_first_answer(later: Later) -> None:
    api, arrival = Api(), done(pressed())
    answers = Answers(api, defer_s=0)
    answers.expect(arrival, later, time.monotonic())
    await until(api, 1)
    assert not await answers.form(arrival, {"custom_id": "q:form:x"})
    assert api.kinds() == [6]
    soon = done(pressed(id="500000000000000777"))
    quick = Answers(api)
    quick.expect(soon, later, time.monotonic())
    assert await quick.form(soon, {"custom_id": "q:form:x"})
    assert api.kinds() == [6, 9]


@pytest.mark.parametrize("age_s", [0.0, 2.0])
async def test_a_first_answer_that_hangs_leaves_time_for_a_second_one(
    later: Later, monkeypatch: pytest.MonkeyPatch, age_s: float
) -> None:
    api, arrival = Api(), done(pressed())
    answers, begun, watch = Answers(api), time.monotonic(), Watch()
    call, tries = api.call, iter(range(9))

    async def hanging(*args: Any, **more: Any) -> Any:
        if next(tries) == 0:
            await asyncio.Event().wait()
        return await call(*args, **more)

    monkeypatch.setattr(api, "call", hanging)
    answers.expect(arrival, later, begun - age_s)
    async with asyncio.timeout(LIMIT_S):
        await answers.seen(arrival)
    assert api.kinds() == [6]
    assert age_s + watch.calm_s < ANSWER_S


async def test_a_deferral_under_way_and_an_answer_do_not_meet(later: Later) -> None:
    api, arrival = Api(), done(pressed())
    answers = Answers(api, defer_s=0)
    api.slow.clear()
    answers.expect(arrival, later, time.monotonic())
    await asyncio.sleep(0.01)  # the deferral is on its way
    telling = asyncio.create_task(answers.tell(arrival, NOTE))
    opening = asyncio.create_task(answers.form(arrival, {}))
    await asyncio.sleep(0)
    api.slow.set()
    assert await telling
    assert not await opening
    assert [kind if isinstance(kind, int) else kind[0] for kind in api.kinds()] == [6, "POST"]


async def test_nothing_to_say_is_seen_and_not_said(later: Later) -> None:
    api, button = Api(), done(pressed())
    command = done(typed("status") | {"id": "500000000000000777"})
    answers = Answers(api, defer_s=0.01)
    answers.expect(button, later, time.monotonic())
    await answers.seen(button)
    answers.expect(command, later, time.monotonic())
    await until(api, 2)
    await answers.seen(command)
    assert api.kinds() == [6, 5, ("DELETE", "@original")]


async def test_a_token_that_is_dead_is_not_used_again(later: Later) -> None:
    api, arrival = Api(), done(pressed())
    api.errors = [DiscordRefused("too late", code=10062, status=404)]
    answers = Answers(api)
    answers.expect(arrival, later, time.monotonic())
    assert not await answers.tell(arrival, NOTE)
    assert not await answers.tell(arrival, NOTE)
    assert len(api.calls) == 1


async def test_an_answer_that_had_arrived_counts(later: Later) -> None:
    api, arrival = Api(), done(pressed())
    api.errors = [
        PlatformDown("lost", outcome_unknown=True),
        DiscordRefused("answered already", code=40060, status=400),
    ]
    answers = Answers(api)
    answers.expect(arrival, later, time.monotonic())
    assert await answers.tell(arrival, NOTE)
    assert api.kinds() == [4, 4]


async def test_after_a_restart_a_token_may_still_serve(later: Later) -> None:
    api, arrival = Api(), done(pressed())
    assert await Answers(api).tell(arrival, NOTE)
    assert [method for method, _, _ in api.calls] == ["POST"]
    api.errors = [DiscordRefused("unknown webhook", code=10015, status=404)]
    assert not await Answers(api).tell(arrival, NOTE)


async def test_a_note_goes_beside_what_was_pressed_by_that_person_in_that_place(later: Later) -> None:
    api, arrival = Api(), done(pressed())
    answers = Answers(api)
    there = place(arrival.payload)
    assert not await answers.aside(there, ADA, NOTE)
    answers.expect(arrival, later, time.monotonic())
    assert not await answers.aside(there, ADA, NOTE), "its own answer comes first"
    await answers.seen(arrival)
    assert not await answers.aside(there, "200000000000000009", NOTE)
    assert not await answers.aside(there.model_copy(update={"thread": "9"}), ADA, NOTE)
    assert await answers.aside(there, ADA, NOTE)
    assert api.kinds()[0] == 6
    assert len(api.calls) == 2


@pytest.mark.parametrize("token", ["", "../../users/@me", "a b", "a/b", "ä", "x" * 2_000, 5, None])
async def test_a_token_that_is_none_never_stands_in_a_path(later: Later, token: object) -> None:
    api, arrival = Api(), done(pressed(token=token))
    answers = Answers(api, defer_s=0)
    answers.expect(arrival, later, time.monotonic())
    assert not await answers.tell(arrival, NOTE)
    assert not await answers.form(arrival, {})
    assert api.calls == []
