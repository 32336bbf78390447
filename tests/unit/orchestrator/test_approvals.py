"""Questions: whose policy counts, who may decide, what an edit changed, what a digest seals."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.approvals import difference, may_decide, request
from orchestrator.events import ApprovalRequested, Json, RunSettings
from orchestrator.ids import approval_id, digest, new_run_id
from orchestrator.workflow import ApprovalNode
from tests.builders import NOW, RUN, plan, task


def asked(
    arguments: Json | None = None, *, settings: RunSettings | None = None, **node: Any
) -> ApprovalRequested:
    given = ApprovalNode(kind="approval", of="planner", **node)
    return request(RUN, "ok", 1, given, arguments or plan(), settings or RunSettings(), NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


def test_question_falls_back_to_the_channels_policy() -> None:
    settings = RunSettings(approvers=("web:bob",), allow_requester=False, expires_after_s=60)
    question = asked(settings=settings)
    assert question.approvers == ("web:bob",)
    assert not question.allow_requester
    assert question.expires_at == NOW + timedelta(seconds=60)
    assert question.title == "Approve planner"
    assert question.on_expiry == "expire"


def test_nodes_own_policy_wins() -> None:
    settings = RunSettings(approvers=("web:bob",), expires_after_s=60)
    question = asked(settings=settings, approvers=("g1",), expires_after=5, title="Really?", body="Look.")
    assert question.approvers == ("g1",)
    assert question.expires_at == NOW + timedelta(seconds=5)
    assert (question.title, question.body) == ("Really?", "Look.")


@pytest.mark.parametrize(("node", "channel"), [(False, True), (True, False), (False, False)])
def test_requester_may_decide_only_if_node_and_channel_agree(node: bool, channel: bool) -> None:
    assert not asked(settings=RunSettings(allow_requester=channel), allow_requester=node).allow_requester


@pytest.mark.parametrize(
    ("approvers", "allow_requester", "person", "groups", "may"),
    [
        ((), True, "web:ada", (), True),
        ((), True, "web:eve", (), True),
        ((), False, "web:ada", (), False),
        ((), False, "web:eve", (), True),
        (("web:bob",), True, "web:bob", (), True),
        (("web:bob",), True, "web:ada", (), False),
        (("web:bob",), True, "web:eve", ("admins",), False),
        (("admins",), True, "web:eve", ("others", "admins"), True),
        (("web:ada",), False, "web:ada", (), False),
        (("web:bob",), True, "WEB:BOB", (), False),
        (("web:bob",), True, "web:bob ", (), False),
        (("web:bob",), True, "slack:bob", (), False),
        (("web:bob",), True, "", ("",), False),
    ],
)
def test_who_may_decide(
    approvers: tuple[str, ...], allow_requester: bool, person: str, groups: tuple[str, ...], may: bool
) -> None:
    question = asked(approvers=approvers, allow_requester=allow_requester)
    refusal = may_decide(question, person=person, groups=groups, requester="web:ada")
    assert (refusal == "") is may
    if not may:
        assert refusal.endswith(".")


def test_same_question_has_the_same_id_and_another_visit_another() -> None:
    assert asked().approval_id == asked().approval_id == approval_id(RUN, "ok", 1)
    assert approval_id(RUN, "ok", 1) != approval_id(RUN, "ok", 2)


@given(OBJECTS, OBJECTS)
def test_digest_is_of_the_meaning_alone(one: Json, other: Json) -> None:
    turned = dict(reversed(one.items()))
    assert digest(one) == digest(turned)
    # Canonical texts differ wherever values do; 1 and True are different things in JSON, if not in Python.
    if repr(sorted(one.items())) == repr(sorted(other.items())):
        assert digest(one) == digest(other)
    elif one != other:
        assert digest(one) != digest(other)


def test_digest_takes_any_text() -> None:
    assert len(digest({"a": "\ud800 \x00 é"})) == 64


@given(OBJECTS, OBJECTS)
def test_difference_is_empty_exactly_when_nothing_changed(one: Json, other: Json) -> None:
    assert difference(one, one) == ()
    assert bool(difference(one, other)) == (digest(one) != digest(other))
    assert not any("\n" in line for line in difference(one, other))


def test_difference_names_places_values_and_what_came_and_went() -> None:
    before = {"a": "x\ny", "b": [1, 2], "c": {"d": None}, "gone": True, "l": ["p", "q"]}
    after = {"a": "z", "b": [2, 1], "c": {"d": [3]}, "l": ["q", "r"], "new": {}}
    assert difference(before, after) == (
        'a: "x\\ny" → "z"',
        "b: the order is now [2, 1]",
        "c › d: nothing → [3]",
        "gone: removed true",
        'l: removed "p"',
        'l: added "r"',
        "new: added nothing",
    )


def test_difference_follows_tasks_by_their_ids() -> None:
    one, two, odd = task("one", "One"), task("two", "Two"), {"id": 7}
    assert difference(plan("g", one, two), plan("g", two, one)) == ("tasks: the order is now two, one",)
    assert difference(plan("g", one, two), plan("g", two))[0].startswith('tasks › one: removed id "one"')
    assert difference({"l": [one, odd]}, {"l": [one, one]})  # ids that name nothing are no ids


def test_difference_of_a_plan_shows_what_a_person_changed() -> None:
    changes = difference(plan("old"), plan("new", task("draft", "Write it"), task("more")))
    assert 'goal: "old" → "new"' in changes
    assert any(line.startswith('tasks › more: added id "more"') for line in changes)


def test_run_ids_are_short_and_never_meet() -> None:
    ids = {new_run_id() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert all(re.fullmatch(r"r[a-z2-9]{12}", i) for i in ids)
