"""Files: the external upload in two steps, files.info, and private downloads.

A download without a token that may read the file gets Slack's sign-in page with status 200, as from Slack.
"""

from __future__ import annotations

import mimetypes
import secrets
from collections.abc import Awaitable, Callable
from typing import cast

from aiohttp import web

from .api_chat import content
from .calls import Ask, method
from .workspace import Channel, File, Json, Refused, World

LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in to Slack</title></head><body>Sign in</body></html>"
LARGEST = 1_000_000_000

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]
Guard = Callable[[str, Answering], Answering]


def add_file(
    world: World,
    team: str,
    user: str,
    name: str,
    content: bytes,
    *,
    title: str = "",
    mimetype: str = "",
    size: int | None = None,
) -> File:
    """A file a person has on their side; give its id to `World.post(files=[…])`. `size` may lie."""
    file = _made(world, team, user, name, title or name, len(content))
    file.content, file.uploaded = content, True
    file.mimetype = mimetype or file.mimetype
    file.size = len(content) if size is None else size
    return file


def _made(world: World, team: str, user: str, name: str, title: str, size: int) -> File:
    kind = mimetypes.guess_type(name)[0] or ("text/plain" if "." not in name else "application/octet-stream")
    suffix = name.rpartition(".")[2].lower() if "." in name else "text"
    file = File(world.new_id("F"), team, user, name, title, kind, suffix, size=size, created=int(world.now()))
    world.files[file.id] = file
    return file


@method("files.getUploadURLExternal", "files:write")
def get_upload_url(ask: Ask) -> Json:
    name = ask.need("filename")
    length = ask.number("length", 0)
    if length < 1:
        raise Refused("invalid_arguments")
    if length > LARGEST:
        raise Refused("file_upload_size_restricted")
    file = _made(ask.world, ask.team, ask.me.id, name, name, length)
    file.ticket = secrets.token_urlsafe(24)
    file.alt_txt = ask.text("alt_txt")
    file.snippet = bool(ask.text("snippet_type"))
    file.by_app = ask.install.app
    if file.snippet:
        file.filetype, file.mimetype = ask.text("snippet_type"), "text/plain"
    return {"upload_url": f"{ask.world.base_url}/upload/v1/{file.ticket}", "file_id": file.id}


@method("files.completeUploadExternal", "files:write")
def complete_upload(ask: Ask) -> Json:
    given = ask.decoded("files", "invalid_arguments")
    if not isinstance(given, list) or not given:
        raise Refused("invalid_arguments")
    channels = _targets(ask)
    files: list[File] = []
    for each in cast("list[object]", given):
        row = cast("Json", each) if isinstance(each, dict) else {}
        file = ask.world.files.get(str(row.get("id", "")))
        if file is None or file.by_app != ask.install.app or not file.uploaded or file.complete:
            raise Refused("file_not_found")
        file.title = str(row.get("title") or file.name)
        files.append(file)
    thread_ts = ask.text("thread_ts")
    if thread_ts and any(thread_ts not in ask.world.messages[c.id] for c in channels):
        raise Refused("thread_not_found")
    for file in files:
        file.complete = True
    for channel in channels:
        text, blocks = ask.text("initial_comment"), None
        if ask.arguments.get("blocks"):
            text, blocks, _ = content(ask)
        ask.world.post(
            channel.id,
            user=ask.me.id,
            text=text,
            blocks=blocks,
            thread_ts=thread_ts,
            files=[f.id for f in files],
        )
    return {"files": [ask.world.file_json(f) if channels else {"id": f.id, "title": f.title} for f in files]}


@method("files.info", "files:read")
def info(ask: Ask) -> Json:
    file = ask.world.files.get(ask.need("file", "file_not_found"))
    if file is None or file.deleted or not _may_see(ask.world, file, ask.me.id):
        raise Refused("file_deleted" if file is not None and file.deleted else "file_not_found")
    return {"file": ask.world.file_json(file), "comments": [], "response_metadata": {"next_cursor": ""}}


def _targets(ask: Ask) -> list[Channel]:
    names = [n for n in (ask.text("channel_id"), *ask.text("channels").split(",")) if n]
    channels: list[Channel] = []
    for name in names:
        channel = ask.world.channels.get(name)
        if channel is None or ask.team not in channel.teams:
            raise Refused("channel_not_found")
        if ask.me.id not in channel.members:
            raise Refused("not_in_channel" if channel.public else "channel_not_found")
        if channel.is_archived:
            raise Refused("is_archived")
        channels.append(channel)
    return channels


def _may_see(world: World, file: File, user: str) -> bool:
    return file.user == user or any(user in world.channels[c].members for c in file.channels)


def add_routes(application: web.Application, world: World, guard: Guard) -> None:
    """Upload and download; `guard` lets faults be ordered for "files.upload" and "files.download"."""

    async def upload(request: web.Request) -> web.StreamResponse:
        ticket = request.match_info["ticket"]
        file = next(
            (f for f in world.files.values() if f.ticket and secrets.compare_digest(f.ticket, ticket)), None
        )
        if file is None or file.uploaded:
            return web.Response(status=404, text="not found")
        if request.content_type == "multipart/form-data":
            parts = [p for p in (await request.post()).values() if isinstance(p, web.FileField)]
            body = parts[0].file.read() if parts else b""
        else:
            body = await request.read()
        if len(body) != file.size:
            return web.Response(status=400, text="incorrect length")
        file.content, file.uploaded = body, True
        return web.Response(text=f"OK - {len(body)}")

    async def download(request: web.Request) -> web.StreamResponse:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        token = world.tokens.get(given.strip()) if scheme.lower() == "bearer" else None
        file = world.files.get(request.match_info["id"].rpartition("-")[2])
        expired = token is not None and token.expires_at is not None and world.now() >= token.expires_at
        if token is None or token.revoked or expired or "files:read" not in token.scopes:
            return web.Response(text=LOGIN_PAGE, content_type="text/html")
        if file is None or file.deleted:
            return web.Response(status=404, text="<html>not found</html>", content_type="text/html")
        if not _may_see(world, file, token.user or token.install.bot_user):
            return web.Response(text=LOGIN_PAGE, content_type="text/html")
        return web.Response(body=file.content, content_type=file.mimetype)

    taken, given = guard("files.upload", upload), guard("files.download", download)
    application.router.add_route("POST", "/upload/v1/{ticket}", taken)
    application.router.add_route("PUT", "/upload/v1/{ticket}", taken)
    application.router.add_route("GET", "/files-pri/{id}/download/{name}", given)
    application.router.add_route("GET", "/files-pri/{id}/{name}", given)
