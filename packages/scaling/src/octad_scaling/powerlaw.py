"""The power law with an offset, L = E + A x^-alpha: loss against one quantity (size, data, compute)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octad_scaling.chinchilla import GRID, Loss, descent, huber_width
from octad_scaling.errors import ScalingError, require_positive
from octad_scaling.powersum import projected_starts, solve

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """L(x) = E + A x^-alpha.

    Args:
        E: what is left at x = infinity, >= 0.
        A: > 0.
        alpha: > 0 for a quantity that falls with x, < 0 for one that grows (an optimal size against compute).

    Raises:
        ScalingError: E < 0, A <= 0, or a coefficient is not finite.
    Source: Kaplan et al. 2020, eq. 1.1-1.3 (E = 0); Henighan et al. 2020 (E > 0).
    """

    E: float
    A: float
    alpha: float

    def __post_init__(self) -> None:
        require_positive("PowerLaw", A=self.A)
        if not (math.isfinite(self.E) and self.E >= 0 and math.isfinite(self.alpha)):
            raise ScalingError(f"PowerLaw: E={self.E!r} must be finite and >= 0, alpha={self.alpha!r} finite")

    def predict(self, x: ArrayLike) -> Array:
        """E + A x^-alpha for x > 0, of x's shape."""
        values = np.asarray(x, dtype=np.float64)
        if not np.all(values > 0):
            raise ScalingError("x must be > 0 to predict from a power law")
        return np.asarray(self.E + self.A * values**-self.alpha)


def fit_power_law(
    x: ArrayLike, y: ArrayLike, *, offset: bool = True, delta: float = 1e-3, loss: Loss = "huber"
) -> PowerLaw:
    """Minimise the mean of rho(log y - log(E + A x^-alpha)).

    Args:
        x: (n,), > 0, at least 3 different values (2 without the offset).
        y: (n,), > 0.
        offset: False holds E = 0 and fits by least squares, a straight line of log y in log x.
        delta: the Huber width in log y.
        loss: "huber", "lad" or "lse", as in `fit_chinchilla`.

    Raises:
        ScalingError: too few values, different lengths, a value not finite or not > 0, or y does not fall with x
            (a law with an offset needs that).
    Cost: about 10 ms.
    """
    log_x, log_y = _logs("x", x), _logs("y", y)
    if len(log_x) != len(log_y):
        raise ScalingError(f"x has {len(log_x)} values and y {len(log_y)}; they pair up")
    need = 3 if offset else 2
    if len(np.unique(log_x)) < need:
        raise ScalingError(f"x has {len(np.unique(log_x))} different values; a fit needs at least {need}")
    if not offset:
        centred = log_x - log_x.mean()
        slope = float(centred @ log_y / (centred @ centred))
        return PowerLaw(E=0.0, A=math.exp(float(log_y.mean() - slope * log_x.mean())), alpha=-slope)
    starts = projected_starts(log_x[None], np.exp(log_y), np.concatenate([GRID, [1.6, 2.2]])[:, None], keep=6)
    width = huber_width(loss, delta)
    solution = solve(log_x[None], log_y, np.ones((len(starts), len(log_y))), starts, descent(width))
    a, e, alpha = (float(value) for value in solution.theta[np.argmin(solution.objective)])
    if alpha <= 0 or max(abs(a), e) > 700:
        raise ScalingError(f"alpha={alpha:.3g}: y does not fall with x as a power; use offset=False for one that grows")
    return PowerLaw(E=math.exp(e), A=math.exp(a), alpha=alpha)


def _logs(name: str, values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.all(np.isfinite(array) & (array > 0)):
        raise ScalingError(f"{name} must be one axis of finite numbers > 0, not of shape {array.shape}: {array}")
    return np.log(array)
