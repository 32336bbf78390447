"""LangGraph on its SQLite saver: the same fan of nodes, `durability="sync"`, synchronous=FULL."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import aiosqlite

from bench.load import FAN, RESULT, Done, in_parallel


class State(TypedDict):
    """What goes from node to node: the outputs so far."""

    outputs: Annotated[list[Any], operator.add]


async def _step(state: State) -> State:
    return {"outputs": [RESULT]}


async def measure(folder: Path, runs: int) -> Done:
    """Do `runs` runs, one after the other."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, StateGraph

    graph: Any = StateGraph(State)
    names = [f"n{i}" for i in range(FAN)]
    for name in ("first", *names, "last"):
        graph.add_node(name, _step)
    graph.add_edge(START, "first")
    for name in names:
        graph.add_edge("first", name)
    graph.add_edge(names, "last")
    graph.add_edge("last", END)
    async with aiosqlite.connect(folder / "langgraph.db") as database:
        saver = AsyncSqliteSaver(database)
        await saver.setup()  # switches to the write-ahead log
        await database.execute("PRAGMA synchronous=FULL")
        compiled = graph.compile(checkpointer=saver)

        async def one(number: int) -> None:
            config = {"configurable": {"thread_id": f"run-{number}"}, "recursion_limit": 50}
            result = await compiled.ainvoke({"outputs": []}, config, durability="sync")
            assert len(result["outputs"]) == FAN + 2

        seconds = await in_parallel(one, runs, 1)
    return Done(runs * (FAN + 2), seconds)
