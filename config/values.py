"""The shapes of single settings: tokens, addresses, lists. Refusals never repeat the value of a secret.

Messages read `what is wrong; what to do`.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr


@dataclass(frozen=True, slots=True)
class Env:
    """The environment variables a setting is read from; the first that is set counts."""

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, slots=True)
class Unused:
    """Marks a setting that is read and validated, and used by nothing in this version."""

    instead: str  # what happens instead


# ── secrets ──────────────────────────────────────────────────────────────────────────────────

_PLACEHOLDER = re.compile(r"(?i)^(your|change|replace|insert|paste|todo|xxx+$)|\.\.\.|…|[<>]")


def token(value: SecretStr) -> SecretStr:
    """What no key of anybody's can be.

    Raises:
        ValueError: what is wrong, and what to do.
    """
    text = value.get_secret_value()
    if text.lower().startswith("bearer "):
        raise ValueError("begins with 'Bearer'; give the key alone")
    if re.search(r"[^\x21-\x7e]|[\"']", text):
        raise ValueError(
            "holds spaces, quotes or characters that no key has; copy the key again, without quotes"
        )
    if _PLACEHOLDER.search(text):
        raise ValueError("is a placeholder, not a key; paste the real one, or remove the line")
    if len(text) > 4096:
        raise ValueError("is longer than 4096 characters; copy the key again")
    return value


def _begins(prefix: str, where: str) -> Callable[[SecretStr], SecretStr]:
    """Refuses a token without its prefix; `where` says where the right one is found."""

    def check(value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        other = next((known for known in _SLACK_TOKENS if text.startswith(known)), None)
        if other is not None and other != prefix:
            raise ValueError(f"is no such token, which begins with {prefix}; {_SLACK_TOKENS[other]}")
        if not text.startswith(prefix) or len(text) <= len(prefix):
            raise ValueError(f"is no such token, which begins with {prefix}; {where}")
        return value

    return check


# What people paste in place of the right token, and what to do then.
_SLACK_TOKENS = {
    "xoxb-": "this one is the bot token: put it into SLACK_BOT_TOKEN",
    "xapp-": "this one is the app token: put it into SLACK_APP_TOKEN",
    "xoxp-": "this one is a user token: copy the Bot User OAuth Token from OAuth & Permissions instead",
    "xoxe.xoxb-": "this one expires after 12 hours: create the app from `quartet manifest slack`, whose "
    "tokens do not, or set SLACK_CLIENT_ID and install it at /slack/install",
}


def _looks_like(pattern: str, what: str, where: str) -> Callable[[SecretStr], SecretStr]:
    """Refuses a token of another shape."""

    def check(value: SecretStr) -> SecretStr:
        if not re.fullmatch(pattern, value.get_secret_value()):
            raise ValueError(f"is not {what}; {where}")
        return value

    return check


Token = Annotated[SecretStr, AfterValidator(token)]


def _secret_keys(value: SecretStr) -> SecretStr:
    """A comma list of long secrets."""
    if any(len(key.strip()) < 16 for key in value.get_secret_value().split(",")):
        raise ValueError("holds a key shorter than 16 characters; make each with: openssl rand -hex 32")
    return value


def _database_url(value: SecretStr) -> SecretStr:
    """An address of a database we know."""
    if not re.match(r"(postgres|postgresql|sqlite)(\+\w+)?://", value.get_secret_value()):
        raise ValueError("is no database we know; write postgresql://user:password@host/name, or unset it")
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    """An address of Redis."""
    if not re.match(r"(rediss?|unix)://", value.get_secret_value()):
        raise ValueError("is no address of Redis; unset it, nothing uses it")
    return value


def _client_id(value: str) -> str:
    if not re.fullmatch(r"[0-9]{5,20}\.[0-9]{5,20}", value):
        shape = "two numbers of 5 to 20 digits with a dot between, as 1234567890.1234567890123"
        raise ValueError(f"is not a client id, which is {shape}; {_SLACK_PAGE}")
    return value


_SLACK_PAGE = "copy it from the app's page at api.slack.com/apps"
_SIGNING_SECRET = r"[0-9A-Za-z]{16,64}"

DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
SecretKeys = Annotated[SecretStr, AfterValidator(_secret_keys)]
SlackBotToken = Annotated[Token, AfterValidator(_begins("xoxb-", f"OAuth & Permissions: {_SLACK_PAGE}"))]
SlackAppToken = Annotated[Token, AfterValidator(_begins("xapp-", f"Basic Information: {_SLACK_PAGE}"))]
SlackSigningSecret = Annotated[
    Token, AfterValidator(_looks_like(_SIGNING_SECRET, "a signing secret", _SLACK_PAGE))
]
SlackClientId = Annotated[str, AfterValidator(_client_id)]


# ── addresses ────────────────────────────────────────────────────────────────────────────────


def _http_url(value: str) -> str:
    """An http(s) address without name and password."""
    try:
        parts = urlsplit(value)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_ok = None, False
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or not port_ok:
        raise ValueError("is not an http(s) address; write it as https://host/path")
    if re.search(r"[\s\x00-\x1f\"'<>]", value):
        raise ValueError("holds spaces or quotes; write it as https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a name or password; keep those in a key setting")
    return value


def _with_slash(value: str) -> str:
    return value if value.endswith("/") else value + "/"


HttpUrl = Annotated[str, AfterValidator(_http_url)]
SlashedUrl = Annotated[HttpUrl, AfterValidator(_with_slash)]


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:\[\]%-]{1,253}", value) or "://" in value:
        raise ValueError("is not a host; write a name or an address without port, as 127.0.0.1")
    return value.strip("[]")


Host = Annotated[str, AfterValidator(_host)]
Port = Annotated[int, Field(ge=1, le=65535)]


def is_loopback(host: str) -> bool:
    """Whether a name or an address means this machine itself."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        host = host.lower().rstrip(".")
        return host == "localhost" or host.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _host_port(value: str) -> str:
    match = re.fullmatch(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", value)
    if match is None or not 1 <= int(match[2]) <= 65535:
        raise ValueError(f"{value[:80]!r} is not host:port; write it exactly, as 127.0.0.1:8000")
    return value.lower()


def _origin(value: str) -> str:
    value = value.rstrip("/")
    parts = urlsplit(_http_url(value))
    if parts.path or parts.query or parts.fragment:
        raise ValueError(
            f"{value[:80]!r} is more than an origin; write scheme, host and port, as http://localhost:3000"
        )
    return value


# ── lists ────────────────────────────────────────────────────────────────────────────────────


def _split(value: Any) -> Any:
    """A comma list in the environment is a list in YAML."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _slack_bot(value: str) -> str:
    """A bot (B…), an app (A…), or all of them."""
    if re.fullmatch(r"[UW][A-Z0-9]{2,30}", value):
        raise ValueError(f"{value!r} is the id of a user; write the bot's B… or A… id, or '*' for all")
    if not re.fullmatch(r"[AB][A-Z0-9]{2,30}|\*", value):
        raise ValueError(f"{value[:40]!r} is not the id of a bot; write its B… or A… id, or '*' for all")
    return value


def as_text(value: Any) -> Any:
    """An id as text: YAML takes what is all digits for a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


CommaList = BeforeValidator(_split)
HostPorts = Annotated[tuple[Annotated[str, AfterValidator(_host_port)], ...], CommaList]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], CommaList]
SlackBots = Annotated[tuple[Annotated[str, AfterValidator(_slack_bot)], ...], CommaList]


def _entry_point(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", value):
        raise ValueError(
            f"{value[:40]!r} is no name of an agent; write the name of its entry point, as changelog"
        )
    return value


EntryPoints = Annotated[tuple[Annotated[str, AfterValidator(_entry_point)], ...], CommaList]


def _project_id(value: str) -> str:
    """The id of a CustomGPT project."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise ValueError("is not a project id; copy it from the address of the project's page")
    return value


ProjectId = Annotated[str, BeforeValidator(as_text), AfterValidator(_project_id)]


def _model_reference(value: str) -> str:
    """`provider:model`."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,39}:[^\s:][^\s]{0,199}", value):
        raise ValueError(f"{value[:80]!r} is not provider:model; write it as openai:gpt-5")
    return value


ModelReference = Annotated[str, AfterValidator(_model_reference)]
ModelName = Annotated[str, Field(pattern=r"^\S{1,200}$")]


# ── packs ────────────────────────────────────────────────────────────────────────────────────


def _public_key(value: str) -> str:
    """An Ed25519 public key: 32 bytes in base64."""
    try:
        content = base64.b64decode(value.strip(), validate=True)
    except ValueError:
        content = b""
    if len(content) != 32:
        raise ValueError("is no Ed25519 public key, 32 bytes in base64; copy the `key` of a pack.sig")
    return base64.b64encode(content).decode()


PublicKey = Annotated[str, AfterValidator(_public_key)]
