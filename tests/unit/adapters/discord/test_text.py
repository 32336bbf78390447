"""Untrusted text and Markdown ring nobody, hide nothing, fake nothing; code stays as it was written."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.discord.markdown import blocks, markdown
from adapters.discord.pieces import merged
from adapters.discord.text import (
    JOINER,
    cut_between,
    is_seen,
    link,
    neutral,
    readable,
    size,
    units,
    web_address,
)
from adapters.splitting import Piece as Cut
from tests.unit.adapters.discord.drawing import outside_code, rings, shown

BITS = st.sampled_from(
    [
        "@everyone", "@", "everyone", "here", "<@1>", "<@", "12>", "<", ">", "<#1>", "<t:1>", "<:x:1>", "`",
        "``", "```", "```\n", "\n```\n", "~~~\n", "\n", "\n\n", "|", "||", "\\", "- ", "-# ", "# ", "> ",
        "    ", "1. ", "a", " ", "[a](", ")", "](x`", "&lt;", "&#60;", "&#64;", "*", "**", "_", "~~", "[a]:",
        "\t", "https://e.example/", "<https://e.example>", "discord.gg/x",
    ]
)  # fmt: skip
MARKUP = st.lists(BITS, max_size=14).map("".join)


# ── plain text ───────────────────────────────────────────────────────────────────────────────


@settings(max_examples=300)
@given(text=st.one_of(st.text(), MARKUP))
def test_neutral_text_reads_as_it_was_and_is_no_markup(text: str) -> None:
    found = neutral(text)
    bare = re.sub(r"[\\<>]", "", shown(re.sub(r"<(https?://[^>]*)>", r"\1", found, flags=re.IGNORECASE)))
    assert bare == re.sub(r"[\\<>]", "", readable(text).replace(JOINER, "")) or "%" in found
    assert rings(found) == []
    unescaped = re.sub(r"\\[^0-9A-Za-z\s]|<https?://[^\s>]*>", "", found, flags=re.IGNORECASE)
    assert not re.search(r"[*_~`|\[\]<>#]", unescaped)
    assert not re.search(r"^\s*(?:-|\d+\.)\s", unescaped, re.MULTILINE)


@given(text=st.one_of(st.text(), MARKUP), limit=st.integers(200, 400))
def test_parts_are_short_ring_nobody_and_joined_are_the_text(text: str, limit: int) -> None:
    parts = cut_between(units(text), limit)
    assert "".join(parts) == neutral(text)
    assert all(size(part) <= limit for part in parts)
    assert not any(rings(part) for part in parts)
    assert not any(re.search(r"(?<!\\)(?:\\\\)*\\$", part) for part in parts)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a_b *c* ~d~ `e` ||f||", r"a\_b \*c\* \~d\~ \`e\` \|\|f\|\|"),
        ("# a\n-# b\n> c\n- d\n1. e", "\\# a\n\\-\\# b\n\\> c\n\\- d\n1\\. e"),
        ("well-known 1.5 e-mail 12:30", "well-known 1.5 e-mail 12:30"),
        ("ok :smile: 12:30:45", r"ok \:smile: 12\:30:45"),
        ("a < b", r"a \< b"),
        ("<@1>", rf"\<{JOINER}@1\>"),
        ("@everyone", f"@{JOINER}everyone"),
        ("ada@example.org", "ada@example.org"),
        ("see https://e.org/a_b(c). Yes", "see <https://e.org/a_b%28c%29>. Yes"),
        ("(https://e.org/a)", "(<https://e.org/a>)"),
        ("“see [x](http://y.z)”", r"“see \[x\](<http://y.z>)”"),
        ("(http://y.z/a(b)), or", "(<http://y.z/a%28b%29>), or"),
        ("(http://y.z)so", "(<http://y.z>)so"),
        ("‘http://y.z’, «http://y.z», http://y.z…", "‘<http://y.z>’, «<http://y.z>», <http://y.z>…"),
        ("「http://y.z」 “http://y.z.”", "「<http://y.z>」 “<http://y.z>.”"),
        ("join discord.gg/abc", f"join discord.{JOINER}gg/abc"),
        ("https://discord.com/invite/abc", f"https:{JOINER}//discord.{JOINER}com/invite/abc"),
        ("a\x00b\u202ec\u2066d", "abcd"),
    ],
)
def test_neutral_text_by_example(text: str, wanted: str) -> None:
    assert neutral(text) == wanted


@pytest.mark.parametrize(
    ("text", "seen"), [("a", True), ("", False), (" \n\t", False), ("\u200b\u2060", False), ("😀", True)]
)
def test_what_cannot_be_seen_is_known(text: str, seen: bool) -> None:
    assert is_seen(text) is seen


def test_letters_outside_the_first_plane_count_twice() -> None:
    assert [size(text) for text in ("a", "é", "漢", "😀")] == [1, 1, 1, 2]


# ── addresses ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "knowledge/x.md", "https://", "https://[half", "https://a b", "ftp://e.org",
        "https://bank.example@evil.example/", "https://discord.gg/x", "https://DISCORD.com/invite/x",
        "https://discordapp.com/invite/x", "http://www.discord.gift/x", "https://e.org/" + "x" * 1_000,
    ],
)  # fmt: skip
def test_what_nobody_is_led_to(url: str) -> None:
    assert web_address(url) is None
    assert "](<" not in link("Label", url)


@given(url=st.text(max_size=60).map(lambda text: f"https://e.example/{text}"))
@example(url="https://e.example/>)[x](<https://f.example")
def test_an_address_never_leaves_its_brackets(url: str) -> None:
    address = web_address(url)
    if address is not None:
        assert not re.search(r"[\s<>()*|`\\]|~~", address)


def test_a_link_whose_name_is_another_address_shows_where_it_leads() -> None:
    assert link("bank.example", "https://evil.example/") == "bank.example (<https://evil.example/>)"
    assert link("https://e.org/a", "https://e.org/a") == "<https://e.org/a>"
    assert link("A [b](c)", "https://e.org") == r"A \[b\](c) (<https://e.org>)"
    assert link("", "https://e.org") == "<https://e.org>"
    assert link("On *bridges*", "https://e.org") == r"[On \*bridges\*](<https://e.org>)"


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=300, deadline=None)
@given(text=MARKUP)
@example(text="`a`\n```\n<@1>\n```")
@example(text="**`a ** <@1>`**")
@example(text="\\```@everyone```\n``")
@example(text="[`]`](https://e.example) <@1>")
@example(text="@&#101;veryone &lt;@1>")
def test_no_markdown_rings_anybody_outside_code(text: str) -> None:
    said = markdown(text)
    assert rings(said) == []
    assert said.count("```") % 2 == 0
    assert not re.search(r"^(?:> |\s|- )*(?:-# |#{1,2} )", outside_code(said), re.MULTILINE)


@settings(max_examples=150, deadline=None)
@given(text=st.one_of(MARKUP, st.text(max_size=60)))
def test_every_word_of_markdown_is_there(text: str) -> None:
    said = re.sub(r"[\W_]", "", shown(markdown(text)))
    for word in re.findall(r"[^\W_]+", re.sub(r"&(?:lt|#60|#64);", " ", readable(text))):
        assert word in said


@settings(max_examples=100, deadline=None)
@given(text=MARKUP.map(lambda text: text * 40), at=st.integers(0, 400))
@example(text="*`@everyone@everyone@everyone``" * 40, at=0)
def test_a_cut_anywhere_rings_nobody_and_closes_its_code(text: str, at: int) -> None:
    found = [part for part in blocks(text, long_code=False) if isinstance(part, Cut)]
    for half in (merged(found[: at % (len(found) + 1)]), merged(found[at % (len(found) + 1) :])):
        assert rings(half) == []
        assert half.count("```") % 2 == 0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("**bold** *it* ~~gone~~ `code` _it_ __bold__", "**bold** *it* ~~gone~~ `code` *it* **bold**"),
        ("***both***", "***both***"),
        ("*a***b**", f"*a*{JOINER}**b**"),
        ("# One\n## Two\n### Three\ntext", "### One\n### Two\n**Three**\ntext"),
        ("a\nb  \nc", "a b\nc"),
        ("a **b\nc** d\\\ne", "a **b c** d\ne"),
        ("- a\n  b\n- c", "- a b\n- c"),
        ("a\n- b\n```\nc\nd\n```", "a\n\n- b\n```\nc\nd\n```"),
        ("- a\n- b\n  1. c\n  2. d\n\n3. e", "- a\n- b\n  1. c\n  2. d\n\n3. e"),
        ("> a\n> b\n\nc", "> a b\n\nc"),
        ("> a\n>\n> b", "> a\n> \n> b"),
        ("a\n\n---\n\nb", f"a\n\n{'⎯' * 12}\n\nb"),
        ("[t](https://e.org/a 'T')", "[t](<https://e.org/a>) (T)"),
        ("[https://bank.example](https://evil.example)", "<https://bank.example> (<https://evil.example>)"),
        ("[bank.example](https://evil.example)", "bank.example (<https://evil.example>)"),
        ("<https://e.org>", "<https://e.org>"),
        ("[a](javascript:x)", r"\[a\](javascript:x)"),
        ("[a](mailto:a@b.org)", "a (mailto:a@b.org)"),
        ("[a](notes.md)", "a (notes.md)"),
        ("![a cat](https://e.org/c.png)", "[a cat](<https://e.org/c.png>)"),
        ("[a]: https://e.org", r"\[a\]: <https://e.org>"),
        ("[x](https://discord.gg/a)", f"x (https:{JOINER}//discord.{JOINER}gg/a)"),
        ("<b>x</b> &amp; &lt;", r"\<b\>x\</b\> & \<"),
        ("``a`b``", "``a`b``"),
        ("`` `a` ``", "`` `a` ``"),
        ("**a `x*y` b**", "**a **`x*y`** b**"),
        ("||sp|| -# x", r"\|\|sp\|\| \-\# x"),
    ],
)  # fmt: skip
def test_markdown_by_example(text: str, wanted: str) -> None:
    assert markdown(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("```python\nx = '<@1>'\n```", "```python\nx = '<@1>'\n```"),
        ("    code\n", "```\ncode\n```"),
        ("```\n\n```", f"```\n{JOINER}\n```"),
        ("````md\n```\nx\n```\n````", f"```md\n``{JOINER}`\nx\n``{JOINER}`\n```"),
        ("```js title=a\nx\n```", "title=a\n```js\nx\n```"),
        ("- a\n  ```\n  b\n  ```\n- c", "- a\n```\nb\n```\n- c"),
        ("1. ```\n   b\n   ```", f"1. {JOINER}\n```\nb\n```"),
    ],
)
def test_code_stays_as_it_was_written_and_closes_nothing(text: str, wanted: str) -> None:
    assert markdown(text) == wanted


@pytest.mark.parametrize("nest", ["> " * 40, "- " * 40, "[" * 300])
def test_what_is_nested_too_deep_to_read_is_shown_as_it_was_written(nest: str) -> None:
    assert "deep words" in shown(markdown(f"{nest}deep words"))


def test_a_paragraph_that_is_cut_closes_and_opens_its_marks() -> None:
    found = [part for part in blocks(f"> **{'word ' * 400}end**") if isinstance(part, Cut)]
    assert len(found) > 2
    for part in (merged(found[:1]), merged(found[1:2]), merged(found[2:])):
        assert part.startswith("> **word")
        assert part.endswith("**")
        assert part.count("**") == 2
    assert merged(found).count("**") == 2
