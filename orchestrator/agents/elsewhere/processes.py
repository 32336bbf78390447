"""Programs that play agents: started with limits, in a folder of their own, without our keys, ended whole."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.agents.elsewhere.surroundings import Surroundings
from orchestrator.errors import AgentFailed

GRACE_S = 0.6  # between asking a program to end and ending it
LAUNCHER = str(Path(__file__).with_name("launch.py"))
STDERR_BYTES = 4_000  # the end of what a program says there


def launched(argv: Sequence[str], memory_mb: int | None, cpu_s: float | None) -> list[str]:
    """The command with its limits: a launcher sets them and becomes the program."""
    memory, cpu = (memory_mb or 0) * 1_048_576, math.ceil(cpu_s or 0)
    return [sys.executable, "-I", "-S", LAUNCHER, str(memory), str(cpu), str(os.getpid()), *argv]


def environment(folder: str, names: Sequence[str], around: Surroundings, title: str) -> dict[str, str]:
    """What a program sees: a path, a language, its folder, and the variables that its file names.

    Raises:
        AgentFailed: one of these is not set.
    """
    found = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": folder,
        "TMPDIR": folder,
        "PYTHONUNBUFFERED": "1",
    }
    for name in names:
        value = around.variable(name)
        if value is None:
            raise AgentFailed(f"{title}: the variable {name} is not set; put it into .env or the environment")
        found[name] = value
    return found


@asynccontextmanager
async def fresh_folder(around: Surroundings) -> AsyncGenerator[str]:
    """A folder for one step; gone behind it."""

    def make() -> str:
        around.workspaces.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(prefix="step-", dir=around.workspaces)

    try:
        folder = await asyncio.to_thread(make)
    except OSError as error:
        raise AgentFailed(
            f"no folder can be made in {around.workspaces.name} ({error.strerror}); set WORKSPACES_DIR"
        ) from None
    try:
        yield folder
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, True))


@asynccontextmanager
async def program(
    argv: Sequence[str],
    *,
    memory_mb: int | None,
    cpu_s: float | None,
    env: dict[str, str],
    cwd: str,
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A program in a group of processes of its own; the whole group is ended when the block is left."""
    running = await asyncio.create_subprocess_exec(
        *launched(argv, memory_mb, cpu_s),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=env,
        cwd=cwd,
        start_new_session=True,
        limit=65_536,
    )
    try:
        yield running
    finally:
        ending = asyncio.ensure_future(_end(running))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending
            raise


async def _end(running: asyncio.subprocess.Process) -> None:
    """End the whole group: ask, wait a moment, kill. Children that are left behind as well."""
    if running.returncode is None:
        _tell(running.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running.wait(), GRACE_S)
    _tell(running.pid, signal.SIGKILL)
    await running.wait()
    # Its pipes stay open as long as anybody holds the other end, and a program may have left somebody.
    running._transport.close()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue, reportUnknownMemberType]
    await asyncio.sleep(0)


def _tell(group: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, what)
