"""Cards as HTML: everything is shown, nothing that people or models wrote becomes markup."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import (
    Button,
    Card,
    FactsPart,
    FilePart,
    Form,
    FormField,
    MarkdownPart,
    SourceLine,
    SourcesPart,
)
from adapters.plain import clean_text
from adapters.web.markdown import render_markdown
from adapters.web.messages import Notice
from adapters.web.outbound import PREVIEW, card_html, form_html, notice_html, tone_of
from tests.html_tree import Element, executables, read_html
from tests.unit.adapters.strategies import cards, forms
from tests.unit.adapters.test_plain import texts

AT = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)
# What breaks out of HTML if anything does.
SPICE = st.sampled_from(
    [
        "<script>x</script>",
        "</div>",
        "<!--",
        "-->",
        '"',
        "'",
        "&lt;",
        "`",
        "<img src=x onerror=y>",
        "]]>",
        "</textarea>",
    ]
)
WORDS = st.lists(st.one_of(SPICE, st.text(max_size=8)), max_size=6).map("".join)


def draw(card: Card) -> Element:
    return read_html(card_html(card, message_id="c1", slug="here", position=1, at=AT))


def squeezed(text: str) -> str:
    return "".join(clean_text(text).split())


@settings(max_examples=60, deadline=None)
@given(card=cards(WORDS))
def test_every_text_is_shown_and_none_becomes_markup(card: Card) -> None:
    page = draw(card)
    assert executables(page) == []
    shown = squeezed(page.text())
    written = {part.text for part in card.parts if isinstance(part, MarkdownPart)}
    for text in texts(card):
        if text not in written:  # Markdown loses its own marks
            assert squeezed(text) in shown


@settings(max_examples=100, deadline=None)
@given(text=WORDS, mark=st.sampled_from(["", "# ", "> ", "- ", "    ", "| ", "[x](", "![", "<", "**"]))
def test_no_markdown_runs_or_loads_anything(text: str, mark: str) -> None:
    html = render_markdown(clean_text(mark + text), sources=frozenset({1}), anchor="c-source-")
    page = read_html(html)
    assert executables(page) == []
    blocks = "p pre ul ol li blockquote hr div h3 h4 h5 h6 table thead tbody tr th td"
    allowed = set(f"a em strong code br s {blocks}".split())
    assert {one.tag for one in page.walk()} - {""} <= allowed


@pytest.mark.parametrize(
    "address",
    ["javascript:x", "data:text/html,x", "//evil.example", "/c/other", "file:///etc", "JaVaScRiPt:x"],
)
def test_links_lead_only_to_the_web_and_to_mail(address: str) -> None:
    page = read_html(render_markdown(f"[word]({address}) <{address}> ![picture]({address})"))
    assert [one.attributes.get("href", "") for one in page.all("a")] in ([], [""])
    assert "word" in page.text()


def test_links_open_beside_the_page_and_tell_nothing() -> None:
    link = read_html(render_markdown("[word](https://example.org/?a=1&b=2)")).one("a")
    assert link.attributes == {
        "href": "https://example.org/?a=1&b=2",
        "target": "_blank",
        "rel": "noopener noreferrer nofollow",
    }


def test_pictures_become_links() -> None:
    page = read_html(render_markdown("![a <b>chart</b>](https://example.org/x.png)"))
    assert page.all("img") == []
    assert page.one("a").text() == "Image: a <b>chart</b>"


def test_numbers_of_sources_lead_to_them_but_not_in_code_or_links() -> None:
    text = "Sure [1], also [7], `a[1]`, [see [1]](https://example.org)\n\n```\nb[1]\n```"
    page = read_html(render_markdown(text, sources=frozenset({1, 2}), anchor="c9-source-"))
    (cite,) = page.all("a", class_="cite")
    assert (cite.text(), cite.attributes["href"]) == ("[1]", "#c9-source-1")
    assert "[7]" in page.text()


def test_a_source_without_web_address_is_no_link() -> None:
    lines = (
        SourceLine(number=1, title="Notes", url="knowledge/notes.md"),
        SourceLine(number=2, title="Evil", url="javascript:alert(1)"),
        SourceLine(number=3, title="Site", url="https://example.org/x"),
    )
    page = draw(
        Card.model_validate(
            {"id": "c", "kind": "answer", "title": "T", "parts": [SourcesPart(sources=lines)]}
        )
    )
    assert [one.attributes["href"] for one in page.all("a")] == ["https://example.org/x"]
    assert page.one("li", id="c1-source-2").text().split()[0] == "[2]"


def test_headings_stay_below_those_of_the_card() -> None:
    page = read_html(render_markdown("# one\n\n###### six"))
    assert [one.tag for one in page.walk()][1:] == ["h3", "h6"]


def test_a_long_file_is_shown_in_part_and_offered_whole() -> None:
    part = FilePart(name="big.txt", media_type="text/plain", text="x" * (PREVIEW + 5))
    page = draw(
        Card.model_validate({"id": "c", "kind": "answer", "title": "T", "parts": [FactsPart(facts=()), part]})
    )
    assert page.one("a", class_="download").attributes["href"] == "/c/here/cards/c1/files/1"
    assert page.one("pre").text().strip() == "x" * PREVIEW
    assert "The rest is in the file." in page.text()


def test_buttons_carry_action_and_target() -> None:
    button = Button(action="edit", target="ap 1", label="Edit", needs_form=True)
    page = draw(Card.model_validate({"id": "c", "kind": "approval", "title": "T", "buttons": [button]}))
    shown = page.one("button")
    assert (shown.attributes["value"], shown.attributes["aria-haspopup"]) == ("edit ap 1", "dialog")
    assert page.one("form").attributes["action"] == "/c/here/click"


@settings(max_examples=50, deadline=None)
@given(form=forms(WORDS), wrong=WORDS)
def test_forms_show_their_texts_values_and_errors(form: Form, wrong: str) -> None:
    errors = {field.name: wrong for field in form.fields} | {"elsewhere": wrong}
    page = read_html(form_html(form, slug="here", nonce="n", values={}, errors=errors))
    assert executables(page) == []
    shown = squeezed(page.text())
    for field in form.fields:
        for text in (field.label, field.hint, field.value, wrong):
            assert squeezed(text) in shown


def test_a_notice_is_text() -> None:
    page = read_html(notice_html(Notice(4, 9, "<b>no</b>"), "here"))
    assert "<b>no</b>" in page.text()
    assert page.one("form").attributes["id"] == "notice-4"


def test_states_have_a_shape_besides_their_word() -> None:
    words = ("queued", "working", "waiting for approval", "completed", "approved by Ada", "failed", "stopped")
    assert [tone_of(word) for word in words] == ["idle", "busy", "asking", "done", "done", "failed", "failed"]


def test_choices_of_a_field_are_offered_and_what_is_chosen_stays_chosen() -> None:
    choices = (("ask", "ask first"), ("<b>", '"></select><script>x</script>'))
    form = Form(id="f", title="F", fields=(FormField(name="a", label="A", value="ask", choices=choices),))
    page = read_html(form_html(form, slug="here", nonce="n", values={}, errors={}))
    select = page.one("select", name="field.a")
    assert [o.attributes["value"] for o in select.all("option")] == ["ask", "<b>"]
    assert [o.attributes["value"] for o in select.all("option") if "selected" in o.attributes] == ["ask"]
    assert executables(page) == []
    again = form_html(form, slug="here", nonce="n", values={"a": "<b>"}, errors={"a": "no"})
    chosen = [o for o in read_html(again).all("option") if "selected" in o.attributes]
    assert [o.attributes["value"] for o in chosen] == ["<b>"]


@pytest.mark.parametrize(
    ("text", "passing"),
    [
        ("Taken as the answer.", True),
        ("Handed to the agents at work.", True),
        ("Thank you for telling us.", True),
        ("Somebody else answered a moment before; write again to start a new turn.", False),
        ("Handed to the agents at work. One of them failed.", False),
        ("Ben may not decide this.", False),
    ],
)
def test_only_what_leaves_nothing_to_do_is_a_passing_notice(text: str, *, passing: bool) -> None:
    (form,) = [one for one in read_html(notice_html(Notice(4, 9, text), "here")).walk() if one.tag == "form"]
    assert ("data-passing" in form.attributes) is passing
