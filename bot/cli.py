"""The command `quartet`: names, options, errors, exit codes. A command is imported when it runs.

Exit codes: 0 done · 1 failed · 2 used wrongly · 3 rejected, stopped or expired (`ask`) · 130 Ctrl-C.
Errors are one line on stderr that names the remedy; `--debug` shows where they came from.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import click

INTERRUPTED = 130  # 128 + SIGINT
PIPE_CLOSED = 141  # 128 + SIGPIPE
F = TypeVar("F", bound=Callable[..., Any])

# name → (module, attribute, one line): the list is shown without importing anything.
COMMANDS = {
    "up": ("bot.cli_up", "up", "Start the bot: chat platforms, the web page, HTTP."),
    "ask": ("bot.cli_ask", "ask", "One turn in the terminal: progress on stderr, answer on stdout."),
    "check": ("bot.check", "check_command", "Show every setting, where it came from and what is wrong."),
    "runs": ("bot.cli_runs", "runs", "List, show, stop, pause and resume runs."),
    "workflows": ("bot.cli_workflows", "workflows", "List, show and check workflow definitions."),
    "schedules": ("bot.cli_schedules", "schedules", "What starts by the clock: list, add, pause, run."),
    "keys": ("bot.cli_keys", "keys", "Keys for the HTTP API and the page: list, add, rotate, revoke."),
    "webhooks": ("bot.cli_webhooks", "webhooks", "Addresses told of runs: list, add, remove, replay."),
    "manifest": (
        "bot.cli_manifest",
        "manifest",
        "What to set up in Slack or Discord: manifest, invite link.",
    ),
    "agents": ("bot.cli_agents", "agents", "The agents: capabilities, model, load, success, mean time."),
}


@dataclass(slots=True)
class Globals:
    """Options that every command takes."""

    config_file: Path | None = None
    debug: bool = False


def given(context: click.Context) -> Globals:
    """The global options of this call."""
    return context.ensure_object(Globals)


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value is not None and value is not False:
        setattr(given(context), str(option.name), value)


def common(command: F) -> F:
    """Let a command take `--config` and `--debug` too, wherever they are written."""
    config = click.option(
        "--config", "config_file", type=click.Path(path_type=Path), metavar="FILE", expose_value=False,
        callback=_keep, help="Settings file instead of config/quartet.yaml.",
    )  # fmt: skip
    debug = click.option(
        "--debug", is_flag=True, expose_value=False, callback=_keep, help="Show tracebacks and debug logs."
    )
    command.__doc__ = _unwrapped(command.__doc__)
    return config(debug(command))


def _unwrapped(text: str | None) -> str | None:
    """Help with click's mark for paragraphs that keep their lines; docstrings write it as two letters."""
    return text.replace("\\b\n", "\b\n") if text is not None else None


class Quartet(click.Group):
    """Imports a command when it is asked for, and turns errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        if cmd_name == "check" and (chosen := given(ctx).config_file) is not None:
            ctx.default_map = {"check": {"config_file": chosen}}
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        command.help = _unwrapped(command.help)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, naming the nearest command for an unknown one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command {args[0]!r}; {_nearest(args[0])}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, without importing what it names."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run, and leave the program with the right code.

        Raises:
            SystemExit: always.
        """
        options = Globals(debug="--debug" in (sys.argv[1:] if args is None else args))
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError):  # a terminal that cannot show a letter shows its number
                stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        output = sys.stdout  # click puts another one in its place when it finds the pipe closed
        extra = {"prog_name": "quartet", **extra, "standalone_mode": False, "obj": options}
        try:
            code: int | None = super().main(args=args, **extra)
            sys.stdout.flush()
        except BaseException as raised:
            error = _innermost(raised)
            if isinstance(error, SystemExit) and sys.stdout is output:
                _flush()
                raise error from None
            if options.debug and not isinstance(
                error, click.ClickException | click.Abort | KeyboardInterrupt | SystemExit
            ):
                raise
            code = _tell(error)
        _flush()
        sys.exit(code or 0)


def _innermost(error: BaseException) -> BaseException:
    """What went wrong first, where a group of tasks wrapped it."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _tell(error: BaseException) -> int:
    """One line on stderr, and the exit code."""
    try:
        if isinstance(error, click.ClickException):
            error.show()
            return error.exit_code
        if isinstance(error, click.Abort | KeyboardInterrupt):
            return INTERRUPTED
        if isinstance(error, BrokenPipeError | SystemExit):  # click leaves so when its output is closed
            return PIPE_CLOSED
        click.echo(f"Error: {one_line(error)}", err=True)
    except BrokenPipeError:
        return PIPE_CLOSED
    return 1


def one_line(error: BaseException) -> str:
    """An error as people read it; ours name the remedy, others point to `--debug`."""
    text = str(error) or type(error).__name__
    if type(error).__module__.split(".")[0] in {"config", "orchestrator", "adapters", "bot"}:
        return text
    return f"{' '.join(text.split())} ({type(error).__name__}; --debug shows where)"


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(COMMANDS)}"


def _flush() -> None:
    """Write what is left; where nobody reads any more, let the interpreter flush into nothing."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@click.group(cls=Quartet, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="quartet-bot", prog_name="quartet")
@common
def main() -> None:
    r"""Quartet: four agents work on your request, and you stay in control.

    \b
    Examples:
      quartet up                                  start, then open http://127.0.0.1:8080
      quartet ask "How do approvals work?"        one question, here in the terminal
      quartet check                               is everything set up well?
    """
