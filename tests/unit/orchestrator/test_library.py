"""Workflows and their versions: files, saving, going back, removing, several processes, broken rows."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.documents import read_text_model
from orchestrator.embedding import MAX_EMBEDDED, embedded
from orchestrator.errors import NotFound, Refused
from orchestrator.events import Who
from orchestrator.infra.sqlite_store import SqliteStore
from orchestrator.library import SHIPPED, FromFile, Library
from orchestrator.workflow import Workflow
from orchestrator.workflow_checks import Flaw, problems
from orchestrator.workflow_text import fingerprint, plain, text_of

ADA = Who(key="web:ada", name="Ada")


def flow(name: str = "small", **more: Any) -> Workflow:
    """A workflow of one agent."""
    values = {"name": name, "nodes": {"one": {"kind": "agent", "agent": "researcher"}}, **more}
    return Workflow.model_validate(values)


def nested(name: str, *inner: str, **more: Any) -> Workflow:
    """A workflow whose nodes run others."""
    nodes = {f"n{i}": {"kind": "workflow", "workflow": each} for i, each in enumerate(inner)}
    edges = [{"from": f"n{i}", "to": f"n{i + 1}"} for i in range(len(inner) - 1)]
    return Workflow.model_validate({"name": name, "nodes": nodes, "edges": edges, **more})


def check(workflow: Workflow, names: frozenset[str]) -> Iterable[Flaw]:
    return problems(workflow, agents=frozenset({"researcher"}), workflows=names)


def file(workflow: Workflow, source: str = SHIPPED) -> FromFile:
    return FromFile(workflow, source, f"{workflow.name}.yaml")


class Shelf:
    """Opens stores and libraries on one database, each as another process would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stores: list[SqliteStore] = []

    async def store(self) -> SqliteStore:
        path = self.folder / "quartet.db"
        self.stores.append(await SqliteStore.open(path, owners_dir=self.folder / "owners"))
        return self.stores[-1]

    async def library(self, *files: FromFile) -> Library:
        made = Library(await self.store(), check)
        await made.load(files)
        return made


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncGenerator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    for store in made.stores:
        await store.close()


async def origins(library: Library, name: str = "small") -> list[str]:
    return [row.origin for row in await library.versions(name)]


# ── files ────────────────────────────────────────────────────────────────────────────────────


async def test_a_file_is_a_version_and_a_changed_one_is_the_next(shelf: Shelf) -> None:
    await shelf.library(file(flow()))
    again = await shelf.library(file(flow()))
    assert await origins(again) == ["file"]
    changed = await shelf.library(file(flow(description="better")))
    assert await origins(changed) == ["file", "file"]
    assert changed["small"].description == "better"
    [_, second] = await changed.versions("small")
    assert (second.version, second.note, second.who) == (2, "from small.yaml", None)
    assert second.at.tzinfo is not None


async def test_going_back_holds_until_the_file_changes_again(shelf: Shelf) -> None:
    await shelf.library(file(flow(description="old")))
    library = await shelf.library(file(flow(description="new")))
    assert await library.rollback("small", 1, who=ADA) == 3
    assert library["small"].description == "old"
    restarted = await shelf.library(file(flow(description="new")))
    assert restarted["small"].description == "old"
    changed = await shelf.library(file(flow(description="newest")))
    assert changed["small"].description == "newest"
    assert await origins(changed) == ["file", "file", "rollback", "file"]


async def test_the_same_file_in_two_processes_that_start_at_once_is_one_version(shelf: Shelf) -> None:
    stores = [await shelf.store() for _ in range(4)]
    libraries = [Library(store, check) for store in stores]
    await asyncio.gather(*(library.load([file(flow())]) for library in libraries))
    assert await origins(libraries[0]) == ["file"]


async def test_another_processes_file_is_not_ours(shelf: Shelf) -> None:
    mine = await shelf.library(file(flow("mine"), "/a/mine.yaml"))
    other = await shelf.library(file(flow("other"), "/b/other.yaml"))
    await other.rollback("other", 1, who=ADA)
    await mine.refresh()
    assert (set(mine), set(other)) == ({"mine"}, {"other"})


async def test_two_processes_with_different_files_do_not_fight_at_every_start(shelf: Shelf) -> None:
    for _ in range(3):
        await shelf.library(file(flow(description="a"), "/a/small.yaml"))
        library = await shelf.library(file(flow(description="b"), "/b/small.yaml"))
        assert await origins(library) == ["file", "file"]


async def test_a_file_takes_over_a_saved_name_and_what_was_saved_can_come_back(shelf: Shelf) -> None:
    library = await shelf.library()
    await library.save(flow(description="saved"), who=ADA)
    taken = await shelf.library(file(flow(description="filed")))
    assert taken["small"].description == "filed"
    await taken.rollback("small", 1, who=ADA)
    assert taken["small"].description == "saved"


# ── saving ───────────────────────────────────────────────────────────────────────────────────


async def test_saving_makes_versions_with_who_and_why(shelf: Shelf) -> None:
    library = await shelf.library()
    assert await library.save(flow(), who=ADA, note=" first\n try ") == 1
    assert await library.save(flow(description="better"), who=ADA) == 2
    assert await library.save(flow(description="better"), who=ADA, note="again") == 2
    first, second = await library.versions("small")
    assert (first.who, first.note, second.note) == (ADA, "first try", "")
    assert (await library.version("small", 1)).description == ""
    assert library.source("small") == ""


async def test_concurrent_saves_from_two_processes_are_distinct_versions(shelf: Shelf) -> None:
    libraries = [await shelf.library(), await shelf.library()]
    numbers = await asyncio.gather(
        *(libraries[i % 2].save(flow(description=str(i)), who=ADA) for i in range(20))
    )
    assert sorted(numbers) == list(range(1, 21))
    for library in libraries:
        await library.refresh()
    kept = await libraries[0].version("small", 20)
    assert libraries[0]["small"] == libraries[1]["small"] == kept


async def test_what_another_process_saves_is_seen_by_watching(shelf: Shelf) -> None:
    mine, other = await shelf.library(), await shelf.library()
    watching = asyncio.create_task(mine.watch())
    try:
        await other.save(flow(), who=ADA)
        async with asyncio.timeout(2):
            while "small" not in mine:  # noqa: ASYNC110  (a mapping signals nothing)
                await asyncio.sleep(0.01)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def test_a_files_name_and_a_broken_workflow_are_not_saved(shelf: Shelf) -> None:
    library = await shelf.library(file(flow("quartet")))
    with pytest.raises(Refused, match=r"comes from quartet.yaml; change the file, or choose another name"):
        await library.save(flow("quartet", description="mine"), who=ADA)
    with pytest.raises(Refused, match="no agent 'hacker'"):
        await library.save(flow(nodes={"one": {"kind": "agent", "agent": "hacker"}}), who=ADA)
    with pytest.raises(Refused, match="no workflow 'nowhere'"):
        await library.save(nested("small", "nowhere"), who=ADA)
    with pytest.raises(Refused, match=r"of itself|contain itself"):
        await library.save(nested("small", "small"), who=ADA)
    with pytest.raises(NotFound):
        await library.versions("small")


async def test_removing_keeps_the_versions_and_going_back_brings_it_again(shelf: Shelf) -> None:
    library = await shelf.library()
    await library.save(flow(), who=ADA)
    await library.remove("small", who=ADA)
    assert "small" not in library
    with pytest.raises(NotFound):
        await library.remove("small", who=ADA)
    with pytest.raises(NotFound, match="with version 2 the workflow 'small' was removed"):
        await library.rollback("small", 2, who=ADA)
    assert await library.rollback("small", 1, who=ADA) == 3
    assert "small" in library
    assert await origins(library) == ["saved", "removed", "rollback"]


@pytest.mark.parametrize(
    ("source", "hint"),
    [(SHIPPED, "is shipped"), ("pack notes", "remove-pack notes"), ("/a/small.yaml", "from small.yaml")],
)
async def test_what_comes_from_a_file_cannot_be_removed(shelf: Shelf, source: str, hint: str) -> None:
    library = await shelf.library(file(flow(), source))
    with pytest.raises(Refused, match=hint):
        await library.remove("small", who=ADA)
    assert "small" in library


async def test_what_others_need_cannot_be_removed(shelf: Shelf) -> None:
    library = await shelf.library()
    await library.save(flow(), who=ADA)
    await library.save(nested("big", "small"), who=ADA)
    with pytest.raises(Refused, match="is part of big"):
        await library.remove("small", who=ADA)
    with pytest.raises(Refused, match="contain itself"):
        await library.save(nested("small", "big"), who=ADA)


@pytest.mark.parametrize("number", [0, -1, 2, 10**30])
async def test_a_version_that_is_not_there_is_named(shelf: Shelf, number: int) -> None:
    library = await shelf.library(file(flow()))
    with pytest.raises(NotFound, match="it has 1 to 1"):
        await library.diff("small", 1, number)
    with pytest.raises(NotFound, match="did you mean 'small'"):
        await library.versions("smal")
    with pytest.raises(NotFound):
        await library.versions("x" * 100_000)


async def test_a_difference_is_readable(shelf: Shelf) -> None:
    await shelf.library(file(flow()))
    library = await shelf.library(file(flow(nodes={"one": {"kind": "agent", "agent": "builder"}})))
    assert await library.diff("small", 1, 2) == [
        "--- small version 1",
        "+++ small version 2",
        "@@ -2,4 +2,4 @@",
        " nodes:",
        "   one:",
        "     kind: agent",
        "-    agent: researcher",
        "+    agent: builder",
    ]
    assert await library.diff("small", 2, 2) == []


async def test_what_an_older_or_newer_program_kept_breaks_nothing_else(shelf: Shelf, tmp_path: Path) -> None:
    library = await shelf.library(file(flow("quartet")))
    await library.save(flow(), who=ADA)
    await library.save(nested("big", "small"), who=ADA)
    with contextlib.closing(sqlite3.connect(tmp_path / "quartet.db")) as other, other:
        other.execute("UPDATE workflow_versions SET definition = '{\"name\": 7}' WHERE name != 'big'")
    again = await shelf.library(file(flow("quartet")))
    assert set(again) == {"quartet"}  # from its file
    assert "cannot be read by this program" in again.broken["small"]
    assert "no workflow 'small'" in again.broken["big"]
    with pytest.raises(Refused, match="cannot be read"):
        await again.diff("small", 1, 1)
    await again.save(flow(), who=ADA)
    assert set(again) == {"quartet", "small", "big"}


# ── those inside of others ───────────────────────────────────────────────────────────────────


def test_a_run_keeps_all_that_its_workflow_names() -> None:
    every = {w.name: w for w in (flow("leaf"), nested("branch", "leaf"), nested("tree", "branch", "leaf"))}
    tree = embedded(every["tree"], every)
    assert set(tree.workflows) == {"branch", "leaf"}
    assert set(tree.workflows["branch"].workflows) == {"leaf"}
    assert Workflow.model_validate(plain(tree)) == tree
    assert tree.digest != every["tree"].digest
    assert embedded(every["leaf"], every) == every["leaf"]
    assert embedded(tree, {}) == tree  # it brings them itself


def test_what_a_file_defines_itself_goes_before_what_there_is() -> None:
    own = nested("outer", "leaf", workflows={"leaf": plain(flow("leaf", description="own"))})
    whole = embedded(own, {"leaf": flow("leaf", description="of all")})
    assert whole.workflows["leaf"].description == "own"


def test_workflows_that_contain_themselves_are_refused() -> None:
    every = {w.name: w for w in (nested("a", "b"), nested("b", "c"), nested("c", "a"))}
    with pytest.raises(Refused, match="a → b → c → a"):
        embedded(every["a"], every)


def test_too_deep_and_too_many_are_refused_at_once() -> None:
    deep = {f"d{i}": nested(f"d{i}", f"d{i + 1}") for i in range(30)} | {"d30": flow("d30")}
    with pytest.raises(Refused, match="nested deeper than 8"):
        embedded(deep["d0"], deep)
    wide = {f"w{i}": nested(f"w{i}", f"w{i + 1}", f"v{i}") for i in range(7)}
    wide |= {f"v{i}": nested(f"v{i}", f"w{i + 1}", f"w{i + 1}") for i in range(7)} | {"w7": flow("w7")}
    every = {**wide, **{f"x{i}": flow(f"x{i}") for i in range(MAX_EMBEDDED + 1)}}
    every["all"] = nested("all", *(f"x{i}" for i in range(MAX_EMBEDDED + 1)))
    with pytest.raises(Refused, match="more than 100"):
        embedded(every["all"], every)


# ── as text ──────────────────────────────────────────────────────────────────────────────────

TRICKY = st.one_of(
    st.sampled_from(
        [
            "on",
            "yes",
            "null",
            "~",
            "1",
            "1e3",
            "0o7",
            "0x1f",
            ".5",
            "1.",
            "-",
            "true",
            "a: b",
            "# x",
            "",
            "two\nlines",
            "end\n",
            " lead\nx",
            "tab\there\nx",
            "trail \nx",
            "é\u2028x",
            "{{ inputs.a }}",
            "1_0",
            "12:30",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
)


@settings(max_examples=150)
@given(TRICKY, TRICKY)
def test_what_is_written_reads_back_as_the_same(description: str, task: str) -> None:
    workflow = flow(
        description=description,
        inputs={"type": "object", "properties": {"a": {"default": task, "enum": [1, 1.5, True, None, "on"]}}},
        nodes={
            "one": {"kind": "agent", "agent": "researcher", "task": task},
            "two": {"kind": "decision"},
        },
        edges=[{"from": "one", "to": "two", "on": "error", "when": "visits.one > 1"}],
    )
    text = text_of(workflow)
    read = read_text_model(text, "text", Workflow)
    assert read == workflow
    assert fingerprint(read) == fingerprint(workflow)
    assert list(read.nodes) == list(workflow.nodes)


def test_the_order_of_nodes_is_part_of_the_fingerprint() -> None:
    nodes = {"one": {"kind": "agent", "agent": "a"}, "two": {"kind": "agent", "agent": "a"}}
    there = flow(nodes=nodes)
    back = flow(nodes=dict(reversed(nodes.items())))
    assert fingerprint(there) != fingerprint(back)
