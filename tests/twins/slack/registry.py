"""Who there is in a world: teams, people, apps and their tokens, conversations, user groups."""

from __future__ import annotations

import secrets
from collections.abc import Collection

from .payloads import Payloads
from .records import App, Channel, Install, Team, Token, User, UserGroup

TOKEN_LIVES_S = 12 * 3600.0


class Registry(Payloads):
    """Founding, joining, installing, revoking."""

    def add_team(self, name: str, *, id: str = "", enterprise: str = "") -> Team:
        """Found a workspace."""
        domain = name.lower().replace(" ", "-")
        team = Team(id or self.new_id("T"), name, domain, enterprise)
        self.teams[team.id] = team
        return team

    def add_user(
        self,
        team: str,
        name: str,
        *,
        id: str = "",
        is_admin: bool = False,
        is_owner: bool = False,
        is_bot: bool = False,
    ) -> User:
        """Let somebody join a workspace."""
        user = User(
            id or self.new_id("U"),
            team,
            name,
            name.replace(".", " ").title(),
            f"{name}@{self.teams[team].domain}.example",
            is_admin,
            is_owner,
            is_bot,
            enterprise=self.teams[team].enterprise,
        )
        self.users[user.id] = user
        return user

    def add_app(
        self, name: str, *, id: str = "", events: Collection[str] = (), rotation: bool = False
    ) -> App:
        """Register an app."""
        app = App(
            id or self.new_id("A"),
            name,
            f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**12)}",
            secrets.token_hex(16),
            secrets.token_hex(16),
            events=set(events),
            app_tokens={f"xapp-1-{secrets.token_hex(20)}"},
            rotation=rotation,
        )
        self.apps[app.id] = app
        return app

    def add_channel(
        self,
        team: str,
        name: str,
        *,
        id: str = "",
        creator: str = "",
        members: Collection[str] = (),
        private: bool = False,
        shared_with: Collection[str] = (),
    ) -> Channel:
        """Make a channel; nobody is told who its first members are."""
        channel = Channel(
            id or self.new_id("C"),
            name,
            team,
            creator,
            int(self.now()),
            list(dict.fromkeys([*([creator] if creator else []), *members])),
            is_private=private,
            is_ext_shared=bool(shared_with),
            teams={team, *shared_with},
        )
        self.channels[channel.id] = channel
        self.messages[channel.id] = {}
        return channel

    def add_group(self, team: str, handle: str, users: Collection[str]) -> UserGroup:
        """Make a user group."""
        group = UserGroup(self.new_id("S"), team, handle, handle.title(), list(users))
        self.groups[group.id] = group
        return group

    def direct(self, *users: str) -> Channel:
        """The direct message of two people, or the group's of more; made when there is none."""
        wanted = set(users)
        for channel in self.channels.values():
            if (channel.is_im or channel.is_mpim) and set(channel.members) == wanted:
                return channel
        team = next(
            (self.users[u].team for u in users if not self.users[u].is_bot), self.users[users[0]].team
        )
        many = len(wanted) > 2
        channel = Channel(
            self.new_id("G" if many else "D"),
            "mpdm-" + "--".join(sorted(self.users[u].name for u in wanted)) + "-1" if many else "",
            team,
            users[0],
            int(self.now()),
            list(wanted),
            is_private=True,
            is_im=not many,
            is_mpim=many,
            teams={self.users[u].team for u in users},
        )
        self.channels[channel.id] = channel
        self.messages[channel.id] = {}
        return channel

    def install(
        self,
        app: str,
        team: str,
        scopes: Collection[str],
        *,
        enterprise: str = "",
        by: str = "",
        token: str = "",
    ) -> Install:
        """Install an app with a bot, or give an installed one these scopes. Its token: `token_of`.

        With `enterprise` and team "" it is installed for the whole organisation.
        """
        found = self.installed(app, team, enterprise)
        if found is None:
            home = team or next(t.id for t in self.teams.values() if t.enterprise == enterprise)
            user = self.add_user(home, self.apps[app].name.lower(), is_bot=True)
            user.bot_id = self.new_id("B")
            found = Install(app, team, user.id, user.bot_id, set(), enterprise, by)
            self.installs.append(found)
        found.active, found.installed_by = True, by
        found.scopes = {*found.scopes, *scopes}  # Slack adds scopes; only an uninstall takes them away
        live = [t for t in self.tokens.values() if t.install is found and t.kind == "bot" and not t.revoked]
        for each in live:
            each.scopes = found.scopes
        if not live or token or self.apps[app].rotation:
            self.issue(found, token=token)
        return found

    def installed(self, app: str, team: str, enterprise: str = "") -> Install | None:
        """The install of an app in this team (or its organisation), active or not."""
        organisation = enterprise or (self.teams[team].enterprise if team in self.teams else "")
        exact = [
            i
            for i in self.installs
            if i.app == app and i.team == team and (team or i.enterprise == enterprise)
        ]
        wide = [
            i
            for i in self.installs
            if i.app == app and not i.team and organisation and i.enterprise == organisation
        ]
        return next(iter([*exact, *wide]), None)

    def issue(self, install: Install, *, token: str = "") -> Token:
        """A new bot token for an install; where the app rotates tokens it expires after 12 hours."""
        rotates = self.apps[install.app].rotation
        made = Token(
            token or f"{'xoxe.xoxb-1' if rotates else 'xoxb'}-{secrets.token_hex(20)}",
            install,
            install.scopes,
            expires_at=self.now() + TOKEN_LIVES_S if rotates else None,
            refresh_token=f"xoxe-1-{secrets.token_hex(20)}" if rotates else "",
        )
        self.tokens[made.token] = made
        return made

    def token_of(self, install: Install) -> str:
        """The newest bot token that is not revoked."""
        return next(
            t.token
            for t in reversed(self.tokens.values())
            if t.install is install and t.kind == "bot" and not t.revoked
        )

    def revoke(self, token: Token) -> None:
        """Take a token away and tell the app (`tokens_revoked`)."""
        token.revoked = True
        install = token.install
        bots = [install.bot_user] if token.kind == "bot" else []
        users = [token.user] if token.kind == "user" else []
        team = install.team or self.users[install.bot_user].team
        self.emit(team, {"type": "tokens_revoked", "tokens": {"oauth": users, "bot": bots}}, app=install.app)

    def uninstall(self, install: Install) -> None:
        """Remove an app: its tokens die, it leaves all channels, and is told."""
        install.active = False
        for token in [t for t in self.tokens.values() if t.install is install and not t.revoked]:
            self.revoke(token)
        for channel in self.channels.values():
            if install.bot_user in channel.members and not channel.is_im:
                channel.members.remove(install.bot_user)
        install.scopes.clear()
        self.emit(
            install.team or self.users[install.bot_user].team, {"type": "app_uninstalled"}, app=install.app
        )
