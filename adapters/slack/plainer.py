"""Draw more plainly where a workspace does not take the blocks: no card is lost for a fancy block."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import structlog

from adapters.slack.outbound import SlackMessage
from adapters.slack.refusals import BlocksRefused

log = structlog.get_logger(__name__)

REMEMBERED_S = 3_600.0  # then the blocks are tried again: Slack brings new ones to workspaces bit by bit
KEPT = 1_000
SECTION = 2_900  # characters; Slack takes 3,000
PLAIN = frozenset({"section", "actions", "header", "divider", "context"})  # every workspace takes these
LEVELS = 3  # as drawn; sections and buttons; text alone

Blocks = list[dict[str, Any]]
T = TypeVar("T")


class Plainer:
    """Remembers which kinds of blocks a workspace refused.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: OrderedDict[tuple[str, frozenset[str]], tuple[int, float]] = OrderedDict()

    async def send(
        self, team: str, message: SlackMessage, send: Callable[[Mapping[str, Any]], Awaitable[T]]
    ) -> T:
        """Send the message's `text` and `blocks` by `send`, ever more plainly while Slack refuses the blocks.

        Raises:
            CardRefused: not even the text alone is taken; or whatever `send` raises besides.
        """
        fancy = frozenset(str(block.get("type")) for block in message.blocks) - PLAIN
        key = (team, fancy)
        level = self._level(key) if fancy else 0
        while True:
            try:
                return await send(_drawn(message, level))
            except BlocksRefused as error:
                if level + 1 >= LEVELS or not message.blocks:
                    raise
                level += 1
                log.warning(
                    "blocks were refused; a plainer card is sent",
                    action="slack_plainer",
                    team=team,
                    level=level,
                    error=str(error),
                )
                if fancy and error.code.startswith("invalid_blocks"):
                    self._remember(key, level)

    def _level(self, key: tuple[str, frozenset[str]]) -> int:
        level, until = self._refused.get(key, (0, 0.0))
        if self._clock() >= until:
            self._refused.pop(key, None)
            return 0
        return level

    def _remember(self, key: tuple[str, frozenset[str]], level: int) -> None:
        self._refused[key] = (level, self._clock() + REMEMBERED_S)
        while len(self._refused) > KEPT:
            self._refused.popitem(last=False)


def _drawn(message: SlackMessage, level: int) -> dict[str, Any]:
    text = message.text or " "  # Slack wants some
    if level == 0:
        return {"text": text, "blocks": message.blocks}
    if level == 1:
        return {"text": text, "blocks": _sections(message)}
    return {"text": text, "blocks": []}


def _sections(message: SlackMessage) -> Blocks:
    """The whole text as sections, and the buttons: nothing but looks is lost."""
    pieces = [message.text[at : at + SECTION] for at in range(0, len(message.text), SECTION)]
    buttons = [block for block in message.blocks if block.get("type") == "actions"]
    sections: Blocks = [
        {"type": "section", "text": {"type": "mrkdwn", "text": piece, "verbatim": True}}
        for piece in pieces
        if piece.strip()
    ]
    return [*sections[: 50 - len(buttons)], *buttons]
