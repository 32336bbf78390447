"""Read a pack's files, from a folder or a zip, into memory. Nothing is written, nothing of it is run.

Everything is limited while it is read, whatever the archive claims: number of files, size of each and
of all, how far it unpacks. Names are plain and relative; links and special files are refused.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NoReturn

from config.errors import ConfigError, ConfigProblem, short_path

MANIFEST: Final = "pack.yaml"
SIGNATURE: Final = "pack.sig"
MAX_FILES: Final = 200
MAX_FILE_BYTES: Final = 1_000_000
MAX_BYTES: Final = 10_000_000  # of all files, and of the zip
MAX_RATIO: Final = 100  # a file unpacks to at most so many times its packed size
MAX_DEPTH: Final = 6
MAX_NAME: Final = 200
_PART: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?", re.ASCII)
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")  # devices on Windows
_SPECIAL: Final = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def read_pack_files(path: Path) -> dict[str, bytes]:
    """The files of a pack by their names in it, such as `workflows/notes.yaml`.

    A zip may hold the pack's folder instead of what is in it.

    Raises:
        ConfigError: not a folder or zip, or holds what a pack may not hold.
    """
    name = short_path(path)
    try:
        if path.is_dir():
            found = _folder(path, name)
        elif path.is_file():
            found = _zip(path, name)
        else:
            refuse(name, "there is no such folder or zip", "name the pack's folder, or its zip")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its name is none"
        refuse(name, f"cannot be read ({why})", "make it readable for this user")
    _distinct(found, name)
    if MANIFEST not in found:
        refuse(
            name,
            f"there is no {MANIFEST} in it",
            f"name a folder or zip with a {MANIFEST}; see docs/packs.md",
        )
    return found


def refuse(name: str, message: str, remedy: str) -> NoReturn:
    """Raises ConfigError about a pack or one of its files."""
    raise ConfigError([ConfigProblem(name, None, None, "", message, remedy)])


def name_flaw(name: str) -> str:
    """Why this cannot be the name of a file in a pack; "": it can."""
    if len(name) > MAX_NAME:
        return f"the name is longer than {MAX_NAME} characters"
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    parts = name.split("/")
    if ".." in parts or ".." in name.split("\\"):
        return "leads out of the pack"
    if len(parts) > MAX_DEPTH:
        return f"lies deeper than {MAX_DEPTH} folders"
    for part in parts:
        if not _PART.fullmatch(part) or _RESERVED.fullmatch(part):
            return (
                f"the name holds {part[:40]!r}: files in packs are named with letters, digits, '_', '-', '.'"
            )
    return ""


def _named(name: str, pack: str) -> str:
    flaw = name_flaw(name)
    if flaw:
        refuse(f"{pack}: {name[:80]!r}", flaw, "take it out of the pack, or rename it")
    return name


def _distinct(names: Iterable[str], pack: str) -> None:
    """Refuse names that are the same on disks which know no capitals, and a file that is a folder too."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            refuse(pack, f"holds {other!r} and {name!r}, which are one file on many disks", "rename one")
    for name in names:
        parts = name.casefold().split("/")
        for end in range(1, len(parts)):
            folder = "/".join(parts[:end])
            if folder in seen:
                refuse(pack, f"{seen[folder]!r} is a file and a folder", "rename one")


class _Tally:
    """Counts what was read so far."""

    def __init__(self, pack: str) -> None:
        self._pack = pack
        self._files = 0
        self._bytes = 0

    def file(self) -> None:
        self._files += 1
        if self._files > MAX_FILES:
            refuse(self._pack, f"holds more than {MAX_FILES} files", "split the pack")

    def content(self, name: str, content: bytes) -> bytes:
        if len(content) > MAX_FILE_BYTES:
            refuse(f"{self._pack}: {name}", f"is larger than {MAX_FILE_BYTES:,} bytes", "make it smaller")
        self._bytes += len(content)
        if self._bytes > MAX_BYTES:
            refuse(self._pack, f"holds more than {MAX_BYTES:,} bytes", "split the pack")
        return content


# ── folders ──────────────────────────────────────────────────────────────────────────────────


def _folder(root: Path, pack: str) -> dict[str, bytes]:
    tally, found = _Tally(pack), dict[str, bytes]()
    for file in _walk(root, root, pack, tally):
        name = _named(file.relative_to(root).as_posix(), pack)
        # Neither followed nor waited for, should it have become something else meanwhile.
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as opened:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                refuse(f"{pack}: {name}", "is not a plain file", "take it out of the pack")
            found[name] = tally.content(name, opened.read(MAX_FILE_BYTES + 1))
    return found


def _walk(folder: Path, root: Path, pack: str, tally: _Tally) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = _named(Path(entry.path).relative_to(root).as_posix(), pack)
        tally.file()
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            yield from _walk(Path(entry.path), root, pack, tally)
        elif stat.S_ISREG(mode):
            yield Path(entry.path)
        else:
            _refuse_special(f"{pack}: {name}", mode)


def _refuse_special(name: str, mode: int) -> NoReturn:
    refuse(
        name, f"is {_SPECIAL.get(stat.S_IFMT(mode), 'not a plain file')}", "put the file itself into the pack"
    )


# ── zips ─────────────────────────────────────────────────────────────────────────────────────


def _zip(path: Path, pack: str) -> dict[str, bytes]:
    if path.stat().st_size > MAX_BYTES:
        refuse(pack, f"is larger than {MAX_BYTES:,} bytes", "split the pack")
    try:
        with zipfile.ZipFile(path) as archive:
            return _without_folder(_unzipped(archive, pack))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, IndexError) as error:
        why = " ".join(str(error).split())[:100] or type(error).__name__
        refuse(pack, f"is no zip that can be read ({why})", "make the zip again")


def _unzipped(archive: zipfile.ZipFile, pack: str) -> dict[str, bytes]:
    tally, found = _Tally(pack), dict[str, bytes]()
    for entry in archive.infolist():
        tally.file()
        # A name with a NUL would be cut there by the library; what was meant is not guessed.
        name = entry.orig_filename
        mode = entry.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            _refuse_special(f"{pack}: {name[:80]!r}", mode)
        if name.endswith("/"):
            _named(name[:-1], pack)
            continue
        _named(name, pack)
        if entry.flag_bits & 0x1:
            refuse(f"{pack}: {name}", "is encrypted", "make the zip without a password")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            refuse(
                f"{pack}: {name}", "is packed in a way that is not read here", "make the zip with `zip -r`"
            )
        if name in found:
            refuse(f"{pack}: {name}", "is in the zip twice", "make the zip again")
        with archive.open(entry) as opened:
            content = tally.content(name, opened.read(MAX_FILE_BYTES + 1))
        if len(content) > MAX_RATIO * max(entry.compress_size, 1) + 1_000:
            refuse(
                f"{pack}: {name}", f"unpacks to more than {MAX_RATIO} times its size", "make the zip again"
            )
        found[name] = content
    return found


def _without_folder(found: dict[str, bytes]) -> dict[str, bytes]:
    """What is in the only folder, where people zipped the folder itself."""
    tops = {name.partition("/")[0] for name in found}
    if MANIFEST in found or len(tops) != 1 or any("/" not in name for name in found):
        return found
    return {name.partition("/")[2]: content for name, content in found.items()}
