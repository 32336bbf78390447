"""What the adapter suite needs to drive a chat platform: one `Harness` for each adapter.

A harness plays the platform and the people on it. The suite in `test_adapters.py` talks to the
adapter only through `ChatAdapter` and to the people only through these methods, so the same
scenarios run everywhere. A harness must look at what a person would really see (the page that
the server sends, the screen that the terminal paints), never at the adapter's memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import ClassVar, Protocol, Self, TypeVar

from adapters.contract import (
    Card,
    CardId,
    CardKind,
    ChatAdapter,
    Choice,
    ChoiceKind,
    Click,
    Command,
    ConversationRef,
    FactsPart,
    Feedback,
    Form,
    FormInput,
    Home,
    Person,
    Receipt,
    Turn,
    Withdrawal,
)

LIMIT_S = 60.0  # no scenario waits longer than this for anything

T = TypeVar("T")


class RecordingInbound:
    """A real, small `Inbound`: keeps what came in, answers with scripted receipts.

    `answer_clicks.append(Receipt(...))` and its sisters script the next answers; when a script is
    empty the answer is plainly "accepted". `home_page` is what every person's own page shows.
    """

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.clicks: list[Click] = []
        self.commands: list[Command] = []
        self.forms: list[FormInput] = []
        self.withdrawals: list[Withdrawal] = []
        self.feedbacks: list[Feedback] = []
        self.homes: list[tuple[str, Person]] = []  # (workspace, person) of each look
        self.answer_turns: deque[Receipt] = deque()
        self.answer_clicks: deque[Receipt] = deque()
        self.answer_commands: deque[Receipt] = deque()
        self.answer_forms: deque[Receipt] = deque()
        self.answer_withdrawals: deque[Receipt] = deque()
        self.answer_feedbacks: deque[Receipt] = deque()
        self.home_page = Home(usage=FactsPart(facts=()))
        self.offered: list[Choice] = []  # what people may mean who type a command
        self.asked_choices: list[tuple[ChoiceKind, str]] = []
        self.last_receipt = Receipt(accepted=True)  # the latest answer of them all
        self._news = asyncio.Condition()

    async def turn(self, turn: Turn) -> Receipt:
        return await self._keep(self.turns, turn, self.answer_turns)

    async def click(self, click: Click) -> Receipt:
        return await self._keep(self.clicks, click, self.answer_clicks)

    async def command(self, command: Command) -> Receipt:
        return await self._keep(self.commands, command, self.answer_commands)

    async def form(self, given: FormInput) -> Receipt:
        return await self._keep(self.forms, given, self.answer_forms)

    async def withdraw(self, given: Withdrawal) -> Receipt:
        return await self._keep(self.withdrawals, given, self.answer_withdrawals)

    async def feedback(self, given: Feedback) -> Receipt:
        return await self._keep(self.feedbacks, given, self.answer_feedbacks)

    async def home(self, workspace: str, person: Person) -> Home:
        async with self._news:
            self.homes.append((workspace, person))
            self._news.notify_all()
            return self.home_page

    async def choices(self, kind: ChoiceKind, conversation: ConversationRef, typed: str) -> Sequence[Choice]:
        self.asked_choices.append((kind, typed))
        return [choice for choice in self.offered if typed in choice.value]

    async def _keep(self, kept: list[T], new: T, script: deque[Receipt]) -> Receipt:
        async with self._news:
            self.last_receipt = script.popleft() if script else Receipt(accepted=True, run_id="run-1")
            kept.append(new)
            self._news.notify_all()
            return self.last_receipt

    async def until(
        self,
        *,
        turns: int = 0,
        clicks: int = 0,
        commands: int = 0,
        forms: int = 0,
        withdrawals: int = 0,
        feedbacks: int = 0,
        homes: int = 0,
    ) -> None:
        """Wait until at least so many of each have arrived."""

        def there() -> bool:
            return (
                len(self.turns) >= turns
                and len(self.clicks) >= clicks
                and len(self.commands) >= commands
                and len(self.forms) >= forms
                and len(self.withdrawals) >= withdrawals
                and len(self.feedbacks) >= feedbacks
                and len(self.homes) >= homes
            )

        async with asyncio.timeout(LIMIT_S), self._news:
            await self._news.wait_for(there)


class Harness(Protocol):
    """One platform with its people, open while the context lasts.

    `__aenter__` makes a fresh platform, builds the adapter, calls `adapter.start(self.inbound)` and
    opens `conversation` for the person "ada"; `__aexit__` stops the adapter and takes all down.
    The class is built without arguments: `async with WebHarness() as h:`.
    """

    name: ClassVar[str]  # shown in test ids
    column: ClassVar[str]  # of the table in docs/platforms.md; see tests/parity.py
    remembers: ClassVar[bool]  # `find` still knows a card after `restart()`
    replaces: ClassVar[frozenset[CardKind]]
    """Kinds of card that an edit repaints in place. On paper (a pipe) what was printed stays, and an
    edit prints only what changed; for kinds not in here the suite does not ask that the old text goes."""
    people_apart: ClassVar[bool]  # a second person ("bob") can look at the same conversation
    sent_stays: ClassVar[str]
    """Why what was sent can be neither edited nor deleted nor reacted to; "" where it can (`ChatHarness`)."""
    nowhere: ClassVar[str]  # the `thread` of a conversation that there never was
    crops: ClassVar[bool]  # a status card higher than the screen is whole only once the adapter has stopped
    commands_in_channel: ClassVar[bool]  # commands are given to the channel, not within the conversation
    in_a_row: ClassVar[int]  # how many cards posted at once the platform shows in a few seconds

    @property
    def adapter(self) -> ChatAdapter:
        """The adapter at work; another object after `restart()`."""
        ...

    @property
    def inbound(self) -> RecordingInbound:
        """Where the adapter delivers. Survives `restart()`."""
        ...

    @property
    def conversation(self) -> ConversationRef:
        """The conversation that is open."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    # ── what people do ──

    async def person_posts(
        self, text: str, *, person: str = "ada", files: Sequence[tuple[str, str, bytes]] = ()
    ) -> None:
        """A person sends a message with files (name, media type, content). Returns when it arrived."""
        ...

    async def person_posts_again(self) -> None:
        """The platform delivers the last message of `person_posts` a second time."""
        ...

    async def person_clicks(self, card_id: CardId, action: str, *, person: str = "ada") -> None:
        """A person presses the button with this action on the card as shown (target from the screen).

        Returns when the inbound has answered and the answer (a form, a refusal) is on the screen.
        """
        ...

    async def person_fills(self, form: Form, values: Mapping[str, str]) -> None:
        """In the open form, a person types these values over what stands there and sends it.

        Returns when the inbound has answered. If the answer has errors the form stays open.
        """
        ...

    async def person_types_command(self, text: str) -> None:
        """A person types a command's words, without the `/quartet` in front. Returns when answered."""
        ...

    # ── what people see ──

    async def visible_text(self, *, person: str = "ada") -> str:
        """All text this person sees in the conversation: cards, forms, errors at fields, private notes.

        As read by eye: HTML entities decoded, tags and styling gone, values of inputs included.
        The content of a `FilePart` counts as visible when it is shown or can be opened from the card:
        a harness whose platform offers files as downloads appends the downloaded text.
        """
        ...

    async def visible_cards(self) -> list[str]:
        """Ids of the cards on the screen from top to bottom; one that is there twice is listed twice."""
        ...

    async def executed(self) -> list[str]:
        """What ran or rang though it was only text: script elements and event attributes in a page,
        escape sequences on a screen that are not the adapter's own. Empty when all is well."""
        ...

    # ── mishaps ──

    async def restart(self) -> None:
        """The bot's process ends and starts again: a new adapter object on the same platform, started."""
        ...


class ChatHarness(Harness, Protocol):
    """A platform where people can take back what they said, and react to what others say."""

    async def person_edits(self, text: str) -> None:
        """Ada changes the last message of `person_posts`. Returns when the adapter knows."""
        ...

    async def person_deletes(self) -> None:
        """Ada deletes the last message of `person_posts`. Returns when the adapter knows."""
        ...

    async def person_crosses(self, card_id: CardId, *, person: str = "ada") -> None:
        """A person reacts to the card with a cross. Returns when the adapter knows."""
        ...


def one_line(text: str) -> str:
    """Runs of white space as one blank: screens wrap where they like."""
    return " ".join(text.split())


def shows(screen: str, text: str) -> bool:
    """Whether a text is on the screen, wherever lines were wrapped."""
    return "".join(text.split()) in "".join(screen.split())


def count(screen: str, text: str) -> int:
    """How often a text is on the screen, wherever lines were wrapped."""
    return "".join(screen.split()).count("".join(text.split()))


def status_card(card_id: str, title: str, **more: object) -> Card:
    """A small status card for scenarios."""
    return Card.model_validate({"id": card_id, "kind": "status", "title": title, **more})
