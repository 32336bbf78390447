"""The base of small values that are made and copied with every step: structs of msgspec."""

from __future__ import annotations

from msgspec import Struct


class Value(Struct, frozen=True, gc=False):
    """Frozen, without pydantic's checks: such values are made of what was checked.

    Copies with changes: `msgspec.structs.replace`. The garbage collector passes them over, as nothing in
    them can lead back to itself.
    """
