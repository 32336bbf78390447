"""Draw the parts of a card as pieces: what a part says is in their texts, how it looks in their blocks. Pure.

Words of people and models stand in rich text, plain text or Markdown blocks, never in mrkdwn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from adapters.contract import (
    AgentRow,
    Button,
    Card,
    CardPart,
    FactsPart,
    FilePart,
    ImagePart,
    NotesPart,
    PlanPart,
    RowsPart,
    RowState,
    SourceLine,
    SourcesPart,
    TaskLine,
)
from adapters.errors import CardRefused
from adapters.plain import card_text, clean_text, png_bytes, row_facts
from adapters.slack.pieces import TEXT, TEXT_AT_MOST, Block, Piece, SlackFile, rich_block
from adapters.slack.tables import Run, file_name, runs
from adapters.slack.text import cut_escaped, neutral_length, shielded, shortened
from adapters.splitting import split_pieces

FINE = 750  # characters of a piece of running text: even if each is escaped it fits in a message
NATIVE = TEXT - 100  # characters, escaped: what is longer is shown as plain lines that can be cut
FILE_IN_TEXT = 3_000  # characters of a file that are read out too; longer ones are in the file alone
LONG_FACT = 150
ALT = 1_000  # characters of a picture's description
MOST_TASKS = 50  # in one plan of Slack's
TASK_STATES: dict[RowState, str] = {
    "waiting": "pending",
    "working": "in_progress",
    "asking": "in_progress",
    "done": "complete",
    "failed": "error",
    "skipped": "pending",
}


# ── elements ─────────────────────────────────────────────────────────────────────────────────


def plain_object(text: str, limit: int = 3_000) -> Block:
    """A plain-text object: no markup, no emoji codes; never empty, which Slack refuses."""
    return {"type": "plain_text", "text": shortened(shielded(clean_text(text)), limit) or "–", "emoji": False}


def context(texts: Sequence[str]) -> Block:
    """Small print: at most 10 texts, none empty."""
    return {"type": "context", "elements": [plain_object(text) for text in texts]}


def words(text: str, *, bold: bool = False) -> Block:
    """Words in rich text; never empty."""
    return {"type": "text", "text": text, "style": {"bold": True}} if bold else {"type": "text", "text": text}


def section(*elements: Block) -> Block:
    """A paragraph of rich text. Empty words are left out: Slack refuses them."""
    said = [element for element in elements if element.get("text") != ""]
    return {"type": "rich_text_section", "elements": said or [words("–")]}


def bullet(*elements: Block) -> Block:
    """One item of a list."""
    return {"type": "rich_text_list", "style": "bullet", "elements": [section(*elements)]}


def web_link(url: str, text: str) -> Block | None:
    """A link, where a browser may be sent there (a path in the knowledge folder is none)."""
    if len(url) > 3_000 or not re.fullmatch(r"https?://[^\s<>|\"\\]+", url, re.IGNORECASE):
        return None
    try:
        if not urlsplit(url).hostname:
            return None
    except ValueError:  # brackets that are no address
        return None
    return {"type": "link", "url": url, "text": text or url}


def plain_pieces(text: str, *, bold: bool = False) -> list[Piece]:
    """Any text as it is, in pieces small enough to be put anywhere."""
    return [_plain_piece(cut.body, bold=bold) for cut in split_pieces(text, FINE)]


def _plain_piece(text: str, *, bold: bool) -> Piece:
    shown = text.strip("\n")
    return Piece(text, rich=(section(words(shown, bold=bold)),) if shown.strip() else ())


def native(text: str, *elements: Block) -> list[Piece]:
    """One piece of rich text; plain lines where the text is too long for one."""
    if neutral_length(text) > NATIVE:
        return plain_pieces(text)
    return [Piece(text, rich=elements)]


# ── parts ────────────────────────────────────────────────────────────────────────────────────


def part_pieces(card: Card) -> list[list[Piece]]:
    """The pieces of each part of a card."""
    found: list[list[Piece]] = []
    rows = codes = 0
    for index, part in enumerate(card.parts):
        match part.kind:
            case "markdown":
                pieces, codes = _markdown(part.text, index, codes)
            case "rows":
                pieces = _rows(part, card, rows)
                rows += len(part.rows)
            case "plan":
                pieces = _plan(part)
            case "sources":
                pieces = _sources(part)
            case "facts":
                pieces = _facts(part)
            case "notes":
                pieces = _notes(part)
            case "file":
                pieces = _file(part)
            case "image":
                pieces = _image(part)
        found.append(pieces)
    return found


def text_of(*parts: CardPart) -> str:
    """The plain text of parts."""
    return card_text(Card.model_construct(title="", status="", label="", parts=parts, buttons=()))


def _markdown(text: str, source: int, codes: int) -> tuple[list[Piece], int]:
    pieces: list[Piece] = []
    for run in runs(text):
        if run.kind == "code":
            codes += 1
            pieces += _code(run, codes)
        elif run.kind == "table" and run.table is not None and neutral_length(run.text) <= 2 * TEXT:
            cut = split_pieces(run.text, max(len(run.text), FINE))[0]
            pieces.append(Piece(run.text, markdown=cut, source=source, table=run.table, whole=True))
        else:
            is_whole = run.kind == "fence" and neutral_length(run.text) <= NATIVE
            cuts = split_pieces(run.text, len(run.text) + FINE if is_whole else FINE)
            pieces += [Piece(cut.body, markdown=cut, source=source) for cut in cuts]
    return pieces, codes


def _code(run: Run, number: int) -> list[Piece]:
    """Code that is too long to read in a conversation: attached. The message's text holds it as well."""
    name = file_name(run, number)
    lines = run.content.count("\n")
    said = f"Code{f' ({run.language})' if run.language else ''}, {lines:,} lines: in the attached file {name}"
    file = SlackFile(name, name, run.content)
    parts = cut_escaped(run.text, TEXT_AT_MOST - 1_000)
    first = Piece(parts[0], blocks=(context([said]),), files=(file,), whole=True)
    return [first, *(Piece(p, blocks=(context([f"{said} (goes on)"]),), whole=True) for p in parts[1:])]


def _rows(part: RowsPart, card: Card, first: int) -> list[Piece]:
    text = text_of(part)
    too_many = len(part.rows) > MOST_TASKS or len(task_id(card, first + len(part.rows))) > 255
    if not part.rows or too_many or neutral_length(text) > NATIVE:
        return plain_pieces(text)
    done = sum(row.stands_for for row in part.rows if row.state == "done")
    plan: Block = {
        "type": "plan",
        "title": f"Agents: {done} of {sum(row.stands_for for row in part.rows)} done",
        "tasks": [_task_card(row, task_id(card, first + n)) for n, row in enumerate(part.rows)],
    }
    return [Piece(text, blocks=(plan,))]


def task_id(card: Card, row: int) -> str:
    """The id of an agent's task card, by which a streamed message is found again."""
    return f"{card.id}#{row}"


def row_title(row: AgentRow) -> str:
    """Name and state in words: Slack's sign alone would not tell everybody."""
    return shielded(f"{row.name}: {row.state}" if row.name else row.state)


def row_details(row: AgentRow) -> str:
    """What the agent does, and what that took so far."""
    return " · ".join(bit for bit in (row.doing, *row_facts(row)) if bit)


def _task_card(row: AgentRow, identity: str) -> Block:
    found: Block = {
        "type": "task_card",
        "task_id": identity,
        "title": row_title(row),
        "status": TASK_STATES[row.state],
    }
    if details := row_details(row):
        found["details"] = rich_block([section(words(details))])
    return found


def _plan(part: PlanPart) -> list[Piece]:
    goal = text_of(PlanPart(goal=part.goal, tasks=()))
    pieces = native(goal, section(words("Goal: ", bold=True), words(part.goal)))
    empty = PlanPart(goal="", tasks=())
    pieces += _listed(
        "Outline", [(empty.model_copy(update={"outline": (o,)}), [words(o)]) for o in part.outline]
    )
    pieces += _listed(
        "Tasks", [(empty.model_copy(update={"tasks": (t,)}), _task_words(t)) for t in part.tasks]
    )
    pieces += _listed("Risks", [(empty.model_copy(update={"risks": (r,)}), [words(r)]) for r in part.risks])
    return pieces


def _listed(title: str, items: Iterable[tuple[PlanPart, list[Block]]]) -> list[Piece]:
    """One of a plan's lists; each item is drawn from a plan that holds nothing else."""
    pieces: list[Piece] = []
    heading = f"\n\n{title}:"
    for alone, elements in items:
        text = text_of(alone).removeprefix("Goal: ")
        if pieces:
            pieces += native(text.removeprefix(heading), bullet(*elements))
        else:
            pieces += native(text, section(words(title, bold=True)), bullet(*elements))
    return pieces


def _task_words(task: TaskLine) -> list[Block]:
    facts = [task.state] if task.state else []
    if task.depends_on:
        facts.append(f"after {', '.join(task.depends_on)}")
    found = [words(f"{task.id}: {task.title}", bold=True)]
    if facts:
        found.append(words(f" ({'; '.join(facts)})"))
    if task.acceptance:
        found.append(words(f"\nDone when: {task.acceptance}"))
    return found


def _sources(part: SourcesPart) -> list[Piece]:
    heading = text_of(SourcesPart(sources=()))
    pieces = [Piece(heading, rich=(section(words("Sources", bold=True)),))]
    for source in part.sources:
        text = text_of(SourcesPart(sources=(source,))).removeprefix(heading)
        pieces += native(text, *_source_elements(source))
    return pieces


def _source_elements(source: SourceLine) -> list[Block]:
    link = web_link(source.url, source.title.strip())
    number = words(f"[{source.number}] ")
    if link is None:
        line = section(number, words(f"{source.title} ({source.url})"))
    elif link["text"] == source.url:
        line = section(number, link)
    else:  # the title may say anything: where it leads is said too
        line = section(number, link, words(f" ({urlsplit(source.url).hostname})"))
    if not source.quoted.strip():
        return [line]
    return [line, {"type": "rich_text_quote", "elements": [words(source.quoted)]}]


def _notes(part: NotesPart) -> list[Piece]:
    heading = text_of(NotesPart(title=part.title, notes=()))
    pieces = native(heading, section(words(part.title or "Notes", bold=True)))
    for note in part.notes:
        text = text_of(NotesPart(title=part.title, notes=(note,))).removeprefix(heading)
        pieces += native(text, bullet(words(note)))
    return pieces


def _facts(part: FactsPart) -> list[Piece]:
    pieces: list[Piece] = []
    small: list[str] = []
    waiting = ""
    for index, fact in enumerate(part.facts):
        said = text_of(FactsPart(facts=(fact,)))
        text = f"\n{said}" if index else said
        if len(said) <= LONG_FACT and "\n" not in said:
            small.append(said)
            waiting += text
            if len(small) == 10:  # Slack takes no more in one context block
                pieces.append(Piece(waiting, blocks=(context(small),)))
                small, waiting = [], ""
            continue
        if small:
            pieces.append(Piece(waiting, blocks=(context(small),)))
            small, waiting = [], ""
        label, value = fact
        pieces += native(text, section(words(f"{label}: ", bold=True), words(value)))
    if small:
        pieces.append(Piece(waiting, blocks=(context(small),)))
    return pieces


def _file(part: FilePart) -> list[Piece]:
    name = re.sub(r"[^\w.\-() ]+", "_", part.name).strip()[-100:] or "file.txt"
    said = f"File: {part.name} ({part.media_type})"
    if not part.text:
        return plain_pieces(f"{said}\n\n")
    file = SlackFile(name, shortened(part.name or name, 200), part.text)
    shown = context([f"{shortened(said, 1_000)}, {len(part.text):,} characters, attached"])
    text = text_of(part) if len(part.text) <= FILE_IN_TEXT else said
    cuts = cut_escaped(text, NATIVE)
    return [Piece(cuts[0], blocks=(shown,), files=(file,)), *(Piece(cut) for cut in cuts[1:])]


def _image(part: ImagePart) -> list[Piece]:
    """A picture as a file, which Slack shows in the conversation; without one, what it shows in words."""
    text = text_of(part)
    content = png_bytes(part)
    if not content:
        return plain_pieces(text)
    stem = re.sub(r"[^\w-]+", "_", part.name).strip("_")[-80:] or "picture"
    file = SlackFile(f"{stem}.png", shortened(part.name or stem, 200), content, shortened(part.alt, ALT))
    shown = context([f"The picture is in the attached file {file.name}"])
    if file.alt != part.alt:  # the words are more than the file carries
        return [*plain_pieces(text), Piece("", blocks=(shown,), files=(file,))]
    # Who does not see the picture hears all of it; on the screen it stands once, as the picture.
    cuts = cut_escaped(text, NATIVE) or [""]
    return [Piece(cuts[0], blocks=(shown,), files=(file,)), *(Piece(cut) for cut in cuts[1:])]


# ── buttons ──────────────────────────────────────────────────────────────────────────────────


def button_block(button: Button, action_id: str, value: str) -> Block:
    """A button as an element.

    Raises:
        CardRefused: what it stands for is longer than Slack carries.
    """
    if len(value) > 2_000 or len(action_id) > 255:
        raise CardRefused(f"the button {button.label[:40]!r} has a target longer than 2,000 characters")
    found: Block = {
        "type": "button",
        "text": plain_object(button.label.strip() or button.action, 75),
        "action_id": action_id,
        "value": value,
    }
    if button.style != "plain":
        found["style"] = button.style
    return found


def action_blocks(buttons: Sequence[Button], suffix: str = "") -> list[Block]:
    """Buttons in rows of at most 25. `suffix` is added to each target."""
    blocks: list[Block] = []
    for start in range(0, len(buttons), 25):
        row = buttons[start : start + 25]
        actions = [button.action for button in row]
        elements = [
            button_block(
                button,
                f"quartet:{button.action}" + (f":{n}" if actions.count(button.action) > 1 else ""),
                button.target + suffix,
            )
            for n, button in enumerate(row)
        ]
        blocks.append({"type": "actions", "elements": elements})
    return blocks


def spread(text: str, blocks: Sequence[Block]) -> list[Piece]:
    """Blocks with a text of any length: they stand at its end."""
    cuts = cut_escaped(text, NATIVE) or [""]
    last = Piece(cuts[-1], blocks=tuple(blocks))
    return [*(replace(last, text=cut, blocks=()) for cut in cuts[:-1]), last]
