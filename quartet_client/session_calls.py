"""Sessions: a team that is put together for a task, and works on it while people may be asked."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, TypeAdapter

from quartet_client.answers import SESSION_ENDED, Session, SessionLog
from quartet_client.asking import begin, get, post
from quartet_client.effects import Connect, Flow, Request
from quartet_client.operation import Calls, operation, streaming
from quartet_client.patience import Streaming, patiently, talking
from quartet_client.replies import fit, read_as, read_text
from quartet_client.settings import part
from quartet_client.socket_errors import raise_said

_LOGS: Final = TypeAdapter(list[SessionLog])
_SESSIONS: Final = TypeAdapter(list[Session])


class _Started(BaseModel):
    model_config = ConfigDict(extra="ignore")

    session_id: str


class _Done(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: str = ""


class SessionCalls(Calls):
    """Methods of both clients."""

    @operation
    def start_task(
        self,
        task: str,
        *,
        api_key: str | None = None,
        model: str | None = None,
        provider: str | None = None,
        system_message: str | None = None,
        tavily_key: str | None = None,
        idempotency_key: str | None = None,
    ) -> Flow[str]:
        """Let a team be put together for a task. Returns the session's id.

        Args:
            task: what is to be done.
            api_key: of a model provider, for this session alone; the server keeps it encrypted until it ends.
            model: "provider:model", or a name alone.
            provider: of the model.
            system_message: for every agent of the team.
            tavily_key: of the web search, for this session alone.
            idempotency_key: the same again gives the same session; None: one is made.
        """
        given = {
            "api_key": api_key,
            "model": model,
            "provider": provider,
            "system_message": system_message,
            "tavily_key": tavily_key,
        }
        body = {"task": task, **{name: value for name, value in given.items() if value is not None}}
        return (
            yield from begin(self.settings, "/api/start-task", _Started, body, idempotency_key)
        ).session_id

    @operation
    def reply(self, session_id: str, message: str, *, idempotency_key: str | None = None) -> Flow[None]:
        """Say something to the team: the answer, when the session is WAITING_FOR_INPUT.

        Args:
            session_id: of the session.
            message: what is said.
            idempotency_key: the same again counts once; None: one is made.

        Raises:
            NotFound: there is no such session.
            Conflict: it has ended.
        """
        body = {"session_id": session_id, "message": message}
        yield from begin(self.settings, "/api/reply", _Done, body, idempotency_key)

    @operation
    def stop_task(self, session_id: str) -> Flow[None]:
        """End a session now.

        Raises:
            NotFound: there is no such session.
        """
        yield from post(self.settings, f"/api/stop-task/{part(session_id)}", _Done)

    @operation
    def sessions(self) -> Flow[list[Session]]:
        """Sessions, newest first."""
        return read_as(
            (yield from patiently(self.settings, Request("GET", "/api/sessions", repeatable=True))), _SESSIONS
        )

    @operation
    def session(self, session_id: str) -> Flow[Session]:
        """A session.

        Raises:
            NotFound: there is none.
        """
        return (yield from get(self.settings, f"/api/sessions/{part(session_id)}", Session))

    @operation
    def session_logs(self, session_id: str) -> Flow[list[SessionLog]]:
        """What was said so far.

        Raises:
            NotFound: there is no such session.
        """
        path = f"/api/sessions/{part(session_id)}/logs"
        return read_as((yield from patiently(self.settings, Request("GET", path, repeatable=True))), _LOGS)

    @streaming
    def session_stream(self, session_id: str, *, after: int = 0) -> Streaming[SessionLog]:
        """The status, then every line of a session: those there are, then live, until it ends.

        A connection that breaks is opened again behind the last line.

        Args:
            session_id: of the session.
            after: give only lines behind this `id`.
        """
        yield from talking(self.settings, _Lines(session_id, after))


class _Lines:
    """The socket of a session, as far as it came."""

    resumes = True

    def __init__(self, session_id: str, after: int) -> None:
        self.ended = False
        self.over = False
        self._path = f"/ws/{part(session_id)}"
        self._seen = after
        self._greeted = False

    def connect(self) -> Connect:
        return Connect(self._path, {"after": self._seen})

    def first(self) -> None:
        return None

    def take(self, text: str) -> SessionLog | None:
        fields = read_text(text)
        raise_said(fields)
        line = fit(fields, SessionLog)
        if line.type == "status":
            self.over = line.content in SESSION_ENDED
        if line.id is None or line.id <= self._seen:  # how it is now: said when a connection begins
            again, self._greeted = self._greeted, True
            return None if again else line
        self._seen = line.id
        self.ended = line.type == "status" and self.over  # the log's last line
        return line
