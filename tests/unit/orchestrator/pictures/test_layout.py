"""Whatever the graph: boxes apart, labels free, arrows at their boxes, all of it inside, always the same."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.pictures import Graph, GraphEdge, GraphNode, svg
from orchestrator.pictures.as_svg import Drawn, draw
from orchestrator.pictures.graph import EdgeKind, Shape
from orchestrator.pictures.layout import Point

SHAPES: list[Shape] = ["agent", "decision", "approval", "input", "map", "error_handler", "workflow"]
KINDS: list[EdgeKind] = ["success", "error", "changes", "rejected", "compensate"]
Span = tuple[float, float, float, float]  # left, top, right, bottom


@st.composite
def graphs(draw_from: st.DrawFn) -> Graph:
    count = draw_from(st.integers(1, 24))
    titles = st.sampled_from(
        ["Plan", "Write the release notes", "Check whether the deployment can begin today"]
    )
    nodes = tuple(
        GraphNode(f"n{i}", draw_from(titles), draw_from(st.sampled_from(SHAPES)), subtitle="builder")
        for i in range(count)
    )
    edge = st.builds(
        GraphEdge,
        st.sampled_from(nodes).map(lambda n: n.key),
        st.sampled_from(nodes).map(lambda n: n.key),
        st.sampled_from(["", "", "score < 7", "at most 2×, when reviewer.score < policies.min_score"]),
        st.sampled_from(KINDS),
    )
    return Graph("any", nodes, tuple(draw_from(st.lists(edge, max_size=50))))


def spans_of_boxes(drawn: Drawn) -> list[Span]:
    return [
        (x - b.size.width / 2, y - b.size.height / 2, x + b.size.width / 2, y + b.size.height / 2)
        for b, (x, y) in zip(drawn.boxes, drawn.layout.boxes[1:], strict=True)
    ]


def spans_of_labels(drawn: Drawn) -> list[Span]:
    found: list[Span] = []
    for arrow, at in zip(drawn.arrows, drawn.layout.labels, strict=True):
        if arrow.label is not None:
            assert at is not None  # every label is somewhere
            w, h = arrow.label.width / 2, arrow.label.height / 2
            found.append((at[0] - w, at[1] - h, at[0] + w, at[1] + h))
    return found


def overlap(a: Span, b: Span) -> bool:
    slack = 0.01
    return a[0] < b[2] - slack and b[0] < a[2] - slack and a[1] < b[3] - slack and b[1] < a[3] - slack


def on_border(drawn: Drawn, box: int, point: Point) -> bool:
    x, y = drawn.layout.boxes[box]
    dx, dy = point[0] - x, point[1] - y
    if box == 0:
        return abs(dx) < 0.1 and 0 < dy < 10
    reach = drawn.boxes[box - 1].reach
    return abs(abs(dy) - reach("y", dx)) < 0.1 or abs(abs(dx) - reach("x", dy)) < 0.1


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_boxes_and_labels_never_lie_on_each_other(graph: Graph) -> None:
    drawn = draw(graph)
    for a, b in combinations([*spans_of_boxes(drawn), *spans_of_labels(drawn)], 2):
        assert not overlap(a, b), (a, b)


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_arrows_run_from_border_to_border_square_and_through_no_other_box(graph: Graph) -> None:
    drawn = draw(graph)
    boxes = spans_of_boxes(drawn)
    for arrow, way in zip(drawn.arrows, drawn.layout.ways, strict=True):
        assert on_border(drawn, arrow.source, way[0])
        assert on_border(drawn, arrow.target, way[-1])
        for (x1, y1), (x2, y2) in pairwise(way):
            assert abs(x1 - x2) < 0.7 or abs(y1 - y2) < 0.01  # down or sideways
            line = (min(x1, x2), min(y1, y2), max(x1, x2) + 0.02, max(y1, y2) + 0.02)
            for i, box in enumerate(boxes, start=1):
                if i not in (arrow.source, arrow.target):
                    assert not overlap(line, box), (arrow, box)


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_everything_is_inside_the_picture(graph: Graph) -> None:
    drawn = draw(graph)
    margin = 20
    points = [p for way in drawn.layout.ways for p in way]
    spans = [*spans_of_boxes(drawn), *spans_of_labels(drawn), *((x, y, x, y) for x, y in points)]
    for left, top, right, bottom in spans:
        assert left >= -margin / 2
        assert top >= -margin / 2
        assert right <= drawn.width - 1.5 * margin
        assert bottom <= drawn.height - 1.5 * margin


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_lines_of_text_are_inside_their_boxes(graph: Graph) -> None:
    for box in draw(graph).boxes:
        tall = sum(row.height for row in box.rows)
        top = -tall / 2
        for row in box.rows:
            for y in (top, top + row.height):
                assert row.width / 2 <= box.reach("x", y) + 0.01, (box.title, row)
            top += row.height


@settings(max_examples=30, deadline=None)
@given(graphs())
def test_the_same_graph_gives_the_same_picture(graph: Graph) -> None:
    assert svg(graph) == svg(graph)


def random_workflow(count: int, further: int) -> Graph:
    draws = random.Random(7)
    nodes = tuple(GraphNode(f"n{i}", f"Step {i} of the work", subtitle="builder") for i in range(count))
    edges = [GraphEdge(f"n{draws.randrange(max(0, i - 8), i)}", f"n{i}") for i in range(1, count)]
    for _ in range(further):
        a, b = sorted(draws.sample(range(count), 2))
        edges.append(GraphEdge(f"n{a}", f"n{b}", draws.choice(["", "", "score < 7"])))
    for _ in range(count // 20):
        a = draws.randrange(count - 5)
        edges.append(GraphEdge(f"n{a + draws.randrange(1, 5)}", f"n{a}", "at most 3×"))
    return Graph("large", nodes, tuple(edges))


def test_two_hundred_steps_and_every_way_between_them_are_drawn() -> None:
    graph = random_workflow(200, 60)
    drawn = svg(graph)
    for number in range(200):
        assert f">Step {number} of the work<" in drawn, number
    assert drawn.count("at most 3×</text>") == sum(edge.label == "at most 3×" for edge in graph.edges)


def test_a_row_of_fifty_is_spread_over_several() -> None:
    nodes = tuple(GraphNode(f"n{i}") for i in range(52))
    edges = [GraphEdge("n0", f"n{i}") for i in range(1, 51)] + [
        GraphEdge(f"n{i}", "n51") for i in range(1, 51)
    ]
    drawn = draw(Graph("fan", nodes, tuple(edges)))
    assert drawn.width < 1500
    assert drawn.height < 1500
    assert len({y for _, y in drawn.layout.boxes}) == 1 + 1 + 7 + 1  # dot, fork, rows, join


def test_a_way_down_without_choice_is_one_straight_line() -> None:
    nodes = tuple(GraphNode(f"n{i}", "x" * (i % 7 + 1)) for i in range(30))
    drawn = draw(Graph("chain", nodes, tuple(GraphEdge(f"n{i}", f"n{i + 1}") for i in range(29))))
    assert len({round(x, 3) for x, _ in drawn.layout.boxes}) == 1
    assert all(len({round(x, 3) for x, _ in way}) == 1 for way in drawn.layout.ways)


def test_a_loop_leaves_and_enters_at_the_side() -> None:
    nodes = (GraphNode("build"), GraphNode("review"), GraphNode("good"), GraphNode("end"))
    edges = (
        GraphEdge("build", "review"),
        GraphEdge("review", "good"),
        GraphEdge("good", "end"),
        GraphEdge("good", "build", "at most 2×"),
    )
    drawn = draw(Graph("loop", nodes, edges))
    way = drawn.layout.ways[3]
    assert way[0][1] == way[1][1]  # out sideways
    assert way[-1][1] == way[-2][1]  # in sideways
    assert way[0][1] > way[-1][1]  # and up
    assert [y for _, y in drawn.layout.boxes] == sorted(y for _, y in drawn.layout.boxes)
