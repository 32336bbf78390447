"""Programs of others on the real routes: curl follows a run, Prometheus' own parser reads the metrics."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.whole_server import whole
from tests.journey.api_clients import frames, numbers

WITHIN_S = 60.0
TURN: dict[str, Any] = {"messages": [{"role": "user", "content": "How do approvals work?"}]}


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
async def test_curl_sees_each_event_at_once_and_ends_with_the_run(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        asked = await server.client.post("/v1/chat", json={**TURN, "context": {"approvals": "ask"}})
        assert asked.status_code == 202
        run_id, [question] = asked.json()["run_id"], asked.json()["metadata"]["approvals"]
        curl = await asyncio.create_subprocess_exec(
            "curl", "-sSN", f"{server.url}/v1/runs/{run_id}/events", stdout=asyncio.subprocess.PIPE
        )
        assert curl.stdout is not None
        lines: list[str] = []
        try:
            async with asyncio.timeout(WITHIN_S):
                # The question is the last thing that happened: nothing may be held back behind it.
                while "event: approval_requested" not in lines:
                    lines.append((await curl.stdout.readline()).decode().rstrip("\n"))
                run = (await server.client.get(f"/v1/runs/{run_id}")).json()
                assert run["status"] == "waiting"
                decision = {"decision": "approve", "digest": question["digest"]}
                decided = await server.client.post(f"/v1/approvals/{question['id']}", json=decision)
                assert decided.status_code == 200, decided.text
                lines += (await curl.stdout.read()).decode().splitlines()
                assert await curl.wait() == 0
        finally:
            if curl.returncode is None:
                curl.kill()
                await curl.wait()
    got = list(frames([*lines, ""]))
    assert (got[-1].event, got[-1].data) == ("end", {"status": "completed"})
    assert numbers(got) == list(range(1, len(got)))


async def test_prometheus_reads_the_metrics(tmp_path: Path) -> None:
    async with whole(tmp_path) as server:
        before = (await server.client.get("/metrics")).raise_for_status()
        assert (await server.client.post("/v1/chat", json=TURN)).json()["status"] == "completed"
        after = (await server.client.get("/metrics")).raise_for_status()
    assert before.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(after.text)}
    assert families
    assert all(name.startswith("quartet_") for name in families)
    assert all(family.documentation and family.type != "unknown" for family in families.values())
    ended = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if (sample.name, sample.labels.get("status")) == ("quartet_runs_ended_total", "completed")
    ]
    assert ended == [1.0]
