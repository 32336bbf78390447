"""The knowledge folder as an FTS5 index in one SQLite file. Disposable: a broken one is built anew.

Files are read and the index is written in threads. Only files that changed (time, size, then hash)
are read again. Links that lead out of the folder, hidden, huge, binary and broken files are skipped
with a logged reason.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import structlog

from orchestrator.infra.documents import SUFFIXES, Unreadable, chunks
from orchestrator.tools.knowledge import Passage

log = structlog.get_logger(__name__)
T = TypeVar("T")

VERSION = 2  # of the tables; another one found: built anew
LOOK_AGAIN_S = 5.0  # the folder is looked at again at most this often
MOST_FILES = 20_000
MOST_BYTES = {".pdf": 30_000_000}
MOST_BYTES_TEXT = 5_000_000
MOST_TERMS = 24

_TABLES = """
CREATE TABLE files (
    path TEXT PRIMARY KEY, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL
);
CREATE VIRTUAL TABLE chunks USING fts5(
    title, body, path UNINDEXED, url UNINDEXED, tokenize = "porter unicode61 remove_diacritics 2"
);
"""

_FILLER = """
a an and are as at be but by can could did do does for from had has have how i if in into is it its me
my no not of on or our please shall should so tell than that the their them then there these they this
those to us was we were what when where which who why will with would you your about
"""
FILLER = frozenset(_FILLER.split())


class KnowledgeIndex:
    """Implements `tools.knowledge.Knowledge`.

    Args:
        folder: the documents; it may be missing, then nothing is found.
        database: where the index lies, for example `home/knowledge.db`.
    """

    def __init__(self, folder: Path, database: Path) -> None:
        self._folder = folder
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._lock = asyncio.Lock()  # one thread at a time uses the connection
        self._looked_at = float("-inf")
        self._told: set[tuple[str, str]] = set()  # skipped files that were logged, with the reason

    async def refresh(self) -> int:
        """Bring the index up to date with the folder.

        Returns:
            How many files are in it.
        """
        async with self._lock:
            return await self._in_thread(self._refresh)

    async def search(self, query: str, *, limit: int) -> list[Passage]:
        """Passages, best first; empty if nothing fits. Takes any text."""
        async with self._lock:
            if time.monotonic() - self._looked_at > LOOK_AGAIN_S:
                await self._in_thread(self._refresh)
            return await self._in_thread(self._search, query, limit)

    async def close(self) -> None:
        """Close the file."""
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                await asyncio.to_thread(connection.close)

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        # Shielded: a cancelled search must not leave its thread on the connection while the lock is free.
        work = asyncio.ensure_future(asyncio.to_thread(function, *args))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            with suppress(Exception):
                await work
            raise

    # ── in threads ───────────────────────────────────────────────────────────────────────────

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._database.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = self._connect()
            except sqlite3.DatabaseError as error:
                log.warning(
                    "The knowledge index is broken; building it anew.",
                    action="knowledge_rebuilt",
                    why=str(error),
                )
                self._database.unlink(missing_ok=True)
                self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._database, check_same_thread=False, timeout=10)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=OFF")  # lost with the power: built anew
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                connection.executescript("DROP TABLE IF EXISTS files; DROP TABLE IF EXISTS chunks;" + _TABLES)
                connection.execute(f"PRAGMA user_version={VERSION}")
                connection.commit()
            connection.execute("SELECT count(*) FROM chunks").fetchone()
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection

    def _refresh(self) -> int:
        connection = self._open()
        known = {
            path: (mtime, size, sha)
            for path, mtime, size, sha in connection.execute("SELECT path, mtime_ns, size, sha256 FROM files")
        }
        found: set[str] = set()
        with connection:
            for path in _files(self._folder, self._skip):
                name = path.relative_to(self._folder).as_posix()
                found.add(name)
                self._take(connection, path, name, known.get(name))
            for name in known.keys() - found:
                connection.execute("DELETE FROM chunks WHERE path = ?", (name,))
                connection.execute("DELETE FROM files WHERE path = ?", (name,))
        self._looked_at = time.monotonic()
        return len(found)

    def _take(
        self, connection: sqlite3.Connection, path: Path, name: str, known: tuple[int, int, str] | None
    ) -> None:
        mtime_ns = size = 0
        try:
            stat = path.stat()
            mtime_ns, size = stat.st_mtime_ns, stat.st_size
            if known is not None and known[:2] == (mtime_ns, size):
                return
            content = _content(path, size)
            sha = hashlib.sha256(content).hexdigest()
            if known is None or known[2] != sha:
                made = chunks(name, content)
                connection.execute("DELETE FROM chunks WHERE path = ?", (name,))
                connection.executemany(
                    "INSERT INTO chunks (title, body, path, url) VALUES (?, ?, ?, ?)",
                    [(c.title, c.text, name, c.url) for c in made],
                )
        except OSError as error:
            self._skip(name, f"it cannot be read ({error.strerror})")
            return  # it may be readable next time
        except Unreadable as error:
            self._skip(name, str(error))
            connection.execute("DELETE FROM chunks WHERE path = ?", (name,))
            sha = ""
        connection.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (name, mtime_ns, size, sha))

    def _skip(self, name: str, why: str) -> None:
        """Say once that a file is not read, and why."""
        if (name, why) not in self._told:
            self._told.add((name, why))
            log.warning("A document was skipped.", action="knowledge_skipped", path=name, why=why)

    def _search(self, query: str, limit: int) -> list[Passage]:
        expression = match_expression(query)
        if not expression:
            return []
        rows = self._open().execute(
            "SELECT title, url, body, -bm25(chunks, 5.0, 1.0) AS score FROM chunks WHERE chunks MATCH ? "
            "ORDER BY score DESC, url LIMIT ?",
            (expression, limit),
        )
        return [Passage(title=title, url=url, text=body, score=score) for title, url, body, score in rows]


def match_expression(query: str) -> str:
    """An FTS5 expression that finds any of the words; every word is quoted, so no text is an operator."""
    words = list(dict.fromkeys(re.findall(r"\w+", query.casefold()[:10_000])))
    words = [w for w in words if w not in FILLER] or words
    return " OR ".join(f'"{word}"' for word in words[:MOST_TERMS])


def _content(path: Path, size: int) -> bytes:
    most = MOST_BYTES.get(path.suffix.lower(), MOST_BYTES_TEXT)
    if size > most:
        raise Unreadable(f"it is larger than {most:,} bytes")
    return path.read_bytes()


def _files(folder: Path, skip: Callable[[str, str], None]) -> Iterator[Path]:
    if not folder.is_dir():
        return
    root = folder.resolve()
    count = 0
    for where, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            path = Path(where) / name
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                skip(path.relative_to(folder).as_posix(), "it is a link that leads out of the folder")
                continue
            if not path.is_file():  # a pipe would never end
                continue
            count += 1
            if count > MOST_FILES:
                skip("", f"the folder has more than {MOST_FILES:,} files")
                return
            yield path
