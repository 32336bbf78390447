"""Who answers approvals at a terminal: a person at the prompt, or a policy given on the command line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from adapters.contract import Button, Form, FormField
from adapters.terminal import editor, outbound
from adapters.terminal.clean import clean
from adapters.terminal.inbound import parse_choice
from adapters.terminal.keyboard import Keyboard
from adapters.terminal.screen import Screen

END_OF_TEXT = "."


class Asker(Protocol):
    """Answers approvals. Both calls are cancelled when somebody else decides."""

    async def choose(self, title: str, buttons: Sequence[Button], *, again: bool) -> Button | None:
        """Choose one of the buttons; None leaves the approval to others.

        Args:
            again: the last choice was not taken (a refusal is on the screen).
        """
        ...

    async def fill(self, form: Form, errors: Mapping[str, str]) -> Mapping[str, str] | None:
        """Fill a form; `errors` tell what was wrong the last time. None gives the form up."""
        ...


class Always:
    """Chooses the same for every approval: `--yes` and `--no-input`. Tries once for each.

    A question that wants words gets the answer that it offers itself; where it offers none, it is rejected.

    Args:
        action: "approve" or "reject".
        say: tells why a question was rejected though everything was to be approved.
    """

    def __init__(self, action: str, say: Callable[[str], None] = lambda _: None) -> None:
        self.action = action
        self.stuck = asyncio.Event()  # an approval is open that cannot be settled this way
        self._say = say
        self._refused = ""  # the title of the question that was rejected last

    async def choose(self, title: str, buttons: Sequence[Button], *, again: bool) -> Button | None:
        """The button with the one action, if it is there."""
        by_action = {button.action: button for button in buttons}
        if self.action == "approve" and "answer" in by_action:
            if not again:
                return by_action["answer"]
            if self._refused == title:  # rejecting it was refused as well
                self.stuck.set()
                return None
            self._refused = title
            self._say(f"{clean(title)}: this wants an answer, and --yes has none for it. It is rejected.")
            return by_action.get("reject")
        button = None if again else by_action.get(self.action)
        if button is None:
            self.stuck.set()
        return button

    async def fill(self, form: Form, errors: Mapping[str, str]) -> Mapping[str, str] | None:
        """Takes the form as it is offered; if that is wrong or empty, gives it up."""
        empty = any(f.required and not f.value.strip() for f in form.fields)
        return None if errors or empty else {f.name: f.value for f in form.fields}


class Prompt:
    """Asks the person at the terminal.

    Args:
        editor_command: opens forms that change a long text; "" asks field by field. Default:
            `$VISUAL`, else `$EDITOR`.
    """

    def __init__(self, screen: Screen, keyboard: Keyboard, *, editor_command: str | None = None) -> None:
        self._screen = screen
        self._keyboard = keyboard
        environment = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
        self._editor = environment if editor_command is None else editor_command

    async def choose(self, title: str, buttons: Sequence[Button], *, again: bool) -> Button | None:
        """Ask until the answer is one of the choices. End of input rejects, as `--no-input` does."""
        while True:
            self._keyboard.forget_typed_ahead()
            line = await self._line(f"{clean(title)}: {outbound.options(buttons)}")
            if line is None:
                await self._say("The input ended: this counts as a rejection.")
                return next((b for b in buttons if b.action == "reject"), None)
            action = parse_choice(line, buttons)
            if action is not None:
                return next(b for b in buttons if b.action == action)
            await self._say("Please type one of the letters in brackets.")

    async def fill(self, form: Form, errors: Mapping[str, str]) -> Mapping[str, str] | None:
        """Let the person fill the form, in the editor when a long text is to be changed."""
        if self._editor and any(f.multiline and f.value for f in form.fields):
            return await self._fill_in_editor(form, errors)
        wrong = [f"✗ {_label(form, name)}{what}" for name, what in errors.items()]
        await self._say(clean("\n".join(text for text in (form.title, form.note, *wrong) if text)))
        values: dict[str, str] = {}
        for field in form.fields:
            value = await self._fill_field(field, errors.get(field.name, ""))
            if value is None:
                return None
            values[field.name] = value
        return values

    async def _fill_in_editor(self, form: Form, errors: Mapping[str, str]) -> Mapping[str, str] | None:
        await asyncio.to_thread(self._screen.ask, f"Opening {self._editor}")
        try:
            values = await editor.edit(self._editor, form, errors)
        finally:
            self._screen.answered(typed=False)
        if values is None:
            await self._say("Nothing was saved: nothing was changed.")
        return values

    async def _fill_field(self, field: FormField, error: str) -> str | None:
        """One field; None at the end of input. An empty first line keeps what stands there."""
        head = [field.label + ("" if field.required else " (may stay empty)"), field.hint]
        if field.choices:
            head.append(f"One of: {', '.join(value for value, _ in field.choices)}")
        if field.value:
            head.append(f"Now: {field.value}")
        if error:
            head.append(f"✗ {error}")
        if field.multiline:
            head.append(f"End with a line that holds only {END_OF_TEXT!r}.")
        if field.value:
            head.append("Enter keeps what is there.")
        await self._say(clean("\n".join(text for text in head if text)))
        first = await self._line(clean(field.label))
        if first is None:
            return None
        if not field.multiline or (not first and field.value):
            return first or field.value
        typed: list[str] = []
        line: str | None = first
        while line is not None and line != END_OF_TEXT:
            typed.append(line)
            line = await self._line("")
        return "\n".join(typed)

    async def _line(self, question: str) -> str | None:
        await asyncio.to_thread(self._screen.ask, question)
        typed = False
        try:
            line = await self._keyboard.line()
            typed = line is not None
            return line
        finally:
            self._screen.answered(typed=typed)

    async def _say(self, text: str) -> None:
        await asyncio.to_thread(self._screen.say, text)


def _label(form: Form, name: str) -> str:
    return next((f"{field.label}: " for field in form.fields if field.name == name), "")
