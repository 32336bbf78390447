"""The twin's files, through slack_sdk's own client and plain HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.twins.slack.files import add_file
from tests.unit.twins.slack_office import Office, office, refused


@pytest.fixture
async def slack() -> AsyncIterator[Office]:
    async with office() as made:
        yield made


async def fetch(url: str, token: str | None) -> tuple[int, str, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, answer.content_type, await answer.read()


async def test_files_upload_v2_puts_a_snippet_into_the_thread(slack: Office) -> None:
    root = slack.world.post(slack.general.id, user=slack.ada.id, text="root")
    await slack.client.files_upload_v2(
        channel=slack.general.id,
        thread_ts=root.ts,
        content="print('hi')",
        filename="answer.py",
        title="Answer",
        snippet_type="python",
        initial_comment="Here",
    )
    shown = (await slack.replies(root.ts))[1]
    file = shown["files"][0]
    assert (shown["text"], file["title"], file["mode"]) == ("Here", "Answer", "snippet")
    assert slack.world.files[file["id"]].content == b"print('hi')"
    listed = await slack.client.files_info(file=file["id"])
    assert listed["file"]["size"] == 11


async def test_a_file_of_the_wrong_length_is_not_there_to_complete(slack: Office) -> None:
    begun = await slack.client.files_getUploadURLExternal(filename="a.txt", length=5)
    async with aiohttp.ClientSession() as session:
        async with session.post(begun["upload_url"], data=b"too long") as answer:
            assert answer.status == 400
        complete = slack.client.files_completeUploadExternal
        files = [{"id": begun["file_id"], "title": "A"}]
        assert await refused(complete(files=files, channel_id=slack.general.id)) == "file_not_found"
        async with session.post(begun["upload_url"], data=b"right") as answer:
            assert answer.status == 200
        assert await refused(complete(files=files, channel_id="C404")) == "channel_not_found"
        assert await refused(complete(files=files, channel_id=slack.general.id)) == ""
        assert await refused(complete(files=files, channel_id=slack.general.id)) == "file_not_found"


async def test_a_private_file_needs_a_token_that_may_read_it(slack: Office) -> None:
    world = slack.world
    file = add_file(world, slack.team.id, slack.ada.id, "notes.txt", b"secret")
    world.post(slack.general.id, user=slack.ada.id, text="see", files=[file.id])
    event = slack.events("file_share")[0]
    url = event["files"][0]["url_private_download"]
    assert await fetch(url, slack.client.token) == (200, "text/plain", b"secret")
    for token in (None, "xoxb-nobody"):
        status, kind, body = await fetch(url, token)
        assert (status, kind) == (200, "text/html")
        assert b"secret" not in body
    app = world.add_app("Poor")
    poor = world.install(app.id, slack.team.id, {"chat:write"})
    slack.general.members.append(poor.bot_user)
    assert (await fetch(url, world.token_of(poor)))[1] == "text/html"
    file.deleted = True
    assert (await fetch(url, slack.client.token))[0] == 404
    assert await refused(slack.client.files_info(file=file.id)) == "file_deleted"


async def test_uploads_and_downloads_can_go_wrong_too(slack: Office) -> None:
    file = add_file(slack.world, slack.team.id, slack.ada.id, "notes.txt", b"secret")
    slack.world.post(slack.general.id, user=slack.ada.id, files=[file.id])
    url = slack.world.file_json(file)["url_private"]
    slack.api.faults.order("files.download", status=503)
    assert [(await fetch(url, slack.client.token))[0] for _ in range(2)] == [503, 200]
    slack.api.faults.order("files.upload")
    begun = await slack.client.files_getUploadURLExternal(filename="a.txt", length=5)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.post(begun["upload_url"], data=b"right")
    assert not slack.world.files[begun["file_id"]].uploaded


async def test_a_file_of_a_channel_the_bot_is_not_in_stays_hidden(slack: Office) -> None:
    secret = slack.world.add_channel(slack.team.id, "secret", private=True, members=[slack.ada.id])
    file = add_file(slack.world, slack.team.id, slack.ada.id, "a.txt", b"secret")
    slack.world.post(secret.id, user=slack.ada.id, files=[file.id])
    url = slack.world.file_json(file)["url_private"]
    assert (await fetch(url, slack.client.token))[1] == "text/html"
    assert await refused(slack.client.files_info(file=file.id)) == "file_not_found"
