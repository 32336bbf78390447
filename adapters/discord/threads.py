"""Make the thread in which a question is answered, on the message that asks it."""

from __future__ import annotations

import unicodedata

from adapters.contract import ConversationRef
from adapters.discord.ports import Api, DiscordRefused
from adapters.discord.refusals import NoPermission
from adapters.discord.text import one_line
from adapters.errors import AdapterError, CardRefused, ConversationGone, MessageGone, NotAllowed
from adapters.plain import clipped
from adapters.urgency import Urgency

NAME = 100  # characters that Discord takes
ARCHIVED_AFTER_MIN = 1440
EXISTS = 160004
_BLANK = (  # letters and signs, says Unicode, that show nothing
    "\N{HANGUL CHOSEONG FILLER}\N{HANGUL JUNGSEONG FILLER}\N{HANGUL FILLER}"
    "\N{HALFWIDTH HANGUL FILLER}\N{BRAILLE PATTERN BLANK}"
)
NO_THREADS = (
    "I cannot open a thread here. Someone who administers the server can give me the permissions Create "
    "Public Threads and Send Messages in Threads in this channel; then mention me again."
)
NOT_HERE = (
    "I answer in threads, and in this channel there can be none. Mention me in a text channel or in a "
    "thread, or write to me directly."
)


class NoThread(AdapterError):
    """No thread can be made there. The message is for who asked."""


async def make(api: Api, conversation: ConversationRef, words: str) -> bool:
    """Make the thread of a conversation on the message that has its id.

    Args:
        words: what is asked; the thread is named after it.

    Returns:
        Whether it was made now; False: it was there.

    Raises:
        NoThread: it cannot be made there.
        MessageGone, ConversationGone: there is no such message any more.
        PlatformDown: it can be tried again.
    """
    try:
        await api.call(
            "POST",
            f"/channels/{conversation.channel}/messages/{conversation.thread}/threads",
            {"name": name(words), "auto_archive_duration": ARCHIVED_AFTER_MIN},
            urgency=Urgency.REPLY,
        )
    except (MessageGone, ConversationGone):
        raise
    except NoPermission as error:
        raise NoThread(NO_THREADS) from error
    except NotAllowed as error:
        raise NoThread(f"I cannot open a thread here: {error}. Then mention me again.") from error
    except DiscordRefused as error:
        if error.code == EXISTS:
            return False
        raise NoThread(NOT_HERE) from error
    except CardRefused as error:
        raise NoThread(NOT_HERE) from error
    return True


def name(words: str) -> str:
    """A thread's name after the first words of a question; another where nothing of them can be seen."""
    line = one_line(words)
    named = clipped(line.strip("`*_~#> "), NAME)
    return named if any(map(_is_seen, named)) else "Question"


def _is_seen(letter: str) -> bool:
    """Whether a letter alone shows anything: Discord takes no name that is empty to the eye."""
    return unicodedata.category(letter)[0] not in "CZM" and letter not in _BLANK
