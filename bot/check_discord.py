"""What `quartet check` says of Discord: whether it is on and, with `--online`, what Discord says of it."""

from __future__ import annotations

from collections.abc import Iterator

from bot.check_row import CheckRow
from config.settings import Settings


def discord_rows(settings: Settings) -> Iterator[CheckRow]:
    """What the bot connects to, as far as the settings tell."""
    if settings.discord_bot_token is None:
        note = "no DISCORD_BOT_TOKEN; docs/discord.md says how to begin"
        if settings.discord_guild_ids:
            note = f"DISCORD_GUILD_IDS alone does nothing; {note}"
        yield CheckRow("discord", "off", "settings", note=note)
        return
    from adapters.discord.manifest import application_id

    bot = application_id(settings.discord_bot_token.get_secret_value())
    shown = f"bot {bot}" if bot else "a bot"
    if settings.discord_guild_ids:
        count = len(settings.discord_guild_ids)
        shown += f", commands in {count} server{'' if count == 1 else 's'} alone"
    yield CheckRow("discord", f"{shown}, over the gateway", "settings")


async def ask_discord(settings: Settings, timeout_s: float) -> list[CheckRow]:
    """One row for each thing that Discord was asked about; none without a token."""
    if settings.discord_bot_token is None:
        return []
    from adapters.discord.online import check_bot

    url = settings.discord_api_url
    findings = await check_bot(
        settings.discord_bot_token.get_secret_value(),
        guilds=settings.discord_guild_ids,
        shards=settings.discord.shards,
        api_url=url,
        timeout_s=timeout_s,
    )
    return [CheckRow(f"online {found.name}", url, "network", found.state, found.note) for found in findings]
