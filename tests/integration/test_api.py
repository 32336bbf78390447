"""The HTTP routes over a real server, store, scheduler and engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from adapters.contract import Person
from bot.api.core import Component
from bot.api.views import ChatResponse
from orchestrator.errors import ModelRefused
from orchestrator.events import RunId, TurnRecord, Who
from tests.calm import Watch
from tests.house import ADA, BRIEF, GOOD, PLAN, Gate
from tests.integration.api_harness import ASK, Api, api, sse, turn


def signed_in(person_id: str, name: str) -> Callable[[Any], Awaitable[Person]]:
    async def person(connection: Any) -> Person:
        return Person(platform="web", id=person_id, name=name)

    return person


def gated(a: Api) -> Gate:
    """Four good agents; the first waits at a gate."""
    gate = Gate(BRIEF)
    a.agents.say("researcher", gate)
    for agent in ("planner", "builder", "reviewer"):
        a.agents.say(agent, GOOD[agent])
    return gate


async def asked(a: Api, **body: Any) -> dict[str, Any]:
    """A run that waits for its plan's approval: the chat response."""
    a.agents.say("researcher", BRIEF)
    a.agents.say("planner", PLAN)
    response = await a.client.post("/v1/chat", json={**turn(**ASK), **body})
    assert response.status_code == 202, response.text
    return response.json()


async def _first(events: AsyncGenerator[dict[str, str]], field: str) -> AsyncGenerator[dict[str, str]]:
    """The first event that has a field."""
    async with aclosing(events):
        async for event in events:
            if field in event:
                yield event
                return


async def until_status(a: Api, run_id: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            view = (await a.client.get(f"/v1/runs/{run_id}")).json()
            if view["status"] == status:
                return view
            await asyncio.sleep(0.01)


# ── health ───────────────────────────────────────────────────────────────────────────────────


async def test_health_is_healthy_and_counts_running_runs(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        assert (await a.client.get("/health")).json()["active_workflows"] == 0
        gate = gated(a)
        call = asyncio.create_task(a.client.post("/v1/chat", json=turn()))
        await gate.entered.wait()
        response = await a.client.get("/health")
        gate.let_go.set()
        await call
    assert response.status_code == 200
    body = response.json()
    assert (body["status"], body["active_workflows"]) == ("healthy", 1)
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    assert body["components"]["store"] == {"status": "healthy", "detail": ""}


async def test_health_answers_503_before_the_core_is_there_and_other_routes_say_wait(tmp_path: Path) -> None:
    async with api(tmp_path, starting=True) as a:
        response = await a.client.get("/health")
        assert (response.status_code, response.json()["status"]) == (503, "degraded")
        chat = await a.client.post("/v1/chat", json=turn())
        assert (chat.status_code, chat.headers["retry-after"]) == (503, "1")
        a.core.service = a.house.service
        assert (await a.client.get("/health")).status_code == 200


async def test_health_is_degraded_but_200_when_an_adapter_is_down(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.core.components = lambda: {"slack": Component(status="down", detail="set SLACK_BOT_TOKEN")}
        response = await a.client.get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["components"]["slack"]["detail"] == "set SLACK_BOT_TOKEN"


async def test_health_is_503_when_the_database_does_not_answer(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        await a.house.store.close()
        response = await a.client.get("/health")
        chat = await a.client.post("/v1/chat", json=turn())
    assert response.status_code == 503
    assert response.json()["components"]["store"]["status"] == "down"
    assert (chat.status_code, "database" in chat.json()["detail"]) == (503, True)


# ── chat ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_turn_is_answered_with_sources_review_usage_and_timings(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        body = {**turn(tone="friendly", length=300), "conversation_id": "mail-7"}
        response = await a.client.post("/v1/chat", json=body)
        [step] = a.agents.called("builder")
    assert response.status_code == 200
    found = response.json()
    assert found["conversation_id"] == "mail-7"
    assert found["status"] == "completed"
    assert found["message"] == {"role": "assistant", "content": "Tea is warm [1]."}
    meta = found["metadata"]
    assert meta["engine"] == "rules"
    assert [s["url"] for s in meta["sources"]] == ["tea.md#warm"]
    assert meta["review"]["score"] == 9.0
    assert meta["cost"] is None
    assert meta["usage"]["calls"] == 0
    assert meta["timings"]["total_s"] > 0
    assert set(meta["timings"]["nodes"]) >= {"researcher", "planner", "builder", "reviewer"}
    assert step.turn.context == {"tone": "friendly", "length": "300"}
    assert step.turn.who.key == "api:local"
    assert step.turn.history is None
    jsonschema.validate(found, ChatResponse.model_json_schema(mode="serialization"))


async def test_earlier_messages_replace_the_stored_conversation_for_this_run_only(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        for _ in range(3):
            a.agents.say_all_good()
        first = {**turn("stored question"), "conversation_id": "c"}
        await a.client.post("/v1/chat", json=first)
        given = [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "given question"},
            {"role": "assistant", "content": "given answer"},
            {"role": "user", "content": "and now?"},
        ]
        await a.client.post("/v1/chat", json={"conversation_id": "c", "messages": given})
        await a.client.post("/v1/chat", json={**turn("third"), "conversation_id": "c"})
        _, second, third = a.agents.called("researcher")
    assert second.turn.text == "and now?"
    assert [(line.role, line.text) for line in second.exchanges] == [
        ("other", "be brief"),
        ("person", "given question"),
        ("bot", "given answer"),
    ]
    assert [line.text for line in third.exchanges if line.role == "person"] == ["stored question", "and now?"]


async def test_asking_for_approval_gives_202_and_approving_ends_the_run(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        waiting = await asked(a)
        [question] = waiting["metadata"]["approvals"]
        assert waiting["status"] == "waiting"
        assert question["arguments"] == PLAN
        assert question["quorum"] == 1
        [listed] = (await a.client.get("/v1/approvals")).json()["items"]
        assert listed == question
        a.agents.say("builder", GOOD["builder"])
        a.agents.say("reviewer", GOOD["reviewer"])
        decided = await a.client.post(
            f"/v1/approvals/{question['id']}", json={"decision": "approve", "digest": question["digest"]}
        )
        assert decided.status_code == 200
        assert (decided.json()["outcome"], decided.json()["decided_by"]) == ("approve", "local API")
        view = await until_status(a, waiting["run_id"], "completed")
        assert (await a.client.get("/v1/approvals")).json() == {"items": [], "next": None}
    assert view["response"]["message"]["content"] == "Tea is warm [1]."


async def test_a_busy_conversation_queues_the_second_call_which_waits(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        gate = gated(a)
        a.agents.say_all_good()
        first = asyncio.create_task(a.client.post("/v1/chat", json={**turn("one"), "conversation_id": "c"}))
        await gate.entered.wait()
        second = asyncio.create_task(a.client.post("/v1/chat", json={**turn("two"), "conversation_id": "c"}))
        async with asyncio.timeout(60):
            while True:
                if (await a.client.get("/v1/runs?status=queued")).json()["items"]:
                    break
                await asyncio.sleep(0.01)
        assert not second.done()
        gate.let_go.set()
        answers = [(await call).json() for call in (first, second)]
    assert [x["status"] for x in answers] == ["completed", "completed"]
    assert answers[1]["metadata"]["timings"]["queued_s"] > 0
    assert answers[0]["run_id"] != answers[1]["run_id"]


async def test_a_wait_limit_gives_202_and_the_run_goes_on(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        gate = gated(a)
        response = await a.client.post("/v1/chat", json=turn(timeout_s=0.1))
        assert response.status_code == 202
        assert response.json()["status"] in ("queued", "running")
        assert response.json()["metadata"]["review"] is None
        gate.let_go.set()
        view = await until_status(a, response.json()["run_id"], "completed")
    assert response.headers["location"] == f"/v1/runs/{view['id']}"


async def test_run_shows_what_people_think_of_its_answer(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        run_id = (await a.client.post("/v1/chat", json=turn())).json()["run_id"]
        assert (await a.client.get(f"/v1/runs/{run_id}")).json()["feedback"] == []
        bob = Who(key="slack:U1", name="Bob")
        await a.house.service.feedback(RunId(run_id), who=bob, good=False, comment="too long")
        shown = (await a.client.get(f"/v1/runs/{run_id}")).json()
        listed = (await a.client.get("/v1/runs")).json()["items"]
    assert shown["feedback"] == [{"who": "Bob", "good": False, "comment": "too long"}]
    assert shown["status"] == "completed"
    assert [r["id"] for r in listed] == [run_id]


async def test_who_hangs_up_leaves_the_run_going(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        gate = gated(a)
        call = asyncio.create_task(a.client.post("/v1/chat", json=turn()))
        await gate.entered.wait()
        [row] = (await a.client.get("/v1/runs")).json()["items"]
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        gate.let_go.set()
        await until_status(a, row["id"], "completed")


async def test_the_same_idempotency_key_is_the_same_run_and_another_text_is_refused(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        key = {"Idempotency-Key": "k-1"}
        first, second = await asyncio.gather(
            *(a.client.post("/v1/chat", json=turn(), headers=key) for _ in range(2))
        )
        other = await a.client.post("/v1/chat", json=turn("another"), headers=key)
    assert first.json()["run_id"] == second.json()["run_id"]
    assert first.json()["conversation_id"] == second.json()["conversation_id"]
    assert first.json()["message"] == second.json()["message"]
    assert other.status_code == 422
    assert "Idempotency-Key" in other.json()["errors"]


async def test_a_failed_run_says_what_to_do(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("researcher", ModelRefused("the key of openai is wrong: set OPENAI_API_KEY"))
        response = await a.client.post("/v1/chat", json=turn())
    assert (response.status_code, response.json()["status"]) == (200, "failed")
    assert "set OPENAI_API_KEY" in response.json()["message"]["content"]
    assert response.json()["metadata"]["problem"]["kind"] == "model_refused"


# ── approvals ────────────────────────────────────────────────────────────────────────────────


async def test_a_hundred_decisions_at_once_count_one(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        waiting = await asked(a)
        [question] = waiting["metadata"]["approvals"]
        kinds = ["approve", "reject"] * 50
        a.agents.say("builder", GOOD["builder"])
        a.agents.say("reviewer", GOOD["reviewer"])
        answers = await asyncio.gather(
            *(a.client.post(f"/v1/approvals/{question['id']}", json={"decision": kind}) for kind in kinds)
        )
        counted = [x for x in answers if x.status_code == 200]
        late = [x for x in answers if x.status_code == 409]
        assert (len(counted), len(late)) == (1, 99)
        outcome = counted[0].json()["outcome"]
        assert {x.json()["outcome"] for x in late} == {outcome}
        view = await until_status(a, waiting["run_id"], "completed" if outcome == "approve" else "rejected")
        if outcome == "reject":
            for agent in ("builder", "reviewer"):
                a.agents.script[agent].clear()
    assert sum(s["node"] == "builder" for s in view["steps"]) == (outcome == "approve")


async def test_an_edited_plan_is_what_the_builder_gets_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        waiting = await asked(a)
        path = f"/v1/approvals/{waiting['metadata']['approvals'][0]['id']}"
        lonely = {"id": "a", "title": "x", "depends_on": ["b"]}
        broken: list[tuple[dict[str, Any], str]] = [
            ({"decision": "edit"}, "edited"),
            ({"decision": "approve", "edited": PLAN}, "edited"),
            ({"decision": "edit", "edited": {**PLAN, "tasks": []}}, "edited.tasks"),
            ({"decision": "edit", "edited": {**PLAN, "goal": 7}}, "edited.goal"),
            ({"decision": "edit", "edited": {**PLAN, "extra": 1}}, "edited.extra"),
            (
                {"decision": "edit", "edited": {**PLAN, "tasks": [lonely]}},
                "edited.tasks",
            ),
        ]
        for body, field in broken:
            response = await a.client.post(path, json=body)
            assert (response.status_code, [*response.json()["errors"]]) == (422, [field]), body
        a.agents.say("builder", GOOD["builder"])
        a.agents.say("reviewer", GOOD["reviewer"])
        edited = {**PLAN, "goal": "Explain cold tea"}
        response = await a.client.post(path, json={"decision": "edit", "edited": edited})
        assert response.json()["outcome"] == "edit"
        await until_status(a, waiting["run_id"], "completed")
        [built] = a.agents.called("builder")
    assert built.outputs["planner"]["goal"] == "Explain cold tea"


async def test_a_digest_of_something_else_is_refused_with_what_is_asked(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        waiting = await asked(a)
        [question] = waiting["metadata"]["approvals"]
        path = f"/v1/approvals/{question['id']}"
        response = await a.client.post(path, json={"decision": "approve", "digest": "0" * 64})
        assert (response.status_code, response.json()["approval"]["digest"]) == (409, question["digest"])
        assert (await a.client.get("/v1/approvals")).json()["items"] == [question]


async def test_changes_plan_again_with_the_comment(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        waiting = await asked(a)
        [question] = waiting["metadata"]["approvals"]
        a.agents.say("planner", {**PLAN, "goal": "Shorter"})
        await a.client.post(
            f"/v1/approvals/{question['id']}", json={"decision": "changes", "comment": "shorter"}
        )
        async with asyncio.timeout(60):
            while True:
                items = (await a.client.get("/v1/approvals")).json()["items"]
                if items and items[0]["id"] != question["id"]:
                    break
                await asyncio.sleep(0.01)
        assert a.agents.called("planner")[1].comments == ("shorter",)
        assert items[0]["arguments"]["goal"] == "Shorter"


async def test_a_decision_after_the_end_gets_409_with_the_outcome(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        waiting = await asked(a)
        [question] = waiting["metadata"]["approvals"]
        await a.client.post(f"/v1/runs/{waiting['run_id']}/stop")
        await until_status(a, waiting["run_id"], "stopped")
        late = await a.client.post(f"/v1/approvals/{question['id']}", json={"decision": "approve"})
    assert late.status_code == 409
    assert late.json()["outcome"] in ("stopped", "withdrawn")


async def test_who_is_not_an_approver_is_refused_and_nothing_is_recorded(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say("researcher", BRIEF)
        a.agents.say("planner", PLAN)
        run_id = await a.house.turn(approvers=("web:bob",))
        state = await a.house.asked(run_id)
        question = state.open_approvals()[0].asked.approval_id
        refused = await a.client.post(f"/v1/approvals/{question}", json={"decision": "approve"})
        assert (refused.status_code, "web:bob" in refused.json()["detail"]) == (403, True)
        assert (await a.house.service.state(run_id)).seq == state.seq
        a.core.cookie_person = signed_in("bob", "Bob")
        decided = await a.client.post(f"/v1/approvals/{question}", json={"decision": "reject"})
    assert (decided.status_code, decided.json()["decided_by"]) == (200, "Bob")


async def test_approvals_come_in_pages(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        ids = [(await asked(a))["metadata"]["approvals"][0]["id"] for _ in range(3)]
        found: list[str] = []
        cursor = ""
        for _ in range(2):
            page = (await a.client.get(f"/v1/approvals?limit=2{cursor}")).json()
            found += [x["id"] for x in page["items"]]
            cursor = f"&cursor={page['next']}"
    assert found == ids
    assert cursor == "&cursor=None"


# ── runs ─────────────────────────────────────────────────────────────────────────────────────


async def test_runs_come_newest_first_in_pages_and_by_status(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        made: list[str] = []
        for number in range(3):
            a.agents.say_all_good()
            made.insert(0, (await a.client.post("/v1/chat", json=turn(f"turn {number}"))).json()["run_id"])
        first = (await a.client.get("/v1/runs?limit=2")).json()
        rest = (await a.client.get(f"/v1/runs?limit=2&cursor={first['next']}")).json()
        again = (await a.client.get("/v1/runs?limit=2")).json()
        none = (await a.client.get("/v1/runs?status=failed")).json()
    assert [r["id"] for r in (*first["items"], *rest["items"])] == made
    assert rest["next"] is None
    assert again == first
    assert none == {"items": [], "next": None}
    run = first["items"][0]
    assert {
        "id",
        "conversation_id",
        "workflow",
        "status",
        "created_at",
        "ended_at",
        "steps",
        "usage",
        "cost",
    } <= {*run}
    assert [s["node"] for s in run["steps"]] == [
        "researcher",
        "planner",
        "plan_approval",
        "builder",
        "reviewer",
    ]


async def test_stop_pause_and_resume_reach_a_run_at_work(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        gate = gated(a)
        a.agents.script["planner"].clear()
        a.agents.script["builder"].clear()
        a.agents.script["reviewer"].clear()
        run_id = (await a.client.post("/v1/chat", json=turn(timeout_s=0))).json()["run_id"]
        await gate.entered.wait()
        assert (await a.client.post(f"/v1/runs/{run_id}/pause")).status_code == 200
        gate.let_go.set()
        await until_status(a, run_id, "paused")
        second = Gate(PLAN)
        a.agents.say("planner", second)
        assert (await a.client.post(f"/v1/runs/{run_id}/resume")).status_code == 200
        await second.entered.wait()
        watch = Watch()
        assert (await a.client.post(f"/v1/runs/{run_id}/stop")).status_code == 200
        view = await until_status(a, run_id, "stopped")
        assert watch.calm_s < 2
        again = await a.client.post(f"/v1/runs/{run_id}/stop")
    assert view["reason"] == "stopped by local API"
    assert (again.status_code, "ended already" in again.json()["detail"]) == (409, True)


async def test_a_person_may_stop_only_their_own_runs_over_the_page(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        gate = gated(a)
        run_id = await a.house.turn(approvals="auto", who=ADA)
        await gate.entered.wait()
        a.core.cookie_person = signed_in("eve", "Eve")
        refused = await a.client.post(f"/v1/runs/{run_id}/stop")
        assert refused.status_code == 403
        gate.let_go.set()
        assert (await a.house.ended(run_id)).status == "completed"


# ── the stream ───────────────────────────────────────────────────────────────────────────────


async def test_the_stream_resumes_anywhere_without_gaps_or_doubles(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        gate = gated(a)
        run_id = (await a.client.post("/v1/chat", json=turn(timeout_s=0))).json()["run_id"]
        await gate.entered.wait()
        live = asyncio.create_task(a.events(run_id))
        early: list[int] = []
        async with a.client.stream("GET", f"/v1/runs/{run_id}/events") as stream:
            assert stream.headers["x-accel-buffering"] == "no"
            assert "no-cache" in stream.headers["cache-control"]
            async for event in sse(stream):
                early.append(int(event["id"]))
                if len(early) == 2:
                    break  # the connection is lost here
        gate.let_go.set()
        rest = await a.events(run_id, {"Last-Event-ID": str(early[-1])})
        whole = await live
        seq = (await a.house.service.state(run_id)).seq
        assert [int(e["id"]) for e in whole[:-1]] == [*range(1, seq + 1)]
        assert early + [int(e["id"]) for e in rest[:-1]] == [*range(1, seq + 1)]
        for event in whole[:-1]:
            content = json.loads(event["data"])
            assert (content["seq"], content["type"]) == (int(event["id"]), event["event"])
        assert whole[-1] == {"event": "end", "data": '{"status": "completed"}'}
        done = await a.client.get(f"/v1/runs/{run_id}/events", headers={"Last-Event-ID": str(seq)})
        assert done.status_code == 204
        for after in range(seq):
            events = await a.events(run_id, {"Last-Event-ID": str(after)})
            assert [int(e["id"]) for e in events[:-1]] == [*range(after + 1, seq + 1)]


async def test_a_silent_stream_shows_signs_of_life(tmp_path: Path) -> None:
    async with api(tmp_path, heartbeat_s=0.05) as a:
        waiting = await asked(a)
        async with (
            asyncio.timeout(60),
            a.client.stream("GET", f"/v1/runs/{waiting['run_id']}/events") as stream,
        ):
            [comment] = [e["comment"] async for e in _first(sse(stream), "comment")]
        assert "ping" in comment


async def test_a_stream_ends_when_the_server_closes(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        waiting = await asked(a)
        reading = asyncio.create_task(a.events(waiting["run_id"]))
        call = asyncio.create_task(a.client.post("/v1/chat", json={**turn(), "conversation_id": "x"}))
        gate = gated(a)
        await gate.entered.wait()
        a.core.closing.set()
        async with asyncio.timeout(60):
            events = await reading
            answer = await call
        gate.let_go.set()
        await a.house.ended(answer.json()["run_id"])
    assert answer.status_code == 202
    assert events[-1]["event"] != "end"


async def test_characters_that_look_like_line_breaks_stay_inside_one_event(tmp_path: Path) -> None:
    text = "a\r\nb\u2028c\u0085d <script>alert(1)</script>"
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        found = (await a.client.post("/v1/chat", json=turn(text))).json()
        [first, *_] = await a.events(found["run_id"])
    assert json.loads(first["data"])["body"]["turn"]["text"] == text


# ── what the store holds of an odd life ──────────────────────────────────────────────────────


async def test_a_run_of_a_chat_platform_keeps_its_conversation_id(tmp_path: Path) -> None:
    async with api(tmp_path) as a:
        a.agents.say_all_good()
        record = TurnRecord(key="k", text="x" * 300, who=ADA, at=datetime.now(UTC))
        accepted = await a.house.service.start(conversation_id="web:local:general:c1", turn=record)
        question = (await a.house.asked(accepted.run_id)).open_approvals()[0].asked.approval_id
        await a.client.post(f"/v1/approvals/{question}", json={"decision": "approve"})
        view = await until_status(a, accepted.run_id, "completed")
    assert view["conversation_id"] == "web:local:general:c1"
    assert (view["requested_by"], len(view["text"])) == ("web:ada", 200)
