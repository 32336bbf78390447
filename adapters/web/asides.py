"""What the page keeps for one person alone: notices, the forms they have open, their cookie."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from datetime import UTC, datetime, timedelta

from adapters.contract import ConversationRef, Form, Person
from adapters.database import Database, now_text
from adapters.plain import clean_text
from adapters.web.database import next_version

FORMS_KEPT_FOR = timedelta(days=30)
SIGNED_IN_FOR = timedelta(days=30)


class Asides:
    """Notices, open forms and sign-ins."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, ref: ConversationRef, person: Person, text: str) -> None:
        """Keep a notice for one person until they dismiss it or act again in the conversation."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO notices (conversation, person_id, version, text) VALUES (?, ?, ?, ?)",
                (ref.key, person.id, next_version(db), clean_text(text)),
            )

        await self._database.write(work)

    async def clear_notices(self, ref: ConversationRef, person: Person, notice_id: int | None = None) -> None:
        """Forget one notice, or all of a person in a conversation."""
        await self._database.write(
            lambda db: db.execute(
                "DELETE FROM notices WHERE conversation = ? AND person_id = ? AND (? IS NULL OR id = ?)",
                (ref.key, person.id, notice_id, notice_id),
            )
        )

    async def keep_form(self, ref: ConversationRef, person: Person, form: Form) -> None:
        """Remember which form a person was shown, to show it again with what is wrong."""
        old = (datetime.now(UTC) - FORMS_KEPT_FOR).isoformat()

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM forms WHERE at < ?", (old,))
            db.execute(
                "INSERT INTO forms (conversation, person_id, form_id, form, at) "
                "VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (conversation, person_id, form_id) "
                "DO UPDATE SET form = excluded.form, at = excluded.at",
                (ref.key, person.id, form.id, form.model_dump_json(), now_text()),
            )

        await self._database.write(work)

    async def kept_form(self, ref: ConversationRef, person: Person, form_id: str) -> Form | None:
        """The form that the person was shown."""

        def work(db: sqlite3.Connection) -> Form | None:
            row = db.execute(
                "SELECT form FROM forms WHERE conversation = ? AND person_id = ? AND form_id = ?",
                (ref.key, person.id, form_id),
            ).fetchone()
            return Form.model_validate_json(row["form"]) if row else None

        return await self._database.read(work)

    async def sign_in(self, person: Person, stamp: str) -> str:
        """Make a cookie for a person. Only its digest is kept."""
        token = secrets.token_urlsafe(32)
        until = (datetime.now(UTC) + SIGNED_IN_FOR).isoformat()

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM sign_ins WHERE until < ?", (now_text(),))
            db.execute(
                "INSERT INTO sign_ins (digest, person, stamp, until) VALUES (?, ?, ?, ?)",
                (_digest(token), person.model_dump_json(), stamp, until),
            )

        await self._database.write(work)
        return token

    async def signed_in(self, token: str) -> tuple[Person, str] | None:
        """Whose cookie this is, and the stamp of the key that was given for it."""

        def work(db: sqlite3.Connection) -> tuple[Person, str] | None:
            row = db.execute(
                "SELECT person, stamp FROM sign_ins WHERE digest = ? AND until > ?",
                (_digest(token), now_text()),
            ).fetchone()
            return (Person.model_validate_json(row["person"]), row["stamp"]) if row else None

        return await self._database.read(work)

    async def sign_out(self, token: str) -> None:
        """Make a cookie worthless."""
        await self._database.write(
            lambda db: db.execute("DELETE FROM sign_ins WHERE digest = ?", (_digest(token),))
        )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
