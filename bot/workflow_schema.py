"""The JSON Schema of workflow files, so that editors complete, explain and underline while one writes."""

from __future__ import annotations

from typing import Any, cast

from orchestrator import input_schema
from orchestrator.events import Json
from orchestrator.workflow import Workflow

DIALECT = "https://json-schema.org/draft/2020-12/schema"

# What an editor shows at each key; "Model.key" where a key means something else in that model.
ABOUT: dict[str, str] = {
    "name": "Name of the workflow: small letters, digits and _. People start it by this name.",
    "version": "Version of the definition, as text. A run keeps the one that it began with.",
    "description": "What the workflow is for, in a sentence or two.",
    "Workflow.inputs": "JSON Schema of what a run is given: `type: object`, `properties`, `required`.",
    "start": (
        "Node or nodes where a run begins. Without it: the first node in the file; with `strategy: parallel` "
        "or `graph`, or with `depends_on`, all nodes that nothing leads to."
    ),
    "strategy": (
        "Edges without writing them. sequential: each node leads to the next one in the file; parallel: all "
        "begin at once; graph: as `depends_on` and `edges` say."
    ),
    "nodes": "The steps of the workflow by name. A run may read each one's output by this name.",
    "edges": "What leads where. A decision takes the first edge that fits, any other node all that fit.",
    "answer": "Which nodes' outputs make the answer. Without it: the last output.",
    "policies": "What holds for the whole workflow.",
    "workflows": "Further workflows, by name, that nodes of this one run.",
    "kind": "What the node does.",
    "title": "What people read in the status card and the picture.",
    "retry": "How often and when a failed step is tried again.",
    "timeout": "Seconds for one attempt.",
    "priority": "A waiting critical step starts before a waiting low one. Without it: the run's.",
    "checkpoint": "The agent can save where it stands; a further attempt goes on from there.",
    "join": (
        "Where several branches arrive. all: wait for each that can still come; any: the first is enough; "
        "a number: that many are enough."
    ),
    "depends_on": "Nodes that lead here; the same as an edge from each.",
    "agent": "Name of the agent that works.",
    "requires": "Capabilities that the agent has to have, all of them; whoever fits best is chosen.",
    "prefers": "Capabilities that are good to have; only together with `requires`.",
    "agent_from": "Expression that gives the name of an agent, or with `team` of a member.",
    "team": "Node whose output is the team that `agent_from` chooses a member of.",
    "task": "What is to be done. {{ expressions }} are filled in. Without it: the run's request alone.",
    "model": "Model for this node, provider:model. Without it: as for the agent.",
    "temperature": "How freely the model answers, 0 to 2. Without it: as for the agent.",
    "outcomes": "What the outcome of the agent's report may be; conditions read `node.outcome`.",
    "compensation": "Agent node that undoes this one when an error handler compensates.",
    "over": "Expression that gives a list; the work is done for each `item` of it.",
    "MapNode.workflow": "Workflow that runs for each item, instead of an agent.",
    "WorkflowNode.workflow": "Workflow that runs inside of this one.",
    "inputs": "Inputs of that workflow; texts are templates, {{ expressions }} are filled in.",
    "MapNode.max_concurrent": "How many items are worked on at once.",
    "on_item_error": "fail: one failed item fails the map; continue: it is listed in `failed`.",
    "ordered": (
        "Items have `id` and `depends_on`: one begins when those that it depends on have ended, and is told "
        "what they put out."
    ),
    "of": "Node whose latest output people decide about, and which an edit replaces.",
    "body": "What people read besides. {{ expressions }} are filled in.",
    "ApprovalNode.approvers": "Who may decide: people, groups or roles. Without it: the channel's approvers.",
    "InputNode.approvers": "Who may answer: people, groups or roles. Without it: the channel's approvers.",
    "approvers_from": "Expression that gives the approvers, such as inputs.approvers.",
    "allow_requester": "Whether the person who asked for the run may decide.",
    "expires_after": "Seconds until it expires. Without it: as the channel says (24 hours).",
    "on_expiry": "What an approval becomes that nobody decided in time.",
    "question": "What the person is asked. {{ expressions }} are filled in.",
    "InputNode.default": "What counts when nobody answers in time. Without it: the run expires.",
    "compensate": "First run the `compensation` nodes of all steps that ended well, newest first.",
    "from": "Node that the edge leaves.",
    "to": "Node that it leads to.",
    "on": (
        "After which outcome. success; error: the node failed; changes: people asked for changes; rejected: "
        "people said no."
    ),
    "when": "Condition over outputs, such as review.score < policies.min_score.",
    "max_visits": "How often the edge may be taken in one run. Every loop needs one edge that has it.",
    "draft": "Node whose output is the body of the answer.",
    "review": "Node whose review is added: score, notes, and edits that are merged.",
    "brief": "Node whose research gives the sources.",
    "plan": "Node whose plan belongs to the answer.",
    "sections": "Nodes whose outputs follow as titled sections, in this order.",
    "min_score": "A review below it is not good enough; conditions read policies.min_score.",
    "max_steps": "With more steps the run fails instead of going round.",
    "max_model_calls": "Calls of language models in one run.",
    "max_concurrent": "Steps at work at once in one run.",
    "on_failure": (
        "stop: a failed node without an edge `on: error` fails the run. continue: what does not depend on it "
        "goes on."
    ),
    "max_retries": "How often a failed step is tried again.",
    "initial_delay": "Seconds before the first retry.",
    "backoff": "Each delay is this many times the last.",
}


def workflow_schema() -> Json:
    """JSON Schema, draft 2020-12, of a workflow file.

    What only the whole can tell (a loop, a misspelt node) is said by `quartet workflows check`.
    """
    schema: Json = Workflow.model_json_schema(by_alias=True)
    parts: dict[str, Json] = schema["$defs"]
    for name, part in parts.items():
        part["description"] = " ".join(str(part.get("description", "")).split())
        for key, value in part["properties"].items():
            _explain(value, ABOUT.get(f"{name}.{key}") or ABOUT[key])
        if "kind" in part["properties"]:
            part["required"] = ["kind", *[key for key in part.get("required", ()) if key != "kind"]]
    parts["Workflow"]["properties"]["inputs"] |= {
        "properties": {key: {} for key in sorted(input_schema.KEYWORDS)} | {"type": {"const": "object"}},
        "additionalProperties": False,
    }
    _close(schema)
    top = {"title": "Quartet workflow", "description": parts["Workflow"]["description"]}
    return {"$schema": DIALECT, **top, **schema}


def _explain(value: Json, words: str) -> None:
    value.pop("title", None)  # "Max Concurrent" says nothing that the key does not
    value["description"] = words
    if "$ref" in value and value.get("default") == {}:
        del value["default"]


def _close(part: object) -> None:
    """Names that do not fit the pattern of names are wrong, and not merely undescribed."""
    if isinstance(part, dict):
        found = cast("dict[str, Any]", part)
        if "patternProperties" in found:
            found["additionalProperties"] = False
        for inner in found.values():
            _close(inner)
    elif isinstance(part, list):
        for inner in cast("list[object]", part):
            _close(inner)
