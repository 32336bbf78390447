"""Slack's markup as a person reads it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.reading import command, mentioned, readable


@pytest.mark.parametrize(
    ("markup", "read"),
    [
        ("<@UBOT> hello", "hello"),
        ("<@UBOT>: hello", "hello"),
        ("hello <@UBOT>", "hello"),
        ("hey <@UBOT> do it", "hey do it"),
        ("thanks <@UBOT>, now stop", "thanks, now stop"),
        ("<@UBOT>\n<@UBOT> hello", "hello"),
        ("<@UBOT>", ""),
        ("ask <@UADA> and <@UX|ben> and <@UNKNOWN>", "ask @Ada and @ben and @UNKNOWN"),
        ("see <#C1|ops> and <#C2>", "see #ops and #C2"),
        ("see <https://x.y|here>", "see here (https://x.y)"),
        ("see <https://x.y> or <http://x.y|x.y>", "see https://x.y or http://x.y"),
        ("write <mailto:a@b.c|a@b.c>", "write a@b.c"),
        ("<!here> and <!channel> and <!subteam^S1|@leads>", "@here and @channel and @leads"),
        ("on <!date^1392734382^{date}|Feb 18>", "on Feb 18"),
        ("1 &lt; 2 &amp;&amp; 3 &gt; 2, &amp;lt;", "1 < 2 && 3 > 2, &lt;"),
        ("```\nif a &lt; b:\n  c\n```", "```\nif a < b:\n  c\n```"),
    ],
)
def test_markup_reads_as_on_the_screen(markup: str, read: str) -> None:
    assert readable(markup, {"UADA": "Ada"}, own="UBOT") == read


@pytest.mark.parametrize(
    ("markup", "read"),
    [
        ("<@UBOT> settings approvers=<@UADA>, <@UX|ben>", "settings approvers=slack:UADA, slack:UX"),
        ("settings approvers=<!subteam^S1|@leads>", "settings approvers=S1"),
        ("settings Admins = <@UADA>", "settings Admins = slack:UADA"),
        ("settings busy=steer", "settings busy=steer"),
        ("settings the table for <@UADA>", "settings the table for @Ada"),
        ("ask <@UADA>", "ask @Ada"),
    ],
)
def test_who_is_named_in_a_setting_is_a_key_there_and_a_name_elsewhere(markup: str, read: str) -> None:
    assert command(markup, {"UADA": "Ada"}, own="UBOT") == read


def test_everybody_who_is_named_is_found_once() -> None:
    assert mentioned("<@U1> <@U2|ben> <@U1> <#C1>") == ("U1", "U2")


@given(st.text())
def test_what_was_typed_plainly_is_read_as_it_was(typed: str) -> None:
    typed = "".join(c for c in typed if c.isprintable() or c == "\n").strip()
    escaped = typed.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert readable(escaped, {}, own="UBOT") == typed


@given(st.text(alphabet="<>@!#|^&;ltampU1 \n"))
def test_broken_markup_makes_no_error(markup: str) -> None:
    readable(markup, {}, own="U1")
