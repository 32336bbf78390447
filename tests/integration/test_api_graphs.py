"""`/run-graph`, `/status`, `/workflows` over a real server, store, scheduler and engine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.api.access import Access
from orchestrator.errors import ModelRefused
from orchestrator.events import Json
from tests.house import BRIEF, DRAFT, PLAN, Gate, ScriptedAgents
from tests.integration.api_harness import Api, api

WITHIN_S = 60.0


def report(body: str) -> Json:
    return {"body": body, "outcome": "done", "issues": [], "items": [], "files": []}


def task(agent_id: str, role: str, *depends_on: str, **input_data: Any) -> dict[str, Any]:
    return {
        "agent_id": agent_id,
        "agent_role": role,
        "input_data": input_data or {"task": f"Do {agent_id}"},
        "depends_on": list(depends_on),
    }


def graph(kind: str, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"workflow_type": kind, "tasks": list(tasks), **more}


async def started(a: Api, body: dict[str, Any], **headers: str) -> str:
    response = await a.client.post("/run-graph", json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()["workflow_id"]


async def status(a: Api, workflow_id: str) -> dict[str, Any]:
    response = await a.client.get(f"/status/{workflow_id}")
    assert response.status_code == 200, response.text
    return response.json()


async def ended(a: Api, workflow_id: str) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN_S):
        while True:
            view = await status(a, workflow_id)
            if view["completed_at"] is not None:
                return view
            await asyncio.sleep(0.01)


def by_id(view: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["agent_id"]: one for one in view["tasks"]}


def statuses(view: dict[str, Any]) -> list[str]:
    return [one["status"] for one in view["tasks"]]


def seen(a: Api) -> dict[str, tuple[str, dict[str, Any], dict[str, str]]]:
    """What each task was told, by what it is called: its text, its inputs, the outputs it saw."""
    found: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {}
    for call in a.agents.calls:
        [part] = call.turn.parts.values()
        outputs = {name: str(made.get("body") or made.get("summary")) for name, made in call.outputs.items()}
        found[part.name] = (call.turn.text, dict(call.inputs), outputs)
    return found


# ── what tasks get ───────────────────────────────────────────────────────────────────────────


async def test_each_task_of_a_sequence_gets_the_output_before_it_and_no_other(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("frontend", report("the page"))
        a.agents.say("backend", report("the server"))
        a.agents.say("qa", report("it works"))
        body = graph(
            "sequential",
            task("ui", "FrontendDeveloper", task="Build the page", colour="green", size={"w": 3}),
            task("api", "backend_developer", prompt="Build the server"),
            task("check", "tester", goal="Try both"),
            metadata={"project": "shop", "tags": [1, None]},
        )
        first = (await a.client.post("/run-graph", json=body)).json()
        view = await ended(a, first["workflow_id"])
        assert [c.agent for c in a.agents.calls] == ["frontend", "backend", "qa"]
        assert seen(a) == {
            "ui": ("Build the page", {"colour": "green", "size": {"w": 3}}, {}),
            "api": ("Build the server", {}, {"ui": "the page"}),
            "check": ("Try both", {}, {"api": "the server"}),
        }
    assert first["status"] in ("pending", "running")
    assert first["completed_at"] is None
    assert first["created_at"] == view["created_at"]
    assert first["tasks"][2] == {
        "task_id": "task_3",
        "agent_id": "check",
        "agent_role": "tester",
        "status": "pending",
        "started_at": None,
        "completed_at": None,
        "result": None,
        "error": None,
    }
    assert (view["status"], statuses(view)) == ("completed", ["completed"] * 3)
    assert view["metadata"] == {"project": "shop", "tags": [1, None]}
    assert view["tasks"][0]["result"]["output"] == "the page"
    assert view["tasks"][0]["result"]["outcome"] == "done"
    times = [(one["started_at"], one["completed_at"]) for one in view["tasks"]]
    assert all(begun < done for begun, done in times)
    assert times[0][1] <= times[1][0]
    assert times[1][1] <= times[2][0]


async def test_tasks_of_a_parallel_graph_work_at_the_same_time_and_see_nothing_of_each_other(
    tmp_path: Path,
) -> None:
    async with api(tmp_path) as a:
        gates = [Gate(report("fine")) for _ in range(3)]
        for agent, gate in zip(("security", "performance", "style"), gates, strict=True):
            a.agents.say(agent, gate)
        names = ("security", "performance", "style")
        wid = await started(a, graph("parallel", *(task(f"t-{n}", n, code="x = 1") for n in names)))
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*(gate.entered.wait() for gate in gates))  # all of them, before one ends
        assert statuses(await status(a, wid)) == ["running"] * 3
        for gate in gates:
            gate.let_go.set()
        view = await ended(a, wid)
        assert all(inputs == {"code": "x = 1"} and not outputs for _, inputs, outputs in seen(a).values())
    assert view["status"] == "completed"


async def test_tasks_of_a_graph_see_exactly_what_they_depend_on(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("analyst", report("wants"))
        a.agents.say("frontend", report("page"))
        a.agents.say("backend", report("server"))
        a.agents.say("qa", report("tested"))
        wid = await started(
            a,
            graph(
                "graph",
                task("test", "qa", "ui", "api"),  # named before those it needs
                task("ui", "frontend", "wants"),
                task("api", "backend", "wants"),
                task("wants", "analyst"),
            ),
        )
        view = await ended(a, wid)
        told = {name: outputs for name, (_, _, outputs) in seen(a).items()}
    assert view["status"] == "completed"
    assert told == {
        "wants": {},
        "ui": {"wants": "wants"},
        "api": {"wants": "wants"},
        "test": {"ui": "page", "api": "server"},
    }


async def test_templates_in_inputs_and_ids_stay_text(tmp_path: Path) -> None:
    hostile = "{{ inputs.text }} {{ visits }} {{ 1 / 0 }} {{"
    async with api(tmp_path) as a:
        a.agents.say("frontend", report("{{ policies.max_steps }}"))
        a.agents.say("backend", report("ok"))
        wid = await started(
            a,
            graph(
                "sequential",
                task(hostile, "frontend", task=hostile, deep={"list": [hostile]}),
                task("{{ b }}", "backend", hostile, description=hostile),
            ),
        )
        view = await ended(a, wid)
        told = seen(a)
    assert told[hostile] == (hostile, {"deep": {"list": [hostile]}}, {})
    assert told["{{ b }}"] == (hostile, {}, {hostile: "{{ policies.max_steps }}"})
    assert view["status"] == "completed"
    assert view["tasks"][0]["result"]["output"] == "{{ policies.max_steps }}"


async def test_wishes_of_models_and_temperatures_reach_the_step(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.core.providers = ("openai", "groq")
        a.agents.say("frontend", report("1"), report("2"))
        a.agents.say("backend", report("3"))
        tasks = [
            {**task("a", "frontend"), "llm_model": "gpt-5-mini", "temperature": 0.3},
            task("b", "backend", task="x", llm_model="groq:llama:8b", temperature=1),
            task("c", "frontend", task="x", model="Customer", temperature=22.5),
        ]
        await ended(a, await started(a, graph("sequential", *tasks)))
        wishes = [(c.model, c.temperature, dict(c.inputs)) for c in a.agents.calls]
        unknown = await a.client.post(
            "/run-graph", json=graph("parallel", {**task("a", "frontend"), "model": "opnai:gpt-5"})
        )
    assert wishes == [
        ("openai:gpt-5-mini", 0.3, {}),
        ("groq:llama:8b", 1.0, {}),
        ("", None, {"model": "Customer", "temperature": 22.5}),
    ]
    assert unknown.status_code == 422
    assert "tasks.0.model" in unknown.json()["errors"]
    assert "did you mean 'openai'" in unknown.json()["detail"]


# ── failures ─────────────────────────────────────────────────────────────────────────────────


async def test_a_failed_task_stops_a_sequence_and_later_ones_say_after_what(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("analyst", report("wants"))
        a.agents.say("backend", ModelRefused("the model is gone; name another"))
        a.agents.script["frontend"].clear()  # it is there, and never asked
        a.agents.script["qa"].clear()
        wid = await started(
            a,
            graph(
                "sequential",
                task("wants", "analyst"),
                task("api", "backend"),
                task("ui", "frontend"),
                task("check", "qa"),
            ),
        )
        view = await ended(a, wid)
    assert (view["status"], statuses(view)) == ("partial", ["completed", "failed", "failed", "failed"])
    tasks = by_id(view)
    assert tasks["api"]["error"] == "the model is gone; name another"
    assert tasks["api"]["started_at"] is not None
    assert tasks["api"]["completed_at"] is not None
    for name in ("ui", "check"):
        assert "after 'api'" in tasks[name]["error"]
        assert (tasks[name]["started_at"], tasks[name]["completed_at"], tasks[name]["result"]) == (None,) * 3


async def test_a_failed_qa_task_does_not_stop_a_sequence(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("backend", report("server"))
        a.agents.say("qa", ModelRefused("no model"))
        a.agents.say("technical_writer", report("page"))
        body = graph(
            "sequential", task("api", "backend"), task("check", "QA Engineer"), task("page", "documenter")
        )
        view = await ended(a, await started(a, body))
        told = seen(a)
    assert (view["status"], statuses(view)) == ("partial", ["completed", "failed", "completed"])
    assert told["page"][2] == {"api": "server"}  # in place of what qa did not put out


async def test_what_does_not_depend_on_a_failed_task_goes_on(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("frontend", ModelRefused("no model"))
        a.agents.say("backend", report("server"))
        a.agents.say("technical_writer", report("page"))
        a.agents.script["qa"].clear()
        body = graph(
            "graph",
            task("ui", "frontend"),
            task("api", "backend"),
            task("page", "documentation", "api"),
            task("check", "qa", "ui", "api"),
            task("after", "qa", "check"),
        )
        view = await ended(a, await started(a, body))
    assert view["status"] == "partial"
    assert statuses(view) == ["failed", "completed", "completed", "failed", "failed"]
    tasks = by_id(view)
    assert "after 'ui'" in tasks["check"]["error"]
    assert "after 'ui'" in tasks["after"]["error"]


async def test_a_parallel_graph_of_which_nothing_completed_is_failed(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("frontend", ModelRefused("no model"))
        a.agents.say("backend", ModelRefused("no model"))
        body = graph("parallel", task("ui", "frontend"), task("api", "backend"))
        view = await ended(a, await started(a, body))
    assert (view["status"], statuses(view)) == ("failed", ["failed", "failed"])


# ── names, keys, refusals ────────────────────────────────────────────────────────────────────


async def test_of_twenty_clients_with_one_workflow_id_one_starts_it(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("backend", report("server"))
        body = graph("sequential", task("api", "backend"), workflow_id="release-7")
        answers = await asyncio.gather(*(a.client.post("/run-graph", json=body) for _ in range(20)))
        await ended(a, "release-7")
        again = await a.client.post("/run-graph", json=body)
        assert len(a.agents.calls) == 1
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 19]
    assert again.status_code == 409
    assert "release-7" in again.json()["detail"]


async def test_the_same_idempotency_key_starts_one_graph_and_another_body_is_refused(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("backend", report("server"))
        body = graph("sequential", task("api", "backend"))
        header = {"Idempotency-Key": "k-1"}
        answers = await asyncio.gather(
            *(a.client.post("/run-graph", json=body, headers=header) for _ in range(5))
        )
        other = graph("sequential", task("api", "backend", task="Something else"))
        refused = await a.client.post("/run-graph", json=other, headers=header)
        await ended(a, answers[0].json()["workflow_id"])
        assert len(a.agents.calls) == 1
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["workflow_id"] for answer in answers}) == 1
    assert refused.status_code == 422
    assert "Idempotency-Key" in refused.json()["errors"]


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (
            graph("graph", task("a", "qa", "b"), task("b", "qa", "a")),
            "tasks.0.depends_on",
            ["'a'", "'b'", "cycle"],
        ),
        (graph("graph", task("a", "qa", "a")), "tasks.0.depends_on", ["'a' → 'a'"]),
        (graph("graph", task("a", "qa", "gone")), "tasks.0.depends_on.0", ["'gone'"]),
        (graph("sequential", task("a", "qa"), task("a", "qa")), "tasks.1.agent_id", ["'a'", "twice"]),
        (graph("sequential", task("a", "plannr")), "tasks.0.agent_role", ["'plannr'", "'planner'"]),
        (graph("sequential", task("a", "☕")), "tasks.0.agent_role", ["there are:"]),
        (graph("parallel", task("a", "qa"), task("b", "qa", "a")), "tasks.1.depends_on.0", ['"graph"']),
        (
            graph("sequential", task("a", "qa", "b"), task("b", "qa")),
            "tasks.0.depends_on.0",
            ["'b'", "before"],
        ),
        (graph("sequential"), "tasks", ["1 item"]),
        (graph("round", task("a", "qa")), "workflow_type", ["sequential"]),
        (graph("sequential", task("x" * 10_000, "qa")), "tasks.0.agent_id", ["128"]),
        (graph("sequential", task("a", "qa", task="x" * 70_000)), "tasks.0.input_data", ["65,536"]),
        (graph("sequential", *(task(f"t{n}", "qa") for n in range(201))), "tasks", ["200"]),
        (graph("sequential", task("a", "qa"), workflow_id="a/b"), "workflow_id", ["pattern"]),
        (graph("sequential", task("a", "qa"), metadata={"x": "\0"}), "metadata", ["NUL"]),
        (graph("sequential", {**task("a", "qa"), "temperature": 3}), "tasks.0.temperature", ["2"]),
    ],
)
async def test_a_graph_that_cannot_run_is_refused_by_name(
    tmp_path: Path, body: dict[str, Any], field: str, words: Sequence[str]
) -> None:
    async with api(tmp_path) as a:
        a.agents.script["qa"].clear()
        response = await a.client.post("/run-graph", json=body)
        assert (await a.client.get("/workflows")).json() == []
    problem = response.json()
    assert response.status_code == 422
    assert list(problem["errors"]) == [field]
    assert all(word in problem["detail"] for word in words), problem["detail"]


async def test_hostile_ids_come_back_as_they_were(tmp_path: Path) -> None:
    ids = [
        "naïve ☕ 日本",
        "<script>",
        "a\nb",
        "'; DROP TABLE runs; --",
        "../../etc",
        "x" * 128,
        "‮",
        "task_1",
    ]
    async with api(tmp_path) as a:
        a.agents.say("qa", *(report(one) for one in ids))
        view = await ended(a, await started(a, graph("sequential", *(task(one, "qa") for one in ids))))
    assert [(one["agent_id"], one["result"]["output"]) for one in view["tasks"]] == [(i, i) for i in ids]


# ── lists and deleting ───────────────────────────────────────────────────────────────────────


async def test_the_list_is_bare_newest_first_and_can_be_narrowed(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        assert (await a.client.get("/workflows")).json() == []
        gate = Gate(report("late"))
        a.agents.say("backend", report("1"), ModelRefused("no"), report("3"), gate)
        a.agents.say("qa", ModelRefused("no"))
        await ended(a, await started(a, graph("sequential", task("a", "backend"), workflow_id="good")))
        await ended(a, await started(a, graph("sequential", task("a", "backend"), workflow_id="bad")))
        both = graph("parallel", task("a", "backend"), task("b", "qa"), workflow_id="half")
        await ended(a, await started(a, both))
        await started(a, graph("sequential", task("a", "backend"), workflow_id="going"))
        await gate.entered.wait()

        async def ids(query: str) -> list[str]:
            return [one["workflow_id"] for one in (await a.client.get(f"/workflows{query}")).json()]

        assert await ids("") == ["going", "half", "bad", "good"]
        assert await ids("?limit=2") == ["going", "half"]
        for name, wid in (
            ("completed", "good"),
            ("failed", "bad"),
            ("partial", "half"),
            ("running", "going"),
        ):
            assert await ids(f"?status={name}") == [wid]
        assert await ids("?status=pending") == []
        assert (await a.client.get("/workflows?status=done")).status_code == 422
        assert (await a.client.get("/workflows?limit=101")).status_code == 422
        runs = (await a.client.get("/v1/runs")).json()["items"]
        assert [run["status"] for run in runs] == ["running", "completed", "failed", "completed"]
        gate.let_go.set()
        await ended(a, "going")


async def test_a_fork_of_a_graph_is_a_run_and_no_graph_of_the_list(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("backend", report("1"), report("2"))
        body = graph("sequential", task("a", "backend"), workflow_id="one")
        before = await ended(a, await started(a, body))
        [run] = (await a.client.get("/v1/runs")).json()["items"]
        forked = await a.client.post(f"/v1/runs/{run['id']}/fork", json={"from_step": "task_1"})
        assert forked.status_code == 201
        await a.house.ended(forked.json()["id"])
        assert (await a.client.get("/workflows")).json() == [before]
        assert (await a.client.get("/workflows?status=completed&limit=1")).json() == [before]
        assert await status(a, "one") == before
        assert len((await a.client.get("/v1/runs")).json()["items"]) == 2
        await a.client.delete("/workflows/one")
        assert (await a.client.get("/workflows")).json() == []


async def test_deleting_a_running_graph_stops_and_hides_it(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("analyst", report("wants"))
        gate = Gate(report("never"))
        a.agents.say("backend", gate)
        a.agents.script["qa"].clear()
        body = graph("sequential", task("w", "analyst"), task("a", "backend"), task("c", "qa"))
        wid = await started(a, {**body, "workflow_id": "w-1"})
        await gate.entered.wait()
        run = (await a.client.get("/v1/runs")).json()["items"][0]
        deleted = await a.client.delete(f"/workflows/{wid}")
        assert deleted.status_code == 200
        assert list(deleted.json()) == ["message"]
        gone = [
            await a.client.get(f"/status/{wid}"),
            await a.client.delete(f"/workflows/{wid}"),
            await a.client.get("/status/never-there"),
        ]
        assert [answer.status_code for answer in gone] == [404, 404, 404]
        assert (await a.client.get("/workflows")).json() == []
        state = await a.house.ended(run["id"])
        assert state.status == "stopped"  # and is there still, for those who look at runs
        assert (await a.client.post("/run-graph", json={**body, "workflow_id": "w-1"})).status_code == 409


async def test_a_graph_that_was_stopped_shows_what_was_completed_and_what_was_cut_off(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("analyst", report("wants"))
        gate = Gate(report("never"))
        a.agents.say("backend", gate)
        a.agents.script["qa"].clear()
        body = graph("sequential", task("w", "analyst"), task("a", "backend"), task("c", "qa"))
        wid = await started(a, body)
        await gate.entered.wait()
        run = (await a.client.get("/v1/runs")).json()["items"][0]["id"]
        await a.client.post(f"/v1/runs/{run}/stop")
        view = await ended(a, wid)
    tasks = by_id(view)
    assert (view["status"], statuses(view)) == ("partial", ["completed", "failed", "failed"])
    assert tasks["a"]["error"].startswith("Cut off: stopped by")
    assert tasks["c"]["error"].startswith("Never began: stopped by")
    assert tasks["a"]["completed_at"] is not None
    assert tasks["c"]["completed_at"] is None


async def test_a_paused_graph_is_running(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        gate = Gate(report("1"))
        a.agents.say("backend", gate, report("2"))
        wid = await started(a, graph("sequential", task("a", "backend"), task("b", "backend")))
        await gate.entered.wait()
        run = (await a.client.get("/v1/runs")).json()["items"][0]["id"]
        await a.client.post(f"/v1/runs/{run}/pause")
        gate.let_go.set()
        await a.house.until(run, lambda s: s.status == "paused")
        view = await status(a, wid)
        assert (view["status"], statuses(view)) == ("running", ["completed", "pending"])
        await a.client.post(f"/v1/runs/{run}/resume")
        assert (await ended(a, wid))["status"] == "completed"


# ── who may, restarts, cost ──────────────────────────────────────────────────────────────────


async def test_without_the_key_nothing_is_answered(tmp_path: Path) -> None:
    async with api(tmp_path, Access(api_key="a-key-of-ours")) as a:
        body = graph("sequential", task("a", "qa"))
        answers = [
            await a.client.post("/run-graph", json=body),
            await a.client.get("/status/x"),
            await a.client.get("/workflows"),
            await a.client.delete("/workflows/x"),
        ]
        assert [answer.status_code for answer in answers] == [401] * 4
        keyed = await a.client.get("/workflows", headers={"X-API-Key": "a-key-of-ours"})
        assert keyed.status_code == 200


async def test_a_restart_between_tasks_goes_on_and_the_client_sees_it_end(tmp_path: Path) -> None:
    body = graph("sequential", task("a", "analyst"), task("b", "backend"), task("c", "qa"))
    async with api(tmp_path) as a:
        a.agents.say("analyst", report("wants"))
        a.agents.say("backend", Gate(report("never")))
        a.agents.script["qa"].clear()
        wid = await started(a, {**body, "metadata": {"k": 1}})
        async with asyncio.timeout(WITHIN_S):
            while len(a.agents.calls) < 2:  # noqa: ASYNC110 - the second waits at its gate
                await asyncio.sleep(0.005)
        before = await status(a, wid)
    agents = ScriptedAgents()  # the graph goes on at once
    agents.say("backend", report("server"))
    agents.say("qa", report("tested"))
    async with api(tmp_path, agents=agents) as a:
        view = await ended(a, wid)
        told = seen(a)
    assert statuses(before) == ["completed", "running", "pending"]
    assert (view["status"], view["metadata"], statuses(view)) == ("completed", {"k": 1}, ["completed"] * 3)
    assert view["tasks"][0] == before["tasks"][0]
    assert view["tasks"][1]["started_at"] == before["tasks"][1]["started_at"]
    assert told["b"][2] == {"a": "wants"}
    assert told["c"][2] == {"b": "server"}


async def test_answers_of_ended_graphs_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with api(tmp_path) as a:
        a.agents.say("backend", *(report(str(n)) for n in range(5)))
        wids = [await started(a, graph("sequential", task("a", "backend"))) for _ in range(5)]
        for wid in wids:
            await ended(a, wid)
        first = (await a.client.get("/workflows")).json()
        reads: list[Any] = []
        events = type(a.house.store).events

        async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
            reads.append(args)
            return await events(self, *args, **kwargs)

        monkeypatch.setattr(type(a.house.store), "events", counted)
        assert (await a.client.get("/workflows")).json() == first
        for wid in wids:
            await status(a, wid)
    assert reads == []


async def test_results_of_every_kind_of_agent_have_text(tmp_path: Path) -> None:
    review: Json = {"score": 4.5, "findings": [], "verdict": "revise", "repeated": False}
    team: Json = {"member": "", "task": "", "done": True, "reason": "All is done."}
    async with api(tmp_path) as a:
        for agent, made in (
            ("researcher", BRIEF),
            ("planner", PLAN),
            ("builder", DRAFT),
            ("reviewer", review),
        ):
            a.agents.say(agent, made)
        a.agents.say("coordinator", team)
        roles = ("researcher", "planner", "builder", "reviewer", "supervisor")
        view = await ended(a, await started(a, graph("parallel", *(task(role, role) for role in roles))))
    texts = [one["result"]["output"] for one in view["tasks"]]
    assert "Tea is warm. [1]" in texts[0]
    assert "tea.md#warm" in texts[0]
    assert texts[1].startswith("Explain tea")
    assert "1. Write about tea" in texts[1]
    assert texts[2] == "Tea is warm [1]."
    assert texts[3] == "revise, 4.5 of 10"
    assert texts[4] == "All is done."
    assert view["tasks"][0]["result"]["sources"] == BRIEF["sources"]
