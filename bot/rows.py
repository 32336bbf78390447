"""What a run's steps look like as lines of its status card, whatever its graph. Pure.

A step that stands in the workflow has one line; a map has one for all of its items, a workflow inside of this
one has one until it begins and then one for each of its steps. Decisions and approvals have none: the first
do no work, the others have cards of their own. What only follows a failure is shown once it happens. A
workflow of many steps is told short: what waits for people, failed or is at work keeps its line, the others
are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from adapters.contract import AgentRow, RowState
from adapters.plain import clipped
from bot.team_cards import member_rows, team_nodes
from orchestrator.engine.state import NodeState, RunState
from orchestrator.workflow import Node, Workflow

LINE_LENGTH = 120  # characters that say what goes on
PROBLEM_LENGTH = 400  # characters of a failure; the whole of it is in the log
MOST_ROWS = 24
MOST_BUSY = 16  # of these, lines for what waits for people, failed or is at work, where there are more
ITEMS_NAMED = 3  # of a map, at work
INSIDE = " › "

_ROW_STATES: dict[str, RowState] = {
    "working": "working",
    "open": "working",
    "asking": "asking",
    "retrying": "waiting",
    "done": "done",
    "failed": "failed",
    "skipped": "skipped",
}
_URGENT: tuple[RowState, ...] = ("asking", "failed", "working")


def rows(
    workflow: Workflow, state: RunState, *, titles: Mapping[str, str], doing: Mapping[str, str]
) -> list[AgentRow]:
    """The lines of a run's status card, at most `MOST_ROWS`.

    Args:
        workflow: the definition the run began with.
        state: the run.
        titles: agent name → what people call it.
        doing: step → what it does now; may be incomplete.
    """
    return _told_short(list(_Steps(workflow, state, titles, doing).rows()))


def doing_line(
    workflow: Workflow, state: RunState, *, titles: Mapping[str, str], doing: Mapping[str, str]
) -> str:
    """What goes on in a run now, in one line; "" where nobody works. Arguments as of `rows`."""
    if state.ended is not None or state.status != "running":
        return ""
    working: list[str] = []
    steps = _Steps(workflow, state, titles, doing)
    for row in steps.rows():
        if row.state == "working":
            said = steps.says.get(row.name, "")
            working.append(f"{row.name}: {said}" if said else f"{row.name} works")
    return clipped(" · ".join(working) or "works", LINE_LENGTH)


def step_title(workflow: Workflow, name: str, titles: Mapping[str, str]) -> str:
    """What people call a step: as its agent where it bears the agent's name, else by its own title."""
    node = workflow.nodes[name]
    agent = getattr(node, "agent", None)
    by_agent = titles.get(agent, "") if agent is not None else ""
    own = node.title or name.replace("_", " ").capitalize()
    return (by_agent or own) if agent == name else own


class _Steps:
    """Walks through a workflow and what it holds."""

    def __init__(
        self, workflow: Workflow, state: RunState, titles: Mapping[str, str], doing: Mapping[str, str]
    ) -> None:
        self._workflow = workflow
        self._state = state
        self._titles = titles
        self._doing = doing
        self._inside: dict[str, list[str]] = {}  # map → its steps, by their names
        for name in state.nodes:
            outer, bracket, _ = name.partition("[")
            if bracket:
                self._inside.setdefault(outer, []).append(name)
        self.says: dict[str, str] = {}  # row → what it does now, without rounds and counts

    def rows(self) -> Iterator[AgentRow]:
        """All lines, in the order of the workflow."""
        return self._of(self._workflow, "", "")

    def _of(self, workflow: Workflow, prefix: str, lead: str) -> Iterator[AgentRow]:
        team = None if prefix else member_rows(workflow, self._state)
        played = team_nodes(workflow) if team is not None else frozenset[str]()
        for name, node in workflow.nodes.items():
            if name in played:  # the members' lines stand where the first of them is played
                yield from self._members(team or ())
                team = None
                continue
            step = f"{prefix}{name}"
            now = self._state.nodes.get(step)
            if node.kind in ("decision", "approval") or (name in workflow.apart and now is None):
                continue
            title = f"{lead}{step_title(workflow, name, self._titles)}"
            if node.kind == "workflow":
                yield from self._workflow_rows(workflow, node.workflow, step, title, now)
            elif node.kind == "map" or step in self._inside:
                yield self._group_row(step, title, now, node)
            else:
                yield self._row(step, title, now, node)

    def _members(self, team: Sequence[AgentRow]) -> Iterator[AgentRow]:
        """The members of a team; one at work says what it does."""
        at_work = {
            now.member or now.agent: self._doing.get(step, "")
            for step, now in self._state.nodes.items()
            if now.status == "working"
        }
        for row in team:
            does = at_work.get(row.name, "") if row.state == "working" else ""
            if row.state == "working":
                self.says[row.name] = does
            yield (
                row.model_copy(update={"doing": f"{row.doing}: {does}" if row.doing else does})
                if does
                else row
            )

    def _workflow_rows(
        self, outer: Workflow, name: str, step: str, title: str, now: NodeState | None
    ) -> Iterator[AgentRow]:
        inner = outer.workflows.get(name) or self._workflow.workflows.get(name)
        begun = now is not None and inner is not None and now.status != "skipped"
        found = list(self._of(inner, f"{step}/", f"{title}{INSIDE}")) if begun and inner is not None else []
        # What went wrong before or after its steps would have no line.
        own_fault = now is not None and now.status == "failed" and now.problem is not None
        if not found or (own_fault and all(row.state != "failed" for row in found)):
            yield self._row(step, title, now, None)
        yield from found

    def _row(self, step: str, title: str, now: NodeState | None, node: Node | None) -> AgentRow:
        if now is None:
            return AgentRow(name=title, state="skipped" if self._state.ended is not None else "waiting")
        row_state = _state_of(now)
        notes: list[str] = []
        if row_state == "working":
            self.says[title] = self._doing.get(step, "")
            notes += [self.says[title]] if self.says[title] else []
        if row_state == "working" and (who := self._who(now, node)):
            notes.append(who)
        refused = self._unanswered(step, now) if row_state == "done" else ""
        if refused:
            row_state = "skipped"
            notes.append(refused)
        return AgentRow(
            name=title,
            state=row_state,
            doing=", ".join([*notes, *_counted(now)]),
            seconds=None if now.status == "working" and not now.seconds else round(now.seconds, 1),
            since=now.started_at if now.status == "working" else None,
            tokens=now.usage.input_tokens + now.usage.output_tokens,
            cost_usd=now.usage.cost_usd,
        )

    def _unanswered(self, step: str, now: NodeState) -> str:
        """How a question of the step ended that got no answer; "": it has one, or the step asked nothing."""
        for approval in self._state.approvals.values():
            if (approval.asked.node, approval.asked.visit) != (step, now.visit) or approval.resolved is None:
                continue
            if approval.resolved.outcome == "reject":
                return "rejected"
            if approval.resolved.outcome == "expired" and approval.asked.on_expiry != "approve":
                return "not answered in time"
        return ""

    def _who(self, now: NodeState, node: Node | None) -> str:
        """Who works, where the workflow leaves that to the run."""
        if now.member:
            return f"by {now.member}"
        known = node is not None and getattr(node, "agent", None) == now.agent
        return f"by {self._titles.get(now.agent, now.agent)}" if now.agent and not known else ""

    def _group_row(self, step: str, title: str, now: NodeState | None, node: Node) -> AgentRow:
        """A map in one line: how far it is, and what of it is at work."""
        steps = self._inside.get(step, [])
        if now is None or now.status == "skipped":
            return self._row(step, title, now, node)
        inner = [self._state.nodes[name] for name in steps]
        row_state = _state_of(now)
        active = [name for name, n in zip(steps, inner, strict=True) if n.status == "working"]
        asking = sum(n.status == "asking" for n in inner)
        if row_state == "working" and asking and not active:
            row_state = "asking"
        notes = [note for note in (self._progress(step), f"{asking} asking" if asking else "") if note]
        if row_state == "working" and active:
            self.says[title] = self._at_work(active)
            notes.append(self.says[title])
        used = now.usage
        for each in inner:
            used = used.plus(each.usage)
        seconds = now.seconds or sum(each.seconds for each in inner)
        return AgentRow(
            name=title,
            state=row_state,
            doing=", ".join([*notes, *_counted(now)]),
            seconds=round(seconds, 1) if seconds else None,
            since=now.started_at if row_state == "working" else None,
            tokens=used.input_tokens + used.output_tokens,
            cost_usd=used.cost_usd,
        )

    def _progress(self, step: str) -> str:
        group = self._state.groups.get(step)
        if group is None:
            return ""
        said = f"{group.done} of {len(group.items)} {'undone' if group.kind == 'undo' else 'done'}"
        return f"{said}, {len(group.failed)} failed" if group.failed else said

    def _at_work(self, active: Sequence[str]) -> str:
        """`item 4: reading notes.md; item 5; and 3 more`: items are counted from 1, as people do."""
        said: dict[str, str] = {}
        for name in active:
            number, _, rest = name.partition("[")[2].partition("]")
            item = f"item {int(number) + 1}" if number.isdecimal() else rest
            does = self._doing.get(name, "")
            said[item] = f"{item}: {clipped(does, LINE_LENGTH)}" if does else said.get(item, item)
        named = list(said.values())[:ITEMS_NAMED]
        more = len(said) - len(named)
        return "; ".join([*named, *([f"and {more} more at work"] if more else [])])


def _state_of(now: NodeState) -> RowState:
    found = _ROW_STATES[now.status]
    # Ended with the run, not by itself.
    return "skipped" if found == "failed" and now.problem is None else found


def _counted(now: NodeState) -> Iterator[str]:
    if now.visit > 1:
        yield f"round {now.visit}"
    if now.attempt > 1:
        yield f"attempt {now.attempt}"
    if now.http_retries:
        yield f"{now.http_retries} model {'retry' if now.http_retries == 1 else 'retries'}"
    if now.problem is not None and now.status in ("failed", "retrying"):
        yield clipped(now.problem.message, PROBLEM_LENGTH)


# ── many steps ───────────────────────────────────────────────────────────────────────────────


def _told_short(found: list[AgentRow]) -> list[AgentRow]:
    """The lines themselves where they are few; else those that matter now, and how many the others are."""
    if len(found) <= MOST_ROWS:
        return found
    urgent = sorted(
        (n for n, row in enumerate(found) if row.state in _URGENT or _is_begun(row)), key=_urgency(found)
    )
    shown = set(urgent[:MOST_BUSY])
    coming = [n for n, row in enumerate(found) if row.state == "waiting" and n not in urgent]
    rest = MOST_ROWS - len(shown) - 3 - len({found[n].state for n in urgent[MOST_BUSY:]})
    shown.update(coming[: max(rest, 1)])
    head = [
        _sum([row for row in found if row.state == state], "steps", state) for state in ("done", "skipped")
    ]
    left = [
        found[n] for n in range(len(found)) if n not in shown and found[n].state not in ("done", "skipped")
    ]
    tail = [
        _sum([row for row in left if row.state == state], "more steps", state)
        for state in (*_URGENT, "waiting")
    ]
    return [
        *(row for row in head if row is not None),
        *(found[n] for n in sorted(shown)),
        *(row for row in tail if row is not None),
    ]


def _is_begun(row: AgentRow) -> bool:
    """Whether a line that waits does so between two attempts."""
    return row.state == "waiting" and row.seconds is not None


def _urgency(found: Sequence[AgentRow]) -> Callable[[int], tuple[int, int]]:
    def key(number: int) -> tuple[int, int]:
        row = found[number]
        return (_URGENT.index(row.state) if row.state in _URGENT else len(_URGENT), number)

    return key


def _sum(alike: Iterable[AgentRow], what: str, state: RowState) -> AgentRow | None:
    """Lines that are alike, as one; None where there are none."""
    several = list(alike)
    if len(several) < 2:
        return several[0] if several else None
    costs = [row.cost_usd for row in several if row.cost_usd is not None]
    times = [row.seconds for row in several if row.seconds is not None]
    return AgentRow(
        name=f"{len(several)} {what}",
        state=state,
        seconds=round(sum(times), 1) if times else None,
        tokens=sum(row.tokens for row in several),
        cost_usd=sum(costs) if costs else None,
        stands_for=len(several),
    )
