"""Draw cards as terminal text: plain lines, live rows, Markdown. Pure: no console, no clock of its own.

Untrusted text is cleaned here, once, before it meets rich; rich's own markup is never parsed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

import yaml
from markdown_it import MarkdownIt
from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from adapters.contract import AgentRow, Button, Card, CardPart, Form, RowState
from adapters.plain import card_text, row_facts
from adapters.terminal.clean import clean
from adapters.terminal.inbound import LETTERS

RULE = "── "
_MARKS: dict[RowState, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "working": ("…", "cyan"),
    "asking": ("?", "yellow"),
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "dim"),
}
# Raw HTML, images and link definitions would vanish from the screen: they stay as they were written.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
_PARSER.disable(["image", "reference"])
# A backslash before punctuation; in code it is one of the characters that somebody wrote.
_ESCAPED = re.compile(
    r"(?ms)^ {0,3}(?P<fence>~~~+|```+)[^\n]*\n.*?(?:^ {0,3}(?P=fence)|\Z)"
    r"|(?<!`)(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)"
    r"|\\(?P<meant>[!-/:-@\[-`{-~])"
)


# ── plain lines ──────────────────────────────────────────────────────────────────────────────


def headline(card: Card) -> str:
    """Title, status and label in one line."""
    return clean(" · ".join(bit for bit in (card.title, card.status, card.label) if bit))


def heading(card: Card) -> str:
    """The line with which a card begins; a change of the headline alone is told without the rule."""
    return f"{RULE}{headline(card)}"


def part_text(part: CardPart) -> str:
    """One part as plain text; what Markdown writes with a backslash stands there as it is meant."""
    if part.kind == "markdown":
        return clean(_ESCAPED.sub(lambda found: found["meant"] or found[0], part.text))
    return clean(card_text(Card.model_construct(title="", status="", label="", parts=(part,), buttons=())))


def hints(buttons: Iterable[Button]) -> str:
    """What one can do at a terminal instead of pressing the buttons that no prompt asks about."""
    ways = {
        "stop": "Ctrl-C",
        "pause": "quartet runs pause {}",
        "resume": "quartet runs resume {}",
        "retry": "ask again",
    }
    return clean(
        " · ".join(f"{b.label}: {ways[b.action].format(b.target)}" for b in buttons if b.action in ways)
    )


def options(buttons: Iterable[Button]) -> str:
    """The prompt's choices: `[a] Approve · [e] Edit …`."""
    return clean(" · ".join(f"[{LETTERS[b.action]}] {b.label}" for b in buttons if b.action in LETTERS))


def lines(card: Card) -> list[str]:
    """All of a card, line by line."""
    if is_picture(card):
        return [picture_line(card)]
    found = [heading(card)]
    for part in card.parts:
        found += part_text(part).split("\n")
    found += [text for text in (hints(card.buttons),) if text]
    return found


def is_picture(card: Card) -> bool:
    """Whether there is nothing on a card but pictures, which a terminal tells in a line."""
    return bool(card.parts) and all(part.kind == "image" for part in card.parts) and not card.buttons


def picture_line(card: Card) -> str:
    """A card of pictures in one line, however long."""
    said = " ".join(part_text(part) for part in card.parts)
    return " ".join(f"{heading(card)} · {said}".split())


def news(old: Card, new: Card) -> list[str]:
    """The lines of `new` that say something which `old` did not; counting on is no news."""
    told = Counter(lines(_settled(old)))
    fresh = [headline(new)] if headline(new) != headline(old) else []
    for line in lines(_settled(new))[1:]:
        if told[line] > 0:
            told[line] -= 1
        elif line.strip():
            fresh.append(line)
    return fresh


def _settled(card: Card) -> Card:
    """The card without what changes at every look: the counters of agents at work, totals before the end."""
    parts: list[CardPart] = []
    for part in card.parts:
        if part.kind == "rows":
            rows = tuple(
                row.model_copy(update={"seconds": None, "tokens": 0, "cost_usd": None})
                if row.state in ("working", "asking", "waiting")
                else row
                for row in part.rows
            )
            parts.append(part.model_copy(update={"rows": rows}))
        elif part.kind != "facts" or not card.buttons:
            parts.append(part)
    return card.model_copy(update={"parts": tuple(parts), "buttons": ()})


# ── live rows ────────────────────────────────────────────────────────────────────────────────


def live_view(card: Card, now: datetime) -> RenderableType:
    """A status card as it looks at `now` (aware): agents at work count on by themselves."""
    views: list[RenderableType] = [Text(heading(card), style="bold")]
    for part in card.parts:
        if part.kind == "rows":
            views.append(_rows_view(part.rows, now))
        elif part.kind == "markdown":
            views.append(markdown_view(part.text))
        else:
            views.append(Text(part_text(part), style="dim"))
    if hint := hints(card.buttons):
        views.append(Text(hint, style="dim"))
    return Group(*views)


def busy_view(text: str) -> RenderableType:
    """A line that moves while work goes on."""
    return Spinner("dots", Text(clean(text)))


def _rows_view(rows: Iterable[AgentRow], now: datetime) -> Table:
    grid = Table.grid(padding=(0, 1))
    for _ in range(4):
        grid.add_column(overflow="fold")
    for row in rows:
        mark, style = _MARKS[row.state]
        counted = row
        if row.state == "working" and row.since is not None:
            counted = row.model_copy(update={"seconds": max(0.0, (now - row.since).total_seconds())})
        said = clean(f"{row.state}, {row.doing}" if row.doing else row.state)
        facts = Text(", ".join(row_facts(counted)), style="dim")
        grid.add_row(Text(mark, style=style), Text(clean(row.name), style=style), Text(said), facts)
    return grid


# ── cards that stay ──────────────────────────────────────────────────────────────────────────


def still_view(card: Card) -> RenderableType:
    """A card that is printed once: headline, parts, hints."""
    if is_picture(card):
        return Text(picture_line(card), style="dim")
    views: list[RenderableType] = [Text(heading(card), style="bold")]
    views += [v for part in card.parts for v in (Text(""), _still_part(part))]
    if hint := hints(card.buttons):
        views.append(Text(hint, style="dim"))
    return Group(*views)


def answer_view(card: Card) -> RenderableType:
    """An answer's parts, rendered for a terminal; its headline goes with the progress."""
    views: list[RenderableType] = []
    for part in card.parts:
        views += [_still_part(part), Text("")]
    return Group(*views, Text(clean(card.label), style="dim")) if card.label else Group(*views)


def _still_part(part: CardPart) -> RenderableType:
    return markdown_view(part.text) if part.kind == "markdown" else Text(part_text(part))


def markdown_view(text: str) -> Markdown:
    """Markdown for the screen. No hyperlinks: an address is shown, so that nobody is led astray."""
    view = Markdown("", hyperlinks=False)
    view.markup = clean(text)
    view.parsed = _PARSER.parse(view.markup)
    return view


def answer_markdown(card: Card) -> str:
    """An answer as Markdown source, as a pipe gets it. Ends with a line break."""
    blocks = [_markdown_part(part) for part in card.parts]
    if card.label:
        blocks.append(f"_{clean(card.label)}_")
    return "\n\n".join(block.strip("\n") for block in blocks if block.strip()) + "\n"


def _markdown_part(part: CardPart) -> str:
    match part.kind:
        case "markdown":
            return clean(part.text)
        case "sources":
            found: list[str] = []
            for source in part.sources:
                found.append(f"- [{source.number}] {source.title} ({source.url})")
                found += [f"  > {line}" for line in source.quoted.splitlines()]
            return clean("\n".join(["## Sources", "", *found]))
        case "notes":
            return clean("\n".join([f"## {part.title}", "", *(f"- {note}" for note in part.notes)]))
        case "facts":
            return clean("\n".join(f"- {label}: {value}" for label, value in part.facts))
        case "file":
            fence = "```"
            while fence in part.text:
                fence += "`"
            head = f"## {part.name} ({part.media_type})"
            return clean(f"{head}\n\n{fence}\n{part.text}\n{fence}")
        case "rows" | "plan" | "image":
            return part_text(part)


# ── forms ────────────────────────────────────────────────────────────────────────────────────


class _Block(str):
    """Text that YAML shows as a block, line by line."""


class _Dumper(yaml.SafeDumper):
    pass


def _show_block(dumper: yaml.SafeDumper, text: _Block) -> yaml.ScalarNode:
    return dumper.represent_scalar(  # pyright: ignore[reportUnknownMemberType]
        "tag:yaml.org,2002:str", str(text), style="|" if "\n" in text.strip("\n") else None
    )


_Dumper.add_representer(_Block, _show_block)


def form_file(form: Form, errors: Mapping[str, str]) -> str:
    """A form as a YAML file for an editor: `name: value`, with labels, hints and errors as comments."""
    found = [_comment(clean(text)) for text in (form.title, form.note) if text]
    if "" in errors:
        found.append(_comment(f"ERROR: {clean(errors[''])}"))
    for field in form.fields:
        found.append("")
        found.append(_comment(clean(field.label + ("" if field.required else " (may stay empty)"))))
        if field.hint:
            found.append(_comment(clean(field.hint)))
        if field.choices:
            found.append(_comment(clean(f"One of: {', '.join(value for value, _ in field.choices)}")))
        if field.name in errors:
            found.append(_comment(f"ERROR: {clean(errors[field.name])}"))
        # What ends with line breaks stands in quotes: in a block the next blank line would be part of it.
        given = field.value if field.value.endswith("\n") else _Block(field.value)
        value = {field.name: given}
        found.append(yaml.dump(value, Dumper=_Dumper, allow_unicode=True, width=10_000).rstrip("\n"))
    return "\n".join(found) + "\n"


def with_values(form: Form, values: Mapping[str, str]) -> Form:
    """The form with what was typed so far, so that a second round begins there."""
    fields = tuple(f.model_copy(update={"value": values.get(f.name, f.value)}) for f in form.fields)
    return form.model_copy(update={"fields": fields})


def _comment(text: str) -> str:
    return "\n".join(f"# {line}" for line in text.split("\n"))
