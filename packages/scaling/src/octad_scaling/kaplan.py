"""Kaplan's joint law L(N, D) = ((Nc / N)^(alpha_N / alpha_D) + Dc / D)^alpha_D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares, nnls

from octad_scaling.errors import ScalingError, require_positive
from octad_scaling.records import RunRecord, as_arrays

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class KaplanLaw:
    """L(N, D) = ((Nc / N)^(alpha_N / alpha_D) + Dc / D)^alpha_D; it has no irreducible loss.

    Args:
        critical_parameters: Nc, > 0.
        critical_tokens: Dc, > 0.
        alpha_parameters: alpha_N, > 0; L ~ N^-alpha_N where data is plenty.
        alpha_tokens: alpha_D, > 0; L ~ D^-alpha_D where the model is large.

    Raises:
        ScalingError: a coefficient is not a finite number > 0.
    Source: Kaplan et al. 2020, eq. 1.5 (arXiv 2001.08361).
    """

    critical_parameters: float
    critical_tokens: float
    alpha_parameters: float
    alpha_tokens: float

    def __post_init__(self) -> None:
        require_positive(
            "KaplanLaw",
            critical_parameters=self.critical_parameters,
            critical_tokens=self.critical_tokens,
            alpha_parameters=self.alpha_parameters,
            alpha_tokens=self.alpha_tokens,
        )

    @property
    def _ratio(self) -> float:
        return self.alpha_parameters / self.alpha_tokens

    def predict(self, parameters: ArrayLike, tokens: ArrayLike) -> Array:
        """((Nc / N)^(alpha_N / alpha_D) + Dc / D)^alpha_D, broadcast over N and D (both > 0)."""
        n, d = np.asarray(parameters, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
        if not (np.all(n > 0) and np.all(d > 0)):
            raise ScalingError("parameters and tokens must be > 0 to predict a loss")
        size = (self.critical_parameters / n) ** self._ratio
        return np.asarray((size + self.critical_tokens / d) ** self.alpha_tokens)

    def compute_optimal(self, flops: float) -> tuple[float, float]:
        """The (N, D) of least loss with 6 N D = flops: N^(r + 1) = r Nc^r C / (6 Dc), r = alpha_N / alpha_D.

        Raises:
            ScalingError: flops is not a finite number > 0.
        """
        require_positive("compute_optimal", flops=flops)
        r = self._ratio
        log_n = (math.log(r) + r * math.log(self.critical_parameters) + math.log(flops / 6 / self.critical_tokens)) / (
            r + 1
        )
        return math.exp(log_n), flops / 6 / math.exp(log_n)


KAPLAN_2020 = KaplanLaw(critical_parameters=6.4e13, critical_tokens=1.8e13, alpha_parameters=0.076, alpha_tokens=0.103)
"""Kaplan et al. 2020, table 2 (WebText2, their tokenizer, N without embeddings)."""


def fit_kaplan(records: Sequence[RunRecord], *, delta: float = 1e-3) -> KaplanLaw:
    """Minimise the Huber loss of log L - alpha_D log((Nc / N)^(alpha_N / alpha_D) + Dc / D).

    Args:
        records: at least four, with at least two different N and two different D.
        delta: the Huber width in log loss; math.inf for least squares.

    Raises:
        ScalingError: too few records, sizes or token counts, or delta not > 0.
    Cost: nine starts by least squares, the best three by Huber; about 0.2 s for 240 records.
    """
    columns = as_arrays(records)
    distinct = min(len(np.unique(columns.parameters)), len(np.unique(columns.tokens)))
    if len(records) < 4 or distinct < 2:
        raise ScalingError(
            f"{len(records)} records with {distinct} different sizes or token counts cannot determine 4 coefficients; "
            "measure at least 4 runs with 2 different values of each"
        )
    if not delta > 0:
        raise ScalingError(f"delta={delta!r} must be > 0")
    log_n, log_d, log_y = np.log(columns.parameters), np.log(columns.tokens), np.log(columns.loss)
    middle_n, middle_d = log_n.mean(), log_d.mean()
    n, d = log_n - middle_n, log_d - middle_d
    grid = [(alpha_n, alpha_d) for alpha_n in (0.04, 0.1, 0.25) for alpha_d in (0.04, 0.1, 0.25)]
    squares = [_descend(_start(n, d, log_y, *alphas), n, d, log_y, math.inf) for alphas in grid]
    squares.sort(key=lambda found: found[0])
    _, best = min((_descend(theta, n, d, log_y, delta) for _, theta in squares[:3]), key=lambda found: found[0])
    log_nc, log_dc, log_alpha_n, log_alpha_d = best
    return KaplanLaw(
        critical_parameters=math.exp(log_nc + middle_n),
        critical_tokens=math.exp(log_dc + middle_d),
        alpha_parameters=math.exp(log_alpha_n),
        alpha_tokens=math.exp(log_alpha_d),
    )


def _start(log_n: Array, log_d: Array, log_y: Array, alpha_n: float, alpha_d: float) -> Array:
    """With the exponents held, L^(1 / alpha_D) is linear in Nc^r and Dc."""
    ratio = alpha_n / alpha_d
    root = np.exp(log_y / alpha_d)
    features = np.stack([np.exp(-ratio * log_n), np.exp(-log_d)], axis=1) / root[:, None]
    amplitudes = np.maximum(nnls(features, np.ones(len(root)))[0], 1e-3 * root.mean())
    return np.array([math.log(amplitudes[0]) / ratio, math.log(amplitudes[1]), math.log(alpha_n), math.log(alpha_d)])


def _descend(start: Array, log_n: Array, log_d: Array, log_y: Array, delta: float) -> tuple[float, Array]:
    """Trust-region least squares in (log Nc, log Dc, log alpha_N, log alpha_D) with the analytic Jacobian."""

    def parts(theta: Array) -> tuple[float, float, Array, Array, Array]:
        log_nc, log_dc, log_alpha_n, log_alpha_d = theta
        alpha_n, alpha_d = math.exp(log_alpha_n), math.exp(log_alpha_d)
        size, data = alpha_n / alpha_d * (log_nc - log_n), log_dc - log_d
        return alpha_n, alpha_d, size, data, np.logaddexp(size, data)

    def residual(theta: Array) -> Array:
        _, alpha_d, _, _, total = parts(theta)
        return np.asarray(alpha_d * total - log_y)

    def jacobian(theta: Array) -> Array:
        alpha_n, alpha_d, size, data, total = parts(theta)
        p, q = np.exp(size - total), np.exp(data - total)
        return np.stack([alpha_n * p, alpha_d * q, alpha_d * p * size, alpha_d * (total - p * size)], axis=1)

    robust = {"loss": "linear"} if math.isinf(delta) else {"loss": "huber", "f_scale": delta}
    # exponents between 0.0005 and 5, critical values within e^150 of the data: past that exp overflows
    bounds = ([-150, -150, -7.6, -7.6], [150, 150, 1.6, 1.6])
    start = np.clip(start, np.array(bounds[0]) + 1e-3, np.array(bounds[1]) - 1e-3)
    with np.errstate(divide="ignore", invalid="ignore"):  # scipy's, where a start far off leaves two parameters no say
        result = least_squares(
            residual, start, jac=jacobian, bounds=bounds, xtol=1e-12, ftol=1e-13, gtol=1e-13, max_nfev=200, **robust
        )
    return float(result.cost), np.asarray(result.x)
