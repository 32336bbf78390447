"""What people do with the bot itself, with the unmodified discord.py: buttons, commands, menus, forms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import discord
import pytest
from discord import app_commands

from tests.twins.discord import DiscordTwin
from tests.twins.discord.people import Choice, NotPossible
from tests.unit.twins.discord_bots import Bot, Panel, Question, point_at, running


@pytest.fixture
async def twin(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordTwin]:
    async with DiscordTwin() as discord_twin:
        point_at(discord_twin, monkeypatch)
        yield discord_twin
        assert discord_twin.gateway.problems == []


async def test_click_is_answered_and_the_answer_is_for_one_person_alone(twin: DiscordTwin) -> None:
    ada, eve = twin.person("ada"), twin.person("eve")
    async with running(twin, Bot()) as bot:
        channel: Any = bot.get_channel(int(twin.general))
        panel = await channel.send(view=Panel())
        shown = ada.sees_message(panel.id)
        assert (shown.text, shown.accent) == ("**Plan**\nTwo steps.", 0x00FF00)
        assert shown.labels == ("Approve", "Page", "Pick one")
        assert (shown.button("Later").enabled, shown.button("Page").url) == (False, "https://example.com/run")

        click = ada.clicks(panel.id, label="Approve")
        heard = await twin.until(lambda: bot.interactions[-1] if bot.interactions else None)
        assert (heard.user.id, heard.data["custom_id"] if heard.data else "") == (int(ada.id), "yes")  # type: ignore[typeddict-item]
        assert heard.message is not None
        assert heard.message.id == panel.id
        await heard.response.send_message("Thank you.", ephemeral=True)
        assert (await click.wait()).outcome == "message"
        assert click.ephemeral
        await heard.followup.send("It runs.", ephemeral=True)
    assert [each.text for each in click.followups] == ["It runs."]
    assert [each.text for each in ada.sees(twin.general) if each.ephemeral] == ["Thank you.", "It runs."]
    assert [each.text for each in eve.sees(twin.general)] == ["**Plan**\nTwo steps."]


async def test_button_that_is_grey_missing_or_a_link_cannot_be_pressed(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with running(twin, Bot()) as bot:
        channel: Any = bot.get_channel(int(twin.general))
        panel = await channel.send(view=Panel())
        for wrong in ({"custom_id": "later"}, {"custom_id": "nothing"}, {"label": "Page"}, {}):
            with pytest.raises(NotPossible):
                ada.clicks(panel.id, **wrong)
        with pytest.raises(NotPossible, match="not on offer"):
            ada.clicks(panel.id, custom_id="pick", option="Green")
        click = ada.clicks(panel.id, custom_id="pick", option="Blue")
        heard = await twin.until(lambda: bot.interactions[-1] if bot.interactions else None)
        assert heard.data is not None
        assert heard.data["values"] == ["b"]  # type: ignore[typeddict-item]
        await heard.response.defer()
        assert (await click.wait()).outcome == "deferred"
    assert len(bot.interactions) == 1


async def test_click_without_an_answer_in_3_s_failed_and_its_token_is_worthless(twin: DiscordTwin) -> None:
    twin.gateway.answer_limit_s = 0.1
    ada = twin.person("ada")
    async with running(twin, Bot()) as bot:
        channel: Any = bot.get_channel(int(twin.general))
        panel = await channel.send(view=Panel())
        click = await ada.clicks(panel.id, custom_id="yes").wait()
        assert click.outcome == "failed after 3 s"
        assert twin.gateway.failed_interactions == [click]
        with pytest.raises(discord.NotFound) as refused:
            await bot.interactions[0].response.send_message("late")
    assert refused.value.code == 10062


async def test_command_can_be_typed_once_synced_and_only_as_declared(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    bot = Bot()
    group = app_commands.Group(name="quartet", description="Work with Quartet")

    @group.command(description="Ask")
    @app_commands.describe(text="What", workflow="How")
    async def ask(on: discord.Interaction[Any], text: str, workflow: str | None = None) -> None:
        await on.response.defer(ephemeral=True, thinking=True)
        await on.followup.send(f"{text} ({workflow})", ephemeral=True)

    @ask.autocomplete("workflow")
    async def offer(on: discord.Interaction[Any], so_far: str) -> list[app_commands.Choice[str]]:
        known = ["code", "compare", "full"]
        return [
            app_commands.Choice(name=each.title(), value=each) for each in known if each.startswith(so_far)
        ]

    bot.tree.add_command(group)
    async with running(twin, bot):
        with pytest.raises(NotPossible, match="synced are: none"):
            ada.types_command("quartet ask", text="why?")
        await bot.tree.sync()
        assert ada.commands() == ["quartet"]
        offered = await ada.autocompletes("quartet ask", "workflow", "co", text="w")
        assert offered == [Choice("Code", "code"), Choice("Compare", "compare")]
        with pytest.raises(NotPossible, match="offers nothing"):
            await ada.autocompletes("quartet ask", "text", "w")
        for path, options in (
            ("quartet ask", {}),
            ("quartet ask", {"text": "why?", "colour": "red"}),
            ("quartet", {}),
            ("quartet dance", {}),
        ):
            with pytest.raises(NotPossible):
                ada.types_command(path, **options)
        asked = ada.types_command("/quartet ask", twin.general, text="why?", workflow="code")
        assert (await asked.wait()).outcome == "deferred"
        await twin.until(lambda: asked.message and not asked.message.thinking)
    assert [each.text for each in ada.sees(twin.general)] == ["why? (code)"]
    assert twin.person("eve").sees(twin.general) == []


async def test_menu_opens_a_form_which_is_checked_filled_and_sent(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    bot = Bot()
    got: list[tuple[str, list[str]]] = []

    @bot.tree.context_menu(name="Ask about this")
    async def about(on: discord.Interaction[Any], message: discord.Message) -> None:
        await on.response.send_modal(Question(got, title=message.content[:40]))

    async with running(twin, bot):
        sent = ada.posts(twin.general, "Llamas")
        with pytest.raises(NotPossible):
            ada.uses_menu("Ask about this", sent)
        await bot.tree.sync()
        used = await ada.uses_menu("Ask about this", sent).wait()
        assert used.outcome == "modal"
        form = ada.modal
        assert form is not None
        assert (form.title, form.input("Your question").value) == ("Llamas", "Why?")
        with pytest.raises(NotPossible, match="choose something"):
            ada.submits(form)
        for wrong in (
            {"text": ""},
            {"text": "?"},
            {"text": "x" * 21},
            {"text": "a\nb"},
            {"Workflow": "slow"},
            {"colour": "red"},
        ):
            with pytest.raises(NotPossible):
                ada.submits(form, {"Workflow": "Full", **wrong})
        sub = ada.submits(form, {"Your question": "Where?", "Workflow": "Full"})
        assert ada.modal is None
        assert (await sub.wait()).outcome == "message"
        with pytest.raises(NotPossible):
            ada.submits(form, {"Workflow": "full"})
    assert got == [("Where?", ["full"])]


async def test_form_is_back_on_the_screen_when_the_bot_did_not_take_it(twin: DiscordTwin) -> None:
    ada = twin.person("ada")
    async with running(twin, Bot()) as bot:
        channel: Any = bot.get_channel(int(twin.general))
        panel = await channel.send(view=Panel())
        click = ada.clicks(panel.id, custom_id="yes")
        heard = await twin.until(lambda: bot.interactions[-1] if bot.interactions else None)
        await heard.response.send_modal(Question([], answers=False))
        await click.wait()
        twin.gateway.answer_limit_s = 0.05
        form = ada.modal
        sub = ada.submits(form, {"Workflow": "q"})
        assert (await sub.wait()).failed
        assert ada.modal == form
        ada.closes_modal()
        assert ada.modal is None


async def test_command_in_a_direct_message_and_a_button_on_what_only_one_sees(twin: DiscordTwin) -> None:
    ada, eve = twin.person("ada"), twin.person("eve")
    bot = Bot()

    @bot.tree.command(description="Show the panel")
    async def panel(on: discord.Interaction[Any]) -> None:
        await on.response.send_message(view=Panel(), ephemeral=True)

    async with running(twin, bot):
        await bot.tree.sync()
        asked = await ada.types_command("panel", ada.dm).wait()
        assert bot.interactions[-1].guild is None
        assert asked.message is not None
        assert ada.sees(ada.dm)[-1].text == "**Plan**\nTwo steps."
        with pytest.raises(NotPossible):
            eve.types_command("panel", ada.dm)
        asked = await ada.types_command("panel").wait()
        assert asked.message is not None
        with pytest.raises(NotPossible, match="screen"):
            eve.clicks(asked.message.id, custom_id="yes")
        click = ada.clicks(asked.message.id, custom_id="yes")
        heard = await twin.until(lambda: bot.interactions[-1] if len(bot.interactions) == 3 else None)
        done = {"type": 7, "data": {"components": [{"type": 10, "content": "Done."}], "flags": 1 << 15}}
        url = f"{twin.api_url}/interactions/{heard.id}/{heard.token}/callback"
        async with aiohttp.ClientSession() as session, session.post(url, json=done) as answered:
            assert answered.status == 204
        assert (await click.wait()).outcome == "updated"
    assert [each.text for each in ada.sees(twin.general)] == ["Done."]
    with pytest.raises(NotPossible, match="bots"):
        twin.person("deploybot", bot=True).types_command("panel")
