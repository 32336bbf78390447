"""Keys of model providers that one run alone uses: how the store keeps them, sealed, and when they go.

The store sees only sealed bytes. They are deleted in the transaction that ends the run, so that no crash
can leave them behind; what was kept for a run that never came to be is swept.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class RunKeys(Protocol):
    """Sealed keys by the inbox key of the turn that they came with, which is `RunSettings.own_keys` too."""

    async def keep_run_keys(self, turn_key: str, sealed: bytes) -> bool:
        """Keep them. False: there are some for this turn, and they stay as they are."""
        ...

    async def run_keys(self, turn_key: str) -> bytes | None:
        """What was kept; None: the run has ended, or there never were any."""
        ...

    async def drop_run_keys(self, turn_key: str) -> None:
        """Delete them now: their run could not be started."""
        ...

    async def sweep_run_keys(self, until: datetime) -> int:
        """Delete keys of ended runs, and those kept before `until` (aware) for which no run came.

        Returns:
            How many were deleted.
        """
        ...
