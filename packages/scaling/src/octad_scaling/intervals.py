"""Intervals for extrapolated losses: a bootstrap by run, and the factor by which held-out budgets say it is too narrow.

A bootstrap knows only the noise it was shown. Past the largest budget the law itself is a little wrong, and the
ordinary interval covers far less than it claims. `calibrate` measures by how much on budgets that were left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octad_scaling.chinchilla import Fit, fit_chinchilla, huber_width, log_columns, to_theta
from octad_scaling.errors import ScalingError
from octad_scaling.powersum import log_predict, solve
from octad_scaling.records import RecordArrays, RunRecord, as_arrays

Array = NDArray[np.float64]
Method = Literal["run", "residual", "point"]

# 500 problems of 240 points fill about 30 MB at a time
BATCH = 500


@dataclass(frozen=True, slots=True)
class Interval:
    """low <= centre <= high, in nats a token, claimed to hold the truth with probability `level`."""

    low: float
    centre: float
    high: float
    level: float


@dataclass(frozen=True, slots=True, eq=False)
class LawSample:
    """The laws of a bootstrap.

    Args:
        fit: the fit to the records as they are.
        theta: (resamples, 5): log A, log B, log E, alpha, beta of each resample's fit.
        run_noise: what a new run's log loss may add: the log residuals, widened for the five fitted coefficients.
        method: how it was resampled.
        seed: what the draws were made from.
    """

    fit: Fit
    theta: Array
    run_noise: Array
    method: Method
    seed: int

    def predict(self, parameters: float, tokens: float) -> Array:
        """(resamples,), each law's loss at (N, D)."""
        return np.exp(log_predict(self.theta, _point(parameters, tokens))[:, 0])

    def interval(self, parameters: float, tokens: float, *, level: float = 0.95, new_run: bool = True) -> Interval:
        """The middle `level` of the predicted losses at (N, D).

        Args:
            parameters: N, > 0.
            tokens: D, > 0.
            level: in (0, 1).
            new_run: for the loss that one run will show (the noise of runs added); False for the law's own value.

        Raises:
            ScalingError: level outside (0, 1), or N or D not > 0.
        """
        _check_level(level)
        sample = np.log(self.predict(parameters, tokens))
        if new_run:
            sample = sample + np.random.default_rng([self.seed, 1]).choice(self.run_noise, size=len(sample))
        low, high = np.quantile(sample, [(1 - level) / 2, (1 + level) / 2])
        centre = float(self.fit.law.predict(parameters, tokens))
        return Interval(min(math.exp(low), centre), centre, max(math.exp(high), centre), level)

    def coefficient_interval(self, name: str, *, level: float = 0.95) -> Interval:
        """The middle `level` of one coefficient: E, A, B, alpha, beta, parameter_exponent or token_exponent.

        Raises:
            ScalingError: an unknown name, or level outside (0, 1).
        """
        _check_level(level)
        a, b, e, alpha, beta = self.theta.T
        values = {"E": np.exp(e), "A": np.exp(a), "B": np.exp(b), "alpha": alpha, "beta": beta}
        values |= {"parameter_exponent": beta / (alpha + beta), "token_exponent": alpha / (alpha + beta)}
        if name not in values:
            raise ScalingError(f"coefficient {name!r} is not one of {', '.join(values)}")
        low, high = np.quantile(values[name], [(1 - level) / 2, (1 + level) / 2]).tolist()
        centre = float(getattr(self.fit.law, name))
        return Interval(min(low, centre), centre, max(high, centre), level)


def bootstrap(
    records: Sequence[RunRecord], fit: Fit, *, resamples: int = 1000, method: Method = "run", seed: int = 0
) -> LawSample:
    """Refit the law to `resamples` resampled sets of records, each from the fit as its start.

    Args:
        records: what `fit` was fitted to.
        fit: of `fit_chinchilla`; its loss and width are used again ("lad": Huber of width 1e-5).
        resamples: how many, >= 1.
        method: "run" draws whole runs with replacement, so that points of one run stay together; "residual" keeps
            every (N, D) and flips the sign of each run's residuals at random (the wild bootstrap), for designs too
            small to lose runs; "point" draws single points and is too narrow where runs have more than one.
        seed: of the draws.

    Raises:
        ScalingError: resamples < 1, an unknown method, records that do not match the fit, or too few runs for "run".
    Cost: 1000 resamples of 240 records, about 1 s on one core.
    Source: Efron and Tibshirani 1993; Cameron, Gelbach and Miller 2008 (whole clusters, sign flips).
    """
    if resamples < 1:
        raise ScalingError(f"resamples={resamples} must be >= 1")
    log_x, log_y = log_columns(records)
    if len(fit.log_residuals) != len(log_y):
        raise ScalingError(f"the fit saw {len(fit.log_residuals)} records, not {len(log_y)}; pass the same ones")
    weights, targets = _resample(as_arrays(records), log_y, fit, resamples, method, np.random.default_rng([seed, 0]))
    start = np.tile(to_theta(fit.law), (resamples, 1))
    width = huber_width(fit.loss, fit.delta)
    widths = (10 * width, width) if math.isfinite(width) else (width,)
    theta = np.concatenate(
        [
            solve(log_x, targets[i : i + BATCH], weights[i : i + BATCH], start[i : i + BATCH], widths, 60).theta
            for i in range(0, resamples, BATCH)
        ]
    )
    noise = np.array(fit.log_residuals) * math.sqrt(len(log_y) / max(len(log_y) - 5, 1))
    return LawSample(fit, theta, noise, method, seed)


def _resample(
    columns: RecordArrays, log_y: Array, fit: Fit, resamples: int, method: str, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Weights and targets, (resamples, n) each."""
    shape = (resamples, len(log_y))
    if method == "residual":
        signs = rng.choice([-1.0, 1.0], size=(resamples, columns.num_runs))[:, columns.run]
        residuals = np.array(fit.log_residuals)
        return np.ones(shape), log_y - residuals + signs * residuals
    if method not in ("run", "point"):
        raise ScalingError(f"method={method!r} is not one of 'run', 'residual', 'point'")
    unit = columns.run if method == "run" else np.arange(len(log_y))
    count = int(unit.max()) + 1
    size, data = (np.unique(values, return_inverse=True)[1] for values in (columns.parameters, columns.tokens))
    weights = np.empty(shape)
    for row in weights:
        # a design that fails most draws would be resampled from a few odd ones: twenty in a row end it
        for _ in range(20):
            row[:] = rng.multinomial(count, np.full(count, 1 / count))[unit]
            kept = row > 0
            if kept.sum() >= 5 and min(len(np.unique(size[kept])), len(np.unique(data[kept]))) >= 3:
                break
        else:
            raise ScalingError(
                f"{count} runs are too few to resample: few draws keep 5 records of 3 sizes and 3 token counts; "
                "use method='residual'"
            )
    return weights, np.broadcast_to(log_y, shape)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How much wider an interval must be to hold what held-out budgets showed.

    Args:
        factor: the multiple of the half-widths in log loss, >= 1.
        floor: the half-width in log loss that held-out points asked for in themselves: the law's own error does not
            shrink with more records, as a bootstrap's interval does.
        reach: the extrapolation it was measured at: held-out FLOPs over the largest fitted FLOPs.
        level: the wanted coverage.
        raw_coverage: the share of held-out points inside the intervals as they were.
        num_held_out: held-out points, all cuts together.
        num_cuts: cuts between fitted and held-out budgets.
    """

    factor: float
    floor: float
    reach: float
    level: float
    raw_coverage: float
    num_held_out: int
    num_cuts: int

    def widen(self, interval: Interval) -> Interval:
        """`interval` with both half-widths in log loss multiplied by `factor`, and no less than `floor`.

        Raises:
            ScalingError: the interval was made for another level.
        """
        if interval.level != self.level:
            raise ScalingError(f"calibrated at level={self.level}, not at the interval's {interval.level}")
        below = max(self.factor * math.log(interval.centre / interval.low), self.floor)
        above = max(self.factor * math.log(interval.high / interval.centre), self.floor)
        low, high = interval.centre * math.exp(-below), interval.centre * math.exp(above)
        return Interval(low, interval.centre, high, interval.level)


def calibrate(
    records: Sequence[RunRecord],
    fit: Fit,
    *,
    reach: float,
    level: float = 0.95,
    method: Method = "run",
    resamples: int = 200,
    max_cuts: int = 6,
    seed: int = 0,
) -> Calibration:
    """Leave out the largest budgets, extrapolate to them, and find the widening that covers them.

    For each cut c the law is fitted to the records of at most c FLOPs and asked about those between c * reach / 2 and
    c * reach * 2. The score of a point is its distance from the prediction over the interval's half-width on its
    side, in log loss; the factor is the conformal quantile ceil((n + 1) level) / n of all scores, and at least 1, the
    floor the same quantile of the distances themselves.

    Args:
        records: what will be extrapolated from.
        fit: of these records; its loss and width are used for every cut.
        reach: the extrapolation wanted: target FLOPs over the largest FLOPs in `records`, > 1.
        level: the coverage wanted.
        method: of the bootstrap.
        resamples: of each cut's bootstrap.
        max_cuts: cuts tried, spread evenly over those possible.
        seed: of the draws.

    Raises:
        ScalingError: no cut leaves enough records below it and one at this reach above it; the message says what
            reach could be measured.
    Source: split conformal prediction, Vovk et al. 2005, with rolling cuts in place of a random split.
    """
    _check_level(level)
    if not (math.isfinite(reach) and reach > 1):
        raise ScalingError(f"reach={reach!r} must be a finite number > 1: target FLOPs over the largest FLOPs fitted")
    cuts = _cuts(records, reach)
    if len(cuts) > max_cuts:
        cuts = [cuts[round(i)] for i in np.linspace(0, len(cuts) - 1, max_cuts)]
    scores: list[float] = []
    distances: list[float] = []
    for below, above in cuts:
        sub = fit_chinchilla(below, loss=fit.loss, delta=fit.delta)
        sample = bootstrap(below, sub, resamples=resamples, method=method, seed=seed)
        for record in above:
            interval = sample.interval(record.parameters, record.tokens, level=level)
            distances.append(abs(math.log(record.loss / interval.centre)))
            scores.append(distances[-1] / _half_width(interval, record.loss))
    count = len(scores)
    rank = min(math.ceil((count + 1) * level), count)
    return Calibration(
        factor=max(1.0, float(np.sort(scores)[rank - 1])),
        floor=float(np.sort(distances)[rank - 1]),
        reach=reach,
        level=level,
        raw_coverage=float(np.mean(np.array(scores) <= 1)),
        num_held_out=count,
        num_cuts=len(cuts),
    )


def _cuts(records: Sequence[RunRecord], reach: float) -> list[tuple[list[RunRecord], list[RunRecord]]]:
    """(fitted, held out) for every budget that leaves >= 8 records of >= 3 sizes and token counts below."""
    columns = as_arrays(records)
    # a run is fitted or held out whole: half of it in the fit would lend its noise to the other half's prediction
    end = np.zeros(columns.num_runs)
    np.maximum.at(end, columns.run, columns.flops)
    cuts, longest = [], 0.0
    for cut in np.unique(end):
        below = end[columns.run] <= cut * (1 + 1e-9)
        distinct = min(len(np.unique(columns.parameters[below])), len(np.unique(columns.tokens[below])))
        if below.sum() < 8 or distinct < 3:
            continue
        longest = max(longest, float(columns.flops.max() / cut))
        above = (columns.flops >= cut * reach / 2) & (columns.flops <= cut * reach * 2) & ~below
        if above.any():
            cuts.append((_chosen(records, below), _chosen(records, above)))
    if not cuts:
        raise ScalingError(
            f"reach={reach:g} cannot be measured: with 8 records of 3 sizes below the cut the farthest held-out run is "
            f"{longest:.3g} times the cut; measure smaller budgets too, or ask for a shorter reach"
        )
    return cuts


def _chosen(records: Sequence[RunRecord], kept: NDArray[np.bool_]) -> list[RunRecord]:
    return [record for record, keep in zip(records, kept, strict=True) if keep]


def _half_width(interval: Interval, loss: float) -> float:
    """In log loss, on the side of `loss`; never 0, so that exact data have a score."""
    edge = interval.high if loss > interval.centre else interval.low
    return max(abs(math.log(edge / interval.centre)), 1e-12)


def _point(parameters: ArrayLike, tokens: ArrayLike) -> Array:
    values = np.array([[parameters], [tokens]], dtype=np.float64)
    if values.ndim != 2 or not np.all(np.isfinite(values) & (values > 0)):
        raise ScalingError(f"parameters={parameters!r} and tokens={tokens!r} must be two finite numbers > 0")
    return np.log(values)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ScalingError(f"level={level!r} must lie between 0 and 1; use 0.95 for 95 %")
