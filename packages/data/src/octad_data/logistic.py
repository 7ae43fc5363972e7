"""Logistic and softmax regression with an L2 penalty: a strictly convex problem, so one answer and no learning rate."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from octad_data.kernel import kernel

Vector = NDArray[np.float64]
Objective = Callable[[Vector], tuple[float, Vector]]

MEMORY = 10  # pairs of steps and changes of slope from which L-BFGS guesses the curvature


def fit_logistic(
    starts: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    dense: NDArray[np.float32],
    targets: NDArray[np.int64],
    row_weights: Vector,
    num_classes: int,
    num_columns: int,
    c: float,
    tolerance: float = 2e-3,
    max_steps: int = 300,
) -> tuple[NDArray[np.float32], Vector, Vector]:
    """The minimum of c * sum_i weight_i * loss_i + |W|**2 / 2; biases are not penalised.

    Two classes get one logit (of class 1), more get one each. L-BFGS from zero, so the same rows give the same weights.

    Args:
        starts: row i is starts[i]..starts[i + 1] of the next two.
        columns: of the values.
        values: of the rows.
        dense: further columns, shape (rows, any).
        targets: class of each row, in [0, num_classes).
        row_weights: > 0, shape (rows,).
        num_classes: at least 2.
        num_columns: of the sparse part.
        c: weight of the data against the penalty.
        tolerance: of the largest slope, as a share of the first one.
        max_steps: of L-BFGS.

    Returns:
        weights of the sparse columns (num_columns, logits), of the dense ones (any, logits), biases (logits,).
    """
    is_used = np.zeros(num_columns, dtype=np.bool_)
    is_used[columns] = True
    used = np.flatnonzero(is_used)
    places = (np.cumsum(is_used, dtype=np.int32) - np.int32(1))[columns]  # only columns that occur get a weight
    rows, logits = len(targets), 1 if num_classes == 2 else num_classes
    split, end = len(used) * logits, (len(used) + dense.shape[1]) * logits
    wide = dense.astype(np.float64)
    weights = row_weights * c
    signs = np.where(targets == 1, 1.0, -1.0)
    one_hot = np.eye(num_classes)[targets] if logits > 1 else np.zeros((0, 0))

    def objective(x: Vector) -> tuple[float, Vector]:
        scores = np.tile(x[end:], (rows, 1))
        add_products(starts, places, values, x[:split].reshape(-1, logits), scores)
        scores += wide @ x[split:end].reshape(-1, logits)
        if logits == 1:
            margins = signs * scores[:, 0]
            losses = np.logaddexp(0.0, -margins)
            errors = (weights * -signs * np.exp(-np.logaddexp(0.0, margins)))[:, None]
        else:
            scores -= scores.max(axis=1, keepdims=True)
            logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
            losses = -(logs * one_hot).sum(axis=1)
            errors = weights[:, None] * (np.exp(logs) - one_hot)
        slope = np.zeros_like(x)
        add_transposed(starts, places, values, errors, slope[:split].reshape(-1, logits))
        slope[split:end] = (wide.T @ errors).ravel()
        slope[end:] = errors.sum(axis=0)
        slope[:end] += x[:end]
        return float(weights @ losses + x[:end] @ x[:end] / 2), slope

    x = minimise(objective, np.zeros(end + logits), tolerance, max_steps)
    sparse = np.zeros((num_columns, logits), dtype=np.float32)
    sparse[used] = x[:split].reshape(-1, logits)
    return sparse, x[split:end].reshape(-1, logits), x[end:]


def minimise(objective: Objective, x: Vector, tolerance: float, max_steps: int) -> Vector:
    """The minimum of a smooth convex function by L-BFGS with a backtracking line search.

    Stops when the largest slope is below tolerance times the first one, or when no step goes down any further.
    Source: Nocedal and Wright 2006, algorithms 7.4 and 3.1.
    """
    value, slope = objective(x)
    first = float(np.abs(slope).max(initial=0.0))
    history: list[tuple[Vector, Vector, float]] = []
    for _ in range(max_steps):
        if np.abs(slope).max(initial=0.0) <= tolerance * first:
            break
        direction = _direction(slope, history)
        descent = float(slope @ direction)
        step = 1.0 if history else min(1.0, 1.0 / float(np.sqrt(slope @ slope)))
        while True:
            new = x + step * direction
            new_value, new_slope = objective(new)
            if new_value <= value + 1e-4 * step * descent:
                break
            step /= 2
            if step < 1e-10:
                return x
        moved, turned = new - x, new_slope - slope
        curvature = float(moved @ turned)
        if curvature > 1e-12 * float(turned @ turned):
            history = [*history[1 - MEMORY :], (moved, turned, 1 / curvature)]
        x, value, slope = new, new_value, new_slope
    return x


def _direction(slope: Vector, history: list[tuple[Vector, Vector, float]]) -> Vector:
    direction = -slope
    parts = []
    for moved, turned, rho in reversed(history):
        part = rho * float(moved @ direction)
        direction -= part * turned
        parts.append(part)
    if history:
        moved, turned, rho = history[-1]
        direction /= rho * float(turned @ turned)
    for (moved, turned, rho), part in zip(history, reversed(parts), strict=True):
        direction += (part - rho * float(turned @ direction)) * moved
    return direction


@kernel
def add_products(
    starts: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    weights: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Out += rows @ weights."""
    for row in range(len(starts) - 1):
        for i in range(starts[row], starts[row + 1]):
            for k in range(weights.shape[1]):
                out[row, k] += values[i] * weights[columns[i], k]


@kernel
def add_transposed(
    starts: NDArray[np.int64],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    errors: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Out += rows.T @ errors."""
    for row in range(len(starts) - 1):
        for i in range(starts[row], starts[row + 1]):
            for k in range(errors.shape[1]):
                out[columns[i], k] += values[i] * errors[row, k]
