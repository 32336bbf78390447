"""What the page's routes answer: a page, a way on, a refusal. To scripts the same as JSON."""

from __future__ import annotations

import secrets
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from adapters.web.assets import STAMP
from adapters.web.inbound import Refusal
from adapters.web.outbound import page_html


def wants_json(request: Request) -> bool:
    """Whether the page's script asks, and not the browser itself."""
    return "application/json" in request.headers.get("accept", "")


def go(request: Request, path: str) -> Response:
    """It was taken; on to this page. Scripts get a new nonce for their next form."""
    if wants_json(request):
        return JSONResponse({"go": path, "nonce": secrets.token_urlsafe(16)})
    return RedirectResponse(path, 303)


def refused(request: Request, refusal: Refusal) -> Response:
    """It was not taken, and why."""
    if wants_json(request):
        wrong = {"wrong": refusal.text, "nonce": secrets.token_urlsafe(16)}
        return JSONResponse(wrong, refusal.status)
    slug = str(request.path_params.get("slug", ""))
    if slug and refusal.status not in (401, 404, 421):
        return plain_page(
            "That did not work", refusal, back=f"/c/{quote(slug, safe='')}", label="Back to the conversation"
        )
    return plain_page("That did not work", refusal, back="/", label="To the conversations")


def unknown(request: Request) -> Response:
    """There is nothing at this address."""
    refusal = Refusal(404, "There is nothing at this address. It may be mistyped, or from another server.")
    if wants_json(request):
        return refused(request, refusal)
    return plain_page("Not here", refusal, back="/", label="To the conversations")


def plain_page(title: str, refusal: Refusal, *, back: str, label: str) -> Response:
    """A page with one thing to say and one way on."""
    html = page_html(
        "plain_page.html", stamp=STAMP, title=title, text=refusal.text, back=back, back_label=label
    )
    return HTMLResponse(html, refusal.status)


def as_download(name: str) -> dict[str, str]:
    """Headers of a file that is kept, never shown: whatever is in it does nothing here."""
    return {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "content-security-policy": "default-src 'none'; sandbox",
    }
