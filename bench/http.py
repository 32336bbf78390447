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
import selectors
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from bench.bot_under_test import Bot, bot
from bench.report import Figure

FOLLOWERS = 1_000
RUNS = 200
TASKS = 40  # of the run that is followed; each is a few events
GRAPHS = 1_000
A_SECOND = 100
WARM_S = 4.0  # after the start libraries are loaded in the background
IDLE_S = 4.0
PROBE_S = 0.02
PATIENCE_S = 300.0
_ID = b"\nid: "


def measure() -> list[Figure]:
    """All figures."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, bot(Path(folder)) as running:
        figures += asyncio.run(_streams(running))
    with tempfile.TemporaryDirectory() as folder, bot(Path(folder)) as running:
        figures += asyncio.run(_graphs(running))
    return figures


# ── streams ──────────────────────────────────────────────────────────────────────────────────


class Followed(NamedTuple):
    """What the followers found."""

    events: int
    wrong: int  # followers that lost an event, or got one twice
    deliveries: int
    delays: list[float]  # seconds, of events after the run went on


class Follower:
    """One client of a stream. Looks at what comes only as far as it must, so that it is no bottleneck."""

    def __init__(self, host: str, port: int, path: str, *, keeps: bool) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        self.socket.setblocking(False)
        self.came: list[tuple[int, float]] = []  # the last event so far, seconds since 1970
        self.count = 0
        self.kept: bytearray | None = bytearray() if keeps else None
        self._rest = b""

    def read(self) -> bool:
        """Take what is there; False: it was the end."""
        got = self.socket.recv(1 << 20)
        now = time.time()
        if self.kept is not None:
            self.kept += got
        whole = self._rest + got
        cut = whole.rfind(b"\n\n") + 1  # between two events, or 0
        self._rest = whole[cut:] if cut else whole
        if cut:
            begin = whole.rfind(_ID, 0, cut)
            if begin >= 0:
                self.count += whole.count(_ID, 0, cut)
                end = whole.index(b"\n", begin + len(_ID))
                self.came.append((int(whole[begin + len(_ID) : end]), now))
        return bool(got) and b"event: end\n" not in whole


def _follow(host: str, port: int, path: str, begun: Any, ready: Event, results: Any) -> None:
    """All followers, in a process of their own."""
    followers = [Follower(host, port, path, keeps=number == 0) for number in range(FOLLOWERS)]
    waiting = selectors.DefaultSelector()
    for follower in followers:
        waiting.register(follower.socket, selectors.EVENT_READ, follower)
    left = len(followers)
    while left:
        for key, _ in waiting.select():
            if not key.data.read():
                waiting.unregister(key.fileobj)
                left -= 1
        if not ready.is_set() and all(follower.came for follower in followers):
            ready.set()
    at = _times(bytes(followers[0].kept or b""))
    delays: list[float] = []
    wrong = deliveries = 0
    for follower in followers:
        before = 0
        for last, when in follower.came:
            delays += [when - at[seq] for seq in range(before + 1, last + 1) if at[seq] > begun.value]
            before = last
        deliveries += follower.count
        wrong += (follower.count, before) != (len(at), len(at))
    results.put(Followed(len(at), wrong, deliveries, delays))


async def _streams(running: Bot) -> list[Figure]:
    host, port = running.address.removeprefix("http://").split(":")
    spawn = multiprocessing.get_context("spawn")
    async with httpx2.AsyncClient(
        base_url=running.address, timeout=60, trust_env=False, limits=httpx2.Limits(max_connections=40)
    ) as client:
        await asyncio.sleep(WARM_S)
        idle = await _probed(host, int(port), asyncio.sleep(IDLE_S))
        run_id = await _paused(client)
        begun, ready, results = spawn.Value("d", 1e12), spawn.Event(), spawn.Queue()
        path = f"/v1/runs/{run_id}/events"
        following = spawn.Process(
            target=_follow, args=(host, int(port), path, begun, ready, results), daemon=True
        )
        following.start()
        await asyncio.to_thread(ready.wait, PATIENCE_S)
        begun.value = time.time()
        busy = await _probed(host, int(port), _load(client, run_id))
        seconds = time.time() - begun.value
        found: Followed = await asyncio.to_thread(results.get, True, PATIENCE_S)
        following.join(10)
    note = f"{found.events} events, {found.deliveries:,} deliveries; all runs ended within {seconds:.1f} s"
    return [
        Figure("followers that lost or doubled an event", found.wrong, "of 1,000", 1, "less", note),
        Figure("delay of an event, p95", _part(found.delays, 0.95) * 1000, "ms", 250, "less"),
        Figure("delay of an event, p50", _part(found.delays, 0.5) * 1000, "ms"),
        Figure("memory of the server, most", _peak_mb(running.pid), "MB", 300, "less"),
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


async def _load(client: httpx2.AsyncClient, run_id: str) -> None:
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
        while (await client.get("/health")).json()["active_workflows"]:  # noqa: ASYNC110 - another process
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


class Poster:
    """Connections that are kept, and a client that does no more than it must: it shares the machine."""

    def __init__(self, host: str, port: int, path: str, body: dict[str, Any]) -> None:
        self._address = (host, port)
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        self._sent = f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self) -> float:
        """Seconds until the whole answer was there."""
        begun = time.perf_counter()
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection(*self._address)
        writer.write(self._sent)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        [length] = re.findall(rb"\r\ncontent-length: (\d+)", head)
        await reader.readexactly(int(length))
        seconds = time.perf_counter() - begun
        if not head.startswith(b"http/1.1 2"):
            raise RuntimeError(head.decode())
        self._free.append((reader, writer))
        return seconds


async def _graphs(running: Bot) -> list[Figure]:
    """POST /run-graph at a steady pace; what counts is the answer to each, not when its run ends."""
    body: dict[str, Any] = {
        "workflow_type": "graph",
        "tasks": [
            {"agent_id": "a", "agent_role": "researcher", "input_data": {"topic": "tea"}},
            {"agent_id": "b", "agent_role": "writer", "input_data": {}, "depends_on": ["a"]},
        ],
    }
    host, port = running.address.removeprefix("http://").split(":")
    poster = Poster(host, int(port), "/run-graph", body)
    await asyncio.sleep(WARM_S)
    await asyncio.gather(*(poster.post() for _ in range(20)))  # connections, and first uses
    loop = asyncio.get_running_loop()
    begun = loop.time()
    posts: list[asyncio.Task[float]] = []
    async with asyncio.TaskGroup() as group:
        for number in range(GRAPHS):
            await asyncio.sleep(max(0.0, begun + number / A_SECOND - loop.time()))
            posts.append(group.create_task(poster.post()))
    seconds = loop.time() - begun
    waits = [post.result() for post in posts]
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
    """Most memory of the server, and of the process in which its agents compute."""
    if sys.platform != "linux":
        return 0.0
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    kilobytes = 0
    for each in (str(pid), *children):
        [most] = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{each}/status").read_text())
        kilobytes += int(most)
    return kilobytes / 1024
