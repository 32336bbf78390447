"""Workflow packs: opened with all checks, kept under QUARTET_HOME/packs/NAME, read again at each start.

Installing writes files and runs nothing of them. A pack is put in its place by one rename, so there
is the old one, the new one, or none, whenever the machine stops. Blocks on files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from filelock import FileLock
from filelock import Timeout as LockTimeout
from pydantic import BaseModel

from bot.pack_files import read_pack_files, refuse
from bot.pack_manifest import Manifest, Trust, read_manifest, trust
from config.documents import read_given
from config.errors import short_path, suggest
from config.yaml_text import Document, decode
from orchestrator.agents.spec import AgentSpec
from orchestrator.workflow import Workflow

FOLDER: Final = "packs"
LOCKED_S: Final = 10.0
_OLD: Final = ".old-"
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Pack:
    """A pack whose files are well formed by themselves; what it means beside others, `definitions` checks."""

    manifest: Manifest
    files: Mapping[str, bytes]
    trust: Trust
    key: str  # that signed it; "": none
    agents: tuple[tuple[AgentSpec, Document], ...]
    workflows: tuple[tuple[Workflow, Document], ...]

    @property
    def name(self) -> str:
        """Under which it is installed."""
        return self.manifest.name


def open_pack(path: Path, trusted: Collection[str]) -> Pack:
    """Read a pack from a folder or a zip and check all that can be told from itself.

    Args:
        path: the folder or zip.
        trusted: public keys, base64, of who may sign packs.

    Raises:
        ConfigError: what is wrong, with file, line and remedy.
    """
    files = read_pack_files(path)
    shown = short_path(path)
    manifest = read_manifest(files, shown)
    trusted_by, key = trust(files, shown, trusted)
    return Pack(
        manifest=manifest,
        files=files,
        trust=trusted_by,
        key=key,
        agents=tuple(_read(files, shown, name, AgentSpec) for name in manifest.agents),
        workflows=tuple(_read(files, shown, name, Workflow) for name in manifest.workflows),
    )


def _read(files: Mapping[str, bytes], pack: str, name: str, model: type[M]) -> tuple[M, Document]:
    shown = f"{pack}/{name}"
    return read_given(decode(files[name], shown), shown, model)


class Packs:
    """The installed packs.

    Args:
        home: QUARTET_HOME.
        trusted: public keys, base64, of who may sign packs.
    """

    def __init__(self, home: Path, trusted: Collection[str] = ()) -> None:
        self._folder = home / FOLDER
        self._trusted = trusted

    def names(self) -> list[str]:
        """What is installed."""
        if not self._folder.is_dir():
            return []
        with self._locked():
            return self._names()

    def all(self) -> list[Pack]:
        """Every installed pack, by name, checked as when it was installed.

        Raises:
            ConfigError: one was changed since, or does not do for this Quartet any more.
        """
        if not self._folder.is_dir():
            return []
        with self._locked():
            return [open_pack(self._folder / name, self._trusted) for name in self._names()]

    def install(self, pack: Pack, *, replace: bool = False) -> None:
        """Keep a pack. Whoever calls has checked it beside all others, and asked where nobody vouches for it.

        Raises:
            ConfigError: there is one of this name already and `replace` is not set, or it cannot be written.
        """
        place = self._folder / pack.name
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                if place.exists() and not replace:
                    refuse(pack.name, "a pack of this name is installed", "add --replace, or remove it first")
                fresh = Path(tempfile.mkdtemp(dir=self._folder, prefix=".new-"))
                try:
                    _write(fresh, pack.files)
                    if place.exists():
                        place.rename(self._folder / f"{_OLD}{pack.name}")
                    fresh.rename(place)
                    _settle(self._folder)
                finally:
                    shutil.rmtree(fresh, ignore_errors=True)
                self._tidy()
        except OSError as error:
            self._refuse_os(error)

    def remove(self, name: str) -> None:
        """Take a pack away.

        Raises:
            ConfigError: there is none of this name, or it cannot be removed.
        """
        names = self.names()
        if name not in names:
            refuse(f"{name[:60]!r}", "there is no such pack", suggest(name[:60], names))
        try:
            with self._locked():
                # First out of its place, so that nobody ever reads half of it.
                (self._folder / name).rename(Path(tempfile.mkdtemp(dir=self._folder, prefix=".new-")))
                _settle(self._folder)
                self._tidy()
        except OSError as error:
            self._refuse_os(error)

    def _names(self) -> list[str]:
        return sorted(p.name for p in self._folder.iterdir() if p.is_dir() and not p.name.startswith("."))

    def _tidy(self) -> None:
        """Finish what an earlier process could not: bring a replaced pack back, clear the rest."""
        for left in self._folder.iterdir():
            if left.name.startswith(_OLD) and not (self._folder / left.name.removeprefix(_OLD)).exists():
                left.rename(self._folder / left.name.removeprefix(_OLD))
            elif left.name.startswith((_OLD, ".new-")):
                shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Generator[None]:
        try:
            with FileLock(self._folder / ".lock", timeout=LOCKED_S):
                self._tidy()
                yield
        except LockTimeout:
            refuse(short_path(self._folder), "another process installs a pack", "try again when it has ended")

    def _refuse_os(self, error: OSError) -> None:
        where = short_path(self._folder)
        refuse(where, f"cannot be written ({error.strerror})", "let this user write QUARTET_HOME")


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """All files, on disk before they count; for this user, and nothing of it can be executed."""
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        place.chmod(0o600)


def _settle(folder: Path) -> None:
    """The renames in a folder are on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
