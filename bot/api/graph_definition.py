"""A request of `/run-graph` → the workflow that plays it, and what each node of it is asked for. Pure.

The definition holds the shape alone: agents, order, models. What the caller wrote goes into the turn
(`TurnRecord.parts`), so that requests of one shape share a definition, and nothing of it is ever read
as a template or an expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, NamedTuple

from bot.api.errors import ProblemError, wrong
from bot.api.graph_request import MAX_LINKS, GraphIn, GraphTaskIn, WorkflowType
from bot.api.graph_roles import Roles
from bot.api.model_names import UnknownModel, looks_like_model, resolved
from orchestrator.events import Json, TurnPart
from orchestrator.workflow import Workflow

TASK_WORDS: Final = ("task", "prompt", "description", "goal", "query", "input")
ALWAYS_TEXT: Final = ("task", "prompt")  # the other words may be of the caller's matter: `query: {…}`
QA: Final = "qa"  # a sequence goes on when it fails
NAMES: Final = {"sequential": "graph_sequential", "parallel": "graph_parallel", "graph": "graph"}
MOST_SECTIONS: Final = 20  # of the run's answer, as chats and the console show it
SHOWN: Final = 60  # characters of an id in a refusal


class Planned(NamedTuple):
    """What is started."""

    definition: Workflow
    parts: dict[str, TurnPart]  # by node, in the order of the tasks
    roles: dict[str, str]  # by node, as the caller wrote them
    needs: dict[str, tuple[str, ...]]  # by node, those that lead to it
    text: str  # the turn, as people read it in lists


class _Task(NamedTuple):
    """A node's place in the shape."""

    agent: str
    model: str | None
    temperature: float | None
    after: tuple[int, ...]  # tasks that lead to it


def planned(request: GraphIn, roles: Roles, providers: Sequence[str]) -> Planned:
    """The workflow of a request.

    Args:
        roles: the agents that there are.
        providers: of models, the preferred one first; empty: the rules engine plays all agents, and what is
            wished of models is kept and not met.

    Raises:
        ProblemError: 422 with the field: an unknown role, dependency or provider, an id that is there
            twice, a cycle.
    """
    places = _places(request.tasks)
    links = _links(request, places)
    shape: list[_Task] = []
    parts: dict[str, TurnPart] = {}
    for number, task in enumerate(request.tasks):
        agent = roles.agent(task.agent_role)
        if agent is None:
            raise wrong(f"tasks.{number}.agent_role", roles.refusal(task.agent_role))
        given = dict(task.input_data or {})
        model = _model(task, given, number, providers)
        shape.append(_Task(agent, model, _temperature(task, given), links[number]))
        text = _text(task, given, number)
        parts[node(number)] = TurnPart(name=task.agent_id, text=text, inputs=given)
    kind = request.workflow_type
    first = next(iter(parts.values())).text
    return Planned(
        _definition(kind, tuple(shape)),
        parts,
        {node(number): task.agent_role for number, task in enumerate(request.tasks)},
        {node(number): tuple(map(node, before)) for number, before in enumerate(links)},
        f"{kind} graph of {len(parts)} tasks, the first: {first[:200]}" if len(parts) > 1 else first,
    )


def node(number: int) -> str:
    """The name of a task's node, and its task_id."""
    return f"task_{number + 1}"


# ── the order ────────────────────────────────────────────────────────────────────────────────


def _places(tasks: Sequence[GraphTaskIn]) -> dict[str, int]:
    places: dict[str, int] = {}
    for number, task in enumerate(tasks):
        first = places.setdefault(task.agent_id, number)
        if first != number:
            raise wrong(
                f"tasks.{number}.agent_id",
                f"{_shown(task.agent_id)} is there twice (tasks.{first} has it too); each needs its own",
            )
    return places


def _links(request: GraphIn, places: dict[str, int]) -> list[tuple[int, ...]]:
    """For each task the numbers of those that lead to it."""
    kind = request.workflow_type
    links: list[tuple[int, ...]] = []
    total = 0
    for number, task in enumerate(request.tasks):
        named: list[int] = []
        for place, name in enumerate(dict.fromkeys(task.depends_on or ())):
            field = f"tasks.{number}.depends_on.{place}"
            before = places.get(name)
            if before is None:
                raise wrong(field, f"{_shown(name)} is the agent_id of no task")
            if kind == "parallel":
                raise wrong(
                    field,
                    "tasks of a parallel workflow begin all at once and wait for nobody; "
                    'take the workflow_type "graph", or leave depends_on out',
                )
            if kind == "sequential" and before >= number:
                raise wrong(
                    field,
                    f"{_shown(name)} does not come before {_shown(task.agent_id)} in this sequence; "
                    'put it before, or take the workflow_type "graph"',
                )
            named.append(before)
        if kind == "sequential" and number and number - 1 not in named:
            named.append(number - 1)
        total += len(named)
        links.append(tuple(sorted(named)))
    if total > MAX_LINKS:
        raise wrong("tasks", f"name {total:,} dependencies in all; at most {MAX_LINKS:,} are possible")
    if kind == "graph":
        _no_cycle(request.tasks, links)
    return links


def _no_cycle(tasks: Sequence[GraphTaskIn], links: Sequence[tuple[int, ...]]) -> None:
    try:
        TopologicalSorter(dict(enumerate(links))).prepare()
    except CycleError as error:
        # Each of the list comes before the next one; said as the caller wrote it: who depends on whom.
        cycle: list[int] = list(reversed(error.args[1]))
        row = " → ".join(_shown(tasks[n].agent_id) for n in cycle[:12])
        more = " → …" if len(cycle) > 12 else ""
        raise ProblemError(
            422,
            f"tasks: there is a cycle, {row}{more} (each depends on the next); none of them could begin",
            errors={f"tasks.{cycle[0]}.depends_on": f"is part of a cycle: {row}{more}"},
        ) from None


def _shown(name: str) -> str:
    return repr(name if len(name) <= SHOWN else f"{name[:SHOWN]}…")


# ── what is asked for ────────────────────────────────────────────────────────────────────────


def _text(task: GraphTaskIn, given: Json, number: int) -> str:
    """What is to be done; taken out of what is given besides. Without a word of it: the role's work.

    Raises:
        ProblemError: 422; it is there, and says nothing.
    """
    for word in TASK_WORDS:
        value = given.get(word)
        if isinstance(value, str) and value.strip():
            return str(given.pop(word))
    for word in TASK_WORDS:
        value = given.get(word)
        if isinstance(value, str) or (value is not None and word in ALWAYS_TEXT):
            flaw = "is blank" if isinstance(value, str) else "is not text"
            said = f"{flaw}; say what is to be done, or leave it out for the role's work on what came before"
            raise wrong(f"tasks.{number}.input_data.{word}", said)
    return f"Do the work of a {task.agent_role} on what is given."


def _model(task: GraphTaskIn, given: Json, number: int, providers: Sequence[str]) -> str | None:
    field, wish = "llm_model", task.llm_model
    if wish is None:
        field, wish = "model", task.model
    if wish is None:
        for name in ("llm_model", "model"):
            value = given.get(name)
            # `model` may be a word of the caller's matter; `llm_model` is not.
            if isinstance(value, str) and (name == "llm_model" or looks_like_model(value, providers)):
                field, wish = f"input_data.{name}", value
                del given[name]
                break
    if wish is None:
        return None
    try:
        return resolved(wish, providers)
    except UnknownModel as error:
        raise wrong(f"tasks.{number}.{field}", str(error)) from error


def _temperature(task: GraphTaskIn, given: Json) -> float | None:
    if task.temperature is not None:
        return task.temperature
    value = given.get("temperature")
    # Beyond what models take it is the weather's, or an oven's: it stays what it is, an input.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2:
        return None
    del given["temperature"]
    return float(value)


# ── the definition ───────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=256)
def _definition(kind: WorkflowType, shape: tuple[_Task, ...]) -> Workflow:
    """The workflow of a shape. Requests often share one, and to check it takes longer than all else."""
    nodes: dict[str, Any] = {}
    edges: list[dict[str, str]] = []
    leads = {before for task in shape for before in task.after}
    for number, task in enumerate(shape):
        nodes[node(number)] = {
            "kind": "agent",
            "title": f"{task.agent.replace('_', ' ').capitalize()} (task {number + 1})",
            "agent": task.agent,
            "model": task.model,
            "temperature": task.temperature,
            "depends_on": tuple(map(node, task.after)),
        }
        if kind == "sequential":
            edges += [
                {"from": node(before), "to": node(number), "on": "error"}
                for before in task.after
                if shape[before].agent == QA
            ]
    ends = _ends(shape, leads)
    return Workflow.model_validate(
        {
            "name": NAMES[kind],
            "version": "1",
            "description": f"A {kind} graph of tasks, as it was sent.",
            "strategy": "graph",
            "nodes": nodes,
            "edges": edges,
            "answer": {"sections": tuple(map(node, ends))} if len(ends) <= MOST_SECTIONS else None,
            # What the agents themselves may do is limited by each of them; nothing goes round here.
            "policies": {
                "max_steps": 10_000,
                "max_model_calls": 10_000,
                "max_concurrent": 500,
                "on_failure": "continue",
            },
        }
    )


def _ends(shape: Sequence[_Task], leads: set[int]) -> list[int]:
    """The tasks whose outputs are the answer: those that no other needs, and what a `qa` of them tested."""
    ends = [number for number in range(len(shape)) if number not in leads]
    tested = {before for end in ends if shape[end].agent == QA for before in shape[end].after}
    return sorted({*ends, *tested})
