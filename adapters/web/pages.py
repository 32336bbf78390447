"""The page's HTTP side: each route once. Works with plain forms; the page's script asks for JSON instead."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from adapters.contract import ConversationRef, Feedback, Form, Person
from adapters.web import guard, inbound
from adapters.web.answers import as_download, go, refused, unknown, wants_json
from adapters.web.asides import Asides
from adapters.web.assets import STAMP, asset
from adapters.web.delivery import Delivery
from adapters.web.drawing import Drawing
from adapters.web.entrance import LOCAL, Endpoint, Entrance
from adapters.web.feed import Feed
from adapters.web.inbound import CHOICES, MOST_CHARACTERS, MOST_FILES, GivenFile, Refusal
from adapters.web.messages import Listed, Messages
from adapters.web.outbound import form_html, listing_html, notice_html, page_html
from adapters.web.stream import stream
from adapters.web.uploads import Uploads

ON_ONE_PAGE = 200  # messages; earlier ones at request
_NOTHING = Markup()
_NOT_NOW = Refusal(503, "The bot could not take this just now. Try again in a moment.")

Inside = Callable[[Request, Person, Listed], Awaitable[Response]]


class Pages:
    """Routes of the chat page."""

    def __init__(
        self,
        *,
        messages: Messages,
        asides: Asides,
        uploads: Uploads,
        feed: Feed,
        delivery: Delivery,
        entrance: Entrance,
        file_bytes: int,
    ) -> None:
        self._messages = messages
        self._asides = asides
        self._uploads = uploads
        self._feed = feed
        self._delivery = delivery
        self._entrance = entrance
        self._file_bytes = file_bytes
        self._drawing = Drawing()

    def routes(self) -> list[BaseRoute]:
        """All routes; no path of theirs begins like one of the HTTP API."""
        entrance = self._entrance

        def at(path: str, endpoint: Endpoint, method: str = "GET", *, anyone: bool = False) -> Route:
            guarded = entrance.guarded(endpoint, anyone=anyone)
            return Route(path, guarded, methods=[method], include_in_schema=False)

        def inside(path: str, endpoint: Inside, method: str = "GET") -> Route:
            return at(f"/c/{{slug}}{path}", self._in_conversation(endpoint), method)

        return [
            at("/", self._begin),
            at("/c", self._write_first, "POST"),
            inside("", self._conversation),
            inside("/events", self._events),
            inside("/messages", self._take_message, "POST"),
            inside("/click", self._click, "POST"),
            inside("/form", self._fill, "POST"),
            inside("/dismiss", self._dismiss, "POST"),
            inside("/files/{message}/{upload}", self._upload),
            inside("/cards/{message}/files/{number:int}", self._card_file),
            at("/sign-in", entrance.sign_in_page, anyone=True),
            at("/sign-in", entrance.take_key, "POST", anyone=True),
            at("/sign-out", entrance.leave, "POST"),
            at("/assets/chat/{name}", self._asset, anyone=True),
        ]

    def _in_conversation(self, endpoint: Inside) -> Endpoint:
        async def found(request: Request, person: Person) -> Response:
            listed = await self._messages.conversation(request.path_params["slug"])
            return unknown(request) if listed is None else await endpoint(request, person, listed)

        return found

    # ── looking ──────────────────────────────────────────────────────────────────────────────

    async def _begin(self, _: Request, person: Person) -> Response:
        return await self._chat(person, None)

    async def _conversation(self, request: Request, person: Person, listed: Listed) -> Response:
        last = request.query_params.get("last", "")
        return await self._chat(person, listed, last=int(last) if last.isdecimal() and len(last) < 6 else 0)

    async def _chat(
        self,
        person: Person,
        listed: Listed | None,
        *,
        status: int = 200,
        text: str = "",
        wrong: str = "",
        form: Markup = _NOTHING,
        chosen: Mapping[str, str] | None = None,
        last: int = 0,
    ) -> Response:
        last = max(last, ON_ONE_PAGE)
        slug = listed.slug if listed else ""
        page = await self._messages.latest(listed.ref, person, last) if listed else None
        thread = await self._drawing.all(page.said, slug) if page else []
        html = page_html(
            "chat.html",
            stamp=STAMP,
            person=person,
            signed_in=person is not LOCAL,
            listing=listing_html(await self._messages.listing(), slug),
            slug=slug,
            title=listed.title if listed else "New conversation",
            thread=thread,
            notices=[notice_html(one, slug) for one in page.notices] if page else [],
            version=page.version if page else 0,
            more=page.more if page else False,
            last=last,
            form=form,
            wrong=wrong,
            text=text,
            nonce=secrets.token_urlsafe(16),
            choices=CHOICES,
            chosen=chosen or {},
            most_characters=MOST_CHARACTERS,
            most_files=MOST_FILES,
            file_bytes=self._file_bytes,
        )
        return HTMLResponse(html, status)

    async def _events(self, request: Request, person: Person, listed: Listed) -> Response:
        after = request.headers.get("last-event-id") or request.query_params.get("after", "")
        version = int(after) if after.isdecimal() and len(after) < 19 else 0
        return stream(
            listed, person, version, messages=self._messages, feed=self._feed, drawing=self._drawing
        )

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    async def _write_first(self, request: Request, person: Person) -> Response:
        return await self._take_message(request, person, None)

    async def _take_message(self, request: Request, person: Person, listed: Listed | None) -> Response:
        form = await guard.read_form(request, guard.MESSAGE_BYTES)
        if isinstance(form, Refusal):
            return await self._not_written(request, person, listed, form, {})
        try:
            fields = guard.text_fields(form)
            files = guard.uploaded(form)
            given = [
                GivenFile(
                    inbound.file_name(f.filename or ""), inbound.media_type(f.content_type), f.size or 0
                )
                for f in files
            ]
            written = inbound.parse_message(
                fields, given, nonce=secrets.token_urlsafe(16), file_bytes=self._file_bytes
            )
            if isinstance(written, Refusal):
                return await self._not_written(request, person, listed, written, dict(fields))
            # A form sent twice is one message; its files are kept once.
            slug = await self._messages.said_with(person, written.nonce) if files else None
            if slug is None:
                ref = listed.ref if listed else _new_conversation()
                uploads = [
                    await self._uploads.keep(file.file, one.name, one.media_type)
                    for file, one in zip(files, given, strict=True)
                ]
                slug = await self._messages.say(
                    ref,
                    person,
                    written.text,
                    nonce=written.nonce,
                    options=written.options,
                    uploads=uploads,
                    title=written.text or uploads[0].name,
                )
                self._feed.changed(ref.key, listing=listed is None)
                await self._delivery.deliver(ref, person)
        finally:
            await form.close()
        return go(request, f"/c/{quote(slug)}")

    async def _not_written(
        self,
        request: Request,
        person: Person,
        listed: Listed | None,
        refusal: Refusal,
        fields: Mapping[str, str],
    ) -> Response:
        if wants_json(request):
            return refused(request, refusal)
        text = fields.get("text", "")
        return await self._chat(
            person,
            listed,
            status=refusal.status,
            wrong=refusal.text,
            text=text if len(text) <= 2 * MOST_CHARACTERS else "",
            chosen={name: fields.get(f"option.{name}", "") for name in CHOICES},
        )

    async def _click(self, request: Request, person: Person, listed: Listed) -> Response:
        fields = await guard.read_fields(request)
        if isinstance(fields, Refusal):
            return refused(request, fields)
        said = await self._messages.message(listed.ref, fields.get("message", ""))
        key, at = secrets.token_urlsafe(16), datetime.now(UTC)
        rated = inbound.parse_feedback(
            fields.items(), said, key=key, person=person, conversation=listed.ref, at=at
        )
        click = rated or inbound.parse_click(
            fields.items(), said, key=key, person=person, conversation=listed.ref, at=at
        )
        if isinstance(click, Refusal):
            return refused(request, click)
        await self._asides.clear_notices(listed.ref, person)
        deliver = self._delivery
        try:
            receipt = await (deliver.feedback(click) if isinstance(click, Feedback) else deliver.click(click))
        except (ConnectionError, TimeoutError):
            return refused(request, _NOT_NOW)
        if receipt.form is None:
            return go(request, f"/c/{quote(listed.slug)}")
        await self._asides.keep_form(listed.ref, person, receipt.form)
        return await self._show_form(request, person, listed, receipt.form, {}, {})

    async def _fill(self, request: Request, person: Person, listed: Listed) -> Response:
        fields = await guard.read_fields(request)
        if isinstance(fields, Refusal):
            return refused(request, fields)
        form = await self._asides.kept_form(listed.ref, person, fields.get("form_id", ""))
        if form is None:
            return refused(request, Refusal(404, "That form is not open any more. Press its button again."))
        given, errors = inbound.parse_form(
            fields.items(),
            form,
            key=secrets.token_urlsafe(16),
            person=person,
            conversation=listed.ref,
            at=datetime.now(UTC),
        )
        if not errors:
            try:
                errors = (await self._delivery.form(given)).errors
            except (ConnectionError, TimeoutError):
                return refused(request, _NOT_NOW)
        if errors:
            return await self._show_form(request, person, listed, form, given.values, errors)
        return go(request, f"/c/{quote(listed.slug)}")

    async def _show_form(
        self,
        request: Request,
        person: Person,
        listed: Listed,
        form: Form,
        values: Mapping[str, str],
        errors: Mapping[str, str],
    ) -> Response:
        nonce = secrets.token_urlsafe(16)
        html = form_html(form, slug=listed.slug, nonce=nonce, values=values, errors=errors)
        if wants_json(request):
            return JSONResponse({"form": html})
        return await self._chat(person, listed, status=422 if errors else 200, form=html)

    async def _dismiss(self, request: Request, person: Person, listed: Listed) -> Response:
        fields = await guard.read_fields(request)
        if isinstance(fields, Refusal):
            return refused(request, fields)
        number = fields.get("notice", "")
        if not number.isdecimal() or len(number) > 18:
            return refused(request, Refusal(422, "No such notice. Reload the page."))
        await self._asides.clear_notices(listed.ref, person, int(number))
        return go(request, f"/c/{quote(listed.slug)}")

    # ── files ────────────────────────────────────────────────────────────────────────────────

    async def _upload(self, request: Request, _: Person, listed: Listed) -> Response:
        said = await self._messages.message(listed.ref, request.path_params["message"])
        for upload in said.uploads if said else ():
            path = self._uploads.path(upload.id)
            if upload.id == request.path_params["upload"] and path is not None:
                return FileResponse(path, media_type=upload.media_type, headers=as_download(upload.name))
        return unknown(request)

    async def _card_file(self, request: Request, _: Person, listed: Listed) -> Response:
        said = await self._messages.message(listed.ref, request.path_params["message"])
        parts = said.card.parts if said and said.card else ()
        number: int = request.path_params["number"]
        part = parts[number] if number < len(parts) else None
        if part is None or part.kind != "file":
            return unknown(request)
        return Response(
            part.text, media_type=inbound.media_type(part.media_type), headers=as_download(part.name)
        )

    async def _asset(self, request: Request, _: Person) -> Response:
        return asset(request) or unknown(request)


def _new_conversation() -> ConversationRef:
    return ConversationRef(platform="web", workspace="local", channel="general", thread=secrets.token_hex(8))
