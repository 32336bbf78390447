"""The workflows there are, each with its versions: from files, from packs, and saved by people.

A live mapping of name to definition. All versions are kept in the store, and the newest of a name
counts: a file that has changed makes one, so does saving, so does going back (which therefore holds
until the file changes again). Other processes' changes are seen by `refresh`, which `watch` calls.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import structlog
from pydantic import ValidationError

from orchestrator.embedding import embedded, embedding_flaws, named_workflows
from orchestrator.errors import NotFound, OrchestratorError, Refused
from orchestrator.events import Json, Who
from orchestrator.ports import Definitions, NewVersion, WorkflowVersion
from orchestrator.workflow import Workflow
from orchestrator.workflow_checks import Flaw
from orchestrator.workflow_text import fingerprint, plain, text_of

log = structlog.get_logger(__name__)

SHIPPED = "shipped"  # FromFile.source of what comes with the program
POLL_S = 0.5  # what other processes changed is seen within this time
MOST_NOTE = 500  # characters
MOST_SHOWN = 5  # flaws in one message

Check = Callable[[Workflow, frozenset[str]], Iterable[Flaw]]  # (workflow, names of all) → what is wrong


class FromFile(NamedTuple):
    """A definition as a file has it."""

    workflow: Workflow
    source: str  # "shipped", "pack NAME", or the file's path: who else uses the database may have others
    shown: str  # how people know the file: "mine.yaml"


class Library(Mapping[str, Workflow]):
    """The workflows there are; each holds those that its nodes name (`Workflow.workflows`).

    Args:
        store: where versions are kept.
        check: what is wrong with a workflow that is to be saved, given the names of all; None: its
            sub-workflows alone are looked at.
    """

    def __init__(self, store: Definitions, check: Check | None = None) -> None:
        self._store = store
        self._check = check
        self._files: dict[str, FromFile] = {}
        self._own: dict[str, Workflow] = {}  # as they are kept, without those that their nodes name
        self._whole: dict[str, Workflow] = {}
        self._broken: dict[str, str] = {}
        self._mark = -1
        self._turn = asyncio.Lock()

    # ── the mapping ──────────────────────────────────────────────────────────────────────────

    def __getitem__(self, name: str) -> Workflow:
        return self._whole[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whole)

    def __len__(self) -> int:
        return len(self._whole)

    @property
    def broken(self) -> Mapping[str, str]:
        """Kept workflows that cannot be used, and why."""
        return self._broken

    def source(self, name: str) -> str:
        """What a workflow comes from: "shipped", "pack NAME", a path; "": people saved it."""
        return self._files[name].source if name in self._files else ""

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    async def load(self, files: Iterable[FromFile]) -> None:
        """Take what the files say; one that says something new makes a version."""
        self._files = {each.workflow.name: each for each in files}
        for name, each in self._files.items():
            await self._store.add_version(
                NewVersion(
                    name=name,
                    origin="file",
                    source=each.source,
                    digest=fingerprint(each.workflow),
                    definition=plain(each.workflow),
                    who=None,
                    note=f"from {each.shown}",
                )
            )
        self._mark = -1
        await self.refresh()

    async def refresh(self) -> bool:
        """See what was changed since, here and in other processes. Whether anything was."""
        async with self._turn:
            mark = await self._store.versions_mark()
            if mark == self._mark:
                return False
            newest = await self._store.newest_versions()
            own, broken = self._counting(newest)
            whole: dict[str, Workflow] = {}
            for name, workflow in own.items():
                try:
                    whole[name] = embedded(workflow, own)
                except Refused as error:
                    broken[name] = str(error)
            for name in broken.keys() - self._broken.keys():
                why = broken[name]
                log.warning("a workflow cannot be used", action="workflow_broken", workflow=name, why=why)
            self._own, self._whole, self._broken = own, dict(sorted(whole.items())), broken
            self._mark = mark
            return True

    async def watch(self) -> None:
        """See what others change, until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.refresh()
            except OrchestratorError as error:  # the next time may do
                log.warning("workflows were not looked at", action="workflows_unseen", error=str(error))

    def _counting(self, newest: Iterable[WorkflowVersion]) -> tuple[dict[str, Workflow], dict[str, str]]:
        """The definitions that count here, and what cannot be read."""
        own: dict[str, Workflow] = {name: each.workflow for name, each in self._files.items()}
        broken: dict[str, str] = {}
        for row in newest:
            here = row.name in self._files
            # A file that is not here is another process's, or is gone: so is what people made of it.
            if row.definition is None or (row.source and not here):
                continue
            try:
                own[row.name] = _read(row.name, row.definition)
            except Refused as error:
                if not here:
                    broken[row.name] = str(error)
        return own, broken

    # ── versions ─────────────────────────────────────────────────────────────────────────────

    async def versions(self, name: str) -> list[WorkflowVersion]:
        """All versions, oldest first; the last one counts.

        Raises:
            NotFound: there never was a workflow of this name.
        """
        rows = await self._store.workflow_versions(name)
        if not rows:
            raise NotFound(self._unknown(name))
        return rows

    async def version(self, name: str, number: int) -> Workflow:
        """One version's definition, without those that its nodes name.

        Raises:
            NotFound: there is no such version, or the workflow was removed with it.
            Refused: this program cannot read it.
        """
        return _read(name, await self._definition(name, number))

    async def diff(self, name: str, a: int, b: int) -> list[str]:
        """What version `b` has otherwise than `a`, as lines of a unified diff; empty: nothing.

        Raises:
            NotFound, Refused: as for `version`.
        """
        before, after = await self.version(name, a), await self.version(name, b)
        return list(
            difflib.unified_diff(
                text_of(before).splitlines(),
                text_of(after).splitlines(),
                f"{name} version {a}",
                f"{name} version {b}",
                lineterm="",
            )
        )

    async def save(self, workflow: Workflow, *, who: Who, note: str = "") -> int:
        """Keep a workflow; from now on it counts. Unchanged, it stays the version that it is.

        Returns:
            Its version.

        Raises:
            Refused: something is wrong with it, or a file has this name.
        """
        await self.refresh()
        name = workflow.name
        if name in self._files:
            where = self._files[name].shown
            raise Refused(
                f"the workflow {name!r} comes from {where}; change the file, or choose another name"
            )
        self._examine(workflow)
        number = await self._store.add_version(
            NewVersion(
                name, "saved", "", fingerprint(workflow), plain(workflow), who, _one_line(note)[:MOST_NOTE]
            )
        )
        await self.refresh()
        return number

    async def rollback(self, name: str, version: int, *, who: Who) -> int:
        """Go back: what `version` says becomes the newest version. A file's holds until the file changes.

        Returns:
            The number of the new version; that of the newest one if it says the same already.

        Raises:
            NotFound: there is no such version.
            Refused: it does not fit what there is now.
        """
        await self.refresh()
        definition = await self._definition(name, version)
        workflow = _read(name, definition)
        self._examine(workflow)
        number = await self._store.add_version(
            NewVersion(
                name,
                "rollback",
                self.source(name),
                fingerprint(workflow),
                definition,
                who,
                f"back to version {version}",
            )
        )
        await self.refresh()
        return number

    async def remove(self, name: str, *, who: Who) -> None:
        """Take a saved workflow out of use. Its versions stay, and `rollback` brings it back.

        Raises:
            NotFound: there is none.
            Refused: it comes from a file, or another one needs it.
        """
        await self.refresh()
        if name in self._files:
            source = self._files[name].source
            how = f"comes from {self._files[name].shown}; remove that"
            if source == SHIPPED:
                how = "is shipped and stays"
            elif source.startswith("pack "):
                pack = source.removeprefix("pack ")
                how = f"is part of the pack {pack!r}; remove it with `quartet workflows remove-pack {pack}`"
            raise Refused(f"the workflow {name!r} {how}")
        if name not in self._own and name not in self._broken:
            raise NotFound(self._unknown(name))
        users = sorted(n for n, w in self._own.items() if n != name and name in named_workflows(w))
        if users:
            raise Refused(f"the workflow {name!r} is part of {', '.join(users)}; change or remove that first")
        await self._store.add_version(NewVersion(name, "removed", "", "", None, who, "removed"))
        await self.refresh()

    def _examine(self, workflow: Workflow) -> None:
        """Refuse what could not be run.

        Raises:
            Refused: names what is wrong.
        """
        others = {**self._own, workflow.name: workflow}
        flaws = [] if self._check is None else list(self._check(workflow, frozenset(others)))
        flaws = flaws or list(embedding_flaws(workflow, others))
        if flaws:
            told = "; ".join(f"{_dotted(flaw.path)}: {flaw.message}" for flaw in flaws[:MOST_SHOWN])
            more = f"; and {len(flaws) - MOST_SHOWN} more" if len(flaws) > MOST_SHOWN else ""
            raise Refused(f"the workflow {workflow.name!r} cannot be used: {told}{more}")
        # Those that name it are kept as they are; with this one they have to stay whole.
        for name, other in self._own.items():
            if name != workflow.name and name not in self._broken and workflow.name in named_workflows(other):
                for flaw in embedding_flaws(other, others):
                    raise Refused(f"with this, the workflow {name!r} could not be used: {flaw.message}")

    async def _definition(self, name: str, number: int) -> Json:
        rows = await self.versions(name)
        row = next((row for row in rows if row.version == number), None)
        if row is None:
            raise NotFound(f"the workflow {name!r} has no version {number}; it has 1 to {rows[-1].version}")
        if row.definition is None:
            raise NotFound(f"with version {number} the workflow {name!r} was removed; choose another version")
        return row.definition

    def _unknown(self, name: str) -> str:
        short = name if len(name) <= 40 else f"{name[:39]}…"
        near = difflib.get_close_matches(short, self._whole, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(self._whole))}"
        return f"there is no workflow {short!r}; {hint}"


def _read(name: str, definition: Json) -> Workflow:
    """A kept definition.

    Raises:
        Refused: this program cannot read it.
    """
    try:
        return Workflow.model_validate(definition)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = _dotted(first["loc"])
        raise Refused(
            f"the kept workflow {name!r} cannot be read by this program ({where}: {first['msg']}); "
            "save it again, or go back to another version"
        ) from None


def _dotted(path: Iterable[str | int]) -> str:
    return ".".join(str(part) for part in path) or "the workflow"


def _one_line(text: str) -> str:
    return " ".join(text.split())
