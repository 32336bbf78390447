"""Finish a pack of one's own: the digests of its files in `pack.yaml`, its signature in `pack.sig`."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import yaml
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bot.pack_files import MANIFEST, SIGNATURE, read_pack_files, refuse
from bot.pack_manifest import digest
from config.errors import short_path
from config.yaml_text import decode, read_text

_MADE = "name a file that is not there: one is made"


def finish(folder: Path, key_file: Path | None) -> str:
    """Write `files:` anew into the manifest, and the signature where a key is given.

    A signature of before is removed: it does not fit any more.

    Returns:
        The public key that signed, base64; "": nobody.

    Raises:
        ConfigError: the folder holds what a pack may not hold, or the key cannot be used.
    """
    files = read_pack_files(folder)
    name = f"{short_path(folder)}/{MANIFEST}"
    said: dict[str, Any] = read_text(decode(files[MANIFEST], name), name).values
    said["files"] = {n: digest(c) for n, c in sorted(files.items()) if n not in (MANIFEST, SIGNATURE)}
    manifest = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100).encode()
    key = _key(key_file) if key_file is not None else None
    _put(folder / MANIFEST, manifest)
    (folder / SIGNATURE).unlink(missing_ok=True)
    if key is None:
        return ""
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    signature = base64.b64encode(key.sign(manifest)).decode()
    _put(folder / SIGNATURE, f"key: {public}\nsignature: {signature}\n".encode())
    return public


def _put(place: Path, content: bytes) -> None:
    """All of the file, or what it was before."""
    fresh = place.with_name(f".{place.name}.new")
    fresh.write_bytes(content)
    fresh.replace(place)


def _key(file: Path) -> Ed25519PrivateKey:
    name = short_path(file)
    try:
        if not file.exists():
            made = Ed25519PrivateKey.generate()
            pem = made.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as fresh:
                fresh.write(pem)
            return made
        found = serialization.load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        refuse(name, f"cannot be used ({error.strerror})", "name a file that this user may read and write")
    except (ValueError, TypeError, UnsupportedAlgorithm):
        refuse(
            name, "is no private key without a password in PEM", "name a file that is not there: one is made"
        )
    if not isinstance(found, Ed25519PrivateKey):
        refuse(name, "is no Ed25519 key", _MADE)
    return found
