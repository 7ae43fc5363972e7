"""The one exception class of this package."""

from __future__ import annotations


class OctadError(ValueError):
    """A recipe, a run folder or a command that cannot be carried out; the message says what to change."""


def require(holds: bool, name: str, value: object, rule: str) -> None:
    """Raise an OctadError that names the field, its value and the rule unless the rule holds."""
    if not holds:
        raise OctadError(f"{name} = {value!r}; it must be {rule}")
