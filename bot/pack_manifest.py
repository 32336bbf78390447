"""What a pack says of itself (`pack.yaml`), and who vouches for it (`pack.sig`). Pure.

The signature covers the manifest's bytes, and the manifest the SHA-256 of every file: so one
signature covers the pack. A wrong one is refused always; an unknown key is no better than none.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import version as installed_version
from typing import Annotated, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bot.pack_files import MANIFEST, SIGNATURE, name_flaw, refuse
from config.documents import read_text_model
from config.values import PublicKey
from config.yaml_text import YamlPath, decode

Trust = Literal["signed", "unknown key", "unsigned"]
# What may lie in a pack besides agents and workflows: it is shown, never read by the program.
_BESIDE: Final = re.compile(
    r"(?i)(?:.*/)?(?:(?:readme|licen[cs]e|notice)(?:\.(?:md|txt))?|[^/]+\.(?:png|jpe?g|gif|webp|svg))"
)
_VERSION: Final = re.compile(r"\d{1,6}(?:\.\d{1,6}){0,3}")


def _file_name(name: str) -> str:
    flaw = name_flaw(name)
    if flaw:
        raise ValueError(f"{name[:80]!r} {flaw}; write a path inside of the pack")
    return name


def _signature(text: str) -> str:
    try:
        content = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        content = b""
    if len(content) != 64:
        raise ValueError("is no Ed25519 signature, which is 64 bytes in base64; sign the pack again")
    return text.strip()


FileName = Annotated[str, AfterValidator(_file_name)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """`pack.yaml`. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    version: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,39}$")
    description: str = Field(default="", max_length=1_000)
    author: str = Field(default="", max_length=200)
    requires: str = Field(
        default="", pattern=r"^(\d{1,6}(\.\d{1,6}){0,3})?$"
    )  # the oldest Quartet that will do
    agents: tuple[FileName, ...] = ()
    workflows: tuple[FileName, ...] = ()
    files: dict[FileName, Sha256] = Field(min_length=1)  # all files but this one and the signature


class Signed(BaseModel):
    """`pack.sig`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: PublicKey  # of who signed, base64
    signature: Annotated[str, AfterValidator(_signature)]  # of pack.yaml's bytes, base64


def read_manifest(files: Mapping[str, bytes], pack: str) -> Manifest:
    """The manifest, checked against the files that there are.

    Raises:
        ConfigError: with file, line and remedy.
    """
    name = f"{pack}/{MANIFEST}"
    text = decode(files[MANIFEST], name)
    return read_text_model(text, name, Manifest, extra_check=lambda m: _flaws(m, files))


def trust(files: Mapping[str, bytes], pack: str, trusted: Collection[str]) -> tuple[Trust, str]:
    """Whether somebody who is trusted has signed the pack, and the key that signed it ("": none).

    Raises:
        ConfigError: the signature is wrong: the pack is not what was signed.
    """
    if SIGNATURE not in files:
        return "unsigned", ""
    name = f"{pack}/{SIGNATURE}"
    signed = read_text_model(decode(files[SIGNATURE], name), name, Signed)
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signed.key))
    try:
        key.verify(base64.b64decode(signed.signature), files[MANIFEST])
    except InvalidSignature:
        refuse(name, f"the signature does not fit {MANIFEST}: it was changed since", "get the pack again")
    return ("signed" if signed.key in trusted else "unknown key"), signed.key


def digest(content: bytes) -> str:
    """A file's SHA-256, as the manifest has it."""
    return hashlib.sha256(content).hexdigest()


def _flaws(manifest: Manifest, files: Mapping[str, bytes]) -> Iterator[tuple[YamlPath, str]]:
    there = {name for name in files if name not in (MANIFEST, SIGNATURE)}
    for name, said in manifest.files.items():
        if name not in there:
            yield ("files", name), "there is no such file in the pack; remove the line"
        elif digest(files[name]) != said:
            yield ("files", name), "the file is not the one that this digest is of; get the pack again"
    for name in sorted(there - manifest.files.keys()):
        yield ("files",), f"the pack holds {name!r}, which is not listed; list it, or take it out"
    listed: dict[str, str] = {}
    for kind, names in (("agents", manifest.agents), ("workflows", manifest.workflows)):
        for i, name in enumerate(names):
            if name in listed:
                yield (kind, i), f"{name!r} is listed twice; remove one"
            elif name not in there:
                yield (kind, i), f"there is no file {name!r} in the pack; remove the line"
            elif not name.endswith((".yaml", ".yml")):
                yield (kind, i), f"{name!r} is no YAML file; name one that ends with .yaml"
            listed[name] = kind
    if not manifest.agents and not manifest.workflows:
        yield (), "the pack brings neither agents nor workflows; list at least one"
    for name in sorted(there - listed.keys()):
        if not _BESIDE.fullmatch(name):
            message = f"{name!r} is neither listed under agents or workflows nor a README, LICENSE or picture"
            yield ("files", name), f"{message}; take it out of the pack"
    if manifest.requires and _numbers(manifest.requires) > _numbers(installed_version("quartet-bot")):
        own = installed_version("quartet-bot")
        yield ("requires",), f"needs Quartet {manifest.requires} or newer, this is {own}; update Quartet"


def _numbers(version: str) -> tuple[int, ...]:
    found = _VERSION.match(version)
    numbers = [int(part) for part in found[0].split(".")] if found else [0]
    return tuple(numbers + [0] * (4 - len(numbers)))
