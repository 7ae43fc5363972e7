import math
from pathlib import Path

import numpy as np
import pytest
from octad_scaling import (
    LossCurve,
    ScalingError,
    TissueLaw,
    annealing_area,
    fit_loss_curves,
    forward_area,
    learning_rates_from_log,
)

WARMUP = 2160
TRUTH = TissueLaw(L0=2.8, A=0.6, alpha=0.45, C=0.6, decay=0.998)


def cosine(steps: int, peak: float = 3e-4, warmup: int = 100) -> np.ndarray:
    at = np.arange(steps)
    rates = peak * (0.55 + 0.45 * np.cos(np.pi * at / steps))
    return rates * np.minimum(1, (at + 1) / warmup)


def synthetic(rates: np.ndarray, noise: float = 0.0, warmup: int = 100) -> LossCurve:
    steps = np.arange(warmup, len(rates), 40)
    losses = TRUTH.predict(rates, warmup_steps=warmup)[steps]
    return LossCurve(
        rates, steps, losses * np.exp(noise * np.random.default_rng(0).standard_normal(len(steps))), warmup
    )


def test_areas_match_the_double_sum_of_the_paper() -> None:
    rates = np.random.default_rng(0).random(30)
    decay = 0.9
    expected, total = [], 0.0
    for i in range(30):
        total += sum((rates[k - 1] - rates[k]) * decay ** (i - k) for k in range(1, i + 1))
        expected.append(total)
    np.testing.assert_allclose(annealing_area(rates, decay), expected, atol=1e-12)
    np.testing.assert_allclose(forward_area(rates), [rates[: i + 1].sum() for i in range(30)])


def test_annealing_ignores_the_warmup_and_a_constant_rate() -> None:
    rates = np.concatenate([np.linspace(0.1, 1, 10), np.ones(20)])
    assert np.all(annealing_area(rates, 0.99, warmup_steps=10) == 0)
    assert np.any(annealing_area(rates, 0.99) < 0)


@pytest.mark.parametrize("decay", [None, 0.998])
def test_fit_recovers_the_law_behind_exact_curves(decay: float | None) -> None:
    curves = [synthetic(cosine(6000)), synthetic(np.full(6000, 3e-4))]
    law = fit_loss_curves(curves, decay=decay)
    assert law.decay == pytest.approx(TRUTH.decay, abs=1e-4)
    assert (law.L0, law.A, law.alpha, law.C) == pytest.approx((2.8, 0.6, 0.45, 0.6), rel=0.02)


def test_first_part_of_a_run_predicts_its_end_with_annealing_known() -> None:
    curve = synthetic(cosine(6000), noise=0.001)
    law = fit_loss_curves([curve.until(2500)], annealing=TRUTH)
    assert law.C == TRUTH.C
    assert law.predict_final(curve.learning_rates, warmup_steps=100) == pytest.approx(curve.losses[-1], abs=0.02)


def load(folder: Path, size: str, name: str) -> LossCurve:
    table = np.genfromtxt(folder / "loss_curves" / size / f"{name}.csv", delimiter=",", names=True)
    rates = learning_rates_from_log(table["step"], table["lr"], warmup_steps=WARMUP)
    return LossCurve(rates, table["step"], table["loss"], WARMUP)


@pytest.mark.parametrize("size", ["25M", "100M"])
def test_cosine_and_constant_runs_predict_warmup_stable_decay(scaling_data: Path, size: str) -> None:
    law = fit_loss_curves([load(scaling_data, size, name) for name in ("cosine_24000", "constant_24000")])
    # reached, mean absolute error in nats of a loss near 3: fitted .0023 and .0008, decayed linearly .0024 and .0015,
    # decayed exponentially .0029 and .0024, one sudden fall .0078 and .0061
    for name, bound in [
        ("cosine_24000", 0.003),
        ("constant_24000", 0.003),
        ("wsdld_20000_24000", 0.004),
        ("wsd_20000_24000", 0.004),
        ("wsdcon_3", 0.01),
    ]:
        curve = load(scaling_data, size, name)
        predicted = law.predict(curve.learning_rates, warmup_steps=WARMUP)[curve.steps]
        assert np.abs(predicted - curve.losses).mean() < bound, name
        # and the end of the run, where the decay has its whole effect (about .08 nats): .019 at worst
        assert abs(predicted[-1] - curve.losses[-1]) < 0.025, name


def test_three_times_longer_runs_are_predicted(scaling_data: Path) -> None:
    law = fit_loss_curves([load(scaling_data, "100M", name) for name in ("cosine_24000", "constant_24000")])
    for name in ("cosine_72000", "constant_72000"):
        curve = load(scaling_data, "100M", name)
        # .010 and .006 reached
        final = law.predict_final(curve.learning_rates, warmup_steps=WARMUP)
        assert final == pytest.approx(curve.losses[-1], abs=0.015)


def test_rates_from_a_log_are_straight_lines_after_one_warmup() -> None:
    rates = learning_rates_from_log([4, 6, 8], [1.0, 1.0, 0.0], warmup_steps=4)
    np.testing.assert_allclose(rates, [0.25, 0.5, 0.75, 1, 1, 1, 1, 0.5, 0])
    with pytest.raises(ScalingError, match="must rise"):
        learning_rates_from_log([4, 4], [1.0, 1.0])


def test_curves_and_fits_refuse_what_cannot_be() -> None:
    constant = synthetic(np.full(1000, 3e-4))
    with pytest.raises(ScalingError, match="C is unknown"):
        fit_loss_curves([constant])
    with pytest.raises(ScalingError, match="C is unknown"):
        fit_loss_curves([synthetic(np.concatenate([np.full(900, 3e-4), np.full(100, 1e-4)])).until(800)])
    with pytest.raises(ScalingError, match="0 points"):
        fit_loss_curves([])
    with pytest.raises(ScalingError, match="leave the schedule"):
        LossCurve(np.ones(5), np.array([5]), np.array([3.0]))
    with pytest.raises(ScalingError, match="rising whole"):
        LossCurve(np.ones(5), np.array([2, 1]), np.array([3.0, 3.0]))
    with pytest.raises(ScalingError, match="finite and > 0"):
        LossCurve(np.ones(5), np.array([1]), np.array([math.nan]))
    with pytest.raises(ScalingError, match="length > 0"):
        constant.until(3)
    with pytest.raises(ScalingError, match="decay=1"):
        annealing_area(np.ones(3), 1.0)
    with pytest.raises(ScalingError, match="not all 0"):
        forward_area(np.zeros(3))
    with pytest.raises(ScalingError, match="C=-1"):
        TissueLaw(1, 1, 1, -1, 0.9)
