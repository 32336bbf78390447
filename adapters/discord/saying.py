"""What a message of Discord's says and brings: words, files, and the messages of others in it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from adapters.contract import Attachment, ThreadLine
from adapters.discord.payload import at, ident, name_of, number
from adapters.discord.reading import Names, command, extras, names_in, words_of
from adapters.payload import Payload, items, mapping, text
from adapters.plain import clean_text

FORWARDED = "a forwarded message"


def said_in(message: Payload, own: str) -> str:
    """A message's own words, without our mention; stickers, polls and embeds are named."""
    names = names_in(message, own)
    bits = (command(text(message, "content"), names), *extras(message, names))
    return "\n".join(bit for bit in bits if bit)


def attachments(message: Payload, stands_in: str, message_id: str) -> tuple[Attachment, ...]:
    """The files of a message. Where each lies is in its locator, which `files.Files` reads."""
    found = [mapping(one) for one in items(message.get("attachments"))]
    return tuple(_attachment(file, stands_in, message_id) for file in found if ident(file, "id"))


def _attachment(file: Payload, stands_in: str, message_id: str) -> Attachment:
    name = text(file, "filename") or text(file, "title") or ident(file, "id")
    where = {"url": text(file, "url"), "channel": stands_in, "message": message_id}
    return Attachment(
        id=ident(file, "id"),
        name=" ".join(clean_text(name).replace("/", "_").replace("\\", "_").split())[-150:] or "file",
        media_type=clean_text(text(file, "content_type"))[:120] or "application/octet-stream",
        size=max(number(file, "size", 0), 0),
        locator=json.dumps({name: value for name, value in where.items() if value}),
    )


def quoted(
    message: Payload, forwarded: Sequence[Payload], names: Names, earlier: Sequence[ThreadLine]
) -> Iterable[ThreadLine]:
    """What a message brings of others: the one that it answers, and what was forwarded with it."""
    answered = line(mapping(message.get("referenced_message")), own=names.own)
    if answered is not None and answered not in earlier:
        yield answered
    for one in forwarded:
        said = words_of(one, names)
        if said:
            yield ThreadLine(author=FORWARDED, text=said, at=_stamped(one) or at(ident(message, "id")))


def line(message: Payload, *, own: str) -> ThreadLine | None:
    """A message that stands in a thread already; None: it has no words or is not of the thread's talk.

    Args:
        message: as Discord gives it.
        own: our user id.
    """
    message_id = ident(message, "id")
    if not message_id or number(message, "type", 0) not in (0, 19, 20, 23):
        return None
    # Who reads along wants to know whom the others named, also where that is us: nothing is left out.
    said = words_of(message, names_in(message))
    if not said:
        return None
    author = mapping(message.get("author"))
    author_id = ident(author, "id")
    return ThreadLine(
        author=one_line(name_of(author, mapping(message.get("member")))) or author_id or "somebody",
        text=said,
        at=at(message_id),
        by_bot=bool(own) and author_id == own,
    )


def one_line(name: str) -> str:
    """A name, short and in one line."""
    return " ".join(clean_text(name).split())[:100]


def _stamped(message: Payload) -> datetime | None:
    try:
        when = datetime.fromisoformat(text(message, "timestamp"))
    except ValueError:
        return None
    return when.astimezone(UTC) if when.tzinfo is not None else when.replace(tzinfo=UTC)
