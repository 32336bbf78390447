"""SIGKILL at the worst moments, with the real server, the real page and a model server that counts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.events import ApprovalId, DecisionGiven, RunId, Who
from orchestrator.infra.sqlite_store import SqliteStore
from tests.house import BRIEF, DRAFT, PLAN, REVIEW
from tests.journey.bot_process import Bot, eventually
from tests.twins.openai_server import ModelServer

pytestmark = pytest.mark.timeout(300)

REVIEWED = {k: v for k, v in REVIEW.items() if k != "repeated"}
OUTPUTS: dict[str, Any] = {"researcher": BRIEF, "planner": PLAN, "builder": DRAFT, "reviewer": REVIEWED}
HANG: dict[str, Any] = {"hang": True}
ONE_OF_EACH = ["answer", "approval", "status"]


@contextmanager
def models(**first: list[dict[str, Any]]) -> Generator[ModelServer]:
    """A model server on which every agent answers once, after the entries given for it."""
    answers = {agent: [*first.get(agent, []), {"output": output}] for agent, output in OUTPUTS.items()}
    with ModelServer({"answers": answers}) as server:
        yield server


def env(server: ModelServer, key: str | None = None) -> dict[str, str]:
    return {"OPENAI_API_KEY": key or server.key, "OPENAI_BASE_URL": f"{server.url}/v1"}


def answered_once(server: ModelServer) -> None:
    """No finished model call was made again."""
    journal = server.journal()
    assert journal["answered"] == dict.fromkeys(OUTPUTS, 1)
    assert not journal["problems"]


def only_run(bot: Bot) -> str:
    [run] = bot.runs()
    return str(run["id"])


@pytest.mark.parametrize("agent", OUTPUTS)
def test_killed_during_an_agent_the_run_goes_on(tmp_path: Path, agent: str) -> None:
    with models(**{agent: [HANG]}) as server, Bot(tmp_path, env(server)) as bot:
        path = bot.post_turn("What is tea?")
        if agent in ("builder", "reviewer"):
            bot.until_card(path, "approval")
            bot.click(path, "approve")
        eventually(lambda: server.journal()["count"].get(agent), f"the {agent}'s model call")
        bot.kill()
        bot.start()
        if agent in ("researcher", "planner"):
            bot.until_card(path, "approval")
            bot.click(path, "approve")
        run = bot.until_status(only_run(bot), "completed")
        bot.until_card(path, "answer")
        assert sorted(bot.cards(path)) == ONE_OF_EACH
        assert [s["node"] for s in run["steps"]].count(agent) == 1
        answered_once(server)


def test_killed_while_waiting_the_buttons_still_work(tmp_path: Path) -> None:
    with models() as server, Bot(tmp_path, env(server)) as bot:
        path = bot.post_turn("What is tea?")
        bot.until_card(path, "approval")
        for _ in range(2):
            bot.kill()
            bot.start()
        assert sorted(bot.cards(path)) == ["approval", "status"]
        bot.click(path, "approve")
        bot.until_status(only_run(bot), "completed")
        bot.until_card(path, "answer")
        assert sorted(bot.cards(path)) == ONE_OF_EACH
        answered_once(server)


async def _decide_in_the_database(home: Path, run_id: str, approval_id: str) -> None:
    store = await SqliteStore.open(home / "quartet.db", owners_dir=home / "owners")
    try:
        who = Who(key="web:bob", name="Bob")
        fact = DecisionGiven(approval_id=ApprovalId(approval_id), decision="approve", who=who)
        await store.append(RunId(run_id), [fact], epoch=None)
    finally:
        await store.close()


def test_killed_between_an_approval_and_its_effect_it_takes_effect(tmp_path: Path) -> None:
    with models() as server, Bot(tmp_path, env(server)) as bot:
        path = bot.post_turn("What is tea?")
        bot.until_card(path, "approval")
        [approval] = bot.approvals()
        bot.kill()
        # Exactly what a kill after the commit of the decision leaves behind.
        asyncio.run(_decide_in_the_database(bot.home, approval["run_id"], approval["id"]))
        bot.start()
        bot.until_status(approval["run_id"], "completed")
        bot.until_card(path, "answer")
        assert sorted(bot.cards(path)) == ONE_OF_EACH
        assert "approved by Bob" in bot.page(path)
        answered_once(server)


def test_killed_at_any_moment_after_a_click_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    dice, rounds = random.Random(7), 4
    plenty = {agent: [{"output": output}] * (2 * rounds) for agent, output in OUTPUTS.items()}
    with ModelServer({"answers": plenty}, strict=False) as server, Bot(tmp_path, env(server)) as bot:
        for number in range(1, rounds + 1):
            path = bot.post_turn(f"What is tea? ({number})")
            bot.until_card(path, "approval")
            bot.click(path, "approve")
            time.sleep(dice.uniform(0, 0.08))  # the moment of the kill is what is drawn here
            bot.kill()
            bot.start()
            run = bot.until_status(str(bot.runs()[0]["id"]), "completed")
            assert [s["node"] for s in run["steps"]].count("builder") == 1
            bot.until_card(path, "answer")
            assert sorted(bot.cards(path)) == ONE_OF_EACH
        journal = server.journal()
        assert not journal["problems"]
        # A call whose answer was on its way when the bot died is the step in flight: asked once more at most.
        assert 4 * rounds <= sum(journal["answered"].values()) <= 5 * rounds


def test_stop_reaches_a_model_call_in_flight_within_two_seconds(tmp_path: Path) -> None:
    with ModelServer({"answers": {"researcher": [HANG]}}) as server, Bot(tmp_path, env(server)) as bot:
        path = bot.post_turn("What is tea?")
        eventually(lambda: server.journal()["count"].get("researcher"), "the researcher's model call")
        bot.until_card(path, "status")
        begun = time.monotonic()
        bot.click(path, "stop")
        eventually(lambda: server.journal()["requests"][0]["disconnected"], "the call to be broken off", 2)
        assert time.monotonic() - begun < 2
        bot.until_status(only_run(bot), "stopped")
        bot.until_card(path, "answer")
        eventually(lambda: "stopped by you" in bot.page(path), "the status card to say who stopped it")


def test_a_wrong_key_gives_one_clear_error_within_five_seconds(tmp_path: Path) -> None:
    with (
        ModelServer({"answers": {}}) as server,
        Bot(tmp_path, env(server, "sk-wrong-secret-0123456789")) as bot,
    ):
        eventually(lambda: bot.client.get("/health").json()["status"] == "healthy", "health")
        begun = time.monotonic()
        path = bot.post_turn("What is tea?")
        bot.until_card(path, "answer")
        assert time.monotonic() - begun < 5
        page = bot.page(path)
        assert "OPENAI_API_KEY" in page
        assert sorted(bot.cards(path)) == ["answer", "status"]
        assert "sk-wrong-secret-0123456789" not in page
        assert "sk-wrong-secret-0123456789" not in bot.log.read_text()
        assert b"sk-wrong-secret-0123456789" not in b"".join(
            f.read_bytes() for f in bot.home.rglob("*") if f.is_file()
        )
