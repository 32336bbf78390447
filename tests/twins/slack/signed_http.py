"""Signed HTTP: how Slack posts to a bot's request URL, and how somebody who is not Slack would try it.

Events are JSON, interactions are a form with one field `payload`, commands are a form. Each request carries
`X-Slack-Request-Timestamp` and `X-Slack-Signature` (v0, HMAC-SHA256 with the signing secret over
`v0:time:body`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from typing import Any, Literal, cast
from urllib.parse import urlencode

import aiohttp

from tests.twins.slack.delivery import ACK_LIMIT_S, Answer, Attempt, Json, Parcel

FORM = "application/x-www-form-urlencoded"
MOST_REDIRECTS = 2


class ChallengeRefused(Exception):
    """The request URL did not answer `url_verification` with the challenge: Slack would not save it."""


class SignedHttp:
    """Posts parcels to the bot's request URL.

    Args:
        signing_secret: the app's.
        token: the (old) verification token, which every body still holds.
        ack_limit_s: how long Slack waits for a 200.
    """

    def __init__(self, signing_secret: str, token: str, *, ack_limit_s: float = ACK_LIMIT_S) -> None:
        self.url = ""
        self.ack_limit_s = ack_limit_s
        self._secret = signing_secret
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def verify(self, url: str) -> None:
        """The `url_verification` that Slack makes when a request URL is entered; then the URL is used.

        Raises:
            ChallengeRefused: the answer was no 200 with the challenge.
        """
        challenge = secrets.token_hex(16)
        body = json.dumps({"token": self._token, "challenge": challenge, "type": "url_verification"})
        try:
            async with self._post(url, body, "application/json", {}) as response:
                text = await response.text()
                if response.status != 200:
                    raise ChallengeRefused(f"{url} answered the challenge {response.status}: {text[:200]}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ChallengeRefused(f"{url} did not answer the challenge: {error!r}") from error
        try:
            given: Any = json.loads(text)["challenge"]
        except (ValueError, TypeError, KeyError):
            given = text.strip()
        if given != challenge:
            raise ChallengeRefused(f"{url} gave another challenge back: {text[:200]}")
        self.url = url

    async def carry(self, parcel: Parcel, attempt: Attempt) -> Answer:
        """One signed POST; waits for its 200."""
        if not self.url:
            return Answer(ok=False, failure="connection_failed")
        again: dict[str, str] = {}
        if attempt.number:
            again = {"X-Slack-Retry-Num": str(attempt.number), "X-Slack-Retry-Reason": attempt.reason}
        body, content_type = encode(parcel)
        try:
            async with self._post(self.url, body, content_type, again) as response:
                text = await response.text()
        except TimeoutError:
            return Answer(ok=False, failure="http_timeout")
        except aiohttp.TooManyRedirects:
            return Answer(ok=False, failure="too_many_redirects")
        except aiohttp.ClientError:
            return Answer(ok=False, failure="connection_failed")
        if not 200 <= response.status < 300:
            again_too = response.headers.get("X-Slack-No-Retry") != "1"
            return Answer(ok=False, body=text, failure="http_error", status=response.status, again=again_too)
        return Answer(ok=True, body=_read(text, response.content_type), status=response.status)

    async def forge(
        self,
        parcel: Parcel,
        *,
        fault: Literal["none", "wrong secret", "no signature", "other body", "stale", "future"],
    ) -> int:
        """Post as somebody else would, and give the status the bot answered with.

        "stale" and "future" are signed rightly, with a time six minutes off; "other body" carries the
        signature of another body; "none" is a right request.
        """
        body, content_type = encode(parcel)
        when = int(time.time()) + {"stale": -360, "future": 360}.get(fault, 0)
        headers = self._signed(body if fault != "other body" else body + " ", when)
        if fault == "wrong secret":
            headers = sign("0" * 32, body, when)
        if fault == "no signature":
            del headers["X-Slack-Signature"]
        async with self._post(self.url, body, content_type, headers, signed=True) as response:
            return response.status

    async def close(self) -> None:
        """Close the connections to the bot."""
        if self._session is not None:
            await self._session.close()

    def _signed(self, body: str, when: int) -> dict[str, str]:
        return sign(self._secret, body, when)

    def _post(
        self, url: str, body: str, content_type: str, headers: dict[str, str], *, signed: bool = False
    ) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # A kept connection to a bot that was killed meanwhile would fail the next click.
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                headers={"User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)"},
            )
        if not signed:
            headers = headers | self._signed(body, int(time.time()))
        return self._session.post(
            url,
            data=body.encode(),
            headers=headers | {"Content-Type": content_type},
            timeout=aiohttp.ClientTimeout(total=self.ack_limit_s),
            max_redirects=MOST_REDIRECTS + 1,
        )


def sign(secret: str, body: str, when: int) -> dict[str, str]:
    """The two headers by which a bot knows Slack.

    Args:
        secret: the signing secret.
        body: exactly as it is sent.
        when: seconds since 1970.
    """
    digest = hmac.new(secret.encode(), f"v0:{when}:{body}".encode(), hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": str(when), "X-Slack-Signature": f"v0={digest}"}


def encode(parcel: Parcel) -> tuple[str, str]:
    """The body and its content type."""
    match parcel.kind:
        case "events_api":
            return json.dumps(parcel.payload), "application/json"
        case "interactive":
            return urlencode({"payload": json.dumps(parcel.payload)}), FORM
        case "slash_commands":
            return urlencode(parcel.payload), FORM


def _read(text: str, content_type: str) -> Json | str | None:
    """What the bot said in its 200: a JSON object, plain text, or nothing."""
    if not text.strip():
        return None
    if content_type == "application/json":
        try:
            given: Any = json.loads(text)
        except ValueError:
            return text
        return cast(Json, given) if isinstance(given, dict) else text
    return text
