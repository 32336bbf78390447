"""The bot itself as a process of its own: rules engine, an empty home, a free port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Bot:
    """A bot that answers."""

    address: str  # http://127.0.0.1:PORT
    answered_s: float  # process start to first answered /health
    healthy_s: float  # process start to the first /health with status 200
    pid: int


@contextmanager
def bot(home: Path) -> Generator[Bot]:
    """Start `quartet up` and wait until it is healthy; ends it afterwards.

    Raises:
        TimeoutError: it did not become healthy; the message holds what it printed.
    """
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    begun = time.perf_counter()
    with (home / "printed.txt").open("wb") as printed:
        running = subprocess.Popen(
            [sys.executable, "-m", "bot", "up", "--port", str(port)],
            env={**kept, "QUARTET_HOME": str(home / "var")},
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx2.Client(base_url=address, timeout=5.0, trust_env=False) as client:
            answered_s = _until_health(client, begun, home, healthy=False)
            healthy_s = _until_health(client, begun, home, healthy=True)
        yield Bot(address, answered_s, healthy_s, running.pid)
    finally:
        running.terminate()
        try:
            running.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _until_health(client: httpx2.Client, begun: float, home: Path, *, healthy: bool) -> float:
    while time.perf_counter() - begun < PATIENCE_S:
        try:
            answer = client.get("/health")
        except httpx2.TransportError:
            time.sleep(0.005)
            continue
        if not healthy or answer.status_code == 200:
            return time.perf_counter() - begun
        time.sleep(0.005)
    raise TimeoutError(
        f"the bot was not ready within {PATIENCE_S:g} s:\n{(home / 'printed.txt').read_text()}"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
