"""What happens in a conversation while its page is open, as server-sent events.

`message` (HTML, replaces the element with its id) and `notice` carry the version as event id, from
which the browser resumes; `listing` and `busy` say how things are and carry none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent

from adapters.contract import Person
from adapters.web.drawing import Drawing
from adapters.web.feed import Feed
from adapters.web.messages import Listed, Messages
from adapters.web.outbound import listing_html, notice_html

PING_S = 15  # seconds between comments that keep the connection open
SEND_S = 30  # seconds a browser may take to take an event


def stream(
    listed: Listed, person: Person, version: int, *, messages: Messages, feed: Feed, drawing: Drawing
) -> EventSourceResponse:
    """Answer with all that changes in the conversation after `version`, until the browser leaves."""

    async def events() -> AsyncIterator[ServerSentEvent]:
        seen = version
        said_busy: str | None = None  # what the browser shows is not known
        with feed.watch(listed.ref.key) as watch:
            watch.listing_changed = True  # it may have changed while the browser was away
            while not watch.closed:
                watch.look()
                page = await messages.since(listed.ref, person, seen)
                html = await drawing.all(page.said, listed.slug)
                changes = [(one.version, "message", text) for one, text in zip(page.said, html, strict=True)]
                changes += [(one.version, "notice", notice_html(one, listed.slug)) for one in page.notices]
                for number, kind, text in sorted(changes):
                    yield ServerSentEvent(text, event=kind, id=str(number))
                seen = page.version
                if page.more:
                    continue
                if watch.listing_changed:
                    watch.listing_changed = False
                    yield ServerSentEvent(
                        listing_html(await messages.listing(), listed.slug), event="listing"
                    )
                if feed.busy(listed.ref.key) != said_busy:
                    said_busy = feed.busy(listed.ref.key)
                    yield ServerSentEvent(said_busy, event="busy")
                await watch.stirred()

    return EventSourceResponse(events(), ping=PING_S, send_timeout=SEND_S)
