"""A tool of an MCP server plays an agent: its arguments come from the step, its result is the artifact.

The library (`mcp`) is imported when the first such step begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from orchestrator import templates
from orchestrator.agents.elsewhere import wire
from orchestrator.agents.elsewhere.processes import environment, fresh_folder, launched
from orchestrator.agents.elsewhere.specs import McpSpec
from orchestrator.agents.elsewhere.surroundings import ElsewherePlayer
from orchestrator.errors import AgentFailed, StepError
from orchestrator.events import Json
from orchestrator.expressions import ExpressionError
from orchestrator.ports import StepInput, StepSink

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult

LEAVE_S = 0.8  # a step that is stopped waits so long for its server; the rest goes on behind it
_leaving: set[asyncio.Task[Any]] = set()


class McpPlayer(ElsewherePlayer[McpSpec]):
    """A tool of an MCP server."""

    async def work(self, step: StepInput, sink: StepSink) -> Json:
        """Call the tool."""
        # The library ends a server within four seconds; a stopped step has one. A task of its own goes on.
        calling = asyncio.create_task(self._call(step, sink))
        try:
            result = await asyncio.shield(calling)
        except asyncio.CancelledError:
            calling.cancel()
            _leaving.add(calling)
            calling.add_done_callback(_left)
            await asyncio.wait([calling], timeout=LEAVE_S)
            raise
        return self._artifact(result, step)

    async def probe(self) -> None:
        """See whether the server has the tool."""
        if self.spec.url is not None:
            async with self._connected() as client:
                await self._schema(client)

    # ── the call ─────────────────────────────────────────────────────────────────────────────

    async def _call(self, step: StepInput, sink: StepSink) -> CallToolResult:
        spec = self.spec

        async def told(progress: float, total: float | None, message: str | None) -> None:
            self.heard()
            of = f" of {total:g}" if total else ""
            sink.doing(wire.one_line(message or f"{progress:g}{of}")[: wire.DOING_CHARS])

        try:
            async with self._connected() as client:
                schema = await self._schema(client)
                self.heard()
                return await client.call_tool(
                    spec.tool,
                    self._arguments(wire.step_of(step, spec.output), schema),
                    progress_callback=told,
                )
        except StepError:
            raise
        except Exception as error:
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> AgentFailed:
        from mcp import MCPError

        from orchestrator.agents.elsewhere.network import Forbidden

        inner = _innermost(error)
        title, token = self.spec.title, self.spec.token_env and self.around.variable(self.spec.token_env)
        if isinstance(inner, AgentFailed):
            return inner
        if isinstance(inner, Forbidden):
            return AgentFailed(f"{title}: {inner}")
        said = wire.one_line(str(inner)) if isinstance(inner, MCPError) else ""
        said = said.replace(token, "…") if token else said
        return AgentFailed(
            f"{title}: its MCP server failed ({type(inner).__name__}{': ' + said if said else ''})",
            retryable=True,
        )

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[Client]:
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client
        from mcp.client.streamable_http import streamable_http_client

        spec = self.spec
        async with contextlib.AsyncExitStack() as stack:
            if spec.url is not None:
                http = self.around.network.client(spec.url, self.key(spec.token_env), spec.title)
                await stack.enter_async_context(http)
                transport = streamable_http_client(spec.url, http_client=http)
            else:
                assert spec.command is not None
                folder = await stack.enter_async_context(fresh_folder(self.around))
                program, *arguments = launched(spec.command, spec.memory_mb, spec.cpu_s)
                server = StdioServerParameters(
                    command=program,
                    args=arguments,
                    env=environment(folder, spec.env, self.around, spec.title),
                    cwd=folder,
                )
                nowhere = stack.enter_context(
                    await asyncio.to_thread(open, os.devnull, "w", encoding="utf-8")
                )
                transport = stdio_client(server, nowhere)
            yield await stack.enter_async_context(Client(transport, cache=None))

    async def _schema(self, client: Client) -> Json:
        cursor: str | None = None
        names: list[str] = []
        for _ in range(100):  # pages
            page = await client.list_tools(cursor=cursor)
            for tool in page.tools:
                if tool.name == self.spec.tool:
                    return tool.input_schema
                names.append(tool.name)
            cursor = page.next_cursor
            if cursor is None:
                break
        some = wire.one_line(", ".join(names)) or "none"
        raise AgentFailed(f"{self.spec.title}: its server has no tool {self.spec.tool!r}; tools are {some}")

    def _arguments(self, step: wire.Step, schema: Json) -> Json:
        """The arguments that its file gives; else the step's fields that the tool takes."""
        known = step.model_dump(mode="json")
        known["text"] = step.task or step.request
        if self.spec.arguments is not None:
            try:
                return cast("Json", templates.fill_all(self.spec.arguments, known))
            except ExpressionError as error:
                raise AgentFailed(f"{self.spec.title}: its arguments cannot be filled in: {error}") from None
        takes = cast("Json", schema.get("properties") or {})
        common = {**step.inputs, **known}
        missing = [name for name in cast("list[str]", schema.get("required") or []) if name not in common]
        if missing:
            raise AgentFailed(
                f"{self.spec.title}: the tool needs {', '.join(missing)}; write `arguments:` in its file"
            )
        return {name: common[name] for name in takes if name in common}

    # ── the artifact ─────────────────────────────────────────────────────────────────────────

    def _artifact(self, result: CallToolResult, step: StepInput) -> Json:
        spec = self.spec
        text = "\n\n".join(
            str(getattr(block, "text", ""))
            for block in result.content
            if getattr(block, "type", "") == "text"
        )
        if result.is_error:
            raise AgentFailed(f"{spec.title} failed: {wire.one_line(text) or 'it did not say why'}")
        if max(len(text), len(repr(result.structured_content))) > wire.MOST_BYTES:
            raise AgentFailed(f"{spec.title}: its answer has more than {wire.MOST_BYTES:,} characters")
        made = wire.unwrapped(result.structured_content)
        if made is not None:
            return wire.artifact(made, step, spec.output, spec.title)
        if not text.strip():
            raise AgentFailed(f"{spec.title}: its tool gave neither text nor JSON")
        return wire.from_text(text, step, spec.output, spec.title)


def _innermost(error: BaseException) -> BaseException:
    """What went wrong, out of the groups that tasks put around it."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _left(task: asyncio.Task[Any]) -> None:
    _leaving.discard(task)
    if not task.cancelled():
        task.exception()  # nobody is left to hear it
