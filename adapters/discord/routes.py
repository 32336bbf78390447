"""Name a route as Discord counts it: what is called, and for which channel, guild or webhook. Pure."""

from __future__ import annotations

from dataclasses import dataclass

# https://docs.discord.com/developers/topics/rate-limits: each of these is counted by itself.
_MAJOR = {"channels": 1, "guilds": 1, "webhooks": 2, "interactions": 2}  # name → ids that follow it
_OWN_TOKEN = ("/interactions/", "/webhooks/")


@dataclass(frozen=True, slots=True)
class Route:
    """What is called."""

    name: str  # "PATCH /channels/{}/messages/{}": the same for all that may share a limit
    major: str  # the channel, guild or webhook; "" for none

    @property
    def is_counted(self) -> bool:
        """Whether the global limit counts it, and our token goes with it."""
        return not self.name.partition(" ")[2].startswith(_OWN_TOKEN)


def route_of(method: str, path: str) -> Route:
    """The route of a call, e.g. of `PATCH`, `/channels/1/messages/2`."""
    given = path.strip("/").split("/")
    ids = _MAJOR.get(given[0], 0)
    major = "/".join(given[1 : 1 + ids])
    named = [given[0], *["{}"] * len(given[1 : 1 + ids])]
    for before, segment in zip(given[ids:], given[1 + ids :], strict=False):
        # All emojis are counted together.
        named.append("{}" if segment.isdecimal() or before == "reactions" else segment)
    return Route(f"{method} /{'/'.join(named)}", major)
