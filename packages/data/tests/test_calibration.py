import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data.calibration import area_under_curve, isotonic, platt, reliability, threshold_for, wilson
from octad_data.errors import DataError


def sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=n) * 2
    return logits, rng.random(n) < 1 / (1 + np.exp(-(1.5 * logits - 0.5)))


@pytest.mark.parametrize("fit", [platt, isotonic])
def test_calibration_finds_the_probabilities_that_made_the_labels(fit) -> None:
    logits, truths = sample(20_000, 0)
    fresh, fresh_truths = sample(20_000, 1)
    calibrate = fit(logits, truths)
    x = np.linspace(-3, 3, 31)
    assert np.abs(calibrate(x) - 1 / (1 + np.exp(-(1.5 * x - 0.5)))).max() < 0.06
    assert (np.diff(calibrate(np.linspace(-9, 9, 500))) >= 0).all()
    assert reliability(calibrate(fresh), fresh_truths).expected_error < 0.015


def test_isotonic_before_joining_is_the_least_squares_rise() -> None:
    logits = np.arange(8.0)
    truths = np.array([0, 1, 0, 0, 1, 1, 0, 1], dtype=bool)
    knots = isotonic(logits, truths)
    assert knots.scores.tolist() == [0, 2, 5, 7]  # blocks 0 | 1 0 0 | 1 1 0 | 1
    assert np.allclose(knots.probabilities, [0.25, 1.5 / 4, 2.5 / 4, 0.75])


@pytest.mark.parametrize("fit", [platt, isotonic])
def test_calibration_needs_both_kinds(fit) -> None:
    with pytest.raises(DataError, match="3 of 3"):
        fit(np.zeros(3), np.ones(3, dtype=bool))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40))
def test_area_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([float(score) for score, _ in rows])
    truths = np.array([truth for _, truth in rows], dtype=bool)
    pairs = [(a > b) + (a == b) / 2 for a in scores[truths] for b in scores[~truths]]
    found = area_under_curve(scores, truths)
    assert found == pytest.approx(np.mean(pairs)) if pairs else np.isnan(found)


def test_thresholds_reach_what_was_asked_for() -> None:
    logits, truths = sample(2000, 2)
    chances = platt(logits, truths)(logits)
    for goal in ({"precision": 0.9}, {"recall": 0.8}, {"keep_share": 0.3}):
        found = threshold_for(chances, truths, **goal)
        kept = chances >= found.at_least
        ((name, value),) = goal.items()
        measured = {
            "precision": truths[kept].mean(),
            "recall": truths[kept].sum() / truths.sum(),
            "keep_share": kept.mean(),
        }
        assert measured == pytest.approx(
            {"precision": found.precision, "recall": found.recall, "keep_share": found.keep_share}
        )
        assert measured[name] >= value and measured[name] < value + 0.01
        assert found.low < measured[name] < found.high


def test_thresholds_do_not_split_ties_and_say_what_cannot_be() -> None:
    chances, truths = np.array([0.5, 0.5, 0.5, 0.2]), np.array([1, 0, 1, 0], dtype=bool)
    assert threshold_for(chances, truths, recall=0.5).keep_share == 0.75
    with pytest.raises(DataError, match=r"the best is 0\.667"):
        threshold_for(chances, truths, precision=0.9)
    with pytest.raises(DataError, match="exactly one"):
        threshold_for(chances, truths, precision=0.9, recall=0.9)
    with pytest.raises(DataError, match="not in"):
        threshold_for(chances, truths, recall=1.5)


def test_wilson_matches_the_published_interval() -> None:
    low, high = wilson(81, 263)  # Newcombe 1998, table I: 0.2553 to 0.3662
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_expected_error_of_a_known_case() -> None:
    found = reliability(np.array([0.05, 0.95, 0.95, 0.95]), np.array([0, 1, 1, 0], dtype=bool))
    assert found.counts.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    assert found.expected_error == pytest.approx((0.05 + 3 * abs(0.95 - 2 / 3)) / 4)
