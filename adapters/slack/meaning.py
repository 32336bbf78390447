"""An `Arrival` and what was looked up about it → Turn, Click, Command, FormInput and their sisters. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
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
from adapters.payload import Payload, items, mapping, text
from adapters.plain import clean_text
from adapters.slack.inbound import ACTIONS, Arrival, conversation_at, deleted, message_key, spoken
from adapters.slack.payload import action, at, ident, place, stamp
from adapters.slack.reading import command as command_text
from adapters.slack.reading import mentioned_away, readable

LONGEST_QUOTE = 2_000  # characters of a message that somebody asks about
_FORMS = frozenset({"edit", "changes", "answer", "settings"})  # actions that are answered with a form


@dataclass(frozen=True, slots=True)
class Pressed:
    """A button that was pressed."""

    action: str
    target: str
    conversation: ConversationRef
    message: MessageRef | None
    trigger: str
    home: bool  # on App Home

    @property
    def opens_form(self) -> bool:
        """Whether a form is expected in answer."""
        return self.action in _FORMS


def turn(
    arrival: Arrival,
    person: Person,
    *,
    names: Mapping[str, str],
    own: str,
    earlier: Sequence[ThreadLine] = (),
    viewing: str = "",
) -> Turn | None:
    """A message as a turn; None: it is no message.

    Args:
        person: who wrote it.
        names: of the people who are named in it, by id.
        own: our user id there.
        earlier: of the thread, where the bot comes to it for the first time.
        viewing: the channel that the person looks at beside the conversation.
    """
    said = spoken(arrival.payload)
    if said is None:
        return None
    event = mapping(arrival.payload.get("event"))
    return Turn(
        key=arrival.key,
        conversation=conversation_at(arrival.team, said.channel, said.thread),
        person=person,
        text=command_text(text(event, "text"), names, own=own),
        attachments=attachments(event, arrival.team, arrival.enterprise),
        earlier=(*earlier, *_shared(event, names, said.ts)),
        context={"viewing": viewing} if viewing else {},
        at=at(said.ts),
    )


def attachments(event: Payload, team: str, enterprise: str) -> tuple[Attachment, ...]:
    """The files of a message. Where each lies is in its locator, which `files.Files` reads."""
    files = event.get("files")
    given = [mapping(one) for one in files] if isinstance(files, list) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return tuple(_attachment(file, team, enterprise) for file in given if ident(file, "id"))


def _attachment(file: Payload, team: str, enterprise: str) -> Attachment:
    size = file.get("size")
    name = text(file, "name") or text(file, "title") or ident(file, "id")
    wanted = {
        "team": team,
        "enterprise": enterprise,
        "file": ident(file, "id"),
        "url": text(file, "url_private_download") or text(file, "url_private"),
        "access": text(file, "file_access"),
        "mode": text(file, "mode"),
    }
    return Attachment(
        id=ident(file, "id"),
        name=" ".join(clean_text(name).replace("/", "_").replace("\\", "_").split())[-150:] or "file",
        media_type=clean_text(text(file, "mimetype"))[:120] or "application/octet-stream",
        size=size if isinstance(size, int) and size >= 0 else 0,
        locator=json.dumps({name: value for name, value in wanted.items() if value}),
    )


def lacks_files(arrival: Arrival) -> bool:
    """Whether a mention speaks of files that it does not bring: the message event of it does."""
    event = mapping(arrival.payload.get("event"))
    if event.get("type") != "app_mention" or items(event.get("files")):
        return False
    # A mention alone, without a word, mostly goes with a file.
    return (
        event.get("upload") is True
        or _names_file(event.get("blocks"), 6)
        or not readable(mentioned_away(text(event, "text")), {})
    )


def _names_file(blocks: object, depth: int) -> bool:
    """Whether rich text holds the chip of a file."""
    if depth == 0:
        return False
    inner = [mapping(one) for one in items(blocks)]
    return any(one.get("type") == "file" or _names_file(one.get("elements"), depth - 1) for one in inner)


def _shared(event: Payload, names: Mapping[str, str], ts: str) -> Iterable[ThreadLine]:
    """Messages that were forwarded with this one."""
    given = event.get("attachments")
    for one in given if isinstance(given, list) else []:  # pyright: ignore[reportUnknownVariableType]
        shared = mapping(one)  # pyright: ignore[reportUnknownArgumentType]
        if shared.get("is_share") is not True and shared.get("is_msg_unfurl") is not True:
            continue
        words = readable(text(shared, "text"), names)
        if words:
            author = text(shared, "author_name") or text(shared, "author_subname") or "a forwarded message"
            yield ThreadLine(author=author[:100], text=words, at=at(stamp(shared, "ts") or ts))


def line(message: Payload, names: Mapping[str, str], *, own: str, own_bot: str) -> ThreadLine | None:
    """A message that stands in a thread already; None: it has no words or is not of the thread's talk."""
    if message.get("subtype") not in (None, "thread_broadcast", "file_share", "me_message", "bot_message"):
        return None
    user, bot = ident(message, "user"), ident(message, "bot_id")
    words = readable(text(message, "text"), names)
    if not words or not stamp(message, "ts"):
        return None
    by_us = bool(own and user == own) or bool(own_bot and bot == own_bot)
    profile = mapping(message.get("bot_profile"))
    author = names.get(user) or text(profile, "name") or text(message, "username") or user or bot
    return ThreadLine(author=author[:100], text=words, at=at(stamp(message, "ts")), by_bot=by_us)


def pressed(arrival: Arrival) -> Pressed | None:
    """The button of a click or of feedback; None: it does not name its target."""
    button = action(arrival.payload)
    # Where a block holds an action twice its id ends in an index: "quartet:approve:1".
    name = text(button, "action_id").removeprefix(ACTIONS).partition(":")[0]
    value = text(button, "value")
    channel, thread, ts = place(arrival.payload)
    trigger = text(arrival.payload, "trigger_id")
    view = mapping(arrival.payload.get("view"))
    if text(view, "type") == "home":
        target, _, key = value.partition("\n")
        try:
            there = ConversationRef.from_key(key) if key else _settings_place(target)
        except ValueError:
            return None
        if there.platform != "slack" or not (name and target):
            return None
        return Pressed(name, target, there, None, trigger, home=True)
    if not (channel and name and value):
        return None
    there = conversation_at(arrival.team, channel, thread)
    message = MessageRef(conversation=there, message_id=ts) if ts else None
    return Pressed(name, value, there, message, trigger, home=False)


def _settings_place(target: str) -> ConversationRef:
    """A button for a channel's settings names the channel alone."""
    return ConversationRef.from_key(f"{target}:")


def click(arrival: Arrival, button: Pressed, person: Person, when: datetime) -> Click:
    """A pressed button."""
    return Click(
        key=arrival.key,
        conversation=button.conversation,
        person=person,
        action=button.action,
        target=button.target,
        message=button.message,
        trigger=button.trigger,
        at=when,
    )


def feedback(arrival: Arrival, button: Pressed, person: Person, when: datetime) -> Feedback | None:
    """What somebody thinks of an answer; None: the value is not one of ours."""
    word, _, target = button.target.partition("\n")
    if word not in ("good", "bad") or not target:
        return None
    return Feedback(
        key=arrival.key,
        conversation=button.conversation,
        person=person,
        target=target,
        good=word == "good",
        at=when,
    )


def stop(
    arrival: Arrival,
    conversation: ConversationRef,
    person: Person,
    run_id: str,
    *,
    quiet: bool,
    when: datetime,
) -> Click:
    """A reaction, or Slack's own Stop button, as a press of Stop."""
    return Click(
        key=arrival.key,
        conversation=conversation,
        person=person,
        action="stop",
        target=run_id,
        quiet=quiet,
        at=when,
    )


def withdrawal(arrival: Arrival, person: Person) -> Withdrawal | None:
    """A deleted message; None: it was none."""
    gone = deleted(arrival.payload)
    if gone is None:
        return None
    return Withdrawal(
        key=arrival.key,
        turn_key=message_key(arrival.team, gone.channel, gone.ts),
        conversation=conversation_at(arrival.team, gone.channel, gone.thread),
        person=person,
        at=at(stamp(mapping(arrival.payload.get("event")), "event_ts")),
    )


def command(arrival: Arrival, person: Person, when: datetime) -> Command:
    """Words after `/quartet`. Slack has no slash commands in threads: the channel is the conversation."""
    return Command(
        key=arrival.key,
        conversation=conversation_at(arrival.team, place(arrival.payload)[0]),
        person=person,
        text=command_words(arrival.payload),
        at=when,
    )


def command_words(payload: Payload) -> str:
    """What was typed after `/quartet`; "help" for nothing."""
    return command_text(text(payload, "text"), {}) or "help"


def asked_for(words: str) -> tuple[str, str | None] | None:
    """The text of a turn that a command asks for, and its workflow; None: another command."""
    first, _, rest = words.strip().partition(" ")
    rest = rest.strip()
    if first.lower() == "ask" and rest:
        return rest, None
    word = first.lower().rstrip(":")
    if word in ("team", "design") and rest:
        return rest, word
    if first.lower() == "run":
        workflow, _, wish = rest.partition(" ")
        if workflow and wish.strip():
            return wish.strip(), workflow
    return None


def about(author: str, quoted: str, words: str) -> str:
    """The message that somebody asks about, as it goes below their own words; "" where they repeat it.

    It is another person's text: it stands in quotation marks, under that person's name.
    """
    quoted = quoted.strip()[:LONGEST_QUOTE]
    if not quoted or quoted in words:
        return ""
    inner = quoted.replace("“", "‘").replace("”", "’")
    return f"About this message by {' '.join(author.split())[:80]}: “{inner}”"


def form_input(
    arrival: Arrival,
    form_id: str,
    conversation: ConversationRef,
    values: Mapping[str, str],
    person: Person,
    when: datetime,
) -> FormInput:
    """A form that was sent."""
    return FormInput(
        key=arrival.key,
        conversation=conversation,
        person=person,
        form_id=form_id,
        values={name: clean_text(value) for name, value in values.items()},
        at=when,
    )


def received(epoch_s: float) -> datetime:
    """A time of the inbox as an aware one, UTC."""
    return datetime.fromtimestamp(epoch_s, UTC)
