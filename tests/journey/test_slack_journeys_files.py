"""Files and long answers on Slack, both ways; and what people think of an answer."""

from __future__ import annotations

import asyncio
import html
import subprocess
import sys
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.journey.slack_desk import ANSWER, Desk, desk
from tests.journey.slack_scripts import drafts, script
from tests.twins.slack import Seen

pytestmark = pytest.mark.timeout(300)

AUTO = {"chat": {"approvals": "auto"}}


def answer_of(one: Desk, thread: str) -> list[Seen]:
    """The messages of the thread's only answer."""
    seen = [each for each in one.ada.sees(one.general, thread) if each.user == one.slack.bot.bot_user]
    first = next(n for n, each in enumerate(seen) if each.text.startswith("Answer"))
    return seen[first:]


def with_file(made: list[Seen]) -> list[Seen] | None:
    """The answer once its last message has a file."""
    return made if made[-1].files else None


async def test_a_text_file_that_comes_with_a_message_is_quoted_in_the_answer(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    note = "# Milk\n\nOat milk is made of oats and water.\n"
    async with desk(tmp_path, config=AUTO) as one:
        files = [("milk.md", "text/markdown", note.encode()), ("logo.png", "image/png", b"\x89PNG\x00\x01")]
        thread = one.ada.mentions(one.general, "What is oat milk made of?", files=files)
        await one.done(thread)
        told = "The agents see only the name and the size of logo.png"
        # Before the thread's first reply Slack shows it in the channel alone.
        await one.until(
            lambda: [n for t in (None, thread) for n in one.ada.sees(one.general, t) if told in n.shows]
        )
        assert one.read(thread, by=one.bob) == snapshot
        assert "Oat milk is made of oats and water." in answer_of(one, thread)[0].shows


async def test_files_of_the_builder_and_long_code_are_attached_to_the_answer(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    code = "\n".join(
        f"print({n})  # line {n} of a program that is too long to be read in a chat" for n in range(900)
    )
    body = f"Tea is warm [1].\n\n```python\n{code}\n```\n\nThat is all."
    table = "name,warm\ntea,yes\n"
    answers = script(builder=drafts(body, tea_csv=table))
    async with desk(tmp_path, config=AUTO, script=answers) as one:
        thread = one.ada.mentions(one.general, "Write a program about tea")
        await one.done(thread)
        made = answer_of(one, thread)
        await one.until(lambda: sum(len(each.files) for each in answer_of(one, thread)) >= 2)
        assert one.read(thread) == snapshot
        texts = [file.text for each in answer_of(one, thread) for file in each.files]
        assert [text for text in texts if "print(899)" in text] == [f"{code}\n"]
        assert table in texts
        assert all(len(each.text) <= 40_000 for each in made)


async def test_an_answer_of_40000_characters_arrives_whole(tmp_path: Path) -> None:
    paragraphs = [
        f"Paragraph {n} says that tea is <warm> & made of leaves [1]. " + f"It goes on about pot {n}. " * 8
        for n in range(160)
    ]
    body = "\n\n".join(paragraph.strip() for paragraph in paragraphs)
    assert len(body) > 40_000
    async with desk(tmp_path, config=AUTO, script=script(builder=drafts(body))) as one:
        thread = one.ada.mentions(one.general, "Tell me everything about tea")
        await one.done(thread)
        *made, attached = await one.until(lambda: with_file(answer_of(one, thread)))
        assert body in html.unescape("".join(each.text for each in made))
        shown = "".join(each.shows for each in made)
        assert [n for n in range(160) if f"Paragraph {n} says" not in shown] == []
        assert [each.buttons for each in made] == [()] * (len(made) - 1) + [("Good answer", "Bad answer")]
        assert [file.name for file in attached.files] == ["answer.md"]
        assert body in attached.files[0].text


async def test_what_people_think_of_an_answer_is_shown_with_the_run(tmp_path: Path) -> None:
    async with desk(tmp_path, config=AUTO) as one:
        thread = one.ada.mentions(one.general, "What is coffee made of?")
        answer = await one.message(thread, ANSWER)
        one.ada.gives_feedback(one.general, answer.ts, "bad")
        await one.says("Thank you for telling us.", thread)
        one.ada.gives_feedback(one.general, answer.ts, "good")
        one.bob.gives_feedback(one.general, answer.ts, "bad")
        await one.says("Thank you for telling us.", thread, by=one.bob)
        await one.settled()
        [run] = await one.runs()
        assert (await one.run(run["id"]))["feedback"] == [
            {"who": "ada", "good": True, "comment": ""},
            {"who": "bob", "good": False, "comment": ""},
        ]
        told = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "bot", "runs", "show", run["id"]],
            cwd=one.bot.folder,
            env=one.bot.env,
            capture_output=True,
            check=True,
        )
        assert [
            line.split("UTC  ")[1] for line in told.stdout.decode().splitlines() if "says that" in line
        ] == [
            "ada says that the answer is not good",
            "ada says that the answer is good",
            "bob says that the answer is not good",
        ]
