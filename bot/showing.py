"""Post or edit one card, so that it stands in the conversation exactly once whatever goes wrong.

An intent is committed before a post. If the outcome of a post is not known (no answer, a crash),
the platform is asked before anything is posted again; where it is known that nothing was posted,
it is not asked.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import structlog

from adapters.contract import Card, ChatAdapter, ConversationRef, MessageRef
from adapters.errors import (
    AdapterError,
    CardRefused,
    ConversationGone,
    MessageGone,
    NotAllowed,
    PlatformDown,
    RateLimited,
)
from orchestrator.events import RunId
from orchestrator.ports import Delivery, Store

log = structlog.get_logger(__name__)


class Shown:
    """What people were last shown of a run's cards: in memory, and in the store.

    Args:
        store: keeps it.
        run_id: of the run.
        deliveries: as the store has them, by card id.
    """

    def __init__(self, store: Store, run_id: RunId, deliveries: dict[str, Delivery]) -> None:
        self.run_id = run_id
        self._store = store
        self._deliveries = deliveries
        self.unposted: set[str] = set()  # cards whose intent is ours and that are known not to be there

    def get(self, card_id: str) -> Delivery | None:
        """What is known of a card; None: it was never tried."""
        return self._deliveries.get(card_id)

    async def save(self, delivery: Delivery) -> None:
        """Remember."""
        self._deliveries[delivery.card_id] = delivery
        await self._store.save_delivery(delivery)


def is_due(last: Delivery | None, card: Card) -> bool:
    """Whether a card has to be posted: it never was, is not known to be, or was refused and has changed."""
    if last is None or last.state == "intent":
        return True
    return last.state == "refused" and last.message is None and last.digest != card_digest(card)


def is_shown(last: Delivery | None, card: Card) -> bool:
    """Whether nothing is left to do for this version of a card."""
    if is_due(last, card) or last is None:
        return False
    return last.state != "shown" or last.digest == card_digest(card)


def card_digest(card: Card) -> str:
    """Which version of a card this is."""
    return hashlib.sha256(card.model_dump_json().encode("utf-8", "surrogatepass")).hexdigest()


async def show(adapter: ChatAdapter, ref: ConversationRef, card: Card, shown: Shown) -> None:
    """Post the card, or edit the one that is there. What is refused for good is remembered as that.

    Raises:
        RateLimited, PlatformDown: not now; again later with the newest version.
    """
    last = shown.get(card.id)
    if last is None or is_due(last, card):
        await _post(adapter, ref, card, shown)
    else:
        await _edit(adapter, card, last, shown)


async def _post(adapter: ChatAdapter, ref: ConversationRef, card: Card, shown: Shown) -> None:
    digest = card_digest(card)
    delivery = shown.get(card.id)
    look = delivery is not None and card.id not in shown.unposted
    if delivery is None:
        nonce = hashlib.sha256(card.id.encode()).hexdigest()[:24]
        delivery = Delivery(card.id, shown.run_id, ref.key, digest, "intent", nonce, None)
        await shown.save(delivery)
    try:
        # Posted before a crash, or with an unknown outcome: look first.
        found = await adapter.find(ref, card.id) if look else None
        if found is not None:
            await _edit(adapter, card, replace(delivery, message=found.model_dump(mode="json")), shown)
            return
        shown.unposted.discard(card.id)
        message = await adapter.post(ref, card, nonce=delivery.nonce)
        delivery = replace(delivery, digest=digest, state="shown", message=message.model_dump(mode="json"))
    except RateLimited:
        if not look:
            shown.unposted.add(card.id)
        raise
    except PlatformDown as error:
        if not look and not error.outcome_unknown:
            shown.unposted.add(card.id)
        raise
    except MessageGone:
        delivery = replace(delivery, state="gone")  # a person deleted what was there of it already
    except (CardRefused, NotAllowed, ConversationGone) as error:
        if isinstance(error, NotAllowed) and adapter.trouble:
            raise PlatformDown(adapter.trouble) from error  # not this card: nothing can be sent now
        delivery = replace(delivery, digest=digest, state="refused")
        log.warning(
            "a card was refused", action="card_refused", run_id=shown.run_id, card=card.id, error=str(error)
        )
    await shown.save(delivery)


async def _edit(adapter: ChatAdapter, card: Card, last: Delivery, shown: Shown) -> None:
    message = MessageRef.model_validate(last.message)
    try:
        message = await adapter.edit(message, card)
        done = replace(last, digest=card_digest(card), state="shown", message=message.model_dump(mode="json"))
    except MessageGone:
        done = replace(last, state="gone")  # a person deleted it: it does not come back
    except (RateLimited, PlatformDown):
        raise
    except AdapterError as error:
        if isinstance(error, NotAllowed) and adapter.trouble:
            raise PlatformDown(adapter.trouble) from error
        # This version is not sent again; the next one may be fine.
        done = replace(last, digest=card_digest(card), state="shown")
        log.warning("an edit was refused", action="edit_refused", card=card.id, error=str(error))
    await shown.save(done)
