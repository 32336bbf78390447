"""`quartet workflows install | packs | remove-pack | pack`: workflow packs, from a folder or a zip."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from adapters.terminal.clean import clean
from bot.cli import common
from bot.cli_settings import settings_of


@click.command("install")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--unsigned", is_flag=True, help="Install it though nobody whom you trust has signed it.")
@click.option("--replace", is_flag=True, help="Replace the installed pack of this name.")
@common
@click.pass_context
def install_pack(context: click.Context, path: Path, unsigned: bool, replace: bool) -> None:
    r"""Install a workflow pack from a folder or a zip. Nothing of it is run.

    A pack that is signed with a key of `packs: trusted_keys` is installed at once; for any other you
    are asked, or give --unsigned. A wrong signature is refused.

    \b
    Examples:
      quartet workflows install release-notes.zip
      quartet workflows install ./my-pack --unsigned
      quartet workflows install release-notes.zip --replace
    """
    from bot.definitions import read_definitions
    from bot.packs import Packs, open_pack

    settings = settings_of(context)
    trusted = settings.packs.trusted_keys
    pack = open_pack(path, trusted)
    read_definitions(settings, adding=pack)
    packs = Packs(settings.home, trusted)
    if pack.name in packs.names() and not replace:
        raise click.ClickException(f"the pack {pack.name!r} is installed; add --replace, or remove it first")
    brings = _brings([w.name for w, _ in pack.workflows], [a.name for a, _ in pack.agents])
    if pack.trust != "signed" and not unsigned:
        who = (
            f"it is signed with a key that you do not trust ({pack.key})"
            if pack.key
            else "nobody has signed it"
        )
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            remedy = "look at its files, then add --unsigned"
            raise click.ClickException(f"the pack {pack.name!r}: {who}; {remedy}")
        by = _author(pack.manifest.author)
        click.echo(clean(f"The pack {pack.name} {pack.manifest.version} by {by}: {who}."), err=True)
        click.echo(f"It brings {brings}.", err=True)
        click.confirm("Install it all the same?", abort=True, err=True)
    packs.install(pack, replace=replace)
    click.echo(f"Installed the pack {pack.name} {pack.manifest.version} ({pack.trust}): {brings}.")
    click.echo("A server that runs takes it up when it is started again.", err=True)


@click.command("packs")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common
@click.pass_context
def list_packs(context: click.Context, as_json: bool) -> None:
    r"""List the installed packs, with who signed them.

    \b
    Examples:
      quartet workflows packs
      quartet workflows packs --json
    """
    from bot.definitions import installed

    found = installed(settings_of(context))
    if as_json:
        rows = [
            {
                "name": p.name,
                "version": p.manifest.version,
                "description": p.manifest.description,
                "author": p.manifest.author,
                "trust": p.trust,
                "key": p.key or None,
                "workflows": [w.name for w, _ in p.workflows],
                "agents": [a.name for a, _ in p.agents],
            }
            for p in found
        ]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not found:
        click.echo("No packs are installed. Install one: quartet workflows install PATH")
    for pack in found if not as_json else ():
        brings = _brings([w.name for w, _ in pack.workflows], [a.name for a, _ in pack.agents])
        about = " ".join(pack.manifest.description.split())
        click.echo(clean(f"{pack.name}  {pack.manifest.version}  {pack.trust}  {brings}  {about}".rstrip()))


@click.command("remove-pack")
@click.argument("name")
@common
@click.pass_context
def remove_pack(context: click.Context, name: str) -> None:
    r"""Remove an installed pack with its workflows and agents. Runs at work keep what they started with.

    \b
    Example:
      quartet workflows remove-pack release-notes
    """
    from bot.definitions import read_definitions
    from bot.packs import Packs
    from config.errors import ConfigError

    settings = settings_of(context)
    packs = Packs(settings.home, settings.packs.trusted_keys)
    if name in packs.names():
        try:
            read_definitions(settings)
        except ConfigError:
            pass  # it cannot get worse, and removing the pack may be the remedy
        else:
            try:
                read_definitions(settings, without=name)
            except ConfigError as error:
                raise click.ClickException(
                    f"without the pack {name!r} this could not be read: {error}"
                ) from None
    packs.remove(name)
    click.echo(f"Removed the pack {name}.")


@click.command("pack")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--key", "key_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Sign with this Ed25519 private key (PEM); it is made where there is none.",
)  # fmt: skip
@common
@click.pass_context
def make_pack(context: click.Context, folder: Path, key_file: Path | None) -> None:
    r"""Finish a pack of your own: write its files' digests into pack.yaml, and sign it with --key.

    The folder has a pack.yaml with name, version, workflows and agents; `files:` is written anew.

    \b
    Examples:
      quartet workflows pack ./release-notes
      quartet workflows pack ./release-notes --key ~/.quartet-packs.pem
    """
    from bot.pack_making import finish

    made = finish(folder, key_file)
    settings = settings_of(context)
    from bot.packs import open_pack

    pack = open_pack(folder, settings.packs.trusted_keys)
    click.echo(f"The pack {pack.name} {pack.manifest.version} is complete: {len(pack.manifest.files)} files.")
    if made:
        click.echo(
            f"Signed. Who trusts you writes into config/quartet.yaml: packs: {{trusted_keys: [{made}]}}"
        )


def _brings(workflows: list[str], agents: list[str]) -> str:
    bits = [
        f"{what} {', '.join(names)}"
        for what, names in (("workflows", workflows), ("agents", agents))
        if names
    ]
    return "; ".join(bits)


def _author(name: str) -> str:
    return " ".join(name.split()) or "somebody who is not named"
