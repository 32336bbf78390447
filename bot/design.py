"""What a drafted workflow has to be before it counts, and what its approval leads to. Pure but for reading.

The draft comes from a model or from rules, out of anybody's words: it is read like any file, with the same
checks, and may name neither a shipped workflow nor the agents that save workflows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bot.design_cards import BUILT_IN, DESIGN
from config.documents import read_given, read_text_model, refuse_flawed
from config.errors import ConfigError
from orchestrator.artifacts import WorkflowDraft
from orchestrator.embedding import embedding_flaws
from orchestrator.library import SHIPPED, Library
from orchestrator.ports import AgentInfo
from orchestrator.tokens import has_tokens
from orchestrator.workflow import Workflow
from orchestrator.workflow_checks import problems

MOST_TOLD: Final = 12  # flaws that are told at once
NAME_OF_DRAFT: Final = "draft"
_NOW: Final = re.compile(
    r"\b(?:run|start|execute|try)\s+(?:it|this|them)\s+(?:once\s+)?(?:now|at\s+once|right\s+away|immediately|once)\b",
    re.IGNORECASE,
)


def draft_check(
    library: Callable[[], Library], agents: Callable[[], Sequence[AgentInfo]]
) -> Callable[[str], str]:
    """What is wrong with a drafted workflow's YAML, with line, column and remedy; "": nothing.

    Args:
        library: the workflows there are.
        agents: the agents there are.
    """

    def flaw(yaml: str) -> str:
        known = [info for info in agents() if info.name not in BUILT_IN_NAMES]
        names = library()
        if has_tokens(yaml):
            return "Something in it looks like a secret: leave it out; keys belong into the settings."
        try:
            workflow, document = read_given(yaml, NAME_OF_DRAFT, Workflow)
            refuse_flawed(document, [(("name",), why)] if (why := name_flaw(workflow.name, names)) else [])
            flaws = list(
                problems(
                    workflow,
                    agents=frozenset(info.name for info in known),
                    capabilities=frozenset(one for info in known for one in info.capabilities),
                    workflows=frozenset(names),
                )
            )
            flaws = flaws or list(embedding_flaws(workflow, {**names, workflow.name: workflow}))
            refuse_flawed(document, ((each.path, each.message) for each in flaws))
        except ConfigError as error:
            told = [str(problem) for problem in error.problems[:MOST_TOLD]]
            more = len(error.problems) - len(told)
            return "\n".join([*told, *([f"… and {more} more"] if more else [])])
        return ""

    return flaw


BUILT_IN_NAMES: Final = frozenset(card.name for card in BUILT_IN)


def name_flaw(name: str, library: Library) -> str:
    """Why a workflow may not be saved under a name, with a free one; "": it may."""
    source = library.source(name)
    if not source and name != DESIGN:
        return ""
    what = (
        "a shipped workflow" if source == SHIPPED or name == DESIGN else "a workflow that comes from a file"
    )
    return f"{name!r} is the name of {what}; choose another, for example {free_name(name, library)!r}"


def free_name(name: str, taken: Mapping[str, object]) -> str:
    """The name, or the first of name_2, name_3, … that is free."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name[: 39 - len(str(number))]}_{number}"
    return found


def read_draft(draft: WorkflowDraft) -> Workflow:
    """The workflow of a draft.

    Raises:
        ConfigError: it is none.
    """
    return read_text_model(draft.yaml, NAME_OF_DRAFT, Workflow)


def says_now(text: str) -> bool:
    """Whether a request asks for a run at once."""
    return _NOW.search(text) is not None


def warnings(workflow: Workflow) -> list[str]:
    """What to look at twice."""
    found: list[str] = []
    asks = [node for node in workflow.nodes.values() if node.kind in ("approval", "input")]
    if not asks:
        found.append("It asks nobody: it runs through to its answer without an approval.")
    words = " ".join(f"{node.title} {getattr(node, 'task', '')}" for node in workflow.nodes.values())
    acts = re.search(r"\b(deploy|publish|delete|send|release|e-?mail|post)\w*", words, re.IGNORECASE)
    if acts is not None and not asks:
        found.append(f"Yet it speaks of something that may not be taken back (“{acts[0]}”).")
    required = [name for name in _required(workflow) if name != "text"]
    if required:
        found.append(
            f"It needs inputs each time: {', '.join(required)}. By the clock it cannot start without them."
        )
    return found


def _required(workflow: Workflow) -> list[str]:
    required = workflow.inputs.get("required", ())
    return [str(name) for name in required] if isinstance(required, list | tuple) else []  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
