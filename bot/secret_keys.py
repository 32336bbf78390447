"""The keys that stored tokens are encrypted with: `QUARTET_SECRET_KEY`, or one that is made once and kept.

The made key lies under QUARTET_HOME beside what it protects: it keeps tokens out of copies of the
database alone. Set QUARTET_SECRET_KEY where the whole folder is copied to places of less trust.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from filelock import FileLock

from config.errors import ConfigError, ConfigProblem, short_path
from config.settings import Settings

FILE = "secret.key"
SHORTEST = 16  # characters
LOCKED_S = 10.0


def secret_keys(settings: Settings) -> tuple[str, ...]:
    """The keys, at least one; the first encrypts, all decrypt.

    Without QUARTET_SECRET_KEY a key is made under QUARTET_HOME (mode 0600); processes that start at
    once get the same. A made key goes on decrypting after QUARTET_SECRET_KEY is set. Blocks on files.

    Raises:
        ConfigError: the key's file cannot be read, written, or is damaged.
    """
    file = settings.home / FILE
    given = settings.secret_keys
    keys = [key.strip() for key in given.get_secret_value().split(",")] if given is not None else []
    if not keys or file.exists():
        keys.append(_kept(file))
    return tuple(dict.fromkeys(keys))


def _kept(file: Path) -> str:
    """The key in the file, which is made where it is missing."""
    try:
        if not file.exists():
            _make(file)
        if file.stat().st_mode & 0o077:
            file.chmod(0o600)
        key = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise _refused(file, f"cannot be used ({why})", "make it readable for this user alone") from None
    if len(key) < SHORTEST:
        remedy = "restore it from a backup, or remove it and install the Slack app again"
        raise _refused(file, "holds no key", remedy)
    return key


def _make(file: Path) -> None:
    """Write a new key so that others see the whole file or none, and the first of several wins."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f".{FILE}.lock"), timeout=LOCKED_S):
        if file.exists():
            return  # another process was first: its key counts
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{FILE}-")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="ascii") as fresh:
                fresh.write(secrets.token_hex(32) + "\n")
                fresh.flush()
                os.fsync(fresh.fileno())
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink()
            raise


def _refused(file: Path, message: str, remedy: str) -> ConfigError:
    return ConfigError([ConfigProblem(short_path(file), None, None, "QUARTET_SECRET_KEY", message, remedy)])
