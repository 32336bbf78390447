"""For all tests: the plugin that makes the table of `docs/platforms.md` of their results, and their order."""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.parity"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Journeys first: their files take minutes, and a worker that begins one last keeps all waiting."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/journey/"))
