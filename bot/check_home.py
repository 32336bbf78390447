"""Whether the home folder can be written. What is tried is taken away again."""

from __future__ import annotations

import tempfile
from pathlib import Path


def home_flaw(home: Path) -> str:
    """Why nothing can be kept in this folder, and what to do; "" if it can, or can be made."""
    existing = next((p for p in (home, *home.parents) if p.exists()), home)
    try:
        # Asking for permissions is not enough: there are file systems that allow and then refuse.
        with tempfile.TemporaryDirectory(dir=existing, prefix=".quartet-check-") as tried:
            (Path(tried) / "file").write_bytes(b"x")
    except OSError as error:
        why = error.strerror or type(error).__name__
        verb = "written" if existing == home else f"made in {existing}"
        return f"cannot be {verb} ({why}); make it writable for this user, or set QUARTET_HOME"
    return ""
