"""OAuth v2: the consent page, codes that work once, tokens for workspaces and organisations, rotation.

A test says with `consents` who sits before the browser and what they choose; `GET /oauth/v2/authorize` then
redirects at once, as if they had pressed Allow (or Cancel).
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from aiohttp import web

from tests.twins.slack.workspace import App, Install, Json, Refused, Token, World

CODE_LIVES_S = 600.0


@dataclass(frozen=True, slots=True)
class Consent:
    """Who presses what on the consent page."""

    user: str  # U…
    allow: bool = True
    organisation: bool = False  # install for the whole Enterprise Grid organisation


@dataclass(slots=True)
class _Code:
    """A code on its way from the browser to the bot."""

    consent: Consent
    scopes: set[str]
    redirect_uri: str
    made_at: float
    used: bool = False


class OAuth:
    """The OAuth side of one app.

    Args:
        world: where it is installed.
        app: whose client id and secret count.
        redirect_uris: those the app registered; a URI beneath one of them is good, as with Slack. Empty:
            every URI is.
        changed: called after an install.
    """

    def __init__(
        self,
        world: World,
        app: App,
        consent: Consent,
        *,
        redirect_uris: tuple[str, ...] = (),
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.redirect_uris = redirect_uris
        self.consent = consent
        self._world = world
        self._app = app
        self._changed = changed
        self._codes: dict[str, _Code] = {}
        self._spent: set[str] = set()  # refresh tokens

    def consents(self, user: str, *, allow: bool = True, organisation: bool = False) -> None:
        """Say who opens the consent page from now on, and what they press."""
        self.consent = Consent(user, allow, organisation)

    # ── the consent page ─────────────────────────────────────────────────────────────────────

    async def authorize(self, request: web.Request) -> web.Response:
        """`GET /oauth/v2/authorize`: sends the browser back with a code, or with `error=access_denied`."""
        given = request.query
        if given.get("client_id") != self._app.client_id:
            return web.Response(status=400, text="invalid_client_id: no app has this client id")
        scopes = {each for each in given.get("scope", "").replace(" ", ",").split(",") if each}
        if not scopes and not given.get("user_scope"):
            return web.Response(status=400, text="invalid_scope: no scope was asked for")
        back = given.get("redirect_uri") or next(iter(self.redirect_uris), "")
        if not back or not self._registered(back):
            return web.Response(status=400, text="bad_redirect_uri: it matches no registered URI")
        answer = {"state": given["state"]} if given.get("state") else {}
        if not self.consent.allow:
            return _redirect(back, {"error": "access_denied", **answer})
        team = self._world.users[self.consent.user].team
        if given.get("team") not in (None, "", team):
            return web.Response(status=400, text="invalid_team_for_non_distributed_app")
        code = f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**12)}.{secrets.token_hex(32)}"
        self._codes[code] = _Code(
            self.consent, scopes, given.get("redirect_uri", ""), made_at=self._world.now()
        )
        return _redirect(back, {"code": code, **answer})

    def _registered(self, uri: str) -> bool:
        return not self.redirect_uris or any(uri.startswith(each) for each in self.redirect_uris)

    # ── oauth.v2.access ──────────────────────────────────────────────────────────────────────

    def access(self, given: Mapping[str, str]) -> Json:
        """`oauth.v2.access`: a code or a refresh token for a bot token.

        Args:
            given: the call's arguments, with `client_id` and `client_secret` from the body or HTTP Basic.

        Raises:
            Refused: with Slack's word for it.
        """
        if given.get("client_id") != self._app.client_id:
            raise Refused("invalid_client_id")
        if not secrets.compare_digest(
            given.get("client_secret", "").encode(), self._app.client_secret.encode()
        ):
            raise Refused("bad_client_secret")
        grant = given.get("grant_type") or "authorization_code"
        if grant == "authorization_code":
            install, token = self._exchange(given)
        elif grant == "refresh_token":
            install, token = self._refresh(given.get("refresh_token", ""))
        else:
            raise Refused("invalid_grant_type")
        self._changed()
        return self._granted(install, token)

    def _exchange(self, given: Mapping[str, str]) -> tuple[Install, Token]:
        code = self._codes.get(given.get("code", ""))
        if code is None:
            raise Refused("invalid_code")
        if code.used:
            raise Refused("code_already_used")
        if self._world.now() - code.made_at > CODE_LIVES_S:
            raise Refused("code_expired")
        if given.get("redirect_uri", "") != code.redirect_uri:
            raise Refused("bad_redirect_uri")
        code.used = True
        user = self._world.users[code.consent.user]
        before = len(self._world.tokens)
        if code.consent.organisation:
            enterprise = self._world.teams[user.team].enterprise
            if not enterprise:
                raise Refused("org_login_required")
            install = self._world.install(self._app.id, "", code.scopes, enterprise=enterprise, by=user.id)
        else:
            install = self._world.install(self._app.id, user.team, code.scopes, by=user.id)
        if len(self._world.tokens) == before:  # again into a workspace where it was: the next token
            self._world.issue(install)
        return install, self._world.tokens[self._world.token_of(install)]

    def _refresh(self, refresh_token: str) -> tuple[Install, Token]:
        if not self._app.rotation:
            raise Refused("token_rotation_not_enabled")
        found = [t for t in self._world.tokens.values() if refresh_token and t.refresh_token == refresh_token]
        if not found or found[0].revoked or refresh_token in self._spent:
            raise Refused("invalid_refresh_token")
        self._spent.add(refresh_token)  # the token it came with lives on until it expires
        return found[0].install, self._world.issue(found[0].install)

    def _granted(self, install: Install, token: Token) -> Json:
        team = self._world.teams.get(install.team)
        enterprise = install.enterprise or (team.enterprise if team else "")
        rotating = token.expires_at is not None
        return {
            "ok": True,
            "app_id": self._app.id,
            "authed_user": {"id": install.installed_by},
            "scope": ",".join(sorted(install.scopes)),
            "token_type": "bot",
            "access_token": token.token,
            "bot_user_id": install.bot_user,
            **(
                {
                    "refresh_token": token.refresh_token,
                    "expires_in": max(0, int((token.expires_at or 0) - self._world.now())),
                }
                if rotating
                else {}
            ),
            "team": {"id": team.id, "name": team.name} if team else None,
            "enterprise": {"id": enterprise, "name": enterprise} if enterprise else None,
            "is_enterprise_install": team is None,
        }


def basic_login(header: str) -> dict[str, str]:
    """`client_id` and `client_secret` of an HTTP Basic header; {} for another header or none.

    Raises:
        Refused: invalid_client_id: the header cannot be read.
    """
    scheme, _, coded = header.partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        name, _, secret = base64.b64decode(coded, validate=True).decode().partition(":")
    except ValueError:
        raise Refused("invalid_client_id") from None
    return {"client_id": name, "client_secret": secret}


def _redirect(uri: str, more: dict[str, str]) -> web.Response:
    parts = urlsplit(uri)
    query = "&".join(each for each in (parts.query, urlencode(more)) if each)
    return web.Response(status=302, headers={"Location": urlunsplit(parts._replace(query=query))})
