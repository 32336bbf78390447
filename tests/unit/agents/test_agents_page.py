"""docs/agents.md: the package of the page loads as an agent, exactly as printed."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from bot.own_agents import read_own
from orchestrator.agents.elsewhere.python import GROUP, PythonPlayer, load, spec_of
from orchestrator.agents.elsewhere.specs import PythonSpec
from tests.elsewhere import surroundings
from tests.unit.agents.steps import MemorySink, step

PAGE = (Path(__file__).parents[3] / "docs" / "agents.md").read_text()


def printed(title: str) -> str:
    return PAGE.split(f"title={title}\n")[1].split("```")[0]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install the package as its pyproject.toml says; the name of its entry point."""
    project = tomllib.loads(printed("pyproject.toml"))
    [(name, value)] = project["project"]["entry-points"][GROUP].items()
    module = value.split(":")[0]
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["include"] == [f"{module}.py"]
    (tmp_path / f"{module}.py").write_text(printed(f"{module}.py"))
    info = tmp_path / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {value}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, module, raising=False)
    return str(name)


async def test_the_package_of_the_page_greets(installed: str, tmp_path: Path) -> None:
    made = load(installed)
    spec = spec_of(made, installed)
    async with surroundings(tmp_path) as around:
        answer = await PythonPlayer(spec, around, made).run(step(installed, "hi"), MemorySink())
    assert answer["body"] == "Hello Ada"


async def test_the_file_of_the_page_names_its_entry_point(installed: str, tmp_path: Path) -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    file = tmp_path / "welcome.yaml"
    file.write_text(text)
    spec = read_own(file, {})
    assert isinstance(spec, PythonSpec)
    assert spec.wanted == installed
    assert f"AGENTS_PYTHON={installed}" in PAGE
    assert f"agents_python: [{installed}]" in PAGE
