"""What Slack's error codes mean in our words, with the remedy. A table; pure.

The codes stand on the page of each method at https://docs.slack.dev/reference/methods.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from adapters.errors import AdapterError, CardRefused, ConversationGone, MessageGone, NotAllowed, PlatformDown
from adapters.slack.ports import SlackRefused
from adapters.slack.tokens import COPY_TOKEN


class BlocksRefused(CardRefused):
    """Slack does not take this card's blocks; a plainer drawing may do.

    Args:
        code: Slack's word for it.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class NotInChannel(NotAllowed):
    """The bot is not in the channel now; an invitation mends it."""


class Unseen(ConversationGone):
    """The channel is gone, or private and the bot was removed from it: Slack does not tell which."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What Slack refused, as far as a message needs it."""

    code: str
    method: str
    channel: str = ""
    needed: str = ""  # the missing scope
    repeatable: bool = False
    token_remedy: str = ""  # "": TOKEN_REMEDY


TOKEN_REMEDY = f"{COPY_TOKEN} into SLACK_BOT_TOKEN, and start again"
INSTALL_REMEDY = "install the app again at /slack/install"
_INVITE = "invite the bot there with /invite"


def _token(what: str) -> Callable[[Refused], AdapterError]:
    # Not NotAllowed: cards wait for the next token, they are not given up.
    return lambda r: PlatformDown(
        f"Slack does not accept our token: {what} ({r.code}); {r.token_remedy or TOKEN_REMEDY}"
    )


def _down(what: str, *, unknown: bool) -> Callable[[Refused], AdapterError]:
    return lambda r: PlatformDown(
        f"Slack {what} ({r.code} for {r.method})", outcome_unknown=unknown and not r.repeatable
    )


def _scope(r: Refused) -> AdapterError:
    needed = f"the scope {r.needed}" if r.needed else "a scope"
    return NotAllowed(
        f"{r.method} needs {needed}, which the installed app lacks: apply the manifest that "
        "`quartet manifest slack` prints, and install the app again"
    )


def _not_allowed(what: str) -> Callable[[Refused], AdapterError]:
    return lambda r: NotAllowed(f"{what.format(channel=r.channel or 'that channel')} ({r.code})")


def _gone(what: str) -> Callable[[Refused], AdapterError]:
    return lambda r: ConversationGone(f"{what.format(channel=r.channel or 'the channel')} ({r.code})")


def _message_gone(what: str) -> Callable[[Refused], AdapterError]:
    return lambda r: MessageGone(f"{what} ({r.code})")


def _card(what: str) -> Callable[[Refused], AdapterError]:
    return lambda r: BlocksRefused(f"Slack refused the card: {what} ({r.code})", code=r.code)


_TABLE: dict[str, Callable[[Refused], AdapterError]] = {
    # the token
    "invalid_auth": _token("it is wrong"),
    "not_authed": _token("there is none"),
    "token_revoked": _token("it was revoked"),
    "token_expired": _token("it has expired"),
    "account_inactive": _token("the app was removed, or the workspace closed"),
    "org_login_required": _token("the organisation moves"),
    "team_access_not_granted": _token("the app is not granted to this workspace"),
    # Slack itself
    "internal_error": _down("has an internal error", unknown=True),
    "fatal_error": _down("has a fatal error", unknown=True),
    "request_timeout": _down("did not receive the whole request", unknown=False),
    "service_unavailable": _down("is not available", unknown=True),
    "team_added_to_org": _down("moves the workspace into an organisation", unknown=False),
    "ekm_access_denied": _not_allowed("the administrators have suspended posting in {channel}"),
    # permission
    "missing_scope": _scope,
    "not_allowed_token_type": _not_allowed("this needs a bot token (xoxb-…) in SLACK_BOT_TOKEN"),
    "access_denied": _not_allowed("the workspace does not let the bot do this; ask its administrators"),
    "no_permission": _not_allowed("the workspace does not let the bot do this; ask its administrators"),
    "restricted_action": _not_allowed(
        "a setting of the workspace keeps the bot from posting in {channel}; ask its administrators"
    ),
    "restricted_action_thread_only_channel": _not_allowed("{channel} takes replies in threads only"),
    "restricted_action_read_only_channel": _not_allowed("{channel} is read-only for the bot"),
    "restricted_action_non_threadable_channel": _not_allowed("{channel} has no threads"),
    "restricted_action_thread_locked": _not_allowed("the thread in {channel} is locked"),
    "not_in_channel": lambda r: NotInChannel(
        f"the bot is not in {r.channel or 'that channel'}: {_INVITE} ({r.code})"
    ),
    # the place
    "channel_not_found": lambda r: Unseen(
        f"{r.channel or 'the channel'} is not there, or private and the bot is not in it: "
        f"{_INVITE} ({r.code})"
    ),
    "is_archived": _gone("{channel} is archived: unarchive it to go on there"),
    "thread_not_found": _gone("the thread in {channel} was deleted"),
    "invalid_thread_ts": _gone("the thread in {channel} was deleted"),
    "user_not_found": _gone("the person is not there any more"),
    "user_disabled": _gone("the person's account is closed"),
    # the message
    "message_not_found": _message_gone("the message was deleted"),
    "cant_update_message": _message_gone("the message cannot be edited"),
    "cant_delete_message": _message_gone("the message cannot be deleted"),
    "edit_window_closed": _message_gone("the workspace lets messages be edited for a while only"),
    # the card
    "invalid_blocks": _card("blocks that this workspace does not show"),
    "invalid_blocks_format": _card("blocks out of shape"),
    "invalid_attachments": _card("attachments out of shape"),
    "msg_too_long": _card("too long"),
    "msg_blocks_too_long": _card("blocks too long"),
    "no_text": _card("no text"),
    "metadata_too_large": _card("metadata too large"),
}
_TOKEN_TROUBLE = frozenset(
    {
        "invalid_auth",
        "not_authed",
        "token_revoked",
        "token_expired",
        "account_inactive",
        "org_login_required",
        "team_access_not_granted",
    }
)


def is_token_trouble(code: str) -> bool:
    """Whether all calls to this workspace will fail until it has another token."""
    return code in _TOKEN_TROUBLE


def refusal(
    code: str,
    *,
    method: str,
    channel: str = "",
    needed: str = "",
    repeatable: bool = False,
    token_remedy: str = "",
) -> AdapterError:
    """What Slack's `code` means.

    Args:
        code: Slack's word.
        method: what was called.
        channel: where.
        needed: the scope that Slack asks for.
        repeatable: calling again does no harm, so that an unknown outcome does not matter.
        token_remedy: what to do about a token that does not count; "": copy SLACK_BOT_TOKEN again.
    """
    # Slack's words are one word; anything else is not repeated into logs and messages.
    code = code if re.fullmatch(r"[a-z0-9_.:-]{1,80}", code) else "an unreadable error"
    meaning = _TABLE.get(code)
    if meaning is None:
        return SlackRefused(f"Slack refused {method}: {code}", code=code)
    return meaning(Refused(code, method, channel, needed, repeatable, token_remedy))
