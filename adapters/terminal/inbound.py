"""Turn what was typed into Turns, Clicks, Commands and FormInputs. Pure: no keyboard, no clock.

What the prompt accepts is decided here too: the letter in brackets, the whole word, in any case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml

from adapters.contract import (
    Attachment,
    Button,
    Card,
    CardPart,
    Click,
    Command,
    ConversationRef,
    Form,
    FormInput,
    MessageRef,
    Person,
    Turn,
)

LETTERS = {"approve": "a", "answer": "a", "edit": "e", "changes": "c", "reject": "r"}
"""The actions that a prompt offers, and the letter for each; approve and answer never stand together."""
HOW_TO_ANSWER = "How to answer"  # the title of the remark that tells of buttons and replies


@dataclass(frozen=True, slots=True)
class Typed:
    """One message as it was given on the command line."""

    key: str  # the same message given again has the same key
    text: str
    at: datetime  # aware, UTC
    files: tuple[Attachment, ...] = ()
    workflow: str | None = None
    context: Mapping[str, str] = field(default_factory=dict[str, str])
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])  # of the workflow
    priority: str = ""
    deadline: datetime | None = None  # aware, UTC


def parse_turn(typed: Typed, conversation: ConversationRef, person: Person) -> Turn | None:
    """The message as a turn; None when it holds neither text nor files."""
    if not typed.text.strip() and not typed.files:
        return None
    return Turn(
        key=typed.key,
        conversation=conversation,
        person=person,
        text=typed.text,
        attachments=typed.files,
        context=typed.context,
        workflow=typed.workflow,
        inputs=typed.inputs,
        priority=typed.priority,
        deadline=typed.deadline,
        at=typed.at,
    )


def parse_command(
    words: str, conversation: ConversationRef, person: Person, *, key: str, at: datetime
) -> Command:
    """Words after `/quartet`; the prefix may be there or not."""
    text = words.strip().removeprefix("/quartet").strip()
    return Command(key=key, conversation=conversation, person=person, text=text, at=at)


def at_prompt(card: Card, *, is_asked: bool) -> Card:
    """The card of a question as a terminal can take its answer: nothing is there to press or to reply to.

    Args:
        card: any; others than of questions stay as they are.
        is_asked: somebody sits at a prompt. False: a policy decides, so the card tells no way to answer.
    """
    if not any(button.action == "answer" for button in card.buttons):
        return card
    note = f"Type {LETTERS['answer']} at the prompt, Enter, and then the answer."
    parts: list[CardPart] = []
    for part in card.parts:
        if part.kind != "notes" or part.title != HOW_TO_ANSWER:
            parts.append(part)
        elif is_asked:
            parts.append(part.model_copy(update={"notes": (note,)}))
    return card.model_copy(update={"parts": tuple(parts)})


def parse_choice(line: str, buttons: Sequence[Button]) -> str | None:
    """The action that a typed line means, among those on offer; None: not understood."""
    said = line.strip().casefold()
    if not said:
        return None
    for button in buttons:
        if said in {LETTERS.get(button.action), button.action, button.label.casefold()}:
            return button.action
    return None


def parse_click(
    button: Button,
    message: MessageRef,
    person: Person,
    *,
    key: str,
    at: datetime,
) -> Click:
    """A chosen button as a click; a terminal needs no trigger to open a form."""
    return Click(
        key=key,
        conversation=message.conversation,
        person=person,
        action=button.action,
        target=button.target,
        message=message,
        trigger="terminal",
        at=at,
    )


def parse_form(
    form: Form,
    values: Mapping[str, str],
    conversation: ConversationRef,
    person: Person,
    *,
    key: str,
    at: datetime,
) -> FormInput:
    """A filled form; fields that were not touched keep the value that was offered."""
    filled = {f.name: values.get(f.name, f.value) for f in form.fields}
    return FormInput(key=key, conversation=conversation, person=person, form_id=form.id, values=filled, at=at)


def parse_form_file(form: Form, text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Read a form back from the file that an editor saved (see `outbound.form_file`).

    Returns:
        Values by field, and what is wrong by field; the key "" is the file as a whole.
    """
    try:
        loaded: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return {}, {"": f"this is not YAML: {_one_line(str(error))}"}
    if loaded is None:
        return {}, {"": "the file is empty; quit without saving to give up"}
    if not isinstance(loaded, dict):
        return {}, {"": "there must be one line 'name: value' for each field"}
    values: dict[str, str] = {}
    errors: dict[str, str] = {}
    names = [f.name for f in form.fields]
    read: dict[Any, Any] = loaded  # pyright: ignore[reportUnknownVariableType]
    for name, value in read.items():
        if name not in names:
            errors[""] = f"there is no field {_one_line(str(name))!r}; fields are {', '.join(names)}"
        elif isinstance(value, dict | list):
            errors[str(name)] = "this must be text; put it behind '|' on lines of its own"
        else:
            values[str(name)] = "" if value is None else str(value)
    return values, errors


def _one_line(text: str) -> str:
    return " ".join(text.split())
