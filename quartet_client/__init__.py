"""Quartet from Python: typed, synchronous (`Quartet`) and asynchronous (`AsyncQuartet`).

    from quartet_client import Quartet

    with Quartet() as quartet:
        print(quartet.chat("What is tea?").text)

It needs httpx2, pydantic and websockets, and nothing of the bot: it talks to a server over HTTP.
"""

from __future__ import annotations

from quartet_client import answers, errors
from quartet_client.answers import (
    Approval,
    ChatAnswer,
    ChatEvent,
    Executed,
    Execution,
    ExecutionEvent,
    GraphRun,
    GraphTask,
    Health,
    Page,
    Run,
    RunDetail,
    RunEvent,
    Session,
    SessionLog,
    Submitted,
)
from quartet_client.client import AsyncQuartet, Quartet
from quartet_client.errors import (
    ApiError,
    BadAnswer,
    BadArgument,
    BadWebhook,
    Closed,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    QuartetError,
    ServerError,
    TimedOut,
    TooMany,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from quartet_client.graphs import (
    AgentConfig,
    Graph,
    GraphBuilder,
    create_agent,
    full_stack,
    parallel_code_review,
    supervised,
)
from quartet_client.webhooks import verify_webhook

__all__ = [
    "AgentConfig",
    "ApiError",
    "Approval",
    "AsyncQuartet",
    "BadAnswer",
    "BadArgument",
    "BadWebhook",
    "ChatAnswer",
    "ChatEvent",
    "Closed",
    "Conflict",
    "Executed",
    "Execution",
    "ExecutionEvent",
    "Forbidden",
    "Graph",
    "GraphBuilder",
    "GraphRun",
    "GraphTask",
    "Health",
    "Invalid",
    "NotFound",
    "Page",
    "Quartet",
    "QuartetError",
    "Run",
    "RunDetail",
    "RunEvent",
    "ServerError",
    "Session",
    "SessionLog",
    "Submitted",
    "TimedOut",
    "TooMany",
    "Unauthorized",
    "Unavailable",
    "Unreachable",
    "answers",
    "create_agent",
    "errors",
    "full_stack",
    "parallel_code_review",
    "supervised",
    "verify_webhook",
]
