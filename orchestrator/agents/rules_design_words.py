"""How the words of a request are taken apart for a workflow: parts, approvals, conditions, names. Pure."""

from __future__ import annotations

import re
from typing import Final

from orchestrator.agents.rules_text import keywords, shortened

TASK_CHARS: Final = 2_000
_CONTROL: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")

_VERBS: Final = """
add allow analyse analyze announce answer apply approve archive ask assess assign audit build calculate
call change check choose classify clean collect compare compile compose compute confirm consolidate
convert copy correct count create debug decide define deploy describe design develop diagnose document
draft edit email enrich estimate evaluate examine explain export extract fetch file fill filter find fix
forward gather generate get group identify implement import improve inform inspect install interview
investigate label let list log look mail make measure merge migrate monitor move notify open order
organise organize outline pick plan polish post prepare present print prioritise prioritize process
produce proofread propose provision publish pull push rank rate read rebuild record refactor release
remove rename repair report request research resolve review revise rewrite roll run save scan schedule
score search select send set share ship show sign sketch sort split stage start stop store study submit
suggest summarise summarize tag take tell test track train transform translate trigger try update upload
validate verify wait watch write
"""
VERBS: Final = frozenset(_VERBS.split())
_LEAD: Final = re.compile(
    r"^(?:(?:please|then|and|also|next|finally|afterwards|after that|first|firstly|second|secondly|thirdly"
    r"|lastly|at the end|in the end|once that is done)\b[\s,:]*)+",
    re.IGNORECASE,
)
_SENTENCES: Final = re.compile(r"(?<=[.!?;])\s+|\n+|;|^\s*(?:[-*•]|\d{1,2}[.)])\s+", re.MULTILINE)
_THEN: Final = re.compile(r"\s*,?\s+(?:and\s+then|then|after\s+that|afterwards)\s+", re.IGNORECASE)
JOINTS: Final = re.compile(r"\s*,\s*(?:and\s+|but\s+)?|\s+and\s+", re.IGNORECASE)
PARALLEL: Final = re.compile(
    r"[\s,(]*\b(?:in\s+parallel|at\s+the\s+same\s+time|simultaneously|side\s+by\s+side|concurrently)\b[\s,:)]*",
    re.IGNORECASE,
)
COUNTS: Final = {"a": 1, "an": 1, "one": 1, "two": 2, "both": 2, "three": 3, "four": 4, "five": 5}
LET: Final = re.compile(
    r"^(?:let|have|get|ask|wait\s+(?:for|until))\s+(?P<who>.{1,200}?)\s+(?:to\s+)?(?:approves?|sign(?:s)?\s+(?:it\s+)?off"
    r"|confirms?|agrees?|decides?|has\s+approved)\b(?P<more>.{0,300})$",
    re.IGNORECASE | re.DOTALL,
)
APPROVED: Final = re.compile(
    r"^(?:(?:ask|wait)\s+(?P<asked>.{0,80}?)\s*for\s+(?:an?\s+|the\s+)?(?:approval|sign-?off|ok)"
    r"|(?:get\s+|with\s+|after\s+)?(?:the\s+|an?\s+)?(?:approval|sign-?off)|approve)\b"
    r"(?:\s+(?:by|of|from)\s+(?P<who>.{1,200}?))?(?P<more>\s+before\b.{0,300})?[.!]?$",
    re.IGNORECASE | re.DOTALL,
)
PERSON: Final = re.compile(r"\b(?:slack|discord|web|terminal):[A-Za-z0-9_.@-]{1,64}")
IF: Final = re.compile(
    r"^(?:if|when|in\s+case)\s+(?P<condition>.{1,400}?)\s*(?:,\s*(?:then\s+)?|\s+then\s+|:\s*)(?P<yes>.{1,2000})$",
    re.IGNORECASE | re.DOTALL,
)
ELSE: Final = re.compile(r"[\s,;.]*\b(?:else|otherwise|if\s+not)\b[\s,:]*", re.IGNORECASE)
EACH: Final = re.compile(
    r"^(?:for|with)\s+(?:each|every|all)\s+(?:of\s+)?(?:the\s+)?(?P<what>.{1,200}?)\s*[,:]\s*(?P<do>.{1,2000})$"
    r"|^for\s+(?:each|every)\s+(?P<what2>\S{1,60}(?:\s+(?:in|of|from)\s+(?:the\s+)?\S{1,60})?)\s+(?P<do2>.{1,2000})$",
    re.IGNORECASE | re.DOTALL,
)
NAMED: Final = re.compile(
    r"[\s,;]*(?:\band\s+)?\b(?:call\s+it|named|name\s+it|with\s+the\s+name)\s+[\"'`“]?"
    r"(?P<name>[A-Za-z][A-Za-z0-9_ -]{0,39}?)[\"'`”]?(?=[\s,;.]*$|[,;.\n])",
    re.IGNORECASE,
)
WITHOUT: Final = re.compile(
    r"\b(?:without|drop|remove|leave\s+out|skip|no)\b\s+(?:the\s+|any\s+)?(?P<what>.{2,80})", re.IGNORECASE
)


def pieces(text: str) -> list[str]:
    """Parts of a text, each one thing to do."""
    found: list[str] = []
    for sentence in _SENTENCES.split(text):
        sentence = _LEAD.sub("", (sentence or "").strip(" \t,.!?:"))
        if not re.search(r"\w", sentence):
            continue
        if ELSE.match(sentence) and found and IF.match(found[-1]):
            found[-1] = f"{found[-1]}, {sentence}"  # "If A, do B. Otherwise do C."
        elif IF.match(sentence) or EACH.match(sentence) or PARALLEL.search(sentence):
            found += _special(sentence)
        else:
            found += _steps(sentence)
    return found


def _special(sentence: str) -> list[str]:
    """A sentence that is one part, or steps before one: "collect A, then check B and C in parallel"."""
    first, *later = _THEN.split(sentence) if not IF.match(sentence) else [sentence]
    pieces: list[str] = []
    for piece in (first, *later):
        piece = _LEAD.sub("", piece.strip(" ,."))
        if piece and (IF.match(piece) or EACH.match(piece) or PARALLEL.search(piece)):
            pieces.append(piece)
        elif piece:
            pieces += _steps(piece)
    return pieces


def _steps(sentence: str) -> list[str]:
    """Split where a new thing to do begins: after a comma or "and" that a verb follows."""
    pieces: list[str] = []
    for part in _THEN.split(sentence):
        at = 0
        for joint in JOINTS.finditer(part):
            following = _LEAD.sub("", part[joint.end() :])
            word = re.match(r"[A-Za-z]+", following)
            starts = word is not None and word[0].lower() in VERBS
            if starts or re.match(
                r"(?:if|for\s+(?:each|every)|with\s+approval|after\s+approval)\b", following, re.IGNORECASE
            ):
                if LET.match(part[at:]) and not LET.match(part[at : joint.start()]):
                    continue
                pieces.append(part[at : joint.start()])
                at = joint.end()
        pieces.append(part[at:])
    return [p for piece in pieces if re.search(r"\w", p := _LEAD.sub("", piece.strip(" \t,.!?:;")))]


def added(comment: str) -> str:
    """What a wish for changes adds: nothing where it only takes away."""
    return "" if WITHOUT.search(comment) else comment


def where(pattern: str, text: str) -> int:
    """Where a word stands first; behind the text if it does not."""
    found = re.search(rf"\b(?:{pattern})\b", text, re.IGNORECASE)
    return found.start() if found else len(text)


def stems(text: str) -> set[str]:
    """The beginnings of the words that carry the meaning, so that forms of one word meet."""
    return {word[:5] for word in keywords(text)}


def plain(text: str, *, lines: bool = False) -> str:
    """Text that YAML can hold: no control characters, no halves of characters."""
    text = _CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    return text if lines else " ".join(text.split())


def task(text: str) -> str:
    """The words as a task. Braces that would be read as an expression are taken apart."""
    text = shortened(plain(text), TASK_CHARS)
    while "{{" in text or "}}" in text:
        text = text.replace("{{", "{ {").replace("}}", "} }")
    return text[:1].upper() + text[1:]


def titled(text: str) -> str:
    """The words as a title."""
    return shortened(task(text), 60)


def slug(text: str) -> str:
    """The first words as a name of a node; "": there are none."""
    found = "_".join([word for word in _ascii(text) if word != "the"][:3])
    return re.sub(r"^[0-9_]+", "", found)[:40].strip("_")


def workflow_name(text: str) -> str:
    """Three words at least, so that it is hardly the name of another."""
    name = re.sub(r"^[0-9_]+", "", "_".join(_ascii(" ".join(keywords(text)))[:4]))[:36].strip("_")
    return name if name.count("_") >= 2 else f"my_{name}_flow" if name else "my_own_flow"


def _ascii(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.casefold().encode("ascii", "ignore").decode())
