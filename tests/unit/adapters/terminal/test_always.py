"""`--yes` and `--no-input`: every approval settled the same way, and questions that want words told apart."""

from __future__ import annotations

from adapters.contract import Button, Form, FormField
from adapters.terminal.asking import Always

APPROVAL = (
    Button(action="approve", target="a", label="Approve"),
    Button(action="reject", target="a", label="Reject"),
)
QUESTION = (
    Button(action="answer", target="a", label="Answer", needs_form=True),
    Button(action="reject", target="a", label="Reject"),
)


def form(default: str) -> Form:
    return Form(id="answer:a", title="Answer", fields=(FormField(name="text", label="Yours", value=default),))


async def chosen(asker: Always, buttons: tuple[Button, ...], *, again: bool = False) -> str:
    button = await asker.choose("Which?", buttons, again=again)
    return button.action if button is not None else ""


async def test_approvals_are_settled_once() -> None:
    for action in ("approve", "reject"):
        asker = Always(action)
        assert await chosen(asker, APPROVAL) == action
        assert not asker.stuck.is_set()
        assert await chosen(asker, APPROVAL, again=True) == ""
        assert asker.stuck.is_set()


async def test_yes_takes_the_answer_that_a_question_offers() -> None:
    asker = Always("approve")
    assert await chosen(asker, QUESTION) == "answer"
    assert await asker.fill(form("1.0"), {}) == {"text": "1.0"}
    assert not asker.stuck.is_set()


async def test_yes_rejects_a_question_that_offers_no_answer_and_says_why() -> None:
    said: list[str] = []
    asker = Always("approve", said.append)
    assert await chosen(asker, QUESTION) == "answer"
    assert await asker.fill(form(""), {}) is None
    assert await chosen(asker, QUESTION, again=True) == "reject"
    assert said == ["Which?: this wants an answer, and --yes has none for it. It is rejected."]
    assert not asker.stuck.is_set()
    assert await chosen(asker, QUESTION, again=True) == ""  # that was refused, too: it is somebody else's
    assert asker.stuck.is_set()


async def test_no_input_rejects_a_question() -> None:
    asker = Always("reject")
    assert await chosen(asker, QUESTION) == "reject"
