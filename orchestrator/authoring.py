"""The names that authors of agents in Python need; what they mean is told in `agents.elsewhere.authoring`."""

from __future__ import annotations

from orchestrator.agents.elsewhere.authoring import *  # noqa: F403
from orchestrator.agents.elsewhere.authoring import __all__ as __all__
