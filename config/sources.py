"""The places that settings come from. Every value remembers its line, so that a refusal can name it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, cast

from dotenv.parser import parse_stream
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from config.errors import ConfigProblem, nearest, short_path
from config.settings import Settings
from config.values import Env, Unused
from config.yaml_text import Document, YamlPath, decode, dotted, read_bytes, read_text

ENVIRONMENT = "environment"
DEFAULT = "default"
# Names that other programs use for what has another name here.
_MEANT = {"XAI_API_KEY": "GROK_API_KEY", "OLLAMA_HOST": "OLLAMA_BASE_URL"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from."""

    file: str  # ENVIRONMENT, DEFAULT, or a file as people know it
    line: int | None
    name: str  # the variable, or the path in the YAML file

    def __str__(self) -> str:
        """`environment`, `.env:3`, `config/quartet.yaml:12`, `default`."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Known:
    """A setting there is: its field, the variables that set it, its key in YAML."""

    field: str
    key: str  # in YAML and in errors
    variables: tuple[str, ...]
    secret: bool
    unused: str | None  # what happens instead, where this version does not use it

    @property
    def name(self) -> str:
        """What people call it."""
        return self.variables[0] if self.variables else self.key


def _known(field: str, info: FieldInfo) -> Known:
    variables = next((m.names for m in info.metadata if isinstance(m, Env)), ())
    unused = next((m.instead for m in info.metadata if isinstance(m, Unused)), None)
    return Known(field, info.alias or field, variables, "SecretStr" in repr(info.annotation), unused)


KNOWN: tuple[Known, ...] = tuple(_known(field, info) for field, info in Settings.model_fields.items())
VARIABLES: dict[str, Known] = {variable: known for known in KNOWN for variable in known.variables}
_KEYS = {known.key: known for known in KNOWN}
_FOLDERS = ("workflows_path", "agents_path")


class Layer(PydanticBaseSettingsSource):
    """One source of settings, and where each of its values stands."""

    def __init__(
        self, values: Mapping[str, Any], origins: Mapping[str, Origin], document: Document | None = None
    ):
        super().__init__(Settings)
        self.values = dict(values)  # by Known.key
        self.origins = dict(origins)
        self.document = document

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One value; pydantic-settings asks for this method, `__call__` gives all at once."""
        key = field.alias or field_name
        return self.values.get(key), key, False

    def __call__(self) -> dict[str, Any]:
        """All values."""
        return self.values

    def problem(self, path: YamlPath, message: str, remedy: str) -> ConfigProblem:
        """A problem with one of the values."""
        if self.document is not None:
            return self.document.problem(path, message, remedy)
        key = str(path[0])
        origin = self.origins.get(dotted(path)) or self.origins.get(key) or Origin(DEFAULT, None, key)
        return ConfigProblem(origin.file, origin.line, None, origin.name, message, remedy)


def read_variables(found: Mapping[str, tuple[str, Origin]]) -> Layer:
    """The settings among variables; of several names of one setting the first counts."""
    values: dict[str, str] = {}
    origins: dict[str, Origin] = {}
    for known in KNOWN:
        variable = next((v for v in known.variables if v in found), None)
        if variable is not None:
            values[known.key], origins[known.key] = found[variable]
    return Layer(values, origins)


# ── .env ─────────────────────────────────────────────────────────────────────────────────────


def read_dotenv(path: Path, problems: list[ConfigProblem]) -> dict[str, tuple[str, int]]:
    """Variables of a `.env` file with their lines. `$` in a value means itself: keys may hold it.

    Raises:
        ConfigError: the file cannot be read.
    """
    name = short_path(path)
    text = decode(read_bytes(path, name, remedy="make .env a plain text file, or remove it"), name)
    found: dict[str, tuple[str, int]] = {}
    for binding in parse_stream(StringIO(text)):
        original = binding.original
        blank = original.string[: len(original.string) - len(original.string.lstrip())]
        line = original.line + blank.count("\n")
        if binding.error or (binding.key is not None and binding.value is None):
            remedy = "write it so, close every quote, or begin the line with #"
            problems.append(ConfigProblem(name, line, None, "", "the line is not NAME=value", remedy))
        elif binding.key is not None and binding.value is not None:
            meant = _misspelt(binding.key)
            if meant is not None:
                message, remedy = "is no setting", f"did you mean {meant}?"
                problems.append(ConfigProblem(name, line, None, binding.key, message, remedy))
            elif binding.value.strip():  # NAME= with nothing behind it is as good as no line
                found[binding.key] = (binding.value, line)
    return found


def _misspelt(key: str) -> str | None:
    """The setting that an unknown name was probably meant to be. Other programs' names are let through."""
    if key in VARIABLES or not re.fullmatch(r"\w{1,80}", key):
        return None
    if key.upper() in VARIABLES:
        return key.upper()
    return _MEANT.get(key) or nearest(key, VARIABLES, cutoff=0.83)


# ── quartet.yaml ─────────────────────────────────────────────────────────────────────────────


def read_yaml(path: Path, problems: list[ConfigProblem]) -> Layer:
    """The settings of a YAML file; shapes are checked later, together with the others.

    Raises:
        ConfigError: the file cannot be read, or is not YAML.
    """
    name = short_path(path)
    content = read_bytes(path, name, remedy="name a YAML file: --config FILE")
    document = read_text(decode(content, name), name, may_be_empty=True)
    values: dict[str, Any] = {}
    for key, value in document.values.items():
        known = _KEYS.get(key)
        if known is not None and known.secret:
            remedy = f"put {known.name}=… into .env or the environment" if known.variables else "remove it"
            problems.append(document.problem((key,), "secrets are not read from this file", remedy))
        elif value is not None:
            values[key] = _from_folder(path.absolute().parent, value) if key in _FOLDERS else value
    origins = {key: Origin(name, document.mark((key,)).line, key) for key in values}
    return Layer(values, origins, Document(name, values, document.marks))


def _from_folder(folder: Path, value: Any) -> Any:
    """Paths in a file are meant from the file's own folder."""
    if not isinstance(value, list):
        return value
    return [str(folder / v) if isinstance(v, str) else v for v in cast("list[object]", value)]


def read_own_keys(
    layer: Layer, variables: Mapping[str, tuple[str, Origin]], problems: list[ConfigProblem]
) -> Layer:
    """The keys of the providers in the YAML file, from the variables it names."""
    keys: dict[str, str] = {}
    origins: dict[str, Origin] = {}
    providers = layer.values.get("providers")
    for provider, entry in cast("dict[str, Any]", providers if isinstance(providers, dict) else {}).items():
        variable = cast("dict[str, Any]", entry).get("api_key_env") if isinstance(entry, dict) else None
        if not isinstance(variable, str):
            continue
        if variable in variables:
            keys[provider], origins[f"own_provider_keys.{provider}"] = variables[variable]
        else:
            near = nearest(variable, variables, cutoff=0.8)
            remedy = f"did you mean {near}?" if near else f"put {variable}=… into .env or the environment"
            path = ("providers", provider, "api_key_env")
            problems.append(layer.problem(path, f"the variable {variable} is not set", remedy))
    return Layer({"own_provider_keys": keys} if keys else {}, origins)
