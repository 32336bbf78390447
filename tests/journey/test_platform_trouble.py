"""A chat platform that cannot be reached: the bot says so once, in words, and the page works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.journey.bot_process import Bot, eventually, free_port

TOKEN = "xoxb-1-2-abcdefabcdef"


def test_slack_out_of_reach_is_said_once_and_the_page_answers(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/"
    env = {"SLACK_BOT_TOKEN": TOKEN, "SLACK_APP_TOKEN": "xapp-1-A1-2-abcdef", "SLACK_API_URL": nobody}
    with Bot(tmp_path, env) as bot:

        def slack() -> dict[str, Any] | None:
            found = bot.client.get("/health").json()["components"].get("slack", {})
            return found if found.get("status") == "degraded" else None

        trouble = eventually(slack, "health says what is wrong with Slack")
        assert nobody in trouble["detail"]
        answer = bot.client.post(
            "/v1/chat", json={"messages": [{"role": "user", "content": "What is tea?"}]}
        ).json()
        assert answer["status"] == "completed"
        said = bot.log.read_text(encoding="utf-8")
        assert said.count("Slack is not connected:") == 1
        assert TOKEN not in said
