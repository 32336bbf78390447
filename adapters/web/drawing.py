"""Drawn messages, kept for the pages that ask for the same; long ones are drawn beside the loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from markupsafe import Markup

from adapters.web.messages import Said
from adapters.web.outbound import said_html

KEPT = 512  # drawn messages
HEAVY = 4_000  # characters: more are drawn in a thread


class Drawing:
    """Draws messages; each version once."""

    def __init__(self) -> None:
        self._drawn: OrderedDict[tuple[str, int], Markup] = OrderedDict()

    async def all(self, said: Sequence[Said], slug: str) -> list[Markup]:
        """The messages as HTML, in their order."""
        missing = [one for one in said if (one.id, one.version) not in self._drawn]
        if sum(one.weight for one in missing) > HEAVY:
            drawn = await asyncio.to_thread(_draw, missing, slug)
        else:
            drawn = _draw(missing, slug)
        fresh = dict(zip(((one.id, one.version) for one in missing), drawn, strict=True))
        result = [fresh.get((one.id, one.version)) or self._drawn[one.id, one.version] for one in said]
        self._drawn.update(fresh)
        while len(self._drawn) > KEPT:
            self._drawn.popitem(last=False)
        return result


def _draw(said: Sequence[Said], slug: str) -> list[Markup]:
    return [said_html(one, slug) for one in said]
