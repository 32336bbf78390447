"""See that a webhook came from Quartet, unchanged and just now, as Standard Webhooks says. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, cast

from quartet_client.errors import BadWebhook

PREFIX = "whsec_"
MAX_AGE_S = 300


def verify_webhook(
    secret: str,
    headers: Mapping[str, str],
    body: bytes | str,
    *,
    max_age: float = MAX_AGE_S,
    now: float | None = None,
) -> dict[str, Any]:
    """What a webhook says, if Quartet signed it.

    Answer 2xx once it is stored; the same `webhook-id` may come again and counts once.

    Args:
        secret: as Quartet showed it when the webhook was made (`whsec_…`).
        headers: of the call; names in any case.
        body: of the call, byte for byte.
        max_age: seconds that it may be old, or early: a recorded one is of no use later.
        now: seconds since 1970; None: the clock.

    Raises:
        BadWebhook: it was not signed with this secret, was changed, or is too old.
        ValueError: the secret cannot be one; it is not shown.
    """
    key = _key(secret)
    given = {name.lower(): value for name, value in headers.items()}
    message_id, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    signatures = given.get("webhook-signature", "").split()
    if not (message_id and stamp.isascii() and stamp.isdigit() and len(stamp) < 20 and signatures):
        raise BadWebhook("This is no webhook of Quartet: its id, time or signature is missing.")
    content = body.encode() if isinstance(body, str) else bytes(body)
    signed = hmac.digest(key, f"{message_id}.{stamp}.".encode() + content, sha256)
    expected = b"v1," + base64.b64encode(signed)
    # All are compared, so that the time taken says nothing.
    fits = [hmac.compare_digest(expected, given.encode("utf-8", "replace")) for given in signatures]
    if not any(fits):
        raise BadWebhook("The signature does not fit: another secret, or the body was changed on the way.")
    if abs((time.time() if now is None else now) - int(stamp)) > max_age:
        raise BadWebhook("The webhook is too old, or a clock is wrong.")
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise BadWebhook("The webhook is signed, but holds no JSON object.")
    return cast("dict[str, Any]", said)


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("the webhook's secret looks like whsec_…; copy it again")
    return key
