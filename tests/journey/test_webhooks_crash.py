"""The bot is killed around sending notices: each arrives at least once, with the same id, in order."""

from __future__ import annotations

import base64
import hmac
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.journey.bot_process import Bot, eventually, free_port

KINDS = ["run.created", "run.started", "run.completed"]


class Receiver:
    """Takes notices in threads of its own, whatever becomes of the bot."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.hold = threading.Event()  # set: answers are held back
        self.let_go = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.posts]

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.posts]

    @contextmanager
    def listening(self) -> Generator[None]:
        outer = self

        class Serving(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.posts.append(({k.lower(): v for k, v in self.headers.items()}, body))
                if outer.hold.is_set():
                    outer.let_go.wait(60)
                    return
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Serving)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.let_go.set()
            server.shutdown()
            server.server_close()
            thread.join(10)


@pytest.fixture
def there() -> Receiver:
    return Receiver(free_port())


@contextmanager
def told(folder: Path, there: Receiver) -> Generator[tuple[Bot, str]]:
    """A bot that tells the receiver, and the secret."""
    with Bot(folder, {"FETCH_ALLOW_HOSTS": f"127.0.0.1:{there.port}"}) as bot:
        made = bot.client.post("/v1/webhooks", json={"url": there.url, "events": KINDS})
        assert made.status_code == 201, made.text
        yield bot, made.json()["secret"]


def asked(bot: Bot, text: str) -> str:
    """A run that is over."""
    answer = bot.client.post("/v1/chat", json={"messages": [{"role": "user", "content": text}]})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run_id"])


def check_signatures(there: Receiver, secret: str) -> None:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    for headers, body in there.posts:
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.timeout(180)
def test_killed_between_commit_and_sending_nothing_is_lost(tmp_path: Path, there: Receiver) -> None:
    with told(tmp_path, there) as (bot, secret):
        runs = [asked(bot, "How do approvals work?"), asked(bot, "How do I stop a run?")]
        bot.kill()  # nobody listened: nothing was sent
        assert not there.posts
        with there.listening():
            bot.start()
            eventually(lambda: len(there.posts) >= 6, "six notices", 60)
        assert [(s["data"]["run_id"], s["type"]) for s in there.said] == [(r, k) for r in runs for k in KINDS]
        assert len(set(there.ids)) == 6
        check_signatures(there, secret)


@pytest.mark.timeout(180)
def test_killed_between_sending_and_noting_it_comes_again_with_its_id(
    tmp_path: Path, there: Receiver
) -> None:
    there.hold.set()
    with there.listening(), told(tmp_path, there) as (bot, secret):
        run = asked(bot, "How do approvals work?")
        eventually(lambda: there.posts, "the first notice")
        bot.kill()  # it arrived, and the answer never came
        assert len(there.posts) == 1
        there.hold.clear()
        bot.start()
        eventually(lambda: len(there.posts) >= 4, "all notices", 60)
        assert there.ids[0] == there.ids[1]
        assert [(s["data"]["run_id"], s["type"]) for s in there.said[1:]] == [(run, kind) for kind in KINDS]
        assert len(set(there.ids)) == 3
        check_signatures(there, secret)
