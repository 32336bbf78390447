"""Where the shipped files are: agents, workflows, `quartet.yaml`, the knowledge folder.

They lie beside this file, in a checkout and in an installed package alike; only the knowledge
folder is `./knowledge` in a checkout and `config/knowledge` in a package.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

CONFIG_DIR = Path(__file__).resolve().parent
AGENTS_DIR = CONFIG_DIR / "agents"
WORKFLOWS_DIR = CONFIG_DIR / "workflows"
DEFAULTS_FILE = CONFIG_DIR / "quartet.yaml"


def shipped_knowledge() -> Path:
    """The folder with Quartet's own documents."""
    packaged = CONFIG_DIR / "knowledge"
    return packaged if packaged.is_dir() else CONFIG_DIR.parent / "knowledge"


def default_config_file() -> Path:
    """`config/quartet.yaml` of the working directory, else the shipped one."""
    own = Path("config/quartet.yaml")
    return own if own.is_file() else DEFAULTS_FILE


def default_knowledge() -> Path:
    """`knowledge/` of the working directory, else the shipped folder."""
    own = Path("knowledge")
    return own.absolute() if own.is_dir() else shipped_knowledge()


def agent_files() -> list[Path]:
    """The agents' files, by name."""
    return _yaml_files(AGENTS_DIR)


def own_agent_files(folders: Iterable[Path]) -> list[Path]:
    """The files of further agents, by folder and name."""
    return [file for folder in folders for file in _yaml_files(folder)]


def workflow_files(folders: Iterable[Path] = ()) -> list[Path]:
    """The workflows' files: the shipped ones, then those of each folder, by name."""
    return [file for folder in (WORKFLOWS_DIR, *folders) for file in _yaml_files(folder)]


def _yaml_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.suffix in (".yaml", ".yml") and not f.name.startswith("."))
