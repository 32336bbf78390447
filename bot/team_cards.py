"""A team as people see it: its card, its form, its members' lines, and who said what to whom. Pure.

A team is known by the form of its plan, so everything here also works for teams of workflows that
users wrote.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

from pydantic import ValidationError

from adapters.contract import AgentRow, CardPart, FactsPart, FormField, NotesPart, RowState
from orchestrator.artifacts import PERSON, Delegation, Member, TeamPlan
from orchestrator.engine.state import RunState, Step
from orchestrator.events import Json, Usage
from orchestrator.workflow import Assigned, Workflow

SPEAKING = {
    "in_turn": "in turn, in this order",
    "as_needed": "as needed: the coordinator chooses who is next",
}
EVERYBODY = "team"
NOTHING = "(nothing)"
MAX_INSTRUCTIONS = 4_000  # characters that a person writes for a member
MAX_GOAL = 1_000
_ROW_STATES: dict[str, RowState] = {"working": "working", "asking": "asking", "done": "done"}


def as_team(arguments: Json | None) -> TeamPlan | None:
    """The team that these arguments are; None if they are none."""
    if arguments is None or "members" not in arguments:
        return None
    try:
        return TeamPlan.model_validate(arguments)
    except ValidationError:
        return None


# ── the card ─────────────────────────────────────────────────────────────────────────────────


def team_parts(plan: Json) -> tuple[CardPart, ...] | None:
    """A team to look at: its goal and its rules, then each member with instructions and tools.

    Returns:
        None where `plan` is no team.
    """
    team = as_team(plan)
    if team is None:
        return None
    facts = [
        ("Goal", team.goal),
        ("Members", str(len(team.members))),
        ("They speak", SPEAKING[team.speaking]),
    ]
    facts.append(("Turns at most", str(team.rounds)))
    if team.done_when:
        facts.append(("Done when", team.done_when))
    members = [
        NotesPart(title=f"{m.name} ({m.agent}): {_line(m.role)}", notes=_notes(m)) for m in team.members
    ]
    return (FactsPart(facts=tuple(facts)), *members)


def _notes(member: Member) -> tuple[str, ...]:
    tools = ", ".join(member.tools) or f"all that {member.agent} has"
    return (member.instructions, f"Tools: {tools}")


# ── the form ─────────────────────────────────────────────────────────────────────────────────


def team_fields(plan: Json) -> tuple[FormField, ...] | None:
    """The fields behind Edit: the goal, and each member's instructions. None where `plan` is no team."""
    team = as_team(plan)
    if team is None:
        return None
    return (
        FormField(
            name="goal", label="Goal", value=_line(team.goal), max_length=max(MAX_GOAL, len(team.goal))
        ),
        *(
            FormField(
                name=f"member_{number}",
                label=f"{m.name}: {_line(m.role)}"[:100],
                value=m.instructions,
                hint="Empty: not in the team",
                multiline=True,
                required=False,
                max_length=max(MAX_INSTRUCTIONS, len(m.instructions) + 500),
            )
            for number, m in enumerate(team.members, start=1)
        ),
    )


def edited_team(plan: Json, values: Mapping[str, str]) -> tuple[Json | None, dict[str, str]]:
    """What a sent form means: the new team, or what is wrong with it by field.

    Args:
        plan: the team that the form began with.
        values: what was sent; a member's field that is missing counts as unchanged.

    Returns:
        The team and no errors; or None and the errors.
    """
    team = as_team(plan)
    fields = team_fields(plan)
    if team is None or fields is None:
        return None, {"goal": "this is not a team"}
    errors = {
        field.name: f"too long: at most {field.max_length:,} characters"
        for field in fields
        if len(values.get(field.name, "")) > field.max_length
    }
    goal = _line(values.get("goal", team.goal))
    if not goal:
        errors["goal"] = "say what the team is for"
    members: list[Member] = []
    for number, member in enumerate(team.members, start=1):
        text = values.get(f"member_{number}", member.instructions)
        # Browsers send other line ends than they were given; nobody meant that as an edit.
        same = text.replace("\r\n", "\n").strip() == member.instructions.strip()
        if same:
            members.append(member)
        elif text.strip():
            members.append(member.model_copy(update={"instructions": text.replace("\r\n", "\n").strip()}))
    if not members:
        errors["member_1"] = "a team needs a member: give at least one of them instructions"
    if errors:
        return None, errors
    changed = team.model_copy(
        update={"goal": team.goal if goal == _line(team.goal) else goal, "members": members}
    )
    return changed.model_dump(mode="json"), {}


# ── the status card ──────────────────────────────────────────────────────────────────────────


def team_nodes(workflow: Workflow) -> frozenset[str]:
    """Nodes in whose place the lines of `member_rows` stand: those whose agent the run itself names."""
    return frozenset(
        name
        for name, node in workflow.nodes.items()
        if isinstance(node, Assigned) and node.agent_from is not None
    )


def member_rows(workflow: Workflow, state: RunState) -> tuple[AgentRow, ...] | None:
    """A line for each member, in the order of the team; None where the run has no team.

    Without a team's plan those who worked stand there by their agents' names, in the order of their
    first turn.
    """
    nodes = team_nodes(workflow)
    if not nodes:
        return None
    plan = _plan(workflow, state, nodes)
    steps = [step for step in state.steps if step.node in nodes]
    names = [m.name for m in plan.members] if plan is not None else []
    names += [name for name in dict.fromkeys(map(_who, steps)) if name and name not in names]
    if not names:
        return None
    roles = {m.name: f"{m.role}" for m in plan.members} if plan is not None else {}
    return tuple(
        _row(name, roles.get(name, ""), [s for s in steps if _who(s) == name], state) for name in names
    )


def _row(name: str, role: str, turns: Sequence[Step], state: RunState) -> AgentRow:
    if not turns:
        return AgentRow(
            name=name, state="skipped" if state.ended is not None else "waiting", doing=_line(role)
        )
    last = turns[-1]
    used = Usage()
    for turn in turns:
        used = used.plus(turn.usage)
    seconds = sum((t.ended_at - t.started_at).total_seconds() for t in turns if t.ended_at is not None)
    working = last.status == "working"
    row_state = _ROW_STATES.get(last.status, "failed")
    if row_state == "failed" and last.problem is None:
        row_state = "skipped"  # ended with the run, not by itself
    # Attempts of the same turn are one turn.
    times = len({(t.node, t.visit) for t in turns})
    notes = [_line(role)] if role else []
    if times > 1:
        notes.append(f"turn {times}" if working else f"{times} turns")
    if last.problem is not None and not working:
        notes.append(last.problem.message)
    return AgentRow(
        name=name,
        state=row_state,
        doing=", ".join(notes),
        seconds=None if working and not seconds else round(seconds, 1),
        since=last.started_at if working else None,
        tokens=used.input_tokens + used.output_tokens,
        cost_usd=used.cost_usd,
    )


def _plan(workflow: Workflow, state: RunState, nodes: frozenset[str]) -> TeamPlan | None:
    """The team that the run works with."""
    for name in workflow.nodes:
        node = workflow.nodes[name]
        if name in nodes and isinstance(node, Assigned) and node.team is not None:
            return as_team(state.latest(node.team))
    return None


def _who(step: Step) -> str:
    return step.member or step.agent


# ── the talk ─────────────────────────────────────────────────────────────────────────────────


class _Turn(NamedTuple):
    node: str
    step: Step
    output: Json


def talk_lines(workflow: Workflow, state: RunState) -> tuple[str, ...]:
    """Who said what to whom in a team's run, oldest first: `Sender (to Receiver): text`.

    Names are made of letters, digits, `_` and `-`. Empty where nobody delegates and nobody is delegated to.
    """
    if not team_nodes(workflow):
        return ()
    talk = Talk(workflow)
    return tuple(
        talk.said(turn.node, turn.output, agent=turn.step.agent, member=turn.step.member).line
        for turn in _turns(workflow, state)
    )


class Spoken(NamedTuple):
    """What somebody said to somebody; names in `[A-Za-z0-9_-]+`."""

    sender: str
    receiver: str
    text: str

    @property
    def line(self) -> str:
        """`Sender (to Receiver): text`."""
        return f"{self.sender} (to {self.receiver}): {self.text}"


class Talk:
    """Turns what agents make, one output after the other, into who said what to whom.

    Args:
        workflow: of the run.
    """

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._nodes = team_nodes(workflow)
        self._boss = ""  # who gave the last task, and hears what came of it

    def sender(self, node: str, *, agent: str = "", member: str = "") -> str:
        """Who works on a node, by the name in lines."""
        defined = self._workflow.nodes.get(node)
        named = defined.agent if isinstance(defined, Assigned) else None
        return _name(member or agent or named or node)

    def said(self, node: str, output: Json, *, agent: str = "", member: str = "") -> Spoken:
        """What the next output says.

        Args:
            node: whose output it is.
            output: of its agent.
            agent: where the log says who worked.
            member: likewise, the name in the team.
        """
        sender = self.sender(node, agent=agent, member=member)
        delegated = _as(output)
        if delegated == "delegation":
            given = Delegation.model_validate(output)
            self._boss = sender
            receiver = given.member if given.member and not given.done else PERSON
            text = given.task if not given.done else (given.reason or "Done.")
        elif delegated == "team":
            team = TeamPlan.model_validate(output)
            receiver = PERSON
            text = f"{team.goal}: {', '.join(f'{m.name} ({_line(m.role)})' for m in team.members)}"
        else:
            receiver = (self._boss or EVERYBODY) if node in self._nodes else PERSON
            text = _text(output)
        return Spoken(sender, _name(receiver), text.strip() or NOTHING)


def _turns(workflow: Workflow, state: RunState) -> Iterator[_Turn]:
    """Agents' steps that ended well, each with the output that it made."""
    done = [s for s in state.steps if s.status == "done" and isinstance(workflow.nodes.get(s.node), Assigned)]
    ends = Counter(step.node for step in done)
    taken: Counter[str] = Counter()
    for step in done:
        outputs = state.outputs.get(step.node, ())
        taken[step.node] += 1
        # Behind the last one may stand what people made of it: that is what counted.
        at = len(outputs) if taken[step.node] == ends[step.node] else taken[step.node]
        if 0 < at <= len(outputs):
            yield _Turn(step.node, step, outputs[at - 1])


def _as(output: Mapping[str, Any]) -> Literal["delegation", "team", ""]:
    try:
        if "done" in output and "member" in output:
            Delegation.model_validate(output)
            return "delegation"
        if "members" in output:
            TeamPlan.model_validate(output)
            return "team"
    except ValidationError:
        pass
    return ""


def _text(output: Mapping[str, Any]) -> str:
    """What an artifact says, in its own words."""
    for key in ("body", "summary", "goal", "text", "verdict"):
        value = output.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    findings = cast("Sequence[Any]", output.get("findings") or ())
    return f"{len(findings)} findings" if findings else NOTHING


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "agent"


def _line(text: str) -> str:
    return " ".join(text.split())
