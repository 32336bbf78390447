"""Names for keys: in the bot's own words, and nowhere else."""

from __future__ import annotations

from typing import Any

from adapters.contract import Card, CardId, FactsPart, MarkdownPart
from adapters.errors import PlatformDown
from adapters.slack.naming import Naming
from adapters.slack.people import People
from tests.unit.adapters.slack.test_people import Api

GROUPS: dict[str, Any] = {"usergroups": [{"id": "S0LEADS01", "handle": "leads", "users": []}]}


async def test_keys_of_people_and_groups_become_names() -> None:
    naming = Naming(People(Api(usergroups_list=lambda _: GROUPS)))
    said = await naming.text(
        "T1", "Only slack:UADA, S0LEADS01 may decide here; S0OTHER01 and slack:UX may not."
    )
    assert said == "Only @Ada, @leads may decide here; S0OTHER01 and slack:UX may not."


async def test_what_cannot_be_looked_up_stays_a_key() -> None:
    down = PlatformDown("away")
    naming = Naming(People(Api(users_info=down, usergroups_list=down)))
    assert await naming.text("T1", "slack:UADA, S0LEADS01") == "slack:UADA, S0LEADS01"


async def test_words_without_keys_cost_no_call() -> None:
    api = Api()
    said = "web:ada asked https://example.com/slack:UADA about STANDARDS; xslack:UADA"
    assert await Naming(People(api)).text("T1", said.replace("STANDARDS", "standards")) == said.replace(
        "STANDARDS", "standards"
    )
    assert api.calls == []


async def test_facts_are_named_and_what_agents_wrote_is_not() -> None:
    naming = Naming(People(Api()))
    card = Card(
        id=CardId("r1:answer"),
        kind="answer",
        title="Answer",
        parts=(MarkdownPart(text="slack:UADA"), FactsPart(facts=(("May decide", "slack:UADA"),))),
    )
    assert (await naming.card("T1", card)).parts == (
        MarkdownPart(text="slack:UADA"),
        FactsPart(facts=(("May decide", "@Ada"),)),
    )
