"""A workflow with everything a graph can have, and the desk on which it is killed; see `test_graph_crash.py`.

Every node has an agent of its own, so that the model server's count by agent is a count by node. The run
always goes the same way: `deploy` is refused, so the handler takes back what was done, newest first, and the
report ends it.
`slow` never answers: `quick` is enough for the join, which gives `slow` up.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from orchestrator.events import ApprovalId, DecisionGiven, Json, RunId, Who
from orchestrator.infra.sqlite_store import SqliteStore
from tests.journey.desks import Talk
from tests.journey.shipped import ModelsDesk, said

HANG: Json = {"hang": True}
REFUSED: Json = {"status": 400, "error": {"message": "scripted refusal", "type": "invalid_request_error"}}
TEXT = "Paint it blue"
SLOWLY_S = 0.1  # of an answer during which the bot may be killed
RELAY = """
name: relay
description: Everything that a graph can have.
policies: {max_concurrent: 10}
workflows:
  inspection:
    name: inspection
    inputs: {type: object, properties: {parts: {type: integer}}, required: [parts]}
    nodes:
      tests: {kind: agent, agent: qa, task: "Test {{ inputs.parts }} parts."}
      verdict: {kind: agent, agent: code_reviewer, task: "Judge: {{ tests.body }}"}
    edges: [{from: tests, to: verdict}]
    answer: {draft: verdict}
nodes:
  scope: {kind: agent, agent: analyst, compensation: take_back}
  left: {kind: agent, agent: frontend}
  right: {kind: agent, agent: backend}
  parts:
    kind: map
    over: scope.items
    agent: developer
    task: "Make {{ item }}: {{ left.body }}, {{ right.body }}."
    max_concurrent: 2
    compensation: take_back
  check:
    kind: workflow
    workflow: inspection
    inputs: {parts: "{{ len(parts.items) }}"}
    compensation: take_back
  quick: {kind: agent, agent: security, task: "{{ check.body }}"}
  slow: {kind: agent, agent: performance, task: "{{ check.body }}"}
  first: {kind: agent, agent: style, join: any}
  question: {kind: input, question: "Which colour?"}
  consent: {kind: approval, of: first}
  deploy: {kind: agent, agent: operator}
  recovery: {kind: error_handler, compensate: true, agent: debugger}
  take_back: {kind: agent, agent: architect}
  report: {kind: agent, agent: technical_writer, task: "Told: {{ question.text }}. {{ recovery.body }}"}
edges:
  - {from: scope, to: left}
  - {from: scope, to: right}
  - {from: left, to: parts}
  - {from: right, to: parts}
  - {from: parts, to: check}
  - {from: check, to: quick}
  - {from: check, to: slow}
  - {from: quick, to: first}
  - {from: slow, to: first}
  - {from: first, to: question}
  - {from: first, to: consent}
  - {from: question, to: deploy}
  - {from: consent, to: deploy}
  - {from: deploy, to: recovery, on: error}
  - {from: deploy, to: report}
  - {from: recovery, to: report}
answer: {draft: report}
"""
UNDONE = ["check", "parts", "scope"]
ENDED = Counter(
    {
        **dict.fromkeys(
            ("scope", "left", "right", "parts", "check", "quick", "first", "recovery", "report"), 1
        ),
        **dict.fromkeys((f"parts[{n}]" for n in range(4)), 1),
        **dict.fromkeys(("check/tests", "check/verdict"), 1),
        **dict.fromkeys((f"recovery[{n}]" for n in range(3)), 1),
    }
)
# The handler begins twice: to take steps back, and when that is done with the work of its own agent.
BEGUN = ENDED + Counter(["slow", "question", "consent", "deploy", "recovery"])
CARDS = Counter({"status": 1, "picture": 1, "approval": 2, "answer": 1})


def answers_of(**first: Sequence[Json]) -> dict[str, list[Json]]:
    """What every agent answers; given entries come first, an answer among them instead of one of its own."""
    own: dict[str, list[Json]] = {
        "analyst": [said("SCOPE", items=["wheel", "hand", "face", "case"])],
        "frontend": [said("LEFT")],
        "backend": [said("RIGHT")],
        "developer": [said("PART")] * 4,
        "qa": [said("TESTED")],
        "code_reviewer": [said("VERDICT")],
        "security": [said("QUICK")],
        "performance": [HANG] * 2,
        "style": [said("FIRST")],
        "operator": [REFUSED],
        "architect": [said("TAKEN BACK")] * 3,
        "debugger": [said("MENDED")],
        "technical_writer": [said("REPORT")],
    }
    for agent, entries in first.items():
        own[agent] = [*entries, *own[agent][sum(entry != HANG for entry in entries) :]]
    return own


# What models are asked in a run that nobody kills; without `slow`, which may be given up before it asks.
ASKED = Counter({agent: len(entries) for agent, entries in answers_of().items() if agent != "performance"})


class CrashDesk(ModelsDesk):
    """A bot that knows `relay`."""

    def settle(self, deciders: Sequence[str] = ()) -> dict[str, str]:
        env = super().settle(deciders)
        (self.folder / "flows").mkdir()
        (self.folder / "flows" / "relay.yaml").write_text(RELAY, encoding="utf-8")
        config = self.folder / "config" / "quartet.yaml"
        settings = {**json.loads(config.read_text(encoding="utf-8")), "workflows_path": ["../flows"]}
        config.write_text(json.dumps(settings), encoding="utf-8")
        return env

    async def runs_relay(self, **first: Sequence[Json]) -> Talk:
        """A new run of it; these agents answer so at first."""
        self.models.twin.load({"answers": answers_of(**first)})
        return await self.begins("/quartet run relay A clock")

    async def runs_relay_with_answers_to_spare(self) -> Talk:
        """The same, where any call takes its time and may be made up to five times."""
        own = {a: [{**e, "delay_s": SLOWLY_S} for e in entries] * 5 for a, entries in answers_of().items()}
        self.models.twin.load({"answers": own})
        return await self.begins("/quartet run relay A clock")

    async def killed(self) -> int:
        """Kill it and start it again; returns how often `slow` had asked by then."""
        await self.kill()
        asked = self.asked_of("performance")
        await self.start()
        return asked

    def asked_of(self, agent: str) -> int:
        """How often a model was asked in the name of an agent."""
        return int(self.models.journal()["count"].get(agent, 0))

    def at_once(self, agent: str) -> int:
        """How many calls of an agent were under way at the same time, at most."""
        calls = [r for r in self.models.journal()["requests"] if r["agent"] == agent]
        return max(sum(o["began"] <= c["began"] < o["ended"] for o in calls) for c in calls)

    async def decided_while_dead(self, talk: Talk) -> None:
        """Leave behind what a kill right after the commit of both decisions does; the bot must be down."""
        who = Who(key="web:bob", name="Bob")
        [[run_id]] = self.rows("SELECT id FROM runs WHERE conversation_id = ?", talk.key)
        store = await SqliteStore.open(self.home / "quartet.db", owners_dir=self.home / "owners")
        try:
            for asked in talk.facts("approval_requested"):
                text = asked["wants"] == "text"
                fact = DecisionGiven(
                    approval_id=ApprovalId(asked["approval_id"]),
                    decision="edit" if text else "approve",
                    edited={"text": TEXT} if text else None,
                    who=who,
                )
                await store.append(RunId(str(run_id)), [fact], epoch=None)
        finally:
            await store.close()


async def cards_on(desk: CrashDesk, talk: Talk) -> Counter[str]:
    """All cards of the conversation by kind, pictures too."""
    page = await desk.page(f"/c/{talk.key.rpartition(':')[2]}", "ada")
    ids = [article.attributes.get("data-card", "") for article in page.all("article")]
    return Counter(one.split(":")[1] for one in ids if ":" in one)


async def asked(desk: CrashDesk, talk: Talk, **calls: int) -> None:
    """Wait until models were asked so often in the names of these agents."""

    async def there() -> bool:
        return all(desk.asked_of(agent) >= count for agent, count in calls.items())

    await talk.until(there, f"{calls} model calls")


async def grown_to(talk: Talk, length: int) -> None:
    """Wait until the run's log has so many facts, or waits for people, or has ended."""
    query = "SELECT count(*) FROM events JOIN runs ON runs.n = events.run WHERE conversation_id = ?"

    async def there() -> bool:
        [[count]] = talk.desk.rows(query, talk.key)
        return count >= length or not {*talk.statuses()} & {"queued", "running"}

    await talk.until(there, f"{length} facts in the log")


async def people_answer(talk: Talk) -> None:
    """Wait for the question and the approval, and answer both."""
    await talk.waits(asked=2)
    await talk.presses("Answer")
    await talk.fills({"text": TEXT})
    await talk.presses("Approve")


def of_nodes(talk: Talk, kind: str) -> Counter[str]:
    """How many facts of a kind there are of each node."""
    found: list[Any] = [fact["node"] for fact in talk.facts(kind)]
    return Counter(found)
