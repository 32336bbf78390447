"""Keys with names, tickets, limits and request ids, as clients and strangers meet them."""

from __future__ import annotations

import asyncio
import hmac
import sqlite3
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets
from starlette.applications import Starlette
from structlog.testing import capture_logs

import bot.key_ring
from adapters.web.adapter import WebAdapter
from bot.api.access import Access
from bot.api.auth import LOCAL, Caller
from bot.api.limiting import Limiter
from bot.api.tickets import MOST, TICKET_S, Tickets
from bot.channel_settings import ChannelPolicy
from bot.key_ring import KeyRing
from bot.page_sign_in import PageSignIn
from orchestrator.api_keys import KEY_SCOPES, KeyScope, new_key
from orchestrator.errors import StoreFailed
from tests.contract.adapter_harness import RecordingInbound
from tests.house import GOOD
from tests.integration.api_harness import ASK, Api, api, turn

pytestmark = pytest.mark.timeout(120)


async def made(
    a: Api,
    name: str,
    scopes: Collection[KeyScope] = ("admin",),
    *,
    lasts: timedelta | None = None,
    per_minute: int | None = None,
) -> dict[str, str]:
    """A key that another process made, and the header it is shown in."""
    expires_at = None if lasts is None else datetime.now(UTC) + lasts
    token, new = new_key(name, scopes, made_by="web:ada", expires_at=expires_at, per_minute=per_minute)
    await a.house.store.add_api_key(new)
    return {"X-API-Key": token}


async def until(a: Api, path: str, status: int, headers: dict[str, str] | None = None) -> float:
    """Seconds until a call answers so."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(10):
        while (await a.client.get(path, headers=headers)).status_code != status:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return loop.time() - began


# ── scopes ───────────────────────────────────────────────────────────────────────────────────

# What a key with one scope may do; a route that is not listed here has no test of its own yet.
NEEDS: dict[str, KeyScope] = {
    "GET /v1/runs": "read",
    "GET /v1/runs/{run_id}": "read",
    "GET /v1/runs/{run_id}/events": "read",
    "GET /v1/approvals": "read",
    "POST /v1/tickets": "read",
    "POST /v1/chat": "run",
    "POST /v1/runs/{run_id}/stop": "run",
    "POST /v1/runs/{run_id}/pause": "run",
    "POST /v1/runs/{run_id}/resume": "run",
    "POST /v1/approvals/{approval_id}": "approve",
    "GET /v1/keys": "admin",
    "POST /v1/keys": "admin",
    "DELETE /v1/keys/{key_id}": "admin",
}


async def test_every_route_asks_for_one_scope_and_admin_may_do_all(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        keys: dict[KeyScope, dict[str, str]] = {s: await made(a, s, [s]) for s in KEY_SCOPES}
        document = a.app.openapi()
        routes = [
            (method.upper(), path)
            for path, operations in document["paths"].items()
            for method in operations
            if path != "/health"
        ]
        for method, path in routes:
            allowed: set[KeyScope] = set()
            for scope, key in keys.items():
                address = path.replace("{", "").replace("}", "")
                answer = await a.client.request(method, address, json={}, headers=key)
                if answer.status_code != 403:
                    allowed.add(scope)
                else:
                    assert "needs a key with the scope" in answer.json()["detail"], path
            wanted = NEEDS.get(f"{method} {path}")
            assert "admin" in allowed, path
            assert len(allowed) <= 2, (method, path, allowed)
            if wanted is not None:
                assert allowed == {wanted, "admin"}, (method, path)
    assert {f"{method} {path}" for method, path in routes} >= NEEDS.keys()


async def test_a_key_acts_in_its_own_name_and_controls_its_own_runs_alone(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        for agent in ("researcher", "planner"):
            a.agents.say(agent, GOOD[agent])
        ci, other, boss = [await made(a, n, ["run", "read"]) for n in ("ci", "other")] + [
            await made(a, "boss")
        ]
        run = (await a.client.post("/v1/chat", json=turn(**ASK), headers=ci)).json()["run_id"]
        assert (await a.client.get(f"/v1/runs/{run}", headers=ci)).json()["requested_by"] == "api:ci"
        refused = await a.client.post(f"/v1/runs/{run}/pause", headers=other)
        assert (refused.status_code, "api:ci" in refused.json()["detail"]) == (403, True)
        assert (await a.client.post(f"/v1/runs/{run}/pause", headers=ci)).status_code == 200
        assert (await a.client.post(f"/v1/runs/{run}/stop", headers=boss)).status_code == 200


async def test_a_key_that_may_not_read_gets_no_others_conversation_into_its_prompt(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        writer, blind, reader = (
            await made(a, "writer", ["run"]),
            await made(a, "blind", ["run"]),
            await made(a, "reader", ["run", "read"]),
        )
        named = {**turn("What is tea?"), "conversation_id": "tea"}
        for key, status in ((writer, 200), (blind, 403), (writer, 200), (reader, 200), (writer, 403)):
            if status == 200:
                a.agents.say_all_good()
            answer = await a.client.post("/v1/chat", json=named, headers=key)
            assert answer.status_code == status, answer.text
            if status == 403:
                assert "'tea' is another caller's" in answer.json()["detail"]
        a.agents.say_all_good()
        other = {**named, "conversation_id": "mine"}
        once = {**blind, "Idempotency-Key": "1"}
        first = await a.client.post("/v1/chat", json=other, headers=once)
        a.agents.say_all_good()
        assert (await a.client.post("/v1/chat", json=other, headers=reader)).status_code == 200
        again = await a.client.post("/v1/chat", json=other, headers=once)  # its own run, which it knows
    assert again.json() == first.json()


async def test_one_key_is_one_person_over_http_and_on_the_page(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        for agent in ("researcher", "planner"):
            a.agents.say(agent, GOOD[agent])
        a.core.policy = ChannelPolicy(allow_requester=False)
        ada = await made(a, "ada", ["read", "run", "approve"])
        page = WebAdapter(tmp_path / "page", sign_in=PageSignIn("", KeyRing(lambda: a.house.store)))
        await page.start(RecordingInbound())
        try:
            a.core.cookie_person = page.signed_in
            shown = httpx2.ASGITransport(app=Starlette(routes=list(page.routes())))
            async with httpx2.AsyncClient(transport=shown, base_url="http://localhost") as browser:
                await browser.post("/sign-in", data={"name": "Boss", "key": ada["X-API-Key"]})
                cookie = f"quartet_person={browser.cookies['quartet_person']}"
            waiting = (await a.client.post("/v1/chat", json=turn(**ASK), headers=ada)).json()
            question = f"/v1/approvals/{waiting['metadata']['approvals'][0]['id']}"
            for who in (ada, {"Cookie": cookie}):
                refused = await a.client.post(question, json={"decision": "approve"}, headers=who)
                assert refused.status_code == 403, refused.text
                assert "The person who asked may not decide" in refused.json()["detail"]
            stopped = await a.client.post(f"/v1/runs/{waiting['run_id']}/stop", headers={"Cookie": cookie})
            assert stopped.status_code == 200, "it is their own run"
        finally:
            await page.stop()


async def test_who_decides_has_a_name(tmp_path: Path) -> None:
    async with api(tmp_path, Access(api_key="s3cret")) as a:
        a.agents.say_all_good()
        nameless = {"X-API-Key": "s3cret"}
        waiting = (await a.client.post("/v1/chat", json=turn(**ASK), headers=nameless)).json()
        question = f"/v1/approvals/{waiting['metadata']['approvals'][0]['id']}"
        refused = await a.client.post(question, json={"decision": "approve"}, headers=nameless)
        assert refused.status_code == 403
        assert "quartet keys add NAME --scope approve" in refused.json()["detail"]
        desk = await made(a, "release-desk", ["approve"])
        decided = await a.client.post(question, json={"decision": "approve"}, headers=desk)
        assert (decided.status_code, decided.json()["decided_by"]) == (200, "release-desk")
        state = await a.house.ended(waiting["run_id"])
    [approval] = state.approvals.values()
    assert approval.decision is not None
    assert approval.decision.who.key == "api:release-desk"
    assert approval.late == ()


# ── keys that count, and those that do not ───────────────────────────────────────────────────


async def test_the_first_key_closes_and_revoking_the_last_opens_but_expiry_does_not(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        assert (await a.client.get("/v1/runs")).status_code == 200
        key = await made(a, "ci", lasts=timedelta(seconds=3))
        assert await until(a, "/v1/runs", 401) < 2.5  # another process made it
        assert (await a.client.get("/v1/runs", headers=key)).status_code == 200
        assert (await a.client.get("/health")).status_code == 200
        await until(a, "/v1/runs", 401, key)
        expired = await a.client.get("/v1/runs", headers=key)
        assert "has expired" in expired.json()["detail"]
        assert (await a.client.get("/v1/runs")).status_code == 401
        [row] = await a.house.store.api_keys()
        await a.house.store.revoke_api_key(row.id)
        assert await until(a, "/v1/runs", 200) < 2.5


async def test_a_key_revoked_while_the_server_runs_is_refused_within_two_seconds(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        key, _ = await made(a, "ci"), await made(a, "other")
        assert (await a.client.get("/v1/runs", headers=key)).status_code == 200
        [row] = [row for row in await a.house.store.api_keys() if row.name == "ci"]
        await a.house.store.revoke_api_key(row.id)
        assert await until(a, "/v1/runs", 401, key) < 2.5
        answer = await a.client.get("/v1/runs", headers=key)
    assert "was revoked" in answer.json()["detail"]
    assert answer.headers["www-authenticate"] == "Bearer"


def altered(token: str) -> list[tuple[str, str]]:
    last = "A" if token[-1] != "A" else "B"
    return [
        ("another last letter", token[:-1] + last),
        ("cut off", token[:-1]),
        ("longer", token + "A"),
        ("another id", "qk_" + "0" * 12 + token[15:]),
        ("of capitals", token.upper()),
        ("the id alone", token[:15]),
        ("a line break inside", token[:20] + " " + token[20:]),
        ("not ASCII", token[:-1] + "\xe9"),
        ("10 kB", "qk_" + "a" * 10_000),
    ]


async def test_what_is_nearly_a_key_is_refused_with_one_and_the_same_reason(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        token = (await made(a, "ci"))["X-API-Key"]
        reasons: set[str] = set()
        for name, wrong in altered(token):
            headers = {b"x-api-key": wrong.encode("latin-1")}
            answer = await a.client.get("/v1/runs", headers=headers)
            assert answer.status_code == 401, name
            assert token[15:] not in answer.text
            reasons.add(answer.json()["detail"])
        assert reasons == {"This is no key of this server."}


async def test_a_right_key_is_let_in_however_many_wrong_ones_came_from_its_address(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        key = await made(a, "ci")
        wrong = [await a.client.get("/v1/runs", headers={"X-API-Key": f"qk_{n}"}) for n in range(25)]
        assert {answer.status_code for answer in wrong} == {401, 429}
        assert (await a.client.get("/v1/runs", headers=key)).status_code == 200


async def test_keys_in_wrong_places_are_refused_with_what_to_do(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        token = (await made(a, "ci"))["X-API-Key"]
        other = (await made(a, "other"))["X-API-Key"]
        both: list[tuple[str, str]] = [("X-API-Key", token), ("X-API-Key", token)]
        assert (await a.client.get("/v1/runs", headers=both)).status_code == 200  # twice the same is one
        tries: list[tuple[str, list[tuple[str, str]], str]] = [
            ("/v1/runs", [("X-API-Key", token), ("X-API-Key", other)], "Two different keys"),
            ("/v1/runs", [("X-API-Key", token), ("Authorization", f"Bearer {other}")], "Two different keys"),
            ("/v1/runs", [("Authorization", token)], "another scheme"),
            ("/v1/runs", [("Authorization", f"Basic {token}")], "another scheme"),
            ("/v1/runs", [("Cookie", f"X-API-Key={token}")], "A key is needed"),
            (f"/v1/runs?api_key={token}", [], "not taken from the address"),
            (f"/v1/runs?ticket={token}", [], "This ticket"),
        ]
        for path, headers, reason in tries:
            answer = await a.client.get(path, headers=headers)
            assert (answer.status_code, reason in answer.json()["detail"]) == (401, True), (path, headers)
            assert token not in answer.text


async def test_keys_are_compared_in_constant_time_also_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(len(one))
        return original(one, other)

    async with api(tmp_path) as a:
        token = (await made(a, "ci"))["X-API-Key"]
        original = hmac.compare_digest
        monkeypatch.setattr(bot.key_ring.hmac, "compare_digest", compare)
        for shown in (token, token[:-4] + "AAAA", "qk_" + "0" * 12 + token[15:], "qk_x"):
            await a.client.get("/v1/runs", headers={"X-API-Key": shown})
    assert compared == [64] * 4


async def test_a_broken_row_closes_and_lets_nobody_do_anything(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        key = await made(a, "ci")

        def spoil() -> None:
            with sqlite3.connect(a.house.store.path) as database:
                database.execute("UPDATE api_keys SET scopes = '{broken'")
            database.close()

        await asyncio.to_thread(spoil)
        assert (await a.client.get("/v1/runs")).status_code == 401
        answer = await a.client.get("/v1/runs", headers=key)
    assert answer.status_code == 403
    assert "yours allows: nothing" in answer.json()["detail"]


async def test_a_database_that_fails_lets_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> tuple[int, int]:
        raise StoreFailed("disk on fire at /secret/path")

    async with api(tmp_path) as a:
        monkeypatch.setattr(a.house.store, "api_keys_mark", broken)
        for headers in ({}, {"X-API-Key": "qk_x"}):
            answer = await a.client.get("/v1/runs", headers=headers)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "secret" not in answer.text


# ── keys over HTTP ───────────────────────────────────────────────────────────────────────────


async def test_keys_are_made_listed_and_revoked_over_http_at_once(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        body: dict[str, Any] = {"name": "ci", "scopes": ["admin"], "expires_in_s": 60}
        new = await a.client.post("/v1/keys", json=body)
        assert (new.status_code, new.headers["cache-control"]) == (201, "no-store")
        key = {"Authorization": f"Bearer {new.json()['token']}"}
        assert (await a.client.get("/v1/keys")).status_code == 401  # at once, in this process
        listed = (await a.client.get("/v1/keys", headers=key)).json()["items"]
        assert [(one["name"], one["state"], one["made_by"]) for one in listed] == [
            ("ci", "living", "api:local")
        ]
        assert new.json()["token"][15:] not in str(listed)
        assert (await a.client.post("/v1/keys", json=body, headers=key)).status_code == 409
        assert (await a.client.delete("/v1/keys/none", headers=key)).status_code == 404
        gone = await a.client.delete(f"/v1/keys/{new.json()['id']}", headers=key)
        assert (gone.status_code, gone.json()["state"]) == (200, "revoked")
        assert (await a.client.get("/v1/keys")).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": ["read"]}, "name"),
        ({"name": "a b", "scopes": ["read"]}, "name"),
        ({"name": "ü", "scopes": ["read"]}, "name"),
        ({"name": "a\n", "scopes": ["read"]}, "name"),
        ({"name": "key", "scopes": ["read"]}, "name"),
        ({"name": "a" * 41, "scopes": ["read"]}, "name"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["root"]}, "scopes.0"),
        ({"name": "a", "scopes": ["read"], "expires_in_s": 0}, "expires_in_s"),
        ({"name": "a", "scopes": ["read"], "expires_in_s": 10**30}, "expires_in_s"),
        ({"name": "a", "scopes": ["read"], "requests_per_minute": -1}, "requests_per_minute"),
        ({"name": "a", "scopes": ["read"], "expires": "1d"}, "expires"),
    ],
)
async def test_a_wrong_wish_for_a_key_is_refused_and_closes_nothing(
    tmp_path: Path, body: dict[str, Any], field: str
) -> None:
    async with api(tmp_path) as a:
        answer = await a.client.post("/v1/keys", json=body)
        assert (answer.status_code, [*answer.json()["errors"]]) == (422, [field])
        assert (await a.client.get("/v1/keys")).json()["items"] == []


# ── tickets ──────────────────────────────────────────────────────────────────────────────────


async def ticket(a: Api, key: dict[str, str]) -> str:
    answer = await a.client.post("/v1/tickets", headers=key)
    assert (answer.status_code, answer.json()["expires_in"]) == (200, 60)
    return answer.json()["ticket"]


async def test_a_ticket_opens_one_get_with_the_scopes_of_its_key(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        key = await made(a, "ci", ["read"])
        one = await ticket(a, key)
        for method in ("POST", "DELETE"):
            refused = await a.client.request(method, f"/v1/runs/x/stop?ticket={one}")
            assert (refused.status_code, "GET and WebSocket" in refused.json()["detail"]) == (401, True)
        assert (await a.client.get(f"/v1/runs?ticket={one}")).status_code == 200
        again = await a.client.get(f"/v1/runs?ticket={one}")
        assert (again.status_code, "was used" in again.json()["detail"]) == (401, True)
        two = await ticket(a, key)
        assert (await a.client.get(f"/v1/keys?ticket={two}")).status_code == 403  # read alone
        pair = [await ticket(a, key), await ticket(a, key)]
        assert (await a.client.get(f"/v1/runs?ticket={pair[0]}&ticket={pair[1]}")).status_code == 401
        for strange in ("", "qt_", "%00", "%ff", "x" * 8_000):
            assert (await a.client.get(f"/v1/runs?ticket={strange}")).status_code == 401, strange[:10]


async def test_of_many_uses_at_once_one_is_let_in(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        one = await ticket(a, await made(a, "ci", ["read"]))
        answers = await asyncio.gather(*(a.client.get(f"/v1/runs?ticket={one}") for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


async def test_a_ticket_ends_with_its_key(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        boss, key = await made(a, "boss"), await made(a, "ci", ["read"])
        one = await ticket(a, key)
        keys = (await a.client.get("/v1/keys", headers=boss)).json()["items"]
        [ci] = [one["id"] for one in keys if one["name"] == "ci"]
        await a.client.delete(f"/v1/keys/{ci}", headers=boss)
        assert (await a.client.get(f"/v1/runs?ticket={one}")).status_code == 401


async def test_a_ticket_from_before_the_first_key_opens_nothing_after_it(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        one = await ticket(a, {})
        assert (await a.client.post("/v1/keys", json={"name": "a", "scopes": ["read"]})).status_code == 201
        assert (await a.client.get(f"/v1/keys?ticket={one}")).status_code == 401


def test_tickets_end_after_a_minute_and_never_pile_up() -> None:
    now = 0.0
    tickets = Tickets(clock=lambda: now)
    first, second = tickets.issue(LOCAL), tickets.issue(LOCAL)
    now = TICKET_S - 0.1
    assert tickets.take(first) is LOCAL
    now = TICKET_S
    assert tickets.take(second) is None
    oldest = tickets.issue(LOCAL)
    many = [tickets.issue(LOCAL) for _ in range(MOST)]
    assert tickets.take(oldest) is None
    assert all(tickets.take(one) is LOCAL for one in many)


async def test_a_socket_without_a_key_is_refused_with_status_and_reason(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        await made(a, "ci")
        address = str(a.client.base_url).replace("http", "ws").rstrip("/")
        for path, status in (("/ws/x", 401), ("/ws/x?ticket=qt_x", 401), ("/v1/chat/stream", 401)):
            with pytest.raises(websockets.InvalidStatus) as caught:
                await websockets.connect(address + path)
            assert caught.value.response.status_code == status
            assert b"detail" in (caught.value.response.body or b"")
        with pytest.raises(websockets.InvalidStatus) as caught:
            await websockets.connect(f"{address}/ws/x", origin=websockets.Origin("https://evil.example"))
        assert caught.value.response.status_code == 403


# ── limits ───────────────────────────────────────────────────────────────────────────────────


async def test_a_storm_of_one_key_is_limited_and_others_are_not(tmp_path: Path) -> None:
    async with api(tmp_path, Access(per_minute=50)) as a:
        noisy, calm, big = await made(a, "noisy"), await made(a, "calm"), await made(a, "big", per_minute=80)
        answers = await asyncio.gather(*(a.client.get("/v1/approvals", headers=noisy) for _ in range(90)))
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(200), statuses.count(429)) == (50, 40)
        late = next(answer for answer in answers if answer.status_code == 429)
        assert 1 <= int(late.headers["retry-after"]) <= 60
        assert (await a.client.get("/v1/approvals", headers=calm)).status_code == 200
        assert (await a.client.get("/health", headers=noisy)).status_code == 200
        answers = await asyncio.gather(*(a.client.get("/v1/approvals", headers=big) for _ in range(90)))
        assert [answer.status_code for answer in answers].count(200) == 80


async def test_where_no_key_is_asked_for_nobody_is_counted() -> None:
    limiter = Limiter(1)
    for _ in range(10):
        await limiter.count(LOCAL)


async def test_no_limit_is_none_for_keys_either() -> None:
    limiter = Limiter(None)
    for _ in range(10):
        await limiter.count(Caller(LOCAL.who, LOCAL.actor))


# ── request ids, CORS, logs, document ────────────────────────────────────────────────────────


async def test_every_answer_names_its_call_and_takes_the_clients_name_when_it_is_sane(tmp_path: Path) -> None:
    async with api(tmp_path, Access(api_key="k" * 8, cors_origins=("http://localhost:3000",))) as a:
        key = {"X-API-Key": "k" * 8}
        for path, headers in (("/health", {}), ("/v1/runs", {}), ("/v1/runs", key), ("/nothing", key)):
            answer = await a.client.get(path, headers={**headers, "X-Request-Id": "my-id.7_A"})
            assert answer.headers.get_list("x-request-id") == ["my-id.7_A"], path
        for strange in ("", "a b", "a" * 65, "ä", "<script>"):
            answer = await a.client.get("/health", headers={b"x-request-id": strange.encode("latin-1")})
            assert len(answer.headers["x-request-id"]) == 32, strange
        twice = await a.client.get("/health", headers=[("X-Request-Id", "a"), ("X-Request-Id", "b")])
        assert len(twice.headers["x-request-id"]) == 32
        foreign = await a.client.get("/v1/runs", headers={**key, "Origin": "http://localhost:3000"})
        assert "X-Request-Id" in foreign.headers["access-control-expose-headers"]


async def test_what_breaks_is_logged_under_the_name_of_its_call_and_without_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import structlog

    async def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no")

    async with api(tmp_path) as a:
        key = await made(a, "ci")
        one = await ticket(a, key)
        monkeypatch.setattr(a.house.store, "runs", broken)
        merge = structlog.contextvars.merge_contextvars
        with capture_logs(processors=[merge]) as logged:
            await a.client.get(f"/v1/runs?ticket={one}", headers={"X-Request-Id": "call-7"})
            await a.client.get("/v1/runs", headers=key)
    first, second = [entry for entry in logged if entry.get("action") == "api_broke"]
    assert first["request_id"] == "call-7"
    assert len(second["request_id"]) == 32
    assert one not in str(logged)
    assert key["X-API-Key"] not in str(logged)


async def test_preflights_allow_what_clients_send(tmp_path: Path) -> None:
    async with api(tmp_path, Access(cors_origins=("http://localhost:3000",))) as a:
        await made(a, "ci")
        for method in ("GET", "POST", "DELETE"):
            answer = await a.client.options(
                "/v1/keys/x",
                headers={
                    "Origin": "http://localhost:3000",
                    "Access-Control-Request-Method": method,
                    "Access-Control-Request-Headers": "authorization, content-type, idempotency-key, "
                    "last-event-id, x-api-key, x-request-id",
                },
            )
            assert answer.status_code == 200, answer.text


async def test_other_sites_cannot_start_runs_by_a_picture_or_a_link(tmp_path: Path) -> None:
    async with api(tmp_path, Access(cors_origins=("http://localhost:3000",))) as a:
        path = "/api/execute/stream"  # no goal: nothing starts here
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example"},
        ):
            assert (await a.client.get(path, headers=headers)).status_code == 403, headers
        for headers in ({}, {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}):
            assert (await a.client.get(path, headers=headers)).status_code in (404, 422), headers


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({"User-Agent": "Mozilla/5.0", "Accept": "image/avif,*/*"}, False),
        ({"User-Agent": "Mozilla/5.0", "Accept": "text/event-stream"}, False),  # as `fetch` can send it
        ({"User-Agent": "Mozilla/5.0", "Referer": "http://evil.example/box:8080/"}, False),
        ({"User-Agent": "Mozilla/5.0", "Referer": "http://box:8080.evil.example/"}, False),
        ({"User-Agent": "Mozilla/5.0", "Origin": "http://evil.example"}, False),
        ({"User-Agent": "Mozilla/5.0", "Origin": "http://[", "Accept": "text/event-stream"}, False),
        ({"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "cross-site"}, False),
        ({"User-Agent": "curl/8"}, False),
        ({"User-Agent": "curl/8", "Accept": "text/event-stream"}, True),
        ({"User-Agent": "Mozilla/5.0", "Referer": "http://box:8080/console"}, True),
        ({"User-Agent": "Mozilla/5.0", "Origin": "http://box:8080"}, True),
        ({"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "same-origin"}, True),
    ],
)
async def test_over_plain_http_elsewhere_no_page_starts_runs_by_a_picture(
    tmp_path: Path, headers: dict[str, str], is_let_in: bool
) -> None:
    async with api(tmp_path, Access(any_peer=True)) as a:
        path = "/api/execute/stream"  # no goal: nothing starts here
        answer = await a.client.get(path, headers={"Host": "box:8080", **headers})
        assert (answer.status_code == 403) is not is_let_in, answer.text
        if "Origin" not in headers and "Sec-Fetch-Site" not in headers:
            answer = await a.client.get(path, headers=headers)  # at the machine itself browsers say more
            assert answer.status_code == 422
            key = await made(a, "ada")  # with a key nothing starts by itself
            assert (await a.client.get(path, headers={**headers, **key})).status_code == 422


async def test_the_document_says_how_keys_are_shown(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        document = (await a.client.get("/openapi.json")).json()
    assert [*document["components"]["securitySchemes"]] == ["ApiKey", "Bearer", "Ticket"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert bool(operation["security"]) == (path != "/health"), path
    events = document["paths"]["/v1/runs/{run_id}/events"]["get"]["security"]
    assert events == [{"ApiKey": []}, {"Bearer": []}, {"Ticket": []}]
