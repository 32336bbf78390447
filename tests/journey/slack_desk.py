"""One Slack on loopback and one bot of its own process, for whole conversations.

    async with desk(tmp_path) as one:
        thread = one.ada.mentions(one.general, "What is tea?")
        await one.presses(one.ada, thread, "Approve")

Leaving the block fails the test if anybody was notified by a text of the bot, if a call was repeated before
its Retry-After, if a person was told "this app did not respond", if the bot logged an error, or if a token
stands in its log.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from tests.journey.bot_process import Bot
from tests.journey.slack_transcript import Transcript
from tests.twins.openai_server import ModelServer
from tests.twins.slack import Person, Seen, SlackTwin
from tests.twins.slack.records import Ping
from tests.twins.slack.workspace import View

T = TypeVar("T")
Mode = Literal["socket", "http"]
WITHIN_S = 30.0
KNOWLEDGE = """# Tea

## What tea is

Tea is a warm drink made of leaves.

## Coffee

Coffee is made of beans.
"""
APPROVAL, ANSWER = "Approve", "Good answer"


class Desk:
    """A Slack, a bot, and the people who talk with it."""

    def __init__(self, slack: SlackTwin, bot: Bot, models: ModelServer | None) -> None:
        self.slack = slack
        self.bot = bot
        self._models = models
        self.general = slack.general
        self.ada, self.bob, self.cem = (slack.person(name) for name in ("ada", "bob", "cem"))
        self.root = slack.person("root")
        self.transcript = Transcript(slack)

    @property
    def models(self) -> ModelServer:
        assert self._models is not None, "this desk plays by rules"
        return self._models

    def prompts(self, agent: str) -> list[str]:
        """What a model was asked in the name of an agent, oldest first."""
        return [r["prompt"] for r in self.models.journal()["requests"] if r["agent"] == agent]

    async def until(self, predicate: Callable[[], T | None]) -> T:
        try:
            return await self.slack.until(predicate, within_s=WITHIN_S)
        except TimeoutError as error:
            shown = self.transcript.channel(self.root, self.general)
            raise AssertionError(f"{error}\n\n{shown}\n\n{self.log()}") from None

    async def settled(self) -> None:
        """Everything that people did has reached the bot."""
        await self.until(lambda: not self.slack.delivery.unacked())

    def read(self, thread: str, *, by: Person | None = None, channel: str = "") -> str:
        """The transcript of a thread."""
        return self.transcript.thread(by or self.ada, channel or self.general, thread)

    async def message(
        self, thread: str | None, button: str, *, by: Person | None = None, channel: str = "", count: int = 1
    ) -> Seen:
        """The newest message with this button, once there are `count` of them."""

        def there() -> list[Seen] | None:
            seen = (by or self.ada).sees(channel or self.general, thread)
            found = [each for each in seen if button in each.buttons]
            return found if len(found) >= count else None

        return (await self.until(there))[-1]

    async def says(
        self, text: str, thread: str | None, *, by: Person | None = None, channel: str = ""
    ) -> Seen:
        """The newest message of the bot that shows this text, once there is one."""

        def there() -> Seen | None:
            seen = (by or self.ada).sees(channel or self.general, thread)
            return next((each for each in reversed(seen) if text in each.shows), None)

        return await self.until(there)

    async def waits(self, thread: str, *, by: Person | None = None, channel: str = "") -> None:
        """The thread's run waits for an approval, and its status card says so."""
        await self.message(thread, APPROVAL, by=by, channel=channel)
        await self.says("waiting for approval", thread, by=by, channel=channel)

    async def presses(self, person: Person, thread: str | None, button: str, *, channel: str = "") -> Seen:
        """Somebody presses a button once it is there; returns the message that it stood on."""
        seen = await self.message(thread, button, by=person, channel=channel)
        person.clicks(channel or self.general, seen.ts, button)
        return seen

    async def modal(self, person: Person, title: str) -> View:
        """The modal with this title, once it is on somebody's screen."""

        def there() -> View | None:
            view = person.modal
            return view if view is not None and view.payload["title"]["text"] == title else None

        return await self.until(there)

    async def done(self, thread: str, *, by: Person | None = None, channel: str = "", count: int = 1) -> None:
        """The thread has so many answers, and every status card says how it ended."""
        await self.message(thread, ANSWER, by=by, channel=channel, count=count)
        await self.quiet(thread, by=by, channel=channel)

    async def quiet(self, thread: str | None, *, by: Person | None = None, channel: str = "") -> None:
        """Nothing streams in the thread, no run can be stopped any more."""

        def still() -> bool:
            seen = (by or self.ada).sees(channel or self.general, thread)
            return not any(each.streaming or "Stop" in each.buttons for each in seen)

        await self.until(still)

    async def status(self, thread: str | None, *, by: Person | None = None, channel: str = "") -> Seen:
        """The status card of a run that can be stopped."""
        return await self.message(thread, "Stop", by=by, channel=channel)

    async def run(self, run_id: str) -> dict[str, Any]:
        return await asyncio.to_thread(self.bot.run, run_id)

    async def runs(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.bot.runs)

    async def health(self) -> dict[str, Any]:
        """What /health says of Slack."""
        answer = await asyncio.to_thread(self.bot.client.get, "/health")
        return json.loads(answer.text)["components"]["slack"]

    async def connected(self) -> None:
        """The bot talks with Slack."""
        ready = "Slack is connected."
        await self.until(
            lambda: ready in self.log() and (self.slack.mode == "http" or self.slack.connections)
        )

    def log(self) -> str:
        return self.bot.log.read_text(encoding="utf-8")


@asynccontextmanager
async def desk(
    folder: Path,
    *,
    mode: Mode = "socket",
    slack: SlackTwin | None = None,
    env: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    script: dict[str, Any] | None = None,
    oauth: bool = False,
    connected: bool = True,
    errors: bool = False,
) -> AsyncGenerator[Desk]:
    """A running desk.

    Args:
        env: further variables of the bot.
        config: its `config/quartet.yaml`.
        script: of the models; None: the rules engine plays the agents.
        oauth: the bot has no token but installs itself.
        connected: wait until the bot talks with Slack.
        errors: the bot may log some.
    """
    knowledge = folder / "knowledge"
    knowledge.mkdir()
    (knowledge / "tea.md").write_text(KNOWLEDGE, encoding="utf-8")
    if config:
        (folder / "config").mkdir()
        (folder / "config" / "quartet.yaml").write_text(json.dumps(config), encoding="utf-8")
    async with AsyncExitStack() as stack:
        twin = await stack.enter_async_context(slack or SlackTwin(mode, time_scale=0.01))
        models = stack.enter_context(ModelServer(script)) if script is not None else None
        named = {"KNOWLEDGE_DIR": str(knowledge), **twin.environment(oauth=oauth), **(env or {})}
        if models is not None:
            named |= {"OPENAI_API_KEY": models.key, "OPENAI_BASE_URL": f"{models.url}/v1"}
        bot = Bot(folder, named)
        if oauth:
            bot.env["ORCHESTRATOR_BASE_URL"] = bot.url
        tokens = {*twin.world.tokens, *twin.app.app_tokens, twin.app.signing_secret}
        try:
            await asyncio.to_thread(bot.start)
            one = Desk(twin, bot, models)
            if connected:
                await one.connected()
            if twin.mode == "http":
                await twin.set_events_url(f"{bot.url}/slack/events")
            yield one
            _check(one, tokens, errors=errors)
        finally:
            await asyncio.to_thread(bot.kill)
            bot.client.close()


def _by_us(slack: SlackTwin, ping: Ping) -> bool:
    """Whether a text of our bot notified somebody; that it joined is said by Slack."""
    message = slack.world.messages[ping.channel][ping.ts]
    return message.app_id == slack.app.id and message.subtype != "channel_join"


def _check(one: Desk, tokens: set[str], *, errors: bool) -> None:
    slack, log = one.slack, one.log()
    assert [ping for ping in slack.world.pings if _by_us(slack, ping)] == []
    assert slack.rates.impatient == []
    warned = {name: slack.person(name).warnings for name in ("ada", "bob", "cem", "root")}
    assert not any(warned.values()), warned
    assert errors or '"level": "error"' not in log, log
    assert "Traceback" not in log, log
    assert not any(token in log for token in tokens | set(slack.world.tokens)), log
