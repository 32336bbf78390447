"""`python -m bench [NAME]…`: measure, print each figure beside its target, exit 1 when one is missed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from bench.report import Figure


def _side_by_side(*names: str) -> Callable[[], list[Figure]]:
    def measure() -> list[Figure]:
        from bench.side_by_side import measure as side_by_side

        return side_by_side(names)

    return measure


def _start() -> list[Figure]:
    from bench.process_start import measure

    return measure()


def _card() -> list[Figure]:
    from bench.first_card import measure

    return measure()


def _waiting() -> list[Figure]:
    from bench.waiting_runs import measure

    return measure()


def _slack() -> list[Figure]:
    from bench.slack import measure

    return measure()


def _discord() -> list[Figure]:
    from bench.discord import measure

    return measure()


def _graphs() -> list[Figure]:
    from bench.graphs import measure

    return measure()


def _agents() -> list[Figure]:
    from bench.agents import measure

    return measure()


def _http() -> list[Figure]:
    from bench.http import measure

    return measure()


BENCHES: dict[str, tuple[str, Callable[[], list[Figure]]]] = {
    "steps": (
        "engine, LangGraph and journal in turn, with both ratios",
        _side_by_side("journal", "engine", "journal, msgspec", "langgraph"),
    ),
    "journal": ("a bare grouped-commit journal", _side_by_side("journal")),
    "engine": ("the engine beside the journal", _side_by_side("journal", "engine")),
    "langgraph": ("LangGraph with its SQLite saver", _side_by_side("langgraph")),
    "fan": ("a fan of 500 nodes, beside LangGraph's", _side_by_side("fan", "langgraph fan")),
    "graphs": ("start of a 60-node run; events a second through fold and log", _graphs),
    "start": ("process start to first answered health check", _start),
    "card": ("a turn posted on the web page to its first visible card", _card),
    "waiting": ("memory of 1,000 runs that wait for approval", _waiting),
    "agents": ("choosing among 10,000 agents, and the cost of a place to work", _agents),
    "http": ("1,000 streams of one run beside 200 runs; graphs accepted at 100 a second", _http),
    "slack": ("Slack on loopback: a storm of 200 runs, acknowledgements, first reactions", _slack),
    "discord": ("Discord on loopback: a storm of 100 runs, clicks, first reactions", _discord),
}
ALL = ("steps", "start", "card", "waiting", "agents", "http")


def main() -> int:
    """Measure what was named; all when nothing was."""
    listed = "\n".join(f"  {name:<10} {text}" for name, (text, _) in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Quartet.",
        epilog=f"measurements:\n{listed}\n  all        {', '.join(ALL)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*BENCHES, "all"], default="all")
    given: list[str] | str = parser.parse_args().names
    names = [given] if isinstance(given, str) else given
    figures: list[Figure] = []
    for name in ALL if "all" in names else names:
        text, measure = BENCHES[name]
        print(f"{name}: {text}", flush=True)
        figures += measure()
    print()
    for figure in figures:
        print(figure.line())
    return 0 if all(figure.passed for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
