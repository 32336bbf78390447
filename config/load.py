"""Read the settings: the environment beats `.env`, which beats `config/quartet.yaml`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from config.discord import looks_like_token
from config.documents import explain
from config.errors import ConfigError, ConfigProblem, short_path
from config.paths import default_config_file
from config.settings import Settings
from config.sources import (
    DEFAULT,
    ENVIRONMENT,
    KNOWN,
    VARIABLES,
    Layer,
    Origin,
    read_dotenv,
    read_own_keys,
    read_variables,
    read_yaml,
)
from config.yaml_text import YamlPath


@dataclass(frozen=True)
class Survey:
    """What was found in all sources, whether or not it can be used."""

    settings: Settings | None  # None: there are problems
    problems: tuple[ConfigProblem, ...]
    layers: tuple[Layer, ...]  # the first that has a key counts

    def given(self, key: str) -> object:
        """The value of a setting as it was given, before it was checked; None: it was not."""
        return _layer_of(self.layers, (key,)).values.get(key)

    def origin(self, path: YamlPath) -> Origin:
        """Where a setting, or a part of one, came from."""
        layer = _layer_of(self.layers, path)
        origin = layer.origins.get(str(path[0]))
        if origin is None or (layer.document is not None and path not in layer.document.marks):
            return Origin(DEFAULT, None, str(path[0]))
        if layer.document is not None:
            return Origin(origin.file, layer.document.marks[path].line, origin.name)
        return origin


def load_settings(
    *,
    config_file: Path | None = None,
    env: Mapping[str, str] | None = None,
    env_file: Path | None = Path(".env"),
) -> Settings:
    """Read and check all settings.

    Args:
        config_file: YAML; None: `config/quartet.yaml` of the working directory, else the shipped one.
        env: the environment; None: this process's.
        env_file: `.env`; need not be there. None: none is read.

    Raises:
        ConfigError: with every problem found.
    """
    found = survey(config_file=config_file, env=env, env_file=env_file)
    if found.settings is None:
        raise ConfigError(found.problems)
    return found.settings


def survey(
    *,
    config_file: Path | None = None,
    env: Mapping[str, str] | None = None,
    env_file: Path | None = Path(".env"),
) -> Survey:
    """Like `load_settings`, but returns what is wrong together with what was given; raises nothing."""
    problems: list[ConfigProblem] = []
    file = config_file or default_config_file()
    environment = dict(os.environ if env is None else env)
    from_file: dict[str, tuple[str, int]] = {}
    if env_file is not None and os.path.lexists(env_file):
        try:
            from_file = read_dotenv(env_file, problems)
        except ConfigError as error:
            problems += error.problems
    name = short_path(env_file) if env_file is not None else ""
    variables = {key: (value, Origin(name, line, key)) for key, (value, line) in from_file.items()}
    for key, value in environment.items():
        if value.strip():  # a variable with nothing in it is as good as none
            variables[key] = (value, Origin(ENVIRONMENT, None, key))
    yaml_layer = Layer({}, {})
    try:
        yaml_layer = read_yaml(file, problems)
    except ConfigError as error:
        problems += error.problems
    layers = [
        read_variables({k: v for k, v in variables.items() if v[1].file == ENVIRONMENT}),
        read_variables({k: v for k, v in variables.items() if v[1].file != ENVIRONMENT}),
        yaml_layer,
        read_own_keys(yaml_layer, variables, problems),
    ]
    settings: Settings | None = None
    try:
        settings = Settings(**cast("dict[str, Any]", {"layers": layers}))
    except ValidationError as error:
        problems += _refusals(error, layers)
    else:
        problems += [_layer_of(layers, path).problem(path, *words) for path, *words in settings.flaws()]
    return Survey(None if problems else settings, tuple(problems), tuple(layers))


def environment(env_file: Path | None = Path(".env")) -> dict[str, str]:
    """Every variable that is set, in the environment or in `.env`. Blocks on the file.

    For what names its variables itself, such as the files of agents; settings come from `load_settings`.
    """
    found: dict[str, str] = {}
    if env_file is not None and os.path.lexists(env_file):
        with contextlib.suppress(ConfigError):  # told by `load_settings`
            found = {key: value for key, (value, _) in read_dotenv(env_file, []).items()}
    return found | {key: value for key, value in os.environ.items() if value.strip()}


def _layer_of(layers: Sequence[Layer], path: YamlPath) -> Layer:
    key = str(path[0])
    return next((layer for layer in layers if key in layer.values), Layer({}, {}))


def _refusals(error: ValidationError, layers: list[Layer]) -> Iterator[ConfigProblem]:
    for detail in error.errors(include_url=False)[:50]:
        layer = _layer_of(layers, detail["loc"] or ("",))
        path, message, remedy = explain(detail, layer.values, Settings)
        path = path or detail["loc"]
        known = VARIABLES.get(str(path[0]).upper()) if detail["type"] == "extra_forbidden" else None
        variable = _token_variable(detail["input"], path) if path else None
        if variable is not None:
            remedy = f"tokens go into .env as {variable}"
        elif known is not None and known.secret:
            remedy = f"put {known.name}=… into .env or the environment"
        elif known is not None:
            remedy = f"in this file it is called {known.key!r}"
        yield layer.problem(path, message, remedy)


def _token_variable(value: object, path: YamlPath) -> str | None:
    """The variable for a token of Slack's or Discord's that stands where none belongs; None: it is none."""
    if str(path[0]).upper() in VARIABLES or any(known.key == path[0] and known.secret for known in KNOWN):
        return None  # its own place: what is wrong there is something else
    name = str(path[-1]).upper()
    for named in (f"{str(path[0]).upper()}_{name}", f"{str(path[0]).upper()}_BOT_{name}"):
        if path[0] in ("slack", "discord") and named in VARIABLES and VARIABLES[named].secret:
            return named
    if isinstance(value, str) and looks_like_token(value):
        return "DISCORD_BOT_TOKEN"
    kinds = {"xoxb-": "SLACK_BOT_TOKEN", "xoxe.xoxb-": "SLACK_BOT_TOKEN", "xapp-": "SLACK_APP_TOKEN"}
    return next((v for begin, v in kinds.items() if isinstance(value, str) and value.startswith(begin)), None)
