"""Every setting of Quartet, by name. `config.load` reads them; `Settings(…)` reads nothing from outside.

A field's `Env` says which variables it is read from; `Unused` marks what this version reads and
checks but does not use yet, so that `quartet check` can say so. Secrets are SecretStr.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.discord import DiscordGuilds, DiscordToken, DiscordUrl
from config.errors import ConfigError, ConfigProblem, suggest
from config.paths import agent_files, default_knowledge
from config.providers import BUILT_IN, ProviderSettings
from config.sections import (
    AgentSettings,
    ApiSection,
    ChatDefaults,
    DiscordSection,
    OwnProvider,
    PacksSection,
    ProviderName,
    SlackSection,
)
from config.slack import slack_flaws
from config.values import (
    DatabaseUrl,
    EntryPoints,
    Env,
    Host,
    HostPorts,
    HttpUrl,
    ModelName,
    ModelReference,
    Origins,
    Port,
    ProjectId,
    RedisUrl,
    SecretKeys,
    SlackAppToken,
    SlackBotToken,
    SlackClientId,
    SlackSigningSecret,
    SlashedUrl,
    Token,
    Unused,
    is_loopback,
)  # fmt: skip
from config.yaml_text import YamlPath

AGENTS = ("researcher", "planner", "builder", "reviewer")


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseSettings):
    """All settings, validated. Frozen."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True, validate_default=False
    )

    # the server
    host: Annotated[Host, Env("ORCHESTRATOR_HOST")] = "127.0.0.1"
    port: Annotated[Port, Env("ORCHESTRATOR_PORT", "PORT")] = 8080
    workers: Annotated[int, Field(ge=1, le=1000), Env("ORCHESTRATOR_WORKERS")] = 8  # runs at once
    base_url_given: Annotated[HttpUrl | None, Field(alias="base_url"), Env("ORCHESTRATOR_BASE_URL")] = None
    api_key: Annotated[Token | None, Env("API_KEY")] = None
    insecure_bind: Annotated[bool, Env("QUARTET_INSECURE_BIND")] = False
    api: ApiSection = ApiSection()
    cors_origins: Annotated[Origins, Env("CORS_ORIGINS")] = ("http://localhost:3000", "http://localhost:5173")
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        BeforeValidator(_upper),
        Env("LOG_LEVEL", "ORCHESTRATOR_LOG_LEVEL"),
    ] = "INFO"
    debug: Annotated[bool, Env("ENABLE_DEBUG")] = False

    # files
    home: Annotated[AbsolutePath, Env("QUARTET_HOME")] = Field(default_factory=lambda: Path("var").absolute())
    knowledge_dir: Annotated[AbsolutePath, Env("KNOWLEDGE_DIR")] = Field(default_factory=default_knowledge)
    workflows_path: tuple[AbsolutePath, ...] = ()  # folders with further workflows
    agents_path: tuple[AbsolutePath, ...] = ()  # folders with further agents
    # Agents of installed packages that may be loaded, by their entry points; no other one is imported.
    agents_python: Annotated[EntryPoints, Env("AGENTS_PYTHON")] = ()
    # Private addresses at which agents may be called.
    agents_allow_hosts: Annotated[HostPorts, Env("AGENTS_ALLOW_HOSTS")] = ()
    packs: PacksSection = PacksSection()  # which workflow packs are trusted
    database_url: Annotated[
        DatabaseUrl | None, Env("DATABASE_URL"), Unused("everything is kept in SQLite under QUARTET_HOME")
    ] = None
    redis_url: Annotated[RedisUrl | None, Env("REDIS_URL"), Unused("nothing needs Redis")] = None
    secret_keys: Annotated[SecretKeys | None, Env("QUARTET_SECRET_KEY")] = None  # see bot.secret_keys
    # Where agents that are programs get a folder for each step; unset: `workspaces` under QUARTET_HOME.
    workspaces_dir: Annotated[AbsolutePath | None, Env("WORKSPACES_DIR")] = None
    max_rounds: Annotated[int, Field(ge=1, le=100), Env("MAX_ROUNDS")] = (
        12  # turns of a team's members, or of those a coordinator delegates to
    )

    # models
    default_model: Annotated[ModelReference | None, Env("QUARTET_MODEL")] = None
    agents: dict[str, AgentSettings] = {}
    own_providers: Annotated[dict[ProviderName, OwnProvider], Field(alias="providers")] = {}
    own_provider_keys: Annotated[dict[str, Token], Field(repr=False)] = {}  # read from each api_key_env
    openai_api_key: Annotated[Token | None, Env("OPENAI_API_KEY")] = None
    openai_base_url: Annotated[HttpUrl | None, Env("OPENAI_BASE_URL")] = None
    openai_model: Annotated[ModelName, Env("OPENAI_MODEL")] = "gpt-5"
    openrouter_api_key: Annotated[Token | None, Env("OPENROUTER_API_KEY")] = None
    groq_api_key: Annotated[Token | None, Env("GROQ_API_KEY")] = None
    deepseek_api_key: Annotated[Token | None, Env("DEEPSEEK_API_KEY")] = None
    anthropic_api_key: Annotated[Token | None, Env("ANTHROPIC_API_KEY")] = None
    grok_api_key: Annotated[Token | None, Env("GROK_API_KEY")] = None
    ollama_base_url: Annotated[HttpUrl | None, Env("OLLAMA_BASE_URL")] = None
    customgpt_api_key: Annotated[Token | None, Env("CUSTOMGPT_API_KEY")] = None
    customgpt_base_url: Annotated[HttpUrl, Env("CUSTOMGPT_BASE_URL")] = BUILT_IN["customgpt"].base_url
    research_agent_project_id: Annotated[ProjectId | None, Env("RESEARCH_AGENT_PROJECT_ID")] = None
    planning_agent_project_id: Annotated[ProjectId | None, Env("PLANNING_AGENT_PROJECT_ID")] = None
    builder_agent_project_id: Annotated[ProjectId | None, Env("BUILDER_AGENT_PROJECT_ID")] = None
    review_agent_project_id: Annotated[ProjectId | None, Env("REVIEW_AGENT_PROJECT_ID")] = None

    # tools
    tavily_api_key: Annotated[Token | None, Env("TAVILY_API_KEY")] = None
    tavily_base_url: Annotated[HttpUrl, Env("TAVILY_BASE_URL")] = "https://api.tavily.com"
    fetch_allow_hosts: Annotated[HostPorts, Env("FETCH_ALLOW_HOSTS")] = ()

    # chat
    chat: ChatDefaults = ChatDefaults()
    slack: SlackSection = SlackSection()
    slack_bot_token: Annotated[SlackBotToken | None, Env("SLACK_BOT_TOKEN")] = None
    slack_app_token: Annotated[SlackAppToken | None, Env("SLACK_APP_TOKEN")] = None
    slack_signing_secret: Annotated[SlackSigningSecret | None, Env("SLACK_SIGNING_SECRET")] = None
    slack_client_id: Annotated[SlackClientId | None, Env("SLACK_CLIENT_ID")] = None
    slack_client_secret: Annotated[Token | None, Env("SLACK_CLIENT_SECRET")] = None
    slack_api_url: Annotated[SlashedUrl, Env("SLACK_API_URL")] = "https://slack.com/api/"
    discord: DiscordSection = DiscordSection()
    discord_bot_token: Annotated[DiscordToken | None, Env("DISCORD_BOT_TOKEN")] = None
    discord_guild_ids: Annotated[DiscordGuilds, Env("DISCORD_GUILD_IDS")] = ()
    discord_api_url: Annotated[DiscordUrl, Env("DISCORD_API_URL")] = "https://discord.com/api/v10"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the caller hands in: `load_settings` brings layers that know their lines."""
        kwargs = cast("dict[str, Any]", getattr(init_settings, "init_kwargs", {}))
        return (init_settings, *kwargs.pop("layers", ()))

    # ── what follows from them ───────────────────────────────────────────────────────────────

    @property
    def base_url(self) -> str:
        """The address that is put into links, without a slash at the end."""
        if self.base_url_given is not None:
            return self.base_url_given.rstrip("/")
        return self.local_url

    @property
    def local_url(self) -> str:
        """Where this machine itself reaches the server, and a proxy on it; without a slash at the end."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def public_url(self) -> str | None:
        """The address under which others reach the bot, where one is given that is not this machine's own."""
        host = urlsplit(self.base_url).hostname or ""
        return self.base_url if self.base_url_given and not is_loopback(host) else None

    @property
    def closed_outside(self) -> bool:
        """Whether the public address answers Slack alone, since there is no key to ask people for."""
        return self.api_key is None and self.public_url is not None

    @property
    def engine(self) -> Literal["models", "rules"]:
        """`rules` when no model can be asked."""
        return "models" if any(self.model_for(agent) for agent in (*AGENTS, "")) else "rules"

    @property
    def project_ids(self) -> dict[str, str]:
        """The CustomGPT projects of agents, by the agent's name."""
        given = {
            "researcher": self.research_agent_project_id,
            "planner": self.planning_agent_project_id,
            "builder": self.builder_agent_project_id,
            "reviewer": self.review_agent_project_id,
        }
        return {agent: project for agent, project in given.items() if project is not None}

    def providers(self) -> dict[str, ProviderSettings]:
        """The providers that can be called, by name, in the order in which they are preferred."""
        keys = {
            "openai": self.openai_api_key,
            "anthropic": self.anthropic_api_key,
            "openrouter": self.openrouter_api_key,
            "groq": self.groq_api_key,
            "deepseek": self.deepseek_api_key,
            "xai": self.grok_api_key,
            "customgpt": self.customgpt_api_key,
        }
        urls = {
            "openai": self.openai_base_url,
            "ollama": _ollama(self.ollama_base_url),
            "customgpt": self.customgpt_base_url if self.customgpt_api_key else None,
        }
        found: dict[str, ProviderSettings] = {}
        for name, known in BUILT_IN.items():
            if keys.get(name) or urls.get(name):
                model = self.openai_model if name == "openai" else known.default_model
                found[name] = ProviderSettings(name, urls.get(name) or known.base_url, keys.get(name), model)
        for name, own in self.own_providers.items():
            if own.base_url is not None:
                found[name] = ProviderSettings(
                    name, own.base_url, self.own_provider_keys.get(name), own.default_model
                )
        return found

    @property
    def provider_limits(self) -> dict[str, int]:
        """Steps that may ask a provider at once, for those that have a limit."""
        limits = {name: own.max_concurrent for name, own in self.own_providers.items()}
        return {name: limit for name, limit in limits.items() if limit is not None}

    def model_for(self, agent: str) -> str | None:
        """The model an agent talks to as `provider:model`; None: it works by rules.

        Its CustomGPT project, else its own model, else `default_model`, else the default of the
        first provider that has a key.
        """
        project = self.project_ids.get(agent)
        if project is not None:
            return f"customgpt:{project}"
        own = self.agents.get(agent)
        if own is not None and own.model is not None:
            return own.model
        if self.default_model is not None:
            return self.default_model
        usable = (p for p in self.providers().values() if p.default_model is not None)
        return next((f"{p.name}:{p.default_model}" for p in usable), None)

    def temperature_for(self, agent: str) -> float | None:
        """The temperature set for an agent; None: the provider's own."""
        own = self.agents.get(agent)
        return own.temperature if own is not None else None

    def with_address(self, host: str | None = None, port: int | None = None) -> Settings:
        """The same settings for another address, as given on the command line.

        Raises:
            ConfigError: not an address, or one on which the server may not listen.
        """
        refused = ("command line", None, None, "--host, --port")
        try:
            given = Settings(
                host=self.host if host is None else host,
                port=self.port if port is None else port,
                api_key=self.api_key,
                insecure_bind=self.insecure_bind,
            )
        except ValidationError:
            message, remedy = "is not an address to listen on", "write --host 127.0.0.1 --port 8080"
            raise ConfigError([ConfigProblem(*refused, message, remedy)]) from None
        for _, message, remedy in _bind_flaws(given):
            raise ConfigError([ConfigProblem(*refused, message, remedy)])
        return self.model_copy(update={"host": given.host, "port": given.port})

    def flaws(self) -> Iterator[tuple[YamlPath, str, str]]:
        """What is wrong though every value is right by itself: (path, message, remedy)."""
        yield from _bind_flaws(self)
        yield from slack_flaws(self)
        yield from self._model_flaws()
        for agent in self.project_ids:
            if self.customgpt_api_key is None:
                message = "a CustomGPT project needs a key"
                yield (_PROJECT_FIELDS[agent],), message, "set CUSTOMGPT_API_KEY, or remove the project id"
        if self.home.exists() and not self.home.is_dir():
            yield ("home",), f"{self.home} is not a folder", "name a folder; it is made if it is not there"
        if "knowledge_dir" in self.model_fields_set and not self.knowledge_dir.is_dir():
            yield ("knowledge_dir",), f"there is no folder {self.knowledge_dir}", "make it, or name another"
        for index, folder in enumerate(self.workflows_path):
            if not folder.is_dir():
                yield ("workflows_path", index), f"there is no folder {folder}", "make it, or remove the line"
        for index, folder in enumerate(self.agents_path):
            if not folder.is_dir():
                yield ("agents_path", index), f"there is no folder {folder}", "make it, or remove the line"

    @property
    def workspaces(self) -> Path:
        """Where agents that are programs get their folders."""
        return self.workspaces_dir or self.home / "workspaces"

    def _model_flaws(self) -> Iterator[tuple[YamlPath, str, str]]:
        for name, own in self.own_providers.items():
            if name in BUILT_IN and own.model_fields_set - {"max_concurrent"}:
                message = f"the provider {name!r} is built in, and only its max_concurrent is set here"
                yield ("providers", name), message, f"set {BUILT_IN[name].variable}, or choose another name"
            elif name not in BUILT_IN and own.base_url is None:
                yield ("providers", name), "its address is missing", "add `base_url:`"
        known = {*AGENTS, *(file.stem for file in agent_files())}
        references: list[tuple[YamlPath, str]] = []
        if self.default_model is not None:
            references.append((("default_model",), self.default_model))
        for agent, own in self.agents.items():
            if agent not in known:
                yield ("agents", agent), f"there is no agent {agent!r}", suggest(agent, known)
            if own.model is not None:
                references.append((("agents", agent, "model"), own.model))
        usable, all_names = self.providers(), {*BUILT_IN, *self.own_providers}
        for path, reference in references:
            provider = reference.partition(":")[0]
            if provider not in all_names:
                yield path, f"the provider {provider!r} is unknown", suggest(provider, all_names)
            elif provider not in usable and provider in BUILT_IN:
                yield path, f"the provider {provider!r} has no key", f"set {BUILT_IN[provider].variable}"


_PROJECT_FIELDS = {
    "researcher": "research_agent_project_id",
    "planner": "planning_agent_project_id",
    "builder": "builder_agent_project_id",
    "reviewer": "review_agent_project_id",
}


def _bind_flaws(settings: Settings) -> Iterator[tuple[YamlPath, str, str]]:
    if settings.api_key is None and not settings.insecure_bind and not is_loopback(settings.host):
        message = f"without API_KEY anybody who reaches {settings.host} could use the bot"
        yield ("host",), message, "set API_KEY, listen on 127.0.0.1, or set QUARTET_INSECURE_BIND=1"


def _ollama(url: str | None) -> str | None:
    """Ollama's address as people know it, with the path of its OpenAI protocol."""
    return f"{url.rstrip('/')}/v1" if url is not None and url.rstrip("/").count("/") == 2 else url
