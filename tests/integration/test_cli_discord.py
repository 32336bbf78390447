"""Setting Discord up from the command line: the real process, against a Discord on loopback."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.discord.manifest import invite
from adapters.discord.scopes import TITLES, permissions
from tests.twins.discord import DiscordTwin

ROOT = Path(__file__).parents[2]
LIMIT_S = 120


async def quartet(folder: Path, env: dict[str, str], *words: str) -> tuple[int, str]:
    """Exit code and all that was printed."""
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", *words,
        cwd=folder, env={**keep, "QUARTET_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), **env},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(LIMIT_S):
        printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode()


def line(printed: str, name: str) -> str:
    (found,) = [row for row in printed.splitlines() if f"online {name}" in row]
    return found


async def test_check_online_says_that_the_bot_of_the_invite_link_lacks_nothing(tmp_path: Path) -> None:
    async with DiscordTwin(permissions=permissions()) as discord:
        env = discord.environment() | {"DISCORD_GUILD_IDS": discord.guild_id}
        code, printed = await quartet(tmp_path, env, "check", "--online")
        assert code == 0, printed
        assert f"application {discord.application_id}, in 1 server" in line(printed, "DISCORD_BOT_TOKEN")
        assert "on: replies" in line(printed, "Message Content Intent")
        assert "connections left today" in line(printed, "gateway")
        assert discord.token not in printed
        assert not (tmp_path / "home").exists()  # looking changes nothing
        assert discord.violations == []


async def test_check_online_names_what_is_missing_each_with_its_remedy(tmp_path: Path) -> None:
    lacking = {"attach_files", "create_public_threads"}
    kept = set(permissions()) - lacking
    async with DiscordTwin(permissions=kept, message_content=False, shards=3) as discord:
        other = "112233445566778899"
        discord.world.guild.everyone_role.permissions = 0
        (tmp_path / "own.yaml").write_text("discord: {shards: 2}\n")
        env = discord.environment() | {"DISCORD_GUILD_IDS": f"{discord.guild_id},{other}"}
        code, printed = await quartet(tmp_path, env, "check", "--online", "--config", "own.yaml")
        assert code == 1
        assert "switch it on at https://discord.com/developers/" in line(printed, "Message Content Intent")
        assert invite(discord.application_id, guild=other) in line(printed, f"server {other}")
        assert "lacks 2 permissions" in line(printed, "server Acme")
        assert lacking == {name for name in permissions() if f"\n    {TITLES[name]}: " in printed}
        assert "Discord advises 3 shards" in line(printed, "gateway")
        discord.revokes_token()
        code, printed = await quartet(tmp_path, env, "check", "--online")
        assert code == 1
        assert "Discord does not know this token (any more); make a new one" in line(
            printed, "DISCORD_BOT_TOKEN"
        )
        assert "Traceback" not in printed
        assert discord.token not in printed


async def test_check_online_ends_when_discord_is_not_there(tmp_path: Path) -> None:
    async with DiscordTwin() as discord:
        env = discord.environment()
    code, printed = await quartet(tmp_path, env, "check", "--online")
    assert code == 1
    assert "cannot be reached" in line(printed, "DISCORD_BOT_TOKEN")
    assert (await quartet(tmp_path, env, "check"))[0] == 0  # nobody is asked without --online


async def test_the_link_that_is_printed_is_for_the_tokens_own_application(tmp_path: Path) -> None:
    async with DiscordTwin() as discord:
        env = discord.environment()
        code, printed = await quartet(tmp_path, env, "manifest", "discord")
        assert (code, discord.calls) == (0, [])
        code, asked = await quartet(tmp_path, env, "manifest", "discord", "--online")
        assert code == 0
        assert asked.splitlines()[0] == invite(discord.application_id)
        query = parse_qs(urlsplit(printed.splitlines()[0]).query)
        assert query["client_id"] == [discord.bot_id]
        assert discord.token not in printed + asked
        discord.revokes_token()
        code, printed = await quartet(tmp_path, env, "manifest", "discord", "--online")
        assert code == 1
        assert re.match(r"Error: Discord does not know this token \(any more\); make a new one at ", printed)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--application-id", "quartet"), "17 to 20 digits"),
        (("--application-id", "123"), "17 to 20 digits"),
    ],
)
async def test_an_application_id_that_is_none_is_refused(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    code, printed = await quartet(tmp_path, {}, "manifest", "discord", *words)
    assert (code, told in printed) == (2, True)
