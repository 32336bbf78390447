"""The pictures in the documentation are those of the shipped workflows, and `workflows show` writes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.cli import main
from bot.workflow_docs import BEGIN, END, FOLDER, inserted, part, pictures
from bot.workflow_docs import main as write
from config.paths import workflow_files

DOCS = Path(__file__).parents[3] / "docs"
REMEDY = "run `python -m bot.workflow_docs` and look at what has changed"


def test_committed_pictures_are_what_the_workflows_look_like() -> None:
    drawn = pictures()
    kept = {file.name: file.read_text(encoding="utf-8") for file in (DOCS / FOLDER).glob("*.svg")}
    assert sorted(kept) == sorted(drawn) == sorted(f"{file.stem}.svg" for file in workflow_files()), REMEDY
    for name, picture in drawn.items():
        assert kept[name] == picture, f"{name}: {REMEDY}"


def test_the_page_shows_every_picture() -> None:
    page = (DOCS / "workflows.md").read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    assert part() in page, REMEDY


def test_writing_twice_changes_nothing_and_keeps_what_people_wrote(tmp_path: Path) -> None:
    page = tmp_path / "workflows.md"
    page.write_text("# Workflows\n\nBefore.\n", encoding="utf-8")
    write(tmp_path)
    (tmp_path / FOLDER / "gone.svg").write_text("<svg/>", encoding="utf-8")
    page.write_text(page.read_text(encoding="utf-8") + "\nAfter.\n", encoding="utf-8")
    first = page.read_text(encoding="utf-8")
    write(tmp_path)
    assert page.read_text(encoding="utf-8") == first
    assert first.startswith("# Workflows\n\nBefore.\n")
    assert first.endswith("\nAfter.\n")
    assert not (tmp_path / FOLDER / "gone.svg").exists()
    linked = set(re.findall(r"\]\((\S+\.svg)\)", first))
    assert linked == {str(f.relative_to(tmp_path)) for f in (tmp_path / FOLDER).glob("*.svg")}


def test_an_old_part_is_replaced_where_it_stands() -> None:
    page = f"# Workflows\n\n{BEGIN}\n\nold\n\n{END}\n\nAfter.\n"
    assert inserted(page) == f"# Workflows\n\n{part()}\n\nAfter.\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "home"))
    return CliRunner()


def test_show_writes_png_and_svg(run: CliRunner, tmp_path: Path) -> None:
    done = run.invoke(main, ["workflows", "show", "quartet", "--png", "a.png", "--svg", "a.svg"])
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == pictures()["quartet.svg"]
    assert re.search(r"^a\.png: [\d,]+ bytes\.$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("file", ["nowhere/a.png", "."])
def test_a_file_that_cannot_be_written_gets_one_clear_line(run: CliRunner, file: str) -> None:
    done = run.invoke(main, ["workflows", "show", "quartet", "--png", file])
    assert done.exit_code != 0
    assert "name a file in a folder that is there" in done.stderr
    assert "Traceback" not in done.output
