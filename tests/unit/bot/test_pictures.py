"""A workflow's picture: beside the other cards, never before them, drawn in a thread, live on our page."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest

import bot.pictures
from adapters.contract import Card, ImagePart
from adapters.errors import CardRefused, PlatformDown, RateLimited
from adapters.web.pictures import safe_svg
from bot.outbox import Outbox
from bot.pictures import Pictures, statuses_of
from orchestrator.bus import Bus
from orchestrator.events import Body, RunId, StepEnded
from orchestrator.ports import News
from orchestrator.workflow import Workflow
from tests.builders import Play, flow
from tests.unit.bot.office import Desk, desk
from tests.unit.bot.platform import MemoryPlatform

FLOW = flow({"builder": "agent", "ok": "approval of builder", "last": "agent"}, "builder > ok", "ok > last",
            name="ferry")  # fmt: skip


class Room:
    """An outbox at work on a desk's store."""

    def __init__(self, made: Desk, platform: MemoryPlatform, outbox: Outbox, bus: Bus) -> None:
        self.made, self.platform, self.outbox, self.bus = made, platform, outbox, bus
        self.workflows: dict[str, Workflow] = {}

    async def begin(self, workflow: Workflow = FLOW, key: str = "t1") -> RunId:
        self.made.use(workflow)
        receipt = await self.made.intake.take(self.made.turn("Go", key=key, workflow=workflow.name))
        assert receipt.accepted, receipt.text
        run_id = RunId(receipt.run_id)
        await self.go(run_id)
        return run_id

    async def go(self, run_id: RunId, *bodies: Body) -> None:
        state = await self.made.go(run_id, *bodies)
        self.bus.publish(News(run_id, state.seq))

    def card(self, kind: str) -> Card | None:
        found = [card for card in self.platform.seen() if card.kind == kind]
        assert len(found) <= 1
        return found[0] if found else None


@asynccontextmanager
async def room(
    folder: Path, shown: Literal["svg", "png", "words"] = "png", pictures: Pictures | None = None
) -> AsyncGenerator[Room]:
    async with desk(folder) as made:
        platform = MemoryPlatform()
        platform.limits = platform.limits.model_copy(update={"pictures": shown})
        bus = Bus()

        async def definition(digest: str) -> Workflow:
            return next(w for w in made.workflows.values() if w.digest == digest)

        outbox = Outbox(made.store, bus, {"web": platform}, definition, {}, pictures=pictures)
        task = asyncio.create_task(outbox.run())
        try:
            yield Room(made, platform, outbox, bus)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def image(card: Card | None) -> ImagePart:
    assert card is not None
    (part,) = card.parts
    assert isinstance(part, ImagePart)
    return part


async def test_picture_is_posted_once_below_the_status_card(tmp_path: Path) -> None:
    async with room(tmp_path) as r:
        run_id = await r.begin()
        await r.platform.until(lambda: r.card("picture"))
        part = image(r.card("picture"))
        assert base64.b64decode(part.png).startswith(b"\x89PNG")
        assert part.svg == ""
        assert part.alt.startswith("Workflow ferry: 3 steps")
        output = {"body": "x"}
        await r.go(run_id, StepEnded(node="builder", visit=1, attempt=1, output=output))
        await r.platform.until(lambda: r.card("approval"))
        await r.outbox.settle(run_id)
        posts = [call.card_id.rpartition(":")[2] for call in r.platform.made("post")]
        assert posts[:2] == ["status", "picture"]
        assert len(r.platform.made("post", ":picture")) == 1
        assert r.platform.made("edit", ":picture") == []


async def test_usual_workflow_has_no_picture(tmp_path: Path) -> None:
    async with room(tmp_path) as r:
        receipt = await r.made.intake.take(r.made.turn())
        await r.go(RunId(receipt.run_id))
        await r.platform.until(lambda: r.card("status"))
        await r.outbox.settle(RunId(receipt.run_id))
        assert r.card("picture") is None


async def test_picture_on_the_page_follows_the_run(tmp_path: Path) -> None:
    async with room(tmp_path, "svg") as r:
        run_id = await r.begin()
        await r.platform.until(lambda: r.card("picture"))
        before = image(r.card("picture"))
        assert safe_svg(before.svg) is not None
        assert before.png == ""
        assert "working" in before.alt
        await r.go(run_id, StepEnded(node="builder", visit=1, attempt=1, output={"body": "x"}))
        await r.platform.until(lambda: "asking" in image(r.card("picture")).alt)
        assert image(r.card("picture")).svg != before.svg
        assert len(r.platform.made("post", ":picture")) == 1


async def test_words_are_enough_where_nothing_is_drawn(tmp_path: Path) -> None:
    async with room(tmp_path, "words") as r:
        await r.begin()
        await r.platform.until(lambda: r.card("picture"))
        part = image(r.card("picture"))
        assert (part.svg, part.png) == ("", "")
        assert "ferry" in part.alt


async def test_slow_drawing_holds_nothing_up_and_not_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    drawn = bot.pictures._drawn  # pyright: ignore[reportPrivateUsage]

    def slowly(*given: Any) -> ImagePart:
        assert gate.wait(10)
        return drawn(*given)

    monkeypatch.setattr(bot.pictures, "_drawn", slowly)
    async with room(tmp_path) as r:
        try:
            run_id = await r.begin()
            await r.go(run_id, StepEnded(node="builder", visit=1, attempt=1, output={"body": "x"}))
            await r.platform.until(lambda: r.card("approval"))
            assert r.card("picture") is None
        finally:
            gate.set()
        await r.platform.until(lambda: r.card("picture"))


async def test_picture_that_cannot_be_drawn_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> ImagePart:
        raise RuntimeError("no font")

    monkeypatch.setattr(bot.pictures, "_drawn", broken)
    async with room(tmp_path) as r:
        run_id = await r.begin()
        await r.platform.until(lambda: r.card("status"))
        await r.outbox.settle(run_id)
        assert run_id not in [left.run_id for left in await r.made.store.undelivered()]
        assert r.card("picture") is None


@pytest.mark.parametrize("trouble", [RateLimited("slow", retry_after_s=0.05), PlatformDown("away")])
async def test_trouble_with_the_picture_delays_it_alone(tmp_path: Path, trouble: Exception) -> None:
    async with room(tmp_path) as r:
        r.platform.go_wrong("post", None, trouble)
        run_id = await r.begin()
        await r.platform.until(lambda: len(r.platform.made("post", ":picture")) == 1)
        await r.go(run_id, StepEnded(node="builder", visit=1, attempt=1, output={"body": "x"}))
        await r.platform.until(lambda: r.card("approval"))
        await r.platform.until(lambda: r.card("picture"))


async def test_picture_that_is_refused_is_not_tried_for_ever(tmp_path: Path) -> None:
    async with room(tmp_path) as r:
        r.platform.go_wrong("post", None, CardRefused("no pictures here"))
        run_id = await r.begin()
        await r.platform.until(lambda: r.platform.made("post", ":picture"))
        await r.outbox.settle(run_id)
        assert len(r.platform.made("post", ":picture")) == 1


async def test_large_workflow_is_not_drawn_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[float] = []
    drawn = bot.pictures._drawn  # pyright: ignore[reportPrivateUsage]

    def counted(*given: Any) -> ImagePart:
        times.append(time.monotonic())
        return drawn(*given)

    monkeypatch.setattr(bot.pictures, "_drawn", counted)
    monkeypatch.setattr(bot.pictures, "EVERY_S", 0.4)
    workflow = flow({f"s{n}": "agent" for n in range(12)}, strategy="sequential", name="row")
    async with room(tmp_path, "svg") as r:
        run_id = await r.begin(workflow)
        await r.platform.until(lambda: r.card("picture"))
        for n in range(11):
            await r.go(run_id, StepEnded(node=f"s{n}", visit=1, attempt=1, output={"body": "x"}))
        await r.platform.until(lambda: "11 done" in image(r.card("picture")).alt)
        assert len(times) < 8
        assert all(b - a > 0.39 for a, b in pairwise(times))


def test_what_ended_with_the_run_is_skipped_in_the_picture() -> None:
    play = Play(FLOW)
    assert statuses_of(FLOW, play.state) == {"builder": "working"}
    play.stop()
    assert statuses_of(FLOW, play.state) == {"builder": "skipped", "ok": "skipped", "last": "skipped"}


def test_drawings_hold_nothing_but_shapes_and_words() -> None:
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="1">'
    assert safe_svg(f'{head}<rect width="1" fill="#fff"/><text>a &lt;b&gt;</text></svg>') is not None
    for hostile in (
        "", "<svg", "words", "<svg></svg>",
        f"{head}<script>alert(1)</script></svg>",
        f'{head}<rect onclick="alert(1)"/></svg>',
        f'{head}<a href="https://x"><text>x</text></a></svg>',
        f"{head}<foreignObject/></svg>",
        f'{head}<rect fill="url(#x)"/></svg>',
        f'{head}<rect style="x"/></svg>',
        f"{head}<title><rect/></title></svg>",
        f"{head}<![CDATA[<script>]]></svg>",
        f"<!DOCTYPE svg [<!ENTITY a 'b'>]>{head}</svg>",
        f'{head}<x:script xmlns:x="http://www.w3.org/1999/xhtml">1</x:script></svg>',
        f'{head}<animate attributeName="x"/></svg>',
        f'{head}<text class="a&quot; onload=&quot;alert(1)">x</text></svg>'.replace("class", "onload"),
    ):  # fmt: skip
        assert safe_svg(hostile) is None, hostile
