"""What `runs`, `agents` and `workflows` share: a look at the database without executing anything."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import click

from bot.app import Core, open_core
from bot.cli import given
from bot.cli_settings import settings_of
from bot.logs import configure_logging
from orchestrator.events import RunId, Who
from orchestrator.ports import RunRow

T = TypeVar("T")


def with_core(context: click.Context, work: Callable[[Core], Awaitable[T]], *wrong: type[Exception]) -> T:
    """Open the database without executing anything, and do the work.

    Args:
        context: of the command.
        work: what is done.
        wrong: what `work` raises where a person wrote something wrong; it is told as one line.
    """
    settings = settings_of(context)
    configure_logging(settings, "DEBUG" if given(context).debug else "ERROR")

    async def run() -> T:
        async with open_core(settings, execute=False) as core:
            return await work(core)

    try:
        return asyncio.run(run())
    except wrong as error:
        raise click.ClickException(str(error)) from None


async def all_runs(core: Core, *, limit: int) -> AsyncIterator[RunRow]:
    """Runs, newest first, page by page."""
    cursor: str | None = None
    left = limit
    while left > 0:
        page = await core.store.runs(limit=min(left, 200), cursor=cursor)
        for row in page.items:
            yield row
        left -= len(page.items)
        cursor = page.next
        if cursor is None:
            return


async def find_run(core: Core, begun: str) -> RunRow:
    """A run by its id or the beginning of it.

    Raises:
        ClickException: none or several runs begin so.
    """
    row = await core.store.run(RunId(begun))
    if row is not None:
        return row
    found = (
        [row async for row in all_runs(core, limit=1_000_000) if row.id.startswith(begun)] if begun else []
    )
    if len(found) == 1:
        return found[0]
    if not found:
        raise click.ClickException(f"there is no run {begun!r}; `quartet runs` lists them")
    some = ", ".join(row.id for row in found[:5]) + (", …" if len(found) > 5 else "")
    raise click.ClickException(f"{len(found)} runs begin with {begun!r}: {some}; give more of the id")


def me() -> Who:
    """The person at this terminal."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # no name for this uid, as in containers
        name = f"uid-{os.getuid()}"
    return Who(key=f"terminal:{name}", name=name)
