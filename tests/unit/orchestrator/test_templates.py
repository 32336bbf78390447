"""Texts with expressions: what comes out, and that what goes in is never read as an expression again."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.expressions import ExpressionError
from orchestrator.templates import fill, fill_all, holes

NAMES: dict[str, Any] = {
    "inputs": {
        "text": "Deploy",
        "version": "1.2",
        "flags": ["a", "b"],
        "trap": "{{ inputs.secret }}",
        "n": 3,
    },
    "plan": {"goal": "ship", "tasks": [{"id": "t1"}]},
}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("nothing to fill", "nothing to fill"),
        ("", ""),
        ("Release {{ inputs.version }} now", "Release 1.2 now"),
        ("{{inputs.version}}{{ plan.goal }}", "1.2ship"),
        ("{{ inputs.flags }}", '["a", "b"]'),
        ("{{ inputs.n + 1 }} of {{ len(plan.tasks) }}", "4 of 1"),
        ("{{\n  inputs.version\n}}", "1.2"),
        ("{ inputs.version } and {x}", "{ inputs.version } and {x}"),
        ("{{ 'a}b' }}", "a}b"),
        ("{{ inputs.version == '1.2' }}", "true"),
    ],
)
def test_expressions_in_a_text_are_filled_in(text: str, result: str) -> None:
    assert fill(text, NAMES) == result


def test_what_is_filled_in_is_not_read_again() -> None:
    assert fill("Say {{ inputs.trap }}", NAMES) == "Say {{ inputs.secret }}"


@pytest.mark.parametrize(
    "text",
    [
        "{{ nobody }}",
        "{{ inputs.secret }}",
        "{{ }}",
        "{{ inputs.__class__ }}",
        "{{ inputs.text.format(inputs) }}",
        "{{ ''.join(inputs) }}",
        "{{ config }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{{ ().__class__.__mro__ }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'a' * 999999999 }}",
        "{{ inputs; plan }}",
        "{{ [x for x in inputs] }}",
    ],
)
def test_hostile_expressions_are_errors(text: str) -> None:
    with pytest.raises(ExpressionError):
        fill(text, NAMES)
    with pytest.raises(ExpressionError):
        fill_all({"deep": [text]}, NAMES)


def test_a_text_that_is_one_expression_alone_keeps_its_type() -> None:
    given_inputs = {
        "flags": "{{ inputs.flags }}",
        "n": " {{ inputs.n }} ",
        "both": "{{ inputs.n }}{{ inputs.n }}",
        "k": 7,
    }
    assert fill_all(given_inputs, NAMES) == {"flags": ["a", "b"], "n": 3, "both": "33", "k": 7}
    assert fill_all(["{{ plan.goal }}!", None, True], NAMES) == ["ship!", None, True]


def test_holes_are_the_expressions_as_they_stand() -> None:
    assert holes("a {{ x }} b {{y.z}}") == [" x ", "y.z"]
    assert holes("none { here }") == []


@pytest.mark.parametrize(
    ("text", "shown"), [("go {{ x", "{{ x"), ("{{ a {{ b }}", "{{ a"), ("{{ b }} {{ c", "{{ c")]
)
def test_an_expression_that_is_not_closed_is_shown(text: str, shown: str) -> None:
    with pytest.raises(ExpressionError, match="without closing") as caught:
        holes(text)
    assert shown in str(caught.value)


@pytest.mark.parametrize(
    "text", ["{{" * 300_000, "{{ {" * 200_000, "{" * 600_000, "{{ x " * 100_000 + "}}", "}}" * 300_000]
)
def test_braces_without_end_are_read_once(text: str) -> None:
    begun = time.process_time()
    with contextlib.suppress(ExpressionError):
        holes(text)
    with contextlib.suppress(ExpressionError):
        fill(text, NAMES)
    assert time.process_time() - begun < 5.0


@given(st.text(alphabet="{} inputs.text'\n\"x", max_size=60))
def test_any_text_is_filled_or_an_error(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        assert isinstance(fill(text, NAMES), str)
    with contextlib.suppress(ExpressionError):
        assert all(hole in text for hole in holes(text))
