"""Tables are columns where they fit a screen, and lists where not; no cell is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.markdown import markdown
from adapters.discord.pieces import merged
from adapters.discord.tables import WIDEST, columns, width
from tests.unit.adapters.discord.drawing import shown

CELLS = st.text(max_size=12)


def test_narrow_tables_stand_in_columns() -> None:
    text = "| Name | Length |\n|:--|--:|\n| **Old** bridge | 12 m |\n| [New](https://e.org) | 7 m |\n"
    assert markdown(text) == (
        "```\n"
        "Name                 Length\n"
        "───────────────────  ──────\n"
        "Old bridge             12 m\n"
        "New (https://e.org)     7 m\n"
        "```"
    )


def test_wide_letters_take_two_columns_and_marks_none() -> None:
    assert [width(text) for text in ("abc", "漢字", "é", "e\u0301", "😀", "\u200b")] == [3, 4, 1, 1, 2, 0]
    block = columns(["a", "b"], [["漢字", "x"], ["abcd", "y"]], [])
    assert block is not None
    assert merged(block).split("\n")[3:5] == ["漢字  x", "abcd  y"]


def test_wide_tables_become_lists_of_what_stands_under_each_head() -> None:
    long = "word " * 20
    text = (
        f"| Name | What it does | |\n|---|---|---|\n| a | {long} | |\n| <@1> | [b](https://e.org) | c | d |\n"
    )
    assert markdown(text) == (
        f"- **Name:** a\n  - **What it does:** {long.strip()}\n"
        "- **Name:** \\<\u2060@1\\>\n  - **What it does:** [b](<https://e.org>)\n  - c\n  - d"
    )


def test_a_table_that_is_cut_repeats_its_head() -> None:
    block = columns(["n", "square"], [[str(n), str(n * n)] for n in range(40)], ["right"])
    assert block is not None
    second = merged(block[20:])
    assert second.startswith("```\n n  square\n──  ──────\n20  400\n")
    assert second.endswith("39  1521\n```")
    assert merged(block[:20]).endswith("19  361\n```")


def test_nothing_in_a_cell_closes_the_block() -> None:
    block = columns(["a ``` b"], [["````"], ["\n```\n@everyone"]], [])
    assert block is not None
    assert merged(block).count("```") == 2


def test_a_table_without_rows_shows_its_head() -> None:
    assert markdown("| a | b |\n|---|---|\n") == "```\na  b\n─  ─\n```"
    wide = "x" * 50
    assert markdown(f"| {wide} | {wide} |\n|---|---|\n") == f"{wide} · {wide}"


def test_tables_in_quotations_keep_all_their_cells() -> None:
    said = markdown("> | a | b |\n> |---|---|\n> | 1 | 2 | 3 |\n\nEnd")
    assert "1  2  3" in said
    assert said.endswith("End")


@given(rows=st.lists(st.lists(CELLS, max_size=4), min_size=1, max_size=5))
def test_columns_fit_and_hold_every_cell(rows: list[list[str]]) -> None:
    block = columns(["head"], rows, ["center"])
    if block is None:
        return
    text = merged(block)
    assert all(width(line) <= WIDEST for line in text.split("\n"))
    said = shown(text)
    for cell in (cell for row in rows for cell in row if cell.isalnum()):
        assert cell in said
