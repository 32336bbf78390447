"""What the twin takes for well-formed Block Kit, and what it refuses as Slack does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import PlanBlock, TaskCardBlock

from tests.twins.slack.blocks import check_chunks, check_message_blocks, check_view
from tests.twins.slack.workspace import Refused
from tests.unit.twins.slack_office import Office, office, refused

Block = dict[str, Any]


def plain(text: str) -> Block:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": text}


def section(text: str = "x", **more: Any) -> Block:
    return {"type": "section", "text": mrkdwn(text), **more}


def button(text: str = "Go", **more: Any) -> Block:
    return {"type": "button", "action_id": "quartet:approve", "text": plain(text), "value": "a1", **more}


def actions(*elements: Block, **more: Any) -> Block:
    return {"type": "actions", "elements": list(elements), **more}


def feedback(**more: Any) -> Block:
    good = {"text": plain("Good"), "value": "good\nr1"}
    bad = {"text": plain("Bad"), "value": "bad\nr1"}
    element = {"type": "feedback_buttons", "positive_button": good, "negative_button": bad, **more}
    return {"type": "context_actions", "elements": [element]}


def table(rows: int = 2, columns: int = 2, text: str = "cell") -> Block:
    cell = {"type": "raw_text", "text": text}
    return {"type": "table", "rows": [[cell] * columns for _ in range(rows)]}


def task(**more: Any) -> Block:
    return {"type": "task_card", "task_id": "r1#0", "title": "researcher", "status": "in_progress", **more}


def plan(*tasks: Block) -> Block:
    return {"type": "plan", "title": "Working", "tasks": list(tasks)}


def select(*texts: str, **more: Any) -> Block:
    options = [{"text": plain(t), "value": t} for t in texts]
    return {"type": "static_select", "action_id": "value", "options": options, **more}


def field(element: Block, **more: Any) -> Block:
    return {"type": "input", "block_id": "field:a", "label": plain("A"), "element": element, **more}


def text_input(**more: Any) -> Block:
    return {"type": "plain_text_input", "action_id": "value", **more}


def modal(*blocks: Block, **more: Any) -> Block:
    view = {"type": "modal", "title": plain("Edit"), "submit": plain("Send"), "blocks": list(blocks)}
    return {**view, **more}


def nested(text: str) -> Block:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [mrkdwn(text)]}]}


WELL_FORMED: dict[str, list[Block]] = {
    "a section at its limit": [section("x" * 3000, block_id="b" * 255)],
    "fifty blocks": [section() for _ in range(50)],
    "a full card": [
        {"type": "header", "text": plain("h" * 150)},
        plan(task(), task(task_id="r1#1", status="complete")),
        {"type": "context", "elements": [mrkdwn("x")] * 10},
        actions(*[button("t" * 75, value="v" * 2000, action_id=f"a{n}") for n in range(25)]),
        {"type": "divider"},
    ],
    "markdown at its limit": [
        {"type": "markdown", "text": "m" * 6000},
        {"type": "markdown", "text": "m" * 6000},
    ],
    "feedback": [{"type": "markdown", "text": "# Answer"}, feedback(action_id="quartet:feedback")],
    "a table at its limit": [table(100, 20, "1234")],
    "a task with all its parts": [
        task(
            details=nested("d"),
            output=nested("o"),
            sources=[{"type": "url", "url": "https://x.example", "text": "X"}],
        )
    ],
    "an alert": [{"type": "alert", "text": plain("Careful"), "level": "warning"}],
}


@pytest.mark.parametrize("name", WELL_FORMED)
def test_well_formed_blocks_pass(name: str) -> None:
    assert check_message_blocks(WELL_FORMED[name]) == WELL_FORMED[name]
    assert check_message_blocks(json.dumps(WELL_FORMED[name])) == WELL_FORMED[name]


MALFORMED: dict[str, list[Block]] = {
    "too many blocks": [section() for _ in range(51)],
    "section text": [section("x" * 3001)],
    "empty section text": [section("")],
    "section without text": [{"type": "section"}],
    "text without type": [{"type": "section", "text": {"text": "x"}}],
    "eleven fields": [{"type": "section", "fields": [mrkdwn("x")] * 11}],
    "a long field": [{"type": "section", "fields": [mrkdwn("x" * 2001)]}],
    "a long header": [{"type": "header", "text": plain("h" * 151)}],
    "a header in mrkdwn": [{"type": "header", "text": mrkdwn("h")}],
    "eleven context elements": [{"type": "context", "elements": [mrkdwn("x")] * 11}],
    "no context elements": [{"type": "context", "elements": []}],
    "twenty-six buttons": [actions(*[button(action_id=f"a{n}") for n in range(26)])],
    "no buttons": [actions()],
    "a long button": [actions(button("t" * 76))],
    "a long value": [actions(button(value="v" * 2001))],
    "a long action id": [actions(button(action_id="a" * 256))],
    "the same action id twice": [actions(button(), button())],
    "an unknown button style": [actions(button(style="plain"))],
    "a button in mrkdwn": [actions({**button(), "text": mrkdwn("x")})],
    "a long block id": [section(block_id="b" * 256)],
    "the same block id twice": [section(block_id="same"), section(block_id="same")],
    "too much markdown": [{"type": "markdown", "text": "m" * 6000}, {"type": "markdown", "text": "m" * 6001}],
    "empty markdown": [{"type": "markdown", "text": ""}],
    "an unknown block": [{"type": "hologram"}],
    "an unknown field": [section(colour="red")],
    "emoji in mrkdwn": [{"type": "section", "text": {**mrkdwn("x"), "emoji": True}}],
    "a table with 101 rows": [table(101)],
    "a table with 21 columns": [table(1, 21)],
    "a table with empty cells": [table(text="")],
    "a table without rows": [{"type": "table", "rows": []}],
    "a table with too much text": [table(2, 2, "x" * 2501)],
    "a task with a foreign status": [task(status="done")],
    "a task with text for details": [task(details="text")],
    "a task without an id": [{"type": "task_card", "title": "x", "status": "pending"}],
    "a plan with a foreign status": [plan(task(status="working"))],
    "a plan without a title": [{"type": "plan", "tasks": [task()]}],
    "a plan of sections": [plan(section())],
    "feedback with one button": [
        {"type": "context_actions", "elements": [{"type": "feedback_buttons", "positive_button": {}}]}
    ],
    "a button in context actions": [{"type": "context_actions", "elements": [button()]}],
    "feedback in actions": [actions(feedback()["elements"][0])],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_blocks_are_refused_with_a_pointer(name: str) -> None:
    with pytest.raises(Refused) as caught:
        check_message_blocks(MALFORMED[name])
    assert caught.value.error == "invalid_blocks"
    said = caught.value.extra["response_metadata"]["messages"]
    assert all(line.startswith("[ERROR] ") for line in said)
    assert "[json-pointer:/blocks" in said[0]


@pytest.mark.parametrize(
    ("blocks", "word"),
    [
        ("{not json", "invalid_blocks_format"),
        ({"type": "section"}, "invalid_blocks_format"),
        (["text"], "invalid_blocks_format"),
        ([table(), table()], "only_one_table_allowed"),
        ([section("x" * 2700) for _ in range(5)], "msg_blocks_too_long"),
    ],
)
def test_other_refusals_have_their_own_words(blocks: object, word: str) -> None:
    with pytest.raises(Refused) as caught:
        check_message_blocks(blocks)
    assert caught.value.error == word


VIEWS: dict[str, Block] = {
    "a full form": modal(
        field(text_input(max_length=3000, initial_value="x" * 3000, multiline=True), hint=plain("h")),
        {**field(select("a", "b", initial_option={"text": plain("a"), "value": "a"})), "block_id": "field:b"},
        {**field({"type": "conversations_select", "action_id": "value"}), "block_id": "field:channel"},
        callback_id="quartet:form",
        private_metadata="m" * 3000,
    ),
    "a hundred options": modal(field(select(*[f"o{n}" for n in range(100)]))),
    "a loading page": {"type": "modal", "title": plain("t" * 24), "blocks": [section()]},
    "a home": {"type": "home", "blocks": [section() for _ in range(100)]},
}


@pytest.mark.parametrize("name", VIEWS)
def test_well_formed_views_pass(name: str) -> None:
    assert check_view(VIEWS[name]) == VIEWS[name]


BAD_VIEWS: dict[str, Block] = {
    "a long title": modal(section(), title=plain("t" * 25)),
    "a long submit": modal(section(), submit=plain("s" * 25)),
    "no title": {"type": "modal", "blocks": [section()]},
    "inputs without submit": {"type": "modal", "title": plain("t"), "blocks": [field(text_input())]},
    "much metadata": modal(section(), private_metadata="m" * 3001),
    "a long callback id": modal(section(), callback_id="c" * 256),
    "too many blocks": {"type": "home", "blocks": [section() for _ in range(101)]},
    "a home with a submit": {"type": "home", "blocks": [section()], "submit": plain("s")},
    "an unknown type": {"type": "page", "blocks": [section()]},
    "markdown in a modal": modal({"type": "markdown", "text": "x"}),
    "a table at home": {"type": "home", "blocks": [table()]},
    "a long initial value": modal(field(text_input(initial_value="x" * 3001))),
    "a value over its own limit": modal(field(text_input(max_length=5, initial_value="123456"))),
    "a limit over Slack's": modal(field(text_input(max_length=3001))),
    "101 options": modal(field(select(*[f"o{n}" for n in range(101)]))),
    "no options": modal(field(select())),
    "a long option": modal(field(select("o" * 76))),
    "an initial option that is none": modal(
        field(select("a", initial_option={"text": plain("b"), "value": "b"}))
    ),
    "a field in mrkdwn": modal({**field(text_input()), "label": mrkdwn("A")}),
    "a button as a field": modal(field(button())),
    "no blocks": {"type": "home"},
}


@pytest.mark.parametrize("name", BAD_VIEWS)
def test_malformed_views_are_refused_with_a_reason(name: str) -> None:
    with pytest.raises(Refused) as caught:
        check_view(BAD_VIEWS[name])
    assert caught.value.error == "invalid_arguments"
    assert caught.value.extra["response_metadata"]["messages"]


@pytest.mark.parametrize(
    "chunk",
    [
        {"type": "task_update", "id": "1", "title": "t", "status": "done"},
        {"type": "task_update", "title": "t", "status": "pending"},
        {"type": "task_update", "id": "1", "title": "t", "status": "pending", "colour": "red"},
        {"type": "plan_update"},
        {"type": "markdown_text", "text": 5},
        {"type": "song"},
        "text",
    ],
)
def test_malformed_chunks_are_refused(chunk: object) -> None:
    with pytest.raises(Refused, match="invalid_chunks"):
        check_chunks([chunk])


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", "plain_text", "mrkdwn", "button"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "elements", "options", "value"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
KINDS = [
    "section",
    "markdown",
    "table",
    "plan",
    "task_card",
    "actions",
    "context",
    "header",
    "rich_text",
    "input",
]
INSIDE = {"type": st.sampled_from(["button", "plain_text_input", "static_select", "feedback_buttons"]) | JUNK}
PARTS = ["text", "options", "action_id", "min_length", "max_length", "initial_value", "value", "style"]
ELEMENTS = st.fixed_dictionaries(INSIDE, optional=dict.fromkeys(PARTS, JUNK))
OUTSIDE = ["text", "fields", "rows", "tasks", "title", "status", "details", "label", "block_id", "sources"]
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS) | JUNK},
    optional={
        "elements": st.lists(ELEMENTS, max_size=2) | JUNK,
        "element": ELEMENTS | JUNK,
        "accessory": ELEMENTS,
        **dict.fromkeys(OUTSIDE, JUNK),
    },
)


@given(blocks=st.lists(BLOCKS, max_size=3), title=JUNK)
def test_whatever_comes_is_taken_or_refused(blocks: list[Block], title: object) -> None:
    tries: list[tuple[Callable[[], object], set[str]]] = [
        (lambda: check_message_blocks(blocks), {"invalid_blocks", "only_one_table_allowed"}),
        (lambda: check_view({"type": "modal", "title": title, "blocks": blocks}), {"invalid_arguments"}),
        (lambda: check_chunks([{"type": "blocks", "blocks": blocks}]), {"invalid_blocks"}),
        (lambda: check_chunks(blocks), {"invalid_chunks"}),
    ]
    for check, words in tries:
        assert outcome(check) in words | {"", "only_one_table_allowed"}


def outcome(check: Callable[[], object]) -> str:
    """Slack's word; "" when the blocks were taken."""
    try:
        check()
    except Refused as refusal:
        return refusal.error
    return ""


@pytest.fixture
async def slack() -> AsyncIterator[Office]:
    async with office() as made:
        yield made


async def test_slack_sdks_models_post_and_validate(slack: Office) -> None:
    blocks = [PlanBlock(title="Plan", tasks=[task()]), TaskCardBlock(**task())]
    post = slack.client.chat_postMessage(channel=slack.general.id, text="x", blocks=blocks)
    assert await refused(post) == ""
    assert await refused(slack.client.blocks_validate(blocks=[section()])) == ""
    assert await refused(slack.client.blocks_validate(blocks=MALFORMED["section text"])) == "invalid_blocks"
    assert await refused(slack.client.blocks_validate(view=BAD_VIEWS["no title"])) == "invalid_arguments"
    assert await refused(slack.client.blocks_validate(message={"blocks": [section()]})) == ""


async def test_a_refusal_says_where_as_slack_does(slack: Office) -> None:
    with pytest.raises(SlackApiError) as caught:
        await slack.client.chat_postMessage(channel=slack.general.id, text="x", blocks=[section("x" * 3001)])
    answer = cast("dict[str, Any]", caught.value.response)
    assert answer["error"] == "invalid_blocks"
    first = answer["response_metadata"]["messages"][0]
    assert first == "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    assert slack.world.messages[slack.general.id] == {}
