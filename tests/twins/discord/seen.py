"""What one person sees in a channel, a thread or a direct message: Discord's own drawing, as values.

Ephemeral messages are there for their one reader alone. Messages of components v2 show their components and
nothing else: no content, no embeds, and only those files that a component shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from simcord.backend import Backend
from simcord.backend.models import Message
from simcord.components import walk_components
from simcord.enums import ComponentType, MessageType

from tests.twins.discord.events import Json

V2 = 1 << 15
LOADING = 1 << 7
_STYLES = {1: "primary", 2: "secondary", 3: "success", 4: "danger", 5: "link", 6: "premium"}


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file beneath a message, or inside it."""

    id: str
    name: str
    mimetype: str
    content: bytes
    url: str

    @property
    def text(self) -> str:
        """Its bytes read as UTF-8."""
        return self.content.decode()


@dataclass(frozen=True, slots=True)
class SeenButton:
    """A button, or a menu to choose from."""

    label: str
    custom_id: str  # "" for links
    enabled: bool = True
    style: str = "secondary"  # primary, secondary, success, danger, link; "menu" for a select
    url: str = ""
    options: tuple[tuple[str, str], ...] = ()  # of a menu: (label, value)


@dataclass(frozen=True, slots=True)
class Seen:
    """One message as it stands on the screen."""

    id: str
    channel: str
    author: str  # the name on the screen
    author_id: str
    text: str  # everything that can be read, in order: content, embeds, components; without labels of buttons
    buttons: tuple[SeenButton, ...] = ()
    files: tuple[SeenFile, ...] = ()
    accent: int | None = None  # the colour of the (first) container or embed
    components: tuple[Json, ...] = ()  # as they came
    flags: int = 0
    ephemeral: bool = False  # "Only you can see this"
    thinking: bool = False  # "… is thinking"
    edited: bool = False
    reactions: tuple[str, ...] = ()
    reply_to: str = ""  # the message answered
    thread: str = ""  # the name of the thread that was begun on it
    kind: int = 0  # Discord's message type; 0 and 19 are people's, 20 and 23 answer commands
    pings: tuple[str, ...] = ()  # whom it notified, "@everyone" included

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of what can be pressed now."""
        return tuple(button.label for button in self.buttons if button.enabled)

    def button(self, what: str) -> SeenButton:
        """A button by its label or custom_id.

        Raises:
            LookupError: there is none, or more than one.
        """
        found = [each for each in self.buttons if what in (each.label, each.custom_id)]
        if len(found) != 1:
            there = ", ".join(f"{each.label!r} ({each.custom_id})" for each in self.buttons)
            raise LookupError(f"{len(found)} buttons are {what!r}; there are: {there or 'none'}")
        return found[0]


def seen(backend: Backend, message: Message) -> Seen:
    """How a message is drawn."""
    if message.type == MessageType.THREAD_STARTER_MESSAGE and message.reference is not None:
        return _starter(backend, message, message.reference)
    components = message.components
    v2 = bool(message.flags & V2)
    texts = [*_component_texts(components)]
    if not v2:
        texts = [message.content, *_embed_texts(message.embeds), *texts]
    author = backend.users.get(message.author_id)
    begun = backend.channels.get(message.id)
    return Seen(
        id=str(message.id),
        channel=str(message.channel_id),
        author=message.author_name or (author.global_name or author.name if author else ""),
        author_id=str(message.author_id),
        text="\n".join(text for text in texts if text),
        buttons=tuple(buttons_of(components)),
        files=tuple(_files(backend, message, v2=v2)),
        accent=_accent(components, message.embeds),
        components=tuple(components),
        flags=message.flags,
        ephemeral=message.is_ephemeral,
        thinking=bool(message.flags & LOADING),
        edited=message.edited_timestamp is not None,
        reactions=tuple(each.emoji for each in message.reactions if each.user_ids),
        reply_to=str(message.reference["message_id"]) if message.reference else "",
        thread=(begun.name or "") if begun is not None and begun.is_thread else "",
        kind=message.type,
        pings=_pings(message),
    )


def _starter(backend: Backend, message: Message, reference: Json) -> Seen:
    """The first line of a thread: the message that it was begun on, drawn there once more."""
    channel, first = int(reference["channel_id"]), int(reference["message_id"])
    begun_on = backend.messages.get(channel, {}).get(first)
    if begun_on is None:
        return Seen(
            str(message.id), str(message.channel_id), "", str(message.author_id), "", kind=message.type
        )
    drawn = seen(backend, begun_on)
    return replace(drawn, id=str(message.id), channel=str(message.channel_id), kind=message.type, buttons=())


def buttons_of(components: list[Json]) -> Iterator[SeenButton]:
    """Everything that can be pressed or chosen from, in order."""
    for each in walk_components(components):
        kind = each.get("type")
        if kind == ComponentType.BUTTON:
            emoji = cast(Json, each.get("emoji") or {}).get("name") or ""
            yield SeenButton(
                str(each.get("label") or emoji),
                str(each.get("custom_id") or ""),
                not each.get("disabled"),
                _STYLES[int(each["style"])],
                str(each.get("url") or ""),
            )
        elif kind in (ComponentType.STRING_SELECT, 5, 6, 7, 8):
            options = cast("list[Json]", each.get("options") or [])
            yield SeenButton(
                str(each.get("placeholder") or ""),
                str(each["custom_id"]),
                not each.get("disabled"),
                "menu",
                options=tuple((str(option["label"]), str(option["value"])) for option in options),
            )


def _component_texts(components: list[Json]) -> Iterator[str]:
    for each in walk_components(components):
        kind = each.get("type")
        if kind == ComponentType.TEXT_DISPLAY:
            yield str(each["content"])
        elif kind == ComponentType.THUMBNAIL:
            yield str(each.get("description") or "")
        elif kind == ComponentType.MEDIA_GALLERY:
            yield from (str(item.get("description") or "") for item in cast("list[Json]", each["items"]))


def _embed_texts(embeds: list[Json]) -> Iterator[str]:
    for embed in embeds:
        author: Json = embed.get("author") or {}
        footer: Json = embed.get("footer") or {}
        yield from (str(author.get("name") or ""), str(embed.get("title") or ""))
        yield str(embed.get("description") or "")
        for field in cast("list[Json]", embed.get("fields") or []):
            yield from (str(field["name"]), str(field["value"]))
        yield str(footer.get("text") or "")


def _files(backend: Backend, message: Message, *, v2: bool) -> Iterator[SeenFile]:
    shown = {_place(url) for url in _media(message.components)} if v2 else None
    for each in message.attachments:
        url = str(each["url"])
        if shown is None or _place(url) in shown:
            content = backend.cdn.get(_place(url)) or backend.cdn.get(url)
            yield SeenFile(
                str(each["id"]), str(each["filename"]), str(each["content_type"]), content or b"", url
            )


def _media(components: list[Json]) -> Iterator[str]:
    for each in walk_components(components):
        items: list[Json] = [each, *cast("list[Json]", each.get("items") or [])]
        for item in items:
            for key in ("file", "media"):
                if isinstance(item.get(key), dict):
                    yield str(cast(Json, item[key]).get("url"))


def _place(url: str) -> str:
    """The path of a link into the CDN as the CDN keeps it, without host and signature."""
    _, _, path = urlsplit(url).path.partition("/attachments/")
    return f"attachments/{unquote(path)}"


def _accent(components: list[Json], embeds: list[Json]) -> int | None:
    for each in components:
        if each.get("type") == ComponentType.CONTAINER:
            return cast("int | None", each.get("accent_color"))
    return cast("int | None", embeds[0].get("color")) if embeds else None


def _pings(message: Message) -> tuple[str, ...]:
    everyone = ["@everyone"] if message.mention_everyone else []
    pinged: list[Any] = [*message.ping_user_ids, *message.ping_role_ids]
    return (*everyone, *(str(each) for each in pinged))
