"""Draw a person's own page: what waits for them, their runs, the month's usage, their channels. Pure.

Discord has no page for it: these are messages that the person alone sees. Their buttons lead to where a
question stands; settings open here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from adapters.contract import Card, ConversationRef, Home, HomeChannel, HomeQuestion, HomeRun
from adapters.discord.inline import Atom
from adapters.discord.outbound import COLOURS, DiscordMessage, container, marked
from adapters.discord.parts import (
    bold,
    button_rows,
    card_button,
    line,
    link_button,
    plain_atoms,
    small,
)
from adapters.discord.pieces import Component, Piece, drawn, packed, text_display
from adapters.discord.ports import DIRECT
from adapters.discord.text import is_seen, one_line
from adapters.errors import CardRefused
from adapters.plain import card_text, clipped
from adapters.splitting import Piece as Cut

QUESTIONS = 8
RUNS = 10
CHANNELS = 8
FACTS = 10
SHOWN = 400  # characters of a question: the rest stands in its conversation

_SNOWFLAKE = re.compile(r"[0-9]{15,20}")

Group = list[Cut | Component]  # what stands between two lines


def draw_home(home: Home, links: Mapping[str, str] | None = None) -> list[DiscordMessage]:
    """The page as messages for one person. Long lists are cut and say how much more there is.

    Args:
        home: the page.
        links: addresses of the questions' messages, by card id; without one, the conversation's is used.
    """
    groups: list[Group] = [
        *_questions(home.questions, links or {}, home.label),
        _runs(home.runs),
        _titled("Usage this month", _fact_lines(_usage(home), "Nothing was used this month.")),
        *_channels(home.channels),
    ]
    if said := small(clipped(home.label, 200)):  # above all, so that it takes no message of its own
        groups[0].insert(0, Cut("", f"{said}\n", ""))
    pieces: list[Piece] = []
    for number, group in enumerate(groups):
        for one in group:
            if isinstance(one, Cut):
                pieces.append(Piece(cut=one, group=number))
            else:
                pieces += button_rows([one], number)
    colour = COLOURS["waiting"] if home.questions else None
    return [
        DiscordMessage(container(drawn(part, []) or [text_display("")], colour=colour))
        for part in packed(pieces)
    ]


# ── the parts of the page ────────────────────────────────────────────────────────────────────


def _questions(questions: Sequence[HomeQuestion], links: Mapping[str, str], page_label: str) -> list[Group]:
    if not questions:
        said = "Nothing waits for you. Approvals that you may decide appear here."
        return [_titled("Waiting for your decision", [Cut("", f"\n{said}", "")])]
    found: list[Group] = [_titled("Waiting for your decision", [])]
    found += [
        _question(question, links.get(question.card.id, ""), page_label) for question in questions[:QUESTIONS]
    ]
    return [*found, [*_more(len(questions) - QUESTIONS, "approval waits", "approvals wait")]]


def _question(question: HomeQuestion, address: str, page_label: str) -> Group:
    card = question.card
    title = clipped(one_line(card.title), 200)
    place = _place(question.conversation)
    said: Group = [
        *line("", bold(title if is_seen(title) else "Approval"), [Atom(f" in {place}" if place else "")])
    ]
    label = "" if card.label == page_label else clipped(card.label, 200)  # the page's own says it already
    if status := small(clipped(marked(card.status), 200), label):
        said.append(Cut("", f"\n{status}", ""))
    asked = card_text(Card.model_construct(title="", status="", label="", parts=card.parts, buttons=()))
    if is_seen(asked):
        said += line("\n", plain_atoms(clipped(asked.strip(), SHOWN)))
    where = address or _address(question.conversation)
    return [*said, link_button("Open the question", where)] if where else said


def _runs(runs: Sequence[HomeRun]) -> Group:
    if not runs:
        said = "You have asked for nothing yet. Mention Quartet in a channel, or write to it directly."
        return _titled("Your runs", [Cut("", f"\n{said}", "")])
    lines = [cut for run in runs[:RUNS] for cut in _run(run)]
    return _titled("Your runs", [*lines, *_more(len(runs) - RUNS, "run", "runs", "\n")])


def _run(run: HomeRun) -> list[Cut]:
    title = clipped(one_line(run.title), 200)
    place = _place(run.conversation)
    said = f" · {clipped(one_line(run.status), 100)} · {run.at:%Y-%m-%d %H:%M} UTC"
    return line(
        "\n- ",
        bold(title if is_seen(title) else run.run_id),
        [Atom(" ")],
        plain_atoms(said),
        [Atom(f" · {place}" if place else "")],
    )


def _channels(channels: Sequence[HomeChannel]) -> list[Group]:
    if not channels:
        return []
    found: list[Group] = [_titled("Channels you look after", [])]
    found += [_channel(channel) for channel in channels[:CHANNELS]]
    return [*found, [*_more(len(channels) - CHANNELS, "channel", "channels")]]


def _channel(channel: HomeChannel) -> Group:
    try:
        place = _place(ConversationRef.from_key(f"{channel.channel_key}:"))
    except ValueError:
        place = ""
    named = [Atom(place)] if place else bold(clipped(channel.channel_key, 100))
    said: Group = [*line("", named), *_fact_lines(channel.facts, "The settings are the defaults.")]
    try:
        return [*said, card_button(channel.button)]
    except CardRefused:  # a key that is no channel of Discord's
        return said


def _usage(home: Home) -> Sequence[tuple[str, str]]:
    """The month's figures; where they are all of what the page's label names, without its name."""
    facts = home.usage.facts
    if len(facts) == 1 and facts[0][0] == home.label:
        return [("", facts[0][1])]
    return facts


def _fact_lines(facts: Sequence[tuple[str, str]], none: str) -> list[Cut]:
    kept = [clipped(one_line(f"{label}: {value}" if label else value), 200) for label, value in facts[:FACTS]]
    if len(facts) > FACTS:
        kept.append(f"and {len(facts) - FACTS} more")
    found = [Cut("", f"\n{said}", "") for said in map(small, kept) if said]
    return found or [Cut("", f"\n{small(none)}", "")]


def _titled(title: str, lines: Sequence[Cut]) -> Group:
    return [Cut("", f"### {title}", ""), *lines]


def _more(count: int, one: str, several: str, lead: str = "") -> list[Cut]:
    said = small(f"and {count} more {one if count == 1 else several}")
    return [Cut("", f"{lead}{said}", "")] if count > 0 else []


def _channel_id(conversation: ConversationRef) -> str:
    found = conversation.thread or conversation.channel
    return found if conversation.platform == "discord" and _SNOWFLAKE.fullmatch(found) else ""


def _place(conversation: ConversationRef) -> str:
    """The channel as Discord names it for who reads; "" for direct messages and other platforms."""
    found = _channel_id(conversation)
    return f"<#{found}>" if found and conversation.workspace != DIRECT else ""


def _address(conversation: ConversationRef) -> str:
    found, guild = _channel_id(conversation), conversation.workspace
    known = guild == DIRECT or _SNOWFLAKE.fullmatch(guild)
    return f"https://discord.com/channels/{guild}/{found}" if found and known else ""
