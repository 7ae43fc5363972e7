"""The Chinchilla law L(N, D) = E + A N^-alpha + B D^-beta: its optimum in closed form, and its fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octad_scaling.errors import ScalingError, require_positive
from octad_scaling.leastabsolute import polish
from octad_scaling.powersum import Solution, log_predict, projected_starts, solve
from octad_scaling.records import RunRecord, as_arrays

Array = NDArray[np.float64]
Loss = Literal["huber", "lad", "lse"]

# Widths gone through from least squares down; each is about a third of the one before, so the basin is never left.
CONTINUATION = (math.inf, 0.1, 0.03, 0.01, 0.003, 1e-3, 3e-4, 1e-4, 3e-5)
LAD_WIDTH = 1e-5
GRID = np.geomspace(0.05, 1.2, 10)


@dataclass(frozen=True, slots=True)
class ChinchillaLaw:
    """L(N, D) = E + A N^-alpha + B D^-beta, in nats a token.

    Args:
        E: the irreducible loss, > 0.
        A: the weight of model size, > 0.
        B: the weight of data, > 0.
        alpha: the exponent of N, > 0.
        beta: the exponent of D, > 0.

    Raises:
        ScalingError: a coefficient is not a finite number > 0.
    Source: Hoffmann et al. 2022, eq. 2 (arXiv 2203.15556).
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        require_positive("ChinchillaLaw", E=self.E, A=self.A, B=self.B, alpha=self.alpha, beta=self.beta)

    def predict(self, parameters: ArrayLike, tokens: ArrayLike) -> Array:
        """E + A N^-alpha + B D^-beta, broadcast over N and D (both > 0)."""
        n, d = np.asarray(parameters, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
        if not (np.all(n > 0) and np.all(d > 0)):
            raise ScalingError("parameters and tokens must be > 0 to predict a loss")
        return np.asarray(self.E + self.A * n**-self.alpha + self.B * d**-self.beta)

    @property
    def parameter_exponent(self) -> float:
        """The exponent a = beta / (alpha + beta), as in N_opt ~ C^a."""
        return self.beta / (self.alpha + self.beta)

    @property
    def token_exponent(self) -> float:
        """The exponent b = alpha / (alpha + beta), as in D_opt ~ C^b."""
        return self.alpha / (self.alpha + self.beta)

    def compute_optimal(self, flops: float) -> tuple[float, float]:
        """The (N, D) of least loss with 6 N D = flops.

        N = G (C / 6)^(beta / (alpha + beta)), D = (C / 6) / N, G = (alpha A / (beta B))^(1 / (alpha + beta)).

        Raises:
            ScalingError: flops is not a finite number > 0.
        Source: Hoffmann et al. 2022, eq. 4.
        """
        require_positive("compute_optimal", flops=flops)
        parameters = self._balance * (flops / 6) ** self.parameter_exponent
        return parameters, flops / 6 / parameters

    def optimal_parameters(self, tokens: float) -> float:
        """The N for which `tokens` is the compute-optimal D: N = G (G D)^(beta / alpha).

        Raises:
            ScalingError: tokens is not a finite number > 0.
        """
        require_positive("optimal_parameters", tokens=tokens)
        return float(self._balance * (self._balance * tokens) ** (self.beta / self.alpha))

    @property
    def _balance(self) -> float:
        return float((self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta)))


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted law and how it was found.

    Args:
        law: the best law.
        loss: the loss that was minimised.
        delta: its Huber width (1e-5 where "lad" was led by Huber before its last steps, infinity for "lse").
        objective: its mean over the records: Huber(r), |r| or r^2 / 2 of the log residuals r.
        converged: the best start ended at a stationary point.
        agreeing_starts: the share of starts whose objective ended within a millionth of the best one.
        log_residuals: log measured - log predicted, a record each.
    """

    law: ChinchillaLaw
    loss: Loss
    delta: float
    objective: float
    converged: bool
    agreeing_starts: float
    log_residuals: tuple[float, ...]


def fit_chinchilla(
    records: Sequence[RunRecord],
    *,
    delta: float = 1e-3,
    loss: Loss = "huber",
    starts: Sequence[ChinchillaLaw] | None = None,
) -> Fit:
    """Minimise the mean of rho(log L - log(E + A N^-alpha + B D^-beta)) over the five coefficients.

    Args:
        records: at least five, with at least three different N and three different D.
        delta: the Huber width in log loss; used by loss="huber" only.
        loss: "huber"; "lad", least absolute deviations (what the well-known refit of the Chinchilla data in truth
            minimised); "lse", least squared error.
        starts: laws near the optimum (one is enough: a few ms); left out, the 16 best of a 10 x 10 grid of exponents
            whose amplitudes follow by linear least squares, led from least squares down to delta.

    Raises:
        ScalingError: too few records, sizes or token counts; an unknown loss; delta not > 0.
    Cost: 20 ms for 240 records from the grid, 2 ms from one start (one core).
    Source: Hoffmann et al. 2022, appendix D.3; Besiroglu et al. 2024 (arXiv 2404.10102).
    """
    log_x, log_y = log_columns(records)
    width = huber_width(loss, delta)
    if starts is None:
        exponents = np.stack(np.meshgrid(GRID, GRID), axis=-1).reshape(-1, 2)
        begin = projected_starts(log_x, np.exp(log_y), exponents, keep=16)
        widths = descent(width)
    elif len(starts):
        begin = np.array([to_theta(law) for law in starts])
        widths = tuple(delta for delta in descent(width) if delta <= 0.01) if loss == "lad" else (width,)
    else:
        raise ScalingError("starts=[] leaves nothing to start from; give a law or leave starts out")
    solution = solve(log_x, log_y, np.ones((len(begin), len(log_y))), begin, widths)
    return _fit(solution, log_x, log_y, loss, width)


def huber_width(loss: str, delta: float) -> float:
    """The Huber width of a loss: delta, 1e-5 for "lad" (a hundredth of usual residuals), infinity for "lse"."""
    widths = {"huber": delta, "lad": LAD_WIDTH, "lse": math.inf}
    if loss not in widths:
        raise ScalingError(f"loss={loss!r} is not one of {', '.join(map(repr, widths))}")
    if not delta > 0:
        raise ScalingError(f"delta={delta!r} must be > 0; the published width is 1e-3")
    return widths[loss]


def descent(width: float) -> tuple[float, ...]:
    """Huber widths from least squares down to `width`."""
    return (*(delta for delta in CONTINUATION if delta > width), width)


def to_theta(law: ChinchillaLaw) -> tuple[float, ...]:
    """(log A, log B, log E, alpha, beta), the solver's order."""
    return math.log(law.A), math.log(law.B), math.log(law.E), law.alpha, law.beta


def from_theta(theta: Array) -> ChinchillaLaw:
    """The law of (log A, log B, log E, alpha, beta).

    Raises:
        ScalingError: an exponent came out <= 0 or a coefficient left the range of a float.
    """
    a, b, e, alpha, beta = (float(value) for value in theta)
    if min(alpha, beta) <= 0:
        raise ScalingError(
            f"the fit ended at alpha={alpha:.3g}, beta={beta:.3g}, but a law's exponents are > 0: in these records the "
            "loss does not fall with size or with data; add runs over a wider range of the one that is flat"
        )
    if max(a, b, e) > 700 or min(a, b, e) < -700:
        raise ScalingError(
            f"the fit ran away (log A={a:.3g}, log B={b:.3g}, log E={e:.3g}): these records do not determine the law; "
            "add runs over a wider range of sizes and token counts"
        )
    return ChinchillaLaw(E=math.exp(e), A=math.exp(a), B=math.exp(b), alpha=alpha, beta=beta)


def _fit(solution: Solution, log_x: Array, log_y: Array, loss: Loss, width: float) -> Fit:
    best = int(np.argmin(solution.objective))
    theta, value, converged = solution.theta[best], float(solution.objective[best]), bool(solution.converged[best])
    agreeing = float(np.mean(solution.objective <= value * (1 + 1e-6) + 1e-15))
    if loss == "lad":
        theta, value, converged = polish(theta, log_x, log_y)
    return Fit(
        law=from_theta(theta),
        loss=loss,
        delta=width,
        objective=value * width if loss == "huber" else value,
        converged=converged,
        agreeing_starts=agreeing,
        log_residuals=tuple((log_y - log_predict(theta[None], log_x)[0]).tolist()),
    )


def log_columns(records: Sequence[RunRecord]) -> tuple[Array, Array]:
    """Logarithms of (N, D), of shape (2, n) and log loss, after the checks that a fit of five coefficients needs."""
    columns = as_arrays(records)
    if len(records) < 5:
        raise ScalingError(f"{len(records)} records cannot determine 5 coefficients; measure at least 5 runs")
    for name, values in (("parameters", columns.parameters), ("tokens", columns.tokens)):
        if len(np.unique(values)) < 3:
            raise ScalingError(
                f"the records hold {len(np.unique(values))} different values of {name}; its exponent and the offset E "
                "need at least 3"
            )
    return np.log(np.stack([columns.parameters, columns.tokens])), np.log(columns.loss)
