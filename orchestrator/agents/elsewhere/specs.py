"""What the file of an agent says that works elsewhere: in Python, behind an address, as a process.

`origin` says which kind it is; each kind has its own keys, and unknown ones are refused. Light to import.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from orchestrator import templates
from orchestrator.agents.spec import AgentBase, ProcessLimits
from orchestrator.artifacts import ARTIFACTS
from orchestrator.expressions import ExpressionError


def _output(value: str) -> str:
    if value not in ARTIFACTS:
        raise ValueError(f"there is no output {value!r}; outputs are {', '.join(sorted(ARTIFACTS))}")
    return value


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is no address; write it as https://host/path") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in value):
        raise ValueError("is no address; write it as https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a name or password; put the key into a variable and name it in token_env")
    return value


def _argv(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - pydantic knows this one
            "is one text, and no shell takes it apart; write a list: [program, argument]"
        )
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL character; remove it")
    return value


OutputName = Annotated[str, AfterValidator(_output)]
Address = Annotated[str, Field(max_length=2_000), AfterValidator(_address)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
Argv = Annotated[
    tuple[Annotated[str, Field(max_length=10_000), AfterValidator(_no_nul)], ...],
    Field(min_length=1, max_length=200),
    BeforeValidator(_argv),
]


class _Elsewhere(AgentBase):
    output: OutputName = "Report"  # a key of artifacts.ARTIFACTS: what its answer has to be
    doing: str = Field(default="working", max_length=200)  # what people read while it works


class _Remote(_Elsewhere):
    url: Address
    token_env: Variable | None = None  # the variable with its key, sent as `Authorization: Bearer …`
    # Seconds between looks at whether it is there; after three that failed it is offline. None: nobody looks.
    heartbeat_s: float | None = Field(default=None, ge=1, le=3600)


class PythonSpec(_Elsewhere):
    """An agent of an installed package, by its entry point."""

    origin: Literal["python"]
    entry_point: str = Field(default="", max_length=200)  # in the group quartet.agents; "": as its name
    tools: tuple[str, ...] = ()  # of the bot's tools, those it may call

    @property
    def wanted(self) -> str:
        """Name of its entry point."""
        return self.entry_point or self.name


class HttpSpec(_Remote):
    """An agent behind an address that speaks our protocol (docs/agents.md)."""

    origin: Literal["http"]
    health: Address | None = None  # answers 2xx while the agent is there; needed for heartbeat_s

    @model_validator(mode="after")
    def _looked_at(self) -> HttpSpec:
        if self.heartbeat_s is not None and self.health is None:
            raise ValueError("has heartbeat_s and nothing to look at; add `health:` with an address")
        return self


class A2aSpec(_Remote):
    """An agent that speaks A2A. `url`: where its card is, or the folder above `.well-known`."""

    origin: Literal["a2a"]
    endpoint: Address | None = None  # its JSON-RPC address; None: as its card says, at the same host


class McpSpec(_Elsewhere, ProcessLimits):
    """A tool of an MCP server that plays an agent."""

    origin: Literal["mcp"]
    tool: str = Field(min_length=1, max_length=200)
    url: Address | None = None  # streamable HTTP
    command: Argv | None = None  # or a server that is started for each step
    token_env: Variable | None = None
    env: tuple[Variable, ...] = Field(default=(), max_length=50)  # variables that its process gets too
    # What the tool is given; texts may hold {{ expressions }}. None: what it takes of the step's own fields.
    arguments: dict[str, Any] | None = None
    heartbeat_s: float | None = Field(default=None, ge=1, le=3600)

    @model_validator(mode="after")
    def _one_server(self) -> McpSpec:
        if (self.url is None) == (self.command is None):
            raise ValueError("needs one server; write either `url:` or `command:`")
        for key in ("memory_mb", "cpu_s", "env") if self.command is None else ("token_env", "heartbeat_s"):
            if getattr(self, key):
                other = "command" if self.command is None else "url"
                raise ValueError(f"{key} goes with `{other}:`; remove {key}")
        return self

    @model_validator(mode="after")
    def _templates(self) -> McpSpec:
        for text in _texts(self.arguments):
            try:
                templates.holes(text)
            except ExpressionError as error:
                raise ValueError(f"arguments: {error}") from None
        return self


class CommandSpec(_Elsewhere, ProcessLimits):
    """A program that is started for each step."""

    origin: Literal["command"]
    command: Argv
    env: tuple[Variable, ...] = Field(default=(), max_length=50)  # variables that it gets too
    # A program that says nothing for three times as long is ended. None: it may be silent.
    heartbeat_s: float | None = Field(default=None, gt=0, le=3600)


ElsewhereSpec = Annotated[
    PythonSpec | HttpSpec | A2aSpec | McpSpec | CommandSpec, Field(discriminator="origin")
]
KINDS: dict[str, type[PythonSpec | HttpSpec | A2aSpec | McpSpec | CommandSpec]] = {
    "python": PythonSpec,
    "http": HttpSpec,
    "a2a": A2aSpec,
    "mcp": McpSpec,
    "command": CommandSpec,
}
"""What a file is read as, by its `origin`."""


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts: list[Any] = []
    if isinstance(value, dict):
        parts = list(cast("dict[str, Any]", value).values())
    elif isinstance(value, list):
        parts = cast("list[Any]", value)
    return [text for part in parts for text in _texts(part)]
