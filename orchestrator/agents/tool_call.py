"""One call of a tool: within its time, its result as the log can keep it, its failure in words."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, NamedTuple

from orchestrator.tools.registry import AgentTool, ToolTrouble, idempotency_key


class Called(NamedTuple):
    """What came of a call."""

    ok: bool
    result: Any  # of a failure what the caller is told
    seconds: float


async def called(tool: AgentTool, arguments: dict[str, Any], key: str) -> Called:
    """Call a tool.

    Args:
        tool: of any origin; whatever it raises becomes a failure in words.
        arguments: checked by the tool itself.
        key: idempotency key, the same when the call is made again after a crash.
    """
    idempotency_key.set(key)
    began, ok, result = time.monotonic(), True, None
    try:
        async with asyncio.timeout(tool.timeout_s):
            result = await tool.run(**arguments)
        # What the log keeps is what the agent sees; half characters, which no log can keep, are replaced.
        result = json.loads(json.dumps(result, ensure_ascii=False).encode("utf-8", "replace"))
    except ToolTrouble as trouble:
        ok, result = False, str(trouble)
    except TimeoutError:
        ok, result = False, f"{tool.name} did not answer within {tool.timeout_s:.0f} s; go on without it."
    except Exception as error:  # must not end the step
        ok, result = False, f"{tool.name} failed ({type(error).__name__}); go on without it."
    return Called(ok, result, time.monotonic() - began)
