"""`quartet workflows`: the definitions there are, and whether a file is one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from bot.app import Core
from bot.cli import common
from bot.cli_core import with_core
from bot.cli_packs import install_pack, list_packs, make_pack, remove_pack
from bot.cli_settings import settings_of
from bot.cli_versions import go_back, list_versions, remove_workflow, show_difference
from bot.cli_workflow_schema import schema_command
from bot.command_answers import short
from bot.definitions import read_definitions
from config.documents import read_model
from config.errors import suggest
from orchestrator import inputs
from orchestrator.pictures import graph_of, png, svg
from orchestrator.workflow import (
    AgentNode,
    ApprovalNode,
    ErrorHandlerNode,
    InputNode,
    MapNode,
    Node,
    Workflow,
    WorkflowNode,
)
from orchestrator.workflow_checks import problems

MOST_OF_A_QUESTION = 80  # characters


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
@click.option("--png", "png_file", type=click.Path(path_type=Path), help="Write its picture to this file.")
@click.option("--svg", "svg_file", type=click.Path(path_type=Path), help="The same, as SVG.")
@common
@click.pass_context
def show_workflow(
    context: click.Context, name: str, as_json: bool, png_file: Path | None, svg_file: Path | None
) -> None:
    r"""Show one workflow: its nodes and the ways between them, or its picture.

    \b
    Examples:
      quartet workflows show quartet
      quartet workflows show quartet --json
      quartet workflows show quartet --png quartet.png
    """
    found = _all(context)
    if name not in found:
        raise click.ClickException(f"there is no workflow {name!r}; {suggest(name, found)}")
    workflow = found[name]
    if png_file is not None:
        _write(png_file, png(graph_of(workflow)))
    if svg_file is not None:
        _write(svg_file, svg(graph_of(workflow)).encode())
    if as_json:
        click.echo(workflow.model_dump_json(indent=2, by_alias=True))
        return
    if png_file is not None or svg_file is not None:
        return
    click.echo(f"{workflow.name}, version {workflow.version}: {' '.join(workflow.description.split())}")
    click.echo(f"Begins at {', '.join(workflow.entries)}.")
    for node_name, node in workflow.nodes.items():
        who = "; ".join(_who(node))
        click.echo(f"  {node_name}: {node.kind}" + (f" ({who})" if who else ""))
        for edge in workflow.outgoing[node_name]:
            bits = [f"on {edge.on}"] if edge.on != "success" else []
            bits += [f"when {edge.when}"] if edge.when else []
            bits += [f"at most {edge.max_visits} times"] if edge.max_visits else []
            click.echo(f"    → {edge.target}" + (f" ({', '.join(bits)})" if bits else ""))
    taken = [(name, what) for name, what in inputs.described(workflow) if name != inputs.TEXT]
    if taken:
        click.echo("Inputs:")
    for name, what in taken:
        click.echo(f"  {name}: {what}")
    click.echo(f"For example, in chat: {inputs.example(workflow)}")
    click.echo(f"In the terminal: {_asked(workflow)}")


def _who(node: Node) -> Iterator[str]:
    """Who works on a node, or what it is about, as the definition says it."""
    match node:
        case AgentNode() | MapNode() | ErrorHandlerNode():
            if isinstance(node, MapNode):
                yield f"each of {node.over}"
                if node.workflow:
                    yield f"workflow {node.workflow}"
            if node.agent:
                yield node.agent
            if node.agent_from:
                yield f"whom {node.agent_from} names" + (f" of the team of {node.team}" if node.team else "")
            if node.requires:
                yield f"whoever has {', '.join(node.requires)}"
            if node.prefers:
                yield f"{'' if node.requires else 'anybody, '}preferably with {', '.join(node.prefers)}"
        case WorkflowNode():
            yield f"workflow {node.workflow}"
        case ApprovalNode():
            yield node.of
        case InputNode():
            yield short(" ".join(node.question.split()), MOST_OF_A_QUESTION)
        case _:
            return


def _asked(workflow: Workflow) -> str:
    """How to start it with `quartet ask`, from the example for chat."""
    given = [f"--input {shlex.quote(pair)}" for pair in inputs.example_pairs(workflow)]
    return " ".join(["quartet ask --workflow", workflow.name, *given, '"what is to be done"'])


def _write(file: Path, picture: bytes) -> None:
    try:
        file.write_bytes(picture)
    except OSError as error:
        reason = (error.strerror or "it cannot be written").lower()
        raise click.ClickException(f"{file}: {reason}; name a file in a folder that is there") from None
    click.echo(f"{file}: {len(picture):,} bytes.", err=True)


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
    known = read_definitions(settings_of(context))
    agents = frozenset(spec.name for spec in known.agents)
    capabilities = frozenset(one for spec in known.agents for one in spec.capabilities)
    every = {each.workflow.name: each.workflow for each in known.workflows}

    def flaws(workflow: Workflow) -> Iterator[tuple[tuple[str | int, ...], str]]:
        names = frozenset({*every, workflow.name})
        for flaw in problems(workflow, agents=agents, capabilities=capabilities, workflows=names):
            yield flaw.path, flaw.message

    workflow = read_model(file, Workflow, extra_check=flaws)
    count = len(workflow.nodes)
    click.echo(
        f"{file}: workflow {workflow.name!r} is well formed ({count} node{'' if count == 1 else 's'})."
    )


def _all(context: click.Context) -> dict[str, Workflow]:
    """Those that a run can begin with: of files, of packs, and saved ones, in the version that holds."""

    async def listed(core: Core) -> dict[str, Workflow]:
        return {name: core.workflows[name] for name in sorted(core.workflows)}

    return with_core(context, listed)


for _command in (
    list_versions,
    show_difference,
    go_back,
    remove_workflow,
    install_pack,
    list_packs,
    make_pack,
    remove_pack,
    schema_command,
):
    workflows.add_command(_command)
