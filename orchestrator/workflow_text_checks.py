"""What is wrong with a workflow's expressions: conditions, templates, what a map goes over. Pure.

Besides what `expressions` refuses: names that are not known at that place, and outputs of nodes that
cannot have ended yet.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from orchestrator import expressions, graph, input_schema, inputs, templates
from orchestrator.flaws import Flaw, Path, listed, one_part
from orchestrator.workflow import (
    VARIABLES,
    AgentNode,
    ApprovalNode,
    Assigned,
    InputNode,
    MapNode,
    Policies,
    Workflow,
    WorkflowNode,
)
from orchestrator.workflow_graph_checks import ways_of

IN_MAPS = frozenset({"item", "index"})
ALWAYS = VARIABLES - IN_MAPS - {"problem"}


class _Text(NamedTuple):
    """An expression, or a text with expressions in it."""

    path: Path
    text: str
    node: str  # whose it is
    is_template: bool = False
    in_map: bool = False
    is_edge: bool = False  # read when the node has ended
    after_error: bool = False
    inputs_alone: bool = False  # may read nothing else


def text_problems(workflow: Workflow) -> Iterator[Flaw]:
    """Flaws of everything in a workflow that is worked out while it runs."""
    reader = _Reader(workflow)
    for text in _texts(workflow):
        yield from reader.problems(text)


def _texts(workflow: Workflow) -> Iterator[_Text]:
    for i, edge in enumerate(workflow.edges):
        if edge.when is not None:
            yield _Text(
                ("edges", i, "when"), edge.when, edge.source, is_edge=True, after_error=edge.on == "error"
            )
    for name, node in workflow.nodes.items():
        path: Path = ("nodes", name)
        is_map = isinstance(node, MapNode)
        if isinstance(node, Assigned):
            yield _Text((*path, "task"), node.task, name, is_template=True, in_map=is_map)
            if node.agent_from is not None:
                yield _Text((*path, "agent_from"), node.agent_from, name, in_map=is_map)
        if isinstance(node, MapNode):
            yield _Text((*path, "over"), node.over, name)
        if isinstance(node, MapNode | WorkflowNode):
            for inner, text in _in_json(node.inputs, (*path, "inputs")):
                yield _Text(inner, text, name, is_template=True, in_map=is_map)
        if isinstance(node, ApprovalNode):
            yield _Text((*path, "body"), node.body, name, is_template=True)
            if node.approvers_from is not None:
                yield _Text((*path, "approvers_from"), node.approvers_from, name, inputs_alone=True)
        if isinstance(node, InputNode):
            yield _Text((*path, "question"), node.question, name, is_template=True)


def _in_json(given: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(given, str):
        yield path, given
    elif isinstance(given, Mapping):
        for key, part in cast("Mapping[str, Any]", given).items():
            yield from _in_json(part, (*path, key))
    elif isinstance(given, Sequence):
        for i, part in enumerate(cast("Sequence[Any]", given)):
            yield from _in_json(part, (*path, i))


class _Reader:
    """Reads the expressions of one workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        ways = ways_of(workflow)
        self._before = graph.Before(ways)
        undoing = {getattr(node, "compensation", None) for node in workflow.nodes.values()}
        failing = [edge.target for edge in workflow.links if edge.on == "error"]
        # What undoes runs for a handler, at a moment that no edge tells.
        self._outside = frozenset(name for name in workflow.nodes if name in undoing)
        self._after_error = graph.distances(ways, failing).keys() | self._outside
        schemas = input_schema.properties(workflow.inputs)
        self._inputs = [*schemas, *(() if inputs.TEXT in schemas else (inputs.TEXT,))]
        # Whatever else a run is given is refused when it begins, unless the schema takes more than it names.
        # A schema with a flaw names nothing for sure; the flaw itself is told.
        self._are_all = (
            workflow.inputs.get("additionalProperties", False) is False
            and next(input_schema.schema_flaws(workflow.inputs), None) is None
        )
        self._choices = {name: _choices(schema) for name, schema in schemas.items()}

    def problems(self, text: _Text) -> Iterator[Flaw]:
        try:
            found = templates.holes(text.text) if text.is_template else [text.text]
        except expressions.ExpressionError as error:
            yield Flaw(text.path, str(error))
            return
        for expression in found:
            for message in self._problems(text, one_part(expression.strip())):
                yield Flaw(text.path, message)

    def _problems(self, text: _Text, expression: str) -> Iterator[str]:
        reads = expressions.reads(expression)
        for message in expressions.problems(expression, frozenset(name for name, _ in reads)):
            wrong, _, rest = message.partition("; ")
            if not rest.startswith("functions are"):
                wrong = ", ".join(part for part in (wrong, rest) if part)
                rest = "write for example inputs.version, or review.score >= 7"
            yield f"{wrong}; {rest}"
        nodes = self._workflow.nodes
        if text.inputs_alone and any(name != "inputs" for name, _ in reads):
            # What an agent wrote must not choose who approves it.
            others = ", ".join(sorted({name for name, _ in reads if name != "inputs"}))
            yield (
                f"{_short(expression)} lets {one_part(others)} choose who approves; "
                "read inputs alone, for example inputs.approvers"
            )
            return
        guarded = {key for name, key in reads if name == "visits"}
        for name, key in sorted(reads):
            said = f"{_short(expression)} uses"
            if name in nodes and name not in VARIABLES:
                if name not in guarded and not self._known(name, text):
                    yield (
                        f"{said} {name!r}, which need not have ended by then; let an edge lead from it to "
                        f"{text.node!r}, or write: visits.{name} > 0 and …"
                    )
            elif name in ALWAYS:
                yield from self._key_problems(said, name, key)
            elif name in IN_MAPS:
                if not text.in_map:
                    yield f"{said} {name!r}, which there is only in a map; name a node's output"
            elif name == "problem":
                if not (text.after_error or text.node in self._after_error):
                    yield f"{said} 'problem', which there is only after an error; lead here `on: error`"
            else:
                known = {*nodes, *ALWAYS, *(IN_MAPS if text.in_map else ())}
                yield f"{said} the unknown name {name!r}; known are {listed(known, near=name)}"
        yield from self._word_problems(expression)

    def _known(self, name: str, text: _Text) -> bool:
        if text.node not in self._workflow.nodes or text.node in self._outside or name in self._outside:
            return True
        return (text.is_edge and name == text.node) or self._before.comes(name, text.node)

    def _word_problems(self, expression: str) -> Iterator[str]:
        """Words that what they are compared with never is: such a condition always comes out the same."""
        for name, key, word in sorted(expressions.compares(expression)):
            node = self._workflow.nodes.get(name)
            if key == "outcome" and isinstance(node, AgentNode) and node.outcomes:
                if word not in node.outcomes:
                    offered = ", ".join(node.outcomes)
                    yield f"the outcome of {name!r} is never {word!r}; outcomes are {offered}"
            elif name == "inputs":
                choices = self._choices.get(key)
                if choices and word not in choices:
                    yield f"the input {key!r} is never {word!r}; choices are {', '.join(choices)}"

    def _key_problems(self, said: str, name: str, key: str) -> Iterator[str]:
        if not key:
            return
        if name == "visits" and key not in self._workflow.nodes:
            nodes = listed(self._workflow.nodes, near=key)
            yield f"{said} visits of the unknown node {key!r}; nodes are {nodes}"
        elif name == "policies" and key not in Policies.model_fields:
            yield f"{said} the unknown policy {key!r}; policies are {listed(Policies.model_fields)}"
        # Tone, length and the like of the turn can be read where they are declared: another turn has none.
        elif name == "inputs" and key not in self._inputs:
            near = difflib.get_close_matches(key, self._inputs, n=1, cutoff=0.6 if self._are_all else 0.75)
            if not near and not self._are_all:
                return
            meant = f"did you mean {near[0]!r}? " if near else "declare it below `inputs: properties:`, "
            yield f"{said} the unknown input {key!r}; {meant}inputs are {listed(self._inputs, near=key)}"


def _choices(schema: Mapping[str, Any]) -> list[str]:
    """The texts that an input can be; empty: any."""
    choices = schema.get("enum")
    found = cast("list[Any]", choices) if isinstance(choices, list) else []
    return found if all(isinstance(choice, str) for choice in found) else []


def _short(expression: str) -> str:
    shown = " ".join(expression.split())
    return repr(shown if len(shown) <= 80 else shown[:79] + "…")


def makes_output(workflow: Workflow, name: str) -> bool:
    """Whether a node has an output that others can show or read."""
    node = workflow.nodes[name]
    if node.kind == "error_handler":
        return bool(node.agent or node.requires or node.agent_from)
    return isinstance(node, AgentNode | MapNode | WorkflowNode | InputNode)
