"""LangGraph on its SQLite saver: ten nodes in a row, `durability="sync"`, synchronous=FULL as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

import aiosqlite

from bench.load import AT_ONCE, RESULT, STEPS, Done, in_parallel


class State(TypedDict):
    """What goes from node to node: the outputs so far."""

    outputs: list[Any]


async def _step(state: State) -> State:
    return {"outputs": [*state["outputs"], RESULT]}


async def measure(folder: Path, runs: int) -> Done:
    """Do `runs` runs, `AT_ONCE` at a time."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, StateGraph

    graph: Any = StateGraph(State)
    names = [f"n{i}" for i in range(STEPS)]
    for name in names:
        graph.add_node(name, _step)
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    async with aiosqlite.connect(folder / "langgraph.db") as database:
        saver = AsyncSqliteSaver(database)
        await saver.setup()  # switches to the write-ahead log
        await database.execute("PRAGMA synchronous=FULL")
        compiled = graph.compile(checkpointer=saver)

        async def one(number: int) -> None:
            config = {"configurable": {"thread_id": f"run-{number}"}, "recursion_limit": STEPS + 5}
            result = await compiled.ainvoke({"outputs": []}, config, durability="sync")
            assert len(result["outputs"]) == STEPS

        seconds = await in_parallel(one, runs, AT_ONCE)
    return Done(runs, seconds)
