"""Signatures as Standard Webhooks describes them: HMAC-SHA256 over id, time and body. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

PREFIX: Final = "whsec_"
BYTES: Final = 32


def new_secret() -> str:
    """A secret, e.g. `whsec_MfKQ9r8G…`: 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()


def headers(secret: str, notice_id: str, at: int, body: bytes) -> dict[str, str]:
    """What is sent along with a body.

    Args:
        secret: of the webhook.
        notice_id: the same at every attempt.
        at: of this attempt, seconds since 1970.
        body: exactly the bytes that are sent.
    """
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = hmac.new(key, f"{notice_id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "webhook-id": notice_id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
