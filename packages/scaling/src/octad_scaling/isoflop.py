"""The second Chinchilla approach: a parabola of loss in log N at each budget, then a power law through the optima."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octad_scaling.errors import ScalingError, require_positive
from octad_scaling.powerlaw import PowerLaw, fit_power_law
from octad_scaling.records import RunRecord, as_arrays

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Parabola:
    """The loss at one budget: loss(N) = loss_min + curvature (log N - log N_opt)^2.

    Args:
        flops: the budget, the geometric mean of its runs'.
        parameters: N_opt.
        tokens: D_opt = flops / (6 N_opt).
        loss: the least loss.
        curvature: nats a squared unit of log N, > 0.
        inside: N_opt lies between the smallest and the largest size that was run; else it is an extrapolation.
        num_runs: runs used.
    """

    flops: float
    parameters: float
    tokens: float
    loss: float
    curvature: float
    inside: bool
    num_runs: int


@dataclass(frozen=True, slots=True)
class IsoFlopFit:
    """One parabola a budget, and N_opt = k_N C^a, D_opt = k_D C^b through the optima.

    Args:
        parabolas: by rising budget.
        parameters: N_opt against C, a power law without offset; its `alpha` is -a.
        tokens: D_opt against C.
    """

    parabolas: tuple[Parabola, ...]
    parameters: PowerLaw
    tokens: PowerLaw

    @property
    def parameter_exponent(self) -> float:
        """a, as in N_opt ~ C^a."""
        return -self.parameters.alpha

    @property
    def token_exponent(self) -> float:
        """b, as in D_opt ~ C^b."""
        return -self.tokens.alpha

    def compute_optimal(self, flops: float) -> tuple[float, float]:
        """(k_N C^a, k_D C^b).

        Raises:
            ScalingError: flops is not a finite number > 0.
        """
        require_positive("compute_optimal", flops=flops)
        return float(self.parameters.predict(flops)), float(self.tokens.predict(flops))


def fit_isoflops(
    records: Sequence[RunRecord], *, nearest: int | None = None, tolerance: float = 0.1, inside_only: bool = False
) -> IsoFlopFit:
    """Group runs by budget, fit a parabola of loss in log N to each group, then a power law to the optima.

    Args:
        records: at least two budgets of at least three sizes each.
        nearest: use only this many sizes around the best one of each budget (>= 3): far from the optimum the loss
            is no parabola. Left out, all of them.
        tolerance: runs whose flops differ by less than this share of the smallest in the group are one budget.
        inside_only: leave budgets whose optimum lies outside the sizes run out of the power law.

    Raises:
        ScalingError: fewer than two usable budgets, fewer than three sizes at one, or losses that curve downwards.
    Source: Hoffmann et al. 2022, section 3.2.
    """
    if nearest is not None and nearest < 3:
        raise ScalingError(f"nearest={nearest} cannot determine a parabola; use at least 3")
    if not tolerance >= 0:
        raise ScalingError(f"tolerance={tolerance!r} must be >= 0")
    columns = as_arrays(records)
    parabolas = tuple(
        _parabola(columns.flops[group], columns.parameters[group], columns.loss[group], nearest)
        for group in _budgets(columns.flops, tolerance)
    )
    used = [parabola for parabola in parabolas if parabola.inside or not inside_only]
    if len(used) < 2:
        raise ScalingError(f"{len(used)} usable budgets cannot determine a power law; measure at least 2")
    flops = [parabola.flops for parabola in used]
    return IsoFlopFit(
        parabolas=parabolas,
        parameters=fit_power_law(flops, [parabola.parameters for parabola in used], offset=False),
        tokens=fit_power_law(flops, [parabola.tokens for parabola in used], offset=False),
    )


def _budgets(flops: Array, tolerance: float) -> list[NDArray[np.intp]]:
    """Indices of each group of equal budgets, by rising budget."""
    groups: list[list[int]] = []
    for index in np.argsort(flops, kind="stable").tolist():
        if groups and flops[index] <= flops[groups[-1][0]] * (1 + tolerance):
            groups[-1].append(index)
        else:
            groups.append([index])
    return [np.array(group, dtype=np.intp) for group in groups]


def _parabola(flops: Array, parameters: Array, loss: Array, nearest: int | None) -> Parabola:
    budget = math.exp(float(np.log(flops).mean()))
    log_n = np.log(parameters)
    if nearest is not None and nearest < len(log_n):
        keep = np.argsort(np.abs(log_n - log_n[np.argmin(loss)]), kind="stable")[:nearest]
        log_n, loss = log_n[keep], loss[keep]
    if len(np.unique(log_n)) < 3:
        raise ScalingError(
            f"the budget of {budget:.3g} FLOPs has {len(np.unique(log_n))} different sizes; a parabola needs 3"
        )
    middle, spread = float(log_n.mean()), float(log_n.std())
    square, line, constant = np.polynomial.polynomial.polyfit((log_n - middle) / spread, loss, 2)[::-1].tolist()
    if square <= 1e-12 * abs(constant):
        raise ScalingError(
            f"at {budget:.3g} FLOPs the loss does not curve upwards in log N; run sizes on both sides of the optimum"
        )
    optimum = middle - spread * line / (2 * square)
    return Parabola(
        flops=budget,
        parameters=math.exp(optimum),
        tokens=budget / 6 / math.exp(optimum),
        loss=constant - line**2 / (4 * square),
        curvature=square / spread**2,
        inside=bool(log_n.min() <= optimum <= log_n.max()),
        num_runs=len(log_n),
    )
