"""The command as people and scripts run it: real processes, real pipes, a real terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jsonschema
import pytest

from tests.calm import Watch
from tests.journey.warm import ran

ROOT = Path(__file__).parents[2]
LIMIT_S = 120  # for one command; they take about three seconds on a free machine
QUESTION = "How do approvals work?"
COMMANDS = ("up", "ask", "check", "runs", "workflows", "manifest", "agents")
SUBCOMMANDS = ("runs list", "runs show", "runs stop", "runs pause", "runs resume",
               "workflows list", "workflows show", "workflows check", "manifest slack")  # fmt: skip

pytestmark = pytest.mark.timeout(300)


class Quartet:
    """Runs the command in an empty working folder with its own home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Nothing of the machine's own settings may reach the command under test.
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")}
        self.env = {**keep, "QUARTET_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT), "TERM": "xterm"}

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "bot", *args]

    def run(self, *args: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        if given is None:  # nothing here that a Python of its own would do otherwise
            return ran(args, folder=self.folder, env=self.env, within_s=LIMIT_S)
        return subprocess.run(
            self.command(*args), input=given, capture_output=True, cwd=self.folder, env=self.env,
            timeout=LIMIT_S, check=False,
        )  # fmt: skip

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=self.folder, env=self.env,
        )  # fmt: skip

    def runs(self) -> list[dict[str, str]]:
        return json.loads(self.run("runs", "list", "--json").stdout)


@pytest.fixture
def quartet(tmp_path: Path) -> Quartet:
    return Quartet(tmp_path)


def errors(done: subprocess.CompletedProcess[bytes]) -> str:
    text = done.stderr.decode()
    assert "Traceback" not in text
    return text


# ── help and usage ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("words", ["", *COMMANDS, *SUBCOMMANDS])
def test_help_has_examples(quartet: Quartet, words: str) -> None:
    done = quartet.run(*words.split(), "--help")
    assert done.returncode == 0
    text = done.stdout.decode()
    assert re.search(r"\n  Examples?:\n", text), text  # on a line of its own: not run together
    assert "quartet" in text


def test_help_is_quick_since_nothing_heavy_is_imported(quartet: Quartet) -> None:
    code = "import sys, bot.cli; bot.cli.main(args=['--help'])"
    probe = (
        f"import atexit, sys; atexit.register(lambda: print(sorted(sys.modules), file=sys.stderr)); {code}"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, env=quartet.env, check=True)
    loaded = done.stderr.decode()
    for heavy in ("'pydantic'", "'fastapi'", "'pydantic_ai'", "'rich'", "'starlette'", "'asyncio'"):
        assert heavy not in loaded


@pytest.mark.parametrize("name", ["audit", "worker"])
def test_what_is_not_in_this_version_is_absent(quartet: Quartet, name: str) -> None:
    done = quartet.run(name)
    assert done.returncode == 2
    assert name not in quartet.run("--help").stdout.decode()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("rnus",), "did you mean 'runs'?"),
        (("ask", "x", "--yes", "--no-input"), "give one of them"),
        (("ask", "x", "--context", "tone"), "is not K=V"),
        (("ask", "x", "--context", "=v"), "is not K=V"),
        (("ask", "x", "--file", "nowhere.txt"), "there is no such file"),
        (("ask", "x", "--file", "."), "it is a folder"),
        (("ask", "x", "--yes", "--workflow", "qartet"), "did you mean 'quartet'?"),
        (("ask", "x", "--conversation", "a b/c"), "1 to 64 letters"),
        (("ask",), "nothing to ask"),
        (("ask", "   "), "nothing to ask"),
        (("up", "--port", "99999"), "--port"),
        (("runs", "list", "--status", "bad"), "--status"),
        (("manifest", "slack", "--http"), "give it: --base-url https://"),
        (("manifest", "slack", "--base-url", "http://127.0.0.1"), "Slack takes https addresses alone"),
        (("manifest", "teams"), "teams"),
    ],
)
def test_wrong_use_exits_2_and_names_the_remedy(quartet: Quartet, args: Sequence[str], words: str) -> None:
    done = quartet.run(*args)
    assert words in " ".join(errors(done).split())
    assert done.returncode == 2
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("runs", "show", "nope"), "there is no run 'nope'"),
        (("runs", "stop", "nope"), "there is no run 'nope'"),
        (("workflows", "show", "qartet"), "did you mean 'quartet'?"),
        (("workflows", "check", "nowhere.yaml"), "nowhere.yaml"),
        (("--config", "nowhere.yaml", "agents"), "nowhere.yaml"),
        (("agents", "--config", "nowhere.yaml"), "nowhere.yaml"),
        (("manifest", "discord", "--online"), "set DISCORD_BOT_TOKEN"),
    ],
)
def test_what_is_not_there_exits_1_in_one_line(quartet: Quartet, args: Sequence[str], words: str) -> None:
    done = quartet.run(*args)
    text = errors(done)
    assert words in text
    assert len(text.strip().split("\n")) == 1
    assert done.returncode == 1


def test_manifest_prints_json_for_the_address_that_is_set(quartet: Quartet) -> None:
    done = quartet.run("manifest", "slack")
    assert done.returncode == 0
    given = json.loads(done.stdout)
    assert given["settings"]["socket_mode_enabled"] is True
    assert "redirect_urls" not in given["oauth_config"]
    quartet.env["ORCHESTRATOR_BASE_URL"] = "https://bot.example.com"
    given = json.loads(quartet.run("manifest", "slack", "--http").stdout)
    assert given["settings"]["interactivity"]["request_url"] == "https://bot.example.com/slack/events"
    assert given["oauth_config"]["redirect_urls"] == ["https://bot.example.com/slack/oauth_redirect"]
    quartet.env["ORCHESTRATOR_BASE_URL"] = "http://127.0.0.1:8080"  # no address that Slack could reach
    assert "redirect_urls" not in json.loads(quartet.run("manifest", "slack").stdout)["oauth_config"]


def test_broken_settings_are_told_with_file_and_line(quartet: Quartet) -> None:
    (quartet.folder / "own.yaml").write_text("chat:\n  aprovals: ask\n")
    done = quartet.run("--config", "own.yaml", "ask", "--yes", "x")
    assert "own.yaml:2" in errors(done)
    assert done.returncode == 1


# ── a turn ───────────────────────────────────────────────────────────────────────────────────


def test_answer_alone_is_on_stdout_and_progress_on_stderr(quartet: Quartet) -> None:
    done = quartet.run("ask", "--yes", QUESTION)
    answer, progress = done.stdout.decode(), errors(done)
    assert done.returncode == 0, progress
    assert "approvals.md" in answer  # a source from the knowledge folder
    assert "engine: rules" in answer
    assert "Researcher: " not in answer
    assert "\x1b" not in answer + progress
    lines = [line for line in progress.split("\n") if line.startswith("- Builder: done")]
    assert len(lines) == 1
    assert "engine: rules" in progress


def test_json_is_all_of_stdout_and_fits_its_schema(quartet: Quartet) -> None:
    from bot.api.views import ChatResponse

    done = quartet.run("ask", "--yes", "--json", QUESTION)
    assert done.returncode == 0, errors(done)
    body = json.loads(done.stdout)
    jsonschema.validate(body, ChatResponse.model_json_schema(mode="serialization"))
    assert body["status"] == "completed"
    assert body["message"]["content"]
    assert body["metadata"]["sources"]


def test_no_input_rejects_and_exits_3(quartet: Quartet) -> None:
    done = quartet.run("ask", "--no-input", QUESTION)
    assert done.returncode == 3, errors(done)
    assert done.stdout == b""
    assert [run["status"] for run in quartet.runs()] == ["rejected"]


def test_without_a_terminal_it_rejects_and_says_so(quartet: Quartet) -> None:
    done = quartet.run("ask", "-", given=QUESTION.encode())
    assert done.returncode == 3
    assert "--yes approves it" in errors(done)


def test_text_comes_through_a_pipe_and_files_are_attached(quartet: Quartet) -> None:
    (quartet.folder / "notes.bin").write_bytes(bytes(range(256)) * 10)
    (quartet.folder / "big.txt").write_bytes(b"all work and no play\n" * 500_000)
    args = ("ask", "--yes", "--file", "notes.bin", "--file", "big.txt", "--context", "tone=friendly")
    done = quartet.run(*args, given=QUESTION.encode())
    assert done.returncode == 0, errors(done)
    (run,) = quartet.runs()
    shown = json.loads(quartet.run("runs", "show", run["id"], "--json").stdout)
    turn = shown["events"][0]["turn"]
    assert [(f["name"], f["size"]) for f in turn["files"]] == [("notes.bin", 2560), ("big.txt", 10_500_000)]
    assert turn["text"] == QUESTION
    assert turn["context"] == {"tone": "friendly"}


def test_unusual_context_is_noted_and_taken(quartet: Quartet) -> None:
    done = quartet.run("ask", "--yes", "--context", "format=nonsense", "--context", "own=x", QUESTION)
    assert done.returncode == 0
    assert "format is usually one of prose, bullets, table, steps; 'nonsense'" in errors(done)
    assert "own is" not in errors(done)


def test_help_speaks_of_what_there_is(quartet: Quartet) -> None:
    words = " ".join(quartet.run("--help").stdout.decode().split())
    assert "Slack" in words
    assert "Slack" in quartet.run("up", "--help").stdout.decode()
    assert "Discord" in words
    assert "Discord" in quartet.run("up", "--help").stdout.decode()
    assert "01J8" not in quartet.run("runs", "--help").stdout.decode()
    asking = " ".join(quartet.run("ask", "--help").stdout.decode().split())
    assert "stdin.txt" in asking
    assert "command word" in asking


def test_what_is_piped_beside_a_text_is_attached(quartet: Quartet) -> None:
    assert quartet.run("ask", "--yes", QUESTION, given=b"\xffthe notes\n").returncode == 0
    (run,) = quartet.runs()
    turn = json.loads(quartet.run("runs", "show", run["id"], "--json").stdout)["events"][0]["turn"]
    assert turn["text"] == QUESTION
    assert [(f["name"], f["size"]) for f in turn["files"]] == [("stdin.txt", 11)]


def test_pipe_that_nobody_writes_to_holds_no_turn(quartet: Quartet) -> None:
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            quartet.command("ask", "--yes", QUESTION), stdin=reader, capture_output=True,
            cwd=quartet.folder, env=quartet.env, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    finally:
        os.close(reader)
        os.close(writer)
    assert done.returncode == 0, errors(done)
    assert "Nothing came through the pipe" in errors(done)


@pytest.mark.parametrize("args", [("up", "--port", "18099"), ("ask", "--yes", QUESTION), ("runs",)])
def test_home_that_cannot_be_made_is_told_in_one_line(quartet: Quartet, args: Sequence[str]) -> None:
    quartet.env["QUARTET_HOME"] = "/proc/nope"
    done = quartet.run(*args)
    text = errors(done)
    assert done.returncode == 1
    assert "QUARTET_HOME" in text
    assert "--debug" not in text
    assert len(text.strip().split("\n")) == 1


def test_file_that_is_too_large_is_refused_before_anything_starts(quartet: Quartet) -> None:
    path = quartet.folder / "huge.bin"
    with path.open("wb") as file:
        file.truncate(20_000_001)
    done = quartet.run("ask", "--yes", "--file", "huge.bin", "x")
    assert done.returncode == 2
    assert "at most 20,000,000" in " ".join(errors(done).split())


@pytest.mark.parametrize("given", [b"\xff\xfe\x00binary\x80", b"x" * 1_000_001])
def test_input_that_is_no_text_or_too_long_is_refused(quartet: Quartet, given: bytes) -> None:
    done = quartet.run("ask", "--yes", "-", given=given)
    assert done.returncode == 2
    assert "--file PATH" in " ".join(errors(done).split())


def test_hostile_text_is_shown_and_not_obeyed(quartet: Quartet) -> None:
    hostile = "approvals \x1b[2J\x1b]0;owned\x07 <script>alert(1)</script> \u202egnp @everyone \x9b31m"
    done = quartet.run("ask", "--yes", "-", given=hostile.encode())
    both = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, both
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", both)
    assert "<script>alert(1)</script>" in both
    listed = quartet.run("runs", "list").stdout.decode()
    shown = quartet.run("runs", "show", quartet.runs()[0]["id"]).stdout.decode()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", listed + shown)


def test_second_turn_continues_a_named_conversation(quartet: Quartet) -> None:
    assert quartet.run("ask", "--yes", "--conversation", "bridge", QUESTION).returncode == 0
    assert quartet.run("ask", "--yes", "--conversation", "bridge", "And how do they expire?").returncode == 0
    assert len({run["conversation_id"] for run in quartet.runs()}) == 1


# ── looking at runs ──────────────────────────────────────────────────────────────────────────


def test_runs_are_listed_shown_by_prefix_and_counted_for_agents(quartet: Quartet) -> None:
    assert b"No runs yet" in quartet.run("runs").stdout
    assert quartet.run("ask", "--yes", QUESTION).returncode == 0
    (run,) = quartet.runs()
    shown = quartet.run("runs", "show", run["id"][:6])
    text = shown.stdout.decode()
    assert shown.returncode == 0, errors(shown)
    for part in ("created by", "researcher done", "plan_approval settled: approve", "ended: completed"):
        assert part in text
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \w+", text)  # a time with its zone
    agents = json.loads(quartet.run("agents", "--json").stdout)
    assert {a["name"]: a["success_rate"] for a in agents if a["steps"]} == dict.fromkeys(
        ("researcher", "planner", "builder", "reviewer"), 1.0
    )
    again = quartet.run("runs", "stop", run["id"])
    assert again.returncode == 1
    assert "has ended already" in errors(again)


def test_workflow_check_tells_line_and_remedy(quartet: Quartet) -> None:
    shipped = ROOT / "config" / "workflows" / "quartet.yaml"
    assert quartet.run("workflows", "check", str(shipped)).returncode == 0
    (quartet.folder / "mine.yaml").write_text(
        "name: mine\nnodes:\n  a: {kind: agent, agent: bilder}\nedges:\n  - {from: a, to: b}\n"
    )
    done = quartet.run("workflows", "check", "mine.yaml")
    text = errors(done)
    assert done.returncode == 1
    assert "mine.yaml:3" in text
    assert "mine.yaml:5" in text


# ── signals and pipes ────────────────────────────────────────────────────────────────────────


def test_ctrl_c_stops_the_run_and_exits_130(quartet: Quartet) -> None:
    with quartet.start("ask", "--yes", QUESTION) as running:
        assert running.stderr is not None
        first = running.stderr.readline()  # the status card is there: the run has begun
        assert b"working" in first, first
        watch = Watch()
        running.send_signal(signal.SIGINT)
        _, rest = running.communicate(timeout=LIMIT_S)
    assert running.returncode == 130, rest
    assert watch.calm_s < 5
    assert b"Traceback" not in rest
    assert [run["status"] for run in quartet.runs()] == ["stopped"]


@pytest.mark.parametrize(
    ("args", "codes"), [(("ask", "--yes", QUESTION), {0}), (("check",), {141}), (("--help",), {141})]
)
def test_closed_pipe_is_quiet(quartet: Quartet, args: Sequence[str], codes: set[int]) -> None:
    with quartet.start(*args) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        progress = running.stderr.read().decode()
        code = running.wait(LIMIT_S)
    assert "Traceback" not in progress
    assert "BrokenPipe" not in progress
    assert code in codes, progress


# ── at a real terminal ───────────────────────────────────────────────────────────────────────


class Terminal:
    """The command with stdin, stdout and stderr on one pseudo-terminal."""

    def __init__(self, quartet: Quartet, *args: str, **env: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
        self.running = subprocess.Popen(
            quartet.command(*args), stdin=slave, stdout=slave, stderr=slave, cwd=quartet.folder,
            env={**quartet.env, **env}, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def until(self, enough: Callable[[str], bool]) -> None:
        """Read the screen until it shows what is waited for."""
        while not enough(self.seen):
            assert self._read(), self.seen

    def _read(self) -> bool:
        """Read what is there; False when the program has closed the terminal."""
        assert select.select([self.master], [], [], LIMIT_S)[0], self.seen
        try:
            got = os.read(self.master, 65_536)
        except OSError:
            return False
        self.seen += got.decode("utf-8", "replace")
        return bool(got)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        """Wait until the command has ended; its exit code."""
        while self._read():
            pass
        return self.running.wait(LIMIT_S)

    def close(self) -> None:
        self.running.kill()
        self.running.wait(LIMIT_S)
        os.close(self.master)


@pytest.fixture
def at_terminal(quartet: Quartet) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*args: str, **env: str) -> Terminal:
        opened.append(Terminal(quartet, *args, **env))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def test_person_approves_at_the_prompt(quartet: Quartet, at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("ask", QUESTION)
    terminal.until(lambda seen: seen.rstrip().endswith("›"))
    assert "[a]" in terminal.seen
    assert "[r]" in terminal.seen
    terminal.type("nonsense\n")
    terminal.until(lambda seen: "one of the letters" in seen and seen.rstrip().endswith("›"))
    terminal.type("a\n")
    assert terminal.end() == 0
    assert "approvals.md" in terminal.seen


def test_person_edits_the_plan_in_the_editor(quartet: Quartet, at_terminal: Callable[..., Terminal]) -> None:
    editor = quartet.folder / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i "s/How do approvals work/Why do approvals exist/" "$1"\n')
    editor.chmod(0o755)
    terminal = at_terminal("ask", QUESTION, EDITOR=str(editor))
    terminal.until(lambda seen: seen.rstrip().endswith("›"))
    terminal.type("e\n")
    assert terminal.end() == 0
    (run,) = quartet.runs()
    log = json.loads(quartet.run("runs", "show", run["id"], "--json").stdout)["events"]
    (resolved,) = [event for event in log if event["type"] == "approval_resolved"]
    assert resolved["outcome"] == "edit"
    assert resolved["output"]["goal"] == "Why do approvals exist?"


def test_ctrl_c_at_the_prompt_stops_the_run(quartet: Quartet, at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("ask", QUESTION)
    terminal.until(lambda seen: seen.rstrip().endswith("›"))
    terminal.type("\x03")
    assert terminal.end() == 130
    assert [run["status"] for run in quartet.runs()] == ["stopped"]


def test_end_of_input_at_the_prompt_rejects(quartet: Quartet, at_terminal: Callable[..., Terminal]) -> None:
    terminal = at_terminal("ask", QUESTION)
    terminal.until(lambda seen: seen.rstrip().endswith("›"))
    terminal.type("\x04")
    assert terminal.end() == 3


def test_prompt_closes_when_the_run_is_stopped_elsewhere(
    quartet: Quartet, at_terminal: Callable[..., Terminal]
) -> None:
    terminal = at_terminal("ask", QUESTION)
    terminal.until(lambda seen: seen.rstrip().endswith("›"))
    (run,) = quartet.runs()
    assert quartet.run("runs", "stop", run["id"]).returncode == 0
    assert terminal.end() == 3
