"""A Discord of our own, on SimCord's world: REST, CDN, gateway, people. Start at `server.DiscordTwin`."""

from tests.twins.discord.server import DiscordTwin

__all__ = ["DiscordTwin"]
