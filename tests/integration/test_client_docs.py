"""The page about the Python client tells the truth: its examples run, in their order, as one program."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.integration.whole_server import whole
from tests.programs import output

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "api-client.md"
KEY = "k-0123456789-secret"


@pytest.mark.timeout(150)
async def test_the_examples_of_the_page_run_in_order(tmp_path: Path) -> None:
    text = await asyncio.to_thread(PAGE.read_text)
    examples: list[str] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 6
    program = tmp_path / "examples.py"
    program.write_text("\n".join(examples))
    async with whole(tmp_path / "server", key=KEY) as server:
        environment = {
            **os.environ,
            "QUARTET_URL": server.url,
            "QUARTET_API_KEY": KEY,
            "PYTHONPATH": str(ROOT),
        }
        said = await output(sys.executable, "-W", "error", str(program), within_s=120, env=environment)
    lines = said.splitlines()
    assert lines[0].startswith("completed ")
    assert "complete " in lines
    assert "404 there is no run 'nothing'; GET /v1/runs lists them" in lines
    assert any(line.startswith("so far: ") for line in lines)
    assert KEY not in said
