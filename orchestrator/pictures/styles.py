"""How things look. Status is told by word, mark and border besides colour; text has a contrast of 4.5:1."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.pictures.graph import EdgeKind, Shape, Status

FONT = "Roboto, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
PAPER = "#ffffff"
INK = "#1f2937"
QUIET = "#4b5563"  # subtitles and labels


@dataclass(frozen=True, slots=True)
class Look:
    """Of a box."""

    word: str
    fill: str
    line: str  # colour of border, mark and word
    thick: float = 1.5  # pixels
    dashes: str = ""
    mark: str = ""  # a path in a field of 12 by 12 pixels, its middle at 0, 0
    solid: bool = False  # whether the mark is filled, else drawn with a line


PLAIN = Look("", "#f8fafc", "#475569")
RING = "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1 -5 0Z"
LOOKS: dict[Status, Look] = {
    "waiting": Look("waiting", "#ffffff", "#4b5563", 1.5, "3 3", RING),
    "working": Look("working", "#eff6ff", "#1d4ed8", 3.0, "", "M-4 -5.5L5.5 0L-4 5.5Z", solid=True),
    "asking": Look(
        "asking",
        "#fefce8",
        "#854d0e",
        3.0,
        "10 3 2 3",
        "M-5.5 -5.5H5.5V3H0.5L-3 6V3H-5.5Z"
        "M-1.8 -3Q-1.6 -4.3 0 -4.3Q1.8 -4.2 1.6 -2.8Q1.5 -1.8 0 -1.2V-0.4M0 0.9V1.6",
    ),
    "retrying": Look(
        "retrying", "#fff7ed", "#9a3412", 2.5, "8 4", "M4.6 1.9A5 5 0 1 1 4.4 -2.4M4.9 -5.6V-2H1.3"
    ),
    "done": Look("done", "#f0fdf4", "#166534", 1.5, "", "M-5 0.5L-1.5 4L5.5 -4"),
    "failed": Look("failed", "#fef2f2", "#b91c1c", 3.5, "", "M-4.5 -4.5L4.5 4.5M4.5 -4.5L-4.5 4.5"),
    "skipped": Look(
        "skipped", "#f3f4f6", "#4b5563", 1.5, "1 4", "M-5.5 -4.5L-1 0L-5.5 4.5M0.5 -4.5L5 0L0.5 4.5"
    ),
}


@dataclass(frozen=True, slots=True)
class Stroke:
    """Of an arrow."""

    colour: str
    dashes: str = ""
    thick: float = 1.5


STROKES: dict[EdgeKind, Stroke] = {
    "success": Stroke("#475569"),
    "error": Stroke("#b91c1c", "7 3"),
    "changes": Stroke("#854d0e", "10 3 2 3"),
    "rejected": Stroke("#6d28d9", "12 4"),
    "compensate": Stroke("#0f766e", "2 4", 2.0),
}
LOOP = Stroke("#1d4ed8", "", 1.5)

# What stands before the words of a box, in a field of 12 by 12 pixels around 0, 0; drawn with a line.
PERSON = "M-2.4 -3A2.4 2.4 0 1 1 2.4 -3A2.4 2.4 0 1 1 -2.4 -3ZM-5 5.5Q-5 1 0 1Q5 1 5 5.5Z"
ICONS: dict[Shape, str] = {
    "approval": PERSON,
    "input": PERSON,
    "map": "M-5.5 -2.5H2.5V5.5H-5.5ZM-2.5 -2.5V-5.5H5.5V2.5H2.5",
    "error_handler": "M0 -5L5.5 5H-5.5ZM0 -1.5V1.8M0 3V3.8",
    "workflow": "M-2.5 -5.5H2.5V-2H-2.5ZM-5.5 2H-1V5.5H-5.5ZM1 2H5.5V5.5H1ZM0 -2V0M-3.2 2V0H3.2V2",
}
