"""Every operation of the OpenAPI document against what it promises, with schemathesis and all its checks.

The document is read from the app, so a route is tested as soon as it is there. Each operation gets the same
drawn calls every time; `SCHEMA_EXAMPLES` and `SCHEMA_SEED` give it more, and others.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import re
import socket
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bot.api import access
from tests.integration.whole_server import Whole, whole

pytestmark = pytest.mark.timeout(600)

KEY = "schema-key"
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "8"))
SEED = int(os.environ.get("SCHEMA_SEED", "1"))
DECIDING = "POST /v1/approvals/{approval_id}"
PUBLIC = "93.184.216.34"
STREAM_S = 0.3  # a stream is listened to this long
TURN: dict[str, Any] = {"messages": [{"role": "user", "content": "How do approvals work?"}]}

# Operations whose bodies have rules that a schema cannot say (a cycle, an unknown workflow, half a
# character): 422 is right for some calls that fit it.
BEYOND_SCHEMA = "[checks.positive_data_acceptance]\nexpected-statuses = " + json.dumps(
    ["2xx", "401", "403", "404", "409", "422", "429"]
)


async def document(server: Whole) -> dict[str, Any]:
    """As clients get it."""
    return (await server.client.get("/openapi.json")).raise_for_status().json()


def operations(api: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """All of them: method, path, and what is said."""
    return [
        (method, path, operation)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
        if method in ("get", "post", "put", "patch", "delete")
    ]


def settings(api: Mapping[str, Any], known: Mapping[str, list[str]], named: str) -> str:
    """What schemathesis is told, as TOML.

    Args:
        named: a key with a name: who decides has to have one.
        known: parameter of a path → ids that are there.
    """
    # Further parameters are nobody's mistake: they are not drawn.
    lines = ["[generation]", "allow-extra-parameters = false", BEYOND_SCHEMA, "[dictionaries]"]
    lines += [f"{name} = {{ values = {json.dumps(values)} }}" for name, values in known.items()]
    lines += ["[parameters]"]
    lines += [f'"path.{name}" = {{ dictionary = "{name}", probability = 0.5 }}' for name in known]
    for method, path, operation in operations(api):
        if "text/event-stream" in operation["responses"].get("200", {}).get("content", {}):
            lines += [
                "[[operations]]",
                f'include-name = "{method.upper()} {path}"',
                f"request-timeout = {STREAM_S}",
            ]
    lines += ["[[operations]]", f'include-name = "{DECIDING}"', f'headers = {{ X-API-Key = "{named}" }}']
    return "\n".join(lines) + "\n"


async def schemathesis(server: Whole, folder: Path, settings: str, *given: str) -> str:
    """Run it to its end; what it found, "" for nothing."""
    file = folder / "schemathesis.toml"
    file.write_text(settings)
    api = await document(server)
    (folder / "openapi.json").write_text(json.dumps(api))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        f"--config-file={file}",
        "run",
        "openapi.json",  # who has no key cannot ask for it
        f"--url={server.url}",
        f"--seed={SEED}",
        f"--max-examples={EXAMPLES}",
        "--generation-deterministic",
        "--checks=all",
        "--phases=coverage,fuzzing",
        "--workers=1",
        "--request-timeout=30",
        "--continue-on-failure",
        "--no-color",
        *given,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        said = (await process.stdout.read()).decode()
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    there = len(operations(api))
    tested = re.search(r"Operations:\s+(\d+) selected / (\d+) total", said)
    whole = tested is not None and int(tested[1]) == int(tested[2]) == there
    return "" if status == 0 and whole else f"{there} operations, status {status}\n{said}"


async def known(server: Whole) -> dict[str, list[str]]:
    """Some runs of every family that is there: parameter of a path → its ids."""
    client, paths = server.client, (await document(server))["paths"]
    done = (await client.post("/v1/chat", json=TURN)).raise_for_status().json()
    asked = [
        (await client.post("/v1/chat", json={**TURN, "context": {"approvals": "ask"}})).raise_for_status()
        for _ in range(3)
    ]
    found: dict[str, list[str]] = {
        "run_id": [done["run_id"], *(answer.json()["run_id"] for answer in asked)],
        "approval_id": [answer.json()["metadata"]["approvals"][0]["id"] for answer in asked],
    }
    if "/run-graph" in paths:
        task = {"agent_id": "a", "agent_role": "researcher", "input_data": {"topic": "tea"}}
        graph = {"workflow_type": "sequential", "tasks": [task]}
        started = [(await client.post("/run-graph", json=graph)).raise_for_status() for _ in range(3)]
        found["workflow_id"] = [answer.json()["workflow_id"] for answer in started]
    if "/api/start-task" in paths:
        begun = [
            (await client.post("/api/start-task", json={"task": "How do approvals work?"})).raise_for_status()
            for _ in range(3)
        ]
        found["session_id"] = [answer.json()["session_id"] for answer in begun]
    return found


def stay_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are of a public address, which nobody is asked for; only this machine can be connected to.

    Webhooks are made of the examples and of what is drawn: those places are not to hear of our tests.
    """
    loop = type(asyncio.get_running_loop())
    look_up, connect = socket.getaddrinfo, loop.sock_connect

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            host = host if host == "localhost" else PUBLIC
        return look_up(host, *rest, **more)

    async def sock_connect(self: Any, sock: socket.socket, address: Any) -> None:
        if not ipaddress.ip_address(address[0]).is_loopback:
            raise ConnectionRefusedError(f"{address[0]} is not on this machine")
        await connect(self, sock, address)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(loop, "sock_connect", sock_connect)


@asynccontextmanager
async def fuzzed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Whole]:
    """A server with a key, that bears many wrong ones: the check for ignored keys sends them."""
    stay_on_this_machine(monkeypatch)
    monkeypatch.setattr(access, "WRONG_KEYS", 1_000_000)
    async with whole(folder, key=KEY, expires_after_s=60) as server:
        yield server


async def test_webhooks_of_the_examples_are_told_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fuzzed(tmp_path, monkeypatch) as server:
        with pytest.raises(ConnectionRefusedError, match=f"{PUBLIC} is not on this machine"):
            await asyncio.open_connection("example.com", 443)
        made = await server.client.post("/v1/webhooks", json={"url": "https://example.com/hook"})
        assert made.status_code == 201, made.text
        webhook = f"/v1/webhooks/{made.json()['id']}"
        (await server.client.post(f"{webhook}/test")).raise_for_status()
        async with asyncio.timeout(60):
            while True:
                [ping] = (await server.client.get(f"{webhook}/notices")).json()["items"]
                if ping["attempts"]:
                    break
                await asyncio.sleep(0.02)
    assert ping["status"] is None  # nobody answered
    assert ping["problem"]


async def test_every_operation_keeps_what_its_document_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fuzzed(tmp_path, monkeypatch) as server:
        key = await server.client.post("/v1/keys", json={"name": "ada", "scopes": ["read", "approve"]})
        told = settings(await document(server), await known(server), key.raise_for_status().json()["token"])
        found = await schemathesis(server, tmp_path, told, f"--header=X-API-Key: {KEY}")
        health = await server.client.get("/health")
    assert not found, found
    assert (health.status_code, health.json()["status"]) == (200, "healthy")


async def test_without_a_key_every_operation_refuses_as_its_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fuzzed(tmp_path, monkeypatch) as server:
        told = settings(await document(server), await known(server), "qk_nobody_knows")
        found = await schemathesis(server, tmp_path, told, "--phases=coverage")
        runs = (await server.client.get("/v1/runs?limit=100")).json()["items"]
        shut = {
            (method, path): status
            for method, path, _ in operations(await document(server))
            if path != "/health" and (status := await _status_without_key(server, method, path)) != 401
        }
    assert not found, found
    assert not shut
    assert len(runs) < 20  # nobody without a key began one


async def _status_without_key(server: Whole, method: str, path: str) -> int:
    url = server.url + re.sub(r"\{\w+\}", "1", path)
    transport = httpx2.AsyncHTTPTransport(verify=False)
    async with httpx2.AsyncClient(transport=transport) as nobody:
        return (await nobody.request(method.upper(), url, json={})).status_code
