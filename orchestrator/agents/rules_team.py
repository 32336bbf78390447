"""The team builder and the coordinator by rules: roles by the words of the task, then one turn each. Pure.

No judgement is made: a role is in the team because a word of the task calls for it, and whoever has
not worked yet is next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from orchestrator.agents.rules_text import shortened
from orchestrator.artifacts import Delegation, Member, TeamPlan
from orchestrator.ports import AgentInfo, StepInput

MOST = 5  # members by rules; people can ask for more
LARGEST = 8  # members of any team
BY_RULES = "Rules engine: every member works once, in the order of the list."
# Those who arrange work and do none; a team is made of others.
ARRANGING = frozenset({"coordinator", "team_builder", "planner", "workflow_designer"})


class Role(NamedTuple):
    """A role that a team may have."""

    name: str
    agents: tuple[str, ...]  # by name or capability; the first that there is plays it
    role: str
    instructions: str
    words: str  # pattern: words of a task that call for it


# In the order in which they work.
ROLES = (
    Role(
        "Researcher",
        ("researcher", "research"),
        "finds out what is known",
        "Collect what is known about the task, with its sources, and say what could not be found.",
        r"research\w*|find out|compar\w+|investigat\w+|market\w*|sources?|analy[sz]\w*|learn\w*|study",
    ),
    Role(
        "Debugger",
        ("debugger", "debugging"),
        "finds the cause",
        "Narrow down where it goes wrong, and name the cause and how one sees it.",
        r"bugs?|crash\w*|errors?|broken|fails?|failing|failure|debug\w*|exception\w*|regression\w*",
    ),
    Role(
        "Backend",
        ("backend",),
        "builds the server's side",
        "Build the parts behind the surface: interfaces, storage, rules of the matter.",
        r"api|apis|backend|server\w*|database\w*|sql|endpoint\w*|service|services|microservice\w*",
    ),
    Role(
        "Frontend",
        ("frontend",),
        "builds what people see",
        "Build what people see and press, readable by everybody, and say what it needs from the server.",
        r"frontend|website|web ?page|pages?|ui|ux|interface|css|html|react|button\w*|screen\w*|forms?",
    ),
    Role(
        "Developer",
        ("developer", "coding"),
        "writes the code",
        "Write the code that the task asks for, whole, by what the others found.",
        r"implement\w*|cod(?:e|ing)|program\w*|app|apps|scripts?|refactor\w*|fix\w*|function\w*|library",
    ),
    Role(
        "Builder",
        ("builder", "writing"),
        "makes the result",
        "Make what the task asks for, from what the others found, whole and ready to use.",
        r"writ\w+|draft\w*|articles?|reports?|texts?|document\w*|build\w*|plans?|create|make|design\w*|summar\w+",
    ),
    Role(
        "Operator",
        ("operator", "deployment"),
        "prepares the release",
        "Write down how it goes live and how it is taken back, as exact commands.",
        r"deploy\w*|releas\w+|rollback|kubernetes|docker|infrastructure|hosting|monitor\w*|ci",
    ),
    Role(
        "Security",
        ("security",),
        "looks for weak places",
        "Look for what could be attacked or could leak, with severity and remedy.",
        r"secur\w+|auth\w*|login|password\w*|encrypt\w*|vulnerab\w+|privacy|gdpr|attack\w*|tokens?",
    ),
    Role(
        "Tester",
        ("qa", "testing"),
        "shows that it works",
        "Say how one sees that it works, with the cases at the edges, and what of it was tried.",
        r"tests?|testing|qa|quality|verif\w+|acceptance|bugs?|regression\w*|code|implement\w*|api|app",
    ),
    Role(
        "Reviewer",
        ("reviewer", "review"),
        "judges the result",
        "Compare the result with the task: what is missing, wrong or unclear.",
        r"review\w*|check\w*|proofread\w*|judg\w+|feedback",
    ),
)
MAKING = frozenset({"Backend", "Frontend", "Developer", "Builder"})
USUAL = ("Researcher", "Builder", "Reviewer")  # for a task that calls for nobody in particular
_WITHOUT = re.compile(r"\b(?:without|drop|remove|leave out|skip|no|not)\b", re.IGNORECASE)


def team_plan(step: StepInput, agents: Sequence[AgentInfo]) -> TeamPlan:
    """A team for the request: roles that its words call for, played by agents that there are.

    What people asked to change is obeyed where it names a role ("without the tester", "add security").
    """
    text = step.turn.text
    wanted = _wanted(f"{text} {step.task}" if not text.strip() else text, step.comments)
    members: list[Member] = []
    for role in ROLES:
        agent = _player(role, agents) if role.name in wanted else None
        if agent is not None:
            members.append(
                Member(name=role.name, agent=agent, role=role.role, instructions=role.instructions)
            )
    members = members[:LARGEST] or _anybody(agents)
    return TeamPlan(
        goal=shortened(text, 300) or "Answer the request.",
        members=members,
        speaking="as_needed",
        rounds=len(members),
        done_when=BY_RULES,
    )


def delegation(step: StepInput, agents: Sequence[AgentInfo]) -> Delegation:
    """The next one who has not worked on its part; done once all have.

    Members of the step's team where there is one; else agents by the words of the request.
    """
    team = _team(step) or team_plan(step, agents)
    names = [m.name for m in team.members] if _team(step) else [m.agent for m in team.members]
    if step.talk:
        worked = {said.member for said in step.talk}
        left = [i for i, name in enumerate(names) if name not in worked]
    else:
        left = list(range(min(step.visit - 1, len(names)), len(names)))
    # However the names in the log look: no more turns than there are members.
    if not left or step.visit > len(names):
        return Delegation(done=True, reason="Rules engine: everyone in the list has worked once.")
    member = team.members[left[0]]
    return Delegation(
        member=names[left[0]],
        task=f"{member.instructions}\n\nThe request: {team.goal}",
        done=False,
        reason=f"Rules engine: {names[left[0]]} is the next in the list.",
    )


def _wanted(text: str, comments: Sequence[str]) -> set[str]:
    """Names of the roles that a task calls for, at most `MOST`, then as people asked."""
    called = [role.name for role in ROLES if re.search(rf"\b(?:{role.words})\b", text, re.IGNORECASE)]
    wanted = [*called, *(name for name in USUAL if name not in called)] if len(called) < 2 else called
    found = set(wanted[:MOST])
    if not found & MAKING:
        # Somebody has to make the result.
        found = {*wanted[: MOST - 1], "Builder"}
    for comment in comments:
        # "add security, without the tester": each part is for or against those it names.
        for part in re.split(r"[,;.]|\bbut\b|\band\b", comment):
            named = {role.name for role in ROLES if _names(part, role)}
            found = found - named if _WITHOUT.search(part) else found | named
    return found or set(USUAL)


def _names(text: str, role: Role) -> bool:
    return any(re.search(rf"\b{word}s?\b", text, re.IGNORECASE) for word in {role.name, *role.agents})


def _player(role: Role, agents: Sequence[AgentInfo]) -> str | None:
    there = [a for a in agents if a.name not in ARRANGING and a.status != "offline"]
    for wish in role.agents:
        for agent in there:
            if wish == agent.name or wish in agent.capabilities:
                return agent.name
    return None


def _anybody(agents: Sequence[AgentInfo]) -> list[Member]:
    """One member, where no role finds its agent: a team of whoever there is."""
    there = [a.name for a in agents if a.name not in ARRANGING and a.status != "offline"]
    name = there[0] if there else "builder"
    return [Member(name="Builder", agent=name, role="makes the result", instructions="Do what is asked for.")]


def _team(step: StepInput) -> TeamPlan | None:
    """The team of the step, or the newest that the workflow made."""
    given: Mapping[str, Any] | None = step.team
    if given is None:
        made = [o for o in step.outputs.values() if "members" in o and "speaking" in o]
        given = cast("Mapping[str, Any]", made[-1]) if made else None
    return TeamPlan.model_validate(given) if given is not None else None
