"""The tools that agents can call, by name. Light to import: a tool loads its library when first called.

A tool is an async function with typed, described arguments; its schema is read from its signature
and docstring. It returns JSON. A tool that cannot do what it was asked raises `ToolTrouble`: the
model is told and goes on, the step lives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import NotFound

idempotency_key: ContextVar[str] = ContextVar("idempotency_key", default="")
"""During a tool call: `run_id:node:visit:attempt:call_id`. The same call after a crash has the same key."""


class ToolTrouble(Exception):
    """A tool could not do it; the message is for the model and says what to try instead."""


@dataclass(frozen=True, slots=True)
class AgentTool:
    """One tool."""

    name: str
    description: str
    run: Callable[..., Awaitable[Any]]  # keyword arguments as in its signature; gives JSON
    doing: Callable[[dict[str, Any]], str]  # arguments → what people read meanwhile
    timeout_s: float = 60.0


class Tools:
    """Tools by name."""

    def __init__(self, tools: Iterable[AgentTool] = ()) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def names(self) -> tuple[str, ...]:
        """All names, in order of registration."""
        return tuple(self._tools)

    def get(self, name: str) -> AgentTool:
        """One tool.

        Raises:
            NotFound: no tool has this name.
        """
        tool = self._tools.get(name)
        if tool is None:
            raise NotFound(f"there is no tool {name!r}; tools are {', '.join(self._tools) or 'none'}")
        return tool

    def chosen(self, wanted: Iterable[str], allowed: Iterable[str] | None) -> tuple[AgentTool, ...]:
        """The tools that an agent wants, that exist here, and that the channel allows (None: all)."""
        permitted = None if allowed is None else frozenset(allowed)
        return tuple(
            self._tools[name]
            for name in wanted
            if name in self._tools and (permitted is None or name in permitted)
        )
