"""The page's own files: style, script, icon. Read once; nothing is loaded from elsewhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

_TYPES = {"chat.css": "text/css", "chat.js": "text/javascript", "icon.svg": "image/svg+xml"}
_FOLDER = Path(__file__).with_name("static")
_FILES = {name: (_FOLDER / name).read_bytes() for name in _TYPES}

STAMP = hashlib.sha256(b"".join(_FILES.values())).hexdigest()[:12]  # changes when a file does


def asset(request: Request) -> Response | None:
    """One of the files; None: not one of them."""
    name: str = request.path_params["name"]
    if name not in _FILES:
        return None
    fresh = request.url.query == STAMP
    headers = {"cache-control": "public, max-age=31536000, immutable" if fresh else "no-cache"}
    return Response(_FILES[name], media_type=_TYPES[name], headers=headers)
