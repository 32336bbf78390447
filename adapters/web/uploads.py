"""Files that people send: they lie beside the database, each under an id of our own making."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from adapters.contract import Attachment


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a person sent."""

    id: str
    name: str
    media_type: str
    size: int  # bytes

    def attachment(self) -> Attachment:
        """The upload as the bot is told of it."""
        return Attachment(
            id=self.id, name=self.name, media_type=self.media_type, size=self.size, locator=self.id
        )


class Uploads:
    """A folder of files. Their names are never used as paths."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def keep(self, file: BinaryIO, name: str, media_type: str) -> Upload:
        """Copy a file; it is on the disk when this returns."""
        upload_id = secrets.token_hex(12)

        def work() -> Upload:
            self._folder.mkdir(parents=True, exist_ok=True)
            file.seek(0)
            with (self._folder / upload_id).open("xb") as copy:
                shutil.copyfileobj(file, copy)
                copy.flush()
                os.fsync(copy.fileno())
                return Upload(upload_id, name, media_type, copy.tell())

        return await asyncio.to_thread(work)

    def path(self, upload_id: str) -> Path | None:
        """Where an upload lies; None: no such file, or not the id of one."""
        path = self._folder / upload_id
        return path if re.fullmatch(r"[0-9a-f]{24}", upload_id) and path.is_file() else None
