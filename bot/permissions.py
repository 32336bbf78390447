"""Who may start, stop, change and decide, and why. Pure answers; what was last answered is remembered.

An adapter says who somebody is; only here it is decided what that person may do. `Permissions` holds
the last answer for each person and conversation, in this process alone: `why` says so after a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from adapters.contract import Person
from bot.channel_settings import ChannelPolicy
from orchestrator import approvals
from orchestrator.events import ApprovalRequested
from orchestrator.ports import Clock

REMEMBERED: Final = 2_000  # answers kept; the oldest go first


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who wants something, whichever entrance they came by."""

    key: str  # "platform:id"
    groups: tuple[str, ...] = ()
    is_admin: bool = False

    @staticmethod
    def of(person: Person) -> Actor:
        """A person of a chat platform."""
        return Actor(person.key, person.groups, person.is_admin)

    def is_in(self, members: Collection[str]) -> bool:
        """Whether the list names the person or one of their groups."""
        return self.key in members or not set(self.groups).isdisjoint(members)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Yes, and by which rule."""

    reason: str
    ok: ClassVar = True


@dataclass(frozen=True, slots=True)
class Denied:
    """No, and what would have to be otherwise."""

    reason: str
    ok: ClassVar = False


Permission = Allowed | Denied


def may_start(policy: ChannelPolicy, actor: Actor) -> Permission:
    """Whether somebody may give the bot a turn in this channel."""
    if not policy.who_may_start:
        return Allowed("everyone may start turns in this channel")
    if actor.is_in(policy.who_may_start):
        return Allowed("you are on the channel's list who_may_start")
    if is_admin(policy, actor):
        return Allowed("admins of the channel may start turns")
    return Denied(
        f"Only {_list(policy.who_may_start)} may start turns in this channel; "
        "an admin can change that with `settings who_may_start=…`."
    )


def may_stop(policy: ChannelPolicy, actor: Actor, *, requester: str) -> Permission:
    """Whether somebody may stop, pause or resume a run: who asked for it, approvers, admins.

    Args:
        policy: of the run's channel.
        actor: who wants it.
        requester: person key of who asked for the run.
    """
    if actor.key == requester:
        return Allowed("you asked for this run")
    if policy.approvers and actor.is_in(policy.approvers):
        return Allowed("you are an approver of this channel")
    if is_admin(policy, actor):
        return Allowed("you are an admin of this channel")
    return Denied(
        "Only who asked for a run, the channel's approvers and its admins may control it; "
        f"{requester} asked for this one."
    )


def may_change(policy: ChannelPolicy, actor: Actor) -> Permission:
    """Whether somebody may change the channel's settings."""
    if is_admin(policy, actor):
        return Allowed("you are an admin of this channel")
    known = f" or one of {_list(policy.admins)}" if policy.admins else ""
    return Denied(f"Only admins of this channel may change its settings: ask one of them{known}.")


def may_change_workflows(policy: ChannelPolicy, actor: Actor) -> Permission:
    """Whether somebody may go back to a workflow's earlier version, or take a workflow away."""
    if is_admin(policy, actor):
        return Allowed("you are an admin of this channel")
    known = f" or one of {_list(policy.admins)}" if policy.admins else ""
    return Denied(f"Only admins of this channel may change workflows: ask one of them{known}.")


def may_decide(asked: ApprovalRequested, actor: Actor, *, requester: str) -> Permission:
    """Whether somebody may decide on a question. Being an admin does not help: approvers are named for it.

    Args:
        asked: the question.
        actor: who wants to decide.
        requester: person key of who asked for the run.
    """
    refusal = approvals.may_decide(asked, person=actor.key, groups=actor.groups, requester=requester)
    if refusal:
        return Denied(refusal)
    return Allowed("you are one of the approvers" if asked.approvers else "anyone may decide here")


def is_admin(policy: ChannelPolicy, actor: Actor) -> bool:
    """Whether the platform or the channel's settings make somebody an admin."""
    return actor.is_admin or actor.is_in(policy.admins)


# ── why ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that was given."""

    what: str  # "start a turn", "stop run r…", "change the settings"
    permission: Permission
    at: datetime  # aware, UTC


class Permissions:
    """Answers for people of chat platforms, and remembers the last one for each conversation and person.

    Args:
        clock: for the time of an answer.
        size: answers kept; the oldest go first.
    """

    def __init__(self, clock: Clock, size: int = REMEMBERED) -> None:
        self._clock = clock
        self._size = size
        self._answers: OrderedDict[tuple[str, str], Answered] = OrderedDict()

    def start(self, conversation: str, person: Person, policy: ChannelPolicy) -> Permission:
        """Whether a person may give the bot a turn."""
        return self._keep(conversation, person, "start a turn", may_start(policy, Actor.of(person)))

    def control(
        self, conversation: str, person: Person, action: str, requester: str, policy: ChannelPolicy
    ) -> Permission:
        """Whether a person may stop, pause or resume (`action`) a run that `requester` asked for."""
        permission = may_stop(policy, Actor.of(person), requester=requester)
        return self._keep(conversation, person, f"{action} a run", permission)

    def change(self, conversation: str, person: Person, policy: ChannelPolicy) -> Permission:
        """Whether a person may change the channel's settings."""
        return self._keep(conversation, person, "change settings", may_change(policy, Actor.of(person)))

    def workflows(self, conversation: str, person: Person, policy: ChannelPolicy) -> Permission:
        """Whether a person may go back to a workflow's earlier version, or take a workflow away."""
        permission = may_change_workflows(policy, Actor.of(person))
        return self._keep(conversation, person, "change workflows", permission)

    def decide(
        self, conversation: str, person: Person, asked: ApprovalRequested, requester: str
    ) -> Permission:
        """Whether a person may decide on a question."""
        permission = may_decide(asked, Actor.of(person), requester=requester)
        return self._keep(conversation, person, f"decide on {asked.title!r}", permission)

    def last(self, conversation: str, person: str) -> Answered | None:
        """The last answer to a person (by key) in a conversation since the start of this process."""
        return self._answers.get((conversation, person))

    def _keep(self, conversation: str, person: Person, what: str, permission: Permission) -> Permission:
        key = (conversation, person.key)
        self._answers[key] = Answered(what, permission, self._clock.now())
        self._answers.move_to_end(key)
        while len(self._answers) > self._size:
            self._answers.popitem(last=False)
        return permission


def _list(members: Collection[str]) -> str:
    return ", ".join(members)
