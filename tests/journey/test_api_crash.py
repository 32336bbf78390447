"""SIGKILL in the middle of a run of each family of routes: clients that come back see it end, once."""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.journey.api_clients import SocketListener, Stream, frames, insisted, meanwhile, numbers
from tests.journey.bot_process import Bot, eventually
from tests.journey.slow_models import slow_models

pytestmark = pytest.mark.timeout(300)

DELAY_S = 0.15  # of every answer of a model
TURN: dict[str, Any] = {"messages": [{"role": "user", "content": "What is tea?"}]}
ROUNDS = 2


@contextmanager
def slow_bot(folder: Path, *, asks: bool = False) -> Generator[Bot]:
    with slow_models(DELAY_S, asks=asks) as models:
        env = {"OPENAI_API_KEY": models.key, "OPENAI_BASE_URL": f"{models.url}/v1"}
        with Bot(folder, env) as bot:
            yield bot
        assert not models.journal()["problems"]


def killed(bot: Bot, dice: random.Random, within_s: float) -> None:
    """The bot dies at a drawn moment of the run, and comes back."""
    time.sleep(dice.uniform(0, within_s))  # the moment of the kill is what is drawn here
    bot.kill()
    bot.start()


def log(bot: Bot, run_id: str) -> list[Any]:
    """The whole log of a run that has ended, as its stream gives it to who comes late."""
    text = bot.client.get(f"/v1/runs/{run_id}/events").raise_for_status().text
    return [frame for frame in frames(text.splitlines()) if frame.id]


def only_new(bot: Bot, before: int) -> dict[str, Any]:
    """The one run that there is besides the older ones."""
    runs = bot.runs()
    assert len(runs) == before + 1, [run["id"] for run in runs]
    return runs[0]


def ended_once(bot: Bot, run_id: str) -> list[Any]:
    """The log of a run; it begins once, ends once, and no step that was done was done again."""
    events = log(bot, run_id)
    kinds = [frame.event for frame in events]
    assert kinds.count("run_created") == 1
    assert kinds.count("run_ended") == 1
    assert numbers(events) == list(range(1, len(events) + 1))
    done = [(frame.data["body"]["node"], frame.data["body"].get("visit")) for frame in events
            if frame.event == "step_ended"]  # fmt: skip
    assert len(done) == len(set(done))
    return events


def test_a_chat_call_that_is_sent_again_gets_the_answer_of_the_one_run(tmp_path: Path) -> None:
    dice = random.Random(1)
    with slow_bot(tmp_path) as bot:
        for number in range(ROUNDS):
            key = {"Idempotency-Key": f"turn-{number}"}
            calling = meanwhile(insisted, bot, "POST", "/v1/chat", json=TURN, headers=key)
            eventually(lambda n=number: len(bot.runs()) > n, "the run")
            killed(bot, dice, 4 * DELAY_S)
            answer = calling.result()
            assert answer.status_code == 200, answer.text
            run = only_new(bot, number)
            assert (answer.json()["run_id"], answer.json()["status"]) == (run["id"], "completed")
            assert bot.run(run["id"])["response"] == answer.json()
            ended_once(bot, run["id"])


def test_who_follows_the_log_of_a_run_misses_nothing_and_gets_nothing_twice(tmp_path: Path) -> None:
    dice = random.Random(2)
    with slow_bot(tmp_path) as bot:
        for number in range(ROUNDS):
            body = {**TURN, "context": {"timeout_s": 0}}
            run_id = insisted(bot, "POST", "/v1/chat", json=body).json()["run_id"]
            stream = Stream(bot, f"/v1/runs/{run_id}/events", last="end")
            stream.until(lambda got: len(got) > 2)
            killed(bot, dice, 3 * DELAY_S)
            got = stream.over()
            assert got[-1].event == "end"
            assert got[-1].data["status"] == "completed"
            assert got[:-1] == ended_once(bot, run_id)
            assert stream.connections > 1
            assert only_new(bot, number)["status"] == "completed"


def test_a_graph_goes_on_and_its_views_agree_with_its_log(tmp_path: Path) -> None:
    dice = random.Random(3)
    roles = ("researcher", "planner", "builder")
    tasks = [
        {
            "agent_id": f"a{n}",
            "agent_role": role,
            "input_data": {"task": "Tea"},
            "depends_on": [f"a{n - 1}"][:n],
        }
        for n, role in enumerate(roles)
    ]
    graph = {"workflow_type": "graph", "tasks": tasks}
    with slow_bot(tmp_path) as bot:
        for number in range(ROUNDS):
            key = {"Idempotency-Key": f"graph-{number}"}
            posting = meanwhile(insisted, bot, "POST", "/run-graph", json=graph, headers=key)
            killed(bot, dice, 4 * DELAY_S)
            name = posting.result().raise_for_status().json()["workflow_id"]
            path = f"/status/{name}"
            eventually(lambda p=path: bot.client.get(p).json()["completed_at"], "the graph's end")
            view = bot.client.get(path).json()
            assert view["status"] == "completed", view
            assert [task["status"] for task in view["tasks"]] == ["completed"] * 3
            run = only_new(bot, number)
            assert run["status"] == "completed"
            log = ended_once(bot, run["id"])
            done = [frame.data["body"]["node"] for frame in log if frame.event == "step_ended"]
            assert done == [task["task_id"] for task in view["tasks"]]
            again = bot.client.post("/run-graph", json=graph, headers=key).raise_for_status().json()
            assert again == view
            assert bot.client.get("/workflows").json()[0] == view
            only_new(bot, number)


def test_a_session_that_waits_for_a_reply_waits_on_takes_it_and_ends(tmp_path: Path) -> None:
    dice = random.Random(4)
    with slow_bot(tmp_path, asks=True) as bot:
        begun = meanwhile(
            insisted, bot, "POST", "/api/start-task", json={"task": "Tea"}, headers={"Idempotency-Key": "s"}
        )
        killed(bot, dice, 2 * DELAY_S)
        session = begun.result().raise_for_status().json()["session_id"]
        socket = SocketListener(
            bot,
            lambda got: f"/ws/{session}" + (f"?after={got[-1]['id']}" if got else ""),
            None,
        )
        path = f"/api/sessions/{session}"

        def waits() -> bool:
            return bot.client.get(path).json()["status"] == "WAITING_FOR_INPUT"

        eventually(waits, "the team's question")
        bot.kill()
        bot.start()
        assert waits()
        reply = {"session_id": session, "message": "Green"}
        replying = meanwhile(
            insisted, bot, "POST", "/api/reply", json=reply, headers={"Idempotency-Key": "green"}
        )
        killed(bot, dice, 6 * DELAY_S)
        assert replying.result().json() == {"status": "sent"}
        got = socket.over()
        assert bot.client.get(path).json()["status"] == "COMPLETED"
        logs = bot.client.get(f"{path}/logs").json()
        assert [line["content"] for line in logs].count("User: Green") == 1
        # What came on the socket's connections, each of which begins with the status where it stands.
        came = [m for n, m in enumerate(got) if n == 0 or m["id"] != got[n - 1]["id"]]
        told = [(line["id"], line["content"]) for line in logs if not line["content"].startswith("User: ")]
        assert [(m["id"], m["content"]) for m in came if m["id"]] == told
        assert socket.connections > 2
        ended_once(bot, only_new(bot, 0)["id"])


def test_a_chat_socket_comes_back_and_hears_the_rest(tmp_path: Path) -> None:
    dice = random.Random(5)
    with slow_bot(tmp_path) as bot:
        for number in range(ROUNDS):

            def first(got: list[Any], key: str = f"socket-{number}") -> dict[str, Any]:
                after = max((message.get("seq", 0) for message in got), default=0)
                return {**TURN, "idempotency_key": key, "after": after}

            socket = SocketListener(bot, lambda _: "/v1/chat/stream", first)
            socket.until(lambda got: any(message["type"] == "start" for message in got))
            killed(bot, dice, 3 * DELAY_S)
            got = [message for message in socket.over() if message["type"] != "progress"]  # may be lost
            assert [message["type"] for message in got].count("complete") == 1
            run = only_new(bot, number)
            late = SocketListener(bot, lambda _: "/v1/chat/stream", lambda _, run=run: {"run_id": run["id"]})
            assert got == [message for message in late.over() if message["type"] != "progress"]
            answer = bot.run(run["id"])["response"]
            assert {**answer, "type": "complete"} == {k: got[-1][k] for k in (*answer, "type")}
            assert socket.connections > 1
            ended_once(bot, run["id"])


def test_an_execution_and_its_stream_come_to_the_same_end(tmp_path: Path) -> None:
    dice = random.Random(6)
    path = "/api/execute/stream"
    with slow_bot(tmp_path) as bot:
        for number in range(ROUNDS):
            asked = {"goal": "Explain tea", "idempotency_key": f"goal-{number}"}
            stream = Stream(bot, path, last="done", params=asked)
            stream.until(lambda got: bool(got))
            body, key = {"goal": "Explain tea"}, {"Idempotency-Key": f"goal-{number}"}
            posting = meanwhile(insisted, bot, "POST", "/api/execute", json=body, headers=key)
            killed(bot, dice, 5 * DELAY_S)
            got = stream.over()
            end = got[-1].data["execution"]
            assert end["status"] == "completed"
            assert stream.connections > 1
            late = Stream(bot, path, last="done", params={"id": end["id"]})
            assert got == late.over()
            said = posting.result().raise_for_status().json()["execution"]
            assert said == bot.client.get(f"/api/execute/{end['id']}").json()["execution"]
            assert {**end, "result": said.get("result")} == {**said, "result": said.get("result")}
            ended_once(bot, only_new(bot, number)["id"])
