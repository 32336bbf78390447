"""Read the words after `/quartet` or after a mention. Pure.

After `/quartet` every text is a command, known or not. After a mention most text is a turn, so a
word counts there only alone, or with arguments of exactly the form it takes: "stop" and
"settings busy=steer" are commands; "stop the world" and "help me write a mail" are turns. Words with
a colon ("team: …") are commands whatever follows. What is nearly a command is one too ("run deploymnt",
"fork zzz a"): it is refused for nothing, where a turn would cost money.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, get_args

from adapters.contract import Platform
from orchestrator.events import RunStatus

WORDS: Final = {
    "ask": "ask TEXT: start a turn",
    "run": "run WORKFLOW [KEY=VALUE …] [priority=…] [deadline=…] [TEXT]: start a workflow",
    "team": "team TEXT (after a mention: `team: TEXT`): let a team assemble itself for a task",
    "status": "status [RUN]: what works or waits in this conversation",
    "stop": "stop [RUN]: end a run now",
    "pause": "pause [RUN]: start no new steps",
    "resume": "resume [RUN]: go on",
    "fork": "fork RUN STEP [KEY=VALUE …]: run again from a step on, with other inputs where given",
    "runs": "runs [STATUS]: the latest runs of this channel",
    "workflows": (
        "workflows [NAME], workflows versions NAME, workflows diff NAME A B, workflows rollback NAME N, "
        "workflows remove NAME: what can be run"
    ),
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
STEP: Final = re.compile(
    r"[a-z][a-z0-9_]{0,39}(?:\[\d{1,4}\])?(?:/[a-z][a-z0-9_]{0,39}(?:\[\d{1,4}\])?){0,7}"
)
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
NUMBER: Final = re.compile(r"[0-9]{1,9}")
# Verbs after `workflows`, and what follows each.
OF_WORKFLOWS: Final[Mapping[str, tuple[re.Pattern[str], ...]]] = {
    "versions": (NAME,),
    "diff": (NAME, NUMBER, NUMBER),
    "rollback": (NAME, NUMBER),
    "remove": (NAME,),
    "show": (NAME,),
}
NEAR: Final = 0.75  # how like a name a word has to be to be taken for a slip, from 0 to 1
FEW: Final = 3  # words: what begins as a command does and has no more is one
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z0-9_]+)?\s*=.*", re.DOTALL)
_WITH_COLON: Final = re.compile(r"\s*(team|design):\s*(.*)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Words:
    """A command taken apart."""

    word: str  # lower case; "" if there was nothing
    rest: str  # what came after it, as typed
    colon: bool = False  # the word ended with a colon: what follows is its text, whatever it is


def read(text: str) -> Words:
    """The first word and the rest; closing punctuation of a lone word is not part of it."""
    marked = _WITH_COLON.fullmatch(text)
    if marked is not None:
        return Words(marked[1].lower(), marked[2].strip(), colon=True)
    first, *others = text.split(maxsplit=1) or [""]
    rest = others[0].strip() if others else ""
    word = first.lower()
    return Words(word if rest else word.rstrip(".!?") or word, rest)


def is_command(
    text: str, workflows: Collection[str] = (), agents: Collection[str] = (), more: Collection[str] = ()
) -> bool:
    """Whether text after a mention is one of our words and not a turn.

    Args:
        text: without the mention.
        workflows: names there are; `run NAME …` is a command only with one of them, or nearly one.
        agents: names there are; likewise `agents NAME`.
        more: further words that are known; they count alone and with a colon.
    """
    words = read(text)
    if words.word not in WORDS and words.word not in more:
        return False
    rest = words.rest
    if not rest or words.colon:
        return True
    match words.word:
        case "run":
            return _is_nearly(rest.split(maxsplit=1)[0], workflows)
        case "status" | "stop" | "pause" | "resume":
            return RUN_ID.fullmatch(rest) is not None
        case "fork":
            run, *step = rest.split()
            fits = RUN_ID.fullmatch(run) is not None and bool(step) and STEP.fullmatch(step[0]) is not None
            return fits or 1 + len(_before_pairs(rest)) <= FEW
        case "runs":
            return rest.lower() in STATUSES
        case "workflows":
            named = rest.lower() == "list" or _is_nearly(rest, workflows)
            return named or _is_about_workflows(rest, workflows)
        case "agents":
            return _is_nearly(rest, agents)
        case "help":
            ours = (WORDS, more, *_OF_PLATFORMS.values())
            return any(rest.lower() in known for known in ours)
        case "settings":
            return "\n" not in rest and _ASSIGNMENT.fullmatch(rest) is not None
        case _:  # "ask my boss for a raise" and "team spirit is …" mean all of their words
            return False


def slip(word: str, names: Collection[str]) -> str:
    """The name that a word is nearly; "" where it is one, or like none."""
    typed = word.lower()
    if typed in names or NAME.fullmatch(typed) is None:
        return ""
    return next(iter(difflib.get_close_matches(typed, names, n=1, cutoff=NEAR)), "")


def _is_nearly(word: str, names: Collection[str]) -> bool:
    return word.lower() in names or slip(word, names) != ""


def _before_pairs(rest: str) -> list[str]:
    """The words that stand before the first KEY=VALUE."""
    return list(itertools.takewhile(lambda word: "=" not in word, rest.split()))


def _is_about_workflows(rest: str, workflows: Collection[str]) -> bool:
    verb, *given = rest.split()
    wanted = OF_WORKFLOWS.get(verb.lower())
    if wanted is None:
        return False
    whole = len(given) <= len(wanted) and bool(given) and _is_nearly(given[0], workflows)
    return 2 + len(given) <= FEW or whole or of_workflows(rest) is not None


def of_workflows(rest: str) -> list[str] | None:
    """A verb of `workflows` and what it needs, as ["rollback", "quartet", "2"]; None: not of that form."""
    verb, *given = rest.lower().split() or [""]
    wanted = OF_WORKFLOWS.get(verb, ())
    fits = len(given) == len(wanted) and all(p.fullmatch(g) for p, g in zip(wanted, given, strict=True))
    return [verb, *given] if wanted and fits else None


def known(platform: Platform) -> Mapping[str, str]:
    """All words that can be given on a platform, with what each does."""
    return {**WORDS, **_OF_PLATFORMS.get(platform, {})}


def status(text: str) -> RunStatus | None:
    """The run status that a text names; None if it names none."""
    for known in STATUSES:
        if known == text.lower():
            return known
    return None


def nearest(word: str, more: Collection[str] = ()) -> str:
    """The known word that is most like this one; "" if none is."""
    near = difflib.get_close_matches(word, [*WORDS, *more], n=1, cutoff=0.5)
    return near[0] if near else ""
