"""Events live for years: what was written once is read for ever, and what is unknown blocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator import upcast
from orchestrator.errors import UnknownEvent
from orchestrator.events import Json, RunStarted, StepEnded
from orchestrator.infra.sqlite_codec import encode
from orchestrator.upcast import BODIES, VERSIONS, read_body

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"
STORED: list[tuple[str, dict[str, Any]]] = [
    (f"{path.parent.name}/{path.name}:{number}", json.loads(line))
    for path in sorted(GOLDEN.glob("v*/*.jsonl"))
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
]


@pytest.mark.parametrize(("where", "stored"), STORED, ids=[where for where, _ in STORED])
def test_golden_event_is_still_read(where: str, stored: dict[str, Any]) -> None:
    body = read_body(stored["type"], stored["v"], json.dumps(stored), where=where)
    if stored["v"] == VERSIONS.get(stored["type"]):
        assert body.model_dump(mode="json") == stored
        assert type(body).model_validate_json(body.model_dump_json()) == body
        assert json.loads(encode(body)[2]) == stored  # as a row keeps it, however it is written


@pytest.mark.parametrize("type_", sorted(BODIES))
def test_every_body_has_a_golden_example_with_all_its_fields(type_: str) -> None:
    fields = set(BODIES[type_].model_fields)
    examples = [stored for _, stored in STORED if (stored["type"], stored["v"]) == (type_, VERSIONS[type_])]
    assert any(set(example) == fields for example in examples), (
        f"tests/fixtures/golden has no example of {type_} version {VERSIONS[type_]} "
        f"with all of {sorted(fields)}; "
        "add one, and leave those of earlier versions as they are"
    )


@pytest.mark.parametrize(
    ("type_", "v", "text"),
    [
        ("teleported", 1, '{"type": "teleported", "v": 1}'),
        ("run_started", 2, '{"type": "run_started", "v": 2}'),
        ("run_started", 0, '{"type": "run_started", "v": 0}'),
        ("run_started", 1, '{"type": "run_started", "v": 1, "new_field": true}'),
        ("step_started", 1, '{"type": "step_started", "v": 1}'),
        ("step_started", 1, "{"),
        ("teleported", 1, "[]"),
        ("teleported", 1, "not json"),
        ("teleported", 1, '{"type": ["run_started"], "v": "1"}'),
    ],
)
def test_what_is_not_known_is_refused_with_its_place_and_a_remedy(type_: str, v: int, text: str) -> None:
    with pytest.raises(UnknownEvent) as caught:
        read_body(type_, v, text, where="run r1, event 3")
    message = str(caught.value)
    assert message.startswith("run r1, event 3: ")
    assert "update Quartet" in message or "backup" in message
    assert "\n" not in message


def test_old_versions_are_lifted_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(fact: Json) -> Json:
        return {**fact, "v": 2, "seconds": 1.0}

    def renamed(fact: Json) -> Json:
        return {**fact, "type": "step_ended", "v": 1}

    monkeypatch.setattr(upcast, "UPCASTERS", {("step_done", 1): timed, ("step_done", 2): renamed})
    stored: Json = {"type": "step_done", "v": 1, "node": "n", "visit": 1, "attempt": 1, "output": {}}
    body = read_body("step_done", 1, json.dumps(stored))
    assert body == StepEnded(node="n", visit=1, attempt=1, output={}, seconds=1.0)
    assert read_body("run_started", 1, '{"type":"run_started","v":1}') == RunStarted()
