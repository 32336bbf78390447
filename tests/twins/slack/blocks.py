"""Slack's judgement of Block Kit: messages, modals, home tabs, chunks. Refuses with Slack's words.

slack_sdk's models and their validators judge first; what they lack is checked here and in `block_parts`
(counts, empty and too long texts, unknown fields, unique ids, tables, plans, inputs).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import cast

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

from .block_parts import Findings, check_block
from .records import Json, Refused

ALL_TEXT = 13_200  # characters of all blocks of a message: reported, not documented
MARKDOWN_TEXT = 12_000  # of all markdown blocks of a message
VIEW_BYTES = 250_000
ANYWHERE = {
    "section",
    "divider",
    "image",
    "actions",
    "context",
    "header",
    "input",
    "rich_text",
    "video",
    "alert",
}
MESSAGE_ONLY = {
    "markdown",
    "table",
    "file",
    "task_card",
    "plan",
    "context_actions",
    "card",
    "carousel",
    "container",
}
NOT_SHOWN = {
    "type",
    "block_id",
    "action_id",
    "value",
    "url",
    "task_id",
    "style",
    "status",
    "image_url",
    "level",
}


def check_message_blocks(given: object) -> list[Json]:
    """The blocks of a message.

    Raises:
        Refused: invalid_blocks_format, invalid_blocks, msg_blocks_too_long, only_one_table_allowed.
    """
    blocks = _as_blocks(given)
    found = Findings()
    if len(blocks) > 50:
        found.add("no more than 50 items allowed", "/blocks")
    _check_all(blocks, ANYWHERE | MESSAGE_ONLY, found)
    if sum(len(str(b.get("text", ""))) for b in blocks if b.get("type") == "markdown") > MARKDOWN_TEXT:
        found.add(f"markdown blocks together must be less than {MARKDOWN_TEXT + 1} characters", "/blocks")
    if found.said:
        raise refusal("invalid_blocks", found)
    if sum(b.get("type") == "table" for b in blocks) > 1:
        raise Refused("only_one_table_allowed")
    if characters(blocks) > ALL_TEXT:
        raise Refused("msg_blocks_too_long")
    return blocks


def check_view(given: object, *, wanted: str = "") -> Json:
    """A view: a modal or a home tab.

    Raises:
        Refused: invalid_arguments with what is wrong, view_too_large.
    """
    if not isinstance(given, dict):
        raise Refused("invalid_arguments", response_metadata={"messages": ["[ERROR] view must be an object"]})
    view = cast("Json", given)
    found = Findings()
    kind = view.get("type")
    if kind not in ("modal", "home") or (wanted and kind != wanted):
        found.add(f"must be one of: {wanted or 'modal, home'}", "/view/type")
    known = {"type", "blocks", "private_metadata", "callback_id", "external_id"}
    if kind == "modal":
        known |= {"title", "submit", "close", "clear_on_close", "notify_on_close", "submit_disabled"}
        found.text(view.get("title"), "/view/title", most=24, plain=True)
        for name in ("submit", "close"):
            if view.get(name) is not None:
                found.text(view[name], f"/view/{name}", most=24, plain=True)
    found.unknown(view, known, "/view")
    for name, most in (("private_metadata", 3000), ("callback_id", 255), ("external_id", 255)):
        found.string(view.get(name, ""), f"/view/{name}", most=most, least=0)
    given_blocks = view.get("blocks")
    if not isinstance(given_blocks, list):
        found.add("missing required field: blocks", "/view")
        raise refusal("invalid_arguments", found)
    blocks = [cast("Json", b) for b in cast("list[object]", given_blocks) if isinstance(b, dict)]
    if len(blocks) != len(cast("list[object]", given_blocks)):
        found.add("must be an object", "/view/blocks")
    if len(blocks) > 100:
        found.add("no more than 100 items allowed", "/view/blocks")
    _check_all(blocks, ANYWHERE, found, "/view/blocks")
    if kind == "modal" and view.get("submit") is None and any(b.get("type") == "input" for b in blocks):
        found.add("missing required field: submit", "/view")
    if found.said:
        raise refusal("invalid_arguments", found)
    if len(json.dumps(view).encode()) > VIEW_BYTES:
        raise Refused("view_too_large")
    return view


def check_chunks(given: object) -> list[Json]:
    """Chunks of a stream.

    Raises:
        Refused: invalid_chunks.
    """
    if not isinstance(given, list):
        raise Refused("invalid_chunks")
    found = Findings()
    chunks: list[Json] = []
    for index, each in enumerate(cast("list[object]", given)):
        path = f"/chunks/{index}"
        if not isinstance(each, dict):
            found.add("must be an object", path)
            continue
        chunk = cast("Json", each)
        chunks.append(chunk)
        match chunk.get("type"):
            case "markdown_text":
                found.string(chunk.get("text"), f"{path}/text", most=12_000)
            case "plan_update":
                found.string(chunk.get("title"), f"{path}/title", most=12_000)
            case "task_update":
                _check_task_chunk(chunk, path, found)
            case "blocks":
                check_message_blocks(chunk.get("blocks"))
            case other:
                found.add(f"unsupported type: {other}", path)
    if found.said:
        raise refusal("invalid_chunks", found)
    return chunks


def _check_task_chunk(chunk: Json, path: str, found: Findings) -> None:
    # Slack documents 256 characters for these texts and takes more; only the stream's whole is limited.
    for name in ("id", "title"):
        found.string(chunk.get(name), f"{path}/{name}", most=12_000)
    for name in ("details", "output"):
        if name in chunk:
            found.string(chunk[name], f"{path}/{name}", most=12_000, least=0)
    found.status(chunk.get("status"), f"{path}/status")
    found.sources(chunk.get("sources"), f"{path}/sources")
    found.unknown(chunk, {"type", "id", "title", "status", "details", "output", "sources"}, path)


def characters(value: object) -> int:
    """How many characters of a structure people read."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(characters(each) for each in cast("list[object]", value))
    if isinstance(value, dict):
        record = cast("dict[str, object]", value)
        return sum(characters(each) for key, each in record.items() if key not in NOT_SHOWN)
    return 0


def refusal(error: str, found: Findings) -> Refused:
    """Slack's answer to a malformed structure."""
    messages = [f"[ERROR] {each}" for each in found.said]
    return Refused(error, errors=list(found.said), response_metadata={"messages": messages})


def _as_blocks(given: object) -> list[Json]:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise Refused("invalid_blocks_format") from None
    if not isinstance(given, list) or not all(isinstance(b, dict) for b in cast("list[object]", given)):
        raise Refused("invalid_blocks_format")
    return cast("list[Json]", given)


def _check_all(blocks: Sequence[Json], allowed: set[str], found: Findings, path: str = "/blocks") -> None:
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        here = f"{path}/{index}"
        kind = str(block.get("type"))
        if kind not in allowed:
            found.add(f"unsupported type: {kind}", here)
            continue
        block_id = block.get("block_id")
        if block_id is not None:
            found.string(block_id, f"{here}/block_id", most=255)
            if str(block_id) in seen:
                found.add(f"`block_id` {block_id} already exists", f"{here}/block_id")
            seen.add(str(block_id))
        check_block(block, here, found)
        _ask_the_sdk(block, here, found)


def _ask_the_sdk(block: Json, path: str, found: Findings) -> None:
    parse = cast("Callable[[Json], Block | None]", Block.parse)  # pyright: ignore[reportUnknownMemberType]
    try:
        model = parse(copy.deepcopy(block))
    except (SlackObjectFormationError, TypeError, AttributeError, KeyError, ValueError) as malformed:
        found.add(f"malformed: {malformed}", path)
        return
    if model is None:
        found.add(f"unsupported type: {block.get('type')}", path)
        return
    try:
        cast("Callable[[], Json]", model.to_dict)()  # pyright: ignore[reportUnknownMemberType]
    except SlackObjectFormationError as refused:
        found.add(str(refused), path)
    except (TypeError, AttributeError, KeyError, ValueError) as malformed:
        found.add(f"malformed: {malformed}", path)
    found.unknown(block, {str(name) for name in model.attributes}, path)
