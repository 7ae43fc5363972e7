"""The one exception this package raises for what it was given."""

from __future__ import annotations

import math

import numpy as np


class ScalingError(ValueError):
    """A record, a law, a fit or a plan that cannot be; the message names what was given, the rule and a fix."""


def require_positive(owner: str, **values: object) -> None:
    """Raise ScalingError unless every value is a finite number > 0.

    Args:
        owner: what the message names as the holder of the values.
        values: name = value.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise ScalingError(f"{owner}: {name}={value!r} of type {type(value).__name__} must be a number > 0")
        if not math.isfinite(value) or value <= 0:
            raise ScalingError(f"{owner}: {name}={value!r} must be a finite number > 0")
