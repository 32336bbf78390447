"""What a client is told once: where Quartet is, the key, and how patient to be."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

from quartet_client.errors import BadArgument

DEFAULT_URL: Final = "http://127.0.0.1:8080"
USER_AGENT: Final = "quartet-client"
MAX_ANSWER: Final = 64 * 1024 * 1024  # bytes of one answer
MAX_FRAME: Final = 16 * 1024 * 1024  # bytes of one event of a stream
SILENCE_S: Final = 60.0  # a stream that is silent for longer is dead: the server gives a sign every 15 s


@dataclass(frozen=True, slots=True)
class Settings:
    """See `Quartet`."""

    url: str  # without "/" at its end
    api_key: str = field(repr=False)  # "": none
    timeout_s: float  # for one answer
    retries: int | None  # after the first try; None: as long as `reconnect_s`
    max_pause_s: float  # longest wait that a server may ask for before a retry
    reconnect_s: float  # the server is looked for so long after the last sign of life

    @classmethod
    def of(
        cls,
        url: str | None,
        api_key: str | None,
        *,
        timeout: float,
        retries: int | None,
        max_pause: float,
        reconnect: float,
    ) -> Settings:
        """Arguments, completed by the environment and checked.

        Raises:
            ValueError: the address or the key cannot be one; the key is not shown.
        """
        given = (url or os.environ.get("QUARTET_URL") or DEFAULT_URL).strip().rstrip("/")
        parts = urlsplit(given)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadArgument("the address of Quartet looks like http://127.0.0.1:8080; see QUARTET_URL")
        if parts.username is not None or parts.query or parts.fragment:
            raise BadArgument("the address of Quartet holds no key and no query; the key goes into api_key")
        key = api_key if api_key is not None else _key_of_environment()
        key = key.strip()  # files end with a line break
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise BadArgument("the API key holds characters that no key has; copy it again")
        if (retries or 0) < 0 or min(timeout, max_pause, reconnect) < 0:
            raise BadArgument("times and retries are not negative")
        return cls(given, key, timeout, retries, max_pause, reconnect)

    @property
    def is_local(self) -> bool:
        """On this machine: no proxy stands between, and without https nothing is encrypted."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def socket_url(self) -> str:
        """The address for WebSockets."""
        return f"ws{self.url.removeprefix('http')}"

    def headers(self) -> dict[str, str]:
        """What goes with every call."""
        # Nothing is compressed: streams stay unbuffered, and no small answer becomes a huge one.
        found = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        if self.api_key:
            found["X-API-Key"] = self.api_key
        return found


def _key_of_environment() -> str:
    return os.environ.get("QUARTET_API_KEY") or os.environ.get("API_KEY") or ""


def part(text: str) -> str:
    """An id as a part of a path.

    Raises:
        ValueError: it cannot be one.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - programs are not all checked
        raise BadArgument(f"an id is text, not {type(text).__name__}")
    if text in ("", ".", ".."):
        raise BadArgument(f"{text!r} is no id")
    return quote(text, safe="")
