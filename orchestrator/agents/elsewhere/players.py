"""Make the player of an agent elsewhere."""

from __future__ import annotations

from typing import Any

from orchestrator.agents.elsewhere.specs import A2aSpec, CommandSpec, HttpSpec, McpSpec, PythonSpec
from orchestrator.agents.elsewhere.surroundings import AnySpec, ElsewherePlayer, Surroundings


async def make_player(spec: AnySpec, around: Surroundings) -> ElsewherePlayer[Any]:
    """The player of an agent. Only that of a package runs code of somebody else's here: it is imported.

    Raises:
        NotLoaded: the package's agent cannot be had.
    """
    # Each kind brings libraries that nobody without it has to load.
    if isinstance(spec, PythonSpec):
        from orchestrator.agents.elsewhere.python import PythonPlayer, load_soon

        return PythonPlayer(spec, around, await load_soon(spec.wanted))
    if isinstance(spec, HttpSpec):
        from orchestrator.agents.elsewhere.http import HttpPlayer

        return HttpPlayer(spec, around)
    if isinstance(spec, A2aSpec):
        from orchestrator.agents.elsewhere.a2a import A2aPlayer

        return A2aPlayer(spec, around)
    if isinstance(spec, McpSpec):
        from orchestrator.agents.elsewhere.mcp import McpPlayer

        return McpPlayer(spec, around)
    assert isinstance(spec, CommandSpec)
    from orchestrator.agents.elsewhere.command import CommandPlayer

    return CommandPlayer(spec, around)
