"""Read the words after `/quartet` or after a mention. Pure.

After `/quartet` every text is a command, known or not. After a mention most text is a turn, so a
word counts there only alone, or with arguments of exactly the form it takes: "stop" and
"settings busy=steer" are commands; "stop the world" and "help me write a mail" are turns.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, get_args

from adapters.contract import Platform
from orchestrator.events import RunStatus

WORDS: Final = {
    "ask": "ask TEXT: start a turn",
    "run": "run WORKFLOW TEXT: start a turn with a workflow",
    "status": "status [RUN]: what works or waits in this conversation",
    "stop": "stop [RUN]: end a run now",
    "pause": "pause [RUN]: start no new steps",
    "resume": "resume [RUN]: go on",
    "runs": "runs [STATUS]: the latest runs of this channel",
    "workflows": "workflows: what can be run",
    "agents": "agents [AGENT]: who works on a run",
    "usage": "usage: tokens and cost of this month by model",
    "settings": "settings, settings KEY=VALUE, settings KEY= (back to the default): of this channel",
    "why": "why: the last time you were allowed or refused something here",
    "help": "help [WORD]: this list",
}
# Words of single platforms, which their adapters answer by themselves.
_OF_PLATFORMS: Final[Mapping[Platform, Mapping[str, str]]] = {
    "discord": {"home": "home: your own page, for you alone (given as /quartet home)"},
}
STATUSES: Final[tuple[RunStatus, ...]] = get_args(RunStatus)
RUN_ID: Final = re.compile(r"r[a-z2-9]{12}")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z0-9_]+)?\s*=.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Words:
    """A command taken apart."""

    word: str  # lower case; "" if there was nothing
    rest: str  # what came after it, as typed


def read(text: str) -> Words:
    """The first word and the rest; closing punctuation of a lone word is not part of it."""
    first, *others = text.split(maxsplit=1) or [""]
    rest = others[0].strip() if others else ""
    word = first.lower()
    return Words(word if rest else word.rstrip(".!?") or word, rest)


def is_command(text: str, workflows: Collection[str] = (), agents: Collection[str] = ()) -> bool:
    """Whether text after a mention is one of our words and not a turn.

    Args:
        text: without the mention.
        workflows: names there are; `run NAME …` is a command only with one of them.
        agents: names there are; likewise `agents NAME`.
    """
    words = read(text)
    if words.word not in WORDS:
        return False
    rest = words.rest
    if not rest:
        return True
    match words.word:
        case "run":
            return rest.split(maxsplit=1)[0].lower() in workflows
        case "status" | "stop" | "pause" | "resume":
            return RUN_ID.fullmatch(rest) is not None
        case "runs":
            return rest.lower() in STATUSES
        case "agents":
            return rest.lower() in agents
        case "help":
            return rest.lower() in WORDS or any(rest.lower() in words for words in _OF_PLATFORMS.values())
        case "settings":
            return "\n" not in rest and _ASSIGNMENT.fullmatch(rest) is not None
        case _:  # "ask my boss for a raise" means all of its words
            return False


def known(platform: Platform) -> Mapping[str, str]:
    """All words that can be given on a platform, with what each does."""
    return {**WORDS, **_OF_PLATFORMS.get(platform, {})}


def status(text: str) -> RunStatus | None:
    """The run status that a text names; None if it names none."""
    for known in STATUSES:
        if known == text.lower():
            return known
    return None


def nearest(word: str) -> str:
    """The known word that is most like this one; "" if none is."""
    near = difflib.get_close_matches(word, WORDS, n=1, cutoff=0.5)
    return near[0] if near else ""
