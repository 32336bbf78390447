"""Methods about who: api.test, auth.*, apps.uninstall, bots.info, users.*, usergroups.*."""

from __future__ import annotations

from .calls import Ask, method
from .workspace import Json, Refused


@method("api.test")
def api_test(ask: Ask) -> Json:
    if ask.text("error"):
        raise Refused(ask.text("error"), args=dict(ask.arguments))
    return {"args": dict(ask.arguments)}


@method("auth.test")
def auth_test(ask: Ask) -> Json:
    install, me = ask.install, ask.me
    team = ask.world.teams[ask.team]
    answer: Json = {
        "url": f"https://{team.domain}.slack.com/",
        "team": team.name,
        "user": me.name,
        "team_id": team.id,
        "user_id": me.id,
        "is_enterprise_install": not install.team,
    }
    if me.is_bot:
        answer["bot_id"] = install.bot_id
    if team.enterprise:
        answer["enterprise_id"] = team.enterprise
    if ask.token is not None and ask.token.expires_at is not None:
        answer["expires_in"] = int(ask.token.expires_at - ask.world.now())
    return answer


@method("auth.revoke")
def auth_revoke(ask: Ask) -> Json:
    if ask.token is None:
        raise Refused("not_authed")
    if not ask.flag("test"):
        ask.world.revoke(ask.token)
    return {"revoked": not ask.flag("test")}


@method("apps.uninstall")
def apps_uninstall(ask: Ask) -> Json:
    if ask.need("client_id") != ask.app.client_id:
        raise Refused("client_id_token_mismatch")
    if ask.need("client_secret") != ask.app.client_secret:
        raise Refused("bad_client_secret")
    ask.world.uninstall(ask.install)
    return {}


@method("bots.info", "users:read")
def bots_info(ask: Ask) -> Json:
    wanted = ask.text("bot") or ask.install.bot_id
    user = next((u for u in ask.world.users.values() if u.bot_id == wanted), None)
    if user is None or not wanted:
        raise Refused("bot_not_found")
    return {"bot": ask.world.bot_json(wanted)}


@method("users.info", "users:read")
def users_info(ask: Ask) -> Json:
    email = ask.token is not None and "users:read.email" in ask.token.scopes
    shown = ask.world.user_json(ask.user(), email=email)
    if ask.flag("include_locale"):
        shown["locale"] = "en-US"
    return {"user": shown}


@method("users.lookupByEmail", "users:read.email")
def users_lookup(ask: Ask) -> Json:
    wanted = ask.need("email", "users_not_found")
    for user in ask.world.users.values():
        if user.team == ask.team and user.email == wanted and not user.deleted and not user.is_bot:
            return {"user": ask.world.user_json(user, email=True)}
    raise Refused("users_not_found")


@method("usergroups.list", "usergroups:read")
def usergroups_list(ask: Ask) -> Json:
    groups: list[Json] = []
    for group in ask.world.groups.values():
        if group.team != ask.team or (group.disabled and not ask.flag("include_disabled")):
            continue
        shown: Json = {
            "id": group.id,
            "team_id": group.team,
            "is_usergroup": True,
            "name": group.name,
            "handle": group.handle,
            "date_delete": 1 if group.disabled else 0,
            "user_count": len(group.users),
        }
        if ask.flag("include_users"):
            shown["users"] = list(group.users)
        groups.append(shown)
    return {"usergroups": groups}


@method("usergroups.users.list", "usergroups:read")
def usergroups_users(ask: Ask) -> Json:
    group = ask.world.groups.get(ask.need("usergroup", "no_such_subteam"))
    if group is None or group.team != ask.team:
        raise Refused("no_such_subteam")
    if group.disabled and not ask.flag("include_disabled"):
        raise Refused("no_such_subteam")
    return {"users": list(group.users)}
