"""Draw forms as Slack modals and read them back. Pure.

A text that is too long for one input of Slack's stands in several and is joined again without loss. Inputs
may come back trimmed, so texts are parted at line breaks, and the break is kept in the modal's metadata.
What comes back is not trusted: it is what we drew, or `FormUnreadable`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from adapters.contract import ConversationRef, Form, FormField
from adapters.errors import AdapterError
from adapters.plain import clean_text
from adapters.slack.parts import plain_object
from adapters.slack.text import shortened

View = dict[str, Any]

FORM = "quartet:form"
ASK = "quartet:ask"
INPUT = 3_000  # characters that Slack takes in one text input
FILLED = 2_700  # … and that we put there, so that there is room to write
EARLIEST = 1_500  # a text is not parted before it, not even at a line break
BLOCKS = 100
METADATA = 3_000
EMPTY_CHOICE = "quartet:empty"  # Slack's options need a value
TOO_LONG = (
    "This is too long for a form in Slack, and nothing of it shall be lost. Press Ask for changes and write "
    "what should be different, or open the form on Quartet's web page."
)
BROKEN = "Slack sent a form that Quartet does not know. Close it and press the button again."

_CLEAN_BREAK = re.compile(r"(?<=\S)\n(?=\S)")
_FURTHER_PART = re.compile(r"(.*):([2-9]|[1-9]\d)", re.DOTALL)


class FormUnreadable(AdapterError):
    """A modal came back that we did not draw. The message says what to do."""


# ── drawing ──────────────────────────────────────────────────────────────────────────────────


def draw_form(form: Form, conversation: ConversationRef) -> View:
    """A form as a modal view; where it cannot fit without loss, one that says so and what to do instead."""
    blocks: list[View] = _note(form.note, conversation)
    breaks: dict[str, list[str]] = {}
    for field in form.fields:
        if field.choices:
            found = [_choice(field)]
        else:
            parts, between = _parted(clean_text(field.value))
            found = [
                _text_input(field, part, number, len(parts)) for number, part in enumerate(parts, start=1)
            ]
            if between:
                breaks[field.name] = between
        blocks += found
    metadata: dict[str, object] = {"form": form.id, "conversation": conversation.key}
    if breaks:
        metadata["breaks"] = breaks
    packed = _packed(metadata)
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if (
        len(blocks) > BLOCKS
        or len(packed) > METADATA
        or len(set(ids)) < len(ids)
        or any(len(block_id) > 255 for block_id in ids)
        or any(len(field.choices) > 100 for field in form.fields)
        or any(len(value) > 150 for field in form.fields for value, _ in field.choices)
    ):
        return refusal(TOO_LONG, title=form.title)
    return {
        "type": "modal",
        "callback_id": FORM,
        "private_metadata": packed,
        "title": _title(form.title),
        "submit": _short(form.submit, "Send"),
        "close": _short("Cancel", "Cancel"),
        "blocks": blocks or _paragraphs("There is nothing to fill in."),
    }


def loading(title: str) -> View:
    """A modal that says that the form is on its way: a trigger does not wait for it."""
    return _notice(title, "One moment …")


def refusal(text: str, title: str = "Quartet") -> View:
    """A modal that says why there is no form, and what to do."""
    return _notice(title, text)


def ask_form(
    metadata: Mapping[str, str], *, quoted: str = "", text: str = "", pick_channel: bool = False
) -> View:
    """The modal of the shortcuts: what do you want to ask?

    Args:
        metadata: comes back from `read_ask`: team, channel, thread, …; its `quoted` is cut where too long.
        quoted: the message that is asked about, shown above the input.
        text: what stands in the input already.
        pick_channel: let the person choose where the conversation begins.
    """
    kept = {key: clean_text(value) for key, value in metadata.items()}
    while len(_packed(kept)) > METADATA and kept.get("quoted"):
        kept["quoted"] = shortened(kept["quoted"], len(kept["quoted"]) * 3 // 4)[:-1]
    packed = _packed(kept)
    if len(packed) > METADATA:
        return refusal("Slack cannot carry this message into a form. Mention Quartet in the thread instead.")
    blocks: list[View] = []
    if quoted.strip():
        shown = shortened(clean_text(quoted), 2_000) or "–"
        blocks.append(
            {
                "type": "rich_text",
                "elements": [{"type": "rich_text_quote", "elements": [{"type": "text", "text": shown}]}],
            }
        )
    field = FormField(name="text", label="What should Quartet do?", value=text, multiline=True)
    blocks.append(_text_input(field, shortened(clean_text(text), INPUT), 1, 1))
    if pick_channel:
        blocks.append(
            {
                "type": "input",
                "block_id": "field:channel",
                "label": plain_object("Where should the conversation be?"),
                "element": {
                    "type": "conversations_select",
                    "action_id": "value",
                    "default_to_current_conversation": True,
                    "filter": {"include": ["public", "private"], "exclude_bot_users": True},
                },
            }
        )
    return {
        "type": "modal",
        "callback_id": ASK,
        "private_metadata": packed,
        "title": _title("Ask Quartet"),
        "submit": _short("Ask", "Ask"),
        "close": _short("Cancel", "Cancel"),
        "blocks": blocks,
    }


def errors(found: Mapping[str, str], view: Mapping[str, Any]) -> dict[str, str]:
    """`Receipt.errors` (field name → what is wrong) as Slack wants them: block id → text.

    What belongs to no field of the view stands at its first one.
    """
    ids = [
        str(block["block_id"])
        for block in _mappings(view.get("blocks"))
        if block.get("type") == "input" and "block_id" in block
    ]
    shown: dict[str, str] = {}
    for name, text in found.items():
        block_id = f"field:{name}"
        if block_id not in ids:
            if not ids:
                continue
            block_id = ids[0]
        told = shown.get(block_id)
        shown[block_id] = shortened(f"{told} {text}" if told else text, 1_000)
    return shown


# ── reading ──────────────────────────────────────────────────────────────────────────────────


def read_form(view: Mapping[str, Any]) -> tuple[str, ConversationRef, dict[str, str]]:
    """A submitted form: its id, its conversation, and what stands in its fields by name.

    Fields that did not come back are not in the values.

    Raises:
        FormUnreadable: this is not a form of ours.
    """
    metadata = _metadata(view)
    form, key = metadata.get("form"), metadata.get("conversation")
    if not isinstance(form, str) or not isinstance(key, str):
        raise FormUnreadable(BROKEN)
    try:
        conversation = ConversationRef.from_key(key)
    except ValueError as error:
        raise FormUnreadable(BROKEN) from error
    if conversation.platform != "slack":
        raise FormUnreadable(BROKEN)
    breaks = metadata.get("breaks", {})
    return form, conversation, _joined(_state(view), cast("Mapping[str, object]", breaks))


def read_ask(view: Mapping[str, Any]) -> tuple[dict[str, str], str, str]:
    """A submitted Ask modal: its metadata, the text, and the channel ("" where none was to be chosen).

    Raises:
        FormUnreadable: this is not a form of ours.
    """
    metadata = {key: value for key, value in _metadata(view).items() if isinstance(value, str)}
    values = _state(view)
    return metadata, values.get("text", ""), values.get("channel", "")


def _metadata(view: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found: object = json.loads(view.get("private_metadata") or "null")
    except (TypeError, ValueError, RecursionError) as error:
        raise FormUnreadable(BROKEN) from error
    if not isinstance(found, dict):
        raise FormUnreadable(BROKEN)
    return cast("dict[str, Any]", found)


def _state(view: Mapping[str, Any]) -> dict[str, str]:
    """What stands in each input, by its block's id without `field:`."""
    found: dict[str, str] = {}
    for block_id, elements in _mapping(_mapping(view.get("state")).get("values")).items():
        if not block_id.startswith("field:"):
            continue
        element = _mapping(_mapping(elements).get("value"))
        option = _mapping(element.get("selected_option")).get("value")
        chosen = next(
            (
                v
                for v in (element.get("value"), option, element.get("selected_conversation"))
                if isinstance(v, str)
            ),
            "",
        )
        found[block_id.removeprefix("field:")] = "" if chosen == EMPTY_CHOICE else chosen
    return found


def _joined(state: Mapping[str, str], breaks: Mapping[str, object]) -> dict[str, str]:
    """Fields whose texts stood in several inputs are put together again."""
    values: dict[str, str] = {}
    further: dict[str, list[tuple[int, str]]] = {}
    for name, text in state.items():
        match = _FURTHER_PART.fullmatch(name)
        if match and match[1] in state:
            further.setdefault(match[1], []).append((int(match[2]), text))
        else:
            values[name] = text
    for name, parts in further.items():
        between = _mapping(breaks).get(name)
        texts = cast("list[object]", between) if isinstance(between, list) else []
        for number, text in sorted(parts):
            gap = texts[number - 2] if 0 <= number - 2 < len(texts) else ""
            # An input that was emptied leaves no line behind.
            values[name] += (gap if isinstance(gap, str) and values[name] and text else "") + text
    return values


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        return {}
    return {
        key: inner for key, inner in cast("Mapping[object, object]", value).items() if isinstance(key, str)
    }


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [_mapping(one) for one in cast("list[object]", value)] if isinstance(value, list) else []


# ── blocks ───────────────────────────────────────────────────────────────────────────────────


def _parted(text: str) -> tuple[list[str], list[str]]:
    """A text for several inputs, and what stood between them: line breaks, or nothing within long lines."""
    parts: list[str] = []
    between: list[str] = []
    while len(text) > FILLED:
        window = text[:FILLED]
        clean = [match.start() for match in _CLEAN_BREAK.finditer(text, EARLIEST, FILLED + 1)]
        end = clean[-1] if clean else window.rfind("\n", EARLIEST)
        gap = "\n" if end >= 0 else ""
        end = end if end >= 0 else FILLED
        parts.append(text[:end])
        between.append(gap)
        text = text[end + len(gap) :]
    return [*parts, text], between


def _text_input(field: FormField, value: str, number: int, count: int) -> View:
    label = field.label.strip() or field.name.strip() or "Text"
    element: View = {
        "type": "plain_text_input",
        "action_id": "value",
        "multiline": field.multiline or count > 1 or "\n" in value,
        "max_length": INPUT if count > 1 else max(1, min(INPUT, field.max_length)),
    }
    if value:
        element["initial_value"] = value
        element["max_length"] = max(element["max_length"], len(value))
    return _input(
        f"field:{field.name}" + (f":{number}" if number > 1 else ""),
        shortened(label, 1_900) + (f" (part {number})" if number > 1 else ""),
        element,
        hint=field.hint if number == count else "",
        optional=not field.required or number > 1,
    )


def _choice(field: FormField) -> View:
    options = [
        {"text": plain_object(label.strip() or value.strip() or "–", 75), "value": value or EMPTY_CHOICE}
        for value, label in field.choices
    ]
    element: View = {"type": "static_select", "action_id": "value", "options": options}
    chosen = [
        option for option, (value, _) in zip(options, field.choices, strict=True) if value == field.value
    ]
    if chosen:
        element["initial_option"] = chosen[0]
    label = field.label.strip() or field.name.strip() or "Choice"
    return _input(
        f"field:{field.name}", shortened(label, 1_900), element, hint=field.hint, optional=not field.required
    )


def _input(block_id: str, label: str, element: View, *, hint: str, optional: bool) -> View:
    block: View = {
        "type": "input",
        "block_id": block_id,
        "label": plain_object(label, 2_000),
        "element": element,
        "optional": optional,
    }
    if clean_text(hint).strip():
        block["hint"] = plain_object(hint, 150)
    return block


def _notice(title: str, text: str) -> View:
    return {
        "type": "modal",
        "title": _title(title),
        "close": _short("Close", "Close"),
        "blocks": _paragraphs(text) or _paragraphs("There is nothing to show."),
    }


def _paragraphs(text: str) -> list[View]:
    """Plain words above the inputs."""
    words = clean_text(text).strip()
    parts: Sequence[str] = [words[at : at + 2_900] for at in range(0, len(words), 2_900)]
    return [{"type": "section", "text": plain_object(part)} for part in parts if part.strip()]


def _note(text: str, conversation: ConversationRef) -> list[View]:
    """Words above the inputs; a channel is named there as Slack shows it."""
    words = clean_text(text).strip()
    channel = conversation.channel
    pieces = re.split(rf"(?<!\w){re.escape(channel)}(?!\w)", words)
    if not channel.startswith(("C", "G")) or len(pieces) == 1:
        return _paragraphs(text)
    elements: list[View] = []
    for number, piece in enumerate(pieces):
        elements += [{"type": "channel", "channel_id": channel}] if number else []
        elements += [{"type": "text", "text": piece}] if piece else []
    section: View = {"type": "rich_text_section", "elements": elements}
    return [{"type": "rich_text", "elements": [section]}]


def _title(text: str) -> View:
    return _short(text, "Quartet")


def _short(text: str, otherwise: str) -> View:
    """One of the texts that Slack allows 24 characters."""
    return plain_object(shortened(" ".join(clean_text(text).split()) or otherwise, 24), 24)


def _packed(metadata: Mapping[str, object]) -> str:
    return json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))
