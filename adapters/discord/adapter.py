"""Discord as a chat platform: what comes in is kept and handed in, what goes out is the Sender's.

What comes in comes over discord.py's gateway; all that goes out goes through our own calls (`api.py`), so
that an answer waits for nothing but its own turn.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from starlette.routing import BaseRoute

from adapters.contract import (
    Attachment,
    Card,
    CardId,
    ChatAdapter,
    Choice,
    ChoiceKind,
    ConversationRef,
    Inbound,
    Limits,
    MessageRef,
    Person,
    Platform,
)
from adapters.database import Database
from adapters.discord import meaning
from adapters.discord.answers import Answers
from adapters.discord.api import DiscordApi
from adapters.discord.connection import NO_CONTENT
from adapters.discord.files import Files
from adapters.discord.gateway import Gateway
from adapters.discord.inbound import MESSAGES, Arrival, Spoken, conversation_of, read, spoken
from adapters.discord.inbox import BOT_TURNS, SCHEMA, Inbox, Row
from adapters.discord.keys import Naming
from adapters.discord.known import Where, where_told
from adapters.discord.missed import Missed
from adapters.discord.modals import Modals, Opened
from adapters.discord.notes import Notes
from adapters.discord.office import Office
from adapters.discord.payload import PUBLIC_THREAD, ident, user_of
from adapters.discord.people import People
from adapters.discord.ports import API_URL, DIRECT
from adapters.discord.presses import Presses
from adapters.discord.refusals import NoPermission
from adapters.discord.sending import Sender
from adapters.discord.sync import CommandSync
from adapters.discord.turns import Turns, passes, takes_back
from adapters.errors import AdapterError, NotAllowed, PlatformDown
from adapters.lanes import Lanes, Passing
from adapters.later import Later
from adapters.payload import Payload, mapping
from adapters.urgency import Urgency

LIMITS = Limits(
    text=3_800, buttons=25, button_label=80, messages=3, file_bytes=10 * 1024 * 1024, edit_interval_s=1.5
)
WRITE_MARKS_S = 5.0
KEEP_AGAIN_S = (0.1, 0.5, 2.0)  # between tries to keep something: Discord does not deliver it again
AWAY_S = 7 * 86_400.0  # a channel that the bot may not write in for so long is given up
AWAY = (
    "I may not write any more where you asked, so I cannot go on there: {why}. Once that is mended it comes "
    "within a minute or so."
)
LOST = "I could not take this, though I tried many times. Please send it again."
TAKEN_BACK = "Stopped: your message that still waited for its files is not started."

log = structlog.get_logger(__name__)
Step = Callable[[Row], Awaitable[str]]


class DiscordAdapter:
    """Discord.

    Args:
        home: folder for `discord.db`.
        token: the bot's token.
        guild_ids: guilds whose commands are registered there alone; empty: everywhere.
        api_url: Discord's REST API.
        allowed_bots: user or webhook ids of other bots whose messages count; "*": everyone's.
        bot_turns: how many turns other bots may start in a thread until a person writes there.
        shards: connections to the gateway; None: as many as Discord says.
    """

    def __init__(
        self,
        home: Path,
        *,
        token: str,
        guild_ids: Sequence[str] = (),
        api_url: str = API_URL,
        allowed_bots: Collection[str] = (),
        bot_turns: int = BOT_TURNS,
        shards: int | None = None,
    ) -> None:
        self._token = token
        self._allowed_bots = frozenset(allowed_bots)
        self._guild_ids = tuple(guild_ids)
        self._bot: Inbound | None = None
        self._database = Database(home / "discord.db", SCHEMA)
        self._api = DiscordApi(token, base_url=api_url)
        self._gateway = Gateway(
            token,
            take=self._take,
            choices=self._choices,
            fresh=self._fresh,
            left=self._left,
            joined=self._joined,
            ask=self._ask,
            calls=self._api.count,
            api_url=api_url,
            shards=shards,
        )
        self._inbox = Inbox(self._database, bot_turns=bot_turns, sure=lambda: not self._gateway.unsure)
        self._sender = Sender(self._api, self._database, me=lambda: self._gateway.me.user)
        self._people = People(self._api, self._gateway)
        self._naming = Naming(self._people)
        self._answers = Answers(self._api)
        self._notes = Notes(self._api, self._sender, self._answers, self._naming)
        self._files = Files(self._api, base_url=api_url, limit=LIMITS.file_bytes)
        self._missed = Missed(self._api, self._gateway, self._inbox, self._take_missed, self._take_now)
        self._sync = CommandSync(self._database, self._gateway.put_commands, guild_ids)
        self._connected = asyncio.Event()
        self._lanes: Lanes[Arrival] | None = None
        self._later: Later | None = None
        self._marking: asyncio.Task[None] | None = None
        self._away: dict[str, float] = {}  # channel where we may not write → since when, monotonic seconds
        self._told_away: set[str] = set()  # conversations whose requester was told so

    # ── what it is ───────────────────────────────────────────────────────────────────────────

    @property
    def platform(self) -> Platform:
        """Which platform this is."""
        return "discord"

    @property
    def limits(self) -> Limits:
        """What fits in one message."""
        return LIMITS

    @property
    def trouble(self) -> str:
        """Why Discord is not reached now, with the remedy; "": all is well."""
        down = self._gateway.trouble
        return self._api.trouble or ("" if down == NO_CONTENT else down)

    @property
    def lacking(self) -> str:
        """What Discord does not let us do, or does not know of yet."""
        return (NO_CONTENT if self._gateway.trouble == NO_CONTENT else "") or self._sync.trouble

    def routes(self) -> Sequence[BaseRoute]:
        """None: everything comes over the gateway."""
        return ()

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    async def start(self, inbound: Inbound) -> None:
        """Connect, and hand in what was left over. After an error it may be called again.

        Raises:
            NotAllowed: the token is wrong, or none is set; the message names the setting.
            PlatformDown: Discord cannot be reached now.
        """
        if self._marking is not None:
            return
        if not self._token:
            raise NotAllowed("Discord needs DISCORD_BOT_TOKEN")
        try:
            await self._begin(inbound)
        except BaseException:  # also where the bot is stopped meanwhile: what is open is closed
            await self.stop()
            raise

    async def _begin(self, inbound: Inbound) -> None:
        await self._database.open()
        await self._sender.start()
        self._bot = inbound
        self._later = later = Later()
        self._missed.hold()  # until it is known what was missed
        self._lanes = lanes = self._working(inbound, later)
        await lanes.start()
        await self._gateway.start()
        self._connected.set()
        for guild in self._guild_ids:
            if guild not in self._gateway.guilds:  # what was told there is forgotten when we are invited
                await self._sync.forget(self._gateway.me.application, guild)
        self._sync.start(self._gateway.me.application, self._gateway.commands)
        self._marking = asyncio.create_task(self._write_marks(), name="discord-marks")

    def _working(self, inbound: Inbound, later: Later) -> Lanes[Arrival]:
        office = Office(
            inbound,
            self._api,
            self._gateway,
            self._sender,
            self._people,
            self._naming,
            self._inbox,
            self._answers,
            self._notes,
            later,
        )
        steps = _steps(office)

        async def perform(row: Row) -> str:
            await self._connected.wait()  # who we are is known only then
            return await steps[row.arrival.kind](row)

        async def give_up(row: Row) -> None:
            await self._lost(row)

        async def taken_back(row: Row) -> None:
            await self._lost(row, TAKEN_BACK)

        return Lanes(self._inbox, perform, give_up, passing=Passing(passes, takes_back, taken_back))

    async def stop(self) -> None:
        """Disconnect; what is not handed in stays kept. May be called twice."""
        self._connected.clear()
        marking, self._marking = self._marking, None
        if marking is not None:
            marking.cancel()
            await asyncio.gather(marking, return_exceptions=True)
            await self._mark()
        lanes, later = self._lanes, self._later
        steps: list[Callable[[], Awaitable[None]]] = [
            self._missed.stop,
            self._sync.stop,
            self._gateway.stop,
            *(part.stop for part in (lanes, later) if part is not None),
            self._sender.stop,
            self._files.close,
            self._api.close,
            self._database.close,
        ]
        for step in steps:
            try:
                await step()
            except Exception as error:  # the others are to be closed all the same
                log.warning("A part did not stop.", action="discord.stop_failed", error=type(error).__name__)
        self._lanes = self._later = None
        self._people.close()
        self._answers.clear()

    async def _write_marks(self) -> None:
        while True:
            await asyncio.sleep(WRITE_MARKS_S)
            await self._mark()

    async def _mark(self) -> None:
        try:
            await self._inbox.write_marks()
        except (sqlite3.Error, AdapterError) as error:
            log.warning("An adapter's file failed.", action="chat.file_failed", error=type(error).__name__)

    # ── what comes in ────────────────────────────────────────────────────────────────────────

    async def _take(self, event: str, payload: Payload) -> None:
        """Keep what counts, and begin to work on it; what people say waits for what was missed before it."""
        if event == "INTERACTION_CREATE" or not self._missed.waits(event, payload):
            await self._take_now(event, payload)

    async def _take_now(self, event: str, payload: Payload) -> None:
        since = time.monotonic()
        said = spoken(payload) if event == "MESSAGE_CREATE" else None
        if said is not None and _nowhere(said):
            self._missed.look_behind(said.guild, said.stands_in, said.message)  # Discord still has it
            return
        if said is not None:
            self._inbox.look(said.guild, said.stands_in, said.message)
        arrival = read(event, payload, self._gateway.me, self._allowed_bots)
        if arrival is None:
            return
        try:
            await self._keep(arrival, since)
        except (sqlite3.Error, AdapterError) as error:
            log.warning(
                "Something that came in could not be kept.",
                action="discord.not_kept",
                kind=arrival.kind,
                error=f"{type(error).__name__}: {error}"[:200],
            )
            if said is not None and self._lanes is not None:
                self._missed.look()  # Discord still has it

    async def _take_missed(self, payload: Payload) -> None:
        """As `_take`, of what was said while we were away; raises where it is not kept."""
        said = spoken(payload)
        if said is not None and _nowhere(said):
            raise PlatformDown("Discord does not tell now what the channel is")
        arrival = read("MESSAGE_CREATE", payload, self._gateway.me, self._allowed_bots)
        if arrival is not None:
            await self._keep(arrival, time.monotonic())

    async def _keep(self, arrival: Arrival, since: float) -> None:
        row = await self._kept(arrival)
        lanes, later = self._lanes, self._later
        if row is None or lanes is None or later is None:
            return  # known already; or it is being stopped, and is handed in at the next start
        if arrival.pressed:
            self._answers.expect(arrival, later, since)
        lanes.add(row)

    async def _kept(self, arrival: Arrival) -> Row | None:
        for pause_s in KEEP_AGAIN_S:
            try:
                return await self._inbox.keep(arrival)
            except sqlite3.Error:
                await asyncio.sleep(pause_s)
        return await self._inbox.keep(arrival)

    async def _choices(self, kind: ChoiceKind, conversation: ConversationRef, typed: str) -> Sequence[Choice]:
        return await self._bot.choices(kind, conversation, typed) if self._bot is not None else ()

    def _fresh(self) -> None:
        if self._lanes is not None:
            self._missed.look()

    async def _left(self, guild: str) -> None:
        log.warning(
            "Quartet was removed from a server; invite it again with the link of `quartet manifest discord`.",
            action="discord.removed",
            guild=guild,
        )
        await self._sync.forget(self._gateway.me.application, guild)  # Discord has dropped them

    async def _joined(self, guild: str) -> None:
        if self._connected.is_set():
            log.info("Quartet was invited to a server.", action="discord.invited", guild=guild)
            self._sync.start(self._gateway.me.application, self._gateway.commands)

    async def _ask(self, channel: str) -> Where | None:
        """What a channel is that the gateway does not know: a thread of ours, or Discord says it."""

        def work(db: sqlite3.Connection) -> sqlite3.Row | None:
            return db.execute("SELECT channel FROM threads WHERE thread = ?", (channel,)).fetchone()

        row = await self._database.read(work)
        if row is not None:
            return Where(row["channel"], PUBLIC_THREAD)
        told = await self._api.call("GET", f"/channels/{channel}", urgency=Urgency.PERSON)
        return where_told(mapping(told))

    async def _lost(self, row: Row, why: str = LOST) -> None:
        """Tell who did something that it was in vain."""
        arrival = row.arrival
        user = ident(user_of(arrival.payload), "id")
        if not user or arrival.kind in ("deleted", "reaction"):
            return
        there = conversation_of(arrival)
        said = spoken(arrival.payload) if arrival.kind in MESSAGES else None
        reply_to = ""
        if said is not None and said.root:  # its thread may not be there
            there, reply_to = there.model_copy(update={"thread": ""}), said.message
        pressed = arrival if arrival.pressed else None
        await self._notes.privately(there, meaning.nameless(user), why, arrival=pressed, reply_to=reply_to)

    # ── what goes out ────────────────────────────────────────────────────────────────────────

    async def post(self, conversation: ConversationRef, card: Card, *, nonce: str) -> MessageRef:
        """Show a new card; see `ChatAdapter.post`."""
        card = await self._naming.card(conversation.workspace, card)
        async with self._patient(conversation):
            return await self._sender.post(conversation, card, nonce=nonce)

    async def edit(self, message: MessageRef, card: Card) -> MessageRef:
        """Replace what the message shows; see `ChatAdapter.edit`."""
        card = await self._naming.card(message.conversation.workspace, card)
        async with self._patient(message.conversation):
            return await self._sender.edit(message, card)

    async def find(self, conversation: ConversationRef, card_id: CardId) -> MessageRef | None:
        """Look for the card among what was posted."""
        async with self._patient(conversation):
            return await self._sender.find(conversation, card_id)

    @asynccontextmanager
    async def _patient(self, conversation: ConversationRef) -> AsyncGenerator[None]:
        """Cards for a channel where the bot may not write any more wait for its return; who asked is told.

        Raises:
            PlatformDown: the bot may not write there now; after a week of that, what Discord said.
        """
        channel = conversation.channel_key
        try:
            yield
        except NoPermission as error:
            if conversation.workspace == DIRECT:
                raise  # nobody can give it permission there
            since = self._away.setdefault(channel, time.monotonic())
            if time.monotonic() - since > AWAY_S:
                raise
            if conversation.key not in self._told_away:
                self._told_away.add(conversation.key)
                if self._later is not None:
                    self._later.do(self._tell_away(conversation, error))
            raise PlatformDown(str(error)) from error
        except AdapterError:
            raise
        else:
            if self._away.pop(channel, None) is not None:
                self._told_away = {k for k in self._told_away if not k.startswith(f"{channel}:")}

    async def _tell_away(self, conversation: ConversationRef, error: NoPermission) -> None:
        user = await self._inbox.requester(conversation)
        if user:
            why = AWAY.format(why=error)
            await self._notes.privately(conversation, meaning.nameless(user), why)

    async def note(self, conversation: ConversationRef, person: Person, text: str) -> None:
        """Tell one person something that others do not see, as far as Discord can."""
        await self._notes.note(conversation, person, text)

    async def busy(self, conversation: ConversationRef, text: str) -> None:
        """Show that work goes on ("" ends it). Never raises."""
        await self._sender.busy(conversation, text)

    async def download(self, attachment: Attachment) -> bytes:
        """Fetch a file that came with a turn; see `ChatAdapter.download`."""
        return await self._files.download(attachment)


def _nowhere(said: Spoken) -> bool:
    """Whether nobody could say in what kind of channel a message stands."""
    return said.guild != DIRECT and said.channel_type < 0


def _steps(office: Office) -> Mapping[str, Step]:
    """What is done with each kind of arrival."""
    opened = Opened()
    turns, presses, modals = Turns(office), Presses(office, opened), Modals(office, opened)
    return {
        "mention": turns.message,
        "direct": turns.message,
        "reply": turns.message,
        "deleted": turns.deleted,
        "reaction": turns.reaction,
        "click": presses.click,
        "feedback": presses.feedback,
        "command": presses.command,
        "home": presses.home,
        "form": modals.form,
        "again": modals.again,
        "ask_about": modals.ask_about,
    }


def discord_adapter(
    home: Path,
    *,
    token: str,
    guild_ids: Sequence[str] = (),
    api_url: str = API_URL,
    allowed_bots: Collection[str] = (),
    bot_turns: int = BOT_TURNS,
    shards: int | None = None,
) -> ChatAdapter:
    """The adapter from plain settings; see `DiscordAdapter`."""
    return DiscordAdapter(
        home,
        token=token,
        guild_ids=guild_ids,
        api_url=api_url.rstrip("/"),
        allowed_bots=allowed_bots,
        bot_turns=bot_turns,
        shards=shards,
    )
