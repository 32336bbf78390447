"""`response_url`s: each click, command and message shortcut has one, good for five answers in 30 minutes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web

from tests.twins.slack.blocks import check_message_blocks
from tests.twins.slack.delivery import Json
from tests.twins.slack.workspace import Ephemeral, Message, Refused, World

USES = 5
LIVES_S = 1800.0


@dataclass(slots=True)
class ResponseUrl:
    """What one address may do, and how often it still may."""

    key: str
    app: str
    team: str
    channel: str
    user: str
    made_at: float
    thread_ts: str = ""
    message_ts: str = ""  # the message that was clicked
    left: int = USES


class ResponseUrls:
    """All addresses of a twin.

    Args:
        world: where answers appear.
        changed: called after each.
    """

    def __init__(self, world: World, *, changed: Callable[[], None] = lambda: None) -> None:
        self._world = world
        self._changed = changed
        self._urls: dict[str, ResponseUrl] = {}

    def make(
        self,
        kind: str,
        *,
        app: str,
        team: str,
        channel: str,
        user: str,
        thread_ts: str = "",
        message_ts: str = "",
    ) -> str:
        """An address; `kind` is `actions`, `commands` or `app` as in Slack's own."""
        key = secrets.token_urlsafe(24)
        self._urls[key] = ResponseUrl(key, app, team, channel, user, self._world.now(), thread_ts, message_ts)
        return f"{self._world.base_url}/{kind}/{team}/{key}"

    async def answer(self, request: web.Request) -> web.Response:
        """`POST` of a bot's answer."""
        found = self._urls.get(request.match_info["key"])
        if found is None:
            return _refused(404, "no_such_url")
        if self._world.now() - found.made_at > LIVES_S:
            return _refused(404, "expired_url")
        if found.left < 1:
            return _refused(404, "used_url")
        try:
            given: Any = await request.json()
        except ValueError:
            return _refused(400, "invalid_payload")
        if not isinstance(given, dict):
            return _refused(400, "invalid_payload")
        said = cast(Json, given)
        if not said.get("delete_original") and not (said.get("text") or said.get("blocks")):
            return _refused(400, "no_text")
        try:
            self._say(found, said)
        except Refused as refused:
            return _refused(400, refused.error)
        found.left -= 1
        self._changed()
        return web.json_response({"ok": True})

    def say(self, url: str, said: Json) -> None:
        """What a command's acknowledgement says, which is shown as if it came here, without counting.

        Raises:
            Refused: its blocks are not what Slack takes.
        """
        self._say(self._urls[url.rsplit("/", 1)[1]], said)
        self._changed()

    def _say(self, url: ResponseUrl, said: Json) -> None:
        if said.get("blocks") is not None:
            check_message_blocks(said["blocks"])
        original = self._original(url)
        if said.get("delete_original"):
            if original is None:
                raise Refused("message_not_found")
            self._delete(original)
        elif said.get("replace_original") and original is not None:
            self._replace(url, original, said)
        elif said.get("response_type") == "in_channel":
            self._world.post(
                url.channel,
                user=self._bot(url),
                text=str(said.get("text", "")),
                blocks=said.get("blocks"),
                thread_ts=str(said.get("thread_ts") or ""),
            )
        else:
            self._world.ephemerals.append(
                Ephemeral(
                    url.channel,
                    url.user,
                    self._world.next_ts(),
                    str(said.get("text", "")),
                    str(said.get("thread_ts") or url.thread_ts),
                    self._world.own_blocks("", said.get("blocks"), by_bot=True),
                    url.app,
                )
            )

    def _original(self, url: ResponseUrl) -> Message | Ephemeral | None:
        for ephemeral in self._world.ephemerals:
            if (ephemeral.channel, ephemeral.ts) == (url.channel, url.message_ts):
                return ephemeral
        return self._world.messages[url.channel].get(url.message_ts)

    def _delete(self, original: Message | Ephemeral) -> None:
        if isinstance(original, Ephemeral):
            self._world.ephemerals.remove(original)
        else:
            self._world.delete(original.channel, original.ts)

    def _replace(self, url: ResponseUrl, original: Message | Ephemeral, said: Json) -> None:
        if isinstance(original, Ephemeral):
            original.text = str(said.get("text", ""))
            original.blocks = self._world.own_blocks("", said.get("blocks"), by_bot=True)
            return
        self._world.edit(
            original.channel,
            original.ts,
            by=self._bot(url),
            text=str(said.get("text", "")),
            blocks=said.get("blocks") or [],
        )

    def _bot(self, url: ResponseUrl) -> str:
        install = self._world.installed(url.app, url.team)
        assert install is not None
        return install.bot_user


def _refused(status: int, word: str) -> web.Response:
    return web.json_response({"ok": False, "error": word}, status=status)
