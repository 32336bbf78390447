"""Agents that are programs: what they are told, what they may use, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.agents.elsewhere.command import CommandPlayer
from orchestrator.agents.elsewhere.specs import CommandSpec
from orchestrator.errors import AgentFailed, Fenced, LimitReached
from orchestrator.events import Json
from tests.elsewhere import program, spec, surroundings
from tests.unit.agents.steps import MemorySink, step

STEP = step(
    "own", "count the cats", task="Count them.", inputs={"where": "garden"}, outcomes=("done", "none")
)


async def play(folder: Path, code: str | list[str], sink: MemorySink | None = None, **more: Any) -> Json:
    variables = more.pop("variables", {})
    asked = more.pop("step", STEP)
    command = program(code) if isinstance(code, str) else code
    given = spec("command", command=command, **more)
    assert isinstance(given, CommandSpec)
    async with surroundings(folder, variables=variables) as around:
        return await CommandPlayer(given, around).run(asked, sink or MemorySink())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie is gone as far as anybody is concerned.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(2):
        while alive(pid):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def pid_in(file: Path) -> int:
    async with asyncio.timeout(10):
        while not (file.exists() and file.read_text().endswith("\n")):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
    return int(file.read_text())  # noqa: ASYNC240


async def test_a_program_is_told_the_step_and_gives_a_report(tmp_path: Path) -> None:
    sink = MemorySink()
    made = await play(
        tmp_path,
        """
        say(doing="looking into the " + step["inputs"]["where"])
        say(checkpoint={"at": 1})
        say(beat=True)
        say(artifact={"body": f"{step['task']} {step['request']} {step['key']}", "outcome": "none"})
        """,
        sink,
    )
    assert made["body"] == "Count them. count the cats r1:own:1:1"
    assert made["outcome"] == "none"
    assert sink.said == ["working", "looking into the garden"]
    assert sink.saved == [{"at": 1}]
    assert list((tmp_path / "workspaces").iterdir()) == []


async def test_a_program_sees_no_variable_but_those_that_its_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    code = "say(artifact={'body': ' '.join(sorted(os.environ)) + os.environ['MINE'] + os.getcwd(), 'outcome': 'done'})"  # noqa: E501
    body = (await play(tmp_path, code, env=["MINE"], variables={"MINE": "=key", "OTHER": "x"}))["body"]
    assert "=key" in body
    assert "SLACK" not in body
    assert "OTHER" not in body
    assert str(tmp_path / "workspaces" / "step-") in body
    with pytest.raises(AgentFailed, match="the variable MISSING is not set; put it into"):
        await play(tmp_path, code, env=["MISSING"])


async def test_a_memory_hog_ends_at_its_limit(tmp_path: Path) -> None:
    with pytest.raises(LimitReached, match=r"needs more than 64 MB \(memory_mb\)"):
        await play(tmp_path, "x = bytearray(500_000_000)\nsay(artifact={'body': 'got it'})", memory_mb=64)


async def test_a_program_that_burns_the_processor_ends_at_its_limit(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(LimitReached, match=r"more than 1 s of the processor \(cpu_s\)"):
        await play(tmp_path, "while True: pass", cpu_s=1)
    assert time.monotonic() - began < 20


async def test_a_stopped_step_leaves_no_process_of_its_tree_behind(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = f"""
    import signal, subprocess
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
    with open({str(file)!r}, "w") as f: print(child.pid, file=f)
    time.sleep(600)
    """  # noqa: E501
    work = asyncio.create_task(play(tmp_path, code))
    child = await pid_in(file)
    began = time.monotonic()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert time.monotonic() - began < 2
    await until_gone(child)


async def test_children_that_a_program_leaves_behind_end_with_its_step(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = f"""
    import subprocess
    child = subprocess.Popen(["sleep", "600"])
    with open({str(file)!r}, "w") as f: print(child.pid, file=f)
    say(artifact={{"body": "done", "outcome": "done"}})
    """
    assert (await play(tmp_path, code))["body"] == "done"
    await until_gone(await pid_in(file))


async def test_a_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(LimitReached, match=r"did not end within 0.5 s \(timeout_s"):
        await play(tmp_path, "time.sleep(600)", timeout_s=0.5)


async def test_a_program_that_falls_silent_is_ended_and_one_that_beats_is_not(tmp_path: Path) -> None:
    beating = "for _ in range(8): say(beat=True); time.sleep(0.1)\nsay(artifact={'body': 'late', 'outcome': 'done'})"  # noqa: E501
    assert (await play(tmp_path, beating, heartbeat_s=0.2))["body"] == "late"
    with pytest.raises(AgentFailed, match=r"said nothing for 0.6 s") as silent:
        await play(tmp_path, "time.sleep(600)", heartbeat_s=0.2)
    assert silent.value.retryable


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('Traceback: <garbage>')", "said what is not JSON: 'Traceback: <garbage>'"),
        ("print('[' * 200000)", "not JSON"),
        ('print(\'{"artifact": {"body": NaN}}\')', "not JSON"),
        ("print('[]')", "none of the keys doing, checkpoint"),
        ("sys.stdout.buffer.write(b'\\xff\\xfe{}\\n')", "not JSON"),
        ("say(artifact={'body': 'x', 'more': 1})", "no Report .more: Extra inputs"),
        ("say(artifact={'body': ' ', 'outcome': 'done'})", "body is empty"),
        ("say(artifact={'body': 'x', 'outcome': 'great'})", "outcome 'great' was not offered"),
        ("say(artifact=7)", "no Report"),
        ("say(error={'message': 'the garden\\nis locked'})", "Own failed: the garden is locked$"),
        ("say(checkpoint={'x': 'y' * 2_000_000})", "checkpoint is larger"),
        (
            "sys.stdout.write('x' * 5_000_000); sys.stdout.flush(); time.sleep(600)",
            "line of more than 4,000,000",
        ),
        ("while True: say(doing='x' * 100_000)", "said more than 32,000,000 bytes"),
        ("sys.exit(3)", "ended with exit code 3$"),
        ("pass", "ended without an artifact$"),
        ("raise RuntimeError('the ladder broke')", "exit code 1: RuntimeError: the ladder broke"),
        ("os.kill(os.getpid(), 9)", "ended by SIGKILL"),
        ("sys.stderr.write('e' * 9_000_000); sys.exit(1)", "exit code 1: e{300}$"),
    ],
)
async def test_what_a_program_does_wrong_is_told_in_one_line(tmp_path: Path, code: str, message: str) -> None:
    with pytest.raises(AgentFailed, match=message) as failed:
        await play(tmp_path, code, timeout_s=30)
    assert "\n" not in str(failed.value)
    assert len(str(failed.value)) < 600


async def test_a_program_that_is_not_there_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(AgentFailed, match=r"cannot be started: no-such-program: No such file.*check command"):
        await play(tmp_path, ["no-such-program"])


async def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    code = [*program("say(artifact={'body': sys.argv[1], 'outcome': 'done'})"), "$(touch x); `id` && *"]
    assert (await play(tmp_path, code))["body"] == "$(touch x); `id` && *"


async def test_keys_of_a_program_stay_out_of_its_failure(tmp_path: Path) -> None:
    code = "sys.exit('the key ' + os.environ['MINE'] + ' is wrong')"
    with pytest.raises(AgentFailed, match="the key … is wrong"):
        await play(tmp_path, code, env=["MINE"], variables={"MINE": "k-123456"})


async def test_a_program_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    code = "say(artifact={'body': str(step['checkpoint']['at'] + 1), 'outcome': 'done'})"
    assert (await play(tmp_path, code, step=replace(STEP, checkpoint={"at": 41})))["body"] == "42"


async def test_a_step_of_a_run_that_somebody_else_owns_ends_and_takes_its_program_along(
    tmp_path: Path,
) -> None:
    class Lost(MemorySink):
        async def checkpoint(self, content: Json) -> None:
            raise Fenced("somebody else's")

    file = tmp_path / "pid"
    code = f"""
    with open({str(file)!r}, "w") as f: print(os.getpid(), file=f)
    say(checkpoint={{}})
    time.sleep(600)
    """
    with pytest.raises(Fenced):
        await play(tmp_path, code, Lost())
    await until_gone(await pid_in(file))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program that its parent died")
async def test_a_program_ends_with_a_bot_that_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    own = program(f"open({str(file)!r}, 'w').write(str(os.getpid()) + '\\n'); time.sleep(600)")
    bot = f"""
import asyncio, pathlib
from tests.integration.test_agents_command import play
asyncio.run(play(pathlib.Path({str(tmp_path)!r}), {own!r}))
"""
    running = await asyncio.create_subprocess_exec(sys.executable, "-c", bot)
    try:
        pid = await pid_in(file)
    finally:
        running.kill()
        await running.wait()
    await until_gone(pid)
