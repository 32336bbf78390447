"""Cards as Discord messages: nothing is lost, every limit is kept, nobody is rung by what is only text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
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
from adapters.discord.custom_ids import read
from adapters.discord.outbound import (
    MESSAGES,
    DiscordMessage,
    digest,
    draw,
    draw_note,
    mark,
    marks_in,
    plain,
)
from adapters.discord.text import JOINER, readable
from adapters.errors import CardRefused
from adapters.plain import card_text
from tests.unit.adapters.discord.drawing import (
    Json,
    buttons,
    check,
    components,
    outside_code,
    rings,
    seen,
    shown,
    texts,
)
from tests.unit.adapters.strategies import PNG, cards

SPICE = st.sampled_from(
    [
        "@everyone", "@here", "<@1234567890>", "<@&12345>", "<#12345>", "</run:12345>", "<id:guide>",
        "<t:1700000000:R>", "<:smile:12345>", "<a:wave:12345>", ":smile:", "<https://evil.example|bank>",
        "||", "-# ", "# ", "### ", ">>> ", "> ", "- ", "1. ", "**", "*", "__", "_", "~~", "`", "``", "```\n",
        "````", "~~~\n", "\n\n", "\n", "| a | b |\n|---|---|\n| 1 | 2 | 3 |\n", "    ", "[x](javascript:y)",
        "[https://bank.example](https://evil.example)", "[x]: http://e.example\n", "https://e.example/a_b*c",
        "https://discord.gg/abc", "discord.com/invite/abc", "\\", "😀", "\u202eabc", "\u2066", "\u200b",
        "\ud800", "\x00", "\r\n", "&lt;@1&gt;", "&amp;", "<", ">", "|", "x" * 900, "word " * 300, "`" * 700,
        "😀" * 800, "x=1\n" * 1200, "<@12345", ">", "everyone", "@",
    ]
)  # fmt: skip
HOSTILE = st.lists(st.one_of(SPICE, st.text(max_size=20)), max_size=25).map("".join)


def answer(*parts: CardPart, **more: Any) -> Card:
    fields = {"id": "r1:answer", "kind": "answer", "title": "Answer", "status": "done", **more}
    return Card.model_validate({**fields, "parts": parts})


def words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", readable(text)))


def of_kind(messages: Sequence[DiscordMessage], kind: int) -> list[Json]:
    return [part for message in messages for part in components(message.body) if part["type"] == kind]


# ── nothing is lost, no limit is broken ──────────────────────────────────────────────────────


@settings(max_examples=100, deadline=None)
@given(text=HOSTILE)
def test_every_word_of_any_markdown_is_shown_or_attached(text: str) -> None:
    messages = draw(answer(MarkdownPart(text=text)))
    check(messages)
    said = re.sub(r"[\W_]", "", seen(messages))
    assert all(word in said for word in words(re.sub("&(?:lt|gt|amp);", " ", text)))


@settings(max_examples=25, deadline=None)
@given(text=HOSTILE.filter(bool), length=st.integers(1, 60_000))
def test_markdown_of_any_length_keeps_every_limit(text: str, length: int) -> None:
    long = (text * (length // len(text) + 1))[:length]
    messages = draw(answer(MarkdownPart(text=long)))
    check(messages)
    assert len(messages) <= MESSAGES


@pytest.mark.parametrize(
    "text",
    [
        "`" * 50_000,
        "` " * 50_000,
        "&" * 100_000,
        "😀" * 50_000,
        "\n" * 100_000,
        ">" * 100_000,
        "> " * 50_000,
        "- " * 50_000,
        "[" * 50_000,
        "*a " * 30_000,
        "![](" * 25_000,
        "| a | b |\n|---|---|\n" + "| x | y |\n" * 9_000,
        ("| a |\n|---|\n| x |\n\n") * 5_000,
        "```py\n" + "x = 1\n" * 16_000 + "```",
        "```\nx\n```\n" * 9_000,
        "".join("`" * n + " " for n in range(1, 440)),
        "<a:" * 33_000,
        "&#0" * 33_000,
        "https://e.example/" + "x" * 90_000,
    ],
    ids=lambda text: f"{text[:8]!r}",
)
def test_the_worst_hundred_thousand_characters_arrive(text: str) -> None:
    messages = draw(answer(MarkdownPart(text=text)))
    check(messages)
    assert len(messages) <= MESSAGES
    attached = "".join(file.content.decode() for message in messages for file in message.files)
    on_screen = "".join(map(shown, texts(messages)))
    assert text.strip() in attached or words(text) <= words(attached + on_screen)


@settings(max_examples=60, deadline=None)
@given(card=cards(HOSTILE))
def test_every_card_keeps_every_limit_or_is_refused_for_its_target(card: Card) -> None:
    try:
        messages = draw(card)
    except CardRefused:
        assert any(len(f"q:{button.action}:{button.target}") > 100 for button in card.buttons)
        return
    check(messages)
    assert not any(rings(text) for text in texts(messages))


@settings(max_examples=60, deadline=None)
@given(card=cards(st.text(max_size=30)))
def test_every_word_of_a_card_is_drawn(card: Card) -> None:
    messages = draw(card)
    check(messages)
    said = re.sub(r"[\W_]", "", seen(messages))
    alone = card.model_copy(update={"buttons": ()})
    assert all(word in said for word in words(card_text(alone)) - {"File", "Title", "Sources", "Goal"})


def test_a_long_answer_is_parted_at_paragraphs() -> None:
    paragraphs = [f"Paragraph {n:03d}. " + "Words that say little. " * 12 for n in range(30)]
    messages = draw(answer(MarkdownPart(text="\n\n".join(paragraphs))))
    check(messages)
    assert len(messages) == 3
    assert not any(message.files for message in messages)
    said = [re.findall(r"Paragraph \d+", text) for text in texts(messages)]
    assert [one for part in said for one in part] == [f"Paragraph {n:03d}" for n in range(30)]
    assert "Part 2 of 3" in texts(messages[1:2])[0]
    bodies = [text.split("\n", 1)[1] for text in texts(messages[1:])]
    assert all(body.startswith("Paragraph") for body in bodies)


def test_code_that_is_cut_is_closed_and_opened_again() -> None:
    code = "".join(f"line_{n} = {n}\n" for n in range(170))
    messages = draw(answer(MarkdownPart(text=f"{'Words. ' * 400}\n\n```py\n{code}```\nEnd")))
    check(messages)
    assert len(messages) == 2
    for text in texts(messages):
        assert text.count("```") % 2 == 0
    assert "```py\nline_" in texts(messages[1:])[0]


def test_an_answer_of_more_than_three_messages_is_attached_whole_and_keeps_its_sources_and_buttons() -> None:
    sources = SourcesPart(sources=(SourceLine(number=1, title="On Bridges", url="https://example.org/b"),))
    card = answer(MarkdownPart(text="Some words here. " * 5_000), sources, feedback="r1")
    messages = draw(card)
    check(messages)
    assert len(messages) == MESSAGES
    file = messages[-1].files[-1]
    assert (file.name, file.content.decode()) == ("answer.md", card_text(card))
    last = "\n".join(texts(messages[-1:]))
    assert "\n…" in last
    assert "[On Bridges](<https://example.org/b>)" in last
    assert "answer.md" in last
    assert [button["custom_id"] for button in buttons(messages)] == ["q:good:r1", "q:bad:r1"]
    assert [button["custom_id"] for button in buttons(messages[-1:])] == ["q:good:r1", "q:bad:r1"]


def test_code_too_long_to_read_is_attached_as_it_was_written() -> None:
    code = "x = '```' \u202e\n" * 600
    messages = draw(answer(MarkdownPart(text=f"See:\n\n~~~python\n{code}~~~\n\nEnd.")))
    check(messages)
    assert [(file.name, file.content.decode()) for file in messages[0].files] == [
        ("code.py", code.replace("\u202e", ""))
    ]
    assert "Code (python), 600 lines, attached: code.py" in texts(messages)[-2]


def test_what_a_command_asks_for_is_read_line_by_line_and_no_small_print() -> None:
    facts = (("ask TEXT", "start a turn"), ("stop [RUN]", "end a run *now*"), ("status", "a\nb"))
    [message] = draw(Card(id=CardId("c"), kind="reply", title="Commands", parts=(FactsPart(facts=facts),)))
    check([message])
    assert texts([message]) == [
        "### Commands",
        r"**ask TEXT** start a turn" "\n" r"**stop \[RUN\]** end a run \*now\*" "\n**status** a\nb",
    ]


def test_a_few_figures_below_an_answer_are_small_print_and_many_are_not() -> None:
    def drawn_facts(count: int) -> str:
        facts = tuple((f"Fact {n}", "x") for n in range(count))
        return texts(draw(answer(FactsPart(facts=facts))))[-1]

    assert drawn_facts(2) == "-# Fact 0: x · Fact 1: x"
    assert drawn_facts(9).split("\n") == [f"**Fact {n}:** x" for n in range(9)]


def test_an_end_is_said_in_one_word() -> None:
    def head(title: str, status: str) -> str:
        return texts(draw(Card(id=CardId("c"), kind="reply", title=title, status=status, label="l")))[0]

    assert head("Rejected", "rejected") == "-# ⛔ Rejected · l"
    assert head("Stopped", "failed") == "-# Stopped · ❌ failed · l"


def test_an_empty_card_is_still_a_message() -> None:
    messages = draw(Card(id=CardId("c"), kind="reply", title=""))
    check(messages)
    assert len(messages) == 1


# ── nobody is rung, nothing is hidden, nothing is faked ──────────────────────────────────────

RINGING = "@everyone @here <@1> <@!1> <@&2> <#3> </run:4> <id:guide> <t:5:R> <:x:6> <a:x:7>"


def test_mentions_in_every_place_ring_nobody() -> None:
    card = Card(
        id=CardId("c"),
        kind="approval",
        title=RINGING,
        status=RINGING,
        label=RINGING,
        parts=(
            MarkdownPart(text=f"{RINGING}\n\n# {RINGING}\n\n- **{RINGING}**\n\n> {RINGING}"),
            RowsPart(rows=(AgentRow(name=RINGING, state="working", doing=RINGING),)),
            PlanPart(goal=RINGING, tasks=(TaskLine(id="t", title=RINGING, acceptance=RINGING),)),
            SourcesPart(sources=(SourceLine(number=1, title=RINGING, url=RINGING, quoted=RINGING),)),
            FactsPart(facts=((RINGING, RINGING),)),
            NotesPart(title=RINGING, notes=(RINGING,)),
            FilePart(name=RINGING, media_type=RINGING, text="x"),
        ),
        buttons=(Button(action="approve", target="a", label="A"),),
    )
    messages = draw(card)
    check(messages)
    for text in texts(messages):
        assert rings(text) == []
    assert seen(messages).count("@everyone") >= 14


def test_text_cannot_fake_our_titles_states_or_small_print() -> None:
    text = "-# ✅ approved by Ada\n\n# ✅ Approved\n\n## Title\n\n||hidden||\n\n>>> all\n\n**x**\n-# small"
    said = "\n".join(texts(draw(answer(MarkdownPart(text=text), title="")))[1:])
    assert not re.search(r"^-#|^#{1,2} |(?<!\\)\|\||^>>>", said, re.MULTILINE)
    assert "### ✅ Approved" in said
    assert r"\-\# ✅ approved by Ada" in said
    fact = draw(answer(FactsPart(facts=(("a", "b\n-# c\n## d"),)), NotesPart(title="n", notes=("x\n# y",))))
    assert not re.search(r"^(-# c|#+ )", "\n".join(texts(fact)), re.MULTILINE)


def test_only_web_addresses_become_links_and_say_where_they_lead() -> None:
    sources = (
        SourceLine(
            number=1, title="On bridges", url="https://example.org/a?b=1&c=2", quoted="An arch.\nTwo."
        ),
        SourceLine(number=2, title="Notes", url="knowledge/notes.md"),
        SourceLine(number=3, title="Bad", url="javascript:alert(1)"),
        SourceLine(number=4, title="Odd", url="https://[half"),
        SourceLine(number=5, title="https://bank.example", url="https://evil.example/x"),
        SourceLine(number=6, title="Join", url="https://discord.gg/abc"),
        SourceLine(number=7, title="Bank", url="https://bank.example@evil.example/"),
    )
    messages = draw(answer(SourcesPart(sources=sources)))
    check(messages)
    said = texts(messages)[-1].split("\n")
    assert said[:8] == [
        "**Sources**",
        r"\[1\] [On bridges](<https://example.org/a?b=1&c=2>) · example.org",
        "> An arch.",
        "> Two.",
        r"\[2\] Notes (knowledge/notes.md)",
        r"\[3\] Bad (javascript:alert(1))",
        rf"\[4\] Odd (https:{JOINER}//\[half)",
        r"\[5\] <https://bank.example> (<https://evil.example/x>)",
    ]
    assert said[8:] == [
        rf"\[6\] Join (https:{JOINER}//discord.{JOINER}gg/abc)",
        rf"\[7\] Bank (https:{JOINER}//bank.example@evil.example/)",
    ]


def test_no_address_stands_where_discord_would_preview_it() -> None:
    text = (
        "https://a.example/x, <https://b.example>, [c](https://c.example) and www.d.example\nhttp://e.example"
    )
    for part in (
        MarkdownPart(text=text),
        NotesPart(title="n", notes=(text,)),
        FactsPart(facts=((text, text),)),
    ):
        for said in texts(draw(answer(part))):
            assert not re.search(r"(?<!<)https?:/", outside_code(said)), said


# ── files ────────────────────────────────────────────────────────────────────────────────────


def test_names_of_files_are_safe_and_differ() -> None:
    names = (
        "../../etc/passwd",
        "bridge.txt",
        "BRIDGE.txt",
        "a b\u202e/ü ö.PY",
        "",
        ".env",
        "x" * 300 + ".md",
    )
    parts = [FilePart(name=name, media_type="text/plain", text=f"of {name}") for name in names]
    messages = draw(answer(*parts))
    check(messages)
    files = [file for message in messages for file in message.files]
    found = [file.name for file in files]
    assert found[:6] == ["passwd", "bridge.txt", "BRIDGE-2.txt", "u_o.PY", "file.txt", "env"]
    assert found[6].endswith("x.md")
    assert files[1].content == b"of bridge.txt"


def test_more_files_than_a_message_takes_go_into_further_messages() -> None:
    parts = [FilePart(name=f"f{n}.txt", media_type="text/plain", text=f"content {n}") for n in range(40)]
    messages = draw(answer(*parts))
    check(messages)
    attached = [file.content.decode() for message in messages for file in message.files]
    assert [text for text in attached if text.startswith("content")] == [f"content {n}" for n in range(40)]


def test_a_file_larger_than_discord_takes_goes_out_in_parts() -> None:
    text = "ü" * 6_000_000
    messages = draw(answer(FilePart(name="big.txt", media_type="text/plain", text=text)))
    check(messages)
    files = [file for message in messages for file in message.files]
    assert [file.name for file in files] == ["big.txt", "big-2.txt"]
    assert b"".join(file.content for file in files).decode() == text


def test_an_empty_file_is_said_and_not_attached() -> None:
    messages = draw(answer(FilePart(name="void.txt", media_type="text/plain", text="")))
    check(messages)
    assert "void.txt" in seen(messages)
    assert not messages[0].files


# ── how it looks ─────────────────────────────────────────────────────────────────────────────


EVERY_PART: tuple[CardPart, ...] = (
    RowsPart(
        rows=(
            AgentRow(
                name="Researcher", state="done", doing="round 2", seconds=12.0, tokens=4321, cost_usd=0.0123
            ),
            AgentRow(name="Planner", state="failed", doing="the model <@1> was lost", seconds=3.0),
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
        text="# Bridges\nA **bold** start @everyone\n\n"
        "| a | b |\n|:-:|--:|\n| `x` | [y](https://e.example) |\n| z | |\n\n1. one\n2. two\n   - deep\n\nEnd."
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
    messages = draw(answer(*EVERY_PART[2:], label="engine: rules", feedback="r1"))
    check(messages)
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


def _as_json(messages: Sequence[DiscordMessage]) -> list[Json]:
    return [
        {"body": json.loads(json.dumps(m.body)), "files": [(f.name, f.content.decode()) for f in m.files]}
        for m in messages
    ]


def test_states_of_agents_are_said_in_words() -> None:
    said = "\n".join(texts(draw(answer(EVERY_PART[0], kind="status"))))
    assert "✅ **Researcher**: done · round 2\n-# 12 s · 4,321 tokens · $0.0123" in said
    assert "❌ **Planner**: failed" in said
    assert "✋ **Builder**: asking" in said
    assert "➖ **Reviewer**: skipped" in said


@pytest.mark.parametrize(
    ("status", "sign", "colour"),
    [
        ("working", "⏳", 0x3B82F6),
        ("approved by Ada", "✅", 0x2E9E5B),
        ("rejected by Ada", "⛔", 0xD64545),
        ("waiting for your decision", "✋", 0xF0A020),
        ("something new", "", None),
    ],
)
def test_the_state_is_a_colour_a_sign_and_a_word(status: str, sign: str, colour: int | None) -> None:
    message = draw(answer(kind="status", status=status))[0]
    assert message.body["components"][0].get("accent_color") == colour
    assert f"{sign} {status}".strip() in texts([message])[0]


# ── buttons ──────────────────────────────────────────────────────────────────────────────────


def test_buttons_carry_what_they_stand_for_in_rows_of_five() -> None:
    given_buttons = (
        Button(action="approve", target="a1", label="Approve", style="primary"),
        Button(action="edit", target="a1", label=" "),
        Button(action="changes", target="a1", label="Ask for changes"),
        Button(action="reject", target="a1", label="R" * 100, style="danger"),
        Button(action="resume", target="r1", label="Resume", style="primary"),
        Button(action="settings", target="discord:123456789012345678:123456789012345678", label="Settings"),
    )
    messages = draw(answer(kind="approval", buttons=given_buttons))
    check(messages)
    assert [len(row["components"]) for row in of_kind(messages, 1)] == [5, 1]
    found = buttons(messages)
    assert [button["style"] for button in found] == [3, 2, 2, 4, 1, 2]
    assert [(p.action, p.target) for p in (read(b["custom_id"]) for b in found) if p] == [
        (button.action, button.target) for button in given_buttons
    ]
    assert found[1]["label"] == "edit"
    assert len(found[3]["label"]) <= 80


def test_buttons_that_mean_the_same_stand_there_once() -> None:
    twice = (
        Button(action="approve", target="a1", label="A"),
        Button(action="approve", target="a1", label="B"),
    )
    messages = draw(answer(kind="approval", buttons=twice))
    check(messages)
    assert [button["label"] for button in buttons(messages)] == ["A"]


def test_many_buttons_are_all_there() -> None:
    many = tuple(Button(action="approve", target=f"a{n}", label=f"Take {n}") for n in range(60))
    messages = draw(answer(kind="approval", buttons=many))
    check(messages)
    assert [button["custom_id"] for button in buttons(messages)] == [f"q:approve:a{n}" for n in range(60)]


def test_a_target_that_discord_cannot_carry_is_refused() -> None:
    with pytest.raises(CardRefused, match="longer than 100 characters"):
        draw(answer(buttons=(Button(action="approve", target="x" * 95, label="A"),)))


# ── marks ────────────────────────────────────────────────────────────────────────────────────


def test_a_message_tells_of_which_card_and_part_it_is() -> None:
    messages = draw(answer(MarkdownPart(text="Words that say little. " * 300)))
    assert [marks_in(message.body) for message in messages] == [mark("r1:answer", 0), mark("r1:answer", 1)]
    assert mark("r1:answer", 0) == 1357411152
    assert len({mark(f"r{n}:answer", part) for n in range(500) for part in range(3)}) == 1_500


@given(card_id=st.text(), part=st.integers(0, 9))
@example(card_id="\ud800", part=0)
def test_marks_are_what_discord_takes(card_id: str, part: int) -> None:
    assert 0 < mark(card_id, part) < 2**31


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["components", "type", "id", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(message=st.dictionaries(st.sampled_from(["components", "id"]), JUNK, max_size=2))
@example(message={"components": [{"type": 17, "id": True}]})
@example(message={"components": [{"type": 1, "id": 5}]})
def test_marks_of_strange_messages_are_none_or_numbers(message: Json) -> None:
    found = marks_in(message)
    assert found is None or type(found) is int


def test_the_digest_changes_with_what_is_shown_and_only_then() -> None:
    card = answer(EVERY_PART[5])
    first = [digest(message) for message in draw(card)]
    assert [digest(message) for message in draw(card)] == first
    changed = FilePart(name="src/bridge.txt", media_type="text/plain", text="beam two\n")
    assert [digest(message) for message in draw(answer(changed))] != first
    assert [digest(message) for message in draw(card.model_copy(update={"status": "failed"}))] != first


# ── notes and plain messages ─────────────────────────────────────────────────────────────────


@settings(deadline=None)
@given(text=HOSTILE)
def test_notes_arrive_whole(text: str) -> None:
    messages = draw_note(text)
    check(messages)
    assert len(messages) <= MESSAGES
    if len(messages) == 1 and messages[0].files:
        assert words(text) <= words(messages[0].files[0].content.decode())
    else:
        said = re.sub(r"[\W_]", "", "".join(map(shown, texts(messages))))
        assert all(word in said for word in words(text))


def test_a_note_names_channels_and_nothing_else() -> None:
    channel = "<#100000000000000002>"
    text = f"Worked on in {channel}, <@100000000000000002>, <#123>, <#abc> and `code`"
    for said in (texts(draw_note(text))[0], plain(text)["content"]):
        assert said.startswith(f"Worked on in {channel}, ")
        assert rings(said) == [channel]


@settings(deadline=None)
@given(text=HOSTILE)
@example(text="<#12345>")
def test_plain_messages_fit_and_ring_nobody(text: str) -> None:
    message = DiscordMessage(plain(text))
    check([message])
    assert rings(message.body["content"]) == []


def test_a_plain_message_that_is_too_long_says_so() -> None:
    found = plain("word " * 900)["content"]
    assert found.endswith("…")
    assert len(found) > 1_500
    assert plain(" ")["content"] == "–"


def test_picture_is_shown_with_its_description() -> None:
    part = ImagePart(name="the ferry", alt="Load leads to Sail <now> & *fast*.", png=PNG)
    (message,) = draw(Card(id=CardId("c"), kind="picture", title="The workflow", parts=(part,)))
    (gallery,) = [each for each in components(message.body) if each["type"] == 12]
    assert gallery["items"] == [
        {"media": {"url": "attachment://the_ferry.png"}, "description": f"Picture: {part.alt}"}
    ]
    assert [file.name for file in message.files] == ["the_ferry.png"]
    assert message.files[0].content.startswith(b"\x89PNG")


def test_picture_without_a_file_is_told_in_words() -> None:
    part = ImagePart(name="ferry", alt="Load leads to Sail. " * 100, png=PNG)
    drawn_ = draw(Card(id=CardId("c"), kind="picture", title="The workflow", parts=(part,)))
    assert shown("".join(texts(drawn_))).count("Load leads to Sail.") == 100
    none = draw(Card(id=CardId("c"), kind="picture", title="T", parts=(ImagePart(name="x", alt="Words."),)))
    assert not none[0].files
    assert "Words." in "".join(texts(none))
