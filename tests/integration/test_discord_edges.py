"""Where Discord's rules meet in unlucky ways: nothing is lost in silence, nobody waits for what fails."""

# What Discord itself never sends is handed to the adapter's own ears; a kill is played on its file.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.contract import Button, Card, CardId, Click, MarkdownPart, Receipt
from adapters.discord.adapter import DiscordAdapter
from adapters.errors import PlatformDown
from tests.integration.discord_desk import Desk, approval, at_desk
from tests.integration.test_discord_hostile import changed, hear

FORUM = 15  # type of the channel


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with at_desk(tmp_path) as desk:
        yield desk


def working(status: str) -> Card:
    return Card(
        id=CardId("r-1:status"), kind="status", title="W", status=status, parts=(MarkdownPart(text=status),)
    )


# ── what people write ────────────────────────────────────────────────────────────────────────


async def test_a_forum_post_that_begins_with_a_mention_is_a_turn_in_its_own_thread(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    forum = discord.channel("questions", kind=FORUM)
    post = ada.posts_in_forum(forum, "Llamas", f"<@{discord.bot_id}> what do they eat?")
    await desk.until(lambda: desk.bot.turns)
    (turn,) = desk.bot.turns
    assert (turn.text, turn.conversation.channel, turn.conversation.thread) == (
        "what do they eat?",
        forum,
        post,
    )
    assert turn.earlier == ()
    assert not [call for call in discord.calls if call.name.endswith("/threads")]
    ada.posts(post, "and alpacas?")
    await desk.until(lambda: len(desk.bot.turns) == 2)
    assert [turn.text for turn in desk.bot.turns] == ["what do they eat?", "and alpacas?"]


async def test_a_deleted_first_message_of_a_forum_post_is_a_withdrawal(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    forum = discord.channel("questions", kind=FORUM)
    post = ada.posts_in_forum(forum, "Llamas", f"<@{discord.bot_id}> what do they eat?")
    await desk.until(lambda: desk.bot.turns)
    discord.deletes_message(post, post)
    await desk.until(lambda: desk.bot.withdrawals)
    assert desk.bot.withdrawals[0].turn_key == desk.bot.turns[0].key
    assert desk.bot.withdrawals[0].conversation == desk.bot.turns[0].conversation


async def test_other_bots_that_mention_the_bot_in_a_channel_do_not_go_on_for_ever(tmp_path: Path) -> None:
    async with at_desk(tmp_path, allowed_bots=["*"], bot_turns=2) as desk:
        discord, ada = desk.discord, desk.discord.person("ada")
        robot, other = discord.person("deploybot", bot=True), discord.person("testbot", bot=True)
        for number in range(4):
            robot.mentions(discord.general, f"loop {number}")
        other.mentions(discord.general, "another bot")
        await desk.until(lambda: len(desk.bot.turns) == 3)
        ada.mentions(discord.general, "go on")
        await desk.until(lambda: len(desk.bot.turns) == 4)
        robot.mentions(discord.general, "loop again")
        await desk.until(lambda: len(desk.bot.turns) == 5)
        said = {turn.text for turn in desk.bot.turns}
        assert said == {"loop 0", "loop 1", "another bot", "go on", "loop again"}


@pytest.mark.parametrize("refused", [True, False], ids=["refused", "empty"])
async def test_a_mention_in_vain_does_not_make_a_thread_of_people_the_bots(desk: Desk, refused: bool) -> None:
    discord, ada, bob = desk.discord, desk.discord.person("ada"), desk.discord.person("bob")
    root = bob.posts(discord.general, "llamas look hungry")
    thread = bob.starts_thread(discord.general, "llamas", message=root)
    if refused:
        desk.bot.answers("turn", Receipt(accepted=False, text="Only root may start turns here."))
    ada.mentions(thread, "what to do?" if refused else "")
    await desk.until(lambda: desk.directly("ada"))
    await desk.quiet()
    before = len(desk.bot.turns)
    bob.posts(thread, "among ourselves")
    await desk.quiet()
    assert len(desk.bot.turns) == before
    ada.mentions(thread, "now?")
    await desk.until(lambda: len(desk.bot.turns) == before + 1)
    bob.posts(thread, "and alpacas?")
    await desk.until(lambda: len(desk.bot.turns) == before + 2)


async def test_who_can_be_told_in_no_other_way_is_told_without_a_reply(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    ada.closes_dms()
    discord.denies(discord.general, "read_message_history", "create_public_threads")
    ada.mentions(discord.general, "hello")
    told = await desk.until(
        lambda: [
            seen.text for seen in desk.seen("ada", discord.general) if "cannot open a thread" in seen.text
        ]
    )
    assert [text.partition(":")[0] for text in told] == ["ada"]


async def test_a_question_about_a_message_is_said_without_a_reply_where_the_bot_may_not_reply(
    desk: Desk,
) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    await desk.until(lambda: ada.commands())
    message = ada.posts(discord.general, "llamas look hungry")
    discord.faults.order("POST /channels/{channel_id}/messages", status=400, code=160002)
    await ada.uses_menu("Ask Quartet about this", message).wait()
    modal = ada.modal
    assert modal is not None
    await ada.submits(None, {modal.inputs[-1].label: "what do they eat?"}).wait()
    await desk.until(lambda: desk.bot.turns)
    assert desk.bot.turns[0].text.startswith("what do they eat?")
    assert "llamas look hungry" in desk.bot.turns[0].text


# ── what people press ────────────────────────────────────────────────────────────────────────


async def test_a_stop_does_not_wait_for_another_press_that_fails(desk: Desk) -> None:
    ada = desk.discord.person("ada")
    here = await desk.asked()
    buttons = (
        Button(action="approve", target="a", label="Approve"),
        Button(action="stop", target="r", label="Stop"),
    )
    card = Card(id=CardId("r:status"), kind="status", title="W", buttons=buttons)
    posted = await desk.adapter.post(here, card, nonce="n")
    failed = asyncio.Event()
    taken = desk.bot.click

    async def failing(click: Click) -> Receipt:
        if click.action != "stop":
            failed.set()
            raise PlatformDown("the store is away")
        return await taken(click)

    desk.bot.click = failing
    ada.clicks(posted.message_id, label="Approve")
    async with asyncio.timeout(60):
        await failed.wait()
    ada.clicks(posted.message_id, label="Stop")
    await desk.until(lambda: desk.bot.clicks)  # the other is tried again and again all the while
    assert [click.action for click in desk.bot.clicks] == ["stop"]


async def test_a_first_answer_that_hangs_is_given_again_in_time(desk: Desk) -> None:
    ada = desk.discord.person("ada")
    here = await desk.asked()
    posted = await desk.adapter.post(here, approval(), nonce="n")
    desk.discord.faults.order("POST /interactions/*", latency_s=20, times=1)
    desk.bot.answers("click", Receipt(accepted=False, text="Only ada may approve."))
    async with asyncio.timeout(60):
        pressed = await ada.clicks(posted.message_id, label="Approve").wait()
    assert (pressed.outcome, pressed.ephemeral) == ("message", True)
    assert [seen.text for seen in desk.ephemeral("ada", here.thread)] == ["Only ada may approve."]


async def test_settings_of_another_persons_direct_messages_are_not_had_by_pressing_in_ones_own(
    desk: Desk,
) -> None:
    discord, ada, bob = desk.discord, desk.discord.person("ada"), desk.discord.person("bob")
    bob.dms("hello")
    ada.dms("hi")
    await desk.until(lambda: len(desk.bot.turns) == 2)
    bobs = next(turn.conversation for turn in desk.bot.turns if turn.person.id == bob.id)
    posted = await desk.adapter.post(bobs, approval(), nonce="n")
    pressed: dict[str, Any] = {}
    discord.backend.subscribers.append(
        lambda event, payload: pressed.update(payload) if event == "INTERACTION_CREATE" else None
    )
    await bob.clicks(posted.message_id, label="Approve").wait()
    forged = changed(pressed, ("data", "custom_id"), f"q:settings:discord:@me:{ada.dm}")
    await hear(desk, "INTERACTION_CREATE", forged | {"id": "4000000000000000001"})
    await desk.until(lambda: len(desk.bot.clicks) == 2)
    assert desk.bot.clicks[1].conversation.channel == ada.dm
    assert [click.person.is_admin for click in desk.bot.clicks] == [True, False]


# ── cards ────────────────────────────────────────────────────────────────────────────────────


async def test_a_card_posted_before_a_kill_shows_what_it_is_now_though_nobody_can_look(desk: Desk) -> None:
    here = await desk.asked()
    desk.discord.denies(desk.discord.general, "read_message_history")
    posted = await desk.adapter.post(here, working("reading"), nonce="n1")
    assert isinstance(desk.adapter, DiscordAdapter)
    # Killed between Discord's answer and our row: that says "begun, outcome not known".
    await desk.adapter._database.write(lambda db: db.execute("UPDATE posted SET message = '', drawn = '[]'"))
    await desk.restart()
    assert await desk.adapter.find(here, working("").id) is None
    again = await desk.adapter.post(here, working("done"), nonce="n1")
    assert again.message_id == posted.message_id
    (shown,) = [seen.text for seen in desk.seen("ada", here.thread) if seen.id == posted.message_id]
    assert "done" in shown
    assert "reading" not in shown


async def test_a_card_in_a_locked_thread_says_that_it_is_closed_whether_it_is_new_or_edited(
    desk: Desk,
) -> None:
    here = await desk.asked()
    posted = await desk.adapter.post(here, approval(), nonce="n")
    desk.discord.closes_thread(here.thread, locked=True)
    with pytest.raises(PlatformDown, match="the thread is closed"):
        await desk.adapter.edit(posted, approval(status="approved"))
    with pytest.raises(PlatformDown, match="the thread is closed"):
        await desk.adapter.post(here, working("reading"), nonce="m")
    unlocked = {"archived": False, "locked": False}
    desk.discord.backend.edit_channel(int(here.thread), {}, thread_metadata=unlocked)
    await desk.adapter.edit(posted, approval(status="approved"))
    assert "approved" in str([seen.text for seen in desk.seen("ada", here.thread)])
