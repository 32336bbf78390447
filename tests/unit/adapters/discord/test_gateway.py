"""The gateway against Discord's twin: what people do arrives as plain JSON, once, however it is connected."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.contract import Choice, ChoiceKind, ConversationRef
from adapters.discord import client as client_module
from adapters.discord import connection, known, meaning
from adapters.discord.client import Client
from adapters.discord.gateway import Gateway
from adapters.discord.inbound import Arrival, read
from adapters.discord.payload import CHANNEL_TYPE, CHANNELS, OWN_ROLE, PARENT, ROLES
from adapters.errors import NotAllowed, PlatformDown
from adapters.payload import Payload
from tests.twins.discord import DiscordTwin


class Live:
    """A gateway and what it handed in."""

    def __init__(self, twin: DiscordTwin, token: str = "", **more: Any) -> None:
        self.twin = twin
        self.events: list[tuple[str, Payload]] = []
        self.fresh = 0
        self.left: list[str] = []
        self.joined: list[str] = []
        self.unsure_then: list[bool] = []  # when `fresh` was called
        self.asked: list[tuple[ChoiceKind, str, str]] = []
        self.fails = False
        self.gateway = Gateway(
            token or twin.token,
            take=self._take,
            choices=self._choices,
            fresh=self._fresh,
            left=self._left,
            joined=self._joined,
            ask=self._ask,
            api_url=twin.api_url,
            **more,
        )

    async def _take(self, event: str, payload: Payload) -> None:
        self.events.append((event, payload))
        self.twin.changed()
        if self.fails:
            raise OSError("the disk is full")

    async def _choices(self, kind: ChoiceKind, there: ConversationRef, typed: str) -> Sequence[Choice]:
        self.asked.append((kind, there.key, typed))
        if typed == "fail":
            raise OSError
        return [Choice(value="quartet", label="Quartet"), Choice(value="x" * 101, label="too long")]

    def _fresh(self) -> None:
        self.fresh += 1
        self.unsure_then.append(self.gateway.unsure)
        self.twin.changed()

    async def _left(self, guild: str) -> None:
        self.left.append(guild)
        self.twin.changed()

    async def _joined(self, guild: str) -> None:
        self.joined.append(guild)
        self.twin.changed()

    async def _ask(self, channel: str) -> known.Where | None:
        return known.where_told(await as_bot(self.twin, "GET", f"/channels/{channel}", None))

    async def event(self, name: str, index: int = 0) -> Payload:
        def found() -> Payload | None:
            payloads = [payload for event, payload in self.events if event == name]
            return payloads[index] if len(payloads) > index else None

        return await self.twin.until(found)

    async def arrival(self, name: str, index: int = 0) -> Arrival:
        arrival = read(name, await self.event(name, index), self.gateway.me)
        assert arrival is not None
        return arrival


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discord's pauses, which the twin makes shorter than 5 s."""

    async def moment(client: Client, shard: int | None, *, initial: bool = False) -> None:
        if not initial:
            await asyncio.sleep(0.06)

    monkeypatch.setattr(Client, "before_identify_hook", moment)
    monkeypatch.setattr(connection, "APART_S", 0.06)
    monkeypatch.setattr(connection, "WATCH_S", 0.05)
    monkeypatch.setattr(client_module, "GUILDS_S", 0.05)


@pytest.fixture
async def twin() -> AsyncIterator[DiscordTwin]:
    async with DiscordTwin() as twin:
        yield twin
        assert twin.violations == []


@asynccontextmanager
async def live(twin: DiscordTwin, **more: Any) -> AsyncGenerator[Live]:
    running = Live(twin, **more)
    await running.gateway.start()
    try:
        yield running
    finally:
        await running.gateway.stop()


async def as_bot(twin: DiscordTwin, method: str, path: str, body: Any) -> Any:
    """A call of the bot, as our own REST client makes them."""
    headers = {"Authorization": f"Bot {twin.token}", "User-Agent": "DiscordBot (tests, 1)"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"{twin.api_url}{path}", json=body) as answer,
    ):
        assert answer.status < 300, await answer.text()
        return await answer.json() if answer.status != 204 else None


def card(custom_id: str) -> dict[str, Any]:
    """A message of ours with a button."""
    button = {"type": 2, "style": 1, "label": "Press", "custom_id": custom_id}
    inner = [{"type": 10, "content": "A card"}, {"type": 1, "components": [button]}]
    return {"flags": 1 << 15, "components": [{"type": 17, "id": 4711, "components": inner}]}


# ── what comes in ────────────────────────────────────────────────────────────────────────────


async def test_started_it_knows_itself_and_its_guilds_and_was_told_of_the_new_session(
    twin: DiscordTwin,
) -> None:
    async with live(twin) as running:
        me = running.gateway.me
        assert (me.user, me.application) == (twin.bot_id, twin.application_id)
        assert running.gateway.guilds == {twin.guild_id: "Acme"}
        assert running.gateway.trouble == ""
        assert running.gateway.channel_name(twin.guild_id, twin.general) == "general"
        await twin.until(lambda: running.fresh == 1)


async def test_a_mention_says_where_it_stands_and_what_its_writer_may(twin: DiscordTwin) -> None:
    ada = twin.person("ada", permissions=("manage_channels",))
    async with live(twin) as running:
        role = twin.world.role("Keepers").id
        ada.mentions(twin.general, f"look at <#{twin.general}> <@&{role}>")
        arrival = await running.arrival("MESSAGE_CREATE")
        payload = arrival.payload
        assert payload[CHANNEL_TYPE] == 0
        assert payload[CHANNELS] == {twin.general: "general"}
        assert payload[ROLES] == {str(role): "Keepers"}
        who = meaning.person(payload)
        assert (who.id, who.is_admin) == (ada.id, True)
        assert "permission:manage_channels" in who.groups
        assert "permission:ban_members" not in who.groups
        turn = meaning.turn(arrival, who, own=running.gateway.me.user)
        assert turn is not None
        assert turn.text == "look at #general @Keepers"


async def test_a_message_in_a_thread_names_the_channel_that_it_hangs_in(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with live(twin) as running:
        thread = ada.starts_thread(twin.general, "llamas")
        ada.posts(thread, "and now?")
        found = [await running.event("MESSAGE_CREATE", i) for i in range(2)]
        payload = next(one for one in found if one["content"] == "and now?")
        assert (payload[PARENT], payload[CHANNEL_TYPE]) == (twin.general, 11)
        assert await running.gateway.parent_of(twin.guild_id, thread) == twin.general
        assert await running.gateway.parent_of(twin.guild_id, twin.general) == ""


async def test_a_thread_that_was_closed_before_the_start_is_asked_for_once(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    thread = ada.starts_thread(twin.general, "llamas")
    sent = [ada.posts(thread, text) for text in ("one", "two")]
    twin.closes_thread(thread)
    async with live(twin) as running:
        for one in sent:
            ada.deletes(one)
        lanes = [(await running.arrival("MESSAGE_DELETE", i)).lane for i in range(2)]
        assert lanes == [f"discord:{twin.guild_id}:{twin.general}:{thread}"] * 2
    assert [call.name for call in twin.calls].count("GET /channels/{channel_id}") <= 1


async def test_the_bots_own_role_names_the_bot(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with live(twin) as running:
        own = twin.world.bot_role(twin.world.guild)
        tagged = {"id": str(own.id), "name": "Quartet", "managed": True, "tags": {"bot_id": twin.bot_id}}
        twin.backend.emit(
            "GUILD_ROLE_UPDATE",
            {"guild_id": twin.guild_id, "role": {**tagged, "permissions": "0", "position": 1}},
        )
        ada.posts(twin.general, f"<@&{own.id}> hello")
        arrival = await running.arrival("MESSAGE_CREATE")
        assert (arrival.kind, arrival.payload[OWN_ROLE]) == ("mention", str(own.id))
        ada.posts(twin.general, "hello")
        assert OWN_ROLE not in await running.event("MESSAGE_CREATE", 1)


async def test_direct_messages_and_reactions(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with live(twin) as running:
        ada.dms("hello")
        assert (await running.arrival("MESSAGE_CREATE")).kind == "direct"
        sent = ada.posts(twin.general, "hello")
        ada.reacts(sent, "❌")
        stop = await running.arrival("MESSAGE_REACTION_ADD")
        assert meaning.reacted_to(stop) == (twin.general, sent)
        assert meaning.person(stop.payload).id == ada.id


async def test_a_press_of_a_button_on_a_message_from_before_comes_once(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    message = await as_bot(twin, "POST", f"/channels/{twin.general}/messages", card("q:approve:a1"))
    async with live(twin) as running:
        ada.clicks(message["id"], custom_id="q:approve:a1")
        arrival = await running.arrival("INTERACTION_CREATE")
        button = meaning.pressed(arrival)
        assert button is not None
        assert (button.action, button.target) == ("approve", "a1")
        assert button.message is not None
        assert button.message.message_id == message["id"]
        ada.mentions(twin.general, "and then")
        await running.event("MESSAGE_CREATE")
        assert [event for event, _ in running.events].count("INTERACTION_CREATE") == 1


async def test_a_button_that_the_library_knows_nothing_of_is_handed_in_all_the_same(
    twin: DiscordTwin,
) -> None:
    ada = twin.person("ada")
    message = await as_bot(twin, "POST", f"/channels/{twin.general}/messages", card("old:button"))
    async with live(twin) as running:
        ada.clicks(message["id"], custom_id="old:button")
        payload = await running.event("INTERACTION_CREATE")
        assert payload["data"]["custom_id"] == "old:button"
        assert read("INTERACTION_CREATE", payload, running.gateway.me) is None


async def test_commands_menu_and_form_come_as_they_were_given(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with live(twin) as running:
        await running.gateway.put_commands("", running.gateway.commands)
        sent = ada.posts(twin.general, "Hay is enough")
        ada.types_command("quartet ask", twin.general, text="why?", workflow="quartet")
        asked = await running.arrival("INTERACTION_CREATE")
        assert meaning.asked_for(asked) == meaning.Asked("why?", "quartet")

        ada.uses_menu("Ask Quartet about this", sent)
        about = await running.arrival("INTERACTION_CREATE", 1)
        found = meaning.targeted(about)
        assert found is not None
        assert (about.kind, found.message, found.text) == ("ask_about", sent, "Hay is enough")

        field = {"type": 4, "custom_id": "f:text", "style": 2}
        form = {
            "custom_id": "q:ask:1",
            "title": "Ask",
            "components": [{"type": 18, "label": "What", "component": field}],
        }
        path = f"/interactions/{about.payload['id']}/{about.payload['token']}/callback"
        await as_bot(twin, "POST", path, {"type": 9, "data": form})
        await twin.until(lambda: ada.modal)
        ada.submits(values={"What": "Is it?"})
        sent_form = await running.arrival("INTERACTION_CREATE", 2)
        assert sent_form.kind == "form"
        assert "Is it?" in json.dumps(sent_form.payload["data"])


async def test_a_command_that_discord_knows_from_before_comes_as_well(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with live(twin) as running:
        old = {"type": 1, "name": "old", "description": "A word of last year"}
        group = {**running.gateway.commands[0], "options": [old]}
        await running.gateway.put_commands("", [group])
        ada.types_command("quartet old", twin.general)
        arrival = await running.arrival("INTERACTION_CREATE")
        assert meaning.command_words(arrival.payload) == "old"


async def test_what_is_being_typed_is_completed_and_never_kept(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with live(twin) as running:
        await running.gateway.put_commands("", running.gateway.commands)
        thread = ada.starts_thread(twin.general, "llamas")
        choices = await ada.autocompletes("quartet run", "workflow", "qu", thread)
        assert [(one.name, one.value) for one in choices] == [("Quartet", "quartet")]
        assert await ada.autocompletes("quartet run", "workflow", "fail", thread) == []
        there = f"discord:{twin.guild_id}:{twin.general}:{thread}"
        assert running.asked == [("workflow", there, "qu"), ("workflow", there, "fail")]
        assert [event for event, _ in running.events if event == "INTERACTION_CREATE"] == []


async def test_every_call_that_the_library_makes_by_itself_is_told_of_where_it_counts(
    twin: DiscordTwin,
) -> None:
    told: list[float] = []
    ada = twin.person("ada")
    async with live(twin, calls=lambda: told.append(time.monotonic())) as running:
        await running.gateway.put_commands("", running.gateway.commands)
        thread = ada.starts_thread(twin.general, "llamas")
        await ada.autocompletes("quartet run", "workflow", "qu", thread)
        counted = [call for call in twin.calls if not call.path.startswith("/interactions/")]
        assert len(twin.calls) > len(counted) == len(told) > 3
        assert all(before <= call.at for before, call in zip(told, counted, strict=True))


async def test_what_cannot_be_kept_keeps_nothing_else_from_coming(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with live(twin) as running:
        running.fails = True
        with structlog.testing.capture_logs() as logs:
            ada.mentions(twin.general, "a secret")
            await running.event("MESSAGE_CREATE")
            ada.mentions(twin.general, "another")
            await running.event("MESSAGE_CREATE", 1)
        assert "discord.not_taken" in [line.get("action") for line in logs]
        assert "secret" not in str(logs)


async def test_the_newest_messages_are_those_of_channels_that_the_bot_can_read(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    hidden = twin.channel("hidden")
    ada.posts(hidden, "for us alone")
    twin.hides_channel(hidden)
    sent = ada.posts(twin.general, "for all")
    thread = ada.starts_thread(twin.general, "llamas")
    last = ada.posts(thread, "in there")
    async with live(twin) as running:
        newest = running.gateway.last_messages()
        assert newest[thread] == known.Last(twin.guild_id, last)
        assert int(newest[twin.general].message) >= int(sent)
        assert hidden not in newest


async def test_permissions_are_those_of_the_channel(twin: DiscordTwin) -> None:
    ada = twin.person("ada", permissions=("manage_messages",))
    async with live(twin) as running:
        ada.posts(twin.general, "hello")
        payload = await running.event("MESSAGE_CREATE")
        held = running.gateway.permissions(twin.guild_id, twin.general, payload)
        assert "manage_messages" in held
        assert not held & meaning.ADMIN
        assert running.gateway.permissions(twin.guild_id, "", payload) == held
        assert running.gateway.permissions("1", twin.general, payload) == frozenset()
        odd = {
            "author": {"id": ada.id},
            "member": {"roles": [None, "x"], "communication_disabled_until": "soon"},
        }
        assert not running.gateway.permissions(twin.guild_id, twin.general, odd) & {"manage_messages"}


async def test_a_history_message_is_placed_like_a_live_one(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with live(twin) as running:
        ada.mentions(twin.general, "hello")
        seen = await running.arrival("MESSAGE_CREATE")
        history = {k: v for k, v in seen.payload.items() if k not in ("guild_id", "member", CHANNEL_TYPE)}
        history[PARENT] = "1"  # what claims to be ours is left out
        again = read(
            "MESSAGE_CREATE", await running.gateway.placed(history, twin.guild_id), running.gateway.me
        )
        assert again is not None
        assert (again.key, again.lane, again.kind) == (seen.key, seen.lane, seen.kind)
        assert PARENT not in again.payload


# ── the connection ───────────────────────────────────────────────────────────────────────────


async def test_a_broken_connection_goes_on_and_brings_what_was_missed(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with live(twin) as running:
        await twin.until(lambda: running.fresh == 1)
        twin.gateway.drop_all()
        ada.mentions(twin.general, "in the meantime")
        assert (await running.arrival("MESSAGE_CREATE")).kind == "mention"
        await twin.until(lambda: twin.gateway.resumes)
        assert running.fresh == 1
        assert running.gateway.trouble == ""


async def test_a_session_that_is_gone_is_told_of_so_that_the_missed_can_be_read(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with live(twin) as running:
        await twin.until(lambda: running.fresh == 1)
        twin.gateway.invalidate(resumable=False)
        await twin.until(lambda: running.fresh == 3)  # as it begins, and with its guilds
        assert running.unsure_then[1:] == [True, True]  # no mark moves before it was told of
        ada.mentions(twin.general, "hello again")
        await running.event("MESSAGE_CREATE")
    assert [one.shard for one in twin.gateway.identifies] == [(0, 1), (0, 1)]


async def test_an_outage_is_told_of_and_ended_by_a_new_session(
    twin: DiscordTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "DOWN_S", 0.2)
    monkeypatch.setattr(connection, "SAID_S", 0.05)
    ada = twin.person("ada")
    async with live(twin) as running:
        twin.gateway.stop_for(1.0)
        await twin.until(lambda: running.gateway.trouble)
        await twin.until(lambda: not running.gateway.trouble and twin.gateway.connected, 20.0)
        ada.mentions(twin.general, "back?")
        await running.event("MESSAGE_CREATE")


async def test_a_token_that_is_taken_back_is_told_of_and_tried_again_slowly(
    twin: DiscordTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REFUSED_PAUSE_S", 0.3)
    async with live(twin) as running:
        twin.revokes_token()
        await twin.until(lambda: "DISCORD_BOT_TOKEN" in running.gateway.trouble)
        twin.restores_token()
        await twin.until(lambda: running.gateway.trouble == "")
        await twin.until(lambda: twin.gateway.connected == 1)


@pytest.mark.parametrize("token", ["wrong", "line\nbreak", "ключ"])
async def test_a_wrong_token_names_its_setting_and_leaves_nothing_open(twin: DiscordTwin, token: str) -> None:
    running = Live(twin, token)
    with pytest.raises(NotAllowed, match="DISCORD_BOT_TOKEN") as refusal:
        await running.gateway.start()
    assert token not in str(refusal.value)
    assert twin.gateway.connected == 0
    await running.gateway.stop()


async def test_discord_out_of_reach_is_a_platform_down_and_the_start_can_be_repeated(
    twin: DiscordTwin,
) -> None:
    running = Live(twin)
    twin.token_valid = False
    with pytest.raises(NotAllowed):
        await running.gateway.start()
    twin.token_valid = True
    await running.gateway.start()
    assert twin.gateway.connected == 1
    await running.gateway.stop()


async def test_no_discord_at_all_is_a_platform_down() -> None:
    async with DiscordTwin() as gone:
        running = Live(gone)
    with pytest.raises(PlatformDown, match="cannot be reached"):
        await running.gateway.start()
    await running.gateway.stop()


async def test_without_the_message_content_intent_it_works_and_says_what_is_missing() -> None:
    async with DiscordTwin(message_content=False) as twin:
        twin.gateway.privileged.add("members")
        ada = twin.person("ada")
        async with live(twin) as running:
            assert running.gateway.content is False
            assert "Message Content Intent" in running.gateway.trouble
            ada.mentions(twin.general, "can you read this?")
            assert "can you read this?" in (await running.event("MESSAGE_CREATE"))["content"]
            ada.posts(twin.general, "but not this")
            assert (await running.event("MESSAGE_CREATE", 1))["content"] == ""
        assert len(twin.gateway.identifies) == 1


async def test_where_discord_does_not_say_that_the_intent_is_off_the_gateway_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def allowed(client: Client) -> bool:
        return True

    monkeypatch.setattr(connection, "_content_allowed", allowed)
    async with DiscordTwin(message_content=False) as twin, live(twin) as running:
        assert "Message Content Intent" in running.gateway.trouble
        assert twin.gateway.connected == 1


async def test_the_intents_are_those_that_are_needed(twin: DiscordTwin) -> None:
    async with live(twin):
        pass
    guilds, messages, reactions, dms, dm_reactions, content = (1 << bit for bit in (0, 9, 10, 12, 13, 15))
    assert twin.gateway.identifies[0].intents == guilds | messages | reactions | dms | dm_reactions | content


async def test_two_shards_are_two_connections_and_a_message_comes_once(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with live(twin, shards=2) as running:
        assert [one.shard for one in twin.gateway.identifies] == [(0, 2), (1, 2)]
        ada.mentions(twin.general, "hello")
        ada.dms("hello")
        await running.event("MESSAGE_CREATE", 1)
        assert len(running.events) == 2


async def test_a_guild_that_removes_the_bot_is_told_of(twin: DiscordTwin) -> None:
    other = twin.guild("Other")
    async with live(twin) as running:
        twin.removes_bot(other)
        await twin.until(lambda: running.left == [other])
        assert other not in running.gateway.guilds


async def test_a_guild_that_invites_the_bot_again_is_told_of(twin: DiscordTwin) -> None:
    root = twin.person("root", permissions=("administrator",))
    async with live(twin) as running:
        root.kick_bot()
        await twin.until(lambda: running.left)
        assert running.joined == []  # what came with the session was no news
        root.add_bot_back()
        await twin.until(lambda: running.joined == [twin.guild_id])
        assert running.fresh == 2


async def test_more_shards_take_longer_to_start_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def slowly(client: Client, shard: int | None, *, initial: bool = False) -> None:
        if not initial:
            await asyncio.sleep(0.4)

    monkeypatch.setattr(Client, "before_identify_hook", slowly)
    monkeypatch.setattr(connection, "START_S", 2.0)
    async with DiscordTwin(shards=7) as twin, live(twin):
        assert twin.gateway.connected == 7


async def test_no_more_sessions_begin_than_discord_allows_for_every_shard() -> None:
    async with DiscordTwin(shards=3) as twin:
        token, twin.gateway.limits.remaining = twin.token, 2
        running = Live(twin)
        for _ in range(2):
            with pytest.raises(PlatformDown, match="1441 min: too many"):
                await running.gateway.start()
        assert (twin.gateway.identifies, twin.token_valid, twin.token) == ([], True, token)
        assert [call.name for call in twin.calls].count("GET /gateway/bot") == 1  # the rest is waiting
        await running.gateway.stop()


async def test_sessions_that_began_lately_are_counted_though_discord_was_not_asked_anew() -> None:
    async with DiscordTwin(shards=2) as twin:
        twin.gateway.limits.remaining = 3
        running = Live(twin)
        await running.gateway.start()
        await running.gateway.stop()
        with pytest.raises(PlatformDown, match="too many"):
            await running.gateway.start()
        assert len(twin.gateway.identifies) == 2
        assert twin.token_valid
        await running.gateway.stop()


async def test_one_shard_that_is_away_costs_the_others_their_sessions_only_after_long(
    twin: DiscordTwin,
) -> None:
    def down_for(seconds: float, shard: int) -> None:
        running.gateway.down(shard)
        kept._down[shard] = time.monotonic() - seconds  # pyright: ignore[reportPrivateUsage]

    async with live(twin, shards=2) as running:
        kept = running.gateway._connection  # pyright: ignore[reportPrivateUsage]
        down_for(connection.DOWN_S + 60, 1)
        assert kept._ended() is None  # pyright: ignore[reportPrivateUsage]
        assert running.gateway.trouble
        down_for(connection.DOWN_S + 1, 0)
        await twin.until(lambda: len(twin.gateway.identifies) == 4)  # none is there: made anew
        await twin.until(lambda: not running.gateway.trouble)
        down_for(connection.LONG_DOWN_S + 1, 1)
        await twin.until(lambda: len(twin.gateway.identifies) == 6)


async def test_commands_for_a_guild_without_the_bot_name_the_setting(twin: DiscordTwin) -> None:
    async with live(twin) as running:
        with pytest.raises(NotAllowed, match="DISCORD_GUILD_IDS"):
            await running.gateway.put_commands("123456789012345678", running.gateway.commands)


async def test_before_the_start_nothing_is_known_and_the_commands_wait() -> None:
    async with DiscordTwin() as twin:
        running = Live(twin)
        assert (running.gateway.me.user, running.gateway.guilds, running.gateway.commands) == ("", {}, [])
        with pytest.raises(PlatformDown):
            await running.gateway.put_commands("", [])
        await running.gateway.stop()


async def test_stopped_twice_it_leaves_nothing_behind(twin: DiscordTwin) -> None:
    before = asyncio.all_tasks()
    running = Live(twin)
    await running.gateway.start()
    await running.gateway.start()
    await running.gateway.stop()
    await running.gateway.stop()
    await twin.until(lambda: twin.gateway.connected == 0)
    await twin.until(
        lambda: not [t for t in asyncio.all_tasks() - before if "discord" in t.get_name().lower()]
    )


async def test_neither_token_nor_messages_get_into_the_log(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    with structlog.testing.capture_logs() as logs:
        async with live(twin) as running:
            ada.mentions(twin.general, "a secret")
            await running.event("MESSAGE_CREATE")
            twin.revokes_token()
            await twin.until(lambda: running.gateway.trouble)
    assert logs
    assert twin.token not in str(logs)
    assert "a secret" not in str(logs)


# ── hostile ──────────────────────────────────────────────────────────────────────────────────


class Nobody:
    """Hears everything and says nothing."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def heard(self, event: str, payload: Payload) -> None:
        self.events.append(event)

    async def choices(self, kind: ChoiceKind, payload: Payload, typed: str) -> Sequence[tuple[str, str]]:
        return ()

    def up(self, shard: int, *, new: bool) -> None: ...

    def down(self, shard: int) -> None: ...

    def begun(self) -> None: ...

    async def joined(self, guild: str) -> None: ...

    def late(self) -> None: ...

    async def gone(self, guild: str) -> None: ...

    def calls(self) -> None: ...


NAMES = ["MESSAGE_CREATE", "INTERACTION_CREATE", "GUILD_CREATE", "MESSAGE_UPDATE"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text(max_size=40).map(lambda text: '{"t":"MESSAGE_CREATE"' + text)
    | st.tuples(
        st.sampled_from(NAMES), st.none() | st.lists(st.integers(), max_size=2) | st.just({"id": 5})
    ).map(lambda pair: json.dumps({"t": pair[0], "d": pair[1]}))
    | st.binary(max_size=10)
)
async def test_no_frame_whatever_makes_an_error(frame: Any) -> None:
    nobody = Nobody()
    client = Client(nobody, content=True)
    await client.on_socket_raw_receive(frame)
    assert set(nobody.events) <= {"MESSAGE_CREATE"}


async def test_interactions_that_nobody_fetches_do_not_pile_up() -> None:
    client = Client(Nobody(), content=True)
    for number in range(3_000):
        await client.on_socket_raw_receive(json.dumps({"t": "INTERACTION_CREATE", "d": {"id": str(number)}}))
    assert len(client._raw) <= 1_000  # pyright: ignore[reportPrivateUsage]
