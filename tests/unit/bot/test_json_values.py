"""JSON from outside: how much of it is looked at, told before it is parsed."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from bot.api import json_values
from bot.api.graph_request import MAX_JSON, SmallObject
from bot.api.json_values import MAX_VALUES, clean_json, has_too_many, read_json, signs

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.text(alphabet='\\"[]{},: \n'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def count(value: Any) -> int:
    match value:
        case dict():
            return 1 + sum(map(count, cast("dict[str, Any]", value).values()))
        case list():
            return 1 + sum(map(count, cast("list[Any]", value)))
        case _:
            return 1


@given(value=VALUES, most=st.integers(1, 12), indent=st.none() | st.just(2), ascii_only=st.booleans())
def test_values_are_counted_without_parsing(
    value: Any, most: int, indent: int | None, ascii_only: bool
) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_values, "MAX_VALUES", most)
        assert has_too_many(raw) is (count(value) > most)
    assert signs(raw) >= count(value) - 1


def test_too_many_values_are_refused_and_just_enough_are_not() -> None:
    enough: list[Any] = [[] for _ in range(MAX_VALUES - 1)]
    assert clean_json(enough) is enough
    assert read_json(json.dumps(enough)) == enough
    refused: list[Any] = [[*enough, 1], {"a": [{}] * MAX_VALUES}, [[1] * 10_000, [1] * 10_000]]
    for too_many in refused:
        with pytest.raises(ValueError, match="20,000 values"):
            clean_json(too_many)
        with pytest.raises(ValueError, match="20,000 values"):
            read_json(json.dumps(too_many))


def test_what_a_graph_brings_is_measured_before_each_value_is_looked_at() -> None:
    deep: Any = []
    for _ in range(40):
        deep = [deep]
    small = TypeAdapter[Any](SmallObject)
    with pytest.raises(ValidationError, match="characters as JSON"):
        small.validate_python({"a": "x" * MAX_JSON, "b": deep})
    with pytest.raises(ValidationError, match="nested deeper"):
        small.validate_python({"b": deep})
