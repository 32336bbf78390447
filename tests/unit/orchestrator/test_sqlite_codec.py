"""A body's row says what the body says, whichever way it was written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from orchestrator.engine.steps import ended, started
from orchestrator.errors import Refused
from orchestrator.events import Fact
from orchestrator.infra.sqlite_codec import LARGE, decode, encode

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(output=st.dictionaries(st.text(), anything, max_size=5), seconds=st.floats(0, 1e9))
def test_what_a_step_put_out_is_read_as_it_was(output: dict[str, object], seconds: float) -> None:
    for body in (ended("n", 2, 1, output, seconds), started("a/n[3]", 2, 1, ("é", "b"))):
        type_, v, text, large, blobs = encode(body)
        assert json.loads(text) == json.loads(body.model_dump_json())
        assert decode(type_, v, text, large, blob=dict(blobs).get, where="here") == body


def _all_kinds(kind: type[Fact]) -> set[type[Fact]]:
    return {kind}.union(*(_all_kinds(one) for one in kind.__subclasses__()))


KINDS = sorted(_all_kinds(Fact), key=str)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fact_says_in_its_fields_all_that_it_says(kind: type[Fact]) -> None:
    """What is written are the fields as they are: there is nothing else that pydantic would do to them."""
    assert kind.model_config.get("extra") == "forbid"
    assert not kind.model_computed_fields
    decorators = kind.__pydantic_decorators__
    assert not decorators.field_serializers
    assert not decorators.model_serializers
    for name, field in kind.model_fields.items():
        assert field.alias is None, name
        assert field.serialization_alias is None, name
        assert not field.exclude, name


class Other(BaseModel):
    """What is no fact may have more than its fields."""

    model_config = ConfigDict(extra="allow")


@pytest.mark.parametrize("value", [Other.model_validate({"more": 1}), 10**30, {1: "a"}])
def test_what_only_pydantic_knows_how_to_write_is_left_to_it(value: object) -> None:
    body = ended("n", 1, 1, {"value": value}, 0.0)
    assert json.loads(encode(body)[2]) == json.loads(body.model_dump_json(warnings=False))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_has_not_becomes_nothing(number: float) -> None:
    assert json.loads(encode(ended("n", 1, 1, {"score": number}, 0.0))[2])["output"] == {"score": None}


def test_text_that_is_not_valid_is_refused_with_the_remedy() -> None:
    with pytest.raises(Refused, match=r"step_ended: the text is not valid Unicode.*send it as UTF-8"):
        encode(ended("n", 1, 1, {"body": "half \ud800 a pair"}, 0.0))


def test_a_large_output_leaves_the_row() -> None:
    body = ended("n", 1, 1, {"body": "é" * LARGE}, 0.0)
    type_, v, text, large, blobs = encode(body)
    assert len(text) < 200
    assert large is not None
    assert decode(type_, v, text, large, blob=dict(blobs).get, where="here") == body
