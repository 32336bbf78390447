"""Discord's permissions that mean something to us, by name. Pure."""

from __future__ import annotations

from collections.abc import Mapping

# Names of Discord's permissions that a setting may name as `permission:<name>`, by their bit.
PERMISSIONS: Mapping[str, int] = {
    "kick_members": 1 << 1,
    "ban_members": 1 << 2,
    "administrator": 1 << 3,
    "manage_channels": 1 << 4,
    "manage_guild": 1 << 5,
    "manage_messages": 1 << 13,
    "manage_roles": 1 << 28,
    "manage_threads": 1 << 34,
    "moderate_members": 1 << 40,
}
ADMIN = frozenset({"administrator", "manage_guild", "manage_channels"})  # may change a channel's settings


def permissions_of(bits: object) -> frozenset[str]:
    """The names in `PERMISSIONS` of what Discord's bit field (a decimal text) holds."""
    if not isinstance(bits, str) or not (bits.isascii() and bits.isdecimal()) or len(bits) > 40:
        return frozenset()
    held = int(bits)
    if held & PERMISSIONS["administrator"]:
        return frozenset(PERMISSIONS)
    return frozenset(name for name, bit in PERMISSIONS.items() if held & bit)
