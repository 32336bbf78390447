"""Any graph that is sent becomes a workflow of the same order; what cannot run is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bot.api.errors import ProblemError
from bot.api.graph_definition import Planned, planned
from bot.api.graph_kept import Kept, Shown
from bot.api.graph_request import GraphIn
from bot.api.graph_roles import Roles
from bot.api.graph_views import GraphOut, about, graph_view, said
from bot.api.model_names import UnknownModel, looks_like_model, resolved
from bot.api.session_models import wished
from config.paths import AGENTS_DIR
from config.providers import BUILT_IN, ProviderSettings
from orchestrator.events import ApiCall, Json, RunId
from orchestrator.ports import AgentInfo
from tests.builders import Play

NAMES = sorted(file.stem for file in AGENTS_DIR.glob("*.yaml"))
ROLES = Roles(
    [
        *(AgentInfo(name, name, (), "rules", ()) for name in NAMES),
        AgentInfo("librarian", "Librarian", ("shelves",), "rules", (), origin="python"),
        AgentInfo("hidden", "Hidden", ("secrets",), "rules", (), origin="built_in"),
    ]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)

KEYS = [
    "body",
    "summary",
    "goal",
    "tasks",
    "findings",
    "verdict",
    "score",
    "done",
    "reason",
    "sources",
    "members",
    "gaps",
]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def report(body: str) -> Json:
    return {"body": body, "outcome": "done", "issues": [], "items": [], "files": []}


def request(kind: str, *tasks: Json, **more: Any) -> GraphIn:
    return GraphIn.model_validate({"workflow_type": kind, "tasks": list(tasks), **more})


def task(agent_id: str, *depends_on: str, role: str = "developer", **more: Any) -> Json:
    return {"agent_id": agent_id, "agent_role": role, "depends_on": list(depends_on), **more}


def play(plan: Planned, kind: str = "graph") -> Play:
    """The run of a plan, in memory."""
    kept = ApiCall(about=about(kind, plan.roles, plan.needs, {"k": 1}))  # pyright: ignore[reportArgumentType]
    return Play(plan.definition, conversation="api:graph:w-1:", parts=plan.parts, call=kept)


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[str, list[str]]]:
    """Ids with those that each depends on, in any order, without a cycle."""
    ids = draw(st.lists(TEXTS, min_size=1, max_size=9, unique=True))
    rows = [
        (name, draw(st.lists(st.sampled_from(ids[:n]), unique=True)) if n else [])
        for n, name in enumerate(ids)
    ]
    return draw(st.permutations(rows))


# ── order ────────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None, max_examples=60)
@given(graphs(), st.randoms(use_true_random=False))
def test_any_graph_runs_in_its_order_and_what_depends_on_a_failure_alone_is_lost(
    rows: list[tuple[str, list[str]]], random: Any
) -> None:
    needs = dict(rows)
    broken = {name for name in needs if random.random() < 0.25}
    plan = planned(request("graph", *(task(name, *after) for name, after in rows)), ROLES, ())
    names = {node: part.name for node, part in plan.parts.items()}
    run = play(plan)
    done: set[str] = set()
    while working := run.working():
        node = random.choice(working)
        assert set(needs[names[node]]) <= done
        if names[node] in broken:
            run.fail(node)
        else:
            run.done(node, report(names[node]))
            done.add(names[node])
    view = graph_view(run.state)

    def lost(name: str) -> bool:
        return name in broken or any(lost(before) for before in needs[name])

    assert [(one.agent_id, one.status) for one in view.tasks] == [
        (name, "failed" if lost(name) else "completed") for name, _ in rows
    ]
    seen = {one.status for one in view.tasks}
    assert view.status == ("partial" if len(seen) == 2 else seen.pop())
    for one in view.tasks:
        skipped = any(lost(before) for before in needs[one.agent_id])
        assert (one.error or "").startswith("Skipped: it comes after") == skipped
        assert (one.started_at is None) == skipped
    assert (view.workflow_id, view.metadata) == ("w-1", {"k": 1})


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=12, unique=True), st.data())
def test_a_cycle_is_named_whole(ids: list[str], data: st.DataObject) -> None:
    others = data.draw(st.lists(TEXTS.filter(lambda t: t not in ids), max_size=5, unique=True))
    cycle = [task(name, ids[(n + 1) % len(ids)]) for n, name in enumerate(ids)]
    rest = [task(name, ids[0]) for name in others]
    tasks = data.draw(st.permutations([*cycle, *rest]))
    with pytest.raises(ProblemError) as refused:
        planned(request("graph", *tasks), ROLES, ())
    assert refused.value.status == 422
    assert all(repr(name) in refused.value.detail for name in ids)
    assert not any(f"{name!r} →" in refused.value.detail for name in others)


def test_a_cycle_is_said_in_the_order_of_who_depends_on_whom() -> None:
    with pytest.raises(
        ProblemError, match=r"'a' → 'b' → 'c' → 'a'|'b' → 'c' → 'a' → 'b'|'c' → 'a' → 'b' → 'c'"
    ):
        planned(request("graph", task("a", "b"), task("b", "c"), task("c", "a")), ROLES, ())


def test_two_hundred_tasks_in_a_row_are_not_cut_off() -> None:
    plan = planned(request("sequential", *(task(f"t{n}") for n in range(200))), ROLES, ())
    run = play(plan, "sequential")
    for node in plan.parts:
        run.called(node).done(node, report(node))
    assert graph_view(run.state).status == "completed"


@pytest.mark.parametrize("status", ["stopped", "rejected", "expired", "failed"])
def test_a_graph_that_was_ended_has_not_completed_though_all_of_its_tasks_had(status: Any) -> None:
    plan = planned(request("sequential", task("a"), task("b")), ROLES, ())
    run = play(plan)
    for name in ("a", "b"):
        [node] = run.working()
        run.done(node, report(name))
    assert graph_view(run.state).status == "completed"
    ended = run.state.ended
    assert ended is not None
    cut = replace(run.state, ended=ended.model_copy(update={"status": status}))
    assert graph_view(cut).status == "partial"


def test_too_many_dependencies_are_refused() -> None:
    tasks = [task(f"t{n}", *(f"t{m}" for m in range(n))) for n in range(70)]
    with pytest.raises(ProblemError, match="at most 2,000"):
        planned(request("graph", *tasks), ROLES, ())


def test_a_sequence_may_name_what_comes_before_anyway() -> None:
    plan = planned(request("sequential", task("a"), task("b", "a"), task("c", "a", "a")), ROLES, ())
    assert plan.needs == {"task_1": (), "task_2": ("task_1",), "task_3": ("task_1", "task_2")}


def test_a_sequence_goes_on_after_qa_with_what_qa_looked_at_as_its_answer() -> None:
    plan = planned(request("sequential", task("a"), task("b", role="tester")), ROLES, ())
    run = play(plan, "sequential").done("task_1", report("made")).fail("task_2")
    assert (run.state.status, graph_view(run.state).status) == ("completed", "partial")
    assert run.state.ended is not None
    assert "made" in str(run.state.ended.answer)


def test_requests_of_one_shape_share_a_definition_and_nothing_of_the_caller_is_in_it() -> None:
    first = planned(
        request("graph", task("a", input_data={"task": "secret {{ x }}"}), task("b", "a")), ROLES, ()
    )
    other = planned(request("graph", task("c", input_data={"task": "other"}), task("d", "c")), ROLES, ())
    assert first.definition is other.definition
    assert "secret" not in first.definition.model_dump_json()
    assert first.definition is not planned(request("graph", task("a"), task("b")), ROLES, ()).definition


# ── what tasks are given ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("input_data", "text", "inputs"),
    [
        ({"task": "T", "prompt": "P", "x": 1}, "T", {"prompt": "P", "x": 1}),
        ({"input": "I", "query": "Q"}, "Q", {"input": "I"}),
        ({"task": {"nested": 1}, "goal": "G"}, "G", {"task": {"nested": 1}}),
        (
            {"task": None, "query": {"a": 1}},
            "Do the work of a developer on what is given.",
            {"task": None, "query": {"a": 1}},
        ),
        ({"task": " ", "prompt": "P"}, "P", {"task": " "}),
        ({}, "Do the work of a developer on what is given.", {}),
        ({"description": "{{ 1 / 0 }}"}, "{{ 1 / 0 }}", {}),
    ],
)
def test_the_text_of_a_task_is_found_and_the_rest_is_kept(input_data: Json, text: str, inputs: Json) -> None:
    plan = planned(request("sequential", task("a", input_data=input_data)), ROLES, ())
    assert (plan.parts["task_1"].text, plan.parts["task_1"].inputs) == (text, inputs)


@pytest.mark.parametrize(
    ("input_data", "field", "flaw"),
    [
        ({"task": "  ", "code": "x = 1"}, "task", "is blank"),
        ({"task": 5}, "task", "is not text"),
        ({"prompt": ["x"]}, "prompt", "is not text"),
        ({"description": ""}, "description", "is blank"),
    ],
)
def test_a_task_that_says_nothing_is_refused_with_its_field(input_data: Json, field: str, flaw: str) -> None:
    with pytest.raises(ProblemError, match=flaw) as caught:
        planned(request("parallel", task("b"), task("a", input_data=input_data)), ROLES, ())
    assert list(caught.value.errors or {}) == [f"tasks.1.input_data.{field}"]


def test_nulls_are_defaults() -> None:
    sent = {"agent_id": "a", "agent_role": "qa", "input_data": None, "depends_on": None, "llm_model": None}
    plan = planned(request("graph", sent, metadata=None, workflow_id=None), ROLES, ())
    assert plan.needs == {"task_1": ()}


# ── roles ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("role", "agent"),
    [
        ("frontend", "frontend"),
        ("frontend_developer", "frontend"),
        ("FrontendAgent", "frontend"),
        ("Front-End Developer", "frontend"),
        ("BACKEND", "backend"),
        ("tester", "qa"),
        ("QA", "qa"),
        ("QAAgent", "qa"),
        ("code_reviewer", "code_reviewer"),
        ("CodeReviewerAgent", "code_reviewer"),
        ("reviewer", "reviewer"),
        ("supervisor", "coordinator"),
        ("SupervisorAgent", "coordinator"),
        ("coordinator", "coordinator"),
        ("shelves", "librarian"),
        ("librarian", "librarian"),
        ("secrets", None),
        ("hidden", None),
        ("", None),
        ("___", None),
    ],
)
def test_roles_mean_agents_whatever_they_are_called(role: str, agent: str | None) -> None:
    assert ROLES.agent(role) == agent


@given(st.text(max_size=10_000))
def test_any_text_is_a_role_or_is_refused(role: str) -> None:
    assert ROLES.agent(role) in (None, *NAMES, "librarian")
    assert len(ROLES.refusal(role)) < 2_000


def test_every_shipped_agent_can_be_asked_by_its_name() -> None:
    assert len(NAMES) >= 15
    assert [ROLES.agent(name) for name in NAMES] == NAMES


# ── models ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        ("openai:gpt-5", "openai:gpt-5"),
        ("OpenAI:gpt-5", "openai:gpt-5"),
        ("groq:llama:70b", "groq:llama:70b"),
        ("gpt-4o", "openai:gpt-4o"),
        ("claude-sonnet-4-5", "groq:claude-sonnet-4-5"),  # no such provider is set up: the preferred one
        ("meta/llama", "groq:meta/llama"),
    ],
)
def test_a_model_is_of_the_provider_it_names_else_of_a_likely_one(wish: str, found: str) -> None:
    assert resolved(wish, ("groq", "openai")) == found


@given(
    wish=st.from_regex(r"([a-z]{1,9}:)?[a-z0-9/.-]{1,12}(:[a-z0-9]{1,5})?", fullmatch=True),
    names=st.lists(st.sampled_from(sorted(BUILT_IN)), min_size=1, unique=True),
)
def test_graphs_and_sessions_read_a_model_alike(wish: str, names: list[str]) -> None:
    bots = {name: ProviderSettings(name, "http://there", None, "usual") for name in names}
    try:
        found = resolved(wish, names)
    except UnknownModel:
        with pytest.raises(ProblemError):
            wished(wish, "", brings_key=False, bots=bots)
    else:
        assert wished(wish, "", brings_key=False, bots=bots) == found


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        ("qwen3:8b", "ollama:qwen3:8b"),
        ("gpt-oss:20b", "ollama:gpt-oss:20b"),
        ("meta/llama:free", "openrouter:meta/llama:free"),
        ("openai:gpt-5", "openai:gpt-5"),
    ],
)
def test_a_name_with_a_colon_is_of_a_provider_that_has_such_names(wish: str, found: str) -> None:
    assert resolved(wish, ("openai", "ollama", "openrouter")) == found


@pytest.mark.parametrize("wish", ["nobody:m", "openai:", ":m", "", "  ", "qwen3:8b"])
def test_a_model_of_nobody_is_refused(wish: str) -> None:
    with pytest.raises(UnknownModel):
        resolved(wish, ("groq", "openai"))


@pytest.mark.parametrize(
    "wish", ["groq:1/../../../other?x=", "groq:..", "groq:a/./b", "gpt-5%2e", "gpt\n5", "g" * 201]
)
@pytest.mark.parametrize("providers", [("groq", "openai"), ()])
def test_what_could_lead_to_another_address_is_no_model(wish: str, providers: tuple[str, ...]) -> None:
    with pytest.raises(UnknownModel, match="no model's name"):
        resolved(wish, providers)


def test_without_a_provider_no_wish_is_met_and_none_is_refused() -> None:
    assert resolved("nobody:m", ()) is None
    sent = task("a", input_data={"task": "x", "llm_model": "gpt-5"}, temperature=0.5)
    plan = planned(request("graph", sent), ROLES, ())
    assert plan.parts["task_1"].inputs == {}
    assert "gpt" not in plan.definition.model_dump_json()


def test_words_of_the_matter_are_no_models() -> None:
    assert not looks_like_model("Customer", ("openai",))
    assert not looks_like_model("a/b", ("openai",))
    assert looks_like_model("gpt-5", ())
    assert looks_like_model("own:x", ("own",))


# ── what is answered ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ({"body": "B", "summary": "S"}, "B"),
        ({"text": "T"}, "T"),
        (
            report("R")
            | {
                "issues": [
                    {"severity": "major", "where": "a.py:1", "problem": "P.", "remedy": "M."},
                    {"problem": "Q"},
                ]
            },
            "R\n\n- major, a.py:1: P. Remedy: M.\n- info: Q",
        ),
        ({"summary": "S", "findings": None, "gaps": ["g"]}, "S\n\n- Open: g"),
        ({"goal": "G", "members": [{"name": "Ada", "role": "writes"}, 3]}, "G\n\n- Ada: writes"),
        ({"verdict": "accept", "score": 9.0, "findings": []}, "accept, 9.0 of 10"),
        ({"done": True, "reason": "", "member": ""}, "Done."),
        ({"body": "", "x": 1}, '{\n "body": "",\n "x": 1\n}'),
        ({}, "{}"),
    ],
)
def test_every_output_can_be_read(output: Json, text: str) -> None:
    assert said(output) == text


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING))
def test_outputs_of_agents_of_ones_own_never_break_the_answer(output: Json) -> None:
    assert isinstance(said(output), str)


def test_answers_that_are_kept_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.api.graph_kept.MOST", 10)
    monkeypatch.setattr("bot.api.graph_kept.WORKING", 3)
    monkeypatch.setattr("bot.api.graph_kept.MOST_BYTES", 1_000)
    kept: Any = Kept()
    state: Any = object()
    for n in range(30):
        kept._keep(RunId(f"r{n}"), Shown(1, "running", b"x" * 10, state))
    assert list(kept._shown) == ["r27", "r28", "r29"]
    for n in range(30):
        kept._keep(RunId(f"e{n}"), Shown(1, "completed", b"x" * 10, None))
    assert len(kept._shown) == 10
    assert kept._bytes == 100
    assert not kept._working
    kept._keep(RunId("big"), Shown(1, "completed", b"x" * 2_000, None))
    assert list(kept._shown) == ["big"]
    later = Shown(5, "running", b"y", state)
    assert kept._keep(RunId("r"), later) is later
    assert kept._keep(RunId("r"), Shown(4, "running", b"z", state)) is later  # never back


def test_the_answer_fits_its_schema_at_every_step() -> None:
    plan = planned(request("graph", task("a"), task("b", "a"), task("c")), ROLES, ())
    run = play(plan).done("task_1", report("A")).fail("task_3").done("task_2", report("B"))
    for state in run.states:
        assert GraphOut.model_validate_json(graph_view(state).model_dump_json()) == graph_view(state)
    assert next(graph_view(s).status for s in run.states) == "pending"
