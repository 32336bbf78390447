"""Cut a stream of bytes into lines, with limits: of one line, and of all of them together. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.agents.elsewhere.wire import MOST_BYTES, MOST_BYTES_IN_ALL
from orchestrator.errors import AgentFailed

MOST_LINES = 100_000  # of one step: more than a sign of life each second for a day


class Lines:
    """The lines of one step.

    Args:
        whose: the agent's title, for refusals.
    """

    def __init__(self, whose: str) -> None:
        self._whose = whose
        self._rest = bytearray()
        self._count = 0
        self._lines = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The lines that a further piece ends. Blank ones are left out.

        Raises:
            AgentFailed: a line, or all together, is too long.
        """
        self._count += len(piece)
        if self._count > MOST_BYTES_IN_ALL:
            raise AgentFailed(f"{self._whose} said more than {MOST_BYTES_IN_ALL:,} bytes in one step")
        first, *more = piece.split(b"\n")
        self._rest += first
        for part in more:
            whole, self._rest = bytes(self._rest), bytearray(part)
            if len(whole) > MOST_BYTES:
                raise AgentFailed(f"{self._whose}: a line of more than {MOST_BYTES:,} bytes")
            self._lines += 1
            if self._lines > MOST_LINES:
                raise AgentFailed(f"{self._whose} said more than {MOST_LINES:,} lines in one step")
            if whole.strip():
                yield whole
        if len(self._rest) > MOST_BYTES:
            raise AgentFailed(f"{self._whose}: a line of more than {MOST_BYTES:,} bytes")

    def last(self) -> Iterator[bytes]:
        """What is left at the end without a line feed."""
        whole, self._rest = bytes(self._rest), bytearray()
        if whole.strip():
            yield whole
