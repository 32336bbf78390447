"""The nested parts of `quartet.yaml`: agents, providers of one's own, how the bot behaves in chats."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from config.discord import DiscordBots
from config.values import HttpUrl, ModelName, ModelReference, PublicKey, SlackBots

ProviderName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Member = Annotated[str, Field(pattern=r"^[^\s,]{1,200}$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]


class Section(BaseModel):
    """A part of `quartet.yaml`; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AgentSettings(Section):
    """What may be set for one agent."""

    model: ModelReference | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)


class OwnProvider(Section):
    """An OpenAI-compatible server of one's own; of a built-in provider only how much it is asked at once."""

    base_url: HttpUrl | None = None  # one's own needs it
    api_key_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = (
        None  # the variable with its key
    )
    default_model: ModelName | None = None
    max_concurrent: int | None = Field(
        default=None, ge=1, le=1000
    )  # steps at once; None: no limit of its own


class ChatDefaults(Section):
    """How the bot behaves in a channel that has no settings of its own.

    Takes exactly what a channel's own settings take (`bot.channel_settings.ChannelPolicy`).
    """

    approvals: Literal["ask", "auto"] = "ask"
    approvers: tuple[Member, ...] = ()  # "platform:id"; empty: everybody in the conversation
    allow_requester: bool = True  # may approve what they asked for
    expires_after_s: float = Field(default=86_400.0, ge=1, le=31 * 86_400.0)
    busy: Literal["queue", "steer", "interrupt"] = "queue"  # new messages while a run works
    verbosity: Literal["short", "normal", "full"] = "normal"
    # Of answers, a name or a code such as de-CH; "": that of the request.
    language: str = Field(default="", max_length=40, pattern=r"^[^\W\d_]*([ -][^\W_]+)*$")
    exchanges: int = Field(default=6, ge=0, le=50)  # of the conversation so far, for every agent

    @field_validator("expires_after_s", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("is no number; write a number of seconds")  # noqa: TRY004 - pydantic knows only this one
        return value


class SlackSection(Section):
    """How the bot behaves on Slack; what is secret stands in variables (`SLACK_BOT_TOKEN`, …)."""

    progress: Literal["auto", "stream", "blocks"] = "auto"  # auto: streams where Slack has them
    bots: SlackBots = ()  # whose messages start turns; "*": of all bots
    bot_turns: int = Field(default=3, ge=1, le=100)  # in a row in a thread, until a person writes again


class DiscordSection(Section):
    """How the bot behaves on Discord; what is secret stands in variables (`DISCORD_BOT_TOKEN`)."""

    bots: DiscordBots = ()  # bots and webhooks whose messages start turns; "*": all of them
    bot_turns: int = Field(default=3, ge=1, le=100)  # in a row in a thread, until a person writes again
    shards: int | None = Field(default=None, ge=1, le=10_000)  # connections; None: as many as Discord advises


class PacksSection(Section):
    """Which workflow packs are trusted (`quartet workflows install`)."""

    trusted_keys: tuple[PublicKey, ...] = ()  # Ed25519 public keys, base64, of who may sign packs


class ApiSection(Section):
    """How the HTTP API treats its callers; keys are made with `quartet keys`."""

    # Of each key, unless it has a number of its own; None: as many as they like.
    requests_per_minute: int | None = Field(default=1_200, ge=1, le=1_000_000)
