"""What survives a kill, and what a store says about files it cannot work with."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
from pathlib import Path

import pytest

from orchestrator.errors import StoreFailed
from orchestrator.events import RunId
from orchestrator.infra.sqlite_migrations import Migration, migrate, shipped
from orchestrator.infra.sqlite_store import SqliteStore
from orchestrator.ports import RunRow
from tests.contract.store_harness import begun, claim, created, done, ended, started

STORM = """
import asyncio, sys
from pathlib import Path
from orchestrator.events import RunId
from orchestrator.infra.sqlite_store import SqliteStore
from tests.contract.store_harness import claim, created, begun, done, ended

async def main(folder: Path, name: str) -> None:
    store = await SqliteStore.open(folder / "quartet.db", owners_dir=folder / "owners")

    def say(*words) -> None:  # what was acknowledged
        sys.stdout.write(" ".join(map(str, words)) + "\\n")
        sys.stdout.flush()

    async def conversation(number: int) -> None:
        count = 0
        while True:
            count += 1
            ids = [RunId(f"{name}-{number}-{count}-{part}") for part in (1, 2)]
            for run_id in ids:
                turn = created(f"key-{run_id}", f"{name}-{number}")
                await store.accept(run_id, turn, claim=number % 2 == 0)
                say("accepted", run_id)
            for run_id in ids:
                epoch, seq = await claim(store, run_id), 2
                for step in range(1, 6):
                    facts = [begun(visit=step), done(visit=step, output={"text": "x" * 30_000 * (step == 3)})]
                    await store.append(run_id, facts, epoch=epoch, expected_seq=seq, status="running")
                    seq += 2
                    say("appended", run_id, seq)
                await store.append(run_id, [ended()], epoch=epoch, expected_seq=seq, status="completed")
                say("appended", run_id, seq + 1)

    async with asyncio.TaskGroup() as conversations:
        for number in range(10):
            conversations.create_task(conversation(number))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def open_store(folder: Path) -> SqliteStore:
    return await SqliteStore.open(folder / "quartet.db", owners_dir=folder / "owners")


def made_by_schema_8(source: Path, target: Path) -> None:
    """Write what a database holds as the program did that kept a run's last event in its row."""
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as database:
        migrate(database, str(target), shipped()[:8])
        database.execute("ATTACH ? AS newer", (str(source),))
        for table in ("events", "inbox", "turns", "runs"):
            columns = [name for _, name, *_ in database.execute(f"PRAGMA newer.table_info({table})")]
            names = ", ".join(columns)
            last = ", seq" if table == "runs" else ""
            found = ", (SELECT max(seq) FROM newer.events WHERE run = runs.n)" if last else ""
            database.execute(
                f"INSERT INTO main.{table} ({names}{last}) SELECT {names}{found} FROM newer.{table}"
            )


def indexes(path: Path) -> set[tuple[str, ...]]:
    """What each index is of."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        return {
            *database.execute("SELECT tbl_name, sql FROM sqlite_master WHERE type = 'index' AND sql <> ''")
        }


async def storm_until_killed(folder: Path, name: str, lines: int, *, delay_s: float) -> list[str]:
    """Run the storm, kill it some time after it acknowledged `lines` things; returns all it acknowledged."""
    storm = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        STORM,
        str(folder),
        name,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert storm.stdout is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(60):
            while len(said) < lines:
                line = await storm.stdout.readline()
                assert line, (await storm.stderr.read()).decode() if storm.stderr else ""
                said.append(line.decode())
        await asyncio.sleep(delay_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            storm.send_signal(signal.SIGKILL)
    rest, _ = await storm.communicate()
    assert storm.returncode == -signal.SIGKILL
    whole = ("".join(said) + rest.decode()).splitlines(keepends=True)
    return [line for line in whole if line.endswith("\n")]


async def check_log(store: SqliteStore, said: list[str]) -> None:
    """Everything acknowledged is there, nothing is there in halves, and order in conversations holds."""
    for line in said:
        kind, run_id, *seq = line.split()
        row = await store.run(RunId(run_id))
        assert row is not None, line
        if kind == "appended":
            assert row.seq >= int(seq[0]), line
    runs: list[RunRow] = []
    cursor: str | None = None
    while True:
        page = await store.runs(limit=500, cursor=cursor)
        runs += page.items
        cursor = page.next
        if cursor is None:
            break
    conversations: dict[str, list[tuple[int, str]]] = {}
    for row in runs:
        events = await store.events(row.id)
        assert [e.seq for e in events] == list(range(1, row.seq + 1))
        types = [e.body.type for e in events]
        assert types[0] == "run_created"
        assert (row.status == "completed") == (types[-1] == "run_ended") == (row.ended_at is not None)
        assert (row.status == "queued") == (len(types) == 1)
        assert types.count("step_started") == types.count("step_ended")
        assert await store.known(f"key-{row.id}") == row.id
        conversations.setdefault(row.conversation_id, []).append((row.position, row.status))
    for places in conversations.values():
        places.sort()
        assert [position for position, _ in places] == list(range(1, len(places) + 1))
        statuses = [status for _, status in places]
        # A successor has begun exactly when its predecessor's end is there.
        under_way = [s for s in statuses if s != "completed"]
        assert under_way == ["running", *["queued"] * (len(under_way) - 1)][: len(under_way)]


class TestKills:
    @pytest.mark.timeout(120)
    async def test_kill_at_any_moment_loses_nothing_acknowledged_and_leaves_no_half(
        self, tmp_path: Path
    ) -> None:
        rng = random.Random(4)
        said: list[str] = []
        for round_ in range(6):
            said += await storm_until_killed(
                tmp_path, f"s{round_}", rng.randint(1, 400), delay_s=rng.random() * 0.05
            )
        store = await open_store(tmp_path)
        try:
            await check_log(store, said)
        finally:
            await store.close()

    @pytest.mark.timeout(120)
    async def test_two_processes_write_one_file_and_one_takes_over_from_the_killed(
        self, tmp_path: Path
    ) -> None:
        store = await open_store(tmp_path)
        try:
            storm = asyncio.create_task(storm_until_killed(tmp_path, "other", 300, delay_s=0))
            mine = await started(store, "mine")
            written = 0
            while not storm.done():
                await store.append(mine, [begun(visit=written + 1), done(visit=written + 1)], epoch=None)
                written += 1
            said = await storm
            events = await store.events(mine)
            assert [e.seq for e in events] == list(range(1, 3 + 2 * written))
            running = (await store.runs(status="running", limit=500)).items
            theirs = [row.id for row in running if row.id != mine]
            assert theirs
            assert set(theirs) <= set(await store.to_wake())
            assert await claim(store, theirs[0]) is not None
            for line in said:
                assert await store.run(RunId(line.split()[1])) is not None
        finally:
            await store.close()

    async def test_lock_files_of_the_dead_are_cleared_away(self, tmp_path: Path) -> None:
        await storm_until_killed(tmp_path, "s", 1, delay_s=0)
        left = list((tmp_path / "owners").glob("*.lock"))
        store = await open_store(tmp_path)
        assert len(left) == 1
        assert left[0].name not in {path.name for path in (tmp_path / "owners").iterdir()}
        await store.close()
        assert list((tmp_path / "owners").glob("*.lock")) == []


class TestOpening:
    async def refusal(self, path: Path) -> str:
        with pytest.raises(StoreFailed) as caught:
            await SqliteStore.open(path, owners_dir=path.parent / "owners")
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
        return str(caught.value)

    async def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "quartet.db"
        path.write_text("Dear diary, " * 1000)
        assert "not a SQLite database" in await self.refusal(path)
        assert path.read_text().startswith("Dear diary")

    async def test_a_folder(self, tmp_path: Path) -> None:
        path = tmp_path / "quartet.db"
        path.mkdir()
        assert "check that it is a file" in await self.refusal(path)

    async def test_a_file_where_the_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "var").write_text("")
        assert "QUARTET_HOME" in await self.refusal(tmp_path / "var" / "quartet.db")

    async def test_another_programs_database(self, tmp_path: Path) -> None:
        path = tmp_path / "quartet.db"
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE bookmarks (url TEXT)")
        assert "another program" in await self.refusal(path)
        with contextlib.closing(sqlite3.connect(path)) as other:
            assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]

    async def test_a_newer_quartets_database(self, tmp_path: Path) -> None:
        path = tmp_path / "quartet.db"
        await (await open_store(tmp_path)).close()
        with contextlib.closing(sqlite3.connect(path)) as newer, newer:
            newer.execute("INSERT INTO migrations VALUES (999, '0999_future.sql', '')")
        assert "newer Quartet (schema 999" in await self.refusal(path)

    async def test_a_damaged_database(self, tmp_path: Path) -> None:
        path = tmp_path / "quartet.db"
        await (await open_store(tmp_path)).close()
        content = path.read_bytes()
        path.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
        assert "damaged" in await self.refusal(path)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
    async def test_no_permission(self, tmp_path: Path) -> None:
        await (await open_store(tmp_path)).close()
        (tmp_path / "quartet.db").chmod(0o444)
        tmp_path.chmod(0o555)  # noqa: ASYNC240
        try:
            assert "permission" in await self.refusal(tmp_path / "quartet.db")
        finally:
            tmp_path.chmod(0o755)  # noqa: ASYNC240

    async def test_owners_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "owners").write_text("")
        with pytest.raises(StoreFailed, match="owners"):
            await SqliteStore.open(tmp_path / "quartet.db", owners_dir=tmp_path / "owners")

    async def test_full_disk_refuses_the_write_keeps_what_was_and_recovers(self, tmp_path: Path) -> None:
        store = await open_store(tmp_path)
        try:
            run_id = await started(store, "r1")
            connection = store._connections[0]  # pyright: ignore[reportPrivateUsage]
            await connection.execute(
                "PRAGMA max_page_count = 1"
            )  # SQLite sets the least it can: no more pages
            big = done(output={"text": "x" * 1_000_000})
            results = await asyncio.gather(
                *(store.append(run_id, [big], epoch=None) for _ in range(3)), return_exceptions=True
            )
            assert all(isinstance(r, StoreFailed) and "disk is full" in str(r) for r in results)
            assert len(await store.events(run_id)) == 2
            await connection.execute("PRAGMA max_page_count = 1000000")
            await store.append(run_id, [big], epoch=None, expected_seq=2)
            assert len(await store.events(run_id)) == 3
        finally:
            await store.close()

    async def test_many_processes_may_open_a_new_database_at_once(self, tmp_path: Path) -> None:
        stores = await asyncio.gather(*(open_store(tmp_path) for _ in range(5)))
        try:
            accepted = await asyncio.gather(
                *(s.accept(RunId(f"r{i}"), created(f"k{i}", f"c{i}")) for i, s in enumerate(stores))
            )
            assert not any(a.duplicate for a in accepted)
        finally:
            for each in stores:
                await each.close()


class TestMigrations:
    def test_migration_that_breaks_half_way_starts_anew(self, tmp_path: Path) -> None:
        first = shipped()[:1]
        path = tmp_path / "quartet.db"
        second = Migration(2, "0002_second.sql", "CREATE TABLE extra (a);\nCREATE TABLE extra (a);\n")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            with pytest.raises(sqlite3.OperationalError, match="already exists"):
                migrate(database, str(path), [*first, second])
            assert not database.in_transaction
            assert database.execute("SELECT version FROM migrations").fetchall() == [(1,)]
            assert database.execute("SELECT 1 FROM sqlite_master WHERE name = 'extra'").fetchone() is None
            migrate(database, str(path), [*first, second._replace(script="CREATE TABLE extra (a);")])
            assert database.execute("SELECT version FROM migrations").fetchall() == [(1,), (2,)]

    async def test_database_of_an_older_program_is_brought_up_to_date(self, tmp_path: Path) -> None:
        store = await open_store(tmp_path)
        for name in ("r1", "r2", "r3"):
            await started(store, name)
        epoch = await claim(store, RunId("r2"))
        await store.append(RunId("r2"), [begun(), done()], epoch=epoch, expected_seq=2, status="running")
        await store.append(RunId("r3"), [ended()], epoch=None, status="completed")
        before = (await store.runs()).items
        await store.close()
        older = tmp_path / "older"
        older.mkdir()
        made_by_schema_8(tmp_path / "quartet.db", older / "quartet.db")
        indexed = indexes(older / "quartet.db")
        store = await open_store(older)
        try:
            assert (await store.runs()).items == before
            assert await store.heads([RunId("r1"), RunId("r2"), RunId("r3")]) == {"r1": 2, "r2": 4, "r3": 3}
            assert {run.run_id for run in await store.undelivered()} == {"r1", "r2", "r3"}
            appended = await store.append(RunId("r2"), [begun(visit=2)], epoch=epoch, expected_seq=4)
            assert appended.seq == 5
        finally:
            await store.close()
        assert indexes(older / "quartet.db") >= indexed

    def test_migrations_are_numbered_without_gaps(self) -> None:
        assert [m.version for m in shipped()] == list(range(1, len(shipped()) + 1))

    async def test_store_that_cannot_be_read_any_more_says_so(self, tmp_path: Path) -> None:
        store = await open_store(tmp_path)
        try:
            await started(store, "r1")
            with contextlib.closing(sqlite3.connect(tmp_path / "quartet.db")) as other, other:
                other.execute("DROP TABLE waiting")
            with pytest.raises(StoreFailed, match="waiting"):
                await store.waiting()
        finally:
            await store.close()
