"""The twin's gateway on the wire, frame by frame: compression, close codes, hostile clients, replay."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import discord
import pytest
import zstandard
from aiohttp import ClientWebSocketResponse, WSMsgType
from hypothesis import given
from hypothesis import strategies as st

from tests.twins.discord import DiscordTwin
from tests.twins.discord.connection import packer
from tests.twins.discord.events import shard_of

Json = dict[str, Any]
INTENTS = discord.Intents.default().value
TEXTS = st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text()))


class Raw:
    """One connection, read and written by hand."""

    def __init__(self, twin: DiscordTwin, ws: ClientWebSocketResponse, compress: str) -> None:
        self.ws = ws
        self._twin = twin
        self._unpack = unpacker(compress)

    async def next(self) -> Json:
        """The next payload, without heartbeats' answers."""
        async with asyncio.timeout(60):
            message = await self.ws.receive()
        assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), message
        return json.loads(self._unpack(message.data))

    async def until(self, event: str) -> list[Json]:
        """Payloads up to the next event of this name."""
        got: list[Json] = []
        while not got or got[-1]["t"] != event:
            got.append(await self.next())
        return got

    async def code(self) -> int | None:
        """What the twin closes the connection with."""
        async with asyncio.timeout(60):
            while (await self.ws.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
                pass
        return self.ws.close_code

    async def identify(self, **changes: Any) -> None:
        asked: Json = {"token": self._twin.token, "intents": INTENTS, "properties": {"os": "linux"}}
        await self.ws.send_json({"op": 2, "d": asked | changes})

    async def resume(self, session_id: str, seq: Any, **changes: Any) -> None:
        asked: Json = {"token": self._twin.token, "session_id": session_id, "seq": seq}
        await self.ws.send_json({"op": 6, "d": asked | changes})


def unpacker(compress: str) -> Callable[[Any], str]:
    if compress == "zlib-stream":
        inflating = zlib.decompressobj()

        def inflate(data: bytes) -> str:
            assert data.endswith(b"\x00\x00\xff\xff")
            return inflating.decompress(data).decode()

        return inflate
    if compress == "zstd-stream":
        stream = zstandard.ZstdDecompressor().decompressobj()
        return lambda data: stream.decompress(data).decode()
    return str


@pytest.fixture
async def twin() -> AsyncIterator[DiscordTwin]:
    async with DiscordTwin() as discord_twin:
        discord_twin.gateway.limits.identify_every_s = 0
        yield discord_twin


@asynccontextmanager
async def connected(
    twin: DiscordTwin, compress: str = "", *, version: str = "10", encoding: str = "json", hello: bool = True
) -> AsyncGenerator[Raw]:
    query = {"v": version, "encoding": encoding} | ({"compress": compress} if compress else {})
    async with aiohttp.ClientSession() as session, session.ws_connect(twin.gateway_url, params=query) as ws:
        raw = Raw(twin, ws, compress)
        if hello:
            assert (await raw.next())["op"] == 10
        yield raw


@pytest.mark.parametrize("compress", ["", "zlib-stream", "zstd-stream"])
async def test_session_is_told_in_the_compression_that_was_asked_for(
    twin: DiscordTwin, compress: str
) -> None:
    ada = twin.person("ada")
    async with connected(twin, compress) as raw:
        await raw.ws.send_json({"op": 1, "d": None})
        assert (await raw.next())["op"] == 11
        await raw.identify()
        ready, *_ = await raw.until("GUILD_CREATE")
        assert (ready["t"], ready["s"], ready["d"]["guilds"][0]["unavailable"]) == ("READY", 1, True)
        ada.mentions(twin.general, "größer 🦙" * 50)
        heard = (await raw.until("MESSAGE_CREATE"))[-1]
    assert heard["d"]["content"].endswith("größer 🦙" * 50)
    assert heard["s"] == 3


@given(st.lists(TEXTS, min_size=1, max_size=5), st.sampled_from(["", "zlib-stream", "zstd-stream"]))
def test_every_payload_can_be_read_as_soon_as_it_is_there(payloads: list[Json], compress: str) -> None:
    pack, unpack = packer(compress), unpacker(compress)
    assert [json.loads(unpack(pack(each))) for each in payloads] == payloads


@given(st.integers(1, 2**63), st.integers(1, 64))
def test_every_guild_belongs_to_exactly_one_shard(guild: int, count: int) -> None:
    number = shard_of("MESSAGE_CREATE", {"guild_id": str(guild)}, count)
    assert 0 <= number < count
    assert number == shard_of("GUILD_CREATE", {"id": str(guild)}, count) == (guild >> 22) % count
    assert shard_of("MESSAGE_CREATE", {"channel_id": str(guild)}, count) == 0


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("no JSON", 4002),
        ("[]", 4002),
        ("{}", 4002),
        ('{"op": true, "d": null}', 4002),
        ('{"op": 2, "d": []}', 4002),
        ('{"op": 1, "d": "' + "x" * 5000 + '"}', 4002),
        ('{"op": 99, "d": null}', 4001),
        ('{"op": 0, "t": "READY", "d": {}}', 4001),
        ('{"op": 3, "d": {}}', 4003),
        ('{"op": 8, "d": {"guild_id": "1", "query": ""}}', 4003),
    ],
)
async def test_nonsense_closes_with_the_code_that_names_it(twin: DiscordTwin, frame: str, code: int) -> None:
    async with connected(twin) as raw:
        await raw.ws.send_str(frame)
        assert await raw.code() == code
    assert [each.split(":")[0] for each in twin.gateway.problems] == [str(code)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"token": "wrong"}, 4004),
        ({"token": None}, 4004),
        ({"shard": [2, 2]}, 4010),
        ({"shard": [-1, 2]}, 4010),
        ({"shard": "0"}, 4010),
        ({"intents": None}, 4013),
        ({"intents": 1 << 40}, 4013),
        ({"intents": INTENTS | discord.Intents.all().value}, 4014),
        ({"properties": None}, 4002),
    ],
)
async def test_identify_is_refused_with_the_code_that_names_why(
    twin: DiscordTwin, changes: Json, code: int
) -> None:
    async with connected(twin) as raw:
        await raw.identify(**changes)
        assert await raw.code() == code
    assert twin.gateway.identifies[-1].outcome == str(code)
    assert twin.gateway.sessions == []


async def test_shard_with_too_many_guilds_must_be_divided(twin: DiscordTwin) -> None:
    twin.gateway.limits.most_guilds = 0
    async with connected(twin) as raw:
        await raw.identify()
        assert await raw.code() == 4011


@pytest.mark.parametrize(("version", "encoding", "code"), [("5", "json", 4012), ("10", "etf", 4002)])
async def test_other_versions_and_encodings_are_refused(
    twin: DiscordTwin, version: str, encoding: str, code: int
) -> None:
    async with connected(twin, version=version, encoding=encoding, hello=False) as raw:
        assert await raw.code() == code


async def test_unknown_compression_is_refused(twin: DiscordTwin) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with connected(twin, "brotli"):
            pass
    assert refused.value.status == 400


async def test_second_identify_closes_with_4005(twin: DiscordTwin) -> None:
    async with connected(twin) as raw:
        await raw.identify()
        await raw.identify()
        assert await raw.code() == 4005


async def test_identifies_too_close_together_are_invalid_and_noted(twin: DiscordTwin) -> None:
    twin.gateway.limits.identify_every_s = 5.0
    async with connected(twin) as first, connected(twin) as second, connected(twin) as third:
        await first.identify(shard=[0, 2])
        await first.until("READY")
        await second.identify(shard=[1, 2])
        answer = await second.next()
        assert (answer["op"], answer["d"]) == (9, False)
        assert len(twin.gateway.problems) == 1
        twin.gateway.limits.max_concurrency = 2  # shard 1 has a key of its own now
        await third.identify(shard=[1, 2])
        await third.until("READY")


async def test_more_than_120_payloads_a_minute_close_with_4008(twin: DiscordTwin) -> None:
    async with connected(twin) as raw:
        for _ in range(121):
            await raw.ws.send_json({"op": 1, "d": None})
        assert await raw.code() == 4008


async def test_client_without_heartbeats_is_closed_and_its_session_gone(twin: DiscordTwin) -> None:
    twin.gateway.heartbeat_s = 0.2
    async with connected(twin) as raw:
        await raw.identify()
        await raw.until("READY")
        for _ in range(6):  # alive as long as it says so
            await raw.ws.send_json({"op": 1, "d": 1})
            await asyncio.sleep(0.1)
        assert twin.gateway.connected == 1
        assert await raw.code() == 4009
    await twin.until(lambda: not twin.gateway.sessions)


async def test_heartbeat_that_is_asked_for(twin: DiscordTwin) -> None:
    async with connected(twin) as raw:
        twin.gateway.ask_for_heartbeat()
        assert (await raw.next())["op"] == 1


@pytest.mark.parametrize("seen", [1, 2, 3, 4, 5])
async def test_resume_brings_exactly_what_came_after(twin: DiscordTwin, seen: int) -> None:
    ada = twin.person("ada")
    async with connected(twin) as raw:
        await raw.identify()
        session = (await raw.until("READY"))[-1]["d"]["session_id"]
        twin.gateway.drop()
        assert await raw.code() in (1006, None)
    for number in (3, 4, 5):
        ada.mentions(twin.general, str(number))
    async with connected(twin) as raw:
        await raw.resume(session, seen)
        came = await raw.until("RESUMED")
        assert [each["s"] for each in came] == list(range(seen + 1, 7))
        assert [each["d"]["content"][-1] for each in came if each["t"] == "MESSAGE_CREATE"] == [
            str(number) for number in (3, 4, 5) if number > seen
        ]


async def test_session_that_its_client_closed_with_1000_is_gone(twin: DiscordTwin) -> None:
    async with connected(twin) as raw:
        await raw.identify()
        await raw.until("READY")
        assert len(twin.gateway.sessions) == 1
        await raw.ws.close(code=1000)
    await twin.until(lambda: not twin.gateway.sessions)


@pytest.mark.parametrize("seq", [99, -1, None, "1"])
async def test_resume_with_a_number_that_was_never_given_closes_with_4007(
    twin: DiscordTwin, seq: Any
) -> None:
    async with connected(twin) as raw:
        await raw.identify()
        session = (await raw.until("READY"))[-1]["d"]["session_id"]
        twin.gateway.drop()
        await raw.code()
    async with connected(twin) as raw:
        await raw.resume(session, seq)
        assert await raw.code() == 4007


async def test_unknown_session_is_invalid_and_the_connection_may_identify(twin: DiscordTwin) -> None:
    async with connected(twin) as raw:
        await raw.resume("0" * 32, 1)
        answer = await raw.next()
        assert (answer["op"], answer["d"]) == (9, False)
        await raw.identify()
        await raw.until("READY")


async def test_resume_with_a_wrong_token_closes_with_4004(twin: DiscordTwin) -> None:
    async with connected(twin) as raw:
        await raw.resume("0" * 32, 1, token="wrong")
        assert await raw.code() == 4004


async def test_session_that_waited_too_long_is_gone(
    twin: DiscordTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.twins.discord.sessions.RESUMABLE_S", 0.05)
    async with connected(twin) as raw:
        await raw.identify()
        session = (await raw.until("READY"))[-1]["d"]["session_id"]
        twin.gateway.drop()
        await raw.code()
    await twin.until(lambda: not twin.gateway.sessions)
    async with connected(twin) as raw:
        await raw.resume(session, 1)
        assert (await raw.next())["op"] == 9


@pytest.mark.parametrize("presence", [[], {}, {"status": "online"}, None])
async def test_half_a_presence_closes_with_4002(twin: DiscordTwin, presence: Any) -> None:
    async with connected(twin) as raw:
        await raw.identify()
        await raw.ws.send_json({"op": 3, "d": presence})
        assert await raw.code() == 4002


async def test_members_are_not_listed_to_whom_may_not_know_them(twin: DiscordTwin) -> None:
    twin.person("ada")
    async with connected(twin) as raw:
        await raw.identify()
        await raw.until("GUILD_CREATE")
        ask: Json = {"guild_id": twin.guild_id, "query": "", "limit": 0}
        await raw.ws.send_json({"op": 8, "d": ask})
        await raw.ws.send_json({"op": 8, "d": ask | {"guild_id": "1"}})
        await raw.ws.send_json({"op": 8, "d": {"guild_id": twin.guild_id, "user_ids": [twin.bot_id, "7"]}})
        chunk = (await raw.until("GUILD_MEMBERS_CHUNK"))[-1]["d"]
    assert [each["user"]["id"] for each in chunk["members"]] == [twin.bot_id]
    assert chunk["not_found"] == ["7"]
