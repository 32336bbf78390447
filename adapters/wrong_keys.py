"""Who guesses keys is slowed down, each client by itself: others sign in meanwhile."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable
from time import monotonic

WITHIN_S = 60.0
MOST_CLIENTS = 10_000  # remembered; beyond it the one that was quiet for longest is forgotten


class WrongKeys:
    """Wrong keys of the last minute, by client.

    Args:
        most: how many a client may give within a minute.
        clock: monotonic seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float] = monotonic) -> None:
        self._most = most
        self._clock = clock
        self._given: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """Seconds until this client may give a key again; 0: now."""
        given = self._given.get(_client(address))
        if given is None or len(given) < self._most:
            return 0
        left = WITHIN_S - (self._clock() - given[0])
        return int(left) + 1 if left > 0 else 0

    def note(self, address: str) -> None:
        """A client gave a wrong key."""
        client = _client(address)
        self._given.setdefault(client, deque(maxlen=self._most)).append(self._clock())
        self._given.move_to_end(client)
        if len(self._given) > MOST_CLIENTS:
            self._given.popitem(last=False)


def _client(address: str) -> str:
    """An address; with IPv6 its network, of which one client has all addresses."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64)))
    return str(parsed)
