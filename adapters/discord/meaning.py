"""An `Arrival` and what was looked up about it → Turn, Click, Command, FormInput and their sisters. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from adapters.contract import (
    Attachment,
    Click,
    Command,
    ConversationRef,
    Feedback,
    FormInput,
    MessageRef,
    Person,
    ThreadLine,
    Turn,
    Withdrawal,
)
from adapters.discord import custom_ids
from adapters.discord.inbound import (
    Arrival,
    conversation_at,
    conversation_of,
    message_key,
    place,
    spoken,
)
from adapters.discord.payload import at, channel_of, guild_of, ident, name_of, snowflake, user_of
from adapters.discord.permissions import ADMIN, PERMISSIONS, permissions_of
from adapters.discord.ports import DIRECT
from adapters.discord.reading import command as command_text
from adapters.discord.reading import names_in, readable, words_of
from adapters.discord.saying import FORWARDED, attachments, one_line, quoted, said_in
from adapters.discord.saying import line as line  # for those who read a thread
from adapters.discord.typed import subcommand, words
from adapters.payload import Payload, items, mapping, text
from adapters.plain import clean_text

LONGEST_QUOTE = 2_000  # characters of a message that somebody asks about


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button that was pressed."""

    action: str
    target: str
    conversation: ConversationRef
    message: MessageRef | None
    elsewhere: bool  # it stands on the page of `/quartet home` and means another channel


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that came with `/quartet ask` or `/quartet run`."""

    text: str
    workflow: str | None


@dataclass(frozen=True, slots=True)
class Targeted:
    """The message that somebody asks about through its menu."""

    message: str
    author: str  # name
    text: str
    attachments: tuple[Attachment, ...]
    by_us: bool


# ── who ──────────────────────────────────────────────────────────────────────────────────────


def person(payload: Payload, permissions: Collection[str] | None = None) -> Person:
    """Who did it.

    Groups are the ids of the person's roles, and `permission:<name>` for what they may do there.

    Args:
        payload: of a message, an interaction or a reaction.
        permissions: held in the channel, where they were looked up; None: as the payload says.
    """
    user, member = user_of(payload), mapping(payload.get("member"))
    if permissions is None:
        permissions = permissions_of(member.get("permissions"))
    held = [name for name in PERMISSIONS if name in permissions]
    roles = list(dict.fromkeys(role for role in map(snowflake, items(member.get("roles"))) if role))
    user_id = ident(user, "id") or "0"
    return Person(
        platform="discord",
        id=user_id,
        name=one_line(name_of(user, member)) or user_id,
        groups=(*roles, *(f"permission:{name}" for name in held)),
        # Who talks with the bot alone owns that place.
        is_admin=guild_of(payload) == DIRECT or not ADMIN.isdisjoint(held),
    )


def nameless(user_id: str) -> Person:
    """Somebody of whom nothing but the id is known, as who deleted a message."""
    known = snowflake(user_id) or "0"
    return Person(platform="discord", id=known, name=known)


# ── messages ─────────────────────────────────────────────────────────────────────────────────


def turn(arrival: Arrival, who: Person, *, own: str, earlier: Sequence[ThreadLine] = ()) -> Turn | None:
    """A message as a turn; None: it is no message. Its text may be empty: see `says_nothing`.

    Args:
        who: wrote it.
        own: our user id.
        earlier: of the thread, where the bot comes to it for the first time.
    """
    said = spoken(arrival.payload)
    if said is None:
        return None
    names = names_in(arrival.payload, own)
    forwarded = [
        mapping(mapping(one).get("message")) for one in items(arrival.payload.get("message_snapshots"))
    ]
    files = [attachments(one, said.stands_in, said.message) for one in (arrival.payload, *forwarded)]
    return Turn(
        key=arrival.key,
        conversation=conversation_at(said.guild, said.channel, said.thread),
        person=who,
        text=said_in(arrival.payload, own),
        attachments=tuple({file.id: file for some in files for file in some}.values()),
        earlier=(*earlier, *quoted(arrival.payload, forwarded, names, earlier)),
        at=at(said.message),
    )


def says_nothing(given: Turn) -> bool:
    """Whether a turn holds neither words nor files nor a forwarded message."""
    forwarded = any(one.author == FORWARDED for one in given.earlier)
    return not (given.text or given.attachments or forwarded)


def withdrawal(arrival: Arrival, who: Person, when: datetime) -> Withdrawal | None:
    """A deleted message; None: it was none."""
    gone = spoken(arrival.payload)
    if gone is None or arrival.kind != "deleted":
        return None
    return Withdrawal(
        key=arrival.key,
        turn_key=message_key(gone.guild, gone.stands_in, gone.message),
        conversation=conversation_at(gone.guild, gone.channel, gone.thread),
        person=who,
        at=when,
    )


# ── presses ──────────────────────────────────────────────────────────────────────────────────


def pressed(arrival: Arrival) -> Pressed | None:
    """The button of a click, of feedback or of "Correct"; None: it does not name its target."""
    button = custom_ids.read(text(mapping(arrival.payload.get("data")), "custom_id"))
    if button is None or not button.target:
        return None
    there = place(arrival.payload)
    message_id = ident(mapping(arrival.payload.get("message")), "id")
    if button.action == "settings" and button.target != there.channel_key:
        return _elsewhere(button)
    message = MessageRef(conversation=there, message_id=message_id) if message_id else None
    return Pressed(button.action, button.target, there, message, elsewhere=False)


def _elsewhere(button: custom_ids.Pressed) -> Pressed | None:
    """A button on a person's own page, which names the channel that it is for."""
    try:
        there = ConversationRef.from_key(f"{button.target}:")
    except ValueError:
        return None
    # Not another thread of words: a key of ours has an id for the channel, and for the guild or "@me".
    guild, channel = there.workspace, there.channel
    if there.platform != "discord" or not snowflake(channel) or not (guild == DIRECT or snowflake(guild)):
        return None
    if there.thread:
        return None
    return Pressed(button.action, button.target, there, None, elsewhere=True)


def click(arrival: Arrival, button: Pressed, who: Person, when: datetime) -> Click:
    """A pressed button."""
    return Click(
        key=arrival.key,
        conversation=button.conversation,
        person=who,
        action=button.action,
        target=button.target,
        message=button.message,
        trigger=ident(arrival.payload, "id"),
        at=when,
    )


def feedback(arrival: Arrival, button: Pressed, who: Person, when: datetime) -> Feedback | None:
    """What somebody thinks of an answer; None: the button is not one of ours for that."""
    if button.action not in ("good", "bad"):
        return None
    return Feedback(
        key=arrival.key,
        conversation=button.conversation,
        person=who,
        target=button.target,
        good=button.action == "good",
        at=when,
    )


def reacted_to(arrival: Arrival) -> tuple[str, str]:
    """Where the message stands that somebody put a reaction on, and its id."""
    return ident(arrival.payload, "channel_id"), ident(arrival.payload, "message_id")


def stop(arrival: Arrival, conversation: ConversationRef, who: Person, run_id: str, when: datetime) -> Click:
    """A reaction as a press of Stop, which counts from who asked alone."""
    return Click(
        key=arrival.key,
        conversation=conversation,
        person=who,
        action="stop",
        target=run_id,
        quiet=True,
        at=when,
    )


def command(arrival: Arrival, who: Person, when: datetime) -> Command:
    """`/quartet …` as words."""
    return Command(
        key=arrival.key,
        conversation=conversation_of(arrival),
        person=who,
        text=command_words(arrival.payload),
        at=when,
    )


def command_words(payload: Payload) -> str:
    """What was chosen and typed after `/quartet`, as the words after a mention; "help" for nothing."""
    word, options = subcommand(mapping(payload.get("data")))
    return command_text(words(word, options), names_in(payload)) or "help"


def asked_for(arrival: Arrival) -> Asked | None:
    """The question of `/quartet ask`, `run` and `team`; None: another command, or no words."""
    word, options = subcommand(mapping(arrival.payload.get("data")))
    asked = readable(options.get("text", ""), names_in(arrival.payload))
    workflow = options.get("workflow", "").strip().lower()
    if word == "team" and asked:
        return Asked(asked, "team")
    if word not in ("ask", "run") or not asked or (word == "run" and not workflow):
        return None
    return Asked(asked, workflow or None)


def targeted(arrival: Arrival, *, own: str = "") -> Targeted | None:
    """The message of "Ask Quartet about this"; None: it is not there.

    Args:
        own: our user id.
    """
    data = mapping(arrival.payload.get("data"))
    message_id = ident(data, "target_id")
    found = mapping(mapping(mapping(data.get("resolved")).get("messages")).get(message_id))
    if not message_id or not found:
        return None
    author = mapping(found.get("author"))
    names = names_in(found)
    snapshots = (mapping(mapping(one).get("message")) for one in items(found.get("message_snapshots")))
    bits = (words_of(found, names), *(words_of(one, names) for one in snapshots))
    return Targeted(
        message=message_id,
        author=one_line(name_of(author)) or "somebody",
        text="\n".join(bit for bit in bits if bit),
        attachments=attachments(found, channel_of(arrival.payload)[0], message_id),
        by_us=bool(own) and ident(author, "id") == own,
    )


def form_input(
    arrival: Arrival,
    form_id: str,
    conversation: ConversationRef,
    values: Mapping[str, str],
    who: Person,
    when: datetime,
) -> FormInput:
    """A form that was sent."""
    return FormInput(
        key=arrival.key,
        conversation=conversation,
        person=who,
        form_id=form_id,
        values={name: clean_text(value) for name, value in values.items()},
        at=when,
    )


def received(epoch_s: float) -> datetime:
    """A time of the inbox as an aware one, UTC."""
    return datetime.fromtimestamp(epoch_s, UTC)
