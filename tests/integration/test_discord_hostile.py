"""What strangers, and a Discord gone mad, send: nothing breaks, nobody gets rights, and work goes on."""

# Discord itself never sends most of this, so it is handed to the adapter's own ears.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import copy
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from adapters.contract import Attachment, Form, FormField, Receipt
from adapters.discord.adapter import DiscordAdapter
from adapters.errors import AttachmentRefused
from tests.integration.discord_desk import EDIT, Desk, approval, at_desk

Path_ = tuple[str | int, ...]
ODD: tuple[Any, ...] = (
    *(None, 0, -1, 1 << 70, 1.5, True),
    *("", "x", "../..", "0"),
    *([], {}, [None, 5, {}], {"id": []}),
)
WRONG = frozenset({"discord.not_taken", "discord.not_kept", "chat.delivery_failed"})


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with at_desk(tmp_path) as desk:
        yield desk


async def hear(desk: Desk, event: str, payload: Any) -> None:
    """An event comes over the gateway."""
    assert isinstance(desk.adapter, DiscordAdapter)
    await desk.adapter._gateway.heard(event, payload)


def paths(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Every place in a payload."""
    if at:
        yield at
    inner: Any = ()
    if isinstance(value, dict):
        inner = cast("dict[str, Any]", value).items()
    if isinstance(value, list):
        inner = enumerate(cast("list[Any]", value))
    for name, one in cast("Iterator[tuple[str | int, Any]]", inner):
        yield from paths(one, (*at, name))


def changed(payload: dict[str, Any], path: Path_, value: Any) -> dict[str, Any]:
    """A copy with something else in one place; `...` takes it out."""
    found = copy.deepcopy(payload)
    place: Any = found
    for name in path[:-1]:
        place = place[name]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = copy.deepcopy(value)
    return found


async def everything(desk: Desk) -> list[tuple[str, dict[str, Any]]]:
    """One payload of each kind, as the gateway told them."""
    heard: dict[str, tuple[str, dict[str, Any]]] = {}
    discord, ada = desk.discord, desk.discord.person("ada")

    def keep(event: str, payload: Any) -> None:
        kind = event
        if event == "MESSAGE_CREATE":
            if payload["author"]["id"] == discord.bot_id:
                return
            kind += "direct" if "guild_id" not in payload else str(payload["channel_id"] == discord.general)
        if event == "INTERACTION_CREATE":
            kind += f"{payload['type']}{payload['data'].get('type', '')}"
        if event.startswith(("MESSAGE_", "INTERACTION_")):
            heard.setdefault(kind, (event, copy.deepcopy(payload)))

    discord.backend.subscribers.append(keep)
    await desk.until(lambda: ada.commands())
    ada.dms("directly")
    await desk.until(lambda: desk.bot.turns)
    here = await desk.asked("look", "ada")
    ada.posts(here.thread, "reply", files=[("a.md", "text/markdown", b"a")])
    posted = await desk.adapter.post(here, approval(), nonce="n")
    ada.reacts(posted.message_id, "❌")
    desk.bot.answers("click", Receipt(accepted=True, form=EDIT))
    await ada.clicks(posted.message_id, label="Edit").wait()
    await ada.submits(None, {}).wait()
    await ada.types_command("quartet ask", here.channel, text="what?").wait()
    await ada.uses_menu("Ask Quartet about this", here.thread).wait()
    ada.deletes(here.thread)
    await desk.until(lambda: len(desk.bot.turns) >= 4 and desk.bot.withdrawals)
    discord.backend.subscribers.remove(keep)
    return list(heard.values())


def waiting(home: Path) -> int:
    """How much of what was kept is not settled."""
    with closing(sqlite3.connect(home / "discord.db")) as db:
        return int(db.execute("SELECT count(*) FROM inbox WHERE state = 'new'").fetchone()[0])


async def test_no_missing_or_wrong_field_of_any_payload_is_an_error(desk: Desk, tmp_path: Path) -> None:
    payloads = await everything(desk)
    assert len(payloads) >= 9
    count = 0
    with capture_logs() as logged:
        for event, payload in payloads:
            for path in paths(payload):
                count += 1
                value = ... if count % 2 else ODD[count // 2 % len(ODD)]
                odd = changed(payload, path, value)
                if path != ("id",):
                    odd["id"] = str(4_000_000_000_000_000_000 + count)  # another thing each time
                await hear(desk, event, odd)
        for event in ("MESSAGE_CREATE", "INTERACTION_CREATE", "MESSAGE_DELETE_BULK", "NO_SUCH_EVENT"):
            for value in ODD:
                await hear(desk, event, value)
        await desk.asked("and now?")
        await desk.discord.until(lambda: not waiting(tmp_path), within_s=60.0)
    assert count > 400
    wrong = [entry for entry in logged if entry.get("action") in WRONG]
    assert not wrong, wrong[:3]
    desk.discord.violations.clear()  # of ids that are none, which a real Discord never sends


@pytest.mark.parametrize(
    "custom_id",
    ["q:", "q::", "q:approve:", "q:nonsense:a1", "q:form:a1", "q:settings:discord:1:2",
     "q:approve:" + "x" * 200, "approve", "q:good:", "q:again:nothing", "q:approve:a1\n\0", "Q:approve:a1"],
)  # fmt: skip
async def test_odd_custom_ids_end_nothing_and_give_nothing(desk: Desk, custom_id: str) -> None:
    here = await desk.asked()
    posted = await desk.adapter.post(here, approval(), nonce="n")
    pressed: dict[str, Any] = {}
    desk.discord.backend.subscribers.append(
        lambda event, payload: pressed.update(payload) if event == "INTERACTION_CREATE" else None
    )
    await desk.discord.person("bob").clicks(posted.message_id, label="Approve").wait()
    desk.bot.clicks.clear()
    forged = changed(pressed, ("data", "custom_id"), custom_id) | {"id": "4000000000000000001"}
    with capture_logs() as logged:
        await hear(desk, "INTERACTION_CREATE", forged)
        await desk.asked("and now?")
    assert not [entry for entry in logged if entry.get("action") in WRONG]
    assert not [click for click in desk.bot.clicks if (click.action, click.target) == ("approve", "a1")]
    assert not any(click.person.is_admin for click in desk.bot.clicks)


@pytest.mark.parametrize("admin", [False, True])
async def test_settings_of_a_server_are_not_had_by_pressing_directly(desk: Desk, admin: bool) -> None:
    discord = desk.discord
    bob = discord.person("bob", permissions=["manage_guild"] if admin else ())
    bob.dms("hello")
    await desk.until(lambda: desk.bot.turns)
    posted = await desk.adapter.post(desk.bot.turns[0].conversation, approval(), nonce="n")
    pressed: dict[str, Any] = {}
    discord.backend.subscribers.append(
        lambda event, payload: pressed.update(payload) if event == "INTERACTION_CREATE" else None
    )
    await bob.clicks(posted.message_id, label="Approve").wait()
    target = f"q:settings:discord:{discord.guild_id}:{discord.general}"
    forged = changed(pressed, ("data", "custom_id"), target) | {"id": "4000000000000000001"}
    await hear(desk, "INTERACTION_CREATE", forged)
    await desk.until(lambda: len(desk.bot.clicks) == 2)
    click = desk.bot.clicks[1]
    assert click.conversation.channel_key == f"discord:{discord.guild_id}:{discord.general}"
    assert click.person.is_admin is admin


async def test_a_form_for_a_message_elsewhere_shows_nothing_of_it(desk: Desk) -> None:
    discord, ada, bob = desk.discord, desk.discord.person("ada"), desk.discord.person("bob")
    await desk.until(lambda: ada.commands())
    secret_place = discord.channel("secret")
    secret = ada.posts(secret_place, "the launch is on friday")
    sent: list[dict[str, Any]] = []
    discord.backend.subscribers.append(
        lambda event, payload: sent.append(dict(payload)) if event == "INTERACTION_CREATE" else None
    )
    message = ada.posts(discord.general, "nothing special")
    await bob.uses_menu("Ask Quartet about this", message).wait()
    modal = bob.modal
    assert modal is not None
    await bob.submits(None, {modal.inputs[-1].label: "what is this?"}).wait()
    await desk.until(lambda: desk.bot.turns)
    forged = changed(sent[-1], ("data", "custom_id"), f"q:ask:{secret_place}:{secret}")
    await hear(desk, "INTERACTION_CREATE", forged | {"id": "4000000000000000001"})
    await desk.until(lambda: any("does not let me see" in text for text in desk.directly("bob")))
    assert "friday" not in str(desk.bot.turns)


async def test_texts_of_every_sort_arrive_and_ring_nobody(desk: Desk) -> None:
    discord = desk.discord
    texts = [
        "@everyone @here " * 20 + f"<@&{discord.guild_id}>",
        "\u202egnp.exe \u0000 \ud83d\ude00 " + "Z\u0351\u0310" * 100,
        "[click](https://evil.example) `" + "`" * 50,
        "|| # > * " * 100,
        "x" * 1_900,
        "<#1> <@1> <@&1> <:a:1> <t:1> <t:99999999999999999999>",
    ]
    for text in texts:
        here = await desk.asked(text)
        assert 0 < len(discord.person("ada").sees_threads(here.channel)[here.thread]) <= 100
    ours = [seen for seen in desk.seen("ada", discord.general) if seen.author_id == discord.bot_id]
    assert not any(seen.pings for seen in ours)


@pytest.mark.parametrize(
    "said", ["@everyone read this", "<@{bob}> look", "# big\n[here](https://evil.example)"]
)
async def test_a_question_by_command_shows_the_words_and_rings_nobody(desk: Desk, said: str) -> None:
    discord, ada, bob = desk.discord, desk.discord.person("ada"), desk.discord.person("bob")
    await desk.until(lambda: ada.commands())
    await ada.types_command("quartet ask", discord.general, text=said.format(bob=bob.id)).wait()
    root = next(seen for seen in desk.seen("bob", discord.general) if seen.author_id == discord.bot_id)
    assert root.pings == ()


async def test_a_file_that_says_it_lies_elsewhere_is_refused(desk: Desk) -> None:
    mention: dict[str, Any] = {}

    def keep(event: str, payload: Any) -> None:
        if event == "MESSAGE_CREATE" and payload["attachments"]:
            mention.update(payload)

    desk.discord.backend.subscribers.append(keep)
    discord, ada = desk.discord, desk.discord.person("ada")
    ada.mentions(discord.general, "read", files=[("a.md", "text/markdown", b"a")])
    await desk.until(lambda: desk.bot.turns)
    elsewhere = changed(mention, ("attachments", 0, "url"), "http://169.254.169.254/latest/meta-data")
    ada.deletes(mention["id"])
    await desk.until(lambda: desk.bot.withdrawals)
    thread = {**elsewhere, "id": "4000000000000000001", "channel_id": desk.bot.turns[0].conversation.thread}
    await hear(desk, "MESSAGE_CREATE", thread)
    await desk.until(lambda: len(desk.bot.turns) == 2)
    (file,) = desk.bot.turns[1].attachments
    with pytest.raises(AttachmentRefused, match="does not lie with Discord"):
        await desk.adapter.download(file)


async def test_a_file_that_is_too_large_is_refused_without_being_fetched(desk: Desk) -> None:
    large = Attachment(id="1", name="a.md", media_type="text/markdown", size=1 << 40, locator="{}")
    with pytest.raises(AttachmentRefused, match="too large"):
        await desk.adapter.download(large)


async def test_what_cannot_be_kept_for_a_moment_is_kept_then(desk: Desk, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "discord.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        message = desk.discord.person("ada").mentions(desk.discord.general, "do not lose me")
        other.rollback()
    await desk.until(lambda: desk.bot.turns)
    assert desk.bot.turns[0].conversation.thread == message


async def test_tokens_of_interactions_are_neither_logged_nor_kept(desk: Desk, tmp_path: Path) -> None:
    ada = desk.discord.person("ada")
    await desk.until(lambda: ada.commands())
    desk.discord.faults.order("POST */callback", status=500, times=9)
    with capture_logs() as logged:
        typed = await ada.types_command("quartet status").wait()
        await desk.asked()
    assert typed.failed
    await desk.adapter.stop()
    with closing(sqlite3.connect(tmp_path / "discord.db")) as db:
        kept = str(db.execute("SELECT * FROM inbox").fetchall())
    assert typed.token not in kept
    assert typed.token not in str(logged)
    assert desk.discord.token not in str(logged)


async def test_a_form_too_long_for_discord_says_what_to_do_instead(desk: Desk) -> None:
    here = await desk.asked()
    posted = await desk.adapter.post(here, approval(), nonce="n")
    fields = tuple(FormField(name=f"f{n}", label=f"Field {n}", value="x" * 9_000) for n in range(9))
    desk.bot.answers("click", Receipt(accepted=True, form=Form(id="edit:a1", title="Edit", fields=fields)))
    pressed = await desk.discord.person("ada").clicks(posted.message_id, label="Edit").wait()
    assert (pressed.outcome, pressed.ephemeral) == ("message", True)
