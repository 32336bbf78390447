"""Draw the parts of a card as pieces. Pure.

Words of people and models are neutral text or Markdown written anew, so that headings, small print and
the signs of states are ours alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adapters.contract import (
    AgentRow,
    Button,
    Card,
    CardKind,
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
from adapters.discord.custom_ids import press
from adapters.discord.inline import Atom, cuts
from adapters.discord.markdown import LongCode, blocks, code
from adapters.discord.naming import FileNames
from adapters.discord.pieces import ACTION_ROW, BUTTON, Component, Piece
from adapters.discord.ports import Upload
from adapters.discord.text import (
    fitted,
    host_of,
    is_seen,
    link,
    neutral,
    one_line,
    readable,
    units,
    web_address,
)
from adapters.plain import clean_text, png_bytes, row_facts
from adapters.splitting import Piece as Cut

FILE_IN_TEXT = 1_000  # characters of a file that are shown as well
FILE_BYTES = 9_000_000  # Discord takes 10 MiB; larger ones go out in several files
ALT = 1_020  # characters of a picture's description: Discord takes 1,024
SMALL_FACT = 150  # characters
SMALL_FACTS = 8  # in small print
ROW_MARKS: dict[RowState, str] = {
    "waiting": "🕓",
    "working": "⏳",
    "asking": "✋",
    "done": "✅",
    "failed": "❌",
    "skipped": "➖",
}
_STYLES = {"primary": 1, "plain": 2, "danger": 4}
_GOOD, _LINK = 3, 5  # Discord's styles beside them


# ── words ────────────────────────────────────────────────────────────────────────────────────


def plain_atoms(text: str, *marks: str, line_start: str = "") -> list[Atom]:
    """Any text as it is. `line_start` stands behind each of its line breaks."""
    if not is_seen(text):
        return [Atom(unit) for unit in units(text)]
    return [Atom(unit.replace("\n", f"\n{line_start}"), marks) for unit in units(readable(text).strip())]


def bold(text: str) -> list[Atom]:
    """Words in one line, strong."""
    return plain_atoms(one_line(text), "**")


def line(lead: str, *groups: Iterable[Atom]) -> list[Cut]:
    """Atoms behind `lead`."""
    return cuts([atom for group in groups for atom in group], lead)


def small(*texts: str) -> str:
    """Small print: texts in one line; "" where there are none."""
    said = " · ".join(neutral(one_line(text)) for text in texts if is_seen(text))
    return f"-# {said}" if said else ""


def _texts(found: Iterable[Cut], group: int) -> list[Piece]:
    return [Piece(cut=cut, group=group) for cut in found]


# ── parts ────────────────────────────────────────────────────────────────────────────────────


def part_pieces(card: Card, names: FileNames) -> list[list[Piece]]:
    """The pieces of each part of a card; the first part's group is 1."""
    found: list[list[Piece]] = []
    for group, part in enumerate(card.parts, start=1):
        match part.kind:
            case "markdown":
                pieces = _markdown(part.text, group, names)
            case "rows":
                pieces = _texts(_rows(part), group)
            case "plan":
                pieces = _texts(_plan(part), group)
            case "sources":
                pieces = _texts(_sources(part), group)
            case "facts":
                pieces = _texts(_facts(part, card.kind), group)
            case "notes":
                pieces = _texts(_notes(part), group)
            case "file":
                pieces = _file(part, group, names)
            case "image":
                pieces = _image(part, group, names)
        found.append(pieces)
    return found


def _markdown(text: str, group: int, names: FileNames) -> list[Piece]:
    pieces: list[Piece] = []
    for number, found in enumerate(blocks(text)):
        if isinstance(found, LongCode):
            pieces += _long_code(found, "\n" if number else "", group, names)
        else:
            pieces.append(Piece(cut=found, group=group))
    return pieces


def _long_code(found: LongCode, lead: str, group: int, names: FileNames) -> list[Piece]:
    files = uploads(f"code.{found.extension}", found.content, names)
    language = f" ({found.language})" if found.language else ""
    where = ", ".join(file.name for file in files)
    said = f"Code{language}, {found.content.count(chr(10)):,} lines, attached: {where}"
    return [Piece(cut=Cut("", f"{lead}{small(said)}", ""), group=group), *_attached(files, group)]


def _rows(part: RowsPart) -> list[Cut]:
    if not part.rows:
        return []
    done = sum(row.stands_for for row in part.rows if row.state == "done")
    found = [Cut("", small(f"Agents: {done} of {sum(row.stands_for for row in part.rows)} done"), "")]
    for row in part.rows:
        found += _row(row)
    return found


def _row(row: AgentRow) -> list[Cut]:
    name = bold(row.name)
    said = f": {row.state}" if name else row.state
    doing = plain_atoms(one_line(f" · {row.doing}")) if is_seen(row.doing) else []
    found = line(f"\n{ROW_MARKS[row.state]} ", name, [Atom(said)], doing and [Atom(" ")], doing)
    facts = small(*row_facts(row))
    return [*found, Cut("", f"\n{facts}", "")] if facts else found


def _plan(part: PlanPart) -> list[Cut]:
    found = line("", bold("Goal"), [Atom("\n")], plain_atoms(part.goal))
    found += _listed("Outline", [plain_atoms(section, line_start="  ") for section in part.outline])
    found += _listed("Tasks", [_task(task) for task in part.tasks])
    return found + _listed("Risks", [plain_atoms(risk, line_start="  ") for risk in part.risks])


def _task(task: TaskLine) -> list[Atom]:
    facts = [task.state] if task.state else []
    if task.depends_on:
        facts.append(f"after {', '.join(task.depends_on)}")
    found = bold(f"{task.id}: {task.title}")
    if facts:
        found += [Atom(" "), *plain_atoms(one_line(f"({'; '.join(facts)})"))]
    if task.acceptance:
        found += [Atom("\n  Done when: "), *plain_atoms(task.acceptance, line_start="  ")]
    return found


def _listed(title: str, items: Sequence[list[Atom]]) -> list[Cut]:
    found: list[Cut] = []
    for item in items:
        lead = "\n- " if found else f"\n\n**{title}**\n- "
        found += line(lead, item)
    return found


def _sources(part: SourcesPart) -> list[Cut]:
    found = line("", bold("Sources"))
    for source in part.sources:
        found += _source(source)
    return found


def _source(source: SourceLine) -> list[Cut]:
    title, address = one_line(source.title), web_address(readable(source.url))
    number = Atom(neutral(f"[{source.number}] "))
    shown = link(title, source.url)
    if len(shown) > 1_500 or address is None:  # can be cut
        said = plain_atoms(f"{title} ({source.url})" if title else source.url)
    elif shown.startswith("["):
        said = [Atom(shown), Atom(f" · {neutral(host_of(address))}")]
    else:
        said = [Atom(shown)]
    found = line("\n", [number], said)
    if is_seen(source.quoted):
        found += cuts(plain_atoms(source.quoted, line_start="> "), "\n> ", "> ")
    return found


def _notes(part: NotesPart) -> list[Cut]:
    found = line("", bold(part.title if is_seen(part.title) else "Notes"))
    for note in part.notes:
        found += line("\n- ", plain_atoms(note, line_start="  "))
    return found


def _facts(part: FactsPart, kind: CardKind) -> list[Cut]:
    """Figures below other things are small print; what is a card's content stands in lines of its own."""
    in_small = kind not in ("approval", "reply") and len(part.facts) <= SMALL_FACTS
    colon = "" if kind == "reply" else ":"
    found: list[Cut] = []
    for label, value in part.facts:
        said = f"{label}: {value}"
        lead = "\n" if found else ""
        if in_small and len(said) <= SMALL_FACT and "\n" not in said:
            joined = found and found[-1].body.lstrip("\n").startswith("-# ") and len(found[-1].body) < 100
            text = small(said)
            if joined:
                found[-1] = Cut("", f"{found[-1].body} · {text.removeprefix('-# ')}", "")
            else:
                found.append(Cut("", f"{lead}{text}", ""))
            continue
        found += line(lead, bold(f"{label}{colon}"), [Atom(" ")], plain_atoms(value))
    return found


def _file(part: FilePart, group: int, names: FileNames) -> list[Piece]:
    about = f"{part.media_type}, " if is_seen(part.media_type) else ""
    said = f"📄 {one_line(part.name) or 'File'} ({one_line(about)} {len(part.text):,} characters)"
    pieces = _texts(line("", plain_atoms(one_line(said))), group)
    if not part.text:  # Discord refuses empty files
        return pieces
    if len(part.text) <= FILE_IN_TEXT:
        pieces += _texts(code(part.text, lead="\n"), group)
    return [*pieces, *_attached(uploads(part.name, part.text, names), group)]


def _image(part: ImagePart, group: int, names: FileNames) -> list[Piece]:
    """A picture with its description; without one, or where that is too long, the words as well."""
    content = png_bytes(part)
    words = f"Picture: {part.alt}"
    alt = fitted(words, ALT)
    said = _texts(line("", plain_atoms(words)), group)
    if not content or len(content) > FILE_BYTES:
        return said
    shown = Piece(file=Upload(names.give(f"{part.name}.png"), content), alt=alt, group=group)
    return [shown] if alt == one_line(words) else [shown, *said]


# ── files ────────────────────────────────────────────────────────────────────────────────────


def uploads(name: str, text: str, names: FileNames) -> list[Upload]:
    """A text as a file; as several where it is larger than Discord takes. Joined they are the text."""
    content = clean_text(text).encode()
    found: list[Upload] = []
    at = 0
    while at < len(content):
        end = min(at + FILE_BYTES, len(content))
        while end < len(content) and content[end] & 0xC0 == 0x80:  # never inside a character
            end -= 1
        found.append(Upload(names.give(name), content[at:end]))
        at = end
    return found


def _attached(files: Sequence[Upload], group: int) -> list[Piece]:
    return [Piece(file=file, group=group) for file in files]


def whole_text(name: str, text: str, names: FileNames, group: int) -> list[Piece]:
    """A text attached, and words that say so."""
    files = uploads(name, text, names)
    said = small(f"There is more: the whole text is attached as {', '.join(file.name for file in files)}")
    return [Piece(cut=Cut("", said, ""), group=group), *_attached(files, group)]


# ── buttons ──────────────────────────────────────────────────────────────────────────────────


def button(label: str, custom_id: str, style: int = 2) -> Component:
    """A button that tells us of a press."""
    return {"type": BUTTON, "style": style, "label": label_text(label), "custom_id": custom_id}


def link_button(label: str, url: str) -> Component:
    """A button that leads to an address; nobody is told."""
    return {"type": BUTTON, "style": _LINK, "label": label_text(label), "url": url}


def label_text(label: str) -> str:
    """Words on a button: plain, at most 80 characters, never empty."""
    words = fitted(label, 80)
    return words if is_seen(words) else "–"


def card_button(given: Button) -> Component:
    """A card's button.

    Raises:
        CardRefused: its target is longer than Discord carries.
    """
    style = _GOOD if given.action == "approve" and given.style == "primary" else _STYLES[given.style]
    label = given.label if is_seen(given.label) else given.action
    return button(label, press(given.action, given.target), style)


def feedback_buttons(run_id: str) -> list[Component]:
    """With them people say whether an answer was good."""
    return [button("👍 Good answer", press("good", run_id)), button("👎 Bad answer", press("bad", run_id))]


def action_row(buttons: Sequence[Component]) -> Component:
    """A row of at most five buttons."""
    return {"type": ACTION_ROW, "components": list(buttons)}


def button_rows(found: Sequence[Component], group: int) -> list[Piece]:
    """Buttons in rows of five. What would be told apart by nothing stands there once."""
    several = list({one.get("custom_id") or one.get("url"): one for one in reversed(found)}.values())[::-1]
    return [
        Piece(component=action_row(several[at : at + 5]), group=group) for at in range(0, len(several), 5)
    ]
