"""PNGs: real ones, bounded, the same in every thread, readable whatever the letters."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.pictures import Graph, GraphEdge, GraphNode, png
from orchestrator.pictures.as_svg import draw
from orchestrator.pictures.lettering import advances, drawable, font_file


def size(picture: bytes) -> tuple[int, int]:
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert picture.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", picture[16:24])


def chain(count: int) -> Graph:
    nodes = tuple(GraphNode(f"n{i}", f"Step {i}", subtitle="builder") for i in range(count))
    return Graph("chain", nodes, tuple(GraphEdge(f"n{i}", f"n{i + 1}") for i in range(count - 1)))


def test_a_small_graph_has_two_pixels_for_each_of_the_svg() -> None:
    drawn = draw(chain(3))
    wide, high = size(png(chain(3)))
    assert wide == pytest.approx(2 * drawn.width, abs=1)
    assert high == pytest.approx(2 * drawn.height, abs=2)
    assert size(png(chain(3), scale=1.0))[0] == pytest.approx(drawn.width, abs=1)


def test_a_long_one_stays_within_what_can_be_posted() -> None:
    picture = png(chain(200), scale=10.0)
    assert max(size(picture)) <= 4001
    assert len(picture) <= 2_000_000


@pytest.mark.parametrize("scale", [0.0, -1.0, 1e9, float("inf")])
def test_a_foolish_scale_gives_a_picture_all_the_same(scale: float) -> None:
    wide, high = size(png(chain(2), scale=scale))
    assert 0 < wide * high <= 8_100_000


def test_threads_get_the_same_picture() -> None:
    alone = png(chain(4))
    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(png, [chain(4)] * 8)) == {alone}


def test_letters_are_drawn() -> None:
    """The font is found by its path: with none, every title would give the same picture."""
    assert png(Graph("g", (GraphNode("a", "OOO"),))) != png(Graph("g", (GraphNode("a", "QQQ"),)))
    assert font_file("Regular").is_file()
    assert advances("Regular")[ord("W")] > advances("Regular")[ord("i")]


def test_a_title_that_the_font_lacks_is_told_by_its_key() -> None:
    strange = Graph("g", (GraphNode("translate", "翻訳する", subtitle="訳"),))
    assert png(strange) == png(Graph("g", (GraphNode("translate", "translate"),)))
    assert drawable("Ship it 🚀 now") == "Ship it now"
    assert drawable("Привет, Ωμέγα, naïve") == "Привет, Ωμέγα, naïve"


def test_what_is_too_heavy_is_drawn_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    full = png(chain(3))
    monkeypatch.setattr("orchestrator.pictures.as_png.BYTES", len(full) - 1)
    smaller = png(chain(3))
    assert len(smaller) < len(full)
    assert size(smaller)[0] < size(full)[0]
