"""`/metrics` as Prometheus reads it: what happened, what is now, and labels that stay few."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect

from bot.api import metrics
from bot.api.access import Access
from bot.api.metrics import Meters
from orchestrator.events import Usage
from orchestrator.measures import Measured, StepDone
from tests.integration.api_harness import ASK, Api, api, turn
from tests.integration.test_api import asked, gated

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def scraped(a: Api, key: str = "") -> Values:
    answer = await a.client.get("/metrics", headers={"X-API-Key": key} if key else {})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return read(answer.text)


def read(text: str) -> Values:
    found: Values = {}
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("quartet_"), family.name
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def of(values: Values, name: str, **labels: str) -> float:
    return values["quartet_" + name, tuple(sorted(labels.items()))]


async def test_runs_steps_and_calls_are_counted(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        before = await scraped(a)
        assert of(before, "runs_ended_total", status="completed") == 0
        a.agents.say_all_good()
        await a.client.post("/v1/chat", json=turn())
        await a.client.get("/v1/runs/nope")
        await a.client.get("/no/such/address")
        after = await scraped(a)
        again = await scraped(a)
    assert of(after, "runs_started_total") == 1
    assert of(after, "runs_ended_total", status="completed") == 1
    for agent in ("researcher", "planner", "builder", "reviewer"):
        assert of(after, "steps_total", agent=agent, outcome="done") == 1
        assert of(after, "step_seconds_count", agent=agent) == 1
    assert of(after, "http_requests_total", method="POST", route="/v1/chat", status="200") == 1
    assert of(after, "http_requests_total", method="GET", route="/v1/runs/{run_id}", status="404") == 1
    assert of(after, "http_requests_total", method="GET", route="other", status="404") == 1
    assert of(after, "process_resident_memory_bytes") > 1_000_000
    assert of(again, "runs_started_total") == 1  # nothing is counted twice
    assert ("quartet_event_loop_lag_seconds", ()) in after


async def test_what_is_now_is_told_and_is_right_after_a_restart(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        await asked(a)
        values = await scraped(a)
        assert of(values, "runs", status="waiting") == 1
        assert of(values, "approvals_waiting") == 1
        assert of(values, "runs_ended_total", status="completed") == 0
    async with api(tmp_path) as a:
        values = await scraped(a)
    assert of(values, "runs", status="waiting") == 1
    assert of(values, "runs", status="running") == 0
    assert of(values, "approvals_waiting") == 1
    assert of(values, "runs_started_total") == 0  # of this process


async def test_open_streams_and_sockets_are_counted_while_they_are_open(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        waiting = await asked(a)
        url = str(a.client.base_url).replace("http", "ws") + "/v1/chat/stream"
        async with (
            a.client.stream("GET", f"/v1/runs/{waiting['run_id']}/events") as stream,
            connect(url),
        ):
            assert stream.status_code == 200
            values = await scraped(a)
            assert (of(values, "open_streams"), of(values, "open_sockets")) == (1, 1)
            assert of(values, "followed_runs") == 1
        async with asyncio.timeout(60):
            while True:
                values = await scraped(a)
                if (of(values, "open_streams"), of(values, "open_sockets")) == (0, 0):
                    break


async def test_metrics_need_a_key_that_may_read(tmp_path: Path) -> None:
    async with api(tmp_path, Access(api_key="k")) as a:
        assert (await a.client.get("/metrics")).status_code == 401
        assert (await a.client.get("/metrics", headers={"X-API-Key": "k"})).status_code == 200
        assert (await a.client.post("/metrics", headers={"X-API-Key": "k"})).status_code == 405


async def test_a_database_that_fails_leaves_the_other_numbers(tmp_path: Path) -> None:
    # The key of the settings lets in without the database; who may call at all, and named keys, are in it.
    async with api(tmp_path, Access(api_key="k")) as a:
        await scraped(a, "k")
        await a.house.store.close()
        values = await scraped(a, "k")
    assert of(values, "scrape_failures_total") == 1
    assert ("quartet_open_streams", ()) in values


async def test_without_that_key_nobody_can_say_who_may_read_then(tmp_path: Path) -> None:
    async with api(tmp_path, Access(per_minute=None)) as a:
        await scraped(a)
        await a.house.store.close()
        async with asyncio.timeout(30):
            while (answer := await a.client.get("/metrics")).status_code == 200:
                pass  # what was known of the keys holds for a second
    assert answer.status_code == 503
    assert "no key can be checked" in answer.json()["detail"]


async def test_a_run_at_work_is_running(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        gate = gated(a)
        call = asyncio.create_task(a.client.post("/v1/chat", json=turn(**ASK)))
        await gate.entered.wait()
        values = await scraped(a)
        call.cancel()
        for agent in ("builder", "reviewer"):
            a.agents.script[agent].clear()
        gate.let_go.set()
        [run] = (await a.client.get("/v1/runs")).json()["items"]
        await a.house.asked(run["id"])
    assert of(values, "runs", status="running") == 1


def measured(**changes: object) -> Measured:
    values: dict[str, object] = {
        "place": 1,
        "created": 0,
        "ended": {},
        "steps": (),
        "retried": {},
        "usage": {},
        "unfinished": {},
        "waiting": 0,
        "unshown": 0,
        **changes,
    }
    return Measured(**values)  # pyright: ignore[reportArgumentType]


def test_names_that_anybody_may_choose_do_not_make_endless_labels() -> None:
    meters = Meters()
    steps = [StepDone(f"agent-{n}", "", 0.1) for n in range(1_000)]
    usage = {f"p:model-{n}": Usage(input_tokens=1, calls=1) for n in range(1_000)}
    meters.take(measured(steps=steps, usage=usage))
    values = read(meters.page().decode())
    assert of(values, "steps_total", agent="other", outcome="done") == 1_000 - metrics.MANY
    assert of(values, "tokens_total", model="other", kind="input") == 1_000 - metrics.MANY
    assert len(values) < 5_000


def test_tokens_cost_and_model_errors_add_up() -> None:
    meters = Meters()
    usage = {"openai:gpt-5": Usage(input_tokens=10, output_tokens=4, cached_tokens=2, calls=1, cost_usd=0.5)}
    for _ in range(2):
        meters.take(
            measured(
                usage=usage,
                retried={"429": 2, "": 1},
                steps=[StepDone("builder", "model_unavailable", 2.0)],
            )
        )
    values = read(meters.page().decode())
    assert of(values, "tokens_total", model="openai:gpt-5", kind="input") == 20
    assert of(values, "tokens_total", model="openai:gpt-5", kind="output") == 8
    assert of(values, "model_calls_total", model="openai:gpt-5") == 2
    assert of(values, "cost_usd_total", model="openai:gpt-5") == 1.0
    assert of(values, "model_errors_total", reason="429") == 4
    assert of(values, "model_errors_total", reason="no_answer") == 2
    assert of(values, "model_errors_total", reason="model_unavailable") == 2
    assert of(values, "steps_total", agent="builder", outcome="model_unavailable") == 2
