"""Texts with expressions in them: `Write tests for {{ inputs.component }}`. Pure; never `eval`.

An expression's text goes in as it is, any other value as JSON. What comes out is material for agents
and people, never read as an expression again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from orchestrator import expressions

# An opening ends at the next one, and nothing is tried twice: a text of nothing but {{ is read once.
_HOLE = re.compile(r"\{\{((?:[^{}]|\{(?!\{)|\}(?!\}))*+)\}\}")


def fill(text: str, variables: Mapping[str, Any]) -> str:
    """The text with its expressions worked out.

    Raises:
        ExpressionError: one of them cannot be.
    """
    if "{{" not in text:
        return text
    return _HOLE.sub(lambda hole: _said(expressions.value(hole[1], variables)), text)


def fill_all(given: Any, variables: Mapping[str, Any]) -> Any:
    """JSON with every text in it filled. A text that is one expression alone becomes its value, of any type.

    Raises:
        ExpressionError: one of them cannot be worked out.
    """
    if isinstance(given, str):
        alone = _HOLE.fullmatch(given.strip())
        if alone is not None and given.count("{{") == 1:
            return expressions.value(alone[1], variables)
        return fill(given, variables)
    if isinstance(given, Mapping):
        return {key: fill_all(part, variables) for key, part in cast("Mapping[str, Any]", given).items()}
    if isinstance(given, list | tuple):
        return [fill_all(part, variables) for part in cast("list[Any]", given)]
    return given


def holes(text: str) -> list[str]:
    """The expressions in a text, as they stand between the braces.

    Raises:
        ExpressionError: one is opened and not closed.
    """
    closed = _HOLE.sub(lambda hole: " " * len(hole[0]), text)
    at = closed.find("{{")
    if at >= 0:
        shown = text[at : at + 40]
        raise expressions.ExpressionError(
            f"{shown!r} opens {{{{ without closing it; write {{{{ expression }}}}"
        )
    return [hole[1] for hole in _HOLE.finditer(text)]


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
