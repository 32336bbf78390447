"""What a person does with the app (click, command, menu, form, typing in a field), and what became of it.

An interaction goes to the bot over the gateway. A bot that does not answer within 3 s has failed it, and
its token is worth nothing any more, as on the real Discord.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from simcord.backend import serializers
from simcord.backend.models import Interaction as Record
from simcord.backend.models import Message
from simcord.backend.models.interaction import ResponseKind
from simcord.enums import InteractionType
from simcord.interactions import base_payload

from tests.twins.discord.events import INTERACTION, Json
from tests.twins.discord.modals import Modal, modal_of
from tests.twins.discord.seen import Seen, seen

if TYPE_CHECKING:
    from tests.twins.discord.server import DiscordTwin

Outcome = Literal[
    "none", "failed after 3 s", "message", "deferred", "updated", "modal", "choices"
]  # "deferred" is the answer of types 5 and 6; what came later is in `.message` and `.followups`

_OUTCOMES: dict[ResponseKind, Outcome] = {
    ResponseKind.MESSAGE: "message",
    ResponseKind.DEFERRED: "deferred",
    ResponseKind.DEFERRED_UPDATE: "deferred",
    ResponseKind.UPDATE: "updated",
    ResponseKind.MODAL: "modal",
    ResponseKind.AUTOCOMPLETE: "choices",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of what is offered while somebody types an option."""

    name: str
    value: Any


class Interaction:
    """One thing that a person did with the app. People's `clicks`, `types_command`, … give it."""

    def __init__(self, twin: DiscordTwin, record: Record, kind: InteractionType, payload: Json) -> None:
        self.id = str(record.id)
        self.kind = kind
        self.payload = payload  # as the gateway tells it to a bot with every intent
        self.outcome: Outcome = "none"
        self.ephemeral = False  # the first answer is for this person alone
        self.answered_within: float | None = None  # seconds until the first answer
        self._twin = twin
        self._record = record
        self._began = asyncio.get_running_loop().time()
        self._settled = asyncio.Event()
        self._when_settled: list[Callable[[Interaction], None]] = []
        self._deadline = asyncio.get_running_loop().call_later(twin.gateway.answer_limit_s, self._fail)

    @property
    def token(self) -> str:
        """What the bot answers with."""
        return self._record.token

    @property
    def failed(self) -> bool:
        """ "This interaction failed": no answer came within 3 s."""
        return self.outcome == "failed after 3 s"

    @property
    def message(self) -> Seen | None:
        """The message that answers it, as it is now; of a click answered with 6 or 7: the one clicked."""
        return self._look(self._record.message_id)

    @property
    def followups(self) -> list[Seen]:
        """What the bot sent after its first answer, oldest first."""
        found = [self._look(each) for each in self._record.followup_ids]
        return [each for each in found if each is not None]

    @property
    def modal(self) -> Modal | None:
        """The form that answered it."""
        return modal_of(self._record.modal) if self._record.modal is not None else None

    @property
    def choices(self) -> list[Choice]:
        """What autocomplete offered."""
        offered = self._record.autocomplete_choices or []
        return [Choice(str(each["name"]), each["value"]) for each in offered]

    async def wait(self) -> Interaction:
        """Until the bot has answered, or failed to within 3 s; gives itself back."""
        await self._settled.wait()
        return self

    def when_settled(self, act: Callable[[Interaction], None]) -> None:
        """Call this once the first answer is there, or has failed to come."""
        self._when_settled.append(act)

    def give_up(self) -> None:
        """Wait no longer; the twin ends."""
        self._deadline.cancel()
        self._settled.set()

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def answered(self, record: Record) -> None:
        """The bot's first answer was accepted."""
        if self._settled.is_set() or record.response_kind is None:
            return
        self.outcome = _OUTCOMES[record.response_kind]
        self.ephemeral = record.ephemeral
        self.answered_within = asyncio.get_running_loop().time() - self._began
        self._settle()

    def _fail(self) -> None:
        self.outcome = "failed after 3 s"
        # Whatever the twin's clock says: the bot is too late from now on (10062).
        self._record.initial_response_deadline = self._twin.backend.now_iso()
        self._settle()

    def _settle(self) -> None:
        self._deadline.cancel()
        self._settled.set()
        for act in self._when_settled:
            act(self)
        self._twin.changed()

    def _look(self, message_id: int | None) -> Seen | None:
        messages = self._twin.backend.messages.get(self._record.channel_id, {})
        message = messages.get(message_id or 0)
        return None if message is None else seen(self._twin.backend, message)


def interact(
    twin: DiscordTwin,
    user: int,
    kind: InteractionType,
    channel: int,
    data: Json,
    *,
    message: Message | None = None,
    then: Callable[[Interaction], None] | None = None,
) -> Interaction:
    """Send an interaction to the bot.

    Args:
        user: who does it.
        kind: what it is; `data` is shaped accordingly.
        message: the one whose button was pressed, or from which the form was opened.
        then: called when it is answered, or has failed.
    """
    backend = twin.backend
    place = backend.get_channel(channel)
    plain, payload = base_payload(
        backend, type=kind, channel_id=channel, guild_id=place.guild_id, user_id=user, data=data
    )
    payload["type"] = int(kind)
    owner = str(place.guild_id or 0)
    payload["authorizing_integration_owners"] = {"0": owner}
    record = _Watched(**{each.name: getattr(plain, each.name) for each in fields(plain)})
    if message is not None:
        record.source_message_id = message.id
        payload["message"] = copy.deepcopy(dict(serializers.message_payload(backend, message)))
    backend.interactions[record.id] = record
    interaction = Interaction(twin, record, kind, payload)
    if then is not None:
        interaction.when_settled(then)
    record.tell = interaction.answered
    twin.gateway.interactions.append(interaction)
    backend.emit(INTERACTION, payload)
    twin.changed()
    return interaction


@dataclass
class _Watched(Record):
    """SimCord's record, which tells when the bot has answered."""

    def __post_init__(self) -> None:
        self.tell: Callable[[Record], None] = lambda record: None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "responded" and value:  # set last, when the answer was found good
            self.tell(self)
