"""Planner, builder and reviewer by rules, asked for something by itself (`TurnRecord.parts`). Pure.

In the usual order of work each stands on the others: the plan on research, the draft on both, the review
on all three. A step that is asked for alone has what was given with it, and what led to it; where that is
no research, these make the most of the request's own words, and say so.
"""

from __future__ import annotations

from orchestrator.agents import rules_code, rules_earlier, rules_report, rules_review
from orchestrator.agents.rules_earlier import worst_first
from orchestrator.agents.rules_text import shortened
from orchestrator.artifacts import Draft, Issue, Plan, PlanTask, Review, ReviewFinding
from orchestrator.ports import StepInput

MOST_TASKS = 12
BY_RULES = "Put together by rules from the words of the request: nothing was looked up or judged."
LOOKED = "Rules looked at form and patterns alone; whether it is right was not judged."


def is_alone(step: StepInput, output: str) -> bool:
    """Whether a step is asked for by itself, and what it usually stands on did not lead to it.

    Args:
        output: what it is to make: a plan and a draft stand on research, a review on a draft as well.
    """
    if not step.turn.parts:
        return False
    research = any("findings" in made and "sources" in made for made in step.outputs.values())
    drafted = any("task_results" in made for made in step.outputs.values())
    return not (research and (drafted or output != "Review"))


def plan(step: StepInput) -> Plan:
    """A task for each point of what led here, else for each point of the request."""
    points = rules_earlier.first_items(step) or rules_report.statements(step.turn.text)
    tasks = [
        PlanTask(
            id=f"task-{number}",
            title=shortened(point, 120),
            acceptance=shortened(point, 300) if len(point) > 120 else "",
            depends_on=[f"task-{number - 1}"] if number > 1 else [],
        )
        for number, point in enumerate(points[:MOST_TASKS], start=1)
    ]
    left = len(points) - MOST_TASKS
    return Plan(
        goal=shortened(step.turn.text, 300) or "Do what is asked for.",
        outline=[task.title for task in tasks],
        tasks=tasks or [PlanTask(id="task-1", title="Do what is asked for")],
        risks=[BY_RULES, *([f"{left} more points are left out."] if left > 0 else [])],
    )


def draft(step: StepInput) -> Draft:
    """What is at hand, arranged: the request's points, and the beginning of every earlier output."""
    return Draft(body=rules_report.report(step, ("writing",)).body)


def review(step: StepInput) -> Review:
    """What led here, or the code that was given: form and patterns, nothing about sources or a plan."""
    texts = [rules_earlier.text_of(output) for output in step.outputs.values()]
    whole = "\n\n".join(text for text in texts if text.strip())
    found = [_remark(issue) for issue in worst_first(rules_code.issues(step, rules_code.ASPECTS))]
    known = [_remark(issue) for issue in worst_first(rules_earlier.earlier_issues(step))]
    if whole:
        found = [*known, *found, *rules_review.formal(step, Draft(body=whole))]
    elif not rules_code.code(step):
        problem = f"There was nothing to review: {rules_report.NO_CODE}"
        found = [ReviewFinding(severity="critical", where="whole request", problem=problem)]
    score = rules_review.scored(found)
    verdict = "accept" if score >= rules_review.GOOD else "revise"
    found.append(ReviewFinding(severity="minor", where="review", problem=LOOKED))
    return Review(score=score, findings=found, verdict=verdict)


def _remark(issue: Issue) -> ReviewFinding:
    severity = "minor" if issue.severity == "info" else issue.severity
    return ReviewFinding(
        severity=severity,
        where=issue.where or "request",
        problem=" ".join(filter(None, (issue.problem, issue.remedy))),
    )
