"""The word `design`: a workflow from plain words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from adapters.contract import Command, Receipt, Turn
from bot.command_answers import no
from bot.commands import MoreWord
from bot.design_cards import DESIGN

FORM: Final = "design TEXT (after a mention: `design: TEXT`): draft a workflow from plain words"
EXAMPLE: Final = "design: every Friday collect the merged changes, write release notes, let two leads approve"


def design_word(
    start_turn: Callable[[Turn], Awaitable[Receipt]], read_turn: Callable[[Turn], Turn | Receipt | None]
) -> MoreWord:
    """The word, performed by starting the workflow of its name.

    Args:
        start_turn: the intake's.
        read_turn: takes inputs out of the words (`Commands.read_turn`).
    """

    async def perform(command: Command, rest: str) -> Receipt:
        if not rest:
            return no(f"Say in plain words what the workflow shall do. For example: {EXAMPLE}")
        turn = read_turn(
            Turn(
                key=command.key,
                conversation=command.conversation,
                person=command.person,
                text=rest,
                workflow=DESIGN,
                at=command.at,
            )
        )
        return turn if isinstance(turn, Receipt) else await start_turn(turn) if turn else no(FORM)

    return MoreWord(FORM, perform)
