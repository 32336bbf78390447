"""The language of `when`: comparisons and arithmetic over a run's variables. Never `eval`.

Built on simpleeval with a short list of operators and functions, no attributes but those of
JSON objects, and names known before anything runs. `review.score < policies.min_score`.
"""

# simpleeval has no types, and a language of values of any type has few.
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

import simpleeval  # pyright: ignore[reportMissingTypeStubs]

MAX_LENGTH = 500  # characters


def _modulo(x: float, y: float) -> float:
    # Of a text, `%` would be formatting: '%999999999d' % 1 fills the memory.
    if isinstance(x, str | bytes):
        raise TypeError("% is for numbers only")
    return x % y


OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: simpleeval.safe_mult,
    ast.Div: operator.truediv,
    ast.Mod: _modulo,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda x, y: x in y,
    ast.NotIn: lambda x, y: x not in y,
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": len,
    "min": min,
    "max": max,
    "abs": abs,
    "lower": lambda s: str(s).lower(),
}
_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Call,
    ast.Name, ast.Load, ast.Attribute, ast.Subscript, ast.Constant, ast.List, ast.Tuple, ast.keyword,
)  # fmt: skip


class ExpressionError(ValueError):
    """A condition could not be read or worked out. The message names the place."""


class _Evaluator(simpleeval.EvalWithCompoundTypes):
    """Reads a dot as a key of a JSON object and nothing else: methods of objects are not variables."""

    def _eval_attribute(self, node: ast.Attribute) -> Any:
        value: Any = self._eval(node.value)
        if isinstance(value, Mapping) and node.attr in value:
            return cast("Mapping[str, Any]", value)[node.attr]
        raise LookupError(f"there is no {node.attr!r}")


def problems(text: str, names: set[str] | frozenset[str]) -> Iterator[str]:
    """What is wrong with a condition, before any run: syntax, unknown names, forbidden forms."""
    try:
        tree = _parse(text)
    except ExpressionError as error:
        yield str(error)
        return
    called = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    for name in sorted({f.id for f in called} - FUNCTIONS.keys()):
        yield f"{text!r} calls {name!r}; functions are {', '.join(sorted(FUNCTIONS))}"
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n not in called}
    for name in sorted(used - names):
        yield f"{text!r} uses the unknown name {name!r}; known are {', '.join(sorted(names))}"


def holds(text: str, variables: Mapping[str, Any]) -> bool:
    """Whether a condition is true.

    Args:
        text: the condition.
        variables: names to JSON values.

    Raises:
        ExpressionError: something in it is missing or does not fit together.
    """
    tree = _parse(text)
    evaluator = _Evaluator(operators=OPERATORS, names=dict(variables))
    evaluator.functions = FUNCTIONS  # set afterwards: the constructor would add list, set, dict and tuple
    try:
        return bool(evaluator.eval(text, previously_parsed=tree.body))
    except ZeroDivisionError as error:
        raise ExpressionError(f"{text!r} divides by zero") from error
    except RecursionError as error:
        raise ExpressionError(f"{text!r} is nested too deeply") from error
    except (simpleeval.InvalidExpression, TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise ExpressionError(f"{text!r} cannot be worked out: {error}") from error


@lru_cache(maxsize=512)
def _parse(text: str) -> ast.Expression:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the condition is longer than {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ExpressionError(f"{text!r} is not an expression: {getattr(error, 'msg', error)}") from error
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED) and type(node) not in OPERATORS:
            raise ExpressionError(f"{text!r} uses {type(node).__name__}, which conditions do not have")
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            raise ExpressionError(f"{text!r} uses {node.attr!r}; names that begin with _ are not readable")
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Name):
            raise ExpressionError(f"{text!r} calls a method; only functions by name can be called")
    return tree
