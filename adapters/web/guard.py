"""Who may talk to the page: Host, Origin, sizes of requests, headers of answers.

- Host: a page of a stranger that points its own name at this machine is refused (DNS rebinding).
  Addresses of digits cannot be rebound, so they are let in.
- Origin: what a browser sends for another site's page is refused. Requests of programs carry neither
  Origin nor Sec-Fetch-Site; they have no cookie of ours to misuse either.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from adapters.web.inbound import MOST_CHARACTERS, MOST_FILES, Refusal

MESSAGE_BYTES = 64_000_000  # one message with all its files
FORM_BYTES = 2_000_000  # any other form
TEXT_BYTES = 16_000_000  # one text field: enough to say that 10 MB are too long
DRAINED_BYTES = 256_000_000  # read and thrown away, so that a browser listens to the refusal
DRAIN_S = 10.0  # seconds

PAGE_HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "x-content-type-options": "nosniff",
    # Not "no-referrer": with it browsers send "Origin: null" with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class KeyGiven(NamedTuple):
    """A key that lets in."""

    stamp: str  # says which key, never the key itself; sign-ins last as long as it counts
    name: str = ""  # the person is called so; "": people give a name of their own
    is_admin: bool = True


class SignIn(Protocol):
    """How people prove that they may use the page."""

    async def is_needed(self) -> bool:
        """False: whoever reaches the page is let in."""
        ...

    async def check(self, key: str) -> KeyGiven | str | None:
        """What a key lets do; text: why this one of ours does not let in; None: it is none of ours."""
        ...

    async def counts(self, stamp: str) -> bool:
        """Whether the key of a stamp still lets in."""
        ...


class Doors:
    """Which hosts and origins are let in.

    Args:
        hosts: names of this server besides loopback and addresses of digits.
        origins: other sites whose pages may post here, e.g. `http://localhost:3000`.
    """

    def __init__(self, hosts: Collection[str], origins: Sequence[str]) -> None:
        self._hosts = {host.casefold() for host in hosts if host} | {"localhost"}
        self._origins = {origin.rstrip("/").casefold() for origin in origins}

    def refusal(self, request: Request) -> Refusal | None:
        """Why the request is not let in; None: it is."""
        host = request.headers.get("host", "")
        if not self._is_ours(_host_name(host)):
            return Refusal(
                421,
                "This server does not know the name by which it was called. Set ORCHESTRATOR_BASE_URL to it.",
            )
        if request.method in ("GET", "HEAD"):
            return None
        origin = request.headers.get("origin")
        if origin is not None:
            ours = origin.casefold() in self._origins or urlsplit(origin).netloc.casefold() == host.casefold()
        else:
            ours = request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")
        if ours:
            return None
        return Refusal(
            403, "This came from another site's page. Open Quartet's own page, or set CORS_ORIGINS."
        )

    def _is_ours(self, name: str) -> bool:
        if name in self._hosts or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").casefold()
    except ValueError:
        return ""


async def read_form(request: Request, most_bytes: int) -> FormData | Refusal:
    """Read a form, never more than `most_bytes` of it. The caller closes the FormData."""
    body = _Body(request, most_bytes)
    if body.announced > most_bytes:
        await body.drain()
        return _too_large(most_bytes)
    counted = Request(request.scope, body.receive)
    try:
        return await counted.form(max_files=10 * MOST_FILES, max_fields=200, max_part_size=TEXT_BYTES)
    except (HTTPException, MultiPartException) as error:
        await body.drain()
        if body.exceeded:
            return _too_large(most_bytes)
        return _unreadable(error.detail if isinstance(error, HTTPException) else error.message)
    except ClientDisconnect:
        return Refusal(400, "The connection broke before all of it had arrived. Send it again.")
    except (ValueError, UnicodeError):
        return _unreadable("")


async def read_fields(request: Request) -> dict[str, str] | Refusal:
    """Read a form that has no files."""
    form = await read_form(request, FORM_BYTES)
    if isinstance(form, Refusal):
        return form
    try:
        return dict(text_fields(form))
    finally:
        await form.close()


def _too_large(most_bytes: int) -> Refusal:
    return Refusal(
        413, f"Too large: at most {most_bytes // 1_000_000} MB at once. Send less, or fewer files."
    )


def _unreadable(reason: str) -> Refusal:
    if "Part exceeded" in reason:
        return Refusal(413, f"Too long: at most {MOST_CHARACTERS:,} characters. Attach it as a file instead.")
    if "Too many files" in reason:
        return Refusal(413, f"Too many files: at most {MOST_FILES} with one message.")
    return Refusal(400, "The form could not be read. Reload the page and send it again.")


def text_fields(form: FormData) -> list[tuple[str, str]]:
    """The text fields of a form, in order."""
    return [(name, value) for name, value in form.multi_items() if isinstance(value, str)]


def uploaded(form: FormData) -> list[UploadFile]:
    """The files of a form; inputs that were left empty left out."""
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    return [file for file in files if file.filename or file.size]


class _Body:
    """A request's body, counted while it arrives."""

    def __init__(self, request: Request, most_bytes: int) -> None:
        self._receive = request.receive
        self._most = most_bytes
        self._seen = 0
        self._ended = False
        self.exceeded = False
        length = request.headers.get("content-length", "0")
        self.announced = int(length) if length.isdecimal() else 0  # bytes

    async def receive(self) -> Message:
        message = await self._next()
        if self._seen > self._most:
            self.exceeded = True
            raise MultiPartException("body too large")  # what the parser cleans up after
        return message

    async def drain(self) -> None:
        """Throw the rest away: a browser that is still sending would not read our answer."""
        if self.announced > DRAINED_BYTES:
            return
        try:
            async with asyncio.timeout(DRAIN_S):
                while not self._ended and self._seen < DRAINED_BYTES:
                    await self._next()
        except TimeoutError:
            return

    async def _next(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        self._ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message
