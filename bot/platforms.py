"""Connect chat platforms in the background: one that cannot be reached keeps nobody waiting.

Each is tried until it is connected: a wrong token may be mended at any time. What goes wrong is said
once, not at every try.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import structlog

from adapters.contract import ChatAdapter, Inbound
from adapters.errors import NotAllowed, PlatformDown
from bot.progress import backoff

log = structlog.get_logger(__name__)

AGAIN_S: Final = 60.0  # between tries while a platform refuses us
LOOK_S: Final = 1.0  # between two looks at platforms that were connected


@dataclass(slots=True)
class _Link:
    """One platform and how far we are with it."""

    adapter: ChatAdapter
    connected: bool = False
    trouble: str = ""  # of the last try


class Platforms:
    """The platforms that are connected in the background.

    Args:
        adapters: of these platforms.
        say: told in one line, for people, when a platform is connected or why it is not.
        broken: platforms that there is no adapter for, though they are set up, and why.
    """

    def __init__(
        self,
        adapters: Sequence[ChatAdapter],
        say: Callable[[str], None] | None = None,
        *,
        broken: Mapping[str, str] | None = None,
    ) -> None:
        self._links: dict[str, _Link] = {a.platform: _Link(a) for a in adapters}
        self._tell = say or _quiet
        self.broken = dict(broken or {})

    def adapters(self) -> list[ChatAdapter]:
        """All of them."""
        return [link.adapter for link in self._links.values()]

    def connected(self, platform: str) -> bool:
        """Whether something can be sent there; platforms that are not connected here always are."""
        link = self._links.get(platform)
        return link is None or link.connected

    def state(self, platform: str) -> tuple[Literal["healthy", "degraded", "starting"], str]:
        """How a platform is, with what is wrong and the remedy."""
        if platform in self.broken:
            return "degraded", self.broken[platform]
        link = self._links.get(platform)
        if link is None or link.connected:
            return "healthy", ""
        return ("degraded", link.trouble) if link.trouble else ("starting", "being connected")

    async def watch(self, ready: Callable[[str], None]) -> None:
        """Notice, until cancelled, when a platform that was connected is reached again after trouble.

        Args:
            ready: called with each such platform.
        """
        troubled: set[str] = set()
        while True:
            for name, link in self._links.items():
                if link.connected and link.adapter.trouble:
                    troubled.add(name)
                elif name in troubled:
                    troubled.discard(name)
                    ready(name)
            await asyncio.sleep(LOOK_S)

    async def connect(self, inbound: Inbound, ready: Callable[[str], None]) -> None:
        """Connect all of them; returns when all are connected.

        Args:
            inbound: where they deliver.
            ready: called with each platform when it is connected.
        """
        async with asyncio.TaskGroup() as group:
            for name, link in self._links.items():
                group.create_task(self._connect(name, link, inbound, ready), name=f"connect:{name}")

    async def _connect(self, name: str, link: _Link, inbound: Inbound, ready: Callable[[str], None]) -> None:
        failures = 0
        while True:
            try:
                await link.adapter.start(inbound)
            except PlatformDown as error:
                failures += 1
                trouble, pause = str(error), backoff(failures)
            except NotAllowed as error:
                failures = 0
                trouble, pause = str(error), AGAIN_S * random.uniform(0.9, 1.1)
            except Exception as error:
                # A bug of one platform's must not end the others either.
                failures += 1
                trouble, pause = f"it could not be started ({type(error).__name__}: {error})", AGAIN_S
                if link.trouble != _one_line(trouble):
                    log.exception("a platform broke", action="platform_broke", platform=name)
            else:
                link.connected, link.trouble = True, ""
                log.debug("connected", action="platform_connected", platform=name)
                self._tell(f"{name.capitalize()} is connected.")
                if link.adapter.lacking:
                    self._tell(f"{name.capitalize()}: {_one_line(link.adapter.lacking)}")
                ready(name)
                return
            self._note(name, link, _one_line(trouble))
            await asyncio.sleep(pause)

    def _note(self, name: str, link: _Link, trouble: str) -> None:
        if link.trouble == trouble:
            return
        link.trouble = trouble
        log.warning("a platform is not connected", action="platform_trouble", platform=name, error=trouble)
        self._tell(f"{name.capitalize()} is not connected: {trouble} (tried again by itself)")


def _quiet(text: str) -> None:
    """Nobody looks."""


def _one_line(text: str) -> str:
    return " ".join(text.split())
