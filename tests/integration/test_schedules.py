"""Schedules on a real store: one run for each due time, whatever crashes, and whoever else looks."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.contract import Command, ConversationRef, Person
from bot.schedules import Schedules
from bot.schedules_words import ScheduleWords
from orchestrator.errors import NotFound, Refused, StoreFailed
from orchestrator.events import Who
from orchestrator.ports import Schedule
from tests.unit.bot.office import ADA, BOB, HERE, Desk, desk

pytestmark = pytest.mark.timeout(60)
FRIDAY = datetime(2026, 1, 2, 16, 0, tzinfo=UTC)
WHO = Who(key="web:ada", name="Ada")


@dataclass
class HandClock:
    """A clock that stands until it is moved."""

    at: datetime = FRIDAY - timedelta(days=1)

    def now(self) -> datetime:
        return self.at


class Timed:
    """A desk with schedules and a clock."""

    def __init__(self, built: Desk) -> None:
        self.desk = built
        self.clock = HandClock()
        self.schedules = self.another()
        self.words = ScheduleWords(self.schedules, built.service, self.policy, built.commands.read_turn)
        self.said = 0

    async def policy(self, conversation: ConversationRef):
        return self.desk.policy

    def another(self) -> Schedules:
        """As another process has them."""
        return Schedules(self.desk.service, self.policy, self.clock)

    async def add(self, cron: str = "0 16 * * 5", **more: str) -> Schedule:
        given = {
            "conversation_id": HERE.key,
            "workflow": "quartet",
            "zone": "UTC",
            "text": "Notes",
            "key": "k",
        }
        return await self.schedules.add(**{**given, "cron": cron, **more}, who=WHO)  # pyright: ignore[reportArgumentType]

    async def runs(self) -> list[str]:
        """Keys of the runs there are, oldest first."""
        page = await self.desk.store.runs()
        return [(await self.desk.state(row.id)).created.turn.key for row in reversed(page.items)]

    async def say(self, text: str, person: Person = ADA, place: ConversationRef = HERE, key: str = ""):
        self.said += 1
        command = Command(
            key=key or f"c{self.said}", conversation=place, person=person, text=text, at=self.clock.at
        )
        return await self.words.perform(command, text)


@pytest.fixture
async def timed(tmp_path: Path) -> AsyncGenerator[Timed]:
    async with desk(tmp_path) as built:
        yield Timed(built)


async def test_a_due_time_starts_one_run_as_the_person_who_made_it(timed: Timed) -> None:
    row = await timed.add()
    assert await timed.schedules.start_due() == []
    timed.clock.at = FRIDAY
    (run_id,) = await timed.schedules.start_due()
    assert await timed.schedules.start_due() == []
    created = (await timed.desk.state(run_id)).created
    assert (created.turn.who, created.turn.text, created.turn.at) == (WHO, "Notes", FRIDAY)
    assert created.conversation_id == HERE.key
    after = await timed.schedules.one(row.id)
    assert (after.due, after.last_run) == (FRIDAY + timedelta(days=7), run_id)


async def test_a_crash_between_starting_and_saying_so_makes_no_second_run(
    timed: Timed, monkeypatch: pytest.MonkeyPatch
) -> None:
    await timed.add()
    timed.clock.at = FRIDAY

    async def dies(*_: object, **__: object) -> bool:
        raise StoreFailed("the process was killed here")

    with monkeypatch.context() as patch:
        patch.setattr(timed.desk.store, "schedule_done", dies)
        with pytest.raises(StoreFailed):
            await timed.schedules.start_due()
    timed.clock.at = FRIDAY + timedelta(minutes=5)
    await timed.another().start_due()
    assert await timed.runs() == [f"schedule:{(await timed.add()).id}:2026-01-02T16:00:00Z"]


async def test_two_processes_that_look_at_once_start_one_run_for_each_time(timed: Timed) -> None:
    await timed.add("*/10 * * * *")
    others = [timed.another() for _ in range(4)]
    for step in range(6):
        timed.clock.at = FRIDAY + timedelta(minutes=10 * step)
        await asyncio.gather(*(each.start_due() for each in others))
    keys = await timed.runs()
    assert len(keys) == len(set(keys)) == 6


async def test_what_was_missed_is_made_up_for_once_and_only_within_the_grace(timed: Timed) -> None:
    await timed.add("0 * * * *")
    timed.clock.at = FRIDAY + timedelta(hours=50, minutes=20)
    assert len(await timed.schedules.start_due()) == 1
    assert (await timed.runs())[0].endswith("T18:00:00Z")
    late = await timed.add("0 16 * * 5", key="late")
    timed.clock.at = late.due + timedelta(hours=1, seconds=1)
    before = len(await timed.runs())
    await timed.schedules.start_due()
    assert len(await timed.runs()) == before + 1  # the hourly one alone
    assert (await timed.schedules.one(late.id)).due == late.due + timedelta(days=7)


async def test_lost_permission_pauses_the_schedule_with_a_note(timed: Timed) -> None:
    row = await timed.add()
    timed.desk.policy = timed.desk.policy.model_copy(update={"who_may_start": ("web:bob",)})
    timed.clock.at = FRIDAY
    assert await timed.schedules.start_due() == []
    after = await timed.schedules.one(row.id)
    assert after.state == "paused"
    assert "may not start turns" in after.note
    listed = await timed.say("")
    assert listed.card is not None
    assert "may not start turns" in str(listed.card.parts)


async def test_a_workflow_that_is_gone_pauses_the_schedule_and_the_others_go_on(timed: Timed) -> None:
    gone = await timed.add(key="a")
    timed.desk.workflows["other"] = timed.desk.workflows["quartet"].model_copy(update={"name": "other"})
    await timed.add(key="b", workflow="other")
    del timed.desk.workflows["quartet"]
    timed.clock.at = FRIDAY
    assert len(await timed.schedules.start_due()) == 1
    assert "there is no workflow 'quartet'" in (await timed.schedules.one(gone.id)).note


async def test_paused_and_resumed_it_leaves_out_what_was_due_meanwhile(timed: Timed) -> None:
    row = await timed.add()
    await timed.schedules.pause(row.id)
    timed.clock.at = FRIDAY + timedelta(minutes=1)
    assert await timed.schedules.start_due() == []
    assert await timed.schedules.resume(row.id) == FRIDAY + timedelta(days=7)
    assert await timed.schedules.start_due() == []


async def test_the_same_key_makes_the_same_schedule_and_a_removed_one_stays_removed(timed: Timed) -> None:
    row = await timed.add()
    assert (await timed.add("0 9 * * *")).cron == row.cron
    await timed.schedules.remove(row.id)
    assert (await timed.add()).state == "removed"
    with pytest.raises(NotFound):
        await timed.schedules.one(row.id)


async def test_words_add_list_pause_resume_run_and_remove(timed: Timed) -> None:
    added = await timed.say('add "0 16 * * 5" europe/berlin quartet Write the notes')
    assert "starts Fri 2026-01-02 16:00 Europe/Berlin" in added.text
    (row,) = await timed.schedules.of_channel(HERE)
    again = await timed.say('add "0 16 * * 5" europe/berlin quartet Write the notes', key="c1")
    assert row.id in again.text
    assert len(await timed.schedules.of_channel(HERE)) == 1
    assert (await timed.say("add “0 9 * * 1” UTC quartet Say hello")).accepted
    assert (await timed.say("add 0 9 * * 1 UTC quartet Say hello again")).accepted
    assert (await timed.say(f"pause {row.id}")).accepted
    assert (await timed.schedules.one(row.id)).state == "paused"
    assert (await timed.say(f"resume {row.id}")).accepted
    assert (await timed.say(f"run {row.id}", key="once")).run_id
    assert (await timed.say(f"run {row.id}", key="once")).run_id
    assert len(await timed.runs()) == 1
    assert (await timed.say(f"remove {row.id}")).accepted
    assert len(await timed.schedules.of_channel(HERE)) == 2


async def test_only_who_made_it_and_admins_may_change_it_and_only_in_its_channel(timed: Timed) -> None:
    row = await timed.add()
    for verb in ("pause", "remove", "run"):
        refused = await timed.say(f"{verb} {row.id}", BOB)
        assert not refused.accepted
        assert "Only Ada" in refused.text
        elsewhere = HERE.model_copy(update={"channel": "other"})
        assert "no schedule" in (await timed.say(f"{verb} {row.id}", place=elsewhere)).text
    assert (await timed.say(f"pause {row.id}", BOB.model_copy(update={"is_admin": True}))).accepted


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("add", "Say when"),
        ('add "0 16 * * 5"', "Say when"),
        ('add "0 16 * * 5" Berlin quartet x', "did you mean 'Europe/Berlin'"),
        ('add "0 99 * * 5" UTC quartet x', "hour cannot be read"),
        ('add "0 16 * * 5" UTC quartte x', "did you mean 'quartet'"),
        ('add "0 16 * * 5" UTC quartet', "Say what to do"),
        ('add "* * * * * *" UTC quartet x', "five fields"),
        ("pause", "Say which"),
        ("pause s000000000", "no schedule"),
        ("explode", "Write schedules"),
        ("remove '; DROP TABLE schedules; --", "Say which"),
    ],
)
async def test_wrong_words_are_told_what_would_be_right(timed: Timed, words: str, told: str) -> None:
    answer = await timed.say(words)
    assert not answer.accepted
    assert told.lower() in answer.text.lower()
    assert await timed.schedules.all() == []


async def test_what_somebody_who_may_not_start_turns_adds_is_refused_in_time(timed: Timed) -> None:
    timed.desk.policy = timed.desk.policy.model_copy(update={"who_may_start": ("web:bob",)})
    answer = await timed.say('add "0 16 * * 5" UTC quartet Write the notes')
    assert not answer.accepted
    assert "may start turns" in answer.text


def test_after_a_mention_only_whole_commands_count() -> None:
    takes = ScheduleWords.takes
    assert takes('add "0 16 * * 5" UTC quartet x')
    assert takes("pause s0123456789"[:16])
    assert not takes("pause the music")
    assert not takes("add a meeting to my calendar")
    assert not takes("for the next week, please")


async def test_too_many_schedules_are_refused(timed: Timed) -> None:
    for number in range(100):
        await timed.add(key=f"k{number}")
    with pytest.raises(Refused, match="100 schedules"):
        await timed.add(key="one more")


CHILD = """
    import asyncio, sys
    from datetime import datetime, timezone
    from pathlib import Path
    from tests.integration.test_schedules import Timed
    from tests.unit.bot.office import desk

    async def main():
        async with desk(Path(sys.argv[1])) as built:
            timed = Timed(built)
            timed.clock.at = datetime.fromisoformat(sys.argv[2])
            real = built.store.schedule_done
            async def stuck(*a, **k):
                print("started", flush=True)
                await asyncio.sleep(60)
            built.store.schedule_done = stuck
            await timed.schedules.start_due()

    asyncio.run(main())
"""


async def test_a_process_killed_between_the_due_time_and_its_note_leaves_one_run(tmp_path: Path) -> None:
    async with desk(tmp_path) as built:
        await Timed(built).add()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path), FRIDAY.isoformat(),
        stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert child.stdout is not None
    async with asyncio.timeout(30):
        while await child.stdout.readline() != b"started\n":  # it logs before
            assert not child.stdout.at_eof()
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    async with desk(tmp_path) as built:
        timed = Timed(built)
        assert len(await timed.runs()) == 1
        timed.clock.at = FRIDAY + timedelta(minutes=3)
        await timed.schedules.start_due()
        assert len(await timed.runs()) == 1
        assert await timed.schedules.start_due() == []
