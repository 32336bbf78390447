"""The house is in order: dependencies, locks, image, Makefile, and what the pages say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PAGES = sorted(page for pattern in ("*.md", "docs/*.md", "knowledge/*.md") for page in ROOT.glob(pattern))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def direct_dependencies() -> set[str]:
    settings = project()
    listed = [*settings["project"]["dependencies"], *settings["build-system"]["requires"]]
    listed += [entry for group in settings["dependency-groups"].values() for entry in group]
    return {normal(re.split(r"[\[><=!~ ]", entry, maxsplit=1)[0]) for entry in listed}


def normal(name: str) -> str:
    """A package's name as locks have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_direct_dependency_is_explained_and_nothing_else() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    explained = re.findall(r"^- `([a-z0-9.-]+)`: .+ Instead: .+\.$", page, re.MULTILINE)
    assert sorted(map(normal, explained)) == sorted(direct_dependencies())
    assert len(re.findall(r"^- ", page, re.MULTILINE)) == len(explained)  # no line of another form


def test_every_direct_dependency_is_locked() -> None:
    locked = {
        name for lock in LOCKS for name in re.findall(r"^([a-z0-9.-]+)==", lock.read_text(), re.MULTILINE)
    }
    assert direct_dependencies() <= locked


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_pin_and_hash_everything_and_name_no_host(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--index|--extra-index|--find-links|@ ", text)


def test_bigger_locks_hold_the_smaller_ones_with_the_same_versions() -> None:
    def pins(name: str) -> set[str]:
        return set(
            re.findall(r"^([a-z0-9.-]+==\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE)
        )

    assert pins("base.lock") < pins("dev.lock") < pins("bench.lock")


# ── Makefile and CI ──────────────────────────────────────────────────────────────────────────


def make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory", *arguments],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_help_lists_the_promised_targets() -> None:
    listed = set(re.findall(r"^make (\S+)", make("help"), re.MULTILINE))
    assert listed >= {"up", "install", "test", "fmt", "lint", "types", "imports", "bench", "docs"}


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_up_passes_options_on() -> None:
    assert "quartet up --port 9000" in make("-n", "up", "ARGS=--port 9000")


CHECKS = ("ruff format", "ruff check", "lint-imports", "basedpyright", "python -m pytest")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize("broken", ["", *CHECKS])
def test_make_test_runs_every_check_fails_with_each_and_ends_with_pytests_line(
    tmp_path: Path, broken: str
) -> None:
    """With programs in the checks' places that say who they are, and fail if they are the broken one."""
    (tmp_path / "bin").mkdir()
    for name in ("ruff", "lint-imports", "basedpyright", "python"):
        program = tmp_path / "bin" / name
        program.write_text(
            f'#!/bin/sh\necho "{name} $*" | tee -a {tmp_path}/called\n'
            f'case "{name} $*" in "{broken or "nobody"}"*) echo "{name} is broken"; exit 3;; esac\n'
        )
        program.chmod(0o755)
    done = subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory", "-o", "dev", "test", f"VENV={tmp_path}"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    called = (tmp_path / "called").read_text()
    last = done.stdout.rstrip().splitlines()[-1]
    if broken:
        assert done.returncode != 0
        assert "is broken" in done.stdout
    else:
        assert done.returncode == 0
        assert all(check in called for check in CHECKS)
    if broken in ("", "python -m pytest"):
        assert last.startswith("python ")


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_an_old_python_gets_one_clear_line(tmp_path: Path) -> None:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in ("sh", "make", "echo", "sed", "rm", "touch", "ls"):
        (bin_folder / name).symlink_to(str(shutil.which(name)))
    old = bin_folder / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    for part in ("Makefile", "pyproject.toml", "requirements"):
        (tmp_path / part).symlink_to(ROOT / part)
    done = subprocess.run(
        [str(bin_folder / "make"), "install"],
        cwd=tmp_path, env={"PATH": str(bin_folder)}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == 1
    assert "needs Python 3.11 or newer (found: Python 3.9.2)" in said[0]
    assert "PYTHON=" in said[0]


def test_ci_runs_the_same_command() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    text = script.read_text()
    assert "set -euo pipefail" in text
    assert text.rstrip().splitlines()[-1] == "make test"
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["jobs"]["test"]["steps"][-1] == {"run": ".ci/run"}


# ── the image ────────────────────────────────────────────────────────────────────────────────


def dockerfile() -> list[list[str]]:
    """Instructions as words, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_is_built_from_the_lock_and_runs_without_root() -> None:
    steps = dockerfile()
    assert sum(word == "FROM" for word, _ in steps) == 2
    last = max(i for i, (word, _) in enumerate(steps) if word == "FROM")
    installs = [rest for word, rest in steps if word == "RUN" and "pip install" in rest]
    assert installs
    assert all(
        "--require-hashes" in rest or ("--no-deps" in rest and "--no-index" in rest) for rest in installs
    )
    final = steps[last:]
    assert [rest for word, rest in final if word == "USER"] == ["quartet"]
    assert not [rest for word, rest in final if word == "RUN" and "pip" in rest]
    assert ["EXPOSE", "8080"] in final
    health = next(rest for word, rest in final if word == "HEALTHCHECK")
    assert "/health" in health
    assert "urllib" in health
    assert any(word == "VOLUME" for word, _ in final)


def test_the_wheel_holds_all_that_is_shipped(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    tracked = [
        ROOT / package for package in project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    ]
    shipped = {
        str(file.relative_to(ROOT))
        for folder in tracked for file in folder.rglob("*")
        if file.is_file() and file.suffix not in (".pyc", "")
    }  # fmt: skip
    assert shipped <= held
    assert {f"config/knowledge/{page.name}" for page in (ROOT / "knowledge").glob("*.md")} <= held


def test_nothing_private_gets_into_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert not kept & {".env", "var", ".git", "tests", ".venv"}
    packages = set(project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert packages | {"knowledge", "requirements", "pyproject.toml", "README.md", "LICENSE"} <= kept


def test_compose_publishes_on_loopback_alone() -> None:
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["quartet"]
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    assert service["environment"]["QUARTET_INSECURE_BIND"] == "1"
    assert service["env_file"] == [{"path": ".env", "required": False}]
    home = service["environment"]["QUARTET_HOME"]
    assert any(volume.endswith(f":{home}") for volume in service["volumes"])


# ── the pages ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_link_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_make_targets_that_exist(page: Path) -> None:
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE))
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= there
