"""Which files of people are taken, from where, and what is said of those that are not. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from adapters.contract import Attachment
from adapters.errors import AttachmentRefused

# Programs and archives: nothing of them can be read, and what is in them cannot be seen.
REFUSED_ENDINGS = frozenset(
    {"exe", "dll", "msi", "msix", "dmg", "pkg", "app", "apk", "ipa", "deb", "rpm", "jar", "war", "com", "scr",
     "so", "dylib", "bin", "iso", "img", "class", "wasm", "zip", "tar", "gz", "tgz", "bz2", "xz", "7z", "rar",
     "zst", "cab"}
)  # fmt: skip
_UNREAD = ("image/", "audio/", "video/", "font/")


def refuse(name: str, media_type: str) -> None:
    """Refuse what is never taken.

    Raises:
        AttachmentRefused: it is a program or an archive.
    """
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    if ending in REFUSED_ENDINGS:
        raise AttachmentRefused(
            f"{name!r} is not taken: .{ending} files are programs or archives, which the agents cannot read; "
            "send what is in it as text, PDF, Markdown, CSV or code"
        )
    if media_type in ("application/zip", "application/x-msdownload", "application/x-executable"):
        raise AttachmentRefused(
            f"{name!r} is not taken: it is a program or an archive, which the agents cannot read"
        )


def not_started(attachments: tuple[Attachment, ...], why: str) -> str:
    """What is said of a message whose files kept it from being taken: all of them, and what to do.

    Args:
        why: why it was not taken; returned as it is where no file was the reason.
    """
    if not any(repr(one.name) in why for one in attachments):
        return why
    reasons: dict[str, str] = {}
    for one in attachments:
        try:
            refuse(one.name, one.media_type)
        except AttachmentRefused as error:
            reasons[one.name] = str(error)
        else:
            if repr(one.name) in why:
                reasons[one.name] = why
    said = "; ".join(dict.fromkeys(reasons.values())).rstrip(".")
    return f"Your question was not started: {said}. Or send it again without {', '.join(reasons)}."


def unread(attachments: tuple[Attachment, ...]) -> str:
    """What is said of files of which the agents see only name and size; "" where there are none."""
    names = [one.name for one in attachments if one.media_type.startswith(_UNREAD)]
    if not names:
        return ""
    listed = ", ".join(names)
    return f"The agents see only the name and the size of {listed}: pictures, sound and video are not read."


def check_size(name: str, size: int, limit: int) -> None:
    """Raise AttachmentRefused for a file with more bytes than are taken."""
    if size > limit:
        raise AttachmentRefused(
            f"the file {name!r} is too large: {size:,} of at most {limit:,} bytes; send less of it"
        )


def locator(attachment: Attachment) -> dict[str, str] | None:
    """What an adapter wrote into `Attachment.locator`, as JSON; None: it is not readable (any more)."""
    try:
        given: Any = json.loads(attachment.locator)
    except ValueError:
        return None
    if not isinstance(given, Mapping):
        return None
    return {str(name): str(value) for name, value in given.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address: the very server that it is at.

    Raises:
        ValueError: it is no address.
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def retry_after_s(headers: Mapping[str, str]) -> float:
    """How many seconds a server of files asks us to wait; one where it does not say, a minute at most."""
    try:
        return min(max(float(headers.get("Retry-After", "1")), 0.1), 60.0)
    except ValueError:
        return 1.0
