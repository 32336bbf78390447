"""The agents on language models, against a real OpenAI-compatible server with scripted answers."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from openai import AsyncOpenAI
from pydantic_ai.direct import model_request
from pydantic_ai.messages import ModelRequest

from orchestrator.agents.registry import AgentRegistry
from orchestrator.agents.spec import AgentSpec
from orchestrator.errors import Fenced, LimitReached, ModelRefused, ModelUnavailable, OutputInvalid, StepError
from orchestrator.events import (
    Body,
    Json,
    ModelAnswered,
    ModelRetried,
    OutputSentBack,
    RunSettings,
    ToolCall,
    ToolReturned,
)
from orchestrator.infra.knowledge_index import KnowledgeIndex
from orchestrator.infra.providers import KEPT, Provider, Providers
from orchestrator.tools.knowledge import knowledge_search
from orchestrator.tools.page_fetch import page_fetch
from orchestrator.tools.registry import AgentTool, Tools, ToolTrouble, idempotency_key
from orchestrator.tools.web_search import web_search
from tests.calm import Watch
from tests.twins.openai_server import KEY, ModelServer
from tests.unit.agents.steps import ROLES, MemorySink, specs, step

BRIEF: Json = {
    "summary": "Cats sleep a lot [7].",
    "findings": [
        {"claim": "Cats sleep sixteen hours a day.", "source_ids": [7]},
        {"claim": "Cats are liquid.", "source_ids": []},
    ],
    "sources": [
        {"id": 7, "title": "Cats", "url": "{base}/page/cats", "quoted": "Cats sleep sixteen hours a day"}
    ],
    "gaps": [],
}
PLAN: Json = {"goal": "Tell of cats", "tasks": [{"id": "one", "title": "Sleep"}]}
DRAFT: Json = {"body": "Cats sleep a lot [1].", "task_results": [{"task_id": "one", "done": True}]}
REVIEW: Json = {"score": 8, "findings": [], "verdict": "accept"}
OUTPUTS: dict[str, Json] = {"researcher": BRIEF, "planner": PLAN, "builder": DRAFT, "reviewer": REVIEW}


def answers(**changes: list[Json]) -> Json:
    """A script in which every agent answers at once, but for the changes."""
    return {"answers": {role: changes.get(role, [{"output": OUTPUTS[role]}]) for role in changes or ROLES}}


Registry = Callable[..., AgentRegistry]


@asynccontextmanager
async def registry(
    server: ModelServer, *, tools: tuple[AgentTool, ...] = (), key: str = KEY, **changes: Any
) -> AsyncGenerator[AgentRegistry]:
    """The shipped agents on the server."""
    providers = Providers({"openai": Provider("openai", f"{server.url}/v1", key, "gpt-5")}, first_wait_s=0.01)
    try:
        yield AgentRegistry(
            specs(**changes), tools=Tools(tools), models=providers, default_model="openai:gpt-5"
        )
    finally:
        await providers.close()


def of(sink: MemorySink, kind: type[Any]) -> list[Any]:
    return [fact for fact in sink.facts if isinstance(fact, kind)]


async def test_four_agents_work_with_search_and_page_as_tools_through_429_and_500(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pets.md").write_text("# Pets\n\n## Cats\n\nCats purr when content.\n")
    index = KnowledgeIndex(tmp_path / "docs", tmp_path / "k.db")
    look = [
        {"name": "knowledge_search", "arguments": {"query": "cats"}},
        {"name": "web_search", "arguments": {"query": "how long do cats sleep"}},
    ]
    script = answers(
        researcher=[
            {"status": 429, "retry_after": 0},
            {"tool_calls": look},
            {"tool_calls": [{"name": "page_fetch", "arguments": {"url": "{base}/page/cats"}}]},
            {"output": BRIEF},
        ],
        planner=[{"status": 500}, {"output": PLAN}],
        builder=[{"drop": True}, {"output": DRAFT}],
        reviewer=[{"status": 429, "retry_after": 1}, {"output": REVIEW}],
    ) | {
        "pages": {"cats": {"title": "Cats", "html": "<p>Cats sleep <b>sixteen hours</b> a day.</p>"}},
        "tavily": {
            "results": [{"title": "Cats", "url": "{base}/page/cats", "content": "On cats", "score": 0.9}]
        },
    }
    with ModelServer(script) as server:
        tools = (
            knowledge_search(index),
            web_search(tavily_key="tvly-twin", tavily_url=f"{server.url}/tavily"),
            page_fetch([server.host]),
        )
        async with registry(server, tools=tools) as agents:
            outputs: dict[str, Json] = {}
            began = time.monotonic()
            facts: list[Body] = []
            for role in ROLES:
                sink = MemorySink()
                outputs[role] = await agents.run(step(role, "Tell me of cats", outputs=dict(outputs)), sink)
                facts += sink.facts
            assert time.monotonic() - began >= 1  # Retry-After was obeyed
        journal = server.journal()
    await index.close()

    retries = [(f.node, f.status) for f in facts if isinstance(f, ModelRetried)]
    assert retries == [("researcher", 429), ("planner", 500), ("builder", None), ("reviewer", 429)]
    called = {f.tool: f for f in facts if isinstance(f, ToolReturned)}
    assert [p["url"] for p in called["knowledge_search"].result] == ["pets.md#cats"]
    assert called["web_search"].result[0]["url"] == f"{server.url}/page/cats"
    assert "Cats sleep **sixteen hours** a day." in called["page_fetch"].result["text"]
    brief = outputs["researcher"]
    assert [(s["id"], s["title"]) for s in brief["sources"]] == [(1, "Cats")]  # numbered anew, quote verified
    assert brief["findings"][0]["source_ids"] == [1]
    assert brief["findings"][1]["claim"] == "Cats are liquid. (unsourced)"
    assert outputs["reviewer"]["repeated"] is False
    used = [f for f in facts if isinstance(f, ModelAnswered)]
    assert {(f.provider, f.model) for f in used} == {("openai", "gpt-5")}
    assert all(f.usage.cost_usd and f.usage.input_tokens == 100 for f in used)
    assert journal["count"] == {"researcher": 4, "planner": 2, "builder": 2, "reviewer": 2}
    assert journal["pages"] == {"cats": 1}
    assert journal["searches"] == ["how long do cats sleep"]


async def test_each_agent_can_have_a_provider_of_its_own() -> None:
    with (
        ModelServer(answers(planner=[{"output": PLAN}])) as one,
        ModelServer(answers(builder=[{"output": DRAFT}])) as two,
    ):
        providers = Providers(
            {
                "openai": Provider("openai", f"{one.url}/v1", KEY),
                "local": Provider("local", f"{two.url}/v1", KEY),
            }
        )
        agents = AgentRegistry(specs(), tools=Tools(), models=providers, default_model="openai:gpt-5")
        settings = RunSettings(models={"builder": "local:tiny"})
        sink = MemorySink()
        await agents.run(step("planner", "x", settings=settings), sink)
        await agents.run(step("builder", "x", settings=settings), sink)
        await providers.close()
    answered = of(sink, ModelAnswered)
    assert [(a.provider, a.model) for a in answered] == [("openai", "gpt-5"), ("local", "tiny")]
    assert answered[1].usage.cost_usd is None  # no price is known


async def test_customgpt_project_gets_the_schema_as_text_and_no_tools() -> None:
    with ModelServer(answers(planner=[{"text": "no JSON"}, {"output": PLAN}])) as server:
        providers = Providers({"customgpt": Provider("customgpt", server.url, KEY)})
        agents = AgentRegistry(specs(model="customgpt:4711"), tools=Tools(), models=providers)
        sink = MemorySink()
        output = await agents.run(step("planner", "x"), sink)
        await providers.close()
        assert [r["tools"] for r in server.journal()["requests"]] == [[], []]
    assert output["goal"] == "Tell of cats"
    assert [f.call_id for f in of(sink, OutputSentBack)] == [None]


async def test_a_model_is_one_part_of_an_address_and_leads_nowhere_else() -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.raw_path.decode())
        return httpx2.Response(404, json={"error": {"message": "no such project"}})

    provider = Provider("customgpt", "https://gpt.example/api/v1", KEY)
    providers = Providers({"customgpt": provider}, transport=httpx2.MockTransport(answer))
    for name in ("1/../../../other?x=", "1/../../../other", "..", "1?x=", "1#", "1%2f", "1\r\nX: y"):
        with pytest.raises(ModelRefused, match="its name has"):
            providers.model(f"customgpt:{name}")
    agents = AgentRegistry(specs(model="customgpt:1/other"), tools=Tools(), models=providers)
    with pytest.raises(ModelRefused, match="404"):
        await agents.run(step("planner", "x"), MemorySink())
    await providers.close()
    assert asked == ["/api/v1/projects/1%2Fother/chat/completions"]


async def test_however_many_models_are_named_few_are_kept_and_none_in_use_breaks() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        message = {"role": "assistant", "content": f"from {request.url.path}"}
        choices = [{"index": 0, "finish_reason": "stop", "message": message}]
        said = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
        return httpx2.Response(200, json=said)

    def clients() -> int:
        gc.collect()
        return sum(type(one) is AsyncOpenAI for one in gc.get_objects())

    provider = Provider("customgpt", "https://gpt.example", KEY)
    providers = Providers({"customgpt": provider}, transport=httpx2.MockTransport(answer))
    before = providers.model("customgpt:4711")
    assert providers.model("customgpt:4711") is before
    others = clients()
    for number in range(3 * KEPT):
        providers.model(f"customgpt:{number}")
    assert clients() - others <= KEPT
    assert providers.model("customgpt:4711") is not before  # forgotten, and yet it goes on
    told = await model_request(before, [ModelRequest.user_text_prompt("x")])
    await providers.close()
    assert told.text == "from /projects/4711/chat/completions"


# ── errors ───────────────────────────────────────────────────────────────────────────────────


async def fails(
    script: Json, kind: type[StepError], *, strict: bool = True, key: str = KEY
) -> tuple[StepError, MemorySink]:
    with ModelServer(script, strict=strict) as server:
        async with registry(server, key=key) as agents:
            sink = MemorySink()
            with pytest.raises(kind) as caught:
                await agents.run(step("planner", "x"), sink)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return caught.value, sink


async def test_wrong_key_is_refused_at_once_and_never_shown() -> None:
    watch = Watch()
    error, sink = await fails(answers(), ModelRefused, strict=False, key="sk-secret-wrong-key")
    assert watch.calm_s < 5
    assert str(error) == "OpenAI refused the key (401): check OPENAI_API_KEY."
    assert not error.retryable
    assert sink.facts == []  # no retries
    chain = [error, error.__cause__, error.__context__ if not error.__suppress_context__ else None]
    assert not any("sk-secret" in repr(e) for e in chain)


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (403, None, ModelRefused, "refused the key (403)"),
        (402, None, ModelRefused, "no credit"),
        (404, None, ModelRefused, "does not know the model 'gpt-5'"),
        (400, {"message": "bad schema sk-twin", "type": "x"}, ModelRefused, "(400): bad schema •••"),
        (429, {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"},  # noqa: E501
         ModelRefused, "no credit"),
        (400, {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"},
         LimitReached, "too long"),
    ],
)  # fmt: skip
async def test_final_refusals_say_what_to_do(
    status: int, body: Json | None, kind: type[StepError], says: str
) -> None:
    entry = {"status": status} | ({"error": body} if body else {})
    error, sink = await fails(answers(planner=[entry]), kind)
    assert says in str(error)
    assert of(sink, ModelRetried) == []


@pytest.mark.parametrize(
    ("entry", "says", "status"),
    [
        ({"status": 503}, "failed (503)", 503),
        ({"status": 429}, "too often (429)", 429),
        ({"drop": True}, "could not be reached at 127.0.0.1", None),
        ({"cut": True}, "could not be reached at 127.0.0.1", None),
    ],
)
async def test_four_retries_then_unavailable(entry: Json, says: str, status: int | None) -> None:
    error, sink = await fails(answers(planner=[entry] * 5), ModelUnavailable)
    assert says in str(error)
    assert error.retryable
    assert [(f.tries, f.status) for f in of(sink, ModelRetried)] == [(n, status) for n in (1, 2, 3, 4)]


async def test_unreachable_server_is_unavailable_not_a_hang() -> None:
    providers = Providers({"openai": Provider("openai", "http://127.0.0.1:9/v1", KEY)}, first_wait_s=0.01)
    agents = AgentRegistry(specs(), tools=Tools(), models=providers, default_model="openai:gpt-5")
    with pytest.raises(ModelUnavailable, match=r"could not be reached at 127\.0\.0\.1:9"):
        await agents.run(step("planner", "x"), MemorySink())
    await providers.close()


async def test_provider_without_key_names_the_setting() -> None:
    agents = AgentRegistry(specs(), tools=Tools(), models=Providers({}), default_model="groq:x")
    with pytest.raises(ModelRefused, match="set GROQ_API_KEY"):
        await agents.run(step("planner", "x"), MemorySink())


async def test_turn_that_takes_too_long_reaches_its_limit() -> None:
    with ModelServer(answers(planner=[{"hang": True}])) as server:
        async with registry(server, timeout_s=0.3) as agents:
            with pytest.raises(LimitReached, match=r"0\.3 s"):
                await agents.run(step("planner", "x"), MemorySink())
        await until(lambda: server.journal()["requests"][0]["disconnected"])


async def test_model_call_limit_ends_a_turn_that_only_calls_tools() -> None:
    call = {"tool_calls": [{"name": "echo", "arguments": {"text": "x"}}]}
    with ModelServer(answers(researcher=[call] * 3)) as server:
        async with registry(server, tools=(echo([]),), max_model_calls=3) as agents:
            with pytest.raises(LimitReached):
                await agents.run(step("researcher", "x"), MemorySink())


# ── output that does not fit ─────────────────────────────────────────────────────────────────

MISFIT = {"output": {"goal": ""}}
CIRCLE = {
    "output": {
        "goal": "g",
        "tasks": [
            {"id": "a", "title": "A", "depends_on": ["b"]},
            {"id": "b", "title": "B", "depends_on": ["a"]},
        ],
    }
}


async def test_misfit_is_sent_back_twice_and_then_accepted() -> None:
    with ModelServer(answers(planner=[MISFIT, CIRCLE, {"output": PLAN}])) as server:
        async with registry(server) as agents:
            sink = MemorySink()
            output = await agents.run(step("planner", "x"), sink)
    assert output["goal"] == "Tell of cats"
    assert [f.type for f in sink.facts] == ["model_answered", "output_sent_back"] * 2 + ["model_answered"]
    assert "in a circle: a, b" in of(sink, OutputSentBack)[1].reason


@pytest.mark.parametrize("misfit", [MISFIT, CIRCLE, {"text": "Here is the plan."}, {"tool_calls": []}])
async def test_third_misfit_ends_the_step(misfit: Json) -> None:
    if misfit == {"tool_calls": []}:
        misfit = {"tool_calls": [{"name": "submit_plan", "arguments": "{broken"}]}
    error, sink = await fails(answers(planner=[misfit] * 3), OutputInvalid)
    assert len(of(sink, OutputSentBack)) == 2
    assert "2 times sent back" in str(error)


async def test_misfits_before_a_crash_count() -> None:
    with ModelServer(answers(planner=[MISFIT, MISFIT, MISFIT])) as server:
        async with registry(server) as agents:
            first = MemorySink()
            with pytest.raises(OutputInvalid):
                await agents.run(step("planner", "x"), first)
            again = MemorySink()
            with pytest.raises(OutputInvalid):
                await agents.run(step("planner", "x", recorded=first.recorded()), again)
            assert again.facts == []


# ── crashes ──────────────────────────────────────────────────────────────────────────────────


def echo(calls: list[str]) -> AgentTool:
    """A tool that keeps what it was called with; it takes the place of one that the researcher has."""

    async def run(text: str) -> dict[str, str]:
        """Say it again.

        Args:
            text: what to say.
        """
        calls.append(text)
        if text == "boom":
            raise ToolTrouble("It went wrong; try another word.")
        if text == "bug":
            raise RuntimeError("secret inside")
        return {"said": text}

    return AgentTool(name="echo", description="Echo.", run=run, doing=lambda a: f"saying {a.get('text')}")


def with_echo() -> list[AgentSpec]:
    return [s.model_copy(update={"tools": ("echo",)}) if s.name == "researcher" else s for s in specs()]


LONG: list[Json] = [
    {"tool_calls": [{"name": "echo", "id": "same", "arguments": {"text": "one"}},
                    {"name": "echo", "id": "other", "arguments": {"text": "boom"}},
                    {"name": "nonsense", "id": "third", "arguments": {}}]},
    {"tool_calls": [{"name": "echo", "id": "same", "arguments": {"text": "two"}},
                    {"name": "echo", "id": "wrong", "arguments": {"words": 1}}]},
    {"output": {"summary": 1}},
    {"text": "just words"},
    {"output": BRIEF},
]  # fmt: skip


async def test_resume_from_every_prefix_repeats_no_model_call_and_no_tool() -> None:
    async def run(entries: list[Json], recorded: tuple[Any, ...]) -> tuple[Json, MemorySink, list[str], int]:
        calls: list[str] = []
        with ModelServer({"answers": {"researcher": entries}}) as server:
            providers = Providers({"openai": Provider("openai", f"{server.url}/v1", KEY)})
            agents = AgentRegistry(
                with_echo(), tools=Tools([echo(calls)]), models=providers, default_model="openai:gpt-5"
            )
            sink = MemorySink()
            output = await agents.run(step("researcher", "x", recorded=recorded), sink)
            await providers.close()
            asked = server.journal()["count"].get("researcher", 0)
        output["sources"][0]["url"] = ""  # the server's port differs
        return output, sink, calls, asked

    whole, sink, calls, asked = await run(LONG, ())
    facts = sink.recorded()
    assert calls == ["one", "boom", "two"]
    assert asked == 5
    assert [f.ok for f in facts if isinstance(f, ToolReturned)].count(False) == 3
    assert len([f for f in facts if isinstance(f, OutputSentBack)]) == 2

    for length in range(len(facts) + 1):
        done = facts[:length]
        answered = [f for f in done if isinstance(f, ModelAnswered)]
        returned = [f for f in done if isinstance(f, ToolReturned)]
        output, sink, calls, asked = await run(LONG[len(answered) :], done)
        assert output == whole, length
        assert asked == 5 - len(answered)
        called = {_said(f, facts) for f in returned} - {None}
        assert sorted(calls) == sorted({"one", "boom", "two"} - cast(set[str], called)), length
        # Together both tries recorded everything once.
        assert len(done) + len(sink.recorded()) == len(facts), length


def _said(fact: ToolReturned, facts: tuple[Any, ...]) -> str | None:
    """What the echo was called with, by the answer before the result."""
    before = [f for f in facts[: facts.index(fact)] if isinstance(f, ModelAnswered)][-1]
    call = next(b for b in before.bits if isinstance(b, ToolCall) and b.call_id == fact.call_id)
    return call.arguments.get("text")


async def test_append_refused_to_a_former_owner_ends_the_step_as_fenced() -> None:
    with ModelServer(answers(planner=[{"output": PLAN}])) as server:
        async with registry(server) as agents:
            with pytest.raises(Fenced):
                await agents.run(
                    step("planner", "x"), MemorySink(refuse=Fenced("another process owns the run"))
                )


async def test_fenced_during_a_retry_is_no_broken_connection() -> None:
    with ModelServer(answers(planner=[{"status": 503}])) as server:
        async with registry(server) as agents:
            with pytest.raises(Fenced):
                await agents.run(
                    step("planner", "x"), MemorySink(refuse=Fenced("another process owns the run"))
                )


# ── people and cancellation ──────────────────────────────────────────────────────────────────


async def until(condition: Callable[[], bool], *, limit_s: float = 60) -> None:
    """Wait for what another thread does."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - the condition lies in another thread
            await asyncio.sleep(0.005)


async def test_cancelling_closes_the_request_within_two_seconds() -> None:
    with ModelServer(answers(planner=[{"hang": True}])) as server:
        async with registry(server) as agents:
            await agents.warm_up()
            work = asyncio.create_task(agents.run(step("planner", "x"), MemorySink()))
            await until(lambda: len(server.journal()["requests"]) == 1)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
            await until(lambda: server.journal()["requests"][0]["disconnected"])


async def test_steering_during_the_turn_reaches_the_next_model_call() -> None:
    seen: list[str] = []
    sink = MemorySink()

    async def run(text: str) -> str:
        """Steer.

        Args:
            text: anything.
        """
        sink.messages = (*sink.messages, "only black cats")
        return text

    tool = AgentTool(name="echo", description="Echo.", run=run, doing=lambda a: "echo")
    script: list[Json] = [{"tool_calls": [{"name": "echo", "arguments": {"text": "x"}}]}, {"output": BRIEF}]
    with ModelServer({"answers": {"researcher": script}}) as server:
        play = server.twin._play  # pyright: ignore[reportPrivateUsage]

        async def watched(entry: Json, request: Any, body: Json, noted: Json) -> Any:
            seen.append(str(body["messages"][-1]["content"]))
            return await play(entry, request, body, noted)

        server.twin._play = watched  # pyright: ignore[reportPrivateUsage]
        providers = Providers({"openai": Provider("openai", f"{server.url}/v1", KEY)})
        agents = AgentRegistry(
            with_echo(), tools=Tools([tool]), models=providers, default_model="openai:gpt-5"
        )
        await agents.run(step("researcher", "cats"), sink)
        await providers.close()
    assert "only black cats" not in seen[0]
    assert "the requester sent this" in seen[1]
    assert "only black cats" in seen[1]


async def test_a_tool_with_a_bug_tells_the_model_and_shows_no_inside() -> None:
    script: list[Json] = [{"tool_calls": [{"name": "echo", "arguments": {"text": "bug"}}]}, {"output": BRIEF}]
    with ModelServer({"answers": {"researcher": script}}) as server:
        providers = Providers({"openai": Provider("openai", f"{server.url}/v1", KEY)})
        agents = AgentRegistry(
            with_echo(), tools=Tools([echo([])]), models=providers, default_model="openai:gpt-5"
        )
        sink = MemorySink()
        await agents.run(step("researcher", "x"), sink)
        await providers.close()
    (returned,) = of(sink, ToolReturned)
    assert not returned.ok
    assert returned.result == "echo failed (RuntimeError); go on without it."


async def test_a_tool_call_has_the_same_idempotency_key_after_a_crash() -> None:
    keys: list[str] = []

    async def run(text: str) -> str:
        """Note the key.

        Args:
            text: anything.
        """
        keys.append(idempotency_key.get())
        return text

    tool = AgentTool(name="echo", description="Echo.", run=run, doing=lambda a: "echo")
    call: Json = {"tool_calls": [{"name": "echo", "id": "c1", "arguments": {"text": "x"}}]}
    with ModelServer({"answers": {"researcher": [call, {"output": BRIEF}, {"output": BRIEF}]}}) as server:
        providers = Providers({"openai": Provider("openai", f"{server.url}/v1", KEY)})
        agents = AgentRegistry(
            with_echo(), tools=Tools([tool]), models=providers, default_model="openai:gpt-5"
        )
        sink = MemorySink()
        await agents.run(step("researcher", "x", visit=2), sink)
        crashed = sink.recorded()[:1]  # the answer was recorded, the tool's result was not
        await agents.run(step("researcher", "x", visit=2, recorded=crashed), MemorySink())
        await providers.close()
    assert keys == ["r1:researcher:2:1:c1"] * 2


async def test_parallel_turns_report_retries_to_their_own_sink() -> None:
    script = answers(planner=[{"status": 500}, {"output": PLAN}], reviewer=[{"output": REVIEW}])
    with ModelServer(script) as server:
        async with registry(server) as agents:
            one, two = MemorySink(), MemorySink()
            await asyncio.gather(
                agents.run(step("planner", "x"), one), agents.run(step("reviewer", "x"), two)
            )
    assert [f.node for f in of(one, ModelRetried)] == ["planner"]
    assert of(two, ModelRetried) == []
