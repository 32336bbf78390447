"""The `custom_id`s of our buttons and forms: what a press means, in at most 100 characters. Pure.

They live in messages for years and come back from anybody who can forge an interaction's shape: `read` gives
only what could be ours, and nothing is believed of it but the words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapters.errors import CardRefused

MOST = 100  # characters that Discord carries
FIELD = "f:"  # begins the ids of a form's inputs
LINES = "l:lines"  # the input that holds several fields, one a line
PATTERN = re.compile(r"q:(?P<action>[a-z]{1,16}):(?P<target>.{0,96})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a button or a form stands for."""

    action: str  # Button.action, or "good", "bad", "form", "again", "ask"
    target: str  # Button.target, a run id, Form.id


def press(action: str, target: str) -> str:
    """The id for an action on a target.

    Raises:
        CardRefused: together they are longer than Discord carries.
    """
    custom_id = f"q:{action}:{target}"
    if len(custom_id) > MOST:
        raise CardRefused(f"what the button {action!r} stands for is longer than {MOST} characters")
    return custom_id


def read(custom_id: object) -> Pressed | None:
    """What an id that came in stands for; None: it is none of ours."""
    if not isinstance(custom_id, str) or len(custom_id) > MOST:
        return None
    match = PATTERN.fullmatch(custom_id)
    return Pressed(match["action"], match["target"]) if match else None
