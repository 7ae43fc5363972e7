import math

import numpy as np
import pytest
from octad_scaling import (
    BESIROGLU_2024,
    ChinchillaLaw,
    Fit,
    Interval,
    RunRecord,
    ScalingError,
    bootstrap,
    calibrate,
    fit_chinchilla,
)
from octad_scaling.intervals import _cuts


def make_study(
    seed: int, *, bend: float = 0.0, run_noise: float = 0.001, points: int = 1
) -> tuple[list[RunRecord], tuple[float, float], float]:
    """Five sizes at each of six budgets, and one more run at thirty times the largest: (records, target, its loss).

    `bend` makes the truth not quite a Chinchilla law: its size exponent falls by that share a decade of N.
    """
    rng, law = np.random.default_rng([11, seed]), BESIROGLU_2024

    def loss(n: float, d: float) -> float:
        alpha = law.alpha * (1 - bend * math.log10(n / 1e8))
        return law.E + law.A * 1e8**-law.alpha * (n / 1e8) ** -alpha + law.B * d**-law.beta

    records = []
    for budget in np.geomspace(1e18, 1e20, 6).tolist():
        for index, n in enumerate((law.compute_optimal(budget)[0] * np.geomspace(0.35, 2.8, 5)).tolist()):
            noise = run_noise * rng.standard_normal()
            for share in np.linspace(1, 0.5, points).tolist():
                d = share * budget / 6 / n
                measured = loss(n, d) * math.exp(noise + 0.0003 * rng.standard_normal())
                records.append(RunRecord(n, d, measured, run=f"{budget:.3g}-{index}"))
    target = law.compute_optimal(30 * 1e20)
    return records, target, loss(*target) * math.exp(run_noise * rng.standard_normal())


@pytest.fixture(scope="module")
def one_study() -> tuple[list[RunRecord], Fit]:
    records = make_study(0, points=3)[0]
    return records, fit_chinchilla(records)


def test_bootstrap_refits_are_what_fitting_the_resampled_records_gives(one_study: tuple[list[RunRecord], Fit]) -> None:
    records, fit = one_study
    sample = bootstrap(records, fit, resamples=3, seed=4)
    # the draws again, from the same generator: whole runs, each as often as it was drawn
    rng = np.random.default_rng([4, 0])
    names = list(dict.fromkeys(record.run for record in records))
    for theta in sample.theta:
        counts = dict(zip(names, rng.multinomial(len(names), np.full(len(names), 1 / len(names))), strict=True))
        law = fit_chinchilla([record for record in records for _ in range(counts[record.run])]).law
        # the same optimum by another way; 1e-4 is the flatness of the ravine
        assert theta[3:] == pytest.approx((law.alpha, law.beta), rel=1e-4)


@pytest.mark.parametrize("method", ["run", "residual", "point"])
def test_bootstrap_is_deterministic_and_centred(one_study: tuple[list[RunRecord], Fit], method: str) -> None:
    records, fit = one_study
    first, again, other = (bootstrap(records, fit, resamples=60, method=method, seed=s) for s in (1, 1, 2))  # type: ignore[arg-type]
    np.testing.assert_array_equal(first.theta, again.theta)
    assert np.any(first.theta != other.theta)
    assert first.interval(1e9, 2e10) == again.interval(1e9, 2e10)
    for name in ("E", "A", "B", "alpha", "beta", "parameter_exponent", "token_exponent"):
        interval = first.coefficient_interval(name)
        assert interval.low <= getattr(fit.law, name) <= interval.high


def test_bootstrap_by_run_is_wider_where_runs_share_their_noise(one_study: tuple[list[RunRecord], Fit]) -> None:
    records, fit = one_study

    def width(method: str) -> float:
        sample = bootstrap(records, fit, resamples=300, method=method)  # type: ignore[arg-type]
        interval = sample.interval(1e9, 2e10, new_run=False)
        return interval.high - interval.low

    # three points a run say little more than one: the naive width is too small by up to the root of three
    assert width("run") > 1.2 * width("point")


def test_a_new_run_and_a_higher_level_widen_the_interval(one_study: tuple[list[RunRecord], Fit]) -> None:
    sample = bootstrap(*one_study, resamples=200)
    law = sample.interval(1e9, 2e10, new_run=False)
    run = sample.interval(1e9, 2e10)
    wide = sample.interval(1e9, 2e10, level=0.99)
    assert wide.high - wide.low >= run.high - run.low > law.high - law.low
    assert law.low <= law.centre <= law.high


def test_exact_records_give_intervals_of_no_width() -> None:
    records = [
        RunRecord(r.parameters, r.tokens, float(BESIROGLU_2024.predict(r.parameters, r.tokens)))
        for r in make_study(0)[0]
    ]
    fit = fit_chinchilla(records)
    interval = bootstrap(records, fit, resamples=20).interval(1e9, 2e10)
    assert interval.high - interval.low < 1e-6
    assert calibrate(records, fit, reach=10, resamples=20, max_cuts=2).widen(interval).high < interval.centre + 1e-6


def test_calibration_restores_coverage_that_extrapolation_loses() -> None:
    raw, widened = [], []
    for seed in range(10):
        records, target, loss = make_study(seed, bend=0.1)
        fit = fit_chinchilla(records)
        interval = bootstrap(records, fit, resamples=60).interval(*target)
        calibrated = calibrate(records, fit, reach=30, resamples=40, max_cuts=2).widen(interval)
        raw.append(interval.low <= loss <= interval.high)
        widened.append(calibrated.low <= loss <= calibrated.high)
        assert calibrated.low <= interval.low <= interval.high <= calibrated.high
    # claimed 95 %; benchmarks/coverage.py measures it on more studies
    assert np.mean(raw) < 0.75
    assert np.mean(widened) > np.mean(raw)
    assert np.mean(widened) >= 0.75


def test_cuts_hold_runs_out_whole_and_at_the_wanted_reach() -> None:
    records = make_study(0, points=3)[0]
    cuts = _cuts(records, 10)
    assert cuts
    for below, above in cuts:
        largest = max(record.flops or 0 for record in below)
        assert not {record.run for record in below} & {record.run for record in above}
        assert all(5 * largest <= (record.flops or 0) * (1 + 1e-9) <= 20 * largest * (1 + 1e-9) for record in above)


def test_calibration_says_what_reach_can_be_measured() -> None:
    records = make_study(0)[0]
    fit = fit_chinchilla(records)
    with pytest.raises(ScalingError, match=r"reach=10000 cannot be measured.* is \d+"):
        calibrate(records, fit, reach=1e4)
    with pytest.raises(ScalingError, match="reach=1 "):
        calibrate(records, fit, reach=1)


def test_intervals_refuse_what_cannot_be(one_study: tuple[list[RunRecord], Fit]) -> None:
    records, fit = one_study
    with pytest.raises(ScalingError, match="resamples=0"):
        bootstrap(records, fit, resamples=0)
    with pytest.raises(ScalingError, match="method='pairs'"):
        bootstrap(records, fit, method="pairs")  # type: ignore[arg-type]
    with pytest.raises(ScalingError, match="pass the same ones"):
        bootstrap(records[1:], fit)
    sample = bootstrap(records, fit, resamples=2)
    with pytest.raises(ScalingError, match="level=95"):
        sample.interval(1e9, 1e10, level=95)
    with pytest.raises(ScalingError, match="coefficient 'gamma'"):
        sample.coefficient_interval("gamma")
    with pytest.raises(ScalingError, match="tokens=0"):
        sample.interval(1e9, 0)
    with pytest.raises(ScalingError, match=r"level=0\.95"):
        calibrate(records, fit, reach=10, resamples=5, max_cuts=1).widen(Interval(1, 2, 3, 0.9))


def test_bootstrap_by_run_needs_runs() -> None:
    law = ChinchillaLaw(1.8, 480, 2080, 0.35, 0.37)
    grid = [(n, d) for n in (1e7, 1e8, 1e9) for d in (1e9, 1e10, 1e11)]
    records = [RunRecord(n, d, float(law.predict(n, d)), run="only") for n, d in grid]
    # one run holds everything: every draw is the whole, and nothing is learnt of the spread
    assert np.ptp(bootstrap(records, fit_chinchilla(records), resamples=4).theta[:, 3]) < 1e-6
    few = [
        RunRecord(n, d, float(law.predict(n, d)))
        for n, d in [(1e7, 1e9), (1e8, 1e10), (1e9, 1e11), (1e7, 1e11), (1e9, 1e9)]
    ]
    with pytest.raises(ScalingError, match="too few to resample"):
        bootstrap(few, fit_chinchilla(few), resamples=100)
    assert bootstrap(few, fit_chinchilla(few), resamples=4, method="residual").theta.shape == (4, 5)
