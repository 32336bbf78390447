"""A real OpenAI-compatible HTTP server on loopback that answers from a script. For tests only.

**In a test**::

    with ModelServer({"answers": {"planner": [{"output": {...}}]}}) as server:
        ...  # OPENAI_BASE_URL=server.url + "/v1", OPENAI_API_KEY=server.key
    # leaving the block fails the test if answers are left over or a request was wrong

**As a process of its own**, for tests that kill the bot:
`python -m tests.twins.openai_server --port P --script FILE.json`. It prints `ready http://127.0.0.1:P`
when it listens. `--port 0` takes a free port.

**Script** (JSON)::

    {"key": "sk-twin",                     # bearer key; another one gets 401 as OpenAI answers it
     "answers": {"researcher": [ENTRY, …], "planner": […], "builder": […], "reviewer": […]},
     "pages": {"cats": {"title": "Cats", "html": "…"}, "away": {"redirect": "http://…"}},
     "tavily": {"key": "tvly-twin", "results": [{"title", "url", "content", "score"}]}}

An ENTRY is used up by one request of its agent (matched by "Your name is …" in the system text) and is one of

* `{"output": {...}}`: the agent's output, as a call of its output tool (as JSON text where there is none)
* `{"tool_calls": [{"name": …, "arguments": {...}}, …]}`: ids are made; give `"id"` to choose one
* `{"text": "…"}`: plain text
* `{"status": 429, "retry_after": 1}`, `{"status": 500}`: an error; `"error": {...}` is its body
* `{"drop": true}`: the connection breaks before any answer; `{"cut": true}`: in the middle of the body
* `{"hang": true}`: no answer until the caller hangs up, which the journal notes

with, on any, `"delay_s": seconds` before it, and `"usage": {"prompt_tokens": …, "completion_tokens": …}`.
Every string may hold `{base}`, which stands for this server's address.

**Control** (no key): `GET /control/journal` gives `{requests, count, answered, left, problems, pages,
searches}`: requests `[{n, agent, status, began, ended, disconnected, model, tools, last, messages}]`, count
`{agent: requests}`, answered `{agent: requests that got 200}`, left `{agent: entries}`, problems `[text]`,
pages `{name: count}`, searches `[query]`. `POST /control/script` replaces the script and empties the
journal. `POST /control/add` `{"answers": {agent: [ENTRY, …]}}` adds entries.

Also served: `GET /v1/models`, `POST /tavily/search` (TAVILY_BASE_URL=<address>/tavily), `GET /page/<name>`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import jsonschema
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Json = dict[str, Any]
OUTPUTS = {
    "submit_research_brief",
    "submit_plan",
    "submit_draft",
    "submit_review",
    "submit_report",
    "submit_team_plan",
    "submit_delegation",
    "submit_workflow_draft",
}
KEY = "sk-twin"


class Wrong(Exception):
    """The request is not what an OpenAI-compatible server accepts."""


class Twin:
    """The server's application and its journal."""

    def __init__(self, script: Json) -> None:
        self.base = ""
        self._lock = threading.Lock()
        self.load(script)
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/models", self._models),
                # CustomGPT's address of a project
                Route("/projects/{project}/chat/completions", self._chat, methods=["POST"]),
                Route("/tavily/search", self._tavily, methods=["POST"]),
                Route("/page/{name}", self._page),
                Route("/control/journal", self._journal),
                Route("/control/script", self._script, methods=["POST"]),
                Route("/control/add", self._add, methods=["POST"]),
            ]
        )

    def load(self, script: Json) -> None:
        """Begin with a script and an empty journal."""
        with self._lock:
            self.key: str = script.get("key", KEY)
            self._answers: dict[str, list[Json]] = {a: list(e) for a, e in script.get("answers", {}).items()}
            self._pages: dict[str, Json] = script.get("pages", {})
            self._search: Json = script.get("tavily", {})
            self._requests: list[Json] = []
            self.problems: list[str] = []
            self._read: Counter[str] = Counter()
            self._searches: list[str] = []

    def journal(self) -> Json:
        """What `GET /control/journal` gives."""
        with self._lock:
            return {
                "requests": [dict(r) for r in self._requests],
                "count": dict(Counter(r["agent"] for r in self._requests)),
                "answered": dict(Counter(r["agent"] for r in self._requests if r["status"] == 200)),
                "left": {agent: len(entries) for agent, entries in self._answers.items() if entries},
                "problems": list(self.problems),
                "pages": dict(self._read),
                "searches": list(self._searches),
            }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep the connection within reach, so that it can be broken."""
        cycle = getattr(send, "__self__", None)
        scope["twin.transport"] = getattr(cycle, "transport", None)
        await self.app(scope, receive, send)

    # ── models ───────────────────────────────────────────────────────────────────────────────

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "gpt-5", "object": "model"}]})

    async def _chat(self, request: Request) -> Response:
        if refused := self._unauthorized(request):
            return refused
        try:
            body: Json = json.loads(await request.body())
            agent = _agent(body)
            _check(body)
        except (ValueError, Wrong) as error:
            return self._problem(str(error))
        with self._lock:
            entries = self._answers.get(agent, [])
            entry = entries.pop(0) if entries else None
            noted: Json = {
                "n": len(self._requests) + 1,
                "agent": agent,
                "status": None,
                "began": time.time(),
                "ended": None,
                "disconnected": False,
                "model": body["model"],
                "temperature": body.get("temperature"),
                "tools": sorted(t["function"]["name"] for t in _tools(body)),
                "last": body["messages"][-1]["role"],
                "prompt": json.dumps(body["messages"], ensure_ascii=False),
                "messages": len(body["messages"]),
            }
            self._requests.append(noted)
        if entry is None:
            noted["status"] = 400
            return self._problem(f"no answer is left for {agent}")
        try:
            answer = await self._play(_filled(entry, self.base), request, body, noted)
        finally:
            noted["ended"] = time.time()
        if noted["status"] is None:
            noted["status"] = answer.status_code
        return answer

    async def _play(self, entry: Json, request: Request, body: Json, noted: Json) -> Response:
        await asyncio.sleep(entry.get("delay_s", 0))
        if entry.get("hang"):
            while not await request.is_disconnected():  # noqa: ASYNC110 - there is nothing to wait on
                await asyncio.sleep(0.01)
            noted["disconnected"] = True
            return PlainTextResponse("", status_code=499)
        if entry.get("drop"):
            noted["status"] = 0
            request.scope["twin.transport"].abort()
            return PlainTextResponse("")
        if entry.get("cut"):
            noted["status"] = 0

            async def cut(scope: Scope, receive: Receive, send: Send) -> None:
                headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await send({"type": "http.response.body", "body": b'{"id":', "more_body": True})
                request.scope["twin.transport"].close()

            return _Raw(cut)
        if "status" in entry:
            headers = {"Retry-After": str(entry["retry_after"])} if "retry_after" in entry else {}
            kind = {429: "rate_limit_exceeded"}.get(entry["status"], "server_error")
            error = entry.get("error") or {
                "message": f"scripted {entry['status']}",
                "type": kind,
                "code": kind,
            }
            return JSONResponse({"error": error}, status_code=entry["status"], headers=headers)
        return JSONResponse(_completion(entry, body, noted["n"]))

    def _unauthorized(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "")
        if given == f"Bearer {self.key}":
            return None
        shown = given.removeprefix("Bearer ")[:6]
        message = f"Incorrect API key provided: {shown}***. You can find your API key at https://platform.openai.com."
        error = {
            "message": message,
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
        return JSONResponse({"error": error}, status_code=401)

    def _problem(self, message: str) -> Response:
        with self._lock:
            self.problems.append(message)
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        return JSONResponse({"error": error}, status_code=400)

    # ── the web ──────────────────────────────────────────────────────────────────────────────

    async def _tavily(self, request: Request) -> Response:
        key = self._search.get("key", "tvly-twin")
        if request.headers.get("authorization") != f"Bearer {key}":
            return JSONResponse(
                {"detail": {"error": "Unauthorized: missing or invalid API key."}}, status_code=401
            )
        query = (await request.json())["query"]
        with self._lock:
            self._searches.append(query)
        results = _filled(self._search.get("results", []), self.base)
        return JSONResponse({"query": query, "results": results, "images": [], "response_time": 0.01})

    async def _page(self, request: Request) -> Response:
        name = request.path_params["name"]
        page = self._pages.get(name)
        with self._lock:
            self._read[name] += 1
        if page is None:
            return PlainTextResponse("there is no such page", status_code=404)
        page = _filled(page, self.base)
        if "redirect" in page:
            return RedirectResponse(page["redirect"])
        title = page.get("title", name)
        return HTMLResponse(f"<html><head><title>{title}</title></head><body>{page['html']}</body></html>")

    # ── control ──────────────────────────────────────────────────────────────────────────────

    async def _journal(self, request: Request) -> Response:
        return JSONResponse(self.journal())

    async def _script(self, request: Request) -> Response:
        self.load(await request.json())
        return JSONResponse({"ok": True})

    async def _add(self, request: Request) -> Response:
        self.add((await request.json())["answers"])
        return JSONResponse({"ok": True})

    def add(self, answers: dict[str, list[Json]]) -> None:
        """More entries behind those that are left."""
        with self._lock:
            for agent, entries in answers.items():
                self._answers.setdefault(agent, []).extend(entries)


class _Raw(Response):
    def __init__(self, play: Any) -> None:
        super().__init__()
        self._play = play

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._play(scope, receive, send)


def _filled(value: Any, base: str) -> Any:
    return json.loads(json.dumps(value).replace("{base}", base))


def _system(body: Json) -> str:
    return "\n".join(_text(m) for m in body.get("messages", []) if m.get("role") in ("system", "developer"))


def _text(message: Json) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _tools(body: Json) -> list[Json]:
    return cast("list[Json]", body.get("tools") or [])


def _output_tool(body: Json) -> str | None:
    names = [tool.get("function", {}).get("name", "") for tool in _tools(body)]
    return next((name for name in names if name.startswith("submit_")), None)


def _agent(body: Json) -> str:
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise Wrong("'messages' must be a list that is not empty")
    tool = _output_tool(body)
    if tool is not None and tool not in OUTPUTS:
        raise Wrong(f"unknown output tool {tool}")
    named = r"^Your name is ([a-z][a-z0-9_-]*)\.$"
    # Earlier bots, which some tests start too, had these four and did not say the name.
    role = r"You are the (researcher|planner|builder|reviewer)\b"
    name = re.search(named, _system(body), re.M) or re.search(role, _system(body))
    if not name:
        raise Wrong("the system text does not say which agent this is")
    if tool is not None:
        return name[1]
    if '"properties"' not in _system(body) + _text(body["messages"][-1]) and "response_format" not in body:
        raise Wrong("no output tool and no JSON schema: how should the model know the form?")
    return name[1]


def _check(body: Json) -> None:
    """What OpenAI's server refuses, is refused here too."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Wrong("'model' is missing")
    if body.get("stream"):
        raise Wrong("this server does not stream")
    for tool in _tools(body):
        function: Json = tool.get("function", {})
        if tool.get("type") != "function" or not re.fullmatch(
            r"[a-zA-Z0-9_-]{1,64}", function.get("name", "")
        ):
            raise Wrong(f"wrong tool {tool}")
        jsonschema.Draft202012Validator.check_schema(function.get("parameters", {}))
    if body["messages"][0].get("role") not in ("system", "developer"):
        raise Wrong("the first message must be the system's")
    open_calls: set[str] = set()
    before = ""
    for message in body["messages"]:
        role = message.get("role")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise Wrong(f"tool message for {message.get('tool_call_id')!r}, which nothing asked for")
            open_calls.discard(message["tool_call_id"])
            if not isinstance(message.get("content"), str | list):
                raise Wrong("a tool message without content")
        elif open_calls:
            raise Wrong(f"tool calls without an answer: {', '.join(sorted(open_calls))}")
        elif role == "assistant":
            if before == "assistant":
                raise Wrong("two assistant messages in a row")
            calls = cast("list[Json]", message.get("tool_calls") or [])
            if not calls and not message.get("content"):
                raise Wrong("an assistant message without content and calls")
            for call in calls:
                json.loads(call["function"]["arguments"])
                open_calls.add(call["id"])
        elif role not in ("user", "system", "developer") or not _text(message):
            raise Wrong(f"a {role!r} message without text")
        before = str(role)
    if open_calls:
        raise Wrong(f"tool calls without an answer: {', '.join(sorted(open_calls))}")
    if before == "assistant":
        raise Wrong("the last message is the assistant's")


def _completion(entry: Json, body: Json, number: int) -> Json:
    calls: list[Json] = list(entry.get("tool_calls", []))
    text: str | None = entry.get("text")
    if "output" in entry:
        tool = _output_tool(body)
        if tool is None:
            text = json.dumps(entry["output"])
        else:
            calls.append({"name": tool, "arguments": entry["output"]})
    message: Json = {"role": "assistant", "content": text, "refusal": None}
    if calls:
        message["tool_calls"] = [
            {
                "id": call.get("id", f"call_{number}_{i}"),
                "type": "function",
                "function": {
                    "name": call["name"],
                    "arguments": call["arguments"]
                    if isinstance(call["arguments"], str)
                    else json.dumps(call["arguments"]),
                },
            }
            for i, call in enumerate(calls)
        ]
    used = {"prompt_tokens": 100, "completion_tokens": 20, **entry.get("usage", {})}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if calls else "stop",
                "logprobs": None,
            }
        ],
        "usage": {**used, "total_tokens": used["prompt_tokens"] + used["completion_tokens"]},
    }


class ModelServer:
    """The twin in a thread of this process.

    Args:
        script: see the module.
        strict: leaving the block fails if answers are left over or a request was wrong.
    """

    def __init__(self, script: Json, *, strict: bool = True) -> None:
        self.twin = Twin(script)
        self._strict = strict
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = self.twin.base = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.host = self.url.removeprefix("http://")
        self._server = uvicorn.Server(_config(self.twin))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="model twin", daemon=True
        )

    @property
    def key(self) -> str:
        """The key that is accepted."""
        return self.twin.key

    def journal(self) -> Json:
        """What was asked and what is left."""
        return self.twin.journal()

    def add(self, answers: dict[str, list[Json]]) -> None:
        """More entries."""
        self.twin.add(answers)

    def __enter__(self) -> ModelServer:
        self._thread.start()
        limit = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < limit, "the twin did not start"
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()
        if error is None and self._strict:
            journal = self.journal()
            assert not journal["problems"], f"wrong requests: {journal['problems']}"
            assert not journal["left"], f"answers left over: {journal['left']}"


def _config(twin: Twin) -> uvicorn.Config:
    return uvicorn.Config(
        twin,
        log_level="error",
        lifespan="off",
        ws="none",
        http="h11",
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A scripted OpenAI-compatible server.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--script", type=Path, required=True)
    given = parser.parse_args()
    listening = socket.create_server(("127.0.0.1", given.port))
    twin = Twin(json.loads(given.script.read_text("utf-8")))
    twin.base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    print(f"ready {twin.base}", flush=True)
    uvicorn.Server(_config(twin)).run(sockets=[listening])


if __name__ == "__main__":
    main()
