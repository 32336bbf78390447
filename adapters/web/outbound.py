"""Draw cards and people's messages as HTML. Pure: no network, no clock, no database.

Everything on a card is shown; every text on it is untrusted and never becomes markup. The templates
escape by themselves; the one exception is Markdown, which `markdown.py` makes safe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from adapters.contract import Card, Form, SourcesPart
from adapters.plain import clean_text, cost_text, seconds_text
from adapters.web.markdown import render_markdown
from adapters.web.messages import Listed, Notice, Said
from adapters.web.pictures import safe_svg

Tone = Literal["idle", "busy", "asking", "done", "failed"]
PREVIEW = 20_000  # characters of a file that are shown; the whole is behind its link

# Which shape stands beside a word of state; the first that fits. Unknown words get none.
_TONES: tuple[tuple[str, Tone], ...] = (
    (r"wait\w* for|asking|approval|needs", "asking"),
    (r"fail|error|reject|expired|stopp|refused|withdrawn", "failed"),
    (r"complet|done|approved|answered|finished|accepted", "done"),
    (r"work|run|start|resum|research|plann|build|review|revis|stopping", "busy"),
)

# What was taken as it was meant: nothing is left to do about it, so the page shows it for a moment only.
_TAKEN = re.compile(r"(Taken as|Handed to|Thank you|Nothing was changed)[^\n.;]{0,60}\.")


def tone_of(word: str) -> Tone:
    """The shape and colour that go with a word of state. The word itself is always shown too."""
    lowered = word.casefold()
    for pattern, tone in _TONES:
        if re.search(pattern, lowered):
            return tone
    return "idle"


def said_html(said: Said, slug: str) -> Markup:
    """One message of the conversation: a person's words, or a card."""
    if said.card is None:
        return _draw(_TURN, said=said, path=f"/c/{quote(slug, safe='')}")
    return card_html(said.card, message_id=said.id, slug=slug, position=said.position, at=said.at)


def card_html(card: Card, *, message_id: str, slug: str, position: int, at: datetime) -> Markup:
    """A card as an `<article>` whose id is the message's."""
    sources = frozenset(
        source.number for part in card.parts if isinstance(part, SourcesPart) for source in part.sources
    )
    anchor = f"{message_id}-source-"

    def markdown(text: str) -> Markup:
        return render_markdown(clean_text(text), sources=sources, anchor=anchor)

    return _draw(
        _CARD,
        card=card,
        id=message_id,
        position=position,
        at=at,
        anchor=anchor,
        path=f"/c/{quote(slug, safe='')}",
        tone=tone_of(card.status),
        markdown=markdown,
        preview=PREVIEW,
    )


def form_html(
    form: Form, *, slug: str, nonce: str, values: Mapping[str, str], errors: Mapping[str, str]
) -> Markup:
    """A form in answer to a click; with what was wrong at its fields when it is shown again."""
    known = {field.name for field in form.fields}
    return _draw(
        _FORM,
        form=form,
        path=f"/c/{quote(slug, safe='')}",
        nonce=nonce,
        values=values,
        errors=errors,
        other_errors=[text for name, text in errors.items() if name not in known],
    )


def notice_html(notice: Notice, slug: str) -> Markup:
    """Something told to one person alone."""
    passing = _TAKEN.fullmatch(notice.text.strip()) is not None
    return _draw(_NOTICE, notice=notice, passing=passing, path=f"/c/{quote(slug, safe='')}")


def listing_html(listed: Sequence[Listed], current: str = "") -> Markup:
    """The list of conversations."""
    return _draw(_LISTING, listed=listed, current=current)


def page_html(template: str, **values: object) -> str:
    """A whole page."""
    return _TEMPLATES.get_template(template).render(**values)


def _draw(template: Template, **values: object) -> Markup:
    """Fill in a template. It escaped every text in it, so the whole may stand in a page."""
    return Markup(template.render(**values))


def web_link(url: str) -> str:
    """The address if a browser may be sent there, else nothing (a path in the knowledge folder, say)."""
    return url if re.match(r"https?://[^\s]", url, re.IGNORECASE) else ""


def with_time(value: str) -> str | Markup:
    """A fact; one that is a time in UTC as `<time>`, which the page shows where its reader is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d(?::\d\d)?) UTC", value, re.ASCII)
    if found is None:
        return value
    try:
        at = datetime.fromisoformat(f"{found[1]}T{found[2]}+00:00")
    except ValueError:  # there is no such day or hour
        return value
    return Markup('<time datetime="{}" data-day>{}</time>').format(at.isoformat(), value)


def size_text(size: int) -> str:
    """Bytes as people read them."""
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1000:.0f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def _without_controls(value: object) -> object:
    return clean_text(value) if type(value) is str else value


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        finalize=_without_controls,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., object]] = {
        "cost": cost_text,
        "drawing": safe_svg,
        "moment": with_time,
        "seconds": seconds_text,
        "size": size_text,
        "tone": tone_of,
        "web_link": web_link,
    }
    environment.filters.update(filters)
    return environment


_TEMPLATES = _environment()
_CARD = _TEMPLATES.get_template("card.html")
_TURN = _TEMPLATES.get_template("turn.html")
_FORM = _TEMPLATES.get_template("form.html")
_NOTICE = _TEMPLATES.get_template("notice.html")
_LISTING = _TEMPLATES.get_template("listing.html")
