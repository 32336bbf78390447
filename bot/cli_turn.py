"""One turn of `quartet ask`, on the server's database: send it, wait for its end, say how it ended."""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import click

from adapters.contract import Attachment, Button, ConversationRef, Person
from adapters.terminal.adapter import TerminalAdapter
from adapters.terminal.asking import Always, Asker, Prompt
from adapters.terminal.inbound import Typed
from adapters.terminal.keyboard import Keyboard
from adapters.terminal.screen import Screen
from bot.app import Core, open_core
from bot.cli import INTERRUPTED
from bot.cli_core import me
from bot.decisions import who
from config.settings import Settings
from orchestrator import inputs
from orchestrator.errors import NotFound, Refused
from orchestrator.events import ENDED, Json, RunId

STOP_WITHIN_S = 2.0  # after Ctrl-C
SHOW_WITHIN_S = 5.0  # the last cards, after the end of the run
EXIT_CODES = {"completed": 0, "failed": 1, "rejected": 3, "stopped": 3, "expired": 3}


@dataclass(frozen=True, slots=True)
class Asked:
    """What was given on the command line, checked."""

    text: str
    files: tuple[Attachment, ...]
    workflow: str | None
    context: Mapping[str, str]
    conversation: str | None  # None: a new one
    approvals: Literal["prompt", "yes", "no"]
    as_json: bool
    inputs: Mapping[str, str] = field(default_factory=dict[str, str])  # of the workflow, as typed
    priority: str = ""
    deadline: datetime | None = None  # aware, UTC


class _Nobody(Always):
    """Rejects, and says why when something is asked for the first time: most turns ask nothing."""

    def __init__(self, screen: Screen) -> None:
        super().__init__("reject")
        self._screen = screen
        self._told = False

    async def choose(self, title: str, buttons: Sequence[Button], *, again: bool) -> Button | None:
        """As `Always`."""
        if not self._told:
            self._told = True
            self._screen.say("There is no terminal to ask at, so this is rejected. --yes approves it.")
        return await super().choose(title, buttons, again=again)


async def take_turn(settings: Settings, asked: Asked) -> int:
    """Run one turn and show it.

    Returns:
        The exit code.

    Raises:
        UsageError: there is no such workflow, or its inputs are not what it takes.
    """
    conversation = ConversationRef(
        platform="terminal",
        workspace="local",
        channel="ask",
        thread=asked.conversation or uuid.uuid4().hex[:12],
    )
    user = me().name
    person = Person(platform="terminal", id=user, name=user, is_admin=True)
    screen = Screen(sys.stdout, sys.stderr)
    asker = _asker(asked, screen)
    adapter = TerminalAdapter(conversation, person, screen=screen, asker=asker, show_answer=not asked.as_json)
    key = f"terminal-{uuid.uuid4().hex}"
    async with open_core(settings, adapters=[adapter], own=key) as core:
        given = _inputs(core, asked) if asked.workflow is not None else {}
        typed = Typed(
            key=key,
            text=asked.text,
            at=datetime.now(UTC),
            files=asked.files,
            workflow=asked.workflow,
            context=asked.context,
            inputs=given,
            priority=asked.priority,
            deadline=asked.deadline,
        )
        async with _interruption() as interrupted:
            receipt = await adapter.say(typed)
            if not receipt.run_id:
                return 0 if receipt.accepted else 2
            return await _see_through(core, adapter, asker, RunId(receipt.run_id), interrupted, asked)


def _inputs(core: Core, asked: Asked) -> Json:
    """What the workflow is given, made what it says of it.

    Raises:
        UsageError: there is no such workflow, or something is missing or wrong; shows an example.
    """
    try:
        workflow = core.service.workflow(str(asked.workflow))
    except NotFound as error:
        raise click.UsageError(str(error)) from None
    given = inputs.from_words(workflow, asked.inputs)
    if inputs.TEXT in workflow.inputs.get("required", ()) and asked.text.strip():
        given.setdefault(inputs.TEXT, asked.text)
    try:
        inputs.checked(workflow, given)
    except inputs.InputsRefused as error:
        wanted = {*workflow.inputs.get("required", ()), *error.names} - {inputs.TEXT}
        rows = [(name, what) for name, what in inputs.described(workflow) if name in wanted]
        known = "".join(f"\n  --input {name}=…  {what}" for name, what in rows)
        more = f"`quartet workflows show {workflow.name}` lists all inputs."
        raise click.UsageError(f"{error}{known}\n{more}") from None
    return given


async def _see_through(
    core: Core,
    adapter: TerminalAdapter,
    asker: Asker,
    run_id: RunId,
    interrupted: asyncio.Event,
    asked: Asked,
) -> int:
    """Wait for the end of the run, an interruption, or an approval that cannot be given here."""
    ended = asyncio.create_task(_end_of(core, run_id))
    calls = [asyncio.create_task(interrupted.wait())]
    if isinstance(asker, Always):
        calls.append(asyncio.create_task(asker.stuck.wait()))
    try:
        await asyncio.wait([ended, *calls], return_when=asyncio.FIRST_COMPLETED)
        if interrupted.is_set() and not ended.done():
            await _stop(core, run_id, adapter.person, ended)
            return INTERRUPTED
        if not ended.done():
            click.echo(
                f"Run {run_id} waits for somebody who may decide; see `quartet runs show {run_id}`.", err=True
            )
            return 3
        ended.result()
    finally:
        for task in (ended, *calls):
            task.cancel()
        await asyncio.gather(ended, *calls, return_exceptions=True)
    await core.outbox.settle(run_id, within_s=SHOW_WITHIN_S)
    state = await core.service.state(run_id)
    if asked.as_json:
        await adapter.stop()
        from bot.api.views import chat_response

        click.echo(chat_response(state).model_dump_json(indent=2, by_alias=True))
    return EXIT_CODES.get(state.status, 1)


async def _end_of(core: Core, run_id: RunId) -> None:
    async for _ in core.service.follow(run_id):
        pass


async def _stop(core: Core, run_id: RunId, person: Person, ended: asyncio.Task[None]) -> None:
    """Stop the run, and give it two seconds to end well."""
    try:
        await core.service.stop(run_id, who=who(person), reason="interrupted at the terminal")
    except Refused:
        return  # it has just ended
    await asyncio.wait([ended], timeout=STOP_WITHIN_S)
    row = await core.store.run(run_id)
    if row is not None and row.status in ENDED:
        await core.outbox.settle(run_id, within_s=0.5)
    click.echo(f"Interrupted: run {run_id} was stopped.", err=True)


def _asker(asked: Asked, screen: Screen) -> Asker:
    if asked.approvals == "yes":
        return Always("approve", screen.say)
    if asked.approvals == "no":
        return Always("reject")
    if sys.stdin.isatty() and sys.stderr.isatty():
        return Prompt(screen, Keyboard(sys.stdin.fileno()))
    return _Nobody(screen)


@asynccontextmanager
async def _interruption() -> AsyncGenerator[asyncio.Event]:
    """An event that Ctrl-C and SIGTERM set."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, event.set)
    try:
        yield event
    finally:
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)
