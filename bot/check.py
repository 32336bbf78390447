"""`quartet check`: every setting, where it came from, what is wrong and how to mend it.

Nothing is started and nothing changed; only `--online` asks anybody outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from pydantic import BaseModel, SecretStr

from bot.check_discord import ask_discord, discord_rows
from bot.check_home import home_flaw
from bot.check_own_agents import own_agent_rows, probe_rows
from bot.check_row import CheckRow, State
from bot.check_slack import ask_slack, outside_rows, slack_rows
from config.documents import read_model
from config.errors import ConfigError, ConfigProblem, cloak, short_path, suggest
from config.load import Survey, survey
from config.paths import agent_files, workflow_files
from config.providers import BUILT_IN, ProviderSettings
from config.settings import AGENTS, Settings
from config.sources import KNOWN, Known
from config.yaml_text import YamlPath
from orchestrator.embedding import embedding_flaws
from orchestrator.workflow import Workflow
from orchestrator.workflow_checks import problems

if TYPE_CHECKING:
    from bot.packs import Pack

ONLINE_TIMEOUT_S = 10.0


def check(found: Survey, *, online: bool = False) -> tuple[list[CheckRow], bool]:
    """Look at everything that is configured.

    Args:
        found: what the sources hold.
        online: also ask Slack and Discord about each token, and each configured provider for its models.

    Returns:
        The rows, and whether nothing is wrong.
    """
    rows = list(_setting_rows(found))
    agents, capabilities, agent_rows = _agents(found.settings)
    rows += agent_rows
    folders = found.settings.workflows_path if found.settings is not None else ()
    rows += _workflows(folders, agents, capabilities)
    if found.settings is not None:
        rows += _folders(found.settings)
        rows += _models(found.settings)
        rows += slack_rows(found.settings)
        rows += discord_rows(found.settings)
        rows += outside_rows(found.settings)
        if online:
            rows += asyncio.run(_ask_all(found.settings))
    return rows, all(row.state != "wrong" for row in rows)


# ── settings ─────────────────────────────────────────────────────────────────────────────────


def _setting_rows(found: Survey) -> Iterator[CheckRow]:
    left = list(found.problems)
    for known in KNOWN:
        if known.field == "own_provider_keys":
            continue
        value = found.given(known.key)
        if found.settings is not None:
            value = getattr(found.settings, known.field)
        elif value is None:
            value = Settings.model_fields[known.field].get_default(call_default_factory=True)
        mine = [p for p in left if p.key in known.variables or re.split(r"[.\[]", p.key)[0] == known.key]
        left = [p for p in left if p not in mine]
        state: State = "ok" if known.unused is None else "unused"
        note = "" if known.unused is None else f"not used by this version: {known.unused}"
        for part, shown in _spread(known, value):
            name = cloak(".".join((known.name, *part)))
            refused = any(_concerns(problem, known, part) for problem in mine)
            origin = str(found.origin((known.key, *part)))
            yield CheckRow(name, shown, origin, "refused" if refused else state, note)
        yield from (_wrong(problem) for problem in mine)
    yield from (_wrong(problem) for problem in left)


def _concerns(problem: ConfigProblem, known: Known, part: tuple[str, ...]) -> bool:
    key = ".".join((known.key, *part))
    return problem.key in known.variables or re.match(rf"{re.escape(key)}($|[.\[])", problem.key) is not None


def _wrong(problem: ConfigProblem) -> CheckRow:
    place = ":".join(str(p) for p in (problem.file, problem.line, problem.column) if p is not None)
    return CheckRow(problem.key or problem.file, "", place, "wrong", f"{problem.message}; {problem.remedy}")


def _spread(known: Known, value: object) -> Iterator[tuple[tuple[str, ...], str]]:
    """A setting as one line or, for the sections of the YAML file, one for each part: (part, text)."""
    if known.secret:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        yield (), mask(str(text)) if text is not None else "–"
        return
    value = value.model_dump() if isinstance(value, BaseModel) else value
    if not isinstance(value, dict) or not value:
        yield (), _text(cast("object", value))
        return
    for name, part in cast("Mapping[str, object]", value).items():
        yield (name,), _text(part)


def _text(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    value = value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else value
    if isinstance(value, dict):
        return (
            ", ".join(f"{cloak(k)}: {_text(v)}" for k, v in cast("Mapping[str, object]", value).items())
            or "–"
        )
    if isinstance(value, tuple | list):
        return ", ".join(_text(part) for part in cast("Iterable[object]", value)) or "–"
    if isinstance(value, Path):
        return short_path(value)
    # A name and password in an address are refused, and are not shown in the refusal either.
    return cloak(re.sub(r"//[^/@\s]*@", "//…@", " ".join(str(value).split())))[:200]


def mask(secret: str) -> str:
    """A secret as it may be shown: `xoxb-…3f2a`."""
    address = re.match(r"\w[\w+]*://", secret)
    if address is not None:
        return f"{address.group()}…"
    if len(secret) < 20:
        return "…"
    prefix = re.match(r"(xoxb|xapp|sk|gsk|tvly)[-_]", secret)
    return f"{prefix.group() if prefix else ''}…{secret[-4:]}"


# ── files ────────────────────────────────────────────────────────────────────────────────────


def _agents(
    settings: Settings | None,
) -> tuple[frozenset[str] | None, frozenset[str] | None, list[CheckRow]]:
    """The agents' names, what they can do (None: not all are known), and a row for each file."""
    # Imported here: with the agents come libraries that `--help` need not wait for.
    from bot.design_cards import BUILT_IN
    from orchestrator.agents.spec import AgentSpec

    names = {card.name for card in BUILT_IN}
    capabilities = {one for card in BUILT_IN for one in card.capabilities}
    rows: list[CheckRow] = []
    for file in agent_files():
        try:
            spec = read_model(file, AgentSpec)
        except ConfigError as error:
            rows += [_wrong(problem) for problem in error.problems]
            continue
        names.add(spec.name)
        capabilities.update(spec.capabilities)
        flaw = _model_flaw(spec.model, settings) if settings is not None and spec.model else ""
        rows.append(
            CheckRow(
                f"agent {spec.name}", spec.model or "", short_path(file), "wrong" if flaw else "ok", flaw
            )
        )
    if settings is not None:
        own_rows, own_names = own_agent_rows(settings, names)
        rows += own_rows
        names |= own_names
    complete = not any(row.state == "wrong" for row in rows)
    for pack in _packs(settings, rows):
        names.update(spec.name for spec, _ in pack.agents)
        capabilities.update(one for spec, _ in pack.agents for one in spec.capabilities)
    if not complete:
        return None, None, rows
    return frozenset(names), frozenset(capabilities), rows


def _packs(settings: Settings | None, rows: list[CheckRow]) -> Sequence[Pack]:
    """The installed packs, with a row for each; one that was changed since is told."""
    if settings is None:
        return ()
    from bot.definitions import installed

    try:
        packs = installed(settings)
    except ConfigError as error:
        rows += [_wrong(problem) for problem in error.problems]
        return ()
    rows += [CheckRow(f"pack {pack.name}", pack.manifest.version, "installed") for pack in packs]
    return packs


def _model_flaw(reference: str, settings: Settings) -> str:
    if reference == "rules":
        return ""
    provider = reference.partition(":")[0]
    known = {*BUILT_IN, *settings.own_providers}
    if provider not in known:
        return f"the provider {provider!r} is unknown; {suggest(provider, known)}"
    if provider not in settings.providers():
        return f"the provider {provider!r} has no key; set {BUILT_IN[provider].variable}"
    return ""


def _flaws(
    agents: frozenset[str] | None,
    capabilities: frozenset[str] | None,
    every: Mapping[str, Workflow],
    workflow: Workflow,
) -> Iterator[tuple[YamlPath, str]]:
    names = frozenset({*every, workflow.name})
    found = list(problems(workflow, agents=agents, capabilities=capabilities, workflows=names))
    for flaw in found or embedding_flaws(workflow, {**every, workflow.name: workflow}):
        yield flaw.path, flaw.message


def _workflows(
    folders: Iterable[Path], agents: frozenset[str] | None, capabilities: frozenset[str] | None
) -> Iterator[CheckRow]:
    files: dict[str, str] = {}
    every: dict[str, Workflow] = {}
    for file in workflow_files(folders):
        with contextlib.suppress(ConfigError):  # told below, beside the others
            workflow = read_model(file, Workflow)
            every[workflow.name] = workflow
    for file in workflow_files(folders):
        name = short_path(file)
        try:
            workflow = read_model(file, Workflow, extra_check=partial(_flaws, agents, capabilities, every))
        except ConfigError as error:
            yield from (_wrong(problem) for problem in error.problems)
            continue
        if workflow.name in files:
            note = f"{files[workflow.name]} has the same name; choose another"
            yield CheckRow(f"workflow {workflow.name}", "", name, "wrong", note)
            continue
        files[workflow.name] = name
        yield CheckRow(f"workflow {workflow.name}", f"{len(workflow.nodes)} nodes", name)


def _folders(settings: Settings) -> Iterator[CheckRow]:
    home = settings.home
    note = home_flaw(home)
    yield CheckRow("home", short_path(home), "file system", "wrong" if note else "ok", note)
    database = home / "quartet.db"
    # Imported here: with it comes what `--help` need not wait for.
    from orchestrator.infra.sqlite_check import database_flaw

    note = database_flaw(database)
    shown = short_path(database) if database.exists() else "none yet"
    yield CheckRow("database", shown, "file system", "wrong" if note else "ok", note)
    folder = settings.knowledge_dir
    if folder.is_dir() and os.access(folder, os.R_OK | os.X_OK):
        count = sum(1 for _, _, names in os.walk(folder) for name in names if not name.startswith("."))
        yield CheckRow("knowledge", f"{short_path(folder)}, {count} files", "file system")
    else:
        note = "cannot be read; make the folder, or set KNOWLEDGE_DIR"
        yield CheckRow("knowledge", short_path(folder), "file system", "wrong", note)


# ── models ───────────────────────────────────────────────────────────────────────────────────


def _models(settings: Settings) -> Iterator[CheckRow]:
    if settings.engine == "rules":
        yield CheckRow(
            "engine", "rules", "settings", note="no provider has a key, so no language model works"
        )
        return
    yield CheckRow("engine", "models", "settings", note=f"providers: {', '.join(settings.providers())}")
    for agent in AGENTS:
        yield CheckRow(f"model of {agent}", settings.model_for(agent) or "none: works by rules", "settings")


async def _ask_all(settings: Settings) -> list[CheckRow]:
    models = asyncio.gather(*(_ask(provider) for provider in settings.providers().values()))
    found, slack, discord = await asyncio.gather(
        models, ask_slack(settings, ONLINE_TIMEOUT_S), ask_discord(settings, ONLINE_TIMEOUT_S)
    )
    return [*found, *slack, *discord, *await probe_rows(settings)]


async def _ask(provider: ProviderSettings) -> CheckRow:
    import httpx2

    name = f"online {provider.name}"
    url = f"{provider.base_url.rstrip('/')}/{'projects' if provider.name == 'customgpt' else 'models'}"
    headers = {"Accept": "application/json"}
    if provider.api_key is not None:
        key = provider.api_key.get_secret_value()
        headers["Authorization"] = f"Bearer {key}"
        if provider.name == "anthropic":
            headers |= {"x-api-key": key, "anthropic-version": "2023-06-01"}
    try:
        async with asyncio.timeout(ONLINE_TIMEOUT_S), httpx2.AsyncClient() as client:
            response = await client.get(url, headers=headers)
    except TimeoutError:
        return CheckRow(
            name, url, "network", "wrong", f"no answer in {ONLINE_TIMEOUT_S:.0f} s; check the address"
        )
    except httpx2.HTTPError as error:
        note = f"cannot be reached ({type(error).__name__}); check the address and the network"
        return CheckRow(name, url, "network", "wrong", note)
    if response.status_code in (401, 403):
        return CheckRow(
            name, url, "network", "wrong", f"refuses the key ({response.status_code}); set the right one"
        )
    if response.status_code != 200:
        note = f"answered {response.status_code}; check the address"
        return CheckRow(name, url, "network", "wrong", note)
    return CheckRow(name, url, "network", note="answers")


# ── the command ──────────────────────────────────────────────────────────────────────────────


def print_rows(rows: Iterable[CheckRow]) -> None:
    """Write the report to stdout; what is wrong stands out."""
    rows = list(rows)
    width = max((len(row.name) for row in rows if row.state not in ("wrong", "note")), default=0)
    for row in rows:
        if row.state == "wrong":
            value = f" = {row.value}" if row.value else ""
            click.secho(f"✗ {row.name}{value} ({row.origin}): {row.note}", fg="red")
        elif row.state == "note":
            click.secho(f"! {row.name}: {row.note}", fg="yellow")
        else:
            sign = {"unused": "·", "refused": "✗"}.get(row.state, "✓")
            note = f"  ({row.note})" if row.note else ""
            line = f"{sign} {row.name:<{width}}  {row.value or '–'}  [{row.origin}]{note}"
            click.secho(line, dim=row.state == "unused")


@click.command("check")
@click.option(
    "--online",
    is_flag=True,
    help="Also ask Slack, Discord and the model providers whether they take the keys.",
)
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Instead of config/quartet.yaml."
)
def check_command(online: bool, config_file: Path | None) -> None:
    r"""Show every setting: its value (secrets masked), where it came from, what is wrong.

    Exit code 0: all is well. 1: something is to be mended; each such line says how.

    \b
    Examples:
      quartet check
      quartet check --online
      quartet check --config other.yaml
    """
    rows, fine = check(survey(config_file=config_file), online=online)
    print_rows(rows)
    wrong = sum(1 for row in rows if row.state == "wrong")
    noted = any(row.state == "note" for row in rows)
    well = "Nothing is to be mended here; mind what is marked with ! above." if noted else "All is well."
    click.echo(well if fine else f"{wrong} to mend, marked with ✗ above.", err=not fine)
    sys.exit(0 if fine else 1)
