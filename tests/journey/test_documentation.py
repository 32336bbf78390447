"""What the pages tell people to type works: README, docs and the shipped knowledge folder."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.contract import Command, ConversationRef, Person
from adapters.discord.commands import Quartet
from adapters.discord.manifest import SWITCHES
from adapters.discord.scopes import REASONS as PERMISSION_REASONS
from adapters.discord.scopes import TITLES, permissions
from adapters.slack.manifest import NAME
from adapters.slack.scopes import REASONS, bot_scopes
from bot.app import open_core
from bot.members import DISCORD_PERMISSIONS
from config.load import load_settings
from config.sources import VARIABLES
from tests.journey.bot_process import ROOT
from tests.journey.warm import ran

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "knowledge").glob("*.md")),
]
# Run by tests of their own: what serves (bot_process), what sets up (test_house and CI), HTTP (test_api).
ELSEWHERE = re.compile(r"make |git |curl |quartet up|.*quartet worker")
CLIENTS = {"QUARTET_URL", "QUARTET_API_KEY"}  # read by `quartet_client`, wherever it runs
STANDS_FOR = {
    "ID": "RUN",
    "FILE": "config/workflows/quartet.yaml",
    "NAME": "quartet",
    "WORKFLOW": "quartet",
    "TEXT": "hello",
    "PACK": "tea",
}


def pack(folder: Path) -> Path:
    """A small pack whose manifest does not list its files yet."""
    (folder / "workflows").mkdir(parents=True, exist_ok=True)
    manifest = "name: tea\nversion: '1'\ndescription: Tea\nauthor: Ada\nworkflows: [workflows/tea.yaml]\n"
    (folder / "pack.yaml").write_text(manifest)
    workflow = "name: tea\nnodes: {look: {kind: agent, agent: researcher}}\n"
    (folder / "workflows" / "tea.yaml").write_text(workflow)
    return folder


def commands(block: str) -> list[str]:
    """Its commands: a line whose quotes are open goes on in the next one."""
    found: list[str] = []
    begun = ""
    for line in block.splitlines():
        begun = f"{begun}\n{line}" if begun else line
        try:
            shlex.split(begun, comments=True)
        except ValueError:
            continue
        found.append(begun)
        begun = ""
    assert not begun, f"quotes stay open: {begun!r}"
    return found


def shell_lines() -> list[tuple[str, str]]:
    """Lines of shell blocks and quoted `quartet …` commands, with their page."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"^ *```(?:sh|bash|console)\n(.*?)^ *```", text, re.S | re.M)
        lines = [line for block in blocks for line in commands(block.replace("\\\n", " ")) if line.strip()]
        lines += re.findall(r"`((?:\.venv/bin/)?quartet [^`\n]*)`", text)
        found += [(page.name, line.strip()) for line in lines if not line.lstrip().startswith("#")]
    return found


def chat_words() -> list[tuple[str, str]]:
    return [
        (page.name, words)
        for page in PAGES
        for words in re.findall(r"`/quartet ([^`\n]*)`", page.read_text())
    ]


def quartet(home: Path, words: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    own = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME")}
    done = ran(words, folder=ROOT, env={**own, "QUARTET_HOME": str(home), **env}, within_s=120)
    return subprocess.CompletedProcess(
        words, done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")
    )


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home with one ended run in it, and the run's id."""
    home = tmp_path_factory.mktemp("home")
    answered = quartet(home, ["ask", "--yes", "How do approvals work?"])
    assert answered.returncode == 0, answered.stderr
    listed = quartet(home, ["runs"])
    run = re.search(r"\br[a-z0-9]{12}\b", listed.stdout)
    assert run is not None, listed.stdout
    return home, run[0]


@pytest.mark.timeout(300)
def test_every_quartet_command_in_the_pages_works(asked: tuple[Path, str]) -> None:
    home, run_id = asked
    folder = str(pack(home / "tea"))
    stands_for = {**STANDS_FOR, "FOLDER": folder, "PATH": folder}
    tried: set[str] = set()
    for page, line in shell_lines():
        line = line.removeprefix("$ ").removeprefix(".venv/bin/")
        if ELSEWHERE.match(line) or line in tried:
            continue
        tried.add(line)
        assert line.startswith("quartet"), f"{page}: {line!r} is run by no test"
        words = [stands_for.get(w, w).replace("RUN", run_id) for w in shlex.split(line)[1:]]
        words = [str(home / w) if w.endswith((".png", ".svg")) else w for w in words]
        if words[:1] == ["ask"] and not any(not w.startswith("-") and w != "quartet" for w in words[1:]):
            words.append("hello")
        done = quartet(home, words)
        # An ended run cannot be stopped, paused or resumed: the command says so, and is a command.
        controls = words[:1] == ["runs"] and words[1:2] and words[1] in ("stop", "pause", "resume")
        no_input = words[:1] == ["ask"] and "--yes" not in words
        assert done.returncode in ((0, 3) if no_input else (0, 1) if controls else (0,)), (
            page,
            line,
            done.stderr,
        )
        assert "Traceback" not in done.stderr
        if controls:
            assert "ended" in done.stderr, (page, line, done.stderr)
    assert len(tried) >= 10


def test_slacks_page_names_every_scope_with_its_reason_and_no_other() -> None:
    page = (ROOT / "docs" / "slack.md").read_text()
    table = dict(re.findall(r"^\| `([a-z_.]+:[a-z_.]+|commands)` \| (.+) \|$", page, re.M))
    assert table == {scope: REASONS[scope] for scope in bot_scopes()}


def test_discords_page_names_every_permission_with_its_reason_and_no_other() -> None:
    page = (ROOT / "docs" / "discord.md").read_text()
    section = page.split("## Permissions, and why each")[1].split("\n## ")[0]
    table = dict(re.findall(r"^\| ([A-Z][A-Za-z ]+) \| (.+) \|$", section, re.M))
    assert table == {TITLES[name]: PERMISSION_REASONS[name] for name in permissions()}
    told = re.findall(r"`([a-z]+_[a-z]+|administrator)`", page.split("A list of people")[1].split("\n\n")[0])
    assert [name for name in told if name in DISCORD_PERMISSIONS] == list(DISCORD_PERMISSIONS)
    for switch, state, _ in SWITCHES:
        pages, _, name = switch.partition(" > ")
        assert f"| {pages}, {name.replace(', ', ' and ')} | {state} |" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_that_a_page_names_is_one(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"\b(?:SLACK|QUARTET|ORCHESTRATOR|DISCORD)_[A-Z_]+\b", text))
    named |= set(re.findall(r"^ *([A-Z][A-Z_]+)=", text, re.M))
    assert named <= {*VARIABLES, *CLIENTS}


def test_the_way_to_slack_begins_with_nothing_and_leaves_nothing_out() -> None:
    section = (ROOT / "README.md").read_text().split("## Slack in five minutes")[1].split("\n## ")[0]
    steps = [
        "make install", "quartet manifest slack", "From a manifest", "Install App", "xoxb-",
        "connections:write", "SLACK_BOT_TOKEN=", "SLACK_APP_TOKEN=", "quartet check --online", "make up",
        "/invite @Quartet",
    ]  # fmt: skip
    found = [section.index(step) for step in steps]
    assert found == sorted(found)
    assert NAME == "Quartet"


def test_the_way_to_discord_begins_with_nothing_and_leaves_nothing_out() -> None:
    section = (ROOT / "README.md").read_text().split("## Discord in five minutes")[1].split("\n## ")[0]
    steps = [
        "New Application", "Install Link", "Reset Token", "Public Bot", "Message Content Intent",
        "DISCORD_BOT_TOKEN=", "make install", "quartet manifest discord", "quartet check --online", "make up",
        "@Quartet",
    ]  # fmt: skip
    found = [section.index(step) for step in steps]
    assert found == sorted(found)
    assert f"the {['', '', '', '', '', 'five', 'six', 'seven'][len(permissions())]} permissions" in section


@pytest.mark.parametrize(("page", "line"), [(p, t) for p, t in shell_lines() if t.startswith("make ")])
def test_every_make_command_in_the_pages_is_one(page: str, line: str) -> None:
    done = subprocess.run(
        ["make", "-n", *shlex.split(line)[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (page, line, done.stderr)


async def test_every_word_after_quartet_in_the_pages_is_known(tmp_path: Path) -> None:
    settings = load_settings(env={"QUARTET_HOME": str(tmp_path)}, env_file=None)
    conversation = ConversationRef(platform="web", workspace="local", channel="general", thread="c1")
    person = Person(platform="web", id="ada", name="Ada", is_admin=True)
    words = chat_words()
    assert len(words) >= 8
    async with open_core(settings) as core, asyncio.timeout(30):
        for i, (page, text) in enumerate(words):
            if text == "home":  # Discord's way to the page that Slack has as a tab
                assert Quartet.home.name == text
                continue
            text = (
                text.replace("KEY=VALUE", "busy=queue")
                .replace("WORKFLOW TEXT", "quartet hello")
                .replace("TEXT", "hello")
            )
            command = Command(
                key=f"k{i}", conversation=conversation, person=person, text=text, at=datetime.now(UTC)
            )
            receipt = await core.inbound.command(command)
            assert "There is no command" not in receipt.text, (page, text)
            assert "is not a setting" not in receipt.text, (page, text)
