"""Reports by rules: extracts and checklists that claim nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from orchestrator.agents import rules_code, rules_report
from orchestrator.agents.flaws import flaw
from orchestrator.artifacts import Report
from orchestrator.events import Json, StoredFile
from orchestrator.ports import Said, StepInput
from tests.unit.agents.steps import step

KINDS = (*rules_report.FORMS, "deployment", "")


def made(capability: str, text: str = "A shop. It must sell. It must ship.", **more: Any) -> Report:
    return rules_report.report(step("x", text, **more), (capability,))


def earlier(body: str = "B", **more: Any) -> Json:
    return Report(body=body, **more).model_dump(mode="json")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((), "done"),
        (("passed", "failed"), "passed"),
        (("passed", "failed", "not_run"), "not_run"),
        (("deployed", "by_hand", "failed"), "by_hand"),
        (("not_reproduced", "reproduced"), "not_reproduced"),
    ],
)
def test_the_outcome_claims_as_little_as_was_offered(offered: tuple[str, ...], chosen: str) -> None:
    assert made("testing" if "reproduced" not in offered else "debugging", outcomes=offered).outcome == chosen


def test_an_input_that_names_an_outcome_changes_nothing() -> None:
    offered = ("passed", "failed", "not_run")
    for inputs in ({"outcome": "failed"}, {"tests": "failed"}):
        assert made("testing", outcomes=offered, inputs=inputs).outcome == "not_run"


def test_requirements_are_the_words_of_the_request() -> None:
    report = made("requirements", "We need a shop:\n\n- it sells\n- it ships\n\n```\nnot this\n```")
    assert report.items == ["it sells", "it ships"]
    assert made("requirements").items == ["A shop.", "It must sell.", "It must ship."]


def test_parts_are_bounded_and_lose_nothing() -> None:
    outputs = {"requirements": earlier(items=[f"point {n}" for n in range(12)])}
    items = made("architecture", outputs=outputs).items
    assert len(items) == rules_report.MOST_PARTS
    assert items[-1] == "point 7; point 8; point 9; point 10; point 11"


def test_a_test_plan_checks_each_requirement_and_runs_nothing() -> None:
    outputs = {"requirements": earlier(items=["it sells", "it ships"]), "design": earlier(items=["a part"])}
    report = made("testing", outputs=outputs)
    assert report.items == ["Check: it sells", "Check: it ships"]
    assert "None of these was run." in report.body


def test_code_that_was_asked_for_is_listed_with_what_was_found_before() -> None:
    issue = {"severity": "major", "where": "a.py:3", "problem": "It stands still.", "remedy": "Wind it."}
    report = made(
        "coding", item="the hand", outputs={"tests": earlier(issues=[issue])}, comments=("Make it round.",)
    )
    for words in ("- [ ] the hand", "a.py:3: It stands still. Wind it.", "Make it round."):
        assert words in report.body
    assert report.files == []


def test_what_the_node_said_before_is_not_an_earlier_step() -> None:
    outputs = {"x": earlier("OWN", items=["own"]), "y": earlier("OTHER", items=["other"])}
    assert made("testing", outputs=outputs).items == ["Check: other"]
    inside = replace(step("x", "t", outputs=outputs), node="map[3]/x[1]")
    assert "OWN" not in rules_report.report(inside, ("summary",)).body


def test_evidence_of_a_fault_is_quoted_and_what_is_missing_asked() -> None:
    text = "It should show a sum, but it crashes.\n\n1. Open it\n2. Press Pay\n\nTypeError: x is undefined"
    report = made("debugging", text)
    for words in ("Press Pay", "TypeError: x is undefined", "It should show a sum"):
        assert words in report.body
    assert report.items == ["Which version is it, and on which system or browser?"]
    bare = made("debugging", "It is odd", outcomes=("reproduced", "not_reproduced", "not_tried"))
    assert bare.outcome == "not_reproduced"
    assert len(bare.items) == 4
    answered = made(
        "debugging",
        "It is odd",
        outcomes=("reproduced", "not_reproduced", "not_tried"),
        outputs={"ask": {"text": "1. Open it\n2. Close it"}},
    )
    assert answered.outcome == "not_tried"


def test_a_summary_shows_what_others_made_and_keeps_what_is_open() -> None:
    issue = {"severity": "critical", "where": "db", "problem": "No backup.", "remedy": ""}
    outputs = {
        "design": earlier(f"THE DESIGN\n\n{rules_report.FOOTER}", issues=[issue]),
        "ask": {"text": "YES"},
    }
    problem = {"node": "qa", "problem": {"kind": "model", "message": "no answer"}}
    body = made("summary", outputs=outputs, problem=problem).body
    for words in ("THE DESIGN", "YES", "**critical** db: No backup.", "qa failed: no answer"):
        assert words in body
    assert body.count(rules_report.FOOTER) == 1


def test_what_is_undone_is_told_in_words() -> None:
    item = {"node": "begin_it", "output": earlier("It was begun.", outcome="deployed", files=[])}
    undone = step("x", "t", item=item, undoing="begin_it", task="Take it back.")
    body = rules_report.report(undone, ("rollback",)).body
    assert "the work of Begin it" in body
    assert "It was begun." in body
    assert "{'" not in body
    long = rules_report.report(
        replace(undone, item={"node": "b", "output": earlier("long\n" * 9_000)}), ("rollback",)
    )
    assert len(long.body) < 2_500


def test_inputs_are_said_as_people_say_them() -> None:
    given = {
        "auto_rollback": True,
        "dry": False,
        "notify": [],
        "who": [""],
        "steps": [1, 2],
        "by": {"a_b": True},
    }
    body = made("deployment", inputs=given).body
    for words in ("- auto rollback: yes", "- steps: 1, 2", "- by: a b: yes"):
        assert words in body
    for words in ("True", "[]", "dry", "notify", "who"):
        assert words not in body


def test_no_heading_stands_over_nothing() -> None:
    empty = made("deployment", outputs={"gate": {"done": True}}).body
    assert rules_report.EARLIER not in empty
    assert rules_report.EARLIER in made("deployment", outputs={"look": earlier("SEEN")}).body


def test_a_summary_has_what_every_member_of_a_team_said() -> None:
    talk = (Said("Researcher", earlier("FOUND")), Said("Builder", earlier("MADE")))
    body = made("summary", outputs={"member": earlier("MADE"), "plan": earlier("PLANNED")}, talk=talk).body
    assert body.index("PLANNED") < body.index("FOUND") < body.index("MADE")
    assert body.count("MADE") == 1
    assert "### Researcher" in body


# ── code ─────────────────────────────────────────────────────────────────────────────────────

DIFF = """--- a/app.py
+++ b/app.py
@@ -1,3 +10,4 @@
 eval(old)
-eval(gone)
+eval(new)
+password = "hunter2hunter2"
"""


def found(text: str, *aspects: str, **more: Any) -> list[tuple[str, str]]:
    issues = rules_code.issues(step("x", text, **more), aspects or rules_code.ASPECTS)
    return [(i.where, i.problem) for i in issues]


def test_only_added_lines_of_a_diff_count_and_have_their_new_numbers() -> None:
    assert [where for where, _ in found(DIFF, "security")] == ["app.py:11", "app.py:12"]
    assert [where for where, _ in found("See", "security", inputs={"diff": DIFF})] == [
        "app.py:11",
        "app.py:12",
    ]


@pytest.mark.parametrize(
    ("aspect", "code"),
    [
        ("security", "subprocess.run(x, shell=True)"),
        ("security", "requests.get(u, verify=False)"),
        ("security", 'db.execute(f"select a from t where id={x}")'),
        ("security", "pickle.loads(body)"),
        ("security", "api_key: 'abcdef123456'"),
        ("security", "-----BEGIN RSA PRIVATE KEY-----"),
        ("security", "el.innerHTML = text"),
        ("performance", "for x in xs:\n    db.execute(q, x)"),
        ("performance", "SELECT * FROM t"),
        ("style", "except: pass"),
        ("style", "# TODO later"),
        ("style", "x" * 121),
    ],
)
def test_patterns_find_what_they_are_for(aspect: str, code: str) -> None:
    file = StoredFile(name="f", media_type="text/plain", size=1, sha256="0" * 64, text=code)
    assert found("Look", aspect, turn_more={"files": (file,)})


@pytest.mark.parametrize(
    "code",
    [
        "password = os.environ['PASSWORD']",
        "retrieval(x)",
        "yaml.load(text, Loader=SafeLoader)",
        "db.execute('select a from t where id=?', (x,))",
        "token = ''",
        "except ValueError:",
    ],
)
def test_patterns_leave_good_code_alone(code: str) -> None:
    assert found(f"```\n{code}\n```") == []


def test_no_code_is_said_openly_and_a_clean_one_is_no_proof() -> None:
    assert "There was no code to look at" in made("security", "Is it safe?").body
    clean = made("security", "```\nx = 1\n```", outcomes=("clean", "findings"))
    assert "no proof" in clean.body
    assert clean.outcome == "clean"
    assert made("security", DIFF, outcomes=("clean", "findings")).outcome == "findings"


PLAIN = "Please look at this\n\ndef run(x):\n    total = 1\n    return eval(x)\n\nIt is slow."


def test_code_without_a_fence_is_looked_at_and_prose_is_not() -> None:
    assert [where for where, _ in found(PLAIN, "security")] == ["request:5"]
    assert [line.text for line in rules_code.code(step("x", PLAIN))] == PLAIN.split("\n")[2:5]
    assert "3 lines of code" in made("security", PLAIN).body
    javascript = "el.innerHTML = text;\nif (x) {\n  go(x);\n}"
    assert len(found(javascript, "security")) == 1


def test_one_line_between_backticks_is_looked_at() -> None:
    asked = "Hello,\nI don`t know: is `eval(input())` safe in our `settings` here? And ``two`` or `x`?"
    assert [(line.where, line.text) for line in rules_code.code(step("x", asked))] == [
        ("request:2", "eval(input())")
    ]
    said = made("security", asked)
    assert [issue.where for issue in said.issues] == ["request:2"]
    assert "1 line of code was looked at" in said.body
    assert "1 new finding." in said.body


@pytest.mark.parametrize(
    "text",
    [
        "Is it safe?",
        "Should `README.md` say more about the `--help` of `make up`, or ` `?",
        "What does `--host=0.0.0.0` do, and `LOG_LEVEL=debug make up`, and `docs (old)`?",
        "The class of errors that we import from others: please list them.\nFor each of them, a reason.",
        "from time to time it fails\nimport is slow\nclass action",
        "See the function (the old one).\n\n- one\n- two",
    ],
)
def test_prose_is_no_code_and_it_is_said_how_to_give_some(text: str) -> None:
    assert rules_code.code(step("x", text)) == []
    assert "between two lines of ```" in made("security", text).body


def test_a_merging_review_keeps_all_findings_the_worst_first() -> None:
    issues = [
        {"severity": severity, "where": severity, "problem": f"It is {severity}.", "remedy": ""}
        for severity in ("minor", "critical")
    ]
    outputs = {"style": earlier(issues=issues[:1]), "security": earlier(issues=issues[1:])}
    report = made("code_review", DIFF, outputs=outputs)
    assert [i.severity for i in report.issues] == ["critical", "minor"]


def test_hostile_lines_take_no_time() -> None:
    nasty = "\n".join(
        ["password" + " " * 50_000, "f'select " + "a" * 50_000, "catch (" * 20_000, "+" * 50_000]
    )
    step_with = step("x", f"```\n{nasty}\n```\n" * 20)
    assert len(rules_code.code(step_with)) < 200
    assert rules_code.issues(step_with, rules_code.ASPECTS) is not None
    many = step("x", "```\n" + "eval(x)\n" * 100_000 + "```")
    assert len(rules_code.code(many)) == rules_code.MOST_LINES
    assert len(rules_code.issues(many, ("security",))) == rules_code.MOST_EACH


# ── anything ─────────────────────────────────────────────────────────────────────────────────

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def output(body: str, items: list[str], plain: bool) -> Json:
    one = earlier(body, items=items)
    return one if plain else {"items": [None, one], "failed": []}


outputs = st.dictionaries(
    st.sampled_from(["a", "b", "x"]),
    st.builds(output, st.text(max_size=60), st.lists(st.text(max_size=20), max_size=4), st.booleans()),
)


@settings(max_examples=150)
@given(
    kind=st.sampled_from(KINDS),
    text=st.text(max_size=200),
    task=st.text(max_size=100),
    item=json_values,
    inputs=st.dictionaries(st.text(max_size=8), json_values, max_size=3),
    outputs=outputs,
    offered=st.lists(st.text(min_size=1, max_size=8), max_size=3),
)
def test_whatever_is_given_a_report_fits_and_names_the_rules(
    kind: str, text: str, task: str, item: Any, inputs: Json, outputs: dict[str, Json], offered: list[str]
) -> None:
    given_step: StepInput = step(
        "x", text, task=task, item=item, inputs=inputs, outputs=outputs, outcomes=tuple(offered)
    )
    report = rules_report.report(given_step, (kind,))
    assert flaw(report, given_step) is None
    assert report.body.endswith(rules_report.FOOTER)
    assert report == rules_report.report(given_step, (kind,))
    assert report.files == []
