"""Whom a role means: an agent by name, by what clients of the field call it, by what it can do. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from orchestrator.ports import AgentInfo

# What others call the agents that come with Quartet. It counts only where the agent is there.
ALIASES: Final[Mapping[str, str]] = {
    alias: agent
    for agent, aliases in {
        "frontend": "frontend_developer frontend_engineer ui ux ui_developer ui_designer web_developer",
        "backend": "backend_developer backend_engineer api_developer server_developer database",
        "developer": "full_stack full_stack_developer programmer coder "
        "engineer software_engineer software_developer code code_generator implementer",
        "qa": "tester test qa_engineer qa_tester quality_assurance test_engineer verifier validator",
        "code_reviewer": "code_review",
        "reviewer": "review critic editor proofreader judge evaluator",
        "coordinator": "supervisor orchestrator manager lead team_lead project_manager director",
        "researcher": "research web_researcher searcher investigator",
        "analyst": "data_analyst business_analyst requirements requirements_analyst",
        "architect": "system_architect software_architect designer solution_architect",
        "planner": "planning product_manager strategist",
        "builder": "writer content_writer copywriter author generator",
        "technical_writer": "documentation documenter docs doc_writer summarizer summariser synthesizer",
        "debugger": "debug bug_fixer fixer troubleshooter",
        "operator": "devops devops_engineer deployer ops sre infrastructure release_engineer",
        "security": "security_reviewer security_auditor security_analyst security_engineer auditor pentester",
        "performance": "performance_reviewer performance_engineer optimizer optimiser profiler",
        "style": "style_reviewer linter formatter",
    }.items()
    for alias in aliases.split()
}
_ENDINGS: Final = ("agent", "assistant", "bot", "role")
NAMED: Final = 40  # agents that a refusal names


class Roles:
    """The agents that there are, by everything that they are called.

    Args:
        agents: those that may be asked for.
    """

    def __init__(self, agents: Iterable[AgentInfo]) -> None:
        names: dict[str, str] = {}
        capable: dict[str, str] = {}
        for info in agents:
            if info.origin == "built_in":  # serves workflows of its own
                continue
            names.setdefault(plain(info.name), info.name)
            for capability in info.capabilities:
                capable.setdefault(plain(capability), info.name)
        aliases = {
            plain(alias): names[plain(agent)] for alias, agent in ALIASES.items() if plain(agent) in names
        }
        self._names = tuple(names.values())
        self._agents: Mapping[str, str] = {**capable, **aliases, **names}

    def agent(self, role: str) -> str | None:
        """The agent of a role; None: nobody is called that."""
        wanted = plain(role)
        found = self._agents.get(wanted)
        for ending in _ENDINGS:
            if found is None and wanted.endswith(ending):
                found = self._agents.get(wanted.removesuffix(ending))
        return found

    def refusal(self, role: str) -> str:
        """What is wrong with a role that nobody has, with the nearest one."""
        wanted = plain(role[:80])
        near = difflib.get_close_matches(wanted, self._agents, n=1)
        if near:
            hint = f"did you mean {self._agents[near[0]]!r}?"
        else:
            hint = f"there are: {', '.join(self._names[:NAMED])}"
        return f"there is no agent for the role {role[:80]!r}; {hint}"


class RolesKept:
    """The roles, made anew only when other agents are there."""

    def __init__(self) -> None:
        self._made: tuple[Sequence[str], Roles] | None = None

    def of(self, names: Sequence[str], infos: Iterable[AgentInfo] | None = None) -> Roles | None:
        """The roles of these agents; None: they have to be made, with `infos`."""
        if self._made is not None and self._made[0] == names:
            return self._made[1]
        if infos is None:
            return None
        made = Roles(infos)
        self._made = (names, made)
        return made


def plain(role: str) -> str:
    """`FrontendDeveloper`, `Front-End developer` and `frontend_developer` are written in one way."""
    return re.sub(r"[\s_.-]+", "", role).lower()
