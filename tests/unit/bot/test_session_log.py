"""A session's log: its lines, its status, and that a line once made never changes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.api.errors import ProblemError
from bot.api.session_log import Entry, SessionLog, entries, status_of
from bot.api.session_models import ProviderName, wished
from config.documents import read_model
from config.providers import BUILT_IN, ProviderSettings
from orchestrator.agents.own_models import Own
from orchestrator.events import (
    AgentAssigned,
    DecisionGiven,
    Json,
    PauseRequested,
    ResumeRequested,
    RunSettings,
    RunStarted,
    Steered,
    StopRequested,
)
from orchestrator.inputs import checked
from orchestrator.workflow import Workflow
from tests.builders import ADA, BOB, ROOT, Play, created, flow, plan

TEAM = read_model(ROOT / "config" / "workflows" / "team.yaml", Workflow)
SETTINGS = RunSettings(approvals="auto", asks="people")
LINE = re.compile(r"([A-Za-z0-9_-]+) \(to ([A-Za-z0-9_-]+)\): (.+)", re.DOTALL)


def member(name: str) -> Json:
    return {"name": name, "agent": "qa", "role": f"is {name}", "instructions": "Work.", "tools": []}


def team(speaking: str = "as_needed") -> Json:
    members = [member("Ann"), member("Ben")]
    return {"goal": "Explain tea", "members": members, "speaking": speaking, "rounds": 4, "done_when": "done"}


def chosen(name: str = "", task: str = "", *, done: bool = False) -> Json:
    return {"member": name, "task": task, "done": done, "reason": "all is there" if done else ""}


def report(body: str) -> Json:
    return {"body": body, "outcome": "done", "issues": [], "items": [], "files": []}


def session(settings: RunSettings = SETTINGS) -> Play:
    play = Play(TEAM, started=False)
    play.events.clear()
    play.states.clear()
    first = created(TEAM, settings=settings)
    play.add(first.model_copy(update={"inputs": checked(TEAM, {"approve_team": "auto"})}))
    return play.say(RunStarted())


def speaks(play: Play, name: str, text: str, node: str = "member") -> Play:
    now = play.state.nodes[node]
    play.say(AgentAssigned(node=node, visit=now.visit, attempt=now.attempt, agent="qa", member=name))
    return play.done(node, report(text))


def asking() -> Play:
    return session().done("assemble", team()).done("next", chosen("user", "Green or black?"))


def answered(play: Play, text: str = "Green.") -> Play:
    return play.decide("edit", edited={"text": text})


def to_the_end() -> Play:
    play = answered(asking())
    play.done("next", chosen("Ann", "Find leaves."))
    play.say(Steered(key="k", text=" Be brief. ", who=ADA))
    speaks(play, "Ann", "Leaves\nfound.")
    return play.done("next", chosen(done=True)).done("wrap_up", report("Tea is leaves."))


def log_of(play: Play) -> list[Entry]:
    return entries(play.workflow, play.events)


def said(play: Play) -> list[tuple[str, str]]:
    return [(entry.type, entry.content) for entry in log_of(play)]


# ── lines ────────────────────────────────────────────────────────────────────────────────────


def test_a_session_reads_as_a_talk_with_its_status_between_the_lines() -> None:
    assert said(to_the_end()) == [
        ("log", "team_builder (to user): Explain tea: Ann (is Ann), Ben (is Ben)"),
        ("status", "EXECUTING_TASK"),
        ("log", "coordinator (to user): Green or black?"),
        ("status", "WAITING_FOR_INPUT"),
        ("log", "User: Green."),
        ("status", "EXECUTING_TASK"),
        ("log", "coordinator (to Ann): Find leaves."),
        ("log", "User: Be brief."),
        ("log", "Ann (to coordinator): Leaves\nfound."),
        ("log", "coordinator (to user): all is there"),
        ("log", "wrap_up (to user): Tea is leaves."),
        ("status", "COMPLETED"),
    ]


def test_what_people_say_is_in_the_log_and_not_on_the_socket() -> None:
    hidden = [entry.content for entry in log_of(to_the_end()) if not entry.live]
    assert hidden == ["User: Green.", "User: Be brief."]


def test_lines_are_numbered_one_by_one_and_carry_the_time_of_their_event() -> None:
    play = to_the_end()
    log = log_of(play)
    assert [entry.id for entry in log] == list(range(1, len(log) + 1))
    assert {entry.at for entry in log} <= {event.at for event in play.events}


def test_a_question_of_another_kind_of_node_is_told_by_its_node() -> None:
    nodes: dict[str, Any] = {
        "boss": {"kind": "agent", "agent": "coordinator"},
        "which": {"kind": "input", "question": "Which pot?"},
    }
    play = Play(flow(nodes, "boss > which"), settings=SETTINGS).done("boss", report("Hm."))
    assert said(play)[-2:] == [("log", "which (to user): Which pot?"), ("status", "WAITING_FOR_INPUT")]


def test_a_question_that_is_settled_by_itself_never_shows_as_waiting() -> None:
    nodes: dict[str, Any] = {"planner": "agent", "look": {"kind": "approval", "of": "planner"}}
    play = Play(flow(nodes, "planner > look"), settings=SETTINGS).done("planner", plan())
    assert "WAITING_FOR_INPUT" not in [content for _, content in said(play)]
    assert status_of(play.state) == "COMPLETED"


def test_an_answer_that_came_too_late_is_no_line() -> None:
    play = answered(asking())
    before = said(play)
    [approval] = play.state.approvals.values()
    late = DecisionGiven(
        approval_id=approval.asked.approval_id, decision="edit", who=BOB, edited={"text": "Black."}
    )
    assert said(play.say(late)) == before


def test_how_a_session_ended_without_a_result_is_its_last_line() -> None:
    stopped = asking().say(StopRequested(who=BOB))
    assert said(stopped)[-2:] == [("log", "Stopped: stopped by Bob"), ("status", "COMPLETED")]
    expired = asking().wait(100_000)
    assert said(expired)[-2:] == [("log", "Expired: nobody decided in time"), ("status", "COMPLETED")]


def test_a_failure_is_an_error_with_its_reason() -> None:
    play = session().fail("assemble", "no key")
    assert said(play)[-2:] == [("error", "no key"), ("status", "ERROR")]


def test_a_pause_is_told_and_changes_no_status() -> None:
    play = asking().say(PauseRequested(who=ADA)).say(ResumeRequested(who=ADA))
    assert [content for _, content in said(play)][-2:] == ["The session is paused.", "The session goes on."]


def test_where_nobody_may_be_asked_the_coordinator_goes_on_without() -> None:
    play = session(SETTINGS.model_copy(update={"asks": "refuse"}))
    play.done("assemble", team()).done("next", chosen("user", "Green or black?"))
    assert play.state.nodes["next"].visit == 2
    assert play.state.nodes["next"].status == "working"
    assert "WAITING_FOR_INPUT" not in [content for _, content in said(play)]


def test_a_coordinator_that_only_asks_comes_to_an_answer() -> None:
    play = session().done("assemble", team())
    for _ in range(10):
        answered(play.done("next", chosen("user", "And now?")))
    play.done("next", chosen("user", "And now?"))
    assert play.state.nodes["wrap_up"].status == "working"


# ── what was sent never changes ──────────────────────────────────────────────────────────────

STEPS = ("choose", "ask", "speak", "answer", "steer", "pause", "resume", "fail", "wait", "stop", "done")


def step(play: Play, what: str, text: str) -> None:
    """Do it if it can be done now."""
    working = {name for name in play.state.unended if play.state.nodes[name].status == "working"}
    if play.state.ended is not None:
        return
    match what:
        case "choose" | "ask" | "done" if "next" in working:
            given = {"choose": chosen("Ann", text), "ask": chosen("user", text), "done": chosen(done=True)}
            play.done("next", given[what])
        case "speak" if "member" in working:
            speaks(play, "Ann", text)
        case "done" if "wrap_up" in working:
            play.done("wrap_up", report(text))
        case "answer" if play.state.open_approvals():
            answered(play, text)
        case "steer":
            play.say(Steered(key=f"k{len(play.events)}", text=text, who=ADA))
        case "pause":
            play.say(PauseRequested(who=ADA))
        case "resume":
            play.say(ResumeRequested(who=ADA))
        case "fail" if "member" in working:
            play.fail("member", text)
        case "wait":
            play.wait(60)
        case "stop":
            play.say(StopRequested(who=BOB))
        case _:
            pass


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.text(min_size=1, max_size=20)), max_size=25))
def test_the_log_of_a_longer_run_begins_with_the_log_of_the_shorter(script: list[tuple[str, str]]) -> None:
    play = session().done("assemble", team())
    for what, text in script:
        step(play, what, text)
    whole = log_of(play)
    for end in range(len(play.events) + 1):
        part = entries(play.workflow, play.events[:end])
        assert part == whole[: len(part)]
        if end:
            log = SessionLog(play.workflow)
            for event in play.events[:end]:
                log.feed(event)
            assert log.status == status_of(play.states[end - 1])
            statuses = [entry.content for entry in part if entry.type == "status"]
            assert log.status == (statuses[-1] if statuses else "BUILDING_TEAM")
    for entry in whole:
        if entry.type == "log" and entry.live and " (to " in entry.content.split(":")[0]:
            assert LINE.fullmatch(entry.content), entry


# ── which model ──────────────────────────────────────────────────────────────────────────────


def provider(name: str, default: str | None) -> ProviderSettings:
    return ProviderSettings(name, "http://there", None, default)


OURS = {"ours": provider("ours", "small")}
BOTS = {"groq": provider("groq", "llama"), "openai": provider("openai", "gpt-5")}


@pytest.mark.parametrize(
    ("model", "given", "key", "bots", "found"),
    [
        ("", "", False, BOTS, ""),
        ("", "", True, BOTS, "groq:llama"),
        ("", "", True, {}, "openai:gpt-5"),
        ("gpt-6", "", True, {}, "openai:gpt-6"),
        ("gpt-6", "", False, BOTS, "openai:gpt-6"),
        ("claude-5", "", False, BOTS, "groq:claude-5"),  # no key for the known provider: the preferred one
        ("claude-5", "", True, BOTS, "anthropic:claude-5"),
        ("claude-5", "groq", False, BOTS, "groq:claude-5"),
        ("OpenAI:gpt-6", "", False, BOTS, "openai:gpt-6"),
        ("anthropic:claude", "", True, BOTS, "anthropic:claude"),
        ("", "openai", False, BOTS, "openai:gpt-5"),
        ("tiny", "", False, OURS, "ours:tiny"),
        ("ours:", "ollama", True, {}, "ollama:ours:"),
        ("ours:big", "", False, OURS, "ours:big"),
        ("", "", True, OURS, "openai:gpt-5"),
        ("openai:gpt-6", "openai", False, BOTS, "openai:gpt-6"),
        ("qwen3:8b", "ollama", True, {}, "ollama:qwen3:8b"),
        ("qwen3:8b", "", True, {"ollama": provider("ollama", "qwen3")}, "ollama:qwen3:8b"),
        ("openai/gpt-5", "openrouter", True, {}, "openrouter:openai/gpt-5"),
    ],
)
def test_a_model_is_found_from_what_was_written(
    model: str, given: str, key: bool, bots: dict[str, ProviderSettings], found: str
) -> None:
    assert wished(model, given, brings_key=key, bots=bots) == found


@pytest.mark.parametrize(
    ("model", "given", "key", "bots", "field", "words"),
    [
        ("anthropic:claude", "openai", True, {}, "model", "leave one out"),
        ("gpt-5", "", False, {}, "model", "api_key"),
        ("", "xai", False, BOTS, "provider", "groq, openai"),
        ("xai:grok", "", False, BOTS, "model", "no key for 'xai'"),
        ("", "customgpt", True, {}, "model", "name one"),
        ("openai:", "", True, {}, "model", "names a provider and no model"),
        ("nobody:m", "", False, BOTS, "model", "not set up"),
        ("ours:big", "", True, OURS, "model", "takes no keys from callers"),
        ("customgpt:1/../../../other?x=", "", True, {}, "model", "other characters"),
        ("customgpt:1/../../../other", "", True, {}, "model", "dots that lead elsewhere"),
        ("gpt 5", "", False, BOTS, "model", "other characters"),
    ],
)
def test_what_cannot_be_had_is_said_with_its_field(
    model: str, given: str, key: bool, bots: dict[str, ProviderSettings], field: str, words: str
) -> None:
    with pytest.raises(ProblemError) as error:
        wished(model, given, brings_key=key, bots=bots)
    assert error.value.status == 422
    assert words in (error.value.errors or {})[field]


def test_every_known_provider_can_be_named() -> None:
    assert set(ProviderName.__args__) == set(BUILT_IN)


def test_what_a_run_brought_never_shows_its_key() -> None:
    assert "tvly" not in repr(Own(search_key="tvly-secret"))
