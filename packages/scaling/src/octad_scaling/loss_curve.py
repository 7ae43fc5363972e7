"""The loss along a run under any learning-rate schedule: L(s) = L0 + A S1(s)^-alpha - C S2(s)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares, minimize_scalar
from scipy.signal import lfilter

from octad_scaling.errors import ScalingError, require_positive

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LossCurve:
    """The measured losses of one run and the learning rate of each of its steps.

    Args:
        learning_rates: (num_steps,), of step 0, 1, ..., >= 0; may go on past the last measured step.
        steps: (n,), rising, in 0 .. num_steps - 1.
        losses: (n,), > 0, measured at those steps.
        warmup_steps: steps at the start whose rising learning rate is no negative annealing.

    Raises:
        ScalingError: shapes that do not match, steps outside the schedule or not rising, or values out of range.
    """

    learning_rates: Array
    steps: NDArray[np.int64]
    losses: Array
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rates", _schedule(self.learning_rates))
        steps, losses = np.asarray(self.steps), np.asarray(self.losses, dtype=np.float64)
        if steps.ndim != 1 or steps.shape != losses.shape or len(steps) == 0:
            raise ScalingError(f"steps {steps.shape} and losses {losses.shape} must be one axis of the same length > 0")
        if not np.all(np.isfinite(losses) & (losses > 0)):
            raise ScalingError("losses must be finite and > 0; leave out the points that are not")
        if np.any(steps != np.floor(steps)) or np.any(np.diff(steps) <= 0):
            raise ScalingError("steps must be rising whole numbers")
        if steps[0] < 0 or steps[-1] >= len(self.learning_rates):
            raise ScalingError(
                f"steps {steps[0]}..{steps[-1]} leave the schedule of {len(self.learning_rates)} steps; give it in full"
            )
        if not 0 <= self.warmup_steps < len(self.learning_rates):
            raise ScalingError(f"warmup_steps={self.warmup_steps} must be in 0..{len(self.learning_rates) - 1}")
        object.__setattr__(self, "steps", steps.astype(np.int64))
        object.__setattr__(self, "losses", losses)

    def until(self, step: int) -> LossCurve:
        """The part measured at steps <= `step`, with the whole schedule: what is known while the run goes on.

        Raises:
            ScalingError: nothing was measured by then.
        """
        kept = self.steps <= step
        return LossCurve(self.learning_rates, self.steps[kept], self.losses[kept], self.warmup_steps)


def _schedule(learning_rates: ArrayLike) -> Array:
    rates = np.asarray(learning_rates, dtype=np.float64)
    if rates.ndim != 1 or len(rates) == 0 or not np.all(np.isfinite(rates) & (rates >= 0)) or not np.any(rates > 0):
        raise ScalingError(f"learning_rates of shape {rates.shape} must be one axis of finite numbers >= 0, not all 0")
    return rates


def learning_rates_from_log(steps: ArrayLike, logged: ArrayLike, *, warmup_steps: int = 0) -> Array:
    """A learning rate for every step from those logged at some: straight lines between them, one warm-up from 0.

    Args:
        steps: (n,), rising whole numbers >= 0, where it was logged.
        logged: (n,), the learning rate there.
        warmup_steps: rising from 0 in a straight line to the first logged value, then held until it was logged.

    Returns:
        (steps[-1] + 1,).

    Raises:
        ScalingError: shapes that do not match or steps that do not rise.
    """
    at, rates = np.asarray(steps, dtype=np.float64), _schedule(logged)
    if at.shape != rates.shape or np.any(np.diff(at) <= 0) or at[0] < 0:
        raise ScalingError(f"steps {at.shape} must rise from >= 0 and match the logged rates {rates.shape}")
    every = np.arange(int(at[-1]) + 1, dtype=np.float64)
    ramp = np.minimum(1.0, (every + 1) / warmup_steps) if warmup_steps else np.ones_like(every)
    return np.asarray(np.interp(every, at, rates) * ramp)


def forward_area(learning_rates: ArrayLike) -> Array:
    """S1(s) = sum of the learning rates of steps 0..s, (num_steps,)."""
    return np.cumsum(_schedule(learning_rates))


def annealing_area(learning_rates: ArrayLike, decay: float, warmup_steps: int = 0) -> Array:
    """S2(s) = sum_{i <= s} m_i, m_i = decay m_{i-1} + (lr_{i-1} - lr_i), (num_steps,).

    The momentum m remembers how fast the rate fell lately: the loss follows an annealed rate with a delay.

    Args:
        learning_rates: (num_steps,).
        decay: lambda, in [0, 1).
        warmup_steps: changes before this step are not counted.

    Raises:
        ScalingError: decay outside [0, 1), or no schedule.
    """
    if not 0 <= decay < 1:
        raise ScalingError(f"decay={decay!r} must be in [0, 1); the published values are 0.99 to 0.999")
    rates = _schedule(learning_rates)
    falls = -np.diff(rates, prepend=rates[0])
    falls[: warmup_steps + 1] = 0.0
    return np.cumsum(lfilter([1.0], [1.0, -decay], falls))


@dataclass(frozen=True, slots=True)
class TissueLaw:
    """L(s) = L0 + A S1(s)^-alpha - C S2(s), for one model and batch size under any schedule.

    Args:
        L0: > 0.
        A: > 0.
        alpha: > 0.
        C: what annealing brings, >= 0.
        decay: lambda of the annealing momentum, in [0, 1).

    Raises:
        ScalingError: a coefficient out of range.
    Source: Tissue et al. 2024, eq. 1 (arXiv 2408.11029).
    """

    L0: float
    A: float
    alpha: float
    C: float
    decay: float

    def __post_init__(self) -> None:
        require_positive("TissueLaw", L0=self.L0, A=self.A, alpha=self.alpha)
        if not (math.isfinite(self.C) and self.C >= 0 and 0 <= self.decay < 1):
            raise ScalingError(f"TissueLaw: C={self.C!r} must be >= 0 and decay={self.decay!r} in [0, 1)")

    def predict(self, learning_rates: ArrayLike, *, warmup_steps: int = 0) -> Array:
        """The loss after each step of a schedule, (num_steps,); infinite while the rate has only been 0."""
        area, annealing = forward_area(learning_rates), annealing_area(learning_rates, self.decay, warmup_steps)
        with np.errstate(divide="ignore"):
            return np.asarray(self.L0 + self.A * area**-self.alpha - self.C * annealing)

    def predict_final(self, learning_rates: ArrayLike, *, warmup_steps: int = 0) -> float:
        """The loss at the schedule's last step."""
        return float(self.predict(learning_rates, warmup_steps=warmup_steps)[-1])


def fit_loss_curves(
    curves: Sequence[LossCurve],
    *,
    delta: float = 1e-3,
    decay: float | None = None,
    annealing: TissueLaw | None = None,
) -> TissueLaw:
    """Minimise the Huber loss of the log residuals of L0 + A S1^-alpha - C S2 over all points of all curves.

    Args:
        curves: runs of one model and batch size; at least one with a falling rate, else C cannot be known.
        delta: the Huber width in log loss.
        decay: lambda held; left out, the best one in [0.9, 0.9999] is searched for.
        annealing: a law of earlier runs whose C and decay are held. So the final loss of a run is predicted from its
            first part, before its rate has fallen: `fit_loss_curves([curve.until(step)], annealing=law)`.

    Raises:
        ScalingError: no curves, fewer than 4 points, no falling rate and no `annealing`, delta not > 0, or a fit
            with no C >= 0.
    Cost: about 0.4 s for four curves of 1,400 points with decay searched for.
    """
    points = sum(len(curve.steps) for curve in curves)
    if points < 4:
        raise ScalingError(f"{points} points cannot determine L0, A, alpha and C; give at least 4")
    if not delta > 0:
        raise ScalingError(f"delta={delta!r} must be > 0")
    if annealing is not None:
        return _fit_held(curves, delta, annealing.decay, annealing.C)[1]
    if not any(np.any(annealing_area(c.learning_rates, 0.0, c.warmup_steps)[c.steps] > 0) for c in curves):
        raise ScalingError("no curve was measured after its rate began to fall, so C is unknown; give `annealing`")
    if decay is not None:
        return _fit_held(curves, delta, decay, None)[1]

    def cost(log_span: float) -> float:
        return _fit_held(curves, delta, 1 - 10**-log_span, None)[0]

    spans = np.linspace(1.0, 4.0, 7)
    best = float(spans[np.argmin([cost(span) for span in spans])])
    found = minimize_scalar(cost, bounds=(max(best - 0.5, 1.0), min(best + 0.5, 4.0)), options={"xatol": 1e-3})
    return _fit_held(curves, delta, 1 - 10 ** -float(found.x), None)[1]


def _fit_held(
    curves: Sequence[LossCurve], delta: float, decay: float, annealing: float | None
) -> tuple[float, TissueLaw]:
    """The cost and the best law with `decay` held, and C too where `annealing` is given."""
    log_s1 = np.log(np.concatenate([forward_area(c.learning_rates)[c.steps] for c in curves]))
    s2 = np.concatenate([annealing_area(c.learning_rates, decay, c.warmup_steps)[c.steps] for c in curves])
    losses = np.concatenate([c.losses for c in curves])
    middle, unit = float(log_s1.mean()), float(np.abs(s2).max()) or 1.0
    if not math.isfinite(middle):
        raise ScalingError("a loss was measured before the learning rate rose above 0; leave that point out")

    def unpack(theta: Array) -> tuple[float, float, float, float]:
        return theta[0], theta[1], theta[2], theta[3] if annealing is None else annealing * unit

    def residual(theta: Array) -> Array:
        l0, a, alpha, c = unpack(theta)
        predicted = l0 + np.exp(a - alpha * (log_s1 - middle)) - c * s2 / unit
        return np.asarray(np.log(np.maximum(predicted, 1e-6)) - np.log(losses))

    def jacobian(theta: Array) -> Array:
        l0, a, alpha, c = unpack(theta)
        power = np.exp(a - alpha * (log_s1 - middle))
        columns = [np.ones_like(power), power, -(log_s1 - middle) * power]
        columns += [-s2 / unit] if annealing is None else []
        predicted = np.maximum(l0 + power - c * s2 / unit, 1e-6)
        return np.asarray(np.stack(columns, axis=1) / predicted[:, None])

    best_cost, best = math.inf, np.zeros(4)
    size = 4 if annealing is None else 3
    for alpha in (0.2, 0.5, 1.0):
        theta = _start(log_s1 - middle, s2 / unit, losses, alpha)[:size]
        for width in (0.1, delta):
            result = least_squares(
                residual,
                theta,
                jac=jacobian,
                loss="huber",
                f_scale=width,
                x_scale="jac",
                max_nfev=200,
                bounds=([1e-3, -20, 1e-3, 0][:size], [np.inf, 20, 5, np.inf][:size]),
            )
            theta = result.x
        if result.cost < best_cost:
            best_cost, best = float(result.cost), result.x
    l0, a, alpha, c = (float(value) for value in unpack(best))
    return best_cost, TissueLaw(L0=l0, A=math.exp(a + alpha * middle), alpha=alpha, C=c / unit, decay=decay)


def _start(log_s1: Array, s2: Array, losses: Array, alpha: float) -> Array:
    """With alpha held, L0, A and C follow from linear least squares."""
    features = np.stack([np.ones_like(log_s1), np.exp(-alpha * log_s1), -s2], axis=1)
    l0, a, c = np.linalg.lstsq(features, losses, rcond=None)[0]
    return np.array([max(l0, 0.1), math.log(max(a, 1e-3)), alpha, max(c, 1e-6)])
