"""What a measurement found, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value beside its target; without a target it only informs."""

    name: str
    value: float
    unit: str
    target: float | None = None
    better: Literal["more", "less"] = "more"
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the target is met; a figure without one always passes."""
        if self.target is None:
            return True
        return self.value >= self.target if self.better == "more" else self.value < self.target

    def line(self) -> str:
        """One line for people."""
        text = f"{self.name:<52} {self.value:>10,.2f} {self.unit:<7}"
        if self.target is not None:
            sign = "≥" if self.better == "more" else "<"
            text += f" target {sign} {self.target:g} {self.unit}: {'PASS' if self.passed else 'FAIL'}"
        return f"{text}  {self.note}".rstrip()
