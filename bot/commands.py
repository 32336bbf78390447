"""Perform `/quartet …`: short answers about runs, and the few things that words can change.

Reading the words is `command_words`; who may do what is `permissions`; turns go to the intake; what is
about workflows, `workflow_commands` does.
Every answer is a `Receipt`: plain text, or a card of kind "reply" for lists.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.contract import (
    CardPart,
    Choice,
    ChoiceKind,
    Command,
    ConversationRef,
    FactsPart,
    NotesPart,
    Platform,
    Receipt,
    Turn,
)
from bot import agent_words, channel_settings, choices, command_words
from bot.channel_settings import ChannelPolicy, SettingError
from bot.command_answers import card, listed, no, sentence, short, title, yes
from bot.command_words import WORDS, Words
from bot.permissions import Permissions
from bot.run_words import WordsError
from bot.workflow_commands import AGAIN, WorkflowCommands
from orchestrator.errors import NotFound, OrchestratorError, StoreFailed
from orchestrator.events import RunId, RunStatus, Usage, Who
from orchestrator.library import Library
from orchestrator.ports import Clock, RunRow
from orchestrator.service import Service

StartTurn = Callable[[Turn], Awaitable[Receipt]]


@dataclass(frozen=True, slots=True)
class MoreWord:
    """A word that is performed elsewhere; listed where it is there."""

    form: str  # for `help`: "design: TEXT: draft a workflow"
    perform: Callable[[Command, str], Awaitable[Receipt]]  # (command, what comes after the word)
    # Whether what comes after the word, in a mention, has the form that the word takes; with a colon it
    # always has.
    takes: Callable[[str], bool] = lambda rest: False


LISTED = 10  # runs in a list
LOOKED_AT = 100  # newest runs of a status among which those of a channel are looked for
DIRECT = "@me"  # the workspace of Discord's direct messages, of all people
_OPEN: tuple[RunStatus, ...] = ("running", "waiting", "paused", "queued")
_CONTROLLED: Mapping[str, tuple[RunStatus, ...]] = {
    "stop": _OPEN,
    "pause": ("running", "waiting", "queued"),
    "resume": ("paused",),
}


class Commands:
    """The words after `/quartet`, performed.

    Args:
        service: the core.
        permissions: who may do what, and `why`.
        start_turn: the intake's, for `ask` and `run`.
        defaults: the policy of a channel where nothing was set.
        providers: names that may stand before the colon of a model.
        clock: for the month of `usage`.
        tools: names there are, for `settings tools=`; None: any.
        library: versions of workflows; None: they have none.
        more: further words, such as `design` and `schedules`.
    """

    def __init__(
        self,
        service: Service,
        permissions: Permissions,
        start_turn: StartTurn,
        defaults: ChannelPolicy,
        providers: Collection[str],
        clock: Clock,
        *,
        tools: Collection[str] | None = None,
        library: Library | None = None,
        more: Mapping[str, MoreWord] | None = None,
    ) -> None:
        self._more = more or {}
        self._about = WorkflowCommands(service, permissions, start_turn, self.policy, clock, library)
        self._service = service
        self._permissions = permissions
        self._start_turn = start_turn
        self._defaults = defaults
        self._providers = providers
        self._clock = clock
        self._tools = tools

    def is_command(self, text: str) -> bool:
        """Whether text after a mention is a command and not a turn."""
        words = command_words.read(text)
        if words.word in self._more and not words.colon and words.rest:
            return self._more[words.word].takes(words.rest)
        return command_words.is_command(
            text, self._service.workflows, self._service.agents.names(), self._more
        )

    def read_turn(self, turn: Turn) -> Turn | Receipt | None:
        """The turn that a message which names its workflow means: by `run NAME …`, `team: …`, or an option.

        Returns:
            The turn with inputs, priority and deadline; why it cannot be started; None: it names none.
        """
        try:
            if turn.workflow is None:
                return self._about.turned(turn)
            if turn.inputs or turn.conversation.platform == "terminal":
                return turn  # it brings its inputs by themselves
            return self._about.ready(turn)
        except StoreFailed:
            raise
        except (OrchestratorError, WordsError) as error:
            return no(sentence(str(error)))

    async def choices(self, kind: ChoiceKind, conversation: ConversationRef, typed: str) -> Sequence[Choice]:
        """What may be meant in a command that is being typed; runs are those that `runs` would show."""
        match kind:
            case "workflow":
                return choices.of_workflows(self._service.workflows.values(), typed)
            case "agent":
                return choices.of_agents(self._service.agents.infos(), typed)
            case "run":
                page = await self._service.store.runs(limit=LOOKED_AT)
                return choices.of_runs((r for r in page.items if _in_channel(r, conversation)), typed)
            case "stop" | "pause" | "resume":
                rows = await self._open(conversation, _CONTROLLED[kind])
                rows.sort(key=lambda row: row.created_at, reverse=True)
                return choices.of_runs(rows, typed)

    async def policy(self, conversation: ConversationRef) -> ChannelPolicy:
        """What holds in a conversation's channel now."""
        stored = await self._service.store.settings(conversation.channel_key)
        return channel_settings.effective(self._defaults, stored)

    def change_of(self, key: str, value: str, platform: Platform) -> dict[str, Any]:
        """What `KEY=VALUE` changes in a channel of a platform, for `store.change_settings`.

        Raises:
            SettingError: names the nearest valid key or value.
        """
        return channel_settings.parse_change(
            key,
            value,
            workflows=self._service.workflows,
            agents=self._service.agents.names(),
            providers=self._providers,
            platform=platform,
            tools=self._tools,
        )

    async def perform(self, command: Command) -> Receipt:
        """Do what a command says. Never raises for what a person can do wrong.

        What changes something is performed once for each key.

        Raises:
            StoreFailed: the same command can be handed in again.
        """
        words = command_words.read(command.text)
        try:
            return await self._perform(command, words)
        except StoreFailed:
            raise  # no refusal: the adapter keeps the command and hands it in again
        except (OrchestratorError, SettingError, WordsError) as error:
            return no(sentence(str(error)))

    async def _first_time(self, command: Command) -> bool:
        """Ask right before something changes: said again, "stop" would stop the next run."""
        return await self._service.store.first_time(command.key)

    async def _perform(self, command: Command, words: Words) -> Receipt:
        match words.word:
            case "ask":
                return await self._ask(command, words.rest)
            case "run" | "team":
                return await self._about.run(command, words)
            case "fork":
                return await self._fork(command, words.rest)
            case "stop" | "pause" | "resume":
                return await self._control(command, words)
            case "status":
                return await self._status(command, words.rest)
            case "runs":
                return await self._runs(command, words.rest)
            case "workflows":
                return await self._about.workflows(command, words.rest, self._first_time)
            case "agents":
                return self._agents(command, words.rest)
            case "usage":
                return await self._usage(command)
            case "settings":
                return await self._settings(command, words.rest)
            case "why":
                return self._why(command)
            case "" | "help":
                return self._help(command, words.rest.lower())
            case more if more in self._more:
                return await self._more[more].perform(command, words.rest)
            case unknown:
                near = command_words.nearest(unknown, self._more)
                hint = f"Did you mean `{near}`? " if near else ""
                known = ", ".join([*WORDS, *self._more])
                return no(f"There is no command {short(unknown, 40)!r}. {hint}Commands: {known}.")

    # ── turns and control ────────────────────────────────────────────────────────────────────

    async def _ask(self, command: Command, text: str) -> Receipt:
        if not text:
            return no("Say what to do: ask TEXT.")
        return await self._start_turn(
            Turn(
                key=command.key,
                conversation=command.conversation,
                person=command.person,
                text=text,
                at=command.at,
            )
        )

    async def _fork(self, command: Command, rest: str) -> Receipt:
        run, *others = rest.split(maxsplit=1) or [""]
        if not run:
            return no("Say which run and from which step: fork RUN STEP [KEY=VALUE …].")
        return await self._about.fork(
            command, await self._run_here(command, run), others[0] if others else ""
        )

    async def _control(self, command: Command, words: Words) -> Receipt:
        row = await self._target(command, words)
        policy = await self.policy(command.conversation)
        allowed = self._permissions.control(
            command.conversation.key, command.person, words.word, row.who, policy
        )
        if not allowed.ok:
            return no(allowed.reason, row.id)
        if not await self._first_time(command):
            return yes(AGAIN)
        who = Who(key=command.person.key, name=command.person.name)
        match words.word:
            case "stop":
                await self._service.stop(row.id, who=who)
                return yes(f"Stopping {title(row)} ({row.id}).", row.id)
            case "pause":
                await self._service.pause(row.id, who=who)
                return yes(f"{title(row)} ({row.id}) starts no new steps. `resume` goes on.", row.id)
            case _:
                await self._service.resume(row.id, who=who)
                return yes(f"{title(row)} ({row.id}) goes on.", row.id)

    async def _target(self, command: Command, words: Words) -> RunRow:
        """The run that is meant: by id, or the only one here that it can be.

        Raises:
            NotFound: none, or which one is not clear.
        """
        if words.rest:
            return await self._run_here(command, words.rest)
        here = await self._service.store.unfinished(command.conversation.key)
        if words.word == "resume":
            here = [row for row in here if row.status == "paused"] or here
        if here:
            return here[0]
        # Slash commands are given outside of threads; then the person's own runs of the channel are meant.
        elsewhere = [row for row in await self._open(command.conversation) if row.who == command.person.key]
        if len(elsewhere) == 1:
            return elsewhere[0]
        if elsewhere:
            listed = "; ".join(f"{row.id}: {title(row)}" for row in elsewhere[:LISTED])
            raise NotFound(f"Which one? `{words.word} RUN` with one of these: {listed}")
        raise NotFound(
            f"Nothing works or waits here, so there is nothing to {words.word}. `runs` lists what was."
        )

    async def _run_here(self, command: Command, text: str) -> RunRow:
        if command_words.RUN_ID.fullmatch(text) is None:
            raise NotFound(f"{short(text, 40)!r} is not the id of a run; `runs` lists them.")
        row = await self._service.store.run(RunId(text))
        if row is None or not row.conversation_id.startswith(f"{command.conversation.channel_key}:"):
            raise NotFound(f"There is no run {text} in this channel; `runs` lists them.")
        return row

    async def _open(
        self, conversation: ConversationRef, statuses: Sequence[RunStatus] = _OPEN
    ) -> list[RunRow]:
        """Unfinished runs of the channel, as far as they are among the newest of each status."""
        found: list[RunRow] = []
        for status in statuses:
            page = await self._service.store.runs(status=status, limit=LOOKED_AT)
            found += [r for r in page.items if _in_channel(r, conversation)]
        return found

    # ── lists ────────────────────────────────────────────────────────────────────────────────

    async def _status(self, command: Command, rest: str) -> Receipt:
        if rest:
            rows = [await self._run_here(command, rest)]
        else:
            rows = await self._service.store.unfinished(command.conversation.key)
            rows = rows or await self._open(command.conversation)
        if not rows:
            return yes("Nothing works or waits here.")
        parts: list[CardPart] = [_rows(rows)]
        questions: list[str] = []
        for row in rows[:LISTED]:
            if row.status in ("waiting", "running", "paused"):
                state = await self._service.state(row.id)
                questions += [
                    f"{row.id}: {a.asked.title}, until {a.asked.expires_at:%Y-%m-%d %H:%M} UTC"
                    for a in state.open_approvals()
                ]
        if questions:
            parts.append(NotesPart(title="Waiting for people", notes=tuple(questions)))
        return card(command, "Status", parts)

    async def _runs(self, command: Command, rest: str) -> Receipt:
        status = command_words.status(rest)
        if rest and status is None:
            return no(
                f"Runs can be {', '.join(command_words.STATUSES)}; {short(rest, 40)!r} is none of these."
            )
        page = await self._service.store.runs(status=status, limit=LOOKED_AT)
        rows = [r for r in page.items if _in_channel(r, command.conversation)]
        if not rows:
            more = f" among the newest {LOOKED_AT} of all channels" if page.next else ""
            return yes(f"No {rest.lower() + ' ' if rest else ''}runs in this channel{more}.")
        return card(command, "Runs", [_rows(rows[:LISTED])])

    def _agents(self, command: Command, rest: str) -> Receipt:
        infos = self._service.agents.infos()
        if rest:
            agent = next((a for a in infos if a.name == rest.lower()), None)
            if agent is None:
                return no(
                    f"There is no agent {short(rest, 40)!r}; there are: {listed(a.name for a in infos)}."
                )
            return card(command, agent.title or agent.name, [FactsPart(facts=agent_words.facts(agent))])
        facts = tuple((a.title or a.name, agent_words.short(a)) for a in infos)
        return card(command, "Agents", [FactsPart(facts=facts)]) if facts else yes("There are no agents.")

    async def _usage(self, command: Command) -> Receipt:
        place = command.conversation
        # Workspaces that installed the bot are nobody's business but their own; the page is the operator's.
        match place.workspace:
            case "local":
                own, whose = "", "all channels"
            case _ if place.workspace == DIRECT:
                own, whose = place.channel_key, "this conversation"
            case workspace:
                own = f"{place.platform}:{workspace}"
                whose = f"all channels of this {'server' if place.platform == 'discord' else 'workspace'}"
        month, facts = await self.usage(own)
        if not facts.facts:
            return yes(f"No model was used in {month}.")
        return card(command, f"Usage in {month} (UTC), {whose}", [facts])

    async def usage(self, workspace: str = "") -> tuple[str, FactsPart]:
        """What this month's runs have used by model, and which month that is.

        Args:
            workspace: "slack:T1", or a channel's key; "": of all.
        """
        now = self._clock.now()
        since = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        used = await self._service.store.usage_since(since, workspace=workspace)
        total = Usage()
        facts: list[tuple[str, str]] = []
        for model, usage in sorted(used.items()):
            facts.append(("engine: rules" if model == "rules:rules" else model, _spent(usage)))
            total = total.plus(usage)
        if len(facts) > 1:
            facts.append(("all", _spent(total)))
        return f"{now:%B %Y}", FactsPart(facts=tuple(facts))

    # ── settings, why, help ──────────────────────────────────────────────────────────────────

    async def _settings(self, command: Command, rest: str) -> Receipt:
        if rest:
            return await self._change(command, rest)
        stored = await self._service.store.settings(command.conversation.channel_key)
        policy = channel_settings.effective(self._defaults, stored)
        origins = channel_settings.origins(stored)
        facts = tuple(
            (channel_settings.shown_name(key), f"{channel_settings.show(key, policy)} ({origins[key]})")
            for key in channel_settings.KEYS
        )
        parts: list[CardPart] = [FactsPart(facts=facts)]
        flaws = channel_settings.flaws(stored)
        if flaws:
            parts.append(NotesPart(title="Stored values that do not hold", notes=tuple(flaws.values())))
        return card(command, "Settings of this channel", parts)

    async def _change(self, command: Command, rest: str) -> Receipt:
        key, equals, value = rest.partition("=")
        if not equals:
            return no("Write settings KEY=VALUE, or settings KEY= for the default; `settings` shows all.")
        policy = await self.policy(command.conversation)
        allowed = self._permissions.change(command.conversation.key, command.person, policy)
        if not allowed.ok:
            return no(allowed.reason)
        changes = self.change_of(key, value, command.conversation.platform)
        if not await self._first_time(command):
            return yes(AGAIN)
        channel = command.conversation.channel_key
        await self._service.store.change_settings(channel, changes)
        now = channel_settings.told(changes, await self.policy(command.conversation))
        # The page has one channel: who sets something in one conversation should know that it is for all.
        where = " (the whole page, all its conversations)" if command.conversation.platform == "web" else ""
        return yes(f"Set for this channel{where}: {now}. Runs that were made before keep what they had.")

    def _why(self, command: Command) -> Receipt:
        last = self._permissions.last(command.conversation.key, command.person.key)
        if last is None:
            return yes("Nothing is remembered about you here since the bot was started.")
        word = "Allowed" if last.permission.ok else "Refused"
        return yes(f"{word} to {last.what} at {last.at:%Y-%m-%d %H:%M:%S} UTC: {last.permission.reason}")

    def _help(self, command: Command, word: str) -> Receipt:
        known = {
            **command_words.known(command.conversation.platform),
            **{name: each.form for name, each in self._more.items()},
        }
        if word in known:
            return yes(known[word])
        facts = tuple(_halves(text) for text in known.values())
        return card(command, "Commands", [FactsPart(facts=facts)])


def _in_channel(row: RunRow, conversation: ConversationRef) -> bool:
    return row.conversation_id.startswith(f"{conversation.channel_key}:")


def _halves(text: str) -> tuple[str, str]:
    form, _, meaning = text.rpartition(": ")
    return form, meaning


def _rows(rows: Sequence[RunRow]) -> FactsPart:
    return FactsPart(
        facts=tuple((row.id, f"{row.status} · {row.workflow} · {title(row)}") for row in rows[:LISTED])
    )


def _spent(usage: Usage) -> str:
    if not usage.input_tokens and not usage.output_tokens:
        return "no cost, no model was asked"
    cost = "no known price" if usage.cost_usd is None else f"${usage.cost_usd:,.4f}"
    return f"{usage.input_tokens:,} in · {usage.output_tokens:,} out · {usage.calls:,} calls · {cost}"
