"""`quartet ask`: one turn in the terminal. Options and input are checked here; `cli_turn` does the work."""

from __future__ import annotations

import asyncio
import os
import re
import select
import stat
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import click

from bot.cli import common, given

PRIORITIES = ("critical", "high", "medium", "low")
MAX_INPUT = 1_000_000  # bytes of text that are read; what is longer is a file
STDIN_WITHIN_S = 3.0  # a pipe that nobody writes to must not hold a turn that has its text


@click.command()
@click.argument("text", required=False)
@click.option("--workflow", metavar="NAME", help="Which workflow; see `quartet workflows`.")
@click.option(
    "--input", "inputs", metavar="K=V", multiple=True, help="An input of the workflow; may be repeated."
)
@click.option("--priority", type=click.Choice(PRIORITIES), help="Before which other runs its steps start.")
@click.option(
    "--deadline", metavar="TIME", help="When it ends as expired: 2h, 17:00, tomorrow 9:30, ISO 8601."
)
@click.option(
    "--context", "pairs", metavar="K=V", multiple=True, help="tone=…, length=…, format=…; may be repeated."
)
@click.option(
    "--yes", is_flag=True,
    help="Approve everything without asking. A question takes its default, and is rejected if it has none.",
)  # fmt: skip
@click.option("--no-input", is_flag=True, help="Ask nothing: what needs an approval is rejected.")
@click.option("--json", "as_json", is_flag=True, help="Print the response of POST /v1/chat instead.")
@click.option(
    "--file", "files", metavar="PATH", multiple=True, type=click.Path(path_type=Path),
    help="Attach a file; may be repeated.",
)  # fmt: skip
@click.option("--conversation", metavar="NAME", help="Continue the conversation of this name.")
@common
@click.pass_context
def ask(
    context: click.Context,
    text: str | None,
    workflow: str | None,
    inputs: tuple[str, ...],
    priority: str | None,
    deadline: str | None,
    pairs: tuple[str, ...],
    yes: bool,
    no_input: bool,
    as_json: bool,
    files: tuple[Path, ...],
    conversation: str | None,
) -> None:
    r"""Ask Quartet; TEXT may be `-` (or missing) to be read from a pipe.

    With TEXT and a pipe, what comes through the pipe is attached as stdin.txt. A command word
    as TEXT (status, stop, runs, help, …) does here what it does in every chat: try "help".
    Progress goes to stderr, the answer to stdout: Markdown when it is piped. Approvals are asked
    at the prompt. Exit code 0 completed, 1 failed, 2 used wrongly, 3 rejected, stopped or expired,
    130 interrupted.

    \b
    Examples:
      quartet ask "Compare our two deployment options"
      quartet ask --yes --file notes.txt "Sum this up" > summary.md
      git diff | quartet ask --yes "Review this change"
      echo "What is a run?" | quartet ask --yes --context length=short -
      quartet ask --conversation bridge "And what does it cost?"
      quartet ask --workflow bugfix --input severity=high --deadline 2h "The page stays white"
      quartet ask --json --yes "What is a run?" | jq .message.content
    """
    if yes and no_input:
        raise click.UsageError("--yes approves and --no-input rejects; give one of them", context)
    if conversation is not None and not re.fullmatch(r"[\w.-]{1,64}", conversation):
        raise click.BadParameter(
            "use 1 to 64 letters, digits, '-', '_', '.'", context, param_hint="--conversation"
        )
    facts = _context(pairs)
    given_inputs = input_pairs(inputs)
    if given_inputs and workflow is None:
        raise click.UsageError("--input is for a workflow; name it with --workflow", context)
    due = _deadline(deadline)
    words = _words(text)
    if not words.strip() and workflow is not None and inputs:
        words = " ".join((workflow, *inputs))
    if not words.strip() and not files:
        raise click.UsageError('there is nothing to ask; give TEXT, or pipe it in: quartet ask "…"', context)

    from adapters.errors import AttachmentRefused
    from adapters.terminal.adapter import LIMITS, attach

    piped = _piped(LIMITS.file_bytes) if text not in (None, "-") else b""
    with tempfile.TemporaryDirectory(prefix="quartet-ask-") as folder:
        if piped:
            given_file = Path(folder) / "stdin.txt"
            given_file.write_bytes(piped)
            files = (*files, given_file)
        try:
            attached = tuple(attach(path) for path in files)
        except AttachmentRefused as error:
            raise click.BadParameter(str(error), context, param_hint="--file") from None
        policy = "yes" if yes else "no" if no_input else "prompt"

        from bot.cli_settings import settings_of
        from bot.cli_turn import Asked, take_turn
        from bot.logs import configure_logging

        settings = settings_of(context)
        configure_logging(settings, "DEBUG" if given(context).debug else "ERROR")
        asked = Asked(
            words, attached, workflow, facts, conversation, policy, as_json, given_inputs, priority or "", due
        )
        code = asyncio.run(take_turn(settings, asked))
    sys.exit(code)


def _piped(most: int) -> bytes:
    """What a pipe or a file on stdin holds; nothing where stdin is anything else, or nobody writes."""
    try:
        place = sys.stdin.fileno()
        kind = os.fstat(place).st_mode
    except (AttributeError, OSError, ValueError):  # closed
        return b""
    if not stat.S_ISFIFO(kind) and not stat.S_ISREG(kind):
        return b""
    if not select.select([place], [], [], STDIN_WITHIN_S)[0]:
        late = f"Nothing came through the pipe within {STDIN_WITHIN_S:g} s, so it is left out"
        click.echo(f"{late}; what takes longer can be saved and given with --file PATH.", err=True)
        return b""
    content = sys.stdin.buffer.read(most + 1)
    if len(content) > most:
        raise click.UsageError(f"more than {most:,} bytes on stdin; give a part of it")
    return content


def _context(pairs: tuple[str, ...]) -> dict[str, str]:
    facts: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,39}", key):
            raise click.BadParameter(f"{pair!r} is not K=V; write e.g. tone=friendly", param_hint="--context")
        facts[key] = value
    from adapters.web.inbound import CHOICES

    for key, value in facts.items():
        if value not in CHOICES.get(key, (value,)):
            usual = ", ".join(CHOICES[key])
            click.echo(f"Note: {key} is usually one of {usual}; {value!r} is handed on as it is.", err=True)
    return facts


def input_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    """What was given with --input, by name. Raises BadParameter: one is not K=V."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,59}", key):
            short = pair if len(pair) <= 40 else f"{pair[:39]}…"
            raise click.BadParameter(
                f"{short!r} is not K=V; write e.g. environment=staging", param_hint="--input"
            )
        if key in found:
            raise click.BadParameter(f"{key} is given twice; give it once", param_hint="--input")
        found[key] = value
    return found


def _deadline(text: str | None) -> datetime | None:
    from bot.run_words import WordsError, parse_deadline

    if text is None:
        return None
    try:
        return parse_deadline(text, datetime.now().astimezone())
    except WordsError as error:
        raise click.BadParameter(str(error), param_hint="--deadline") from None


def _words(text: str | None) -> str:
    """The turn's text, from the command line or from stdin."""
    piped = not sys.stdin.isatty()
    if text not in (None, "-"):
        return str(text)
    if text is None and not piped:
        return ""
    raw = sys.stdin.buffer.read(MAX_INPUT + 1)
    if len(raw) > MAX_INPUT:
        raise click.UsageError(f"more than {MAX_INPUT:,} bytes on stdin; save them and give --file PATH")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError("stdin is not UTF-8 text; save it and give --file PATH") from None
