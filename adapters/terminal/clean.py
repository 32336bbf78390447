r"""Make untrusted text harmless on a terminal, losing nothing that can be read. Pure.

Control characters become visible: C0 as control pictures (ESC → ␛), C1 and the characters that
reorder or hide text as `\x9b`, `\u202e`. Line breaks and tabs stay; letters of every script,
emoji and combining marks stay.
"""

from __future__ import annotations

_C0 = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
_C1 = {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
_BIDI = {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_LINES = {0x2028: "\\u2028", 0x2029: "\\u2029"}
_SURROGATES = {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}  # cannot be written as UTF-8
_TABLE = {**_C0, 0x7F: "\u2421", **_C1, **_BIDI, **_LINES, **_SURROGATES}


def clean(text: str) -> str:
    r"""The text with nothing in it that a terminal would obey; `\r\n` becomes `\n`."""
    return text.replace("\r\n", "\n").translate(_TABLE)
