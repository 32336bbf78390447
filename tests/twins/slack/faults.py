"""Orders for things to go wrong, and the journal of every call.

    faults.order("chat.postMessage", error="internal_error")      # once: {"ok": false, …}, nothing done
    faults.order("chat.update", status=503, times=3)              # HTTP 503, nothing done
    faults.order("chat.postMessage", after_effect=True)           # it is done, then the connection breaks
    faults.order("chat.postMessage", after_effect=True, status=500)
    faults.order("*", retry_after=2)                              # a 429
    faults.order("views.open", latency_s=4)                       # late, else as usual
    faults.order("users.info")                                    # the connection breaks, nothing done
    faults.outage(True)                                           # connections break until outage(False)
    faults.watch = function                                       # asked at "arrives" and "done" of each call

Orders of a method come before those for "*"; the oldest goes first. Uploads and private downloads are no
methods, yet take orders under the names "files.upload" and "files.download".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Moment = Literal["arrives", "done"]  # before anything is changed; after that, before the answer goes out


@dataclass
class Fault:
    """One order. Without error, status, retry_after or latency_s the connection breaks."""

    method: str
    times: int = 1
    error: str = ""
    status: int = 0
    after_effect: bool = False
    retry_after: int = 0
    latency_s: float = 0.0

    @property
    def only_late(self) -> bool:
        return bool(self.latency_s) and not (
            self.error or self.status or self.retry_after or self.after_effect
        )


@dataclass
class Call:
    """A call that came in."""

    method: str
    team: str
    channel: str
    at: float  # monotonic seconds
    arguments: Mapping[str, Any] = field(repr=False)  # without the token
    app: str = ""
    status: int = 0  # HTTP; 0: the connection was broken, or there is no answer yet
    error: str = ""  # Slack's word; "" when ok


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
        method: str,
        *,
        times: int = 1,
        error: str = "",
        status: int = 0,
        after_effect: bool = False,
        retry_after: int = 0,
        latency_s: float = 0.0,
    ) -> Fault:
        """Order a fault for the next `times` calls of a method ("*": of any)."""
        made = Fault(method, times, error, status, after_effect, retry_after, latency_s)
        self._orders.append(made)
        return made

    def clear(self) -> None:
        """Forget what was ordered; the journal stays."""
        self._orders.clear()
        self.is_out = False

    def outage(self, on: bool) -> None:
        """Every call fails by a broken connection, or no longer."""
        self.is_out = on

    def take(self, method: str, *, exact: bool = False) -> Fault | None:
        """The order this call gets, used up by one; `exact` leaves orders for "*" alone."""
        for wanted in (method,) if exact else (method, "*"):
            for fault in self._orders:
                if fault.method == wanted:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._orders.remove(fault)
                    return fault
        return None

    def note(self, method: str, arguments: Mapping[str, Any]) -> Call:
        """Write a call down; what became of it is filled in later."""
        channel = str(arguments.get("channel") or arguments.get("channel_id") or "")
        shown = {k: v for k, v in arguments.items() if k not in ("token", "client_secret")}
        made = Call(method, "", channel, time.monotonic(), shown)
        self.calls.append(made)
        return made

    def count(self, method: str = "*", *, ok: bool = False) -> int:
        """How often a method was called ("*": all); with `ok` only those that succeeded."""
        return sum(
            1
            for c in self.calls
            if method in ("*", c.method) and (not ok or (c.status == 200 and not c.error))
        )
