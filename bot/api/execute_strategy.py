"""What a strategy of `/api/execute` means: how many tasks at once, and which models. Pure.

| strategy | tasks at once | models |
| --- | --- | --- |
| `simple` | 1 | as set |
| `parallel_optimize` | all that do not depend on each other, at most 16 | as set |
| `resource_aware` | as the machine and the agents have room for at the start, at most 16 | as set |
| `cost_optimize` | 2 | the one with the lowest known price |
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from orchestrator.events import RunSettings

Strategy = Literal["simple", "parallel_optimize", "resource_aware", "cost_optimize"]
MOST: Final = 16  # tasks at once, whatever there is room for
FEW: Final = 2  # of `cost_optimize`: enough to go on while one is slow
PER_CORE: Final = 4  # tasks on a free core: they mostly wait for a model
STEP_BYTES: Final = 128 * 1024 * 1024  # that a task may need
WORKERS: Final = frozenset({"researcher", "developer", "qa", "builder"})  # who works on tasks of `goal`


class Machine(NamedTuple):
    """What there is when a run starts."""

    cores: int
    load: float  # of the last minute: tasks that computed or waited for a core
    free_bytes: int | None  # of memory; None: the system does not say


class Place(NamedTuple):
    """Room at an agent, or at the provider that it shares with others."""

    load: int  # steps at work
    limit: int | None  # None: as many as there are


def machine() -> Machine:
    """The machine as it is now."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cores = os.cpu_count() or 1
    try:
        load = os.getloadavg()[0]
    except OSError:
        load = 0.0
    try:
        free: int | None = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        free = None
    return Machine(cores, load, free)


def at_once(strategy: Strategy, there: Machine, places: Iterable[Place]) -> int:
    """Tasks that are worked on at once.

    Args:
        strategy: which was asked for.
        there: what the machine has.
        places: of the agents that may work on tasks.
    """
    match strategy:
        case "simple":
            return 1
        case "cost_optimize":
            return FEW
        case "parallel_optimize":
            return MOST
        case "resource_aware":
            free_cores = max(1.0, there.cores - there.load)
            room = [MOST, int(free_cores * PER_CORE)]
            if there.free_bytes is not None:
                room.append(there.free_bytes // STEP_BYTES)
            free = [None if p.limit is None else max(0, p.limit - p.load) for p in places]
            limited = [one for one in free if one is not None]
            if free and len(limited) == len(free):
                room.append(sum(limited))
            return max(1, min(room))


def settings_for(
    strategy: Strategy, settings: RunSettings, parallelism: int, thrifty: Mapping[str, str]
) -> RunSettings:
    """The settings of a run under a strategy.

    Args:
        strategy: which was asked for.
        settings: those of runs that nobody watches.
        parallelism: `at_once`.
        thrifty: the cheapest model, by agent; used by `cost_optimize` alone.
    """
    models = {**settings.models, **thrifty} if strategy == "cost_optimize" else settings.models
    return settings.model_copy(update={"at_once": parallelism, "models": models})
