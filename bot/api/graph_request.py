"""What is sent to `/run-graph`. Fields that are not named here are ignored."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bot.api.json_values import Text, clean_json

MAX_TASKS: Final = 200
MAX_LINKS: Final = 2_000  # dependencies of all tasks together
MAX_JSON: Final = 64 * 1024  # characters of input_data, and of metadata
WORKFLOW_ID: Final = r"^[A-Za-z0-9_][A-Za-z0-9._:@+-]*$"

WorkflowType = Literal["sequential", "parallel", "graph"]
AgentId = Annotated[Text, Field(min_length=1, max_length=128)]


def _small(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(value, ensure_ascii=False)) if value else 0
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if size > MAX_JSON:
        raise ValueError(
            f"has {size:,} characters as JSON, more than {MAX_JSON:,}; give less, or a link to it"
        )
    return value


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is due")  # noqa: TRY004 - pydantic wants ValueError
    return value


# By size first: looking at each value takes longer.
SmallObject = Annotated[dict[str, Any], AfterValidator(_small), AfterValidator(clean_json)]


class GraphTaskIn(BaseModel):
    """One task of a graph."""

    agent_id: AgentId = Field(description="yours to choose; unique in the graph, `depends_on` names it")
    agent_role: Text = Field(
        min_length=1,
        max_length=80,
        description="an agent by its name (`quartet agents` lists them), or by what it is "
        "called elsewhere: `frontend_developer`, `FrontendAgent`, `tester`",
    )
    input_data: SmallObject | None = Field(
        default=None,
        description="`task`, `prompt`, `description`, `goal`, `query` or `input` in it says what is to be "
        "done; the rest reaches the agent as JSON. Nothing of it is read as a template",
    )
    depends_on: list[AgentId] | None = Field(
        default=None, max_length=MAX_TASKS, description="agent_ids whose outputs this task needs"
    )
    llm_model: Text | None = Field(
        default=None, max_length=200, description="`provider:model`, or a model of a provider that is set up"
    )
    model: Text | None = Field(default=None, max_length=200, description="as llm_model")
    temperature: Annotated[float, BeforeValidator(_no_truth)] | None = Field(default=None, ge=0, le=2)


class GraphIn(BaseModel):
    """A graph of tasks."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "workflow_type": "sequential",
                "tasks": [
                    {
                        "agent_id": "facts",
                        "agent_role": "researcher",
                        "input_data": {"task": "What is Quartet?"},
                    },
                    {
                        "agent_id": "text",
                        "agent_role": "builder",
                        "input_data": {"task": "Write a paragraph about it"},
                        "depends_on": ["facts"],
                    },
                ],
                "metadata": {"project": "demo"},
            }
        }
    )

    workflow_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        pattern=WORKFLOW_ID,
        description="yours to choose, once; null makes one",
    )
    workflow_type: WorkflowType = Field(
        description="sequential: one after the other, each gets the output before; parallel: all at once; "
        "graph: as `depends_on` says"
    )
    tasks: list[GraphTaskIn] = Field(min_length=1, max_length=MAX_TASKS)
    metadata: SmallObject | None = Field(default=None, description="comes back as it is")
