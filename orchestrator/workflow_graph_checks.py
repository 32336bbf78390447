"""What is wrong with a workflow's ways: edges to nowhere, parts that nothing reaches, loops without an end.

Pure and linear in the number of edges. Each flaw points at what people wrote: an edge of the file, a
line of `depends_on`, the strategy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator import graph
from orchestrator.flaws import Flaw, Path, unknown
from orchestrator.workflow import AgentNode, Edge, ErrorHandlerNode, Node, Workflow

Placed = tuple[Edge, Path]


def graph_problems(workflow: Workflow) -> Iterator[Flaw]:
    """Flaws of entries, edges, joins, compensation, reach and loops."""
    links = placed_links(workflow)
    lost = list(_entry_problems(workflow))
    yield from lost
    yield from _edge_problems(workflow, links)
    yield from _fork_problems(workflow, links)
    yield from _join_problems(workflow, links)
    yield from _timeout_problems(workflow)
    yield from _compensation_problems(workflow, links)
    if not lost:
        yield from _reach_problems(workflow)
    yield from _loop_problems(workflow, links)


def placed_links(workflow: Workflow) -> list[Placed]:
    """All edges as `Workflow.links` has them, each with the place in the document that means it."""
    places: list[Path] = [("edges", i) for i in range(len(workflow.edges))]
    places += [
        ("nodes", name, "depends_on", i)
        for name, node in workflow.nodes.items()
        for i in range(len(node.depends_on))
    ]
    places += [("strategy",)] * (len(workflow.links) - len(places))
    return list(zip(workflow.links, places, strict=True))


def ways_of(workflow: Workflow) -> dict[str, list[str]]:
    """To where each node leads, nodes that there are alone."""
    ways: dict[str, list[str]] = {name: [] for name in workflow.nodes}
    for edge in workflow.links:
        if edge.source in ways and edge.target in ways:
            ways[edge.source].append(edge.target)
    return ways


def can_fail(node: Node) -> bool:
    """Whether there is work in it that can fail; a decision and a question to people have none."""
    if isinstance(node, ErrorHandlerNode):
        return node.compensate or node.agent is not None or bool(node.requires) or node.agent_from is not None
    return node.kind in ("agent", "map", "workflow")


# ── where it begins ──────────────────────────────────────────────────────────────────────────


def _entry_problems(workflow: Workflow) -> Iterator[Flaw]:
    if not workflow.entries:
        where: Path = ("nodes",) if workflow.start is None else ("start",)
        yield Flaw(where, "no node begins the run, each waits for another; name the first one: `start: name`")
    several = isinstance(workflow.start, tuple)
    for i, name in enumerate(workflow.entries):
        path: Path = ("nodes", name) if workflow.start is None else ("start", i) if several else ("start",)
        node = workflow.nodes.get(name)
        if node is None:
            yield Flaw(path, unknown("node", name, workflow.nodes))
        elif node.kind == "error_handler":
            yield Flaw(path, f"the run cannot begin at {name!r}, an error handler; name another `start:`")
        elif name in workflow.apart:
            yield Flaw(path, f"the run cannot begin at {name!r}, which undoes a node; name another `start:`")
        if workflow.entries.index(name) != i:
            yield Flaw(path, f"{name!r} stands in `start` twice; remove one")


# ── edges one by one ─────────────────────────────────────────────────────────────────────────


def _edge_problems(workflow: Workflow, links: list[Placed]) -> Iterator[Flaw]:
    seen: dict[tuple[str, str, str, str | None], Path] = {}
    for edge, path in links:
        written = path[0] == "edges"
        for end, name in (("from", edge.source), ("to", edge.target)):
            if name not in workflow.nodes:
                yield Flaw((*path, end) if written else path, unknown("node", name, workflow.nodes))
        same = (edge.source, edge.target, edge.on, edge.when)
        if same in seen:
            yield Flaw(path, f"{edge.source!r} leads to {edge.target!r} twice in the same way; remove one")
        seen.setdefault(same, path)
        node = workflow.nodes.get(edge.source)
        if node is not None:
            message = _outcome_problem(edge, node)
            if message:
                yield Flaw((*path, "on"), message)


def _outcome_problem(edge: Edge, node: Node) -> str:
    kind = f"{edge.source!r} is of kind {node.kind!r}"
    if edge.on == "changes" and node.kind != "approval":
        return (
            f"{kind}, and only approvals have edges 'on: changes'; remove `on`, or write a condition: `when:`"
        )
    if edge.on == "rejected" and node.kind not in ("approval", "input"):
        return (
            f"{kind}, and only approvals and inputs have edges 'on: rejected'; remove `on`, "
            "or write a condition: `when:`"
        )
    if edge.on == "error" and not can_fail(node):
        return f"{kind} and does no work that can fail; remove `on: error`"
    return ""


# ── edges of one node ────────────────────────────────────────────────────────────────────────


def _fork_problems(workflow: Workflow, links: list[Placed]) -> Iterator[Flaw]:
    leaving: dict[tuple[str, str], list[Placed]] = {}
    for edge, path in links:
        leaving.setdefault((edge.source, edge.on), []).append((edge, path))
    for (source, outcome), row in leaving.items():
        node = workflow.nodes.get(source)
        if node is None:
            continue
        if node.kind == "decision":
            yield from _never_taken(source, row)
        elif len({edge.when is None for edge, _ in row}) == 2:
            path = next(path for edge, path in row if edge.when is None)
            yield Flaw(
                path,
                f"{source!r} leads on with and without a condition on {outcome}, and takes all that fit; "
                "give each edge a `when`, or put a node of kind decision behind it, which takes the first",
            )
    for name, node in workflow.nodes.items():
        if node.kind == "decision" and not workflow.outgoing[name] and not workflow.incoming[name]:
            yield Flaw(
                ("nodes", name), f"the decision {name!r} has no ways to choose from; add edges from it"
            )


def _never_taken(source: str, row: list[Placed]) -> Iterator[Flaw]:
    always = next((i for i, (e, _) in enumerate(row) if e.when is None and e.max_visits is None), None)
    for _, path in row[always + 1 :] if always is not None else ():
        yield Flaw(
            path,
            f"the decision {source!r} never takes this edge, one before it always fits; put it first, "
            "or give the other a `when`",
        )


def _join_problems(workflow: Workflow, links: list[Placed]) -> Iterator[Flaw]:
    arriving: dict[str, set[str]] = {name: set() for name in workflow.nodes}
    for edge, _ in links:
        arriving.get(edge.target, set()).add(edge.source)
    early = any(node.join != "all" for node in workflow.nodes.values())
    round_again = {name for loop in graph.loops(ways_of(workflow)) for name in loop} if early else set[str]()
    for name, node in workflow.nodes.items():
        count = len(arriving[name])
        if node.join != "all" and name in round_again:
            # Of which round a late branch is, nothing could tell.
            yield Flaw(
                ("nodes", name, "join"),
                f"`join: {node.join}` of {name!r}, which is part of a loop, cannot tell its rounds apart; "
                "put the parallel part into a workflow of its own, or remove `join`",
            )
        elif isinstance(node.join, int) and node.join > count:
            ways = "nothing leads" if not count else f"only {count} node{'s lead' if count > 1 else ' leads'}"
            remedy = f"write a number up to {count}" if count else "remove `join`, or add edges to it"
            yield Flaw(("nodes", name, "join"), f"{name!r} waits for {node.join}, and {ways} to it; {remedy}")


def _timeout_problems(workflow: Workflow) -> Iterator[Flaw]:
    for name, node in workflow.nodes.items():
        if node.timeout is not None and getattr(node, "workflow", None) is not None:
            yield Flaw(
                ("nodes", name, "timeout"),
                f"{name!r} runs another workflow, which has no limit as a whole; "
                "set `timeout` on the nodes inside",
            )


# ── undoing ──────────────────────────────────────────────────────────────────────────────────


def _compensation_problems(workflow: Workflow, links: list[Placed]) -> Iterator[Flaw]:
    undoing: dict[str, str] = {}
    for name, node in workflow.nodes.items():
        by: str | None = getattr(node, "compensation", None)
        if by is None:
            continue
        path: Path = ("nodes", name, "compensation")
        other = workflow.nodes.get(by)
        if other is None:
            yield Flaw(path, unknown("node", by, workflow.nodes))
        elif by == name:
            yield Flaw(path, f"{name!r} cannot undo itself; name another node")
        elif not isinstance(other, AgentNode):
            yield Flaw(
                path, f"{by!r} is of kind {other.kind!r}, and only agents undo; name a node of kind agent"
            )
        elif other.compensation is not None:
            yield Flaw(
                ("nodes", by, "compensation"),
                f"{by!r} undoes {name!r}, and what undoes is not undone itself; remove its `compensation`",
            )
        undoing.setdefault(by, name)
    for edge, path in links:
        for end, by in (("from", edge.source), ("to", edge.target)):
            if by in undoing and by in workflow.nodes:
                yield Flaw(
                    (*path, end) if path[0] == "edges" else path,
                    f"{by!r} undoes {undoing[by]!r} and runs only for that, outside of all edges; "
                    "remove this way, or use two nodes",
                )
    handlers = {n: node for n, node in workflow.nodes.items() if isinstance(node, ErrorHandlerNode)}
    nested = any(getattr(node, "workflow", None) for node in workflow.nodes.values())
    for name, handler in handlers.items():
        if handler.compensate and not undoing and not nested:
            yield Flaw(
                ("nodes", name, "compensate"),
                "there is nothing to undo; name `compensation: node` in the nodes whose work is to be undone",
            )


# ── reach and loops ──────────────────────────────────────────────────────────────────────────


def _reach_problems(workflow: Workflow) -> Iterator[Flaw]:
    undoing = {getattr(node, "compensation", None) for node in workflow.nodes.values()}
    reached = graph.distances(ways_of(workflow), workflow.entries)
    for name, node in workflow.nodes.items():
        if name in reached or name in undoing:
            continue
        if node.kind == "error_handler" and not workflow.incoming[name]:
            message = (
                f"no edge leads to the error handler {name!r}; add {{from: node, to: {name}, on: error}}"
            )
        elif workflow.incoming[name]:
            message = f"{name!r} is never reached from the beginning; add an edge to it, or remove the node"
        else:
            message = f"no edge leads to {name!r}; add one, or remove the node"
        yield Flaw(("nodes", name), message)


def _loop_problems(workflow: Workflow, links: list[Placed]) -> Iterator[Flaw]:
    """Every loop needs an edge with `max_visits`: without those edges the graph has no loop."""
    free: dict[str, list[str]] = {name: [] for name in workflow.nodes}
    for edge, _ in links:
        if edge.max_visits is None and edge.source in free and edge.target in free:
            free[edge.source].append(edge.target)
    rounds = graph.loops(free)
    if not rounds:
        return
    far = graph.distances(ways_of(workflow), workflow.entries)
    number = {name: i for i, loop in enumerate(rounds) for name in loop}
    rows: list[list[Placed]] = [[] for _ in rounds]
    for edge, path in links:
        i = number.get(edge.source)
        if i is not None and i == number.get(edge.target) and edge.max_visits is None:
            rows[i].append((edge, path))
    for loop, row in zip(rounds, rows, strict=True):
        # The edge that closes it leads back to where the loop is entered.
        edge, path = min(row, key=lambda placed: far.get(placed[0].target, len(far)))
        remedy = "set max_visits on this edge, which closes it"
        if path[0] != "edges":
            way = f"{{from: {edge.source}, to: {edge.target}, max_visits: 3}}"
            remedy = f"remove this, or write the way as an edge with a limit: {way}"
        yield Flaw(path, f"the loop through {_some(loop, workflow.nodes)} never ends; {remedy}")


def _some(names: Iterable[str], order: Iterable[str]) -> str:
    inside = set(names)
    row = [name for name in order if name in inside]
    return ", ".join(row[:6]) + (f" and {len(row) - 6} more" if len(row) > 6 else "")
