"""Run a Discord by hand: `python -m tests.twins.discord`, paste the environment where the bot starts.

Then each line typed here is a message to the bot in #general: `ada what do llamas eat?`. What the bot says
is printed. End with Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from simcord.components import component_mentions

from tests.twins.discord.server import DiscordTwin


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.twins.discord", description="A Discord on loopback."
    )
    parser.add_argument("--no-content", action="store_true", help="the message content intent is off")
    parser.add_argument("--shards", type=int, default=1, help="how many shards the gateway advises")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    return parser.parse_args()


async def _main(given: argparse.Namespace) -> None:
    twin = DiscordTwin(message_content=not given.no_content, shards=given.shards, port=given.port)
    async with twin as discord:
        for name, value in discord.environment().items():
            print(f"export {name}={value}")
        print("# ready", flush=True)
        discord.backend.subscribers.append(lambda event, payload: _show(discord, event, payload))
        # A thread of its own: a reader of the loop takes no files, and sees the first of several lines only.
        threading.Thread(target=_read, args=(discord, asyncio.get_running_loop()), daemon=True).start()
        await asyncio.Event().wait()


def _read(discord: DiscordTwin, loop: asyncio.AbstractEventLoop) -> None:
    for line in sys.stdin:
        name, _, text = line.strip().partition(" ")
        if text:
            loop.call_soon_threadsafe(lambda n=name, t=text: discord.person(n).mentions(discord.general, t))


def _show(discord: DiscordTwin, event: str, payload: Mapping[str, Any]) -> None:
    if event in ("MESSAGE_CREATE", "MESSAGE_UPDATE") and payload["author"]["id"] == discord.bot_id:
        text = payload["content"] or component_mentions(payload["components"])
        print(f"[{payload['channel_id']} {event.removeprefix('MESSAGE_').lower()}] {text}", flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(_arguments()))
