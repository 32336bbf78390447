"""Inputs of a run: what is taken, what is filled in, what is refused and in which words."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import Refused
from orchestrator.inputs import (
    InputsRefused,
    checked,
    described,
    example,
    example_pairs,
    from_words,
    takes_text_alone,
)
from orchestrator.workflow import Workflow
from tests.builders import flow, quartet

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["environment", "version"],
    "properties": {
        "text": {"type": "string"},
        "environment": {"enum": ["staging", "production"], "description": "Where to"},
        "version": {"type": "string", "pattern": r"^\d+(\.\d+)*$", "examples": ["1.2"]},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 50, "default": 3},
        "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "dry_run": {"type": "boolean", "default": False},
        "standards": {
            "type": "array",
            "items": {"enum": ["SOC2", "GDPR"]},
            "uniqueItems": True,
            "maxItems": 2,
        },
        "window": {
            "type": "object",
            "properties": {
                "begins": {"type": "string", "format": "date"},
                "hours": {"type": "integer", "default": 2},
            },
            "required": ["begins"],
            "additionalProperties": False,
        },
        "owner": {"type": ["string", "null"], "default": None, "maxLength": 20},
        "mail": {"$ref": "#/$defs/mail"},
    },
    "$defs": {"mail": {"type": "string", "format": "email"}},
}
FINE = {"environment": "staging", "version": "1.2"}


def deployment(schema: dict[str, Any] | None = None) -> Workflow:
    return flow({"a": "agent"}, name="deployment", inputs=SCHEMA if schema is None else schema)


def lines(given_inputs: Any, schema: dict[str, Any] | None = None) -> tuple[str, ...]:
    with pytest.raises(InputsRefused) as caught:
        checked(deployment(schema), given_inputs)
    assert isinstance(caught.value, Refused)
    assert str(caught.value) == "\n".join(caught.value.lines)
    assert all(line and "\n" not in line and len(line) < 600 for line in caught.value.lines)
    return caught.value.lines


def test_defaults_are_filled_in_also_inside() -> None:
    found = checked(deployment(), {**FINE, "window": {"begins": "2026-01-31"}})
    assert found == {
        **FINE,
        "replicas": 3,
        "dry_run": False,
        "owner": None,
        "window": {"begins": "2026-01-31", "hours": 2},
    }


def test_defaults_and_what_was_given_are_not_shared_between_runs() -> None:
    workflow = deployment({"properties": {"tags": {"type": "array", "default": []}}})
    mine: dict[str, Any] = {}
    checked(workflow, mine)["tags"].append("x")
    assert mine == {}
    assert checked(workflow, {}) == {"tags": []}


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            {"environment": "stagin"},
            "environment: 'stagin' is not allowed; "
            "it takes one of staging, production"
            ", for example environment=staging",
        ),
        (
            {"version": "v1"},
            r"version: 'v1' is not allowed; "
            r"it takes text that matches ^\d+(\.\d+)*$"
            ", for example version=1.2",
        ),
        (
            {"replicas": 0},
            "replicas: 0 is too small; it takes a whole number from 1 to 50, for example replicas=3",
        ),
        (
            {"replicas": 51},
            "replicas: 51 is too large; it takes a whole number from 1 to 50, for example replicas=3",
        ),
        (
            {"replicas": "many"},
            "replicas: 'many' is not allowed; it takes a whole number from 1 to 50, for example replicas=3",
        ),
        (
            {"replicas": True},
            "replicas: 'yes' is not allowed; it takes a whole number from 1 to 50, for example replicas=3",
        ),
        ({"share": 2}, "share: 2 is too large; it takes a number from 0 to 1, for example share=1"),
        ({"dry_run": "maybe"}, "dry_run: 'maybe' is not allowed; it takes yes or no, for example dry_run=no"),
        (
            {"standards": ["SOC2", "SOC2"]},
            "standards: has something twice; "
            "it takes a list, divided by commas, of one of SOC2, GDPR, at most 2"
            ", for example standards=SOC2",
        ),
        (
            {"standards": ["SOX"]},
            "standards[0]: 'SOX' is not allowed; it takes one of SOC2, GDPR, for example standards=SOC2",
        ),
        ({"mail": "ada"}, "mail: 'ada' is not allowed; it takes an email, for example mail=ada@example.com"),
        (
            {"owner": "x" * 21},
            "owner: is too long, 21 of at most 20; "
            "it takes text of at most 20 characters or nothing"
            ", for example owner=OWNER",
        ),
        (
            {"window": {}},
            'window.begins: is missing; it takes a date, for example window=\'{"begins": "2026-01-31"}\'',
        ),
        ({"window": {"begins": "2026-02-30"}}, "window.begins: '2026-02-30' is not allowed; it takes a date"),
        (
            {"window": {"begins": "2026-02-03", "colour": 1}},
            "window.colour: there is no such key; there are begins, hours",
        ),
        ({"enviroment": "staging"}, "enviroment: there is no such input; did you mean 'environment'?"),
        ({"colour": "red"}, "colour: there is no such input; inputs are environment, version, replicas"),
        ({"text": 5}, "text: is text; for example text='what is to be done'"),
    ],
)
def test_a_refusal_names_the_input_what_is_allowed_and_an_example(changed: dict[str, Any], line: str) -> None:
    said = lines({**FINE, **changed})
    assert any(each.startswith(line) for each in said), said


def test_everything_that_is_missing_is_said_at_once() -> None:
    assert lines({}) == (
        "environment: is missing; it takes one of staging, production, for example environment=staging",
        r"version: is missing; it takes text that matches ^\d+(\.\d+)*$, for example version=1.2",
    )


def test_a_workflow_without_inputs_takes_the_request_alone() -> None:
    assert checked(quartet(), {"text": "hello"}) == {"text": "hello"}
    assert takes_text_alone(quartet())
    assert takes_text_alone(deployment({}))
    assert checked(deployment({}), {}) == {}
    assert lines({"version": 1}, {}) == (
        "version: deployment takes no inputs but the request; write: run deployment what is to be done",
    )


def test_inputs_that_are_not_named_are_taken_where_the_schema_says_so() -> None:
    open_schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": True}
    assert checked(deployment(open_schema), {"n": 1, "more": [1]}) == {"n": 1, "more": [1]}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ({"environment": "Staging"}, {"environment": "staging"}),
        ({"ENVIRONMENT": "staging"}, {"environment": "staging"}),
        ({"dry-run": "yes"}, {"dry_run": True}),
        ({"dry_run": "OFF"}, {"dry_run": False}),
        ({"dry_run": "0"}, {"dry_run": False}),
        ({"dry_run": "perhaps"}, {"dry_run": "perhaps"}),
        ({"replicas": " 12 "}, {"replicas": 12}),
        ({"replicas": "1.5"}, {"replicas": "1.5"}),
        ({"replicas": "1_000"}, {"replicas": "1_000"}),
        ({"replicas": "9" * 5000}, {"replicas": "9" * 5000}),
        ({"share": "0.25"}, {"share": 0.25}),
        ({"share": "nan"}, {"share": "nan"}),
        ({"share": "1e999"}, {"share": "1e999"}),
        ({"version": "1.20"}, {"version": "1.20"}),
        ({"version": "2"}, {"version": "2"}),
        ({"standards": "soc2, gdpr,"}, {"standards": ["SOC2", "GDPR"]}),
        ({"standards": '["SOC2"]'}, {"standards": ["SOC2"]}),
        ({"standards": "[" * 100_000}, {"standards": "[" * 100_000}),
        ({"window": '{"begins": "2026-01-31"}'}, {"window": {"begins": "2026-01-31"}}),
        ({"owner": "none"}, {"owner": None}),
        ({"text": "Deploy it"}, {"text": "Deploy it"}),
        ({"colour": "red"}, {"colour": "red"}),
    ],
)
def test_words_become_what_the_schema_says(words: dict[str, str], found: dict[str, Any]) -> None:
    assert from_words(deployment(), words) == found


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"environment": "moon"}, "run deployment environment=staging version=1.2 …"),
        ({"replicas": 0}, "run deployment environment=staging version=1.2 replicas=3 …"),
        ({"window": {"hours": 1}}, "run deployment environment=staging version=1.2 window="),
        ({"replcas": 1}, "run deployment environment=staging version=1.2 replicas=3 …"),
        ({"standards": ["X"]}, "run deployment environment=staging version=1.2 standards=SOC2 …"),
    ],
)
def test_an_example_shows_of_what_may_be_left_out_only_what_was_wrong(
    changed: dict[str, Any], shown: str
) -> None:
    with pytest.raises(InputsRefused) as caught:
        checked(deployment(), {**FINE, **changed})
    assert example(deployment(), wrong=caught.value.names).startswith(shown)


def test_an_example_without_required_inputs_shows_two_before_anything_was_wrong() -> None:
    easy = deployment({"properties": {name: {"enum": ["x", "y"]} for name in "abc"}})
    assert example(easy) == "run deployment a=x b=x …"
    assert example(easy, wrong={"c"}) == "run deployment c=x …"


def test_the_example_can_be_written_as_it_stands() -> None:
    assert example(deployment()) == "run deployment environment=staging version=1.2 …"
    assert example(quartet()) == "run quartet what is to be done"
    assert example_pairs(deployment()) == ("environment=staging", "version=1.2")
    pairs = dict(pair.split("=") for pair in example(deployment()).split()[2:-1])
    assert checked(deployment(), from_words(deployment(), pairs))["version"] == "1.2"


def test_inputs_are_described_for_people() -> None:
    rows = dict(described(deployment()))
    assert rows["environment"] == "one of staging, production, required: Where to"
    assert rows["replicas"] == "a whole number from 1 to 50, 3 by default"
    assert rows["dry_run"] == "yes or no, no by default"
    assert list(rows) == list(SCHEMA["properties"])


# ── hostile ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("hostile", "words"),
    [
        ({"a": "x" * 300_000}, "longer than"),
        ({"a": ["x"] * 5_000}, "more than 1,000 values"),
        ({"a": float("nan")}, "not finite"),
        ({"a": float("inf")}, "not finite"),
        ({"a": 10**400}, "30 digits"),
        ({"a": {1: 2}}, "names are text"),
        ({"a": object()}, "of type object"),
        ({"a": b"x"}, "of type bytes"),
    ],
)
def test_what_is_too_large_or_no_json_is_refused(hostile: dict[str, Any], words: str) -> None:
    [line] = lines(hostile, {"additionalProperties": True})
    assert words in line


def test_deep_values_are_refused() -> None:
    deep: Any = 1
    for _ in range(50_000):
        deep = [deep]
    [line] = lines({"a": deep}, {"additionalProperties": True})
    assert "deeper than" in line


BOMBS: dict[str, dict[str, Any]] = {
    "a reference elsewhere": {"properties": {"n": {"$ref": "https://example.com/x"}}},
    "a file": {"properties": {"n": {"$ref": "file:///etc/passwd"}}},
    "a reference to the whole": {"properties": {"n": {"$ref": "#"}}},
    "a loop": {"properties": {"n": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}},
    "doubling": {
        "properties": {"n": {"$ref": "#/$defs/a0"}},
        "$defs": {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)} | {"a40": {}},
    },
    "a dynamic reference": {"properties": {"n": {"$dynamicRef": "#x"}}},
    "patterns for names": {"patternProperties": {"(a+)+$": {}}},
    "no pattern": {"properties": {"n": {"pattern": "("}}},
    "a long pattern": {"properties": {"n": {"pattern": "a" * 1000}}},
    "a pattern that multiplies": {"properties": {"n": {"pattern": "(((a{1000}){1000}){1000})"}}},
    "a type that there is not": {"properties": {"n": {"type": "file"}}},
    "properties that are a list": {"properties": ["n"]},
    "a schema that is a number": {"properties": {"n": 5}},
    "a limit that is a list": {"properties": {"n": {"minimum": []}}},
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_hostile_schema_is_refused_and_never_worked_with(name: str) -> None:
    begun = time.process_time()
    [line] = lines({"n": "a" * 10_000}, BOMBS[name])
    assert line.startswith("inputs")
    assert "of this workflow" in line
    assert time.process_time() - begun < 5.0


def test_a_pattern_that_hangs_other_engines_takes_no_time_here() -> None:
    schema = {"properties": {"n": {"type": "string", "pattern": "^(a+)+$"}}}
    begun = time.process_time()
    [line] = lines({"n": "a" * 100_000 + "!"}, schema)
    assert time.process_time() - begun < 5.0
    assert "matches ^(a+)+$" in line
    assert checked(deployment(schema), {"n": "aaa"}) == {"n": "aaa"}


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*SCHEMA["properties"], "x", ""]), VALUES, max_size=6))
def test_anything_is_taken_or_refused_in_lines(anything: dict[str, Any]) -> None:
    with contextlib.suppress(InputsRefused):
        found = checked(deployment(), {**FINE, **anything})
        assert checked(deployment(), found) == found


@given(
    st.dictionaries(
        st.sampled_from([*SCHEMA["properties"], "Dry-Run", "x"]), st.text(max_size=30), max_size=6
    )
)
def test_any_words_are_read_and_then_taken_or_refused(words: dict[str, str]) -> None:
    with contextlib.suppress(InputsRefused):
        checked(deployment(), {**FINE, **from_words(deployment(), words)})


@given(
    st.dictionaries(
        st.sampled_from(["type", "properties", "required", "$defs", "allOf", "items", "enum"]),
        VALUES,
        max_size=4,
    )
)
@settings(deadline=None)
def test_any_schema_is_used_or_refused(schema: dict[str, Any]) -> None:
    with contextlib.suppress(InputsRefused):
        checked(deployment(schema), {"a": 1, "text": "x"})
    with contextlib.suppress(InputsRefused):
        assert example(deployment(schema)).startswith("run deployment")
    with contextlib.suppress(InputsRefused):
        described(deployment(schema))
        from_words(deployment(schema), {"a": "1"})
