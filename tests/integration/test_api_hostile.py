"""What strangers send to the HTTP server: wrong shapes, too much of it, from the wrong place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from adapters.contract import Person
from bot.api.access import Access
from bot.api.app import mount
from tests.integration.api_harness import Api, api, turn

JSON = {"Content-Type": "application/json"}


def said(**message: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "x", **message}]}


BODIES: list[tuple[str, Any, int, str]] = [
    ("not an object", [], 422, "body"),
    ("null", None, 422, "body"),
    ("no messages", {}, 422, "messages"),
    ("empty messages", {"messages": []}, 422, "messages"),
    ("messages of the wrong type", {"messages": "hello"}, 422, "messages"),
    ("content of the wrong type", said(content=7), 422, "messages.0.content"),
    ("unknown role", said(role="root"), 422, "messages.0.role"),
    ("the last is not the user's", said(role="assistant"), 422, "messages"),
    ("empty text", said(content=" \n"), 422, "messages"),
    ("too long a text", said(content="x" * 200_001), 422, "messages.0.content"),
    ("a NUL", said(content="a\0b"), 422, "messages.0.content"),
    ("half a character", said(content="a\ud800"), 422, "messages.0.content"),
    ("too many messages", {"messages": [{"role": "user", "content": "x"}] * 501}, 422, "messages"),
    ("conversation with spaces", {**turn(), "conversation_id": "a b"}, 422, "conversation_id"),
    ("conversation too long", {**turn(), "conversation_id": "a" * 129}, 422, "conversation_id"),
    ("conversation of the wrong type", {**turn(), "conversation_id": 5}, 422, "conversation_id"),
    ("context of the wrong type", {**turn(), "context": "x"}, 422, "context"),
    ("unknown workflow", turn(workflow="quartett"), 422, "context.workflow"),
    ("workflow of the wrong type", turn(workflow=["quartet"]), 422, "context.workflow"),
    ("unknown approvals", turn(approvals="maybe"), 422, "context.approvals"),
    ("negative wait", turn(timeout_s=-1), 422, "context.timeout_s"),
    ("a wait that is not a number", turn(timeout_s=True), 422, "context.timeout_s"),
    ("too many keys", turn(**{f"k{i}": "x" for i in range(51)}), 422, "context"),
    ("too long a value", turn(tone="x" * 4_001), 422, "context"),
    ("half a character in the context", turn(tone="\udfff"), 422, "context"),
    ("half a character in a key", {**turn(), "context": {"\ud800": "x"}}, 422, "context"),
    ("a huge integer", turn(length=10**30), 422, "context"),
]


async def test_a_wrong_body_is_refused_with_its_field(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        for name, body, status, field in BODIES:
            response = await a.client.post("/v1/chat", content=json.dumps(body), headers=JSON)
            assert response.status_code == status, (name, response.text)
            assert response.headers["content-type"] == "application/problem+json", name
            problem = response.json()
            assert isinstance(problem["detail"], str), name
            assert field in problem["errors"], (name, problem)
        assert (await a.client.get("/v1/runs")).json()["items"] == []


RAW: list[tuple[str, bytes, dict[str, str], int]] = [
    ("not JSON", b"{", JSON, 422),
    ("not UTF-8", b'{"messages": "\xff"}', JSON, 400),
    ("nested 10,000 deep", b"[" * 10_000, JSON, 400),
    ("nested 100,000 deep", b"[" * 100_000, JSON, 413),
    ("20,001 values", b"[" + b"1," * 19_999 + b"1]", JSON, 413),
    ("20,000 values", b"[" + b"[]," * 19_998 + b"1]", JSON, 422),
    ("20,001 values in UTF-16", ("[" + "1," * 19_999 + "1]").encode("utf-16"), JSON, 413),
    (
        "nested 500 deep in the context",
        b'{"messages":[{"role":"user","content":"x"}],"context":{"a":' + b"[" * 500 + b"]" * 500 + b"}}",
        JSON,
        422,
    ),
    ("NaN", b'{"messages":[{"role":"user","content":"x"}],"context":{"a":NaN}}', JSON, 422),
    ("infinity", b'{"messages":[{"role":"user","content":"x"}],"context":{"timeout_s":1e999}}', JSON, 422),
    ("5,000 digits", b'{"messages":' + b"1" * 5_000 + b"}", JSON, 400),
    ("an empty body", b"", JSON, 422),
    ("a form", b"messages=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ("plain text", json.dumps(turn()).encode(), {"Content-Type": "text/plain"}, 415),
    ("no content type", json.dumps(turn()).encode(), {"Content-Type": ""}, 415),
    ("10 MB", json.dumps(said(content="x" * 10_000_000)).encode(), JSON, 413),
]


async def test_a_body_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        for name, content, headers, status in RAW:
            response = await a.client.post("/v1/chat", content=content, headers=headers)
            assert response.status_code == status, (name, response.text)
            assert response.headers["content-type"] == "application/problem+json", name
            assert isinstance(response.json()["detail"], str), name
        assert (await a.client.get("/health")).json()["status"] == "healthy"


async def test_10_mb_in_pieces_without_a_length_are_refused(tmp_path: Path) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        yield b'{"messages": [{"role": "user", "content": "'
        for _ in range(100):
            yield b"x" * 100_000

    async with api(tmp_path) as a:
        response = await a.client.post("/v1/chat", content=pieces(), headers=JSON)
    assert response.status_code == 413
    assert "2,621,440 bytes" in response.json()["detail"]


@pytest.mark.parametrize("text", ["a,[{" * 50_000, "\N{TEACUP WITHOUT HANDLE}" * 200_000, '\\"' * 100_000])
async def test_a_text_of_200_000_characters_fits_however_it_is_escaped(tmp_path: Path, text: str) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        response = await a.client.post("/v1/chat", content=json.dumps(turn(text)), headers=JSON)
        [step] = a.agents.called("researcher")
    assert response.status_code == 200
    assert step.turn.text == text


async def test_a_text_of_200_000_characters_of_markup_is_taken_as_text(tmp_path: Path) -> None:
    text = ("<script>alert('ä')</script>" * 8_000)[:200_000]
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        response = await a.client.post("/v1/chat", json=turn(text))
        [step] = a.agents.called("researcher")
    assert response.status_code == 200
    assert step.turn.text == text


PLACES: list[tuple[str, str, int]] = [
    ("GET", "/v1/runs/nope", 404),
    ("GET", "/v1/runs/%00", 404),
    ("GET", "/v1/runs/" + "a" * 5_000, 404),
    ("GET", "/v1/runs/%F0%9F%A4%96/events", 404),
    ("GET", "/v1/runs/%ff", 404),
    ("POST", "/v1/runs/nope/stop", 404),
    ("POST", "/v1/runs/nope/fork", 415),  # it takes a body
    ("GET", "/v1/runs?limit=-1", 422),
    ("GET", "/v1/runs?limit=0", 422),
    ("GET", "/v1/runs?limit=101", 422),
    ("GET", "/v1/runs?limit=x", 422),
    ("GET", "/v1/runs?status=lost", 422),
    ("GET", "/v1/runs?cursor=bad", 422),
    ("GET", "/v1/runs?cursor=-1", 422),
    ("GET", "/v1/runs?cursor=%00", 422),
    ("GET", "/v1/runs?cursor=" + "9" * 40, 422),
    ("GET", "/v1/approvals?cursor=1;drop", 422),
    ("GET", "/v1/approvals?limit=1e9", 422),
    ("PUT", "/v1/chat", 405),
    ("GET", "/v1/chat", 405),
    ("DELETE", "/v1/runs", 405),
    ("POST", "/health", 405),
    ("GET", "/nothing", 404),
    ("GET", "/v1/../etc/passwd", 404),
]


async def test_a_wrong_address_is_a_problem_that_says_so(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        for method, path, status in PLACES:
            response = await a.client.request(method, path)
            place = f"{method} {path[:60]}: {response.text[:300]}"
            assert response.status_code == status, place
            assert response.headers["content-type"] == "application/problem+json", place
            problem = response.json()
            assert (problem["status"], problem["type"]) == (status, "about:blank"), place
            assert 0 < len(problem["detail"]) < 400, place
            assert (status != 405) or response.headers["allow"], place


async def test_a_wrong_last_event_id_is_refused(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        run_id = (await a.client.post("/v1/chat", json=turn())).json()["run_id"]
        for value in ("-1", "x", "1.5", "99", "9" * 30):
            response = await a.client.get(f"/v1/runs/{run_id}/events", headers={"Last-Event-ID": value})
            assert response.status_code == 422, value


async def test_a_broken_decision_is_refused_with_its_field(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        assert (await a.client.post("/v1/approvals/nope", json={"decision": "approve"})).status_code == 404
        wrong: list[tuple[dict[str, Any], str]] = [
            ({}, "decision"),
            ({"decision": "maybe"}, "decision"),
            ({"decision": "approve", "comment": "x" * 4_001}, "comment"),
            ({"decision": "approve", "comment": "\0"}, "comment"),
            ({"decision": "approve", "digest": "short"}, "digest"),
            ({"decision": "edit", "edited": []}, "edited"),
            ({"decision": "edit", "edited": {"a": "\ud800"}}, "edited"),
        ]
        for body, field in wrong:
            response = await a.client.post("/v1/approvals/nope", content=json.dumps(body), headers=JSON)
            assert (response.status_code, [*response.json()["errors"]]) == (422, [field]), body


async def test_what_breaks_inside_is_a_500_without_details(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("secret-token-1234")

    async with api(tmp_path) as a:
        monkeypatch.setattr(a.house.store, "runs", broken)
        monkeypatch.setattr(a.house.store, "count", broken)
        response = await a.client.get("/v1/runs")
        health = await a.client.get("/health")
    assert (response.status_code, response.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in response.text
    assert health.status_code == 503
    assert "secret" not in health.text


# ── keys ─────────────────────────────────────────────────────────────────────────────────────


async def test_with_a_key_every_call_needs_it_but_health(tmp_path: Path) -> None:
    async with api(tmp_path, Access(api_key="s3cret-ü")) as a:
        assert (await a.client.get("/health")).status_code == 200
        for path in ("/v1/runs", "/v1/approvals", "/docs", "/redoc", "/openapi.json", "/v1/nothing"):
            response = await a.client.get(path)
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer"), path
        assert (await a.client.post("/v1/chat", json=turn())).status_code == 401
        for headers in (
            {"X-API-Key": "s3cret"},
            {"X-API-Key": "\xff"},
            {"X-API-Key": ""},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic s3cret"},
            {"Authorization": "Bearer"},
        ):
            assert (await a.client.get("/v1/runs", headers=_raw(headers))).status_code == 401, headers
        for headers in ({"X-API-Key": "s3cret-ü"}, {"Authorization": "bearer s3cret-ü"}):
            encoded = _raw(headers, "utf-8")
            assert (await a.client.get("/v1/runs", headers=encoded)).status_code == 200


def _raw(headers: dict[str, str], encoding: str = "latin-1") -> dict[bytes, bytes]:
    return {k.encode(): v.encode(encoding) for k, v in headers.items()}


async def test_guessing_keys_is_slowed_down(tmp_path: Path) -> None:
    async with api(tmp_path, Access(api_key="s3cret")) as a:
        for _ in range(30):  # without a key nothing is guessed
            assert (await a.client.get("/v1/runs")).status_code == 401
        for n in range(20):
            wrong = await a.client.get("/v1/runs", headers={"X-API-Key": f"guess {n}"})
            assert wrong.status_code == 401
        for key in ("another", "s3cret"):
            late = await a.client.get("/v1/runs", headers={"X-API-Key": key})
            assert late.status_code == 429
            assert 1 <= int(late.headers["retry-after"]) <= 60
            assert "wrong keys" in late.json()["detail"]
        assert (await a.client.get("/health")).status_code == 200


async def test_without_a_key_any_bearer_is_ignored(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        response = await a.client.get("/v1/runs", headers={"Authorization": "Bearer whatever"})
    assert response.status_code == 200


async def test_who_is_signed_in_on_the_page_needs_no_key_and_acts_in_their_name(tmp_path: Path) -> None:
    async def person(connection: Any) -> Person | None:
        if connection.cookies.get("session") != "good":
            return None
        return Person(platform="web", id="ada", name="Ada")

    async with api(tmp_path, Access(api_key="k")) as a:
        a.core.cookie_person = person
        a.agents.say_all_good()
        assert (await a.client.get("/v1/runs", headers={"Cookie": "session=bad"})).status_code == 401
        good = {"Cookie": "session=good"}
        assert (await a.client.post("/v1/chat", json=turn(), headers=good)).status_code == 200
        [run] = (await a.client.get("/v1/runs", headers=good)).json()["items"]
        wrong = {**good, "X-API-Key": "wrong"}
        assert (await a.client.get("/v1/runs", headers=wrong)).status_code == 401
    assert run["requested_by"] == "web:ada"


# ── origins and hosts ────────────────────────────────────────────────────────────────────────


ORIGINS: list[tuple[str, bool]] = [
    ("http://localhost:3000", True),
    ("HTTP://LOCALHOST:3000", True),
    ("http://localhost:3001", False),
    ("https://evil.example", False),
    ("null", False),
    ("", False),
    ("http://localhost:3000.evil.example", False),
]


async def test_posts_of_pages_are_taken_from_listed_origins_only(tmp_path: Path) -> None:
    async with api(tmp_path, Access(cors_origins=("http://localhost:3000",))) as a:
        for origin, allowed in ORIGINS:
            response = await a.client.post("/v1/runs/nope/stop", headers={"Origin": origin})
            assert response.status_code == (404 if allowed else 403), origin


async def test_the_same_origin_may_post_and_cors_headers_name_listed_origins_only(tmp_path: Path) -> None:
    async with api(tmp_path, Access(cors_origins=("http://localhost:3000",))) as a:
        own = str(a.client.base_url).rstrip("/")
        assert (await a.client.post("/v1/runs/nope/stop", headers={"Origin": own})).status_code == 404
        listed = await a.client.get("/v1/runs", headers={"Origin": "http://localhost:3000"})
        other = await a.client.get("/v1/runs", headers={"Origin": "https://evil.example"})
        asks = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
        preflight = await a.client.options("/v1/chat", headers=asks)
        foreign = await a.client.options("/v1/chat", headers={**asks, "Origin": "https://evil.example"})
    assert listed.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "access-control-allow-origin" not in other.headers
    assert preflight.status_code == 200
    assert foreign.status_code == 400


HOSTS: list[tuple[str, int]] = [
    ("127.0.0.1:8080", 200),
    ("localhost", 200),
    ("[::1]:8080", 200),
    ("quartet:8080", 200),
    ("host.docker.internal", 200),
    ("bot.example.org", 403),
    ("evil.example", 421),
    ("127.0.0.1.nip.io", 421),
    ("localhost.evil.example", 421),
]


async def test_without_a_key_public_names_are_not_answered(tmp_path: Path) -> None:
    async with api(tmp_path, Access(base_url="https://bot.example.org")) as a:
        for host, status in HOSTS:
            response = await a.client.get("/v1/runs", headers={"Host": host})
            assert response.status_code == status, host


FROM_OUTSIDE: list[dict[str, str]] = [
    {"Host": "bot.example.org"},
    {"Host": "BOT.example.org.:443"},
    {"X-Forwarded-For": "203.0.113.7"},
    {"X-Forwarded-Host": "bot.example.org"},
    {"X-Forwarded-Proto": "https"},
    {"Forwarded": "for=203.0.113.7"},
    {"X-Real-IP": "203.0.113.7"},
]


@pytest.mark.parametrize("any_peer", [False, True])
async def test_without_a_key_only_slack_and_health_are_answered_from_outside(
    tmp_path: Path, *, any_peer: bool
) -> None:
    access = Access(base_url="https://bot.example.org", any_peer=any_peer)
    routes = [Route("/slack/events", _page, methods=["POST"]), Route("/", _page)]
    async with api(tmp_path, access, adapter_routes=routes) as a:
        for headers in FROM_OUTSIDE:
            for method, path in (
                ("GET", "/"),
                ("GET", "/v1/runs"),
                ("GET", "/docs"),
                ("POST", "/v1/approvals/a"),
            ):
                answer = await a.client.request(method, path, headers=headers)
                assert answer.status_code == 403, (path, headers)
                assert "set API_KEY" in answer.json()["detail"]
            assert (await a.client.post("/slack/events", headers=headers, content=b"x")).status_code == 200
            assert (await a.client.get("/slack/../v1/runs", headers=headers)).status_code in (403, 404)
            assert (await a.client.get("/health", headers=headers)).status_code == 200
        assert (await a.client.get("/")).status_code == 200  # on this machine as ever


async def test_with_a_key_calls_from_outside_are_answered(tmp_path: Path) -> None:
    access = Access(base_url="https://bot.example.org", api_key="k")
    async with api(tmp_path, access) as a:
        for headers in FROM_OUTSIDE:
            answer = await a.client.get("/v1/runs", headers={**headers, "X-API-Key": "k"})
            assert answer.status_code == 200, headers


@pytest.mark.parametrize(("any_peer", "status"), [(False, 403), (True, 200)])
async def test_without_a_key_other_machines_call_only_where_that_was_allowed(
    tmp_path: Path, *, any_peer: bool, status: int
) -> None:
    async with api(tmp_path, Access(any_peer=any_peer)) as a:
        for peer in ("192.0.2.1", "2001:db8::1"):
            transport = httpx2.ASGITransport(app=a.app, client=(peer, 1))
            async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as other:
                assert (await other.get("/v1/runs")).status_code == status
        transport = httpx2.ASGITransport(app=a.app, client=("::ffff:127.0.0.1", 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as own:
            assert (await own.get("/v1/runs")).status_code == 200


async def test_while_it_starts_pages_and_slack_are_told_so(tmp_path: Path) -> None:
    async with api(tmp_path, starting=True) as a:
        for method, path in (("GET", "/"), ("POST", "/slack/events"), ("GET", "/slack/install")):
            answer = await a.client.request(method, path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_too_much_for_slacks_address_is_answered_whether_or_not_its_length_is_said(
    tmp_path: Path,
) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(30):
            yield b"x" * 100_000

    async with api(tmp_path, adapter_routes=[Route("/slack/events", _page, methods=["POST"])]) as a:
        assert (await a.client.post("/slack/events", content=b"x" * 3_000_000)).status_code == 413
        assert (await a.client.post("/slack/events", content=pieces())).status_code == 413


async def test_with_a_key_any_name_is_answered(tmp_path: Path) -> None:
    async with api(tmp_path, Access(api_key="k")) as a:
        response = await a.client.get("/v1/runs", headers={"Host": "bot.example", "X-API-Key": "k"})
    assert response.status_code == 200


# ── adapters' routes, and the pages ──────────────────────────────────────────────────────────


async def _page(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"page {len(await request.body())}")


async def test_adapter_routes_see_to_their_own_keys_but_not_to_origins(tmp_path: Path) -> None:
    access = Access(api_key="k", max_upload=1_000_000)
    async with api(tmp_path, access, adapter_routes=[Route("/", _page)]) as a:
        assert (await a.client.get("/")).status_code == 200
        assert (await a.client.get("/c/1")).status_code == 401
        mount(a.app, [Route("/c/{id}", _page, methods=["POST"]), Route("/v1/{rest:path}", _page)])
        assert (await a.client.post("/c/1", content=b"x" * 900_000)).text == "page 900000"
        assert (await a.client.post("/c/1", content=b"x" * 1_100_000)).status_code == 413
        evil = {"Origin": "https://evil.example"}
        assert (await a.client.post("/c/1", headers=evil)).status_code == 403
        assert (await a.client.get("/v1/runs")).status_code == 401  # not opened by a greedy route


async def test_the_reference_lists_every_route_and_loads_nothing(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        page, same = [await a.client.get(path) for path in ("/docs", "/redoc")]
        document = (await a.client.get("/openapi.json")).json()
    assert (page.status_code, same.status_code, same.text) == (200, 200, page.text)
    for route in document["paths"]:
        assert route in page.text
    for loading in ("<script", "src=", "<link", "@import", "url(", '="http', "=http"):
        assert loading not in page.text, loading
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status >= "400" and status != "503":
                    assert [*response["content"]] == ["application/problem+json"]


async def test_many_strange_calls_at_once_leave_the_server_well(tmp_path: Path) -> None:
    async def strange(a: Api, number: int) -> int:
        raw = [b"", b"{", b"[" * 5_000, b'{"messages": 1}', b"\xff\xfe"][number % 5]
        return (await a.client.post("/v1/chat", content=raw, headers=JSON)).status_code

    async with api(tmp_path) as a:
        statuses = await asyncio.gather(*(strange(a, n) for n in range(100)))
        assert (await a.client.get("/health")).json()["status"] == "healthy"
    assert set(statuses) <= {400, 422}
