"""What is wrong with Slack's settings though each value is right by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from config.yaml_text import YamlPath

_ADDRESS = "set ORCHESTRATOR_BASE_URL to the bot's https address, as https://bot.example.com"


class SlackGiven(Protocol):
    """The settings that are looked at. What is there counts; values are not read."""

    @property
    def slack_bot_token(self) -> object: ...  # noqa: D102
    @property
    def slack_app_token(self) -> object: ...  # noqa: D102
    @property
    def slack_signing_secret(self) -> object: ...  # noqa: D102
    @property
    def slack_client_id(self) -> object: ...  # noqa: D102
    @property
    def slack_client_secret(self) -> object: ...  # noqa: D102
    @property
    def slack_api_url(self) -> str: ...  # noqa: D102
    @property
    def base_url_given(self) -> str | None: ...  # noqa: D102


def slack_flaws(given: SlackGiven) -> Iterator[tuple[YamlPath, str, str]]:
    """What does not fit together: (path, message, remedy)."""
    speaks = bool(given.slack_bot_token or given.slack_client_id)
    hears = bool(given.slack_app_token or given.slack_signing_secret)
    if given.slack_bot_token and not hears:
        message = "the bot could speak on Slack, but hears nothing"
        remedy = "set SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTP)"
        yield ("slack_bot_token",), message, remedy
    if hears and not speaks:
        key = "slack_app_token" if given.slack_app_token else "slack_signing_secret"
        message = "the bot would hear Slack, but has no token to answer with"
        remedy = "set SLACK_BOT_TOKEN (one workspace) or SLACK_CLIENT_ID and SLACK_CLIENT_SECRET (many)"
        yield (key,), message, remedy
    if given.slack_client_secret and not given.slack_client_id:
        yield ("slack_client_secret",), "a client secret needs its client id", "set SLACK_CLIENT_ID"
    if given.slack_client_id:
        yield from _install_flaws(given, hears=hears)


def _install_flaws(given: SlackGiven, *, hears: bool) -> Iterator[tuple[YamlPath, str, str]]:
    """What is missing for installing the app into many workspaces."""
    path = ("slack_client_id",)
    if not given.slack_client_secret:
        yield path, "workspaces cannot install the app without its secret", "set SLACK_CLIENT_SECRET"
    if not hears:
        message = "workspaces could install the app, but nothing would be heard of them"
        yield path, message, "set SLACK_SIGNING_SECRET (HTTP) or SLACK_APP_TOKEN (Socket Mode)"
    if given.base_url_given is None:
        message = "Slack must know the address to come back to after an installation"
        yield path, message, _ADDRESS
    elif given.base_url_given.startswith("http://") and given.slack_api_url.startswith("https://"):
        yield ("base_url",), "Slack sends people who install the app to https addresses alone", _ADDRESS
