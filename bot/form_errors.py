"""What is wrong with a form that was sent, by field."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.contract import Form

MAX_FIELD = 20_000  # characters; more only where the form itself begins with more


class FormErrors(Exception):
    """What is wrong, by field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = dict(errors)


def too_long(form: Form, values: Mapping[str, str]) -> dict[str, str]:
    """Fields that are longer than the form allows."""
    limits = {field.name: field.max_length for field in form.fields}
    return {
        name: f"too long: at most {limits.get(name, MAX_FIELD):,} characters"
        for name, value in values.items()
        if len(value) > limits.get(name, MAX_FIELD)
    }
