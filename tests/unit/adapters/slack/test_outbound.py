"""Cards as Slack messages: nothing is lost, every limit is kept, nobody is rung by what is only text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block
from syrupy.assertion import SnapshotAssertion

from adapters.contract import (
    AgentRow,
    Button,
    Card,
    CardId,
    CardPart,
    FactsPart,
    FilePart,
    ImagePart,
    MarkdownPart,
    NotesPart,
    PlanPart,
    RowsPart,
    SourceLine,
    SourcesPart,
    TaskLine,
)
from adapters.errors import CardRefused
from adapters.plain import card_text, clean_text
from adapters.slack.outbound import MESSAGES, SlackMessage, cleaned, draw, draw_note, joined
from adapters.slack.text import JOINER, plain
from tests.twins.slack.blocks import characters, check_message_blocks
from tests.unit.adapters.strategies import PNG, cards
from tests.unit.adapters.test_plain import texts

Json = dict[str, Any]

SPICE = st.sampled_from(
    [
        "<!channel>", "<@U123>", "<!subteam^S1>", "@here", "<https://evil.example|bank>", "&lt;!here&gt;",
        "&amp;", "```\n", "````", "~~~\n", "`", "``", "\n\n", "\n", "| a | b |\n|---|---|\n| 1 | 2 |\n", "- ",
        "> ", "    ", "# ", "*", "_", "[x](javascript:y)", "[x]: http://e.example\n", "\\", "😀", "\u202eabc",
        "\u200b", "\ud800", "\x00", "\r\n", "\r", "&", "<", ">", "|", "x" * 900, "word " * 300, "`" * 700,
        "&<>" * 400, "x=1\n" * 1200,
    ]
)  # fmt: skip
HOSTILE = st.lists(st.one_of(SPICE, st.text(max_size=20)), max_size=25).map("".join)


def answer(*parts: CardPart, **more: Any) -> Card:
    fields = {"id": "r1:answer", "kind": "answer", "title": "Answer", "status": "done", **more}
    return Card.model_validate({**fields, "parts": parts})


def check(messages: Sequence[SlackMessage]) -> None:
    """Slack's limits, by slack_sdk's models, by the twin, and by the numbers that it documents."""
    parse = cast("Callable[[Json], Block]", Block.parse)
    for message in messages:
        assert 1 <= len(message.text) <= 40_000
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", message.text)
        assert 1 <= len(message.blocks) <= 50
        for block in message.blocks:
            cast("Callable[[], Json]", parse(json.loads(json.dumps(block))).to_dict)()
            assert "block_id" not in block
        check_message_blocks(message.blocks)
        assert sum(len(b["text"]) for b in message.blocks if b["type"] == "markdown") <= 12_000
        assert characters(message.blocks) <= 13_000
        assert all(file.content and file.name and "/" not in file.name for file in message.files)


def seen(messages: Sequence[SlackMessage]) -> str:
    """All that is on the screen or in the files, without what is put in to part mentions."""
    shown: list[str] = []

    def walk(value: object) -> None:
        if isinstance(value, Mapping):
            for key, inner in cast("Mapping[str, object]", value).items():
                if key not in ("type", "action_id", "value", "style", "accessibility_label"):
                    walk(inner)
        elif isinstance(value, list):
            for inner in cast("list[object]", value):
                walk(inner)
        elif isinstance(value, str):
            shown.append(value)

    for message in messages:
        walk(message.blocks)
        shown += [f.alt if isinstance(f.content, bytes) else f.content for f in message.files]
    return "\n".join(shown).replace(JOINER, "")


def blocks_of(messages: Sequence[SlackMessage], kind: str) -> list[Json]:
    return [block for message in messages for block in message.blocks if block["type"] == kind]


# ── nothing is lost, no limit is broken ──────────────────────────────────────────────────────


@settings(max_examples=150, deadline=None)
@given(text=HOSTILE)
def test_any_markdown_comes_back_from_the_texts_exactly(text: str) -> None:
    messages = draw(answer(MarkdownPart(text=text)))
    check(messages)
    assert clean_text(text) in joined(messages)


@settings(max_examples=40, deadline=None)
@given(text=HOSTILE.filter(bool), size=st.integers(1, 100_000))
def test_markdown_of_any_length_keeps_every_limit(text: str, size: int) -> None:
    long = (text * (size // len(text) + 1))[:size]
    messages = draw(answer(MarkdownPart(text=long)))
    check(messages)
    assert clean_text(long) in joined(messages)
    if len(messages) > MESSAGES:
        assert clean_text(long) in str(messages[-1].files[-1].content)


@pytest.mark.parametrize(
    "text",
    [
        "`" * 50_000,
        "` " * 50_000,
        "&" * 100_000,
        "<!channel>" * 10_000,
        "\n" * 100_000,
        ">" * 100_000,
        "[" * 100_000,
        "| a | b |\n|---|---|\n" + "| x | y |\n" * 9_000,
        ("| a |\n|---|\n| x |\n\n") * 5_000,
        "```py\n" + "x = 1\n" * 16_000 + "```",
        "```\nx\n```\n" * 9_000,
        "".join("`" * n + " " for n in range(1, 440)),
        "<a:" * 33_000,
        "&#0" * 33_000,
    ],
    ids=lambda text: f"{text[:8]!r}",
)
def test_the_worst_hundred_thousand_characters_arrive(text: str) -> None:
    messages = draw(answer(MarkdownPart(text=text)))
    check(messages)
    assert text in joined(messages)
    assert len(messages) < 30


@settings(max_examples=60, deadline=None)
@given(card=cards(HOSTILE))
def test_every_card_keeps_every_limit_and_its_texts_are_its_plain_text(card: Card) -> None:
    try:
        messages = draw(card)
    except CardRefused:
        assert any(len(clean_text(button.target)) > 2_000 for button in card.buttons)
        return
    check(messages)
    if any(isinstance(part, FilePart) and len(part.text) > 3_000 for part in cleaned(card).parts):
        assert any(file.content for message in messages for file in message.files)
    else:
        assert joined(messages) == (card_text(cleaned(card)) or "(no text)")


@settings(deadline=None)
@given(card=cards(st.text(max_size=30)))
def test_every_text_of_a_card_is_on_the_screen_too(card: Card) -> None:
    messages = draw(card)
    check(messages)
    shown = re.sub(r"\s", "", seen(messages))
    for text in texts(cleaned(card)):
        if not re.search(r"[|\n]|---", text):  # cells and cut lines are compared below
            assert re.sub(r"\s", "", text.replace(JOINER, "")) in shown


def test_texts_stay_short_where_three_messages_hold_the_card() -> None:
    messages = draw(answer(MarkdownPart(text="A paragraph of words. " * 20)))
    assert len(messages) == 1
    long = "\n\n".join("A paragraph of words. " * 20 for _ in range(22))
    messages = draw(answer(MarkdownPart(text=long)))
    assert len(messages) == 3
    assert all(len(message.text) <= 3_900 for message in messages)
    assert not any(message.files for message in messages)


def test_text_and_blocks_of_a_message_cover_the_same_part() -> None:
    paragraphs = [f"Paragraph {n:03d}. " + "Words that say little. " * 12 for n in range(30)]
    messages = draw(answer(MarkdownPart(text="\n\n".join(paragraphs))))
    assert len(messages) > 1
    for message in messages:
        in_text = re.findall(r"Paragraph \d+", message.text)
        in_blocks = re.findall(r"Paragraph \d+", json.dumps(message.blocks))
        assert in_text == in_blocks
        assert in_text


def test_a_card_of_more_than_three_messages_is_attached_as_a_whole() -> None:
    card = answer(MarkdownPart(text="Some words here. " * 5_000))
    messages = draw(card)
    assert len(messages) > 3
    assert messages[-1].files[-1].content == card_text(card)
    assert messages[-1].files[-1].name == "answer.md"
    assert "answer.md" in json.dumps(messages[-1].blocks[-1])
    assert "Part 2 of" in json.dumps(messages[1].blocks[0])


def test_cards_that_are_edited_never_have_long_texts() -> None:
    tasks = tuple(TaskLine(id=f"t{n}", title="Do this & that " * 10, acceptance="x" * 400) for n in range(40))
    card = answer(PlanPart(goal="Much", tasks=tasks), kind="approval", title="Approve the plan?")
    messages = draw(card)
    check(messages)
    assert all(len(message.text) <= 3_900 for message in messages)
    assert joined(messages) == card_text(card)


def test_an_empty_card_is_still_a_message() -> None:
    messages = draw(Card(id=CardId("c"), kind="reply", title=""))
    check(messages)
    assert len(messages) == 1


# ── nobody is rung, nothing is hidden ────────────────────────────────────────────────────────


def test_mentions_in_every_place_ring_nobody() -> None:
    text = "<!channel> <@U1> <!subteam^S1|all> <#C1>"
    card = Card(
        id=CardId("c"),
        kind="approval",
        title=text,
        status=text,
        label=text,
        parts=(
            MarkdownPart(text=f"{text}\n\n| {text.replace('|', ' ')} |\n|---|\n| <!here> |"),
            RowsPart(rows=(AgentRow(name=text, state="working", doing=text),)),
            FactsPart(facts=((text, text),)),
            NotesPart(title=text, notes=(text,)),
        ),
        buttons=(Button(action="approve", target="a", label=text),),
    )
    for message in draw(card):
        assert "<" not in message.text
        for block in message.blocks:
            for kind, shown in _shown(block):
                if kind in ("markdown", "plain_text", "task_card", "plan"):
                    assert not re.search(r"<[!@#]", shown), (kind, shown)
                assert kind != "mrkdwn"


def _shown(value: object, kind: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        record = cast("dict[str, object]", value)
        inner = str(record.get("type", kind))
        return [pair for key, each in record.items() if key != "type" for pair in _shown(each, inner)]
    if isinstance(value, list):
        return [pair for each in cast("list[object]", value) for pair in _shown(each, kind)]
    return [(kind, value)] if isinstance(value, str) else []


def test_only_web_addresses_become_links() -> None:
    sources = (
        SourceLine(
            number=1, title="On bridges", url="https://example.org/a?b=1&c=2", quoted="An arch.\nTwo."
        ),
        SourceLine(number=2, title="Notes", url="knowledge/notes.md"),
        SourceLine(number=3, title="Bad", url="javascript:alert(1)"),
        SourceLine(number=4, title="Odd", url="https://[half"),
        SourceLine(number=5, title="https://bank.example", url="https://evil.example/x"),
    )
    messages = draw(answer(SourcesPart(sources=sources)))
    links = [e for e in _elements(messages) if e["type"] == "link"]
    assert [link["url"] for link in links] == ["https://example.org/a?b=1&c=2", "https://evil.example/x"]
    shown = seen(messages)
    assert "Notes (knowledge/notes.md)" in shown
    assert "Bad (javascript:alert(1))" in shown
    assert "(evil.example)" in shown  # a title may pretend; where it leads is said


def _elements(messages: Sequence[SlackMessage]) -> list[Json]:
    found: list[Json] = []
    for block in blocks_of(messages, "rich_text"):
        for outer in block["elements"]:
            for inner in outer["elements"]:
                found += inner.get("elements", [inner])
    return found


# ── how it looks ─────────────────────────────────────────────────────────────────────────────


EVERY_PART: tuple[CardPart, ...] = (
    RowsPart(
        rows=(
            AgentRow(
                name="Researcher", state="done", doing="round 2", seconds=12.0, tokens=4321, cost_usd=0.0123
            ),
            AgentRow(name="Planner", state="failed", doing="the model <!here> was lost", seconds=3.0),
            AgentRow(name="Builder", state="asking"),
            AgentRow(name="Reviewer", state="skipped"),
        )
    ),
    PlanPart(
        goal="Cross the river dry",
        tasks=(
            TaskLine(id="t1", title="Survey", acceptance="a map exists", state="done"),
            TaskLine(id="t2", title="Beams", depends_on=("t1",)),
        ),
        outline=("Where it stands",),
        risks=("the flood",),
    ),
    MarkdownPart(
        text="A **bold** start <!channel>\n\n"
        "| a | b |\n|:-:|--:|\n| `x` | [y](https://e.example) |\n| z | |\n\nEnd."
    ),
    SourcesPart(
        sources=(SourceLine(number=1, title="On Bridges", url="https://example.org/b", quoted="An arch."),)
    ),
    NotesPart(title="Review notes", notes=("the railing is missing", "paint it")),
    FilePart(name="src/bridge.txt", media_type="text/plain", text="beam one\n"),
    FactsPart(facts=(("Tokens", "9,876"), ("Cost", "$0.0456"))),
)


def test_status_card(snapshot: SnapshotAssertion) -> None:
    card = Card(
        id=CardId("r1:status"),
        kind="status",
        title="How do we cross?",
        status="waiting for approval",
        parts=(EVERY_PART[0], EVERY_PART[1], EVERY_PART[6]),
        buttons=(
            Button(action="pause", target="r1", label="Pause"),
            Button(action="stop", target="r1", label="Stop", style="danger"),
        ),
        label="engine: rules",
    )
    messages = draw(card)
    check(messages)
    assert _as_json(messages) == snapshot


def test_answer_card(snapshot: SnapshotAssertion) -> None:
    card = answer(*EVERY_PART[2:], label="engine: rules", feedback="r1")
    messages = draw(card)
    check(messages)
    assert joined(messages) == card_text(card)
    assert _as_json(messages) == snapshot


def test_approval_card_that_was_decided(snapshot: SnapshotAssertion) -> None:
    card = Card(
        id=CardId("r1:approval:a1"),
        kind="approval",
        title="Approve the plan?",
        status="approved by Ada",
        parts=(EVERY_PART[1], FactsPart(facts=(("Decided", "2026-05-04 10:30:00 UTC"),))),
    )
    messages = draw(card)
    check(messages)
    assert _as_json(messages) == snapshot


def _as_json(messages: Sequence[SlackMessage]) -> list[Json]:
    return [
        {"text": m.text, "blocks": m.blocks, "files": [(f.name, f.title, f.content) for f in m.files]}
        for m in messages
    ]


def test_states_of_agents_are_said_in_words() -> None:
    plan = blocks_of(draw(answer(EVERY_PART[0], kind="status")), "plan")[0]
    assert [(task["title"], task["status"]) for task in plan["tasks"]] == [
        ("Researcher: done", "complete"),
        ("Planner: failed", "error"),
        ("Builder: asking", "in_progress"),
        ("Reviewer: skipped", "pending"),
    ]
    assert [task["task_id"] for task in plan["tasks"]] == [f"r1:answer#{n}" for n in range(4)]


def test_task_ids_count_on_over_several_lists_of_agents() -> None:
    part = RowsPart(rows=(AgentRow(name="A", state="done"), AgentRow(name="B", state="waiting")))
    plans = blocks_of(draw(answer(part, part)), "plan")
    assert [task["task_id"][-2:] for plan in plans for task in plan["tasks"]] == ["#0", "#1", "#2", "#3"]


def test_long_code_is_attached_and_pointed_to_and_still_in_the_text() -> None:
    code = "print('a line')\n" * 400
    text = f"Here it is.\n\n```python\n{code}```\n\nDone."
    messages = draw(answer(MarkdownPart(text=text)))
    check(messages)
    files = [file for message in messages for file in message.files]
    assert [(file.name, file.content) for file in files] == [("code-1.py", code)]
    assert "print('a line')" not in json.dumps([message.blocks for message in messages])
    assert "400 lines: in the attached file code-1.py" in seen(messages)
    assert text in joined(messages)


def test_short_code_stays_where_it_is_in_one_piece() -> None:
    code = "```python\n" + "x = 1  # words\n" * 150 + "```\n"
    text = "Before. " * 300 + "\n\n" + code + "\nAfter."
    messages = draw(answer(MarkdownPart(text=text)))
    assert any(code.strip() in block["text"] for block in blocks_of(messages, "markdown"))


def test_one_table_a_message_becomes_a_table_and_the_next_stays_readable() -> None:
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n"
    messages = draw(answer(MarkdownPart(text=f"One\n\n{table}\nTwo\n\n{table}")))
    check(messages)
    assert len(messages) == 1
    assert len(blocks_of(messages, "table")) == 1
    assert table.strip() in blocks_of(messages, "markdown")[1]["text"]


def test_files_are_attached_with_a_line_that_says_so() -> None:
    part = FilePart(name="src/app.py", media_type="text/x-python", text="x = 1\n" * 2_000)
    messages = draw(answer(part))
    check(messages)
    assert [(f.name, f.title, f.content) for f in messages[0].files] == [
        ("src_app.py", "src/app.py", part.text)
    ]
    assert "src/app.py" in joined(messages)
    assert "12,000 characters, attached" in seen(messages)


def test_buttons_of_one_kind_in_a_row_stay_apart() -> None:
    buttons = tuple(Button(action="approve", target=f"a{n}", label=f"Take {n}") for n in range(27))
    messages = draw(answer(kind="approval", buttons=buttons))
    check(messages)
    rows = blocks_of(messages, "actions")
    assert [len(row["elements"]) for row in rows] == [25, 2]
    assert rows[0]["elements"][3]["action_id"] == "quartet:approve:3"
    assert [e["value"] for row in rows for e in row["elements"]] == [f"a{n}" for n in range(27)]


def test_single_buttons_have_plain_action_ids_and_styles() -> None:
    buttons = (
        Button(action="approve", target="a1", label="Approve", style="primary"),
        Button(action="reject", target="a1", label="R" * 100, style="danger"),
        Button(action="edit", target="a1", label=" "),
    )
    elements = blocks_of(draw(answer(buttons=buttons)), "actions")[0]["elements"]
    assert [(e["action_id"], e["value"], e.get("style")) for e in elements] == [
        ("quartet:approve", "a1", "primary"),
        ("quartet:reject", "a1", "danger"),
        ("quartet:edit", "a1", None),
    ]
    assert len(elements[1]["text"]["text"]) == 75
    assert elements[2]["text"]["text"] == "edit"


def test_a_target_that_slack_cannot_carry_is_refused() -> None:
    with pytest.raises(CardRefused, match=r"longer than 2,000 characters"):
        draw(answer(buttons=(Button(action="approve", target="x" * 2_001, label="A"),)))


def test_feedback_buttons_carry_the_run() -> None:
    blocks = blocks_of(draw(answer(feedback="run7")), "context_actions")
    element = blocks[0]["elements"][0]
    assert element["action_id"] == "quartet:feedback"
    assert element["positive_button"]["value"] == "good\nrun7"
    assert element["negative_button"]["value"] == "bad\nrun7"


# ── notes ────────────────────────────────────────────────────────────────────────────────────


@given(text=HOSTILE)
def test_notes_are_one_message(text: str) -> None:
    message = draw_note(text)
    check([message])
    assert len(message.text) <= 3_905
    shown = plain(message.text)
    assert shown == (clean_text(text).strip() or "(no text)") or shown.endswith("…")


def test_picture_is_a_file_with_its_words_and_the_message_says_them_too() -> None:
    part = ImagePart(name="the ferry/2", alt="Load leads to Sail <now> & *fast*.", png=PNG)
    (message,) = draw(answer(part, kind="picture", title="The workflow"))
    check([message])
    (file,) = message.files
    assert isinstance(file.content, bytes)
    assert file.content.startswith(b"\x89PNG")
    assert (file.name, file.alt) == ("the_ferry_2.png", part.alt)
    assert part.alt in joined([message])
    assert part.alt not in str(message.blocks)  # the picture says it to the eye


def test_words_that_a_file_cannot_carry_are_on_the_screen() -> None:
    part = ImagePart(name="ferry", alt="Load leads to Sail. " * 100, png=PNG)
    messages = draw(answer(part, kind="picture"))
    check(messages)
    assert len(messages[0].files[0].alt) <= 1_000
    assert seen(messages).count("Load leads to Sail.") >= 100
