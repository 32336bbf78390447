"""The outbox on a real store: nothing twice, newest only, nothing waits for progress or for a bad card."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.contract import Card, ConversationRef
from adapters.errors import (
    CardRefused,
    ConversationGone,
    MessageGone,
    NotAllowed,
    PlatformDown,
    RateLimited,
)
from bot import outbox as outbox_module
from bot import progress as progress_module
from bot.busy import Busy
from bot.outbox import Outbox
from bot.presenter import present
from orchestrator.bus import Bus
from orchestrator.events import RunId, RunSettings
from orchestrator.infra.sqlite_store import SqliteStore
from orchestrator.ports import Delivery, News
from orchestrator.workflow import Workflow
from tests.builders import TALK, Play, brief, created, draft, plan, quartet, review
from tests.unit.bot.platform import Held, Lost, MemoryPlatform, Trouble

WITHIN_S = 60.0
R1 = RunId("r1")
TITLES = {"researcher": "Researcher", "planner": "Planner", "builder": "Builder", "reviewer": "Reviewer"}


async def definition(digest: str) -> Workflow:
    assert digest == quartet().digest
    return quartet()


class Office:
    """A store, a platform and an outbox that can be killed and started again."""

    def __init__(self, store: SqliteStore, platform: MemoryPlatform) -> None:
        self.store = store
        self.platform = platform
        self.bus = Bus()
        self.busy_every_s = 45.0
        self.connected = True
        self.outbox = self._built()
        self._task: asyncio.Task[None] | None = None
        self._written: dict[RunId, int] = {}

    def _built(self) -> Outbox:
        return Outbox(
            self.store,
            self.bus,
            {self.platform.platform: self.platform},
            definition,
            TITLES,
            connected=lambda _: self.connected,
            busy=Busy(self.busy_every_s),
        )

    def start(self) -> None:
        self.outbox = self._built()
        self._task = asyncio.create_task(self.outbox.run())

    async def kill(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def restart(self) -> None:
        await self.kill()
        self.platform.forgive()  # a new process cannot know what the old one was told
        self.start()

    def check_alive(self) -> None:
        assert self._task is not None
        assert not self._task.done(), "the outbox has ended"

    async def write(
        self, play: Play, run_id: RunId = R1, *, talk: str = TALK, news: bool = True
    ) -> None:  # fmt: skip
        """Bring the store's log of this run up to what was played, in one commit: nobody sees it half way."""
        done = self._written.get(run_id, 0)
        if not done:
            settings = play.state.created.settings
            turn = created(play.workflow, conversation=talk, settings=settings, key=f"key {run_id}")
            done = 1 if await self.store.unfinished(talk) else 2
            bodies = [e.body for e in play.events[done:]]
            accepted = await self.store.accept(run_id, turn, past=bodies)
            assert bool(accepted.queued_behind) == (done == 1)
        else:
            bodies = [e.body for e in play.events[done:]]
            await self.store.append(run_id, bodies, epoch=None, status=play.state.status)
        self._written[run_id] = max(done, len(play.events))
        if news:
            self.bus.publish(News(run_id, len(play.events)))

    async def settled(self, run_id: RunId = R1) -> None:
        """Everything is shown, and it is what the log says."""
        await self.outbox.settle(run_id, within_s=WITHIN_S)
        self.check_alive()
        left = [left.run_id for left in await self.store.undelivered()]
        assert run_id not in left, f"not settled; calls: {self.platform.calls[-6:]}"

    def shown(self, run_id: RunId = R1) -> list[str]:
        return [
            c.id.removeprefix(f"{run_id}:") for c in self.platform.seen() if c.id.startswith(f"{run_id}:")
        ]

    def card(self, name: str) -> Card:
        (found,) = [c for c in self.platform.seen() if name in c.id]
        return found


@asynccontextmanager
async def office(folder: Path, **platform: Any) -> AsyncGenerator[Office]:
    store = await SqliteStore.open(folder / "quartet.db", owners_dir=folder / "owners")
    built = Office(store, MemoryPlatform(**platform))
    built.start()
    try:
        yield built
    finally:
        await built.kill()
        await store.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(progress_module, "BACKOFF_S", (0.01, 0.02))
    monkeypatch.setattr(outbox_module, "SWEEP_S", 0.05)
    with capture_logs():  # painting a traceback takes longer than a test may
        yield


APPROVAL = "approval:r1-plan_approval-1"
WHOLE = ["status", APPROVAL, "answer"]


def asked() -> Play:
    """Waiting for approval; the ids in the store are those of the run r1."""
    return Play(run_id=R1).to_approval()


# ── the common way ───────────────────────────────────────────────────────────────────────────


async def test_run_is_shown_from_its_first_card_to_its_answer(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        play = Play(run_id=R1)
        await o.write(play)
        await o.settled()
        assert o.shown() == ["status"]
        await o.write(play.to_approval())
        await o.settled()
        assert o.shown() == ["status", APPROVAL]
        assert len(o.card("approval").buttons) == 4
        await o.write(play.decide("approve").done("builder", draft()).done("reviewer", review()))
        await o.settled()
        assert o.shown() == WHOLE
        assert o.card("approval").buttons == ()
        assert o.card("status").status == "done"
        assert len(o.platform.made("post")) == 3
        assert o.platform.made("find") == []


async def test_everything_at_once_is_three_posts_and_no_edit(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        await o.kill()  # else it may see the run half written
        await o.write(Play(run_id=R1).to_end())
        o.start()
        await o.settled()
        assert o.shown() == WHOLE
        assert [c.kind for c in o.platform.calls] == ["post"] * 3


async def test_nothing_is_sent_while_nothing_changes(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        await o.write(asked())
        await o.settled()
        before = len(o.platform.calls)
        for _ in range(20):
            o.bus.publish(News(R1, 0))
        await o.restart()
        marker = Play(run_id=RunId("r2"))
        await o.write(marker, RunId("r2"), talk="web:local:general:other")
        await o.settled(RunId("r2"))
        assert len(o.platform.calls) == before + 1


async def test_what_another_process_appended_is_noticed_without_news(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        await o.write(asked(), news=False)
        await o.settled()
        assert o.shown() == ["status", APPROVAL]


async def test_queued_turns_of_a_conversation_are_shown_side_by_side(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        await o.write(asked())
        queued = Play(run_id=RunId("r2"), started=False)
        await o.write(queued, RunId("r2"))
        await o.settled()
        await o.settled(RunId("r2"))
        assert [c.status for c in o.platform.seen() if c.kind == "status"] == [
            "waiting for approval",
            "queued behind an earlier turn",
        ]


async def test_runs_of_other_platforms_are_left_alone(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        await o.write(Play(run_id=R1).to_end(), talk="terminal:local:t:1")
        await o.write(Play(run_id=RunId("r2")).to_end(), RunId("r2"), talk="no conversation key at all")
        mine = Play(run_id=RunId("r3")).to_approval()
        await o.write(mine, RunId("r3"), talk="web:local:general:mine")
        await o.settled(RunId("r3"))
        assert {c.conversation for c in o.platform.calls} == {"web:local:general:mine"}


async def test_conversation_id_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        await o.write(Play(run_id=RunId("r2")).to_approval(), RunId("r2"), talk="web:broken")
        await o.write(asked())
        await o.settled()
        o.check_alive()
        assert o.shown() == ["status", APPROVAL]


# ── never twice ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("nth", [0, 1, 2])
async def test_post_whose_answer_was_lost_is_found_and_not_repeated(tmp_path: Path, nth: int) -> None:
    async with office(tmp_path) as o:
        o.platform.go_wrong("post", *[None] * nth, Lost())
        await o.write(Play(run_id=R1).to_end())
        await o.settled()
        assert o.shown() == WHOLE
        assert len(o.platform.made("post")) == 3
        assert len(o.platform.made("find")) == 1


async def test_post_that_did_not_happen_is_made_again_after_a_look(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        o.platform.go_wrong("post", PlatformDown("no answer", outcome_unknown=True), PlatformDown("502"))
        await o.write(asked())
        await o.settled()
        assert o.shown() == ["status", APPROVAL]


async def test_find_that_fails_as_well_posts_nothing_until_it_answers(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        o.platform.go_wrong("post", Lost())
        o.platform.go_wrong(
            "find", PlatformDown("502"), PlatformDown("502"), RateLimited("slow", retry_after_s=0.05)
        )
        await o.write(asked())
        await o.settled()
        assert o.shown() == ["status", APPROVAL]
        assert len(o.platform.made("find")) == 4
        assert o.platform.too_early == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [0, 1, 2])
async def test_restart_between_intent_and_saved_posts_once(tmp_path: Path, when: str, nth: int) -> None:
    """Killed before the platform had the card, or after it had and before we knew."""
    async with office(tmp_path) as o:
        held = Held(asyncio.Event(), "before" if when == "before" else "after")
        o.platform.go_wrong("post", *[None] * nth, held)
        await o.write(Play(run_id=R1).to_end())
        await o.platform.until(lambda: len(o.platform.made("post")) == nth + 1 and
                               (when == "before" or len(o.platform.messages) == nth + 1))  # fmt: skip
        await o.restart()
        await o.settled()
        assert o.shown() == WHOLE


async def test_card_that_was_found_shows_the_newest_version(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        o.platform.go_wrong("post", Held(asyncio.Event(), "after"))
        play = Play(run_id=R1)
        await o.write(play)
        await o.platform.until(lambda: len(o.platform.messages) == 1)
        await o.kill()
        await o.write(play.stop(), news=False)
        o.start()
        await o.settled()
        assert o.card("status").status == "stopped by Ada"
        assert o.shown() == ["status", "answer"]


async def test_edit_whose_answer_was_lost_is_repeated_harmlessly(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        play = Play(run_id=R1)
        await o.write(play)
        await o.settled()
        o.platform.go_wrong("edit", Lost(), PlatformDown("502"))
        await o.write(play.done("researcher", brief()))
        await o.settled()
        assert o.shown() == ["status"]
        assert len(o.platform.made("post")) == 1


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_goes_wrong_each_card_is_there_once_and_newest(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    async with office(tmp_path) as o:
        o.platform.under_way_s = 0.1
        play = Play(run_id=R1)
        steps: list[Callable[[], object]] = [
            lambda: play.done("researcher", brief()),
            lambda: play.done("planner", plan()),
            lambda: play.decide("changes", comment="x"),
            lambda: play.done("planner", plan("second")),
            lambda: play.decide("approve"),
            lambda: play.done("builder", draft()),
            lambda: play.done("reviewer", review()),
        ]
        for step in [lambda: None, *steps]:
            step()
            for kind in ("post", "edit", "find"):
                o.platform.go_wrong(kind, *[_trouble(dice, kind) for _ in range(dice.randint(0, 2))])
            await o.write(play, news=dice.random() < 0.7)
            if dice.random() < 0.5:
                calls = len(o.platform.calls)
                with suppress(TimeoutError):
                    await o.platform.until(lambda n=calls: len(o.platform.calls) > n, within_s=0.1)
            if dice.random() < 0.4:
                await o.restart()
        await o.settled()
        state = play.state
        wanted = present(quartet(), state, titles=TITLES, doing={})
        shown = o.platform.seen()
        assert sorted(c.id for c in shown) == sorted(c.id for c in wanted)
        assert {c.id: c.status for c in shown} == {c.id: c.status for c in wanted}
        assert {c.id: c.buttons for c in shown} == {c.id: c.buttons for c in wanted}
        assert o.platform.too_early == []


def _trouble(dice: random.Random, kind: str) -> Trouble:
    troubles: list[Trouble] = [
        None,
        PlatformDown("502"),
        PlatformDown("no answer", outcome_unknown=True),
        RateLimited("slow down", retry_after_s=0.2),
    ]
    return dice.choice(troubles if kind == "find" else [*troubles, Lost()])


# ── newest only, answers first ───────────────────────────────────────────────────────────────


async def test_versions_in_between_are_never_sent(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        play = Play(run_id=R1)
        await o.write(play)
        await o.settled()
        gate = asyncio.Event()
        o.platform.go_wrong("edit", Held(gate))
        for n in range(40):
            await o.write(play.steer(f"message {n}", key=f"s{n}"))
        await o.platform.until(lambda: bool(o.platform.made("edit")))
        gate.set()
        await o.settled()
        assert len(o.platform.made("edit")) <= 3
        notes = [p for p in o.card("status").parts if p.kind == "notes"]
        assert len(notes[0].notes) == 40


async def test_progress_is_edited_no_more_often_than_the_platform_wants(tmp_path: Path) -> None:
    async with office(tmp_path, edit_interval_s=0.2) as o:
        await o.write(Play(run_id=R1))
        await o.settled()
        for n in range(60):
            o.bus.publish(News(R1, 2, {"researcher": f"page {n}"}))
            await asyncio.sleep(0.01)
        row = "page 59"
        await o.platform.until(lambda: row in o.card("status").model_dump_json())
        times = [c.at for c in o.platform.made("edit")]
        assert (
            2 <= len(times) <= 20
        )  # 60 were asked for; how many fit depends on the machine, their distance not
        assert all(b - a >= 0.19 for a, b in pairwise(times))


async def test_answer_and_approval_do_not_wait_for_the_edit_interval(tmp_path: Path) -> None:
    async with office(tmp_path, edit_interval_s=30.0) as o:
        play = Play(run_id=R1)
        await o.write(play)
        await o.settled()
        await o.write(play.steer("one"))
        await o.platform.until(lambda: len(o.platform.made("edit")) == 1)
        await o.write(play.to_approval())
        await o.platform.until(lambda: APPROVAL in o.shown())
        await o.write(play.decide("approve").done("builder", draft()).done("reviewer", review()))
        await o.settled()
        assert o.shown() == WHOLE
        assert o.card("status").status == "done"


async def test_answer_does_not_wait_for_a_progress_edit_in_flight(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        play = Play(run_id=R1)
        await o.write(play)
        await o.settled()
        gate = asyncio.Event()
        o.platform.go_wrong("edit", Held(gate))  # the platform is slow with this one
        await o.write(play.steer("one"))
        await o.platform.until(lambda: len(o.platform.made("edit")) == 1)
        await o.write(play.to_end())
        await o.platform.until(lambda: "answer" in o.shown())
        assert len(o.platform.made("edit")) == 1
        gate.set()
        await o.settled()
        assert o.card("status").status == "done"
        assert o.shown() == WHOLE


async def test_other_conversations_do_not_wait(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        gate = asyncio.Event()
        o.platform.go_wrong("post", Held(gate))
        await o.write(asked())
        await o.platform.until(lambda: len(o.platform.made("post")) == 1)
        await o.write(Play(run_id=RunId("r2")).to_end(), RunId("r2"), talk="web:local:general:other")
        await o.settled(RunId("r2"))
        assert o.shown(RunId("r2"))[-1] == "answer"
        gate.set()
        await o.settled()


async def test_answer_does_not_wait_for_the_edit_that_says_who_approved(tmp_path: Path) -> None:
    async with office(tmp_path, platform="slack") as o:
        play = Play(run_id=R1).to_approval()
        await o.write(play, talk=FAR)
        await o.settled()
        gate = asyncio.Event()
        o.platform.go_wrong("edit", Held(gate), Held(gate))  # there is no room for edits, or Slack is slow
        await o.write(play.decide("approve"), talk=FAR)
        await o.platform.until(lambda: len(o.platform.made("edit", "approval")) == 1)
        await o.write(play.done("builder", draft()).done("reviewer", review()), talk=FAR)
        await o.platform.until(lambda: "answer" in o.shown())
        assert len(o.platform.made("edit", "approval")) == 1
        gate.set()
        await o.settled()
        assert o.card("approval").status == "approved by Ada"
        assert unordered(o) == sorted(WHOLE)


# ── rate limits ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["post", "edit"])
async def test_rate_limit_is_obeyed_and_loses_nothing(tmp_path: Path, kind: str) -> None:
    async with office(tmp_path) as o:
        play = Play(run_id=R1)
        if kind == "edit":
            await o.write(play)
            await o.settled()
        o.platform.go_wrong(kind, *[RateLimited("slow down", retry_after_s=0.25)] * 2)
        await o.write(play.steer("one"))
        await o.platform.until(lambda: len(o.platform.made(kind)) == 1)
        for n in range(10):  # news do not shorten the wait
            await o.write(play.steer(f"more {n}", key=f"k{n}"))
        await o.write(play.to_end())
        await o.settled()
        assert o.platform.too_early == []
        assert o.shown() == WHOLE
        assert o.card("status").status == "done"


# ── deleted and refused ──────────────────────────────────────────────────────────────────────


async def test_deleted_status_card_stays_deleted(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        play = Play(run_id=R1)
        await o.write(play)
        await o.settled()
        o.platform.delete("status")
        before = len(o.platform.made("edit", "status"))  # one, where its first facts were shown apart
        await o.write(play.to_approval())
        await o.settled()
        await o.restart()
        await o.write(play.decide("approve").done("builder", draft()).done("reviewer", review()))
        await o.settled()
        assert o.shown() == [APPROVAL, "answer"]
        assert len(o.platform.made("edit", "status")) == before + 1


async def test_card_that_a_person_deleted_before_all_of_it_was_there_is_not_tried_again(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as o:
        o.platform.go_wrong("post", MessageGone("the message was deleted"))
        await o.write(Play(run_id=R1).to_end())
        await o.settled()
        await o.restart()
        await o.settled()
        assert o.shown() == [APPROVAL, "answer"]
        assert len(o.platform.made("post", "status")) == 1


@pytest.mark.parametrize(
    "error", [CardRefused("too large"), NotAllowed("missing scope"), RuntimeError("bug")]
)
async def test_refused_card_does_not_silence_the_rest(tmp_path: Path, error: Exception) -> None:
    async with office(tmp_path) as o:
        o.platform.go_wrong("post", error)
        await o.write(Play(run_id=R1).to_end())
        await o.settled()
        assert [c for c in o.shown() if c != "status"] == [APPROVAL, "answer"]


@pytest.mark.parametrize("error", [CardRefused("too large"), NotAllowed("missing scope")])
async def test_refused_edit_is_not_repeated_but_the_next_version_is_sent(
    tmp_path: Path, error: Exception
) -> None:
    async with office(tmp_path) as o:
        play = Play(run_id=R1)
        await o.write(play)
        await o.settled()
        o.platform.go_wrong("edit", error)
        await o.write(play.done("researcher", brief()))
        await o.settled()
        assert len(o.platform.made("edit")) == 1
        await o.restart()
        await o.write(
            play.done("planner", plan()).decide("approve").done("builder", draft()).done("reviewer", review())
        )
        await o.settled()
        assert o.card("status").status == "done"
        assert o.shown() == WHOLE


@pytest.mark.parametrize("kind", ["post", "edit"])
async def test_card_that_breaks_in_an_unforeseen_way_is_tried_again(tmp_path: Path, kind: str) -> None:
    async with office(tmp_path) as o:
        play = Play(run_id=R1)
        await o.write(play)
        await o.settled()
        o.platform.go_wrong(kind, *[RuntimeError("bug")] * 3)
        await o.write(play.to_approval())
        await o.settled()
        assert o.shown() == ["status", APPROVAL]
        assert o.card("status").status == "waiting for approval"


@pytest.mark.parametrize("error", [NotAllowed("missing scope"), ConversationGone("archived")])
async def test_conversation_that_is_gone_is_not_asked_for_ever(tmp_path: Path, error: Exception) -> None:
    async with office(tmp_path) as o:
        o.platform.go_wrong("post", Lost(), *[error] * 50)
        o.platform.go_wrong("find", *[error] * 50)
        await o.write(asked())
        await o.settled()
        assert len(o.platform.calls) <= 4


async def test_waiting_runs_leave_nothing_in_memory(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        for n in range(20):
            run = RunId(f"r{n}")
            await o.write(Play(run_id=run).to_approval(), run, talk=f"web:local:general:c{n}")
        for n in range(20):
            await o.settled(RunId(f"r{n}"))
        memories = ("_states", "_shown", "_doing", "_conversations", "_progress", "_lanes")
        assert {name: len(vars(o.outbox)[name]) for name in memories} == dict.fromkeys(memories, 0)


async def test_intent_is_durable_before_the_platform_is_asked(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        o.platform.go_wrong("post", Held(asyncio.Event()))
        await o.write(asked())
        await o.platform.until(lambda: bool(o.platform.made("post")))
        (delivery,) = (await o.store.deliveries(R1)).values()
        assert isinstance(delivery, Delivery)
        assert (delivery.state, delivery.message) == ("intent", None)
        assert delivery.conversation_id == ConversationRef.from_key(TALK).key


async def test_automatic_run_is_two_cards(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        play = Play(run_id=R1, settings=RunSettings(approvals="auto"))
        play.to_approval().done("builder", draft()).done("reviewer", review())
        await o.write(play)
        await o.settled()
        assert o.shown() == ["status", "answer"]


# ── progress holds nothing up ────────────────────────────────────────────────────────────────

FAR = "slack:T1:C1:17.1"


def unordered(o: Office) -> list[str]:
    return sorted(o.shown())


async def test_first_sign_of_life_is_the_status_card(tmp_path: Path) -> None:
    async with office(tmp_path, platform="slack") as o:
        await o.write(Play(run_id=R1), talk=FAR)
        await o.settled()
        await o.write(asked(), talk=FAR)
        await o.settled()
        assert o.shown() == ["status", APPROVAL]


async def test_what_people_wait_for_goes_before_a_status_card_that_waits_too(tmp_path: Path) -> None:
    async with office(tmp_path, platform="slack") as o:
        await o.kill()
        await o.write(Play(run_id=R1).to_end(), talk=FAR)
        o.start()
        await o.settled()
        assert o.shown() == [APPROVAL, "answer", "status"]
        assert [c.kind for c in o.platform.calls] == ["post"] * 3


@pytest.mark.parametrize("kind", ["post", "edit"])
@pytest.mark.parametrize("platform", ["slack", "web"])
@pytest.mark.parametrize(
    "error", [RateLimited("slow down", retry_after_s=1.0), PlatformDown("502")], ids=["limit", "outage"]
)
async def test_status_card_that_is_refused_for_now_holds_nothing_up(
    tmp_path: Path, kind: str, platform: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "BACKOFF_S", (2.0,))
    async with office(tmp_path, platform=platform) as o:
        play = Play(run_id=R1)
        talk = FAR if platform == "slack" else TALK
        if kind == "edit":
            await o.write(play, talk=talk)
            await o.settled()
        o.platform.go_wrong(kind, error)
        await o.write(play.steer("one"), talk=talk)
        await o.platform.until(lambda: len(o.platform.made(kind, "status")) == 1)
        refused = o.platform.made(kind, "status")[0].at
        await o.write(play.to_end(), talk=talk)
        await o.platform.until(lambda: "answer" in o.shown())
        assert len(o.platform.made(kind, "status")) == 1
        await o.settled()
        assert unordered(o) == sorted(WHOLE)
        assert o.card("status").status == "done"  # the newest version, not the one that was refused
        again = o.platform.made(kind, "status")[1].at
        assert again - refused >= 1.0
        assert o.platform.too_early == []


async def test_post_that_was_refused_for_now_is_not_looked_for(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        o.platform.go_wrong("post", *[RateLimited("slow", retry_after_s=0.02)] * 3, PlatformDown("502"))
        await o.write(asked())
        await o.settled()
        assert unordered(o) == [APPROVAL, "status"]
        assert o.platform.made("find") == []


async def test_limit_on_an_answer_is_obeyed(tmp_path: Path) -> None:
    async with office(tmp_path, platform="slack") as o:
        await o.write(asked(), talk=FAR)
        await o.settled()
        o.platform.go_wrong("post", *[RateLimited("slow", retry_after_s=0.2)] * 2)
        play = asked().decide("approve").done("builder", draft()).done("reviewer", review())
        await o.write(play, talk=FAR)
        for _ in range(10):  # news do not shorten the wait
            o.bus.publish(News(R1, 0))
            await asyncio.sleep(0.01)
        await o.settled()
        assert o.platform.too_early == []
        assert len(o.platform.made("post", "answer")) == 3
        assert unordered(o) == sorted(WHOLE)


async def test_status_card_of_one_run_does_not_delay_another_runs_answer(tmp_path: Path) -> None:
    async with office(tmp_path, platform="slack") as o:
        gate = asyncio.Event()
        o.platform.go_wrong("post", Held(gate))
        await o.write(Play(run_id=R1), talk=FAR)
        await o.platform.until(lambda: len(o.platform.made("post")) == 1)
        second = Play(run_id=RunId("r2")).to_end()
        await o.write(second, RunId("r2"), talk=FAR)
        await o.platform.until(lambda: "answer" in o.shown(RunId("r2")))
        gate.set()
        await o.settled()
        await o.settled(RunId("r2"))
        assert len(o.platform.made("post")) == 4


async def test_killed_while_a_status_card_is_posted_beside_an_answer_leaves_one_of_each(
    tmp_path: Path,
) -> None:
    async with office(tmp_path, platform="slack") as o:
        o.platform.go_wrong("post", Held(asyncio.Event(), "after"))
        play = Play(run_id=R1)
        await o.write(play, talk=FAR)
        await o.platform.until(lambda: len(o.platform.messages) == 1)
        await o.write(play.to_end(), talk=FAR)
        await o.platform.until(lambda: "answer" in o.shown())
        await o.restart()
        await o.settled()
        assert unordered(o) == sorted(WHOLE)
        assert len(o.platform.made("find", "status")) == 1


# ── outages ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["post", "edit"])
async def test_refusal_of_a_platform_in_trouble_is_an_outage_and_not_a_refused_card(
    tmp_path: Path, kind: str
) -> None:
    async with office(tmp_path) as o:
        play = Play(run_id=R1)
        if kind == "edit":
            await o.write(play)
            await o.settled()
        o.platform.trouble = "SLACK_BOT_TOKEN is not valid any more; set a new one"
        o.platform.go_wrong(kind, *[NotAllowed("invalid_auth")] * 8)
        await o.write(play.to_end())
        await o.platform.until(lambda: not o.platform.troubles[kind])
        o.platform.trouble = ""
        await o.settled()
        assert unordered(o) == sorted(WHOLE)
        assert o.card("status").status == "done"


async def test_refusal_is_one_where_a_platform_only_lacks_something(tmp_path: Path) -> None:
    async with office(tmp_path) as o:
        o.platform.lacking = "messages come without their text; switch on the Message Content Intent"
        o.platform.go_wrong("post", NotAllowed("the thread is locked"))
        await o.write(Play(run_id=R1))
        await o.settled()
        assert len(o.platform.made("post", "status")) == 1


async def test_cards_of_a_platform_that_is_not_connected_wait_and_are_sent_when_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "BACKOFF_S", (3_600.0,))
    async with office(tmp_path) as o:
        o.connected = False
        await o.write(asked())
        await o.platform.until(lambda: True)
        with suppress(TimeoutError):
            await o.platform.until(lambda: bool(o.platform.calls), within_s=0.2)
        assert o.platform.calls == []
        o.connected = True
        o.outbox.resume("web")
        await o.platform.until(lambda: o.shown() == ["status", APPROVAL])
        await o.settled()


async def test_where_one_conversation_gets_through_the_others_wait_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []

    def next_pause(_failures: int) -> float:
        paused.append(0.1 if len(paused) > 1 else 3_600.0 if not paused else 0.5)
        return paused[-1]

    monkeypatch.setattr(outbox_module, "backoff", next_pause)
    async with office(tmp_path, platform="slack") as o:
        await o.kill()  # both begin with the whole run: of a part, the status card would meet the trouble
        first, second = RunId("r1"), RunId("r2")
        await o.write(Play(run_id=first).to_end(), first, talk="slack:T1:C1:1.1")
        await o.write(Play(run_id=second).to_end(), second, talk="slack:T1:C1:2.2")
        o.platform.go_wrong("post", *[PlatformDown("502")] * 2)
        o.start()
        await o.platform.until(
            lambda: all(any(c.id == f"{run}:answer" for c in o.platform.seen()) for run in (first, second)),
        )
        assert paused[:2] == [3_600.0, 0.5]


async def test_status_card_that_waits_for_an_outage_is_sent_when_the_platform_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "BACKOFF_S", (3_600.0,))
    async with office(tmp_path, platform="slack") as o:
        o.platform.go_wrong("post", PlatformDown("502"))
        await o.write(Play(run_id=R1), talk=FAR)
        await o.platform.until(lambda: len(o.platform.made("post")) == 1)
        with suppress(TimeoutError):
            await o.platform.until(lambda: len(o.platform.calls) > 1, within_s=0.2)
        assert o.shown() == []
        o.outbox.resume("slack")
        await o.platform.until(lambda: o.shown() == ["status"])


def test_tries_grow_rarer_up_to_a_minute_and_never_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for failures in range(1, 200):
        pauses = {progress_module.backoff(failures) for _ in range(20)}
        assert len(pauses) > 10
        assert all(0.4 < p <= 60 for p in pauses)
    assert min(progress_module.backoff(100) for _ in range(50)) >= 30


# ── what goes on, in a line ──────────────────────────────────────────────────────────────────


async def test_work_is_said_when_it_begins_and_taken_back_when_it_ends(tmp_path: Path) -> None:
    async with office(tmp_path, platform="slack") as o:
        play = Play(run_id=R1)
        await o.write(play, talk=FAR)
        await o.platform.until(lambda: bool(o.platform.lines))
        assert o.platform.lines == [(FAR, "Researcher works")]
        for n in range(20):
            o.bus.publish(News(R1, 2, {"researcher": f"page {n}"}))
        await o.write(play.done("researcher", brief()), talk=FAR)
        await o.settled()
        assert len(o.platform.lines) == 1  # it changed, but not 45 s have gone by
        await o.write(play.done("planner", plan()), talk=FAR)
        await o.platform.until(lambda: len(o.platform.lines) == 2)
        assert o.platform.lines[-1] == (FAR, "")


async def test_line_is_said_again_in_time_with_what_goes_on_then(tmp_path: Path) -> None:
    async with office(tmp_path, platform="slack") as o:
        o.busy_every_s = 0.2
        await o.restart()
        await o.write(Play(run_id=R1), talk=FAR)
        await o.platform.until(lambda: len(o.platform.lines) == 1)
        o.bus.publish(News(R1, 2, {"researcher": "reads"}))
        await o.platform.until(lambda: len(o.platform.lines) >= 3)
        assert o.platform.lines[1:3] == [(FAR, "Researcher: reads")] * 2


async def test_line_that_hangs_or_breaks_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office(tmp_path, platform="slack") as o:
        called = asyncio.Event()

        async def hangs(conversation: ConversationRef, text: str) -> None:
            called.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(o.platform, "busy", hangs)
        await o.write(Play(run_id=R1).done("researcher", brief()), talk=FAR)
        await called.wait()
        await o.write(Play(run_id=R1).to_end(), talk=FAR)
        await o.settled()
        assert "answer" in o.shown()

        async def breaks(conversation: ConversationRef, text: str) -> None:
            raise RuntimeError("bug")

        monkeypatch.setattr(o.platform, "busy", breaks)
        second = RunId("r2")
        await o.write(Play(run_id=second).to_end(), second, talk="slack:T1:C2:1")
        await o.settled(second)
        assert "answer" in o.shown(second)
