"""Ids: short enough to type, long enough never to meet twice."""

from __future__ import annotations

import hashlib
import json
import secrets

from orchestrator.events import ApprovalId, Json, RunId

_LETTERS = "abcdefghjkmnpqrstvwxyz23456789"  # none that look alike
MAX_NAME = 45  # characters of a node in an approval's id
_PAIRS = [a + b for a in _LETTERS for b in _LETTERS]


def new_run_id() -> RunId:
    """A run's id, e.g. `r7k2mq4xbn3t` (58 bits)."""
    number, letters = (
        int.from_bytes(secrets.token_bytes(16)),
        "r",
    )  # of 128 bits no remainder is noticeably likelier
    for _ in range(6):
        number, digit = divmod(number, len(_PAIRS))
        letters += _PAIRS[digit]
    return RunId(letters)


def approval_id(run_id: RunId, node: str, visit: int) -> ApprovalId:
    """The id of a node's approval; the same question has the same id after any restart.

    It stands in addresses and in buttons, so it is short and has neither / nor [.
    """
    name = node.replace("/", ".").replace("[", "-").replace("]", "")
    if len(name) > MAX_NAME:
        name = f"{name[: MAX_NAME - 13]}-{hashlib.sha256(node.encode()).hexdigest()[:12]}"
    return ApprovalId(f"{run_id}-{name}-{visit}")


def digest(arguments: Json) -> str:
    """SHA-256 of the canonical JSON: seals what was shown to people."""
    canonical = json.dumps(arguments, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
