"""What a channel's people can set, where each value comes from, and how `KEY=VALUE` is read. Pure.

Defaults come from the configuration, what was set in chat from the store (`store.settings`). A
stored value that no longer validates is never obeyed: the default holds, and `flaws` says so.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from adapters.contract import Platform
from bot import members
from orchestrator.events import RunSettings

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Model = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}:\S{1,200}$")]
# "slack:U123" names a person; a group or a role is named by its bare id.
Member = Annotated[str, StringConstraints(pattern=r"^[^\s,]{1,200}$")]

Stored = Mapping[str, Any]  # what was set for a channel, as `parse_change` made it

MONTH_S: Final = 31 * 86_400.0
ALIASES: Final = {"expires_after": "expires_after_s", "approver": "approvers", "admin": "admins"}
_SHOWN: Final = {"expires_after_s": "expires_after"}  # people give units, so the name has none
_PART: Final = "models."  # one agent's model is stored as "models.<agent>", so that changes do not collide


class SettingError(ValueError):
    """A setting cannot be what was asked for. The message names the nearest thing that can."""


class ChannelPolicy(BaseModel):
    """How the bot behaves in one channel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workflow: Name = "quartet"
    approvals: Literal["ask", "auto"] = "ask"
    approvers: tuple[Member, ...] = ()  # person keys or group ids; empty: anyone
    allow_requester: bool = True  # whether who asked may decide
    expires_after_s: float = Field(default=86_400.0, ge=1, le=MONTH_S)
    busy: Literal["queue", "steer", "interrupt"] = "queue"  # a message while a run works
    verbosity: Literal["short", "normal", "full"] = "normal"
    language: str = Field(default="", max_length=40, pattern=r"^[^\W\d_]*([ -][^\W_]+)*$")  # "": of the turn
    models: dict[Name, Model] = Field(default_factory=dict)  # agent → "provider:model"
    tools: tuple[Name, ...] | None = None  # None: those of each agent
    who_may_start: tuple[Member, ...] = ()  # person keys or group ids; empty: everyone
    admins: tuple[Member, ...] = ()  # besides those the platform says are

    @field_validator("expires_after_s", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("a number of seconds is due")  # noqa: TRY004 - pydantic turns only ValueError into its own
        return value

    def to_run_settings(self) -> RunSettings:
        """What a run keeps of this for its whole life."""
        return RunSettings(
            approvals=self.approvals,
            approvers=self.approvers,
            allow_requester=self.allow_requester,
            expires_after_s=self.expires_after_s,
            language=self.language,
            verbosity=self.verbosity,
            models=dict(self.models),
            tools=self.tools,
        )


KEYS: Final = tuple(ChannelPolicy.model_fields)


# ── stored values over defaults ──────────────────────────────────────────────────────────────


def effective(defaults: ChannelPolicy, stored: Mapping[str, Any]) -> ChannelPolicy:
    """The policy that holds: what was set for the channel over the defaults.

    Args:
        defaults: from the configuration.
        stored: as `parse_change` made it and `store.settings` gives it back.
    """
    return _overlay(defaults, stored)[0]


def flaws(stored: Mapping[str, Any]) -> dict[str, str]:
    """Stored values that do not hold any more: key → what is wrong, for people."""
    return _overlay(ChannelPolicy(), stored)[1]


def origins(stored: Mapping[str, Any]) -> dict[str, Literal["default", "channel"]]:
    """Where each key's value comes from."""
    bad = flaws(stored)
    ours = {key.split(".", 1)[0] for key in stored if key not in bad}
    return {key: "channel" if key in ours else "default" for key in KEYS}


def _overlay(defaults: ChannelPolicy, stored: Mapping[str, Any]) -> tuple[ChannelPolicy, dict[str, str]]:
    values = {key: getattr(defaults, key) for key in KEYS}
    wrong: dict[str, str] = {}
    for key, value in stored.items():
        if value is None:
            continue
        field, given = key, value
        if key.startswith(_PART):
            field, given = "models", {**values["models"], key.removeprefix(_PART): value}
        elif key == "tools" and value == "all":
            given = None
        if field not in values:
            wrong[key] = _unknown_key(key)
            continue
        try:
            checked = ChannelPolicy.model_validate({field: given})
        except ValidationError as error:
            wrong[key] = f"{key}: the stored value {value!r} does not hold any more ({_first(error)})"
            continue
        values[field] = getattr(checked, field)
    return ChannelPolicy.model_validate(values), wrong


# ── KEY=VALUE ────────────────────────────────────────────────────────────────────────────────


def parse_change(
    key: str,
    value_text: str,
    *,
    workflows: Collection[str],
    agents: Collection[str],
    providers: Collection[str],
    platform: Platform,
    tools: Collection[str] | None = None,
) -> dict[str, Any]:
    """What `KEY=VALUE` changes, for `store.change_settings`; None resets a key to its default.

    Args:
        key: `workflow`, `approvals`, …; `model` sets every agent's, `models.builder` one agent's.
        value_text: as typed; empty resets.
        workflows: names there are.
        agents: names there are.
        providers: names before the colon of a model.
        platform: of the channel: a bare id of a person is one of its people.
        tools: names there are; None: not checked.

    Raises:
        SettingError: names the nearest valid key or value.
    """
    key, text = key.strip().lower(), value_text.strip()
    key = ALIASES.get(key, key)
    if key == "model" or key.startswith(_PART) or key == "models":
        return _models(key, text, agents, providers)
    if key not in KEYS:
        raise SettingError(_unknown_key(key))
    if not text:
        return {key: None}
    return {key: _value(key, text, workflows, tools, platform)}


def shown_name(key: str) -> str:
    """A setting's name as people read and type it."""
    return _SHOWN.get(key, key)


def told(changes: Mapping[str, Any], policy: ChannelPolicy) -> str:
    """What holds now of what was changed, as people read it."""
    changed = sorted({name.split(".", 1)[0] for name in changes})
    return "; ".join(f"{shown_name(name)} = {show(name, policy)}" for name in changed)


def show(key: str, policy: ChannelPolicy) -> str:
    """A value as people would type it; "" is said in words."""
    if key == "models":
        return ", ".join(f"{a}={m}" for a, m in sorted(policy.models.items())) or "those of the configuration"
    if key == "tools":
        return "all of each agent" if policy.tools is None else ", ".join(policy.tools) or "none"
    if key == "approvers":
        return ", ".join(policy.approvers) or "anyone"
    if key == "who_may_start":
        return ", ".join(policy.who_may_start) or "everyone"
    if key == "admins":
        return ", ".join(policy.admins) or "those of the platform"
    if key == "allow_requester":
        return "yes" if policy.allow_requester else "no"
    if key == "expires_after_s":
        return _duration(policy.expires_after_s)
    return str(getattr(policy, key)) or "the language of the message"


def _value(
    key: str, text: str, workflows: Collection[str], tools: Collection[str] | None, platform: Platform
) -> Any:
    low = text.lower()
    match key:
        case "workflow":
            return _one_of("workflow", low, workflows)
        case "approvals" | "busy" | "verbosity":
            return _one_of(key, low, _choices(key))
        case "allow_requester":
            return _yes(low)
        case "expires_after_s":
            return _seconds(low)
        case "tools":
            if low == "all":
                return "all"
            names = [] if low == "none" else _items(low)
            return [_one_of("tool", n, tools) for n in names] if tools is not None else _valid(key, names)
        case "approvers" | "who_may_start" | "admins":
            return _valid(key, [_member(key, item, platform) for item in members.listed(text)])
        case _:
            return _valid(key, text)


def _models(
    key: str, text: str, agents: Collection[str], providers: Collection[str]
) -> dict[str, str | None]:
    if key == "models" and "=" in text:
        raise SettingError(
            "set one agent's model with models.AGENT=PROVIDER:MODEL, all with model=PROVIDER:MODEL"
        )
    if key.startswith(_PART):
        chosen: Iterable[str] = [_one_of("agent", key.removeprefix(_PART), agents)]
    else:
        chosen = agents
    if not text:
        return {f"{_PART}{agent}": None for agent in chosen}
    provider, colon, model = text.partition(":")
    if not colon or not model.strip():
        raise SettingError(f"a model is written PROVIDER:MODEL, e.g. openai:gpt-5; {_short(text)!r} is not")
    provider = _one_of("provider", provider.strip().lower(), providers)
    full = f"{provider}:{model.strip()}"
    _valid("models", {"agent": full})
    return {f"{_PART}{agent}": full for agent in chosen}


def _valid(key: str, value: Any) -> Any:
    try:
        ChannelPolicy.model_validate({key: value})
    except ValidationError as error:
        hint = {
            "approvers": "write platform:id for a person, or the id of a group, with commas between",
            "who_may_start": "write platform:id for a person, or the id of a group, with commas between",
            "admins": "write platform:id for a person, or the id of a group, with commas between",
            "language": "write a name or a code, e.g. German or de-CH",
        }.get(key, _first(error))
        raise SettingError(f"{key} cannot be {_short(str(value))!r}: {hint}") from error
    return value


def _one_of(what: str, given: str, valid: Collection[str]) -> str:
    if given in valid:
        return given
    near = difflib.get_close_matches(given, valid, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise SettingError(
        f"there is no {what} {_short(given)!r}; {hint}possible: {', '.join(sorted(valid)) or 'none'}"
    )


def _choices(key: str) -> tuple[str, ...]:
    return {
        "approvals": ("ask", "auto"),
        "busy": ("queue", "steer", "interrupt"),
        "verbosity": ("short", "normal", "full"),
    }[key]


def _yes(low: str) -> bool:
    if low in ("yes", "true", "on", "1"):
        return True
    if low in ("no", "false", "off", "0"):
        return False
    raise SettingError(f"allow_requester is yes or no, not {_short(low)!r}")


_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(low: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([smhd]?)", low)
    if found is None:
        raise SettingError(f"expires_after is a time such as 90s, 30m, 24h or 2d, not {_short(low)!r}")
    seconds = float(found[1]) * _UNITS[found[2] or "s"]
    if not 1 <= seconds <= MONTH_S:
        raise SettingError(f"expires_after lies between 1s and 31d; {low} does not")
    return seconds


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0 and not (unit == "d" and seconds == size):
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _items(text: str) -> list[str]:
    return [item for item in (part.strip() for part in text.split(",")) if item]


def _member(key: str, item: str, platform: Platform) -> str:
    try:
        return members.member(shown_name(key), item, platform)
    except members.NobodyMeant as error:
        raise SettingError(str(error)) from None


def _unknown_key(key: str) -> str:
    near = difflib.get_close_matches(key, [*map(shown_name, KEYS), "model", *ALIASES], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"there is no setting {_short(key)!r}; {hint}settings are {', '.join(map(shown_name, KEYS))}"


def _first(error: ValidationError) -> str:
    return error.errors(include_url=False, include_context=False, include_input=False)[0]["msg"]


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
