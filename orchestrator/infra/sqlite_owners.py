"""Which processes live: each open store holds a lock on its own file, which dies with the process.

The kernel releases the lock at any end, SIGKILL included, so what a dead owner had can be taken
over at once, without heartbeats.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from filelock import FileLock, Timeout

from orchestrator.errors import StoreFailed


class Owners:
    """This process's own lock, and the question whether another owner lives. Blocking, but brief."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._dead: set[str] = set()  # ids are never used again, so dead is for good
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.me, self._lock = self._appear()
        except OSError as error:
            raise StoreFailed(
                f"folder {folder} cannot be written ({error.strerror}); give this account write permission"
            ) from error
        self._bury()

    def _appear(self) -> tuple[str, FileLock]:
        """Take an id and its lock. Another process that buries the dead may get in between: then anew."""
        while True:
            me = uuid.uuid4().hex
            lock = self._lock_of(me)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            if (self.folder / f"{me}.lock").exists():
                return me, lock
            lock.release(force=True)

    def lives(self, owner: str) -> bool:
        """Whether the process with this id still has its store open."""
        if owner == self.me:
            return True
        if owner in self._dead:
            return False
        if (self.folder / f"{owner}.lock").exists():
            lock = self._lock_of(owner)
            try:
                lock.acquire(blocking=False)
            except (Timeout, PermissionError):
                return True
            # Ours now, so nobody else will ever hold it; taking the file away while we do is safe.
            self._remove(lock)
        self._dead.add(owner)
        return False

    def close(self) -> None:
        """Give up: from now on this owner counts as dead."""
        self._remove(self._lock)

    def _bury(self) -> None:
        for path in self.folder.glob("*.lock"):
            self.lives(path.stem)

    def _lock_of(self, owner: str) -> FileLock:
        # Not thread-local: acquired in one thread, released in another.
        return FileLock(self.folder / f"{owner}.lock", thread_local=False, fallback_to_soft=False)

    @staticmethod
    def _remove(lock: FileLock) -> None:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release(force=True)
