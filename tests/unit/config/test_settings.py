"""Where settings come from, and what follows from them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from config import ConfigError, Settings, load_settings
from config.load import survey
from config.paths import CONFIG_DIR
from config.sources import KNOWN, VARIABLES

# Contracts, section 3: names that users rely on.
PROMISED = tuple(
    re.findall(
        r"\w+",
        """
        SLACK_BOT_TOKEN SLACK_APP_TOKEN SLACK_SIGNING_SECRET SLACK_CLIENT_ID SLACK_CLIENT_SECRET SLACK_API_URL
        DISCORD_BOT_TOKEN DISCORD_GUILD_IDS DISCORD_API_URL OPENAI_API_KEY OPENAI_BASE_URL OPENAI_MODEL
        OPENROUTER_API_KEY
        GROQ_API_KEY DEEPSEEK_API_KEY ANTHROPIC_API_KEY GROK_API_KEY OLLAMA_BASE_URL CUSTOMGPT_API_KEY
        CUSTOMGPT_BASE_URL RESEARCH_AGENT_PROJECT_ID PLANNING_AGENT_PROJECT_ID BUILDER_AGENT_PROJECT_ID
        REVIEW_AGENT_PROJECT_ID TAVILY_API_KEY DATABASE_URL ORCHESTRATOR_HOST ORCHESTRATOR_PORT PORT
        ORCHESTRATOR_WORKERS ORCHESTRATOR_BASE_URL API_KEY QUARTET_INSECURE_BIND QUARTET_SECRET_KEY
        KNOWLEDGE_DIR TAVILY_BASE_URL FETCH_ALLOW_HOSTS CORS_ORIGINS LOG_LEVEL ORCHESTRATOR_LOG_LEVEL
        ENABLE_DEBUG MAX_ROUNDS WORKSPACES_DIR QUARTET_HOME REDIS_URL
        """,
    )
)

KEY = "sk-" + "a1b2c3d4" * 5


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q.yaml").write_text("port: 7001\n")
    return tmp_path


def load(env: dict[str, str] | None = None, **files: str) -> Settings:
    for name, text in files.items():
        Path({"yaml": "q.yaml", "dotenv": ".env"}[name]).write_text(text)
    return load_settings(config_file=Path("q.yaml"), env=env or {})


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_variable_is_known_and_in_the_example(name: str) -> None:
    assert name in VARIABLES
    example = (CONFIG_DIR.parent / ".env.example").read_text().splitlines()
    assert f"{name}=" in example


def test_the_example_names_nothing_that_is_unknown_and_loads_as_it_is(folder: Path) -> None:
    example = (CONFIG_DIR.parent / ".env.example").read_text()
    names = {line[:-1] for line in example.splitlines() if line and not line.startswith("#")}
    assert names == set(VARIABLES)
    assert load(dotenv=example).engine == "rules"


def test_environment_beats_dotenv_beats_yaml(folder: Path) -> None:
    assert load().port == 7001
    assert load(dotenv="ORCHESTRATOR_PORT=7002\n").port == 7002
    assert load({"ORCHESTRATOR_PORT": "7003"}).port == 7003
    assert load({"ORCHESTRATOR_PORT": " "}).port == 7002  # nothing in it: as good as not set


def test_a_weaker_name_in_the_environment_beats_the_stronger_one_in_the_file(folder: Path) -> None:
    assert load({"PORT": "7005"}, dotenv="ORCHESTRATOR_PORT=7002\n").port == 7005
    assert load({"PORT": "7005", "ORCHESTRATOR_PORT": "7006"}).port == 7006


def test_other_programs_variables_are_let_through(folder: Path) -> None:
    assert (
        load({"GITHUB_TOKEN": "x", "OPENAI_API_KY": "x"}, dotenv="GITHUB_TOKEN=x\nMISTRAL_API_KEY=y\n").port
        == 7001
    )


def test_a_dollar_in_dotenv_means_itself(folder: Path) -> None:
    key = load(dotenv="export API_KEY='a$HOME-${PATH}'  # comment\n").api_key
    assert key is not None
    assert key.get_secret_value() == "a$HOME-${PATH}"


def test_a_file_of_comments_is_a_file_without_settings(folder: Path) -> None:
    assert load(yaml="# nothing\n").port == 8080


def test_the_shipped_file_gives_the_documented_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings(env={})
    assert settings == Settings()
    assert (settings.base_url, settings.engine, settings.workers) == ("http://127.0.0.1:8080", "rules", 8)
    assert settings.home == tmp_path / "var"
    assert settings.knowledge_dir == CONFIG_DIR.parent / "knowledge"  # none here, so the shipped one
    assert (settings.chat.approvals, settings.chat.busy, settings.chat.exchanges) == ("ask", "queue", 6)


def test_a_folder_named_knowledge_is_the_knowledge_folder(folder: Path) -> None:
    (folder / "knowledge").mkdir()
    assert load().knowledge_dir == folder / "knowledge"


def test_paths_in_the_yaml_file_are_meant_from_its_folder(folder: Path) -> None:
    (folder / "sub" / "mine").mkdir(parents=True)
    file = folder / "sub" / "other.yaml"
    file.write_text("workflows_path: [mine]\n")
    assert load_settings(config_file=file, env={}).workflows_path == (folder / "sub" / "mine",)


# ── models ───────────────────────────────────────────────────────────────────────────────────


def test_without_a_key_everything_works_by_rules(folder: Path) -> None:
    settings = load()
    assert settings.engine == "rules"
    assert settings.providers() == {}
    assert settings.model_for("builder") is None


@pytest.mark.parametrize(
    ("env", "model"),
    [
        ({"OPENAI_API_KEY": KEY}, "openai:gpt-5"),
        ({"OPENAI_API_KEY": KEY, "OPENAI_MODEL": "gpt-5-mini"}, "openai:gpt-5-mini"),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}, "openai:gpt-5"),
        ({"GROQ_API_KEY": KEY}, "groq:openai/gpt-oss-120b"),
        ({"GROK_API_KEY": KEY}, "xai:grok-4"),
        ({"OLLAMA_BASE_URL": "http://127.0.0.1:11434"}, "ollama:qwen3"),
        ({"GROQ_API_KEY": KEY, "QUARTET_MODEL": "groq:other"}, "groq:other"),
        ({"GROQ_API_KEY": KEY, "OPENAI_API_KEY": KEY}, "openai:gpt-5"),
    ],
)
def test_the_model_follows_from_the_keys(folder: Path, env: dict[str, str], model: str) -> None:
    settings = load(env)
    assert settings.model_for("builder") == model
    assert settings.engine == "models"


def test_ollama_gets_the_path_of_its_openai_protocol(folder: Path) -> None:
    assert load({"OLLAMA_BASE_URL": "http://h:1/"}).providers()["ollama"].base_url == "http://h:1/v1"
    assert load({"OLLAMA_BASE_URL": "http://h:1/p/v1"}).providers()["ollama"].base_url == "http://h:1/p/v1"


def test_agents_can_have_different_models(folder: Path) -> None:
    text = "default_model: openai:gpt-5\nagents: {builder: {model: 'groq:fast', temperature: 0.2}}\n"
    settings = load({"OPENAI_API_KEY": KEY, "GROQ_API_KEY": KEY}, yaml=text)
    assert settings.model_for("builder") == "groq:fast"
    assert settings.model_for("planner") == "openai:gpt-5"
    assert settings.temperature_for("builder") == 0.2
    assert settings.temperature_for("planner") is None


def test_an_agent_with_a_project_talks_to_that_project(folder: Path) -> None:
    settings = load({"CUSTOMGPT_API_KEY": KEY, "PLANNING_AGENT_PROJECT_ID": "4711"})
    assert settings.model_for("planner") == "customgpt:4711"
    assert settings.model_for("builder") is None
    assert settings.engine == "models"
    provider = settings.providers()["customgpt"]
    assert provider.base_url_for("4711") == "https://app.customgpt.ai/api/v1/projects/4711"


def test_a_server_of_ones_own_with_its_key_from_dotenv(folder: Path) -> None:
    text = (
        "providers: {mylab: {base_url: 'http://127.0.0.1:9/v1', api_key_env: MYLAB_KEY, default_model: m}}\n"
    )
    settings = load(yaml=text, dotenv=f"MYLAB_KEY={KEY}\n")
    provider = settings.providers()["mylab"]
    assert provider.api_key is not None
    assert provider.api_key.get_secret_value() == KEY
    assert settings.model_for("builder") == "mylab:m"


def test_how_many_steps_ask_a_provider_at_once(folder: Path) -> None:
    own = "lab: {base_url: 'http://x', max_concurrent: 2}, b: {base_url: 'http://y'}"
    text = f"providers: {{openai: {{max_concurrent: 3}}, {own}}}\n"
    settings = load({"OPENAI_API_KEY": KEY}, yaml=text)
    assert settings.provider_limits == {"openai": 3, "lab": 2}
    assert set(settings.providers()) == {"openai", "lab", "b"}
    assert load(yaml="port: 7001\n").provider_limits == {}


# ── the address ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9"])
def test_loopback_needs_no_key(folder: Path, host: str) -> None:
    assert load({"ORCHESTRATOR_HOST": host}).api_key is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_other_addresses_need_a_key_or_the_express_wish(folder: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="set API_KEY, listen on"):
        load({"ORCHESTRATOR_HOST": host})
    assert load({"ORCHESTRATOR_HOST": host, "API_KEY": "long-enough"}).host == host
    assert load({"ORCHESTRATOR_HOST": host, "QUARTET_INSECURE_BIND": "1"}).host == host


def test_the_command_line_is_held_to_the_same_rules(folder: Path) -> None:
    settings = load()
    assert settings.with_address(port=9000).base_url == "http://127.0.0.1:9000"
    with pytest.raises(ConfigError, match="set API_KEY"):
        settings.with_address(host="0.0.0.0")
    with pytest.raises(ConfigError, match="not an address"):
        settings.with_address(port=99999)


def test_links_carry_the_address_that_was_set(folder: Path) -> None:
    assert load({"ORCHESTRATOR_BASE_URL": "https://bot.example.org/"}).base_url == "https://bot.example.org"
    assert load({"ORCHESTRATOR_HOST": "::1"}).base_url == "http://[::1]:7001"


def test_lists_come_from_commas_or_yaml(folder: Path) -> None:
    assert load({"FETCH_ALLOW_HOSTS": "127.0.0.1:80, LOCALHOST:81,"}).fetch_allow_hosts == (
        "127.0.0.1:80",
        "localhost:81",
    )
    assert load(yaml="fetch_allow_hosts: ['127.0.0.1:80']\n").fetch_allow_hosts == ("127.0.0.1:80",)
    assert load({"CORS_ORIGINS": "https://a.example/"}).cors_origins == ("https://a.example",)


# ── Slack ────────────────────────────────────────────────────────────────────────────────────

BOT, APP = f"xoxb-{KEY}", f"xapp-{KEY}"


@pytest.mark.parametrize(
    "env",
    [
        {"SLACK_BOT_TOKEN": BOT, "SLACK_APP_TOKEN": APP},
        {"SLACK_BOT_TOKEN": BOT, "SLACK_SIGNING_SECRET": "a1" * 16},  # over HTTP, without an address of ours
        {
            "SLACK_CLIENT_ID": "1234567.7654321",
            "SLACK_CLIENT_SECRET": KEY,
            "SLACK_SIGNING_SECRET": "a1" * 16,
            "ORCHESTRATOR_BASE_URL": "https://bot.example.com",
        },
        {
            "SLACK_BOT_TOKEN": BOT,
            "SLACK_APP_TOKEN": APP,
            "SLACK_CLIENT_ID": "1234567.7654321",
            "SLACK_CLIENT_SECRET": KEY,
            "ORCHESTRATOR_BASE_URL": "https://bot.example.com",
        },
        {"SLACK_API_URL": "http://127.0.0.1:3001/api"},
    ],
)
def test_every_way_to_connect_slack_is_taken(folder: Path, env: dict[str, str]) -> None:
    settings = load(env)
    assert settings.slack_api_url.endswith("/api/")


def test_slacks_section_has_defaults_and_takes_bots_as_list_or_commas(folder: Path) -> None:
    assert load().slack.model_dump() == {"progress": "auto", "bots": (), "bot_turns": 3}
    given = load(yaml="slack: {progress: blocks, bots: [B0123, A77777], bot_turns: 5}\n").slack
    assert (given.progress, given.bots, given.bot_turns) == ("blocks", ("B0123", "A77777"), 5)
    assert load(yaml="slack: {bots: '*'}\n").slack.bots == ("*",)


# ── Discord ──────────────────────────────────────────────────────────────────────────────────

GUILDS = ("112233445566778899", "998877665544332211")
DISCORD = f"MTEyMjMzNDQ1NTY2Nzc4ODk5.Gx1y2z.{'a1B2_-' * 6}"


def test_discord_is_a_token_and_perhaps_servers(folder: Path) -> None:
    settings = load({"DISCORD_BOT_TOKEN": DISCORD, "DISCORD_GUILD_IDS": ", ".join(GUILDS)})
    assert settings.discord_bot_token is not None
    assert settings.discord_bot_token.get_secret_value() == DISCORD
    assert DISCORD not in repr(settings)
    assert settings.discord_guild_ids == GUILDS
    assert load(yaml=f"discord_guild_ids: [{GUILDS[0]}]\n").discord_guild_ids == GUILDS[:1]
    assert settings.discord_api_url == "https://discord.com/api/v10"
    assert (
        load({"DISCORD_API_URL": "http://127.0.0.1:9/api/v10/"}).discord_api_url
        == "http://127.0.0.1:9/api/v10"
    )


def test_discords_section_has_defaults_and_takes_bots_as_list_or_commas(folder: Path) -> None:
    assert load().discord.model_dump() == {"bots": (), "bot_turns": 3, "shards": None}
    given = load(yaml=f"discord: {{bots: [{GUILDS[0]}, '{GUILDS[1]}'], bot_turns: 5, shards: 2}}\n").discord
    assert (given.bots, given.bot_turns, given.shards) == (GUILDS, 5, 2)
    assert load(yaml="discord: {bots: '*', shards: null}\n").discord.bots == ("*",)


# ── honesty and speed ────────────────────────────────────────────────────────────────────────


def test_what_this_version_does_not_use_says_so() -> None:
    unused = {name for name in PROMISED if VARIABLES[name].unused}
    assert unused == {"DATABASE_URL", "REDIS_URL"}


def test_survey_tells_the_origin_of_every_value(folder: Path) -> None:
    (folder / ".env").write_text("\n# c\nLOG_LEVEL=debug\n")
    (folder / "q.yaml").write_text("port: 7001\nchat:\n  busy: steer\n")
    found = survey(config_file=Path("q.yaml"), env={"API_KEY": "long-enough"})
    assert str(found.origin(("log_level",))) == ".env:3"
    assert str(found.origin(("port",))) == "q.yaml:1"
    assert str(found.origin(("chat", "busy"))) == "q.yaml:3"
    assert str(found.origin(("chat", "language"))) == "default"
    assert str(found.origin(("api_key",))) == "environment"
    assert str(found.origin(("workers",))) == "default"


def test_secrets_are_marked_as_such() -> None:
    secret = {known.name for known in KNOWN if known.secret}
    assert {n for n in PROMISED if n.endswith(("KEY", "TOKEN", "SECRET"))} <= secret
    assert {"DATABASE_URL", "REDIS_URL"} <= secret


def test_reading_settings_loads_neither_models_nor_web_framework() -> None:
    code = "import sys, config; config.load_settings(env={}, env_file=None); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert not {"pydantic_ai", "fastapi", "openai", "httpx2", "bot", "orchestrator"} & set(
        loaded.stdout.split()
    )


@pytest.mark.parametrize(
    ("env", "public", "closed"),
    [
        ({}, None, False),
        ({"ORCHESTRATOR_BASE_URL": "http://localhost:8080"}, None, False),
        ({"ORCHESTRATOR_BASE_URL": "http://[::1]:8080"}, None, False),
        ({"ORCHESTRATOR_BASE_URL": "https://bot.example.com/"}, "https://bot.example.com", True),
        (
            {"ORCHESTRATOR_BASE_URL": "https://bot.example.com", "API_KEY": "k" * 20},
            "https://bot.example.com",
            False,
        ),
    ],
)
def test_public_address_without_a_key_is_closed_to_people(
    folder: Path, env: dict[str, str], public: str | None, *, closed: bool
) -> None:
    given = load(env)
    assert (given.public_url, given.closed_outside) == (public, closed)
    assert given.local_url == "http://127.0.0.1:7001"
