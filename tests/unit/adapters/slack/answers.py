"""A server that gives the answers it was told, and keeps what it was asked: for calls that only look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Asked = tuple[str, str, dict[str, str]]  # method, Authorization, form


@dataclass
class Answers:
    url: str = ""
    by_method: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    status: int = 200
    asked: list[Asked] = field(default_factory=list[Asked])
    first: asyncio.Event = field(default_factory=asyncio.Event)

    def times(self, method: str) -> int:
        return sum(1 for name, _, _ in self.asked if name == method)


@asynccontextmanager
async def answering() -> AsyncGenerator[Answers]:
    answers = Answers()

    async def answer(request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        form = {key: str(value) for key, value in (await request.post()).items()}
        answers.asked.append((method, request.headers.get("Authorization", ""), form))
        answers.first.set()
        if answers.status != 200:
            return web.Response(status=answers.status, text="<html>Oh</html>", content_type="text/html")
        told = answers.by_method.get(method, {"ok": False, "error": "unknown_method"})
        return web.json_response(told, headers=answers.headers)

    app = web.Application()
    app.router.add_post("/api/{method}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    answers.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    try:
        yield answers
    finally:
        await runner.cleanup()
