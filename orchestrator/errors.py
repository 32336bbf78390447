"""What can go wrong while a run works.

OrchestratorError
├── Conflict             the log went on since it was read; read the rest and decide again
├── Fenced               another process owns the run now; stop at once
├── UnknownEvent         the log holds a type or version this program does not know
├── NotFound             no such run, approval, workflow or agent
├── Refused              asked for something the run's state does not allow; says why
├── StoreFailed          the database cannot be opened, read or written; says what to do
└── StepError            a step could not end well (becomes `StepFailed`)
    ├── ModelRefused     wrong key, no credit, unknown model: trying again is no use
    ├── ModelUnavailable the provider did not answer in spite of retries
    ├── OutputInvalid    the answer did not fit its type, twice sent back
    ├── LimitReached     a limit of calls, tokens or time of the agent
    ├── ToolFailed       a tool that the step cannot do without
    ├── NoAgent          nobody who is there can do it
    └── AgentFailed      an agent of one's own (Python, HTTP, MCP, a command) failed or cannot be reached
"""

from __future__ import annotations


class OrchestratorError(Exception):
    """Base of this tree. The message names the remedy."""


class Conflict(OrchestratorError):
    """An append expected another sequence number."""


class Fenced(OrchestratorError):
    """An append came from an owner whose epoch has passed."""


class UnknownEvent(OrchestratorError):
    """An event cannot be read by this version of the program; the run is blocked, nothing is skipped."""


class NotFound(OrchestratorError):
    """Nothing has this id or name."""


class Refused(OrchestratorError):
    """The state does not allow this; the message says what does."""


class StoreFailed(OrchestratorError):
    """The database cannot be opened, read or written."""


class StepError(OrchestratorError):
    """A step failed.

    Args:
        message: one line for people: what happened and what to do.
        retryable: trying the step again may help.
    """

    kind = "step"

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class ModelRefused(StepError):
    """The provider refuses for good."""

    kind = "model_refused"


class ModelUnavailable(StepError):
    """The provider could not be reached, or kept failing."""

    kind = "model_unavailable"


class OutputInvalid(StepError):
    """The model's answer did not fit the type."""

    kind = "output_invalid"


class LimitReached(StepError):
    """A limit of the agent was reached."""

    kind = "limit_reached"


class ToolFailed(StepError):
    """A tool failed that the step needs."""

    kind = "tool_failed"


class NoAgent(StepError):
    """No agent fits, or none that fits is there now."""

    kind = "no_agent"


class AgentFailed(StepError):
    """An agent that runs elsewhere failed."""

    kind = "agent_failed"
