"""Forms on a person's screen: what is in them, and what leaves them when they are sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from simcord.enums import ComponentType

from tests.twins.discord.events import Json

TEXT, SELECT = ComponentType.TEXT_INPUT, ComponentType.STRING_SELECT
RADIO, CHECKS, CHECKBOX = (
    ComponentType.RADIO_GROUP,
    ComponentType.CHECKBOX_GROUP,
    ComponentType.CHECKBOX,
)
Value = str | tuple[str, ...] | bool  # a text or one radio button, what is chosen, a box


class NotPossible(Exception):
    """Discord's client would not let a person do this; the message says why."""


@dataclass(frozen=True, slots=True)
class Input:
    """One field of a form."""

    custom_id: str
    label: str
    value: Value  # what stands in it when it opens
    required: bool
    description: str = ""
    placeholder: str = ""
    kind: ComponentType = TEXT
    multiline: bool = False
    min_length: int = 0
    max_length: int = 4000
    least: int = 1  # how many may be chosen
    most: int = 1
    options: tuple[tuple[str, str], ...] = ()  # (label, value)


@dataclass(frozen=True, slots=True)
class Modal:
    """A form, as it stands on the screen."""

    custom_id: str
    title: str
    texts: tuple[str, ...]
    inputs: tuple[Input, ...]
    components: tuple[Json, ...]  # as they came, with their ids

    def input(self, what: str) -> Input:
        """A field by its label or custom_id.

        Raises:
            NotPossible: there is none, or more than one.
        """
        found = [each for each in self.inputs if what in (each.label, each.custom_id)]
        if len(found) != 1:
            there = ", ".join(f"{each.label!r} ({each.custom_id})" for each in self.inputs)
            raise NotPossible(f"{len(found)} fields are {what!r}; there are: {there or 'none'}")
        return found[0]

    def filled(self, values: Mapping[str, Any]) -> list[Json]:
        """The components of MODAL_SUBMIT after a person filled this in.

        Args:
            values: field (label or custom_id) → text, an option's value or label, several, or a yes or no.
                What is left out stays as it is.

        Raises:
            NotPossible: the client would not send it: something is missing, too long or not on offer.
        """
        given = {self.input(name).custom_id: value for name, value in values.items()}
        entered = {
            each.custom_id: _entered(each, given.get(each.custom_id, each.value)) for each in self.inputs
        }
        return [_sent(component, entered) for component in self.components]


def modal_of(spec: Json) -> Modal:
    """Read a form that SimCord found valid."""
    components = cast("list[Json]", spec["components"])
    texts = [str(each["content"]) for each in components if each["type"] == ComponentType.TEXT_DISPLAY]
    inputs = [_input(label, control) for label, control in _controls(components)]
    return Modal(str(spec["custom_id"]), str(spec["title"]), tuple(texts), tuple(inputs), tuple(components))


def _controls(components: list[Json]) -> Iterator[tuple[Json, Json]]:
    """(the label around it or the control itself, the control)."""
    for each in components:
        if each["type"] == ComponentType.LABEL:
            yield each, cast(Json, each["component"])
        elif each["type"] == ComponentType.ACTION_ROW:
            for control in cast("list[Json]", each["components"]):
                yield control, control


def _input(label: Json, control: Json) -> Input:
    kind = ComponentType(int(control["type"]))
    options = cast("list[Json]", control.get("options") or [])
    chosen = tuple(str(each["value"]) for each in options if each.get("default"))
    value: Value
    if kind == TEXT:
        value = str(control.get("value") or "")
    elif kind == CHECKBOX:
        value = bool(control.get("default"))
    elif kind == RADIO:
        value = chosen[0] if chosen else ""
    else:
        value = chosen
    least, most = control.get("min_values"), control.get("max_values")
    return Input(
        custom_id=str(control["custom_id"]),
        label=str(label.get("label") or ""),
        value=value,
        required=bool(control.get("required", kind != CHECKBOX)),
        description=str(label.get("description") or ""),
        placeholder=str(control.get("placeholder") or ""),
        kind=kind,
        multiline=control.get("style") == 2,
        min_length=int(control.get("min_length") or 0),
        max_length=int(control.get("max_length") or 4000),
        least=1 if least is None else int(least),
        most=(len(options) if kind == CHECKS else 1) if most is None else int(most),
        options=tuple((str(each["label"]), str(each["value"])) for each in options),
    )


def _entered(field: Input, value: Any) -> Json:
    """What a field sends, after the client's own checks."""
    if field.kind == TEXT:
        return {"value": _text(field, value)}
    if field.kind == CHECKBOX:
        return {"value": bool(value)}
    if field.kind not in (SELECT, RADIO, CHECKS):
        raise NotPossible(f"nobody fills in a {field.kind.name} here")
    several = cast("list[Any]", value if isinstance(value, (list, tuple)) else [value] if value else [])
    chosen = [_option(field, each) for each in several]
    if not chosen and field.required:
        raise NotPossible(f"{field.label or field.custom_id}: choose something")
    if field.kind == RADIO:
        return {"value": chosen[0] if chosen else None}
    if chosen and not field.least <= len(chosen) <= field.most:
        raise NotPossible(f"{field.label or field.custom_id}: choose {field.least} to {field.most}")
    return {"values": chosen}


def _text(field: Input, value: Any) -> str:
    text, name = str(value), field.label or field.custom_id
    if not text and field.required:
        raise NotPossible(f"{name}: this is required")
    if text and len(text) < field.min_length:
        raise NotPossible(f"{name}: at least {field.min_length} characters")
    if len(text) > field.max_length:
        raise NotPossible(f"{name}: at most {field.max_length} characters, these are {len(text)}")
    if "\n" in text and not field.multiline:
        raise NotPossible(f"{name}: a field of one line takes no line break")
    return text


def _option(field: Input, given: Any) -> str:
    for label, value in field.options:
        if given in (label, value):
            return value
    there = ", ".join(repr(value) for _, value in field.options)
    raise NotPossible(f"{given!r} is not on offer in {field.label or field.custom_id}: {there}")


def _sent(component: Json, entered: Mapping[str, Json]) -> Json:
    sent: Json = {"type": component["type"], "id": component["id"]}
    if component["type"] == ComponentType.LABEL:
        sent["component"] = _sent(cast(Json, component["component"]), entered)
    elif component["type"] == ComponentType.ACTION_ROW:
        sent["components"] = [_sent(each, entered) for each in cast("list[Json]", component["components"])]
    elif "custom_id" in component:
        sent |= {"custom_id": component["custom_id"], **entered[str(component["custom_id"])]}
    return sent
