"""What can be read of a file that a person sent. Pure but for the PDF library; call it in a thread."""

from __future__ import annotations

from orchestrator.infra.documents import SUFFIXES, Unreadable, chunks

MAX_CHARS = 200_000  # more of one file would only crowd out everything else
_CUT = "\n\n[… the rest of the file is left out]"


def file_text(name: str, media_type: str, content: bytes) -> str | None:
    """The text of a file; None: it is binary, and agents see only its name and size.

    Args:
        name: with its ending, which says how to read it.
        media_type: as the platform says; not trusted.
        content: the bytes.
    """
    suffix = f".{name.rpartition('.')[2].lower()}" if "." in name else ""
    if suffix == ".pdf":
        try:
            return _cut("\n\n".join(c.text for c in chunks(name, content)))
        except Unreadable:
            return None
    if b"\x00" in content[:100_000] and suffix in SUFFIXES | {""}:
        return None
    try:
        return _cut(
            content[: MAX_CHARS * 4].decode(
                "utf-8-sig", errors="strict" if len(content) <= MAX_CHARS * 4 else "ignore"
            )
        )
    except UnicodeDecodeError:
        return None


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CHARS else text[:MAX_CHARS] + _CUT
