"""A real Bolt app meets the twin, in both modes: events, retries, broken sockets, signatures."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.twins.slack import ChallengeRefused, SlackTwin
from tests.twins.slack.delivery import Json, Parcel

from .slack_bots import bolt_app, in_socket_mode, over_http, running, web_client

Mode = Literal["socket", "http"]
both_modes = pytest.mark.parametrize("mode", ["socket", "http"])
FAST = 0.001
ROOT = Path(__file__).parents[3]


def listening(slack: SlackTwin, *kinds: str) -> tuple[Any, list[Json]]:
    """An app that acknowledges these events at once, and the bodies it got."""
    app, bodies = bolt_app(slack), list[Json]()

    async def keep(body: Json) -> None:
        bodies.append(body)

    for kind in kinds:
        app.event(kind)(keep)
    return app, bodies


@both_modes
async def test_a_mention_is_acknowledged_and_answered_in_its_thread(mode: Mode) -> None:
    async with SlackTwin(mode) as slack:
        app = bolt_app(slack)

        @app.event("app_mention")
        async def answer(event: Json, say: Any) -> None:
            await say(text=f"You said: {event['text']}", thread_ts=event["ts"])

        @app.event("message")
        async def ignore() -> None:
            pass

        async with running(app, slack):
            ada = slack.person("ada")
            ts = ada.mentions(slack.general, "what do llamas eat?")
            seen = await slack.until(lambda: ada.sees(slack.general, ts)[1:])
            await slack.until(lambda: not slack.delivery.unacked())
        assert seen[0].user == slack.bot.bot_user
        assert seen[0].text.endswith("what do llamas eat?")
        assert max(slack.ack_latencies("events_api")) < 3


@both_modes
async def test_a_mention_comes_twice_with_one_ts_and_two_event_ids(mode: Mode) -> None:
    async with SlackTwin(mode) as slack:
        app, bodies = listening(slack, "app_mention", "message")
        async with running(app, slack):
            ts = slack.person("ada").mentions(slack.general, "hello")
            await slack.until(lambda: len(bodies) == 2 and not slack.delivery.unacked())
        assert {body["event"]["type"] for body in bodies} == {"app_mention", "message"}
        assert [body["event"]["ts"] for body in bodies] == [ts, ts]
        assert len({body["event_id"] for body in bodies}) == 2
        body = bodies[0]
        assert body["type"] == "event_callback"
        assert body["team_id"] == slack.team.id
        assert body["api_app_id"] == slack.app.id
        assert body["authorizations"] == [
            {
                "enterprise_id": None,
                "team_id": slack.team.id,
                "user_id": slack.bot.bot_user,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ]


async def test_both_orders_of_a_mention_and_its_message_occur() -> None:
    async with SlackTwin(time_scale=0) as slack:
        slack.delivery.hold()
        for number in range(40):
            slack.person("ada").mentions(slack.general, f"number {number}")
        firsts = {
            pair[0].event["type"]
            for pair in zip(slack.delivery.parcels[::2], slack.delivery.parcels[1::2], strict=True)
        }
    assert firsts == {"app_mention", "message"}


@both_modes
async def test_an_event_without_acknowledgement_comes_again_with_number_and_reason(mode: Mode) -> None:
    async with SlackTwin(mode, time_scale=FAST, ack_limit_s=0.2) as slack:
        app = bolt_app(slack)
        tries: list[tuple[str, str]] = []

        @app.event("message")
        async def slow() -> None:
            pass

        @app.middleware
        async def too_late(req: Any, next: Any) -> Any:
            if req.body.get("type") == "event_callback":
                headers = req.headers
                tries.append(
                    (headers.get("x-slack-retry-num", ["0"])[0], headers.get("x-slack-retry-reason", [""])[0])
                )
                if len(tries) < 3:
                    await asyncio.sleep(0.5)
            return await next()

        async with running(app, slack):
            slack.person("ada").posts(slack.general, "hello")
            await slack.until(lambda: slack.delivery.parcels[0].settled.is_set())
        reason = "timeout" if mode == "socket" else "http_timeout"
        assert tries == [("0", ""), ("1", reason), ("2", reason)]
        assert slack.delivery.parcels[0].acked


@both_modes
async def test_an_event_that_bolt_does_not_know_is_never_acknowledged(mode: Mode) -> None:
    async with SlackTwin(mode, time_scale=FAST, ack_limit_s=0.2) as slack:
        app, _ = listening(slack, "app_mention")
        async with running(app, slack):
            slack.person("ada").posts(slack.general, "no listener for this")
            parcel = slack.delivery.parcels[0]
            await slack.until(parcel.settled.is_set)
        assert not parcel.acked
        assert len(parcel.attempts) == 4
        assert parcel.answer is not None
        assert parcel.answer.status == (404 if mode == "http" else 0)


@both_modes
async def test_duplicates_arrive_as_the_same_event(mode: Mode) -> None:
    async with SlackTwin(mode) as slack:
        app, bodies = listening(slack, "message")
        async with running(app, slack):
            slack.delivery.duplicate(3)
            slack.person("ada").posts(slack.general, "once")
            await slack.until(lambda: len(bodies) == 3)
        assert len({body["event_id"] for body in bodies}) == 1


async def test_the_bot_comes_back_after_disconnect_envelopes_and_dropped_sockets() -> None:
    async with SlackTwin(time_scale=0.02, ack_limit_s=0.5) as slack:
        app, bodies = listening(slack, "message")
        async with in_socket_mode(app, slack):
            await slack.disconnect("refresh_requested")
            await slack.until(lambda: slack.sockets.opened == 2 and slack.connections == 1)
            assert slack.drop_sockets() == 1
            slack.person("ada").posts(slack.general, "said while nobody listened")
            await slack.until(lambda: slack.sockets.opened == 3)
            await slack.until(lambda: bodies)
        assert bodies[0]["event"]["text"] == "said while nobody listened"
        assert slack.sockets.problems == []


async def test_each_envelope_goes_to_one_of_several_connections_in_turn() -> None:
    async with SlackTwin() as slack:
        first, second = listening(slack, "message"), listening(slack, "message")
        async with in_socket_mode(first[0], slack), in_socket_mode(second[0], slack):
            assert slack.connections == 2
            for number in range(6):
                slack.person("ada").posts(slack.general, f"number {number}")
            await slack.until(lambda: len(first[1]) + len(second[1]) == 6)
        assert len(first[1]) == len(second[1]) == 3


async def test_a_ticket_opens_one_socket_and_bot_tokens_open_none() -> None:
    async with SlackTwin() as slack, aiohttp.ClientSession() as session:
        client = web_client(slack)
        opened = await client.apps_connections_open(app_token=slack.app_token)
        async with session.ws_connect(str(opened["url"])) as socket:
            hello = await socket.receive_json()
            assert hello["type"] == "hello"
            assert hello["connection_info"] == {"app_id": slack.app.id}
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(str(opened["url"]))
        with pytest.raises(SlackApiError, match="not_allowed_token_type"):
            await client.apps_connections_open(app_token=slack.bot_token)
        with pytest.raises(SlackApiError, match="invalid_auth"):
            await client.apps_connections_open(app_token="xapp-1-wrong")


async def test_slack_pings_open_sockets() -> None:
    async with SlackTwin(ping_every_s=0.02) as slack, aiohttp.ClientSession() as session:
        opened = await web_client(slack).apps_connections_open(app_token=slack.app_token)
        async with session.ws_connect(str(opened["url"]), autoping=False) as socket, asyncio.timeout(60):
            while (await socket.receive()).type is not aiohttp.WSMsgType.PING:
                pass
            await socket.pong()


async def test_frames_that_are_no_acknowledgement_are_noted_and_harm_nothing() -> None:
    async with SlackTwin() as slack, aiohttp.ClientSession() as session:
        opened = await web_client(slack).apps_connections_open(app_token=slack.app_token)
        async with session.ws_connect(str(opened["url"])) as socket:
            await socket.receive_json()
            for frame in ("", "not json", "[]", "7", '{"envelope_id": "unknown"}'):
                await socket.send_str(frame)
            await slack.until(lambda: len(slack.sockets.problems) == 4)
            slack.person("ada").posts(slack.general, "still here?")
            envelope = await socket.receive_json()
            await socket.send_json({"envelope_id": envelope["envelope_id"]})
            await slack.until(lambda: not slack.delivery.unacked())


async def test_bolt_refuses_forged_signatures_and_stale_times() -> None:
    async with SlackTwin("http") as slack:
        app, bodies = listening(slack, "message")
        async with over_http(app) as url:
            await slack.set_events_url(url)
            slack.delivery.hold()
            slack.person("ada").posts(slack.general, "really from Slack")
            parcel = slack.delivery.parcels[0]
            faults: list[Any] = ["wrong secret", "no signature", "other body", "stale", "future"]
            assert [await slack.http.forge(parcel, fault=fault) for fault in faults] == [401] * 5
            assert bodies == []
            assert await slack.http.forge(parcel, fault="none") == 200
            await slack.until(lambda: bodies)


async def test_a_request_url_that_does_not_give_the_challenge_back_is_not_saved() -> None:
    async with SlackTwin("http") as slack, SlackTwin("http") as stranger:
        app, _ = listening(stranger, "message")  # knows another signing secret
        async with over_http(app) as url:
            with pytest.raises(ChallengeRefused, match="401"):
                await slack.set_events_url(url)
        with pytest.raises(ChallengeRefused, match="did not answer"):
            await slack.set_events_url("http://127.0.0.1:9/slack/events")
        assert slack.http.url == ""


async def test_a_bot_that_answers_without_retry_wish_gets_no_retry() -> None:
    async with SlackTwin("http", time_scale=0) as slack:

        async def busy(request: web.Request) -> web.Response:
            body = await request.json()
            if "challenge" in body:
                return web.Response(text=body["challenge"])
            return web.Response(status=503, headers={"X-Slack-No-Retry": "1"})

        application = web.Application()
        application.router.add_post("/", busy)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await slack.set_events_url(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        slack.person("ada").posts(slack.general, "hello")
        parcel = slack.delivery.parcels[0]
        await slack.until(parcel.settled.is_set)
        assert [a.answer.failure for a in parcel.attempts if a.answer] == ["http_error"]
        await runner.cleanup()


# ── waiting ──────────────────────────────────────────────────────────────────────────────────


async def test_waiting_ends_with_what_the_twin_saw_last() -> None:
    async with SlackTwin(time_scale=0) as slack:
        client = web_client(slack)
        await client.auth_test()
        with pytest.raises(TimeoutError, match=r"0 sockets; last calls: \['auth.test 200'\]"):
            await slack.until(lambda: False, within_s=0.05)


async def test_waiting_is_woken_by_a_call_of_the_bot() -> None:
    async with SlackTwin() as slack:
        client = web_client(slack)
        asked: list[float] = []

        def posted() -> bool:
            asked.append(asyncio.get_running_loop().time())
            return bool(slack.world.messages[slack.general])

        waiting = asyncio.create_task(slack.until(posted))
        await client.chat_postMessage(channel=slack.general, text="hello")
        await waiting
        assert len(asked) < 6


def test_the_environment_has_the_shapes_that_settings_check() -> None:
    async def look() -> dict[str, str]:
        async with SlackTwin() as slack:
            return slack.environment() | slack.environment(oauth=True)

    from config.settings import Settings

    found = asyncio.run(look())
    assert set(found) == {
        "SLACK_API_URL",
        "SLACK_APP_TOKEN",
        "SLACK_BOT_TOKEN",
        "SLACK_CLIENT_ID",
        "SLACK_CLIENT_SECRET",
        "SLACK_SIGNING_SECRET",
    }
    fields = {name.lower(): value for name, value in found.items()}
    settings = Settings.__pydantic_validator__
    for name, value in fields.items():
        settings.validate_assignment(Settings.model_construct(), name, value)


async def test_an_interaction_fails_while_no_bot_is_connected() -> None:
    async with SlackTwin(time_scale=0) as slack:
        answer = await slack.delivery.ask(Parcel("interactive", {"type": "block_actions"}))
        assert answer.failure == "connection_failed"


async def test_a_twin_by_hand_prints_its_environment_and_takes_lines() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.twins.slack", stdin=PIPE, stdout=PIPE, cwd=ROOT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            lines: list[str] = []
            while "# ready" not in lines:
                lines.append((await process.stdout.readline()).decode().strip())
            named = dict(line.removeprefix("export ").split("=", 1) for line in lines[:-1])
            client: Any = AsyncWebClient(token=named["SLACK_BOT_TOKEN"], base_url=named["SLACK_API_URL"])
            async with aiohttp.ClientSession() as session:
                opened = await client.apps_connections_open(app_token=named["SLACK_APP_TOKEN"])
                async with session.ws_connect(str(opened["url"])) as socket:
                    await socket.receive_json()
                    process.stdin.write(b"ada first\nbob second\n")
                    said = {(await socket.receive_json())["payload"]["event"]["text"] for _ in range(4)}
            assert {text.partition(" ")[2] for text in said} == {"first", "second"}
            who = await client.auth_test()
            assert all(who["user_id"] in text for text in said)
    finally:
        process.kill()
        await process.wait()
