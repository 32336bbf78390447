"""What the wires of both clients share: settings, and the HTTP library's client, made with the first call."""

from __future__ import annotations

from threading import Lock
from typing import Any, Generic, TypeVar

from quartet_client.errors import Closed
from quartet_client.settings import Settings

Http = TypeVar("Http")


class Wire(Generic[Http]):
    """See `SyncWire` and `AsyncWire`."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int | None = None,
        max_pause: float = 30.0,
        reconnect: float = 120.0,
    ) -> None:
        """A client. Nothing is sent yet.

        Args:
            url: of the server; None: QUARTET_URL, else http://127.0.0.1:8080.
            api_key: None: QUARTET_API_KEY, else API_KEY; "": none.
            timeout: seconds for one answer.
            retries: after the first try, where trying again cannot do anything twice; None: as long as
                `reconnect` says.
            max_pause: seconds; a server that asks to wait longer before a retry is not waited for.
            reconnect: seconds for which a server that is away or starting is looked for: by streams and
                waits after the last sign of life, by calls that may be sent twice after their beginning.

        Raises:
            ValueError: an argument cannot be one.
        """
        self.settings = Settings.of(
            url, api_key, timeout=timeout, retries=retries, max_pause=max_pause, reconnect=reconnect
        )
        self._http: Http | None = None
        self._is_closed = False
        self._lock = Lock()  # threads may share a client

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings.url!r})"

    def _client(self) -> Http:
        with self._lock:
            if self._is_closed:
                raise Closed("This client is closed; make another one.")
            if self._http is None:
                from quartet_client.wire_parts import client_options

                self._http = self._made(client_options(self.settings))
            return self._http

    def _made(self, options: dict[str, Any]) -> Http:
        """A new client of the HTTP library."""
        raise NotImplementedError

    def _let_go(self) -> Http | None:
        """The client that is to be closed; there is no other one after it."""
        with self._lock:
            self._is_closed = True
            http, self._http = self._http, None
        return http
