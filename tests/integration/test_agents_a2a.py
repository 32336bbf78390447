"""Agents that speak A2A, in both versions: tasks that take long, fail, are stopped, and outlive a crash."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.agents.elsewhere.a2a import A2aPlayer
from orchestrator.agents.elsewhere.specs import A2aSpec
from orchestrator.errors import AgentFailed
from orchestrator.events import Json
from tests.elsewhere import spec, surroundings
from tests.loopback import on_loopback
from tests.twins.a2a_server import A2aTwin
from tests.unit.agents.steps import MemorySink, step

STEP = step("own", "count the cats", task="Count them.")


async def play(folder: Path, twin: A2aTwin, sink: MemorySink | None = None, **more: Any) -> Json:
    asked = more.pop("asked", STEP)
    async with on_loopback(twin.app) as base:
        given = spec("a2a", url=base, **more)
        assert isinstance(given, A2aSpec)
        async with surroundings(folder, allow=[base.partition("//")[2]], variables={"K": "k-1"}) as around:
            made = await A2aPlayer(given, around).run(asked, sink or MemorySink())
    assert twin.problems == []
    return made


@pytest.mark.parametrize("new", [True, False])
async def test_a_task_is_sent_and_waited_for(tmp_path: Path, new: bool) -> None:
    twin, sink = A2aTwin(new=new, said="looking"), MemorySink()
    assert (await play(tmp_path, twin, sink, token_env="K"))["body"] == "three cats"
    assert [what for what, _ in twin.asked] == ["send", "get", "get"]
    text, data = twin.asked[0][1]["message"]["parts"]
    assert text["text"].startswith("Count them.\n\nThe request was: count the cats")
    assert data["data"]["step"]["key"] == "r1:own:1:1"
    assert sink.said[:2] == ["working", "looking"]
    assert sink.saved[0]["call"] in twin.looks


async def test_the_same_step_is_sent_under_the_same_id(tmp_path: Path) -> None:
    twin = A2aTwin(states=("completed",))
    await play(tmp_path, twin)
    await play(tmp_path, twin)
    await play(tmp_path, twin, asked=replace(STEP, attempt=2))
    first, second, third = [asked["message"]["messageId"] for _, asked in twin.asked]
    assert first == second != third


@pytest.mark.parametrize("new", [True, False])
async def test_after_a_crash_the_task_is_found_again(tmp_path: Path, new: bool) -> None:
    twin = A2aTwin(new=new)
    twin.looks["t1"] = 0
    kept = {"attempt": 1, "call": "t1", "agent": None}
    assert (await play(tmp_path, twin, asked=replace(STEP, checkpoint=kept)))["body"] == "three cats"
    assert [what for what, _ in twin.asked] == ["get", "get"]


async def test_a_stopped_task_is_cancelled(tmp_path: Path) -> None:
    twin = A2aTwin(states=("working",))
    work = asyncio.create_task(play(tmp_path, twin))
    async with asyncio.timeout(10):
        while len(twin.asked) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(work, 3)
    assert twin.asked[-1][0] == "cancel"


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        ([{"text": "three"}, {"text": "cats"}], "three\n\ncats"),
        ([{"text": '```json\n{"body": "in JSON"}\n```'}], "in JSON"),
        ([{"text": "see:"}, {"data": {"body": "data counts"}}], "data counts"),
        ([{"data": {"result": {"body": "wrapped"}}}], "wrapped"),
    ],
)
async def test_an_answer_in_words_or_json_becomes_a_report(
    tmp_path: Path, parts: list[Json], body: str
) -> None:
    assert (await play(tmp_path, A2aTwin(parts=parts)))["body"] == body


async def test_an_answer_in_words_ends_with_one_of_the_offered_outcomes(tmp_path: Path) -> None:
    asked = replace(STEP, outcomes=("passed", "failed"))
    made = await play(tmp_path, A2aTwin(parts=[{"text": "I looked.\nOutcome: **Passed**"}]), asked=asked)
    assert made["outcome"] == "passed"
    with pytest.raises(AgentFailed, match="last line of its answer has to be one of passed, failed"):
        await play(tmp_path, A2aTwin(parts=[{"text": "all well"}]), asked=asked)


async def test_a_message_instead_of_a_task_is_an_answer(tmp_path: Path) -> None:
    message = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "at once"}]}
    twin = A2aTwin(answers={"send": {"result": {"message": message}}})
    assert (await play(tmp_path, twin))["body"] == "at once"


GET = {"error": {"code": -32001, "message": "Task not found"}}


@pytest.mark.parametrize(
    ("twin", "message", "retryable"),
    [
        (A2aTwin(states=("failed",), said="no\nladder"), "its task was failed: no ladder$", False),
        (A2aTwin(states=("rejected",)), "its task was rejected$", False),
        (A2aTwin(states=("working", "canceled")), "its task was canceled$", True),
        (
            A2aTwin(states=("input-required",), said="which?"),
            r"asks for more \(input-required\): which\?",
            False,
        ),
        (A2aTwin(states=("auth-required",)), "asks for more", False),
        (A2aTwin(answers={"get": GET}), r"refuses GetTask \(-32001\): Task not found", False),
        (A2aTwin(answers={"send": {"result": 7}}), "no JSON-RPC result", False),
        (A2aTwin(answers={"send": {"result": {}}}), "ended without text or JSON", False),
        (A2aTwin(answers={"send": {"result": {"task": {"status": {"state": 1}}}}}), "its task was 1", False),
        (
            A2aTwin(answers={"send": {"result": {"status": {"state": "working"}}}}),
            "its task has no id",
            False,
        ),
        (A2aTwin(parts=[{"data": {"text": "x"}}]), "no Report", False),
        (A2aTwin(card={"supportedInterfaces": []}), "offers no JSON-RPC of A2A", False),
        (A2aTwin(card={"supportedInterfaces": "x", "url": 7}), "offers no JSON-RPC of A2A", False),
        (
            A2aTwin(new=False, card={"url": "http://169.254.169.254/rpc"}),
            "its card names another host than its url; if that is right, write the address as `endpoint:`",
            False,
        ),
    ],
)
async def test_what_goes_wrong_is_told_in_one_line(
    tmp_path: Path, twin: A2aTwin, message: str, retryable: bool
) -> None:
    with pytest.raises(AgentFailed, match=message) as failed:
        await play(tmp_path, twin)
    assert failed.value.retryable is retryable
    assert "\n" not in str(failed.value)


async def test_another_endpoint_gets_no_key(tmp_path: Path) -> None:
    with pytest.raises(AgentFailed, match="its key is sent to the host of its url only"):
        await play(tmp_path, A2aTwin(), endpoint="https://example.com/rpc", token_env="K")
