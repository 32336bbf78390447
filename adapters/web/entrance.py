"""The door of the page: where a request comes from, who it is, signing in and out.

Where no key is asked for, everyone who reaches the page is the person "you". Else people sign in, with
a key that has a name or with one for all and a name of their own, for a cookie that scripts cannot read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import quote

from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from adapters.contract import Person
from adapters.web import guard, inbound
from adapters.web.answers import refused
from adapters.web.asides import SIGNED_IN_FOR, Asides
from adapters.web.assets import STAMP
from adapters.web.guard import Doors, SignIn
from adapters.web.inbound import Refusal
from adapters.web.outbound import page_html
from adapters.wrong_keys import WrongKeys

LOCAL = Person(platform="web", id="local", name="you", is_admin=True)
COOKIE = "quartet_person"
WRONG_KEYS = 10  # of one client within a minute

Endpoint = Callable[[Request, Person], Awaitable[Response]]


class Entrance:
    """Lets requests in.

    Args:
        sign_in: checks keys; None: nobody needs one.
        secure_cookie: the page is reached over https.
    """

    def __init__(self, doors: Doors, asides: Asides, sign_in: SignIn | None, *, secure_cookie: bool) -> None:
        self._doors = doors
        self._asides = asides
        self._sign_in = sign_in
        self._secure_cookie = secure_cookie
        self._wrong_keys = WrongKeys(WRONG_KEYS)

    def guarded(self, endpoint: Endpoint, *, anyone: bool) -> Callable[[Request], Awaitable[Response]]:
        """Let in who may come in, and put the page's headers on every answer.

        Args:
            anyone: also people who are not signed in.
        """

        async def guarded(request: Request) -> Response:
            response = await self._admitted(request, endpoint, anyone=anyone)
            for name, value in guard.PAGE_HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return guarded

    async def _admitted(self, request: Request, endpoint: Endpoint, *, anyone: bool) -> Response:
        refusal = self._doors.refusal(request)
        if refusal is not None:
            return refused(request, refusal)
        person = LOCAL if anyone else await self._person(request)
        if person is None:
            if request.method == "GET" and not request.url.path.endswith("/events"):
                return RedirectResponse(f"/sign-in?next={quote(request.url.path)}", 303)
            return refused(request, Refusal(401, "Sign in first: open the page again."))
        return await endpoint(request, person)

    async def _person(self, request: HTTPConnection) -> Person | None:
        if self._sign_in is None or not await self._sign_in.is_needed():
            return LOCAL
        token = request.cookies.get(COOKIE, "")
        signed_in = await self._asides.signed_in(token) if token else None
        return signed_in[0] if signed_in and await self._sign_in.counts(signed_in[1]) else None

    async def signed_in(self, connection: HTTPConnection) -> Person | None:
        """Who signed in with a key, for other routes of this server; None: nobody, or none is needed."""
        person = await self._person(connection)
        return None if person is LOCAL else person

    async def sign_in_page(self, request: Request, _: Person) -> Response:
        """Ask for a name and the key."""
        if self._sign_in is None or not await self._sign_in.is_needed():
            return RedirectResponse("/", 303)
        return self._key_page(_local_path(request.query_params.get("next", "/")))

    def _key_page(
        self, next_path: str, *, name: str = "", wrong: str = "", status: int = 200, wait_s: int = 0
    ) -> Response:
        html = page_html("sign_in.html", stamp=STAMP, next=next_path, name=name, wrong=wrong)
        headers = {"retry-after": str(wait_s)} if wait_s else None
        return HTMLResponse(html, status, headers)

    async def take_key(self, request: Request, _: Person) -> Response:
        """Check a key; the right one is answered with a cookie."""
        if self._sign_in is None or not await self._sign_in.is_needed():
            return RedirectResponse("/", 303)
        fields = await guard.read_fields(request)
        if isinstance(fields, Refusal):
            return refused(request, fields)
        next_path = _local_path(fields.get("next", "/"))
        name = fields.get("name", "")
        address = request.client.host if request.client else ""
        wait_s = self._wrong_keys.wait_s(address)
        if wait_s:
            wrong = "Too many wrong keys. Wait a minute."
            return self._key_page(next_path, name=name[:60], wrong=wrong, status=429, wait_s=wait_s)
        given = await self._sign_in.check(fields.get("key", ""))
        if isinstance(given, str):  # it is one of ours: no guess
            return self._key_page(next_path, name=name[:60], wrong=given, status=403)
        if given is None:
            self._wrong_keys.note(address)
            wrong = "That is not the key of this server, nor a named one."
            return self._key_page(next_path, name=name[:60], wrong=wrong, status=401)
        if given.name:
            person = inbound.key_person(given.name, is_admin=given.is_admin)
        else:
            person = inbound.person_named(name)
        if person is None:
            return self._key_page(next_path, wrong="Give a name, by which others know you.", status=422)
        token = await self._asides.sign_in(person, given.stamp)
        response = RedirectResponse(next_path, 303)
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(SIGNED_IN_FOR.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=self._secure_cookie,
        )
        return response

    async def leave(self, request: Request, _: Person) -> Response:
        """Make the cookie worthless."""
        await self._asides.sign_out(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=self._secure_cookie)
        return response


def _local_path(path: str) -> str:
    """Where to go after signing in; never to another site."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if ours else "/"
