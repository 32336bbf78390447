"""A modal in a person's hands: what is filled in, what Slack itself refuses, what the bot's answer does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from tests.twins.slack.api_views import STACK, replace_view, show_modal
from tests.twins.slack.blocks import check_view
from tests.twins.slack.delivery import Answer, Json
from tests.twins.slack.interactions import NotPossible, entry, initial
from tests.twins.slack.workspace import Refused, Trigger, View, World

Outcome = Literal["closed", "cleared", "errors", "updated", "pushed", "not sent", "failed"]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a press on Submit."""

    outcome: Outcome  # "not sent": Slack's own checks; "failed": no (right) answer of the bot within 3 s
    errors: dict[str, str] = field(default_factory=dict[str, str])  # block id → text, Slack's or the bot's
    view: View | None = None  # updated or pushed
    answer: Answer | None = None  # as the bot gave it


def state(view: View, filled: Mapping[str, Mapping[str, Any]]) -> Json:
    """The state of every input of a view, after a person filled some of them in.

    Args:
        filled: block → action → text, option (value or label), id, or a list of them; "" empties.

    Raises:
        NotPossible: the view has no such input, or the input no such option.
    """
    before: Json = (view.state or {}).get("values", {})
    values: Json = {}
    left = {(block, action) for block, actions in filled.items() for action in actions}
    for block_id, element in inputs(view):
        action = str(element["action_id"])
        if (block_id, action) in left:
            left.discard((block_id, action))
            shown = entry(element, filled[block_id][action])
        else:
            kept: Json | None = before.get(block_id, {}).get(action)
            shown = kept if kept and kept.get("type") == element["type"] else initial(element)
        values.setdefault(block_id, {})[action] = shown
    if left:
        there = ", ".join(f"{block}/{element['action_id']}" for block, element in inputs(view))
        raise NotPossible(f"no such input: {sorted(left)}; there are: {there or 'none'}")
    return values


def inputs(view: View) -> list[tuple[str, Json]]:
    """The elements of a view that have a state, with their block's id."""
    stateless = ("button", "image", "overflow")
    found: list[tuple[str, Json]] = []
    for block in cast(list[Json], view.payload["blocks"]):
        elements: list[Json] = []
        if block["type"] == "input":
            elements = [block["element"]]
        elif block["type"] == "actions":
            elements = block["elements"]
        elif block["type"] == "section" and block.get("accessory"):
            elements = [block["accessory"]]
        found += [(str(block["block_id"]), e) for e in elements if e["type"] not in stateless]
    return found


def slacks_errors(view: View, values: Json) -> dict[str, str]:
    """What Slack's client says beneath the inputs before it sends anything: block id → text."""
    errors: dict[str, str] = {}
    for block in cast(list[Json], view.payload["blocks"]):
        if block["type"] != "input":
            continue
        element: Json = block["element"]
        block_id = str(block["block_id"])
        shown: Json = values[block_id][element["action_id"]]
        given: Any = next((value for key, value in shown.items() if key != "type"), None)
        if given in (None, "", []):
            if not block.get("optional"):
                errors[block_id] = "Please complete this required field."
        elif wrong := _wrong(element, given):
            errors[block_id] = wrong
    return errors


def _wrong(element: Json, given: Any) -> str:
    kind = element["type"]
    if kind == "plain_text_input":
        most, least = int(element.get("max_length", 3000)), int(element.get("min_length", 0))
        if len(given) > most:
            return f"This field must be {most} characters or fewer."
        if len(given) < least:
            return f"This field must be at least {least} characters."
        if "\n" in given and not element.get("multiline"):
            return "This field takes one line."
    if kind == "number_input":
        pattern = r"-?[0-9]+(\.[0-9]+)?" if element.get("is_decimal_allowed") else r"-?[0-9]+"
        if not re.fullmatch(pattern, str(given)):
            return "Please enter a number."
        if "max_value" in element and float(given) > float(element["max_value"]):
            return f"Please enter a number of at most {element['max_value']}."
        if "min_value" in element and float(given) < float(element["min_value"]):
            return f"Please enter a number of at least {element['min_value']}."
    return ""


def known_errors(view: View, given: Any) -> dict[str, str] | None:
    """The bot's `errors`, if Slack can show them: each under the id of an input block. None otherwise."""
    if not isinstance(given, dict) or not given:
        return None
    blocks = {block["block_id"] for block in view.payload["blocks"] if block["type"] == "input"}
    errors = cast(Json, given)
    if not set(errors) <= blocks or not all(isinstance(text, str) and text for text in errors.values()):
        return None
    return cast(dict[str, str], errors)


def take_answer(world: World, view: View, answer: Answer) -> Submitted:
    """Do what the bot's answer to a `view_submission` says."""
    body = answer.body
    if not answer.ok or isinstance(body, str):
        return Submitted("failed", answer=answer)
    if not body:
        world.close_modal(view.id)
        return Submitted("closed", answer=answer)
    try:
        match body.get("response_action"):
            case "errors":
                errors = known_errors(view, body.get("errors"))
                return Submitted("errors" if errors else "failed", errors or {}, answer=answer)
            case "clear":
                world.close_modal(view.id, all_of_them=True)
                return Submitted("cleared", answer=answer)
            case "update":
                shown = replace_view(world, view, check_view(body.get("view"), wanted="modal"))
                return Submitted("updated", view=shown, answer=answer)
            case "push":
                shown = _push(world, view, check_view(body.get("view"), wanted="modal"))
                return Submitted("pushed", view=shown, answer=answer)
            case _:
                return Submitted("failed", answer=answer)
    except Refused as refused:
        return Submitted("failed", {"": refused.error}, answer=answer)


def _push(world: World, view: View, payload: Json) -> View:
    if len(world.modals.get((view.team, view.user), [])) >= STACK:
        raise Refused("push_limit_reached")
    return show_modal(world, Trigger("", view.team, view.user, view.app, world.now()), payload)
