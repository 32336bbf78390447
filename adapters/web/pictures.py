"""Drawings that may stand in the page. Pure.

They are made by us, and held to it: nothing but shapes and words is let through, whoever made the card. What
does not fit is not shown; the words beside it say the same.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from markupsafe import Markup

from adapters.plain import clean_text

NAMESPACE = "{http://www.w3.org/2000/svg}"
LONGEST = 2_000_000  # characters
_SHAPES = frozenset(
    {"svg", "g", "path", "rect", "circle", "ellipse", "line", "polygon", "polyline", "text", "tspan"}
)
_WORDS = frozenset({"title", "desc"})
_ATTRIBUTES = frozenset(
    [
        "class",
        "cx",
        "cy",
        "d",
        "fill",
        "font-family",
        "font-size",
        "font-weight",
        "height",
        "lengthAdjust",
        "opacity",
        "points",
        "r",
        "role",
        "rx",
        "ry",
        "stroke",
        "stroke-dasharray",
        "stroke-linecap",
        "stroke-linejoin",
        "stroke-width",
        "text-anchor",
        "textLength",
        "transform",
        "viewBox",
        "width",
        "x",
        "x1",
        "x2",
        "y",
        "y1",
        "y2",
    ]
)
_HARMLESS = re.compile(r"[^:\\@&<>]*")
_REFERS = re.compile(r"url|expression|script|data", re.IGNORECASE)


def safe_svg(svg: str) -> Markup | None:
    """The drawing as it may stand in HTML; None: there is none, or it holds what no drawing of ours does."""
    svg = clean_text(svg).strip()
    if not svg or len(svg) > LONGEST or "<!" in svg or "<?" in svg:
        return None
    try:
        root = ElementTree.fromstring(svg)
    except (ElementTree.ParseError, ValueError):
        return None
    if root.tag != f"{NAMESPACE}svg" or not all(map(_is_drawing, root.iter())):
        return None
    return Markup(svg)


def _is_drawing(element: ElementTree.Element) -> bool:
    tag = element.tag.removeprefix(NAMESPACE)
    if not element.tag.startswith(NAMESPACE) or tag not in _SHAPES | _WORDS:
        return False
    if tag in _WORDS and len(element):
        return False  # a browser reads what is in there as HTML
    return all(
        name in _ATTRIBUTES and _HARMLESS.fullmatch(value) is not None and not _REFERS.search(value)
        for name, value in element.attrib.items()
    )
