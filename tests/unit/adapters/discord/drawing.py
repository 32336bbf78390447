"""What all tests of drawing ask of a message: Discord's limits, and what a person sees of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from adapters.discord.outbound import DiscordMessage
from adapters.discord.text import JOINER
from tests.twins.discord.spec import Spec

Json = dict[str, Any]

V2 = 1 << 15


def check(messages: Sequence[DiscordMessage]) -> None:
    """Discord's description of the body, and the limits that it leaves to words."""
    for message in messages:
        body = message.body
        assert violations("POST", "/channels/1/messages", body) == []
        assert body["allowed_mentions"] == {"parse": []}
        parts = list(components(body))
        if body["flags"] & V2:
            assert "content" not in body
            assert len(body["components"]) == 1
            assert body["components"][0]["type"] == 17
        else:
            assert units(body["content"]) <= 2_000
            assert body["flags"] == 4
            assert body["content"].strip()
        texts = [part["content"] for part in parts if part["type"] == 10]
        assert sum(map(units, texts)) <= 4_000
        assert all(text.strip() for text in texts)
        assert len(parts) <= 40
        ids = [part["custom_id"] for part in parts if "custom_id" in part]
        assert len(ids) == len(set(ids))
        assert [part["id"] for part in parts if "id" in part] == [
            part["id"] for part in body.get("components", ()) if "id" in part
        ]
        names = [file.name for file in message.files]
        assert len(names) == len({name.lower() for name in names}) <= 10
        assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) for name in names)
        assert all(0 < len(file.content) <= 10 * 1024 * 1024 for file in message.files)
        assert body.get("attachments", []) == [{"id": str(n), "filename": one} for n, one in enumerate(names)]
        if body["flags"] & V2:
            shown = [
                part["file"]["url"] if part["type"] == 13 else part["items"][0]["media"]["url"]
                for part in parts
                if part["type"] in (12, 13)
            ]
            assert shown == [f"attachment://{name}" for name in names]


def violations(method: str, path: str, body: object) -> list[str]:
    """What Discord's description has against a request."""
    operation, _, parameters = Spec.load().match(method, path)
    assert operation is not None
    return operation.check(parameters, {}, body)


def units(text: str) -> int:
    """UTF-16 units: no client counts more."""
    return len(text.encode("utf-16-le")) // 2


def components(value: object) -> Iterator[Json]:
    """Every component of a body, nested ones too."""
    if isinstance(value, list):
        for inner in cast("list[object]", value):
            yield from components(inner)
    elif isinstance(value, dict):
        found = cast("Json", value)
        if isinstance(found.get("type"), int):
            yield found
        for key in ("components", "component", "accessory"):
            yield from components(found.get(key))


def texts(messages: Sequence[DiscordMessage]) -> list[str]:
    """Every text as it is sent."""
    found = [str(message.body["content"]) for message in messages if "content" in message.body]
    for message in messages:
        found += [str(part["content"]) for part in components(message.body) if part["type"] == 10]
    return found


def buttons(messages: Sequence[DiscordMessage]) -> list[Json]:
    """Every button."""
    return [part for message in messages for part in components(message.body) if part["type"] == 2]


def shown(text: str) -> str:
    """A text without escapes and what parts mentions."""
    return re.sub(r"\\([^0-9A-Za-z\s])", r"\1", text).replace(JOINER, "")


def seen(messages: Sequence[DiscordMessage]) -> str:
    """All that is on the screen or in the files."""
    found = [shown(re.sub(r"^-# Part \d of \d\n", "", text)) for text in texts(messages)]
    found += [str(button["label"]) for button in buttons(messages)]
    found += [file.content.decode(errors="replace") for message in messages for file in message.files]
    galleries = [part for message in messages for part in components(message.body) if part["type"] == 12]
    found += [str(item["description"]) for gallery in galleries for item in gallery["items"]]
    return "\n".join(found)


def outside_code(text: str) -> str:
    """A text as sent, without its code, in which Discord reads nothing."""
    without = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    return re.sub(r"(?<!\\)(`+)(?!`).*?[^`]\1(?!`)", " ", without, flags=re.DOTALL)


def rings(text: str) -> list[str]:
    """What Discord would show as a mention, a time, an emoji or a command of its own."""
    pattern = r"(?<!\\)<(?:@[!&]?|#|a?:\w+:|t:|id:|/)[^>\s]*>|@everyone|@here"
    return re.findall(pattern, outside_code(text))


def values(body: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in a modal's inputs, by custom id."""
    found: dict[str, Any] = {}
    for part in components(cast("Json", body)):
        if "custom_id" in part and part["type"] in (3, 4):
            default = [option["value"] for option in part.get("options", ()) if option.get("default")]
            found[part["custom_id"]] = default if part["type"] == 3 else part.get("value", "")
    return found
