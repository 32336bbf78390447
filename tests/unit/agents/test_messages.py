"""Model answers in our own form and back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from pydantic_ai.messages import TextPart, ThinkingPart, ToolCallPart

from orchestrator.agents.messages import to_bits, to_parts
from orchestrator.events import AnswerBit

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def tool_call(name: str, args: dict[str, Any], call_id: str) -> ToolCallPart:
    return ToolCallPart(name, args, tool_call_id=call_id)


def thinking(text: str, signature: str) -> ThinkingPart:
    return ThinkingPart(text, signature=signature, provider_name="p", id="i")


parts = st.lists(
    st.builds(TextPart, st.text())
    | st.builds(
        tool_call,
        st.text(min_size=1),
        st.dictionaries(st.text(min_size=1), json_values, max_size=3),
        st.text(min_size=1),
    )
    | st.builds(thinking, st.text(), st.text()),
    max_size=5,
)
stored: TypeAdapter[tuple[AnswerBit, ...]] = TypeAdapter(tuple[AnswerBit, ...])


@given(parts)
def test_parts_survive_the_log(given_parts: list[Any]) -> None:
    log = stored.dump_json(to_bits(given_parts))
    back = to_parts(stored.validate_json(log))
    assert [type(p) for p in back] == [type(p) for p in given_parts]
    assert to_bits(back) == to_bits(given_parts)


def test_arguments_that_are_no_json_come_back_as_the_model_wrote_them() -> None:
    for broken in ('{"a": ', "[1]", '"text"'):
        bits = to_bits([ToolCallPart("t", broken, tool_call_id="c")])
        (back,) = to_parts(stored.validate_json(stored.dump_json(bits)))
        assert isinstance(back, ToolCallPart)
        assert back.args == broken
