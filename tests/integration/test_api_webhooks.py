"""`/v1/webhooks` over HTTP: what is made, changed, shown and refused. The secret is shown once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.webhook_desk import Receiver, always, receiver, status, verified
from tests.integration.whole_server import Whole, whole

HOOKS = "/v1/webhooks"


@asynccontextmanager
async def told(folder: Path, *, key: str = "") -> AsyncGenerator[tuple[Whole, Receiver]]:
    """A server and somebody whom it may tell."""
    async with (
        receiver() as there,
        whole(folder, key=key, env={"FETCH_ALLOW_HOSTS": there.host}) as server,
    ):
        yield server, there


async def made(server: Whole, url: str, *events: str, **headers: str) -> dict[str, Any]:
    answer = await server.client.post(
        HOOKS,
        json={"url": url, "events": events},
        headers={k.replace("_", "-"): v for k, v in headers.items()},
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def until_notices(server: Whole, webhook_id: str, count: int, **query: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        while True:
            answer = await server.client.get(f"{HOOKS}/{webhook_id}/notices", params=query)
            assert answer.status_code == 200, answer.text
            items: list[dict[str, Any]] = answer.json()["items"]
            if len(items) >= count:
                return items
            await asyncio.sleep(0.02)


async def test_a_run_is_told_while_it_happens(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, there):
        hook = await made(server, there.url)
        chat = await server.client.post(
            "/v1/chat", json={"messages": [{"role": "user", "content": "How do approvals work?"}]}
        )
        run_id = chat.json()["run_id"]
        await there.until(3)
        assert there.types[0] == "run.created"
        bodies = [verified(hook["secret"], post, now=datetime.now(UTC)) for post in there.posts]
        assert {body["data"]["run_id"] for body in bodies} == {run_id}
        await until_notices(server, hook["id"], len(there.posts), state="sent")


async def test_the_secret_is_shown_once_and_to_nobody_else(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, there):
        hook = await made(server, there.url, "run.completed")
        assert hook["secret"].startswith("whsec_")
        await server.client.post(f"{HOOKS}/{hook['id']}/test")
        await there.until(1)
        answers = [
            await server.client.get(path)
            for path in (HOOKS, f"{HOOKS}/{hook['id']}", f"{HOOKS}/{hook['id']}/notices")
        ]
        answers.append(await server.client.patch(f"{HOOKS}/{hook['id']}", json={"state": "off"}))
        for answer in answers:
            assert answer.status_code == 200
            assert hook["secret"][6:] not in answer.text
        assert answers[0].json()["items"] == [{k: v for k, v in hook.items() if k != "secret"}]


async def test_the_same_call_again_makes_no_other_webhook(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, there):
        first = await made(server, there.url, "run.failed", Idempotency_Key="once")
        assert await made(server, there.url, "run.failed", Idempotency_Key="once") == first
        assert (await made(server, there.url, "run.failed"))["id"] != first["id"]
        other = await server.client.post(HOOKS, json={"url": there.url}, headers={"Idempotency-Key": "once"})
        assert other.status_code == 422
        assert "secret" not in other.text
        assert (await server.client.delete(f"{HOOKS}/{first['id']}")).status_code == 204
        gone = await server.client.post(
            HOOKS, json={"url": there.url, "events": ["run.failed"]}, headers={"Idempotency-Key": "once"}
        )
        assert gone.status_code == 409


async def test_change_replay_and_removal(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, there):
        hook = await made(server, there.url)
        path = f"{HOOKS}/{hook['id']}"
        ping = (await server.client.post(f"{path}/test")).json()["notice_id"]
        await there.until(1)
        assert there.ids == [ping]
        (notice,) = await until_notices(server, hook["id"], 1, state="sent")
        assert (notice["id"], notice["type"], notice["run_id"]) == (ping, "ping", None)
        assert (notice["status"], notice["attempts"], notice["next_attempt"]) == (204, 1, None)
        assert notice["body"] == there.posts[0].said

        assert (await server.client.post(f"{path}/replay", json={"notice_id": ping})).status_code == 202
        await there.until(2)
        assert there.ids == [ping, ping]

        changed = await server.client.patch(path, json={"events": ["run.failed"], "state": "off"})
        assert (changed.json()["events"], changed.json()["state"]) == (["run.failed"], "off")
        assert (await server.client.post(f"{path}/replay", json={"notice_id": ping})).status_code == 409
        assert (await server.client.post(f"{path}/test")).status_code == 409
        assert (await server.client.patch(path, json={"state": "on"})).json()["note"] == ""

        assert (await server.client.delete(path)).status_code == 204
        for method, where in (("GET", path), ("DELETE", path), ("GET", f"{path}/notices")):
            assert (await server.client.request(method, where)).status_code == 404
        assert (await server.client.post(f"{path}/test")).status_code == 404


async def test_failures_are_seen_in_the_list(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, there):
        there.script = always(status(500))
        hook = await made(server, there.url, "run.created")
        await server.client.post(
            "/v1/chat", json={"messages": [{"role": "user", "content": "How do approvals work?"}]}
        )
        async with asyncio.timeout(60):
            while True:
                row = (await server.client.get(f"{HOOKS}/{hook['id']}")).json()
                if row["failing_since"] is not None:
                    break
                await asyncio.sleep(0.02)
        (notice,) = await until_notices(server, hook["id"], 1, state="waiting")
        assert (notice["status"], notice["problem"]) == (500, "it answered 500")
        assert notice["next_attempt"] is not None


async def test_every_route_wants_the_scope_admin(tmp_path: Path) -> None:
    async with told(tmp_path, key="the-key-of-this-server") as (server, there):
        hook = await made(server, there.url)
        answer = await server.client.post(
            "/v1/keys", json={"name": "ci", "scopes": ["read", "run", "approve"]}
        )
        assert answer.status_code == 201, answer.text
        path = f"{HOOKS}/{hook['id']}"
        for method, where in (
            ("GET", HOOKS), ("POST", HOOKS), ("GET", path), ("PATCH", path), ("DELETE", path),
            ("GET", f"{path}/notices"), ("POST", f"{path}/replay"), ("POST", f"{path}/test"),
        ):  # fmt: skip
            for key, expected in ((answer.json()["token"], 403), ("wrong", 401)):
                refused = await server.client.request(method, where, json={}, headers={"X-API-Key": key})
                assert refused.status_code == expected, (method, where, refused.text)
        assert (await server.client.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": "https://\0"}, "url"),
        ({"url": "https://\ud800"}, "url"),
        ({"url": 5}, "url"),
        ({"url": "https://" + "a" * 10_000}, "url"),
        ({"url": "http://example.com/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://169.254.169.254/latest/meta-data/"}, "url"),
        ({"url": "https://no-such-name.invalid/"}, "url"),
        ({"url": "https://example.com/", "events": ["run.exploded"]}, "events.0"),
        ({"url": "https://example.com/", "events": "run.completed"}, "events"),
        ({"url": "https://example.com/", "events": ["run.failed"] * 100}, "events"),
        ({"url": "https://example.com/", "event": ["run.failed"]}, "event"),
        ({"url": "https://example.com/", "secret": "whsec_mine"}, "secret"),
    ],
)
async def test_what_cannot_be_told_is_refused_by_its_field(
    tmp_path: Path, body: dict[str, Any], field: str
) -> None:
    async with told(tmp_path) as (server, _):
        answer = await server.client.post(
            HOOKS, content=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 422, answer.text
        assert list(answer.json()["errors"]) == [field]
        assert (await server.client.get(HOOKS)).json() == {"items": []}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("replay", {}, 422),
        ("replay", {"notice_id": "a", "since": "2026-01-01T00:00:00Z"}, 422),
        ("replay", {"since": "2026-01-01T00:00:00"}, 422),
        ("replay", {"since": "yesterday"}, 422),
        ("replay", {"since": 1e300}, 422),
        ("replay", {"since": "0001-01-01T00:00:00+14:00"}, 202),
        ("replay", {"since": "9999-12-31T23:59:59-14:00"}, 202),
        ("replay", {"notice_id": "none"}, 404),
        ("replay", {"notice_id": "\0"}, 422),
    ],
)
async def test_replays_are_checked(tmp_path: Path, path: str, body: dict[str, Any], expected: int) -> None:
    async with told(tmp_path) as (server, there):
        hook = await made(server, there.url)
        answer = await server.client.post(f"{HOOKS}/{hook['id']}/{path}", json=body)
        assert answer.status_code == expected, answer.text


async def test_an_address_is_checked_when_it_is_changed_too(tmp_path: Path) -> None:
    async with told(tmp_path) as (server, there):
        hook = await made(server, there.url)
        answer = await server.client.patch(f"{HOOKS}/{hook['id']}", json={"url": "https://10.0.0.1/"})
        assert answer.status_code == 422
        assert (await server.client.get(f"{HOOKS}/{hook['id']}")).json()["url"] == there.url
        assert (await server.client.get(f"{HOOKS}/{hook['id']}/notices?cursor=x")).status_code == 422
        assert (await server.client.get(f"{HOOKS}/{hook['id']}/notices?state=lost")).status_code == 422
