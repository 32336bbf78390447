"""The SVG itself: safe inline, hostile labels, statuses by word and border, shared lines drawn once."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.pictures import Graph, GraphEdge, GraphNode, describe, svg
from orchestrator.pictures.as_svg import MOST_NODES, draw
from orchestrator.pictures.lettering import clean, width, wrap
from orchestrator.pictures.styles import INK, LOOKS, PAPER, PLAIN, QUIET, STROKES

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "]]></title></svg><b>",
    "&amp;&lt;&#0;&nbsp;",
    "a\x00b\x1bc\ud800d\ufffee\u2028f\r\ng",
    "\u202egnirts desrever\u202c \u2066isolated",
    "שלום עולם مرحبا بالعالم",
    "x" * 10_000,
    "word " * 2_000,
    "👩‍👩‍👧‍👦" * 300,
    "Z" + "\u0336\u0301" * 500,
    "日本語のとても長い題名" * 20,
    "",
    "   \t\n",
    "\u200b\u200d\ufeff",
    "javascript:alert(1)",
]
NS = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "title", "desc", "g", "rect", "circle", "path", "polygon", "text"}


def graph_with(text: str) -> Graph:
    nodes = (
        GraphNode("a", text, "decision", subtitle=text, word=text, status="asking"),
        GraphNode("b", text, "approval", subtitle=text, word=text),
    )
    return Graph(text, nodes, (GraphEdge("a", "b", text), GraphEdge("b", "a", text, "changes")))


def check_safe(picture: str) -> ElementTree.Element:
    """Well-formed, and nothing in it that a strict Content-Security-Policy would refuse or fetch."""
    root = ElementTree.fromstring(picture)
    for element in root.iter():
        assert element.tag.removeprefix(NS) in ELEMENTS
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on")
            assert name.rpartition("}")[2] not in ("style", "href", "src", "id")
            assert "url(" not in value
    return root


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_labels_stay_text_and_are_clipped(text: str) -> None:
    graph = graph_with(text)
    picture = svg(graph)
    check_safe(picture)
    drawn = draw(graph)
    assert drawn.width < 900
    assert drawn.height < 900
    assert len(picture) < 40_000
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08]", picture)
    for box in drawn.boxes:
        assert all(row.width <= box.size.width for row in box.rows)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(), max_size=200))
def test_any_text_gives_a_well_formed_picture(text: str) -> None:
    check_safe(svg(graph_with(text)))
    assert len(describe(graph_with(text))) <= 1000


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), st.integers(30, 300), st.integers(1, 4))
def test_wrapped_lines_fit_and_lose_nothing_unseen(text: str, most: int, lines: int) -> None:
    text = clean(text)
    made = wrap(text, 12, most, lines)
    assert len(made) <= lines
    assert all(line.width <= most for line in made)
    assert all(line.width == width(line.text, 12) for line in made)
    shown = "".join(line.text for line in made).replace(" ", "")
    if not shown.endswith("…") or "…" in text:
        return
    assert text.replace(" ", "").startswith(shown[:-1])  # cut at the end, and said so


def test_text_that_fits_is_not_cut() -> None:
    assert [line.text for line in wrap("Write the release notes", 14, 400, 2, "Medium")] == [
        "Write the release notes"
    ]
    assert [line.text for line in wrap("one two three", 14, 50, 3)] == ["one two", "three"]


def test_each_status_has_a_word_mark_and_border_of_its_own() -> None:
    looks = list(LOOKS.values())
    assert len({look.word for look in looks}) == len(looks) == 7
    assert len({look.mark for look in looks}) == len(looks)
    assert len({(look.dashes, look.thick, look.mark) for look in looks}) == len(looks)
    # Borders differ without colour as well; done has the plain one, as nothing is to be looked at there.
    assert len({(look.dashes, look.thick) for look in looks}) == len(looks)
    for status, look in LOOKS.items():
        picture = svg(Graph("g", (GraphNode("a", "Build", status=status),)))
        assert f">{look.word}</text>" in picture
        assert look.mark in picture


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_and_lines_stand_out_from_what_is_behind_them() -> None:
    for look in (*LOOKS.values(), PLAIN):
        for colour in (INK, QUIET, look.line):
            assert contrast(colour, look.fill) >= 4.5
    assert contrast(QUIET, PAPER) >= 4.5
    for stroke in STROKES.values():
        assert contrast(stroke.colour, PAPER) >= 3
    assert all(a.dashes != b.dashes for a, b in combinations(STROKES.values(), 2))


def test_the_picture_has_a_title_a_description_and_a_role() -> None:
    root = check_safe(svg(Graph("mine", (GraphNode("a", "Build"),))))
    assert root.get("role") == "img"
    assert root.findtext(f"{NS}title") == "mine"
    assert (
        root.findtext(f"{NS}desc")
        == "Workflow mine: 1 step, 0 connections. Begins at Build. Build ends here."
    )


def test_an_empty_graph_and_edges_to_nowhere_are_drawn_without_fuss() -> None:
    check_safe(svg(Graph("nothing", ())))
    picture = svg(Graph("g", (GraphNode("a"),), (GraphEdge("a", "gone"), GraphEdge("gone", "a")), ("gone",)))
    assert picture.count('class="edge') == 0
    assert picture.count('class="head"') == 1  # of the dot where it begins


def test_doubled_keys_and_edges_are_drawn_once() -> None:
    nodes = (GraphNode("a"), GraphNode("b"), GraphNode("a", "Again"))
    picture = svg(Graph("g", nodes, (GraphEdge("a", "b"), GraphEdge("a", "b"))))
    assert picture.count('class="node') == 2
    assert picture.count('class="edge') == 1


def test_what_is_too_large_is_summed_up_in_one_box() -> None:
    nodes = tuple(GraphNode(f"n{i}", f"Step {i}") for i in range(2000))
    edges = tuple(GraphEdge(f"n{i}", f"n{i + 1}") for i in range(1999))
    picture = svg(Graph("huge", nodes, edges))
    assert picture.count('class="node') == MOST_NODES
    assert "… and 1,701 more steps" in picture


def test_arrows_that_lead_to_the_same_box_share_one_line() -> None:
    nodes = tuple(GraphNode(f"n{i}") for i in range(6))
    edges = tuple(GraphEdge("n0", f"n{i}") for i in range(1, 5)) + tuple(
        GraphEdge(f"n{i}", "n5", kind="error") for i in range(1, 5)
    )
    picture = svg(Graph("fan", nodes, edges))
    dashed = re.findall(r'd="([^"]+)"[^>]*stroke-dasharray="7 3"', picture)
    ends = [path.rpartition("L")[2] for path in dashed]
    assert len(dashed) == 4
    assert len(set(ends)) == 4  # one runs to the head, the others end where they join it
    assert picture.count('fill="#b91c1c"') == 1  # so there is one head


def test_the_description_tells_every_way_in_words() -> None:
    nodes = (
        GraphNode("plan", "Plan", subtitle="planner", status="done"),
        GraphNode("ask", "Approve", "approval", word="approval", status="asking"),
        GraphNode("undo", "Undo", word="undoes"),
    )
    edges = (
        GraphEdge("plan", "ask"),
        GraphEdge("ask", "plan", "at most 5×", "changes"),
        GraphEdge("plan", "undo", "", "compensate"),
    )
    assert describe(Graph("mine", nodes, edges)) == (
        "Workflow mine: 3 steps, 3 connections. 1 done, 1 asking. Begins at Plan. "
        "Plan (planner, done) leads to Approve, Undo (undone by). "
        "Approve (approval, asking) leads to Plan (when changes are asked for; at most 5×). "
        "Undo (undoes) ends here."
    )


def test_a_long_description_says_how_much_is_left_out() -> None:
    nodes = tuple(GraphNode(f"n{i}", f"Step number {i}") for i in range(200))
    said = describe(Graph("long", nodes), 300)
    assert len(said) <= 300
    told = said.count("ends here")
    assert said.endswith(f"And {200 - told} more steps.")
