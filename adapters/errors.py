"""What can go wrong at a chat platform, in our words.

AdapterError
├── RateLimited          the platform asks us to wait `retry_after_s`
├── PlatformDown         not reachable or answering 5xx; the outcome of a write may be unknown
├── NotAllowed           token revoked, missing scope, removed from the channel
├── ConversationGone     the channel or thread was deleted or archived for good
├── MessageGone          the message was deleted by a person
├── CardRefused          the platform does not accept the card's shape or size
└── AttachmentRefused    the file is too large, of an unwanted type, or no longer there

Each adapter maps its SDK's errors into this tree once, in `adapter.py`.
"""

from __future__ import annotations


class AdapterError(Exception):
    """Something went wrong at a chat platform. The message names the remedy."""


class RateLimited(AdapterError):
    """The platform asks us to slow down.

    Args:
        retry_after_s: seconds to wait before the same call may be repeated.
    """

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s  # seconds


class PlatformDown(AdapterError):
    """The platform did not answer, or answered 5xx.

    Args:
        outcome_unknown: a write may have happened; look with `find` before writing again.
    """

    def __init__(self, message: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown


class NotAllowed(AdapterError):
    """The bot lacks a permission, a scope or a valid token."""


class ConversationGone(AdapterError):
    """The conversation cannot be written to any more."""


class MessageGone(AdapterError):
    """The message to edit was deleted."""


class CardRefused(AdapterError):
    """The platform refused the card; sending it again unchanged will not help."""


class AttachmentRefused(AdapterError):
    """A file cannot be taken: too large, unwanted type, or gone."""
