"""The real bot as a process of its own, and a person who uses its page without a browser."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from html import unescape
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx2

from tests.calm import Watch
from tests.journey.warm import started

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
WITHIN_S = 30.0
END_S = 60.0
T = TypeVar("T")


def eventually(what: Callable[[], T | None], said: str, within_s: float = WITHIN_S) -> T:
    """Ask until there is something; fails with `said` when there never is."""
    watch = Watch()
    while watch.calm_s < within_s:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {within_s} s: {said}")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Bot:
    """`quartet up` on a free port, with its own home; a process of its own (`warm.py`)."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.home = folder / "home"
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "VIRTUAL_ENV")},
            "PYTHONPATH": str(ROOT),
            "QUARTET_HOME": str(self.home),
            **(env or {}),
        }
        self.log = folder / "bot.log"
        self._process: BaseProcess | None = None
        self.client = httpx2.Client(base_url=self.url, timeout=WITHIN_S)

    def __enter__(self) -> Bot:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.kill()
        self.client.close()

    def start(self) -> None:
        self._process = started(
            ["up", "--port", str(self.port)], folder=self.folder, env=self.env, into=self.log
        )
        eventually(self._healthy, f"a healthy bot; its log is {self.log}", START_S)

    def _healthy(self) -> bool:
        assert self._process is not None
        assert self._process.exitcode is None, f"the bot ended at its start:\n{self.log.read_text()}"
        try:
            return self.client.get("/health", timeout=2).status_code == 200
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        """SIGKILL: nothing is cleaned up."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        return self._end(signal.SIGTERM)

    def died(self) -> bool:
        """Whether it was killed by somebody else, or by itself; it can be started again then."""
        if self._process is None:
            return True
        if self._process.exitcode is None:
            return False
        self._end(signal.SIGKILL)
        return True

    def _end(self, by: signal.Signals) -> int:
        if self._process is None:
            return 0
        process = self._process
        if process.exitcode is None and process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, by)
        process.join(END_S)
        status = process.exitcode
        assert status is not None, f"it did not end within {END_S:.0f} s"
        self._process = None
        # Connections to the dead process are of no use to the next one.
        self.client.close()
        self.client = httpx2.Client(base_url=self.url, timeout=WITHIN_S)
        return status

    # ── the API ──────────────────────────────────────────────────────────────────────────────

    def run(self, run_id: str) -> dict[str, Any]:
        return json.loads(self.client.get(f"/v1/runs/{run_id}").raise_for_status().text)

    def runs(self) -> list[dict[str, Any]]:
        return json.loads(self.client.get("/v1/runs").raise_for_status().text)["items"]

    def events(self, run_id: str) -> list[str]:
        """Types of the run's events so far, from the database's own export by SSE, once it has ended."""
        text = self.client.get(f"/v1/runs/{run_id}/events").raise_for_status().text
        return re.findall(r"^event: (\S+)", text, re.M)

    def approvals(self) -> list[dict[str, Any]]:
        return json.loads(self.client.get("/v1/approvals").raise_for_status().text)["items"]

    def until_status(self, run_id: str, *wanted: str) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            run = self.run(run_id)
            return run if run["status"] in wanted else None

        return eventually(there, f"run {run_id} to be {wanted}")

    # ── the page, as a person without scripts uses it ────────────────────────────────────────

    def post_turn(self, text: str, *, page: str = "") -> str:
        """Write on the page; returns the conversation's path."""
        shown = self.client.get(page or "/").raise_for_status().text
        nonce = re.search(r'name="nonce" value="([^"]+)"', shown)
        assert nonce is not None, "the page has no form to write into"
        path = f"{page}/messages" if page else "/c"
        answer = self.client.post(path, data={"nonce": nonce[1], "text": text})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"]).split("#")[0].split("?")[0]

    def page(self, path: str) -> str:
        return self.client.get(path).raise_for_status().text

    def cards(self, path: str) -> list[str]:
        """The kinds of the cards that the page shows, in order: status, approval, answer."""
        ids = re.findall(r'data-card="([^"]+)"', self.page(path))
        return [unescape(i).split(":")[1] for i in ids]

    def until_card(self, path: str, kind: str) -> None:
        eventually(lambda: kind in self.cards(path), f"a card {kind!r} on {path}")

    def click(self, path: str, action: str) -> str:
        """Press the first button with this action; returns the page that follows."""
        for form in re.findall(r"<form[^>]*/click\"[^>]*>.*?</form>", self.page(path), re.S):
            press = re.search(rf'name="press" value="({action} [^"]+)"', form)
            message = re.search(r'name="message" value="([^"]+)"', form)
            if press and message:
                fields = {"message": unescape(message[1]), "press": unescape(press[1])}
                answer = self.client.post(f"{path}/click", data=fields, follow_redirects=True)
                assert answer.status_code == 200, answer.text
                return answer.text
        raise AssertionError(f"no button {action!r} on {path}")
