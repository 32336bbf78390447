"""Look for our messages on Discord itself: asked only when nobody knows whether a post went through.

A card's messages carry a mark in their container's id. Only what the bot itself wrote counts.
"""

from __future__ import annotations

import structlog

from adapters.contract import CardId
from adapters.discord.outbound import mark, marks_in
from adapters.discord.payload import ident
from adapters.discord.ports import Api
from adapters.errors import NotAllowed
from adapters.payload import items, mapping
from adapters.urgency import Urgency

PAGE = 100  # the most that Discord gives
PAGES = 5  # from the newest on: what is looked for was posted not long ago
PARTS = 16  # of a card

log = structlog.get_logger(__name__)


async def look(api: Api, channel: str, card_id: CardId, me: str, urgency: Urgency) -> list[str]:
    """The ids of the card's messages in a channel, in order, up to the first that is missing.

    Args:
        me: the bot's user id; "": not known, then whoever wrote it counts.
    """
    numbers = {mark(card_id, part): part for part in range(PARTS)}
    parts: dict[int, str] = {}
    query = {"limit": str(PAGE)}
    for _ in range(PAGES):
        try:
            page = items(await api.call("GET", f"/channels/{channel}/messages", urgency=urgency, query=query))
        except NotAllowed as error:
            # Without this permission the nonce alone keeps it from standing there twice.
            log.warning("it cannot be looked for", action="discord_no_history", error=str(error))
            break
        ids = [found for found in (ident(mapping(each), "id") for each in page) if found]
        for message in map(mapping, page):
            part = numbers.get(marks_in(message) or 0)
            found = ident(message, "id")
            if part is None or not found or (me and ident(mapping(message.get("author")), "id") != me):
                continue
            # The first wins where one was posted twice, so that every search finds the same.
            parts[part] = min(parts.get(part, found), found, key=int)
        if 0 in parts or len(page) < PAGE or not ids:
            break
        query["before"] = min(ids, key=int)
    there: list[str] = []
    while len(there) in parts:
        there.append(parts[len(there)])
    return there
