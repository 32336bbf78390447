"""A channel's settings as a form that people fill in, and back to changes. Pure.

Only what a person changed is changed: a field that comes back as it was shown leaves its setting
alone. An empty field, or "(default)" among choices, goes back to what the configuration says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from adapters.contract import Form, FormField
from bot import channel_settings
from bot.channel_settings import ChannelPolicy, SettingError

PREFIX: Final = "settings:"
DEFAULT: Final = "(default)"  # no name of anything: parentheses are in none
Changes = dict[str, Any]
Parse = Callable[[str, str], Changes]
_LONGEST: Final = 2_000  # characters of a field
_MOST: Final = 20  # values that come without a field
_LABELS: Final = {
    "workflow": "Workflow",
    "approvals": "Approvals",
    "approvers": "Approvers",
    "allow_requester": "May who asked decide?",
    "expires_after": "Approvals expire after",
    "busy": "A message while a run works",
    "verbosity": "Verbosity",
    "language": "Language",
    "model": "Model of all agents",
    "tools": "Tools",
    "who_may_start": "Who may start turns",
    "admins": "Admins",
}
_HINTS: Final = {
    "approvers": "People as platform:id or ids of groups, separated by commas.",
    "who_may_start": "People as platform:id or ids of groups, separated by commas.",
    "admins": "People as platform:id or ids of groups, separated by commas.",
    "expires_after": "A time such as 30m, 24h or 2d.",
    "language": "A name or a code, as German or de-CH.",
    "model": "Written PROVIDER:MODEL.",
    "tools": "all, none, or names separated by commas.",
}
_CHOICES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "approvals": (("ask", "ask"), ("auto", "auto: plans are approved by themselves")),
    "busy": (
        ("queue", "queue: it waits for its turn"),
        ("steer", "steer: it is handed to the agents"),
        ("interrupt", "interrupt: it ends the run"),
    ),
    "verbosity": (("short", "short"), ("normal", "normal"), ("full", "full")),
    "allow_requester": (("yes", "yes"), ("no", "no")),
}


def settings_form(
    channel_key: str,
    defaults: ChannelPolicy,
    stored: Mapping[str, Any],
    *,
    workflows: Collection[str],
    agents: Collection[str],
) -> Form:
    """The form behind Settings.

    Args:
        channel_key: of the channel.
        defaults: what holds where nothing is set.
        stored: what is set for the channel.
        workflows: names there are.
        agents: names there are.
    """
    now = channel_settings.effective(defaults, stored)
    ours = {key for key, origin in channel_settings.origins(stored).items() if origin == "channel"}
    fields: list[FormField] = []
    for name, label in _LABELS.items():
        key = _key(name)
        by_default = channel_settings.show(key, defaults)
        choices = tuple((w, w) for w in sorted(workflows)) if name == "workflow" else _CHOICES.get(name, ())
        if choices:
            value = channel_settings.show(key, now) if key in ours else DEFAULT
            choices = ((DEFAULT, f"default: {by_default}"), *choices)
            if value not in dict(choices):  # a workflow that is no more
                choices = (*choices, (value, f"{value} (is not there any more)"))
            fields.append(FormField(name=name, label=label, value=value, choices=choices))
            continue
        value = _typed(key, now, agents) if key in ours else ""
        differs = f" Now: {channel_settings.show(key, now)}." if key in ours and not value else ""
        hint = f"{_HINTS[name]} Empty: the default, {by_default}.{differs}"
        fields.append(
            FormField(
                name=name,
                label=label,
                value=value,
                hint=hint,
                required=False,
                max_length=max(_LONGEST, len(value)),
            )
        )
    return Form(
        id=f"{PREFIX}{channel_key}",
        title="Settings",
        fields=tuple(fields),
        submit="Save",
        note=f"Of {_place(channel_key)}. Runs that were made before keep what they had.",
    )


def _place(channel_key: str) -> str:
    """A channel as its platform's people know it."""
    platform, workspace, channel = f"{channel_key}::".split(":")[:3]
    if platform == "discord":  # the adapter shows `<#…>` by its name; a direct message has none
        return "this conversation" if workspace == "@me" else f"the channel <#{channel}>"
    return f"the channel {channel} ({platform})"


def _key(name: str) -> str:
    return {"model": "models", "expires_after": "expires_after_s"}.get(name, name)


def changes(form: Form, values: Mapping[str, str], parse: Parse) -> tuple[Changes, dict[str, str]]:
    """What a filled form changes.

    Args:
        form: as it would be offered now.
        values: as sent; a field that is missing stays.
        parse: reads KEY and VALUE; raises SettingError.

    Returns:
        Changes for `store.change_settings`, and what is wrong by field.
    """
    found: Changes = {}
    errors: dict[str, str] = {}
    for field in form.fields:
        given = values.get(field.name, field.value).strip()
        if given == field.value:
            continue
        if len(given) > field.max_length:
            errors[field.name] = f"too long: at most {field.max_length:,} characters"
            continue
        try:
            found |= parse(field.name, "" if given == DEFAULT else given)
        except SettingError as error:
            errors[field.name] = str(error)
    known = {field.name for field in form.fields}
    for name in [name for name in values if name not in known][:_MOST]:
        # A platform without room for all fields takes some of them as lines that people type.
        try:
            found |= parse(name, values[name].strip())
        except SettingError as error:
            errors[name] = str(error)
    return found, errors


def _typed(key: str, policy: ChannelPolicy, agents: Collection[str]) -> str:
    """A value as it can be sent back; "" where one field cannot say it."""
    if key == "models":  # one for every agent, or none that could be shown
        chosen = {policy.models.get(agent, "") for agent in agents}
        return chosen.pop() if len(chosen) == 1 else ""
    if key == "tools" and policy.tools is None:
        return "all"
    if key in ("approvers", "who_may_start", "admins"):
        return ", ".join(getattr(policy, key))
    return channel_settings.show(key, policy)
