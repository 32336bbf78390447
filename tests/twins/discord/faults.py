"""Orders for things to go wrong, and the journal of every call.

    faults.order("POST /channels/*/messages", status=500)          # once: HTTP 500, nothing done
    faults.order("PATCH *", status=502, times=3, after_effect=True)  # it is done, then HTTP 502
    faults.order("POST */messages", after_effect=True)             # it is done, then the connection breaks
    faults.order("*")                                              # the connection breaks, nothing done
    faults.order("*", retry_after=2)                               # a 429 of the route; scope="global" …
    faults.order("POST /users/@me/channels", status=403, code=50007)
    faults.order("GET *", malformed=True)                          # 200 with broken JSON
    faults.order("*/callback", latency_s=4)                        # late, else as usual
    faults.outage(True)                                            # connections break until outage(False)
    faults.watch = function                                        # asked when it "arrives" and is "done"

A pattern (`fnmatch`) is held against `METHOD /template` (as in Discord's description) and `METHOD /path`,
with or without the method. The oldest order that fits is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

Moment = Literal["arrives", "done"]  # before anything is changed; after that, before the answer goes out
Scope = Literal["user", "global", "shared"]


@dataclass
class Fault:
    """One order. Without status, retry_after, malformed or latency_s the connection breaks."""

    pattern: str
    times: int = 1
    status: int = 0
    code: int = 0
    after_effect: bool = False
    retry_after: float = 0.0
    scope: Scope = "user"
    malformed: bool = False
    latency_s: float = 0.0

    @property
    def only_late(self) -> bool:
        return bool(self.latency_s) and not (
            self.status or self.retry_after or self.after_effect or self.malformed
        )


@dataclass
class Call:
    """A call that came in."""

    method: str
    path: str  # without the API's prefix and the query
    route: str  # the template of Discord's description; "" when there is none
    at: float  # monotonic seconds
    body: Any = field(default=None, repr=False)  # JSON, or payload_json
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    files: tuple[str, ...] = ()  # names of what was uploaded
    status: int = 0  # HTTP; 0: the connection was broken, or there is no answer yet
    code: int = 0  # Discord's number for what was wrong; 0 when all is well
    bucket: str = ""  # route bucket with its major parameter
    done_at: float = 0.0
    answer: Any = field(default=None, repr=False)
    violations: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`METHOD /template`."""
        return f"{self.method} {self.route or self.path}"

    def fits(self, pattern: str) -> bool:
        """Whether a pattern names this call."""
        spelt = (self.name, f"{self.method} {self.path}", self.route, self.path)
        return any(fnmatchcase(each, pattern) for each in spelt)


class Faults:
    """Orders, outage, journal."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.is_out = False
        # Told of every call twice; True: the caller is gone, so nothing is done for it (any more).
        self.watch: Callable[[Call, Moment], bool] = lambda call, moment: False
        self._orders: list[Fault] = []

    def order(
        self,
        pattern: str,
        *,
        times: int = 1,
        status: int = 0,
        code: int = 0,
        after_effect: bool = False,
        retry_after: float = 0.0,
        scope: Scope = "user",
        malformed: bool = False,
        latency_s: float = 0.0,
    ) -> Fault:
        """Order a fault for the next `times` calls a pattern fits."""
        made = Fault(pattern, times, status, code, after_effect, retry_after, scope, malformed, latency_s)
        self._orders.append(made)
        return made

    def clear(self) -> None:
        """Forget what was ordered; the journal stays."""
        self._orders.clear()
        self.is_out = False

    def outage(self, on: bool) -> None:
        """Every call fails by a broken connection, or no longer."""
        self.is_out = on

    def take(self, call: Call) -> Fault | None:
        """The order this call gets, used up by one."""
        for fault in self._orders:
            if call.fits(fault.pattern):
                fault.times -= 1
                if fault.times <= 0:
                    self._orders.remove(fault)
                return fault
        return None

    def count(self, pattern: str = "*", *, ok: bool = False) -> int:
        """How many calls a pattern fits; with `ok` only those that succeeded."""
        return sum(1 for c in self.calls if c.fits(pattern) and (not ok or 200 <= c.status < 300))
