"""What one person sees in a channel or a thread: everybody's messages, and the ephemeral ones for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from tests.twins.slack.delivery import Json
from tests.twins.slack.interactions import interactive, label_of
from tests.twins.slack.workspace import World


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file beneath a message."""

    id: str
    name: str
    mimetype: str
    content: bytes
    alt: str = ""  # what a screen reader says of a picture

    @property
    def text(self) -> str:
        """Its bytes read as UTF-8."""
        return self.content.decode()


@dataclass(frozen=True, slots=True)
class Seen:
    """One message as it stands on the screen."""

    ts: str
    thread_ts: str  # "" for a root without replies
    user: str  # U… of the author
    text: str  # the top-level text, which notifications and screen readers read
    blocks: list[Json]
    files: tuple[SeenFile, ...] = ()
    ephemeral: bool = False  # "Only visible to you"
    edited: bool = False
    streaming: bool = False
    reactions: tuple[str, ...] = ()

    @property
    def shows(self) -> str:
        """Every text on the screen: that of the blocks, or the top-level text where there are none."""
        return "\n".join(texts(self.blocks)) if self.blocks else self.text

    @property
    def buttons(self) -> tuple[str, ...]:
        """The labels of what can be pressed or chosen from."""
        return tuple(label for _, element in interactive(self.blocks) for label in _labels(element))


def sees(world: World, user: str, channel: str, thread: str | None) -> list[Seen]:
    """The channel's own messages, or those of a thread (root first), oldest first.

    Args:
        user: who looks; people see public channels and those they are in.
        thread: the `ts` of its root; None for the channel, where replies show only when broadcast.
    """
    place = world.channels[channel]
    if not (place.public or user in place.members):
        return []
    if thread is None:
        messages = [
            m
            for m in world.messages[channel].values()
            if not m.is_reply or m.subtype in ("thread_broadcast", "file_share_broadcast")
        ]
    else:
        messages = world.thread_messages(channel, thread)
    seen: list[Seen] = []
    for message in messages:
        shown = world.message_json(message)
        files = [world.files[each] for each in message.files]
        seen.append(
            Seen(
                message.ts,
                message.thread_ts,
                message.user,
                str(shown["text"]),
                list(shown.get("blocks", [])),
                tuple(
                    SeenFile(f.id, f.name, f.mimetype, f.content, f.alt_txt) for f in files if not f.deleted
                ),
                edited=message.edited is not None,
                streaming=message.stream is not None and message.stream.open,
                reactions=tuple(message.reactions),
            )
        )
    for note in world.ephemerals:
        if (note.channel, note.user, note.thread_ts) == (channel, user, thread or ""):
            seen.append(Seen(note.ts, note.thread_ts, "", note.text, list(note.blocks), ephemeral=True))
    return sorted(seen, key=lambda each: tuple(int(part) for part in each.ts.split(".")))


_TEXTS = ("text", "title", "label", "description", "placeholder", "alt_text")


def texts(blocks: Any) -> Iterator[str]:
    """Every piece of text in blocks, in order, labels included."""
    if isinstance(blocks, dict):
        block = cast(Json, blocks)
        for key, value in block.items():
            if key in _TEXTS and isinstance(value, str):
                yield value
            elif isinstance(value, (dict, list)) and key not in ("confirm", "options", "metadata"):
                yield from texts(value)
    elif isinstance(blocks, list):
        for each in cast(Iterable[Any], blocks):
            yield from texts(each)


def _labels(element: Json) -> Iterator[str]:
    if element["type"] == "feedback_buttons":
        yield from (str(element[key]["text"]["text"]) for key in ("positive_button", "negative_button"))
    else:
        yield label_of(element)
