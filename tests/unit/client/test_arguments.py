"""What a program does wrongly is said at once, as the client's own error, and nothing is sent."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from quartet_client import BadArgument, Closed, Invalid, Quartet, QuartetError, create_agent, supervised
from quartet_client.graphs import GraphBuilder
from quartet_client.operation import operation, streaming
from tests.unit.client.either import Kind, both, either
from tests.unit.client.raw_server import answer, raw, says

STRANGE: Any = {"workflow_type": "graph", "tasks": []}
PAGE = Path(__file__).parents[3] / "docs" / "api-client.md"


@both
@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("submit", STRANGE, "GraphBuilder"),
        ("chat", 5, "a turn is text"),
        ("chat", ["Tea?"], "a turn is text"),
        ("execute", 5, "a goal is text"),
        ("run", 5, "an id is text"),
        ("run", "", "no id"),
    ],
)
async def test_a_wrong_argument_is_said_and_nothing_is_sent(
    kind: Kind, name: str, given: object, said: str
) -> None:
    async with raw(says(b"")) as server, either(kind, server.url) as client:
        with pytest.raises(BadArgument, match=said) as caught:
            await client.call(name, given)
    assert server.connections == 0
    assert isinstance(caught.value, QuartetError)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)


def test_what_graphs_are_made_of_is_checked() -> None:
    names: Any = ["researcher"]
    with pytest.raises(BadArgument, match="create_agent"):
        supervised("Compare teas", names)
    with pytest.raises(BadArgument, match=r"temperature: .*less than or equal to 2"):
        create_agent("researcher", "facts", temperature=9)
    five: Any = 5
    with pytest.raises(BadArgument, match="input is text or an object"):
        GraphBuilder().task(create_agent("researcher", "facts"), five)


@both
async def test_calls_after_the_close_are_refused(kind: Kind) -> None:
    async with either(kind, "http://127.0.0.1:9") as client:
        pass
    if kind == "sync":
        with pytest.raises(Closed, match="make another one"):
            await client.call("health")
        with pytest.raises(Closed):
            await client.all("events", "r1")
    else:
        with pytest.raises(Closed, match="make another one"):
            await client.call("health")


@both
async def test_the_key_of_a_call_stands_on_its_error(kind: Kind) -> None:
    refused = answer("422 Unprocessable Content", b'{"detail": "no"}', "application/problem+json")
    async with raw(says(refused)) as server, either(kind, server.url) as client:
        with pytest.raises(Invalid) as chosen:
            await client.call("chat", "Tea?", idempotency_key="tea-1")
        with pytest.raises(Invalid) as made:
            await client.call("start_task", "Tea")
        with pytest.raises(Invalid) as streamed:
            await client.all("execute_stream", "Tea", idempotency_key="tea-2")
    assert chosen.value.idempotency_key == "tea-1"
    assert streamed.value.idempotency_key == "tea-2"
    assert f"idempotency-key: {made.value.idempotency_key}".encode() in server.asked[1].lower()


@both
@pytest.mark.parametrize("call", ["chat", "wait"])
async def test_a_server_that_is_away_or_starting_is_looked_for(
    kind: Kind, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quartet_client.patience.FIRST_PAUSE_S", 0.0)
    starting = says(answer("503 Service Unavailable", b'{"detail": "It is starting."}'))
    done = {
        "chat": {
            "conversation_id": "c",
            "run_id": "r",
            "status": "completed",
            "message": {"role": "assistant", "content": "Tea."},
            "metadata": {},
        },
        "wait": {"workflow_id": "g", "status": "completed"},
    }[call]
    scripts = [*[starting, says(b"")] * 6, says(answer("200 OK", json.dumps(done).encode()))]
    async with raw(*scripts) as server, either(kind, server.url) as client:
        assert (await client.call(call, "g")).status == "completed"
    assert server.connections == 13


@both
async def test_the_patience_ends(kind: Kind) -> None:
    async with raw(says(b"")) as server, either(kind, server.url, reconnect=0.3) as client:
        with pytest.raises(QuartetError, match="broke off"):
            await client.call("run", "r1")
    assert server.connections > 1


def test_methods_show_their_arguments_and_the_page_lists_them() -> None:
    documented = dict(re.findall(r"^\| `(\w+)\((.*)\)` \|", PAGE.read_text(), re.MULTILINE))
    found: dict[str, str] = {}
    for family in Quartet.__mro__:
        for name, method in vars(family).items():
            if isinstance(method, operation | streaming):
                signature = inspect.signature(getattr(Quartet, name))
                assert next(iter(signature.parameters)) == "self"
                bound = inspect.signature(getattr(Quartet("http://127.0.0.1:9"), name))
                assert list(bound.parameters) == list(signature.parameters)[1:]
                found[name] = ", ".join(bound.parameters)
    shown = {
        name: ", ".join(part.split("=")[0] for part in arguments.split(", ") if part not in ("*", ""))
        for name, arguments in documented.items()
    }
    assert {name: shown.get(name) for name in found} == found
