"""What looks like a secret in a text. Pure; for texts that are kept and shown, such as drafted workflows."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "(left out: it looks like a secret)"
_TOKEN: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY"
    r"|\b(?:xox[a-z](?:\.xox[a-z])?-|xapp-|sk-|gsk_|tvly-|gh[a-z]_|github_pat_|glpat-|AKIA)[\w.-]{6,}"
    r"|(?<![\w-])[\w-]{20,}\.[\w-]{6,}\.[\w-]{20,}(?![\w-])"
    r"|(?i:\b(?:password|passwd|secret|api[_ -]?key|token)\b\s{0,4}[=:]\s{0,4}(?!\{\{)[^\s\"'`,;]{8,})",
    re.ASCII,
)


def without_tokens(text: str) -> str:
    """The text with what looks like a secret left out."""
    return _TOKEN.sub(HIDDEN, text)


def has_tokens(text: str) -> bool:
    """Whether there is something in it that looks like a secret."""
    return _TOKEN.search(text) is not None
