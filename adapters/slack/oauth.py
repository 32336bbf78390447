"""Installing the app into workspaces: Bolt's OAuth flow with our store, our cookie and our pages.

`GET /slack/install` shows a button to Slack; Slack sends people back to `GET /slack/oauth_redirect`
with a code that is exchanged for the bot token. A state ties the two together: good once, in the same
browser, within ten minutes.
"""

from __future__ import annotations

import html
import logging
import re
import secrets
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urljoin

import aiohttp
from slack_bolt.error import BoltError
from slack_bolt.oauth.async_callback_options import AsyncCallbackOptions, AsyncFailureArgs, AsyncSuccessArgs
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackClientError
from slack_sdk.oauth import OAuthStateUtils
from slack_sdk.oauth.authorize_url_generator import AuthorizeUrlGenerator
from slack_sdk.oauth.installation_store import Installation
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore

from adapters.database import Database
from adapters.slack.install import Installations
from adapters.slack.manifest import INSTALL_PATH, NAME, REDIRECT_PATH
from adapters.slack.scopes import bot_scopes
from adapters.slack.tokens import API_URL, web_client

STATE_S = 600  # an installation that was begun must be finished within this
log = logging.getLogger(__name__)

# The page's own script-free self; nothing of it is kept, sent on as a referrer, or framed.
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def oauth_flow(
    installations: Installations,
    *,
    database: Database,
    client_id: str,
    client_secret: str,
    base_url: str,
    api_url: str = API_URL,
    authorize_url: str = "",
    scopes: Sequence[str] = (),
) -> AsyncOAuthFlow:
    """The flow behind `/slack/install` and `/slack/oauth_redirect`; Bolt mounts it, given as `oauth_flow`.

    Args:
        installations: where the tokens go.
        database: slack.db, open; keeps what was begun.
        client_id: of the app.
        client_secret: of the app.
        base_url: the bot's address as browsers reach it.
        api_url: Slack's Web API, with a slash at the end.
        authorize_url: where people say yes; "": the page beside `api_url`.
        scopes: what to ask for; none: what the manifest has.
    """
    base = base_url.rstrip("/")
    wanted = list(scopes or bot_scopes())
    settings = AsyncOAuthSettings(
        client_id=client_id,
        client_secret=client_secret,
        scopes=wanted,
        user_scopes=[],
        redirect_uri=f"{base}{REDIRECT_PATH}",
        install_path=INSTALL_PATH,
        redirect_uri_path=REDIRECT_PATH,
        callback_options=AsyncCallbackOptions(success=_succeeded, failure=_failed),
        installation_store=installations,
        state_store=States(database),
        state_expiration_seconds=STATE_S,
    )
    settings.state_utils = _Cookie(secure=base.startswith("https://"))
    settings.authorize_url_generator = _Address(
        client_id=client_id,
        redirect_uri=settings.redirect_uri,
        scopes=wanted,
        authorization_url=authorize_url or urljoin(api_url, "/oauth/v2/authorize"),
    )
    return _Flow(client=web_client(api_url=api_url), logger=_quiet(), settings=settings)


class _Flow(AsyncOAuthFlow):
    """Bolt's flow with our page, and with every failure ending in one."""

    async def build_install_page_html(self, url: str, request: AsyncBoltRequest) -> str:
        return _page(
            f"Install {NAME}",
            f"<p>{NAME} will be able to read and answer where it is mentioned or invited, and nowhere else. "
            "Slack shows every permission before you agree.</p>"
            f'<p><a class="button" href="{html.escape(url, quote=True)}">Add to Slack</a></p>',
        )

    async def append_set_cookie_headers(
        self, headers: dict[str, Any], set_cookie_value: str | None
    ) -> dict[str, Any]:
        cookie = {"Set-Cookie": [set_cookie_value]} if set_cookie_value is not None else {}
        return {**headers, **HEADERS, **cookie}

    async def run_installation(self, code: str) -> Installation | None:
        try:
            return await super().run_installation(code)
        except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError, KeyError) as error:
            log.warning("an installation failed: Slack could not be asked (%s)", type(error).__name__)
            return None

    async def store_installation(self, request: AsyncBoltRequest, installation: Installation) -> None:
        try:
            await super().store_installation(request, installation)
        except BoltError:
            raise
        except Exception as error:
            log.exception("an installation could not be kept")
            raise BoltError("the installation could not be kept") from error


class _Address(AuthorizeUrlGenerator):
    """Slack's page with every part escaped: the team comes from the address that was opened."""

    def generate(self, state: str, team: str | None = None) -> str:
        asked = {
            "state": state,
            "client_id": self.client_id,
            "scope": ",".join(self.scopes or ()),
            "user_scope": "",
            "redirect_uri": self.redirect_uri or "",
        }
        if team is not None and re.fullmatch(r"[TE][A-Z0-9]{2,30}", team):
            asked["team"] = team
        return f"{self.authorization_url}?{urlencode(asked)}"


class _Cookie(OAuthStateUtils):
    """The cookie that ties a state to a browser; without `Secure` where the bot has no https (loopback)."""

    def __init__(self, *, secure: bool) -> None:
        super().__init__(cookie_name="quartet-slack-install", expiration_seconds=STATE_S)
        self._rest = f"HttpOnly; SameSite=Lax; Path=/slack{'; Secure' if secure else ''}"

    def build_set_cookie_for_new_state(self, state: str) -> str:
        return f"{self.cookie_name}={state}; {self._rest}; Max-Age={self.expiration_seconds}"

    def build_set_cookie_for_deletion(self) -> str:
        return f"{self.cookie_name}=deleted; {self._rest}; Max-Age=0"


class States(AsyncOAuthStateStore):
    """Installations that were begun: each state is good once, for ten minutes."""

    def __init__(self, database: Database, *, seconds: float = STATE_S) -> None:
        self._database = database
        self._seconds = seconds

    @property
    def logger(self) -> logging.Logger:
        """For Bolt."""
        return log

    async def async_issue(self, *args: Any, **kwargs: Any) -> str:
        """A new state."""
        state, now = secrets.token_urlsafe(32), time.time()

        def write(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM oauth_states WHERE expires <= ?", (now,))
            db.execute("INSERT INTO oauth_states VALUES (?, ?)", (state, now + self._seconds))

        await self._database.write(write)
        return state

    async def async_consume(self, state: str) -> bool:
        """Whether the state is one of ours and still good; it is not afterwards."""
        now = time.time()
        deleted = await self._database.write(
            lambda db: (
                db.execute("DELETE FROM oauth_states WHERE state = ? AND expires > ?", (state, now)).rowcount
            )
        )
        return deleted == 1


# ── pages ────────────────────────────────────────────────────────────────────────────────────


async def _succeeded(args: AsyncSuccessArgs) -> BoltResponse:
    done = args.installation
    where = (done.enterprise_name if done.is_enterprise_install else done.team_name) or "your workspace"
    text = f"<p>Go on in Slack: <code>/invite @{NAME}</code> in a channel, then mention it there.</p>"
    if done.is_enterprise_install:
        text += "<p>An administrator of the organisation chooses the workspaces it is added to.</p>"
    elif done.app_id and done.team_id:
        link = f"https://slack.com/app_redirect?{urlencode({'app': done.app_id, 'team': done.team_id})}"
        text += f'<p><a class="button" href="{html.escape(link, quote=True)}">Open Slack</a></p>'
    log.info("installed in Slack workspace %s", done.team_id or done.enterprise_id)
    return _answer(args.settings, 200, _page(f"{NAME} is installed in {where}", text))


# Bolt's and Slack's words for what went wrong → ours. Anything else is shown as a word of Slack's.
_FAILURES: Mapping[str, str] = {
    "access_denied": "The installation was cancelled in Slack; nothing was installed.",
    "invalid_browser": "This page was not reached from the install page in the same browser.",
    "invalid_state": "The installation took longer than ten minutes, or this page was opened twice.",
    "missing_code": "Slack sent no code along.",
    "invalid_code": "Slack did not take the code: it is used up, or Slack could not be reached.",
    "storage_error": "Slack agreed, but the installation could not be kept here. The bot's log says why.",
}


async def _failed(args: AsyncFailureArgs) -> BoltResponse:
    reason = args.reason if re.fullmatch(r"\w{1,60}", args.reason) else "unknown"
    text = _FAILURES.get(reason, f"Slack said: {reason}.")
    body = f'<p>{html.escape(text)}</p><p><a class="button" href="{INSTALL_PATH}">Begin again</a></p>'
    log.warning("an installation failed: %s", reason)
    return _answer(args.settings, args.suggested_status_code, _page(f"{NAME} was not installed", body))


def _answer(settings: AsyncOAuthSettings, status: int, body: str) -> BoltResponse:
    cookie = settings.state_utils.build_set_cookie_for_deletion()
    return BoltResponse(status=status, headers={**HEADERS, "Set-Cookie": [cookie]}, body=body)


def _page(title: str, body: str) -> str:
    """A page. `title` is text, `body` is HTML that was made here."""
    shown = html.escape(title)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{shown}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1.5rem; }}
.button {{ display: inline-block; padding: .6rem 1.2rem; border-radius: .4rem;
  background: #2b2d42; color: #fff; text-decoration: none; }}
</style>
</head>
<body>
<main>
<h1>{shown}</h1>
{body}
</main>
</body>
</html>
"""


class _NoCodes(logging.Filter):
    """Bolt logs the code of an installation that failed; a code is a secret until it is used."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = re.sub(r"code: \S+", "code: …", record.getMessage())
        record.args = ()
        return True


def _quiet() -> logging.Logger:
    logger = logging.getLogger(f"{__name__}.bolt")
    logger.setLevel(logging.WARNING)
    if not logger.filters:
        logger.addFilter(_NoCodes())
    return logger
