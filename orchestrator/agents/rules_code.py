"""Findings in code by patterns, for the reviewers by rules. Pure; nothing is run.

Reads what came with the run as code: attached files, inputs, fenced blocks and diffs in the request, files
that other agents made; where there is none of these, lines of the request that look like code, else what
stands in it `between backticks`. Of a diff only the added lines count. A line that may hold a secret is
never quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from orchestrator.artifacts import Issue
from orchestrator.ports import StepInput

Aspect = Literal["security", "performance", "style"]
ASPECTS: tuple[Aspect, ...] = ("security", "performance", "style")
MOST_LINES = 5_000  # looked at in one step
LINE_CHARS = 400  # of a line that are looked at: patterns must not take long on hostile ones
MOST_EACH = 8  # findings of one pattern
LONG_LINE = 120  # characters


# Lines that begin something, as no sentence does.
_BEGINS = re.compile(
    r"\s{0,80}(?:(?:async )?def \w+\(|class \w+\s?[:({]"
    r"|(?:export |default |async |static |public |private ){0,4}(?:function|func|fn) ?\w{0,80}\("
    r"|from [\w.]+ import \w|import [\w.]+;?$|import [\w{*].{0,200} from [\"']"
    r"|#include [<\"]|#!/|(?:const|let|var) \w+ ?=)"
)
# Lines that are likely code where there are several.
_CODE = re.compile(
    r"\s{0,80}(?:.{0,400}[;{]$|[})\]]{1,3}[;,]?$"
    r"|(?:if|elif|for|while|with|try|except|else)\b.{0,200}:$"
    r"|(?:return|raise|throw|await|yield)\b .{0,200}[()\[\]\"'=.]"
    r"|[\w.\[\]\"']{1,80} ?[-+*/|&:]?= ?\S|[\w.]{1,80}\(.{0,300}\)$)",
    re.I,
)


# What opens a span stands behind no word: people write backticks for apostrophes too.
_SPAN = re.compile(r"(?<![\w`])`([^`\n]{1,400})`(?!`)")
_DOES = re.compile(r"\w[(\[]|\w ?[-+*/|&:]?= ?\S|;$|^(?:import|from|return|raise|del) \w")
_SAID = re.compile(r"-|[A-Z_][A-Z0-9_]*=\S*(?: |$)")  # a switch, a setting


@dataclass(frozen=True, slots=True)
class CodeLine:
    """One line with its place."""

    where: str  # "app.py:12"
    text: str
    before: str = ""  # the line above


@dataclass(frozen=True, slots=True)
class Pattern:
    """What to look for in a line, and what to say of it."""

    aspect: Aspect
    severity: Literal["info", "minor", "major", "critical"]
    found: re.Pattern[str]
    problem: str
    remedy: str
    above: re.Pattern[str] | None = None  # the line above has to look like this


def _of(
    aspect: Aspect,
    severity: Literal["info", "minor", "major", "critical"],
    found: str,
    problem: str,
    remedy: str,
    above: str = "",
) -> Pattern:
    return Pattern(
        aspect, severity, re.compile(found, re.I), problem, remedy, re.compile(above, re.I) if above else None
    )


PATTERNS = (
    _of(
        "security",
        "critical",
        r"(password|passwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token)\w{0,20}[\"']?\s{0,4}[:=]\s{0,4}[\"'][^\"'\s{}$<]{6,}[\"']",
        "This looks like a secret in the code.",
        "Read it from the environment or a vault, and change the secret: it has been seen.",
    ),
    _of(
        "security",
        "critical",
        r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY",
        "A private key stands in the code.",
        "Take it out, and make a new key: this one has been seen.",
    ),
    _of(
        "security",
        "major",
        r"(?<![\w.])(eval|exec)\(",
        "Text is run as code.",
        "Parse the text, or look the choice up in a table.",
    ),
    _of(
        "security",
        "major",
        r"shell\s?=\s?True|\bos\.system\(|child_process\.exec\(",
        "A command goes through the shell.",
        "Pass the arguments as a list, without a shell.",
    ),
    _of(
        "security",
        "major",
        r"\bpickle\.loads?\(|\bmarshal\.loads?\(|\byaml\.load\((?!.{0,80}Safe)",
        "What is read here can run code.",
        "Use a format that carries values only: JSON, or the safe loader.",
    ),
    _of(
        "security",
        "major",
        r"verify\s?=\s?False|rejectUnauthorized\s?:\s?false|InsecureSkipVerify\s?:\s?true",
        "Certificates are not checked.",
        "Leave the check on; trust an own authority by its certificate.",
    ),
    _of(
        "security",
        "major",
        r"\b(select|insert into|update|delete from)\b.{0,200}([\"']\s?(\+|%|\.format\()|\$\{)"
        r"|\bf[\"'].{0,80}\b(select .{0,80} from|insert into|delete from)\b.{0,200}\{",
        "A query is put together from text.",
        "Pass values as parameters of the query.",
    ),
    _of(
        "security",
        "major",
        r"\.innerHTML\s?=|dangerouslySetInnerHTML|\bv-html=",
        "HTML is put into the page as it is.",
        "Write it as text, or let a library clean it.",
    ),
    _of(
        "security",
        "minor",
        r"\b(md5|sha1)\s?\(|hashlib\.(md5|sha1)\b",
        "MD5 and SHA-1 do not protect anything any more.",
        "Use SHA-256; for passwords Argon2 or scrypt.",
    ),
    _of(
        "performance",
        "major",
        r"\.(execute|query|find_one|findOne|fetchone)\(",
        "There may be a query for each turn of the loop.",
        "Ask once for all, before the loop.",
        r"^\s{0,80}(async )?for\b",
    ),
    _of(
        "performance",
        "minor",
        r"\bawait\b",
        "Each turn of the loop may wait for the one before.",
        "Start them together, with a limit.",
        r"^\s{0,80}for\b",
    ),
    _of(
        "performance",
        "minor",
        r"\bselect \* from\b",
        "All columns are read.",
        "Name the columns that are used.",
    ),
    _of(
        "performance",
        "minor",
        r"\btime\.sleep\(|\bThread\.sleep\(",
        "The thread does nothing while it sleeps.",
        "Wait for the event itself, with a time limit.",
    ),
    _of(
        "performance", "minor", r"\.iterrows\(", "Rows are gone through one by one.", "Work on whole columns."
    ),
    _of(
        "style",
        "major",
        r"\bexcept\s?:|\bexcept Exception:\s?pass|catch\s?(\([^)]{0,60}\))?\s?\{\s?\}",
        "Errors are swallowed.",
        "Catch what can be mended here, and let the rest go up.",
    ),
    _of(
        "style",
        "minor",
        r"\b(TODO|FIXME|XXX|HACK)\b",
        "Something is left open.",
        "Finish it, or write down where it is tracked.",
    ),
    _of(
        "style",
        "info",
        r"^\s{0,80}(print|console\.log|System\.out\.println)\(",
        "This prints directly.",
        "Use the log, if it is to stay.",
    ),
    _of(
        "style",
        "info",
        rf"^.{{{LONG_LINE + 1}}}",
        f"The line is longer than {LONG_LINE} characters.",
        "Break it where the thought breaks.",
    ),
)


def issues(step: StepInput, aspects: Iterable[str]) -> list[Issue]:
    """What the patterns of these aspects find in the code of a step."""
    wanted = frozenset(aspects)
    counts: dict[int, int] = {}
    found: list[Issue] = []
    for line in code(step):
        for number, pattern in enumerate(PATTERNS):
            if pattern.aspect not in wanted or counts.get(number, 0) >= MOST_EACH:
                continue
            if pattern.found.search(line.text) and (
                pattern.above is None or pattern.above.search(line.before)
            ):
                counts[number] = counts.get(number, 0) + 1
                found.append(
                    Issue(
                        severity=pattern.severity,
                        where=line.where,
                        problem=pattern.problem,
                        remedy=pattern.remedy,
                    )
                )
    return found


def code(step: StepInput) -> list[CodeLine]:
    """Every line of code that the step has, in the order in which it came."""
    lines: list[CodeLine] = []
    for name, text in _texts(step):
        for line in _lines(name, text):
            lines.append(line)
            if len(lines) >= MOST_LINES:
                return lines
    text = step.turn.text
    return lines or list(_plain("request", text)) or list(_spans("request", text))[:MOST_LINES]


def _plain(name: str, text: str) -> Iterator[CodeLine]:
    """Lines of a text without a fence that look like code, with the numbers that they have in it.

    One line alone is taken where it begins something (a function, an import); of others it takes two.
    """
    written = [line[:LINE_CHARS].rstrip() for line in text.split("\n")[:MOST_LINES]]
    surely = [_BEGINS.match(line) is not None for line in written]
    likely = [sure or _CODE.match(line) is not None for sure, line in zip(surely, written, strict=True)]
    if not any(surely) and sum(likely) < 2:
        return
    before = ""
    inside = False  # what is indented below code belongs to it
    for number, (line, is_code) in enumerate(zip(written, likely, strict=True), start=1):
        inside = is_code or (inside and (not line or line[0] in " \t"))
        if inside and line:
            yield CodeLine(f"{name}:{number}", line, before)
            before = line


def _spans(name: str, text: str) -> Iterator[CodeLine]:
    """What stands between backticks within sentences, where it does something; a name alone does not."""
    for number, line in enumerate(text.split("\n")[:MOST_LINES], start=1):
        for span in _SPAN.findall(line):
            if _DOES.search(span) and not _SAID.match(span):
                yield CodeLine(f"{name}:{number}", span)


def _texts(step: StepInput) -> Iterator[tuple[str, str]]:
    for file in step.turn.files:
        if file.text:
            yield file.name, file.text
    for name, value in step.inputs.items():
        if isinstance(value, str) and "\n" in value and value != step.turn.text:
            yield name, value
    yield from _in_text("request", step.turn.text)
    for output in step.outputs.values():
        for file in cast("list[Mapping[str, Any]]", output.get("files") or []):
            yield str(file.get("name", "file")), str(file.get("text", ""))


def _in_text(name: str, text: str) -> Iterator[tuple[str, str]]:
    if _is_diff(text):
        yield name, text
        return
    for number, fenced in enumerate(re.findall(r"```[^\n]*\n(.*?)(?:```|\Z)", text, re.DOTALL), start=1):
        yield f"{name}, block {number}", fenced


def _is_diff(text: str) -> bool:
    return re.search(r"(?m)^@@ -\d+(,\d+)? \+\d+", text) is not None


def _lines(name: str, text: str) -> Iterator[CodeLine]:
    if _is_diff(text):
        yield from _added(name, text)
        return
    before = ""
    for number, line in enumerate(text.split("\n"), start=1):
        cut = line[:LINE_CHARS]
        yield CodeLine(f"{name}:{number}", cut, before)
        before = cut


def _added(name: str, diff: str) -> Iterator[CodeLine]:
    """The added lines of a unified diff, with the numbers that they have afterwards."""
    file, number, before = name, 0, ""
    for line in diff.split("\n"):
        cut = line[: LINE_CHARS + 1]
        if cut.startswith("+++ "):
            file = cut[4:].split("\t")[0].removeprefix("b/").strip() or name
        elif start := re.match(r"@@ -\d+(?:,\d+)? \+(\d{1,9})", cut):
            number, before = int(start[1]), ""
        elif cut.startswith("+"):
            yield CodeLine(f"{file}:{number}", cut[1:], before)
            number, before = number + 1, cut[1:]
        elif cut.startswith(" "):
            number, before = number + 1, cut[1:]
