"""Quartet: one node, five hundred side by side, and one in which they meet; runs one after the other."""

from __future__ import annotations

from pathlib import Path

from bench.engine_steps import running, starter
from bench.load import FAN, Done, in_parallel
from orchestrator.workflow import Workflow


def workflow(size: int = FAN) -> Workflow:
    """A fan of `size` nodes between a first and a last one."""
    agent = {"kind": "agent", "agent": "echo"}
    nodes = {"first": agent, **{f"n{i}": agent for i in range(size)}, "last": agent}
    edges = [{"from": "first", "to": f"n{i}"} for i in range(size)]
    edges += [{"from": f"n{i}", "to": "last"} for i in range(size)]
    policies = {"max_steps": 10_000, "max_concurrent": 500}
    return Workflow.model_validate(
        {"name": "steps", "nodes": nodes, "edges": edges, "answer": {"draft": "last"}, "policies": policies}
    )


async def measure(folder: Path, runs: int) -> Done:
    """Do `runs` runs, one after the other."""
    async with running(folder, workflow(), steps_at_once=FAN) as quartet:
        seconds = await in_parallel(starter(quartet), runs, 1)
        page = await quartet.store.runs(status="completed", limit=1000)
        assert len(page.items) == runs, f"{len(page.items)} of {runs} runs completed"
    return Done(runs * (FAN + 2), seconds)
