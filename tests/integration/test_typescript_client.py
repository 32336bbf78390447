"""The OpenAPI document is complete: a generated TypeScript client compiles strictly, and works."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.integration.whole_server import whole
from tests.programs import output

SOURCE = Path(__file__).parents[1] / "typescript"
TOOLS = SOURCE / "node_modules"
# What has a default may be left out of a call.
GENERATE = ("openapi.json", "-o", "schema.ts", "--default-non-nullable=false")
KEY = "k-0123456789-secret"

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no node"),
    pytest.mark.skipif(
        not (TOOLS / "typescript").is_dir(), reason="run `npm install` in tests/typescript; .ci/run does"
    ),
]


async def node(folder: Path, *arguments: str) -> str:
    """What a program for node prints."""
    return await output(str(shutil.which("node")), *arguments, within_s=150, folder=folder)


async def test_a_generated_client_compiles_strictly_and_works_on_every_family(tmp_path: Path) -> None:
    for name in ("package.json", "tsconfig.json", "client.ts"):
        shutil.copy(SOURCE / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(TOOLS)
    async with whole(tmp_path / "server", key=KEY) as server:
        (tmp_path / "openapi.json").write_text(json.dumps(server.app.openapi()))
        made = await server.client.post("/v1/keys", json={"name": "ts", "scopes": ["read", "run", "approve"]})
        await node(tmp_path, str(TOOLS / "openapi-typescript" / "bin" / "cli.js"), *GENERATE)
        await node(tmp_path, str(TOOLS / "typescript" / "bin" / "tsc"), "-p", ".")
        said = json.loads(await node(tmp_path, "client.js", server.url, made.json()["token"]))
    schema = await asyncio.to_thread((tmp_path / "schema.ts").read_text)
    assert said.pop("events")[-2:] == ["run_ended", "end"]
    assert "no run" in said.pop("detail")
    assert "deleted" in said.pop("deleted")
    assert said == {
        "health": "healthy",
        "chat": "completed",
        "listed": True,
        "decided": "approve",
        "executed": "completed",
        "worked": ["completed", "completed"],
        "graphs": 1,
        "session": "COMPLETED",
        "lines": True,
        "sessions": True,
    }
    # Free JSON is {[key: string]: unknown}; a bare `unknown` is where a type was forgotten.
    assert not re.findall(r'"application/json": unknown', schema)


def test_versions_are_exact_and_no_lock_names_a_host() -> None:
    package = json.loads((SOURCE / "package.json").read_text())
    versions = [*package["dependencies"].values(), *package["devDependencies"].values()]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
    assert not list(SOURCE.glob("*lock*"))
    assert "package-lock=false" in (SOURCE / ".npmrc").read_text()
