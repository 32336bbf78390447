"""Slack as a chat platform: what comes in is kept and handed in, what goes out is the Sender's.

Socket Mode and signed HTTP are two doors of the same house; see `entrance.py` and `connection.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from starlette.routing import BaseRoute

from adapters.contract import (
    Attachment,
    Card,
    CardId,
    ConversationRef,
    Inbound,
    Limits,
    MessageRef,
    Person,
    Platform,
)
from adapters.database import Database
from adapters.errors import AdapterError, NotAllowed, PlatformDown
from adapters.lanes import Lanes, Passing
from adapters.later import Later
from adapters.payload import mapping, text
from adapters.slack.agent_pane import AgentPane
from adapters.slack.answers import Answers
from adapters.slack.api import SlackApi
from adapters.slack.connection import Connection
from adapters.slack.entrance import Entrance, bolt_app
from adapters.slack.files import Files
from adapters.slack.inbound import Arrival, Me, conversation_at, read, spoken
from adapters.slack.inbox import BOT_TURNS, Inbox, Row
from adapters.slack.install import SCHEMA, Installations
from adapters.slack.manifest import INSTALL_PATH
from adapters.slack.modals import Modals, Waiting
from adapters.slack.naming import Naming
from adapters.slack.oauth import oauth_flow
from adapters.slack.office import Office
from adapters.slack.payload import place, presser, team_of
from adapters.slack.people import People, nameless
from adapters.slack.ports import Tokens
from adapters.slack.presses import Presses
from adapters.slack.refusals import INSTALL_REMEDY, TOKEN_REMEDY, NotInChannel, Unseen
from adapters.slack.sending import Sender
from adapters.slack.streams import Progress
from adapters.slack.tokens import API_URL, Fixed, OneWorkspace
from adapters.slack.turns import Turns, passes, takes_back

LIMITS = Limits(
    text=11_000, buttons=25, button_label=75, messages=3, file_bytes=20_000_000, edit_interval_s=1.0
)
WHO_S = 1.0  # for knowing who we are, before something is kept
AWAY_S = 7 * 86_400.0  # a channel that the bot is not in for so long is given up
AWAY = (
    "I am not in the channel any more in which you asked, so I cannot go on there. Invite me with `/invite`: "
    "it comes within a minute or so."
)
LOST = "I could not take this, though I tried many times. Please send it again."
TAKEN_BACK = "Stopped: your message that still waited for its files is not started."

log = structlog.get_logger(__name__)
Step = Callable[[Row], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class OAuth:
    """What installing the app in further workspaces needs."""

    client_id: str
    client_secret: str
    keys: Sequence[str]  # tokens are encrypted with the first; all decrypt
    base_url: str  # the bot's address as browsers reach it
    authorize_url: str = ""  # "": the page beside Slack's API


class SlackAdapter:
    """Slack, in Socket Mode, by signed HTTP, or both.

    Args:
        home: folder for `slack.db`.
        bot_token: `xoxb-…`; "": workspaces install the app by OAuth.
        app_token: `xapp-…` for Socket Mode.
        signing_secret: for `POST /slack/events`.
        oauth: for `/slack/install`.
        api_url: Slack's Web API, with a slash at the end.
        progress: how status cards are shown: "auto", "stream" or "blocks".
        allowed_bots: bot, user or app ids of other bots whose messages count; "*": everyone's.
        bot_turns: how many turns other bots may start in a thread until a person writes there.
    """

    def __init__(
        self,
        home: Path,
        *,
        bot_token: str = "",
        app_token: str = "",
        signing_secret: str = "",
        oauth: OAuth | None = None,
        api_url: str = API_URL,
        progress: Progress = "auto",
        allowed_bots: Collection[str] = (),
        bot_turns: int = BOT_TURNS,
    ) -> None:
        self._app_token = app_token
        self._signing_secret = signing_secret
        self._oauth = oauth
        self._api_url = api_url
        self._allowed_bots = frozenset(allowed_bots)
        self._database = Database(home / "slack.db", SCHEMA)
        self._one = OneWorkspace(bot_token, api_url) if bot_token else None
        self._installations = self._installing()
        self._tokens = self._choose()
        self._remedy = _remedy(bot_token, oauth)
        self._api = SlackApi(self._tokens, base_url=api_url, token_remedy=self._remedy)
        self._sender = Sender(self._api, self._database, progress=progress)
        self._people = People(self._api)
        self._inbox = Inbox(self._database, bot_turns=bot_turns)
        self._naming = Naming(self._people)
        self._answers = Answers(self._sender, self._naming, base_url=api_url)
        self._files = Files(self._api, self._tokens, base_url=api_url, limit=LIMITS.file_bytes)
        self._entrance = Entrance(
            events=bool(signing_secret), flow=lambda: self._flow, installs=oauth is not None
        )
        self._flow: AsyncOAuthFlow | None = None
        self._waiting = Waiting()
        self._connection: Connection | None = None
        self._lanes: Lanes[Arrival] | None = None
        self._later: Later | None = None
        self._away: dict[str, float] = {}  # channel that we are not in → since when, monotonic seconds
        self._told_away: set[str] = set()  # conversations whose requester was told so
        self._removed_team = ""
        self._removed = ""  # why the workspace of SLACK_BOT_TOKEN is not reached any more

    def _installing(self) -> Installations | None:
        if self._oauth is None:
            return None
        return Installations(
            self._database,
            self._oauth.keys,
            client_id=self._oauth.client_id,
            client_secret=self._oauth.client_secret,
            api_url=self._api_url,
            install_url=f"{self._oauth.base_url.rstrip('/')}{INSTALL_PATH}",
        )

    def _choose(self) -> Tokens:
        if self._one is not None and self._installations is not None:
            return Fixed(self._one, self._installations)
        return self._one or self._installations or OneWorkspace("", self._api_url)

    # ── what it is ───────────────────────────────────────────────────────────────────────────

    @property
    def platform(self) -> Platform:
        """Which platform this is."""
        return "slack"

    @property
    def limits(self) -> Limits:
        """What fits in one message."""
        return LIMITS

    @property
    def trouble(self) -> str:
        """Why Slack is not reached now, with the remedy; "": all is well."""
        socket = self._connection.trouble if self._connection is not None else ""
        return self._removed or socket or self._token_trouble()

    @property
    def lacking(self) -> str:
        """Nothing that is known before it is tried."""
        return ""

    def _token_trouble(self) -> str:
        if self._installations is None:
            return self._api.trouble
        # One of many workspaces that removed the app is no trouble for the others.
        return self._api.trouble_in(self._one.team) if self._one is not None and self._one.team else ""

    def routes(self) -> Sequence[BaseRoute]:
        """`POST /slack/events` with a signing secret; the pages that install the app with OAuth."""
        return self._entrance.routes()

    # ── life ─────────────────────────────────────────────────────────────────────────────────

    async def start(self, inbound: Inbound) -> None:
        """Check the tokens, hand in what was left over, connect. After an error it may be called again.

        Raises:
            NotAllowed: a token is wrong, or none is set; the message names the setting.
            PlatformDown: Slack cannot be reached now.
        """
        self._check_settings()
        await self._database.open()
        await self._check_token()
        self._removed = ""
        if self._oauth is not None and self._installations is not None and self._flow is None:
            await self._installations.rotate()
            self._flow = oauth_flow(
                self._installations,
                database=self._database,
                client_id=self._oauth.client_id,
                client_secret=self._oauth.client_secret,
                base_url=self._oauth.base_url,
                api_url=self._api_url,
                authorize_url=self._oauth.authorize_url,
            )
        await self._sender.start()
        await self._work(inbound)
        app = bolt_app(
            self._take, signing_secret=self._signing_secret, base_url=self._api_url, flow=self._flow
        )
        if self._app_token and self._connection is None:
            connection = Connection(app, self._app_token, base_url=self._api_url)
            await connection.start()  # closes what it opened where it does not succeed
            self._connection = connection
        self._entrance.app = app

    async def _work(self, inbound: Inbound) -> None:
        """Begin to hand in."""
        if self._lanes is not None:
            return
        self._later = later = Later()
        office = Office(
            inbound,
            self._api,
            self._tokens,
            self._people,
            self._naming,
            self._inbox,
            self._answers,
            later,
        )
        steps = self._steps(office)

        async def perform(row: Row) -> str:
            return await steps[row.arrival.kind](row)

        async def give_up(row: Row) -> None:
            await self._lost(row)

        async def taken_back(row: Row) -> None:
            await self._lost(row, TAKEN_BACK)

        passing = Passing(passes, takes_back, taken_back)
        lanes = Lanes(self._inbox, perform, give_up, passing=passing)
        await lanes.start()
        self._lanes = lanes

    def _steps(self, office: Office) -> Mapping[str, Step]:
        """What is done with each kind of arrival."""
        pane = AgentPane(office)
        turns, presses = Turns(office, pane), Presses(office, pane)
        modals = Modals(office, pane, self._waiting)
        return {
            "mention": turns.message,
            "direct": turns.message,
            "reply": turns.message,
            "deleted": turns.deleted,
            "reaction": turns.reaction,
            "stopped": turns.stopped,
            "home": pane.home,
            "pane": pane.opened,
            "viewing": pane.viewed,
            "uninstalled": self._uninstalled,
            "click": presses.click,
            "feedback": presses.feedback,
            "command": presses.command,
            "submission": modals.submission,
            "ask_about": modals.ask_about,
            "ask_new": modals.ask_new,
        }

    def _check_settings(self) -> None:
        if self._one is None and self._oauth is None:
            raise NotAllowed(
                "Slack needs SLACK_BOT_TOKEN (xoxb-…), or SLACK_CLIENT_ID and SLACK_CLIENT_SECRET"
            )
        if not self._app_token and not self._signing_secret:
            raise NotAllowed(
                "Slack needs SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (POST /slack/events)"
            )

    async def _check_token(self) -> None:
        if self._one is not None:
            await self._one.verify()

    async def stop(self) -> None:
        """Disconnect; what is not handed in stays kept. May be called twice."""
        self._entrance.app = None
        connection, self._connection = self._connection, None
        lanes, self._lanes = self._lanes, None
        later, self._later = self._later, None
        for part in (connection, lanes, later, self._sender):
            if part is not None:
                await part.stop()
        self._people.close()
        await self._answers.close()
        await self._files.close()
        await self._api.close()
        if self._installations is not None:
            await self._installations.close()
        await self._database.close()

    # ── what comes in ────────────────────────────────────────────────────────────────────────

    async def _take(self, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Keep what counts. Returns when it may be acknowledged, with what goes with that."""
        since = time.monotonic()
        me = await self._me(*team_of(body))
        arrival = read(body, me, self._allowed_bots) if me is not None else _removal(body)
        if arrival is None:
            return None
        modal = arrival.kind == "submission"
        if modal and self._waiting.expects(arrival.key):
            return await self._waiting.answer(arrival.key, since)
        row = await self._inbox.keep(arrival)
        lanes = self._lanes
        if row is None or lanes is None:  # while it is being stopped: handed in at the next start
            return None
        if modal:
            self._waiting.begin(arrival.key)
        for one in (row, *row.early):
            lanes.add(one)
        return await self._waiting.answer(arrival.key, since) if modal else None

    async def _me(self, team: str, enterprise: str) -> Me | None:
        """Who we are where something comes from; None: the app is not installed there."""
        try:
            async with asyncio.timeout(WHO_S):
                token = await self._tokens.bot(team, enterprise)
        except NotAllowed:
            return None
        except (AdapterError, TimeoutError):
            return Me()
        return Me(token.bot_user, token.bot_id, token.app_id)

    async def _lost(self, row: Row, why: str = LOST) -> None:
        """Tell who did something that it was in vain."""
        said = spoken(row.arrival.payload)
        if said is not None:
            user, channel, thread = said.user, said.channel, said.thread
        else:
            user, (channel, thread, _) = presser(row.arrival.payload)[0], place(row.arrival.payload)
        if user and channel:
            there = conversation_at(row.arrival.team, channel, thread)
            await self._answers.privately(there, nameless(user), why)

    async def _uninstalled(self, row: Row) -> str:
        """The app was removed from a workspace, or its token revoked."""
        arrival = row.arrival
        happened = mapping(arrival.payload).get("event_time")
        since = float(happened) if isinstance(happened, int | float) else row.received
        if self._installations is not None and not await self._installations.installed_since(
            arrival.team, arrival.enterprise, since
        ):
            await self._installations.async_delete_bot(
                team_id=arrival.team or None, enterprise_id=arrival.enterprise or None
            )
        self._api.forget(arrival.team or arrival.enterprise)
        if self._one is not None:
            await self._ours_removed(arrival)
        log.warning(_gone(arrival, self._remedy), action="slack.removed", team=arrival.team)
        return ""

    async def _ours_removed(self, arrival: Arrival) -> None:
        if self._removed and arrival.team == self._removed_team:
            if not _is_revocation(arrival):  # Slack tells of a removal as of a revoked token too
                self._removed = _gone(arrival, self._remedy)
            return
        try:
            ours = await self._one.bot("") if self._one is not None else None
        except AdapterError:
            return
        if ours is not None and ours.team == arrival.team and self._one is not None:
            self._one.forget()
            try:
                await self._one.bot("")
            except AdapterError:
                pass
            else:
                return  # told late: the app is there again, and its token works
            self._removed, self._removed_team = _gone(arrival, self._remedy), arrival.team

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
        """Cards for a channel that the bot was removed from wait for its return, and who asked is told.

        Raises:
            PlatformDown: the bot is not there now; after a week of that, what Slack said.
        """
        channel = conversation.channel_key
        try:
            yield
        except (NotInChannel, Unseen) as error:
            if conversation.channel.startswith("D"):
                raise  # nobody can invite the bot there
            since = self._away.setdefault(channel, time.monotonic())
            if time.monotonic() - since > AWAY_S:
                raise
            if conversation.key not in self._told_away:
                self._told_away.add(conversation.key)
                if self._later is not None:
                    self._later.do(self._tell_away(conversation))
            raise PlatformDown(str(error)) from error
        except AdapterError:
            raise
        else:
            if self._away.pop(channel, None) is not None:
                self._told_away = {k for k in self._told_away if not k.startswith(f"{channel}:")}

    async def _tell_away(self, conversation: ConversationRef) -> None:
        user, _ = await self._sender.posted.requester(conversation)
        if user:
            await self._answers.privately(conversation, nameless(user), AWAY)

    async def note(self, conversation: ConversationRef, person: Person, text: str) -> None:
        """Tell one person something that others do not see."""
        text = await self._naming.text(conversation.workspace, text)
        await self._sender.note(conversation, person, text)

    async def busy(self, conversation: ConversationRef, text: str) -> None:
        """Show that work goes on ("" ends it). Never raises."""
        await self._sender.busy(conversation, text)

    async def download(self, attachment: Attachment) -> bytes:
        """Fetch a file that came with a turn; see `ChatAdapter.download`."""
        return await self._files.download(attachment)


def _removal(body: Mapping[str, Any]) -> Arrival | None:
    """From a workspace without the app only its removal counts."""
    arrival = read(body, Me())
    return arrival if arrival is not None and arrival.kind == "uninstalled" else None


def _remedy(bot_token: str, oauth: OAuth | None) -> str:
    """What to do where no token counts any more. The page for installing is named where it is served."""
    if not oauth:
        return TOKEN_REMEDY
    return f"{TOKEN_REMEDY}, or {INSTALL_REMEDY}" if bot_token else INSTALL_REMEDY


def _is_revocation(arrival: Arrival) -> bool:
    return text(mapping(arrival.payload.get("event")), "type") == "tokens_revoked"


def _gone(arrival: Arrival, remedy: str) -> str:
    """What happened to our place in a workspace, and what to do."""
    team = arrival.team or arrival.enterprise
    if _is_revocation(arrival):
        what = f"Quartet's token for the Slack workspace {team} was revoked"
    else:
        what = f"Quartet was removed from the Slack workspace {team}"
    again = "" if remedy == INSTALL_REMEDY else "install the app there again, and "
    return f"{what}; {again}{remedy}"


def slack_adapter(
    home: Path,
    *,
    bot_token: str = "",
    app_token: str = "",
    signing_secret: str = "",
    client_id: str = "",
    client_secret: str = "",
    secret_keys: Sequence[str] = (),
    base_url: str = "",
    api_url: str = API_URL,
    authorize_url: str = "",
    progress: Progress = "auto",
    allowed_bots: Collection[str] = (),
    bot_turns: int = BOT_TURNS,
) -> SlackAdapter:
    """The adapter from plain settings; the OAuth parts count where client, secret and keys are all set.

    Args:
        home: folder for `slack.db`.
        secret_keys: what tokens of installations are encrypted with; the first encrypts, all decrypt.
        base_url: the bot's address as browsers reach it, for OAuth.
        api_url: Slack's Web API, with a slash at the end.
    """
    oauth = None
    if client_id and client_secret and secret_keys:
        oauth = OAuth(client_id, client_secret, secret_keys, base_url, authorize_url)
    return SlackAdapter(
        home,
        bot_token=bot_token,
        app_token=app_token,
        signing_secret=signing_secret,
        oauth=oauth,
        api_url=api_url if api_url.endswith("/") else f"{api_url}/",
        progress=progress,
        allowed_bots=allowed_bots,
        bot_turns=bot_turns,
    )
