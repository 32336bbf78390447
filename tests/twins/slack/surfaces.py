"""What a world shows beside messages: statuses and sessions of agents, modals, home tabs."""

from __future__ import annotations

import secrets

from .messages import Messages
from .records import Json, Refused, Thread, Trigger, View

STATUS_FADES_S = 120.0
TRIGGER_LIVES_S = 3.0


class Surfaces(Messages):
    """Agents' statuses, triggers, views."""

    # ── agents ──────────────────────────────────────────────────────────────────────────────

    def thread(self, channel: str, thread_ts: str) -> Thread:
        """What is said of a thread; made when there is nothing yet."""
        return self.threads.setdefault((channel, thread_ts), Thread(channel, thread_ts))

    def status_of(self, channel: str, thread_ts: str) -> str:
        """The status people see now: it fades 2 minutes after it was set."""
        thread = self.threads.get((channel, thread_ts))
        if thread is None or self.now() - thread.status_at > STATUS_FADES_S:
            return ""
        return thread.status

    def stop_session(self, channel: str, thread_ts: str, user: str) -> None:
        """A person presses Slack's own Stop: open streams end, `agent_session_stopped` is sent."""
        streaming = [m for m in self.thread_messages(channel, thread_ts) if self.streaming(m)]
        for message in streaming:
            if message.stream is not None:
                message.stream.open, message.stream.stopped_by_person = False, True
        apps = {m.app_id for m in streaming} or {
            m.app_id for m in self.thread_messages(channel, thread_ts)
        } - {""}
        event: Json = {
            "type": "agent_session_stopped",
            "channel": channel,
            "thread_ts": thread_ts,
            "user": user,
            "streaming_message_ts": [m.ts for m in streaming],
        }
        for app in sorted(apps):
            self.emit(self.channels[channel].team, dict(event), app=app)

    # ── triggers and views ──────────────────────────────────────────────────────────────────

    def make_trigger(self, team: str, user: str, app: str, *, view: str = "") -> str:
        """A trigger id for something this person just did; `view`: done in this modal."""
        made = f"{secrets.randbelow(10**13)}.{secrets.randbelow(10**13)}.{secrets.token_hex(16)}"
        self.triggers[made] = Trigger(made, team, user, app, self.now(), view=view)
        return made

    def take_trigger(self, trigger: str, app: str) -> Trigger:
        """Use a trigger up.

        Raises:
            Refused: invalid_trigger_id, exchanged_trigger_id, expired_trigger_id.
        """
        found = self.triggers.get(trigger)
        if found is None or found.app != app:
            raise Refused("invalid_trigger_id")
        if self.now() - found.at > TRIGGER_LIVES_S:
            raise Refused("expired_trigger_id")
        if found.used:
            raise Refused("exchanged_trigger_id")
        found.used = True
        return found

    def open_modal(self, team: str, user: str) -> View | None:
        """The topmost modal this person sees."""
        stack = self.modals.get((team, user), [])
        return self.views[stack[-1]] if stack else None

    def close_modal(self, view: str, *, all_of_them: bool = False) -> None:
        """Close a modal (and what lies on it), or the whole stack."""
        closed = self.views[view]
        stack = self.modals.get((closed.team, closed.user), [])
        if view in stack:
            keep = 0 if all_of_them else stack.index(view)
            for each in stack[keep:]:
                self.views[each].open = False
            del stack[keep:]

    def home_of(self, app: str, team: str, user: str) -> View | None:
        """The home tab an app published for this person."""
        found = self.homes.get((app, team, user))
        return self.views[found] if found else None

    def open_home(self, app: str, team: str, user: str, tab: str = "home") -> None:
        """A person opens the app's page: `app_home_opened` with tab home or messages."""
        install = self.installed(app, team)
        if install is None:
            raise Refused("not_installed")
        event: Json = {
            "type": "app_home_opened",
            "user": user,
            "channel": self.direct(user, install.bot_user).id,
            "tab": tab,
        }
        if tab == "home" and (view := self.home_of(app, team, user)) is not None:
            event["view"] = self.view_json(view)
        self.emit(team, event, app=app)
