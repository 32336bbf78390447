"""Agents behind addresses: our protocol, its hostile answers, and where we do not go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from orchestrator.agents.elsewhere.http import HttpPlayer
from orchestrator.agents.elsewhere.network import is_public, retry_after
from orchestrator.agents.elsewhere.specs import HttpSpec
from orchestrator.errors import AgentFailed, LimitReached
from orchestrator.events import Json
from tests.elsewhere import spec, surroundings
from tests.loopback import on_loopback
from tests.unit.agents.steps import MemorySink, step

Answer = Callable[[Request], Awaitable[Response]]
REPORT = {"artifact": {"body": "three cats"}}
STEP = step("own", "count the cats", task="Count them.")


@asynccontextmanager
async def serving(**paths: Answer) -> AsyncGenerator[str]:
    routes = [Route(f"/{path}", answer, methods=["GET", "POST", "DELETE"]) for path, answer in paths.items()]
    async with on_loopback(Starlette(routes=routes)) as base:
        yield base


def always(content: Any, status: int = 200, **headers: str) -> Answer:
    async def answer(_: Request) -> Response:
        return JSONResponse(content, status, headers)

    return answer


async def play(folder: Path, base: str, sink: MemorySink | None = None, **more: Any) -> Json:
    variables = more.pop("variables", None)
    allow = more.pop("allow", [base.partition("//")[2]])
    asked = more.pop("asked", STEP)
    beats = more.pop("beats", None)
    given = spec("http", **({"url": f"{base}/agent"} | more))
    assert isinstance(given, HttpSpec)
    async with surroundings(folder, allow=allow, variables=variables, beats=beats) as around:
        return await HttpPlayer(given, around).run(asked, sink or MemorySink())


async def test_an_agent_is_told_the_step_and_answers(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def agent(request: Request) -> Response:
        seen.append((dict(request.headers), await request.json()))
        return JSONResponse(REPORT)

    beats: list[str] = []
    async with serving(agent=agent) as base:
        made = await play(tmp_path, base, token_env="OWN_KEY", variables={"OWN_KEY": "k-1"}, beats=beats)
    assert made["body"] == "three cats"
    headers, told = seen[0]
    assert headers["authorization"] == "Bearer k-1"
    assert headers["idempotency-key"] == "r1:own:1:1"
    assert told["protocol"] == "quartet.step/1"
    assert (told["step"]["task"], told["step"]["request"]) == ("Count them.", "count the cats")
    assert "body" in told["output_schema"]["properties"]
    assert "web:ada" not in json.dumps(told)
    assert beats == ["own"]


async def test_what_takes_long_is_asked_for_until_it_is_there(tmp_path: Path) -> None:
    left = [
        JSONResponse({"doing": "counting", "checkpoint": {"cats": 1}}, 202, {"Retry-After": "0"}),
        JSONResponse(REPORT),
    ]

    async def task(_: Request) -> Response:
        return left.pop(0)

    sink = MemorySink()
    async with serving(agent=always({"poll": "/task"}, 202, **{"Retry-After": "0"}), task=task) as base:
        assert (await play(tmp_path, base, sink))["body"] == "three cats"
    assert sink.said[-1] == "counting"
    assert sink.saved[-1] == {"attempt": 1, "call": f"{base}/task", "agent": {"cats": 1}}


async def test_after_a_crash_the_same_task_is_waited_for_and_not_asked_for_again(tmp_path: Path) -> None:
    async with serving(agent=always({}, 500), task=always(REPORT)) as base:
        kept = {"attempt": 1, "call": f"{base}/task", "agent": None}
        assert (await play(tmp_path, base, asked=replace(STEP, checkpoint=kept)))["body"] == "three cats"
        with pytest.raises(AgentFailed, match="answered 500"):  # another attempt begins anew
            await play(tmp_path, base, asked=replace(STEP, checkpoint=kept, attempt=2))


async def test_a_stopped_task_is_given_up_at_the_agent(tmp_path: Path) -> None:
    asked, stopped = asyncio.Event(), asyncio.Event()

    async def task(request: Request) -> Response:
        (stopped if request.method == "DELETE" else asked).set()
        return JSONResponse({}, 202)

    async with serving(agent=always({"poll": "task"}, 202, **{"Retry-After": "0"}), task=task) as base:
        work = asyncio.create_task(play(tmp_path, base))
        await asyncio.wait_for(asked.wait(), 5)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(work, 2)
        await asyncio.wait_for(stopped.wait(), 2)


async def test_an_agent_tells_as_it_goes_in_lines(tmp_path: Path) -> None:
    async def agent(_: Request) -> Response:
        async def lines() -> AsyncGenerator[bytes]:
            yield b'{"doing": "cou'
            yield b'nting"}\n\n{"beat": true}\n'
            yield json.dumps(REPORT).encode()

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    sink = MemorySink()
    async with serving(agent=agent) as base:
        assert (await play(tmp_path, base, sink))["body"] == "three cats"
    assert sink.said == ["working", "counting"]


async def test_what_may_pass_is_tried_again_with_the_same_key(tmp_path: Path) -> None:
    left = [
        Response(status_code=503),
        Response(status_code=429, headers={"Retry-After": "0"}),
        JSONResponse(REPORT),
    ]
    keys: set[str] = set()

    async def agent(request: Request) -> Response:
        keys.add(request.headers["idempotency-key"])
        return left.pop(0)

    async with serving(agent=agent) as base:
        assert (await play(tmp_path, base))["body"] == "three cats"
    assert keys == {"r1:own:1:1"}
    assert left == []


async def big(_: Request) -> Response:
    async def pieces() -> AsyncGenerator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield b" " * 100_000

    return StreamingResponse(pieces(), media_type="application/json")


async def endless(_: Request) -> Response:
    async def pieces() -> AsyncGenerator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield b'{"beat": true}\n' * 10_000

    return StreamingResponse(pieces(), media_type="application/x-ndjson")


async def echo(request: Request) -> Response:
    return Response(f"bad key {request.headers['authorization']}", 400)


async def redirect(_: Request) -> Response:
    return RedirectResponse("http://169.254.169.254/latest", 307)


async def garbage(_: Request) -> Response:
    return Response("<html>hi</html>")


@pytest.mark.parametrize(
    ("agent", "message", "retryable"),
    [
        (garbage, "not JSON: '<html>hi</html>'", False),
        (always([1]), "no object of JSON", False),
        (always({"body": "x"}), "none of the keys", False),
        (always({"doing": "x"}), "answered 200 without an artifact", False),
        (always({"artifact": {"text": 1}}), "no Report", False),
        (always({"error": {"message": "no ladder", "retryable": True}}), "Own failed: no ladder$", True),
        (always({"poll": "http://elsewhere.example/x"}, 202), "poll address is on another host", False),
        (always({}, 202), "does not say where to ask again", False),
        (always({"poll": 7}, 202), "does not say where to ask again", False),
        (always({"detail": "no"}, 404), "answered 404: .*no", False),
        (always({}, 500), "answered 500", True),
        (always({}, 503), "answered 503", True),
        (always({}, 401), r"refuses the key \(401\); check the variable in token_env", False),
        (redirect, r"redirects elsewhere \(307\)", False),
        (big, "more than 4,000,000 bytes", False),
        (endless, "more than 100,000 lines", False),
        (echo, "answered 400: bad key Bearer …$", False),
    ],
)
async def test_what_an_agent_does_wrong_is_told_in_one_line(
    tmp_path: Path, agent: Answer, message: str, retryable: bool
) -> None:
    async with serving(agent=agent) as base:
        with pytest.raises(AgentFailed, match=message) as failed:
            await play(tmp_path, base, token_env="OWN_KEY", variables={"OWN_KEY": "k-123456"})
    assert failed.value.retryable is retryable
    assert "k-123456" not in str(failed.value)
    assert "\n" not in str(failed.value)


async def test_an_agent_that_never_answers_ends_at_its_limit(tmp_path: Path) -> None:
    async def agent(_: Request) -> Response:
        await asyncio.sleep(3)
        return Response()

    async with serving(agent=agent) as base:
        with pytest.raises(LimitReached, match=r"did not end within 0.3 s"):
            await play(tmp_path, base, timeout_s=0.3)


async def test_an_agent_that_is_not_there_cannot_be_reached(tmp_path: Path) -> None:
    async with serving() as base:
        pass
    with pytest.raises(AgentFailed, match=r"cannot be reached \(ConnectError\)") as failed:
        await play(tmp_path, base)
    assert failed.value.retryable


async def test_private_addresses_are_called_only_where_they_are_listed(tmp_path: Path) -> None:
    called: list[Request] = []

    async def agent(request: Request) -> Response:
        called.append(request)
        return JSONResponse(REPORT)

    async with serving(agent=agent) as base:
        port = base.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"):
            with pytest.raises(AgentFailed, match=r"private network; .*AGENTS_ALLOW_HOSTS"):
                await play(tmp_path, base, url=f"http://{host}:{port}/agent", allow=["10.0.0.1:80"])
    assert called == []


async def test_a_key_does_not_go_over_the_net_in_the_clear(tmp_path: Path) -> None:
    with pytest.raises(AgentFailed, match="in the clear; use an https address"):
        await play(tmp_path, "", url="http://example.com", allow=[], token_env="K", variables={"K": "k-1"})
    with pytest.raises(AgentFailed, match=r"the variable K is not set; put it into .env"):
        await play(tmp_path, "", url="https://example.com", allow=[], token_env="K")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "168.63.129.16",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001::1",
        "ff02::1",
        "2001:db8::1",
        "fec0::1",
        "::10.0.0.1",
    ],
)
def test_addresses_of_private_networks_are_known_in_every_dress(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3), ("99999", 60), ("9" * 400, 60), ("-1", None), ("soon", None), ("", None), ("٣", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 2999 07:28:00 GMT", 60)],
)  # fmt: skip
def test_how_long_a_server_asks_to_wait(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}) == seconds
