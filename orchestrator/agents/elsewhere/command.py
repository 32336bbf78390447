"""An agent that is a program: started for each step, one line of JSON in, lines of JSON out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal

from orchestrator.agents.elsewhere import wire
from orchestrator.agents.elsewhere.lines import Lines
from orchestrator.agents.elsewhere.processes import STDERR_BYTES, environment, fresh_folder, program
from orchestrator.agents.elsewhere.specs import CommandSpec
from orchestrator.agents.elsewhere.surroundings import ElsewherePlayer
from orchestrator.errors import AgentFailed, LimitReached
from orchestrator.events import Json
from orchestrator.ports import StepInput, StepSink

MISSED = 3  # as many times heartbeat_s a program may be silent
EXIT_S = 2.0  # for a program to end once it has closed its output


class CommandPlayer(ElsewherePlayer[CommandSpec]):
    """An agent that is a program."""

    async def work(self, step: StepInput, sink: StepSink) -> Json:
        """Start it, tell it the step, and read what it says until the artifact is there."""
        spec = self.spec
        told = json.dumps(wire.request_of(wire.step_of(step, spec.output))).encode() + b"\n"
        async with fresh_folder(self.around) as folder:
            env = environment(folder, spec.env, self.around, spec.title)
            async with program(
                spec.command, memory_mb=spec.memory_mb, cpu_s=spec.cpu_s, env=env, cwd=folder
            ) as running:
                assert running.stdin is not None
                assert running.stdout is not None
                assert running.stderr is not None
                feeding = asyncio.create_task(_feed(running.stdin, told))
                listening = asyncio.create_task(_tail(running.stderr))
                try:
                    made = await self._heard(running.stdout, sink)
                    if made is None:
                        raise await self._ended(running, listening, env)
                finally:
                    for task in (feeding, listening):
                        task.cancel()
                    await asyncio.gather(feeding, listening, return_exceptions=True)
        return wire.artifact(made, step, spec.output, spec.title)

    async def _heard(self, stdout: asyncio.StreamReader, sink: StepSink) -> object | None:
        """Read until the artifact; None: the program ended without one."""
        lines, title = Lines(self.spec.title), self.spec.title
        while True:
            piece = await self._piece(stdout)
            await asyncio.sleep(0)  # a program that says much must not hold up the others
            for line in lines.feed(piece) if piece else lines.last():
                self.heard()
                made = await wire.take(wire.parse(line, title), sink, title)
                if made is not None:
                    return made
            if not piece:
                return None

    async def _piece(self, stdout: asyncio.StreamReader) -> bytes:
        silent_s = self.spec.heartbeat_s and MISSED * self.spec.heartbeat_s
        reading = stdout.read(65_536)
        if not silent_s:
            return await reading
        try:
            return await asyncio.wait_for(reading, silent_s)
        except TimeoutError:
            raise AgentFailed(
                f"{self.spec.title} said nothing for {silent_s:g} s ({MISSED} times its heartbeat_s)",
                retryable=True,
            ) from None

    async def _ended(
        self, running: asyncio.subprocess.Process, listening: asyncio.Task[str], env: dict[str, str]
    ) -> AgentFailed | LimitReached:
        """Why there is no artifact."""
        title, spec = self.spec.title, self.spec
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running.wait(), EXIT_S)
        code = running.returncode
        said = ""
        with contextlib.suppress(TimeoutError):  # a child may hold it open
            said = await asyncio.wait_for(asyncio.shield(listening), 0.2)
        for name in spec.env:
            said = said.replace(env[name], "…") if len(env[name]) >= 4 else said
        last = wire.one_line(next((line for line in reversed(said.splitlines()) if line.strip()), ""))
        because = f": {last}" if last else ""
        if code == -signal.SIGXCPU or (code == -signal.SIGKILL and spec.cpu_s):
            return LimitReached(
                f"{title} used more than {spec.cpu_s:g} s of the processor (cpu_s) and was ended"
            )
        if code == 127:
            return AgentFailed(f"{title} cannot be started{because}; check command in its file")
        if spec.memory_mb and (
            "MemoryError" in said or "annot allocate memory" in said or "out of memory" in said.lower()
        ):
            return LimitReached(f"{title} needs more than {spec.memory_mb} MB (memory_mb) and was ended")
        if code is None:
            return AgentFailed(f"{title} closed its output without an artifact{because}")
        if code < 0:
            hint = f" (memory_mb is {spec.memory_mb})" if spec.memory_mb else ""
            return AgentFailed(f"{title} was ended by {_signal(-code)}{hint}{because}", retryable=True)
        what = "without an artifact" if code == 0 else f"with exit code {code}"
        return AgentFailed(f"{title} ended {what}{because}")


def _signal(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


async def _feed(stdin: asyncio.StreamWriter, told: bytes) -> None:
    """Tell a program the step. It need not listen."""
    with contextlib.suppress(ConnectionError):
        stdin.write(told)
        await stdin.drain()
        stdin.close()
        await stdin.wait_closed()


async def _tail(stream: asyncio.StreamReader) -> str:
    """The end of what a program says."""
    kept = b""
    while piece := await stream.read(65_536):
        kept = (kept + piece)[-STDERR_BYTES:]
    return kept.decode("utf-8", "replace")
