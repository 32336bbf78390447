"""Draw forms as Discord modals and read them back. Pure.

A modal holds five things. A text that is too long for one input stands in several and is joined again without
loss. A form of more fields than that shows what does not fit as lines `name = value` in one input. What
comes back is not trusted: it is what we drew, or `FormUnreadable`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from adapters.contract import Form, FormField
from adapters.discord.custom_ids import FIELD, LINES, MOST, press, read
from adapters.discord.outbound import COLOURS, DiscordMessage, container
from adapters.discord.parts import action_row, button
from adapters.discord.pieces import Component, text_display
from adapters.discord.text import fitted, is_seen, neutral, note_units, one_line, readable, size
from adapters.errors import AdapterError, CardRefused
from adapters.plain import clean_text, clipped

TOP_LEVEL = 5  # components in a modal
INPUT = 4_000  # characters that Discord takes in one text input
FILLED = 3_700  # … and that we put there, so that there is room to write
EARLIEST = 2_000  # a text is not parted before it, not even at a line break
TITLE = LABEL = 45
DESCRIPTION = 100
OPTIONS = 25
OPTION = 100  # characters of an option's label or value
DISPLAY = 3_500  # characters of what stands beside the inputs

EMPTY_CHOICE = "quartet:empty"  # Discord's options need a value
TOO_LONG = (
    "This is too long for a form in Discord, and nothing of it shall be lost. Press Ask for changes and "
    "write what should be different, or open the form on Quartet's web page."
)
TOO_MANY = (
    "This form has more fields than Discord shows. Change one thing at a time with /quartet settings, or "
    "open the form on Quartet's web page."
)
BROKEN = "Discord sent a form that Quartet does not know. Close it and press the button again."

_LABEL, _TEXT_INPUT, _SELECT = 18, 4, 3
_CLEAN_BREAK = re.compile(r"(?<=\S)\n(?=\S)")
_FURTHER_PART = re.compile(r"(.*):([2-9]|[1-9]\d)(\+?)", re.DOTALL)  # +: nothing stood between


class FormTooLarge(AdapterError):
    """A form does not fit in a modal of Discord's without loss. The message says what to do instead."""


class FormUnreadable(AdapterError):
    """A modal came back that we did not draw. The message says what to do."""


# ── drawing ──────────────────────────────────────────────────────────────────────────────────


def draw_form(form: Form, typed: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A form as the `data` of a modal answer (type 9).

    Args:
        form: the form.
        typed: what a person had typed before, by field name: stands in the fields instead of their values.

    Raises:
        FormTooLarge: it does not fit without loss; the message is for the person.
    """
    fields = [_typed(field, typed or {}) for field in form.fields]
    components = [component for field in fields for component in _field(field)]
    note = readable(form.note).strip()
    if len(components) > TOP_LEVEL:
        components = _compact(fields, note)
    elif note and len(components) < TOP_LEVEL:
        components.insert(0, _display("".join(note_units(note))))
    elif note:
        first = next((one for one in components if "description" not in one), None)
        if first is not None:
            first["description"] = fitted(note, DESCRIPTION)
    return _modal("form", form.id, form.title, components)


def ask_form(target: str, *, quoted: str = "", text: str = "") -> dict[str, Any]:
    """The modal of the context menu: what do you want to ask? Its field is `text`.

    Args:
        target: comes back from `read_form` in the place of the form's id: where it was asked.
        quoted: the message that is asked about, shown above the input.
        text: what stands in the input already.

    Raises:
        FormTooLarge: the target is longer than Discord carries.
    """
    typed = clipped(clean_text(text), INPUT // 2)
    field = FormField(name="text", label="What should Quartet do?", value=typed, multiline=True)
    components = _field(field)
    if is_seen(quoted):
        lines = neutral(clipped(readable(quoted).strip(), 1_000)).replace("\n", "\n> ")
        components.insert(0, _display(f"> {lines}"))
    return _modal("ask", target, "Ask Quartet", components)


def errors_note(form: Form, errors: Mapping[str, str]) -> DiscordMessage:
    """What is wrong with a form that was sent, with a button that opens it again (`q:again:<form id>`)."""
    labels = {field.name: one_line(field.label) for field in form.fields}
    title = one_line(form.title) or "The form"
    said = [f"### {neutral(clipped(title, 100))}", "This was not taken, nothing has changed:"]
    for name, text in list(errors.items())[:20]:
        label = labels.get(name, "")
        words = neutral(clipped(one_line(text), 400))
        said.append(f"- **{neutral(clipped(label, 60))}:** {words}" if is_seen(label) else f"- {words}")
    components: list[Component] = [text_display(clipped("\n".join(said), DISPLAY))]
    with suppress(CardRefused):  # the button that opened the form is still there
        components.append(action_row([button("Correct", press("again", form.id), 1)]))
    return DiscordMessage(container(components, colour=COLOURS["waiting"]))


def _modal(action: str, target: str, title: str, components: Sequence[Component]) -> dict[str, Any]:
    ids = [one["component"]["custom_id"] for one in components if one["type"] == _LABEL]
    try:
        custom_id = press(action, clean_text(target))
    except CardRefused as error:
        raise FormTooLarge(TOO_LONG) from error
    if len(set(ids)) < len(ids) or any(len(one) > MOST for one in ids):
        raise FormTooLarge(TOO_LONG)
    return {
        "custom_id": custom_id,
        "title": _short(title, TITLE, "Quartet"),
        "components": list(components) or [_display("There is nothing to fill in.")],
    }


def _typed(field: FormField, typed: Mapping[str, str]) -> FormField:
    value = typed.get(field.name)
    return field if value is None else field.model_copy(update={"value": value})


def _field(field: FormField) -> list[Component]:
    if _is_select(field):
        return [_select(field)]
    parts = _parted(clean_text(field.value))
    return [_text_input(field, *part, number, len(parts)) for number, part in enumerate(parts, start=1)]


def _is_select(field: FormField) -> bool:
    """Whether Discord can offer the choices; else they are typed."""
    return 0 < len(field.choices) <= OPTIONS and all(size(value) <= OPTION for value, _ in field.choices)


def _select(field: FormField) -> Component:
    options: list[Component] = []
    for value, label in dict(field.choices).items():
        words = next(filter(is_seen, (one_line(label), one_line(value))), "–")
        option: Component = {
            "label": fitted(words, OPTION),
            "value": value if is_seen(value) else EMPTY_CHOICE,
        }
        if value == field.value:
            option["default"] = True
        if all(option["value"] != other["value"] for other in options):
            options.append(option)
    return _labelled(
        field,
        {
            "type": _SELECT,
            "custom_id": f"{FIELD}{field.name}",
            "options": options,
            "required": field.required,
            "min_values": 1 if field.required else 0,
            "max_values": 1,
        },
    )


def _text_input(field: FormField, value: str, glued: bool, number: int, count: int) -> Component:
    length = size(value)
    found: Component = {
        "type": _TEXT_INPUT,
        "custom_id": f"{FIELD}{field.name}" + (f":{number}{'+' if glued else ''}" if number > 1 else ""),
        "style": 2 if field.multiline or count > 1 or "\n" in value or length > OPTION else 1,
        "required": field.required and number == 1,
        "max_length": INPUT if count > 1 else max(1, length, min(INPUT, field.max_length)),
    }
    if value:
        found["value"] = value
    return _labelled(field, found, part=number if number > 1 else 0)


def _labelled(field: FormField, component: Component, part: int = 0) -> Component:
    said = next(filter(is_seen, (one_line(field.label), one_line(field.name))), "Text")
    suffix = f" (part {part})" if part else ""
    found: Component = {
        "type": _LABEL,
        "label": fitted(said, LABEL - len(suffix)) + suffix,
        "component": component,
    }
    if is_seen(field.hint) and not part:
        found["description"] = fitted(field.hint, DESCRIPTION)
    return found


def _compact(fields: Sequence[FormField], note: str) -> list[Component]:
    """A form of many short fields: some to choose from, and the rest as lines `name = value`."""
    chosen = [field for field in fields if _is_select(field)][: TOP_LEVEL - 2]
    rest = [field for field in fields if field not in chosen]
    if any("\n" in clean_text(field.value) or field.multiline for field in rest):
        raise FormTooLarge(TOO_LONG)
    value = "\n".join(f"{field.name} = {clean_text(field.value)}" for field in rest)
    if size(value) > FILLED or any(not re.fullmatch(r"\w[\w.-]*", field.name) for field in rest):
        raise FormTooLarge(TOO_MANY)
    said = ["".join(note_units(note))] if note else []
    said += [_explained(field) for field in rest]
    lines: Component = {
        "type": _LABEL,
        "label": "The rest, one a line",
        "description": "NAME = VALUE. What each name means is said above.",
        "component": {
            "type": _TEXT_INPUT,
            "custom_id": LINES,
            "style": 2,
            "required": False,
            "max_length": INPUT,
            "value": value,
        },
    }
    return [*(_select(field) for field in chosen), _display("\n".join(said)), lines]


def _explained(field: FormField) -> str:
    values = ", ".join(value or "(empty)" for value, _ in field.choices)
    bits = [one_line(field.label), one_line(field.hint), f"One of: {values}." if values else ""]
    words = " – ".join(filter(is_seen, bits))
    return f"- **{neutral(field.name)}**: {neutral(clipped(words, 400))}"


def _display(content: str) -> Component:
    return text_display(clipped(content, DISPLAY))


def _short(text: str, limit: int, otherwise: str) -> str:
    return fitted(text, limit) if is_seen(text) else otherwise


def _parted(text: str) -> list[tuple[str, bool]]:
    """A text for several inputs, each with whether it follows the one before without a line break between."""
    filled, earliest = (FILLED, EARLIEST) if size(text) == len(text) else (FILLED // 2, EARLIEST // 2)
    parts: list[tuple[str, bool]] = []
    glued = False
    while len(text) > filled:
        clean = [match.start() for match in _CLEAN_BREAK.finditer(text, earliest, filled + 1)]
        end = clean[-1] if clean else text[:filled].rfind("\n", earliest)
        parts.append((text[: end if end >= 0 else filled], glued))
        glued = end < 0
        text = text[end + 1 :] if end >= 0 else text[filled:]
    return [*parts, (text, glued)]


# ── reading ──────────────────────────────────────────────────────────────────────────────────


def read_form(submitted: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """A submitted modal's `data`: the form's id (of an ask form: its target), and what stands in its fields.

    Fields that did not come back are not in the values.

    Raises:
        FormUnreadable: this is not a form of ours, or a line of it cannot be read.
    """
    pressed = read(submitted.get("custom_id"))
    if pressed is None or pressed.action not in ("form", "ask"):
        raise FormUnreadable(BROKEN)
    state: dict[str, str] = {}
    values: dict[str, str] = {}
    for custom_id, value in _inputs(submitted.get("components"), depth=0):
        if custom_id == LINES:
            values |= _lines(value)
        elif custom_id.startswith(FIELD):
            state[custom_id.removeprefix(FIELD)] = "" if value == EMPTY_CHOICE else value
    return pressed.target, values | _joined(state)


def _inputs(components: object, depth: int) -> Iterator[tuple[str, str]]:
    """The inputs of a modal, however deep Discord wraps them: id and what stands there."""
    if not isinstance(components, list) or depth > 2:
        return
    for one in cast("list[object]", components)[:40]:
        if not isinstance(one, Mapping):
            continue
        found = cast("Mapping[str, object]", one)
        custom_id, value, values = found.get("custom_id"), found.get("value"), found.get("values")
        if isinstance(custom_id, str):
            if isinstance(values, list):
                chosen = cast("list[object]", values)
                value = chosen[0] if chosen else ""
            if isinstance(value, str):
                yield custom_id, value
        yield from _inputs([found.get("component")], depth + 1)
        yield from _inputs(found.get("components"), depth + 1)


def _lines(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in clean_text(text).split("\n"):
        name, equals, value = line.partition("=")
        if line.strip() and not (equals and name.strip()):
            shown = clipped(line.strip(), 60)
            raise FormUnreadable(f"The line {shown!r} says nothing: write NAME = VALUE, one a line.")
        if line.strip():
            found[name.strip()] = value.strip()
    return found


def _joined(state: Mapping[str, str]) -> dict[str, str]:
    """Fields whose texts stood in several inputs are put together again."""
    values: dict[str, str] = {}
    further: dict[str, list[tuple[int, str, str]]] = {}
    for name, text in state.items():
        match = _FURTHER_PART.fullmatch(name)
        if match and match[1] in state:
            further.setdefault(match[1], []).append((int(match[2]), "" if match[3] else "\n", text))
        else:
            values[name] = text
    for name, parts in further.items():
        for _, gap, text in sorted(parts):
            # An input that was emptied leaves no line behind.
            values[name] = values.get(name, "") + (gap if values.get(name) and text else "") + text
    return values
