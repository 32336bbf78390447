"""Read lines from a terminal without blocking the loop, and stop reading at any moment.

The terminal's own line editing does the work; the loop is told when a whole line is there. So a
prompt can be cancelled when somebody else answers, and no thread is left behind in `read`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios


class Keyboard:
    """Lines typed at a terminal.

    Args:
        fd: file descriptor of the terminal. A line may hold 4,095 bytes, the kernel's limit.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = b""
        self._ended = False

    def forget_typed_ahead(self) -> None:
        """Drop what was typed before the question was there: it was not an answer to it."""
        self._buffer = b""
        with contextlib.suppress(termios.error, OSError):
            termios.tcflush(self.fd, termios.TCIFLUSH)

    async def line(self) -> str | None:
        """The next line without its end; None at the end of input (Ctrl-D, a closed terminal)."""
        while b"\n" not in self._buffer and not self._ended:
            await self._readable()
            try:
                got = os.read(self.fd, 65_536)
            except OSError:  # the terminal is gone (EIO)
                got = b""
            self._ended = not got
            self._buffer += got
        if b"\n" not in self._buffer:
            left, self._buffer, self._ended = self._buffer, b"", False
            return left.decode("utf-8", "replace") if left else None
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode("utf-8", "replace").removesuffix("\r")

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()

        def tell() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_reader(self.fd, tell)
        try:
            await ready
        finally:
            loop.remove_reader(self.fd)
