"""Turn what the page's forms send into Turns, Commands, Clicks, … Pure: no network, no clock.

What does not fit comes back as a `Refusal`, whose text says what to do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from adapters.contract import (
    Button,
    Click,
    Command,
    ConversationRef,
    Feedback,
    Form,
    FormInput,
    MessageRef,
    Person,
    Turn,
)
from adapters.plain import clean_text
from adapters.web.messages import Said

MOST_CHARACTERS = 200_000  # of one message
MOST_FILES = 10  # with one message
COMMANDS = (
    "ask", "run", "team", "status", "stop", "pause", "resume", "fork", "runs", "workflows",
    "agents", "usage", "settings", "why", "help",
)  # fmt: skip
CHOICES: Mapping[str, tuple[str, ...]] = {
    "tone": ("plain", "friendly", "formal", "technical"),
    "length": ("short", "medium", "long"),
    "format": ("prose", "bullets", "table", "steps"),
}
_ACTIONS: frozenset[str] = frozenset(get_args(Button.model_fields["action"].annotation))
_RATINGS = {"good": True, "bad": False}
_NONCE = re.compile(r"[A-Za-z0-9_-]{8,64}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something that was sent is not taken."""

    status: int  # HTTP
    text: str  # for the person: what is wrong and what to do


@dataclass(frozen=True, slots=True)
class Written:
    """A message as the form gave it."""

    text: str
    options: dict[str, str]
    nonce: str


@dataclass(frozen=True, slots=True)
class GivenFile:
    """What is known of an uploaded file before it is kept."""

    name: str
    media_type: str
    size: int  # bytes


def parse_message(
    fields: Iterable[tuple[str, str]], files: Collection[GivenFile], *, nonce: str, file_bytes: int
) -> Written | Refusal:
    """Read the message form.

    Args:
        fields: its text fields, in order.
        files: its files; empty inputs left out.
        nonce: taken where the form brings none.
        file_bytes: the size of the largest file that is taken.
    """
    given = dict(fields)
    text = clean_text(given.get("text", "")).strip()
    if len(text) > MOST_CHARACTERS:
        return Refusal(
            413,
            f"Too long: at most {MOST_CHARACTERS:,} characters, this is {len(text):,}. "
            "Attach it as a file instead.",
        )
    if not text and not files:
        return Refusal(422, "Write something first, or attach a file.")
    if len(files) > MOST_FILES:
        return Refusal(413, f"Too many files: at most {MOST_FILES} with one message, these are {len(files)}.")
    large = next((file for file in files if file.size > file_bytes), None)
    if large is not None:
        megabytes = file_bytes // 1_000_000
        return Refusal(413, f"{large.name} is too large: at most {megabytes} MB for one file.")
    options = {
        name.removeprefix("option."): clean_text(value)[:100]
        for name, value in given.items()
        if name.removeprefix("option.") in CHOICES and name.startswith("option.") and value
    }
    sent = given.get("nonce", "")
    return Written(text, options, sent if _NONCE.fullmatch(sent) else nonce)


def file_name(given: str) -> str:
    """The name of an uploaded file: its last part, without control characters, not longer than disks take."""
    name = (
        clean_text(given.replace("\\", "/").rsplit("/", 1)[-1]).replace("\n", " ").replace("\r", " ").strip()
    )
    return name[-150:] or "file"


def media_type(given: str | None) -> str:
    """The type that a browser claims for a file, where it has the shape of one."""
    base = (given or "").split(";", 1)[0].strip().lower()
    fits = re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,80}", base)
    return base if fits else "application/octet-stream"


def parse_said(
    said: Said, person: Person, conversation: ConversationRef, commands: Collection[str]
) -> Turn | Command:
    """What a kept message means: words for the bot's commands, or a turn."""
    words = _command_words(said.text, commands)
    if words is not None and not said.uploads:
        return Command(key=said.id, conversation=conversation, person=person, text=words, at=said.at)
    return Turn(
        key=said.id,
        conversation=conversation,
        person=person,
        text=said.text,
        attachments=tuple(upload.attachment() for upload in said.uploads),
        context=said.options,
        at=said.at,
    )


def _command_words(text: str, commands: Collection[str]) -> str | None:
    match = re.match(r"/quartet(?:\s+|$)", text, re.IGNORECASE)
    if match:
        return text[match.end() :].strip() or "help"
    match = re.match(r"/([a-z-]+)(?=\s|$)", text, re.IGNORECASE)
    return text[1:].strip() if match and match[1].lower() in commands else None


def parse_click(
    fields: Iterable[tuple[str, str]],
    said: Said | None,
    *,
    key: str,
    person: Person,
    conversation: ConversationRef,
    at: datetime,
) -> Click | Refusal:
    """Read a pressed button: `press` is its action and target, `message` the card it stands on.

    Args:
        said: the message that the form names, as it is now; None: there is none.
    """
    action, _, target = dict(fields).get("press", "").partition(" ")
    if action not in _ACTIONS or not target or len(target) > 500:
        return Refusal(422, "That button is not known. Reload the page and press it again.")
    if said is None or said.card is None:
        return Refusal(404, "The card with that button is not here any more. Reload the page.")
    target = clean_text(target)
    if not any(b.action == action and clean_text(b.target) == target for b in said.card.buttons):
        return Refusal(409, "That button is not on the card any more; the card shows what happened.")
    return Click(
        key=key,
        conversation=conversation,
        person=person,
        action=action,
        target=target,
        message=MessageRef(conversation=conversation, message_id=said.id),
        at=at,
    )


def parse_feedback(
    fields: Iterable[tuple[str, str]],
    said: Said | None,
    *,
    key: str,
    person: Person,
    conversation: ConversationRef,
    at: datetime,
) -> Feedback | None:
    """Read a pressed "Good answer" or "Bad answer"; None: another button, or one that is not on the card.

    Args:
        said: as for `parse_click`.
    """
    rating, _, target = dict(fields).get("press", "").partition(" ")
    card = said.card if said is not None else None
    if rating not in _RATINGS or card is None or not target or target != card.feedback:
        return None
    return Feedback(
        key=key, conversation=conversation, person=person, target=target, good=_RATINGS[rating], at=at
    )


def parse_form(
    fields: Iterable[tuple[str, str]],
    form: Form,
    *,
    key: str,
    person: Person,
    conversation: ConversationRef,
    at: datetime,
) -> tuple[FormInput, dict[str, str]]:
    """Read a form that was shown before.

    Returns:
        What was given (unknown fields left out), and what is wrong at which field.
    """
    given = dict(fields)
    sent = given.get("nonce", "")
    values = {field.name: clean_text(given.get(f"field.{field.name}", "")) for field in form.fields}
    errors: dict[str, str] = {}
    for field in form.fields:
        value = values[field.name]
        if field.required and not value.strip():
            errors[field.name] = "This is needed."
        elif len(value) > field.max_length:
            errors[field.name] = f"Too long: at most {field.max_length:,} characters, this is {len(value):,}."
    return FormInput(
        key=sent if _NONCE.fullmatch(sent) else key,
        conversation=conversation,
        person=person,
        form_id=form.id,
        values=values,
        at=at,
    ), errors


def person_named(name: str) -> Person | None:
    """The person who signs in under a name; the same name is the same person. None: no name."""
    shown = " ".join(clean_text(name).split())[:60]
    slug = re.sub(r"[^\w-]+", "-", shown.casefold()).strip("-_")
    return Person(platform="web", id=slug, name=shown, is_admin=True) if slug else None


def key_person(name: str, *, is_admin: bool) -> Person:
    """The person who signs in with a key that has a name.

    Whoever holds the key is the same person here and over HTTP. The dot keeps the id apart from names that
    people give themselves: nobody can call themselves a key.
    """
    return Person(platform="web", id=f"key.{name}", name=name, is_admin=is_admin, known_as=f"api:{name}")
