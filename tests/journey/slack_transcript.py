"""A conversation on the Slack twin as lines that people can read, and that are the same in every run.

Ids of runs, times, durations and addresses are replaced. `[Approve]` is a button, `(complete)` the state of a
task, `·` small print, `>` a quotation; what only one person sees begins with `(only ada)`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any, cast

from tests.twins.slack import SlackTwin
from tests.twins.slack.people import Person
from tests.twins.slack.seen import Seen

Json = dict[str, Any]
WIDTH = 110  # a longer line is cut

_SPAN = r"(?:\d+ h )?(?:\d+ min )?\d+(?:\.\d+)? s|\d+ h \d+ min"
_STABLE = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)? UTC"), "<time>"),
    (re.compile(rf"(?<![\w.])(?:{_SPAN})(?!\w)"), "<span>"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "<address>"),
)
_RUN = re.compile(r"\br[a-z2-9]{12}\b")
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)>")
_CHANNEL = re.compile(r"<#([CG][A-Z0-9]+)(?:\|[^>]*)?>")
_ID = re.compile(r"\b[UWCGD][A-F0-9]{6}\d{4}\b")


class Transcript:
    """Writes down what people see. Runs are numbered in the order in which they are first met."""

    def __init__(self, slack: SlackTwin) -> None:
        self._slack = slack
        self._runs: dict[str, str] = {}

    def channel(self, person: Person, channel: str) -> str:
        """A channel as somebody sees it, each message with its thread beneath it."""
        lines: list[str] = []
        for seen in person.sees(channel):
            thread = person.sees(channel, seen.ts)
            lines += self._message(person, seen, "")
            for reply in thread:
                if reply.ts != seen.ts:
                    lines += self._message(person, reply, "  ")
        return "\n".join(lines)

    def thread(self, person: Person, channel: str, thread: str) -> str:
        """A thread as somebody sees it, its root first."""
        lines: list[str] = []
        for number, seen in enumerate(person.sees(channel, thread)):
            lines += self._message(person, seen, "  " if number else "")
        return "\n".join(lines)

    def message(self, person: Person, seen: Seen) -> str:
        """One message."""
        return "\n".join(self._message(person, seen, ""))

    def modal(self, person: Person) -> str:
        """The modal that is open on somebody's screen."""
        view = person.modal
        if view is None:
            return "(no modal)"
        payload = view.payload
        lines = [f"modal: {payload['title']['text']}", *_indented(drawn(payload["blocks"]), "  ")]
        buttons = [payload[name]["text"] for name in ("submit", "close") if payload.get(name)]
        lines.append("  " + " ".join(f"[{label}]" for label in buttons))
        return "\n".join(self._stable(line) for line in lines)

    def home(self, person: Person) -> str:
        """Somebody's App Home."""
        view = person.home
        if view is None:
            return "(no home)"
        return "\n".join(self._stable(line) for line in drawn(view.payload["blocks"]))

    def pane(self, channel: str, thread: str = "") -> str:
        """What Slack shows around a conversation with the bot: title, prompts, every status there was."""
        world = self._slack.world
        lines: list[str] = []
        there = world.threads.get((channel, thread))
        if there is not None and there.title:
            lines.append(f"title: {there.title}")
        offered = world.prompts.get((channel, thread))
        if offered is not None:
            lines.append(f"prompts: {offered.title}")
            lines += [f"  {prompt['title']} → {prompt['message']}" for prompt in offered.prompts]
        said = [status for _, status in there.history] if there is not None else []
        lines += [f"status: {status or '(none)'}" for status in said]
        return "\n".join(self._stable(line) for line in lines)

    def stable(self, text: str) -> str:
        """Text with ids, times and addresses replaced."""
        return "\n".join(self._stable(line) for line in text.splitlines())

    def run_ids(self) -> dict[str, str]:
        """`run-1` → the run's own id."""
        return {name: run_id for run_id, name in self._runs.items()}

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _message(self, person: Person, seen: Seen, indent: str) -> list[str]:
        marks = [
            *([f"only {person.user.name}"] if seen.ephemeral else []),
            *(["edited"] if seen.edited and seen.user == person.id else []),
            *(["streaming"] if seen.streaming else []),
            *(f":{name}:" for name in seen.reactions),
        ]
        who = self._slack.world.users[seen.user].name if seen.user else "Quartet"
        head = f"{who}{''.join(f' ({mark})' for mark in marks)}:"
        body = drawn(seen.blocks) if seen.blocks else html.unescape(seen.text).splitlines()
        body += [f"file {file.name}, {file.mimetype}, {len(file.content):,} bytes" for file in seen.files]
        if len(body) == 1 and not body[0].startswith(("#", "·")):
            lines = [f"{head} {body[0]}"]
        else:
            lines = [head, *_indented(body, "  ")]
        return [self._stable(line) for line in _indented(lines, indent)]

    def _stable(self, line: str) -> str:
        world = self._slack.world
        line = _MENTION.sub(lambda m: f"@{world.users[m[1]].name}" if m[1] in world.users else m[0], line)
        line = _CHANNEL.sub(
            lambda m: f"#{world.channels[m[1]].name}" if m[1] in world.channels else m[0], line
        )
        line = _ID.sub(lambda m: self._named(m[0]), line)
        line = _RUN.sub(lambda m: self._runs.setdefault(m[0], f"run-{len(self._runs) + 1}"), line)
        for pattern, instead in _STABLE:
            line = pattern.sub(instead, line)
        return (line if len(line) <= WIDTH else line[: WIDTH - 1] + "…").rstrip()

    def _named(self, given: str) -> str:
        world = self._slack.world
        if given in world.users:
            return f"<{world.users[given].name}>"
        if given in world.channels:
            return f"<{world.channels[given].name or 'direct message'}>"
        return given


def drawn(blocks: list[Json]) -> list[str]:
    """Blocks as lines."""
    return [line for block in blocks for line in _block(block)]


def _block(block: Json) -> Iterator[str]:
    match block["type"]:
        case "header":
            yield f"# {block['text']['text']}"
        case "section":
            yield from block["text"]["text"].splitlines()
        case "context":
            yield "· " + " · ".join(str(element.get("text", "(image)")) for element in block["elements"])
        case "markdown":
            yield from (line for line in block["text"].splitlines() if line.strip())
        case "rich_text":
            yield from _rich(block)
        case "table":
            for row in block["rows"]:
                cells = cast("list[Json]", row)
                yield " | ".join(" ".join(_rich(cell)) or str(cell.get("text", "")) for cell in cells)
        case "plan":
            yield f"plan: {block['title']}"
            for task in block["tasks"]:
                yield from _indented(list(_block(task)), "  ")
        case "task_card":
            details = " ".join(_rich(block["details"])) if block.get("details") else ""
            yield f"({block['status']}) {block['title']}" + (f" · {details}" if details else "")
        case "actions":
            yield " ".join(f"[{_label(element)}]" for element in block["elements"])
        case "context_actions":
            buttons = ("positive_button", "negative_button")
            yield " ".join(f"[{e[b]['text']['text']}]" for e in block["elements"] for b in buttons)
        case "input":
            yield from _input(block)
        case "divider":
            yield "---"
        case kind:
            raise AssertionError(f"the transcript does not know {kind} blocks")


def _input(block: Json) -> Iterator[str]:
    element: Json = block["element"]
    optional = " (optional)" if block.get("optional") else ""
    chosen: Json = element.get("initial_option") or {}
    label: Json = chosen.get("text") or {}
    value = str(element.get("initial_value") or label.get("text") or "")
    lines = value.splitlines() or [""]
    yield f"{block['label']['text']}{optional}: {lines[0] if len(lines) == 1 else ''}".rstrip()
    if len(lines) > 1:
        yield from _indented(lines, "  | ")
    if block.get("hint"):
        yield f"  · {block['hint']['text']}"


def _label(element: Json) -> str:
    shown: Json = element.get("text") or element.get("placeholder") or {}
    return str(shown.get("text", element["type"]))


def _rich(block: Json) -> Iterator[str]:
    for element in cast("list[Json]", block.get("elements", [])):
        if element["type"] == "rich_text_list":
            for item in element["elements"]:
                yield from _indented(_run_of(item).splitlines(), "- ", "  ")
            continue
        words = _run_of(element).splitlines()
        match element["type"]:
            case "rich_text_quote":
                yield from _indented(words, "> ")
            case "rich_text_preformatted":
                yield from ("```", *words, "```")
            case _:
                yield from words


def _run_of(element: Json) -> str:
    return "".join(_inline(each) for each in element["elements"])


def _inline(element: Json) -> str:
    match element["type"]:
        case "text":
            return str(element["text"])
        case "link":
            return f"{element.get('text') or ''}<{element['url']}>"
        case "channel":
            return f"<#{element['channel_id']}>"
        case "user":
            return f"<@{element['user_id']}>"
        case "emoji":
            return f":{element['name']}:"
        case kind:
            raise AssertionError(f"the transcript does not know {kind} elements")


def _indented(lines: list[str], first: str, others: str | None = None) -> list[str]:
    rest = first if others is None else others
    return [(rest if number else first) + line for number, line in enumerate(lines)]
