"""The app manifest: what Slack is told of the app when it is created. Pure.

Pasted at api.slack.com/apps ("From a manifest"). Names of callbacks are those of `inbound.py`.
"""

from __future__ import annotations

from typing import Any

from adapters.slack.scopes import bot_events, bot_scopes

NAME = "Quartet"
COMMAND = "/quartet"
EVENTS_PATH = "/slack/events"
INSTALL_PATH = "/slack/install"
REDIRECT_PATH = "/slack/oauth_redirect"

# What a newcomer may click in the agent pane; at most four.
PROMPTS: tuple[tuple[str, str], ...] = (
    ("What can you do?", "What can you do, and how do approvals work?"),
    ("Plan something", "Make a plan for a small team's release, with risks and who approves what."),
    ("Compare options", "Compare SQLite and PostgreSQL for a small team, with sources."),
    ("What waits for me?", "status"),
)


def manifest(base_url: str = "", *, socket_mode: bool = True) -> dict[str, Any]:
    """The manifest as Slack takes it, ready for JSON.

    Args:
        base_url: the bot's address as Slack reaches it (ORCHESTRATOR_BASE_URL); gives the app its
            redirect address for installations, and in HTTP mode its request addresses.
        socket_mode: events come through a WebSocket that the bot opens; else Slack posts them.

    Raises:
        ValueError: HTTP without an https address, or an address that Slack could not reach.
    """
    base = base_url.rstrip("/")
    if not socket_mode and not base:
        raise ValueError(
            "over HTTP Slack must know the bot's address; give it: --base-url https://bot.example.com"
        )
    if base and not base.startswith("https://"):
        raise ValueError(
            "Slack takes https addresses alone; give --base-url https://… (or use Socket Mode without)"
        )
    request = {"request_url": f"{base}{EVENTS_PATH}"} if not socket_mode else {}
    command = {
        "command": COMMAND,
        "description": "Ask the four agents, see runs, change this channel's settings",
        "usage_hint": "ask TEXT | run WORKFLOW … | team TEXT | status | stop | workflows | help",
        "should_escape": True,  # mentions arrive as ids, not as names that may be anybody's
    }
    if not socket_mode:
        command["url"] = f"{base}{EVENTS_PATH}"
    oauth: dict[str, Any] = {"scopes": {"bot": list(bot_scopes())}}
    if base:
        oauth["redirect_urls"] = [f"{base}{REDIRECT_PATH}"]
    return {
        "display_information": {
            "name": NAME,
            "description": "Four agents work on your request in a thread, and you stay in control.",
            "long_description": (
                "Mention Quartet in a channel and four agents (researcher, planner, builder, reviewer) work "
                "on your request in a thread. They show their progress there, ask before anything is built, "
                "and answer with sources, review notes, tokens, cost and time. It runs on your own machine."
            ),
            "background_color": "#2b2d42",
        },
        "features": {
            "bot_user": {"display_name": NAME, "always_online": True},
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "agent_view": {
                "agent_description": "Research, plan, build and review in a thread, with your approval.",
                "suggested_prompts": [{"title": title, "message": message} for title, message in PROMPTS],
            },
            "slash_commands": [command],
            "shortcuts": [
                {
                    "name": "Ask Quartet about this",
                    "type": "message",
                    "callback_id": "quartet:ask_about",
                    "description": "Start a run about this message",
                },
                {
                    "name": "Ask Quartet",
                    "type": "global",
                    "callback_id": "quartet:ask_new",
                    "description": "Start a run in a channel of your choice",
                },
            ],
        },
        "oauth_config": oauth,
        "settings": {
            "event_subscriptions": {**request, "bot_events": list(bot_events())},
            "interactivity": {"is_enabled": True, **request},
            "org_deploy_enabled": True,
            "socket_mode_enabled": socket_mode,
            # Off: a token for .env that expires would silence the bot after 12 hours. Installations by
            # OAuth refresh theirs where an app has it on.
            "token_rotation_enabled": False,
        },
    }
