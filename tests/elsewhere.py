"""What tests of agents elsewhere share: surroundings of their own, and programs that play agents."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from orchestrator.agents.elsewhere.network import Network
from orchestrator.agents.elsewhere.specs import KINDS
from orchestrator.agents.elsewhere.surroundings import AnySpec, Surroundings
from orchestrator.tools.registry import Tools

PRELUDE = """
import json, os, sys, time
told = json.loads(sys.stdin.readline())
step = told["step"]
def say(**words):
    print(json.dumps(words), flush=True)
"""


@asynccontextmanager
async def surroundings(
    folder: Path,
    *,
    allow: Collection[str] = (),
    variables: Mapping[str, str] | None = None,
    tools: Tools | None = None,
    beats: list[str] | None = None,
) -> AsyncGenerator[Surroundings]:
    """Surroundings for one test; retries do not wait long."""
    network = Network(allow, first_wait_s=0.01)
    heard = beats if beats is not None else []
    try:
        yield Surroundings(
            tools=tools or Tools(),
            network=network,
            workspaces=folder / "workspaces",
            variable=dict(variables or {}).get,
            beat=heard.append,
        )
    finally:
        await network.close()


def spec(origin: str, **more: Any) -> AnySpec:
    """An agent of an origin."""
    return KINDS[origin].model_validate({"name": "own", "title": "Own", "origin": origin, **more})


def program(code: str) -> list[str]:
    """A command that runs Python code, with `step` and `say` at hand."""
    return [sys.executable, "-I", "-c", PRELUDE + textwrap.dedent(code)]
