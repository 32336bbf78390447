"""Tables and long code are found where Markdown says they are, and nothing of a text falls between."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.tables import LONG_CODE, MAX_ROWS, file_name, runs, table_block

LINES = st.sampled_from(
    [
        "", "words", "| a | b |", "|---|---|", "| 1 | 2 |", "```", "```py", "~~~", "- item", "  more",
        "> quote", "    code", "# head", "x" * (LONG_CODE + 1), "\u2028", "a | b",
    ]
)  # fmt: skip


@given(lines=st.lists(LINES, max_size=25))
def test_runs_joined_are_the_text(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = runs(text)
    assert "".join(run.text for run in found) == text
    assert all(run.text for run in found)


def test_text_code_and_tables_are_told_apart() -> None:
    code = "```python\n" + "x = 1\n" * 600 + "```\n"
    text = f"Hello\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nshort\n```\n{code}End"
    assert [run.kind for run in runs(text)] == ["prose", "table", "prose", "fence", "code", "prose"]
    found = runs(text)[4]
    assert found.content == "x = 1\n" * 600
    assert found.language == "python"
    assert file_name(found, 2) == "code-2.py"


def test_a_table_in_code_is_code() -> None:
    assert [run.kind for run in runs("```\n| a |\n|---|\n| 1 |\n```")] == ["fence"]


def _texts(block: dict[str, Any] | None) -> list[list[str]]:
    assert block is not None
    rows = cast("list[list[dict[str, str]]]", block["rows"])
    return [[cell["text"] for cell in row] for row in rows]


def test_cells_hold_words_without_marks_and_lose_nothing() -> None:
    text = (
        "| **Name** | Link | Code |\n|:--|:-:|--:|\n"
        "| a \\| b | [site](https://e.example) | `x | y` |\n| `<!here>` |\n| 1 | 2 | 3 | 4 |\n"
    )
    block = table_block(text)
    assert _texts(block) == [
        ["Name", "Link", "Code", " "],
        ["a | b", "site (https://e.example)", "`x", "y`"],
        ["<!here>", " ", " ", " "],
        ["1", "2", "3", "4"],
    ]
    assert block is not None
    assert [column["align"] for column in block["column_settings"]] == ["left", "center", "right"]


def test_tables_that_slack_does_not_take_stay_markdown() -> None:
    head = "| a | b |\n|---|---|\n"
    assert table_block(head + "| 1 | 2 |\n" * (MAX_ROWS - 1)) is not None
    assert table_block(head + "| 1 | 2 |\n" * MAX_ROWS) is None
    assert table_block("|a" * 21 + "|\n" + "|-" * 21 + "|\n") is None
    assert table_block(head + f"| {'x' * 9_000} | 2 |\n") is None
    assert [run.kind for run in runs(head + "| 1 | 2 |\n" * MAX_ROWS)] == ["prose"]
