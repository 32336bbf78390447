"""Whom a bot's message notifies: `<!channel>`, `<!here>`, `<!everyone>`, `<@U…>`, `<!subteam^S…>`.

Escaped ones (`&lt;!channel&gt;`) notify nobody, and neither does plain text. Markdown blocks are read like
mrkdwn, except for their code: Slack finds mentions in both. Bare `@channel` and `@here` count where Slack
would link names; our calls never ask for that, so they do not count here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

SEQUENCE = re.compile(
    r"<(?:!(?:channel|here|everyone)(?:\|[^>]*)?|@[UW][A-Z0-9]+(?:\|[^>]*)?|!subteam\^S[A-Z0-9]+(?:\|[^>]*)?)>"
)
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)


def pings_of(text: str, blocks: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """(sequence, where it stands) for everything that notifies. With blocks the text still notifies."""
    found = [(match, "text") for match in SEQUENCE.findall(CODE.sub("", text))]
    for index, block in enumerate(blocks):
        found.extend(_in_blocks(block, f"blocks/{index}"))
    return found


def _in_blocks(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for index, each in enumerate(cast("list[object]", value)):
            yield from _in_blocks(each, f"{path}/{index}")
        return
    if not isinstance(value, dict):
        return
    record = cast("dict[str, object]", value)
    kind, text = record.get("type"), record.get("text")
    if kind in ("mrkdwn", "markdown") and isinstance(text, str):
        for match in SEQUENCE.findall(CODE.sub("", text)):
            yield match, path
    if kind == "user" and "user_id" in record:
        yield f"<@{record['user_id']}>", path
    if kind == "usergroup":
        yield f"<!subteam^{record.get('usergroup_id')}>", path
    if kind == "broadcast":
        yield f"<!{record.get('range')}>", path
    for key, each in record.items():
        yield from _in_blocks(each, f"{path}/{key}")
