"""Which call to a chat platform goes first when its limits are reached."""

from __future__ import annotations

from enum import IntEnum


class Urgency(IntEnum):
    """What goes first when a limit is reached. Lower goes first."""

    PERSON = 0  # somebody waits with a form or a click in their hand: views, notes
    ANSWER = 1  # answers, errors, approvals and what was decided of them
    REPLY = 2  # answers to commands, the root message of a turn
    PROGRESS = 3  # status cards: never waited for, the newest version is sent when there is room
