"""Bots of one module that shipped workflows are played on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import pytest
import pytest_asyncio

from tests.journey.shipped import ModelsDesk, RulesDesk


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rules(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[RulesDesk]:
    """A bot without models."""
    async with RulesDesk(tmp_path_factory.mktemp("rules")) as desk:
        yield desk


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scripted(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ModelsDesk]:
    """A bot with models that answer from a script."""
    async with ModelsDesk(tmp_path_factory.mktemp("models")) as desk:
        yield desk


@pytest.fixture
def models(scripted: ModelsDesk) -> Generator[ModelsDesk]:
    """The same; every answer of its script has to be asked for."""
    scripted.script()
    yield scripted
    scripted.settled()
