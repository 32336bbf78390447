"""The plugin behind `docs/platforms.md`: what the table says, when it is written, when a run fails for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest

from tests import parity
from tests.parity import BEGIN, COLUMNS, END, Keeper, Results, Suite

SHORT = '''
"""A suite."""

async def test_asks_and_gets_an_answer(desk): ...
async def test_takes_it_back(desk):
    """What was said | is taken back."""
def test_of_something_else(tmp_path): ...
def passes(desk): ...
'''
PAGE = f"# Platforms\n\nBy hand.\n\n{BEGIN}\n\nold\n\n{END}\n\nBy hand, too.\n"
Outcome = Literal["passed", "failed", "skipped", "rerun"]


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of two scenarios; gives its page."""
    (tmp_path / "test_short.py").write_text(SHORT, encoding="utf-8")
    page = tmp_path / "platforms.md"
    page.write_text(PAGE, encoding="utf-8")
    monkeypatch.setattr(parity, "ROOT", tmp_path)
    monkeypatch.setattr(parity, "PAGE", page)
    monkeypatch.setattr(parity, "SUITES", (Suite("All", "test_short.py", frozenset({"desk"})),))
    return page


def report(
    test: str, column: str, outcome: Outcome = "passed", *, why: str = "", when: Any = "call", way: str = "a"
) -> pytest.TestReport:
    """What pytest says of a test, after its way from a worker of pytest-xdist."""
    skipped = ("test_short.py", 1, f"Skipped: {why}") if outcome == "skipped" else None
    made = pytest.TestReport(
        f"test_short.py::{test}[{column}-{way}]", ("test_short.py", 1, test), {},
        cast("Any", outcome), skipped, when,
        user_properties=[("parity", column), ("other", 1)],
    )  # fmt: skip
    sent: dict[str, Any] = made._to_json()  # pyright: ignore[reportPrivateUsage]
    return pytest.TestReport._from_json(sent)  # pyright: ignore[reportPrivateUsage]


def all_passed(keeper: Keeper | Results, *left_out: tuple[str, str]) -> None:
    """A result for every cell but these."""
    take = keeper.results.add if isinstance(keeper, Keeper) else keeper.add
    for test in ("test_asks_and_gets_an_answer", "test_takes_it_back"):
        for column in COLUMNS:
            if (test, column) not in left_out:
                take(report(test, column))


def finishes(keeper: Keeper) -> tuple[int, list[str]]:
    """The session's exit code, and what is counted as failed."""
    stats: dict[str, list[pytest.TestReport]] = {}
    reporter = SimpleNamespace(stats=stats)

    def get_plugin(name: str) -> object:
        assert name == "terminalreporter"
        return reporter

    plugins = SimpleNamespace(get_plugin=get_plugin)
    session = SimpleNamespace(exitstatus=0, config=SimpleNamespace(pluginmanager=plugins))
    keeper.pytest_sessionfinish(cast("Any", session))
    return int(session.exitstatus), [str(failure.longrepr) for failure in stats.get("failed", [])]


def test_a_row_is_a_test_with_the_fixture_in_the_order_of_the_file() -> None:
    assert parity.SUITES[0].scenarios() == {
        "test_asks_and_gets_an_answer": "Asks and gets an answer",
        "test_takes_it_back": "What was said | is taken back",
    }


def test_a_no_has_a_reason_and_the_same_reason_has_one_number() -> None:
    results = Results()
    all_passed(
        results,
        ("test_asks_and_gets_an_answer", "Terminal"),
        ("test_takes_it_back", "Web page"),
        ("test_takes_it_back", "Terminal"),
    )
    for test in ("test_asks_and_gets_an_answer", "test_takes_it_back"):
        results.add(report(test, "Terminal", "skipped", why="it is paper", when="setup"))
    results.add(report("test_takes_it_back", "Web page", "skipped", why="it  stays.\n"))
    assert results.missing() == []
    assert results.table().splitlines() == [
        "### All",
        "",
        "| | Slack | Discord | Web page | Terminal |",
        "| --- | --- | --- | --- | --- |",
        "| Asks and gets an answer | yes | yes | yes | no (1) |",
        "| What was said \\| is taken back | yes | yes | no (2) | no (1) |",
        "",
        "### Reasons",
        "",
        "1. it is paper.",
        "2. it stays.",
    ]


def test_a_cell_of_two_ways_is_a_yes_when_none_failed() -> None:
    results = Results()
    all_passed(results)
    results.add(report("test_takes_it_back", "Slack", way="socket"))
    assert not results.failed()
    results.add(report("test_takes_it_back", "Slack", "failed", when="teardown", way="http"))
    assert results.failed()


def test_what_is_tried_again_counts_by_its_last_try_alone() -> None:
    results = Results()
    all_passed(results, ("test_takes_it_back", "Slack"))
    results.add(report("test_takes_it_back", "Slack", "rerun"))
    assert results.missing() == ["test_short.py::test_takes_it_back on Slack"]
    results.add(report("test_takes_it_back", "Slack"))
    assert (results.missing(), results.failed()) == ([], False)
    results.add(report("test_takes_it_back", "Web page", "rerun", when="setup"))
    results.add(report("test_takes_it_back", "Web page", "failed", when="setup"))
    assert results.failed()


def test_the_table_is_written_between_its_marks_and_nowhere_else(small: Path) -> None:
    keeper = Keeper(writes=True)
    all_passed(keeper)
    assert finishes(keeper) == (0, [])
    table = keeper.results.table()
    assert parity.committed() == table
    assert small.read_text() == PAGE.replace("old", table)
    again = Keeper(writes=False)
    all_passed(again)
    assert finishes(again) == (0, [])


def test_a_run_of_everything_fails_when_the_page_says_something_else() -> None:
    keeper = Keeper(writes=False)
    all_passed(keeper)
    status, [failure] = finishes(keeper)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "run make platforms" in failure
    assert "- old" in failure
    assert "+ | Asks and gets an answer | yes | yes | yes | yes |" in failure


@pytest.mark.parametrize("writes", [False, True])
def test_part_of_a_run_says_nothing_of_the_page(small: Path, writes: bool) -> None:
    keeper = Keeper(writes=writes)
    all_passed(keeper, ("test_takes_it_back", "Discord"))
    status, failures = finishes(keeper)
    assert bool(status) == bool(failures) == writes
    assert all("test_takes_it_back on Discord" in failure for failure in failures)
    assert small.read_text() == PAGE


@pytest.mark.parametrize("writes", [False, True])
def test_nothing_is_said_or_written_of_what_failed(small: Path, writes: bool) -> None:
    keeper = Keeper(writes=writes)
    all_passed(keeper)
    keeper.pytest_runtest_logreport(report("test_takes_it_back", "Discord", "failed"))
    assert bool(finishes(keeper)[0]) == writes
    assert small.read_text() == PAGE


def test_a_platform_that_is_no_column_is_refused() -> None:
    request = SimpleNamespace(node=SimpleNamespace(user_properties=[]))
    with pytest.raises(AssertionError, match="'Teams' is no column"):
        parity.tell(cast("pytest.FixtureRequest", request), "Teams")
