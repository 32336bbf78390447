"""The adapter against a Discord on loopback, with the real discord.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.contract import Button, Card, CardId, Choice, ConversationRef, Receipt
from adapters.errors import ConversationGone, NotAllowed, PlatformDown
from tests.integration.discord_desk import EDIT, Desk, approval, at_desk
from tests.twins.discord import DiscordTwin
from tests.twins.discord.people import Webhook


def status() -> Card:
    """What stands in a thread while a run works."""
    return Card(
        id=CardId("r-0:status"),
        kind="status",
        title="Working",
        buttons=(Button(action="stop", target="r-0", label="Stop", style="danger"),),
    )


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with at_desk(tmp_path) as desk:
        yield desk


async def test_a_mention_opens_a_thread_and_becomes_one_turn(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    message = ada.mentions(discord.general, "what do llamas eat?")
    await desk.until(lambda: desk.bot.turns)
    turn = desk.bot.turns[0]
    assert (turn.text, turn.person.id, turn.person.name) == ("what do llamas eat?", ada.id, "ada")
    assert turn.key == f"discord:{discord.guild_id}:{discord.general}:{message}"
    assert turn.conversation == ConversationRef(
        platform="discord", workspace=discord.guild_id, channel=discord.general, thread=message
    )
    assert ada.sees_threads(discord.general) == {message: "what do llamas eat?"}


async def test_a_press_of_a_button_is_a_click_and_its_refusal_is_told_to_who_pressed(desk: Desk) -> None:
    bob = desk.discord.person("bob")
    here = await desk.asked()
    posted = await desk.adapter.post(here, approval(), nonce="n")
    desk.bot.answers("click", Receipt(accepted=False, text="Only ada may approve."))
    pressed = await bob.clicks(posted.message_id, label="Approve").wait()
    assert (pressed.outcome, pressed.ephemeral) == ("message", True)
    assert [seen.text for seen in desk.ephemeral("bob", here.thread)] == ["Only ada may approve."]
    assert desk.ephemeral("ada", here.thread) == []
    click = desk.bot.clicks[0]
    assert (click.action, click.target, click.person.id, click.conversation) == (
        "approve",
        "a1",
        bob.id,
        here,
    )
    assert click.message is not None
    assert click.message.message_id == posted.message_id


async def test_a_form_opens_is_corrected_and_taken(desk: Desk) -> None:
    ada = desk.discord.person("ada")
    here = await desk.asked()
    posted = await desk.adapter.post(here, approval(), nonce="n")
    desk.bot.answers("click", Receipt(accepted=True, form=EDIT, run_id="r-0"))
    opened = await ada.clicks(posted.message_id, label="Edit").wait()
    assert opened.outcome == "modal"
    desk.bot.answers("form", Receipt(accepted=False, errors={"goal": "say more"}))
    wrong = await ada.submits(None, {"Goal": "x"}).wait()
    note = await desk.until(lambda: desk.ephemeral("ada", here.thread))
    assert wrong.ephemeral
    assert "say more" in note[0].text
    again = await ada.clicks(note[0].id, label="Correct").wait()
    assert again.outcome == "modal"
    assert ada.modal is not None
    assert "x" in str(ada.modal)
    await ada.submits(None, {"Goal": "feed llamas and alpacas"}).wait()
    assert [form.values["goal"] for form in desk.bot.forms] == ["x", "feed llamas and alpacas"]
    assert {(form.form_id, form.conversation, form.person.id) for form in desk.bot.forms} == {
        ("edit:a1", here, ada.id)
    }


# ── what people write ────────────────────────────────────────────────────────────────────────


async def test_a_reply_counts_without_mention_only_where_the_bot_was_asked(desk: Desk) -> None:
    discord, ada, bob = desk.discord, desk.discord.person("ada"), desk.discord.person("bob")
    root = bob.posts(discord.general, "private talk")
    elsewhere = bob.starts_thread(discord.general, "private", message=root)
    bob.posts(elsewhere, "among ourselves")
    here = await desk.asked()
    bob.posts(here.thread, f"and <@{ada.id}> asks for alpacas")
    await desk.until(lambda: len(desk.bot.turns) == 2)
    reply = desk.bot.turns[1]
    assert (reply.conversation, reply.person.name, reply.text) == (here, "bob", "and @ada asks for alpacas")
    await desk.quiet()
    assert len(desk.bot.turns) == 2


async def test_a_mention_in_a_thread_brings_what_was_said_before(desk: Desk) -> None:
    discord, ada, bob = desk.discord, desk.discord.person("ada"), desk.discord.person("bob")
    root = bob.posts(discord.general, "llamas look hungry")
    thread = bob.starts_thread(discord.general, "llamas", message=root)
    bob.posts(thread, "very")
    ada.mentions(thread, "what to do?")
    await desk.until(lambda: desk.bot.turns)
    turn = desk.bot.turns[0]
    assert turn.conversation.thread == thread
    assert turn.conversation.channel == discord.general
    assert [(line.author, line.text, line.by_bot) for line in turn.earlier] == [
        ("bob", "llamas look hungry", False),
        ("bob", "very", False),
    ]
    ada.posts(thread, "more")
    await desk.until(lambda: len(desk.bot.turns) == 2)
    assert desk.bot.turns[1].earlier == ()


async def test_a_direct_message_is_a_turn_of_its_own_conversation(desk: Desk) -> None:
    ada = desk.discord.person("ada")
    ada.dms("what do llamas eat?")
    await desk.until(lambda: desk.bot.turns)
    turn = desk.bot.turns[0]
    assert turn.conversation == ConversationRef(
        platform="discord", workspace="@me", channel=ada.dm, thread=""
    )
    assert (turn.text, turn.person.is_admin) == ("what do llamas eat?", True)
    await desk.adapter.post(turn.conversation, approval(), nonce="n")
    assert any("Is the plan right?" in text for text in desk.directly("ada"))


async def test_an_edit_and_the_bots_own_words_start_nothing(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    here = await desk.asked()
    ada.edits(here.thread, f"<@{discord.bot_id}> now something else")
    await desk.adapter.post(here, approval(), nonce="n")
    discord.person("deploybot", bot=True).mentions(here.thread, "deployed")
    await desk.quiet()
    assert [turn.text for turn in desk.bot.turns] == ["hello"]


async def test_other_bots_count_when_allowed_but_not_for_ever(tmp_path: Path) -> None:
    async with at_desk(tmp_path, allowed_bots=["*"], bot_turns=2) as desk:
        here = await desk.asked()
        robot = desk.discord.person("deploybot", bot=True)
        for number in range(4):
            robot.mentions(here.thread, f"loop {number}")
        await desk.until(lambda: len(desk.bot.turns) == 3)
        desk.discord.person("ada").posts(here.thread, "go on")
        await desk.until(lambda: len(desk.bot.turns) == 4)
        robot.mentions(here.thread, "loop again")
        await desk.until(lambda: len(desk.bot.turns) == 5)
        said = [turn.text for turn in desk.bot.turns]
        assert said == ["hello", "loop 0", "loop 1", "go on", "loop again"]


async def test_a_webhook_counts_only_by_its_id(tmp_path: Path) -> None:
    async with at_desk(tmp_path) as desk:
        discord = desk.discord
        ci, other = Webhook(discord, discord.general, "CI"), Webhook(discord, discord.general)
        await desk.restart(allowed_bots=[ci.id])
        other.mentions("ignored")
        ci.mentions("the build is red")
        await desk.until(lambda: desk.bot.turns)
        await desk.quiet()
        assert [turn.text for turn in desk.bot.turns] == ["the build is red"]


async def test_a_refused_turn_is_told_to_its_writer_alone_and_its_thread_closes(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    desk.bot.answers("turn", Receipt(accepted=False, text="Only root may start turns here."))
    here = await desk.asked()
    await desk.until(lambda: desk.directly("ada"))
    assert desk.directly("ada") == ["Only root may start turns here."]
    assert "Only root" not in str(desk.seen("bob", discord.general))
    thread = discord.backend.get_channel(int(here.thread)).thread_metadata
    assert thread is not None
    await desk.until(lambda: thread.archived)
    assert ada.sees_threads(discord.general)


async def test_who_takes_no_direct_messages_is_told_in_the_thread_without_a_ping(desk: Desk) -> None:
    ada = desk.discord.person("ada")
    ada.closes_dms()
    desk.bot.answers("turn", Receipt(accepted=False, text="Only root may start turns here."))
    here = await desk.asked()
    note = await desk.until(
        lambda: [seen for seen in desk.seen("ada", here.thread) if "Only root" in seen.text]
    )
    assert (note[0].text, note[0].pings) == ("ada: Only root may start turns here.", ())


async def test_what_the_bot_answers_to_a_command_in_a_thread_is_a_reply_there(desk: Desk) -> None:
    desk.bot.answers("turn", Receipt(accepted=True, text="Nothing works here now.", run_id=""))
    here = await desk.asked("status")
    await desk.until(lambda: any("Nothing works" in seen.text for seen in desk.seen("bob", here.thread)))


async def test_a_mention_without_a_word_is_told_what_to_do(desk: Desk) -> None:
    discord = desk.discord
    discord.person("ada").mentions(discord.general, "")
    await desk.until(lambda: desk.directly("ada"))
    assert "without a question" in desk.directly("ada")[0]
    assert discord.person("ada").sees_threads(discord.general) == {}
    assert desk.bot.turns == []


async def test_a_turn_that_the_bot_could_not_store_is_handed_in_again(desk: Desk) -> None:
    desk.bot.answers("turn", PlatformDown("the database is away"), PlatformDown("still"))
    here = await desk.asked()
    assert [turn.conversation for turn in desk.bot.turns] == [here]


async def test_without_permission_for_threads_who_asked_is_told_which(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    discord.denies(discord.general, "create_public_threads")
    ada.mentions(discord.general, "hello")
    await desk.until(lambda: desk.directly("ada"))
    assert "Create Public Threads" in desk.directly("ada")[0]
    assert desk.bot.turns == []


async def test_a_mention_of_a_deleted_message_starts_nothing_and_nothing_breaks(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    ada.deletes(ada.mentions(discord.general, "never mind"))
    await desk.asked("hello")
    assert [turn.text for turn in desk.bot.turns] in (["hello"], ["never mind", "hello"])


async def test_a_deleted_message_is_a_withdrawal_by_who_wrote_it(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    here = await desk.asked()
    reply = ada.posts(here.thread, "and alpacas?")
    await desk.until(lambda: len(desk.bot.turns) == 2)
    discord.person("root", permissions=["manage_messages"]).delete_message(reply)
    ada.deletes(here.thread)
    ada.deletes(ada.posts(discord.general, "of no concern"))
    await desk.until(lambda: len(desk.bot.withdrawals) == 2)
    await desk.quiet()
    told = {(given.turn_key, given.person.key, given.conversation) for given in desk.bot.withdrawals}
    assert told == {(turn.key, turn.person.key, here) for turn in desk.bot.turns}


@pytest.mark.parametrize("where", ["question", "card"])
async def test_a_cross_of_anyone_is_a_quiet_stop_of_that_run(desk: Desk, where: str) -> None:
    here = await desk.asked()
    posted = await desk.adapter.post(here, status(), nonce="n")
    bob = desk.discord.person("bob", roles=["leads"])
    message = here.thread if where == "question" else posted.message_id
    bob.reacts(message, "👍")
    bob.reacts(message, "❌")
    await desk.until(lambda: desk.bot.clicks)
    click = desk.bot.clicks[0]
    assert (click.action, click.target, click.quiet, click.person.id, click.conversation) == (
        "stop",
        "r-0",
        True,
        bob.id,
        here,
    )
    bob.reacts(bob.posts(desk.discord.general, "of no concern"), "❌")
    await desk.quiet()
    assert len(desk.bot.clicks) == 1


async def test_files_come_with_their_bytes_and_what_is_not_taken_is_said(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    ada.mentions(discord.general, "read this", files=[("notes.md", "text/markdown", b"# llamas")])
    await desk.until(lambda: desk.bot.turns)
    (file,) = desk.bot.turns[0].attachments
    assert (file.name, file.media_type.split(";")[0], file.size) == ("notes.md", "text/markdown", 8)
    assert await desk.adapter.download(file) == b"# llamas"


# ── commands ─────────────────────────────────────────────────────────────────────────────────


async def test_a_command_is_answered_to_who_typed_it_alone(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada", roles=["leads"])
    await desk.until(lambda: ada.commands())
    desk.bot.answers("command", Receipt(accepted=True, text="Nothing works here."))
    typed = await ada.types_command("quartet status", discord.general).wait()
    assert (typed.outcome, typed.ephemeral) == ("message", True)
    assert typed.message is not None
    assert typed.message.text == "Nothing works here."
    command = desk.bot.commands[0]
    assert (command.text, command.person.id) == ("status", ada.id)
    assert command.conversation.channel_key == f"discord:{discord.guild_id}:{discord.general}"
    roles = discord.backend.get_guild(int(discord.guild_id)).roles.values()
    assert {str(role.id) for role in roles if role.name == "leads"} <= set(command.person.groups)


async def test_a_slow_command_is_told_to_wait_and_then_answered(desk: Desk) -> None:
    ada = desk.discord.person("ada")
    await desk.until(lambda: ada.commands())
    desk.bot.slow_s["command"] = 2.4
    desk.bot.answers("command", Receipt(accepted=True, text="Nothing works here."))
    typed = await ada.types_command("quartet status").wait()
    assert (typed.outcome, typed.ephemeral) == ("deferred", True)
    await desk.until(lambda: typed.message is not None and "Nothing works" in typed.message.text)
    assert not typed.followups


async def test_a_question_by_command_is_said_aloud_and_gets_its_thread(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    await desk.until(lambda: ada.commands())
    typed = await ada.types_command("quartet ask", discord.general, text="what do llamas eat?").wait()
    turn = desk.bot.turns[0]
    root = next(seen for seen in desk.seen("bob", discord.general) if "what do llamas eat?" in seen.text)
    assert turn.conversation.thread == root.id
    assert (turn.text, turn.person.id) == ("what do llamas eat?", ada.id)
    assert root.text.startswith("ada asks:")
    assert typed.message is not None
    assert f"<#{root.id}>" in typed.message.text
    ada.posts(root.id, "and alpacas?")
    await desk.until(lambda: len(desk.bot.turns) == 2)
    ada.reacts(root.id, "❌")
    await desk.until(lambda: desk.bot.clicks)
    assert desk.bot.clicks[0].target == "r-0"


async def test_a_refused_question_by_command_is_taken_back(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    await desk.until(lambda: ada.commands())
    desk.bot.answers("turn", Receipt(accepted=False, text="Not here."))
    typed = await ada.types_command("quartet ask", discord.general, text="llamas?").wait()
    assert typed.message is not None
    assert typed.message.text == "Not here."
    await desk.until(lambda: not [s for s in desk.seen("bob", discord.general) if "llamas?" in s.text])


async def test_what_may_be_meant_is_offered_while_typing_and_nothing_on_an_error(desk: Desk) -> None:
    ada = desk.discord.person("ada")
    await desk.until(lambda: ada.commands())
    desk.bot.offered = [Choice(value="quartet", label="Quartet: the whole team")]
    offered = await ada.autocompletes("quartet run", "workflow", "qu", text="x")
    assert [(one.name, one.value) for one in offered] == [("Quartet: the whole team", "quartet")]
    desk.bot.offered = RuntimeError("broken")
    assert await ada.autocompletes("quartet run", "workflow", "qu", text="x") == []
    assert desk.bot.asked_choices[0] == ("workflow", "qu")


async def test_each_verb_asks_for_the_runs_that_it_can_be_done_to(desk: Desk) -> None:
    ada = desk.discord.person("ada")
    await desk.until(lambda: ada.commands())
    desk.bot.offered = [Choice(value="r1", label="Tea")]
    for verb in ("status", "stop", "pause", "resume"):
        assert [one.value for one in await ada.autocompletes(f"quartet {verb}", "run", "te")] == ["r1"]
    assert desk.bot.asked_choices == [(kind, "te") for kind in ("run", "stop", "pause", "resume")]


async def test_a_question_about_a_message_quotes_it_under_its_writers_name(desk: Desk) -> None:
    discord, ada, bob = desk.discord, desk.discord.person("ada"), desk.discord.person("bob")
    await desk.until(lambda: ada.commands())
    message = bob.posts(discord.general, "llamas “ignore all” look hungry")
    opened = await ada.uses_menu("Ask Quartet about this", message).wait()
    assert opened.outcome == "modal"
    await desk.restart()  # what it is about survives
    assert ada.modal is not None
    await ada.submits(None, {ada.modal.inputs[-1].label: "is that so?"}).wait()
    await desk.until(lambda: desk.bot.turns)
    turn = desk.bot.turns[0]
    assert turn.text.startswith("is that so?")
    assert "About this message by bob: “llamas ‘ignore all’ look hungry”" in turn.text
    assert [(line.author, line.text) for line in turn.earlier] == [("bob", "llamas “ignore all” look hungry")]


async def test_a_persons_own_page_is_theirs_alone(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    await desk.until(lambda: ada.commands())
    shown = await ada.types_command("quartet home").wait()
    assert shown.ephemeral
    assert shown.message is not None
    assert "Tokens" in shown.message.text
    assert [(workspace, person.id) for workspace, person in desk.bot.homes] == [(discord.guild_id, ada.id)]


# ── presses ──────────────────────────────────────────────────────────────────────────────────


async def test_feedback_is_kept_and_thanked_for(desk: Desk) -> None:
    here = await desk.asked()
    card = Card(id=CardId("r-0:answer"), kind="answer", title="Grass", feedback="r-0")
    posted = await desk.adapter.post(here, card, nonce="n")
    bob = desk.discord.person("bob")
    pressed = await bob.clicks(posted.message_id, custom_id="q:good:r-0").wait()
    assert pressed.ephemeral
    given = desk.bot.feedbacks[0]
    assert (given.target, given.good, given.person.id, given.conversation) == ("r-0", True, bob.id, here)


async def test_a_click_with_nothing_to_say_is_acknowledged_in_silence(desk: Desk) -> None:
    here = await desk.asked()
    posted = await desk.adapter.post(here, approval(), nonce="n")
    pressed = await desk.discord.person("ada").clicks(posted.message_id, label="Approve").wait()
    assert pressed.outcome == "deferred"
    assert desk.ephemeral("ada", here.thread) == []


async def test_a_form_that_comes_too_late_asks_to_press_again(desk: Desk) -> None:
    here = await desk.asked()
    posted = await desk.adapter.post(here, approval(), nonce="n")
    desk.bot.slow_s["click"] = 2.4
    desk.bot.answers("click", Receipt(accepted=True, form=EDIT))
    pressed = await desk.discord.person("ada").clicks(posted.message_id, label="Edit").wait()
    assert pressed.outcome == "deferred"
    note = await desk.until(lambda: desk.ephemeral("ada", here.thread))
    assert "press the button again" in note[0].text


async def test_a_button_pressed_while_the_bot_was_stuck_works_after_the_restart(desk: Desk) -> None:
    here = await desk.asked()
    posted = await desk.adapter.post(here, approval(), nonce="n")
    desk.bot.slow_s["click"] = 3600
    ada = desk.discord.person("ada")
    pressed = await ada.clicks(posted.message_id, label="Approve").wait()
    assert pressed.outcome == "deferred"
    assert desk.bot.clicks == []
    desk.bot.slow_s.clear()
    desk.bot.answers("click", Receipt(accepted=False, text="Bob was faster."))
    await desk.restart()
    await desk.until(lambda: desk.bot.clicks)
    note = await desk.until(lambda: desk.ephemeral("ada", here.thread))
    assert note[0].text == "Bob was faster."


async def test_what_was_kept_before_a_crash_is_handed_in_after_the_restart(desk: Desk) -> None:
    desk.bot.slow_s["turn"] = 3600
    ada = desk.discord.person("ada")
    message = ada.mentions(desk.discord.general, "do not lose me")
    await desk.until(lambda: desk.bot.begun)
    assert message in ada.sees_threads(desk.discord.general)
    desk.bot.slow_s.clear()
    await desk.adapter.stop()
    assert desk.bot.turns == []
    await desk.restart()
    await desk.until(lambda: desk.bot.turns)
    assert [turn.text for turn in desk.bot.turns] == ["do not lose me"]


# ── notes ────────────────────────────────────────────────────────────────────────────────────


async def test_a_note_goes_beside_what_was_pressed_lately(desk: Desk) -> None:
    here = await desk.asked()
    posted = await desk.adapter.post(here, approval(), nonce="n")
    bob = desk.discord.person("bob")
    await bob.clicks(posted.message_id, label="Approve").wait()
    await desk.adapter.note(here, desk.bot.clicks[0].person, "Ada had decided already.")
    assert [seen.text for seen in desk.ephemeral("bob", here.thread)] == ["Ada had decided already."]
    await desk.adapter.note(here, desk.bot.turns[0].person, "For ada.")
    assert desk.directly("ada") == ["For ada."]


# ── away ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("anew", [True, False], ids=["another process", "the same one"])
async def test_what_was_said_while_away_is_found_once(desk: Desk, anew: bool) -> None:
    discord, ada, bob = desk.discord, desk.discord.person("ada"), desk.discord.person("bob")
    bob.posts(discord.general, "long ago")
    here = await desk.asked()
    await desk.adapter.stop()
    ada.posts(here.thread, "and alpacas?")
    missed = ada.mentions(discord.general, "something new")
    bob.posts(discord.general, "of no concern")
    if anew:
        desk.adapter = desk.build()
    await desk.adapter.start(desk.bot)
    await desk.until(lambda: len(desk.bot.turns) == 3)
    assert sorted(turn.text for turn in desk.bot.turns) == ["and alpacas?", "hello", "something new"]
    assert next(t for t in desk.bot.turns if t.text == "something new").conversation.thread == missed
    await desk.restart()
    await desk.quiet()
    assert len(desk.bot.turns) == 3


async def test_the_first_start_ever_reads_nothing_back(tmp_path: Path) -> None:
    async with DiscordTwin(time_scale=0.01) as discord:
        discord.person("ada").mentions(discord.general, "before you were here")
        desk = Desk(discord, tmp_path)
        await desk.adapter.start(desk.bot)
        await desk.quiet()
        await desk.restart()
        await desk.quiet()
        await desk.adapter.stop()
        assert desk.bot.turns == []


async def test_what_was_said_while_the_session_was_lost_is_found_once(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    here = await desk.asked()
    discord.gateway.expire_sessions()  # nothing is told any more
    ada.posts(here.thread, "said in the gap")
    discord.gateway.drop_all()
    await desk.until(lambda: len(desk.bot.turns) == 2)
    await desk.quiet()
    assert [turn.text for turn in desk.bot.turns] == ["hello", "said in the gap"]


async def test_where_it_may_not_write_any_more_cards_wait_and_who_asked_is_told_once(desk: Desk) -> None:
    discord = desk.discord
    here = await desk.asked()
    discord.takes_permissions("send_messages", "send_messages_in_threads")
    for _ in range(2):
        with pytest.raises(PlatformDown, match="Send Messages"):
            await desk.adapter.post(here, approval(), nonce="n")
    await desk.until(lambda: desk.directly("ada"))
    discord.gives_permissions("send_messages", "send_messages_in_threads")
    await desk.adapter.post(here, approval(), nonce="n")
    assert len(desk.directly("ada")) == 1


async def test_a_deleted_thread_is_gone(desk: Desk) -> None:
    here = await desk.asked()
    desk.discord.deletes_channel(here.thread)
    with pytest.raises(ConversationGone):
        await desk.adapter.post(here, approval(), nonce="n")


# ── life ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_wrong_token_is_said_with_its_setting_and_nothing_leaks(tmp_path: Path) -> None:
    async with DiscordTwin(time_scale=0.01) as discord:
        discord.revokes_token()
        desk = Desk(discord, tmp_path)
        for _ in range(2):
            with pytest.raises(NotAllowed, match="DISCORD_BOT_TOKEN") as refused:
                await desk.adapter.start(desk.bot)
            assert discord.token not in str(refused.value)
        discord.restores_token()
        await desk.adapter.start(desk.bot)
        await desk.asked()
        await desk.adapter.stop()
        await desk.adapter.stop()


async def test_replies_without_text_are_told_of_once_where_the_intent_is_off(tmp_path: Path) -> None:
    async with at_desk(tmp_path, twin={"message_content": False}) as desk:
        here = await desk.asked()
        ada = desk.discord.person("ada")
        ada.posts(here.thread, "and alpacas?")
        ada.posts(here.thread, "hello?")
        ada.mentions(here.thread, "do you hear me?")
        await desk.until(lambda: len(desk.bot.turns) == 2)
        told = [seen.text for seen in desk.seen("ada", here.thread) if "Message Content Intent" in seen.text]
        assert len(told) == 1
        assert desk.bot.turns[1].text == "do you hear me?"


async def test_a_start_that_is_broken_off_leaves_no_connection_and_no_task(tmp_path: Path) -> None:
    async with DiscordTwin(time_scale=0.01) as discord:
        discord.faults.order("GET /gateway/bot", latency_s=60)
        desk = Desk(discord, tmp_path)
        before = asyncio.all_tasks()
        starting = asyncio.create_task(desk.adapter.start(desk.bot))
        await desk.until(lambda: any(call.path == "/gateway/bot" for call in discord.calls))
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        ours = {task.get_name() for task in asyncio.all_tasks() - before if "discord" in task.get_name()}
        assert ours == set()
        assert discord.gateway.connected == 0
        await desk.adapter.start(desk.bot)
        await desk.asked()
        await desk.adapter.stop()


async def test_a_discord_that_is_down_is_told_and_the_start_may_be_repeated(tmp_path: Path) -> None:
    async with DiscordTwin(time_scale=0.01) as discord:
        desk = Desk(discord, tmp_path)
        discord.faults.outage(True)
        with pytest.raises(PlatformDown):
            await desk.adapter.start(desk.bot)
        discord.faults.outage(False)
        await desk.adapter.start(desk.bot)
        await desk.asked()
        assert desk.adapter.trouble == ""
        await desk.adapter.stop()


async def test_nothing_is_lost_or_doubled_though_the_gateway_breaks_again_and_again(desk: Desk) -> None:
    discord, ada = desk.discord, desk.discord.person("ada")
    for number in range(12):
        ada.mentions(discord.general, f"question {number}")
        if number % 3 == 0:
            discord.gateway.drop_all()
        if number == 5:
            discord.gateway.expire_sessions()
            discord.gateway.drop_all()
        if number == 8:
            discord.gateway.reconnect()
    await desk.until(lambda: len(desk.bot.turns) == 12)
    await desk.quiet()
    assert sorted(turn.text for turn in desk.bot.turns) == sorted(f"question {n}" for n in range(12))


async def test_a_removed_bot_goes_on_elsewhere(desk: Desk) -> None:
    discord = desk.discord
    here = await desk.asked()
    discord.removes_bot()
    with pytest.raises((PlatformDown, ConversationGone)):
        await desk.adapter.post(here, approval(), nonce="n")
    discord.person("ada").dms("still there?")
    await desk.until(lambda: len(desk.bot.turns) == 2)


async def test_bulk_deletions_withdraw_each(desk: Desk) -> None:
    here = await desk.asked()
    ada = desk.discord.person("ada")
    replies = [ada.posts(here.thread, f"reply {number}") for number in range(3)]
    await desk.until(lambda: len(desk.bot.turns) == 4)
    desk.discord.person("root", permissions=["manage_messages"]).delete_messages(*replies)
    await desk.until(lambda: len(desk.bot.withdrawals) == 3)
    assert {given.turn_key for given in desk.bot.withdrawals} == {turn.key for turn in desk.bot.turns[1:]}
