"""Least absolute deviations solved to the kink: a sequence of linear programs in a trust region."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from octad_scaling.powersum import log_jacobian, log_predict

Array = NDArray[np.float64]


def polish(theta: Array, log_x: Array, log_y: Array, limit: int = 40) -> tuple[Array, float, bool]:
    """Minimise mean |log prediction - log_y| from a theta that is near the optimum.

    At an optimum as many residuals as there are coefficients are zero: a kink on which a smooth method creeps. The
    program min sum t, -t <= r + J d <= t, |d| <= radius finds the kink of the linearised problem exactly, so the
    sequence ends in a few steps.

    Args:
        theta: (2m + 1,), the solver's order.
        log_x: (m, n).
        log_y: (n,).
        limit: programs solved at most.

    Returns:
        theta, its mean absolute residual, and whether no linear program could lower it any more.
    Cost: one program of n + 2m + 1 variables a step, a few ms each for n = 240.
    Source: Osborne and Watson 1971.
    """
    m = len(log_x)
    middle = log_x.mean(axis=1)
    spread = np.maximum(log_x.std(axis=1), 1e-12)
    standard = (log_x - middle[:, None]) / spread[:, None]
    point = theta.copy()
    point[:m] -= theta[m + 1 :] * middle
    point[m + 1 :] *= spread
    residual = log_predict(point[None], standard)[0] - log_y
    value, radius, settled = float(np.abs(residual).mean()), 0.1, False
    for _ in range(limit):
        if value < 1e-14:
            settled = True
            break
        step, predicted = _program(residual, log_jacobian(point[None], standard)[0].T, radius)
        if value - predicted <= 1e-13 + 1e-12 * value:
            settled = True
            break
        trial = log_predict((point + step)[None], standard)[0] - log_y
        trial_value = float(np.abs(trial).mean())
        if trial_value < value:
            gain = (value - trial_value) / (value - predicted)
            point, residual, value = point + step, trial, trial_value
            radius *= 2 if gain > 0.75 else 1 if gain > 0.25 else 0.5
        else:
            radius = 0.25 * min(radius, float(np.abs(step).max()))
    point[m + 1 :] /= spread
    point[:m] += point[m + 1 :] * middle
    return point, value, settled


def _program(residual: Array, jacobian: Array, radius: float) -> tuple[Array, float]:
    """The step d with |d| <= radius of least mean |residual + jacobian d|, and that mean."""
    n, p = jacobian.shape
    cost = np.concatenate([np.zeros(p), np.full(n, 1 / n)])
    rows = np.block([[jacobian, -np.eye(n)], [-jacobian, -np.eye(n)]])
    # residuals of 1e-3 and HiGHS's absolute tolerance of 1e-7 do not go together: solve in units of the mean residual
    unit = float(np.abs(residual).mean()) + 1e-300
    bounds = [(-radius / unit, radius / unit)] * p + [(0, None)] * n
    solved = linprog(cost, A_ub=rows, b_ub=np.concatenate([-residual, residual]) / unit, bounds=bounds, method="highs")
    if solved.x is None:
        return np.zeros(p), float(np.abs(residual).mean())
    step = np.asarray(solved.x[:p]) * unit
    return step, float(np.abs(residual + jacobian @ step).mean())
