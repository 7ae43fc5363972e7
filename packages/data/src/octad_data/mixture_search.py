"""The mixture with the smallest loss on a target, foreseen by a regression over small trained proxies (RegMix)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.mixture import temperature_weights

Proxy = Callable[[Mapping[str, float]], float]
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
STARTS = 200  # mixtures from which the best is looked for
STEPS = 400


@dataclass(frozen=True)
class LossModel:
    """loss(w) = c + sum_i (a_i w_i + b_i w_i^2 + d_i log(w_i + 0.01)): the more of a source, the less more of it gives.

    Attributes:
        names: of the sources, in the order of the weights.
        coefficients: of the features; the first is the constant.
        ridge: strength of the penalty, chosen by leave-one-out error.
        error: root mean square of the leave-one-out errors, in the unit of the losses.
        spread: standard deviation of the losses; a model with an error near it foresees nothing.

    Source: Liu et al. 2024, "RegMix"; Ye et al. 2024, "Data Mixing Laws", for the form.
    """

    names: tuple[str, ...]
    coefficients: NDArray[np.float64]
    ridge: float
    error: float
    spread: float

    @property
    def foresees(self) -> bool:
        """Whether the regression is better than guessing the mean, by half."""
        return self.error < 0.5 * self.spread

    def predict(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The loss of each mixture; weights of shape (mixtures, sources)."""
        return _features(np.atleast_2d(weights)) @ self.coefficients


def fit_losses(names: Sequence[str], weights: NDArray[np.float64], losses: NDArray[np.float64]) -> LossModel:
    """A regression from mixtures to losses; its penalty is the one with the smallest leave-one-out error.

    Args:
        names: of the sources.
        weights: of the mixtures that were tried, shape (mixtures, sources); each row adds up to 1.
        losses: on the target, one a mixture.

    Raises:
        DataError: shapes differ, or fewer than four mixtures were tried.
    """
    if weights.shape != (len(losses), len(names)) or len(losses) < 4:
        raise DataError(
            f"weights of shape {weights.shape} for {len(losses)} losses and {len(names)} sources; "
            "give a row a loss and a column a source, and four rows at least"
        )
    features = _features(weights)
    best: tuple[float, float, NDArray[np.float64]] | None = None
    for ridge in RIDGES:
        penalty = ridge * np.eye(features.shape[1])
        penalty[0, 0] = 0
        solve = np.linalg.solve(features.T @ features + penalty, features.T)
        coefficients = solve @ losses
        influence = np.einsum("ij,ji->i", features, solve)
        left_out = (losses - features @ coefficients) / np.maximum(1 - influence, 1e-6)
        error = float(np.sqrt(np.mean(left_out**2)))
        if best is None or error < best[0]:
            best = (error, ridge, coefficients)
    assert best is not None
    return LossModel(tuple(names), best[2], best[1], best[0], float(losses.std()))


def best_mixture(model: LossModel, highest: Mapping[str, float] | None = None, seed: int = 0) -> dict[str, float]:
    """The weights with the smallest foreseen loss, by descent on the simplex from many starts.

    Args:
        model: see `fit_losses`.
        highest: largest weight of a source, for small ones that would be repeated too often.
        seed: of the starts.
    """
    limits = np.array([(highest or {}).get(name, 1.0) for name in model.names])
    rng = np.random.default_rng(seed)
    points = _within(rng.dirichlet(np.ones(len(limits)), STARTS), limits)
    losses = model.predict(points)
    for step in range(STEPS):
        width = 0.3 * (1 - step / STEPS) + 0.01
        moved = _within(np.abs(points + width * rng.normal(size=points.shape) * rng.random((len(points), 1))), limits)
        tried = model.predict(moved)
        is_better = tried < losses
        points[is_better], losses[is_better] = moved[is_better], tried[is_better]
    return dict(zip(model.names, points[losses.argmin()].tolist(), strict=True))


@dataclass(frozen=True)
class Search:
    """What `search_mixture` found.

    Attributes:
        weights: of the mixture to use.
        model: the regression.
        natural_loss: measured, of the mix by size.
        chosen_loss: measured, of the mixture to use.
        tried: mixtures and their measured losses.
    """

    weights: dict[str, float]
    model: LossModel
    natural_loss: float
    chosen_loss: float
    tried: tuple[tuple[dict[str, float], float], ...]

    @property
    def verdict(self) -> str:
        """One line for a person."""
        gain = 1 - self.chosen_loss / self.natural_loss
        if gain <= 0:
            return "no mixture that was tried is better than the natural one; it is kept"
        trust = "foresees" if self.model.foresees else "hardly foresees"
        return f"{gain:.1%} below the loss of the natural mix; the regression {trust} (error {self.model.error:.4f})"


def search_mixture(
    sizes: Mapping[str, int], proxy: Proxy, proxies: int = 32, concentration: float = 1.0, seed: int = 0
) -> Search:
    """Train proxies on random mixtures, foresee the best, train that too, and take whichever measured best.

    Args:
        sizes: tokens or bytes of each source, for the natural mix.
        proxy: weights -> loss on the target of a small model trained on a mixture; always on the same budget.
        proxies: random mixtures.
        concentration: of the Dirichlet distribution around the natural mix, tempered; smaller tries more extreme ones.
        seed: of the mixtures.

    Raises:
        DataError: fewer than two sources, or fewer than four proxies.
    """
    names = list(sizes)
    if len(names) < 2 or proxies < 4:
        raise DataError(f"{len(names)} sources and {proxies} proxies; a search needs two sources and four proxies")
    natural = temperature_weights(sizes)
    even = np.array(list(temperature_weights(sizes, temperature=3.0).values()))
    rng = np.random.default_rng(seed)
    rows = [np.array(list(natural.values())), *rng.dirichlet(concentration * len(names) * even, proxies)]
    losses = [proxy(dict(zip(names, row.tolist(), strict=True))) for row in rows]
    for _ in range(2):  # the foreseen best is tried, and what it teaches is used once more
        model = fit_losses(names, np.stack(rows), np.array(losses))
        weights = best_mixture(model, seed=seed)
        rows.append(np.array(list(weights.values())))
        losses.append(proxy(weights))
    tried = [(dict(zip(names, row.tolist(), strict=True)), loss) for row, loss in zip(rows, losses, strict=True)]
    weights, loss = min(tried, key=lambda item: item[1])
    return Search(weights, model, losses[0], loss, tuple(tried))


def _features(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    ones = np.ones((len(weights), 1))
    return np.concatenate([ones, weights, weights**2, np.log(weights + 0.01)], axis=1)


def _within(points: NDArray[np.float64], limits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points put on the simplex, no weight above its limit."""
    points = points / points.sum(axis=1, keepdims=True)
    for _ in range(8):
        over = np.maximum(points - limits, 0).sum(axis=1, keepdims=True)
        points = np.minimum(points, limits)
        room = limits - points
        points = points + over * room / np.maximum(room.sum(axis=1, keepdims=True), 1e-12)
    found: NDArray[np.float64] = points / points.sum(axis=1, keepdims=True)
    return found
