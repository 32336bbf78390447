"""An MCP server with tools that play agents: over stdio as a program, or `app()` for HTTP. For tests only."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from mcp.server import MCPServer
from starlette.applications import Starlette

server = MCPServer("cats")


@server.tool()
async def count(task: str, request: str, where: str = "anywhere") -> dict[str, Any]:
    """Count cats."""
    return {"body": f"{task} {request} {where}", "outcome": "done"}


@server.tool()
async def describe(question: str) -> str:
    """Describe a cat."""
    return f"about {question}"


@server.tool()
async def stumble(task: str) -> str:
    """Fail."""
    raise RuntimeError("no\nladder")


@server.tool()
async def sleep(task: str) -> str:
    """Never end."""
    await asyncio.Event().wait()
    return task


@server.tool()
async def surroundings(task: str) -> str:
    """Tell what it sees."""
    return f"{os.getcwd()} {' '.join(sorted(os.environ))}"  # noqa: PTH109


@server.tool()
async def swallow(task: str) -> str:
    """Take much memory."""
    return str(len(bytearray(4_000_000_000)))


def app() -> Starlette:
    """The same over HTTP, at /mcp."""
    return server.streamable_http_app()


if __name__ == "__main__":
    server.run()
