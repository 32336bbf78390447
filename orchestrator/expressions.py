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


def reads(text: str) -> frozenset[tuple[str, str]]:
    """The variables that a condition reads, each with the key that it reads of it: ("inputs", "version").

    The key is "" where the whole variable is read, or one that is known only when it is worked out. Of a text
    that is no condition: nothing.
    """
    try:
        tree = _parse(text)
    except ExpressionError:
        return frozenset()
    found: set[tuple[str, str]] = set()
    done: set[ast.AST] = set()
    for node in ast.walk(tree):  # from the outside in: `a.b` before the `a` in it
        if isinstance(node, ast.Call):
            done.add(node.func)
        elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.value, ast.Name):
            done.add(node.value)
            found.add((node.value.id, _key(node)))
        elif isinstance(node, ast.Name) and node not in done:
            found.add((node.id, ""))
    return frozenset(found)


def compares(text: str) -> frozenset[tuple[str, str, str]]:
    """The words that a condition compares a key of a variable with: ("tests", "outcome", "failed").

    Of a text that is no condition: nothing.
    """
    try:
        tree = _parse(text)
    except ExpressionError:
        return frozenset()
    found: set[tuple[str, str, str]] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        for one, operation, other in zip(
            [node.left, *node.comparators], node.ops, node.comparators, strict=False
        ):
            found |= set(_words_for(one, other)) if isinstance(operation, _SAME | _AMONG) else set()
            found |= set(_words_for(other, one)) if isinstance(operation, _SAME) else set()
    return frozenset(found)


_SAME = ast.Eq | ast.NotEq
_AMONG = ast.In | ast.NotIn  # `x in a.b` looks inside of the key; only `a.b in […]` says what it is


def _words_for(read: ast.expr, said: ast.expr) -> Iterator[tuple[str, str, str]]:
    if isinstance(read, ast.Attribute | ast.Subscript) and isinstance(read.value, ast.Name):
        for word in _texts(said):
            yield read.value.id, _key(read), word


def _texts(node: ast.expr) -> list[str]:
    parts = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
    return [p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]


def _key(node: ast.Attribute | ast.Subscript) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    key = node.slice.value if isinstance(node.slice, ast.Constant) else None
    return key if isinstance(key, str) else ""


def holds(text: str, variables: Mapping[str, Any]) -> bool:
    """Whether a condition is true. Arguments and errors are those of `value`."""
    return bool(value(text, variables))


def value(text: str, variables: Mapping[str, Any]) -> Any:
    """What an expression comes to.

    Args:
        text: the expression.
        variables: names to JSON values.

    Raises:
        ExpressionError: something in it is missing or does not fit together.
    """
    tree = _parse(text)
    evaluator = _Evaluator(operators=OPERATORS, names=dict(variables))
    evaluator.functions = FUNCTIONS  # set afterwards: the constructor would add list, set, dict and tuple
    try:
        return evaluator.eval(text, previously_parsed=tree.body)
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
