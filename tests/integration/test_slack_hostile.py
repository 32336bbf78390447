"""What strangers, and a Slack gone mad, post to `/slack/events`: refused clearly, kept nowhere."""

from __future__ import annotations

import asyncio
import copy
import gzip
import io
import json
import logging
import sqlite3
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterator,
    MutableMapping,
    MutableSequence,
)
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

import aiohttp
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from adapters.contract import Button, Card, CardId, ConversationRef, Form, FormField, Receipt, Turn
from adapters.errors import PlatformDown
from adapters.slack import entrance
from adapters.slack.adapter import SlackAdapter, slack_adapter
from tests.calm import Watch
from tests.contract.adapter_harness import LIMIT_S, RecordingInbound
from tests.loopback import on_loopback
from tests.twins.slack import SlackTwin
from tests.twins.slack.signed_http import FORM, sign

JSON = "application/json"
ACK_S = 3.0  # what Slack waits
Path_ = tuple[str | int, ...]


@dataclass
class House:
    """A bot behind its real door, and the Slack that it belongs to."""

    slack: SlackTwin
    adapter: SlackAdapter
    inbound: RecordingInbound
    url: str
    home: Path
    logged: MutableSequence[MutableMapping[str, Any]] = field(default_factory=list[Any])

    async def post(
        self,
        body: bytes,
        *,
        headers: dict[str, str] | None = None,
        content_type: str = JSON,
        signed: bool = True,
        path: str = "/slack/events",
    ) -> tuple[int, str]:
        """Post to the door, signed as by Slack unless told otherwise: the status and what was said."""
        sent = self.signature(body) if signed else {}
        if content_type:
            sent["Content-Type"] = content_type
        async with (
            asyncio.timeout(LIMIT_S),
            aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
            session.post(self.url + path, data=io.BytesIO(body), headers=sent | (headers or {})) as answer,
        ):
            return answer.status, await answer.text()

    def signature(self, body: bytes, *, secret: str = "", at: float = 0.0) -> dict[str, str]:
        # latin-1 and back: bodies here need not be UTF-8, and then no signature of Slack's fits them.
        text = body.decode("utf-8", "replace")
        return sign(secret or self.slack.app.signing_secret, text, int(at or time.time()))

    def kept(self, state: str = "") -> list[tuple[str, str]]:
        """What is in the inbox: kind and key."""
        with closing(sqlite3.connect(f"file:{self.home / 'slack.db'}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT kind, key FROM inbox WHERE ?1 IN ('', state)", (state,)).fetchall()
        return [(str(kind), str(key)) for kind, key in rows]

    async def mentioned(self, **more: Any) -> dict[str, Any]:
        """The payload of a mention that never happened; `more` goes into its event."""
        here = self.slack
        ts = f"{time.time():.6f}"
        event = {
            "type": "app_mention",
            "user": here.person("ada").id,
            "text": f"<@{here.bot.bot_user}> feed the llamas",
            "ts": ts,
            "event_ts": ts,
            "channel": here.general,
            "team": here.team.id,
        }
        return {
            "token": "a-verification-token",
            "team_id": here.team.id,
            "api_app_id": here.app.id,
            "event": event | more,
            "type": "event_callback",
            "event_id": f"Ev{time.time_ns()}",
            "event_time": int(time.time()),
        }

    async def still_works(self) -> None:
        """A real person's question still arrives, soon."""
        before = len(self.inbound.turns)
        words = f"are you there? {time.monotonic_ns()}"
        self.slack.person("bob").mentions(self.slack.general, words)
        await self.slack.until(
            lambda: [turn for turn in self.inbound.turns[before:] if turn.text == words], within_s=LIMIT_S
        )


@pytest.fixture
async def house(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> AsyncIterator[House]:
    caplog.set_level(logging.DEBUG)
    async with opened(tmp_path) as made:
        with capture_logs() as made.logged:
            yield made
            await made.still_works()
            await made.adapter.stop()
        slack = made.slack
        tokens = {str(parcel.payload.get("token", "")) for parcel in slack.delivery.parcels} - {""}
        assert tokens
        secrets = {
            slack.bot_token,
            slack.app_token,
            slack.app.signing_secret,
            "a-verification-token",
            *tokens,
        }
        said = "".join((caplog.text, *capfd.readouterr(), str(made.logged)))
        files = await asyncio.to_thread(lambda: b"".join(file.read_bytes() for file in tmp_path.iterdir()))
        assert [secret for secret in secrets if secret in said or secret.encode() in files] == []


@asynccontextmanager
async def opened(home: Path) -> AsyncGenerator[House]:
    async with SlackTwin(mode="http", time_scale=0.01) as slack:
        adapter = slack_adapter(
            home,
            bot_token=slack.bot_token,
            signing_secret=slack.app.signing_secret,
            api_url=slack.api_url,
        )
        inbound = RecordingInbound()
        async with on_loopback(Starlette(routes=list(adapter.routes()))) as url:
            await adapter.start(inbound)
            try:
                await slack.set_events_url(f"{url}/slack/events")
                yield House(slack, adapter, inbound, url, home)
            finally:
                await adapter.stop()


# ── who posts ────────────────────────────────────────────────────────────────────────────────


def headers(at: str, signature: str) -> dict[str, str]:
    return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": signature}


FORGERIES: dict[str, Callable[[House, bytes], dict[str, str]]] = {
    "nothing at all": lambda h, b: {},
    "no signature": lambda h, b: {"X-Slack-Request-Timestamp": str(int(time.time()))},
    "no time": lambda h, b: {"X-Slack-Signature": h.signature(b)["X-Slack-Signature"]},
    "another secret": lambda h, b: h.signature(b, secret="0" * 32),
    "the signature of another body": lambda h, b: h.signature(b + b" "),
    "six minutes old": lambda h, b: h.signature(b, at=time.time() - 360),
    "six minutes ahead": lambda h, b: h.signature(b, at=time.time() + 360),
    "of 1970": lambda h, b: h.signature(b, at=1),
    "a newer time than was signed": lambda h, b: (
        h.signature(b, at=time.time() - 200) | {"X-Slack-Request-Timestamp": str(int(time.time()))}
    ),
    "another version": lambda h, b: headers(str(int(time.time())), "v1=" + "0" * 64),
    "half a signature": lambda h, b: (
        h.signature(b) | {"X-Slack-Signature": h.signature(b)["X-Slack-Signature"][:40]}
    ),
    "an empty signature": lambda h, b: headers(str(int(time.time())), ""),
    "a signature of 8,000 characters": lambda h, b: headers(str(int(time.time())), "v0=" + "f" * 8_000),
    "letters for a time": lambda h, b: headers("yesterday", "v0=" + "0" * 64),
    "a negative time": lambda h, b: headers("-1", "v0=" + "0" * 64),
    "a time of 400 digits": lambda h, b: headers("9" * 400, "v0=" + "0" * 64),
    "a time with a point": lambda h, b: headers(f"{time.time():.3f}", "v0=" + "0" * 64),
    "digits of another script": lambda h, b: headers("١٧٦٣٦٩٩٧", "v0=" + "0" * 64),
    "an accent in the signature": lambda h, b: headers(str(int(time.time())), "v0=é" + "0" * 63),
}


async def test_whoever_is_not_slack_is_refused_whatever_the_forgery(house: House) -> None:
    body = json.dumps(await house.mentioned()).encode()
    for name, forge in FORGERIES.items():
        status, said = await house.post(body, headers=forge(house, body), signed=False)
        assert status == 401, name
        assert "Slack" in said or "signature" in said, (name, said)
        assert house.slack.app.signing_secret not in said
    assert house.kept() == []
    assert house.inbound.turns == []
    assert (await house.post(body))[0] == 200  # the very same, rightly signed
    await house.inbound.until(turns=1)


async def test_a_challenge_is_answered_to_slack_alone(house: House) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "abc", "token": "x"}).encode()
    assert (await house.post(body, signed=False))[0] == 401
    status, said = await house.post(body)
    assert (status, json.loads(said)["challenge"]) == (200, "abc")
    for odd in (None, 5, ["x"], "x" * 100_000):
        body = json.dumps({"type": "url_verification", "challenge": odd}).encode()
        assert (await house.post(body))[0] in (200, 400)
    assert house.kept() == []


async def test_only_post_and_only_the_path_are_there(house: House) -> None:
    async with aiohttp.ClientSession() as session:
        for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD"):
            async with session.request(method, f"{house.url}/slack/events") as answer:
                assert answer.status == 405, method
    body = json.dumps(await house.mentioned()).encode()
    assert (await house.post(body, path="/slack/install"))[0] == 404  # no OAuth here
    assert (await house.post(body, path="/slack/events/more"))[0] == 404
    assert (await house.post(body, path="/slack/events?" + "q" * 20_000))[0] in (200, 414)


async def test_before_the_start_and_after_the_end_slack_is_asked_to_come_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as made:
        body = json.dumps(await made.mentioned()).encode()
        await made.adapter.stop()
        status, said = await made.post(body)
        assert status == 503
        assert "again" in said
        assert made.inbound.turns == []


# ── bodies ───────────────────────────────────────────────────────────────────────────────────

DEEP = 100_000
WRONG_BODIES: list[tuple[str, bytes, str, tuple[int, ...]]] = [
    ("broken JSON", b'{"type": "event_callback", ', JSON, (400,)),
    ("a list", b"[]", JSON, (400,)),
    ("a text", b'"event_callback"', JSON, (400,)),
    ("null", b"null", JSON, (400,)),
    ("a number", b"5", JSON, (400,)),
    ("5,000 digits", b'{"event_time": ' + b"1" * 5_000 + b"}", JSON, (400,)),
    ("objects 100,000 deep", b'{"a":' * DEEP, JSON, (400,)),
    ("lists 100,000 deep", b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}", JSON, (400,)),
    ("not UTF-8", b'{"type": "\xff\xfe"}', JSON, (400, 401)),
    ("UTF-16", '{"type": "event_callback"}'.encode("utf-16"), JSON, (400, 401)),
    ("a byte order mark", b'\xef\xbb\xbf{"type": "event_callback"}', JSON, (400,)),
    ("packed", gzip.compress(b'{"type": "event_callback"}'), JSON, (400, 401)),
    ("nothing", b"", JSON, (200, 400)),
    ("an empty object", b"{}", JSON, (200,)),
    ("a form with no JSON", b"payload=%7B", FORM, (400,)),
    ("a form with a list", b"payload=%5B%5D", FORM, (400,)),
    ("a form with null", b"payload=null", FORM, (400,)),
    ("a form with nothing", b"payload=", FORM, (400,)),
    ("a form that only says the word", b"a=payload", FORM, (200,)),
    ("a form of other things", b"a=b&c=%FF%FE&d", FORM, (200,)),
    ("100,000 fields", b"&".join(b"a%d=b" % n for n in range(DEEP)), FORM, (200,)),
    ("deep in a form", b"payload=" + quote('{"a":' * 9_000).encode(), FORM, (400,)),
]


async def test_bodies_that_are_no_payloads_are_refused_or_ignored(house: House) -> None:
    for name, body, content_type, expected in WRONG_BODIES:
        watch = Watch()
        status, said = await house.post(body, content_type=content_type)
        assert status in expected, (name, status, said)
        assert watch.calm_s < ACK_S, name
        assert len(said) < 500, name
    assert house.kept() == []


async def test_payloads_under_a_wrong_content_type_are_read_or_refused(house: House) -> None:
    expected = 0
    for content_type in ("", "text/plain", "application/xml", "multipart/form-data; boundary=x", FORM, "é/é"):
        body = json.dumps(await house.mentioned()).encode()
        status, _ = await house.post(body, content_type=content_type)
        assert status in (200, 400, 415), content_type
        expected += status == 200  # what begins with a brace is JSON, whatever it is called
    form = urlencode({"payload": json.dumps(await house.mentioned())}).encode()
    assert (await house.post(form, content_type=JSON))[0] == 400
    await house.inbound.until(turns=expected)
    assert len(house.kept()) == len(house.inbound.turns) == expected


async def test_10_mb_are_refused_with_and_without_a_length(house: House) -> None:
    body = json.dumps(await house.mentioned(text="x" * 10_000_000)).encode()

    async def pieces() -> AsyncGenerator[bytes]:
        for at in range(0, len(body), 100_000):
            yield body[at : at + 100_000]

    for sent in (io.BytesIO(body), pieces()):
        try:
            async with (
                asyncio.timeout(LIMIT_S),
                aiohttp.ClientSession() as session,
                session.post(
                    f"{house.url}/slack/events",
                    data=sent,
                    headers=house.signature(body) | {"Content-Type": JSON},
                ) as answer,
            ):
                assert answer.status == 413
                assert "Too large" in await answer.text()
        except (aiohttp.ClientConnectionError, ConnectionError):
            pass  # the door may close while we still send
    assert house.kept() == []


async def test_bodies_that_never_come_hold_nobody_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrance, "TAKE_S", 1.0)
    host, port = house.url.removeprefix("http://").split(":")
    signed = "".join(f"{name}: {value}\r\n" for name, value in house.signature(b"{}").items())
    head = f"POST /slack/events HTTP/1.1\r\nHost: {host}\r\nContent-Length: 500\r\n{signed}\r\n{{"

    async def hang() -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(head.encode())
            await writer.drain()
            return await reader.readline()
        finally:
            writer.close()

    hanging = [asyncio.create_task(hang()) for _ in range(60)]
    await house.still_works()
    async with asyncio.timeout(LIMIT_S):
        answers = await asyncio.gather(*hanging)
    assert {answer.split()[1] for answer in answers} == {b"408"}


# ── payloads ─────────────────────────────────────────────────────────────────────────────────


async def test_another_workspaces_payloads_are_acknowledged_and_forgotten(house: House) -> None:
    ada, general = house.slack.person("ada").id, house.slack.general
    mention = await house.mentioned(team="T0STRANGER1") | {"team_id": "T0STRANGER1"}
    authorized = await house.mentioned() | {"authorizations": [{"team_id": "T0STRANGER1", "is_bot": True}]}
    slash = {
        "command": "/quartet", "text": "status", "team_id": "T0STRANGER1", "user_id": ada,
        "channel_id": general, "trigger_id": "1.2.x",
    }  # fmt: skip
    click = {
        "type": "block_actions", "team": {"id": "T0STRANGER1"}, "user": {"id": ada}, "trigger_id": "3.4.y",
        "channel": {"id": general}, "message": {"ts": "1.000001"},
        "actions": [{"action_id": "quartet:approve", "value": "ap-1"}],
    }  # fmt: skip
    for payload in (mention, authorized):
        assert (await house.post(json.dumps(payload).encode()))[0] == 200
    assert (await house.post(urlencode(slash).encode(), content_type=FORM))[0] == 200
    form = urlencode({"payload": json.dumps(click)}).encode()
    assert (await house.post(form, content_type=FORM))[0] == 200
    assert house.kept() == []
    assert (house.inbound.turns, house.inbound.commands, house.inbound.clicks) == ([], [], [])


async def test_actions_that_are_not_ours_are_forgotten_and_odd_ones_of_ours_break_nothing(
    house: House,
) -> None:
    def click(action_id: object, value: object) -> bytes:
        payload = {
            "type": "block_actions",
            "team": {"id": house.slack.team.id},
            "user": {"id": house.slack.person("ada").id},
            "trigger_id": f"{time.monotonic_ns()}.1.z",
            "channel": {"id": house.slack.general},
            "message": {"ts": "1.000001"},
            "actions": [{"action_id": action_id, "value": value}],
        }
        return urlencode({"payload": json.dumps(payload)}).encode()

    foreign: list[Any] = ["approve", "other:approve", "", "QUARTET:approve", 5, None, ["quartet:approve"], {}]
    for action_id in foreign:
        assert (await house.post(click(action_id, "ap-1"), content_type=FORM))[0] == 200, action_id
    assert house.kept() == []
    odd = [("quartet:", "x"), ("quartet:launch", "x"), ("quartet:approve", "\ud800"), ("quartet:approve", ""),
           ("quartet:approve", "x" * 100_000), ("quartet:approve", 5), ("quartet:feedback", "perhaps"),
           ("quartet:feedback", "good\n"), ("quartet:approve:9:9:9", "a\nb\x00c")]  # fmt: skip
    for action_id, value in odd:
        assert (await house.post(click(action_id, value), content_type=FORM))[0] == 200, action_id
    await house.slack.until(lambda: not house.kept("new"), within_s=LIMIT_S)
    assert house.inbound.feedbacks == []
    assert {click.action for click in house.inbound.clicks} <= {"launch", "approve"}


async def test_foreign_modals_are_acknowledged_and_hand_in_nothing(house: House) -> None:
    here = f"slack:{house.slack.team.id}:{house.slack.general}:"
    right = json.dumps({"form": "edit:ap-1", "conversation": here})
    views: list[tuple[str, object]] = [
        ("other:form", right),
        ("quartet:form", ""),
        ("quartet:form", "no JSON"),
        ("quartet:form", "[]"),
        ("quartet:form", "[" * 5_000),
        ("quartet:form", 5),
        ("quartet:form", "{}"),
        ("quartet:form", json.dumps({"form": "edit:ap-1", "conversation": "nowhere"})),
        ("quartet:form", json.dumps({"form": "edit:ap-1", "conversation": "telegram:a:b:c"})),
        ("quartet:form", json.dumps({"form": "edit:ap-1", "conversation": "web:local:general:c1"})),
        ("quartet:form", json.dumps({"form": ["x"], "conversation": here})),
        ("quartet:launch", right),
        ("quartet:ask", "no JSON"),
        ("quartet:ask", json.dumps({"team": "T0STRANGER1", "channel": "C0NOWHERE"})),
    ]
    for number, (callback_id, metadata) in enumerate(views):
        payload = {
            "type": "view_submission",
            "team": {"id": house.slack.team.id},
            "user": {"id": house.slack.person("ada").id},
            "view": {
                "id": f"V0STRANGE{number}",
                "callback_id": callback_id,
                "private_metadata": metadata,
                "state": {"values": {"field:goal": {"value": {"type": "plain_text_input", "value": "x"}}}},
            },
        }
        watch = Watch()
        status, said = await house.post(
            urlencode({"payload": json.dumps(payload)}).encode(), content_type=FORM
        )
        assert status == 200, (callback_id, metadata)
        assert watch.calm_s < ACK_S, (callback_id, metadata)
        if said:
            answer = json.loads(said)
            assert answer["response_action"] in ("update", "errors"), (callback_id, metadata)
    await house.slack.until(lambda: not house.kept("new"), within_s=LIMIT_S)
    assert house.inbound.forms == []
    assert house.inbound.turns == []


async def test_huge_texts_and_crowds_of_mentions_arrive_without_a_flood_of_questions(house: House) -> None:
    people = " ".join(f"<@U{number:09d}>" for number in range(3_000))
    texts = ["x" * 1_000_000, people, "<" * 200_000, "&amp;" * 200_000, "<@" * 100_000 + ">" * 100_000]
    for text in texts:
        payload = await house.mentioned(text=f"<@{house.slack.bot.bot_user}> {text}")
        assert (await house.post(json.dumps(payload).encode()))[0] == 200
    await house.inbound.until(turns=len(texts))
    assert max(len(turn.text) for turn in house.inbound.turns) == 1_000_000
    asked = [call for call in house.slack.calls if call.method == "users.info"]
    assert len(asked) < 60


async def test_letters_that_are_none_are_taken_out_and_the_rest_arrives(house: House) -> None:
    payload = await house.mentioned(text=f"<@{house.slack.bot.bot_user}> a\ud800b\x00c\x1b[31md")
    assert (await house.post(json.dumps(payload).encode()))[0] == 200
    await house.inbound.until(turns=1)
    assert house.inbound.turns[0].text == "abc[31md"


async def test_a_thousand_files_and_odd_files_come_as_what_they_are(house: House) -> None:
    odd: list[Any] = [
        {"id": "F0ODD", "name": "../../etc/passwd", "size": -5, "mimetype": 7, "url_private": "file:///etc"},
        {"id": "F0ODDER", "name": "\ud800\x00", "size": "many"},
        {"id": "no id!"},
        None,
        "F0TEXT",
        [],
    ]
    many = [{"id": f"F{number:08d}", "name": f"{number}.txt", "size": 3} for number in range(1_000)]
    payload = await house.mentioned(files=[*odd, *many])
    assert (await house.post(json.dumps(payload).encode()))[0] == 200
    await house.inbound.until(turns=1)
    (turn,) = house.inbound.turns
    assert len(turn.attachments) == 1_002
    assert "/" not in turn.attachments[0].name
    assert turn.attachments[0].size == 0


async def test_what_cannot_be_kept_is_refused_and_taken_when_it_comes_again(house: House) -> None:
    body = json.dumps(await house.mentioned()).encode()
    with closing(sqlite3.connect(house.home / "slack.db")) as db:
        db.execute("ALTER TABLE inbox RENAME TO broken")
        assert (await house.post(body))[0] == 500
        db.execute("ALTER TABLE broken RENAME TO inbox")
    assert [told["error"] for told in house.logged if told.get("action") == "slack.not_kept"]
    assert (await house.post(body))[0] == 200
    await house.inbound.until(turns=1)


async def test_what_waits_is_kept_without_slacks_verification_token(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_now(turn: Turn) -> Receipt:
        raise PlatformDown("the bot has no time")

    with monkeypatch.context() as patched:
        patched.setattr(house.inbound, "turn", not_now)
        assert (await house.post(json.dumps(await house.mentioned()).encode()))[0] == 200
        with closing(sqlite3.connect(house.home / "slack.db")) as db:
            payloads = [str(row[0]) for row in db.execute("SELECT payload FROM inbox WHERE state = 'new'")]
    assert ["feed the llamas" in payload for payload in payloads] == [True]
    assert "a-verification-token" not in payloads[0]
    await house.inbound.until(turns=1)  # it is tried again


# ── every field of every payload, missing or wrong ───────────────────────────────────────────

MISSING = object()
WRONG: list[Any] = [
    None, "", 0, True, [], {}, -1.5, "\ud800", "x" * 5_000, ["x"], {"id": None}, [None], float("inf"),
    {"text": {"text": {}}}, "\x00", 10**300,
]  # fmt: skip


def paths(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """The way to everything in a payload; of a list only its first."""
    if isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            yield (*at, name)
            yield from paths(inner, (*at, name))
    elif isinstance(value, list) and value:
        yield (*at, 0)
        yield from paths(cast("list[Any]", value)[0], (*at, 0))


def changed(payload: dict[str, Any], path: Path_, value: Any) -> dict[str, Any]:
    """The payload with another value at one place, or with nothing there."""
    new = copy.deepcopy(payload)
    inner: Any = new
    for step in path[:-1]:
        inner = inner[step]
    if value is MISSING:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return new


def fresh(payload: dict[str, Any], number: int) -> dict[str, Any]:
    """The payload as another one: with ids of its own."""
    text = json.dumps(payload)
    event: dict[str, Any] = payload.get("event") or {}
    view: dict[str, Any] = payload.get("view") or {}
    for old in (payload.get("event_id"), payload.get("trigger_id"), view.get("hash")):
        if old:
            text = text.replace(json.dumps(old), json.dumps(f"{old}{number}"))
    if event.get("type") in ("message", "app_mention") and "ts" in event:
        text = text.replace(event["ts"], f"{int(float(event['ts'])) + number}.000009")
    return json.loads(text)


async def everything(house: House) -> dict[str, tuple[str, dict[str, Any]]]:
    """One payload of each kind that Slack sends, as the twin sends it: kind of parcel and payload."""
    slack, ada, inbound = house.slack, house.slack.person("ada"), house.inbound
    ts = ada.mentions(slack.general, "feed the llamas", files=[("a.md", "text/markdown", b"hay")])
    await inbound.until(turns=1)
    ada.posts(slack.general, "and the goats", ts)
    await inbound.until(turns=2)
    ada.deletes(ada.posts(slack.general, "not the goats", ts))
    await inbound.until(withdrawals=1)
    ada.reacts(ts, "x")
    ada.direct_message("hello")
    ada.changes_context(slack.general)
    ada.opens_home("messages")
    ada.opens_home("home")
    await inbound.until(homes=1, turns=4)
    place = ConversationRef(platform="slack", workspace=slack.team.id, channel=slack.general, thread=ts)
    edit = Button(action="edit", target="ap-1", label="Edit it", needs_form=True)
    asked = Card(id=CardId("c"), kind="approval", title="T", buttons=(edit,), feedback="run-1")
    posted = await house.adapter.post(place, asked, nonce="n")
    form = Form(id="edit:ap-1", title="Edit", fields=(FormField(name="goal", label="Goal", value="hay"),))
    ada.stops_session(slack.general, ts)
    await inbound.until(clicks=2)
    inbound.answer_clicks.append(Receipt(accepted=True, form=form))
    ada.clicks(slack.general, posted.message_id, "Edit it")
    modal = await slack.until(lambda: ada.modal, within_s=LIMIT_S)
    await ada.submits(modal, {"field:goal": {"value": "straw"}})
    ada.gives_feedback(slack.general, posted.message_id, "good")
    ada.slash(slack.general, "/quartet", "status")
    ada.message_shortcut(slack.general, ts, "quartet:ask_about")
    asking = await slack.until(lambda: ada.modal, within_s=LIMIT_S)
    ada.closes(asking)
    ada.global_shortcut("quartet:ask_new")
    await slack.until(lambda: not slack.delivery.unacked(), within_s=LIMIT_S)
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for parcel in slack.delivery.parcels:
        if parcel.event.get("bot_id"):
            continue
        actions: list[dict[str, Any]] = parcel.payload.get("actions") or [{}]
        bits = [parcel.kind, parcel.payload.get("type"), actions[0].get("action_id")]
        bits += [parcel.event.get(each) for each in ("type", "subtype", "channel_type", "tab")]
        name = " ".join(str(bit) for bit in bits if bit)
        found.setdefault(name, (parcel.kind, parcel.payload))
    return found


@pytest.mark.timeout(180)
async def test_no_missing_or_wrong_field_of_any_payload_is_an_error(house: House) -> None:
    payloads = await everything(house)
    assert len(payloads) >= 16, "\n".join(sorted(payloads))
    number = 0
    failed: list[tuple[str, Path_, Any, int]] = []

    async def send(name: str, kind: str, payload: dict[str, Any], path: Path_, value: Any, n: int) -> None:
        sent = changed(fresh(payload, n), path, value)
        if kind == "events_api":
            body, content_type = json.dumps(sent).encode(), JSON
        elif kind == "interactive":
            body, content_type = urlencode({"payload": json.dumps(sent)}).encode(), FORM
        else:
            flat = {name: str(inner).encode("utf-8", "replace") for name, inner in sent.items()}
            body, content_type = urlencode(flat).encode(), FORM
        status, _ = await house.post(body, content_type=content_type)
        if status not in (200, 400):
            failed.append((name, path, value, status))

    for name, (kind, payload) in payloads.items():
        work: list[Any] = []
        for path in paths(payload):
            number += 2
            work.append(send(name, kind, payload, path, MISSING, number))
            work.append(send(name, kind, payload, path, WRONG[number // 2 % len(WRONG)], number + 1))
        for at in range(0, len(work), 20):
            await asyncio.gather(*work[at : at + 20])
    await house.still_works()
    assert failed == []
    assert number > 1_000
    # Nothing is left that is tried again and again.
    assert [
        told for told in house.logged if told.get("action") in ("slack.not_kept", "chat.delivery_failed")
    ] == []
    assert house.logged  # … and what went wrong is in the log
