"""Programs that tests run to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path


async def output(
    *command: str, within_s: float, folder: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """What a program prints. It is killed if it takes too long.

    Raises:
        AssertionError: it failed; with what it said.
        TimeoutError: it took too long.
    """
    running = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(within_s):
            said, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert running.returncode == 0, said.decode()
    return said.decode()
