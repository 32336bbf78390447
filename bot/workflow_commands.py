"""The words about workflows: start one, look at it and its versions, go back, remove it, fork a run.

Turns that name a workflow come through here too (`ready`), so that a mention, a slash command and a
command of the platform mean the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Final

from adapters.contract import (
    CardPart,
    Command,
    ConversationRef,
    FactsPart,
    MarkdownPart,
    NotesPart,
    Receipt,
    Turn,
)
from bot import command_words
from bot.channel_settings import ChannelPolicy
from bot.command_answers import card, fenced, no, short, yes
from bot.command_words import Words
from bot.permissions import Permissions
from bot.run_words import RunWords, parse
from orchestrator import inputs
from orchestrator.errors import Refused
from orchestrator.events import Who
from orchestrator.inputs import InputsRefused
from orchestrator.library import Library
from orchestrator.ports import Clock, RunRow, WorkflowVersion
from orchestrator.service import Service
from orchestrator.workflow import Workflow

StartTurn = Callable[[Turn], Awaitable[Receipt]]
PolicyOf = Callable[[ConversationRef], Awaitable[ChannelPolicy]]
FirstTime = Callable[[Command], Awaitable[bool]]

TEAM: Final = "team"  # the workflow behind the word
MOST_VERSIONS: Final = 20  # in a list
MOST_LINES: Final = 200  # of a difference
AGAIN: Final = "This command came before and is not performed again; `status` shows how things are."
_WHAT: Final = {"file": "file", "saved": "saved", "rollback": "went back", "removed": "removed"}


class WorkflowCommands:
    """Words about workflows, performed.

    Args:
        service: the core.
        permissions: who may do what.
        start_turn: the intake's.
        policy: what holds in a channel.
        clock: for deadlines.
        library: versions; None: the workflows are as they are, and have none.
    """

    def __init__(
        self,
        service: Service,
        permissions: Permissions,
        start_turn: StartTurn,
        policy: PolicyOf,
        clock: Clock,
        library: Library | None,
    ) -> None:
        self._service = service
        self._permissions = permissions
        self._start_turn = start_turn
        self._policy = policy
        self._clock = clock
        self._library = library

    # ── starting ─────────────────────────────────────────────────────────────────────────────

    def turned(self, turn: Turn) -> Turn | None:
        """The turn that a mention's `run WORKFLOW …` or `team: …` means; None: other words.

        A name that is nearly a workflow's is refused, not taken for words to the default workflow.

        Raises:
            OrchestratorError, WordsError: as `ready`.
        """
        words = command_words.read(turn.text)
        if words.word == TEAM and words.colon and words.rest and TEAM in self._service.workflows:
            return self.ready(turn.model_copy(update={"workflow": TEAM, "text": words.rest}))
        name, *rest = words.rest.split(maxsplit=1) or [""]
        known = self._service.workflows
        if words.word != "run" or (name.lower() not in known and not command_words.slip(name, known)):
            return None
        return self.ready(turn.model_copy(update={"workflow": name.lower(), "text": rest[0] if rest else ""}))

    def ready(self, turn: Turn) -> Turn:
        """A turn that names its workflow, with inputs, priority and deadline taken out of its text.

        Raises:
            NotFound: there is no such workflow; names the nearest.
            Refused: an input is missing or wrong; says which, and shows an example.
            WordsError: the words cannot be read.
        """
        assert turn.workflow is not None
        workflow = self._service.workflow(turn.workflow)
        words = self._words(workflow, turn.text)
        given = inputs.from_words(workflow, words.inputs)
        known = dict(inputs.described(workflow))
        if inputs.TEXT in workflow.inputs.get("required", ()) and words.text:
            given.setdefault(inputs.TEXT, words.text)
        try:
            inputs.checked(workflow, given)
        except InputsRefused as error:
            raise Refused(f"{error}\nFor example: {inputs.example(workflow, wrong=error.names)}") from None
        text = words.text
        if not text and not turn.attachments:
            if not set(known) - {inputs.TEXT}:
                raise Refused(f"Say what to do: {inputs.example(workflow)}")
            # People recognise a run by what was typed.
            text = f"{workflow.name} {turn.text.strip()}".strip()
        return turn.model_copy(
            update={
                "text": text,
                "inputs": given,
                "priority": words.priority or "",
                "deadline": words.deadline,
            }
        )

    async def run(self, command: Command, words: Words) -> Receipt:
        """`run WORKFLOW …` and `team …`."""
        if words.word == TEAM:
            if not words.rest:
                return no("Say what the team shall do: team: TEXT.")
            name, text = TEAM, words.rest
        else:
            name, *rest = words.rest.split(maxsplit=1) or [""]
            text = rest[0] if rest else ""
            if not name:
                form = "run WORKFLOW [KEY=VALUE …] [TEXT]"
                return no(f"Say which workflow: {form}. There are: {', '.join(self._service.workflows)}.")
        turn = Turn(
            key=command.key,
            conversation=command.conversation,
            person=command.person,
            text=text,
            workflow=self._service.workflow(name.lower()).name,
            at=command.at,
        )
        return await self._start_turn(self.ready(turn))

    async def fork(self, command: Command, row: RunRow, rest: str) -> Receipt:
        """`fork RUN STEP …` of a run of this channel; `rest` is what stands after the run."""
        step, *others = rest.split(maxsplit=1) or [""]
        if command_words.STEP.fullmatch(step) is None:
            return no(
                f"Say from which step: fork {row.id} STEP [KEY=VALUE …]; `status {row.id}` shows the run."
            )
        policy = await self._policy(command.conversation)
        allowed = self._permissions.start(command.conversation.key, command.person, policy)
        if not allowed.ok:
            return no(allowed.reason, row.id)
        state = await self._service.state(row.id)
        definition = await self._service.store.definition(state.created.workflow_digest)
        workflow = Workflow.model_validate(definition)
        words = self._words(workflow, others[0] if others else "")
        if words.text or words.priority or words.deadline:
            known = ", ".join(name for name, _ in inputs.described(workflow)) or "none"
            return no(f"A fork takes inputs alone, as KEY=VALUE; those of {workflow.name}: {known}.")
        who = Who(key=command.person.key, name=command.person.name)
        changed = inputs.from_words(workflow, words.inputs)
        forked = await self._service.fork(
            row.id, step, key=command.key, who=who, inputs=changed, settings=policy.to_run_settings()
        )
        return yes(f"Run {forked.run_id} goes on from {step} of {row.id}.", forked.run_id)

    def _words(self, workflow: Workflow, text: str) -> RunWords:
        known = [name for name, _ in inputs.described(workflow)]
        return parse(text, known, self._clock.now().astimezone())

    # ── looking ──────────────────────────────────────────────────────────────────────────────

    async def workflows(self, command: Command, rest: str, first_time: FirstTime) -> Receipt:
        """`workflows …`."""
        if not rest or (rest.lower() == "list" and "list" not in self._service.workflows):
            return self._all(command)
        verb = command_words.of_workflows(rest)
        if verb is None:
            word, *more = rest.split()
            if word.lower() in command_words.OF_WORKFLOWS:
                return no(f"Write {_forms(word.lower())}; `workflows` lists the names.")
            if more:
                return no(f"Write {'; '.join(map(_forms, command_words.OF_WORKFLOWS))}, or workflows NAME.")
            return self._one(command, self._service.workflow(word.lower()))
        if verb[0] == "show":
            return self._one(command, self._service.workflow(verb[1]))
        if self._library is None:
            return no("Versions are not kept here.")
        match verb:
            case ["versions", name]:
                return _versions(command, name, await self._library.versions(name))
            case ["diff", name, a, b]:
                return _difference(command, name, a, b, await self._library.diff(name, int(a), int(b)))
            case [_, name, *number]:
                return await self._change(command, self._library, name, number, first_time)
            case _:  # of_workflows gives a verb with its words
                raise AssertionError(verb)

    def _all(self, command: Command) -> Receipt:
        facts = [
            (name, f"{' '.join(w.description.split()) or 'no description'} (version {w.version})")
            for name, w in sorted(self._service.workflows.items())
        ]
        parts: list[CardPart] = [FactsPart(facts=tuple(facts))]
        if self._library is not None and self._library.broken:
            flawed = tuple(f"{name}: {why}" for name, why in sorted(self._library.broken.items()))
            parts.append(NotesPart(title="Cannot be used", notes=flawed))
        return card(command, "Workflows", parts)

    def _one(self, command: Command, workflow: Workflow) -> Receipt:
        facts = [
            ("does", " ".join(workflow.description.split()) or "no description"),
            ("version", workflow.version),
            ("steps", short(", ".join(workflow.nodes), 1_000)),
        ]
        taken = [f"{name}: {what}" for name, what in inputs.described(workflow) if name != inputs.TEXT]
        parts: list[CardPart] = [FactsPart(facts=tuple(facts))]
        if taken:
            parts.append(NotesPart(title="Inputs", notes=tuple(taken)))
        parts.append(NotesPart(title="For example", notes=(inputs.example(workflow),)))
        return card(command, workflow.name, parts)

    # ── changing ─────────────────────────────────────────────────────────────────────────────

    async def _change(
        self, command: Command, library: Library, name: str, number: list[str], first_time: FirstTime
    ) -> Receipt:
        """Go back to a version (`number`), or take the workflow away."""
        place, person = command.conversation, command.person
        allowed = self._permissions.workflows(place.key, person, await self._policy(place))
        if not allowed.ok:
            return no(allowed.reason)
        rows = await library.versions(name)
        if not await first_time(command):
            return yes(AGAIN)
        who = Who(key=person.key, name=person.name)
        if not number:
            await library.remove(name, who=who)
            last = rows[-1].version
            return yes(
                f"Removed {name}. `workflows rollback {name} {last}` brings it back; runs at work go on."
            )
        version = await library.rollback(name, int(number[0]), who=who)
        until = " until its file changes" if library.source(name) else ""
        return yes(f"{name} is again as in version {number[0]}{until} (now version {version}). "
                   "Runs that were made before keep what they had.")  # fmt: skip


def _forms(verb: str) -> str:
    needs = {"diff": "NAME A B", "rollback": "NAME N"}
    return f"workflows {verb} {needs.get(verb, 'NAME')}"


def _versions(command: Command, name: str, rows: list[WorkflowVersion]) -> Receipt:
    facts = tuple((f"{row.version}{' (now)' if row is rows[-1] else ''}", _told(row)) for row in rows[::-1])
    parts: list[CardPart] = [FactsPart(facts=facts[:MOST_VERSIONS])]
    if len(facts) > MOST_VERSIONS:
        parts.append(NotesPart(title="Earlier ones", notes=(f"{len(facts) - MOST_VERSIONS} more",)))
    return card(command, f"Versions of {name}", parts)


def _told(row: WorkflowVersion) -> str:
    at = row.at.astimezone(UTC)
    bits = [f"{at:%Y-%m-%d %H:%M} UTC", row.who.name if row.who else "", row.note or _WHAT[row.origin]]
    return " · ".join(bit for bit in bits if bit)


def _difference(command: Command, name: str, a: str, b: str, lines: list[str]) -> Receipt:
    if not lines:
        return yes(f"Versions {a} and {b} of {name} say the same.")
    parts: list[CardPart] = [MarkdownPart(text=fenced(lines[:MOST_LINES], "diff"))]
    if len(lines) > MOST_LINES:
        parts.append(NotesPart(title="More", notes=(f"{len(lines) - MOST_LINES} further lines",)))
    return card(command, f"{name}: version {a} → {b}", parts)
