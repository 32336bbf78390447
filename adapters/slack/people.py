"""Who somebody is: name, whether they may administer, their user groups. Asked seldom, kept for minutes.

A name that cannot be had now is no reason to let a person wait: the id stands in for it. Groups and
administration are different: where Slack cannot be reached it says so, so that nobody is refused wrongly.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

import structlog

from adapters.contract import Person, ThreadLine
from adapters.errors import AdapterError, NotAllowed
from adapters.payload import items, mapping, text
from adapters.plain import clean_text
from adapters.slack import meaning
from adapters.slack.inbound import Me
from adapters.slack.payload import ident, stamp
from adapters.slack.ports import Api, SlackRefused
from adapters.slack.reading import mentioned
from adapters.urgency import Urgency

NAMES_S = 600.0  # how long a name is kept
GROUPS_S = 120.0
KEPT = 5_000  # answers of each kind
FEW = 10  # names are looked up for at most so many people at once
PATIENCE_S = 3.0  # for what only makes a text nicer
LINES = 100  # of a thread that the bot comes to

log = structlog.get_logger(__name__)
T = TypeVar("T")


class Kept(Generic[T]):
    """Answers kept for a while; who asks for the same at the same time waits for one answer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._answers: OrderedDict[tuple[str, ...], tuple[float, asyncio.Task[T]]] = OrderedDict()

    async def get(self, key: tuple[str, ...], ask: Callable[[], Awaitable[T]]) -> T:
        """The answer; what fails is asked again the next time."""
        until, task = self._answers.get(key, (0.0, None))
        if task is None or until < time.monotonic() or (task.done() and _failed(task)):
            task = asyncio.ensure_future(_awaited(ask))
            task.add_done_callback(_seen)
            self._answers[key] = (time.monotonic() + self._seconds, task)
            while len(self._answers) > KEPT:
                self._answers.popitem(last=False)
        return await asyncio.shield(task)  # whoever gives up waiting does not spoil it for the others

    def clear(self) -> None:
        """Forget everything, and end what is being asked."""
        for _, task in self._answers.values():
            task.cancel()
        self._answers.clear()


class People:
    """Looks people up.

    Args:
        api: Slack's Web API.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._users: Kept[Mapping[str, Any]] = Kept(NAMES_S)
        self._groups: Kept[Mapping[str, tuple[str, ...]]] = Kept(GROUPS_S)
        self._channels: Kept[Mapping[str, Any]] = Kept(NAMES_S)
        self._handles: dict[str, dict[str, str]] = {}  # by team, of the groups that were listed last
        self._told: set[str] = set()

    def close(self) -> None:
        """Forget everybody."""
        for kept in (self._users, self._groups, self._channels):
            kept.clear()
        self._handles.clear()

    async def person(
        self,
        team: str,
        enterprise: str,
        user: str,
        *,
        name: str = "",
        groups: bool = False,
        admin_of: str = "",
    ) -> Person:
        """A person.

        Args:
            name: what the payload calls them, where Slack does not tell.
            groups: look up their user groups as well.
            admin_of: a channel; who made it administers it, besides the workspace's administrators.

        Raises:
            PlatformDown: groups or administration are asked for, and Slack cannot be reached.
        """
        needed = groups or bool(admin_of)
        of_groups = asyncio.ensure_future(self._groups_of(team, enterprise, user)) if groups else None
        if of_groups is not None:
            of_groups.add_done_callback(_seen)
        try:
            return await self._person(team, enterprise, user, name, needed, admin_of, of_groups)
        finally:
            if of_groups is not None:
                of_groups.cancel()

    async def _person(
        self,
        team: str,
        enterprise: str,
        user: str,
        name: str,
        needed: bool,
        admin_of: str,
        of_groups: asyncio.Future[tuple[str, ...]] | None,
    ) -> Person:
        known: Mapping[str, Any] = {}
        try:
            known = await self._user(team, enterprise, user)
        except (NotAllowed, SlackRefused) as error:
            self._tell_once("slack.no_names", error)
        except AdapterError as error:
            if needed:
                raise
            self._tell_once("slack.no_names", error)
        guest = _foreign(known, team, enterprise)
        admin = not guest and any(
            known.get(flag) is True for flag in ("is_admin", "is_owner", "is_primary_owner")
        )
        if admin_of and not admin and (not guest or admin_of.startswith("D")):
            admin = await self._made(team, enterprise, admin_of, user)
        return Person(
            platform="slack",
            id=user,
            name=_name(known) or clean_text(name)[:100] or user,
            groups=await of_groups if of_groups is not None else (),
            is_admin=admin,
        )

    async def bot(self, user: str, name: str) -> Person:
        """Another bot that may start turns."""
        return Person(platform="slack", id=user, name=clean_text(name)[:100] or user)

    async def names(self, team: str, enterprise: str, users: Iterable[str]) -> dict[str, str]:
        """Names by id, of a few people; who cannot be looked up in time is missing."""
        wanted = list(dict.fromkeys(user for user in users if user))[:FEW]

        async def one(user: str) -> tuple[str, str]:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return user, _name(await self._user(team, enterprise, user))
            except (AdapterError, TimeoutError):
                return user, ""

        found = await asyncio.gather(*(one(user) for user in wanted))
        return {user: name for user, name in found if name}

    async def handles(self, team: str, enterprise: str) -> Mapping[str, str]:
        """The handles of user groups by id; none where they cannot be had in time."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._groups_of(team, enterprise, "")
        except (AdapterError, TimeoutError):
            pass  # those that were listed before are better than none
        return self._handles.get(team, {})

    async def earlier(
        self, team: str, enterprise: str, channel: str, thread: str, before: str, me: Me
    ) -> tuple[ThreadLine, ...]:
        """What was said in a thread before a message; nothing where it cannot be had in time.

        Args:
            thread: the root's ts.
            before: the message's ts.
        """
        arguments = {"channel": channel, "ts": thread, "latest": before, "inclusive": False, "limit": LINES}
        try:
            async with asyncio.timeout(PATIENCE_S):
                found = await self._api.call(
                    team, "conversations.replies", arguments, urgency=Urgency.PERSON, enterprise=enterprise
                )
        except (AdapterError, TimeoutError) as error:
            log.warning(
                "The earlier messages of a thread could not be read; the turn starts without them.",
                action="slack.no_earlier",
                error=f"{type(error).__name__}: {error}"[:200],
            )
            return ()
        messages = [mapping(one) for one in items(found.get("messages"))]
        messages = [m for m in messages if stamp(m, "ts") and float(stamp(m, "ts")) < float(before)]
        users = [u for m in messages for u in (ident(m, "user"), *mentioned(text(m, "text")))]
        names = await self.names(team, enterprise, users)
        lines = (meaning.line(m, names, own=me.bot_user, own_bot=me.bot_id) for m in messages)
        return tuple(line for line in lines if line is not None)

    async def _user(self, team: str, enterprise: str, user: str) -> Mapping[str, Any]:
        async def ask() -> Mapping[str, Any]:
            found = await self._api.call(
                team, "users.info", {"user": user}, urgency=Urgency.PERSON, enterprise=enterprise
            )
            return mapping(found.get("user"))

        return await self._users.get((team, user), ask)

    async def _groups_of(self, team: str, enterprise: str, user: str) -> tuple[str, ...]:
        async def ask() -> Mapping[str, tuple[str, ...]]:
            return await self._all_groups(team, enterprise)

        try:
            groups = await self._groups.get((team,), ask)
        except (NotAllowed, SlackRefused) as error:
            self._tell_once("slack.no_groups", error)
            return ()
        return tuple(group for group, members in groups.items() if user in members)

    async def _all_groups(self, team: str, enterprise: str) -> Mapping[str, tuple[str, ...]]:
        of_team = {"team_id": team} if enterprise and team else {}

        async def call(method: str, **arguments: Any) -> Mapping[str, Any]:
            given = {**arguments, **of_team}
            return await self._api.call(team, method, given, urgency=Urgency.PERSON, enterprise=enterprise)

        listed = (await call("usergroups.list", include_users=True)).get("usergroups")
        groups: dict[str, tuple[str, ...]] = {}
        handles: dict[str, str] = {}
        for one in items(listed):
            group = mapping(one)
            members = group.get("users")
            if handle := text(group, "handle") or text(group, "name"):
                handles[ident(group, "id")] = clean_text(handle)[:100]
            if not isinstance(members, list) and ident(group, "id"):
                members = (await call("usergroups.users.list", usergroup=ident(group, "id"))).get("users")
            if isinstance(members, list):
                groups[ident(group, "id")] = tuple(str(member) for member in members)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        self._handles[team] = handles
        return groups

    async def _made(self, team: str, enterprise: str, channel: str, user: str) -> bool:
        if channel.startswith("D"):
            return True  # a direct message with the bot is the person's own

        async def ask() -> Mapping[str, Any]:
            found = await self._api.call(
                team,
                "conversations.info",
                {"channel": channel},
                urgency=Urgency.PERSON,
                enterprise=enterprise,
            )
            return mapping(found.get("channel"))

        try:
            return (await self._channels.get((team, channel), ask)).get("creator") == user
        except NotAllowed as error:
            self._tell_once("slack.no_channels", error)
        except AdapterError as error:
            log.info("A channel could not be looked up.", action="slack.no_channel", error=str(error)[:200])
        return False

    def _tell_once(self, action: str, error: Exception) -> None:
        if action not in self._told:
            self._told.add(action)
            log.warning("Slack does not tell who people are.", action=action, error=str(error)[:300])


def nameless(user: str) -> Person:
    """A person whose name does not matter now: the id stands in for it."""
    return Person(platform="slack", id=user, name=user)


def _foreign(user: Mapping[str, Any], team: str, enterprise: str) -> bool:
    """Whether somebody comes from another company (Slack Connect): they administer nothing here."""
    home, organisation = ident(user, "team_id"), mapping(user.get("enterprise_user"))
    if user.get("is_stranger") is True:
        return True
    if home in ("", team) or team in items(organisation.get("teams")):
        return False
    return not enterprise or enterprise not in (home, ident(organisation, "enterprise_id"))


def _name(user: Mapping[str, Any]) -> str:
    profile = mapping(user.get("profile"))
    names = (
        text(profile, "display_name"),
        text(profile, "real_name"),
        text(user, "real_name"),
        text(user, "name"),
    )
    return next((clean_text(name)[:100] for name in names if name.strip()), "")


async def _awaited(ask: Callable[[], Awaitable[T]]) -> T:
    return await ask()


def _seen(task: asyncio.Future[Any]) -> None:
    """An error that nobody waits for any more is no news for asyncio's log."""
    if not task.cancelled():
        task.exception()


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None
