"""The one form in which agents elsewhere are told of a step, and in which they answer. Pure but for the sink.

Python authors, HTTP and commands see the same `Step`; what comes back is validated as the artifact
that was asked for before anybody else sees it.
"""

from __future__ import annotations

import json
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.agents import checks, flaws
from orchestrator.agents.finishing import finished
from orchestrator.artifacts import ARTIFACTS, Artifact
from orchestrator.errors import AgentFailed
from orchestrator.events import Json
from orchestrator.ports import StepInput, StepSink

PROTOCOL = "quartet.step/1"
MOST_BYTES = 4_000_000  # of an answer, or of one line
MOST_BYTES_IN_ALL = 32_000_000  # of everything that one step says
CHECKPOINT_BYTES = 1_000_000
DOING_CHARS = 200
SAID_CHARS = 300  # of what an agent says about a failure


class Line(BaseModel):
    """Something said earlier in the conversation."""

    model_config = ConfigDict(frozen=True)

    role: str  # "person", "bot", "other"
    name: str
    text: str


class File(BaseModel):
    """A file that came with the request."""

    model_config = ConfigDict(frozen=True)

    name: str
    media_type: str
    text: str | None  # None: it could not be read as text


class Spoken(BaseModel):
    """What a member of the team did earlier."""

    model_config = ConfigDict(frozen=True)

    member: str
    output: dict[str, Any]


class Step(BaseModel):
    """A step, as an agent elsewhere is told of it."""

    model_config = ConfigDict(frozen=True)

    key: str  # run:node:visit:attempt; a step that is asked for again after a crash has the same one
    run: str
    node: str
    visit: int
    attempt: int
    agent: str
    output: str  # the artifact that is wanted: "Report"
    request: str  # what the person wrote
    person: str  # their name
    task: str  # what the workflow asks of this step; "": the request says it
    inputs: dict[str, Any]  # of the workflow
    item: Any = None  # of a map: what this step works on
    outcomes: tuple[str, ...] = ()  # words that a Report's outcome may be; empty: any
    outputs: dict[str, dict[str, Any]]  # what the steps before made, by node
    conversation: tuple[Line, ...] = ()
    files: tuple[File, ...] = ()
    comments: tuple[str, ...] = ()  # what people asked to change
    steering: tuple[str, ...] = ()  # messages given while the run works
    previous_reviews: tuple[dict[str, Any], ...] = ()
    language: str = ""  # of the answer; "": that of the request
    member: dict[str, Any] | None = None  # the part of a team that it plays
    team: dict[str, Any] | None = None
    talk: tuple[Spoken, ...] = ()
    checkpoint: dict[str, Any] | None = None  # what it saved last
    problem: dict[str, Any] | None = None  # for error handlers
    undoing: str = ""  # the node whose work is to be undone; its output is `item`


def key_of(step: StepInput) -> str:
    """The same for the same attempt, also after a crash: what is asked twice under it is done once."""
    return f"{step.run_id}:{step.node}:{step.visit}:{step.attempt}"


def step_of(step: StepInput, output: str) -> Step:
    """A step in the form for agents elsewhere. Holds no ids of people, no settings and no keys."""
    turn = step.turn
    said = (*turn.earlier, *step.exchanges)
    return Step(
        key=key_of(step),
        run=str(step.run_id),
        node=step.node,
        visit=step.visit,
        attempt=step.attempt,
        agent=step.agent,
        output=output,
        request=turn.text,
        person=turn.who.name,
        task=step.task,
        inputs={**turn.context, **step.inputs},
        item=step.item,
        outcomes=step.outcomes,
        outputs={name: dict(made) for name, made in step.outputs.items()},
        conversation=tuple(Line(role=line.role, name=line.name, text=line.text) for line in said),
        files=tuple(File(name=f.name, media_type=f.media_type, text=f.text) for f in turn.files),
        comments=step.comments,
        steering=step.steering,
        previous_reviews=tuple(dict(one) for one in step.previous_reviews),
        language=step.settings.language,
        member=step.member,
        team=step.team,
        talk=tuple(Spoken(member=one.member, output=one.output) for one in step.talk),
        checkpoint=step.checkpoint,
        problem=step.problem,
        undoing=step.undoing,
    )


def request_of(step: Step) -> Json:
    """What is sent to an agent elsewhere."""
    return {
        "protocol": PROTOCOL,
        "step": step.model_dump(mode="json"),
        "output_schema": ARTIFACTS[step.output].model_json_schema(),
    }


# ── answers ──────────────────────────────────────────────────────────────────────────────────


def parse(content: bytes | str, whose: str) -> Any:
    """JSON of somebody else's.

    Args:
        whose: the agent's title, for the refusal.

    Raises:
        AgentFailed: it is none.
    """
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
        value = json.loads(text, parse_constant=_no_number)
        # Half characters, which no log can keep, are replaced.
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        shown = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
        raise AgentFailed(
            f"{whose} said what is not JSON: {one_line(shown[:120].decode('utf-8', 'replace'))!r}"
        ) from None


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def artifact(given: object, step: StepInput, output: str, whose: str) -> Json:
    """An answer as the run keeps it.

    Args:
        given: what the agent put out: JSON, or the artifact itself.
        output: the artifact that it has to be.
        whose: the agent's title.

    Raises:
        AgentFailed: it is something else; the message says in one line what is wrong with it.
    """
    kind = ARTIFACTS[output]
    if isinstance(given, Artifact):
        given = given.model_dump(mode="json")
    try:
        made = kind.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = f"{where}: {first['msg']}" if where else first["msg"]
        raise AgentFailed(f"{whose}: its answer is no {output} ({one_line(what)})") from None
    except RecursionError:
        raise AgentFailed(f"{whose}: its answer is nested too deeply") from None
    reason = flaws.flaw(made, step)
    if reason:
        raise AgentFailed(f"{whose}: its {output} cannot be used: {one_line(reason)}")
    # It has looked at its sources itself; whoever set it up vouches for what it quotes.
    return finished(made, step, list(checks.texts_in(made.model_dump()))).model_dump(mode="json")


def dicts(given: Any) -> list[Json]:
    """The objects of a JSON list; of anything else none."""
    items = cast("list[Any]", given) if isinstance(given, list) else []
    return [cast("Json", one) for one in items if isinstance(one, dict)]


def mapping(given: Any) -> Json:
    """A JSON object; of anything else an empty one."""
    return cast("Json", given) if isinstance(given, dict) else {}


def unwrapped(given: Any) -> Json | None:
    """A JSON object, out of {"result": …} where it is wrapped so; None: it is none."""
    words = mapping(given)
    if words.keys() == {"result"}:
        words = mapping(words["result"])
    return words or None


def from_text(text: str, step: StepInput, output: str, whose: str) -> Json:
    """An answer in words as an artifact: JSON of it, else the body of a Report or Draft.

    Where outcomes were offered, the last line has to be one of them.

    Raises:
        AgentFailed: it cannot be one.
    """
    text = text.strip()
    bare = text.removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    if bare.startswith("{"):
        try:
            return artifact(parse(bare, whose), step, output, whose)
        except AgentFailed:
            if output not in ("Report", "Draft"):
                raise
    if output == "Draft":
        return artifact({"body": text}, step, output, whose)
    if output != "Report":
        raise AgentFailed(f"{whose}: it answered in words where a {output} is wanted; it has to give JSON")
    if not step.outcomes:
        return artifact({"body": text}, step, output, whose)
    said = text.splitlines()[-1].rpartition(":")[2].strip(" .*_`").casefold() if text else ""
    outcome = next((one for one in step.outcomes if one.casefold() == said), None)
    if outcome is None:
        offered = ", ".join(step.outcomes)
        raise AgentFailed(
            f"{whose}: the last line of its answer has to be one of {offered}, or it gives JSON"
        )
    return artifact({"body": text, "outcome": outcome}, step, output, whose)


# ── lines ────────────────────────────────────────────────────────────────────────────────────


async def take(said: Any, sink: StepSink, whose: str) -> object | None:
    """Act on one thing that an agent says on its way.

    Returns:
        The artifact if that was it, not validated yet; None: there is more to come.

    Raises:
        AgentFailed: the agent gives up, or said what nobody knows.
    """
    words = mapping(said)
    if "artifact" in words:
        return cast("object", words["artifact"])
    if "error" in words:
        raise failure(words["error"], whose)
    if isinstance(words.get("doing"), str):
        sink.doing(one_line(words["doing"])[:DOING_CHARS])
    if isinstance(words.get("checkpoint"), dict):
        await save(words["checkpoint"], sink, whose)
    if not words.keys() & {"doing", "checkpoint", "beat"}:
        raise AgentFailed(
            f"{whose} said something with none of the keys doing, checkpoint, beat, artifact, error"
        )
    return None


async def save(checkpoint: Json, sink: StepSink, whose: str) -> None:
    """Keep a checkpoint of an agent's.

    Raises:
        AgentFailed: it is too large, or not JSON.
    """
    try:
        size = len(json.dumps(checkpoint))
    except (TypeError, ValueError, RecursionError):
        raise AgentFailed(f"{whose}: its checkpoint is not JSON") from None
    if size > CHECKPOINT_BYTES:
        raise AgentFailed(f"{whose}: its checkpoint is larger than {CHECKPOINT_BYTES:,} bytes")
    await sink.checkpoint(checkpoint)


def failure(error: Any, whose: str) -> AgentFailed:
    """What an agent says of its failure: {"message": …, "retryable": …}, or a text."""
    words = mapping(error) if isinstance(error, dict) else {"message": error}
    message = one_line(str(words.get("message") or "it did not say why"))
    return AgentFailed(f"{whose} failed: {message}", retryable=words.get("retryable") is True)


def one_line(text: str) -> str:
    """A foreign text for people: one line, not long."""
    return " ".join(text.split())[:SAID_CHARS]
