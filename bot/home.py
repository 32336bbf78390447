"""A person's own page at the bot: what waits for them, their runs, this month's usage, their channels.

Only what concerns the person is on it: questions that name them or that came of their own turns.
"""

from __future__ import annotations

from typing import Final

from adapters.contract import (
    Button,
    ConversationRef,
    FactsPart,
    Home,
    HomeChannel,
    HomeQuestion,
    HomeRun,
    Person,
)
from adapters.plain import clipped
from bot import channel_settings
from bot.channel_settings import ChannelPolicy
from bot.commands import DIRECT, Commands
from bot.permissions import Actor, is_admin, may_decide
from bot.presenter import approval_card
from orchestrator.errors import OrchestratorError, StoreFailed
from orchestrator.events import Engine
from orchestrator.ports import ApprovalRow
from orchestrator.service import Service

QUESTIONS: Final = 20
RUNS: Final = 10
CHANNELS: Final = 20
LOOKED_AT: Final = 500  # waiting approvals of a workspace among which those of a person are looked for
TITLE_LENGTH: Final = 120
_SHOWN: Final = ("workflow", "approvals", "approvers", "busy", "verbosity", "language", "models", "admins")


class Homes:
    """Makes the page.

    Args:
        service: the core.
        commands: for usage in the same words.
        defaults: the policy of a channel where nothing was set.
        engine: what works here.
    """

    def __init__(
        self, service: Service, commands: Commands, defaults: ChannelPolicy, engine: Engine = "models"
    ) -> None:
        self._service = service
        self._commands = commands
        self._defaults = defaults
        self._label = "engine: rules" if engine == "rules" else ""

    async def home(self, workspace: str, person: Person) -> Home:
        """What this person's page in a workspace shows now.

        Raises:
            StoreFailed: the database cannot be read.
        """
        where = f"{person.platform}:{workspace}"
        runs = await self._runs(where, person)
        own = where
        if workspace == DIRECT:  # what others say there directly is theirs
            own = runs[0].conversation.channel_key if runs else f"{where}:"
        month, usage = await self._commands.usage(own)
        if not usage.facts:
            usage = FactsPart(facts=((month, "no model was used"),))
        return Home(
            questions=tuple(await self._questions(where, person)),
            runs=tuple(runs),
            usage=usage,
            channels=tuple(await self._channels(where, person)),
            label=self._label,
        )

    async def _questions(self, where: str, person: Person) -> list[HomeQuestion]:
        found: list[HomeQuestion] = []
        page = await self._service.store.waiting(workspace=where, limit=LOOKED_AT)
        for row in page.items:
            question = await self._question(row, person)
            if question is not None:
                found.append(question)
            if len(found) == QUESTIONS:
                break
        return found

    async def _question(self, row: ApprovalRow, person: Person) -> HomeQuestion | None:
        """The question as this person may answer it; None: it is not theirs."""
        actor = Actor.of(person)
        if row.asked.approvers and not actor.is_in(row.asked.approvers):
            return None
        try:
            run = await self._service.store.run(row.run_id)
            if run is None or not may_decide(row.asked, actor, requester=run.who).ok:
                return None
            if not row.asked.approvers and run.who != person.key:
                return None
            state = await self._service.state(row.run_id)
        except StoreFailed:
            raise
        except OrchestratorError:
            return None  # a log that this version cannot read hides one question, not the page
        approval = state.approvals[row.asked.approval_id]
        if approval not in state.open_approvals():
            return None
        conversation = ConversationRef.from_key(row.conversation_id)
        return HomeQuestion(conversation=conversation, card=approval_card(state, approval))

    async def _runs(self, where: str, person: Person) -> list[HomeRun]:
        # The same person may have asked in other workspaces.
        page = await self._service.store.runs(who=person.key, limit=RUNS * 5)
        ours = [row for row in page.items if row.conversation_id.startswith(f"{where}:")]
        return [
            HomeRun(
                run_id=row.id,
                title=clipped(" ".join(row.text.split()), TITLE_LENGTH),
                status=row.status,
                conversation=ConversationRef.from_key(row.conversation_id),
                at=row.created_at,
            )
            for row in ours[:RUNS]
        ]

    async def _channels(self, where: str, person: Person) -> list[HomeChannel]:
        actor = Actor.of(person)
        stored = await self._service.store.settings_in(where)
        recent = await self._service.store.channels(where, limit=LOOKED_AT)
        found: list[HomeChannel] = []
        for channel in dict.fromkeys([*recent, *stored]):
            if _is_direct(channel):
                continue  # it is somebody's own, also where the workspace has administrators
            policy = channel_settings.effective(self._defaults, stored.get(channel, {}))
            if not is_admin(policy, actor):
                continue
            found.append(_channel(channel, policy))
            if len(found) == CHANNELS:
                break
        return found


def _channel(channel_key: str, policy: ChannelPolicy) -> HomeChannel:
    return HomeChannel(
        channel_key=channel_key,
        facts=tuple((channel_settings.shown_name(key), channel_settings.show(key, policy)) for key in _SHOWN),
        button=Button(action="settings", target=channel_key, label="Settings", needs_form=True),
    )


def _is_direct(channel_key: str) -> bool:
    """Whether it is a direct message as far as its id tells; the store leaves out those without threads."""
    platform, _, place = channel_key.partition(":")
    workspace, _, channel = place.partition(":")
    return workspace == DIRECT or (platform == "slack" and channel.startswith("D"))
