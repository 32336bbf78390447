"""`quartet workflows`: the definitions there are, and whether a file is one."""

from __future__ import annotations

import json
from pathlib import Path

import click

from bot.cli import common
from bot.cli_settings import settings_of
from bot.definitions import read_agents, read_workflows
from config.documents import read_model
from config.errors import suggest
from orchestrator.workflow import Workflow


@click.group(invoke_without_command=True)
@common
@click.pass_context
def workflows(context: click.Context) -> None:
    r"""List, show and check workflow definitions.

    \b
    Examples:
      quartet workflows
      quartet workflows show quartet
      quartet workflows check mine.yaml
    """
    if context.invoked_subcommand is None:
        context.invoke(list_workflows)


@workflows.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@common
@click.pass_context
def list_workflows(context: click.Context, as_json: bool) -> None:
    r"""List the workflows, shipped ones and your own.

    \b
    Examples:
      quartet workflows list
      quartet workflows list --json
    """
    found = _all(context)
    if as_json:
        rows = [{"name": w.name, "version": w.version, "description": w.description} for w in found.values()]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for workflow in found.values():
        click.echo(f"{workflow.name}  version {workflow.version}  {' '.join(workflow.description.split())}")


@workflows.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the definition as JSON.")
@common
@click.pass_context
def show_workflow(context: click.Context, name: str, as_json: bool) -> None:
    r"""Show one workflow: its nodes and the ways between them.

    \b
    Examples:
      quartet workflows show quartet
      quartet workflows show quartet --json
    """
    found = _all(context)
    if name not in found:
        raise click.ClickException(f"there is no workflow {name!r}; {suggest(name, found)}")
    workflow = found[name]
    if as_json:
        click.echo(workflow.model_dump_json(indent=2, by_alias=True))
        return
    click.echo(f"{workflow.name}, version {workflow.version}: {' '.join(workflow.description.split())}")
    click.echo(f"Begins at {workflow.first}.")
    for node_name, node in workflow.nodes.items():
        who = getattr(node, "agent", None) or getattr(node, "of", None)
        click.echo(f"  {node_name}: {node.kind}" + (f" ({who})" if who else ""))
        for edge in workflow.outgoing[node_name]:
            bits = [f"on {edge.on}"] if edge.on != "success" else []
            bits += [f"when {edge.when}"] if edge.when else []
            bits += [f"at most {edge.max_visits} times"] if edge.max_visits else []
            click.echo(f"    → {edge.target}" + (f" ({', '.join(bits)})" if bits else ""))


@workflows.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@common
@click.pass_context
def check_workflow(context: click.Context, file: Path) -> None:
    r"""Check a workflow file. Exit code 0: it can be used. 1: each line says what to mend, and where.

    \b
    Examples:
      quartet workflows check mine.yaml
      quartet workflows check config/workflows/quartet.yaml
    """
    agents = frozenset(spec.name for spec in read_agents(settings_of(context)))
    workflow = read_model(
        file, Workflow, extra_check=lambda w: ((flaw.path, flaw.message) for flaw in w.problems(agents))
    )
    click.echo(f"{file}: workflow {workflow.name!r} is well formed ({len(workflow.nodes)} nodes).")


def _all(context: click.Context) -> dict[str, Workflow]:
    settings = settings_of(context)
    return read_workflows(settings, (spec.name for spec in read_agents(settings)))
