"""From scores to probabilities, and from probabilities to a threshold with its uncertainty."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.logistic import minimise

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A monotone map from logit to probability: linear between points (isotonic), or 1 / (1 + exp(-(a x + b))) (Platt).

    Attributes:
        kind: `platt` or `isotonic`.
        scores: ascending knots of the isotonic map, or (a, b).
        probabilities: at the knots, never falling; empty for Platt.
    """

    kind: Literal["platt", "isotonic"]
    scores: Vector
    probabilities: Vector

    def __call__(self, logits: Vector) -> Vector:
        """Probabilities in [0, 1] of the logits."""
        if self.kind == "platt":
            x = self.scores[0] * logits + self.scores[1]
            return np.asarray(np.exp(-np.logaddexp(0.0, -x)))
        return np.asarray(np.interp(logits, self.scores, self.probabilities))


def platt(logits: Vector, truths: NDArray[np.bool_]) -> Calibration:
    """The logistic curve of largest likelihood, with the targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2).

    Raises:
        DataError: only one class is present.
    Source: Platt 1999.
    """
    positives, negatives = _both(truths)
    targets = np.where(truths, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    spread = float(np.std(logits)) or 1.0
    x = logits / spread

    def objective(p: Vector) -> tuple[float, Vector]:
        z = p[0] * x + p[1]
        errors = np.exp(-np.logaddexp(0.0, -z)) - targets
        return float(np.sum(np.logaddexp(0.0, z) - targets * z)), np.array([errors @ x, errors.sum()])

    a, b = minimise(objective, np.zeros(2), 1e-8, 200)
    return Calibration("platt", np.array([max(a, 0.0) / spread, b]), np.empty(0))


def isotonic(logits: Vector, truths: NDArray[np.bool_]) -> Calibration:
    """The rising step function of least squares (pool adjacent violators), joined by lines between its steps' centres.

    Joining keeps the order of scores within a step, which a plain step function loses. Steps are shrunk as Laplace
    does, (k + 1/2) / (n + 1), so that no score is called certain.

    Raises:
        DataError: only one class is present.
    """
    _both(truths)
    order = np.argsort(logits, kind="stable")
    blocks: list[list[float]] = []  # positives, rows, sum of logits
    for logit, truth in zip(logits[order].tolist(), truths[order].tolist(), strict=True):
        blocks.append([float(truth), 1.0, logit])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    positives, rows, sums = np.array(blocks).T
    return Calibration("isotonic", sums / rows, np.maximum.accumulate((positives + 0.5) / (rows + 1)))


@dataclass(frozen=True)
class Reliability:
    """Whether texts of probability p are positive with share p.

    Attributes:
        counts, mean_probabilities, positive_shares: of bins of equal width; NaN in an empty bin.
        expected_error: sum of counts * |mean_probabilities - positive_shares| / rows.
    """

    counts: NDArray[np.int64]
    mean_probabilities: Vector
    positive_shares: Vector
    expected_error: float


def reliability(probabilities: Vector, truths: NDArray[np.bool_], bins: int = 10) -> Reliability:
    """The reliability curve and the expected calibration error. Source: Naeini et al. 2015."""
    which = np.clip((probabilities * bins).astype(np.int64), 0, bins - 1)
    counts = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = np.bincount(which, probabilities, bins) / counts
        shares = np.bincount(which, truths.astype(np.float64), bins) / counts
    error = float(np.nansum(counts * np.abs(means - shares)) / max(len(truths), 1))
    return Reliability(counts, means, shares, error)


@dataclass(frozen=True)
class Threshold:
    """Keep what has at least this probability.

    Attributes:
        at_least: the probability.
        precision, recall, keep_share: on the rows it was chosen from.
        low, high: 95 % interval of the quantity that was asked for, at this threshold (Wilson); it holds for new texts
            of the same kind apart from the choice itself, which leans a little to the good side.
    """

    at_least: float
    precision: float
    recall: float
    keep_share: float
    low: float
    high: float


def threshold_for(
    probabilities: Vector,
    truths: NDArray[np.bool_],
    *,
    precision: float | None = None,
    recall: float | None = None,
    keep_share: float | None = None,
) -> Threshold:
    """The lowest threshold that reaches a precision, or the highest that reaches a recall or keeps a share.

    Raises:
        DataError: not exactly one is asked for, it is outside (0, 1], or the precision is not reached anywhere.
    """
    asked = {
        k: v for k, v in (("precision", precision), ("recall", recall), ("keep_share", keep_share)) if v is not None
    }
    if len(asked) != 1:
        raise DataError(f"{len(asked)} of precision, recall and keep_share are given; give exactly one")
    ((name, goal),) = asked.items()
    if not 0 < goal <= 1:
        raise DataError(f"{name}={goal} is not in (0, 1]; use {name}=0.9")
    _both(truths)
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    hits = np.cumsum(truths[order])
    ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True))  # a threshold cannot split equal scores
    kept = ends + 1
    shares = {"precision": hits[ends] / kept, "recall": hits[ends] / hits[-1], "keep_share": kept / len(truths)}
    reached = np.flatnonzero(shares[name] >= goal - 1e-12)
    if not len(reached):
        best = shares[name].max()
        raise DataError(f"{name}={goal} is reached by no threshold; the best is {best:.3f}")
    i = reached[-1] if name == "precision" else reached[0]
    trials = {"precision": kept[i], "recall": hits[-1], "keep_share": len(truths)}[name]
    low, high = wilson(shares[name][i] * trials, int(trials))
    found = {key: float(value[i]) for key, value in shares.items()}
    return Threshold(float(ranked[ends[i]]), found["precision"], found["recall"], found["keep_share"], low, high)


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """95 % interval of a share. Source: Wilson 1927."""
    z, n, p = 1.959964, trials, successes / trials
    centre, half = p + z * z / (2 * n), z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))


def area_under_curve(scores: Vector, truths: NDArray[np.bool_]) -> float:
    """The chance that a positive scores above a negative, ties counted half; NaN without both.

    Source: Mann and Whitney 1947.
    """
    positives = int(truths.sum())
    negatives = len(truths) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[truths].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _both(truths: NDArray[np.bool_]) -> tuple[int, int]:
    positives = int(truths.sum())
    if not 0 < positives < len(truths):
        raise DataError(f"{positives} of {len(truths)} rows are positive; both kinds are needed")
    return positives, len(truths) - positives
