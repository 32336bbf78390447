"""What goes wrong on Discord: each has a clear outcome for people, and the bot goes on with the next turn."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.journey import slack_desk
from tests.journey.discord_desk import ANSWER, APPROVAL, Desk, desk
from tests.journey.discord_kills import ONE_OF_EACH, at_rest, shown_in
from tests.twins.discord import DiscordTwin
from tests.twins.discord.gateway import ANSWER_LIMIT_S
from tests.twins.discord.people import Person
from tests.twins.slack import SlackTwin

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

# Between tries while something is wrong, as short as a test wants it.
SOON = {
    "bot.progress:BACKOFF_S": [0.3, 0.5],
    "bot.platforms:AGAIN_S": 1.0,
    "adapters.discord.connection:REFUSED_PAUSE_S": 1.0,
    "adapters.discord.api:RECHECK_S": 0.5,
    "adapters.discord.api:RECHECK_MOST_S": 1.0,
}
WRONG = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GwRong.nobodys-token-nobodys-token-nobodys-to"
NO_INTENT = "Message Content Intent"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Desk]:
    """One bot for everything that is mended in the end."""
    async with desk(tmp_path_factory.mktemp("trouble"), waits=SOON) as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module")
async def one(shared: Desk) -> AsyncGenerator[Desk]:
    """The bot, well before and after: it answers the next turn."""
    await shared.healthy()
    yield shared
    shared.discord.faults.clear()
    await next_turn(shared)
    await shared.healthy()


def fresh_channel(one: Desk) -> str:
    return one.discord.channel(f"tea-{len(one.discord.backend.channels)}")


def somebody(one: Desk) -> Person:
    """Somebody who was told nothing yet."""
    return one.discord.person(f"dora-{len(one.discord.backend.users)}")


async def waiting(one: Desk, channel: str = "", *, by: Person | None = None) -> str:
    """The thread of a run that waits for an approval."""
    thread = (by or one.ada).mentions(channel or fresh_channel(one), "What is tea?")
    await one.message(thread, APPROVAL)
    await one.says("waiting for approval", thread)
    return thread


async def next_turn(one: Desk) -> None:
    """Somebody asks elsewhere, and is answered."""
    thread = one.bob.mentions(fresh_channel(one), "What is coffee?")
    await one.answered(one.bob, thread)


async def approves(one: Desk, thread: str) -> None:
    card = await one.message(thread, APPROVAL)
    pressed = one.ada.clicks(card.id, label=APPROVAL)
    one.forgiven.append(pressed)
    await pressed.wait()


def aside(one: Desk, person: Person, thread: str) -> list[str]:
    """What the bot told one person alone: in direct messages, or where they pressed something."""
    notes = [each for each in one.ours(thread, by=person) if each.ephemeral]
    return [each.text for each in (*one.ours(person.dm, by=person), *notes)]


async def told_aside(one: Desk, person: Person, thread: str, text: str) -> str:
    """What the bot told one person alone with these words, once it has, and once."""
    await one.until(lambda: any(text in each for each in aside(one, person, thread)))
    [told] = [each for each in aside(one, person, thread) if text in each]
    return told


# ── who the bot is ───────────────────────────────────────────────────────────────────────────


async def test_without_the_intent_all_works_that_can_and_the_rest_is_told(tmp_path: Path) -> None:
    async with desk(tmp_path, discord=DiscordTwin(message_content=False)) as one:
        detail = await one.degraded()
        assert NO_INTENT in detail
        assert "discord.com/developers" in detail
        assert [each.outcome for each in one.discord.gateway.identifies][-1] == "ready"
        thread = one.ada.mentions(one.general, "What is tea?")
        await one.answered(one.ada, thread)
        one.bob.dms("What is coffee?")
        await one.answered(one.bob, one.bob.dm)
        told = await one.ada.types_command("quartet status", one.general).wait()
        assert told.message is not None or told.followups
        one.ada.posts(thread, "And what is coffee?")
        await one.says(NO_INTENT, thread)
        one.ada.posts(thread, "Do you hear me?")
        one.ada.mentions(thread, "And what is coffee?")
        await one.answered(one.ada, thread, count=2)
        await one.until(lambda: at_rest(one, thread))
        assert sum(NO_INTENT in each.text for each in one.ours(thread)) == 1


async def test_a_wrong_token_is_told_with_its_remedy_and_the_page_works(tmp_path: Path) -> None:
    async with desk(tmp_path, env={"DISCORD_BOT_TOKEN": WRONG}, connected=False, waits=SOON) as one:
        detail = await one.degraded()
        assert "DISCORD_BOT_TOKEN" in detail
        assert "discord.com/developers/applications" in detail
        path = await asyncio.to_thread(one.bot.post_turn, "What is tea?")
        await asyncio.to_thread(one.bot.until_card, path, "approval")
        await asyncio.to_thread(one.bot.click, path, "approve")
        await asyncio.to_thread(one.bot.until_card, path, "answer")
        said = [line for line in one.log().splitlines() if line.startswith("Discord is not connected: ")]
        assert len(said) == 1
        assert detail in said[0]
        kept = [
            path for path in one.bot.home.rglob("*") if path.is_file() and WRONG.encode() in path.read_bytes()
        ]
        assert kept == []
        assert WRONG not in one.log()
        assert one.discord.gateway.opened == 0


async def test_a_revoked_token_is_told_cards_wait_and_come_when_it_is_good_again(one: Desk) -> None:
    thread = await waiting(one)
    one.discord.revokes_token()
    await approves(one, thread)  # nobody hears of it
    path = await asyncio.to_thread(one.bot.post_turn, "What is coffee?")
    await asyncio.to_thread(one.bot.until_card, path, "approval")  # the page goes on
    assert "DISCORD_BOT_TOKEN" in await one.degraded()
    asked = one.bob.mentions(fresh_channel(one), "What is coffee?")
    assert not one.ours(asked)
    one.discord.restores_token()
    await one.healthy()
    await one.answered(one.bob, asked)
    await one.answered(one.ada, thread)
    await one.until(lambda: at_rest(one, thread))
    assert shown_in(one, thread) == shown_in(one, asked) == ONE_OF_EACH


async def test_the_token_is_revoked_in_the_middle_of_work_and_the_answer_comes_later(one: Desk) -> None:
    thread = await waiting(one)
    refused = one.discord.faults.order("*/channels/*", status=401, times=1_000_000)
    await approves(one, thread)
    assert "DISCORD_BOT_TOKEN" in await one.degraded()
    await asyncio.sleep(1.0)
    assert refused.times > 999_900, "a token that is refused is not tried again and again"
    one.discord.faults.clear()
    await one.done(thread)
    await one.healthy()
    assert shown_in(one, thread) == ONE_OF_EACH


async def test_the_bot_is_removed_from_a_server_and_invited_again(one: Desk) -> None:
    elsewhere = one.discord.guild("Elsewhere")
    bob = one.discord.person("eve", guild=elsewhere)
    lobby = one.discord.channel("lobby", guild=elsewhere)
    thread = await waiting(one)
    one.root.kick_bot()
    asked = bob.mentions(lobby, "What is tea?")  # the others notice nothing
    await one.answered(bob, asked)
    assert "removed from a server" in one.log()
    await one.healthy()
    one.root.add_bot_back()
    await one.answered(one.ada, thread)
    assert shown_in(one, thread) == ONE_OF_EACH


# ── what the bot may do ──────────────────────────────────────────────────────────────────────


async def test_it_may_not_make_threads_and_says_so_to_who_asks(one: Desk) -> None:
    channel = fresh_channel(one)
    one.discord.denies(channel, "create_public_threads")
    asked = one.ada.mentions(channel, "What is tea?")
    told = await one.told(one.ada, "I cannot open a thread here")
    assert "Create Public Threads" in told.text
    assert one.ada.sees_threads(channel) == {}
    assert one.ours(channel) == []
    one.root.allow(channel, "create_public_threads")
    again = one.ada.mentions(channel, "What is tea?")
    await one.answered(one.ada, again)
    assert asked not in one.ada.sees_threads(channel)


async def test_who_takes_no_direct_messages_is_told_in_the_channel(one: Desk) -> None:
    channel = fresh_channel(one)
    one.discord.denies(channel, "create_public_threads")
    one.ada.closes_dms()
    asked = one.ada.mentions(channel, "What is tea?")
    told = await one.says("I cannot open a thread here", channel)
    assert told.reply_to == asked
    one.ada.opens_dms()


@pytest.mark.parametrize("takes", ["send_messages_in_threads", "view_channel"])
async def test_it_may_write_no_more_and_goes_on_when_it_may_again(one: Desk, takes: str) -> None:
    channel, dora = fresh_channel(one), somebody(one)
    thread = await waiting(one, channel, by=dora)
    card = await one.message(thread, APPROVAL)
    pressed = dora.clicks(card.id, label=APPROVAL)
    one.discord.denies(channel, takes)
    assert not (await pressed.wait()).failed
    told = await told_aside(one, dora, thread, "I may not write any more where you asked")
    assert ("View Channel" if takes == "view_channel" else "Send Messages in Threads") in told
    await next_turn(one)  # nobody else waits for that
    assert ANSWER not in str([each.labels for each in one.ours(thread)])
    one.root.allow(channel, takes)
    await one.done(thread)
    await one.until(lambda: at_rest(one, thread))
    assert shown_in(one, thread) - Counter([told[:80]]) == ONE_OF_EACH
    await told_aside(one, dora, thread, "I may not write any more where you asked")  # once


async def test_it_may_not_write_in_threads_from_the_start(one: Desk) -> None:
    channel, dora = fresh_channel(one), somebody(one)
    one.discord.denies(channel, "send_messages_in_threads")
    thread = dora.mentions(channel, "What is tea?")
    await told_aside(one, dora, thread, "Send Messages in Threads")
    one.root.allow(channel, "send_messages_in_threads")
    await one.answered(one.bob, thread)
    await one.until(lambda: at_rest(one, thread))
    assert shown_in(one, thread) == ONE_OF_EACH


# ── what people delete and close ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("what", ["channel", "thread"])
async def test_the_place_of_a_run_is_deleted(one: Desk, what: str) -> None:
    channel = fresh_channel(one)
    thread = await waiting(one, channel)
    card = await one.message(thread, APPROVAL)
    pressed = one.ada.clicks(card.id, label=APPROVAL)
    one.forgiven.append(pressed)
    if what == "channel":
        one.root.delete_channel(channel)
    else:
        one.root.delete_channel(thread)
    await one.until(lambda: at_rest(one, thread))  # nothing is tried for ever
    if what == "thread":
        again = one.ada.mentions(channel, "What is tea?")
        await one.answered(one.ada, again)


@pytest.mark.parametrize("card", ["status", "approval"])
async def test_a_person_deletes_a_card_and_the_answer_comes(one: Desk, card: str) -> None:
    thread = await waiting(one)
    [status] = [each for each in one.ours(thread) if "Stop" in each.labels]
    approval = await one.message(thread, APPROVAL)
    if card == "status":
        one.discord.deletes_message(thread, status.id)
        await approves(one, thread)
    else:
        pressed = one.ada.clicks(approval.id, label=APPROVAL)
        one.forgiven.append(pressed)
        one.discord.deletes_message(thread, approval.id)
    await one.message(thread, ANSWER)
    await one.until(lambda: at_rest(one, thread))
    shown = shown_in(one, thread)
    assert shown["answer 0"] == 1
    assert shown[f"{card} 0"] <= 1
    assert set(shown) <= set(ONE_OF_EACH), shown


async def test_an_archived_thread_is_opened_by_the_answer(one: Desk) -> None:
    thread = await waiting(one)
    card = await one.message(thread, APPROVAL)
    one.discord.closes_thread(thread)
    assert not (await one.ada.clicks(card.id, label=APPROVAL).wait()).failed
    await one.done(thread)
    await one.until(lambda: at_rest(one, thread))
    assert shown_in(one, thread) == ONE_OF_EACH
    meta = one.discord.backend.channels[int(thread)].thread_metadata
    assert meta is not None
    assert not meta.archived


@pytest.mark.parametrize("archived", [False, True], ids=["locked", "archived-and-locked"])
async def test_a_locked_thread_is_told_and_the_answer_comes_when_it_is_unlocked(
    one: Desk, archived: bool
) -> None:
    dora = somebody(one)
    thread = await waiting(one, by=dora)
    card = await one.message(thread, APPROVAL)
    pressed = dora.clicks(card.id, label=APPROVAL)
    if archived:
        one.discord.closes_thread(thread, locked=True)
    else:
        one.discord.locks_thread(thread)
    one.forgiven.append(
        pressed
    )  # in an archived thread Discord takes no answer to a press, but the press counts
    await told_aside(one, dora, thread, "I may not write any more where you asked")
    opened = {"archived": False, "locked": False}
    one.discord.backend.edit_channel(int(thread), {}, thread_metadata=opened)
    await one.done(thread)
    await one.until(lambda: at_rest(one, thread))
    assert set(shown_in(one, thread)) >= set(ONE_OF_EACH)


# ── Discord itself ───────────────────────────────────────────────────────────────────────────


async def test_old_cards_that_take_no_edit_are_posted_anew(tmp_path: Path) -> None:
    async with desk(tmp_path, waits=SOON) as one:
        thread = await waiting(one)
        one.discord.advance(3 * 3600)
        one.discord.backend.old_edits = 0
        await approves(one, thread)
        await one.message(thread, ANSWER)
        await one.says("approved by", thread)
        one.discord.backend.old_edits, one.discord.backend.old_edits_in_s = 3, 1.0
        await one.until(lambda: shown_in(one, thread)["approval 0"] == 1)
        assert shown_in(one, thread) == ONE_OF_EACH
        assert not any(APPROVAL in each.labels for each in one.ours(thread))
        await next_turn(one)


@pytest.mark.parametrize("status", [503, 0], ids=["503", "cut"])
async def test_the_api_is_dead_for_some_seconds(one: Desk, status: int) -> None:
    thread = await waiting(one)
    one.discord.gateway.answer_limit_s = 0.5
    one.discord.faults.order("*", status=status, times=1_000_000)
    await approves(one, thread)  # the gateway still stands
    asked = one.bob.mentions(fresh_channel(one), "What is coffee?")
    await asyncio.sleep(4.0)  # more calls fail than a bucket holds
    one.discord.faults.clear()
    one.discord.gateway.answer_limit_s = ANSWER_LIMIT_S
    await one.done(thread)
    await one.answered(one.bob, asked)
    await one.until(lambda: at_rest(one, thread))
    assert shown_in(one, thread) == shown_in(one, asked) == ONE_OF_EACH


async def test_every_write_fails_before_and_after_its_effect(one: Desk) -> None:
    for call in ("POST */threads", "POST */messages", "PATCH */messages/*"):
        one.discord.faults.order(call, status=502)
        one.discord.faults.order(call, status=502, after_effect=True)
        one.discord.faults.order(call, after_effect=True)
    threads = [one.ada.mentions(fresh_channel(one), "What is tea?") for _ in range(3)]
    await asyncio.gather(*(one.answered(one.ada, thread) for thread in threads))
    await one.until(lambda: at_rest(one))
    assert [shown_in(one, thread) for thread in threads] == [ONE_OF_EACH] * 3


async def test_slack_and_discord_in_one_bot_do_not_disturb_each_other(tmp_path: Path) -> None:
    async with (
        SlackTwin(time_scale=0.01) as slack,
        desk(tmp_path, env=slack.environment(), waits=SOON) as one,
    ):
        people = slack_desk.Desk(slack, one.bot, None)
        await people.connected()

        async def on_slack() -> None:
            thread = people.ada.mentions(people.general, "What is tea?")
            await people.presses(people.ada, thread, slack_desk.APPROVAL)
            await people.done(thread)

        async def on_discord() -> None:
            await one.answered(one.ada, one.ada.mentions(fresh_channel(one), "What is tea?"))

        await asyncio.gather(on_slack(), on_discord())
        slack.faults.outage(True)
        slack.drop_sockets()
        await on_discord()
        assert (await one.health("discord"))["status"] == "healthy"
        slack.faults.outage(False)
        await people.until(lambda: slack.connections)
        one.discord.revokes_token()
        await on_slack()
        assert "DISCORD_BOT_TOKEN" in await one.degraded()
        one.discord.restores_token()
        await one.healthy()
        await asyncio.gather(on_slack(), on_discord())
