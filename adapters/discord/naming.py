"""Names of the files that go out: Discord changes what it does not like, so ours are plain. Pure."""

from __future__ import annotations

import re
import unicodedata

_MOST = 80  # characters


class FileNames:
    """Names of the files of one card; none is given twice, whatever the case of its letters."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, wanted: str) -> str:
        """A name like the wanted one that no other file has: `bridge.txt`, `bridge-2.txt`."""
        stem, dot, ending = _plain(wanted).rpartition(".")
        if not stem:
            stem, dot, ending = ending, "", ""
        number = 1
        while True:
            name = f"{stem}{f'-{number}' if number > 1 else ''}{dot}{ending}"
            if name.lower() not in self._given:
                self._given.add(name.lower())
                return name
            number += 1


def _plain(wanted: str) -> str:
    letters = unicodedata.normalize("NFKD", wanted).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", re.sub(r".*[/\\]", "", letters, flags=re.DOTALL))
    name = re.sub(r"\.{2,}", ".", name).strip("._-")
    if not name:
        return "file.txt"
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > 12:
        return name[:_MOST].strip("._-")
    return f"{stem[: _MOST - 13].rstrip('._-') or 'file'}.{ending}"
