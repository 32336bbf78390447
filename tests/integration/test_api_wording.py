"""What a refused call is told: the right thing by its name, what the caller sent, and a remedy."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.integration.api_harness import Api, api
from tests.integration.test_api_graphs import graph, report, started, task

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest_asyncio.fixture
async def a(tmp_path: Path) -> AsyncGenerator[Api]:
    async with api(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/status/nope", "there is no graph 'nope'; GET /workflows lists them"),
        (f"/api/execute/{NOBODY}", f"there is no execution '{NOBODY}'; POST /api/execute starts one"),
        ("/api/sessions/nope", "there is no session 'nope'; GET /api/sessions lists them"),
    ],
)
async def test_what_is_not_there_is_called_by_its_name(a: Api, path: str, said: str) -> None:
    response = await a.client.get(path)
    assert (response.status_code, response.json()["detail"]) == (404, said)


async def test_a_name_that_is_taken_and_one_that_was_used(a: Api) -> None:
    a.agents.say("researcher", report("Tea."))
    await started(a, graph("parallel", task("one", "researcher"), workflow_id="g"))
    other = graph("parallel", task("two", "researcher"), workflow_id="g")
    again = await a.client.post("/run-graph", json=other)
    assert again.json()["detail"] == "There is a graph 'g' already; take another workflow_id."
    assert (await a.client.delete("/workflows/g")).status_code == 200
    after = await a.client.post("/run-graph", json=other)
    assert (after.status_code, after.json()["detail"]) == (
        409,
        "'g' was the workflow_id of a graph that was deleted; take another one.",
    )


@pytest.mark.parametrize(
    ("path", "body", "field", "said"),
    [
        ("/v1/chat", {"messages": [{"role": "assistant", "content": "x"}]}, "messages", "user"),
        ("/api/execute", {"goal": {"description": "x"}}, "goal.title", "Field required"),
        ("/api/execute", {"goal": ""}, "goal", "at least 1 character"),
        ("/run-graph", graph("parallel", {"agent_id": "x"}), "tasks.0.agent_role", "Field required"),
        (
            "/run-graph",
            graph("parallel", task("x", "builder", task=5)),
            "tasks.0.input_data.task",
            "is not text",
        ),
    ],
)
async def test_wrong_fields_are_called_as_they_were_sent(
    a: Api, path: str, body: Any, field: str, said: str
) -> None:
    response = await a.client.post(path, json=body)
    problem = response.json()
    assert (response.status_code, list(problem["errors"])) == (422, [field]), problem
    assert said in problem["errors"][field]
    assert "Value error" not in response.text


async def test_a_broken_object_is_not_taken_for_words(a: Api) -> None:
    broken = await a.client.get("/api/execute/stream", params={"goal": '{"title": '})
    assert broken.status_code == 422
    assert "begins like a JSON object and is none" in broken.json()["errors"]["goal"]
    assert (await a.client.get("/v1/runs")).json()["items"] == []


async def test_a_socket_to_nowhere_is_told_so(a: Api) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(str(a.client.base_url).replace("http", "ws").rstrip("/") + "/v1/nowhere")
    response = caught.value.response
    assert response.status_code == 404
    assert json.loads(response.body or b"")["detail"].startswith("There is nothing at this address")
