"""Put into a workflow those that its nodes name, so that a run keeps all that it started with. Pure.

A name is looked up first among the workflows that the definition brings itself (`workflows:` in its
file), then around it, then among all there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.errors import Refused
from orchestrator.workflow import MapNode, Workflow, WorkflowNode
from orchestrator.workflow_checks import Flaw

MAX_DEPTH = 8  # workflows inside of each other
MAX_EMBEDDED = 100  # in one workflow, those inside of others counted each time


def named_workflows(workflow: Workflow) -> frozenset[str]:
    """Names of the workflows that its nodes run, those of its own `workflows:` too."""
    own = {name for _, name in _references(workflow)}
    inner = (named_workflows(w) for w in workflow.workflows.values())
    return frozenset(own.union(*inner))


def embedded(workflow: Workflow, all: Mapping[str, Workflow]) -> Workflow:
    """The workflow with every workflow that it needs in `Workflow.workflows`, each filled likewise.

    Args:
        workflow: as its file has it.
        all: those there are, by name.

    Raises:
        Refused: one is missing, contains itself, or they are too many.
    """
    for flaw in embedding_flaws(workflow, all):
        raise Refused(f"the workflow {workflow.name!r}: {flaw.message}")
    return _filled(workflow, all)


def embedding_flaws(workflow: Workflow, all: Mapping[str, Workflow]) -> Iterator[Flaw]:
    """What is wrong with the workflows that its nodes name, each at its node."""
    budget = [MAX_EMBEDDED]
    for path, name in _references(workflow):
        known = {**all, **workflow.workflows}
        message = _trouble(name, known, (workflow.name,), budget)
        if message:
            yield Flaw(path, message)


def _trouble(name: str, known: Mapping[str, Workflow], above: tuple[str, ...], budget: list[int]) -> str:
    """Why a workflow cannot be put into those above it; "": it can."""
    if name in above:
        way = " → ".join((*above[above.index(name) :], name))
        return f"the workflow {name!r} would contain itself ({way}); take one of these nodes out"
    inner = known.get(name)
    if inner is None:
        return f"there is no workflow {name!r}; workflows are {', '.join(sorted(known))}"
    if len(above) >= MAX_DEPTH:
        return f"workflows are nested deeper than {MAX_DEPTH} ({' → '.join(above)}); make it flatter"
    budget[0] -= 1
    if budget[0] < 0:
        return f"needs more than {MAX_EMBEDDED} workflows inside of each other; name fewer of them"
    inside = {**known, **inner.workflows}
    for other in dict.fromkeys(n for _, n in _references(inner)):
        message = _trouble(other, inside, (*above, name), budget)
        if message:
            return message
    return ""


def _filled(workflow: Workflow, known: Mapping[str, Workflow]) -> Workflow:
    names = dict.fromkeys(name for _, name in _references(workflow))
    if not names:
        return workflow
    inside = {**known, **workflow.workflows}
    # No copy: that would take what the original has worked out of itself along, its digest among it.
    values = {field: getattr(workflow, field) for field in Workflow.model_fields}
    return Workflow.model_validate(
        {**values, "workflows": {name: _filled(inside[name], inside) for name in names}}
    )


def _references(workflow: Workflow) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for name, node in workflow.nodes.items():
        if isinstance(node, WorkflowNode | MapNode) and node.workflow is not None:
            yield ("nodes", name, "workflow"), node.workflow
