"""A real Chromium for tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Where a Chromium is: Debian's place first, then PATH. `CHROMIUM` names another."""
    named = os.environ.get("CHROMIUM", "")
    usual = Path("/usr/bin/chromium")
    if named or usual.is_file():
        return named or str(usual)
    return next((path for name in NAMES if (path := shutil.which(name))), None)


needs_chromium = pytest.mark.skipif(
    find_chromium() is None,
    reason="no Chromium: install Debian's chromium, or set CHROMIUM to the path of one",
)


@asynccontextmanager
async def open_browser() -> AsyncGenerator[Browser]:
    """A headless Chromium, closed afterwards."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()
