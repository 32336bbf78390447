"""`quartet workflows schema`: the JSON Schema of workflow files, for editors."""

from __future__ import annotations

import json

import click

from bot.cli import common
from bot.workflow_schema import workflow_schema


@click.command("schema")
@common
def schema_command() -> None:
    r"""Print the JSON Schema of workflow files. Editors complete, explain and check with it.

    \b
    Examples:
      quartet workflows schema
      quartet workflows schema > workflow.schema.json
    """
    click.echo(json.dumps(workflow_schema(), indent=2, ensure_ascii=False))
