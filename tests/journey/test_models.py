"""The whole bot on a real OpenAI-compatible server: tools, retries, misfits, sources, cost."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.house import DRAFT, PLAN, REVIEW
from tests.journey.bot_process import Bot
from tests.twins.openai_server import ModelServer

pytestmark = pytest.mark.timeout(300)

BRIEF: dict[str, Any] = {
    "summary": "Cats sleep.",
    "findings": [
        {"claim": "Cats sleep sixteen hours.", "source_ids": [1]},
        {"claim": "Cats purr when content.", "source_ids": [2]},
        {"claim": "Cats are liquid.", "source_ids": []},
    ],
    "sources": [
        {"id": 1, "title": "Cats", "url": "{base}/page/cats", "quoted": "Cats sleep sixteen hours a day."},
        {"id": 2, "title": "Pets", "url": "pets.md#cats", "quoted": "Cats purr when content."},
    ],
    "gaps": [],
}


def calls(name: str, **arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "arguments": arguments}]}


def events_of(bot: Bot, run_id: str) -> list[dict[str, Any]]:
    text = bot.client.get(f"/v1/runs/{run_id}/events").raise_for_status().text
    return [json.loads(line) for line in re.findall(r"^data: (\{.*\})\r?$", text, re.M)]


def test_four_agents_search_fetch_and_answer_through_429_and_500(tmp_path: Path) -> None:
    knowledge = tmp_path / "knowledge"
    knowledge.mkdir()
    (knowledge / "pets.md").write_text("# Pets\n\n## Cats\n\nCats purr when content.\n")
    script: dict[str, Any] = {
        "answers": {
            "researcher": [
                {"status": 429, "retry_after": 1},
                calls("knowledge_search", query="cats purr"),
                calls("web_search", query="how long do cats sleep"),
                calls("page_fetch", url="{base}/page/cats"),
                {"output": BRIEF},
            ],
            "planner": [{"status": 500}, {"output": {"goal": "no tasks", "tasks": []}}, {"output": PLAN}],
            "builder": [
                {"status": 429, "retry_after": 1},
                {"output": {**DRAFT, "body": "Cats sleep [1] and pur [2]."}},
            ],
            "reviewer": [
                {
                    "output": {
                        **{k: v for k, v in REVIEW.items() if k != "repeated"},
                        "findings": [
                            {
                                "severity": "minor",
                                "where": "body",
                                "problem": "spelling",
                                "edit": {"find": "pur [2]", "replace": "purr [2]"},
                            }
                        ],
                    }
                }
            ],
        },
        "pages": {"cats": {"title": "Cats", "html": "<p>Cats sleep sixteen hours a day.</p>"}},
        "tavily": {
            "key": "tvly-twin-0123456789",
            "results": [{"title": "Cats", "url": "{base}/page/cats", "content": "about sleep", "score": 0.9}],
        },
    }
    with ModelServer(script) as server:
        env = {
            "OPENAI_API_KEY": server.key,
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "KNOWLEDGE_DIR": str(knowledge),
            "TAVILY_API_KEY": "tvly-twin-0123456789",
            "TAVILY_BASE_URL": f"{server.url}/tavily",
            "FETCH_ALLOW_HOSTS": urlsplit(server.url).netloc,
        }
        with Bot(tmp_path, env) as bot:
            path = bot.post_turn("How long do cats sleep?")
            bot.until_card(path, "approval")
            bot.click(path, "approve")
            [run] = bot.runs()
            bot.until_status(run["id"], "completed")
            bot.until_card(path, "answer")
            page, facts = bot.page(path), events_of(bot, run["id"])
            run = bot.run(run["id"])
        journal = server.journal()
    kinds = [f.get("type") or f.get("body", {}).get("type") for f in facts]
    assert kinds.count("model_retried") == 3
    assert kinds.count("tool_returned") == 3
    assert kinds.count("output_sent_back") == 1
    assert journal["pages"] == {"cats": 1}
    assert journal["searches"] == ["how long do cats sleep"]
    assert "purr" in page
    assert "pur [" not in page
    assert f"{server.url}/page/cats" in page
    assert "pets.md#cats" in page
    assert run["usage"]["input_tokens"] > 0
    assert run["cost"] is not None
    assert "2 model retries" in page or "1 model retry" in page
