"""`quartet workflows versions | diff | rollback | remove`, `ask --input`, `runs fork`, from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.cli import main

FLOW = """name: mine
description: {about}
inputs:
  type: object
  properties: {{environment: {{enum: [staging, production]}}}}
  required: [environment]
nodes:
  one: {{kind: agent, agent: researcher}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "home"))
    (tmp_path / "flows").mkdir()
    (tmp_path / "config").mkdir()
    (tmp_path / "config/quartet.yaml").write_text("workflows_path: [../flows]\n")
    (tmp_path / "flows/mine.yaml").write_text(FLOW.format(about="old"))
    return tmp_path


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, list(args))
    return result.exit_code, result.output


def test_versions_of_a_file_are_listed_compared_and_brought_back(folder: Path) -> None:
    assert run("workflows", "versions", "mine")[1].endswith("from mine.yaml  (now)\n")
    (folder / "flows/mine.yaml").write_text(FLOW.format(about="new"))
    code, said = run("workflows", "versions", "mine", "--json")
    assert (code, [row["version"] for row in json.loads(said)]) == (0, [2, 1])
    code, said = run("workflows", "diff", "mine", "1", "2")
    assert (code, "-description: old\n+description: new" in said) == (0, True)
    assert "again as in version 1 (now version 3)" in run("workflows", "rollback", "mine", "1")[1]
    assert "as in version 1 already" in run("workflows", "rollback", "mine", "1")[1]
    shown = run("workflows", "versions", "mine")[1].splitlines()
    assert len(shown) == 3
    assert shown[0].endswith("back to version 1  (now)")


@pytest.mark.parametrize(
    ("args", "code", "hint"),
    [
        (("versions", "min"), 1, "did you mean 'mine'"),
        (("diff", "mine", "1", "9"), 1, "it has 1 to 1"),
        (("diff", "mine", "0", "1"), 2, "0 is not in the range"),
        (("rollback", "mine", "x"), 2, "not a valid integer"),
        (("rollback", "mine", "9" * 40), 1, "it has 1 to 1"),
        (("remove", "mine"), 1, "comes from mine.yaml; remove that"),
        (("remove", "quartet"), 1, "is shipped and stays"),
        (("remove", "\x1b[31m"), 1, "there is no workflow"),
    ],
)
def test_what_cannot_be_is_one_line_with_a_remedy(
    folder: Path, args: tuple[str, ...], code: int, hint: str
) -> None:
    found, said = run("workflows", *args)
    assert found == code
    assert hint in said
    assert "\x1b" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (("--input", "environment=staging"), "name it with --workflow"),
        (("--workflow", "mine"), "environment: is missing"),
        (("--workflow", "mine", "--input", "environment=moon"), "staging, production"),
        (("--workflow", "mine", "--input", "environment"), "is not K=V"),
        (("--workflow", "mine", "--input", "environment=a", "--input", "environment=b"), "given twice"),
        (("--workflow", "mine", "--deadline", "yesterday"), "is no time"),
        (("--workflow", "mine", "--deadline", "2020-01-01"), "is over already"),
        (("--workflow", "mine", "--priority", "urgent"), "critical"),
    ],
)
def test_asking_with_wrong_inputs_is_refused(folder: Path, args: tuple[str, ...], hint: str) -> None:
    code, said = run("ask", "--yes", *args, "Ship it")
    assert code == 2
    assert hint in said


def test_a_run_with_inputs_is_forked_with_others(folder: Path) -> None:
    code, said = run(
        "ask", "--yes", "--workflow", "mine", "--input", "environment=staging", "--priority", "high"
    )
    assert code == 0, said
    [row] = json.loads(run("runs", "list", "--json")[1])
    code, said = run("runs", "fork", row["id"][:6], "--from", "one", "--input", "environment=production")
    assert code == 0, said
    rows = json.loads(run("runs", "list", "--json")[1])
    assert [r["workflow"] for r in rows] == ["mine", "mine"]
    events = json.loads(run("runs", "show", rows[0]["id"], "--json")[1])["events"]
    assert events[0]["inputs"] == {"environment": "production"}
    assert events[0]["forked"]["run_id"] == row["id"]
    assert events[0]["priority"] == "high"
    for step, hint in (("nowhere", "nowhere"), ("one/../two", "one/../two")):
        code, said = run("runs", "fork", row["id"], "--from", step)
        assert code == 1
        assert hint in said


SHOWN = """name: shown
inputs:
  type: object
  properties:
    environment: {enum: [staging, production], description: Where to}
    tags: {type: array, default: [a b]}
  required: [environment]
nodes:
  plan: {kind: agent, agent: researcher}
  do: {kind: agent, requires: [health_check], prefers: [deployment], depends_on: [plan]}
  each: {kind: map, over: plan.gaps, workflow: mine, inputs: {environment: staging}, depends_on: [do]}
  inner: {kind: workflow, workflow: mine, inputs: {environment: staging}, depends_on: [each]}
  ask: {kind: input, question: "Which version?", depends_on: [inner]}
"""


def test_show_says_who_works_what_is_taken_and_how_to_start(folder: Path) -> None:
    (folder / "flows/shown.yaml").write_text(SHOWN)
    code, said = run("workflows", "show", "shown")
    assert code == 0, said
    for line in (
        "  plan: agent (researcher)",
        "  do: agent (whoever has health_check; preferably with deployment)",
        "  each: map (each of plan.gaps; workflow mine)",
        "  inner: workflow (workflow mine)",
        "  ask: input (Which version?)",
        "  environment: one of staging, production, required: Where to",
        "For example, in chat: run shown environment=staging …",
        'In the terminal: quartet ask --workflow shown --input environment=staging "what is to be done"',
    ):
        assert line in said.splitlines(), (line, said)


def test_check_counts_one_node_as_one(folder: Path) -> None:
    assert run("workflows", "check", "flows/mine.yaml")[1].endswith("is well formed (1 node).\n")


def test_of_the_inputs_only_those_that_matter_are_explained(folder: Path) -> None:
    (folder / "flows/shown.yaml").write_text(SHOWN)
    said = run("ask", "--yes", "--workflow", "shown", "--input", "environment=moon", "Ship it")[1]
    assert "--input environment=…  one of staging, production" in said
    assert "--input tags" not in said
    assert "`quartet workflows show shown` lists all inputs" in said


ASKS = """name: asks
nodes:
  ask: {kind: input, question: "Which version?", title: Ask}
"""


def test_without_a_terminal_that_is_said_only_where_something_is_asked(folder: Path) -> None:
    (folder / "flows/asks.yaml").write_text(ASKS)
    code, said = run("ask", "--workflow", "asks", "Ship it")
    assert code == 3
    assert said.count("There is no terminal to ask at") == 1
    assert "Ask: skipped, rejected" in said
    assert "How to answer" not in said
    assert "Press" not in said
    code, said = run("ask", "--workflow", "mine", "--input", "environment=staging", "Ship it")
    assert code == 0, said
    assert "no terminal" not in said


def test_a_slip_after_ask_starts_nothing(folder: Path) -> None:
    for text, hint in (
        ("run deploymnt x", "did you mean 'deployment'?"),
        ("schedules remove zzz", "schedules remove ID"),
        ("fork zzz a", "is not the id of a run"),
    ):
        code, said = run("ask", "--yes", text)
        assert (code, hint in said) == (2, True), said
    assert json.loads(run("runs", "list", "--json")[1]) == []
