"""Let a person fill a form in their editor: a YAML file, opened until it is saved in good order."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path

from adapters.contract import Form
from adapters.terminal import inbound, outbound


async def edit(command: str, form: Form, errors: Mapping[str, str]) -> Mapping[str, str] | None:
    """Open the form in the editor.

    Args:
        command: the editor with its options, as `$EDITOR` holds it.
        errors: what is wrong with the values that stand in the form, by field.

    Returns:
        The values, or None when the person left without saving (or the editor failed).
    """
    with tempfile.TemporaryDirectory(prefix="quartet-") as folder:  # readable by the owner only
        path = Path(folder) / "form.yaml"
        text = outbound.form_file(form, errors)
        while True:
            await asyncio.to_thread(path.write_text, text, encoding="utf-8")
            before = path.stat().st_mtime_ns
            if not await _open(command, path) or path.stat().st_mtime_ns == before:
                return None
            text = await asyncio.to_thread(path.read_text, encoding="utf-8", errors="replace")
            values, wrong = inbound.parse_form_file(form, text)
            if not wrong:
                return values
            notes = [
                f"# ERROR: {name}: {what}" if name else f"# ERROR: {what}" for name, what in wrong.items()
            ]
            kept = "\n".join(line for line in text.split("\n") if not line.startswith("# ERROR: "))
            text = "\n".join([*notes, kept])


async def _open(command: str, path: Path) -> bool:
    """Run the editor on the file; False when it could not run or failed."""
    try:
        running = await asyncio.create_subprocess_exec(*shlex.split(command), str(path))
    except (OSError, ValueError):
        return False
    try:
        return await running.wait() == 0
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            running.terminate()
        await running.wait()
        raise
