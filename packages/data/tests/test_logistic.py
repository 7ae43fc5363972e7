import numpy as np
import pytest
from octad_data.logistic import fit_logistic, minimise


def sparse(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    places = [np.flatnonzero(row) for row in rows]
    starts = np.concatenate([[0], np.cumsum([len(p) for p in places])]).astype(np.int64)
    values = np.concatenate([row[p] for row, p in zip(rows, places, strict=True)])
    return starts, np.concatenate(places).astype(np.int32), values.astype(np.float32)


@pytest.mark.parametrize("classes", [2, 3])
def test_fit_is_the_minimum_that_plain_gradient_descent_finds(classes: int) -> None:
    rng = np.random.default_rng(classes)
    rows = (rng.random((60, 8)) < 0.4) * rng.random((60, 8)).astype(np.float32)
    dense = rng.normal(size=(60, 2)).astype(np.float32)
    targets = rng.integers(0, classes, 60)
    weights = rng.random(60) + 0.5
    fitted = fit_logistic(*sparse(rows), dense, targets, weights, classes, 16, c=2.0, tolerance=1e-9, max_steps=1000)

    x = np.concatenate([rows, dense], axis=1).astype(np.float64)
    logits = 1 if classes == 2 else classes
    w, b = np.zeros((10, logits)), np.zeros(logits)
    truth = np.eye(classes)[targets]
    for _ in range(20_000):  # in float64, with a step below 1 / the largest curvature
        scores = x @ w + b
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1) if logits == 1 else scores
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        error = 2.0 * weights[:, None] * (p / p.sum(axis=1, keepdims=True) - truth)[:, -logits:]
        w -= 0.003 * (x.T @ error + w)
        b -= 0.003 * error.sum(axis=0)
    assert np.allclose(fitted[0][:8], w[:8], atol=2e-5)  # float32 weights
    assert not fitted[0][8:].any()
    assert np.allclose(fitted[1], w[8:], atol=1e-5)
    shift = fitted[2] - b  # with softmax a common shift of all biases changes nothing
    assert np.allclose(shift, shift.mean(), atol=1e-5) and (classes > 2 or abs(shift[0]) < 1e-5)


def test_minimise_solves_a_badly_scaled_bowl() -> None:
    scales = np.array([1.0, 1e2, 1e4])

    def bowl(x: np.ndarray) -> tuple[float, np.ndarray]:
        return float((scales * (x - 3) ** 2).sum()), 2 * scales * (x - 3)

    assert np.allclose(minimise(bowl, np.zeros(3), 1e-10, 200), 3, atol=1e-6)
