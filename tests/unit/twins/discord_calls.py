"""Bare REST calls for the tests of Discord's twin."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

import aiohttp
from multidict import CIMultiDictProxy

from tests.twins.discord import DiscordTwin

V2 = 1 << 15


@dataclass
class Answer:
    """What came back."""

    status: int
    body: Any
    headers: CIMultiDictProxy[str]

    @property
    def code(self) -> int:
        return int(cast("dict[str, Any]", self.body).get("code", 0)) if isinstance(self.body, dict) else 0


class Caller:
    """A client with no manners of its own, on one twin."""

    def __init__(self, twin: DiscordTwin, session: aiohttp.ClientSession) -> None:
        self.twin = twin
        self.session = session

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        files: Sequence[tuple[str, bytes]] = (),
        **query: str,
    ) -> Answer:
        headers = {
            "Authorization": f"Bot {self.twin.token}",
            "User-Agent": "DiscordBot (https://example.com, 1)",
        }
        given: dict[str, Any] = {"json": body} if body is not None else {}
        if files:
            form = aiohttp.FormData()
            form.add_field("payload_json", json.dumps(body), content_type="application/json")
            for number, (name, content) in enumerate(files):
                form.add_field(f"files[{number}]", BytesIO(content), filename=name)
            given = {"data": form}
        url = self.twin.api_url + path
        async with self.session.request(method, url, params=query, headers=headers, **given) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return Answer(response.status, json.loads(text) if is_json else text, response.headers)

    async def post(self, channel: str, body: Any = None, **options: Any) -> Answer:
        """Create a message; by default a short one."""
        return await self.call(
            "POST", f"/channels/{channel}/messages", body or {"content": "hello"}, **options
        )

    async def thread(self, message: str, channel: str = "") -> Answer:
        """Begin a thread on a message of #general."""
        place = channel or self.twin.general
        return await self.call("POST", f"/channels/{place}/messages/{message}/threads", {"name": "llamas"})

    async def edit(self, channel: str, message: str, text: str = "changed") -> Answer:
        return await self.call("PATCH", f"/channels/{channel}/messages/{message}", {"content": text})


@asynccontextmanager
async def caller(**options: Any) -> AsyncGenerator[Caller]:
    """A twin and a client."""
    async with DiscordTwin(**options) as twin, aiohttp.ClientSession() as session:
        yield Caller(twin, session)


def card(*components: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A v2 message with one container."""
    return {"flags": V2, "components": [{"type": 17, "components": list(components)}], **more}


def text(words: str = "hello") -> dict[str, Any]:
    return {"type": 10, "content": words}


def button(custom_id: str, label: str = "Yes") -> dict[str, Any]:
    return {"type": 2, "style": 1, "label": label, "custom_id": custom_id}


def row(*buttons: dict[str, Any]) -> dict[str, Any]:
    return {"type": 1, "components": list(buttons)}
