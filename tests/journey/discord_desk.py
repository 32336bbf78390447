"""One Discord on loopback and one bot of its own process, for whole conversations.

    async with desk(tmp_path) as one:
        thread = one.ada.mentions(one.general, "What is tea?")
        await one.presses(one.ada, thread, "Approve")

A mention in a channel and the thread that the bot begins on it have one id, so what `mentions` returns is
where the answer will stand. Leaving the block fails the test if a call broke Discord's description or came
before the pause of a 429 had passed, if the bot did at the gateway what no correct bot does, if a text of the
bot's notified anybody, if a person read "this interaction failed", if the bot logged an error, or if the
token stands in its log.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.journey.bot_process import ROOT, Bot
from tests.twins.discord import DiscordTwin
from tests.twins.discord.people import Interaction, Modal, NotPossible, Person, Seen
from tests.twins.openai_server import ModelServer

T = TypeVar("T")
AT_COMMIT = Path(__file__).with_name("at_commit")
WITHIN_S = 30.0
KNOWLEDGE = """# Tea

## What tea is

Tea is a warm drink made of leaves.

## Coffee

Coffee is made of beans.
"""
APPROVAL, ANSWER = "Approve", "👍 Good answer"
# How long the bot waits for the last of its servers at a start; the twin tells them all at once.
AT_ONCE = {"adapters.discord.client:GUILDS_S": 0.05}


class Desk:
    """A Discord, a bot, and the people who talk with it."""

    def __init__(self, discord: DiscordTwin, bot: Bot, models: ModelServer | None) -> None:
        self.discord = discord
        self.bot = bot
        self.starts = 0
        self.forgiven: list[Interaction] = []  # may fail: a bot that is away answers nothing
        self._models = models
        self.general = discord.general
        self.ada, self.bob = (discord.person(name) for name in ("ada", "bob"))
        self.root = discord.person("root", permissions=("administrator",))

    @property
    def models(self) -> ModelServer:
        assert self._models is not None, "this desk plays by rules"
        return self._models

    def prompts(self, agent: str) -> list[str]:
        """What a model was asked in the name of an agent, oldest first."""
        return [r["prompt"] for r in self.models.journal()["requests"] if r["agent"] == agent]

    # ── the bot's process ────────────────────────────────────────────────────────────────────

    async def start(self, *, connected: bool = True) -> None:
        """Start the bot, and wait until it talks with Discord."""
        await asyncio.to_thread(self.bot.start)
        if not connected:
            return
        self.starts += 1
        await self.until(lambda: self.log().count("Discord is connected.") >= self.starts)

    async def kill(self) -> None:
        """SIGKILL: nothing is cleaned up."""
        await asyncio.to_thread(self.bot.kill)
        await self.until(lambda: not self.discord.gateway.connected)

    async def stop(self) -> None:
        """SIGTERM."""
        assert await asyncio.to_thread(self.bot.stop) == 0
        await self.until(lambda: not self.discord.gateway.connected)

    def log(self) -> str:
        """What the bot has logged."""
        return self.bot.log.read_text(encoding="utf-8") if self.bot.log.exists() else ""

    # ── what people see and do ───────────────────────────────────────────────────────────────

    async def until(self, predicate: Callable[[], T | None], within_s: float = WITHIN_S) -> T:
        """What the predicate gives, once it is true; a failure shows what stands in #general and the log."""
        try:
            return await self.discord.until(predicate, within_s)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n\n{self.everything()}\n\n{self.log()[-6000:]}") from None

    def sees(self, place: str, *, by: Person | None = None) -> list[Seen]:
        """What somebody sees in a channel, a thread or a direct message; nothing where there is none yet."""
        if int(place) not in self.discord.backend.channels:
            return []
        try:
            return (by or self.ada).sees(place)
        except NotPossible:
            return []

    def ours(self, place: str, *, by: Person | None = None) -> list[Seen]:
        """What stands there of the bot's; not the line that begins a thread."""
        seen = self.sees(place, by=by)
        return [each for each in seen if each.author_id == self.discord.bot_id and each.kind != 21]

    async def message(self, place: str, button: str, *, by: Person | None = None, count: int = 1) -> Seen:
        """The newest message with this button, once there are `count` of them."""

        def there() -> list[Seen] | None:
            found = [each for each in self.sees(place, by=by) if button in each.labels]
            return found if len(found) >= count else None

        return (await self.until(there))[-1]

    async def says(self, text: str, place: str, *, by: Person | None = None) -> Seen:
        """The newest message of the bot that shows this text, once there is one."""

        def there() -> Seen | None:
            return next((each for each in reversed(self.ours(place, by=by)) if text in each.text), None)

        return await self.until(there)

    async def told(self, person: Person, text: str) -> Seen:
        """What the bot wrote to somebody directly, once it is there."""
        return await self.says(text, person.dm, by=person)

    async def presses(self, person: Person, place: str, button: str) -> Interaction:
        """Somebody presses a button once it is there, and is answered."""
        seen = await self.message(place, button, by=person)
        pressed = person.clicks(seen.id, label=button)
        return await pressed.wait()

    async def modal(self, person: Person, title: str) -> Modal:
        """The form with this title, once it is on somebody's screen."""

        def there() -> Modal | None:
            return person.modal if person.modal is not None and person.modal.title == title else None

        return await self.until(there)

    async def done(self, place: str, *, by: Person | None = None, count: int = 1) -> None:
        """So many answers stand there, and every status card says how it ended."""
        await self.message(place, ANSWER, by=by, count=count)
        await self.quiet(place, by=by)

    async def quiet(self, place: str, *, by: Person | None = None) -> None:
        """No run can be stopped there any more."""
        await self.until(lambda: not any("Stop" in each.labels for each in self.sees(place, by=by)))

    async def answered(self, person: Person, place: str, *, count: int = 1) -> None:
        """The run that waits there is approved and answered."""
        await self.presses(person, place, APPROVAL)
        await self.done(place, by=person, count=count)

    # ── how the bot stands ───────────────────────────────────────────────────────────────────

    async def runs(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.bot.runs)

    async def health(self, platform: str = "discord") -> dict[str, Any]:
        """What /health says of a platform."""
        answer = await asyncio.to_thread(self.bot.client.get, "/health")
        return json.loads(answer.text)["components"][platform]

    async def healthy(self) -> None:
        """/health says that all is well with Discord."""
        await self._until_health("healthy")

    async def degraded(self) -> str:
        """What /health says is wrong with Discord, once it says so."""
        return str((await self._until_health("degraded"))["detail"])

    async def _until_health(self, status: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        try:
            async with asyncio.timeout(WITHIN_S):
                while (found := await self.health())["status"] != status:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"not {status}: {found}\n\n{self.log()[-6000:]}") from None
        return found

    def everything(self) -> str:
        """What can be read in every channel, for a failure."""
        places = [
            place for place in self.discord.backend.channels if self.discord.backend.messages.get(place)
        ]
        lines = [f"── {place}\n{self._read(str(place))}" for place in places[-8:]]
        return "\n".join(lines)

    def _read(self, place: str) -> str:
        return "\n".join(
            f"{each.author}: {each.text} {each.labels}" for each in self.sees(place, by=self.root)
        )


@asynccontextmanager
async def desk(
    folder: Path,
    *,
    discord: DiscordTwin | None = None,
    env: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    script: dict[str, Any] | None = None,
    waits: Mapping[str, object] | None = None,
    connected: bool = True,
    errors: bool = False,
) -> AsyncGenerator[Desk]:
    """A running desk.

    Args:
        env: further variables of the bot.
        config: its `config/quartet.yaml`.
        script: of the models; None: the rules engine plays the agents.
        waits: constants of the bot that are other than in the world, `module:NAME` → value: a test cannot
            wait for minutes.
        connected: wait until the bot talks with Discord.
        errors: the bot may log some.
    """
    knowledge = folder / "knowledge"
    knowledge.mkdir()
    (knowledge / "tea.md").write_text(KNOWLEDGE, encoding="utf-8")
    if config:
        (folder / "config").mkdir()
        (folder / "config" / "quartet.yaml").write_text(json.dumps(config), encoding="utf-8")
    async with AsyncExitStack() as stack:
        twin = await stack.enter_async_context(discord or DiscordTwin(time_scale=0.05))
        models = stack.enter_context(ModelServer(script)) if script is not None else None
        named = {
            "KNOWLEDGE_DIR": str(knowledge),
            "PYTHONPATH": f"{AT_COMMIT}:{ROOT}",
            "CONSTANTS": json.dumps({**AT_ONCE, **(waits or {})}),
            **twin.environment(),
            **(env or {}),
        }
        if models is not None:
            named |= {"OPENAI_API_KEY": models.key, "OPENAI_BASE_URL": f"{models.url}/v1"}
        bot = Bot(folder, named)
        one = Desk(twin, bot, models)
        try:
            await one.start(connected=connected)
            yield one
            _check(one, errors=errors)
        finally:
            await asyncio.to_thread(bot.kill)
            bot.client.close()


def _check(one: Desk, *, errors: bool) -> None:
    discord, log = one.discord, one.log()
    assert discord.violations == []
    assert discord.rates.impatient == []
    assert discord.gateway.problems == []
    pings = [
        each.content
        for messages in discord.backend.messages.values()
        for each in messages.values()
        if str(each.author_id) == discord.bot_id and (each.ping_user_ids or each.mention_everyone)
    ]
    assert pings == []
    failed = [each for each in discord.gateway.failed_interactions if each not in one.forgiven]
    assert failed == [], [each.payload for each in failed]
    assert errors or '"level": "error"' not in log, log
    assert "Traceback" not in log, log
    assert discord.token not in log, log
