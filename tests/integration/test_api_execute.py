"""`/api/execute` over a real server: waiting, streams that are cut and go on, strategies, hostile goals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
import pytest_asyncio

from bot.api.access import Access
from config.documents import read_model
from config.paths import WORKFLOWS_DIR
from orchestrator.errors import AgentFailed
from orchestrator.events import Json
from orchestrator.ports import StepInput, StepSink
from orchestrator.workflow import Workflow
from tests.house import BRIEF, DRAFT, REVIEW, ScriptedAgents
from tests.integration import api_harness
from tests.integration.api_harness import Api, api, sse

pytestmark = pytest.mark.timeout(120)
GOAL = {
    "title": "A guest book",
    "description": "People sign it.",
    "constraints": ["no login"],
    "success_criteria": "it opens",
}
PLAN: Json = {
    "goal": "Build a guest book",
    "outline": ["Book"],
    "tasks": [
        {
            "id": "text-last",
            "title": "Put together",
            "depends_on": ["text-a", "text-b"],
            "acceptance": "whole",
        },
        {"id": "text-a", "title": "First page", "depends_on": [], "acceptance": ""},
        {"id": "text-b", "title": "Second page", "depends_on": [], "acceptance": ""},
        {"id": "text-c", "title": "Third page", "depends_on": [], "acceptance": ""},
    ],
    "risks": [],
}
Event = dict[str, Any]


@pytest.fixture(autouse=True)
def goal_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of these tests know the workflow of executions."""
    definition = read_model(WORKFLOWS_DIR / "goal.yaml", Workflow)
    monkeypatch.setitem(api_harness.WORKFLOWS, "goal", definition)


@pytest_asyncio.fixture
async def running(tmp_path: Path) -> AsyncGenerator[Api]:
    async with api(tmp_path, heartbeat_s=0.2) as started:
        yield started


class Builders:
    """Counts how many tasks are worked on at once; the answer itself comes last."""

    def __init__(self, running: Api, tasks: int = 4, *, meet: int = 1) -> None:
        self.now = self.most = 0
        self._service = running.house.service
        self.order: list[str] = []
        self.seen: dict[str, list[str]] = {}
        self.enough = asyncio.Event()
        self._meet = meet
        running.agents.say("researcher", BRIEF)
        running.agents.say("planner", PLAN)
        running.agents.say("builder", *[self.task] * tasks, DRAFT)
        running.agents.say("reviewer", REVIEW)

    async def task(self, step: StepInput, sink: StepSink) -> Json:
        self.now += 1
        # The log says who else has begun, also those who did not get as far as to be here.
        nodes = (await self._service.state(step.run_id)).nodes
        begun = [
            name for name, node in nodes.items() if name.startswith("work[") and node.status == "working"
        ]
        self.most = max(self.most, self.now, len(begun))
        item = step.item
        assert isinstance(item, dict)
        name = str(cast("Json", item)["id"])
        self.seen[name] = sorted(step.outputs)
        if self.now >= self._meet:
            self.enough.set()
        async with asyncio.timeout(20):
            await self.enough.wait()
        await asyncio.sleep(0)
        self.now -= 1
        self.order.append(name)
        return {**DRAFT, "body": f"made {name}", "files": [{"name": f"{name}.txt", "text": name}]}


async def stream(
    running: Api, params: Mapping[str, str], *, after: str = "", most: int = 10_000, status: int = 200
) -> list[Event]:
    """Events until the end, or until so many have come: then the connection is cut."""
    found: list[Event] = []
    headers = {"Last-Event-ID": after} if after else {}
    async with running.client.stream(
        "GET", "/api/execute/stream", params=dict(params), headers=headers
    ) as answer:
        assert answer.status_code == status, await answer.aread()
        if status != 200:
            return []
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for event in sse(answer):
            if "comment" in event:
                continue
            found.append({**event, "data": json.loads(event["data"])})
            if len(found) >= most:
                break
    return found


async def runs(running: Api) -> int:
    return len((await running.client.get("/v1/runs")).json()["items"])


# ── the call that waits ──────────────────────────────────────────────────────────────────────


async def test_a_goal_is_planned_worked_on_and_answered(running: Api) -> None:
    Builders(running)
    answer = await running.client.post("/api/execute", json={"goal": GOAL})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    shown = body["execution"]
    assert shown["status"] == "completed"
    assert shown["goal"]["title"] == "A guest book"
    assert shown["goal"]["success_criteria"] == ["it opens"]
    assert shown["executionTime"] >= 0
    plan = shown["plan"]
    assert plan["strategy"] == "simple"
    assert plan["parallelism"] == 1
    assert [s["id"] for s in plan["steps"]] == ["text-a", "text-b", "text-c", "text-last"]
    assert {s["status"] for s in plan["steps"]} == {"completed"}
    tools = [t["tool"] for t in shown["tasks"]]
    assert tools == ["researcher", "planner", *["builder"] * 5, "reviewer"]
    assert {t["priority"] for t in shown["tasks"]} == {"medium"}
    assert body["result"] == "Tea is warm [1]."
    assert {f["name"] for f in body["files"]} == {f"text-{n}.txt" for n in ("a", "b", "c", "last")}
    asked = running.agents.called("planner")[0].turn.text
    assert "Constraints:\n- no login" in asked
    again = await running.client.get(f"/api/execute/{shown['id']}")
    assert again.json() == body


async def test_an_execution_is_seen_among_the_runs(running: Api) -> None:
    Builders(running)
    shown = (await running.client.post("/api/execute", json={"goal": "x"})).json()["execution"]
    run = (await running.client.get(f"/v1/runs/{shown['runId']}")).json()
    assert run["workflow"] == "goal"
    assert run["status"] == "completed"


async def test_what_a_task_depends_on_is_there_when_it_begins(running: Api) -> None:
    builders = Builders(running)
    await running.client.post("/api/execute", json={"goal": "x", "strategy": "parallel_optimize"})
    assert builders.order[-1] == "text-last"
    assert {"work[text-a]", "work[text-b]"} <= set(builders.seen["text-last"])
    assert not any(name.startswith("work[") for name in builders.seen["text-c"])


async def test_one_failed_task_does_not_lose_the_rest(running: Api) -> None:
    builders = Builders(running, tasks=0)
    running.agents.script["builder"].clear()
    running.agents.say("builder", AgentFailed("no luck"), builders.task, builders.task, builders.task, DRAFT)
    body = (await running.client.post("/api/execute", json={"goal": "x"})).json()
    shown = body["execution"]
    assert shown["status"] == "completed"
    assert [s["status"] for s in shown["plan"]["steps"]] == ["failed", "completed", "completed", "completed"]
    assert [t["status"] for t in shown["tasks"]].count("failed") == 1
    merged = running.agents.called("builder")[-1]
    assert "1 of 4 tasks failed" in merged.task
    assert "work[text-a]" not in builders.seen["text-last"]


async def test_a_run_that_fails_says_why_and_is_an_answer_all_the_same(running: Api) -> None:
    running.agents.say("researcher", BRIEF)
    running.agents.say("planner", AgentFailed("the planner is out"))
    answer = await running.client.post("/api/execute", json={"goal": "x"})
    assert answer.status_code == 200
    assert answer.json()["execution"]["status"] == "failed"
    assert "the planner is out" in answer.json()["execution"]["error"]
    assert answer.json()["result"] is None


async def test_a_stopped_execution_is_failed_and_says_that_it_was_stopped(running: Api) -> None:
    held = asyncio.Event()

    async def waits(step: StepInput, sink: StepSink) -> Json:
        held.set()
        await asyncio.Event().wait()
        return BRIEF

    running.agents.say("researcher", waits)
    first = await running.client.post("/api/execute", json={"goal": "x", "timeout_s": 0})
    assert first.status_code == 202
    shown = first.json()["execution"]
    assert first.headers["location"] == f"/api/execute/{shown['id']}"
    assert shown["status"] in ("pending", "running")
    await asyncio.wait_for(held.wait(), 20)
    await running.client.post(f"/v1/runs/{shown['runId']}/stop")
    await running.house.ended(shown["runId"])
    after = (await running.client.get(f"/api/execute/{shown['id']}")).json()["execution"]
    assert after["status"] == "failed"
    assert "stopped" in after["error"]
    assert after["tasks"][0]["status"] == "failed"


async def test_hanging_up_does_not_stop_the_execution(running: Api) -> None:
    builders = Builders(running, meet=2)  # with one at a time the first task waits for ever
    with pytest.raises(httpx2.ReadTimeout):
        await running.client.post("/api/execute", json={"goal": "x"}, timeout=1.0)
    builders.enough.set()
    [row] = (await running.client.get("/v1/runs")).json()["items"]
    assert (await running.house.ended(row["id"])).status == "completed"


async def test_the_same_key_is_the_same_execution(running: Api) -> None:
    Builders(running)
    headers = {"Idempotency-Key": "k-1"}
    one = (await running.client.post("/api/execute", json={"goal": "x"}, headers=headers)).json()
    two = (await running.client.post("/api/execute", json={"goal": "x"}, headers=headers)).json()
    assert one == two
    events = await stream(running, {"goal": "x", "idempotency_key": "k-1"})
    assert events[-1]["data"]["execution"] == one["execution"]
    assert await runs(running) == 1
    other = await running.client.post("/api/execute", json={"goal": "y"}, headers=headers)
    assert other.status_code == 422


async def test_nobody_knows_an_execution_of_another_name(running: Api) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    assert (await running.client.get(f"/api/execute/{unknown}")).status_code == 404
    assert (await running.client.get("/api/execute/nonsense")).status_code == 422


# ── strategies ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("strategy", "meet", "most"), [("simple", 1, 1), ("cost_optimize", 2, 2), ("parallel_optimize", 3, 3)]
)
async def test_a_strategy_says_how_many_tasks_are_at_work_at_once(
    running: Api, strategy: str, meet: int, most: int
) -> None:
    builders = Builders(running, meet=meet)
    body = (await running.client.post("/api/execute", json={"goal": "x", "strategy": strategy})).json()
    assert body["execution"]["status"] == "completed"
    assert builders.most == most
    assert body["execution"]["plan"]["strategy"] == strategy
    assert body["execution"]["plan"]["parallelism"] >= most


async def test_cost_optimize_works_with_the_cheapest_models(running: Api) -> None:
    running.core.thrifty = lambda: {"builder": "openai:gpt-5-nano"}
    Builders(running)
    await running.client.post("/api/execute", json={"goal": "x", "strategy": "cost_optimize"})
    assert running.agents.called("builder")[0].settings.models == {"builder": "openai:gpt-5-nano"}


async def test_resource_aware_names_the_places_that_there_were(running: Api) -> None:
    Builders(running)
    body = (
        await running.client.post("/api/execute", json={"goal": "x", "strategy": "resource_aware"})
    ).json()
    assert 1 <= body["execution"]["plan"]["parallelism"] <= 16
    state = await running.house.service.state(body["execution"]["runId"])
    assert state.created.settings.at_once == body["execution"]["plan"]["parallelism"]


async def test_an_unknown_strategy_is_refused_with_those_there_are(running: Api) -> None:
    for answer in (
        await running.client.post("/api/execute", json={"goal": "x", "strategy": "fast"}),
        await running.client.get("/api/execute/stream", params={"goal": "x", "strategy": "fast"}),
    ):
        assert answer.status_code == 422
        for name in ("simple", "parallel_optimize", "resource_aware", "cost_optimize"):
            assert name in answer.json()["detail"]
    assert await runs(running) == 0


# ── the stream ───────────────────────────────────────────────────────────────────────────────


async def test_the_stream_tells_what_happens_and_ends_with_the_result(running: Api) -> None:
    Builders(running)
    events = await stream(running, {"goal": json.dumps(GOAL), "strategy": "parallel_optimize"})
    assert {e["event"] for e in events} == {"progress", "update", "done"}
    assert events[-1]["event"] == "done"
    assert events[-1]["data"]["result"] == "Tea is warm [1]."
    assert events[-1]["data"]["execution"]["goal"]["title"] == "A guest book"
    assert any("First page" in e["data"].get("message", "") for e in events)
    percents = [e["data"]["percent"] for e in events if e["event"] == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert len({e["id"] for e in events}) == len(events)
    await stream(running, {"goal": json.dumps(GOAL)}, after=events[-1]["id"], status=204)
    assert await runs(running) == 1


async def test_a_stream_that_is_cut_anywhere_goes_on_without_gaps_or_doubles(running: Api) -> None:
    Builders(running)
    params = {"goal": "x"}
    whole = await stream(running, params)
    for cut in range(1, len(whole)):
        begun = whole[:cut]
        rest = await stream(running, params, after=begun[-1]["id"])
        assert [*begun, *rest] == whole, f"cut behind {cut}"
    assert await runs(running) == 1


async def test_a_stream_that_is_cut_after_every_event_while_it_runs_misses_nothing(running: Api) -> None:
    Builders(running)
    params = {"goal": "x"}
    found = await stream(running, params, most=1)
    while found[-1]["event"] != "done":
        more = await stream(running, params, after=found[-1]["id"], most=1)
        assert more, "the stream ended before `done` had come"
        found += more
    assert await runs(running) == 1
    whole = await stream(running, {"id": found[0]["id"].split("/")[0]})
    assert found == whole


async def test_a_silent_stream_beats(running: Api) -> None:
    free = asyncio.Event()

    async def waits(step: StepInput, sink: StepSink) -> Json:
        await free.wait()
        return BRIEF

    Builders(running)
    running.agents.script["researcher"].clear()
    running.agents.say("researcher", waits)
    beats = 0
    async with running.client.stream("GET", "/api/execute/stream", params={"goal": "x"}) as answer:
        assert answer.headers["x-accel-buffering"] == "no"
        async for event in sse(answer):
            beats += "comment" in event
            if beats == 2:
                free.set()
    assert beats >= 2


async def test_an_execution_can_be_looked_at_by_its_id(running: Api) -> None:
    Builders(running)
    body = (await running.client.post("/api/execute", json={"goal": "x"})).json()
    events = await stream(running, {"id": body["execution"]["id"]})
    assert events[-1]["data"]["execution"] == body["execution"]
    await stream(running, {"id": "00000000-0000-0000-0000-000000000000"}, status=404)
    assert await runs(running) == 1


@pytest.mark.parametrize(
    "wrong", ["nonsense", "1", "00000000-0000-0000-0000-000000000000/1", "../../x/1.1", "-1.0", "%00"]
)
async def test_a_position_of_no_stream_is_refused_and_starts_nothing(running: Api, wrong: str) -> None:
    await stream(running, {"goal": "x"}, after=wrong, status=422)
    assert await runs(running) == 0


async def test_a_position_beyond_the_log_is_refused(running: Api) -> None:
    Builders(running)
    events = await stream(running, {"goal": "x"})
    name = events[0]["id"].split("/")[0]
    await stream(running, {"goal": "x"}, after=f"{name}/99999.0", status=422)


async def test_a_foreign_page_cannot_start_anything_by_a_picture(running: Api) -> None:
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = await running.client.get("/api/execute/stream", params={"goal": "x"}, headers=headers)
        assert answer.status_code == 403
    assert await runs(running) == 0


# ── hostile goals ────────────────────────────────────────────────────────────────────────────

DEEP = '{"a":' * 20_000 + "1" + "}" * 20_000


@pytest.mark.parametrize(
    "goal",
    [
        *("", "   ", "a\0b", "\ud800", "x" * 200_001, ["a"], 7, None, True, {}),
        *({"title": ""}, {"title": " \n"}, {"title": 3}, {"title": "\0"}, {"title": "x" * 1001}),
        *({"title": "x", "constraints": ["y"] * 101}, {"title": "x", "constraints": {}}),
        {"title": "x", "description": "y" * 200_001},
    ],
)
async def test_a_goal_that_is_none_is_refused_by_its_field(running: Api, goal: Any) -> None:
    answer = await running.client.post(
        "/api/execute",
        content=json.dumps({"goal": goal}),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    assert any("goal" in field for field in answer.json()["errors"])
    assert await runs(running) == 0


async def test_a_goal_of_200_000_characters_is_taken(running: Api) -> None:
    Builders(running)
    answer = await running.client.post("/api/execute", json={"goal": "x" * 200_000})
    assert answer.json()["execution"]["status"] == "completed"


async def test_json_bombs_are_refused(running: Api) -> None:
    body = await running.client.post(
        "/api/execute", content=f'{{"goal": {DEEP}}}', headers={"Content-Type": "application/json"}
    )
    assert body.status_code == 413
    assert await runs(running) == 0


@pytest.mark.parametrize(
    "goal",
    ["", " ", "a\0b", "[1, 2]", '["a"]', "{}", '{"title": ""}', '{"a":' * 4000 + "1" + "}" * 4000, '""'],
)
async def test_a_goal_in_an_address_is_checked_like_one_in_a_body(running: Api, goal: str) -> None:
    answer = await running.client.get("/api/execute/stream", params={"goal": goal})
    assert answer.status_code == 422, answer.text
    assert await runs(running) == 0


@pytest.mark.parametrize("goal", ["[urgent] mend it", "42", "true", '"quoted" words'])
async def test_words_that_only_look_like_json_are_words(running: Api, goal: str) -> None:
    Builders(running)
    events = await stream(running, {"goal": goal})
    assert events[-1]["data"]["execution"]["goal"] == goal


async def test_no_goal_is_told_what_is_missing(running: Api) -> None:
    answer = await running.client.get("/api/execute/stream")
    assert answer.status_code == 422
    assert "goal" in answer.json()["errors"]


# ── a restart in the middle ──────────────────────────────────────────────────────────────────


async def test_after_a_restart_the_stream_goes_on_where_it_was(tmp_path: Path) -> None:
    async def never(step: StepInput, sink: StepSink) -> Json:
        await asyncio.Event().wait()
        return BRIEF

    async with api(tmp_path) as first:
        first.agents.say("researcher", BRIEF)
        first.agents.say("planner", never)
        begun = await stream(first, {"goal": "x"}, most=4)
        await first.house.until(
            (await first.client.get("/v1/runs")).json()["items"][0]["id"], lambda s: "plan" in s.nodes
        )
    agents = ScriptedAgents()
    agents.say("planner", PLAN)
    agents.say("builder", *[DRAFT] * 5)
    agents.say("reviewer", REVIEW)
    async with api(tmp_path, Access(), agents=agents) as second:
        rest = await stream(second, {"goal": "x"}, after=begun[-1]["id"])
        whole = await stream(second, {"id": begun[0]["id"].split("/")[0]})
        assert [*begun, *rest] == whole
        assert whole[-1]["data"]["execution"]["status"] == "completed"
        assert await runs(second) == 1
