"""`quartet check`: what it shows, hides and returns."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bot.check import check, check_command, mask
from config.load import survey
from config.sources import VARIABLES
from orchestrator.infra.sqlite_store import SqliteStore

ROOT = Path(__file__).parents[3]
SECRET = "xoxb-1111222233334444-3f2a"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(check_command, arguments)


def test_a_fresh_folder_is_well_and_works_by_rules() -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert "All is well." in result.output
    assert "engine" in result.output
    assert "no provider has a key" in result.output
    assert not Path("var").exists()  # looking changes nothing


def test_every_variable_is_shown_with_its_origin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("\nLOG_LEVEL=debug\n")
    monkeypatch.setenv("ORCHESTRATOR_PORT", "9001")
    lines = {line.split()[1]: line for line in run().output.splitlines() if line[:1] in "✓·"}
    assert {known.name for known in VARIABLES.values()} <= lines.keys()
    assert "DEBUG  [.env:2]" in lines["LOG_LEVEL"]
    assert "9001  [environment]" in lines["ORCHESTRATOR_PORT"]
    assert "[default]" in lines["ORCHESTRATOR_HOST"]


def test_secrets_are_masked_wherever_they_stand(folder: Path) -> None:
    (folder / ".env").write_text(
        f"SLACK_BOT_TOKEN={SECRET}\nSLACK_SIGNING_SECRET={'a1' * 16}\nAPI_KEY=short-secret\nDATABASE_URL=postgresql://u:{SECRET}@h/d\nX_KEY={SECRET}\n"
    )
    (folder / "q.yaml").write_text(
        "providers: {lab: {base_url: 'http://127.0.0.1:1/v1', api_key_env: X_KEY}}\n"
    )
    output = run("--config", "q.yaml").output
    assert "xoxb-…3f2a" in output
    assert SECRET not in output
    assert "short-secret" not in output
    assert "postgresql://…" in output


def test_a_refused_secret_stays_secret(folder: Path) -> None:
    (folder / ".env").write_text(f"SLACK_APP_TOKEN={SECRET}\nOPENAI_BASE_URL=http://u:{SECRET}@h/v1\n")
    result = run()
    assert result.exit_code == 1
    assert SECRET not in result.output
    assert "✗ SLACK_APP_TOKEN (.env:1): is no such token, which begins with xapp-;" in result.output


def test_tokens_in_the_wrong_place_stay_secret(folder: Path) -> None:
    (folder / "q.yaml").write_text(
        f"slack: {{bot_token: {SECRET}, {SECRET}: 1}}\nfoo: {'8f14e45fceea167a' * 2}\nxapp-{SECRET}: x\n"
        f"chat: {{busy: {SECRET}}}\nagents: {{a: {{model: {SECRET}}}}}\n"
    )
    result = run("--config", "q.yaml")
    assert result.exit_code == 1
    assert "3333" not in result.output
    assert "8f14" not in result.output
    assert "tokens go into .env as SLACK_BOT_TOKEN" in result.output


def test_broken_settings_are_shown_beside_the_good_ones(folder: Path) -> None:
    (folder / "q.yaml").write_text("port: 99999\nchat:\n  busy: quee\nprot: 1\n")
    result = run("--config", "q.yaml")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert any(line.startswith("✗ ORCHESTRATOR_PORT") and "99999  [q.yaml:1]" in line for line in lines)
    assert any(line.startswith("✗ port (q.yaml:1:1): ") and "at most 65535" in line for line in lines)
    assert any(line.startswith("✗ chat.busy (q.yaml:3:3): ") and "'queue'" in line for line in lines)
    assert any(line.startswith("✗ prot (q.yaml:4:1): ") and "'port'" in line for line in lines)
    assert any(line.startswith("✓ ORCHESTRATOR_HOST") for line in lines)
    assert "3 to mend" in result.output


def test_what_is_not_used_is_never_called_fine() -> None:
    rows, fine = check(survey(env={"REDIS_URL": "redis://h"}, env_file=None))
    assert fine
    states = {row.name: row for row in rows}
    assert states["REDIS_URL"].state == "unused"
    assert "not used by this version" in states["REDIS_URL"].note


def test_own_workflows_are_checked(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "q.yaml").write_text("workflows_path: [mine]\n")
    (folder / "mine" / "bad.yaml").write_text("name: bad\nnodes:\n  a: {kind: agent, agent: resarcher}\n")
    (folder / "mine" / "twin.yaml").write_text(
        "name: quartet\nnodes:\n  a: {kind: agent, agent: researcher}\n"
    )
    (folder / "mine" / "good.yaml").write_text("name: good\nnodes:\n  a: {kind: agent, agent: researcher}\n")
    result = run("--config", "q.yaml")
    assert result.exit_code == 1
    assert "✗ nodes.a.agent (mine/bad.yaml:3:20): " in result.output
    assert "did you mean 'researcher'?" in result.output
    assert "✗ workflow quartet (mine/twin.yaml): " in result.output
    assert "workflow good" in result.output


def test_a_home_that_cannot_be_made_is_told(folder: Path) -> None:
    (folder / "file").write_text("")
    rows, fine = check(survey(env={"QUARTET_HOME": "file/var"}, env_file=None))
    assert not fine
    assert [row.name for row in rows if row.state == "wrong"] == ["home"]


def test_a_home_that_only_seems_writable_is_told(folder: Path) -> None:
    """`/proc` lets its owner write, and refuses every new folder."""
    rows, _ = check(survey(env={"QUARTET_HOME": "/proc/nope"}, env_file=None))
    (row,) = [row for row in rows if row.state == "wrong"]
    assert row.name == "home"
    assert "set QUARTET_HOME" in row.note


def kept(folder: Path, *statements: str) -> Path:
    (folder / "var").mkdir()
    path = folder / "var" / "quartet.db"
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    return path


def test_a_database_that_is_well_is_looked_at_and_left_alone(folder: Path) -> None:
    async def make() -> None:
        store = await SqliteStore.open(folder / "var" / "quartet.db", owners_dir=folder / "var" / "owners")
        await store.close()

    asyncio.run(make())
    before = sorted((p.name, p.stat().st_mtime_ns) for p in (folder / "var").iterdir())
    result = run()
    assert result.exit_code == 0, result.output
    assert "var/quartet.db" in result.output
    assert sorted((p.name, p.stat().st_mtime_ns) for p in (folder / "var").iterdir()) == before


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (("CREATE TABLE other (a)",), "belongs to another program"),
        (("CREATE TABLE migrations (version)", "INSERT INTO migrations VALUES (9999)"), "update Quartet"),
        (("CREATE TABLE migrations (odd)",), "database"),
    ],
)
def test_a_foreign_or_newer_database_is_told(folder: Path, statements: tuple[str, ...], words: str) -> None:
    kept(folder, *statements)
    result = run()
    assert result.exit_code == 1
    assert "✗ database" in result.output
    assert words in result.output


@pytest.mark.parametrize("content", [b"this is no database at all, " * 40, None])
def test_a_file_or_folder_in_the_databases_place_is_told(folder: Path, content: bytes | None) -> None:
    path = folder / "var" / "quartet.db"
    path.parent.mkdir()
    path.mkdir() if content is None else path.write_bytes(content)
    result = run()
    assert result.exit_code == 1
    assert "✗ database" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("secret", "shown"),
    [(SECRET, "xoxb-…3f2a"), ("sk-" + "a" * 30, "sk-…aaaa"), ("f" * 32, "…ffff"), ("short", "…"), ("", "…")],
)
def test_masks(secret: str, shown: str) -> None:
    assert mask(secret) == shown


# ── online ───────────────────────────────────────────────────────────────────────────────────


class Provider(BaseHTTPRequestHandler):
    """Takes one key."""

    def do_GET(self) -> None:
        right = self.headers["Authorization"] == "Bearer right-key" and self.path == "/v1/models"
        body = json.dumps({"data": []}).encode()
        self.send_response(200 if right else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def provider_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_online_asks_the_provider_with_the_key(provider_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", provider_url)
    monkeypatch.setenv("OPENAI_API_KEY", "right-key")
    result = run("--online")
    assert result.exit_code == 0, result.output
    assert "online openai" in result.output
    monkeypatch.setenv("OPENAI_API_KEY", "wrong-key")
    result = run("--online")
    assert result.exit_code == 1
    assert "refuses the key (401); set the right one" in result.output
    assert "wrong-key" not in result.output


def test_online_tells_when_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def free_port() -> int:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return port

    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{asyncio.run(free_port())}/v1")
    assert run().exit_code == 0  # nobody is asked without --online
    result = run("--online")
    assert result.exit_code == 1
    assert "cannot be reached" in result.output


# ── Slack ────────────────────────────────────────────────────────────────────────────────────

INSTALLS = {
    "SLACK_CLIENT_ID": "1234567.7654321",
    "SLACK_CLIENT_SECRET": "f" * 32,
    "SLACK_SIGNING_SECRET": "a1" * 16,
    "ORCHESTRATOR_BASE_URL": "https://bot.example.com",
}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "off"),
        ({"SLACK_BOT_TOKEN": SECRET, "SLACK_APP_TOKEN": "xapp-1-" + "a" * 20}, "Socket Mode, one workspace"),
        (
            {"SLACK_BOT_TOKEN": SECRET, "SLACK_SIGNING_SECRET": "a1" * 16},
            "HTTP at http://127.0.0.1:8080/slack/events, one workspace",
        ),
        (
            INSTALLS,
            "HTTP at https://bot.example.com/slack/events, installs at https://bot.example.com/slack/install",
        ),
    ],
)
def test_how_slack_is_connected_is_said(env: dict[str, str], said: str) -> None:
    rows, fine = check(survey(env=env, env_file=None))
    assert fine
    assert {row.name: row.value for row in rows}["slack"] == said


def test_without_a_public_address_slack_has_to_reach_the_bot_by_other_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", SECRET)
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "a1" * 16)
    result = run()
    assert result.exit_code == 0
    assert "! way from Slack: Slack must reach http://127.0.0.1:8080/slack/events" in result.output
    assert "set ORCHESTRATOR_BASE_URL to the https address" in result.output
    assert "All is well." not in result.output
    monkeypatch.setenv("ORCHESTRATOR_BASE_URL", "https://bot.example.com")
    assert "way from Slack" not in run().output


def test_a_public_address_without_a_key_is_said_to_answer_slack_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_BASE_URL", "https://bot.example.com")
    output = run().output
    assert "API_KEY is not set, so https://bot.example.com answers only /slack/ and /health" in output
    assert "All is well." not in output
    monkeypatch.setenv("API_KEY", "k" * 32)
    assert "All is well." in run().output
    monkeypatch.delenv("API_KEY")
    monkeypatch.setenv("ORCHESTRATOR_BASE_URL", "http://localhost:8080")
    assert "All is well." in run().output


def test_the_key_for_tokens_is_told_and_not_made_by_looking() -> None:
    rows, fine = check(survey(env=INSTALLS, env_file=None))
    (row,) = [row for row in rows if row.name == "secret key"]
    assert (fine, row.value, row.note) == (True, "var/secret.key", "made at the first start")
    assert not Path("var").exists()
    Path("var").mkdir()
    Path("var/secret.key").write_text("short\n")
    rows, fine = check(survey(env=INSTALLS, env_file=None))
    assert not fine
    assert "holds no key" in {row.name: row.note for row in rows}["secret key"]


# ── the same by other names ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", [["config", "--check"], ["bot", "check"]])
def test_python_dash_m_is_the_same_command(command: list[str], folder: Path) -> None:
    (folder / ".env").write_text("API_KY=x\n")
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert "✗ API_KY (.env:1): is no setting; did you mean API_KEY?" in done.stdout
    assert "1 to mend" in done.stderr


def test_python_dash_m_config_alone_says_what_it_is_for() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "config"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("usage: python -m config --check")
