"""Values encrypted at rest, by a list of keys: the first encrypts, all decrypt. Pure.

A key is any text; what Fernet needs is derived from it, so that people can use what they have.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SHORTEST = 16  # characters of a key


class CannotOpen(Exception):
    """None of the keys opens it."""

    def __init__(self) -> None:
        super().__init__(
            "the keys that it was encrypted with are gone; set QUARTET_SECRET_KEY to the old one too, "
            "behind the new one and a comma"
        )


class Seal:
    """Encrypts and decrypts.

    Args:
        keys: texts of at least 16 characters.
        purpose: what is sealed; what was sealed for another purpose cannot be opened.

    Raises:
        ValueError: no key, or one that is too short.
    """

    def __init__(self, keys: Sequence[str], purpose: bytes) -> None:
        if not keys or any(len(key) < SHORTEST for key in keys):
            raise ValueError(
                f"QUARTET_SECRET_KEY needs keys of {SHORTEST} characters or more (openssl rand -hex 32)"
            )
        fernets = [Fernet(_derived(key, purpose)) for key in keys]
        self._first = fernets[0]
        self._all = MultiFernet(fernets)

    def shut(self, value: Mapping[str, Any]) -> bytes:
        """Encrypt a JSON object by the first key."""
        return self._first.encrypt(json.dumps(value).encode())

    def open(self, sealed: bytes) -> dict[str, Any]:
        """Decrypt by whichever key fits.

        Raises:
            CannotOpen: none does, or it was changed.
        """
        try:
            return cast("dict[str, Any]", json.loads(self._all.decrypt(sealed)))
        except InvalidToken:
            raise CannotOpen from None

    def renewed(self, sealed: bytes) -> bytes | None:
        """The same, encrypted by the first key; None: it is already.

        Raises:
            CannotOpen: as `open`.
        """
        try:
            self._first.decrypt(sealed)
        except InvalidToken:
            pass
        else:
            return None
        try:
            return self._all.rotate(sealed)
        except InvalidToken:
            raise CannotOpen from None


def _derived(key: str, purpose: bytes) -> bytes:
    material = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(key.encode())
    return base64.urlsafe_b64encode(material)
