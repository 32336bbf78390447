"""The HTTP API under load: 1,000 streams of one run beside 200 runs at once, and graphs at 100 a second.

The server is `quartet up` in a process of its own, with the rules engine. The followers are one
process; who asks `/health` is another, so that it does not wait for the followers' work.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import httpx2

from bench.bot_under_test import Bot, bot
from bench.report import Figure

FOLLOWERS = 1_000
RUNS = 200
TASKS = 40  # of the run that is followed; each is a few events
GRAPHS = 1_000
A_SECOND = 100
IDLE_S = 4.0
PROBE_S = 0.02
PATIENCE_S = 300.0
_ID = re.compile(rb"^id: (\d+)$", re.MULTILINE)


def measure() -> list[Figure]:
    """All figures."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, bot(Path(folder)) as running:
        figures += asyncio.run(_streams(running))
    with tempfile.TemporaryDirectory() as folder, bot(Path(folder)) as running:
        figures += asyncio.run(_graphs(running))
    return figures


# ── streams ──────────────────────────────────────────────────────────────────────────────────


class Follower(asyncio.Protocol):
    """One client of a stream: notes when which event came."""

    def __init__(self, path: str, *, keeps: bool) -> None:
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        self.came: list[tuple[int, float]] = []  # number of an event, seconds since 1970
        self.kept = bytearray() if keeps else None
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self.request.encode())
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self.begun.set()
        if self.kept is not None:
            self.kept += data
        cut = data.rfind(b"\n\n")
        if cut < 0:
            self._rest += data
            return
        whole, self._rest = self._rest + data[:cut], data[cut:]
        self.came += [(int(seq), now) for seq in _ID.findall(whole)]
        if b"event: end\n" in whole:
            self.ended.set()
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


async def _streams(running: Bot) -> list[Figure]:
    host, port = running.address.removeprefix("http://").split(":")
    limits = httpx2.Limits(max_connections=40)
    async with httpx2.AsyncClient(
        base_url=running.address, timeout=60, trust_env=False, limits=limits
    ) as client:
        idle = await _probed(host, int(port), asyncio.sleep(IDLE_S))
        run_id = await _paused(client)
        loop = asyncio.get_running_loop()
        followers = [Follower(f"/v1/runs/{run_id}/events", keeps=number == 0) for number in range(FOLLOWERS)]
        for some in range(0, FOLLOWERS, 50):
            await asyncio.gather(
                *(
                    loop.create_connection(lambda f=follower: f, host, int(port))
                    for follower in followers[some : some + 50]
                )
            )
        async with asyncio.timeout(PATIENCE_S):
            for follower in followers:
                await follower.begun.wait()
        begun = time.time()
        busy = await _probed(host, int(port), _load(client, run_id, followers))
        seconds = time.time() - begun
    rss_mb = _peak_mb(running.pid)
    first = followers[0].kept or bytearray()
    at = _times(bytes(first))
    lost = sum([seq for seq, _ in f.came] != [*range(1, len(at) + 1)] for f in followers)
    delays = [when - at[seq] for f in followers for seq, when in f.came if at[seq] > begun]
    note = f"{len(at)} events, {len(delays):,} deliveries, all ended within {seconds:.1f} s"
    return [
        Figure("followers that lost or doubled an event", lost, "of 1,000", 1, "less", note),
        Figure("delay of an event, p95", _part(delays, 0.95) * 1000, "ms", 250, "less"),
        Figure("delay of an event, p50", _part(delays, 0.5) * 1000, "ms"),
        Figure("memory of the server, most", rss_mb, "MB", 300, "less"),
        Figure("/health under this load, p99", _part(busy, 0.99) * 1000, "ms", 100, "less", f"{len(busy)}"),
        Figure("/health without it, p99", _part(idle, 0.99) * 1000, "ms", 10, "less", f"{len(idle)}"),
    ]


async def _paused(client: httpx2.AsyncClient) -> str:
    """A long run that waits to go on."""
    tasks = [
        {"agent_id": f"t{n}", "agent_role": "researcher", "input_data": {"topic": f"tea, part {n}"}}
        for n in range(TASKS)
    ]
    answer = await client.post("/run-graph", json={"workflow_type": "sequential", "tasks": tasks})
    answer.raise_for_status()
    run_id = str((await client.get("/v1/runs?limit=1")).json()["items"][0]["id"])
    (await client.post(f"/v1/runs/{run_id}/pause")).raise_for_status()
    return run_id


async def _load(client: httpx2.AsyncClient, run_id: str, followers: Sequence[Follower]) -> None:
    """Let the followed run go on, beside many others; until all have ended."""
    resumed = asyncio.create_task(client.post(f"/v1/runs/{run_id}/resume"))
    bodies = [
        {
            "conversation_id": f"bench-{number}",
            "messages": [{"role": "user", "content": f"What is tea? ({number})"}],
            "context": {"timeout_s": 0},
        }
        for number in range(RUNS)
    ]
    await asyncio.gather(resumed, *(client.post("/v1/chat", json=body) for body in bodies))
    async with asyncio.timeout(PATIENCE_S):
        for follower in followers:
            await follower.ended.wait()
        while (await client.get("/health")).json()["active_workflows"]:  # noqa: ASYNC110 - a client asks
            await asyncio.sleep(0.2)


def _times(stream: bytes) -> dict[int, float]:
    """When each event was appended, by the server's log."""
    body = b"".join(piece for piece in _unchunked(stream.partition(b"\r\n\r\n")[2]))
    found: dict[int, float] = {}
    for line in body.split(b"\n"):
        if line.startswith(b'data: {"run_id"'):
            event: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
            found[event["seq"]] = datetime.fromisoformat(event["at"]).timestamp()
    return found


def _unchunked(body: bytes) -> list[bytes]:
    pieces: list[bytes] = []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        if not length:
            break
        pieces.append(body[:length])
        body = body[length + 2 :]
    return pieces


# ── graphs ───────────────────────────────────────────────────────────────────────────────────


async def _graphs(running: Bot) -> list[Figure]:
    """POST /run-graph at a steady pace; what counts is the answer to each, not when its run ends."""
    body: dict[str, Any] = {
        "workflow_type": "graph",
        "tasks": [
            {"agent_id": "a", "agent_role": "researcher", "input_data": {"topic": "tea"}},
            {"agent_id": "b", "agent_role": "writer", "input_data": {}, "depends_on": ["a"]},
        ],
    }
    waits: list[float] = []

    async def post(client: httpx2.AsyncClient) -> None:
        begun = time.perf_counter()
        answer = await client.post("/run-graph", json=body)
        waits.append(time.perf_counter() - begun)
        answer.raise_for_status()

    async with httpx2.AsyncClient(base_url=running.address, timeout=60, trust_env=False) as client:
        await asyncio.gather(*(post(client) for _ in range(20)))  # connections, and first uses
        waits.clear()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(GRAPHS):
                await asyncio.sleep(max(0.0, begun + number / A_SECOND - loop.time()))
                group.create_task(post(client))
        seconds = loop.time() - begun
    return [
        Figure(
            "POST /run-graph accepted, p95",
            _part(waits, 0.95) * 1000,
            "ms",
            15,
            "less",
            f"{GRAPHS / seconds:.0f} a second",
        ),
        Figure("POST /run-graph accepted, p50", _part(waits, 0.5) * 1000, "ms"),
    ]


# ── who asks /health ─────────────────────────────────────────────────────────────────────────


async def _probed(host: str, port: int, work: Any) -> list[float]:
    """Do some work; returns how long /health took meanwhile, in seconds, as another process saw it."""
    spawn = multiprocessing.get_context("spawn")
    ready, enough = spawn.Event(), spawn.Event()
    results: Any = spawn.Queue()
    prober = spawn.Process(target=_probe, args=(host, port, ready, enough, results), daemon=True)
    prober.start()
    await asyncio.to_thread(ready.wait, 30)
    await work
    enough.set()
    found: list[float] = await asyncio.to_thread(results.get, True, 30)
    await asyncio.to_thread(prober.join, 10)
    return found


def _probe(host: str, port: int, ready: Event, enough: Event, results: Any) -> None:
    waits: list[float] = []
    connection = http.client.HTTPConnection(host, port, timeout=60)
    while not enough.is_set():
        begun = time.perf_counter()
        connection.request("GET", "/health")
        connection.getresponse().read()
        waits.append(time.perf_counter() - begun)
        ready.set()
        time.sleep(PROBE_S)
    results.put(waits[1:])


def _part(values: Sequence[float], part: float) -> float:
    return statistics.quantiles(values, n=1000, method="inclusive")[int(part * 1000) - 1]


def _peak_mb(pid: int) -> float:
    if sys.platform != "linux":
        return 0.0
    status = Path(f"/proc/{pid}/status").read_text()
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) / 1024
