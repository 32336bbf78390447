"""The terminal as a chat platform: one conversation with the person who typed the command.

Cards are painted by `Screen`, one at a time and in the order in which they came; approvals are
put to the `Asker`. The terminal remembers nothing: what an earlier process printed is paper.
"""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import RenderableType
from starlette.routing import BaseRoute

from adapters.contract import (
    Attachment,
    Button,
    Card,
    CardId,
    ConversationRef,
    Form,
    Inbound,
    Limits,
    MessageRef,
    Person,
    Platform,
    Receipt,
)
from adapters.errors import AttachmentRefused, ConversationGone, MessageGone, PlatformDown
from adapters.terminal import inbound as words
from adapters.terminal import outbound
from adapters.terminal.asking import Always, Asker
from adapters.terminal.clean import clean
from adapters.terminal.screen import Screen

# A terminal has no limits of its own, and shows no pictures.
LIMITS = Limits(text=1_000_000, buttons=25, button_label=200, pictures="words")


class TerminalAdapter:
    """One conversation at one terminal.

    Args:
        conversation: the only one that is shown here.
        person: who sits at the terminal.
        screen: what the person sees.
        asker: who answers approvals.
        show_answer: False keeps the answer off `out` (`--json` prints something else there).
        clock: the time now (aware).
    """

    def __init__(
        self,
        conversation: ConversationRef,
        person: Person,
        *,
        screen: Screen,
        asker: Asker,
        show_answer: bool = True,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.conversation = conversation
        self.person = person
        self.reader_gone = asyncio.Event()  # nobody reads `out` any more (a closed pipe)
        self._screen = screen
        self._asker = asker
        self._show_answer = show_answer
        self._clock = clock
        self._inbound: Inbound | None = None
        self._painting = asyncio.Lock()  # first come, first painted
        self._asking = asyncio.Lock()  # one question at a time
        self._shown: dict[str, Card] = {}  # message id → what it shows
        self._nonces: dict[str, MessageRef] = {}
        self._questions: dict[str, asyncio.Task[None]] = {}  # message id → its open question
        self._busy = ""
        self._frozen = False  # the live region was left behind for good

    @property
    def platform(self) -> Platform:
        """A terminal."""
        return "terminal"

    @property
    def limits(self) -> Limits:
        """A terminal takes almost anything."""
        return LIMITS

    @property
    def trouble(self) -> str:
        """None: a terminal is always there."""
        return ""

    @property
    def lacking(self) -> str:
        """Nothing."""
        return ""

    def routes(self) -> Sequence[BaseRoute]:
        """None: a terminal needs no HTTP."""
        return ()

    async def start(self, inbound: Inbound) -> None:
        """Begin to take what is typed."""
        self._inbound = inbound

    async def stop(self) -> None:
        """Ask nothing more and leave the screen tidy. May be called twice."""
        self._inbound = None
        questions, self._questions = list(self._questions.values()), {}
        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)
        async with self._painting:
            await asyncio.to_thread(self._screen.close)
            self._frozen = True

    # ── what the person does ──

    async def say(self, typed: words.Typed) -> Receipt:
        """Hand in a message; what the receipt says is shown."""
        turn = words.parse_turn(typed, self.conversation, self.person)
        if turn is None:
            return Receipt(accepted=False, text="The message is empty: write what you want to know.")
        receipt = await self._connected().turn(turn)
        await self._show_receipt(receipt)
        return receipt

    async def command(self, text: str) -> Receipt:
        """Hand in a command's words and show the answer."""
        command = words.parse_command(text, self.conversation, self.person, key=_new_key(), at=self._clock())
        receipt = await self._connected().command(command)
        await self._show_receipt(receipt)
        return receipt

    def _connected(self) -> Inbound:
        if self._inbound is None:
            raise PlatformDown("the terminal is closed; start it before you type")
        return self._inbound

    async def _show_receipt(self, receipt: Receipt) -> None:
        if receipt.text and receipt.accepted and not receipt.run_id and self._show_answer:
            async with self._painting:  # a command's answer
                await asyncio.to_thread(self._screen.reply, receipt.text)
        elif receipt.text:
            await self._print(clean(receipt.text))
        if receipt.card is not None:
            await self._print_card(receipt.card)

    # ── what the person sees ──

    async def post(self, conversation: ConversationRef, card: Card, *, nonce: str) -> MessageRef:
        """Show a card: status cards in the live region, answers on `out`, the rest among the progress.

        Raises:
            ConversationGone: it is not this terminal's conversation, or nobody reads the output.
        """
        if conversation != self.conversation:
            raise ConversationGone(f"this terminal shows {self.conversation.key} only")
        if nonce in self._nonces:
            return self._nonces[nonce]
        card = words.at_prompt(card, is_asked=not isinstance(self._asker, Always))
        message = MessageRef(conversation=conversation, message_id=_new_key())
        self._nonces[nonce] = message  # before the first await: the same nonce may come twice at once
        self._shown[message.message_id] = card
        await self._show_new(message, card)
        self._ask_about(message, card)
        return message

    async def edit(self, message: MessageRef, card: Card) -> MessageRef:
        """Repaint a status card; of any other card, print what changed.

        Raises:
            MessageGone: this process did not post it.
        """
        old = self._shown.get(message.message_id)
        if old is None:
            raise MessageGone("the terminal that showed this is closed")
        card = words.at_prompt(card, is_asked=not isinstance(self._asker, Always))
        self._shown[message.message_id] = card
        if card.kind == "status" and self._screen.repaints and not self._frozen:
            await self._repaint()
        elif fresh := await asyncio.to_thread(outbound.news, old, card):
            await self._print("\n".join(fresh))
        self._ask_about(message, card)
        return message

    async def find(self, conversation: ConversationRef, card_id: CardId) -> MessageRef | None:
        """Look among what this process has shown."""
        for message in self._nonces.values():
            if self._shown[message.message_id].id == card_id and message.conversation == conversation:
                return message
        return None

    async def note(self, conversation: ConversationRef, person: Person, text: str) -> None:
        """Print it: only the person at the terminal sees it."""
        await self._print(clean(text))

    async def busy(self, conversation: ConversationRef, text: str) -> None:
        """A moving line below the status card, where the screen is repainted."""
        self._busy = text
        if self._screen.repaints and not self._frozen:
            with contextlib.suppress(OSError):
                await self._repaint()

    async def download(self, attachment: Attachment) -> bytes:
        """Read the file that was named on the command line.

        Raises:
            AttachmentRefused: it is gone, unreadable or larger than `limits.file_bytes`.
        """
        if attachment.size > LIMITS.file_bytes:
            raise AttachmentRefused(_too_large(attachment.name, attachment.size))
        try:
            content = await asyncio.to_thread(Path(attachment.locator).read_bytes)
        except OSError as error:
            raise AttachmentRefused(f"{attachment.name} cannot be read: {error.strerror}") from error
        if len(content) > LIMITS.file_bytes:
            raise AttachmentRefused(_too_large(attachment.name, len(content)))
        return content

    async def _show_new(self, message: MessageRef, card: Card) -> None:
        if card.kind == "status" and self._screen.repaints and not self._frozen:
            await self._repaint()
        elif card.kind == "answer":
            await self._print_answer(card)
        else:
            await self._print_card(card)

    async def _repaint(self) -> None:
        async with self._painting:
            cards = [card for card in self._shown.values() if card.kind == "status"]
            await asyncio.to_thread(self._screen.paint, cards, self._busy)

    async def _print_card(self, card: Card) -> None:
        if self._screen.repaints:
            await self._print(outbound.still_view(card))
        else:
            await self._print("\n".join(await asyncio.to_thread(outbound.lines, card)))

    async def _print_answer(self, card: Card) -> None:
        async with self._painting:
            await asyncio.to_thread(self._screen.say, outbound.heading(card))
            if not self._show_answer:
                return
            try:
                await asyncio.to_thread(self._screen.answer, card)
            except BrokenPipeError as error:
                self.reader_gone.set()
                raise ConversationGone("nobody reads the output any more") from error

    async def _print(self, what: RenderableType) -> None:
        async with self._painting:
            await asyncio.to_thread(self._screen.say, what)

    # ── questions ──

    def _ask_about(self, message: MessageRef, card: Card) -> None:
        """Open a question for a card with choices; close it when the choices are gone."""
        offered = tuple(b for b in card.buttons if b.action in words.LETTERS)
        question = self._questions.get(message.message_id)
        if offered and question is None and self._inbound is not None:
            task = asyncio.create_task(self._settle(message, card.title, offered))
            self._questions[message.message_id] = task
        elif not offered and question is not None:
            del self._questions[message.message_id]
            question.cancel()

    async def _settle(self, message: MessageRef, title: str, buttons: Sequence[Button]) -> None:
        """Ask until one choice was taken, or nobody here wants to choose."""
        async with self._asking:
            again = False
            while (button := await self._asker.choose(title, buttons, again=again)) is not None:
                again = True
                click = words.parse_click(button, message, self.person, key=_new_key(), at=self._clock())
                receipt = await _taken(self._connected().click(click))
                await self._show_receipt(receipt)
                if receipt.form is not None:
                    if await self._fill(receipt.form):
                        return
                elif receipt.accepted:
                    return

    async def _fill(self, form: Form) -> bool:
        """Take a form to its end: True when it was accepted, False when it was given up or refused."""
        errors: dict[str, str] = {}
        while (values := await self._asker.fill(form, errors)) is not None:
            given = words.parse_form(
                form, values, self.conversation, self.person, key=_new_key(), at=self._clock()
            )
            receipt = await _taken(self._connected().form(given))
            await self._show_receipt(receipt)
            if receipt.accepted:
                return True
            if not receipt.errors:
                return False
            errors = dict(receipt.errors)
            form = outbound.with_values(form, values)
        return False


async def _taken(answer: Awaitable[Receipt]) -> Receipt:
    """What the bot answers; where it fails, a word instead, so that the question stays open."""
    try:
        return await answer
    except Exception as error:
        return Receipt(accepted=False, text=f"That could not be taken just now ({error}). Try again.")


def attach(path: Path) -> Attachment:
    """A file of this machine as an attachment.

    Raises:
        AttachmentRefused: there is no such file, it cannot be read, or it is too large.
    """
    try:
        if not path.is_file():
            reason = "it is a folder" if path.is_dir() else "there is no such file"
            raise AttachmentRefused(f"{path}: {reason}; name a file")
        with path.open("rb"):
            size = path.stat().st_size
    except OSError as error:
        raise AttachmentRefused(f"{path}: {error.strerror}; name a file that can be read") from error
    if size > LIMITS.file_bytes:
        raise AttachmentRefused(_too_large(str(path), size))
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Attachment(
        id=_new_key(), name=path.name, media_type=media_type, size=size, locator=str(path.absolute())
    )


def _too_large(name: str, size: int) -> str:
    limit = LIMITS.file_bytes
    return f"{name} has {size:,} bytes; at most {limit:,} can be taken: send a part of it"


def _new_key() -> str:
    return f"terminal-{uuid.uuid4().hex}"
