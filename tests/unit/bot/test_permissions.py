"""Who may do what, and what a channel's settings mean."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import Person, Platform
from adapters.discord.meaning import PERMISSIONS
from bot import channel_settings, members
from bot.channel_settings import ChannelPolicy, SettingError, effective, flaws, origins, parse_change, show
from bot.permissions import Actor, Permissions, may_change, may_decide, may_start, may_stop
from orchestrator.events import ApprovalId, ApprovalRequested

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ADA = Person(platform="web", id="ada", name="Ada")
BOSS = Person(platform="web", id="boss", name="Boss", is_admin=True)
BOB = Person(platform="slack", id="U1", name="Bob", groups=("S7",))
KNOWN: dict[str, Any] = {
    "workflows": ("quartet", "development"),
    "agents": ("researcher", "planner", "builder", "reviewer"),
    "providers": ("openai", "ollama", "anthropic"),
}


class FixedClock:
    def now(self) -> datetime:
        return NOW


def question(**changes: Any) -> ApprovalRequested:
    base: dict[str, Any] = {
        "node": "plan_approval",
        "visit": 1,
        "approval_id": ApprovalId("r-plan_approval-1"),
        "of": "planner",
        "title": "Approve the plan",
        "body": "",
        "arguments": {},
        "digest": "0" * 64,
        "expires_at": NOW + timedelta(days=1),
    }
    return ApprovalRequested.model_validate({**base, **changes})


# ── permissions ──────────────────────────────────────────────────────────────────────────────


def test_everyone_may_start_until_the_channel_names_who() -> None:
    named = ChannelPolicy(who_may_start=("web:ada", "S7"))
    assert may_start(ChannelPolicy(), Actor.of(BOB)).ok
    assert may_start(named, Actor.of(ADA)).ok
    assert may_start(named, Actor.of(BOB)).ok, "by group"
    assert may_start(named, Actor.of(BOSS)).ok, "an admin"
    refused = may_start(named, Actor("web:eve"))
    assert not refused.ok
    assert "web:ada, S7" in refused.reason


def test_a_run_is_stopped_by_who_asked_approvers_and_admins_only() -> None:
    policy = ChannelPolicy(approvers=("S7",), admins=("web:deputy",))
    assert may_stop(policy, Actor.of(ADA), requester="web:ada").ok
    assert may_stop(policy, Actor.of(BOB), requester="web:ada").ok
    assert may_stop(policy, Actor.of(BOSS), requester="web:ada").ok
    assert may_stop(policy, Actor("web:deputy"), requester="web:ada").ok
    assert not may_stop(policy, Actor("web:eve"), requester="web:ada").ok
    assert not may_stop(ChannelPolicy(), Actor("web:eve"), requester="web:ada").ok, "no approvers named"


def test_settings_are_changed_by_admins_only_and_the_refusal_names_them() -> None:
    policy = ChannelPolicy(admins=("web:deputy",))
    assert may_change(policy, Actor.of(BOSS)).ok
    assert may_change(policy, Actor("web:deputy")).ok
    refused = may_change(policy, Actor.of(ADA))
    assert not refused.ok
    assert "web:deputy" in refused.reason


def test_an_admin_who_is_no_approver_may_not_decide() -> None:
    assert not may_decide(question(approvers=("web:ada",)), Actor.of(BOSS), requester="web:x").ok
    assert may_decide(question(approvers=("web:ada",)), Actor.of(ADA), requester="web:x").ok
    assert may_decide(question(), Actor.of(BOSS), requester="web:x").ok
    assert not may_decide(question(allow_requester=False), Actor.of(ADA), requester="web:ada").ok


def test_the_last_answer_is_remembered_for_each_person_and_conversation() -> None:
    permissions = Permissions(FixedClock())
    policy = ChannelPolicy(who_may_start=("web:ada",))
    permissions.start("c1", ADA, policy)
    permissions.start("c1", BOB, policy)
    permissions.change("c1", ADA, policy)
    last = permissions.last("c1", ADA.key)
    assert last is not None
    assert (last.what, last.permission.ok, last.at) == ("change settings", False, NOW)
    bobs = permissions.last("c1", BOB.key)
    assert bobs is not None
    assert not bobs.permission.ok
    assert permissions.last("c2", ADA.key) is None


def test_only_so_many_answers_are_remembered_and_the_oldest_go() -> None:
    permissions = Permissions(FixedClock(), size=2)
    for conversation in ("c1", "c2", "c1", "c3"):
        permissions.start(conversation, ADA, ChannelPolicy())
    assert permissions.last("c2", ADA.key) is None
    assert permissions.last("c1", ADA.key) is not None
    assert permissions.last("c3", ADA.key) is not None


# ── settings ─────────────────────────────────────────────────────────────────────────────────


def change(key: str, value: str, platform: Platform = "web") -> dict[str, Any]:
    return parse_change(key, value, platform=platform, **KNOWN)


CHANGES: list[tuple[str, str, str, Any]] = [
    ("workflow", "development", "workflow", "development"),
    ("approvals", "AUTO", "approvals", "auto"),
    ("approvers", "web:ada, S7", "approvers", ("web:ada", "S7")),
    ("allow_requester", "no", "allow_requester", False),
    ("expires_after", "2d", "expires_after_s", 172_800.0),
    ("expires_after_s", "90", "expires_after_s", 90.0),
    ("busy", "steer", "busy", "steer"),
    ("verbosity", "full", "verbosity", "full"),
    ("language", "Swiss German", "language", "Swiss German"),
    ("models.builder", "openai:gpt-5", "models", {"builder": "openai:gpt-5"}),
    ("model", "ollama:llama3:8b", "models", dict.fromkeys(KNOWN["agents"], "ollama:llama3:8b")),
    ("tools", "none", "tools", ()),
    ("tools", "all", "tools", None),
    ("tools", "web_search,knowledge", "tools", ("web_search", "knowledge")),
    ("who_may_start", "slack:U1", "who_may_start", ("slack:U1",)),
    ("admins", "web:ada", "admins", ("web:ada",)),
]


@pytest.mark.parametrize(("key", "value", "field", "expected"), CHANGES)
def test_a_change_holds_until_it_is_reset(key: str, value: str, field: str, expected: Any) -> None:
    defaults = ChannelPolicy(tools=("web_search",))
    stored = change(key, value)
    assert getattr(effective(defaults, stored), field) == expected
    assert origins(stored)[field] == "channel"
    assert flaws(stored) == {}
    reset = change(key, "")
    assert reset.keys() == stored.keys()
    assert effective(defaults, {**stored, **reset}) == defaults
    assert show(field, effective(defaults, stored))


MEMBERS: list[tuple[Platform, str, list[str]]] = [
    ("slack", "U4B22770004", ["slack:U4B22770004"]),
    ("slack", "W012ABCDE, U1", ["slack:W012ABCDE", "slack:U1"]),
    ("slack", "UABCDEFGH", ["slack:UABCDEFGH"]),  # an id may be without digits, but not short
    ("slack", "slack:UADA,S0614TZR7, web:ada", ["slack:UADA", "S0614TZR7", "web:ada"]),
    ("discord", "11112222333344445", ["11112222333344445"]),  # a role; people are mentioned
    ("discord", "discord:11112222333344445", ["discord:11112222333344445"]),
    (
        "discord",
        "<@11112222333344445>, <@!11112222333344446>",
        ["discord:11112222333344445", "discord:11112222333344446"],
    ),
    ("discord", "<@&11112222333344447>", ["11112222333344447"]),
    ("discord", "permission:manage_guild", ["permission:manage_guild"]),
    ("discord", "permission:Manage Messages, slack:U1", ["permission:manage_messages", "slack:U1"]),
    ("web", "web:you, web:Ada-1", ["web:you", "web:Ada-1"]),
    (  # pickers put a space between what is picked, or nothing
        "discord",
        "<@11112222333344445> <@&11112222333344447><@!11112222333344446>",
        ["discord:11112222333344445", "11112222333344447", "discord:11112222333344446"],
    ),
    (
        "discord",
        "11112222333344447  permission:manage messages discord:11112222333344445, 11112222333344448",
        ["11112222333344447", "permission:manage_messages", "discord:11112222333344445", "11112222333344448"],
    ),
    (
        "slack",
        "slack:U1 U4B22770004 S0614TZR7 web:ada",
        ["slack:U1", "slack:U4B22770004", "S0614TZR7", "web:ada"],
    ),
    ("web", "web:you web:Ada-1", ["web:you", "web:Ada-1"]),
    ("terminal", "terminal:you", ["terminal:you"]),
]


@pytest.mark.parametrize("key", ["approvers", "who_may_start", "admins"])
@pytest.mark.parametrize(("platform", "value", "members"), MEMBERS)
def test_people_and_groups_are_kept_as_what_they_are(
    key: str, platform: Platform, value: str, members: list[str]
) -> None:
    assert change(key, value, platform) == {key: members}


NOBODY: list[tuple[Platform, str, str]] = [
    ("slack", "ada", "=@ada picked from the list"),
    ("slack", "u4b22770004", "slack:U0123ABCD"),
    ("slack", "STAFF", "user group"),
    ("slack", "UWE", "platform:id"),
    ("slack", "slack:ada", "platform:id"),
    ("slack", "slack:S123", "platform:id"),
    ("slack", "slack:", "platform:id"),
    ("slack", ":U123", "platform:id"),
    ("slack", "slak:U123", "platform:id"),
    ("slack", "U4B22770004, ben", "'ben'"),
    ("slack", "ᵁ4B22770004", "platform:id"),
    ("discord", "U4B22770004", "discord:"),
    ("discord", "discord:ada", "discord:"),
    ("discord", "ada", "=@ada picked from the list"),
    ("discord", "@ada", "discord:ID"),
    ("discord", "@ada @eve", "several with commas between"),
    ("discord", "<@11112222333344445> and <@11112222333344446>", "several with commas between"),
    ("discord", "<@11112222333344445> eve", "several with commas between"),
    ("discord", "<@123>", "discord:ID"),
    ("discord", "<#11112222333344445>", "the id of a role"),
    ("discord", "S0614TZR7", "the id of a role"),
    ("discord", "@everyone", "= (with nothing behind it)"),
    ("discord", "permission:manage_server", "did you mean permission:manage_"),
    ("discord", "permission:send_messages", "that can be named here"),
    ("discord", "permission:", "possible: administrator, "),
    ("slack", "permission:manage_guild", "platform:id"),
    ("slack", "U4B22770004 ben", "several with commas between"),
    ("web", "web:ada eve", "with commas between"),
    ("web", "permission:manage_guild", "web:ada"),
    ("web", "you", "web:ada"),
    ("web", "U4B22770004", "web:ada"),
    ("terminal", "you", "terminal:ada"),
]


@pytest.mark.parametrize("key", ["approvers", "who_may_start", "admins"])
@pytest.mark.parametrize(("platform", "value", "remedy"), NOBODY)
def test_who_can_be_nobody_is_refused_before_everybody_is_locked_out(
    key: str, platform: Platform, value: str, remedy: str
) -> None:
    with pytest.raises(SettingError) as refused:
        change(key, value, platform)
    assert remedy in str(refused.value)


@pytest.mark.parametrize("platform", ["web", "slack", "discord"])
def test_who_holds_a_key_with_a_name_can_be_named_everywhere(platform: Platform) -> None:
    assert members.listed("web:bob api:ada") == ["web:bob", "api:ada"]
    assert members.member("approvers", "api:ada", platform) == "api:ada"


def test_permissions_that_can_be_named_are_those_that_discord_tells_of_people() -> None:
    assert set(members.DISCORD_PERMISSIONS) == set(PERMISSIONS)


REFUSED: list[tuple[str, str, str]] = [
    ("approvalls", "ask", "'approvals'"),
    ("workflow", "quartett", "'quartet'"),
    ("approvals", "never", "ask, auto"),
    ("busy", "que", "'queue'"),
    ("verbosity", "loud", "full, normal, short"),
    ("allow_requester", "perhaps", "yes or no"),
    ("expires_after", "soon", "24h"),
    ("expires_after", "0", "1s and 31d"),
    ("expires_after", "400d", "1s and 31d"),
    ("model", "gpt-5", "PROVIDER:MODEL"),
    ("model", "openay:gpt-5", "'openai'"),
    ("model", "openai:two words", "models"),
    ("models.bilder", "openai:gpt-5", "'builder'"),
    ("models", "builder=openai:gpt-5", "models.AGENT"),
    ("approvers", "Ada Lovelace", "platform:id"),
    ("language", "<script>", "German"),
    ("tools", "rm -rf", "tools"),
    ("approvers", "web:ada, @leads", "'@leads' is only a name"),
    ("__class__", "x", "settings are"),
    ("", "x", "settings are"),
]


@pytest.mark.parametrize(("key", "value", "hint"), REFUSED)
def test_a_wrong_change_is_refused_with_what_is_possible(key: str, value: str, hint: str) -> None:
    with pytest.raises(SettingError) as refused:
        change(key, value)
    assert hint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_stored_value_that_does_not_hold_any_more_gives_the_default_and_is_reported() -> None:
    stored = {
        "busy": "steer",
        "approvals": "sometimes",
        "expires_after_s": True,
        "models.builder": "gpt-5",
        "models.planner": "openai:gpt-5",
        "colour": "red",
    }
    policy = effective(ChannelPolicy(), stored)
    assert policy == ChannelPolicy(busy="steer", models={"planner": "openai:gpt-5"})
    assert {*flaws(stored)} == {"approvals", "expires_after_s", "models.builder", "colour"}
    assert origins(stored)["approvals"] == "default"
    assert origins(stored)["busy"] == "channel"


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=9), SCALARS, max_size=3)
STORED = st.dictionaries(st.sampled_from([*channel_settings.KEYS, "models.builder", "x"]), JSON, max_size=6)


@given(STORED)
def test_whatever_is_stored_a_policy_comes_out(stored: dict[str, Any]) -> None:
    policy = effective(ChannelPolicy(), stored)
    assert ChannelPolicy.model_validate(policy.model_dump()) == policy
    assert {key for key in stored if key == "x" and stored[key] is not None} <= {*flaws(stored)}


@given(st.sampled_from([*channel_settings.KEYS, "model"]), st.text(max_size=80))
def test_whatever_is_typed_is_a_valid_change_or_a_clear_refusal(key: str, value: str) -> None:
    with contextlib.suppress(SettingError):
        assert flaws(change(key, value)) == {}


def test_a_run_keeps_what_the_channel_said() -> None:
    policy = ChannelPolicy(approvals="auto", approvers=("S7",), models={"builder": "openai:x"}, tools=())
    settings = policy.to_run_settings()
    assert (settings.approvals, settings.approvers, settings.tools) == ("auto", ("S7",), ())
    assert settings.models == {"builder": "openai:x"}
