"""The invite link asks for what the code uses: every permission that is needed, none that is not."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import discord
import pytest

import adapters.discord
from adapters.discord.scopes import (
    BITS,
    FEATURES,
    REASONS,
    ROUTES,
    SCOPES,
    TITLES,
    bits,
    missing,
    permissions,
)

FOLDER = Path(str(adapters.discord.__file__)).parent
OPENAPI = Path(__file__).parents[3] / "fixtures" / "discord-openapi.json"
# scopes.py lists routes and calls none; what online.py and the library ask needs no permission in a channel.
ELSEWHERE = {"scopes.py", "online.py", "sync.py", "client.py", "commands.py"}
ROOTS = ("/channels/", "/users/", "/guilds/", "/interactions/", "/webhooks/", "/applications/")


def template(node: ast.expr) -> str | None:
    """A path as ROUTES has it, `*` for what is filled in; None: it is no path of Discord's."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    elif isinstance(node, ast.JoinedStr):
        text = "".join(str(p.value) if isinstance(p, ast.Constant) else "*" for p in node.values)
    else:
        return None
    # A prefix that other texts are compared with is no route.
    return text if text.startswith(ROOTS) and not text.endswith("/") and " " not in text else None


def trees() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(FOLDER.glob("*.py")):
        if file.name not in ELSEWHERE:
            yield file.name, ast.parse(file.read_text())


def named() -> set[str]:
    """Every path that our code names."""
    found: set[str] = set()
    for _, tree in trees():
        inner = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.expr) and node not in inner and (path := template(node)) is not None:
                found.add(path)
    return found


def called() -> set[str]:
    """Every call whose method and path stand in it."""
    found: set[str] = set()
    for _, tree in trees():
        for node in ast.walk(tree):
            if not (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) >= 2
            ):
                continue
            method, path = node.args[0], template(node.args[1])
            if node.func.attr == "call" and isinstance(method, ast.Constant) and path is not None:
                found.add(f"{method.value} {path}")
    return found


def path_of(route: str) -> str:
    return route.partition(" ")[2]


def test_every_route_that_is_called_has_its_permissions_in_the_link_and_no_other_is_listed() -> None:
    assert len(called()) >= 5
    assert called() <= set(ROUTES)
    assert named() == {path_of(route) for route in ROUTES}


def test_routes_are_those_that_discord_has() -> None:
    paths = json.loads(OPENAPI.read_text())["paths"]
    known = {
        f"{method.upper()} {re.sub(r'{[^}]*}', '*', path)}"
        for path, methods in paths.items()
        for method in methods
        if method in ("get", "post", "put", "patch", "delete")
    }
    assert len(known) > 150
    assert set(ROUTES) <= known


def test_every_permission_has_a_use_and_a_reason_for_people() -> None:
    used = {name for table in (ROUTES, FEATURES) for names in table.values() for name in names}
    assert set(permissions()) == used == set(REASONS) == set(TITLES)
    assert all(REASONS.values())
    assert "administrator" not in used


def test_bits_are_discords() -> None:
    flags = discord.Permissions.VALID_FLAGS
    assert {name: flags[name] for name in BITS} == dict(BITS)
    assert set(iter_names(bits())) == set(permissions())
    assert SCOPES == ("bot", "applications.commands")


def iter_names(value: int) -> Iterator[str]:
    for name, held in discord.Permissions(value):
        if held:
            yield "view_channel" if name == "read_messages" else name


@pytest.mark.parametrize("lacking", [(), ("attach_files",), ("view_channel", "create_public_threads")])
def test_what_is_missing_is_named(lacking: tuple[str, ...]) -> None:
    granted = bits() - sum(BITS[name] for name in lacking)
    assert missing(granted) == lacking
    assert missing(granted | BITS["administrator"]) == ()
