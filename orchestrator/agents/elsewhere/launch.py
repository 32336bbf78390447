"""Run a program with limits: `python -I launch.py MEMORY_BYTES CPU_SECONDS PARENT_PID PROGRAM ARGUMENT…`.

A program of its own, so that nothing has to be done between fork and exec in the bot. Imports nothing of
Quartet; 0 is no limit.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def _limit(kind: int, soft: int, hard: int) -> None:
    allowed = resource.getrlimit(kind)[1]
    if allowed != resource.RLIM_INFINITY:
        soft, hard = min(soft, allowed), min(hard, allowed)
    resource.setrlimit(kind, (soft, hard))


def _main(memory: int, cpu: int, parent: int, argv: list[str]) -> None:
    if sys.platform == "linux":
        # The program ends when the bot does, however that ends; limits and this survive the exec.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)
    if cpu:
        _limit(resource.RLIMIT_CPU, cpu, cpu + 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory:
        _limit(resource.RLIMIT_AS, memory, memory)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode("utf-8", "replace"))
        os._exit(127)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
