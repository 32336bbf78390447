"""A person's own page: what waits, what runs, what it took; never more than Discord takes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
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
from adapters.discord.home import draw_home
from tests.unit.adapters.discord.drawing import buttons, check, rings, seen, texts
from tests.unit.adapters.strategies import cards

AT = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)
GUILD, CHANNEL, THREAD = "100000000000000001", "100000000000000002", "100000000000000003"
HERE = ConversationRef(platform="discord", workspace=GUILD, channel=CHANNEL, thread=THREAD)
DIRECTLY = ConversationRef(platform="discord", workspace="@me", channel=CHANNEL)
NOTHING = FactsPart(facts=())


def question(number: int) -> HomeQuestion:
    card = Card(
        id=CardId(f"r{number}:approval:a{number}"),
        kind="approval",
        title=f"Approve plan {number}?",
        status="waiting for your decision",
        parts=(PlanPart(goal="Cross <@1>", tasks=(TaskLine(id="t1", title="x" * 900, state=None),)),),
        buttons=(Button(action="approve", target=f"a{number}", label="Approve", style="primary"),),
        label="engine: rules",
    )
    return HomeQuestion(conversation=HERE, card=card)


def run(number: int, where: ConversationRef = HERE) -> HomeRun:
    return HomeRun(run_id=f"r{number}", title=f"Run {number}", status="done", conversation=where, at=AT)


def channel(number: int) -> HomeChannel:
    key = f"discord:{GUILD}:{int(CHANNEL) + number}"
    return HomeChannel(
        channel_key=key,
        facts=(("Workflow", "quartet"), ("Approvals", "plan")),
        button=Button(action="settings", target=key, label="Settings", needs_form=True),
    )


def test_a_full_page(snapshot: SnapshotAssertion) -> None:
    home = Home(
        questions=(question(1),),
        runs=(run(1), run(2, DIRECTLY)),
        usage=FactsPart(facts=(("Runs", "3"), ("Cost", "$0.12"))),
        channels=(channel(1),),
        label="engine: rules",
    )
    messages = draw_home(home)
    check(messages)
    assert [json.loads(json.dumps(message.body)) for message in messages] == snapshot


def test_the_label_stands_once_and_takes_no_message_of_its_own() -> None:
    full = Home(
        questions=tuple(question(n) for n in range(5)),
        usage=FactsPart(facts=(("engine: rules", "no cost, no model was asked"),)),
        label="engine: rules",
    )
    messages = draw_home(full)
    check(messages)
    assert seen(messages).count("engine: rules") == 1
    assert texts(messages)[0].startswith("-# engine: rules\n### Waiting")
    assert "no cost, no model was asked" in seen(messages)
    for channels in range(9):  # whatever fills the last message, the label adds none
        page = full.model_copy(update={"channels": tuple(channel(n) for n in range(channels))})
        assert len(draw_home(page)) == len(draw_home(page.model_copy(update={"label": ""})))


def test_buttons_lead_to_the_question_and_open_the_settings() -> None:
    home = Home(questions=(question(1), question(2)), usage=NOTHING, channels=(channel(2),))
    address = f"https://discord.com/channels/{GUILD}/{THREAD}/100000000000000009"
    messages = draw_home(home, {"r1:approval:a1": address})
    check(messages)
    found = buttons(messages)
    assert [(button["style"], button.get("url") or button["custom_id"]) for button in found] == [
        (5, address),
        (5, f"https://discord.com/channels/{GUILD}/{THREAD}"),
        (2, f"q:settings:discord:{GUILD}:100000000000000004"),
    ]


def test_channels_are_named_and_direct_messages_are_not() -> None:
    messages = draw_home(Home(runs=(run(1), run(2, DIRECTLY)), usage=NOTHING, channels=(channel(2),)))
    assert [one for text in texts(messages) for one in rings(text)] == [
        f"<#{THREAD}>",
        "<#100000000000000004>",
    ]


def test_an_empty_page_says_so_in_words() -> None:
    messages = draw_home(Home(usage=NOTHING))
    check(messages)
    assert len(messages) == 1
    for words in ("Nothing waits for you", "You have asked for nothing yet", "Nothing was used this month"):
        assert words in seen(messages)


def test_long_lists_are_cut_and_say_how_much_more_there_is() -> None:
    home = Home(
        questions=tuple(question(n) for n in range(40)),
        runs=tuple(run(n) for n in range(60)),
        usage=FactsPart(facts=tuple((f"Fact {n}", "x") for n in range(30))),
        channels=tuple(channel(n) for n in range(40)),
    )
    messages = draw_home(home)
    check(messages)
    assert len(messages) <= 4
    for words in ("and 32 more approvals wait", "and 50 more runs", "and 32 more channels", "and 20 more"):
        assert words in seen(messages)


@settings(deadline=None, max_examples=40)
@given(card=cards(st.text(max_size=60)), text=st.text(max_size=400))
@example(card=Card(id=CardId("c"), kind="approval", title="\x00"), text="\x1b")
@example(card=Card(id=CardId("c"), kind="approval", title="@everyone"), text="<@1> <#2> @here")
def test_any_content_keeps_every_limit(card: Card, text: str) -> None:
    strange: dict[str, Any] = {"conversation": HERE.model_copy(update={"thread": text, "workspace": text})}
    home = Home(
        questions=(HomeQuestion(conversation=HERE, card=card),) * 9,
        runs=(HomeRun(run_id="r1", title=text, status=text, at=AT, **strange),) * 12,
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
    messages = draw_home(home)
    check(messages)
    assert {one for said in texts(messages) for one in rings(said)} <= {f"<#{THREAD}>", f"<#{CHANNEL}>"}
