"""Calls of the REST API against a strict Discord on loopback: errors in our words, repeats, limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from adapters.discord import api as api_module
from adapters.discord.api import DiscordApi, is_repeatable
from adapters.discord.ports import DiscordRefused, Upload
from adapters.discord.refusals import OldMessage
from adapters.discord.routes import route_of
from adapters.errors import (
    AdapterError,
    CardRefused,
    ConversationGone,
    MessageGone,
    NotAllowed,
    PlatformDown,
    RateLimited,
)
from adapters.urgency import Urgency
from tests.calm import Watch
from tests.unit.adapters.discord.going_out import EDIT, LIST, SEND, Desk, desk, make_api

QUIET = {"allowed_mentions": {"parse": list[str]()}}


async def say(
    made: Desk, text: str = "hi", *, urgency: Urgency = Urgency.ANSWER, nonce: str = "", where: str = ""
) -> str:
    body: dict[str, Any] = {"content": text, **QUIET}
    if nonce:
        body |= {"nonce": nonce, "enforce_nonce": True}
    answer = await made.api.call("POST", f"/channels/{where or made.thread}/messages", body, urgency=urgency)
    return str(answer["id"])


async def read(made: Desk, api: DiscordApi | None = None) -> int:
    found = await (api or made.api).call(
        "GET", f"/channels/{made.thread}/messages", urgency=Urgency.ANSWER, query={"limit": "100"}
    )
    return len(found)


def texts(made: Desk) -> list[str]:
    return [seen.text for seen in made.seen()]


@contextlib.asynccontextmanager
async def server(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncGenerator[tuple[DiscordApi, list[web.Request]]]:
    """A server that is not the Discord it says it is, and our API on it."""
    asked: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        return await answer(request)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api = DiscordApi("secret-token", base_url=f"http://127.0.0.1:{runner.addresses[0][1]}", patience_s=0.3)
    try:
        yield api, asked
    finally:
        await api.close()
        await api.close()
        await runner.cleanup()


LIMITS = {"X-RateLimit-Bucket": "b", "X-RateLimit-Limit": "9", "X-RateLimit-Remaining": "8",
          "X-RateLimit-Reset-After": "5"}  # fmt: skip


async def test_messages_of_a_channel_arrive_in_the_order_in_which_they_go() -> None:
    arrived: list[str] = []
    slow = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        text = (await request.json())["content"]
        if text == "first":
            await slow.wait()  # on its way for long
        arrived.append(text)
        return web.json_response({"id": "1"}, headers=LIMITS)

    async with server(answer) as (api, asked):

        def post(text: str, channel: str = "1") -> asyncio.Task[Any]:
            path = f"/channels/{channel}/messages"
            return asyncio.create_task(api.call("POST", path, {"content": text}, urgency=Urgency.ANSWER))

        await post("known from here on")
        calls = [post(text) for text in ("first", "second", "third")]
        elsewhere = post("elsewhere", "2")
        await elsewhere
        slow.set()
        await asyncio.gather(*calls)
        assert arrived[1:] == ["elsewhere", "first", "second", "third"]
        assert len(asked) == 5


async def test_a_message_that_takes_too_long_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "ORDER_S", 0.05)
    stuck = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if (await request.json())["content"] == "stuck":
            await stuck.wait()
        return web.json_response({"id": "1"}, headers=LIMITS)

    async with server(answer) as (api, _):

        def post(text: str) -> asyncio.Task[Any]:
            call = api.call("POST", "/channels/1/messages", {"content": text}, urgency=Urgency.ANSWER)
            return asyncio.create_task(call)

        await post("known from here on")
        first = post("stuck")
        await asyncio.gather(post("two"), post("three"))
        assert not first.done()
        stuck.set()
        await first


# ── limits ───────────────────────────────────────────────────────────────────────────────────


async def test_fifth_message_in_five_seconds_returns_at_once_and_no_limit_is_hit(tmp_path: Path) -> None:
    async with desk(tmp_path, quick=1) as made:
        await say(made, "0", where=made.twin.general)  # another channel: its limit is known from here on
        start, watch = time.monotonic(), Watch()
        for number in range(5):
            await say(made, str(number))
        assert watch.calm_s < 1.0
        with pytest.raises(RateLimited) as limited:
            await say(made, "progress", urgency=Urgency.PROGRESS)
        assert 0 < limited.value.retry_after_s <= 5.1
        await say(made, "5")
        assert time.monotonic() - start >= 4.9
        assert watch.calm_s <= 6.0
        assert made.twin.rates.refused == []


async def test_a_storm_in_many_channels_stays_below_fifty_in_any_second(tmp_path: Path) -> None:
    async with desk(tmp_path, quick=1) as made:
        places = [made.twin.channel(f"c{number}") for number in range(30)]
        await asyncio.gather(*(say(made, "x", where=place) for place in places * 4))
        assert made.twin.rates.busiest <= 50
        assert made.twin.rates.refused == []


@pytest.mark.parametrize("scope", ["user", "shared", "global"])
async def test_a_429_is_obeyed_and_repeated_but_progress_is_sent_away(tmp_path: Path, scope: Any) -> None:
    async with desk(tmp_path) as made:
        await say(made, "0")
        made.twin.faults.order(SEND, retry_after=0.5, scope=scope)
        start = time.monotonic()
        await asyncio.gather(say(made, "1"), say(made, "2"))
        assert time.monotonic() - start >= 0.5
        assert sorted(texts(made)) == ["0", "1", "2"]
        # The second call may have been on its way already when the first was refused.
        assert len(made.twin.rates.impatient) <= 1
        made.twin.faults.order(LIST, retry_after=30, scope=scope)
        made.forget_calls()
        for _ in range(2):
            with pytest.raises(RateLimited) as limited:
                await made.api.call("GET", f"/channels/{made.thread}/messages", urgency=Urgency.PROGRESS)
            assert 20 <= limited.value.retry_after_s <= 30.1
        assert len(made.names()) == 1  # the second was not even asked for
        if scope == "global":
            with pytest.raises(RateLimited):
                await say(made, "progress", urgency=Urgency.PROGRESS)
        else:
            await made.api.call("POST", f"/channels/{made.thread}/typing", urgency=Urgency.PROGRESS)


async def test_cloudflares_429_closes_everything_and_is_said(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.rates.invalid_limit = 1
        made.twin.faults.order(LIST, status=403, code=50001)
        with pytest.raises(NotAllowed):
            await read(made)
        made.twin.rates.time_scale = 1
        with pytest.raises(PlatformDown, match="closed") as down:
            await say(made)
        assert not down.value.outcome_unknown
        assert "blocked this address" in made.api.trouble
        made.forget_calls()
        with pytest.raises(PlatformDown):
            await made.api.call("POST", "/interactions/1/x/callback", {"type": 6}, urgency=Urgency.PERSON)
        assert made.names() == []


async def test_old_edits_are_refused_by_themselves_and_other_edits_go_on(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        message = await say(made)
        made.twin.faults.order(EDIT, status=429, code=30046)
        edit = made.api.call(
            "PATCH", f"/channels/{made.thread}/messages/{message}", QUIET, urgency=Urgency.ANSWER
        )
        with pytest.raises(OldMessage) as old:
            await edit
        assert old.value.retry_after_s > 0
        await made.api.call(
            "PATCH", f"/channels/{made.thread}/messages/{message}", {"content": "x"}, urgency=Urgency.PROGRESS
        )
        assert texts(made) == ["x"]


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "1"}, {"retry_after": 30.5, "global": False, "code": 20028}, 30.5),
        ({"Retry-After": "20"}, {"retry_after": 0.5, "global": False}, 20),
        ({"Retry-After": "soon"}, {"retry_after": "later", "global": False}, 1),
        ({}, {"retry_after": -1, "global": False}, 1),
        ({}, {"retry_after": 1e300, "global": True}, 3600),
        ({"Retry-After": "nan"}, {"retry_after": None}, 1),
    ],
)
async def test_pause_of_a_429_is_the_longest_that_makes_sense(
    headers: dict[str, str], body: dict[str, Any], seconds: float
) -> None:
    async def limited(_: web.Request) -> web.Response:
        return web.json_response(body, status=429, headers=headers)

    async with server(limited) as (api, _):
        with pytest.raises(RateLimited) as found:
            await api.call("GET", "/users/@me", urgency=Urgency.PROGRESS)
        assert found.value.retry_after_s == seconds


# ── repeats and unknown outcomes ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_5xx_leaves_a_posts_outcome_unknown_and_is_not_repeated(tmp_path: Path, status: int) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, status=status)
        with pytest.raises(PlatformDown) as down:
            await say(made)
        assert down.value.outcome_unknown
        assert made.names() == [SEND]


async def test_a_post_with_a_nonce_is_repeated_after_a_dropped_connection_and_stands_there_once(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, after_effect=True)
        made.twin.faults.order(SEND, malformed=True)
        message = await say(made, "once", nonce="n1")
        assert made.names() == [SEND] * 3
        assert [seen.id for seen in made.seen()] == [message]
        assert await say(made, "once", nonce="n1") == message


async def test_a_post_with_a_nonce_that_never_gets_through_stays_in_doubt(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(SEND, after_effect=True)
        made.twin.faults.order(SEND, status=400, code=130000, times=99)  # refused, but what of the first?
        with pytest.raises(PlatformDown) as down:
            await say(made, "once", nonce="n1")
        assert down.value.outcome_unknown


async def test_reads_and_edits_are_repeated_after_a_5xx_and_a_broken_connection(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        message = await say(made)
        for pattern in (LIST, EDIT):
            made.twin.faults.order(pattern, status=503)
            made.twin.faults.order(pattern, malformed=pattern == EDIT)
        made.forget_calls()
        await read(made)
        path = f"/channels/{made.thread}/messages/{message}"
        await made.api.call("PATCH", path, {"content": "x"}, urgency=Urgency.ANSWER)
        assert made.names() == [LIST] * 3 + [EDIT] * 3
        made.twin.faults.order(EDIT, status=503, times=99)
        with pytest.raises(PlatformDown) as down:
            await made.api.call("PATCH", path, {"content": "y"}, urgency=Urgency.ANSWER)
        assert not down.value.outcome_unknown  # done twice is the same as done once


async def test_progress_is_not_repeated(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order(LIST, status=503, times=9)
        with pytest.raises(PlatformDown):
            await made.api.call("GET", f"/channels/{made.thread}/messages", urgency=Urgency.PROGRESS)
        assert made.names() == [LIST]


async def test_a_call_that_takes_too_long_is_an_unknown_outcome(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        api = DiscordApi(made.twin.token, base_url=made.twin.api_url, patience_s=0.2, timeout_s=0.2)
        made.twin.faults.order(SEND, latency_s=1)
        with pytest.raises(PlatformDown, match="Timeout") as down:
            await api.call(
                "POST", f"/channels/{made.thread}/messages", {"content": "x"}, urgency=Urgency.ANSWER
            )
        await api.close()
        assert down.value.outcome_unknown


async def test_a_refused_connection_is_repeated_with_patience_and_known_not_to_have_happened() -> None:
    nowhere = DiscordApi("t", base_url="http://127.0.0.1:9/api", patience_s=0.5)
    start = time.monotonic()
    with pytest.raises(PlatformDown) as down:
        await nowhere.call("POST", "/channels/1/messages", {"content": "x"}, urgency=Urgency.ANSWER)
    assert not down.value.outcome_unknown
    assert time.monotonic() - start >= 0.1
    await nowhere.close()
    await nowhere.close()


async def test_an_outage_is_over_when_it_is_over(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.outage(True)
        waiting = asyncio.create_task(read(made))
        await made.twin.until(lambda: made.names().count(LIST) >= 2)
        made.twin.faults.outage(False)
        assert await waiting >= 0


def test_only_what_does_no_harm_is_repeated() -> None:
    nonce = {"nonce": "n", "enforce_nonce": True}
    for method, path, body in (
        ("GET", "/channels/1/messages", None),
        ("PATCH", "/channels/1/messages/2", {}),
        ("DELETE", "/channels/1/messages/2", None),
        ("PUT", "/channels/1/messages/2/reactions/x/@me", None),
        ("POST", "/channels/1/messages", nonce),
        ("POST", "/channels/1/typing", None),
        ("POST", "/channels/1/messages/2/threads", {"name": "x"}),
        ("POST", "/users/@me/channels", {"recipient_id": "1"}),
    ):
        assert is_repeatable(route_of(method, path), body), path
    for path, body in (
        ("/channels/1/messages", {"content": "x"}),
        ("/channels/1/messages", {"nonce": "n"}),
        ("/channels/1/messages", {"nonce": "", "enforce_nonce": True}),
        ("/interactions/1/t/callback", nonce),
        ("/webhooks/1/t", nonce),
    ):
        assert not is_repeatable(route_of("POST", path), body), path


# ── the token ────────────────────────────────────────────────────────────────────────────────


async def test_a_dead_token_is_trouble_with_a_remedy_until_it_works_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.revokes_token()
        with capture_logs() as logs, pytest.raises(PlatformDown) as down:
            await say(made)
        for told in (str(down.value), made.api.trouble):
            assert "DISCORD_BOT_TOKEN" in told
            assert "Bot page" in told
        assert not down.value.outcome_unknown
        assert made.twin.token not in f"{logs}{down.value!r}{made.api.trouble}"
        made.forget_calls()
        with capture_logs() as again:
            for _ in range(20):
                with pytest.raises(PlatformDown, match="DISCORD_BOT_TOKEN"):
                    await say(made)
        assert made.names() == []  # every 401 counts towards the ban of the address
        assert again == []  # said once
        made.twin.restores_token()
        async with asyncio.timeout(60):
            while made.api.trouble:
                with contextlib.suppress(PlatformDown):
                    await say(made, "again")
                await asyncio.sleep(0.02)
        assert texts(made) == ["again"]


async def test_an_interactions_dead_token_is_none_of_ours(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        path = f"/webhooks/{made.twin.application_id}/no-such-token/messages/@original"
        with pytest.raises(DiscordRefused) as refused:
            await made.api.call("PATCH", path, {"content": "x"}, urgency=Urgency.PERSON)
        assert refused.value.code in (10015, 50027)
        assert made.api.trouble == ""


async def test_our_token_goes_to_discords_own_routes_alone_and_follows_no_redirect() -> None:
    async def redirects(request: web.Request) -> web.Response:
        if request.path.startswith("/webhooks"):
            return web.json_response({})
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with server(redirects) as (api, asked):
        await api.call("POST", "/webhooks/1/token", {"content": "x"}, urgency=Urgency.PERSON)
        with pytest.raises(PlatformDown):
            await api.call("POST", "/channels/1/messages", {"content": "x"}, urgency=Urgency.ANSWER)
        assert "Authorization" not in asked[0].headers
        assert asked[1].headers["Authorization"] == "Bot secret-token"
        assert {request.path for request in asked} == {"/webhooks/1/token", "/channels/1/messages"}
        assert all(request.headers["User-Agent"].startswith("DiscordBot (https://") for request in asked)


# ── refusals, files, odd answers ─────────────────────────────────────────────────────────────


async def test_the_place_and_the_message_are_named_in_our_words(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        hidden = made.twin.channel("hidden")
        made.twin.hides_channel(hidden)

        async def wrong(method: str, path: str, body: Any = None) -> AdapterError:
            with pytest.raises(AdapterError) as error:
                await made.api.call(method, path, body, urgency=Urgency.ANSWER)
            return error.value

        hi = {"content": "x", **QUIET}
        assert isinstance(await wrong("POST", f"/channels/{hidden}/messages", hi), NotAllowed)
        assert isinstance(await wrong("POST", "/channels/123456789012345678/messages", hi), ConversationGone)
        gone = f"/channels/{made.thread}/messages/123456789012345678"
        assert isinstance(await wrong("PATCH", gone, hi), MessageGone)
        empty = await wrong("POST", f"/channels/{made.thread}/messages", {"content": "", **QUIET})
        assert isinstance(empty, CardRefused)


async def test_files_go_along(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        body = {
            "content": "two",
            "attachments": [{"id": 0, "filename": "a.md"}, {"id": 1, "filename": "b ü.txt"}],
        }
        files = (Upload("a.md", b"# A"), Upload("b ü.txt", b"\x00\xff"))
        await made.api.call(
            "POST", f"/channels/{made.thread}/messages", body, urgency=Urgency.ANSWER, files=files
        )
        [seen] = made.seen()
        assert [file.content for file in seen.files] == [b"# A", b"\x00\xff"]


@pytest.mark.parametrize("status", [200, 400, 403, 404, 500])
@pytest.mark.parametrize("raw", [b"<html>hi</html>", b"[" * 200_000, b'{"id": ', b"\xff\xfe", b"null", b"[]"])
async def test_answers_that_are_no_discords_become_errors_of_ours_or_values(status: int, raw: bytes) -> None:
    async def odd(_: web.Request) -> web.Response:
        return web.Response(status=status, body=raw, content_type="application/json")

    async with server(odd) as (api, asked):
        call = api.call("POST", "/channels/1/messages", {"content": "x"}, urgency=Urgency.PROGRESS)
        if status == 200 and raw in (b"null", b"[]"):
            assert await call == json.loads(raw)
        else:
            with pytest.raises(PlatformDown) as down:
                await call
            assert down.value.outcome_unknown == (status in (200, 500))
            assert "secret-token" not in str(down.value)
        assert len(asked) == 1


async def test_huge_answer_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "LARGEST_ANSWER", 1 << 20)
    sent = [0]

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent[0] < 1 << 30:
                await response.write(b"x" * 65_536)
                sent[0] += 65_536
        return response

    async with server(endless) as (api, _):
        with pytest.raises(PlatformDown) as down:
            await api.call("POST", "/channels/1/messages", {"content": "x"}, urgency=Urgency.ANSWER)
        assert down.value.outcome_unknown
        assert sent[0] < 1 << 26


async def test_answers_without_a_body_and_with_hostile_headers_are_taken() -> None:
    async def odd(_: web.Request) -> web.Response:
        headers = {
            "X-RateLimit-Bucket": "b",
            "X-RateLimit-Limit": "1e9",
            "X-RateLimit-Remaining": "-5",
            "X-RateLimit-Reset-After": "inf",
        }
        return web.Response(status=204, headers=headers)

    async with server(odd) as (api, asked):
        async with asyncio.timeout(60):
            for _ in range(5):
                assert await api.call("DELETE", "/channels/1/messages/2", urgency=Urgency.ANSWER) is None
        assert len(asked) == 5


async def test_api_works_again_after_it_was_closed(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        async with make_api(made.twin) as api:
            before = await read(made, api)
        assert await read(made, api) == before
        await api.close()


async def test_body_goes_out_as_json_whatever_its_characters(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        await say(made, json.dumps("ünïcödé 🦙"))
        assert texts(made) == [json.dumps("ünïcödé 🦙")]
