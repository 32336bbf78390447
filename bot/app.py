"""The composition root: the one place where settings, chat platforms, agents and the store meet.

`open_core` builds everything that has no address: store, agents, engine, outbox, inbox. The
server (`bot.serving`) and the terminal command put their adapters into it. One TaskGroup owns
every task; leaving the context ends them all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from adapters.contract import ChatAdapter
from bot.channel_forms import ChannelForms
from bot.channel_settings import ChannelPolicy
from bot.commands import Commands, MoreWord
from bot.decisions import Decisions
from bot.definitions import Definitions, places, read_definitions
from bot.design import draft_check
from bot.design_cards import DESIGN
from bot.design_librarian import Librarian
from bot.design_words import design_word
from bot.file_text import file_text
from bot.home import Homes
from bot.inbox import Inbox
from bot.intake import Intake
from bot.outbox import Outbox
from bot.own_agents import Roster
from bot.own_keys import OwnKeys
from bot.permissions import Permissions
from bot.platforms import Platforms
from bot.schedules import Schedules
from bot.schedules_words import FORM, ScheduleWords
from bot.secret_keys import secret_keys
from bot.webhooks.book import WebhookBook
from bot.webhooks.dispatcher import Dispatcher
from bot.webhooks.sending import Sender
from config.settings import Settings
from orchestrator.agents.computing import Compute, in_thread
from orchestrator.agents.registry import AgentRegistry
from orchestrator.agents.spec import RULES
from orchestrator.bus import Bus
from orchestrator.engine.loop import Engine
from orchestrator.errors import StoreFailed
from orchestrator.events import RunId, TurnRecord
from orchestrator.infra.knowledge_index import KnowledgeIndex
from orchestrator.infra.local_scheduler import LocalScheduler, SystemClock
from orchestrator.infra.providers import Provider, Providers
from orchestrator.infra.sqlite_store import SqliteStore
from orchestrator.library import Check, Library
from orchestrator.ports import Agents, Clock, Store
from orchestrator.service import Service
from orchestrator.tools.knowledge import knowledge_search
from orchestrator.tools.page_fetch import page_fetch
from orchestrator.tools.registry import Tools
from orchestrator.tools.web_search import web_search
from orchestrator.workflow import Workflow
from orchestrator.workflow_checks import Flaw, problems

log = structlog.get_logger(__name__)

ADVANCED_AT_ONCE = 1_000  # runs that are looked after; how many agents work at once is a setting


@dataclass(slots=True)
class Core:
    """Everything that runs, by name."""

    settings: Settings
    store: Store
    bus: Bus
    clock: Clock
    agents: AgentRegistry
    roster: Roster
    engine: Engine
    scheduler: LocalScheduler
    service: Service
    permissions: Permissions
    commands: Commands
    inbound: Inbox
    outbox: Outbox
    workflows: Library
    schedules: Schedules
    defaults: ChannelPolicy
    platforms: Platforms
    own_keys: OwnKeys
    webhooks: WebhookBook
    dispatcher: Dispatcher
    adapters: dict[str, ChatAdapter] = field(default_factory=dict[str, ChatAdapter])


@asynccontextmanager
async def open_core(
    settings: Settings,
    *,
    adapters: Sequence[ChatAdapter] = (),
    platforms: Platforms | None = None,
    execute: bool = True,
    own: str | None = None,
    compute: Compute = in_thread,
) -> AsyncGenerator[Core]:
    """Build the core, start its tasks and the adapters; end all of it when left.

    Args:
        settings: validated.
        adapters: chat platforms that have to be there; started last, stopped first.
        platforms: those that are connected in the background, however long it takes.
        execute: run agents and send cards here; False: only look and append facts.
        own: with a turn's inbox key, only the run of this turn is executed and shown here: a second
            process beside the server minds its own.
        compute: where the rules engine works.

    Raises:
        ConfigError: an agent's or a workflow's file is wrong.
        StoreFailed: the database cannot be used.
    """
    definitions = await asyncio.to_thread(read_definitions, settings)
    home = settings.home
    store = await SqliteStore.open(home / "quartet.db", owners_dir=home / "owners")
    knowledge = KnowledgeIndex(settings.knowledge_dir, home / "knowledge.db")
    models = _models(settings)
    core: Core | None = None
    try:
        platforms = platforms or Platforms(())
        by_platform: dict[str, ChatAdapter] = {a.platform: a for a in (*adapters, *platforms.adapters())}
        core = _assemble(
            settings,
            store,
            knowledge,
            models,
            definitions,
            by_platform,
            platforms,
            own,
            compute,
            # What is claimed here and not advanced here would be advanced by nobody.
            executes=lambda turn: execute and own in (None, turn.key),
        )
        await core.roster.start(definitions.own)
        await core.workflows.load(definitions.workflows)
        async with _tasks(core, execute=execute, own=own):
            yield core
    finally:
        if core is not None:
            await core.roster.close()
        if models is not None:
            await models.close()
        await knowledge.close()
        await store.close()


@asynccontextmanager
async def _tasks(core: Core, *, execute: bool, own: str | None) -> AsyncGenerator[None]:
    """The core's tasks and adapters, as long as the context lasts."""

    async def advance(run_id: RunId) -> None:
        if own is not None and await core.store.known(own) != run_id:
            return
        await core.engine.advance(run_id)

    async with contextlib.AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks: list[asyncio.Task[None]] = []
        connecting: list[asyncio.Task[None]] = []
        if execute:
            tasks.append(group.create_task(core.scheduler.run(advance), name="scheduler"))
            tasks.append(group.create_task(core.outbox.run(), name="outbox"))
            tasks.append(group.create_task(_learn(core), name="agents:record"))
            tasks.append(group.create_task(_sweep_keys(core), name="own-keys"))
            tasks.append(group.create_task(core.workflows.watch(), name="workflows"))
            tasks.append(group.create_task(core.roster.watch(), name="agents:own"))
            if own is None:  # a second process for one turn leaves the clock to the server
                tasks.append(group.create_task(core.schedules.watch(), name="schedules"))
                tasks.append(group.create_task(core.dispatcher.run(), name="webhooks"))
        try:
            remote = core.platforms.adapters()
            for adapter in core.adapters.values():
                if adapter not in remote:
                    await adapter.start(core.inbound)
            connect = core.platforms.connect(core.inbound, core.outbox.resume)
            connecting.append(group.create_task(connect, name="platforms"))
            watch = core.platforms.watch(core.outbox.resume)
            connecting.append(group.create_task(watch, name="platforms:watch"))
            yield
        finally:
            for task in connecting:
                task.cancel()
            await asyncio.gather(*connecting, return_exceptions=True)
            await asyncio.gather(*(_stop(adapter) for adapter in core.adapters.values()))
            for task in tasks:
                task.cancel()


async def _learn(core: Core) -> None:
    """Tell the agents' registry what the log says of their work so far."""
    try:
        core.agents.learn(await core.store.agent_outcomes())
    except StoreFailed as error:
        # Who is chosen among equals depends on it, nothing else.
        log.warning("the agents' record could not be read", action="record_unread", error=str(error))


async def _sweep_keys(core: Core) -> None:
    """Delete keys of runs that a crash left behind."""
    try:
        await core.own_keys.sweep()
    except StoreFailed as error:
        # They are sealed, and the next start sweeps again.
        log.warning("left keys could not be deleted", action="run_keys_unswept", error=str(error))


async def _stop(adapter: ChatAdapter) -> None:
    try:
        await adapter.stop()
    except Exception:
        # What one platform fails at must not keep the others from ending well.
        log.exception("a platform did not stop well", action="stop_broke", platform=adapter.platform)


def _assemble(
    settings: Settings,
    store: SqliteStore,
    knowledge: KnowledgeIndex,
    models: Providers | None,
    definitions: Definitions,
    adapters: dict[str, ChatAdapter],
    platforms: Platforms,
    own: str | None,
    compute: Compute,
    *,
    executes: Callable[[TurnRecord], bool],
) -> Core:
    clock, bus = SystemClock(), Bus()
    tools = _tools(settings, knowledge)
    workflows: Library
    own_keys = OwnKeys(settings, store)
    flaw = draft_check(lambda: workflows, lambda: agents.infos())
    agents = AgentRegistry(
        definitions.agents,
        tools=tools,
        models=models,
        default_model=settings.model_for("") or RULES,
        provider_limits=settings.provider_limits,
        draft_flaw=flaw,
        own=own_keys,
        compute=compute,
    )
    # Agents have slots; deciding and stopping have not, so that no run waits for another's model.
    scheduler = LocalScheduler(store, clock=clock, concurrency=max(ADVANCED_AT_ONCE, settings.workers))
    engine = Engine(
        store,
        scheduler,
        agents,
        bus,
        clock,
        exchanges=settings.chat.exchanges,
        steps_at_once=settings.workers,
    )
    workflows = Library(store, _check_with(agents))
    service = Service(store, scheduler, agents, workflows, bus, settings.engine, executes=executes)
    permissions = Permissions(clock)
    defaults = channel_defaults(settings)
    intake: Intake
    commands = Commands(
        service,
        permissions,
        lambda turn: intake.take(turn),
        defaults,
        tuple(settings.providers()),
        clock,
        tools=tools.names(),
        library=workflows,
        more={
            DESIGN: design_word(lambda turn: intake.take(turn), lambda turn: commands.read_turn(turn)),
            "schedules": MoreWord(
                FORM, lambda command, rest: schedule_words.perform(command, rest), ScheduleWords.takes
            ),
        },
    )
    schedules = Schedules(service, commands.policy, clock)
    schedule_words = ScheduleWords(schedules, service, commands.policy, commands.read_turn)
    for player in Librarian(service, workflows, schedules, commands.policy, flaw).players():
        agents.register(player)
    intake = Intake(service, permissions, adapters, commands.policy, file_text)
    inbound = Inbox(
        intake,
        Decisions(service, permissions, flaw),
        commands,
        ChannelForms(service, permissions, commands, defaults),
        Homes(service, commands, defaults, settings.engine),
    )
    sender = Sender(settings.fetch_allow_hosts)
    webhooks = WebhookBook(store, sender, clock, lambda: secret_keys(settings))
    titles = {spec.name: spec.title for spec in definitions.agents}
    roster = Roster(settings, agents, tools, titles, places(definitions.agents))
    return Core(
        settings=settings,
        store=store,
        bus=bus,
        clock=clock,
        agents=agents,
        roster=roster,
        engine=engine,
        scheduler=scheduler,
        service=service,
        permissions=permissions,
        commands=commands,
        inbound=inbound,
        outbox=Outbox(store, bus, adapters, engine.workflow, titles, own, connected=platforms.connected),
        workflows=workflows,
        schedules=schedules,
        defaults=defaults,
        platforms=platforms,
        own_keys=own_keys,
        webhooks=webhooks,
        dispatcher=Dispatcher(store, webhooks, bus, clock, sender, settings.base_url),
        adapters=adapters,
    )


def _check_with(agents: Agents) -> Check:
    """What is wrong with a workflow, given the agents that there are at that moment."""

    def check(workflow: Workflow, names: frozenset[str]) -> Iterator[Flaw]:
        infos = agents.infos()
        return problems(
            workflow,
            agents=frozenset(info.name for info in infos),
            capabilities=frozenset(one for info in infos for one in info.capabilities),
            workflows=names,
        )

    return check


def channel_defaults(settings: Settings) -> ChannelPolicy:
    """How the bot behaves in a channel where nothing was set."""
    chat = settings.chat
    return ChannelPolicy(
        approvals=chat.approvals,
        approvers=chat.approvers,
        allow_requester=chat.allow_requester,
        expires_after_s=chat.expires_after_s,
        busy=chat.busy,
        verbosity=chat.verbosity,
        language=chat.language,
    )


def _tools(settings: Settings, knowledge: KnowledgeIndex) -> Tools:
    key = settings.tavily_api_key
    return Tools(
        [
            knowledge_search(knowledge),
            web_search(
                tavily_key=key.get_secret_value() if key else None, tavily_url=settings.tavily_base_url
            ),
            page_fetch(settings.fetch_allow_hosts),
        ]
    )


def _models(settings: Settings) -> Providers | None:
    """The providers as the agents know them; None: the rules engine plays all agents."""
    if settings.engine == "rules":
        return None
    return Providers(
        {
            name: Provider(
                name=p.name,
                base_url=p.base_url,
                api_key=p.api_key.get_secret_value() if p.api_key else None,
                default_model=p.default_model,
            )
            for name, p in settings.providers().items()
        }
    )
