"""Why an output cannot count, in words for whoever made it: it is sent back with them. Pure.

What its type cannot say: plans that hang together, outcomes that were offered, agents that there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from orchestrator.agents import checks
from orchestrator.artifacts import PERSON, Artifact, Delegation, Draft, Plan, Report, TeamPlan, WorkflowDraft
from orchestrator.cron import schedule_flaw
from orchestrator.ports import AgentInfo, StepInput

MOST_ITEMS = 100  # of a report: others may work on each of them
ITEM_CHARS = 2_000
OUTCOME_CHARS = 60
YAML_CHARS = 100_000

DraftFlaw = Callable[[str], str]
"""What is wrong with a drafted workflow's YAML, for whoever wrote it; "": nothing."""


def flaw(
    output: Artifact, step: StepInput, agents: Sequence[AgentInfo] = (), draft_flaw: DraftFlaw | None = None
) -> str | None:
    """Why the output of a step cannot count; None: it can.

    Args:
        agents: those there are; empty: names of agents are not checked.
        draft_flaw: reads drafted workflows; None: only that there is one is checked.
    """
    if isinstance(output, Plan):
        return checks.plan_flaw(output)
    if isinstance(output, Draft):
        return None if output.body.strip() else "The body is empty: write the whole answer into it."
    if isinstance(output, Report):
        return _of_report(output, step.outcomes)
    if isinstance(output, TeamPlan):
        return _of_team(output, agents)
    if isinstance(output, Delegation):
        return _of_delegation(output, step, agents)
    if isinstance(output, WorkflowDraft):
        return _of_workflow(output, draft_flaw)
    return None


def _of_report(report: Report, outcomes: Sequence[str]) -> str | None:
    if not report.body.strip():
        return "The body is empty: write the whole result into it."
    if outcomes and report.outcome not in outcomes:
        return (
            f"The outcome {report.outcome[:40]!r} was not offered: it must be one of {', '.join(outcomes)}."
        )
    if len(report.outcome) > OUTCOME_CHARS:
        return "The outcome must be one word; what there is to say goes into the body."
    if len(report.items) > MOST_ITEMS:
        return f"{len(report.items)} items are too many: put them together into {MOST_ITEMS} at most."
    if any(len(item) > ITEM_CHARS for item in report.items):
        return f"An item must be shorter than {ITEM_CHARS} characters; details go into the body."
    return None


def _of_team(team: TeamPlan, agents: Sequence[AgentInfo]) -> str | None:
    known = {info.name: info for info in agents}
    names = [member.name.casefold() for member in team.members]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        return f"Names of members must be unique; these occur more than once: {', '.join(double)}."
    if PERSON in names:
        return f"{PERSON!r} is the person who asked; give the member another name."
    if team.speaking == "in_turn" and team.rounds < len(team.members):
        return (
            f"{team.rounds} rounds are too few for {len(team.members)} members who speak in turn: "
            "each has to speak once."
        )
    for member in team.members:
        if known and member.agent not in known:
            return (
                f"Member {member.name!r} is played by {member.agent!r}, which is no agent; "
                f"agents are {', '.join(known)}."
            )
        lacking = sorted(set(member.tools) - set(known[member.agent].tools)) if known else []
        if lacking:
            has = ", ".join(known[member.agent].tools) or "none"
            return (
                f"The agent {member.agent!r} of member {member.name!r} does not have the tools "
                f"{', '.join(lacking)}; it has {has}."
            )
    return None


def _of_delegation(given: Delegation, step: StepInput, agents: Sequence[AgentInfo]) -> str | None:
    if given.done:
        return None
    if not given.task.strip():
        return "The task is empty: say what is to be done, or that it is done."
    if step.can_ask and given.member == PERSON:
        return None
    names = members(step)
    kind = "members of the team" if names else "agents"
    names = names or tuple(info.name for info in agents)
    if names and given.member not in names:
        return f"There is no {given.member[:40]!r} to give the task to; {kind} are {', '.join(names)}."
    return None if given.member else "Name the member who is to work next."


def members(step: StepInput) -> tuple[str, ...]:
    """Names of the members of the step's team: its own, else the newest team plan of the run."""
    plans = [step.team] if step.team is not None else [o for o in step.outputs.values() if "members" in o]
    if not plans or not isinstance(plans[-1].get("members"), list):
        return ()
    return tuple(str(one.get("name", "")) for one in cast("list[dict[str, Any]]", plans[-1]["members"]))


def _of_workflow(draft: WorkflowDraft, draft_flaw: DraftFlaw | None) -> str | None:
    if not draft.yaml.strip():
        return "The YAML is empty: write the whole definition into it."
    if len(draft.yaml) > YAML_CHARS:
        return f"The YAML is longer than {YAML_CHARS} characters: draft a smaller workflow."
    if not draft.explanation.strip():
        return "The explanation is empty: say step by step what the workflow does."
    wrong = [schedule_flaw(draft.schedule, draft.time_zone)]
    wrong.append(draft_flaw(draft.yaml) if draft_flaw is not None else "")
    return "\n".join(filter(None, wrong)) or None
