"""The composition root: the one place where settings, chat platforms, agents and the store meet.

`open_core` builds everything that has no address: store, agents, engine, outbox, inbox. The
server (`bot.serving`) and the terminal command put their adapters into it. One TaskGroup owns
every task; leaving the context ends them all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from adapters.contract import ChatAdapter
from bot.channel_forms import ChannelForms
from bot.channel_settings import ChannelPolicy
from bot.commands import Commands
from bot.decisions import Decisions
from bot.definitions import read_agents, read_workflows
from bot.file_text import file_text
from bot.home import Homes
from bot.inbox import Inbox
from bot.intake import Intake
from bot.outbox import Outbox
from bot.permissions import Permissions
from bot.platforms import Platforms
from config.settings import Settings
from orchestrator.agents.registry import AgentRegistry
from orchestrator.agents.spec import RULES, AgentSpec
from orchestrator.bus import Bus
from orchestrator.engine.loop import Engine
from orchestrator.events import RunId
from orchestrator.infra.knowledge_index import KnowledgeIndex
from orchestrator.infra.local_scheduler import LocalScheduler, SystemClock
from orchestrator.infra.providers import Provider, Providers
from orchestrator.infra.sqlite_store import SqliteStore
from orchestrator.ports import Clock, Store
from orchestrator.service import Service
from orchestrator.tools.knowledge import knowledge_search
from orchestrator.tools.page_fetch import page_fetch
from orchestrator.tools.registry import Tools
from orchestrator.tools.web_search import web_search
from orchestrator.workflow import Workflow

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
    engine: Engine
    scheduler: LocalScheduler
    service: Service
    permissions: Permissions
    commands: Commands
    inbound: Inbox
    outbox: Outbox
    workflows: dict[str, Workflow]
    defaults: ChannelPolicy
    platforms: Platforms
    adapters: dict[str, ChatAdapter] = field(default_factory=dict[str, ChatAdapter])


@asynccontextmanager
async def open_core(
    settings: Settings,
    *,
    adapters: Sequence[ChatAdapter] = (),
    platforms: Platforms | None = None,
    execute: bool = True,
    own: str | None = None,
) -> AsyncGenerator[Core]:
    """Build the core, start its tasks and the adapters; end all of it when left.

    Args:
        settings: validated.
        adapters: chat platforms that have to be there; started last, stopped first.
        platforms: those that are connected in the background, however long it takes.
        execute: run agents and send cards here; False: only look and append facts.
        own: with a turn's inbox key, only the run of this turn is executed and shown here: a second
            process beside the server minds its own.

    Raises:
        ConfigError: an agent's or a workflow's file is wrong.
        StoreFailed: the database cannot be used.
    """
    specs = read_agents(settings)
    workflows = read_workflows(settings, (s.name for s in specs))
    home = settings.home
    store = await SqliteStore.open(home / "quartet.db", owners_dir=home / "owners")
    knowledge = KnowledgeIndex(settings.knowledge_dir, home / "knowledge.db")
    models = _models(settings)
    try:
        platforms = platforms or Platforms(())
        by_platform: dict[str, ChatAdapter] = {a.platform: a for a in (*adapters, *platforms.adapters())}
        core = _assemble(settings, store, knowledge, models, specs, workflows, by_platform, platforms, own)
        async with _tasks(core, execute=execute, own=own):
            yield core
    finally:
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
    specs: list[AgentSpec],
    workflows: dict[str, Workflow],
    adapters: dict[str, ChatAdapter],
    platforms: Platforms,
    own: str | None,
) -> Core:
    clock, bus = SystemClock(), Bus()
    tools = _tools(settings, knowledge)
    agents = AgentRegistry(
        specs,
        tools=tools,
        models=models,
        default_model=settings.model_for("") or RULES,
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
    service = Service(store, scheduler, agents, workflows, bus, settings.engine)
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
    )
    intake = Intake(service, permissions, adapters, commands.policy, file_text)
    inbound = Inbox(
        intake,
        Decisions(service, permissions),
        commands,
        ChannelForms(service, permissions, commands, defaults),
        Homes(service, commands, defaults, settings.engine),
    )
    titles = {spec.name: spec.title for spec in specs}
    return Core(
        settings=settings,
        store=store,
        bus=bus,
        clock=clock,
        agents=agents,
        engine=engine,
        scheduler=scheduler,
        service=service,
        permissions=permissions,
        commands=commands,
        inbound=inbound,
        outbox=Outbox(store, bus, adapters, engine.workflow, titles, own, connected=platforms.connected),
        workflows=workflows,
        defaults=defaults,
        platforms=platforms,
        adapters=adapters,
    )


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
