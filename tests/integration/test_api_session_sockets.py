"""A session's sockets that open while others close."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_harness import api
from tests.integration.test_api_sessions import Gate, begins, heard, plays, report, rest, shown, socket

pytestmark = pytest.mark.timeout(120)


async def test_a_socket_that_opens_while_another_closes_gets_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api(tmp_path) as a, asyncio.timeout(60):
        gate = Gate(report("Leaves found."))
        plays(a, gate=gate)
        name = await begins(a)
        await gate.entered.wait()
        read, closed = asyncio.Event(), asyncio.Event()
        events = a.house.store.events

        async def slow(*args: Any, **limits: Any) -> Any:
            found = await events(*args, **limits)
            if opening and not limits and not read.is_set():  # feeds give a limit
                read.set()
                await closed.wait()
            return found

        opening = False
        monkeypatch.setattr(a.house.store, "events", slow)
        async with socket(a, name) as first:
            await heard(first, 4)
            opening = True
            async with socket(a, name) as second:
                await read.wait()  # it has read the log as it is now
                gate.let_go.set()
                await rest(first)
                run_id = await a.house.store.known(f"api:session:{name}")
                assert run_id is not None
                lines = (await a.client.get(f"/api/sessions/{name}/logs")).json()
                while (await a.house.store.mark(run_id)).heard < lines[-1]["id"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                closed.set()
                messages = await rest(second)
        log = shown((await a.client.get(f"/api/sessions/{name}/logs")).json())
    began = messages[0]["id"]
    got = [(m["id"], m["type"], m["content"]) for m in messages[1:]]
    assert got == [entry for entry in log if entry[0] > began]
