"""People at their Slack clients: what they do, and what they see.

Every method returns when Slack has taken what was done; the bot learns of it as fast as Slack tells it. What
a client does not offer (a command in a thread, a button that is not there) raises `NotPossible`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

from tests.twins.slack.delivery import Json, Parcel
from tests.twins.slack.files import add_file
from tests.twins.slack.interactions import NotPossible, Pressed, find
from tests.twins.slack.modals import Submitted, slacks_errors, state, take_answer
from tests.twins.slack.seen import Seen, sees
from tests.twins.slack.workspace import Ephemeral, Message, Refused, User, View

if TYPE_CHECKING:
    from tests.twins.slack.server import SlackTwin

Upload = tuple[str, str, bytes]  # name, type ("text/plain"), bytes


class Person:
    """Somebody in a workspace. `slack.person("ada")` gives one."""

    def __init__(self, slack: SlackTwin, user: User) -> None:
        self._slack = slack
        self._world = slack.world
        self.user = user
        self.warnings: list[str] = []  # what Slack told this person when the bot did not answer in time

    @property
    def id(self) -> str:
        """U…"""
        return self.user.id

    @property
    def dm(self) -> str:
        """D… of this person's direct message with the bot."""
        return self._world.direct(self.id, self._slack.bot_of(self.user.team).bot_user).id

    # ── messages ─────────────────────────────────────────────────────────────────────────────

    def posts(
        self,
        channel: str,
        text: str,
        thread: str | None = None,
        files: Collection[Upload] = (),
        *,
        broadcast: bool = False,
    ) -> str:
        """Write in a channel or thread; returns the `ts`. Mentions are written as `<@U…>`."""
        self._must_be_in(channel)
        ids = [self._uploads(*each) for each in files]
        message = self._world.post(
            channel, user=self.id, text=text, thread_ts=thread or "", files=ids, broadcast=broadcast
        )
        return message.ts

    def mentions(
        self, channel: str, text: str, thread: str | None = None, files: Collection[Upload] = ()
    ) -> str:
        """Write to the bot: its mention, then the text. Returns the `ts`."""
        bot = self._slack.bot_of(self.user.team).bot_user
        return self.posts(channel, f"<@{bot}> {text}", thread, files)

    def direct_message(self, text: str, thread: str | None = None, files: Collection[Upload] = ()) -> str:
        """Write to the bot directly; returns the `ts`. The channel is `self.dm`."""
        return self.posts(self.dm, text, thread, files)

    def edits(self, ts: str, text: str) -> None:
        """Change an own message."""
        message = self._own(ts)
        self._world.edit(message.channel, ts, by=self.id, text=text)

    def deletes(self, ts: str) -> None:
        """Delete an own message."""
        self._world.delete(self._own(ts).channel, ts)

    def reacts(self, ts: str, name: str, channel: str | None = None) -> None:
        """Add a reaction, e.g. `x`, to a message that this person sees."""
        self._world.react(self._visible(ts, channel).channel, ts, self.id, name)

    def unreacts(self, ts: str, name: str, channel: str | None = None) -> None:
        """Take a reaction back."""
        self._world.unreact(self._visible(ts, channel).channel, ts, self.id, name)

    def joins(self, channel: str) -> None:
        """Join a public channel."""
        if not self._world.channels[channel].public:
            raise NotPossible("private channels are joined by invitation")
        self._world.join(channel, self.id)

    def invites(self, channel: str, user: str) -> None:
        """Bring somebody, or the bot, into a channel."""
        self._must_be_in(channel)
        self._world.join(channel, user, inviter=self.id)

    def removes(self, channel: str, user: str) -> None:
        """Take somebody, or the bot, out of a channel."""
        self._must_be_in(channel)
        self._world.leave(channel, user)

    # ── agent pane and home ──────────────────────────────────────────────────────────────────

    def opens_home(self, tab: Literal["home", "messages"] = "home") -> None:
        """Open the app's page, on its home or on its messages."""
        self._world.open_home(self._slack.app.id, self.user.team, self.id, tab)

    def changes_context(self, channel: str | None) -> None:
        """Look at a channel (or at nothing) while the agent's pane is open."""
        entity = {"type": "slack#/types/channel_id", "value": channel, "team_id": self.user.team}
        event: Json = {
            "type": "app_context_changed",
            "user": self.id,
            "channel": self.dm,
            "context": {"entities": [entity]} if channel else {},
        }
        self._world.emit(self.user.team, event, app=self._slack.app.id)

    def stops_session(self, channel: str, thread: str) -> None:
        """Press Slack's own Stop in a thread where the agent works."""
        self._must_be_in(channel)
        self._world.stop_session(channel, thread, self.id)

    # ── clicks, commands, shortcuts ──────────────────────────────────────────────────────────

    def clicks(
        self, channel: str, ts: str, what: str, *, block: str = "", value: str = "", option: str = ""
    ) -> Parcel:
        """Press (or choose in) an element of a message, by its action id or label.

        Args:
            block: the block id, where several blocks hold the same.
            value: the button's value, where one block holds the same twice.
            option: of a menu: what is chosen, by value or label.

        Returns: what is on its way to the bot; `.payload["trigger_id"]` and `["response_url"]` are in it.
        """
        message = self._clickable(channel, ts)
        url = self._slack.response_urls.make(
            "actions",
            app=self._slack.app.id,
            team=self.user.team,
            channel=channel,
            user=self.id,
            thread_ts=message.thread_ts,
            message_ts=ts,
        )
        payloads = self._slack.interactions
        if isinstance(message, Ephemeral):
            pressed = find(message.blocks, what, block=block, value=value, option=option)
            return self._interacts(payloads.on_ephemeral(self.user, message, pressed, url))
        blocks: list[Json] = self._world.message_json(message).get("blocks", [])
        pressed = find(blocks, what, block=block, value=value, option=option)
        return self._interacts(payloads.on_message(self.user, message, pressed, url))

    def gives_feedback(self, channel: str, ts: str, kind: Literal["good", "bad"]) -> Parcel:
        """Press thumbs up or down beneath an answer."""
        return self.clicks(channel, ts, "positive_button" if kind == "good" else "negative_button")

    def clicks_home(self, what: str, *, block: str = "", value: str = "", option: str = "") -> Parcel:
        """Press (or choose in) an element of the app's home tab."""
        home = self.home
        if home is None:
            raise NotPossible("the app has published no home tab for this person")
        return self._clicks_view(home, what, block, value, option)

    def clicks_modal(self, what: str, *, block: str = "", value: str = "", option: str = "") -> Parcel:
        """Press (or choose in) an element of the open modal."""
        return self._clicks_view(self._must_have_modal(), what, block, value, option)

    def slash(self, channel: str, command: str, text: str = "", *, thread: str | None = None) -> Parcel:
        """Give a slash command; what the bot acknowledges with is shown to this person."""
        if thread is not None:
            raise NotPossible(f"{command} is not supported in threads. Sorry!")
        if command not in self._slack.commands:
            raise NotPossible(f"{command} is not a valid command")
        self._must_see(channel)
        url = self._slack.response_urls.make(
            "commands", app=self._slack.app.id, team=self.user.team, channel=channel, user=self.id
        )
        payload = self._slack.interactions.command(self.user, channel, command, text, url)
        parcel = self._slack.delivery.post(Parcel("slash_commands", payload))
        self._slack.later(self._shows_answer(parcel, command, url))
        return parcel

    def message_shortcut(self, channel: str, ts: str, callback_id: str) -> Parcel:
        """Choose the app's shortcut in a message's menu."""
        message = self._visible(ts, channel)
        url = self._slack.response_urls.make(
            "app",
            app=self._slack.app.id,
            team=self.user.team,
            channel=channel,
            user=self.id,
            thread_ts=message.thread_ts,
            message_ts=ts,
        )
        return self._interacts(
            self._slack.interactions.message_shortcut(self.user, message, callback_id, url)
        )

    def global_shortcut(self, callback_id: str) -> Parcel:
        """Choose the app's shortcut in Slack's own menu."""
        return self._interacts(self._slack.interactions.shortcut(self.user, callback_id))

    # ── modals ───────────────────────────────────────────────────────────────────────────────

    async def submits(
        self, view: View | str, filled: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Submitted:
        """Fill a modal in and press its button; waits for the bot's answer, at most the 3 s of Slack.

        Args:
            view: the open modal, or its id.
            filled: block → action → text, option, id or a list of them. What is left out stays as it is.

        Returns: what became of it; "not sent" where Slack's own checks refused (required, lengths).
        """
        shown = self._world.views[view] if isinstance(view, str) else view
        if not shown.open or self.modal is not shown:
            raise NotPossible("this modal is not the one on the screen")
        values = state(shown, filled or {})
        shown.state = {"values": values}
        if errors := slacks_errors(shown, values):
            return Submitted("not sent", errors)
        answer = await self._slack.delivery.ask(
            Parcel("interactive", self._slack.interactions.submission(self.user, shown, values))
        )
        submitted = take_answer(self._world, shown, answer)
        self._slack.changed()
        return submitted

    def closes(self, view: View | str, *, all_of_them: bool = False) -> Parcel | None:
        """Press Cancel (or, with `all_of_them`, the cross); returns what the bot is told, if anything."""
        shown = self._world.views[view] if isinstance(view, str) else view
        if not shown.open:
            raise NotPossible("this modal is closed already")
        self._world.close_modal(shown.id, all_of_them=all_of_them)
        self._slack.changed()
        if not shown.payload.get("notify_on_close"):
            return None
        return self._interacts(self._slack.interactions.closed(self.user, shown, cleared=all_of_them))

    # ── what is on the screen ────────────────────────────────────────────────────────────────

    def sees(self, channel: str, thread: str | None = None) -> list[Seen]:
        """The messages of a channel or a thread, with the ephemeral ones for this person; oldest first."""
        return sees(self._world, self.id, channel, thread)

    @property
    def modal(self) -> View | None:
        """The topmost open modal."""
        return self._world.open_modal(self.user.team, self.id)

    @property
    def home(self) -> View | None:
        """The home tab that the app published for this person."""
        return self._world.home_of(self._slack.app.id, self.user.team, self.id)

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _interacts(self, payload: Json) -> Parcel:
        parcel = self._slack.delivery.post(Parcel("interactive", payload))
        self._slack.later(self._warns(parcel))
        return parcel

    def _clicks_view(self, view: View, what: str, block: str, value: str, option: str) -> Parcel:
        pressed: Pressed = find(view.payload["blocks"], what, block=block, value=value, option=option)
        return self._interacts(self._slack.interactions.on_view(self.user, view, pressed))

    async def _warns(self, parcel: Parcel) -> None:
        await parcel.settled.wait()
        if not parcel.acked:
            self.warnings.append(f"{parcel.payload['type']}: this app did not respond")
            self._slack.changed()

    async def _shows_answer(self, parcel: Parcel, command: str, url: str) -> None:
        await parcel.settled.wait()
        answer = parcel.answer
        if answer is None or not answer.ok:
            self.warnings.append(f"{command} failed with the error: operation_timeout")
            self._slack.changed()
            return
        said = {"text": answer.body} if isinstance(answer.body, str) else answer.body or {}
        if said.get("text") or said.get("blocks"):
            try:
                self._slack.response_urls.say(url, said)
            except Refused as refused:
                self.warnings.append(f"{command} failed with the error: {refused.error}")
                self._slack.changed()

    def _uploads(self, name: str, mimetype: str, content: bytes) -> str:
        return add_file(self._world, self.user.team, self.id, name, content, mimetype=mimetype).id

    def _must_be_in(self, channel: str) -> None:
        if self.id not in self._world.channels[channel].members:
            raise NotPossible("this person is not in the channel")

    def _must_see(self, channel: str) -> None:
        if not self._world.channels[channel].public:
            self._must_be_in(channel)

    def _must_have_modal(self) -> View:
        modal = self.modal
        if modal is None:
            raise NotPossible("no modal is open")
        return modal

    def _visible(self, ts: str, channel: str | None = None) -> Message:
        """The message; its `ts` alone is enough, since a twin gives each `ts` once."""
        for name in [channel] if channel else list(self._world.channels):
            if ts in self._world.messages[name]:
                self._must_see(name)
                return self._world.message(name, ts)
        raise NotPossible("there is no such message")

    def _own(self, ts: str) -> Message:
        message = self._visible(ts)
        if message.user != self.id:
            raise NotPossible("this message is somebody else's")
        return message

    def _clickable(self, channel: str, ts: str) -> Message | Ephemeral:
        for note in self._world.ephemerals:
            if (note.channel, note.ts, note.user) == (channel, ts, self.id):
                return note
        message = self._visible(ts, channel)
        if message.app_id != self._slack.app.id:
            raise NotPossible("this message is not the app's")
        return message
