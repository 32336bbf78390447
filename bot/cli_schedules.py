"""`quartet schedules`: what starts by the clock, with or without a running server (which starts it)."""

from __future__ import annotations

import uuid

import click

from adapters.contract import ConversationRef
from adapters.terminal.clean import clean
from bot.app import Core
from bot.cli import common
from bot.cli_ask import input_pairs
from bot.cli_core import me, with_core
from bot.schedules_words import described, next_told
from orchestrator.cron import CronError
from orchestrator.inputs import TEXT, from_words
from orchestrator.ports import Schedule


@click.group(invoke_without_command=True)
@common
@click.pass_context
def schedules(context: click.Context) -> None:
    r"""List, add, pause, resume, remove and run schedules. `quartet up` starts what is due.

    \b
    Examples:
      quartet schedules
      quartet schedules add "0 16 * * 5" Europe/Berlin quartet "Write the release notes"
      quartet schedules pause s4f0c2ab91
    """
    if context.invoked_subcommand is None:
        context.invoke(list_schedules)


@schedules.command("list")
@common
@click.pass_context
def list_schedules(context: click.Context) -> None:
    r"""List the schedules of all channels.

    \b
    Example:
      quartet schedules list
    """

    async def look(core: Core) -> list[Schedule]:
        return await core.schedules.all()

    rows = with_core(context, look)
    if not rows:
        click.echo("Nothing starts by the clock. `quartet schedules add --help` shows how.")
    for row in rows:
        click.echo(clean(f"{row.id}  {row.conversation_id}  {described(row)}"))
        if row.note:
            click.echo(clean(f"           {row.note}"))


@schedules.command("add")
@click.argument("cron")
@click.argument("zone")
@click.argument("workflow")
@click.argument("text", default="")
@click.option("--input", "pairs", multiple=True, metavar="KEY=VALUE", help="An input of the workflow.")
@click.option(
    "--in",
    "place",
    metavar="CONVERSATION",
    default="terminal:local:schedules:",
    show_default=True,
    help="Where its runs take place, as platform:workspace:channel:thread.",
)
@common
@click.pass_context
def add_schedule(
    context: click.Context, cron: str, zone: str, workflow: str, text: str, pairs: tuple[str, ...], place: str
) -> None:
    r"""Start WORKFLOW by the clock: CRON in five fields, ZONE an IANA time zone.

    Without `--in` runs are seen with `quartet runs`; with it they are shown where it says.

    \b
    Examples:
      quartet schedules add "0 16 * * 5" Europe/Berlin quartet "Write the release notes"
      quartet schedules add "0 9 * * *" UTC quartet "What is new?" --in slack:T0123:C0123:
    """
    try:
        ConversationRef.from_key(place)
    except ValueError:
        raise click.UsageError(
            f"{place!r} is no conversation; write platform:workspace:channel:thread, as slack:T0123:C0123:"
        ) from None

    async def add(core: Core) -> Schedule:
        definition = core.service.workflow(workflow)
        given = from_words(definition, input_pairs(pairs))
        if text and TEXT in definition.inputs.get("required", ()):
            given.setdefault(TEXT, text)
        if not text and not given:
            raise click.UsageError("say what to do: a TEXT after the workflow, or --input KEY=VALUE")
        return await core.schedules.add(
            key=f"cli:{uuid.uuid4().hex}",
            conversation_id=place,
            workflow=workflow,
            cron=cron,
            zone=zone,
            text=text,
            who=me(),
            inputs=given,
            is_admin=True,  # whoever has the database's folder may do anything
        )

    row = with_core(context, add, CronError)
    click.echo(f"Schedule {row.id}: {row.workflow} starts {next_told(row)} for the first time.")


@schedules.command("pause")
@click.argument("schedule_id", metavar="ID")
@common
@click.pass_context
def pause_schedule(context: click.Context, schedule_id: str) -> None:
    r"""Start nothing more until it is resumed.

    \b
    Example:
      quartet schedules pause s4f0c2ab91
    """
    with_core(context, lambda core: core.schedules.pause(schedule_id), CronError)
    click.echo(f"Schedule {schedule_id} starts nothing until `quartet schedules resume {schedule_id}`.")


@schedules.command("resume")
@click.argument("schedule_id", metavar="ID")
@common
@click.pass_context
def resume_schedule(context: click.Context, schedule_id: str) -> None:
    r"""Go on with the next time from now.

    \b
    Example:
      quartet schedules resume s4f0c2ab91
    """

    async def resume(core: Core) -> Schedule:
        await core.schedules.resume(schedule_id)
        return await core.schedules.one(schedule_id)

    click.echo(f"Schedule {schedule_id} goes on: {next_told(with_core(context, resume, CronError))}.")


@schedules.command("remove")
@click.argument("schedule_id", metavar="ID")
@common
@click.pass_context
def remove_schedule(context: click.Context, schedule_id: str) -> None:
    r"""Take a schedule away; runs at work go on.

    \b
    Example:
      quartet schedules remove s4f0c2ab91
    """
    with_core(context, lambda core: core.schedules.remove(schedule_id), CronError)
    click.echo(f"Removed schedule {schedule_id}.")


@schedules.command("run")
@click.argument("schedule_id", metavar="ID")
@common
@click.pass_context
def run_schedule(context: click.Context, schedule_id: str) -> None:
    r"""Start a run of it now; `quartet up` works on it.

    \b
    Example:
      quartet schedules run s4f0c2ab91
    """

    async def run(core: Core) -> str:
        row = await core.schedules.one(schedule_id)
        return await core.schedules.start(row, key=f"schedule:{row.id}:cli:{uuid.uuid4().hex}")

    click.echo(f"Started run {with_core(context, run, CronError)}.")
