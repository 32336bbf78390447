"""Reading YAML: what comes out, and that nothing else than ConfigError ever does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.documents import read_text_model
from config.errors import ConfigError, ConfigProblem
from config.yaml_text import decode, read_text
from orchestrator import workflow_checks
from orchestrator.workflow import Workflow

texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=30)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(texts, v, max_size=4), max_leaves=20
)


def read(text: str) -> dict[str, Any]:
    return read_text(text, "t.yaml").values


@given(st.dictionaries(texts, values, max_size=5))
def test_json_reads_as_itself(value: dict[str, Any]) -> None:
    assert read(json.dumps(value, ensure_ascii=False)) == value


def problems(text: str) -> tuple[ConfigProblem, ...]:
    try:
        read_text_model(
            text,
            "t.yaml",
            Workflow,
            extra_check=lambda w: ((f.path, f.message) for f in workflow_checks.problems(w)),
        )
    except ConfigError as error:
        return error.problems
    return ()


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode(errors="surrogatepass")))
def test_any_bytes_are_read_or_refused_in_our_words(content: bytes) -> None:
    try:
        found = problems(decode(content, "t.yaml"))
    except ConfigError as error:
        found = error.problems
    assert found  # no random bytes are a workflow
    assert all(p.file == "t.yaml" and p.message and p.remedy for p in found)


@given(st.dictionaries(st.sampled_from(["name", "nodes", "edges", "start", "inputs", "answer", "x"]), values))
def test_any_document_that_is_no_workflow_is_refused_at_a_line_of_it(value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False)
    found = problems(text)
    assert found
    assert all(p.line is not None and 1 <= p.line <= text.count("\n") + 1 for p in found)
    assert all(p.message and p.remedy for p in found)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("yes", "yes"), ("No", "No"), ("off", "off"), ("y", "y"), ("true", True),
        ("False", False), ("", None), ("~", None), ("null", None), ("'null'", "null"), ("012", 12),
        ("0o17", 15), ("0x1F", 31), ("1_000", "1_000"),
        ("12:30:45", "12:30:45"), ("2024-01-01", "2024-01-01"),
        ("1e3", 1000.0), (".5", 0.5), ("=", "="), ("<<", "<<"), ("1.0.0", "1.0.0"), ("-", [None]),
        ("'1'", "1"), ("|\n  a\n  b", "a\nb\n"),
    ],
)  # fmt: skip
def test_plain_words_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    separator = "\n  " if text == "-" else " "
    found = read(f"a:{separator}{text}\n")["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_always_words() -> None:
    assert read("on: 1\ntrue: 2\n8080: 3\nnull: 4\n") == {"on": 1, "true": 2, "8080": 3, "null": 4}


def test_an_alias_stands_for_its_value_and_its_own_place() -> None:
    document = read_text("a: &r {max: 1}\nb:\n  c: *r\n", "t.yaml")
    assert document.values["b"]["c"] == {"max": 1}
    assert document.mark(("b", "c", "max")).line == 3
