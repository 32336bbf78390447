"""Broken configurations, each refused with file, line and remedy. None shows a secret, none takes long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config import ConfigError, load_settings, read_model
from config.paths import WORKFLOWS_DIR
from orchestrator.agents.spec import AgentSpec
from orchestrator.workflow import Workflow
from orchestrator.workflow_checks import problems
from tests.calm import Watch

AGENTS = frozenset({"researcher", "planner", "builder", "reviewer"})
SECRET = "s3cr3tv4lue0123456789"
GUILD = "112233445566778899"
DISCORD = f"MTEyMjMzNDQ1NTY2Nzc4ODk5.Gx1y2z.{SECRET}{SECRET}"


def refusal(
    tmp_path: Path, *, yaml: str | bytes = "", dotenv: str | bytes = "", env: dict[str, str] | None = None
) -> str:
    (tmp_path / "q.yaml").write_bytes(yaml if isinstance(yaml, bytes) else yaml.encode())
    (tmp_path / ".env").write_bytes(dotenv if isinstance(dotenv, bytes) else dotenv.encode())
    with pytest.raises(ConfigError) as caught:
        load_settings(config_file=tmp_path / "q.yaml", env=env or {}, env_file=tmp_path / ".env")
    assert all(p.message and p.remedy and p.file for p in caught.value.problems)
    return str(caught.value).replace(f"{tmp_path}/", "")


YAML = {
    "unknown key": ("prot: 80\n", "q.yaml:1:1: prot: the key 'prot' is unknown; did you mean 'port'?"),
    "unknown key in a section": ("chat:\n  bussy: queue\n", "q.yaml:2:3: chat.bussy: * did you mean 'busy'?"),
    "variable's name": (
        "\nLOG_LEVEL: INFO\n",
        "q.yaml:2:1: LOG_LEVEL: * in this file it is called 'log_level'",
    ),
    "secret": (f"api_key: {SECRET}\n", "q.yaml:1:1: api_key: * put API_KEY=… into .env or the environment"),
    "secret under its variable": (
        f"GROQ_API_KEY: {SECRET}\n",
        "q.yaml:1:1: * put GROQ_API_KEY=… into .env *",
    ),
    "wrong word": ("chat: {approvals: aks}\n", "q.yaml:1:8: chat.approvals: 'aks' * did you mean 'ask'?"),
    "YAML 1.1 boolean": (
        "chat: {allow_requester: [on]}\n",
        "q.yaml:1:8: chat.allow_requester: * true or false",
    ),
    "text for a number": ("workers: many\n", "q.yaml:1:1: workers: * write a whole number"),
    "list for text": ("default_model: [a]\n", "q.yaml:1:1: default_model: * write text, *"),
    "text for a section": ("chat: loud\n", "q.yaml:1:1: chat: * write `key: value` lines below it"),
    "number too large": ("port: 99999\n", "q.yaml:1:1: port: * write a number of at most 65535"),
    "number of 400 digits": (f"port: {'9' * 400}\n", "q.yaml:1:1: port: * write a finite number"),
    "Slack's progress": (
        "slack: {progress: steam}\n",
        "q.yaml:1:9: slack.progress: 'steam' * did you mean 'stream'?",
    ),
    "Slack bots by name": (
        "slack:\n  bots: [B012, github]\n",
        "q.yaml:2:16: slack.bots[1]: 'github' is not the id *",
    ),
    "Slack bots by their user": (
        "slack:\n  bots: [U123ABC]\n",
        "q.yaml:2:10: slack.bots[0]: 'U123ABC' is the id of a user; write the bot's B… or A… id, *",
    ),
    "Slack token in its section": (
        f"slack: {{bot_token: xoxb-{SECRET}}}\n",
        "q.yaml:1:9: slack.bot_token: * unknown; tokens go into .env as SLACK_BOT_TOKEN",
    ),
    "Slack token under any name": (
        f"chat:\n  secret: xapp-{SECRET}\n",
        "q.yaml:2:3: chat.secret: * unknown; tokens go into .env as SLACK_APP_TOKEN",
    ),
    "Slack token for a choice": (
        f"slack: {{progress: xoxb-{SECRET}}}\n",
        "q.yaml:1:9: slack.progress: 'xoxb-…' is not one of *; tokens go into .env as SLACK_BOT_TOKEN",
    ),
    "Slack token as a key": (f"xoxb-{SECRET}: 1\n", "q.yaml:1:1: xoxb-…: the key 'xoxb-…' is unknown; *"),
    "choice left empty": (
        "slack:\n  progress:\n",
        "q.yaml:2:*: slack.progress: has no value; write one of auto, stream, blocks, or remove the line",
    ),
    "section that is a number": (
        "slack: 5\n",
        "q.yaml:1:1: slack: is no section; write `key: value` lines below it",
    ),
    "Slack bots without end": ("slack: {bot_turns: 0}\n", "q.yaml:1:9: slack.bot_turns: * at least 1"),
    "Discord bots by name": (
        f"discord:\n  bots: [{GUILD}, github]\n",
        "q.yaml:2:30: discord.bots[1]: 'github' is not the id of a bot or webhook, *; * Copy User ID*",
    ),
    "Discord's section misspelt": (
        "discord: {shard: 2}\n",
        "q.yaml:1:11: discord.shard: the key 'shard' is unknown; did you mean 'shards'?",
    ),
    "Discord without shards": (
        "discord: {shards: 0}\n",
        "q.yaml:1:11: discord.shards: * at least 1",
    ),
    "Discord bots without end": (
        "discord: {bot_turns: 1000}\n",
        "q.yaml:1:11: discord.bot_turns: * at most 100",
    ),
    "Discord token in its section": (
        f"discord: {{token: {DISCORD}}}\n",
        "q.yaml:1:11: discord.token: * unknown; tokens go into .env as DISCORD_BOT_TOKEN",
    ),
    "Discord token under any name": (
        f"chat:\n  secret: {DISCORD}\n",
        "q.yaml:2:3: chat.secret: * unknown; tokens go into .env as DISCORD_BOT_TOKEN",
    ),
    "Discord token as a key": (f"{DISCORD}: 1\n", "q.yaml:1:1: …: the key '…' is unknown; *"),
    "Slack token in YAML": (
        f"slack_bot_token: xoxb-{SECRET}\n",
        "q.yaml:1:1: slack_bot_token: * put SLACK_BOT_TOKEN=… into .env *",
    ),
    "not a number": ("chat: {expires_after_s: .nan}\n", "q.yaml:1:8: chat.expires_after_s: *"),
    "negative": ("workers: 0\n", "q.yaml:1:1: workers: * write a number of at least 1"),
    "unknown provider": (
        "default_model: opnai:gpt-5\n",
        "q.yaml:1:1: default_model: * did you mean 'openai'?",
    ),
    "provider without key": (
        "agents:\n  builder: {model: 'groq:x'}\n",
        "q.yaml:2:13: agents.builder.model: * set GROQ_API_KEY",
    ),
    "model without provider": (
        "default_model: gpt-5\n",
        "q.yaml:1:1: default_model: * write it as openai:gpt-5",
    ),
    "unknown agent": (
        "agents:\n  bilder: {temperature: 1}\n",
        "q.yaml:2:3: agents.bilder: * did you mean 'builder'?",
    ),
    "too hot": (
        "agents: {builder: {temperature: 3}}\n",
        "q.yaml:1:20: agents.builder.temperature: * at most 2*",
    ),
    "provider without address": ("providers: {lab: {}}\n", "q.yaml:1:13: providers.lab: * add `base_url:`"),
    "provider's address": (
        "providers: {lab: {base_url: 'ftp://x'}}\n",
        "q.yaml:1:19: providers.lab.base_url: * https://host/path",
    ),
    "provider's key is not set": (
        "providers: {lab: {base_url: 'http://x', api_key_env: LAB_KEY}}\n",
        "q.yaml:1:41: * put LAB_KEY=… into *",
    ),
    "provider's key in the file": (
        f"providers: {{lab: {{base_url: 'http://x', api_key: {SECRET}}}}}\n",
        "q.yaml:1:41: * did you mean 'api_key_env'?",
    ),
    "built-in provider again": (
        "providers: {groq: {base_url: 'http://x'}}\n",
        "q.yaml:1:13: * set GROQ_API_KEY, or choose another name",
    ),
    "limit of a provider": (
        "providers: {groq: {max_concurrent: 0}}\n",
        "q.yaml:1:20: providers.groq.max_concurrent: * at least 1*",
    ),
    "model of a provider without address": (
        "providers: {lab: {max_concurrent: 1}}\ndefault_model: lab:x\n",
        "q.yaml:1:13: providers.lab: * add `base_url:`",
    ),
    "missing folder": (
        "\n\nworkflows_path:\n- nowhere\n",
        "q.yaml:4:3: workflows_path[0]: there is no folder * make it, *",
    ),
    "open to strangers": ("host: 0.0.0.0\n", "q.yaml:1:1: host: * set API_KEY, listen on 127.0.0.1, *"),
    "host with a port": ("host: '127.0.0.1/x'\n", "q.yaml:1:1: host: is not a host; *"),
    "origin with a path": (
        "cors_origins: ['https://a/b']\n",
        "q.yaml:1:16: cors_origins[0]: * more than an origin; *",
    ),
    "tab": ("chat:\n\tbusy: queue\n", "q.yaml:2:1: the line begins with a tab; indent with spaces"),
    "key twice": (
        "port: 1\nhost: localhost\nport: 2\n",
        "q.yaml:3:1: the key 'port' stands here twice (first in line 1); remove one",
    ),
    "two documents": ("port: 1\n---\nport: 2\n", "q.yaml:2:1: a second document begins here; *"),
    "list at the top": ("- port\n", "q.yaml:1:1: the file does not hold a mapping; *"),
    "open bracket": ("chat: {busy: queue\n", "q.yaml:2:1: is not YAML: *"),
    "colon in text": ("host: a: b\n", "q.yaml:1:8: is not YAML: *quote text*"),
    "Latin-1": (
        "port: 1\n# caf\xe9\n".encode("latin-1"),
        "q.yaml:2:6: is not UTF-8 text; save the file as UTF-8",
    ),
    "binary": (b"\x7fELF\x02\x01\x00\x00", "q.yaml:1:1: holds the control character *"),
    "Python tag": ("host: !!python/object/apply:os.system [id]\n", "q.yaml:1:7: the tag * remove the tag"),
    "own tag": ("host: !env HOST\n", "q.yaml:1:7: the tag '!env' is not read here; remove the tag"),
    "nothing to repeat": ("host: *x\n", "q.yaml:1:7: nothing before this is named &x; *"),
    "endless repetition": ("chat: &a {x: *a}\n", "q.yaml:1:14: chat: nothing before this is named &a; *"),
    "deep": ("chat: " + "[" * 100_000, "q.yaml:1:*: is nested deeper than 40 levels; write it flatter"),
    "bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "q.yaml:5:*: e: holds more than 50,000 values; *",
    ),
    "large": ("# " + "x" * 1_000_001, "q.yaml: is larger than 1,000,000 bytes; *"),
    "key that is a list": (
        "? [a]\n: b\n",
        "q.yaml:1:3: a key is a list or a mapping; use plain words as keys",
    ),
}

DOTENV = {
    "misspelt": (
        "\n# c\nOPENAI_API_KY=x\n",
        ".env:3: OPENAI_API_KY: is no setting; did you mean OPENAI_API_KEY?",
    ),
    "small letters": ("log_level=INFO\n", ".env:1: log_level: is no setting; did you mean LOG_LEVEL?"),
    "another name": (f"XAI_API_KEY={SECRET}\n", ".env:1: XAI_API_KEY: * did you mean GROK_API_KEY?"),
    "no equals sign": ("LOG_LEVEL=INFO\n\nAPI_KEY\n", ".env:3: the line is not NAME=value; *"),
    "open quote": (f"API_KEY='{SECRET}\n", ".env:1: the line is not NAME=value; * close every quote, *"),
    "Slack user token": (
        f"SLACK_BOT_TOKEN=xoxp-{SECRET}\n",
        ".env:1: SLACK_BOT_TOKEN: * begins with xoxb-; *",
    ),
    "Slack bot token as app's": (
        f"A=1\nSLACK_APP_TOKEN=xoxb-{SECRET}\n",
        ".env:2: SLACK_APP_TOKEN: * begins with xapp-; * put it into SLACK_BOT_TOKEN",
    ),
    "Slack app token as bot's": (
        f"SLACK_BOT_TOKEN=xapp-{SECRET}\n",
        ".env:1: SLACK_BOT_TOKEN: * begins with xoxb-; * put it into SLACK_APP_TOKEN",
    ),
    "Slack token that expires": (
        f"SLACK_BOT_TOKEN=xoxe.xoxb-1-{SECRET}\n",
        ".env:1: SLACK_BOT_TOKEN: * this one expires after 12 hours: *",
    ),
    "Slack bot that hears nothing": (
        f"\nSLACK_BOT_TOKEN=xoxb-{SECRET}\n",
        ".env:2: SLACK_BOT_TOKEN: * hears nothing; set SLACK_APP_TOKEN * or SLACK_SIGNING_SECRET *",
    ),
    "Slack bot that cannot speak": (
        f"SLACK_APP_TOKEN=xapp-{SECRET}\n",
        ".env:1: SLACK_APP_TOKEN: * no token to answer with; set SLACK_BOT_TOKEN * SLACK_CLIENT_ID *",
    ),
    "Slack signing secret alone": (
        f"SLACK_SIGNING_SECRET={SECRET}\n",
        ".env:1: SLACK_SIGNING_SECRET: * set SLACK_BOT_TOKEN *",
    ),
    "Slack client without secret": (
        f"ORCHESTRATOR_BASE_URL=https://b\nSLACK_SIGNING_SECRET={SECRET}\nSLACK_CLIENT_ID=12345.67890\n",
        ".env:3: SLACK_CLIENT_ID: * set SLACK_CLIENT_SECRET",
    ),
    "Slack client secret alone": (
        f"SLACK_CLIENT_SECRET={SECRET}\n",
        ".env:1: SLACK_CLIENT_SECRET: * set SLACK_CLIENT_ID",
    ),
    "Slack client that hears nothing": (
        f"SLACK_CLIENT_ID=12345.67890\nSLACK_CLIENT_SECRET={SECRET}\nORCHESTRATOR_BASE_URL=https://b\n",
        ".env:1: SLACK_CLIENT_ID: * set SLACK_SIGNING_SECRET (HTTP) or SLACK_APP_TOKEN *",
    ),
    "Slack client at an address without https": (
        f"SLACK_CLIENT_ID=12345.67890\nSLACK_CLIENT_SECRET={SECRET}\nSLACK_SIGNING_SECRET={SECRET}\n"
        "ORCHESTRATOR_BASE_URL=http://127.0.0.1:8080\n",
        ".env:4: ORCHESTRATOR_BASE_URL: * https addresses alone; set ORCHESTRATOR_BASE_URL *",
    ),
    "Slack client without address": (
        f"SLACK_CLIENT_ID=12345.67890\nSLACK_CLIENT_SECRET={SECRET}\nSLACK_SIGNING_SECRET={SECRET}\n",
        ".env:1: SLACK_CLIENT_ID: * set ORCHESTRATOR_BASE_URL *",
    ),
    "nothing but the prefix": ("SLACK_BOT_TOKEN=xoxb-\n", ".env:1: SLACK_BOT_TOKEN: *"),
    "signing secret": (
        f"SLACK_SIGNING_SECRET={SECRET}-!\n",
        ".env:1: SLACK_SIGNING_SECRET: is not a signing secret; *",
    ),
    "Slack client": (
        "SLACK_CLIENT_ID=abc\n",
        ".env:1: SLACK_CLIENT_ID: is not a client id, * two numbers of 5 to 20 digits with a dot between, *",
    ),
    "Discord token": (
        f"DISCORD_BOT_TOKEN={SECRET}\n",
        ".env:1: DISCORD_BOT_TOKEN: * three parts *; copy it at discord.com/developers/*, page Bot*",
    ),
    "Discord token with Bot": (
        f"DISCORD_BOT_TOKEN=Bot {DISCORD}\n",
        ".env:1: DISCORD_BOT_TOKEN: begins with 'Bot'; give the token alone",
    ),
    "Discord token that is Slack's": (
        f"DISCORD_BOT_TOKEN=xoxb-{SECRET}\n",
        ".env:1: DISCORD_BOT_TOKEN: is a token of Slack, not of Discord; put it into SLACK_BOT_TOKEN",
    ),
    "Discord token that is Slack's app token": (
        f"DISCORD_BOT_TOKEN=xapp-{SECRET}\n",
        ".env:1: DISCORD_BOT_TOKEN: is a token of Slack, *; put it into SLACK_APP_TOKEN",
    ),
    "Discord token that is an id": (
        f"DISCORD_BOT_TOKEN={GUILD}\n",
        ".env:1: DISCORD_BOT_TOKEN: is an id of Discord (the application id?), not the token; *",
    ),
    "Discord token that is the public key": (
        f"DISCORD_BOT_TOKEN={'0a' * 32}\n",
        ".env:1: DISCORD_BOT_TOKEN: looks like the public key *, not the token; copy it at *",
    ),
    "Discord token that is the client secret": (
        f"DISCORD_BOT_TOKEN={SECRET}-0_23456789\n",
        ".env:1: DISCORD_BOT_TOKEN: looks like the client secret *, not the token; copy it at *",
    ),
    "Discord token of a person": (
        f"DISCORD_BOT_TOKEN=mfa.{SECRET}{SECRET}\n",
        ".env:1: DISCORD_BOT_TOKEN: is the token of a person's account, which no bot may use; *",
    ),
    "Discord token that is an address": (
        f"DISCORD_BOT_TOKEN=https://discord.com/api/webhooks/1/{SECRET}\n",
        ".env:1: DISCORD_BOT_TOKEN: is an address, not the token; *",
    ),
    "Discord token cut in the middle": (
        f"DISCORD_BOT_TOKEN={DISCORD.rpartition('.')[0]}.\n",
        ".env:1: DISCORD_BOT_TOKEN: * three parts *",
    ),
    "Discord token as Slack's": (
        f"SLACK_BOT_TOKEN={DISCORD}\n",
        ".env:1: SLACK_BOT_TOKEN: is no such token, which begins with xoxb-; *",
    ),
    "Discord guild": (
        f"DISCORD_GUILD_IDS={GUILD}, my-guild\n",
        ".env:1: DISCORD_GUILD_IDS: 'my-guild' is not an id but a name; * Copy Server ID",
    ),
    "Discord guild that is short": (
        "DISCORD_GUILD_IDS=12345678\n",
        ".env:1: DISCORD_GUILD_IDS: '12345678' is no id of a server, which has 17 to 20 digits; *",
    ),
    "Discord guild as a link": (
        f"DISCORD_GUILD_IDS=https://discord.com/channels/{GUILD}/1\n",
        f".env:1: DISCORD_GUILD_IDS: is a link; write the server's id, {GUILD}",
    ),
    "Discord's address as a WebSocket": (
        "DISCORD_API_URL=wss://gateway.discord.gg\n",
        ".env:1: DISCORD_API_URL: is not an http(s) address; *",
    ),
    "Discord's variable misspelt": (
        "DISCORD_TOKEN=x\nDISCORD_GUILD_ID=1\n",
        ".env:2: DISCORD_GUILD_ID: is no setting; did you mean DISCORD_GUILD_IDS?",
    ),
    "key with Bearer": (f"OPENAI_API_KEY=Bearer {SECRET}\n", ".env:1: OPENAI_API_KEY: * give the key alone"),
    "key with a space": (
        f"OPENAI_API_KEY={SECRET} {SECRET}\n",
        ".env:1: OPENAI_API_KEY: * copy the key again*",
    ),
    "placeholder": (
        "OPENAI_API_KEY=your-key-here\n",
        ".env:1: OPENAI_API_KEY: is a placeholder, not a key; *",
    ),
    "short secret key": ("QUARTET_SECRET_KEY=abc\n", ".env:1: QUARTET_SECRET_KEY: * openssl rand -hex 32"),
    "database": (f"DATABASE_URL=mysql://u:{SECRET}@h/d\n", ".env:1: DATABASE_URL: is no database we know; *"),
    "password in an address": (
        f"OPENAI_BASE_URL=https://u:{SECRET}@h/v1\n",
        ".env:1: OPENAI_BASE_URL: holds a name or password; *",
    ),
    "address without scheme": (
        "OLLAMA_BASE_URL=localhost:11434\n",
        ".env:1: OLLAMA_BASE_URL: is not an http(s) address; *",
    ),
    "address with a wild port": (
        "TAVILY_BASE_URL=http://h:99999\n",
        ".env:1: TAVILY_BASE_URL: is not an http(s) address; *",
    ),
    "port in words": ("PORT=http\n", ".env:1: PORT: * write a whole number"),
    "port zero": ("ORCHESTRATOR_PORT=0\n", ".env:1: ORCHESTRATOR_PORT: * write a number of at least 1"),
    "yes and no": ("ENABLE_DEBUG=maybe\n", ".env:1: ENABLE_DEBUG: * write true or false"),
    "log level": ("LOG_LEVEL=loud\n", ".env:1: LOG_LEVEL: 'LOUD' is not one of DEBUG, *"),
    "host without port": (
        "FETCH_ALLOW_HOSTS=localhost\n",
        ".env:1: FETCH_ALLOW_HOSTS: 'localhost' is not host:port; *",
    ),
    "project without key": (
        "BUILDER_AGENT_PROJECT_ID=12\n",
        ".env:1: BUILDER_AGENT_PROJECT_ID: * set CUSTOMGPT_API_KEY, *",
    ),
    "knowledge folder": (
        "KNOWLEDGE_DIR=/nowhere/at/all\n",
        ".env:1: KNOWLEDGE_DIR: there is no folder /nowhere/at/all; *",
    ),
    "home is a file": ("QUARTET_HOME=/etc/passwd\n", ".env:1: QUARTET_HOME: /etc/passwd is not a folder; *"),
    "unknown provider": ("QUARTET_MODEL=grok:grok-4\n", ".env:1: QUARTET_MODEL: * did you mean 'groq'?"),
    "binary": (b"API_KEY=\xff\xfe\n", ".env:1:9: is not UTF-8 text; save the file as UTF-8"),
}


def matches(text: str, pattern: str) -> bool:
    position = 0
    first, *others = pattern.split("*")
    if not text.startswith(first):
        return False
    position = len(first)
    for part in others:
        position = text.find(part, position)
        if position < 0:
            return False
        position += len(part)
    return pattern.endswith("*") or text.endswith(others[-1] if others else first)


@pytest.mark.parametrize("name", YAML)
def test_broken_yaml_is_refused_with_line_and_remedy(name: str, tmp_path: Path) -> None:
    text, expected = YAML[name]
    watch = Watch()
    refused = refusal(tmp_path, yaml=text)
    assert any(matches(line, expected) or line == expected for line in refused.splitlines()), refused
    assert SECRET not in refused
    assert watch.calm_s < 5


@pytest.mark.parametrize("name", DOTENV)
def test_broken_dotenv_is_refused_with_line_and_remedy(name: str, tmp_path: Path) -> None:
    text, expected = DOTENV[name]
    refused = refusal(tmp_path, dotenv=text)
    assert any(matches(line, expected) for line in refused.splitlines()), refused
    assert SECRET not in refused


def test_broken_environment_is_named_as_such(tmp_path: Path) -> None:
    refused = refusal(tmp_path, env={"SLACK_BOT_TOKEN": f"xoxp-{SECRET}"})
    assert refused.startswith("environment: SLACK_BOT_TOKEN: is no such token")
    assert SECRET not in refused


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    refused = refusal(tmp_path, yaml="prot: 1\nworkers: 0\n", dotenv="API_KY=x\n", env={"PORT": "x"})
    assert len(refused.splitlines()) == 4


def test_a_problem_is_one_line_whatever_the_file_holds(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, yaml='"a\\nb": 1\n').splitlines()) == 1


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name, said in (
        ("folder", "is a folder"),
        ("dangling", "no such file"),
        ("pipe", "not a plain file"),
        ("no", "no such"),
    ):
        with pytest.raises(ConfigError, match=f"{name}: .*{said}.*; .*--config FILE"):
            load_settings(config_file=tmp_path / name, env={}, env_file=None)
    for name in ("folder", "dangling", "pipe"):
        with pytest.raises(ConfigError, match=f"{name}: .*; make .env a plain text file, or remove it"):
            load_settings(env={}, env_file=tmp_path / name)


# ── workflows and agents ─────────────────────────────────────────────────────────────────────

WORKFLOW = {
    "loop without an end": (", max_visits: 5", "", "edges[*the loop through * set max_visits *"),
    "edge to nowhere": ("to: finish}", "to: finsh}", "edges[*].to: * did you mean 'finish'? *"),
    "unknown agent": (
        "agent: planner,",
        "agent: plannr,",
        "nodes.planner.agent: * did you mean 'planner'? *",
    ),
    "unknown kind": (
        "kind: decision, title: Answer",
        "kind: decison, title: Answer",
        "nodes.finish.kind: * did you mean 'decision'?",
    ),
    "unknown key": ("timeout: 300", "timout: 300", "nodes.planner.timout: * did you mean 'timeout'?"),
    "bad condition": (
        "and not reviewer.repeated",
        "and not rewiever.repeated",
        "edges[*].when: * did you mean 'reviewer'? *",
    ),
    "condition that calls": ("reviewer.score <", "__import__('os') <", "edges[*].when: * functions are *"),
    "condition that is none": (
        "reviewer.score <",
        "reviewer.score < <",
        "edges[*].when: * is not an expression*",
    ),
    "approval of nothing": ("of: planner", "of: plan", "nodes.plan_approval.of: * did you mean 'planner'? *"),
    "unknown edge kind": ("on: changes", "on: chagnes", "edges[3].on: * did you mean 'changes'?"),
    "name with a space": ("name: quartet", "name: My flow", "name: * use small letters, digits and _, *"),
    "version as a number": ('version: "1"', "version: 1.0", "version: * in quotes *"),
    "nobody leads there": (
        "nodes:\n",
        "nodes:\n  lost: {kind: decision}\n",
        "nodes.researcher: no edge leads to * add one, *",
    ),
    "no nodes": ("nodes:\n", "knots:\n", "the key 'nodes' is missing; add `nodes:`"),
    "timeout below zero": (
        "timeout: 300",
        "timeout: -3",
        "nodes.planner.timeout: * write a number of more than 0*",
    ),
    "unknown answer": ("draft: builder", "draft: bilder", "answer.draft: * did you mean 'builder'? *"),
}


def read_workflow(path: Path) -> Workflow:
    return read_model(
        path, Workflow, extra_check=lambda w: ((f.path, f.message) for f in problems(w, agents=AGENTS))
    )


def test_the_shipped_workflow_is_fine() -> None:
    workflow = read_workflow(WORKFLOWS_DIR / "quartet.yaml")
    assert {edge.on for edge in workflow.edges} == {"success", "changes"}  # the key `on`, not YAML 1.1's True


@pytest.mark.parametrize("name", WORKFLOW)
def test_broken_workflow_is_refused_with_line_and_remedy(name: str, tmp_path: Path) -> None:
    old, new, expected = WORKFLOW[name]
    text = (WORKFLOWS_DIR / "quartet.yaml").read_text()
    assert old in text
    file = tmp_path / "flow.yaml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        read_workflow(file)
    found = [p for p in caught.value.problems if matches(str(p).partition(": ")[2], expected)]
    assert found, str(caught.value)
    assert found[0].line is not None
    assert found[0].column is not None
    if name not in ("loop without an end", "no nodes", "nobody leads there"):
        line = file.read_text().splitlines()[found[0].line - 1]
        assert new.strip() in line or "when:" in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\ntitel: A\ninstructions: x\noutput: Draft\n", "titel: * did you mean 'title'?"),
        ("name: a\ntitle: A\noutput: Draft\n", "the key 'instructions' is missing; add `instructions:`"),
        ("name: a\ntitle: A\ninstructions: x\noutput: Draught\n", "output: there is no output * 'Draft'? *"),
        ("name: a\ntitle: A\ninstructions: x\noutput: Draft\ntools: knowledge\n", "tools: * write a list: *"),
    ],
)
def test_broken_agent_is_refused_with_remedy(text: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_model(file, AgentSpec)
    assert any(matches(str(p).partition(": ")[2], expected) for p in caught.value.problems), str(caught.value)
