"""Discord's refusals the twin adds to SimCord's, by their documented numbers."""

from __future__ import annotations

from simcord.backend.errors import BackendError


def unauthorized() -> BackendError:
    return BackendError(401, 0, "401: Unauthorized")


def no_such_route() -> BackendError:
    return BackendError(404, 0, "404: Not Found")


def invalid_webhook_token() -> BackendError:
    return BackendError(401, 50027, "Invalid Webhook Token")


def thread_is_archived() -> BackendError:
    return BackendError(400, 50083, "Thread is archived")


def thread_exists() -> BackendError:
    return BackendError(400, 160004, "A thread has already been created for this message")


def too_many_threads() -> BackendError:
    return BackendError(400, 160006, "Maximum number of active threads reached")


def old_edits_used_up() -> BackendError:
    return BackendError(429, 30046, "Maximum number of edits to messages older than 1 hour reached")


def system_message() -> BackendError:
    return BackendError(403, 50021, "Cannot execute action on a system message")


def empty_message() -> BackendError:
    return BackendError(400, 50006, "Cannot send an empty message")


def too_large() -> BackendError:
    return BackendError(413, 40005, "Request entity too large")


def no_reply_without_history() -> BackendError:
    return BackendError(400, 160002, "Cannot reply without permission to read message history")


def no_direct_message() -> BackendError:
    return BackendError(403, 50007, "Cannot send messages to this user")


def no_mutual_guild() -> BackendError:
    return BackendError(403, 50278, "Cannot send messages to this user due to having no mutual guilds")
