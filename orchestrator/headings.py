"""Cut Markdown along its headings: every piece of text with the headings above it. Pure."""

from __future__ import annotations

import re

Section = tuple[tuple[str, ...], str]  # headings above, outermost first; text


def sections(text: str) -> list[Section]:
    """Sections in the document's order; a `#` inside fenced code is no heading."""
    made: list[Section] = []
    above: list[tuple[int, str]] = []
    lines: list[str] = []
    fence = ""

    def end() -> None:
        made.append((tuple(title for _, title in above), "\n".join(lines)))
        lines.clear()

    for line in text.split("\n"):
        mark = re.match(r"\s{0,3}(```+|~~~+)", line)
        if mark:
            fence = "" if fence and mark[1].startswith(fence) else (fence or mark[1])
        heading = None if fence or mark else re.match(r"(#{1,6})\s+(.*?)\s*#*\s*$", line)
        if heading:
            end()
            level = len(heading[1])
            while above and above[-1][0] >= level:
                above.pop()
            above.append((level, heading[2]))
        else:
            lines.append(line)
    end()
    return made
