"""What people and the bot said on the page. On the web Quartet itself is the platform that keeps it."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import PydanticSerializationError

from adapters.contract import Card, CardId, ConversationRef, Person
from adapters.database import Database, now_text
from adapters.errors import ConversationGone, MessageGone
from adapters.plain import clean_text
from adapters.web.database import next_version
from adapters.web.uploads import Upload

SLUG = re.compile(r"[A-Za-z0-9._~-]{1,64}")
AT_ONCE = 500  # changed messages that a page is told together


@dataclass(frozen=True, slots=True)
class Listed:
    """A conversation as the list at the left shows it."""

    ref: ConversationRef
    slug: str  # its name in addresses
    title: str
    status: str  # the word on its latest status card
    updated_at: datetime  # aware, UTC


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a conversation: a person's, or a card of the bot."""

    id: str
    position: int  # order in the conversation
    version: int  # number of its last change
    at: datetime  # aware, UTC
    person: Person | None  # None: the bot
    text: str  # the person's words
    options: dict[str, str]  # tone, length, format as the person chose them
    uploads: tuple[Upload, ...]
    card: Card | None
    weight: int  # characters, to judge how long drawing takes


@dataclass(frozen=True, slots=True)
class Notice:
    """Something told to one person alone."""

    id: int
    version: int
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """Messages and notices as of one moment."""

    said: tuple[Said, ...]
    notices: tuple[Notice, ...]
    version: int  # everything up to it is in here
    more: bool  # there is more than fits


def slug_of(ref: ConversationRef) -> str:
    """The conversation's name in addresses: its thread where that is harmless, else a digest."""
    plain = ref.workspace == "local" and ref.channel == "general" and SLUG.fullmatch(ref.thread)
    if plain and not ref.thread.startswith("x-") and ref.thread not in (".", ".."):
        return ref.thread
    return "x-" + hashlib.sha256(ref.key.encode()).hexdigest()[:32]


class Messages:
    """Conversations and what was said in them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ── conversations ────────────────────────────────────────────────────────────────────────

    async def open_conversation(self, ref: ConversationRef, title: str) -> Listed:
        """Begin a conversation; one that is there stays as it is."""

        def work(db: sqlite3.Connection) -> Listed:
            _add_conversation(db, ref, title)
            return _listed(_one(db, "SELECT * FROM conversations WHERE key = ?", ref.key))

        return await self._database.write(work)

    async def conversation(self, slug: str) -> Listed | None:
        """Find a conversation by its name in addresses."""

        def work(db: sqlite3.Connection) -> Listed | None:
            row = db.execute("SELECT * FROM conversations WHERE slug = ?", (slug,)).fetchone()
            return _listed(row) if row else None

        return await self._database.read(work)

    async def listing(self, limit: int = 100) -> list[Listed]:
        """The latest conversations, newest first."""

        def work(db: sqlite3.Connection) -> list[Listed]:
            rows = db.execute(
                "SELECT * FROM conversations ORDER BY created DESC, rowid DESC LIMIT ?", (limit,)
            )
            return [_listed(row) for row in rows]

        return await self._database.read(work)

    # ── what people say ──────────────────────────────────────────────────────────────────────

    async def said_with(self, person: Person, nonce: str) -> str | None:
        """The slug of the conversation into which this form was already sent; None: not yet."""
        return await self._database.read(lambda db: _slug_said_with(db, person, nonce))

    async def say(
        self,
        ref: ConversationRef,
        person: Person,
        text: str,
        *,
        nonce: str,
        options: dict[str, str],
        uploads: Sequence[Upload] = (),
        title: str = "",
        delivered: bool = False,
    ) -> str:
        """Keep a person's message. A form sent twice is one message.

        Returns:
            The slug of the conversation in which it stands.
        """

        def work(db: sqlite3.Connection) -> str:
            known = _slug_said_with(db, person, nonce)
            if known is not None:
                return known
            _add_conversation(db, ref, title or text)
            db.execute("DELETE FROM notices WHERE conversation = ? AND person_id = ?", (ref.key, person.id))
            version = next_version(db)
            message_id = "m" + secrets.token_hex(10)
            db.execute(
                "INSERT INTO messages (id, conversation, version, at, person_id, person, text, options, "
                "uploads, nonce, delivered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    message_id,
                    ref.key,
                    version,
                    now_text(),
                    person.id,
                    person.model_dump_json(),
                    text,
                    json.dumps(options),
                    json.dumps([[u.id, u.name, u.media_type, u.size] for u in uploads]),
                    nonce,
                    int(delivered),
                ),
            )
            db.execute("UPDATE conversations SET updated = ? WHERE key = ?", (now_text(), ref.key))
            return slug_of(ref)

        return await self._database.write(work)

    async def undelivered(self, ref: ConversationRef) -> list[Said]:
        """What people said and the bot has not taken yet, in order."""

        def work(db: sqlite3.Connection) -> list[Said]:
            rows = db.execute(
                "SELECT * FROM messages WHERE conversation = ? AND delivered = 0 ORDER BY position",
                (ref.key,),
            )
            return [_said(row) for row in rows]

        return await self._database.read(work)

    async def undelivered_conversations(self) -> list[ConversationRef]:
        """Where something waits to be handed to the bot."""

        def work(db: sqlite3.Connection) -> list[ConversationRef]:
            rows = db.execute(
                "SELECT conversation FROM messages WHERE delivered = 0 "
                "GROUP BY conversation ORDER BY min(position)"
            )
            return [ConversationRef.from_key(row["conversation"]) for row in rows]

        return await self._database.read(work)

    async def delivered(self, message_id: str) -> None:
        """The bot has taken the message."""
        await self._database.write(
            lambda db: db.execute("UPDATE messages SET delivered = 1 WHERE id = ?", (message_id,))
        )

    # ── what the bot says ────────────────────────────────────────────────────────────────────

    async def post(self, ref: ConversationRef, card: Card, nonce: str) -> tuple[str, bool]:
        """Keep a card. The same card with the same nonce is posted once.

        Returns:
            The message's id, and whether the list of conversations looks different now.

        Raises:
            ConversationGone: there is no such conversation.
        """

        def work(db: sqlite3.Connection) -> tuple[str, bool]:
            known = db.execute("SELECT 1 FROM conversations WHERE key = ?", (ref.key,)).fetchone()
            if not known:
                raise ConversationGone(f"there is no conversation {ref.key} on the web page; open it first")
            row = db.execute(
                "SELECT id FROM messages WHERE conversation = ? AND card_id = ? AND nonce = ?",
                (ref.key, card.id, nonce),
            ).fetchone()
            if row:
                return row["id"], False
            message_id = "c" + secrets.token_hex(10)
            db.execute(
                "INSERT INTO messages (id, conversation, version, at, card_id, card, nonce, delivered) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 1)",
                (message_id, ref.key, next_version(db), now_text(), card.id, card_json(card), nonce),
            )
            return message_id, _note_status(db, ref, card)

        return await self._database.write(work)

    async def edit(self, ref: ConversationRef, message_id: str, card: Card) -> bool:
        """Replace a card.

        Returns:
            Whether the list of conversations looks different now.

        Raises:
            MessageGone: the message is not there, or was not the bot's.
        """

        def work(db: sqlite3.Connection) -> bool:
            changed = db.execute(
                "UPDATE messages SET version = ?, card_id = ?, card = ? "
                "WHERE id = ? AND conversation = ? AND card_id IS NOT NULL",
                (next_version(db), card.id, card_json(card), message_id, ref.key),
            ).rowcount
            if not changed:
                raise MessageGone(f"there is no card {message_id} in {ref.key} any more; post it again")
            return _note_status(db, ref, card)

        return await self._database.write(work)

    async def find(self, ref: ConversationRef, card_id: CardId) -> str | None:
        """The id of the message that shows the card; the latest if there are several."""

        def work(db: sqlite3.Connection) -> str | None:
            row = db.execute(
                "SELECT id FROM messages WHERE conversation = ? AND card_id = ? "
                "ORDER BY position DESC LIMIT 1",
                (ref.key, card_id),
            ).fetchone()
            return row["id"] if row else None

        return await self._database.read(work)

    async def message(self, ref: ConversationRef, message_id: str) -> Said | None:
        """One message of a conversation."""

        def work(db: sqlite3.Connection) -> Said | None:
            row = db.execute(
                "SELECT * FROM messages WHERE id = ? AND conversation = ?", (message_id, ref.key)
            ).fetchone()
            return _said(row) if row else None

        return await self._database.read(work)

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def latest(self, ref: ConversationRef, person: Person, limit: int) -> Page:
        """The end of a conversation, as of one moment."""

        def work(db: sqlite3.Connection) -> Page:
            rows = db.execute(
                "SELECT * FROM messages WHERE conversation = ? ORDER BY position DESC LIMIT ?",
                (ref.key, limit + 1),
            ).fetchall()
            said = tuple(_said(row) for row in reversed(rows[:limit]))
            return Page(said, _notices(db, ref, person, 0), _version(db), more=len(rows) > limit)

        return await self._database.read(work)

    async def since(self, ref: ConversationRef, person: Person, version: int) -> Page:
        """What changed after a version: each message once, as it is now; the earliest where it is a lot."""

        def work(db: sqlite3.Connection) -> Page:
            rows = db.execute(
                "SELECT * FROM messages WHERE conversation = ? AND version > ? ORDER BY version LIMIT ?",
                (ref.key, version, AT_ONCE + 1),
            ).fetchall()
            said, more = tuple(_said(row) for row in rows[:AT_ONCE]), len(rows) > AT_ONCE
            until = said[-1].version if more else _version(db)  # whoever asks next goes on from there
            notices = (one for one in _notices(db, ref, person, version) if one.version <= until)
            return Page(said, tuple(notices), until, more=more)

        return await self._database.read(work)


def _add_conversation(db: sqlite3.Connection, ref: ConversationRef, title: str) -> None:
    db.execute(
        "INSERT INTO conversations (key, slug, title, created, updated) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (ref.key, slug_of(ref), first_words(title), now_text(), now_text()),
    )


def _slug_said_with(db: sqlite3.Connection, person: Person, nonce: str) -> str | None:
    row = db.execute(
        "SELECT slug FROM messages JOIN conversations ON key = conversation "
        "WHERE person_id = ? AND nonce = ?",
        (person.id, nonce),
    ).fetchone()
    return row["slug"] if row else None


def first_words(text: str, limit: int = 60) -> str:
    """A title from a text: its first words on one line."""
    line = " ".join(clean_text(text[:1000]).split())
    if len(line) <= limit:
        return line or "Untitled"
    cut = line[:limit].rsplit(" ", 1)[0] if " " in line[:limit] else line[:limit]
    return cut.rstrip(" ,.;:") + "…"


def _note_status(db: sqlite3.Connection, ref: ConversationRef, card: Card) -> bool:
    if card.kind != "status":
        return False
    return bool(
        db.execute(
            "UPDATE conversations SET status = ?, updated = ? WHERE key = ? AND status != ? AND ? = "
            "(SELECT card_id FROM messages WHERE conversation = conversations.key AND card_kind = 'status' "
            "ORDER BY position DESC LIMIT 1)",
            (card.status, now_text(), ref.key, card.status, card.id),
        ).rowcount
    )


def card_json(card: Card) -> str:
    """A card as the file keeps it. Halves of characters, which no file takes, are left out."""
    try:
        return card.model_dump_json()
    except PydanticSerializationError:
        whole = json.dumps(card.model_dump(mode="json", warnings=False), ensure_ascii=False)
        return whole.encode(errors="ignore").decode()


def _version(db: sqlite3.Connection) -> int:
    return int(_one(db, "SELECT version FROM counter")["version"])


def _notices(
    db: sqlite3.Connection, ref: ConversationRef, person: Person, version: int
) -> tuple[Notice, ...]:
    rows = db.execute(
        "SELECT * FROM notices WHERE conversation = ? AND person_id = ? AND version > ? ORDER BY id",
        (ref.key, person.id, version),
    )
    return tuple(Notice(row["id"], row["version"], row["text"]) for row in rows)


def _one(db: sqlite3.Connection, sql: str, *values: object) -> sqlite3.Row:
    row: sqlite3.Row = db.execute(sql, values).fetchone()
    return row


def _listed(row: sqlite3.Row) -> Listed:
    return Listed(
        ref=ConversationRef.from_key(row["key"]),
        slug=row["slug"],
        title=row["title"],
        status=row["status"],
        updated_at=datetime.fromisoformat(row["updated"]),
    )


def _said(row: sqlite3.Row) -> Said:
    return Said(
        id=row["id"],
        position=row["position"],
        version=row["version"],
        at=datetime.fromisoformat(row["at"]),
        person=Person.model_validate_json(row["person"]) if row["person"] else None,
        text=row["text"],
        options=json.loads(row["options"]),
        uploads=tuple(Upload(*given) for given in json.loads(row["uploads"])),
        card=Card.model_validate_json(row["card"]) if row["card"] else None,
        weight=len(row["text"]) + len(row["card"] or ""),
    )
