"""Bots that start at once: forks of one Python in which everything is imported already.

Importing takes a second of processor time, and a test that kills the bot pays it again at every start. The
standard library's fork server is such a Python (it imports `warmed`). A bot made of it is a process of its
own like any other, with its own environment, folder, files and terminal, and SIGKILL ends it the same way;
only the start of Python and the imports are saved. What pipes and signals do is tested without it.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import runpy
import subprocess
import sys
import termios
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory


def started(
    command: Sequence[str],
    *,
    folder: Path,
    env: Mapping[str, str],
    into: Path,
    errors: Path | None = None,
    given: Path = Path(os.devnull),
) -> BaseProcess:
    """`quartet COMMAND` as a process of its own.

    Args:
        folder: where it runs.
        env: its whole environment.
        into: what it prints is written behind what this file holds; a terminal becomes its own.
        errors: the same for what it prints as errors; None: into the same file.
        given: what it reads.
    """
    warm = multiprocessing.get_context("forkserver")
    warm.set_forkserver_preload(["tests.journey.warm", "tests.journey.warmed"])
    process = warm.Process(
        target=_run, args=(list(command), folder, dict(env), (given, into, errors or into)), daemon=True
    )
    process.start()
    return process


def ran(
    command: Sequence[str], *, folder: Path, env: Mapping[str, str], within_s: float
) -> subprocess.CompletedProcess[bytes]:
    """Let `quartet COMMAND` run to its end, with nothing to read."""
    with TemporaryDirectory() as kept:
        out, errors = Path(kept, "out"), Path(kept, "errors")
        process = started(command, folder=folder, env=env, into=out, errors=errors)
        process.join(within_s)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(list(command), within_s)
        out.touch()
        errors.touch()
        return subprocess.CompletedProcess(
            list(command), process.exitcode, out.read_bytes(), errors.read_bytes()
        )


def _run(command: list[str], folder: Path, env: dict[str, str], files: tuple[Path, Path, Path]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    os.setsid()
    for number, file in enumerate(files):
        opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT if number else os.O_RDONLY, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    if os.isatty(1):
        fcntl.ioctl(1, termios.TIOCSCTTY, 0)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    for place in env.get("PYTHONPATH", "").split(os.pathsep):  # Python does this at its start
        if (custom := Path(place, "sitecustomize.py")).is_file():
            runpy.run_path(str(custom))
    from bot.cli import main

    sys.argv = ["quartet", *command]
    main()
