"""One box: what is written in it, how large that makes it, where its border runs, and its SVG."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from orchestrator.pictures.graph import GraphNode, Shape
from orchestrator.pictures.layers import Size
from orchestrator.pictures.lettering import Line, Weight, clean, width, wrap
from orchestrator.pictures.styles import ICONS, INK, LOOKS, PLAIN, QUIET, Look

TITLE, SMALL = 14.0, 12.0  # pixels of letters
MOST = 168.0  # pixels of a line
ICON = 17.0  # pixels that an icon or mark takes before its words
LEAST, LOW = 116.0, 44.0  # a box is not smaller
SLANT = 14.0  # of an input's sides
STACK = 5.0  # how far the boxes of a `map` stand out behind each other


@dataclass(frozen=True, slots=True)
class Row:
    """One line in a box."""

    line: Line
    size: float
    colour: str
    weight: Weight = "Regular"
    icon: str = ""
    solid: bool = False

    @property
    def width(self) -> float:
        """With the icon, in pixels."""
        return self.line.width + (ICON if self.icon else 0.0)

    @property
    def height(self) -> float:
        """To the next line, in pixels."""
        return self.size * 1.32


class Box:
    """A node, measured."""

    def __init__(self, node: GraphNode) -> None:
        self.shape: Shape = node.shape
        self.look: Look = LOOKS[node.status] if node.status else PLAIN
        self.status = node.status
        self.title = clean(node.label) or "step"
        self._parts = (clean(node.word), clean(node.subtitle))
        self.words = " · ".join(part for part in self._parts if part)
        self.rows = self._rows()
        wide = max(row.width for row in self.rows)
        tall = sum(row.height for row in self.rows)
        self.size = _size(self.shape, wide, tall)
        self._text_height = tall

    def _rows(self) -> list[Row]:
        narrow = self.shape == "decision"
        most = 130.0 if narrow else MOST
        rows = [
            Row(line, TITLE, INK, "Medium")
            for line in wrap(self.title, TITLE, most, 3 if narrow else 2, "Medium")
        ]
        icon = ICONS.get(self.shape, "")
        for k, line in enumerate(self._small(most - (ICON if icon else 0.0))):
            rows.append(Row(line, SMALL, QUIET, icon="" if k else icon))
        if self.status:
            word = Line(self.look.word, width(self.look.word, SMALL, "Medium"))
            rows.append(Row(word, SMALL, self.look.line, "Medium", self.look.mark, self.look.solid))
        return rows

    def _small(self, most: float) -> list[Line]:
        """Word and subtitle: on one line if they fit, else each on its own."""
        both = wrap(self.words, SMALL, most, 1)
        if not both or both[0].text == self.words:
            return both
        parts = [part for part in self._parts if part]
        return [line for part in parts for line in wrap(part, SMALL, most, 3 - len(parts))]

    def reach(self, side: str, off: float) -> float:
        """From the middle to the border: "y" up or down, `off` to the right; "x" sideways, `off` below."""
        half_w, half_h = self.size.width / 2, self.size.height / 2
        if self.shape == "decision":
            if side == "y":
                return half_h * max(0.0, 1 - abs(off) / half_w)
            return half_w * max(0.0, 1 - abs(off) / half_h)
        if side == "x" and self.shape == "approval":  # round ends
            return half_w - half_h + (max(0.0, half_h**2 - off**2)) ** 0.5
        if side == "x" and self.shape == "input":
            return half_w - SLANT / 2
        if side == "x" and self.shape == "error_handler":
            return half_w - max(0.0, abs(off) - (half_h - 10.0))
        return half_h if side == "y" else half_w

    def svg(self, x: float, y: float) -> str:
        """The box with its middle at `x`, `y`."""
        tip = escape(f"{self.title} ({self.words})" if self.words else self.title, quote=False)
        status = f" {self.status}" if self.status else ""
        parts = [f'<g class="node {self.shape}{status}"><title>{tip}</title>', self._border(x, y)]
        top = y - self._text_height / 2
        for row in self.rows:
            middle = top + row.height / 2
            start = x - row.width / 2
            if row.icon:
                paint = (
                    f'fill="{row.colour}"'
                    if row.solid
                    else f'fill="none" stroke="{row.colour}" stroke-width="1.5" stroke-linejoin="round"'
                )
                moved = f"translate({number(start + 6)} {number(middle)})"
                parts.append(f'<path class="mark" transform="{moved}" d="{row.icon}" {paint}/>')
                start += ICON
            parts.append(text(row.line, start, middle, row.size, row.colour, row.weight))
            top += row.height
        return "".join(parts) + "</g>"

    def _border(self, x: float, y: float) -> str:
        w, h = self.size.width, self.size.height
        left, top = x - w / 2, y - h / 2
        dashes = f' stroke-dasharray="{self.look.dashes}"' if self.look.dashes else ""
        stroke = f'stroke="{self.look.line}" stroke-width="{number(self.look.thick)}"{dashes}'
        paint = f'fill="{self.look.fill}" {stroke}'
        if self.shape == "decision":
            return _path([(x, top), (x + w / 2, y), (x, y + h / 2), (left, y)], paint)
        if self.shape == "input":
            right, low = left + w, top + h
            return _path([(left + SLANT, top), (right, top), (right - SLANT, low), (left, low)], paint)
        if self.shape == "error_handler":
            right, low, cut = left + w, top + h, 10.0
            corners = [(left + cut, top), (right - cut, top), (right, top + cut), (right, low - cut)]
            corners += [(right - cut, low), (left + cut, low), (left, low - cut), (left, top + cut)]
            return _path(corners, paint)
        round_by = {"approval": h / 2, "agent": 8.0}.get(self.shape, 4.0)
        if self.shape == "map":
            # The two behind stand out inside the box's own measure, so that they cover nothing else.
            inner_w, inner_h = w - 2 * STACK, h - 2 * STACK
            return "".join(
                _rect(left + k * STACK, top + (2 - k) * STACK, inner_w, inner_h, round_by, paint)
                for k in (2, 1, 0)
            )
        border = _rect(left, top, w, h, round_by, paint)
        if self.shape == "workflow":
            inner = f'fill="none" stroke="{self.look.line}" stroke-width="1"'
            border += _rect(left + 4.5, top + 4.5, w - 9, h - 9, 2.0, inner)
        return border


def _size(shape: Shape, wide: float, tall: float) -> Size:
    if shape == "decision":
        # The text's rectangle fits into a diamond where width/Width + height/Height is 1.
        height = max(66.0, tall * 2.1)
        return Size(round(max(LEAST, (wide + 12) / (1 - tall / height))), round(height))
    more_w = {"approval": 40.0, "input": 2 * SLANT + 20, "map": 28.0 + 2 * STACK, "workflow": 36.0}
    more_h = {"map": 18.0 + 2 * STACK, "workflow": 26.0}
    return Size(
        round(max(LEAST, wide + more_w.get(shape, 28.0))), round(max(LOW, tall + more_h.get(shape, 18.0)))
    )


def text(line: Line, x: float, middle: float, size: float, colour: str, weight: Weight = "Regular") -> str:
    """One line of text that begins at `x`; as wide as it was measured, in whatever font."""
    bold = ' font-weight="500"' if weight == "Medium" else ""
    return (
        f'<text x="{number(x)}" y="{number(middle + size * 0.355)}" font-size="{number(size)}"{bold}'
        f' fill="{colour}" textLength="{number(line.width)}" lengthAdjust="spacingAndGlyphs">'
        f"{escape(line.text, quote=False)}</text>"
    )


def number(value: float) -> str:
    """With one digit behind the point at most."""
    return (
        f"{value:.1f}".removesuffix(".0").replace("-0", "0")
        if abs(value) < 0.05
        else f"{value:.1f}".removesuffix(".0")
    )


def _path(corners: list[tuple[float, float]], paint: str) -> str:
    way = "L".join(f"{number(x)} {number(y)}" for x, y in corners)
    return f'<path class="box" d="M{way}Z" stroke-linejoin="round" {paint}/>'


def _rect(x: float, y: float, w: float, h: float, radius: float, paint: str) -> str:
    return (
        f'<rect class="box" x="{number(x)}" y="{number(y)}" width="{number(w)}" height="{number(h)}"'
        f' rx="{number(radius)}" {paint}/>'
    )
