"""The table of `docs/platforms.md`: what people can do on which platform, made of the tests' results.

A pytest plugin (loaded by `conftest.py`). A row is a test of one of `SUITES`, a column a platform. A cell
says "yes" where the test passed, and "no" with the reason for which it was skipped: `tell` marks what counts,
and a reason is the words of `pytest.skip`. With `--write-platforms` the table is written; without it, a run
in which every cell got its result fails when the page says something else. So it cannot be forgotten: CI runs
all tests. Works under pytest-xdist, whose workers' reports carry what `tell` noted.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "platforms.md"
COLUMNS = ("Slack", "Discord", "Web page", "Terminal")
BEGIN, END = "<!-- the table: made of the tests' results -->", "<!-- end of the table -->"
_NOTED = "parity"  # the user property: where the test was played


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests that are rows: those of a file that use one of these fixtures."""

    title: str
    path: str  # from the root, as in test ids
    fixtures: frozenset[str]

    def scenarios(self) -> dict[str, str]:
        """The rows in the order of the file: name of the test → what people read."""
        tree = ast.parse((ROOT / self.path).read_text(encoding="utf-8"))
        return {
            node.name: _words(node)
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and self.fixtures & {argument.arg for argument in node.args.args}
        }


SUITES = (
    Suite("Whole conversations", "tests/journey/test_journeys.py", frozenset({"desk"})),
    Suite("What each adapter does", "tests/contract/test_adapters.py", frozenset({"h", "chat"})),
)


def tell(request: pytest.FixtureRequest, column: str) -> None:
    """Note that a test plays on a platform; to be called before anything in it can skip."""
    assert column in COLUMNS, f"{column!r} is no column of the table: {', '.join(COLUMNS)}"
    request.node.user_properties.append((_NOTED, column))


def _words(test: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """A docstring's first line, or the name in words."""
    told = (ast.get_docstring(test) or "").split("\n")[0].rstrip(".")
    return told or test.name.removeprefix("test_").replace("_", " ").capitalize()


# ── results ──────────────────────────────────────────────────────────────────────────────────


@dataclass
class Cell:
    """What became of one scenario on one platform; it may have been played in several ways."""

    passed: bool = False
    failed: bool = False
    reasons: list[str] = field(default_factory=list[str])


class Results:
    """What the reports of a run say."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str, str], Cell] = {}  # by path, test, column

    def add(self, report: pytest.TestReport) -> None:
        """Take in one report; those of other tests are passed over."""
        if str(report.outcome) == "rerun":  # failed once and is tried again: that counts
            return
        column = next((value for name, value in report.user_properties if name == _NOTED), None)
        path, _, rest = report.nodeid.partition("::")
        if column is None or path not in {suite.path for suite in SUITES}:
            return
        cell = self._cells.setdefault((path, re.split(r"[\[:]", rest)[0], str(column)), Cell())
        if report.failed:
            cell.failed = True
        elif report.skipped:
            reason = _reason(report)
            if reason not in cell.reasons:
                cell.reasons.append(reason)
        elif report.when == "call":
            cell.passed = True

    def missing(self) -> list[str]:
        """Cells without a result."""
        return [
            f"{suite.path}::{test} on {column}"
            for suite in SUITES
            for test in suite.scenarios()
            for column in COLUMNS
            if (suite.path, test, column) not in self._cells
        ]

    def failed(self) -> bool:
        """Whether a scenario failed: then there is nothing to say about it."""
        return any(cell.failed for cell in self._cells.values())

    def table(self) -> str:
        """The tables, one for each suite, and the reasons below."""
        reasons: dict[str, int] = {}
        lines: list[str] = []
        for suite in SUITES:
            lines += [f"### {suite.title}", "", *self._rows(suite, reasons), ""]
        if reasons:
            lines += ["### Reasons", "", *(f"{number}. {reason}." for reason, number in reasons.items())]
        return "\n".join(lines).strip()

    def _rows(self, suite: Suite, reasons: dict[str, int]) -> Iterator[str]:
        yield f"| | {' | '.join(COLUMNS)} |"
        yield f"| --- |{' --- |' * len(COLUMNS)}"
        for test, told in suite.scenarios().items():
            cells = [self._cells.get((suite.path, test, column), Cell()) for column in COLUMNS]
            yield f"| {_cell(told)} | {' | '.join(_told(cell, reasons) for cell in cells)} |"


def _reason(report: pytest.TestReport) -> str:
    """The words of `pytest.skip`."""
    given = report.longrepr
    text = str(given[2]) if isinstance(given, tuple) else str(given)
    return " ".join(text.removeprefix("Skipped: ").split()).rstrip(".")


def _told(cell: Cell, reasons: dict[str, int]) -> str:
    numbers = [reasons.setdefault(reason, len(reasons) + 1) for reason in cell.reasons]
    word = "yes" if cell.passed else "no" if numbers else "?"
    return f"{word} ({', '.join(map(str, numbers))})" if numbers else word


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# ── the page ─────────────────────────────────────────────────────────────────────────────────


def committed() -> str:
    """The table that stands on the page; "" where there is none."""
    found = _split(PAGE.read_text(encoding="utf-8")) if PAGE.is_file() else None
    return found[1].strip() if found else ""


def write(table: str) -> None:
    """Put the table onto the page, between its two marks."""
    found = _split(PAGE.read_text(encoding="utf-8"))
    assert found is not None, f"{PAGE} has lost the marks between which the table stands: {BEGIN} … {END}"
    before, _, after = found
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def _split(page: str) -> tuple[str, str, str] | None:
    before, begun, rest = page.partition(BEGIN)
    table, ended, after = rest.partition(END)
    return (before, table, after) if begun and ended else None


def differences(before: Iterable[str], now: Iterable[str]) -> list[str]:
    """Lines that are only in one of them."""
    old, new = list(before), list(now)
    return [
        *(f"- {line}" for line in old if line not in new),
        *(f"+ {line}" for line in new if line not in old),
    ]


# ── pytest ───────────────────────────────────────────────────────────────────────────────────


class Keeper:
    """Looks on, and has the last word on the page. Lives where the run is controlled."""

    def __init__(self, *, writes: bool) -> None:
        self.results = Results()
        self._writes = writes
        self._said = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.results.add(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        missing, failed = self.results.missing(), self.results.failed()
        if self._writes and (missing or failed):
            why = f"there is no result for {', '.join(missing[:3])}" if missing else "a scenario failed"
            self._fails(session, f"{PAGE.name} is not written: {why}")
        elif self._writes:
            write(self.results.table())
            self._said = f"{PAGE.name} is written"
        elif not missing and not failed and (table := self.results.table()) != committed():
            changed = "\n".join(differences(committed().splitlines(), table.splitlines())[:40])
            self._fails(session, f"docs/{PAGE.name} is not what the tests say: run make platforms\n{changed}")

    def _fails(self, session: pytest.Session, why: str) -> None:
        self._said = why
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:  # so that the closing line counts it too
            failure = pytest.TestReport(
                f"docs/{PAGE.name}", (f"docs/{PAGE.name}", None, PAGE.name), {}, "failed", why, "call"
            )
            reporter.stats.setdefault("failed", []).append(failure)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._said and self._writes:
            terminalreporter.write_line(self._said)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-platforms", action="store_true", help="write the table of docs/platforms.md")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker of pytest-xdist sees a part only
        config.pluginmanager.register(
            Keeper(writes=bool(config.getoption("write_platforms"))), "parity-keeper"
        )
