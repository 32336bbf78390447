"""`quartet ask`: one turn in the terminal. Options and input are checked here; `cli_turn` does the work."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import click

from bot.cli import common, given

MAX_INPUT = 1_000_000  # bytes of text that are read; what is longer is a file


@click.command()
@click.argument("text", required=False)
@click.option("--workflow", metavar="NAME", help="Which workflow; see `quartet workflows`.")
@click.option(
    "--context", "pairs", metavar="K=V", multiple=True, help="tone=…, length=…, format=…; may be repeated."
)
@click.option("--yes", is_flag=True, help="Approve everything without asking.")
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
    pairs: tuple[str, ...],
    yes: bool,
    no_input: bool,
    as_json: bool,
    files: tuple[Path, ...],
    conversation: str | None,
) -> None:
    r"""Ask Quartet; TEXT may be `-` (or missing) to be read from a pipe.

    Progress goes to stderr, the answer to stdout: Markdown when it is piped. Approvals are asked
    at the prompt. Exit code 0 completed, 1 failed, 2 used wrongly, 3 rejected, stopped or expired,
    130 interrupted.

    \b
    Examples:
      quartet ask "Compare our two deployment options"
      quartet ask --yes --file notes.txt "Sum this up" > summary.md
      git diff | quartet ask --yes --context length=short -
      quartet ask --conversation bridge "And what does it cost?"
      quartet ask --json --yes "What is a run?" | jq .message.content
    """
    if yes and no_input:
        raise click.UsageError("--yes approves and --no-input rejects; give one of them", context)
    if conversation is not None and not re.fullmatch(r"[\w.-]{1,64}", conversation):
        raise click.BadParameter(
            "use 1 to 64 letters, digits, '-', '_', '.'", context, param_hint="--conversation"
        )
    facts = _context(pairs)
    words = _words(text)
    if not words.strip() and not files:
        raise click.UsageError('there is nothing to ask; give TEXT, or pipe it in: quartet ask "…"', context)

    from adapters.errors import AttachmentRefused
    from adapters.terminal.adapter import attach

    try:
        attached = tuple(attach(path) for path in files)
    except AttachmentRefused as error:
        raise click.BadParameter(str(error), context, param_hint="--file") from None

    from bot.cli_settings import settings_of
    from bot.cli_turn import Asked, take_turn
    from bot.logs import configure_logging

    settings = settings_of(context)
    configure_logging(settings, "DEBUG" if given(context).debug else "ERROR")
    policy = "yes" if yes else "no" if no_input else "prompt"
    asked = Asked(words, attached, workflow, facts, conversation, policy, as_json)
    sys.exit(asyncio.run(take_turn(settings, asked)))


def _context(pairs: tuple[str, ...]) -> dict[str, str]:
    facts: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,39}", key):
            raise click.BadParameter(f"{pair!r} is not K=V; write e.g. tone=friendly", param_hint="--context")
        facts[key] = value
    return facts


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
