"""Calls of the Web API against a strict Slack on loopback: errors in our words, repeats, limits, secrets."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from adapters.errors import (
    AdapterError,
    CardRefused,
    ConversationGone,
    MessageGone,
    NotAllowed,
    PlatformDown,
    RateLimited,
)
from adapters.slack.api import SlackApi, is_repeatable
from adapters.slack.ports import SlackRefused
from adapters.slack.refusals import refusal
from adapters.urgency import Urgency
from tests.unit.adapters.slack.going_out import SCOPES, Desk, desk


async def say(made: Desk, text: str = "hi", *, urgency: Urgency = Urgency.ANSWER) -> str:
    arguments = {"channel": made.twin.general, "text": text, "thread_ts": made.thread}
    answer = await made.api.call(made.twin.team.id, "chat.postMessage", arguments, urgency=urgency)
    return str(answer["ts"])


async def read(made: Desk) -> int:
    arguments = {"channel": made.twin.general, "ts": made.thread}
    answer = await made.api.call(
        made.twin.team.id, "conversations.replies", arguments, urgency=Urgency.ANSWER
    )
    return len(answer["messages"])


async def test_call_reaches_slack_with_the_workspaces_token(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        ts = await say(made)
        assert [seen.text for seen in made.seen() if seen.ts == ts] == ["hi"]


async def test_a_429_is_obeyed_and_repeated_but_progress_is_sent_away(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order("chat.postMessage", retry_after=1)
        start = time.monotonic()
        first, second = asyncio.create_task(say(made, "1")), asyncio.create_task(say(made, "2"))
        await asyncio.gather(first, second)
        assert time.monotonic() - start >= 1.0
        assert sorted(seen.text for seen in made.seen()) == ["1", "2"]
        # The second call may have been on its way already when the first was refused.
        assert len(made.twin.rates.impatient) <= 1
        made.twin.faults.order("users.info", retry_after=30)
        for _ in range(2):
            with pytest.raises(RateLimited) as limited:
                await made.api.call(
                    made.twin.team.id, "users.info", {"user": made.ada.id}, urgency=Urgency.PROGRESS
                )
            assert 20 <= limited.value.retry_after_s <= 30
        assert made.methods().count("users.info") == 1  # the second was not even asked for


async def test_a_storm_in_one_channel_meets_no_429(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        await asyncio.gather(*(say(made, str(number)) for number in range(8)))
        assert made.twin.rates.refused == 0


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_5xx_leaves_a_posts_outcome_unknown_and_is_not_repeated(tmp_path: Path, status: int) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order("chat.postMessage", status=status)
        with pytest.raises(PlatformDown) as down:
            await say(made)
        assert down.value.outcome_unknown
        assert made.methods().count("chat.postMessage") == 1


async def test_a_read_is_repeated_after_a_5xx_and_a_broken_connection(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.order("conversations.replies", status=503)
        made.twin.faults.order("conversations.replies")
        assert await read(made) == 1
        assert made.methods().count("conversations.replies") == 3


async def test_a_connection_that_breaks_after_the_post_is_an_unknown_outcome(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        await say(made, "warm the connection")
        made.twin.faults.order("chat.postMessage", after_effect=True)
        with pytest.raises(PlatformDown) as down:
            await say(made, "once")
        assert down.value.outcome_unknown
        assert [seen.text for seen in made.seen()].count("once") == 1


async def test_a_call_that_takes_too_long_is_an_unknown_outcome(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        api = SlackApi(made.tokens, base_url=made.twin.api_url, patience_s=0.2, timeout_s=0.2)
        made.twin.faults.order("chat.postMessage", latency_s=2)
        arguments = {"channel": made.twin.general, "text": "late"}
        with pytest.raises(PlatformDown, match="TimeoutError") as down:
            await api.call(made.twin.team.id, "chat.postMessage", arguments, urgency=Urgency.ANSWER)
        await api.close()
        assert down.value.outcome_unknown


async def test_a_refused_connection_is_repeated_with_patience_and_known_not_to_have_happened(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as made:
        nowhere = SlackApi(made.tokens, base_url="http://127.0.0.1:9/api", patience_s=0.5)
        start = time.monotonic()
        arguments = {"channel": "C", "text": "x"}
        with pytest.raises(PlatformDown) as down:
            await nowhere.call(made.twin.team.id, "chat.postMessage", arguments, urgency=Urgency.ANSWER)
        assert not down.value.outcome_unknown
        assert time.monotonic() - start >= 0.1
        edited = {**arguments, "ts": "1.1"}  # another method: the tries before have taken no room of it
        with pytest.raises(PlatformDown):
            await nowhere.call(made.twin.team.id, "chat.update", edited, urgency=Urgency.PROGRESS)
        await nowhere.close()
        await nowhere.close()


async def test_a_dead_token_is_trouble_with_a_remedy_until_it_works_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.tokens.wrong = "xoxb-wrong-and-secret"
        with capture_logs() as logs, pytest.raises(PlatformDown) as down:
            await say(made)
        for told in (str(down.value), made.api.trouble):
            assert "SLACK_BOT_TOKEN" in told
            assert "OAuth & Permissions" in told
            assert "/slack/install" not in told  # it is served with OAuth alone
        assert not down.value.outcome_unknown
        assert "wrong-and-secret" not in f"{logs}{down.value!r}{made.api.trouble}"
        with capture_logs() as again, pytest.raises(PlatformDown):
            await say(made)
        assert [one for one in again if one.get("action") == "slack_token"] == []  # said once
        made.tokens.wrong = ""
        await say(made, "again")
        assert made.api.trouble == ""
        assert [seen.text for seen in made.seen()] == ["again"]


async def test_a_workspace_without_the_app_waits_for_its_installation(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.tokens.gone = True
        with pytest.raises(PlatformDown, match="/slack/install"):
            await say(made)
        assert "/slack/install" in made.api.trouble
        made.tokens.gone = False
        made.api.forget(made.twin.team.id)
        assert made.api.trouble == ""
        await say(made)


async def test_a_missing_scope_names_the_scope_and_the_manifest(tmp_path: Path) -> None:
    async with desk(tmp_path, scopes=SCOPES - {"chat:write"}) as made:
        with pytest.raises(NotAllowed, match=r"chat:write.*quartet manifest slack"):
            await say(made)


async def test_the_place_and_the_message_are_named_in_our_words(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        outside = made.twin.channel("outside", "ada", with_bot=False)
        team = made.twin.team.id

        async def wrong(method: str, **arguments: str) -> AdapterError:
            with pytest.raises(AdapterError) as error:
                await made.api.call(team, method, arguments, urgency=Urgency.ANSWER)
            return error.value

        refused = await wrong("chat.postMessage", channel=outside, text="x")
        assert isinstance(refused, NotAllowed)
        assert "/invite" in str(refused)
        gone = await wrong("chat.postMessage", channel="C000", text="x")
        assert isinstance(gone, ConversationGone)
        assert "/invite" in str(gone)
        assert isinstance(
            await wrong("chat.postMessage", channel=made.twin.general, text="x", thread_ts="1.1"),
            ConversationGone,
        )
        assert isinstance(
            await wrong("chat.update", channel=made.twin.general, ts="1.1", text="x"), MessageGone
        )
        assert isinstance(
            await wrong("chat.update", channel=made.twin.general, ts=made.thread, text="x"), MessageGone
        )
        unknown = await wrong("views.open", trigger_id="1.2.3", view="{}")
        assert isinstance(unknown, SlackRefused)
        assert unknown.code


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_blocks", CardRefused),
        ("msg_too_long", CardRefused),
        ("no_text", CardRefused),
        ("is_archived", ConversationGone),
        ("edit_window_closed", MessageGone),
        ("account_inactive", PlatformDown),
        ("internal_error", PlatformDown),
        ("restricted_action", NotAllowed),
        ("something_new", SlackRefused),
    ],
)
def test_table_of_refusals(code: str, kind: type[AdapterError]) -> None:
    error = refusal(code, method="chat.postMessage", channel="C1")
    assert type(error) is kind or issubclass(type(error), kind)
    assert code in str(error)


def test_a_code_that_is_none_is_not_repeated() -> None:
    error = refusal("xoxb-1\nGET /?token=SECRET", method="chat.postMessage")
    assert "SECRET" not in str(error)


def test_only_what_does_no_harm_is_repeated() -> None:
    assert is_repeatable("conversations.replies")
    assert is_repeatable("chat.update")
    assert not is_repeatable("chat.postMessage")
    assert not is_repeatable("chat.startStream")
    assert not is_repeatable("files.completeUploadExternal")


async def test_an_outage_is_over_when_it_is_over(tmp_path: Path) -> None:
    async with desk(tmp_path) as made:
        made.twin.faults.outage(True)
        waiting = asyncio.create_task(read(made))
        await made.twin.until(lambda: made.methods().count("conversations.replies") >= 2)
        made.twin.faults.outage(False)
        assert await waiting == 1
