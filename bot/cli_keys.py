"""`quartet keys`: keys for the HTTP API and the page, with or without a running server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import click

from adapters.terminal.clean import clean
from bot.cli import common, given
from bot.cli_core import me
from bot.cli_settings import local_time, settings_of
from bot.logs import configure_logging
from orchestrator.api_keys import KEY_SCOPES, ApiKey, ApiKeys, KeyScope, new_key
from orchestrator.infra.sqlite_store import SqliteStore

UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
LONGEST = timedelta(days=3_650)
T = TypeVar("T")


class Lifetime(click.ParamType[timedelta]):
    """A time such as `90d`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read it; at most ten years."""
        match = re.fullmatch(r"([1-9][0-9]{0,6})([mhdw])", str(value))
        found = timedelta(seconds=int(match[1]) * UNITS[match[2]]) if match else None
        if found is None or found > LONGEST:
            self.fail(f"{value!r} is no time; write 90d, 12h, 4w or 30m, at most 3650d", param, ctx)
        return found


@click.group(invoke_without_command=True)
@common
@click.pass_context
def keys(context: click.Context) -> None:
    r"""List, add, rotate and revoke keys for the HTTP API and the page.

    As soon as there is one, every call and the page need a key. A running server takes up changes within a
    second. Scopes: read looks at runs, run starts them, approve decides, admin does everything.

    \b
    Examples:
      quartet keys
      quartet keys add ci --scope read --scope run --expires 90d
      quartet keys add ada --scope admin
      quartet keys revoke ci
    """
    if context.invoked_subcommand is None:
        context.invoke(list_keys)


@keys.command("list")
@click.option("--all", "everything", is_flag=True, help="Revoked ones too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common
@click.pass_context
def list_keys(context: click.Context, *, everything: bool = False, as_json: bool = False) -> None:
    r"""List keys, oldest first; the keys themselves are kept nowhere.

    \b
    Example:
      quartet keys list --all
    """
    rows = _with_keys(context, lambda store: store.api_keys())
    shown = [row for row in rows if everything or row.revoked_at is None]
    now = datetime.now(UTC)
    if as_json:
        click.echo(json.dumps([_json(row, now) for row in shown], indent=2))
        return
    if not shown:
        click.echo("There are no named keys. `quartet keys add --help` shows how to make one.")
    for row in shown:
        click.echo(clean(_line(row, now)))


@keys.command("add")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(KEY_SCOPES),
    help="What it may do; may be given several times.",
)
@click.option("--expires", "lifetime", type=Lifetime(), metavar="TIME", help="90d, 12h, 4w. Default: never.")
@click.option(
    "--per-minute",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    help="Requests in a minute. Default: api.requests_per_minute of the settings.",
)
@common
@click.pass_context
def add_key(
    context: click.Context,
    name: str,
    scopes: Sequence[KeyScope],
    lifetime: timedelta | None,
    per_minute: int | None,
) -> None:
    r"""Make a key and print it, this once. NAME is who it stands for in runs and decisions.

    \b
    Examples:
      quartet keys add ci --scope read --scope run --expires 90d
      quartet keys add release-desk --scope read --scope approve
    """
    expires_at = None if lifetime is None else datetime.now(UTC) + lifetime
    token, new = new_key(name, scopes, made_by=me().key, expires_at=expires_at, per_minute=per_minute)

    async def add(store: ApiKeys) -> bool:
        is_first = all(row.revoked_at is not None for row in await store.api_keys())
        await store.add_api_key(new)
        return is_first

    is_first = _with_keys(context, add)
    click.echo(token)
    click.echo(f"This is the key {name!r}. It is shown this once; only a digest is kept.", err=True)
    if is_first and settings_of(context).api_key is None:
        click.echo(
            "It is the first one: from now on every call of the HTTP API needs a key, and the page asks "
            "people to sign in with one.",
            err=True,
        )


@keys.command("rotate")
@click.argument("name")
@common
@click.pass_context
def rotate_key(context: click.Context, name: str) -> None:
    r"""Put a new key in the place of one: same name, scopes and lifetime. The old one is revoked at once.

    \b
    Example:
      quartet keys rotate ci
    """

    async def rotate(store: ApiKeys) -> str:
        old = _named(await store.api_keys(), name)
        lifetime = None if old.expires_at is None else old.expires_at - old.made_at
        if lifetime is not None and lifetime <= timedelta():
            raise click.ClickException(f"the row of {name!r} is broken; revoke the key and add it anew")
        token, new = new_key(
            name,
            old.scopes,
            made_by=me().key,
            expires_at=None if lifetime is None else datetime.now(UTC) + lifetime,
            per_minute=old.per_minute,
        )
        await store.add_api_key(new, instead_of=old.id)
        return token

    click.echo(_with_keys(context, rotate))
    click.echo(f"This is the new key {name!r}; the old one does not count any more.", err=True)


@keys.command("revoke")
@click.argument("name")
@common
@click.pass_context
def revoke_key(context: click.Context, name: str) -> None:
    r"""Let a key count no more. Sign-ins on the page with it end; calls under way end as they would.

    \b
    Example:
      quartet keys revoke ci
    """

    async def revoke(store: ApiKeys) -> bool:
        await store.revoke_api_key(_named(await store.api_keys(), name).id)
        return any(row.revoked_at is None for row in await store.api_keys())

    others = _with_keys(context, revoke)
    click.echo(f"Revoked the key {name!r}.")
    if not others and settings_of(context).api_key is None:
        click.echo("No key is left: calls on this machine need none again.", err=True)


def _named(rows: Sequence[ApiKey], name: str) -> ApiKey:
    for row in rows:
        if row.name == name and row.revoked_at is None:
            return row
    raise click.ClickException(f"there is no key {name!r}; `quartet keys` lists them")


def _with_keys(context: click.Context, work: Callable[[ApiKeys], Awaitable[T]]) -> T:
    """Open the database alone: keys can be revoked whatever else is broken."""
    settings = settings_of(context)
    configure_logging(settings, "DEBUG" if given(context).debug else "ERROR")

    async def run() -> T:
        home = settings.home
        store = await SqliteStore.open(home / "quartet.db", owners_dir=home / "owners")
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _line(row: ApiKey, now: datetime) -> str:
    state = row.state(now)
    when = {
        "living": f"until {local_time(row.expires_at)}" if row.expires_at else "for good",
        "expired": f"expired {local_time(row.expires_at)}",
        "revoked": f"revoked {local_time(row.revoked_at)}",
    }[state]
    scopes = ",".join(scope for scope in KEY_SCOPES if scope in row.scopes) or "nothing (its row is broken)"
    limit = f", {row.per_minute:,} a minute" if row.per_minute else ""
    return f"{row.name}  {row.id}  {scopes}  {when}{limit}, made {local_time(row.made_at)} by {row.made_by}"


def _json(row: ApiKey, now: datetime) -> dict[str, Any]:
    times = {
        name: at.isoformat() if at is not None else None
        for name, at in (
            ("made_at", row.made_at),
            ("expires_at", row.expires_at),
            ("revoked_at", row.revoked_at),
        )
    }
    return {
        "id": row.id,
        "name": row.name,
        "scopes": sorted(row.scopes),
        "state": row.state(now),
        "made_by": row.made_by,
        "requests_per_minute": row.per_minute,
        **cast("dict[str, Any]", times),
    }
