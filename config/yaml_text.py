"""Read YAML text into plain values that remember their lines. YAML 1.2: only true and false are booleans.

PyYAML's own loader would read the key `on:` as True, keep the last of two equal keys and follow
any tag; so only its parser is used here and the values are built from its events, with limits on
size, depth and repetition. Nothing in a file can run code, and no file can take long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from config.errors import ConfigError, ConfigProblem

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_VALUES = 50_000  # after aliases are written out

YamlPath = tuple[str | int, ...]
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,30}")
_OTHER_INT = re.compile(r"0o([0-7]{1,30})|0x([0-9a-fA-F]{1,30})")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a text; line and column begin with 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Document:
    """A YAML mapping and where its parts stand."""

    name: str  # of the file, for messages
    values: dict[str, Any]
    marks: dict[YamlPath, Mark] = field(default_factory=dict[YamlPath, Mark])  # of keys and list items

    def mark(self, path: YamlPath) -> Mark:
        """Where `path` stands, or the nearest part around it that does."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.marks:
                return self.marks[path[:end]]
        return Mark(1, 1)

    def problem(self, path: YamlPath, message: str, remedy: str) -> ConfigProblem:
        """A problem at `path`."""
        mark = self.mark(path)
        return ConfigProblem(self.name, mark.line, mark.column, dotted(path), message, remedy)


def dotted(path: YamlPath) -> str:
    """`("edges", 3, "to")` as `edges[3].to`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_bytes(path: Path, name: str, *, remedy: str = "name a readable text file") -> bytes:
    """A configuration file's bytes.

    Raises:
        ConfigError: not there, not a file, not readable, or larger than `MAX_BYTES`.
    """
    message = ""
    try:
        # A pipe or a device could be read for ever.
        if path.exists() and not path.is_file():
            message = "is a folder, not a file" if path.is_dir() else "is not a plain file"
        else:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            if len(content) <= MAX_BYTES:
                return content
            message, remedy = f"is larger than {MAX_BYTES:,} bytes", "split it, or name the right file"
    except FileNotFoundError:
        message = "there is no such file"
    except (OSError, ValueError) as error:
        message = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        remedy = f"make it readable for this user; {remedy}"
    raise ConfigError([ConfigProblem(name, None, None, "", message, remedy)])


def decode(content: bytes, name: str) -> str:
    """A file's text.

    Raises:
        ConfigError: not UTF-8, or with characters that text does not have; with the line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        message = "is not UTF-8 text"
        raise ConfigError(
            [ConfigProblem(name, line, column, "", message, "save the file as UTF-8")]
        ) from error
    return text


def read_text(text: str, name: str, *, may_be_empty: bool = False) -> Document:
    """Read one YAML mapping.

    Args:
        text: the file's text.
        name: of the file, for messages.
        may_be_empty: a file with nothing but comments is an empty mapping.

    Raises:
        ConfigError: not YAML, more than one document, no mapping, or beyond the limits.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        message = f"is larger than {MAX_BYTES:,} bytes"
        raise ConfigError([ConfigProblem(name, None, None, "", message, "split it")])
    control = _CONTROL.search(text)
    if control is not None:
        line, column = _place(text, control.start())
        message = f"holds the control character {control.group()!r}"
        raise ConfigError([ConfigProblem(name, line, column, "", message, "remove it; this should be text")])
    return _Builder(text, name).read(may_be_empty=may_be_empty)


def _place(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being filled."""

    value: dict[str, Any] | list[Any]
    path: YamlPath
    anchor: str | None
    before: int  # values counted before it began
    key: str | None = None  # of a mapping: the key whose value comes next


class _Builder:
    """Builds values from the parser's events, one document."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Any, int]] = {}  # name → value, how many values it holds
        self.count = 0
        self.root: Any = None
        self.marks: dict[YamlPath, Mark] = {}

    def read(self, *, may_be_empty: bool) -> Document:
        documents = 0
        for event in self._events():
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refuse(event, "a second document begins here", "keep one document in a file")
            else:
                self._take(event)
        if self.root is None and may_be_empty:
            return Document(self.name, {})
        if not isinstance(self.root, dict):
            what = "is empty" if self.root is None else "does not hold a mapping"
            problem = ConfigProblem(self.name, 1, 1, "", f"the file {what}", "begin with `key: value` lines")
            raise ConfigError([problem])
        return Document(self.name, cast("dict[str, Any]", self.root), self.marks)

    def _events(self) -> Iterator[Any]:
        try:
            yield from yaml.parse(self.text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            lines = self.text.splitlines()
            shown = lines[line - 1] if line <= len(lines) else ""
            if "\t" in shown[: len(shown) - len(shown.lstrip())]:
                message, remedy = "the line begins with a tab", "indent with spaces"
            else:
                message = f"is not YAML: {error.problem or error.context}"
                remedy = "check the indentation, and quote text that has one of : # { [ & * ! in it"
            raise ConfigError([ConfigProblem(self.name, line, column, "", message, remedy)]) from error
        except yaml.YAMLError as error:
            message = f"is not YAML: {' '.join(str(error).split())[:200]}"
            raise ConfigError([ConfigProblem(self.name, 1, 1, "", message, "write plain text")]) from error

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self.stack.pop()
            if done.anchor is not None:
                self.anchors[done.anchor] = (done.value, self.count - done.before)
            return
        if isinstance(event, yaml.AliasEvent):
            self._put_alias(event)
            return
        if isinstance(event, yaml.ScalarEvent | yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if event.tag is not None and event.tag != "!":
                raise self._refuse(event, f"the tag {event.tag!r} is not read here", "remove the tag")
            if isinstance(event, yaml.ScalarEvent):
                self._put_scalar(event)
            else:
                self._open(event)

    def _open(self, event: Any) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise self._refuse(event, f"is nested deeper than {MAX_DEPTH} levels", "write it flatter")
        before = self.count
        value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._put(event, value)
        self.stack.append(_Open(value, path, event.anchor, before))

    def _put_scalar(self, event: Any) -> None:
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self._begin_key(event, top, top.value)
            return
        plain = bool(event.implicit[0]) and event.style in (None, "")
        value = self._plain(event) if plain else event.value
        before = self.count
        self._put(event, value)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, self.count - before)

    def _begin_key(self, event: Any, top: _Open, mapping: dict[str, Any]) -> None:
        key = str(event.value)
        if key in mapping:
            first = self.marks[(*top.path, key)].line
            raise self._refuse(
                event, f"the key {key!r} stands here twice (first in line {first})", "remove one"
            )
        if len(key) > 200:
            raise self._refuse(event, "a key is longer than 200 characters", "shorten it")
        top.key = key
        self.marks[(*top.path, key)] = Mark(event.start_mark.line + 1, event.start_mark.column + 1)

    def _put_alias(self, event: Any) -> None:
        if event.anchor not in self.anchors:
            raise self._refuse(event, f"nothing before this is named &{event.anchor}", "write the value out")
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            raise self._refuse(event, "an alias cannot be a key here", "write the key out")
        value, size = self.anchors[event.anchor]
        self.count += size
        self._put(event, value)

    def _put(self, event: Any, value: Any) -> YamlPath:
        self.count += 1
        if self.count > MAX_VALUES:
            raise self._refuse(
                event, f"holds more than {MAX_VALUES:,} values", "write less, or use fewer aliases"
            )
        if not self.stack:
            self.root = value
            return ()
        top = self.stack[-1]
        if isinstance(top.value, list):
            path = (*top.path, len(top.value))
            self.marks[path] = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
            top.value.append(value)
            return path
        if top.key is None:
            raise self._refuse(event, "a key is a list or a mapping", "use plain words as keys")
        path = (*top.path, top.key)
        top.value[top.key] = value
        top.key = None
        return path

    def _plain(self, event: Any) -> Any:
        text = str(event.value)
        if _NULL.fullmatch(text):
            return None
        if _BOOL.fullmatch(text):
            return text.lower() == "true"
        if _INT.fullmatch(text):
            return int(text)
        other = _OTHER_INT.fullmatch(text)
        if other is not None:
            return int(other[1], 8) if other[1] else int(other[2], 16)
        if _FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text

    def _refuse(self, event: Any, message: str, remedy: str) -> ConfigError:
        mark = event.start_mark
        key = dotted(self.stack[-1].path) if self.stack else ""
        return ConfigError([ConfigProblem(self.name, mark.line + 1, mark.column + 1, key, message, remedy)])
