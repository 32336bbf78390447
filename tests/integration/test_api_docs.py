"""The pages about the HTTP API tell the truth: every example of docs/api*.md is performed, in its order.

A page is self-contained: it begins on an empty home with the rules engine. What an answer held can
be used by the examples behind it: `run_id` as $RUN, `execution: {id}` as $EXECUTION, the first of
`approvals: [{id}]` as $APPROVAL, `secret` as $SECRET. The next example waits until no run is at work.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from tests.integration.whole_server import Whole, whole

PAGES = [
    page
    for page in sorted((Path(__file__).parents[2] / "docs").glob("api*.md"))
    if "```sh\ncurl" in page.read_text()
]
AT_WORK = ("queued", "running")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_every_example_of_a_page_works_in_order(tmp_path: Path, page: Path) -> None:
    text = await asyncio.to_thread(page.read_text)
    examples: list[tuple[str, str]] = re.findall(r"```sh\n(.*?)```\n(?:\nAnswer `(\d+)`)?", text, re.DOTALL)
    calls = [(command, status) for command, status in examples if command.startswith("curl")]
    async with whole(tmp_path) as server:
        names: dict[str, str] = {}
        for command, status in calls:
            assert status, f"say which answer comes: Answer `200`, behind {command}"
            response = await _curl(server, command, names)
            assert response.status_code == int(status), (command, response.text)
            if "json" in response.headers.get("content-type", ""):
                names.update(_named(response.json()))
            await _nothing_at_work(server)


async def _nothing_at_work(server: Whole) -> None:
    service = server.core.ready()
    async with asyncio.timeout(60):
        while sum([await service.store.count(status) for status in AT_WORK]):  # noqa: ASYNC110 - any process's
            await asyncio.sleep(0.01)


def _named(answer: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """What an answer holds, under the names that later examples use."""
    if isinstance(answer, dict):
        for key, value in cast("dict[str, Any]", answer).items():
            yield from _named(value, name if key == "id" and name else key.removesuffix("_id"))
    elif isinstance(answer, list):
        for value in cast("list[Any]", answer)[:1]:
            yield from _named(value, name.removesuffix("s"))
    elif isinstance(answer, str):
        yield name.upper(), answer


async def _curl(server: Whole, command: str, names: dict[str, str]) -> httpx2.Response:
    """Perform a curl command of the documentation."""
    for name, value in sorted(names.items(), reverse=True):  # longer names first
        command = command.replace(f"${name}", value)
    words = shlex.split(command.replace("\\\n", " "))
    assert words.pop(0) == "curl"
    headers: dict[str, str] = {}
    method, body, path = "", None, ""
    query: list[str] = []
    while words:
        match words.pop(0):
            case "-X":
                method = words.pop(0)
            case "-H":
                key, _, value = words.pop(0).partition(": ")
                headers[key] = value
            case "-d":
                body = words.pop(0)
            case "--data-urlencode":  # with -G
                query.append(words.pop(0))
            case "-N" | "-s" | "-sN" | "-G":
                pass
            case url:
                assert url.startswith("http://127.0.0.1:8080/"), f"what is {url!r}?"
                path = url.removeprefix("http://127.0.0.1:8080")
    params = dict(pair.split("=", 1) for pair in query) or None
    method = method or ("POST" if body is not None else "GET")
    async with asyncio.timeout(60):
        return await server.client.request(method, path, headers=headers, content=body, params=params)
