"""Ask Discord whether what is set works: `quartet check --online`. Changes nothing there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import aiohttp

from adapters.discord.api import user_agent
from adapters.discord.manifest import PORTAL, invite
from adapters.discord.ports import API_URL, DiscordRefused
from adapters.discord.scopes import BITS, REASONS, TITLES, missing
from adapters.errors import AdapterError, NotAllowed, PlatformDown
from adapters.payload import Payload, items, mapping

TIMEOUT_S: Final = 10.0
COPY_TOKEN: Final = f"make a new one at {PORTAL}, page Bot, Reset Token, and set it"
_DEAD: Final = f"Discord does not know this token (any more); {COPY_TOKEN}"
CONTENT: Final = 1 << 18 | 1 << 19  # flags of an application: message content, or in fewer than 100 servers
MOST_GUILDS: Final = 200  # of one answer
FEW_SESSIONS: Final = 20
_MOST_BYTES: Final = 4_000_000

State = Literal["ok", "wrong", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of asking."""

    name: str  # the variable, the switch or the server
    state: State
    note: str  # how things are; or what is wrong and how to mend it


async def ask(path: str, token: str, *, api_url: str = API_URL, timeout_s: float = TIMEOUT_S) -> Any:
    """What Discord answers to a GET, once.

    Raises:
        DiscordRefused: it said no.
        PlatformDown: no answer within `timeout_s` seconds, or none that is Discord's.
    """
    headers = {"Authorization": f"Bot {token}", "User-Agent": user_agent()}
    try:
        async with (
            asyncio.timeout(timeout_s),
            aiohttp.ClientSession() as session,
            # Not followed: what we send must not go elsewhere.
            session.get(f"{api_url}{path}", headers=headers, allow_redirects=False) as answer,
        ):
            body = await _json(answer)
            status = answer.status
    except TimeoutError:
        raise PlatformDown(
            f"Discord ({api_url}) did not answer in {timeout_s:.0f} s; check the network"
        ) from None
    except (aiohttp.ClientError, OSError) as error:
        raise PlatformDown(
            f"Discord ({api_url}) cannot be reached ({type(error).__name__}); "
            "check the network and DISCORD_API_URL"
        ) from None
    if status == 200 and body is not None:
        return body
    if status == 429:
        raise PlatformDown("Discord wants to be asked less often now (429); wait a minute and ask again")
    told = mapping(body)
    if status >= 500 or "message" not in told:
        raise PlatformDown(
            f"{api_url} did not answer as Discord does (status {status}); check DISCORD_API_URL, or wait"
        )
    code = told.get("code")
    raise DiscordRefused(
        f"Discord refused {path} ({status}): {str(told['message'])[:200]}",
        code=code if isinstance(code, int) else 0,
        status=status,
    )


async def _json(answer: aiohttp.ClientResponse) -> Any:
    if (answer.content_length or 0) > _MOST_BYTES:
        return None
    try:
        return await answer.json(content_type=None)
    except ValueError:
        return None


async def application(token: str, *, api_url: str = API_URL, timeout_s: float = TIMEOUT_S) -> str:
    """The id of the application that a bot's token belongs to.

    Raises:
        NotAllowed: Discord does not know the token (any more).
        DiscordRefused, PlatformDown: as `ask`.
    """
    try:
        answer = await ask("/applications/@me", token, api_url=api_url, timeout_s=timeout_s)
    except DiscordRefused as error:
        if error.status != 401:
            raise
        raise NotAllowed(_DEAD) from None
    found = str(mapping(answer).get("id") or "")
    if not found:
        raise PlatformDown(f"{api_url} did not answer as Discord does; check DISCORD_API_URL")
    return found


async def check_bot(
    token: str,
    *,
    guilds: Sequence[str] = (),
    shards: int | None = None,
    api_url: str = API_URL,
    timeout_s: float = TIMEOUT_S,
) -> list[Finding]:
    """Whether DISCORD_BOT_TOKEN works, the app's switches are right, and the bot is where it should be.

    Answers within `timeout_s`; raises nothing.

    Args:
        token: the bot's.
        guilds: DISCORD_GUILD_IDS.
        shards: as in the settings.
        api_url: Discord's REST API.
        timeout_s: seconds for all of it.
    """
    paths = ("/users/@me", "/applications/@me", f"/users/@me/guilds?limit={MOST_GUILDS}", "/gateway/bot")
    answers = await asyncio.gather(
        *(ask(path, token, api_url=api_url, timeout_s=timeout_s) for path in paths), return_exceptions=True
    )
    failed = next((a for a in answers if isinstance(a, BaseException)), None)
    if failed is not None:
        return [Finding("DISCORD_BOT_TOKEN", "wrong", _failure(failed))]
    me, app = mapping(answers[0]), mapping(answers[1])
    places = [mapping(place) for place in items(answers[2])]
    application = str(app.get("id") or me.get("id") or "")
    return [
        _whose(me, application, places),
        *_switches(app),
        *_servers(application, places, guilds),
        _sessions(mapping(answers[3]), shards),
    ]


def _failure(error: BaseException) -> str:
    if isinstance(error, DiscordRefused) and error.status == 401:
        return _DEAD
    if isinstance(error, AdapterError):
        return str(error)
    raise error


def _whose(me: Payload, application: str, places: Sequence[Payload]) -> Finding:
    name = "DISCORD_BOT_TOKEN"
    if not places:
        return Finding(name, "wrong", f"{_name(me)} is in no server; invite it: {invite(application)}")
    count = f"{len(places)} or more servers" if len(places) >= MOST_GUILDS else _count(len(places), "server")
    return Finding(name, "ok", f"{_name(me)}, application {application}, in {count}")


def _switches(app: Payload) -> Iterator[Finding]:
    bot_page = f"{PORTAL}/{app.get('id') or ''}/bot"
    if _flags(app) & CONTENT:
        yield Finding("Message Content Intent", "ok", "on: replies in the bot's threads need no mention")
    else:
        lost = "replies in its threads need a mention, and what it missed while away cannot be read"
        yield Finding("Message Content Intent", "wrong", f"off: {lost}; switch it on at {bot_page}")
    if app.get("bot_require_code_grant"):
        yield Finding(
            "Requires OAuth2 Code Grant", "wrong", f"on, so nobody can invite it; switch it off at {bot_page}"
        )
    if app.get("interactions_endpoint_url"):
        where = f"{PORTAL}/{app.get('id') or ''}/information"
        told = "is set, so commands and buttons go there and not to the bot; empty it at"
        yield Finding("Interactions Endpoint URL", "wrong", f"{told} {where}")
    if app.get("bot_public"):
        told = "on: anybody may invite the bot to their server, and would use your models; switch it off at"
        yield Finding("Public Bot", "note", f"{told} {bot_page} (first Installation, Install Link: None)")


def _servers(application: str, places: Sequence[Payload], guilds: Sequence[str]) -> Iterator[Finding]:
    known = {str(place.get("id")): place for place in places}
    for guild in guilds:
        if guild not in known and len(places) < MOST_GUILDS:
            link = invite(application, guild=guild)
            yield Finding(f"server {guild}", "wrong", f"the bot is not in it; invite it: {link}")
    for guild, place in known.items():
        if "permissions" not in place:
            continue
        granted = _number(place.get("permissions"))
        lacking = missing(granted)
        if lacking:
            lost = "".join(f"\n    {TITLES[name]}: {REASONS[name]}" for name in lacking)
            link = invite(application, guild=guild)
            remedy = f"give its role these in Server Settings, Roles, or invite it again: {link}"
            note = f"the bot lacks {_count(len(lacking), 'permission')}; {remedy}. Lost without:{lost}"
            yield Finding(f"server {_name(place)}", "wrong", note)
        elif granted & BITS["administrator"]:
            where = "take it away in Server Settings, Roles"
            note = f"the bot's role has Administrator, which it does not need; {where}"
            yield Finding(f"server {_name(place)}", "note", note)


def _sessions(gateway: Payload, shards: int | None) -> Finding:
    limit = mapping(gateway.get("session_start_limit"))
    left, total = _number(limit.get("remaining")), _number(limit.get("total"))
    advised = _number(gateway.get("shards"))
    hours = _number(limit.get("reset_after")) / 3_600_000
    said = f"{left:,} of {total:,} connections left today"
    if left < max(shards or advised, 1):
        return Finding("gateway", "wrong", f"{said}; wait {hours:.1f} h, and find out what connects so often")
    if shards is not None and shards < advised:
        return Finding(
            "gateway", "note", f"{said}; Discord advises {advised} shards, and `discord.shards` is {shards}"
        )
    if left < FEW_SESSIONS:
        return Finding(
            "gateway", "note", f"{said}, new ones in {hours:.1f} h; find out what connects so often"
        )
    return Finding("gateway", "ok", f"{said}, {_count(shards or advised or 1, 'shard')}")


def _flags(app: Payload) -> int:
    return _number(app.get("flags_new") or app.get("flags"))


def _number(value: object) -> int:
    """Discord writes large numbers as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return (
        int(value)
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 40
        else 0
    )


def _name(thing: Payload) -> str:
    name = str(thing.get("username") or thing.get("name") or thing.get("id") or "")
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:80]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
