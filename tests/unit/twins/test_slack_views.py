"""The twin's modals and home tabs, through slack_sdk's own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.twins.slack_office import Office, office, refused


@pytest.fixture
async def slack() -> AsyncIterator[Office]:
    async with office() as made:
        yield made


def modal(title: str = "Edit", **more: Any) -> dict[str, Any]:
    block = {"type": "section", "text": {"type": "plain_text", "text": "body"}}
    return {"type": "modal", "title": {"type": "plain_text", "text": title}, "blocks": [block], **more}


def home(text: str) -> dict[str, Any]:
    return {"type": "home", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]}


def trigger(slack: Office, **more: Any) -> str:
    return slack.world.make_trigger(slack.team.id, slack.ada.id, slack.app.id, **more)


async def test_a_trigger_opens_one_modal_within_three_seconds(slack: Office) -> None:
    world, client = slack.world, slack.client
    used = trigger(slack)
    opened = await client.views_open(trigger_id=used, view=modal())
    shown = world.open_modal(slack.team.id, slack.ada.id)
    assert shown is not None
    assert shown.id == opened["view"]["id"]
    assert opened["view"]["app_id"] == slack.app.id
    assert await refused(client.views_open(trigger_id=used, view=modal())) == "exchanged_trigger_id"
    late = trigger(slack)
    world.clock.jump(3.1)
    assert await refused(client.views_open(trigger_id=late, view=modal())) == "expired_trigger_id"
    assert await refused(client.views_open(trigger_id="1.2.x", view=modal())) == "invalid_trigger_id"


async def test_a_refused_view_leaves_its_trigger_for_another_try(slack: Office) -> None:
    kept = trigger(slack)
    assert (
        await refused(slack.client.views_open(trigger_id=kept, view=modal("x" * 25))) == "invalid_arguments"
    )
    assert await refused(slack.client.views_open(trigger_id=kept, view=modal("x" * 24))) == ""


async def test_update_wants_the_newest_hash_and_an_open_view(slack: Office) -> None:
    client = slack.client
    opened = (await client.views_open(trigger_id=trigger(slack), view=modal(external_id="e1")))["view"]
    newer = await client.views_update(view_id=opened["id"], hash=opened["hash"], view=modal("New"))
    assert newer["view"]["title"]["text"] == "New"
    stale = client.views_update(view_id=opened["id"], hash=opened["hash"], view=modal("Old"))
    assert await refused(stale) == "hash_conflict"
    assert await refused(client.views_update(external_id="e1", view=modal("By name"))) == ""
    assert await refused(client.views_update(view_id="V404", view=modal())) == "not_found"
    slack.world.close_modal(opened["id"])
    assert await refused(client.views_update(view_id=opened["id"], view=modal())) == "not_found"


async def test_three_modals_lie_on_each_other_and_no_fourth(slack: Office) -> None:
    client = slack.client
    root = (await client.views_open(trigger_id=trigger(slack), view=modal("1")))["view"]
    second = (await client.views_push(trigger_id=trigger(slack, view=root["id"]), view=modal("2")))["view"]
    assert (second["root_view_id"], second["previous_view_id"]) == (root["id"], root["id"])
    await client.views_push(trigger_id=trigger(slack), view=modal("3"))
    assert (
        await refused(client.views_push(trigger_id=trigger(slack), view=modal("4"))) == "push_limit_reached"
    )
    slack.world.close_modal(second["id"])
    top = slack.world.open_modal(slack.team.id, slack.ada.id)
    assert top is not None
    assert top.id == root["id"]


async def test_external_ids_are_unique_among_open_views(slack: Office) -> None:
    client = slack.client
    await client.views_open(trigger_id=trigger(slack), view=modal(external_id="same"))
    bobs = slack.world.make_trigger(slack.team.id, slack.bob.id, slack.app.id)
    twice = client.views_open(trigger_id=bobs, view=modal(external_id="same"))
    assert await refused(twice) == "duplicate_external_id"


async def test_the_home_tab_is_published_and_replaced(slack: Office) -> None:
    client, world = slack.client, slack.world
    first = (await client.views_publish(user_id=slack.ada.id, view=home("one")))["view"]
    await client.views_publish(user_id=slack.ada.id, view=home("two"), hash=first["hash"])
    stale = client.views_publish(user_id=slack.ada.id, view=home("three"), hash=first["hash"])
    assert await refused(stale) == "hash_conflict"
    shown = world.home_of(slack.app.id, slack.team.id, slack.ada.id)
    assert shown is not None
    assert shown.payload["blocks"][0]["text"]["text"] == "two"
    world.open_home(slack.app.id, slack.team.id, slack.ada.id)
    world.open_home(slack.app.id, slack.team.id, slack.ada.id, tab="messages")
    opened = slack.events("app_home_opened")
    assert [e["tab"] for e in opened] == ["home", "messages"]
    assert opened[0]["view"]["id"] == shown.id
    assert opened[0]["channel"].startswith("D")
    assert await refused(client.views_publish(user_id="U404", view=home("x"))) == "user_not_found"
    assert await refused(client.views_publish(user_id=slack.ada.id, view=modal())) == "invalid_arguments"
