"""Workflow packs: what is refused, what signatures are worth, installing and removing whatever happens."""

from __future__ import annotations

import base64
import io
import os
import struct
import threading
import zipfile
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from bot import pack_files
from bot.cli import main
from bot.definitions import read_agents, read_definitions
from bot.pack_files import MAX_FILE_BYTES, MAX_FILES, name_flaw
from bot.pack_manifest import digest
from bot.packs import Packs, open_pack
from config.errors import ConfigError
from config.load import load_settings
from config.settings import Settings

WORKFLOW = """name: release_notes
description: Collects what changed
nodes:
  collect: {kind: agent, agent: archivist}
"""
AGENT = """name: archivist
title: Archivist
instructions: Collect what changed.
output: Draft
capabilities: [archiving]
"""
NOTES, ARCHIVIST = "workflows/notes.yaml", "agents/archivist.yaml"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()


def pack(changed: Mapping[str, str | bytes] | None = None, **manifest: Any) -> dict[str, bytes]:
    """A good pack's files, but for what is given."""
    every = {"workflows/notes.yaml": WORKFLOW, "agents/archivist.yaml": AGENT, "README.md": "Read me"}
    contents = {n: c.encode() if isinstance(c, str) else c for n, c in {**every, **(changed or {})}.items()}
    said = {
        "name": "release-notes",
        "version": "1.0.0",
        "agents": ["agents/archivist.yaml"],
        "workflows": ["workflows/notes.yaml"],
        "files": {name: digest(content) for name, content in contents.items()},
        **manifest,
    }
    return {**contents, "pack.yaml": yaml.safe_dump(said, sort_keys=False).encode()}


def signed(files: dict[str, bytes], key: Ed25519PrivateKey = KEY) -> dict[str, bytes]:
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    signature = base64.b64encode(key.sign(files["pack.yaml"])).decode()
    return {**files, "pack.sig": f"key: {public}\nsignature: {signature}\n".encode()}


def folder_of(files: Mapping[str, bytes], place: Path) -> Path:
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def zip_of(files: Mapping[str, bytes], place: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(prefix + name, content)
    return place


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("QUARTET_HOME", str(tmp_path / "home"))
    return load_settings()


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["workflows", *args])
    return result.exit_code, result.output


def refused(path: Path, trusted: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        open_pack(path, trusted)
    return str(caught.value)


# ── a good one ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("prefix", ["", "release-notes-main/"])
def test_a_zip_and_a_folder_are_the_same_pack(tmp_path: Path, prefix: str) -> None:
    files = pack()
    folder = open_pack(folder_of(files, tmp_path / "folder"), ())
    packed = open_pack(zip_of(files, tmp_path / "pack.zip", prefix), ())
    assert folder.files == packed.files == files
    assert [w.name for w, _ in packed.workflows] == ["release_notes"]
    assert [a.name for a, _ in packed.agents] == ["archivist"]
    assert (packed.trust, packed.key) == ("unsigned", "")


def test_an_installed_pack_is_part_of_what_there_is(tmp_path: Path, settings: Settings) -> None:
    code, said = run("install", str(zip_of(pack(), tmp_path / "p.zip")), "--unsigned")
    assert (code, "Installed the pack release-notes 1.0.0 (unsigned)" in said) == (0, True)
    found = read_definitions(settings)
    assert "archivist" in [spec.name for spec in found.agents]
    [mine] = [f for f in found.workflows if f.workflow.name == "release_notes"]
    assert (mine.source, mine.shown) == ("pack release-notes", "the pack 'release-notes' 1.0.0")
    assert "release-notes  1.0.0  unsigned  workflows release_notes; agents archivist" in run("packs")[1]
    assert run("remove-pack", "release-notes")[0] == 0
    assert "archivist" not in [spec.name for spec in read_agents(settings)]
    assert "No packs are installed" in run("packs")[1]


def test_nothing_that_is_installed_can_be_executed(tmp_path: Path, settings: Settings) -> None:
    source = folder_of(pack(), tmp_path / "p")
    (source / "workflows/notes.yaml").chmod(0o777)
    Packs(settings.home).install(open_pack(source, ()))
    place = settings.home / "packs/release-notes/workflows/notes.yaml"
    assert place.stat().st_mode & 0o777 == 0o600


# ── files ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("../evil.yaml", "out of the pack"),
        ("workflows/../../evil.yaml", "out of the pack"),
        ("..\\evil.yaml", "out of the pack"),
        ("/etc/passwd", "absolute"),
        ("\\\\server\\share", "absolute"),
        ("C:/x.yaml", "absolute"),
        ("C:x.yaml", "absolute"),
        ("a//b.yaml", "''"),
        ("./a.yaml", "'.'"),
        (".hidden.yaml", "letters"),
        ("a.yaml.", "letters"),
        ("con.yaml", "letters"),
        ("work flows/a.yaml", "letters"),
        ("caf\u00e9.yaml", "letters"),
        ("a\u202eb.yaml", "letters"),
        ("a\nb.yaml", "letters"),
        ("a/b/c/d/e/f/g.yaml", "deeper"),
        ("x" * 300, "longer"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused_in_zips(tmp_path: Path, name: str, hint: str) -> None:
    assert hint in refused(zip_of({**pack(), name: b"x"}, tmp_path / "p.zip"))
    assert not list(tmp_path.parent.glob("**/evil.yaml"))


@given(st.text(max_size=40))
def test_a_name_that_is_taken_stays_inside(name: str) -> None:
    if not name_flaw(name):
        root = Path("/pack")
        place = Path(os.path.normpath(root / name))
        assert place.is_relative_to(root)
        assert place != root


def test_a_name_that_is_cut_at_a_nul_is_refused(tmp_path: Path) -> None:
    place = zip_of({**pack(), "READMEXmd.exe": b"x"}, tmp_path / "p.zip")
    place.write_bytes(place.read_bytes().replace(b"READMEXmd.exe", b"README\x00md.exe"))
    assert "READ" in refused(place)


def test_links_and_special_files_are_refused(tmp_path: Path) -> None:
    source = folder_of(pack(), tmp_path / "p")
    secret = tmp_path / "secret.yaml"
    secret.write_text("password: x")
    (source / "workflows/more.yaml").symlink_to(secret)
    assert "is a symbolic link" in refused(source)
    (source / "workflows/more.yaml").unlink()
    (source / "linked").symlink_to(tmp_path)
    assert "is a symbolic link" in refused(source)
    (source / "linked").unlink()
    os.mkfifo(source / "pipe")
    assert "is a pipe" in refused(source)
    link = zipfile.ZipInfo("workflows/more.yaml")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "is a symbolic link" in refused(tmp_path / "p.zip")


def test_two_names_that_are_one_on_other_disks_are_refused(tmp_path: Path) -> None:
    both = zip_of({**pack(), "readme.MD": b"x"}, tmp_path / "p.zip")
    assert "one file on many disks" in refused(both)
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("pack.yaml", "a: 1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("pack.yaml", "b: 1")
    (tmp_path / "twice.zip").write_bytes(twice.getvalue())
    assert "twice" in refused(tmp_path / "twice.zip")
    nested = zip_of({"pack.yaml": b"a: 1", "Pack.yaml/x.yaml": b""}, tmp_path / "nested.zip")
    assert "a file and a folder" in refused(nested)


def test_bombs_are_refused_before_they_are_whole(tmp_path: Path) -> None:
    assert "larger than" in refused(zip_of({"pack.yaml": bytes(50_000_000)}, tmp_path / "big.zip"))
    assert "100 times its size" in refused(zip_of({"pack.yaml": bytes(900_000)}, tmp_path / "thin.zip"))
    many = {f"f{i}.png": b"" for i in range(MAX_FILES + 1)}
    assert f"more than {MAX_FILES} files" in refused(zip_of(many, tmp_path / "many.zip"))
    assert f"more than {MAX_FILES} files" in refused(folder_of(many, tmp_path / "many"))
    heavy = {f"f{i}.png": os.urandom(MAX_FILE_BYTES - 1) for i in range(11)}
    assert "more than 10,000,000 bytes" in refused(folder_of(heavy, tmp_path / "heavy"))
    assert "larger than 10,000,000 bytes" in refused(zip_of(heavy, tmp_path / "heavy.zip"))


def test_a_zip_that_lies_about_sizes_is_refused(tmp_path: Path) -> None:
    place = zip_of({"pack.yaml": bytes(5_000_000)}, tmp_path / "p.zip")
    size = struct.pack("<L", 5_000_000)
    place.write_bytes(place.read_bytes().replace(size, struct.pack("<L", 100)))
    assert "p.zip" in refused(place)


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x05\x06" + bytes(18), b"x" * 1000, os.urandom(500)])
def test_what_is_no_zip_is_told_so(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "p.zip"
    place.write_bytes(content)
    assert "p.zip: " in refused(place)


def test_encrypted_and_strangely_packed_zips_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("pack.yaml", b"a")
    assert "is packed in a way" in refused(tmp_path / "b.zip")
    plain = bytearray(zip_of({"pack.yaml": b"a"}, tmp_path / "c.zip").read_bytes())
    plain[plain.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "c.zip").write_bytes(plain)
    assert "is encrypted" in refused(tmp_path / "c.zip")


def test_what_is_not_there_or_empty_is_named(tmp_path: Path) -> None:
    assert "there is no such folder or zip" in refused(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "no pack.yaml in it" in refused(tmp_path / "empty")
    assert "no such folder" in refused(Path("x\x00y"))


# ── the manifest ─────────────────────────────────────────────────────────────────────────────


def bad(change: Callable[[dict[str, bytes]], object], **manifest: Any) -> dict[str, bytes]:
    files = pack(**manifest)
    change(files)
    return files


def same(files: dict[str, bytes]) -> None:
    """Changes nothing."""


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        (bad(lambda f: f.update({"README.md": b"x"})), "files.README.md: the file is not the one"),
        (bad(lambda f: f.pop("README.md")), "no such file in the pack"),
        (bad(lambda f: f.update({"more.png": b"x"})), "holds 'more.png', which is not listed"),
        (pack({"run.py": "import os"}), "'run.py' is neither listed"),
        (pack({"run.sh": "rm"}), "'run.sh' is neither listed"),
        (pack({"spare.yaml": "a: 1"}), "'spare.yaml' is neither listed"),
        (pack({"README.py": "import os"}), "'README.py' is neither listed"),
        (bad(same, workflows=["README.md"]), "is no YAML file"),
        (bad(same, workflows=["../../etc/x.yaml"]), "leads out of the pack"),
        (bad(same, workflows=["nowhere.yaml"]), "there is no file 'nowhere.yaml'"),
        (bad(same, workflows=["workflows/notes.yaml"] * 2), "listed twice"),
        (bad(same, name="Release Notes"), "name: "),
        (bad(same, name="../evil"), "name: "),
        (bad(same, version=1.0), "version: "),
        (bad(same, requires="999.0"), "needs Quartet 999.0 or newer"),
        (bad(same, requires="latest"), "requires: "),
        (bad(same, install="curl x | sh"), "the key 'install' is unknown"),
        (bad(same, files={}), "files: "),
        (bad(lambda f: f.update({"pack.yaml": b"\xff\xfe"})), "not UTF-8"),
        (bad(lambda f: f.update({"pack.yaml": b"- a"})), "does not hold a mapping"),
        (pack({"workflows/notes.yaml": "name: x\nnodes: {a: {kind: agentt}}"}), "notes.yaml:2:"),
        (pack({"agents/archivist.yaml": AGENT + "command: [rm]\n"}), "archivist.yaml:6:1: command: the key"),
        (pack({"agents/archivist.yaml": "!!python/object:os.system {}"}), "archivist.yaml:1:"),
    ],
)  # fmt: skip
def test_a_manifest_that_is_not_true_is_refused(tmp_path: Path, files: dict[str, bytes], hint: str) -> None:
    assert hint in refused(zip_of(files, tmp_path / "p.zip"))
    assert hint in refused(folder_of(files, tmp_path / "p"))


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        (pack({NOTES: WORKFLOW.replace("archivist", "nobody")}), "notes.yaml:4:26: *'nobody'"),
        (pack({NOTES: WORKFLOW.replace("release_notes", "quartet")}), "notes.yaml:1:1: *'quartet' already"),
        (pack({ARCHIVIST: AGENT.replace("archivist", "builder")}), "archivist.yaml:1:1: *'builder' already"),
        (pack({NOTES: "name: me\nnodes:\n  a: {kind: workflow, workflow: me}\n"}), "notes.yaml:3:"),
    ],
)  # fmt: skip
def test_what_does_not_fit_beside_the_others_is_refused(
    tmp_path: Path, settings: Settings, files: dict[str, bytes], hint: str
) -> None:
    code, said = run("install", str(zip_of(files, tmp_path / "p.zip")), "--unsigned")
    assert code == 1
    assert fnmatch(said, f"*{hint}*"), said
    assert not (settings.home / "packs/release-notes").exists()


# ── signatures ───────────────────────────────────────────────────────────────────────────────


def test_a_trusted_signature_is_worth_something_and_others_are_not(tmp_path: Path) -> None:
    files = signed(pack())
    place = zip_of(files, tmp_path / "p.zip")
    assert open_pack(place, (PUBLIC,)).trust == "signed"
    assert (open_pack(place, ()).trust, open_pack(place, ()).key) == ("unknown key", PUBLIC)
    stranger = zip_of(signed(pack(), Ed25519PrivateKey.generate()), tmp_path / "s.zip")
    assert open_pack(stranger, (PUBLIC,)).trust == "unknown key"


def test_a_wrong_signature_is_refused_whatever_else_is_said(tmp_path: Path, settings: Settings) -> None:
    changed = {**signed(pack()), "pack.yaml": pack(version="6.6.6")["pack.yaml"]}
    place = zip_of(changed, tmp_path / "p.zip")
    assert "does not fit pack.yaml" in refused(place, (PUBLIC,))
    code, said = run("install", str(place), "--unsigned")
    assert (code, "does not fit pack.yaml" in said) == (1, True)
    # What a stranger signs in the name of a trusted key.
    forged = signed(pack(), Ed25519PrivateKey.generate())
    signature = forged["pack.sig"].split(b"\n")[1]
    forged["pack.sig"] = f"key: {PUBLIC}\n".encode() + signature
    assert "does not fit" in refused(zip_of(forged, tmp_path / "f.zip"), (PUBLIC,))


@pytest.mark.parametrize(
    "content",
    [b"", b"key: x\nsignature: y\n", b"x" * 88, b"\xff", f"key: {PUBLIC}\nsignature: AAAA\n".encode()],
)
def test_a_broken_signature_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "pack.sig" in refused(zip_of({**pack(), "pack.sig": content}, tmp_path / "p.zip"), (PUBLIC,))


def test_a_key_that_is_all_zeros_signs_nothing(tmp_path: Path) -> None:
    nothing = base64.b64encode(bytes(32)).decode()
    content = f"key: {nothing}\nsignature: {base64.b64encode(bytes(64)).decode()}\n".encode()
    place = zip_of({**pack(), "pack.sig": content}, tmp_path / "p.zip")
    try:
        found = open_pack(place, (PUBLIC,))
    except ConfigError:
        return  # the library may refuse such a point
    assert found.trust == "unknown key"


def test_without_a_trusted_signature_somebody_has_to_say_so(tmp_path: Path, settings: Settings) -> None:
    place = zip_of(pack(), tmp_path / "p.zip")
    code, said = run("install", str(place))
    assert code == 1
    assert "nobody has signed it; look at its files, then add --unsigned" in said
    assert not (settings.home / "packs/release-notes").exists()
    Path("config").mkdir()
    Path("config/quartet.yaml").write_text(f"packs: {{trusted_keys: ['{PUBLIC}']}}\n")
    code, said = run("install", str(zip_of(signed(pack()), tmp_path / "s.zip")))
    assert (code, "1.0.0 (signed)" in said) == (0, True)


@pytest.mark.parametrize("key", ["x", "AAAA", "", PUBLIC[:-4], 7])
def test_a_trusted_key_that_is_none_is_refused_with_its_line(settings: Settings, key: object) -> None:
    Path("config").mkdir()
    Path("config/quartet.yaml").write_text(yaml.safe_dump({"packs": {"trusted_keys": [key]}}))
    with pytest.raises(ConfigError, match=r"quartet.yaml:3:5: packs.trusted_keys\[0\]"):
        load_settings()


# ── installed ones ───────────────────────────────────────────────────────────────────────────


def test_a_pack_that_is_there_is_replaced_only_when_said(tmp_path: Path, settings: Settings) -> None:
    run("install", str(zip_of(pack(), tmp_path / "1.zip")), "--unsigned")
    second = str(zip_of(pack(version="2.0.0"), tmp_path / "2.zip"))
    code, said = run("install", second, "--unsigned")
    assert (code, "add --replace" in said) == (1, True)
    assert run("install", second, "--unsigned", "--replace")[0] == 0
    assert [p.manifest.version for p in Packs(settings.home).all()] == ["2.0.0"]
    assert sorted(p.name for p in (settings.home / "packs").iterdir() if p.is_dir()) == ["release-notes"]


def test_what_was_changed_after_it_was_installed_is_refused_and_can_be_removed(
    tmp_path: Path, settings: Settings
) -> None:
    run("install", str(zip_of(pack(), tmp_path / "1.zip")), "--unsigned")
    with (settings.home / "packs/release-notes/workflows/notes.yaml").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(ConfigError, match="the file is not the one that this digest is of"):
        read_definitions(settings)
    assert run("remove-pack", "release-notes")[0] == 0
    assert read_definitions(settings).packs == []


def test_a_pack_that_others_need_is_not_removed(tmp_path: Path, settings: Settings) -> None:
    run("install", str(zip_of(pack(), tmp_path / "1.zip")), "--unsigned")
    other = pack(
        {"workflows/notes.yaml": "name: more\nnodes: {a: {kind: workflow, workflow: release_notes}}"}
    )
    other = {n: c for n, c in other.items() if n != "agents/archivist.yaml"}
    said = yaml.safe_load(other["pack.yaml"])
    said |= {"name": "more", "agents": []}
    del said["files"]["agents/archivist.yaml"]
    other["pack.yaml"] = yaml.safe_dump(said).encode()
    code, told = run("install", str(zip_of(other, tmp_path / "2.zip")), "--unsigned")
    assert code == 0, told
    code, told = run("remove-pack", "release-notes")
    assert code == 1
    assert "without the pack 'release-notes' this could not be read" in told
    assert Packs(settings.home).names() == ["more", "release-notes"]


def test_an_unknown_pack_is_named_with_the_nearest(tmp_path: Path, settings: Settings) -> None:
    run("install", str(zip_of(pack(), tmp_path / "1.zip")), "--unsigned")
    for name, hint in (
        ("release-note", "did you mean 'release-notes'"),
        ("../../home", "no such pack"),
        ("", "no such"),
    ):
        code, said = run("remove-pack", name)
        assert code == 1
        assert hint in said
    assert Packs(settings.home).names() == ["release-notes"]


def test_a_machine_that_stopped_while_a_pack_was_replaced_has_the_old_one(
    tmp_path: Path, settings: Settings
) -> None:
    packs = Packs(settings.home)
    packs.install(open_pack(zip_of(pack(), tmp_path / "1.zip"), ()))
    place = settings.home / "packs"
    (place / "release-notes").rename(place / ".old-release-notes")
    folder_of({"pack.yaml": b"half"}, place / ".new-abc")
    assert [p.name for p in packs.all()] == ["release-notes"]
    assert sorted(p.name for p in place.iterdir() if p.is_dir()) == ["release-notes"]


def test_a_disk_that_fails_half_way_leaves_the_old_pack(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs = Packs(settings.home)
    packs.install(open_pack(zip_of(pack(), tmp_path / "1.zip"), ()))
    newer = open_pack(zip_of(pack(version="2.0.0"), tmp_path / "2.zip"), ())

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as away:
        away.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match="No space left"):
            packs.install(newer, replace=True)
    assert [p.manifest.version for p in packs.all()] == ["1.0.0"]


def test_ten_installs_at_once_are_one_pack(tmp_path: Path, settings: Settings) -> None:
    found = open_pack(zip_of(pack(), tmp_path / "1.zip"), ())
    told: list[str] = []

    def install() -> None:
        try:
            Packs(settings.home).install(found)
            told.append("installed")
        except ConfigError as error:
            told.append(str(error))

    threads = [threading.Thread(target=install) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(told), told.count("installed")) == (10, 1)
    assert all("is installed" in text for text in told if text != "installed")


# ── making one ───────────────────────────────────────────────────────────────────────────────


def test_a_pack_of_ones_own_is_finished_and_signed(tmp_path: Path, settings: Settings) -> None:
    source = folder_of(pack(), tmp_path / "p")
    (source / "pack.yaml").write_text(
        "name: mine\nversion: '1'\nagents: [agents/archivist.yaml]\nworkflows: [workflows/notes.yaml]\n"
    )
    key = tmp_path / "key.pem"
    code, said = run("pack", str(source), "--key", str(key))
    assert code == 0, said
    assert key.stat().st_mode & 0o777 == 0o600
    public = yaml.safe_load((source / "pack.sig").read_text())["key"]
    assert public in said
    assert open_pack(source, (public,)).trust == "signed"
    assert run("pack", str(source))[0] == 0  # without a key the old signature goes
    assert open_pack(source, (public,)).trust == "unsigned"
    key.write_text("no key")
    code, said = run("pack", str(source), "--key", str(key))
    assert (code, "is no private key" in said) == (1, True)


def test_the_limits_are_those_of_the_docs() -> None:
    docs = (Path(__file__).parents[3] / "docs/packs.md").read_text()
    for limit in (
        pack_files.MAX_FILES,
        pack_files.MAX_FILE_BYTES,
        pack_files.MAX_BYTES,
        pack_files.MAX_RATIO,
    ):
        assert f"{limit:,}" in docs
