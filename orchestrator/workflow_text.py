"""A workflow as people write it: YAML without what is the default anyway. Pure.

What comes out reads back as the same workflow, and is the same for the same workflow, so that two
versions can be compared line by line and digests outlive new optional keys.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import yaml

from orchestrator.events import Json
from orchestrator.workflow import Workflow

WIDTH = 100  # characters; longer texts are folded


def plain(workflow: Workflow) -> Json:
    """The definition as JSON, defaults left out; the order of nodes is kept, since it means something."""
    values: Json = workflow.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for name, node in workflow.nodes.items():
        # Nodes are told apart by their kind, so it is written even where it is the usual one.
        values["nodes"][name] = {"kind": node.kind, **values["nodes"][name]}
    for name, inner in workflow.workflows.items():
        values["workflows"][name] = plain(inner)
    return values


def text_of(workflow: Workflow) -> str:
    """The definition as YAML, ending with a new line."""
    return yaml.dump(plain(workflow), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)


def fingerprint(workflow: Workflow) -> str:
    """SHA-256 of the definition; a further key with a default does not change it, the order of nodes does."""
    return hashlib.sha256(json.dumps(plain(workflow), ensure_ascii=False).encode()).hexdigest()


class _Dumper(yaml.SafeDumper):
    """Writes YAML 1.2, as definitions are read: `on` is a word and no boolean, `1e3` is a number."""

    def ignore_aliases(self, data: Any) -> bool:
        """A value that stands in two places is written out in both."""
        return True


def _texts(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Texts of several lines as blocks, where YAML can say them so."""
    block = "\n" in text and not re.search(r"[^\S\n]\n|\t|\r|^\s", text)
    style = "|" if block else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(str, _texts)
_Dumper.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeDumper.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    # What PyYAML takes for text and a reader of YAML 1.2 for a number has to be quoted.
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
):
    _Dumper.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
        f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first)
    )
