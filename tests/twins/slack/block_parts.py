"""The insides of blocks, checked one by one; what is wrong is collected with its JSON pointer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import cast

from .records import Json

STATUSES = ("pending", "in_progress", "complete", "error")
IN_ACTIONS = {
    "button", "checkboxes", "datepicker", "datetimepicker", "timepicker", "overflow", "radio_buttons",
    "static_select", "multi_static_select", "users_select", "multi_users_select", "conversations_select",
    "multi_conversations_select", "channels_select", "multi_channels_select", "external_select",
    "multi_external_select", "workflow_button", "plain_text_input",
}  # fmt: skip
IN_INPUT = (IN_ACTIONS - {"button", "overflow", "workflow_button"}) | {
    "email_text_input", "url_text_input", "number_input", "rich_text_input", "file_input",
}  # fmt: skip
IN_SECTION = (IN_ACTIONS - {"plain_text_input"}) | {"image"}


class Findings:
    """What is wrong."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def add(self, message: str, pointer: str) -> None:
        """Note one thing."""
        self.said.append(f"{message} [json-pointer:{pointer}]")

    def string(self, value: object, path: str, *, most: int, least: int = 1) -> None:
        """A text of `least` to `most` characters."""
        if not isinstance(value, str):
            self.add("must be a string", path)
        elif len(value) < least:
            self.add("must be more than 0 characters", path)
        elif len(value) > most:
            self.add(f"must be less than {most + 1} characters", path)

    def text(self, value: object, path: str, *, most: int = 3000, plain: bool = False) -> None:
        """A text object."""
        text = self.record(value, path)
        if text is None:
            return
        kind = text.get("type")
        if kind not in (("plain_text",) if plain else ("plain_text", "mrkdwn")):
            self.add(f"must be {'plain_text' if plain else 'plain_text or mrkdwn'}", f"{path}/type")
            return
        self.string(text.get("text"), f"{path}/text", most=most)
        self.unknown(text, {"type", "text", "emoji" if kind == "plain_text" else "verbatim"}, path)

    def record(self, value: object, path: str) -> Json | None:
        """An object, or nothing and a finding."""
        if isinstance(value, dict):
            return cast("Json", value)
        self.add("must be an object" if value is not None else "missing required field", path)
        return None

    def rows(self, value: object, path: str, *, most: int, least: int = 1) -> list[object]:
        """A list of `least` to `most` items."""
        if not isinstance(value, list):
            self.add("must be an array", path)
            return []
        rows = cast("list[object]", value)
        if len(rows) < least:
            self.add(f"no fewer than {least} items allowed", path)
        if len(rows) > most:
            self.add(f"no more than {most} items allowed", path)
        return rows

    def unknown(self, record: Json, known: Collection[str], path: str) -> None:
        """Fields Slack does not know."""
        for name in record.keys() - set(known):
            self.add(f"invalid additional property: {name}", path)

    def status(self, value: object, path: str) -> None:
        """A task's status."""
        if value not in STATUSES:
            self.add(f"must be one of: {', '.join(STATUSES)}", path)

    def sources(self, value: object, path: str) -> None:
        """A task's sources: url elements with a text."""
        if value is None:
            return
        for index, each in enumerate(self.rows(value, path, most=100, least=0)):
            source = self.record(each, f"{path}/{index}")
            if source is not None:
                if source.get("type") != "url":
                    self.add("must be url", f"{path}/{index}/type")
                self.string(source.get("url"), f"{path}/{index}/url", most=3000)
                self.string(source.get("text"), f"{path}/{index}/text", most=3000)


def check_block(block: Json, path: str, found: Findings) -> None:
    """The inside of one block whose type is known."""
    check = CHECKS.get(str(block.get("type")))
    if check is not None:
        check(block, path, found)


def _section(block: Json, path: str, found: Findings) -> None:
    if block.get("text") is not None:
        found.text(block["text"], f"{path}/text")
    if block.get("fields") is not None:
        for index, each in enumerate(found.rows(block["fields"], f"{path}/fields", most=10)):
            found.text(each, f"{path}/fields/{index}", most=2000)
    if block.get("accessory") is not None:
        check_element(block["accessory"], f"{path}/accessory", found, IN_SECTION)


def _header(block: Json, path: str, found: Findings) -> None:
    found.text(block.get("text"), f"{path}/text", most=150, plain=True)


def _context(block: Json, path: str, found: Findings) -> None:
    for index, each in enumerate(found.rows(block.get("elements"), f"{path}/elements", most=10)):
        here = f"{path}/elements/{index}"
        element = found.record(each, here)
        if element is not None and element.get("type") != "image":
            found.text(element, here)


def _actions(block: Json, path: str, found: Findings) -> None:
    _elements(block, path, found, most=25, allowed=IN_ACTIONS)


def _context_actions(block: Json, path: str, found: Findings) -> None:
    _elements(block, path, found, most=5, allowed={"feedback_buttons", "icon_button"})


def _elements(block: Json, path: str, found: Findings, *, most: int, allowed: Collection[str]) -> None:
    seen: set[str] = set()
    for index, each in enumerate(found.rows(block.get("elements"), f"{path}/elements", most=most)):
        here = f"{path}/elements/{index}"
        check_element(each, here, found, allowed)
        action = cast("Json", each).get("action_id") if isinstance(each, dict) else None
        if action is not None and str(action) in seen:
            found.add(f"`action_id` {action} already exists for this block", f"{here}/action_id")
        seen.add(str(action))


def _markdown(block: Json, path: str, found: Findings) -> None:
    found.string(block.get("text"), f"{path}/text", most=12_000)


def _input(block: Json, path: str, found: Findings) -> None:
    found.text(block.get("label"), f"{path}/label", most=2000, plain=True)
    if block.get("hint") is not None:
        found.text(block["hint"], f"{path}/hint", most=2000, plain=True)
    check_element(block.get("element"), f"{path}/element", found, IN_INPUT)


def _table(block: Json, path: str, found: Findings) -> None:
    size = 0
    for r, row in enumerate(found.rows(block.get("rows"), f"{path}/rows", most=100)):
        for c, each in enumerate(found.rows(row, f"{path}/rows/{r}", most=20)):
            here = f"{path}/rows/{r}/{c}"
            cell = found.record(each, here)
            if cell is None:
                continue
            kind = cell.get("type")
            if kind == "raw_text":
                found.string(cell.get("text"), f"{here}/text", most=10_000)
                size += len(str(cell.get("text", "")))
            elif kind == "rich_text":
                _rich_text(cell, here, found)
                size += len(str(cell.get("elements", "")))
            elif kind != "raw_number":
                found.add("must be raw_text, raw_number or rich_text", f"{here}/type")
    if size > 10_000:
        found.add("table must be less than 10001 characters", path)
    if block.get("column_settings") is not None:
        found.rows(block["column_settings"], f"{path}/column_settings", most=20, least=0)


def _rich_text(value: object, path: str, found: Findings) -> None:
    entity = found.record(value, path)
    if entity is None:
        return
    if entity.get("type") != "rich_text":
        found.add("must be rich_text", f"{path}/type")
        return
    kinds = ("rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote")
    for index, each in enumerate(found.rows(entity.get("elements"), f"{path}/elements", most=1000)):
        part = found.record(each, f"{path}/elements/{index}")
        if part is not None and part.get("type") not in kinds:
            found.add(f"must be one of: {', '.join(kinds)}", f"{path}/elements/{index}/type")


def _task_card(block: Json, path: str, found: Findings) -> None:
    found.string(block.get("task_id"), f"{path}/task_id", most=255)
    found.string(block.get("title"), f"{path}/title", most=3000)
    found.status(block.get("status"), f"{path}/status")
    for name in ("details", "output"):
        if block.get(name) is not None:
            _rich_text(block[name], f"{path}/{name}", found)
    found.sources(block.get("sources"), f"{path}/sources")


def _plan(block: Json, path: str, found: Findings) -> None:
    found.string(block.get("title"), f"{path}/title", most=3000)
    if block.get("tasks") is None:
        return
    known = {"type", "block_id", "task_id", "title", "status", "details", "output", "sources"}
    for index, each in enumerate(found.rows(block["tasks"], f"{path}/tasks", most=50, least=0)):
        here = f"{path}/tasks/{index}"
        task = found.record(each, here)
        if task is None:
            continue
        if task.get("type") != "task_card":
            found.add("must be task_card", f"{here}/type")
        found.unknown(task, known, here)
        _task_card(task, here, found)


def check_element(value: object, path: str, found: Findings, allowed: Collection[str]) -> None:
    """An interactive element."""
    element = found.record(value, path)
    if element is None:
        return
    kind = str(element.get("type"))
    if kind not in allowed:
        found.add(f"unsupported type: {kind}", f"{path}/type")
        return
    if element.get("action_id") is not None:
        found.string(element["action_id"], f"{path}/action_id", most=255)
    if element.get("placeholder") is not None:
        found.text(element["placeholder"], f"{path}/placeholder", most=150, plain=True)
    check = ELEMENTS.get(kind)
    if check is not None:
        check(element, path, found)


def _button(element: Json, path: str, found: Findings) -> None:
    found.text(element.get("text"), f"{path}/text", most=75, plain=True)
    if element.get("value") is not None:
        found.string(element["value"], f"{path}/value", most=2000, least=0)
    if element.get("style") not in (None, "primary", "danger"):
        found.add("must be primary or danger", f"{path}/style")
    known = {"type", "text", "action_id", "url", "value", "style", "confirm", "accessibility_label"}
    found.unknown(element, known | {"agent_prompt"}, path)


def _feedback(element: Json, path: str, found: Findings) -> None:
    for name in ("positive_button", "negative_button"):
        button = found.record(element.get(name), f"{path}/{name}")
        if button is not None:
            found.text(button.get("text"), f"{path}/{name}/text", most=75, plain=True)
            found.string(button.get("value"), f"{path}/{name}/value", most=2000)
            found.unknown(button, {"text", "value", "accessibility_label"}, f"{path}/{name}")
    found.unknown(element, {"type", "action_id", "positive_button", "negative_button"}, path)


def _plain_text_input(element: Json, path: str, found: Findings) -> None:
    for name, least in (("min_length", 0), ("max_length", 1)):
        given = element.get(name)
        if given is not None and (not isinstance(given, int) or not least <= given <= 3000):
            found.add(f"must be between {least} and 3000", f"{path}/{name}")
    if element.get("initial_value") is not None:
        longest = element.get("max_length")
        most = longest if isinstance(longest, int) else 3000
        found.string(element["initial_value"], f"{path}/initial_value", most=min(most, 3000), least=0)


def _select(element: Json, path: str, found: Findings) -> None:
    options = list[object]()
    if element.get("option_groups") is None:
        options = found.rows(element.get("options"), f"{path}/options", most=100)
    for index, each in enumerate(options):
        _option(each, f"{path}/options/{index}", found)
    initial = element.get("initial_option")
    if initial is not None and element.get("option_groups") is None and initial not in options:
        found.add("must be one of the options", f"{path}/initial_option")


def _option(value: object, path: str, found: Findings) -> None:
    option = found.record(value, path)
    if option is not None:
        found.text(option.get("text"), f"{path}/text", most=75, plain=True)
        found.string(option.get("value"), f"{path}/value", most=150)


Check = Callable[[Json, str, Findings], None]
CHECKS: dict[str, Check] = {
    "section": _section,
    "header": _header,
    "context": _context,
    "actions": _actions,
    "context_actions": _context_actions,
    "markdown": _markdown,
    "input": _input,
    "table": _table,
    "rich_text": _rich_text,
    "task_card": _task_card,
    "plan": _plan,
}
ELEMENTS: dict[str, Check] = {
    "button": _button,
    "feedback_buttons": _feedback,
    "plain_text_input": _plain_text_input,
    "static_select": _select,
    "multi_static_select": _select,
}
