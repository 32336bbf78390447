"""Draw a person's App Home: what waits for them, their runs, the month's usage, their channels. Pure.

Slack shows Markdown, tables and plans in messages alone: here all is plain words and rich text.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.contract import ConversationRef, Home, HomeChannel, HomeQuestion, HomeRun
from adapters.plain import clean_text
from adapters.slack.outbound import cleaned, marked
from adapters.slack.parts import action_blocks, context, plain_object, section, text_of, words
from adapters.slack.pieces import Block, rich_block
from adapters.slack.text import shortened

MOST_BLOCKS = 100
QUESTIONS = 8
RUNS = 10
CHANNELS = 8
SHOWN = 700  # characters of a question: the rest stands in its conversation


def draw_home(home: Home) -> Block:
    """The view of type home, at most 100 blocks. Long lists are cut and say how much more there is.

    Raises:
        CardRefused: a button's target is longer than Slack carries.
    """
    blocks: list[Block] = [
        _header("Waiting for your decision"),
        *_questions(home.questions),
        _header("Your runs"),
        *_runs(home.runs),
        _header("Usage this month"),
        *_facts(home.usage.facts, "Nothing was used this month."),
    ]
    if home.channels:
        blocks += [_header("Channels you look after"), *_channels(home.channels)]
    if home.label.strip():
        blocks.append(context([shortened(clean_text(home.label), 200)]))
    return {"type": "home", "blocks": blocks[:MOST_BLOCKS]}


def _questions(questions: Sequence[HomeQuestion]) -> list[Block]:
    if not questions:
        return [context(["Nothing waits for you. Approvals that you may decide appear here."])]
    blocks: list[Block] = []
    for question in questions[:QUESTIONS]:
        blocks += _question(question)
    return blocks + _more(len(questions) - QUESTIONS, "approval waits", "approvals wait")


def _question(question: HomeQuestion) -> list[Block]:
    card = cleaned(question.card)
    title = shortened(card.title, 200).strip() or "Approval"
    small = [shortened(bit, 200) for bit in (marked(card.status), card.label) if bit.strip()]
    where = _place(question.conversation)
    return [
        rich_block([section(words(title, bold=True), *([words(" in "), where] if where else []))]),
        *([context(small)] if small else []),
        *_brief(text_of(*card.parts)),
        *action_blocks(card.buttons, f"\n{question.conversation.key}"),
    ]


def _brief(text: str) -> list[Block]:
    """The beginning of what is asked."""
    if not text.strip():
        return []
    blocks = [rich_block([section(words(shortened(text, SHOWN)))])]
    return blocks if len(text) <= SHOWN else [*blocks, context(["There is more: see the conversation."])]


def _runs(runs: Sequence[HomeRun]) -> list[Block]:
    if not runs:
        return [
            context(["You have asked for nothing yet. Mention Quartet in a channel, or write to it here."])
        ]
    blocks = [_run(run) for run in runs[:RUNS]]
    return blocks + _more(len(runs) - RUNS, "run", "runs")


def _run(run: HomeRun) -> Block:
    title = shortened(" ".join(clean_text(run.title).split()), 200) or run.run_id
    at = f"{run.at:%Y-%m-%d %H:%M} UTC"
    where = _place(run.conversation)
    said = f" · {shortened(clean_text(run.status), 200)} · {at}"
    return rich_block(
        [section(words(title, bold=True), words(said), *([words(" · "), where] if where else []))]
    )


def _channels(channels: Sequence[HomeChannel]) -> list[Block]:
    blocks: list[Block] = []
    for channel in channels[:CHANNELS]:
        try:
            conversation = ConversationRef.from_key(f"{channel.channel_key}:")
        except ValueError:
            conversation = None
        where = (_place(conversation) if conversation else None) or words(channel.channel_key, bold=True)
        key = conversation.key if conversation else channel.channel_key
        blocks.append(rich_block([section(where)]))
        blocks += _facts(channel.facts, "The settings are the defaults.")
        blocks += action_blocks([channel.button], f"\n{key}")
    return blocks + _more(len(channels) - CHANNELS, "channel", "channels")


def _facts(facts: Sequence[tuple[str, str]], none: str) -> list[Block]:
    said = [shortened(clean_text(f"{label}: {value}"), 300) for label, value in facts]
    if not said:
        return [context([none])]
    kept = said if len(said) <= 10 else [*said[:9], f"and {len(said) - 9} more"]
    return [context(kept)]


def _place(conversation: ConversationRef) -> Block | None:
    """The channel's name as Slack shows it; None for direct messages and other platforms."""
    if conversation.platform != "slack" or not conversation.channel.startswith(("C", "G")):
        return None
    return {"type": "channel", "channel_id": conversation.channel}


def _header(text: str) -> Block:
    return {"type": "header", "text": plain_object(text, 150)}


def _more(count: int, one: str, several: str) -> list[Block]:
    return [context([f"and {count} more {one if count == 1 else several}"])] if count > 0 else []
