"""What callers of sessions send and get, and which model they ask for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bot.api.errors import wrong
from bot.api.json_values import Text
from bot.api.model_names import UnknownModel, likely, parted
from bot.api.session_log import EntryType, SessionStatus
from bot.edit_forms import MAX_ANSWER
from bot.intake import MAX_TEXT
from config.providers import BUILT_IN, ProviderSettings

ProviderName = Literal["openai", "anthropic", "openrouter", "groq", "deepseek", "xai", "ollama", "customgpt"]
FAMILY: Final = "session"  # of routes; see `starting`
FIRST: Final = "openai"  # the provider of a key that comes without a name, where the bot has none
MAX_SYSTEM: Final = 20_000  # characters
MAX_KEY: Final = 500


def _absent(value: Any) -> Any:
    """Clients that know more fields than they fill send them empty."""
    return None if isinstance(value, str) and not value.strip() else value


# The limits belong to the text alone: what is absent has no length.
Secret = Annotated[
    # It goes into a header: what HTTP could not carry would fail later, and show.
    Annotated[str, Field(max_length=MAX_KEY, pattern=r"^[!-~]*$")] | None,
    BeforeValidator(_absent),
    Field(default=None, json_schema_extra={"writeOnly": True}, repr=False),
]


class TaskIn(BaseModel):
    """A task for a team. Fields that are not named here are ignored."""

    model_config = ConfigDict(
        hide_input_in_errors=True,
        json_schema_extra={"examples": [{"task": "Compare three sorts of tea for an office."}]},
    )

    task: Text = Field(min_length=1, max_length=MAX_TEXT, pattern=r"\S", description="what the team is to do")
    api_key: Secret = Field(description="of the provider; used for this session only, and deleted at its end")
    model: Annotated[Annotated[Text, Field(max_length=200)] | None, BeforeValidator(_absent)] = Field(
        default=None, description='"provider:model", or a name alone; null: the default'
    )
    provider: Annotated[ProviderName | None, BeforeValidator(_absent)] = Field(
        default=None, description="null: the one that `model` names, else the bot's first"
    )
    system_message: Annotated[
        Annotated[Text, Field(max_length=MAX_SYSTEM)] | None, BeforeValidator(_absent)
    ] = Field(default=None, description="an instruction for every agent of the team")
    tavily_key: Secret = Field(description="for the web search; used for this session only")


class StartedOut(BaseModel):
    """The session that works on the task."""

    session_id: str


class ReplyIn(BaseModel):
    """What somebody says to a session: the answer to its question, or a word to a team at work."""

    session_id: Text = Field(min_length=1, max_length=200)
    message: Text = Field(min_length=1, max_length=MAX_ANSWER, pattern=r"\S")


class SentOut(BaseModel):
    """The reply was taken."""

    status: Literal["sent"] = "sent"


class StopOut(BaseModel):
    """The session ends within two seconds."""

    status: Literal["stop_signal_sent"] = "stop_signal_sent"


class SessionOut(BaseModel):
    """A session."""

    id: str
    task: str
    model: str = Field(description='"provider:model" of its agents, or "rules"')
    created_at: float = Field(description="seconds since 1970, UTC")
    status: SessionStatus


class EntryOut(BaseModel):
    """One line of a session's log."""

    id: int = Field(description="1, 2, 3, …; `?after=` of the socket goes on behind it")
    type: EntryType
    content: str
    timestamp: datetime


def wished(model: str, provider: str, *, brings_key: bool, bots: Mapping[str, ProviderSettings]) -> str:
    """The model as "provider:model"; "": nothing was asked for, each agent has the bot's.

    Args:
        model: "provider:model", or a name alone; "": the provider's default.
        provider: a known name; "": the one in `model`, else the one that is known for such names, else the
            bot's first, else OpenAI.
        brings_key: the caller's own key is used, so the bot needs none.
        bots: providers that the bot can call, in the order of its choice.

    Raises:
        ProblemError: 422 with the field.
    """
    if not model and not provider and not brings_key:
        return ""
    try:
        name, own = _placed(model, provider, brings_key=brings_key, bots=bots)
    except UnknownModel as error:
        raise wrong("model", str(error)) from error
    if not name:
        raise wrong("model", "this bot has no model provider; send your own `api_key` with it")
    if not brings_key and name not in bots:
        have = f"take one of {', '.join(bots)}, or " if bots else ""
        field = "provider" if provider else "model"
        raise wrong(field, f"this bot has no key for {name!r}; {have}send your own `api_key`")
    known = BUILT_IN.get(name)
    if brings_key and known is None:  # an address that its operator set up: no place for others' keys
        raise wrong("model", f"{name!r} takes no keys from callers; providers are {', '.join(BUILT_IN)}")
    default = (bots[name].default_model if name in bots else None) or (known.default_model if known else None)
    chosen = own or default
    if not chosen:
        raise wrong("model", f"{name} has no default model; name one")
    return f"{name}:{chosen}"


def _placed(
    model: str, provider: str, *, brings_key: bool, bots: Mapping[str, ProviderSettings]
) -> tuple[str, str]:
    """The provider ("": there is none) and the model's own name ("": its default)."""
    named, own = parted(model, bots)
    if named and provider and named != provider:
        raise wrong("model", f"names the provider {named!r}, and `provider` is {provider!r}; leave one out")
    if provider or named:
        return provider or named, own
    usual = next((name for name in bots if name in BUILT_IN), FIRST) if brings_key else next(iter(bots), "")
    if not own or not usual:
        return usual, own
    return likely(own, BUILT_IN if brings_key else bots, usual), own
