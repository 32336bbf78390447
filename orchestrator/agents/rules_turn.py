"""What a turn asks for: its subject, its language, whether it leans on the question before. Pure."""

from __future__ import annotations

import re

from orchestrator.agents.rules_text import POINTERS, keywords, stem, words
from orchestrator.ports import StepInput

MOST_KEYWORDS = 12
_FOREIGN = {
    "German": "wie ich der das ist und den dem ein eine einen kann nicht wo warum welche welcher mit für auf "
    "zu von wer wann gibt sind mir wird werden ob aus bei sich",
    "French": "le la les est comment je que qui pour une des du pourquoi dans quel quelle sont avec sur où",
    "Spanish": "el los las como cómo qué que para una por es dónde quién cuándo cuál del con puedo hay",
    "Italian": "il lo gli come che per una è dove perché sono con della posso quando chi",
    "Portuguese": "o os como que para uma por é onde quem quando do da com posso são não",
    "Dutch": "hoe ik het een van wat waar waarom kan niet met voor zijn de dat welke",
}
_FOREIGN_WORDS = {name: frozenset(row.split()) for name, row in _FOREIGN.items()}
_ENGLISH_ROW = (
    "the is are a an what how why when where who which do does did can could should of to in on it its for "
    "with and or i you my your this that be from not will there have has"
)
_ENGLISH = frozenset(_ENGLISH_ROW.split())
COMPARED_WITHIN = 300  # characters: whoever compares says so at the start
_ABOUT = "\n\nAbout this message by "  # and a name, a colon and the message in “ ”: as Slack hands it in
_GREETING = re.compile(
    r"(hi|hello|hey|hallo|good (morning|afternoon|evening)|help|thanks|thank you)( there| quartet| all)?",
    re.I,
)


def earlier_questions(step: StepInput) -> list[str]:
    """What people asked before in this conversation, oldest first."""
    return [line.text for line in step.exchanges if line.role == "person" and line.text.strip()]


def compared(text: str) -> tuple[str, str] | None:
    """The two things that a turn compares."""
    # Searching grows with the square of the length, and a thread that searches stops the whole bot.
    match = re.search(
        r"(?:differences?\s+between|compare)\s+(.+?)\s+(?:and|with|to)\s+(.+)|(.+?)\s+(?:vs\.?|versus)\s+(.+)",
        text[:COMPARED_WITHIN],
        re.IGNORECASE,
    )
    if not match:
        return None
    left, right = (match[1], match[2]) if match[1] else (match[3], match[4])
    return left, right


def is_follow_up(step: StepInput) -> bool:
    """The turn cannot be understood alone: it has no keywords, starts with "and", or points back."""
    text = step.turn.text
    if not earlier_questions(step) or _GREETING.fullmatch(text.strip(" !.?,")):
        return False
    own = keywords(text)
    said = words(text)
    if not own:
        return "quartet" not in said and not {"you", "your"} & set(said)
    if said[:1] == ["and"] or re.match(r"\s*(what|how) about\b", text, re.IGNORECASE):
        return True
    back = bool(POINTERS & set(said)) or re.search(
        r"\b(that|this)\b\s*([?.!,]|$|(is|mean|means|work|works|happen|happens|do|does|cost|costs|take|takes)\b)",
        text,
        re.IGNORECASE,
    )
    return len(own) <= 2 and bool(back)


def own_keywords(step: StepInput) -> list[str]:
    """What the turn itself is about, without words of what came before; numbers alone are no subject."""
    asked, quoted = _parted(step.turn.text)
    own = keywords(asked) or keywords(quoted)
    for text in step.steering:
        own += keywords(text)
    foreign = _FOREIGN_WORDS.get(language(step.turn.text), frozenset())
    own = [word for word in dict.fromkeys(own) if word not in foreign]
    return own[:MOST_KEYWORDS] if any(not word.isdigit() for word in own) else []


def _parted(text: str) -> tuple[str, str]:
    """What is asked, and the message of somebody that it is asked about ("" without one)."""
    asked, _, about = text.partition(_ABOUT)
    _, mark, quoted = about.partition(": “")
    return (asked, quoted) if mark and quoted.rstrip().endswith("”") else (text, "")


def subject(step: StepInput) -> list[str]:
    """Keywords of the turn, with those of the last question where this one leans on it."""
    found = own_keywords(step)
    if is_follow_up(step):
        found += keywords(earlier_questions(step)[-1])
    once: dict[str, str] = {}
    for word in found:
        once.setdefault(stem(word), word)
    return list(once.values())[:MOST_KEYWORDS]


def introductions(step: StepInput) -> tuple[str, ...]:
    """Headings of the shipped pages that introduce Quartet, when the turn asks for nothing else."""
    text = step.turn.text.strip(" !.?,")
    if _GREETING.fullmatch(text):
        return ("What Quartet is",)
    said = words(text)
    if subject(step) or keywords(text) or not said or step.turn.files or language(text):
        return ()
    if "can" in said or "do" in said:
        return ("What Quartet is", "What it is good for", "What it cannot do")
    if {"work", "works", "working"} & set(said):
        return ("What happens with a request", "What Quartet is")
    return ("What Quartet is",) if {"quartet", "you", "this", "it"} & set(said) else ()


def language(text: str) -> str:
    """The language of a text where it is surely not English, else ""; by its small words."""
    said = words(text)
    if not said:
        return ""
    counts = {name: sum(word in known for word in said) for name, known in _FOREIGN_WORDS.items()}
    name = max(counts, key=lambda n: counts[n])
    english = sum(word in _ENGLISH for word in said)
    if counts[name] > english and (counts[name] >= 2 or counts[name] * 3 >= len(said) > 2):
        return name
    letters = [c for c in text if c.isalpha()]
    foreign = sum(ord(c) > 0x24F for c in letters)
    return "another language" if letters and foreign * 2 > len(letters) else ""
