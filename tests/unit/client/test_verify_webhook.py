"""Webhooks: what Quartet signed is taken, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.webhooks import signing
from quartet_client import BadWebhook, verify_webhook

SECRET = signing.new_secret()
BODY = json.dumps({"type": "run.completed", "data": {"id": "r1"}}).encode()
AT = 1_800_000_000
HEADERS = signing.headers(SECRET, "msg_1", AT, BODY)


def test_what_the_bot_signs_is_taken() -> None:
    assert verify_webhook(SECRET, HEADERS, BODY, now=AT)["type"] == "run.completed"
    shouted = {name.upper(): value for name, value in HEADERS.items()}
    assert verify_webhook(SECRET, shouted, BODY.decode(), now=AT + 299)


def test_the_example_of_standard_webhooks_is_taken() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert verify_webhook(secret, headers, '{"test": 2432232314}', now=1614265330) == {"test": 2432232314}


def test_old_ones_and_early_ones_are_refused() -> None:
    for now in (AT + 301, AT - 301):
        with pytest.raises(BadWebhook, match="old"):
            verify_webhook(SECRET, HEADERS, BODY, now=now)
    with pytest.raises(BadWebhook, match="old"):
        verify_webhook(SECRET, HEADERS, BODY)  # by the clock


@given(
    st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "body", "secret"]),
    st.one_of(st.text(max_size=40), st.integers(0, 10**25).map(str)),
)
def test_whatever_is_changed_is_refused(part: str, other: str) -> None:
    headers, body, secret = dict(HEADERS), BODY, SECRET
    if part == "body":
        body = other.encode("utf-8", "replace")
    elif part == "secret":
        secret = signing.new_secret()
    else:
        headers[part] = "" if other == HEADERS[part] else other
    with pytest.raises(BadWebhook):
        verify_webhook(secret, headers, body, now=AT)


def test_a_wrong_secret_is_named_and_not_shown() -> None:
    for secret in ("", "whsec_", "not base64!"):
        with pytest.raises(ValueError, match="whsec_…") as caught:
            verify_webhook(secret, HEADERS, BODY)
        assert "not base64" not in str(caught.value)


def test_signed_words_that_are_no_object_are_refused() -> None:
    with pytest.raises(BadWebhook, match="no JSON object"):
        verify_webhook(SECRET, signing.headers(SECRET, "m", AT, b"[1]"), b"[1]", now=AT)
