"""Who people are: asked once for many, kept for minutes, and never wrong for want of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from adapters.errors import AdapterError, NotAllowed, PlatformDown
from adapters.slack.inbound import Me
from adapters.slack.people import People
from adapters.slack.ports import SlackRefused
from adapters.urgency import Urgency

USERS: dict[str, dict[str, Any]] = {
    "UADA": {"id": "UADA", "name": "ada", "profile": {"display_name": "Ada"}},
    "UROOT": {"id": "UROOT", "name": "root", "is_admin": True, "profile": {"real_name": "Root R."}},
}
Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Api:
    """Slack's answers as scripted; an error stands for every answer of that method."""

    def __init__(self, **answers: Answer | AdapterError) -> None:
        self.calls: list[str] = []
        self.answers: dict[str, Answer | AdapterError] = {
            "users_info": lambda given: {"user": USERS.get(given["user"], {})},
            "usergroups_list": lambda _: {
                "usergroups": [
                    {"id": "S1", "users": ["UADA"]},
                    {"id": "S2", "users": ["UROOT"]},
                    {"id": "S3"},
                ]
            },
            "usergroups_users_list": lambda _: {"users": ["UADA"]},
            "conversations_info": lambda _: {"channel": {"id": "C1", "creator": "UADA"}},
            **answers,
        }

    async def call(
        self, team: str, method: str, arguments: Mapping[str, Any], *, urgency: Urgency, enterprise: str = ""
    ) -> Mapping[str, Any]:
        self.calls.append(method)
        await asyncio.sleep(0)
        answer = self.answers[method.replace(".", "_")]
        if isinstance(answer, AdapterError):
            raise answer
        return answer(arguments)


async def test_a_person_has_a_name_groups_and_what_they_administer() -> None:
    people = People(Api())
    ada = await people.person("T1", "", "UADA", groups=True)
    assert (ada.name, ada.groups, ada.is_admin) == ("Ada", ("S1", "S3"), False)
    assert (await people.person("T1", "", "UADA", admin_of="C1")).is_admin  # who made the channel
    assert (await people.person("T1", "", "UADA", admin_of="D1")).is_admin  # one's own direct message
    root = await people.person("T1", "", "UROOT")
    assert (root.name, root.groups, root.is_admin) == ("Root R.", (), True)


async def test_many_at_once_ask_once_and_a_failure_is_asked_again() -> None:
    api = Api()
    people = People(api)
    await asyncio.gather(*(people.person("T1", "", "UADA", groups=True) for _ in range(50)))
    assert sorted(api.calls) == ["usergroups.list", "usergroups.users.list", "users.info"]
    await people.person("T2", "", "UADA")
    assert api.calls[-1] == "users.info"
    api.answers["users_info"] = PlatformDown("away")
    assert (await people.person("T3", "", "UADA", name="ada.l")).name == "ada.l"
    api.answers["users_info"] = lambda given: {"user": USERS[given["user"]]}
    assert (await people.person("T3", "", "UADA")).name == "Ada"


async def test_without_the_scope_there_are_no_groups_but_a_person() -> None:
    missing = NotAllowed("missing scope")
    people = People(Api(usergroups_list=missing, users_info=missing, conversations_info=missing))
    person = await people.person("T1", "", "UADA", name="ada", groups=True, admin_of="C1")
    assert (person.name, person.groups, person.is_admin) == ("ada", (), False)


@pytest.mark.parametrize("method", ["users_info", "usergroups_list"])
async def test_nobody_is_refused_because_slack_is_away(method: str) -> None:
    people = People(Api(**{method: PlatformDown("away")}))
    with pytest.raises(PlatformDown):
        await people.person("T1", "", "UADA", groups=True)


async def test_earlier_lines_are_what_people_and_bots_said_before() -> None:
    messages: list[Any] = [
        {"ts": "100.000100", "user": "UADA", "text": "llamas &amp; <@UROOT>"},
        {"ts": "101.000100", "bot_id": "BBOT", "user": "UBOT", "text": "Hay."},
        {"ts": "101.000200", "subtype": "channel_join", "user": "UADA", "text": "joined"},
        {"ts": "103.000100", "user": "UADA", "text": "later"},
        "nonsense",
        {"ts": "x"},
    ]
    people = People(Api(conversations_replies=lambda _: {"messages": messages}))
    lines = await people.earlier("T1", "", "C1", "100.000100", "102.000100", Me("UBOT", "BBOT", "A1"))
    assert [(line.author, line.text, line.by_bot) for line in lines] == [
        ("Ada", "llamas & @Root R.", False),
        ("UBOT", "Hay.", True),
    ]


async def test_a_thread_that_cannot_be_read_is_no_reason_to_wait() -> None:
    people = People(Api(conversations_replies=SlackRefused("no", code="thread_not_found")))
    assert await people.earlier("T1", "", "C1", "1.1", "2.2", Me()) == ()


@pytest.mark.parametrize(
    ("more", "enterprise", "administers"),
    [
        ({"team_id": "T1"}, "", True),
        ({"team_id": "T9"}, "", False),  # Slack Connect: an administrator elsewhere
        ({"team_id": "T9", "is_stranger": True}, "", False),
        ({"team_id": "T9", "enterprise_user": {"enterprise_id": "E1", "teams": ["T1"]}}, "", True),
        ({"team_id": "T9", "enterprise_user": {"enterprise_id": "E1", "teams": ["T9"]}}, "E1", True),
        ({"team_id": "T9", "enterprise_user": {"enterprise_id": "E2", "teams": ["T9"]}}, "E1", False),
    ],
)
async def test_people_of_other_companies_administer_nothing_but_their_own_messages(
    more: dict[str, Any], enterprise: str, administers: bool
) -> None:
    user = {"id": "UADA", "name": "ada", "is_admin": True, **more}
    people = People(Api(users_info=lambda _: {"user": user}))
    assert (await people.person("T1", enterprise, "UADA")).is_admin is administers
    assert (await people.person("T1", enterprise, "UADA", admin_of="C1")).is_admin is administers
    assert (await people.person("T1", enterprise, "UADA", admin_of="D1")).is_admin
