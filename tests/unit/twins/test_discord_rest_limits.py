"""The twin's rate limits, ordered faults, and what it holds against Discord's description."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import discord
import pytest
from discord.http import HTTPClient, Route, handle_message_parameters

from tests.twins.discord.rates import Rates, Verdict
from tests.twins.discord.spec import DESCRIPTION, Spec
from tests.unit.twins.discord_calls import Caller, button, caller, card, row, text

CREATE = "POST /channels/{channel_id}/messages"
EDIT = "PATCH /channels/{channel_id}/messages/{message_id}"
CALLBACK = "POST /interactions/{interaction_id}/{interaction_token}/callback"


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def ask(rates: Rates, name: str = CREATE, channel: str = "1", *, renames: bool = False) -> Verdict:
    path = "/interactions/1/x/callback" if name == CALLBACK else f"/channels/{channel}"
    return rates.take(name, path, {"channel_id": channel}, renames=renames)


def spend(rates: Rates, name: str = CREATE, channel: str = "1", *, renames: bool = False) -> int:
    """How many calls go through before the first 429."""
    number = 0
    while not ask(rates, name, channel, renames=renames).retry_after:
        number += 1
    return number


# ── rates ────────────────────────────────────────────────────────────────────────────────────


def test_messages_and_edits_have_a_bucket_each_in_every_channel() -> None:
    hand = Hand()
    rates = Rates(clock=hand)
    assert (spend(rates), spend(rates, EDIT), spend(rates, channel="2")) == (5, 5, 5)
    hand.at += 5.0
    assert spend(rates) == 5


def test_headers_say_what_is_left_and_a_429_how_long_to_wait() -> None:
    hand = Hand()
    rates = Rates(clock=hand)
    first = ask(rates)
    hand.at += 1.5
    told = dict(ask(rates).headers)
    assert (told["X-RateLimit-Limit"], told["X-RateLimit-Remaining"]) == ("5", "3")
    assert told["X-RateLimit-Reset-After"] == "3.500"
    assert told["X-RateLimit-Bucket"] == first.headers["X-RateLimit-Bucket"]
    spend(rates)
    refused = ask(rates)
    assert (refused.scope, refused.retry_after) == ("user", pytest.approx(3.5))
    assert (refused.headers["Retry-After"], refused.headers["X-RateLimit-Scope"]) == ("4", "user")
    assert "X-RateLimit-Global" not in refused.headers


def test_fifty_a_second_in_all_but_interactions_do_not_count() -> None:
    hand = Hand()
    rates = Rates(clock=hand)
    assert sum(not ask(rates, channel=str(n)).retry_after for n in range(60)) == 50
    refused = ask(rates, channel="99")
    assert (refused.scope, refused.headers["X-RateLimit-Global"]) == ("global", "true")
    assert spend_interactions(rates) == 100
    hand.at += 1.0
    assert not ask(rates, channel="98").retry_after
    assert rates.busiest == 61


def spend_interactions(rates: Rates) -> int:
    return sum(not ask(rates, CALLBACK).retry_after for _ in range(100))


def test_a_call_before_the_pause_has_passed_is_impatient() -> None:
    hand = Hand()
    rates = Rates(clock=hand)
    spend(rates)
    assert rates.impatient == []
    hand.at += 1.0
    ask(rates)
    (noted,) = rates.impatient
    assert (noted.name, noted.early_s, noted.after_s) == (CREATE, pytest.approx(4.0), pytest.approx(1.0))
    hand.at += 4.0
    assert not ask(rates).retry_after
    assert len(rates.impatient) == 1


def test_a_scale_makes_windows_shorter() -> None:
    hand = Hand()
    rates = Rates(time_scale=0.01, clock=hand)
    spend(rates)
    assert ask(rates).headers["Retry-After"] == "0.050"
    hand.at += 0.05
    assert spend(rates) == 5


def test_two_new_names_in_ten_minutes() -> None:
    hand = Hand()
    rates = Rates(clock=hand)
    assert spend(rates, "PATCH /channels/{channel_id}", renames=True) == 2
    assert not ask(rates, "PATCH /channels/{channel_id}").retry_after
    hand.at += 600
    assert not ask(rates, "PATCH /channels/{channel_id}", renames=True).retry_after


def test_too_many_invalid_answers_ban_the_address() -> None:
    hand = Hand()
    rates = Rates(clock=hand)
    for status in (200, 404, 500):
        rates.answered(status)
    rates.answered(429, shared=True)
    assert rates.invalid == 0
    for _ in range(9_999):
        rates.answered(403)
    assert (rates.banned, rates.invalid) == (0, 9_999)
    hand.at += 601
    assert rates.invalid == 0
    for _ in range(10_000):
        rates.answered(401)
    assert rates.banned == pytest.approx(3600)
    hand.at += 3600
    assert rates.banned == 0


@pytest.fixture
async def rest() -> AsyncIterator[Caller]:
    async with caller() as made:
        yield made


async def test_the_sixth_message_in_five_seconds_is_told_to_wait(rest: Caller) -> None:
    answers = [await rest.post(rest.twin.general) for _ in range(6)]
    assert [a.status for a in answers] == [200] * 5 + [429]
    assert [a.headers["X-RateLimit-Remaining"] for a in answers[:5]] == ["4", "3", "2", "1", "0"]
    refused = answers[-1]
    assert 0 < refused.body["retry_after"] <= 5.0
    assert (refused.body["global"], refused.headers["Via"]) == (False, "1.1 google")
    assert int(refused.headers["Retry-After"]) >= refused.body["retry_after"]
    assert len(rest.twin.backend.messages[int(rest.twin.general)]) == 5


async def test_a_banned_address_gets_no_json(rest: Caller) -> None:
    rest.twin.rates.invalid_limit = 2
    rest.twin.revokes_token()
    for _ in range(2):
        assert (await rest.call("GET", "/users/@me")).status == 401
    rest.twin.restores_token()
    banned = await rest.call("GET", "/users/@me")
    assert (banned.status, "Via" in banned.headers) == (429, False)
    assert "1015" in banned.body


async def test_the_library_waits_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with caller(time_scale=0.05) as rest:  # 5 messages in 250 ms
        monkeypatch.setattr(Route, "BASE", rest.twin.api_url)
        http = HTTPClient(asyncio.get_running_loop())
        try:
            assert (await http.static_login(rest.twin.token))["id"] == rest.twin.bot_id
            began = time.monotonic()
            for number in range(11):
                with handle_message_parameters(content=str(number), nonce=str(number)) as parameters:
                    await http.send_message(int(rest.twin.general), params=parameters)
            assert time.monotonic() - began >= 0.4
        finally:
            await http.close()
        assert len(rest.twin.backend.messages[int(rest.twin.general)]) == 11
        assert rest.twin.rates.impatient == []
        assert rest.twin.violations == []


async def test_the_librarys_commands_fit_the_description(monkeypatch: pytest.MonkeyPatch) -> None:
    async with caller() as rest:
        monkeypatch.setattr(Route, "BASE", rest.twin.api_url)
        client = discord.Client(intents=discord.Intents.default())
        tree = discord.app_commands.CommandTree(client)
        group = discord.app_commands.Group(name="quartet", description="Talk to Quartet")

        @group.command(description="Ask something")
        @discord.app_commands.describe(words="What you want to know")
        async def ask_it(interaction: discord.Interaction, words: str) -> None:
            raise NotImplementedError

        @tree.context_menu(name="Ask about this")
        async def about(interaction: discord.Interaction, message: discord.Message) -> None:
            raise NotImplementedError

        assert (ask_it.name, about.name) == ("ask_it", "Ask about this")
        tree.add_command(group)
        async with client:
            await client.login(rest.twin.token)
            made = await tree.sync()
            guild = await tree.sync(guild=discord.Object(int(rest.twin.guild_id)))
        assert [each.name for each in made] == ["quartet", "Ask about this"]
        assert guild == []
        listed = await rest.call("GET", f"/applications/{rest.twin.application_id}/commands")
        path = f"/applications/{rest.twin.application_id}/commands/{listed.body[0]['id']}"
        assert (await rest.call("DELETE", path)).status == 204
        assert (await rest.call("GET", path)).code == 10063
        assert rest.twin.violations == []


# ── faults ───────────────────────────────────────────────────────────────────────────────────


async def test_a_fault_with_and_without_the_work_done(rest: Caller) -> None:
    there = rest.twin.backend.messages[int(rest.twin.general)]
    rest.twin.faults.order(CREATE, status=502)
    assert (await rest.post(rest.twin.general)).status == 502
    assert len(there) == 0
    rest.twin.faults.order("POST */messages", status=500, after_effect=True)
    assert (await rest.post(rest.twin.general)).status == 500
    assert len(there) == 1
    assert (await rest.post(rest.twin.general)).status == 200


async def test_a_connection_that_breaks_before_and_after_the_work(rest: Caller) -> None:
    there = rest.twin.backend.messages[int(rest.twin.general)]
    for after in (False, True):
        rest.twin.faults.order(CREATE, after_effect=after)
        with pytest.raises(aiohttp.ClientError):
            await rest.post(rest.twin.general)
        assert (len(there), rest.twin.calls[-1].status) == (int(after), 0)
    rest.twin.faults.outage(True)
    with pytest.raises(aiohttp.ClientError):
        await rest.post(rest.twin.general)
    rest.twin.faults.outage(False)
    assert (await rest.post(rest.twin.general)).status == 200


async def test_ordered_429s_refusals_broken_json_and_lateness(rest: Caller) -> None:
    faults = rest.twin.faults
    faults.order(CREATE, retry_after=3.0, scope="shared")
    refused = await rest.post(rest.twin.general)
    assert (refused.status, refused.headers["X-RateLimit-Scope"]) == (429, "shared")
    assert rest.twin.rates.invalid == 0
    assert (await rest.post(rest.twin.general)).status == 429  # too early
    assert len(rest.twin.rates.impatient) == 1
    rest.twin.rates.reset()
    faults.order("*", status=403, code=50013)
    assert (await rest.post(rest.twin.general)).code == 50013
    faults.order(CREATE, malformed=True)
    with pytest.raises(json.JSONDecodeError):
        await rest.post(rest.twin.general)
    faults.order(CREATE, latency_s=0.2)
    began = time.monotonic()
    assert (await rest.post(rest.twin.general)).status == 200
    assert time.monotonic() - began >= 0.2


async def test_a_watch_may_stop_a_call_before_and_after_it_is_done(rest: Caller) -> None:
    moments: list[str] = []

    def watch(call: Any, moment: str) -> bool:
        moments.append(f"{call.name} {moment}")
        return moment == "done"

    rest.twin.faults.watch = watch
    with pytest.raises(aiohttp.ClientError):
        await rest.post(rest.twin.general)
    assert moments == [f"{CREATE} arrives", f"{CREATE} done"]
    assert len(rest.twin.backend.messages[int(rest.twin.general)]) == 1


async def test_calls_are_kept(rest: Caller) -> None:
    await rest.post(rest.twin.general, {"content": "hello"})
    (call,) = rest.twin.calls
    assert (call.method, call.route, call.status) == ("POST", "/channels/{channel_id}/messages", 200)
    assert (call.body, call.bucket) == ({"content": "hello"}, f"create/{rest.twin.general}")
    assert await rest.twin.until(lambda: rest.twin.faults.count(CREATE, ok=True) == 1)
    with pytest.raises(TimeoutError, match=r"last calls: \['POST /channels"):
        await rest.twin.until(lambda: False, within_s=0.05)


# ── the description ──────────────────────────────────────────────────────────────────────────


def wrong_with(method: str, path: str, body: Any = None, **query: str) -> list[str]:
    operation, _, parameters = Spec.load().match(method, path)
    assert operation is not None
    return operation.check(parameters, query, body)


def test_most_literal_route_is_meant() -> None:
    assert Spec.load().match("GET", "/channels/1/messages/pins")[1] == "/channels/{channel_id}/messages/pins"
    assert Spec.load().match("GET", "/users/@me")[1] == "/users/@me"
    assert Spec.load().match("PUT", "/users/@me")[0] is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"contents": "x"}, "body: there is no field 'contents'"),
        ({"content": 5}, "body/content: 5 is not of type 'string', 'null'"),
        (
            card(row({**button("a"), "style": "primary"})),
            "body/components/0/components/0/components/0/style: 'primary' is not of type 'integer'",
        ),
        (card({"type": 99}), "body/components/0/components/0: type 99 is none of those possible here"),
        (card({"type": 17}), "body/components/0/components/0: type 17 is none of those possible here"),
        ({"allowed_mentions": {"parse": ["all"]}}, "body/allowed_mentions/parse/0"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(body: Any, said: str) -> None:
    (found, *_) = wrong_with("POST", "/channels/1/messages", body)
    assert found.startswith(said)


def test_paths_and_queries_are_looked_at() -> None:
    assert wrong_with("GET", "/channels/1/messages", limit="100", after="5") == []
    (found,) = wrong_with("GET", "/channels/1/messages", limit="101")
    assert found.startswith("query limit")
    assert wrong_with("GET", "/channels/1/messages", lim="1") == ["query lim: there is no such parameter"]
    assert wrong_with("GET", "/channels/general")[0].startswith("path channel_id")
    assert wrong_with("POST", "/channels/1/typing", {"a": 1}) == ["body: this route takes none"]


def test_a_check_takes_about_a_millisecond() -> None:
    largest = card(text("x" * 4000), *[row(*[button(f"{r}{b}") for b in range(4)]) for r in range(7)])
    wrong_with("POST", "/channels/1/messages", largest)
    spent: list[float] = []
    for _ in range(20):
        began = time.perf_counter()
        assert wrong_with("POST", "/channels/1/messages", largest) == []
        spent.append(time.perf_counter() - began)
    assert min(spent) < 0.01  # 1.7 ms for the 37 components where this was written


async def test_a_violation_is_kept_with_its_call(rest: Caller) -> None:
    for body in ({"content": "x", "contnt": "y"}, {"content": 5}):
        refused = await rest.post(rest.twin.general, body)
        assert (refused.status, refused.code) == (400, 50035)
    assert rest.twin.violations == [
        f"{CREATE}: body: there is no field 'contnt'",
        f"{CREATE}: body/content: 5 is not of type 'string', 'null'",
    ]
    assert [len(call.violations) for call in rest.twin.calls] == [1, 1]


def test_the_description_is_discords() -> None:
    told = json.loads(DESCRIPTION.read_text("utf-8"))
    assert (told["info"]["license"]["identifier"], told["info"]["version"]) == ("MIT", "10")
