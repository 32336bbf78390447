"""The answer of a run, made of what its nodes put out. Pure."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from orchestrator.artifacts import Answer, Draft, MadeFile, ResearchBrief, Review, Source
from orchestrator.engine.state import RunState
from orchestrator.events import Json
from orchestrator.merge import merge
from orchestrator.workflow import Workflow

MAX_FILES = 20
M = TypeVar("M", bound=BaseModel)


def answer_of(workflow: Workflow, state: RunState, prefix: str = "") -> Answer:
    """The draft with the reviewer's edits merged, then the sections; without either the last output.

    Args:
        prefix: of the instances of a workflow that runs inside of the run's own.
    """
    parts = workflow.answer
    answer: Answer | None = None
    if parts is not None and parts.draft is not None:
        answer = _drafted(workflow, state, prefix)
    if parts is not None and parts.sections:
        answer = _with_sections(workflow, state, prefix, answer)
    answer = answer or Answer(body=_last_output(state, prefix))
    notes = _lost(state, prefix) if workflow.policies.on_failure == "continue" else []
    return answer.model_copy(update={"notes": [*answer.notes, *notes]}) if notes else answer


def output_of(workflow: Workflow, state: RunState, prefix: str) -> Json:
    """What a workflow puts out as a node of another: its draft as it is, or its whole answer."""
    parts = workflow.answer
    if parts is not None and parts.draft is not None and not parts.sections and parts.review is None:
        draft = state.latest(prefix + parts.draft)
        if draft is not None:
            return draft
    return answer_of(workflow, state, prefix).model_dump(mode="json")


def _drafted(workflow: Workflow, state: RunState, prefix: str) -> Answer | None:
    parts = workflow.answer
    assert parts is not None
    draft = state.latest(prefix + parts.draft) if parts.draft else None
    review = state.latest(prefix + parts.review) if parts.review else None
    brief = state.latest(prefix + parts.brief) if parts.brief else None
    if draft is None:
        return None
    try:
        return merge(
            Draft.model_validate(draft),
            Review.model_validate({k: v for k, v in review.items() if k != "repeated"}) if review else None,
            ResearchBrief.model_validate(brief) if brief else None,
        )
    except ValidationError:
        # A workflow of one's own may name nodes that put out something else; show what there is.
        return Answer(body=_text(draft), files=_files(draft), sources=_sources(draft))


def _with_sections(workflow: Workflow, state: RunState, prefix: str, answer: Answer | None) -> Answer | None:
    parts = workflow.answer
    assert parts is not None
    bodies = [answer.body] if answer else []
    files = list(answer.files) if answer else []
    sources = list(answer.sources) if answer else []
    for name in parts.sections:
        output = state.latest(prefix + name)
        if output is None:
            continue
        title = workflow.nodes[name].title or name.replace("_", " ").capitalize()
        bodies.append(f"## {title}\n\n{_text(output)}")
        files += _files(output)
        sources += [s for s in _sources(output) if s.id not in {one.id for one in sources}]
    if not bodies:
        return None
    changes: dict[str, Any] = {
        "body": "\n\n".join(bodies),
        "files": _named_apart(files)[:MAX_FILES],
        "sources": sources,
    }
    return (answer or Answer(body="")).model_copy(update=changes)


def _named_apart(files: list[MadeFile]) -> list[MadeFile]:
    """The newest of each name."""
    return list({file.name: file for file in files}.values())


def _lost(state: RunState, prefix: str) -> list[str]:
    """What failed and was left out, for people."""
    notes: list[str] = []
    for name, node in state.nodes.items():
        if name.startswith(prefix) and node.status == "failed" and node.problem is not None:
            notes.append(f"{name} failed: {node.problem.message}")
    return notes


def _last_output(state: RunState, prefix: str) -> str:
    for step in reversed(state.steps):
        output = state.latest(step.node) if step.node.startswith(prefix) else None
        if output is not None:
            return _text(output)
    return "The workflow ended without output."


def _text(output: Json) -> str:
    """An output as people read it."""
    for key in ("body", "summary", "text"):
        if isinstance(output.get(key), str):
            return output[key] + _issues(output.get("issues"))
    items = output.get("items")
    if isinstance(items, list) and "failed" in output:
        bodies = [_text(cast("Json", item)) for item in cast("list[Any]", items) if isinstance(item, dict)]
        if bodies:
            return "\n\n".join(bodies)
    return f"```json\n{json.dumps(output, indent=2, ensure_ascii=False)}\n```"


def _issues(issues: Any) -> str:
    """Findings of a report as a list."""
    if not isinstance(issues, list) or not issues:
        return ""
    lines: list[str] = []
    for issue in cast("list[Any]", issues):
        if isinstance(issue, dict):
            one = cast("Json", issue)
            where = f" ({one['where']})" if one.get("where") else ""
            remedy = f" Remedy: {one['remedy']}" if one.get("remedy") else ""
            lines.append(f"- **{one.get('severity', 'info')}**{where}: {one.get('problem', '')}{remedy}")
    return "\n\n" + "\n".join(lines) if lines else ""


def _files(output: Json) -> list[MadeFile]:
    nested = [cast("Json", i) for i in _list(output.get("items")) if isinstance(i, dict)]
    return [file for one in (output, *nested) for file in _valid(MadeFile, one.get("files"))]


def _sources(output: Json) -> list[Source]:
    return list(_valid(Source, output.get("sources")))


def _valid(kind: type[M], given: Any) -> Iterator[M]:
    """Those of a list that are of a kind; agents of one's own may put anything there."""
    for one in _list(given):
        with contextlib.suppress(ValidationError):
            yield kind.model_validate(one)


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
