"""Untrusted text rings nobody and hides nothing, and code stays as it was written."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from adapters.slack.text import (
    JOINER,
    cut_escaped,
    markdown_length,
    neutral,
    neutral_length,
    neutral_markdown,
    plain,
    shielded,
    shortened,
)

BITS = st.sampled_from(
    [
        "<!channel>", "<@U1>", "<", ">", "`", "``", "```", "```\n", "\n```\n", "~~~\n", "\n", "\n\n", "|",
        "\\", "- ", "> ", "    ", "1. ", "a", " ", "[a](", ")", "](x`", "&lt;", "&#60;", "<!--", "-->",
        "[a]:",
        "\t",
    ]
)  # fmt: skip
MARKUP = st.lists(BITS, max_size=14).map("".join)
READER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


@given(text=st.one_of(st.text(), MARKUP))
def test_neutral_text_can_be_read_back_and_holds_no_markup(text: str) -> None:
    assert plain(neutral(text)) == text
    assert len(neutral(text)) == neutral_length(text)
    assert "<" not in neutral(text)
    assert ">" not in neutral(text)


def test_what_people_typed_as_escapes_is_not_mistaken_for_ours() -> None:
    assert plain(neutral("&lt;!channel&gt; &amp;lt;")) == "&lt;!channel&gt; &amp;lt;"


@example(text="a\n<<", limit=6)
@given(text=st.one_of(st.text(alphabet="ab&<>\n ", max_size=300), st.text()), limit=st.integers(5, 60))
def test_cut_parts_are_short_when_escaped_and_joined_are_the_text(text: str, limit: int) -> None:
    parts = cut_escaped(text, limit)
    assert "".join(parts) == text
    assert all(part and neutral_length(part) <= limit for part in parts)


def test_cuts_fall_after_lines() -> None:
    assert cut_escaped("one two\nthree four\nfive", 20) == ["one two\nthree four\n", "five"]


@settings(max_examples=600)
@given(text=MARKUP)
def test_no_reading_of_the_markdown_finds_a_mention_outside_code(text: str) -> None:
    neutralised = neutral_markdown(text)
    assert neutralised.replace(JOINER, "") == text
    assert len(neutralised) <= markdown_length(text)
    for token in READER.parse(neutralised):
        for child in token.children or []:
            if child.type == "text":
                assert not re.search(r"<[!@#]", child.content), (text, neutralised)


@pytest.mark.parametrize(
    "text",
    [
        "<!channel>",
        "<@U123|ada>",
        "<#C1>",
        "<!subteam^S1>",
        r"<\!channel>",
        r"\<!channel>",
        "&lt;!channel&gt;",
        "&#60;!channel>",
        "&#x3C;!here>",
        "<&#33;channel>",
        "<https://evil.example|bank.example>",
        "`unfinished <!channel>",
        "a ` b\n`<!channel>`",
        "| a ` b | <!channel> ` |\n|---|---|\n",
        "[a](x`) <!channel> [b](y`)",
        "<https://x.example/`> <!channel> `",
        "- ```\n<!channel>\n```",
        "~~~\n```\n~~~\n<!channel>\n```\n",
        "```\n<!channel>",
        "```\n```py\n<!channel>\n```",
    ],
)
def test_what_would_ring_somebody_in_any_reading_is_parted(text: str) -> None:
    assert JOINER in neutral_markdown(text)
    assert "<!channel" not in neutral_markdown(text)


@pytest.mark.parametrize(
    "text",
    [
        "`<!channel>` is how Slack writes it",
        "```\n<!channel> <@U1> [a](b)\n```",
        "Run:\n\n```python\nif a <b and `c`: print('<@U1>')\n```\n\nand `<!here>`.",
        "``a ` <!channel>``",
        "`a`\n`<@U1>`",
    ],
)
def test_code_stays_as_it_was_written(text: str) -> None:
    assert neutral_markdown(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "a < b, a <= b, a << 2, <div>, </div>, a <- b",
        "<https://example.org/a?b=1>",
        "[words](https://example.org) and [mail](mailto:a@b.example)",
        "ada@channel.example",
        "- ```cpp\n  #include <vector>\n  ```",
        "list[0] and [1]",
    ],
)
def test_ordinary_text_stays_as_it_was_written(text: str) -> None:
    assert neutral_markdown(text) == text


def test_links_that_lead_elsewhere_than_the_web_are_shown_not_made() -> None:
    assert neutral_markdown("[a](javascript:x)") == f"[a]{JOINER}(javascript:x)"
    assert neutral_markdown("[a](slack://channel)") == f"[a]{JOINER}(slack://channel)"


def test_link_definitions_do_not_vanish() -> None:
    assert neutral_markdown("[1]: https://example.org") == f"[1]{JOINER}: https://example.org"


def test_everyone_is_not_called() -> None:
    assert neutral_markdown("hello @here, @channel") == f"hello @{JOINER}here, @{JOINER}channel"


def test_plain_fields_show_what_they_were_given() -> None:
    assert shielded("a < b <!here>").replace(JOINER, "") == "a < b <!here>"
    assert "<!" not in shielded("<!here>")


@given(text=st.text(max_size=80), limit=st.integers(2, 40))
def test_shortened_text_fits_and_says_that_it_was_cut(text: str, limit: int) -> None:
    found = shortened(text, limit)
    assert len(found) <= limit
    assert found == text or found.endswith("…")
