"""The shapes of Discord's settings. What people paste in place of the right thing is told by what it is."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, SecretStr

from config.values import CommaList, HttpUrl, as_text, token

BOT_PAGE: Final = "copy it at discord.com/developers/applications, page Bot, Reset Token"
_SNOWFLAKE: Final = r"[0-9]{17,20}"
_TOKEN: Final = re.compile(r"[\w-]{10,100}\.[\w-]{4,20}\.[\w-]{10,200}", re.ASCII)
# What is taken for the token, and how it is told.
_OTHERS: Final = (
    (r"xoxb-.*", "is a token of Slack, not of Discord; put it into SLACK_BOT_TOKEN"),
    (r"xapp-.*", "is a token of Slack, not of Discord; put it into SLACK_APP_TOKEN"),
    (r"xox.*", f"is a token of Slack, not of Discord; {BOT_PAGE}"),
    (r"mfa\..*", f"is the token of a person's account, which no bot may use; {BOT_PAGE}"),
    (_SNOWFLAKE, f"is an id of Discord (the application id?), not the token; {BOT_PAGE}"),
    (r"[0-9a-f]{64}", f"looks like the public key of the application, not the token; {BOT_PAGE}"),
    (
        r"[\w-]{32}",
        f"looks like the client secret of the application (page OAuth2), not the token; {BOT_PAGE}",
    ),
    (r"https?://.*", f"is an address, not the token; {BOT_PAGE}"),
)


def looks_like_token(text: str) -> bool:
    """Whether a text is most probably the token of a bot."""
    return len(text) >= 50 and _TOKEN.fullmatch(text) is not None


def _bot_token(value: SecretStr) -> SecretStr:
    """A bot's token: the bot's id, a time and a signature, with dots between."""
    text = value.get_secret_value().strip()
    if re.match(r"(?i)bot\s", text):
        raise ValueError("begins with 'Bot'; give the token alone")
    for pattern, told in _OTHERS:
        if re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(told)
    token(value)
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"is no bot token, which has three parts with dots between; {BOT_PAGE}")
    return value


def _guild(value: str) -> str:
    """The id of a server."""
    if re.fullmatch(_SNOWFLAKE, value):
        return value
    link = re.match(rf"https://(?:\w+\.)?discord\.com/channels/({_SNOWFLAKE})\b", value)
    if link is not None:
        raise ValueError(f"is a link; write the server's id, {link[1]}")
    how = "switch on Developer Mode (User Settings, Advanced), right-click the server, Copy Server ID"
    what = "is no id of a server, which has 17 to 20 digits" if value.isdigit() else "is not an id but a name"
    raise ValueError(f"{value[:40]!r} {what}; {how}")


def _bot(value: str) -> str:
    """A bot or a webhook by its id, or all of them."""
    if not re.fullmatch(rf"{_SNOWFLAKE}|\*", value):
        how = "right-click it with Developer Mode on, Copy User ID; or write '*' for all"
        raise ValueError(f"{value[:40]!r} is not the id of a bot or webhook, 17 to 20 digits; {how}")
    return value


def _without_slash(value: str) -> str:
    return value.rstrip("/")


DiscordToken = Annotated[SecretStr, AfterValidator(_bot_token)]
DiscordGuilds = Annotated[
    tuple[Annotated[str, BeforeValidator(as_text), AfterValidator(_guild)], ...], CommaList
]
DiscordBots = Annotated[tuple[Annotated[str, BeforeValidator(as_text), AfterValidator(_bot)], ...], CommaList]
DiscordUrl = Annotated[HttpUrl, AfterValidator(_without_slash)]
