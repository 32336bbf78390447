"""Run a Slack by hand: `python -m tests.twins.slack`, paste the environment it prints where the bot starts.

Then each line typed here is a message to the bot in #general: `ada what do llamas eat?`. What the bot says is
printed. End with Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from contextlib import suppress

from tests.twins.slack.server import SlackTwin
from tests.twins.slack.workspace import Happening


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.twins.slack", description="A Slack on loopback.")
    parser.add_argument("--mode", choices=("socket", "http"), default="socket", help="how events travel")
    parser.add_argument("--events-url", help="http: the bot's request URL, ending in /slack/events")
    parser.add_argument("--oauth", action="store_true", help="do not install the app; print what OAuth needs")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    return parser.parse_args()


async def _main(given: argparse.Namespace) -> None:
    async with SlackTwin(given.mode, installed=not given.oauth, port=given.port) as slack:
        for name, value in slack.environment(oauth=given.oauth).items():
            print(f"export {name}={value}")
        if given.oauth:
            print(f"# the authorize page: {slack.authorize_url}")
        print("# ready", flush=True)
        if given.events_url:
            await slack.set_events_url(given.events_url)
        slack.world.subscribe(_show)
        # A thread of its own: a reader of the loop takes no files, and sees the first of several lines only.
        threading.Thread(target=_read, args=(slack, asyncio.get_running_loop()), daemon=True).start()
        await asyncio.Event().wait()


def _read(slack: SlackTwin, loop: asyncio.AbstractEventLoop) -> None:
    for line in sys.stdin:
        name, _, text = line.strip().partition(" ")
        if text:
            loop.call_soon_threadsafe(lambda n=name, t=text: slack.person(n).mentions(slack.general, t))


def _show(happening: Happening) -> None:
    event = happening.event
    said = event.get("message", event)
    if event["type"] == "message" and said.get("bot_id"):
        print(f"[{event['channel']} {said.get('thread_ts', '')}] {said.get('text', '')}", flush=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(_arguments()))
