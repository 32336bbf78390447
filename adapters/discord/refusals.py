"""What Discord's error codes mean in our words, with the remedy. A table; pure.

The codes stand at https://docs.discord.com/developers/topics/opcodes-and-status-codes#json.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from adapters.discord.ports import DiscordRefused
from adapters.errors import AdapterError, CardRefused, ConversationGone, MessageGone, NotAllowed, PlatformDown

TOKEN_REMEDY = (
    "Discord does not accept DISCORD_BOT_TOKEN: copy a new token from the Bot page of your application at "
    "https://discord.com/developers/applications (Reset Token), set it, and start again"
)
FIELDS = 5  # bad fields that a message names
DEPTH = 12


class BodyRefused(CardRefused):
    """Discord does not take this message; a plainer drawing may do."""


class NoPermission(NotAllowed):
    """A permission is missing there, or the bot is not there any more: people can mend that."""


class ThreadArchived(NoPermission):
    """The thread is closed; who may write there opens it again. A locked one waits for a moderator."""


class OldMessage(DiscordRefused):
    """Messages of more than an hour were edited too often here.

    Args:
        retry_after_s: seconds until the next edit may be tried.
    """

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message, code=OLD_EDITS, status=429)
        self.retry_after_s = retry_after_s


OLD_EDITS = 30046
NO_REPLIES = 160002
TOKEN_CODES = frozenset({40001, 50014})
DOWN_CODES = frozenset({40333, 130000})  # refused on the way, or overloaded: nothing was done


@dataclass(frozen=True, slots=True)
class Refused:
    """What Discord refused, as far as a message needs it."""

    code: int
    status: int
    route: str  # "POST /channels/{}/messages"
    fields: str = ""  # what was wrong with the body


Meaning = Callable[[Refused], AdapterError]


def _gone(what: str) -> Meaning:
    return lambda r: ConversationGone(f"{what} ({r.code})")


def _not_allowed(what: str) -> Meaning:
    return lambda r: NotAllowed(f"{what} ({r.code})")


def _message_gone(what: str) -> Meaning:
    return lambda r: MessageGone(f"{what} ({r.code})")


def _body(what: str) -> Meaning:
    return lambda r: BodyRefused(f"Discord refused the message: {what} ({r.code})")


def _large(what: str) -> Meaning:
    return lambda r: BodyRefused(
        f"Discord refused the message: {what}; send less of it ({r.code or r.status})"
    )


def _refused(what: str) -> Meaning:
    return lambda r: DiscordRefused(f"{what} ({r.code})", code=r.code, status=r.status)


def _bad_body(r: Refused) -> AdapterError:
    where = f": {r.fields}" if r.fields else ""
    if r.route.startswith(("POST", "PATCH")) and "/messages" in r.route + "/" and "/threads" not in r.route:
        return BodyRefused(f"Discord refused the message{where} ({r.code})")
    return DiscordRefused(f"Discord refused {r.route}{where} ({r.code})", code=r.code, status=r.status)


# What a route needs, the first that fits. Words as Discord shows them in a role's settings.
_NEEDED: tuple[tuple[str, str], ...] = (
    (r"POST /channels/\{\}/messages/\{\}/threads", "`Create Public Threads`"),
    (r"POST /channels/\{\}/threads", "`Create Public Threads`"),
    (r"PUT .*/reactions/", "`Add Reactions` and `Read Message History`"),
    (r"POST /channels/\{\}/(messages|typing)", "`Send Messages`, in threads `Send Messages in Threads`"),
    (r"PATCH /channels/\{\}/messages/", "`View Channel`, in threads `Send Messages in Threads`"),
    (r"DELETE /channels/\{\}/messages/", "`Manage Messages`"),
    (r"GET /channels/\{\}/messages", "`Read Message History`"),
    (r"PATCH /channels/\{\}", "`Manage Threads`"),
    (r"PUT /applications/", "the scope `applications.commands`: invite it anew for that"),
)


def _missing(r: Refused) -> AdapterError:
    needed = next((words for route, words in _NEEDED if re.match(route, r.route)), "a permission")
    files = " (`Attach Files` for files)" if r.route == "POST /channels/{}/messages" else ""
    return NoPermission(f"the bot needs {needed}{files} there: give it to the bot's role ({r.code})")


def _access(r: Refused) -> AdapterError:
    return NoPermission(
        "the bot cannot see that channel: give its role `View Channel`, in a private thread mention the bot "
        f"so that it joins ({r.code})"
    )


_TABLE: dict[int, Meaning] = {
    # the place
    10003: _gone("the channel or thread was deleted"),
    10004: _gone("the bot is no longer in that server: invite it again"),
    10008: _message_gone("the message was deleted"),
    10015: _refused("the webhook or the interaction's token is not known any more; press or ask again"),
    # an interaction
    10062: _refused("the interaction was not answered within 3 seconds; press or ask again"),
    40060: _refused("the interaction was answered already"),
    50027: _refused("the interaction's 15 minutes have passed; press or ask again"),
    # numbers
    30003: _refused("the channel has all the pins it can have; unpin some"),
    30007: _refused("the channel has all the webhooks it can have; delete some"),
    30010: _refused("the message has all the reactions it can have"),
    30033: _not_allowed("the thread has all the people it can have; start another"),
    40005: _large("too large"),
    50045: _large("a file is too large for that server"),
    # permission
    20028: _not_allowed("the channel takes no more writes just now; try again later"),
    40002: _not_allowed("Discord asks the bot's owner to verify the account"),
    50001: _access,
    50005: _message_gone("the message is not the bot's own and cannot be edited"),
    50007: _not_allowed(
        "this person takes no direct messages from the bot: they may allow them in their settings"
    ),
    50013: _missing,
    50278: _not_allowed("this person shares no server with the bot any more"),
    50083: lambda r: ThreadArchived(
        f"the thread is closed: open it again, or give the bot's role `Manage Threads` ({r.code})"
    ),
    50008: _not_allowed("that channel takes no messages: ask in a text channel"),
    50024: _not_allowed("that kind of channel cannot do this: ask in a text channel"),
    160002: _refused("a reply needs `Read Message History` there: give it to the bot's role"),
    160004: _refused("the message has a thread already"),
    160005: lambda r: NoPermission(
        f"the thread is locked: unlock it, or give the bot's role `Manage Threads` ({r.code})"
    ),
    160006: _not_allowed("the server has all the open threads it can have: close some"),
    160007: _not_allowed("the server has all the open announcement threads it can have: close some"),
    # the message
    50006: _body("nothing in it"),
    50035: _bad_body,
    200000: _not_allowed("the server's AutoMod blocked the message: exempt the bot's role from that rule"),
    240000: _body("a link in it is thought to be harmful"),
}


def refusal(code: int, *, status: int, route: str, errors: object = None) -> AdapterError:
    """What Discord's `code` means.

    Args:
        code: Discord's number; 0: none was given.
        status: of the HTTP answer.
        route: what was called, as `Route.name`.
        errors: `errors` of the answer: what is wrong with which field.
    """
    refused = Refused(code, status, route, bad_fields(errors))
    meaning = _TABLE.get(code)
    if meaning is not None:
        return meaning(refused)
    if code in DOWN_CODES:
        return PlatformDown(f"Discord does not take {route} just now ({code}); it is tried again")
    if status == 413:
        return _large("too large")(refused)
    if status == 403 and not code:
        return _missing(refused)
    where = f": {refused.fields}" if refused.fields else ""
    return DiscordRefused(
        f"Discord refused {route}: HTTP {status}, code {code}{where}", code=code, status=status
    )


def bad_fields(errors: object) -> str:
    """The bad fields as `components.0.label BASE_TYPE_BAD_LENGTH, …`: paths and codes, nobody's text."""
    found: list[str] = []
    _walk(errors, [], found)
    more = f" and {len(found) - FIELDS} more" if len(found) > FIELDS else ""
    return ", ".join(found[:FIELDS]) + more


def _walk(errors: object, path: Sequence[str], found: list[str]) -> None:
    if not isinstance(errors, Mapping) or len(path) > DEPTH or len(found) > 100:
        return
    for name, inner in cast("Mapping[Any, object]", errors).items():
        if name == "_errors" and isinstance(inner, list):
            codes = [_code(each) for each in cast("list[object]", inner)]
            found.append(" ".join([".".join(path) or "body", *codes[:3]]))
        else:
            _walk(inner, [*path, _word(name)], found)


def _code(error: object) -> str:
    return _word(cast("Mapping[str, object]", error).get("code")) if isinstance(error, Mapping) else "?"


def _word(value: object) -> str:
    """Discord's names are words; anything else is not repeated into logs and messages."""
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_]{1,60}", value) else "?"
