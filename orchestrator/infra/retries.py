"""Retries of model calls, in the HTTP transport: 408, 409, 429, 5xx and broken connections.

Up to four, with growing pauses; `Retry-After` is obeyed up to 60 s. Each one is told to whoever listens
on `on_retry` before its pause. Light to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.agents.models import RetryNotice, on_retry

if TYPE_CHECKING:
    import httpx2
    from tenacity import RetryCallState

RETRIES = 4
LONGEST_WAIT_S = 60.0
AGAIN = frozenset({408, 409, 429})  # and 5xx


def retrying(network: httpx2.AsyncBaseTransport | None, first_wait_s: float) -> httpx2.AsyncBaseTransport:
    """A transport that tries again.

    Args:
        network: what really sends; None: the network.
        first_wait_s: the first pause; each further one is twice as long, with jitter.
    """
    import httpx2
    from pydantic_ai.retries import AsyncHTTPX2TenacityTransport, RetryConfig, wait_retry_after
    from tenacity import retry_if_exception, stop_after_attempt, wait_exponential_jitter

    backoff = wait_exponential_jitter(multiplier=first_wait_s, max=LONGEST_WAIT_S, jitter=first_wait_s)
    config = RetryConfig(
        retry=retry_if_exception(_passes),
        wait=wait_retry_after(fallback_strategy=backoff, max_wait=LONGEST_WAIT_S),
        stop=stop_after_attempt(RETRIES + 1),
        before_sleep=_tell,
        reraise=True,
    )
    sender = network or httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=1000))

    class Whole(httpx2.AsyncBaseTransport):
        """Reads the body as well, so that a connection that breaks in the middle of it is tried again."""

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = await sender.handle_async_request(request)
            answer.request = request
            try:
                await answer.aread()
            finally:
                await answer.aclose()
            return answer

        async def aclose(self) -> None:
            await sender.aclose()

    return AsyncHTTPX2TenacityTransport(config, Whole(), validate_response=_judge)


_TRIES = "quartet.tries"


def _judge(response: httpx2.Response) -> None:
    """Refuse an answer that may be better next time; the last one goes through with its body."""
    import httpx2

    extensions: Any = response.request.extensions
    tries = extensions[_TRIES] = extensions.get(_TRIES, 0) + 1
    status = response.status_code
    if status == 429 and b"insufficient_quota" in response.content:
        return  # no credit: waiting does not bring it back
    if (status in AGAIN or status >= 500) and tries <= RETRIES:
        raise httpx2.HTTPStatusError(f"HTTP {status}", request=response.request, response=response)


def _passes(error: BaseException) -> bool:
    import httpx2

    if isinstance(error, httpx2.HTTPStatusError):
        return True  # only `_judge` raises it
    # A model that thinks for longer than the read timeout would do so again.
    return isinstance(error, httpx2.TransportError) and not isinstance(
        error, httpx2.ReadTimeout | httpx2.UnsupportedProtocol | httpx2.ProxyError
    )


async def _tell(state: RetryCallState) -> None:
    import httpx2

    listener = on_retry.get()
    error = state.outcome.exception() if state.outcome else None
    if listener is not None:
        status = error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else None
        delay = state.next_action.sleep if state.next_action else 0.0
        await listener(RetryNotice(tries=state.attempt_number, status=status, delay_s=float(delay)))
