"""The solver under every law here: y = E + sum_k A_k x_k^-gamma_k, fitted in log y by a batched Newton method.

With c_k = log A_k and e = log E the prediction is a log-sum-exp,

    log y = LSE(c_1 - gamma_1 log x_1, ..., c_m - gamma_m log x_m, e),

whose gradient is the softmax p of its terms and whose Hessian is cheap: sum_k p_k g_k g_k' - J J' with the constant
g_k = d term_k / d theta. So many problems (starts, bootstrap resamples: a weight a point) are solved at once by numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GRADIENT_TOLERANCE = 1e-11
MAX_DAMPING = 1e14


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """theta (batch, 2m + 1) ordered c_1..c_m, e, gamma_1..gamma_m; the mean objective and whether it is stationary."""

    theta: Array
    objective: Array
    converged: NDArray[np.bool_]
    iterations: int


def log_predict(theta: Array, log_x: Array) -> Array:
    """LSE_k(c_k - gamma_k log_x_k, e): theta (batch, 2m + 1), log_x (m, n) -> (batch, n)."""
    terms = _terms(theta, log_x)
    top = terms.max(axis=1, keepdims=True)
    return np.asarray(top[:, 0] + np.log(np.exp(terms - top).sum(axis=1)))


def log_jacobian(theta: Array, log_x: Array) -> Array:
    """Jacobian d log_predict / d theta, (batch, 2m + 1, n): the terms' softmax p, then -log_x p for gamma."""
    terms = _terms(theta, log_x)
    share = np.exp(terms - terms.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return np.concatenate([share, -log_x * share[:, : len(log_x)]], axis=1)


def _terms(theta: Array, log_x: Array) -> Array:
    m, n = log_x.shape
    terms = np.empty((len(theta), m + 1, n))
    terms[:, :m] = theta[:, :m, None] - theta[:, m + 1 :, None] * log_x
    terms[:, m] = theta[:, m, None]
    return terms


def objective(residual: Array, weights: Array, delta: float) -> Array:
    """Weighted mean over the last axis of Huber(r) / delta; of r^2 / 2 where delta is infinite.

    Huber(r) = r^2 / 2 inside |r| <= delta, delta (|r| - delta / 2) outside. Divided by delta it tends to |r| as
    delta -> 0, so one scale serves least absolute deviations too.
    """
    if np.isinf(delta):
        return np.asarray((weights * residual**2).sum(axis=-1) / 2 / weights.sum(axis=-1))
    size = np.abs(residual)
    value = np.where(size <= delta, size**2 / (2 * delta), size - delta / 2)
    return np.asarray((weights * value).sum(axis=-1) / weights.sum(axis=-1))


def _derivatives(theta: Array, log_x: Array, log_y: Array, weights: Array, delta: float) -> tuple[Array, Array]:
    """Gradient (batch, p) and Hessian (batch, p, p) of `objective`; weights sum to one along the points."""
    m = len(log_x)
    terms = _terms(theta, log_x)
    top = terms.max(axis=1, keepdims=True)
    share = np.exp(terms - top)
    total = share.sum(axis=1, keepdims=True)
    share /= total
    residual = (top + np.log(total))[:, 0] - log_y
    if np.isinf(delta):
        slope, curvature = residual, np.ones_like(residual)
    else:
        slope, curvature = np.clip(residual / delta, -1, 1), (np.abs(residual) <= delta) / delta
    jacobian = np.concatenate([share, -log_x * share[:, :m]], axis=1)
    pull = weights * slope
    gradient = (jacobian @ pull[:, :, None])[:, :, 0]
    hessian = (jacobian * (weights * curvature - pull)[:, None]) @ jacobian.transpose(0, 2, 1)
    # sum_i pull_i sum_k p_k g_k g_k': its c and e entries are the gradient itself
    diagonal, exponent = np.arange(m + 1), np.arange(m) + m + 1
    hessian[:, diagonal, diagonal] += gradient[:, : m + 1]
    hessian[:, diagonal[:m], exponent] += gradient[:, m + 1 :]
    hessian[:, exponent, diagonal[:m]] += gradient[:, m + 1 :]
    hessian[:, exponent, exponent] += ((log_x**2 * share[:, :m]) @ pull[:, :, None])[:, :, 0]
    return gradient, hessian


def _descend(theta: Array, log_x: Array, log_y: Array, weights: Array, delta: float, limit: int) -> Solution:
    """Damped Newton on every row of theta at once; eigenvalues enter by their size, so saddles repel."""
    theta = theta.copy()
    value = objective(log_predict(theta, log_x) - log_y, weights, delta)
    damping = np.full(len(theta), 1e-3)
    converged = np.zeros(len(theta), dtype=bool)
    active, iterations = np.arange(len(theta)), 0
    gradient, hessian = _derivatives(theta, log_x, log_y, weights, delta)
    scale, axes = np.linalg.eigh(hessian)
    while len(active) and iterations < limit:
        iterations += 1
        size = np.abs(scale[active])
        size += damping[active, None] * size.max(axis=1, keepdims=True) + 1e-300
        along = (axes[active].transpose(0, 2, 1) @ gradient[active, :, None])[:, :, 0]
        step = -(axes[active] @ (along / size)[:, :, None])[:, :, 0]
        # past a few units of log A or of a standardised exponent the quadratic model means nothing
        step *= np.minimum(1, 3 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-300))
        trial = theta[active] + step
        trial_value = objective(log_predict(trial, log_x) - log_y[active], weights[active], delta)
        better = trial_value < value[active]
        moved = active[better]
        stalled = np.zeros(len(theta), dtype=bool)
        stalled[moved] = value[moved] - trial_value[better] < 1e-15 * value[moved]
        theta[moved], value[moved] = trial[better], trial_value[better]
        damping[moved] *= 0.15
        damping[active[~better]] = np.maximum(damping[active[~better]], 1e-9) * 6
        if len(moved):
            gradient[moved], hessian = _derivatives(theta[moved], log_x, log_y[moved], weights[moved], delta)
            scale[moved], axes[moved] = np.linalg.eigh(hessian)
        flat = np.abs(gradient[active]).max(axis=1) < GRADIENT_TOLERANCE
        done = flat | (damping[active] > MAX_DAMPING) | stalled[active]
        converged[active[done]] = True
        active = active[~done]
    return Solution(theta, value, converged, iterations)


def solve(
    log_x: Array, log_y: Array, weights: Array, starts: Array, deltas: tuple[float, ...], limit: int = 200
) -> Solution:
    """Minimise the mean of Huber_delta(log prediction - log_y) from every row of `starts`.

    Args:
        log_x: (m, n), the logarithms of the m predictors.
        log_y: (n,), or (batch, n) where each problem has its own measurements.
        weights: (batch, n), >= 0: how often each point counts in each problem.
        starts: (batch, 2m + 1).
        deltas: Huber widths gone through in order; wide ones first lead to the basin, the last one is solved to the
            end. Infinity is least squares; a width far below the residuals is least absolute deviations.
        limit: Newton steps a width.

    Cost: O(batch * n * m^2) a step; 5 to 30 steps a width.
    """
    m = len(log_x)
    middle, spread = log_x.mean(axis=1), np.maximum(log_x.std(axis=1), 1e-12)
    weights = weights / weights.sum(axis=1, keepdims=True)
    log_y = np.broadcast_to(log_y, weights.shape)
    theta = starts.astype(np.float64).copy()
    theta[:, :m] -= theta[:, m + 1 :] * middle
    theta[:, m + 1 :] *= spread
    standard = (log_x - middle[:, None]) / spread[:, None]
    iterations = 0
    for delta in deltas:
        solution = _descend(theta, standard, log_y, weights, delta, limit if delta == deltas[-1] else 12)
        theta, iterations = solution.theta, iterations + solution.iterations
    theta[:, m + 1 :] /= spread
    theta[:, :m] += theta[:, m + 1 :] * middle
    return Solution(theta, solution.objective, solution.converged, iterations)


def projected_starts(log_x: Array, y: Array, exponents: Array, keep: int) -> Array:
    """The `keep` best starts of a grid: with the exponents held, E and A_k follow from linear least squares.

    Args:
        log_x: (m, n).
        y: (n,), > 0.
        exponents: (grid, m), the exponents to try.
        keep: how many to return, best first.

    Returns:
        (keep or fewer, 2m + 1). Negative amplitudes are lifted to a thousandth of the mean of y.
    Source: variable projection, Golub and Pereyra 1973.
    """
    middle = log_x.mean(axis=1)
    powers = np.exp(-exponents[:, :, None] * (log_x - middle[:, None]))
    features = np.concatenate([powers, np.ones((len(exponents), 1, len(y)))], axis=1) / y
    gram = features @ features.transpose(0, 2, 1)
    ridge = 1e-10 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(gram.shape[-1])
    amplitudes = np.linalg.solve(gram + ridge, features.sum(axis=2)[:, :, None])[:, :, 0]
    amplitudes = np.maximum(amplitudes, 1e-3 * y.mean())
    logs = np.log(amplitudes)
    logs[:, :-1] += exponents * middle
    starts = np.concatenate([logs, exponents], axis=1)
    residual = log_predict(starts, log_x) - np.log(y)
    best = np.argsort((residual**2).sum(axis=1), kind="stable")[:keep]
    return np.asarray(starts[best])
