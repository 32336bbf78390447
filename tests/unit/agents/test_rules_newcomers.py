"""What a newcomer asks the rules engine first: useful answers, honest gaps, nothing twice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agents.registry import AgentRegistry
from orchestrator.events import Json, RunSettings, StoredFile
from orchestrator.infra.knowledge_index import KnowledgeIndex
from orchestrator.tools.knowledge import knowledge_search
from orchestrator.tools.registry import Tools
from tests.unit.agents.steps import ROLES, ROOT, MemorySink, said, specs, step

NOTES = """# Offsite

## Budget

The budget is 4,000 euros.

## Lunch

Lunch is at noon.
"""


@pytest.fixture
async def agents(tmp_path: Path) -> AsyncGenerator[AgentRegistry]:
    index = KnowledgeIndex(ROOT / "knowledge", tmp_path / "k.db")
    registry = AgentRegistry(specs(), tools=Tools([knowledge_search(index)]))
    await registry.warm_up()
    yield registry
    await index.close()


async def ask(agents: AgentRegistry, text: str, **more: Any) -> dict[str, Json]:
    """All four agents; `plan` replaces parts of the plan, as a person's edit does."""
    edit = more.pop("plan", {})
    outputs: dict[str, Json] = {}
    for role in ROLES:
        outputs[role] = await agents.run(step(role, text, outputs=dict(outputs), **more), MemorySink())
        if role == "planner":
            outputs[role] = outputs[role] | edit
    return outputs


def places(outputs: dict[str, Json]) -> list[str]:
    return [s["url"] for s in outputs["researcher"]["sources"]]


def body(outputs: dict[str, Json]) -> str:
    return str(outputs["builder"]["body"])


def attached(text: str = NOTES, name: str = "notes.md") -> dict[str, Sequence[StoredFile]]:
    file = StoredFile(name=name, media_type="text/markdown", size=9, sha256="0" * 64, text=text)
    return {"files": (file,)}


@pytest.mark.parametrize(
    "text", ["what is quartet?", "who are you", "hi", "Hello!", "What can you do?", "help"]
)
async def test_who_says_hello_is_told_what_quartet_is(agents: AgentRegistry, text: str) -> None:
    outputs = await ask(agents, text)
    assert places(outputs)[0] == "what-quartet-is.md#what-quartet-is"
    assert "Quartet is a team bot that you run yourself." in body(outputs)
    assert "[1]" in body(outputs)


async def test_how_it_works_is_told_from_the_beginning(agents: AgentRegistry) -> None:
    assert (
        places(await ask(agents, "How does it work?"))[0] == "what-quartet-is.md#what-happens-with-a-request"
    )


async def test_page_about_the_question_begins_with_its_introduction(agents: AgentRegistry) -> None:
    outputs = await ask(agents, "How do approvals work?")
    assert places(outputs)[:2] == ["approvals.md#approvals", "approvals.md#the-four-buttons"]
    assert body(outputs).index("asks people before the builder starts") < body(outputs).index("**Approve**")


@pytest.mark.parametrize(
    ("question", "where"),
    [
        ("Where is my data stored?", "your-data.md#where-your-data-is"),
        ("How do I back up my data?", "your-data.md#back-up-your-data"),
        ("How do I delete a conversation?", "your-data.md#delete-a-conversation-or-all-data"),
        ("What data is sent to OpenAI?", "your-data.md#privacy-what-leaves-your-machine"),
        ("Can I run it in Docker?", "first-start.md#run-it-in-docker"),
        ("How do I uninstall Quartet?", "first-start.md#uninstall-quartet"),
        ("Who may approve?", "approvals.md#who-may-decide"),
        ("How many agents are there?", "what-quartet-is.md#the-four-agents"),
        ("How do I use Ollama?", "models-and-providers.md#use-ollama"),
    ],
)
async def test_answer_comes_from_the_section_about_it(
    agents: AgentRegistry, question: str, where: str
) -> None:
    assert places(await ask(agents, question))[0] == where


@pytest.mark.parametrize(
    ("question", "gap"),
    [
        ("What is 2+2?", "about “What is 2+2?”"),
        ("What is the weather in Paris?", "“weather” and “paris”"),
        ("Wie starte ich den Bot?", "in German, the documents are in English"),
        ("Comment est-ce que je lance le bot ?", "in French, the documents are in English"),
    ],
)
async def test_what_the_documents_do_not_say_is_an_open_gap(
    agents: AgentRegistry, question: str, gap: str
) -> None:
    outputs = await ask(agents, question)
    assert places(outputs) == []
    assert gap in body(outputs)
    assert outputs["reviewer"]["score"] <= 5
    assert any(gap in f["problem"] for f in outputs["reviewer"]["findings"])


async def test_nearest_passage_is_never_shown_as_the_answer(agents: AgentRegistry) -> None:
    outputs = await ask(agents, "How do I install Quartet on Windows?")
    assert body(outputs).startswith("## What could not be found")
    assert "“windows”" in body(outputs)
    assert "## The nearest passage" in body(outputs)
    assert outputs["reviewer"]["score"] <= 5


@pytest.mark.parametrize(
    "question", ["compare queue and steer", "What is the difference between pause and stop?", "pause", "stop"]
)
async def test_no_extract_stands_in_an_answer_twice(agents: AgentRegistry, question: str) -> None:
    text = body(await ask(agents, question))
    lines = [line for line in text.split("\n") if line.strip()]
    assert len(lines) == len(set(lines))


async def test_comparison_takes_the_words_about_each_side(agents: AgentRegistry) -> None:
    text = body(await ask(agents, "compare queue and steer"))
    assert "the message waits" in text.split("## Queue")[1].split("## Steer")[0]
    assert "handed to the agents" in text.split("## Steer")[1]
    assert "| --- |" not in text


async def test_single_passage_gets_no_details(agents: AgentRegistry) -> None:
    outputs = await ask(agents, "How do I uninstall Quartet?")
    assert [t["id"] for t in outputs["planner"]["tasks"]] == ["answer"]


async def test_attachment_answers_only_what_it_is_about(agents: AgentRegistry) -> None:
    budget = await ask(agents, "What is the budget?", turn_more=attached())
    assert "The budget is 4,000 euros. [1]" in body(budget)
    stop = await ask(agents, "How do I stop a run?", turn_more=attached())
    assert places(stop)[0] == "stop-pause-resume.md#stop-a-run"
    assert "attachment:notes.md" not in places(stop)
    hotel = await ask(agents, "What about the hotel?", turn_more=attached())
    assert places(hotel) == []
    assert "or in the attached files about “hotel”" in body(hotel)


async def test_summary_of_markdown_has_its_text_and_not_its_headings(agents: AgentRegistry) -> None:
    outputs = await ask(agents, "Summarise the attached file", turn_more=attached())
    quotes = [s["quoted"] for s in outputs["researcher"]["sources"]]
    assert quotes == ["The budget is 4,000 euros.", "Lunch is at noon."]


@pytest.mark.parametrize(
    ("text", "leans"),
    [
        ("Docker?", False),
        ("Is there a Slack adapter?", False),
        ("and how do I resume it?", True),
        ("Why?", True),
    ],
)
async def test_only_a_turn_that_points_back_follows_on(agents: AgentRegistry, text: str, leans: bool) -> None:
    outputs = await ask(agents, text, exchanges=said("How do I stop a run?", "Press Stop."))
    assert body(outputs).startswith("_Following on from") == leans
    if "resume" in text:
        assert places(outputs)[0] == "stop-pause-resume.md#resume-a-run"


async def test_removed_task_takes_its_outline_line_along(agents: AgentRegistry) -> None:
    task: Json = {"id": "details", "title": "What else to know", "depends_on": [], "acceptance": ""}
    outline = ["How to do it", "What else to know"]
    text = body(await ask(agents, "How do I stop a run?", plan={"tasks": [task], "outline": outline}))
    assert "## What else to know" in text
    assert "## How to do it" not in text


async def test_wishes_that_rules_cannot_meet_are_named(agents: AgentRegistry) -> None:
    wishes = {"context": {"tone": "friendly", "length": "short", "format": "bullets"}}
    outputs = await ask(
        agents, "How do I stop a run?", turn_more=wishes, settings=RunSettings(language="German")
    )
    assert "_Not something rules can change: tone “friendly”, language “German”._" in body(outputs)
    assert "Not something" not in body(await ask(agents, "How do I stop a run?"))
