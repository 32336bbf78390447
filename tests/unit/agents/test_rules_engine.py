"""The agents without a language model: useful, honest, fast; through the same runner as models."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents import rules_plan, rules_research, rules_review, rules_write
from orchestrator.agents.registry import AgentRegistry
from orchestrator.artifacts import Draft, Finding, Plan, PlanTask, ResearchBrief, Reviewed, Source
from orchestrator.events import Json, Line, ModelAnswered, RunSettings, StoredFile, ToolReturned
from orchestrator.infra.knowledge_index import KnowledgeIndex
from orchestrator.tools.knowledge import knowledge_search
from orchestrator.tools.registry import AgentTool, Tools
from tests.unit.agents.steps import ROLES, ROOT, MemorySink, said, specs, step


@pytest.fixture
async def agents(tmp_path: Path) -> AsyncGenerator[AgentRegistry]:
    index = KnowledgeIndex(ROOT / "knowledge", tmp_path / "k.db")
    registry = AgentRegistry(specs(), tools=Tools([knowledge_search(index)]))
    await registry.warm_up()
    yield registry
    await index.close()


async def play(
    agents: AgentRegistry, text: str, *, approved: Mapping[str, Any] | None = None, **more: Any
) -> tuple[dict[str, Json], MemorySink]:
    """All four agents; `approved` replaces parts of the plan, as a person's edit does."""
    outputs: dict[str, Json] = {}
    sink = MemorySink()
    for role in ROLES:
        outputs[role] = await agents.run(step(role, text, outputs=dict(outputs), **more), sink)
        if role == "planner" and approved:
            outputs[role] = outputs[role] | dict(approved)
    return outputs, sink


def headings(outputs: dict[str, Json]) -> list[str]:
    return [line[3:] for line in outputs["builder"]["body"].split("\n") if line.startswith("## ")]


async def test_question_is_answered_with_a_verbatim_source(agents: AgentRegistry) -> None:
    outputs, sink = await play(agents, "How do I stop a run?")
    brief = outputs["researcher"]
    assert brief["sources"][0]["url"] == "stop-pause-resume.md#stop-a-run"
    file = (ROOT / "knowledge" / "stop-pause-resume.md").read_text("utf-8")
    assert brief["sources"][0]["quoted"] in file
    assert "quartet runs stop ID" in outputs["builder"]["body"]
    assert "[1]" in outputs["builder"]["body"]
    assert outputs["reviewer"]["verdict"] == "accept"
    answered = [f for f in sink.facts if isinstance(f, ModelAnswered)]
    assert {(a.provider, a.model, a.usage.input_tokens, a.usage.cost_usd) for a in answered} == {
        ("rules", "rules", 0, None)
    }
    assert [f.tool for f in sink.facts if isinstance(f, ToolReturned)] == ["knowledge_search"]
    assert "searching the knowledge folder for “stop run”" in sink.said
    assert "rules engine" in outputs["builder"]["body"]


@pytest.mark.parametrize(
    ("question", "where"),
    [
        ("What happens when an approval expires?", "approvals.md#when-an-approval-expires"),
        ("How can I add my own documents?", "knowledge-folder.md#add-your-own-documents"),
        ("Is there a Slack adapter?", "what-quartet-is.md#where-you-can-talk-to-quartet"),
        ("Start the bot on another port", "first-start.md#start-on-another-port-or-address"),
        ("How are costs worked out?", "costs-and-usage.md#how-costs-are-worked-out"),
        ("quartet ask exit codes", "asking.md#exit-codes-of-quartet-ask"),
        ("What is the busy policy steer?", "conversations.md#writing-while-a-run-works"),
        ("the key was refused", "troubleshooting.md#the-key-is-refused"),
    ],
)
async def test_shipped_documentation_answers_users_questions(
    agents: AgentRegistry, question: str, where: str
) -> None:
    brief = await agents.run(step("researcher", question), MemorySink())
    assert where in [s["url"] for s in brief["sources"][:2]]


async def test_every_quote_of_the_shipped_folder_is_verbatim(agents: AgentRegistry) -> None:
    brief = await agents.run(step("researcher", "models providers workflows settings runs"), MemorySink())
    assert len(brief["sources"]) >= 5
    for source in brief["sources"]:
        name = source["url"].split("#")[0]
        assert source["quoted"] in (ROOT / "knowledge" / name).read_text("utf-8")
        assert "not verified" not in source["title"]


async def test_nothing_found_is_said_openly_and_ends(agents: AgentRegistry) -> None:
    outputs, _ = await play(agents, "Write a haiku about cats")
    assert outputs["researcher"]["sources"] == []
    assert "Nothing in the knowledge folder about “haiku” and “cats”." in outputs["builder"]["body"]
    assert "connect a model" in outputs["builder"]["body"]
    assert outputs["reviewer"]["score"] <= 5
    assert outputs["reviewer"]["verdict"] == "revise"


async def test_follow_up_uses_the_question_before(agents: AgentRegistry) -> None:
    exchanges = said("How do I pause a run?", "Run quartet runs pause ID.")
    outputs, sink = await play(agents, "and how do I resume it?", exchanges=exchanges)
    assert "searching the knowledge folder for “resume pause run”" in sink.said
    assert outputs["researcher"]["sources"][0]["url"] == "stop-pause-resume.md#resume-a-run"
    assert "Following on from your earlier question “How do I pause a run?”" in outputs["builder"]["body"]


async def test_edited_plan_changes_the_draft(agents: AgentRegistry) -> None:
    tasks: list[Json] = [
        {"id": "answer", "title": "Answer", "depends_on": [], "acceptance": ""},
        {"id": "mine", "title": "Resume a run", "depends_on": [], "acceptance": ""},
        {"id": "void", "title": "Zebras", "depends_on": [], "acceptance": ""},
    ]
    outputs, _ = await play(agents, "How do I stop a run?", approved={"tasks": tasks, "outline": ["Pause"]})
    assert headings(outputs) == ["Answer", "Resume a run", "Zebras", "Pause"]
    body = outputs["builder"]["body"]
    assert "POST /v1/runs/{id}/resume" in body.split("## Resume a run")[1].split("## ")[0]
    assert "The sources say nothing about “Zebras”." in body
    done = {r["task_id"]: r["done"] for r in outputs["builder"]["task_results"]}
    assert done == {"answer": True, "mine": True, "void": False}


async def test_edited_goal_chooses_what_comes_first(agents: AgentRegistry) -> None:
    as_asked, _ = await play(agents, "How do approvals work?")
    expiry = "An approval waits for 24 hours."
    assert expiry not in as_asked["builder"]["body"].split("## ")[1]
    aimed, _ = await play(agents, "How do approvals work?", approved={"goal": "When approvals expire"})
    assert expiry in aimed["builder"]["body"].split("## ")[1]
    lost, _ = await play(agents, "How do approvals work?", approved={"goal": "Approvals for zebras"})
    assert "The sources found say nothing about “zebras” of the goal." in lost["builder"]["body"]


async def test_word_that_the_folder_has_is_not_said_to_be_missing(agents: AgentRegistry) -> None:
    for question in ("Approvals and zebras in winter", "Explain approvals in three sentences"):
        outputs, _ = await play(agents, question)
        [gap] = outputs["researcher"]["gaps"]
        assert gap.startswith("Nothing in the knowledge folder about")
        assert "approvals" not in gap.casefold()


async def test_message_that_is_asked_about_is_no_part_of_the_question(agents: AgentRegistry) -> None:
    about = "\n\nAbout this message by bob: “Zebras wait for nobody in winter.”"
    alone, _ = await play(agents, "How do I stop a run?")
    quoted, _ = await play(agents, "How do I stop a run?" + about)
    assert quoted["researcher"]["sources"] == alone["researcher"]["sources"]
    assert quoted["researcher"]["gaps"] == []
    bare, _ = await play(agents, "Explain this\n\nAbout this message by bob: “How do I stop a run?”")
    assert bare["researcher"]["sources"][0]["url"] == "stop-pause-resume.md#stop-a-run"


async def test_asking_for_changes_changes_the_plan(agents: AgentRegistry) -> None:
    brief = ResearchBrief(
        summary="",
        findings=[Finding(claim="c", source_ids=[1])],
        sources=[Source(id=1, title="t", url="u", quoted="c")],
    )
    given_step = step("planner", "What is Quartet?", comments=("add the costs", "drop the details"))
    tasks = rules_plan.plan(given_step, brief).tasks
    assert [t.title for t in tasks] == ["Answer", "The costs"]
    assert "add the costs" in tasks[1].acceptance


async def test_length_and_format_are_respected(agents: AgentRegistry) -> None:
    long, _ = await play(agents, "How do I stop a run?", settings=RunSettings(verbosity="full"))
    short, _ = await play(agents, "How do I stop a run?", turn_more={"context": {"length": "short"}})
    assert len(short["builder"]["body"]) < len(long["builder"]["body"])
    bullets, _ = await play(agents, "How do I stop a run?", turn_more={"context": {"format": "bullets"}})
    assert "\n- " in bullets["builder"]["body"]
    table, _ = await play(agents, "How do I stop a run?", turn_more={"context": {"format": "table"}})
    assert "| --- | --- |" in table["builder"]["body"]


async def test_attached_text_is_summarised_and_binary_is_named(agents: AgentRegistry) -> None:
    text = "The launch is on Friday.\n\nThe launch needs three people.\n\nWeather was fine."
    notes = StoredFile(name="notes.txt", media_type="text/plain", size=9, sha256="0" * 64, text=text)
    picture = StoredFile(name="pic.png", media_type="image/png", size=9, sha256="0" * 64)
    outputs, _ = await play(agents, "Summarise the attached file", turn_more={"files": (notes, picture)})
    assert "The launch is on Friday." in outputs["builder"]["body"]
    assert outputs["researcher"]["sources"][0]["url"] == "attachment:notes.txt"
    assert "pic.png could not be read as text" in outputs["builder"]["body"]


async def test_comparison_searches_each_side(agents: AgentRegistry) -> None:
    outputs, sink = await play(agents, "What is the difference between pause and stop?")
    assert len([f for f in sink.facts if isinstance(f, ToolReturned)]) == 2
    assert headings(outputs)[:2] == ["Pause", "Stop"]


async def test_four_agents_take_less_than_150_ms_together(agents: AgentRegistry) -> None:
    await play(agents, "How do I stop a run?")
    times: list[float] = []
    for _ in range(5):
        began = time.process_time()  # what other programs do meanwhile does not count
        await play(agents, "How do I stop a run?")
        times.append(time.process_time() - began)
    assert min(times) < 0.15


async def test_no_tool_but_the_knowledge_search_is_called_without_a_model(tmp_path: Path) -> None:
    async def never(query: str) -> str:
        raise AssertionError(query)

    index = KnowledgeIndex(tmp_path, tmp_path / "k.db")
    web = AgentTool(name="web_search", description="w", run=never, doing=lambda a: "web")
    agents = AgentRegistry(specs(), tools=Tools([knowledge_search(index), web]))
    _, sink = await play(agents, "Who won the match yesterday?")
    await index.close()
    assert {f.tool for f in sink.facts if isinstance(f, ToolReturned)} == {"knowledge_search"}


async def test_tool_switched_off_for_the_channel_is_not_called(agents: AgentRegistry) -> None:
    outputs, sink = await play(agents, "How do I stop a run?", settings=RunSettings(tools=()))
    assert not [f for f in sink.facts if isinstance(f, ToolReturned)]
    assert outputs["researcher"]["gaps"]


async def test_resume_repeats_nothing(agents: AgentRegistry) -> None:
    sink = MemorySink()
    whole = await agents.run(step("researcher", "How do I stop a run?"), sink)
    for length in range(len(sink.facts) + 1):
        again = MemorySink()
        done = sink.recorded()[:length]
        assert await agents.run(step("researcher", "How do I stop a run?", recorded=done), again) == whole
        assert len(again.facts) == len(sink.facts) - length


# ── reviewing ────────────────────────────────────────────────────────────────────────────────

BRIEF = ResearchBrief(
    summary="",
    findings=[Finding(claim="Cats purr.", source_ids=[1])],
    sources=[Source(id=1, title="t", url="u", quoted="Cats purr.")],
)
PLAN = Plan(goal="g", tasks=[PlanTask(id="a", title="Purring")])


def judge(body: str, *, tasks: tuple[str, ...] = ("a",), **more: Any) -> tuple[float, list[str]]:
    results = [{"task_id": t, "done": True} for t in tasks]
    draft = Draft.model_validate({"body": body, "task_results": results})
    review = rules_review.review(step("reviewer", "x", **more), BRIEF, PLAN, draft)
    assert (review.verdict == "accept") == (review.score >= 7)
    return review.score, [f.problem for f in review.findings]


def test_good_draft_gets_full_marks() -> None:
    assert judge("## Purring\n\nCats purr. [1]") == (10.0, [])


def test_reviewer_finds_what_is_missing() -> None:
    assert judge("")[0] < 7
    assert "The section is empty." in judge("## Purring\n\n## More\n\nCats purr. [1]")[1]
    assert "No source is given for “Dogs bark.”." in judge("Dogs bark.\n\nCats purr. [1]")[1]
    assert "No source stands behind [9]." in judge("Cats purr. [9]")[1]
    assert "The task “Purring” of the plan is not in the draft." in judge("Cats purr. [1]", tasks=())[1]
    long = "Cats purr. [1] " * 200
    assert any("words" in p for p in judge(long, settings=RunSettings(verbosity="short"))[1])


def test_slips_come_with_an_edit_that_fits_once() -> None:
    draft = Draft.model_validate({"body": "Cats purr purr. [1]", "task_results": []})
    review = rules_review.review(step("reviewer", "x"), BRIEF, PLAN, draft)
    edits = [f.edit for f in review.findings if f.edit]
    assert [draft.body.replace(e.find, e.replace) for e in edits] == ["Cats purr. [1]"]


def test_revision_takes_over_the_edits_of_the_review() -> None:
    edit = {"find": "Cats purr. [1]", "replace": "Cats purr loudly. [1]"}
    finding = {"severity": "minor", "where": "w", "problem": "p", "edit": edit}
    review = {"score": 5, "findings": [finding], "verdict": "revise"}
    outputs = {"reviewer": Reviewed.model_validate(review).model_dump()}
    draft = rules_write.draft(step("builder", "cats", outputs=outputs), BRIEF, PLAN)
    assert "Cats purr loudly. [1]" in draft.body


# ── any text ─────────────────────────────────────────────────────────────────────────────────


found = st.fixed_dictionaries({key: st.text(max_size=120) for key in ("title", "url", "text")})


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=200),
    passages=st.lists(found, max_size=4),
    before=st.text(max_size=60),
    comment=st.text(max_size=60),
)
def test_any_text_gives_a_brief_a_plan_a_draft_and_a_review(
    text: str, passages: list[Json], before: str, comment: str
) -> None:
    words = text.split()[:3]
    passages = [p | {"text": f"{p['text']} {' '.join(words)}"} for p in passages]
    exchanges = (Line(role="person", name="a", text=before),)
    made = step("x", text, exchanges=exchanges, comments=(comment,), steering=(comment,))
    assert all(q.strip() for q in rules_research.queries(made))
    brief = rules_research.brief(made, passages)
    assert all(any(s.quoted in p["text"] for p in passages) for s in brief.sources)
    plan = rules_plan.plan(made, brief)
    draft = rules_write.draft(made, brief, plan)
    assert {r.task_id for r in draft.task_results} == {t.id for t in plan.tasks}
    assert 0 <= rules_review.review(made, brief, plan, draft).score <= 10
