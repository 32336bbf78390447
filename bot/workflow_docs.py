"""`python -m bot.workflow_docs` draws the shipped workflows for the documentation.

Writes `docs/images/workflows/NAME.svg` and, in `docs/workflows.md`, what stands between two
marks. A test compares both with what this would write.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from config.documents import read_model
from config.paths import workflow_files
from orchestrator.pictures import describe, graph_of, svg
from orchestrator.workflow import Workflow

BEGIN = "<!-- pictures of the shipped workflows: written by `python -m bot.workflow_docs` -->"
END = "<!-- end of the pictures -->"
FOLDER = Path("images") / "workflows"
ALT = 500  # characters of a picture's description


def shipped() -> list[Workflow]:
    """The shipped workflows by name, the default one first."""
    found = [read_model(file, Workflow) for file in workflow_files()]
    return sorted(found, key=lambda workflow: (workflow.name != "quartet", workflow.name))


def pictures() -> dict[str, str]:
    """File name → SVG."""
    return {f"{workflow.name}.svg": svg(graph_of(workflow)) for workflow in shipped()}


def part() -> str:
    """What stands on the page, marks included."""
    sections = [BEGIN]
    for workflow in shipped():
        alt = _escaped(describe(graph_of(workflow), ALT))
        picture = (FOLDER / f"{workflow.name}.svg").as_posix()
        sections.append(
            f"### `{workflow.name}`\n\n{' '.join(workflow.description.split())}\n\n![{alt}]({picture})"
        )
    return "\n\n".join([*sections, END])


def _escaped(words: str) -> str:
    """As Markdown that is read as just these words."""
    return re.sub(r"([\[\]\\`*_])", r"\\\1", words).replace("<", "&lt;").replace(">", "&gt;")


def inserted(page: str) -> str:
    """The page with the part as it is now: between the marks, else at the end."""
    if BEGIN in page and END in page.partition(BEGIN)[2]:
        before, _, rest = page.partition(BEGIN)
        return before + part() + rest.partition(END)[2]
    return f"{page.rstrip()}\n\n## The shipped workflows in pictures\n\n{part()}\n"


def main(docs: Path) -> None:
    """Write pictures and page; remove pictures of workflows that are no more."""
    folder = docs / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    drawn = pictures()
    for name, picture in drawn.items():
        (folder / name).write_text(picture, encoding="utf-8")
    for old in folder.glob("*.svg"):
        if old.name not in drawn:
            old.unlink()
    page = docs / "workflows.md"
    text = page.read_text(encoding="utf-8") if page.exists() else "# Workflows\n"
    page.write_text(inserted(text), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs"))
