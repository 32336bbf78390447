"""A person's own page: what waits, what runs, what it took; never more than Slack takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st
from slack_sdk.models.views import View
from syrupy.assertion import SnapshotAssertion

from adapters.contract import (
    Button,
    Card,
    CardId,
    ConversationRef,
    FactsPart,
    Home,
    HomeChannel,
    HomeQuestion,
    HomeRun,
    PlanPart,
    TaskLine,
)
from adapters.slack.home import draw_home
from tests.twins.slack.blocks import check_view
from tests.unit.adapters.strategies import cards

AT = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)
HERE = ConversationRef(platform="slack", workspace="T1", channel="C1", thread="1.5")
NOTHING = FactsPart(facts=())


def check(view: dict[str, Any]) -> None:
    check_view(view, wanted="home")
    cast("Callable[[], object]", View(**json.loads(json.dumps(view))).to_dict)()
    assert len(view["blocks"]) <= 100


def question(number: int) -> HomeQuestion:
    card = Card(
        id=CardId(f"r{number}:approval:a{number}"),
        kind="approval",
        title=f"Approve plan {number}?",
        status="waiting for your decision",
        parts=(PlanPart(goal="Cross <!here>", tasks=(TaskLine(id="t1", title="x" * 900, state=None),)),),
        buttons=(
            Button(action="approve", target=f"a{number}", label="Approve", style="primary"),
            Button(action="reject", target=f"a{number}", label="Reject", style="danger"),
        ),
        label="engine: rules",
    )
    return HomeQuestion(conversation=HERE, card=card)


def run(number: int) -> HomeRun:
    return HomeRun(run_id=f"r{number}", title=f"Run {number}", status="done", conversation=HERE, at=AT)


def channel(number: int) -> HomeChannel:
    key = f"slack:T1:C{number}"
    return HomeChannel(
        channel_key=key,
        facts=(("Workflow", "quartet"), ("Approvals", "plan")),
        button=Button(action="settings", target=key, label="Settings", needs_form=True),
    )


def test_a_full_page(snapshot: SnapshotAssertion) -> None:
    home = Home(
        questions=(question(1),),
        runs=(run(1),),
        usage=FactsPart(facts=(("Runs", "3"), ("Cost", "$0.12"))),
        channels=(channel(1),),
        label="engine: rules",
    )
    view = draw_home(home)
    check(view)
    assert view == snapshot


def test_buttons_say_where_their_question_stands() -> None:
    view = draw_home(Home(questions=(question(1),), usage=NOTHING, channels=(channel(2),)))
    values = [e["value"] for block in view["blocks"] if block["type"] == "actions" for e in block["elements"]]
    assert values == ["a1\nslack:T1:C1:1.5", "a1\nslack:T1:C1:1.5", "slack:T1:C2\nslack:T1:C2:"]
    assert all(ConversationRef.from_key(value.split("\n")[1]) for value in values)


def test_an_empty_page_says_so_in_words() -> None:
    view = draw_home(Home(usage=NOTHING))
    check(view)
    text = json.dumps(view)
    for words in ("Nothing waits for you", "You have asked for nothing yet", "Nothing was used this month"):
        assert words in text


def test_long_lists_are_cut_and_say_how_much_more_there_is() -> None:
    home = Home(
        questions=tuple(question(n) for n in range(40)),
        runs=tuple(run(n) for n in range(60)),
        usage=FactsPart(facts=tuple((f"Fact {n}", "x") for n in range(30))),
        channels=tuple(channel(n) for n in range(40)),
    )
    view = draw_home(home)
    check(view)
    text = json.dumps(view)
    for words in ("and 32 more approvals wait", "and 50 more runs", "and 32 more channels", "and 21 more"):
        assert words in text


@settings(deadline=None, max_examples=30)
@given(card=cards(st.text(max_size=60)), text=st.text(max_size=400))
@example(card=Card(id=CardId("c"), kind="approval", title="\x00"), text="\x1b")
def test_any_content_keeps_every_limit(card: Card, text: str) -> None:
    home = Home(
        questions=(HomeQuestion(conversation=HERE, card=card),) * 9,
        runs=(HomeRun(run_id="r1", title=text, status=text, conversation=HERE, at=AT),) * 12,
        usage=FactsPart(facts=((text, text),)),
        channels=(
            HomeChannel(
                channel_key=text,
                facts=((text, text),),
                button=Button(action="settings", target=text, label=text),
            ),
        ),
        label=text,
    )
    check(draw_home(home))
