import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from octad_scaling import (
    KAPLAN_2020,
    ChinchillaLaw,
    KaplanLaw,
    PowerLaw,
    RunRecord,
    ScalingError,
    fit_chinchilla,
    fit_isoflops,
    fit_kaplan,
    fit_power_law,
)
from scipy.optimize import minimize_scalar


@settings(max_examples=25, deadline=None)
@given(st.floats(0.5, 3), st.floats(5, 500), st.floats(0.1, 1.0), st.sampled_from(["huber", "lad", "lse"]))
def test_power_law_fit_recovers_exact_values(e: float, a: float, alpha: float, loss: str) -> None:
    x = np.geomspace(1e3, 1e7, 12)
    law = PowerLaw(e, a, alpha)
    found = fit_power_law(x, law.predict(x), loss=loss)  # type: ignore[arg-type]
    assert (found.E, found.A, found.alpha) == pytest.approx((e, a, alpha), rel=1e-4)


def test_power_law_without_offset_is_the_straight_line_of_logs() -> None:
    rng = np.random.default_rng(0)
    x = np.geomspace(1, 1e4, 9)
    y = 3 * x**0.7 * np.exp(0.1 * rng.standard_normal(9))
    slope, constant = np.polyfit(np.log(x), np.log(y), 1)
    found = fit_power_law(x, y, offset=False)
    assert found.alpha == pytest.approx(-slope, rel=1e-10)
    assert math.exp(constant) == pytest.approx(found.A, rel=1e-10)
    assert found.E == 0


def test_power_law_huber_fit_shrugs_off_one_outlier() -> None:
    x = np.geomspace(1e6, 1e9, 12)
    y = PowerLaw(1.7, 300, 0.3).predict(x)
    y[5] *= 1.2
    assert fit_power_law(x, y).alpha == pytest.approx(0.3, abs=0.01)
    assert abs(fit_power_law(x, y, loss="lse").alpha - 0.3) > 0.01


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, 2], [3, 2], "at least 3"),
        ([], [], "at least 3"),
        ([1, 2, 3], [3, 2], "pair up"),
        ([1, 2, 0], [3, 2, 1], "x must be"),
        ([1, 2, 3], [3, math.nan, 1], "y must be"),
        ([[1, 2, 3]], [3, 2, 1], "one axis"),
        ([1, 10, 100, 1000], [1, 2, 4, 8], "does not fall"),
    ],
)
def test_power_law_fit_refuses_what_it_cannot_fit(x: list[float], y: list[float], message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        fit_power_law(x, y)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.05, 0.15), st.floats(0.06, 0.2), st.integers(0, 20))
@example(0.14875177491996644, 0.0625, 0)  # one of the starts leaves two parameters no say
def test_kaplan_fit_recovers_exact_losses(alpha_n: float, alpha_d: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    law = KaplanLaw(6e13, 2e13, alpha_n, alpha_d)
    n, d = 10 ** rng.uniform(6, 9.5, 40), 10 ** rng.uniform(8, 11, 40)
    records = [RunRecord(*v) for v in zip(n.tolist(), d.tolist(), law.predict(n, d).tolist(), strict=True)]
    found = fit_kaplan(records)
    assert found.alpha_parameters == pytest.approx(alpha_n, rel=1e-3)
    assert found.alpha_tokens == pytest.approx(alpha_d, rel=1e-3)
    np.testing.assert_allclose(found.predict(n, d), law.predict(n, d), rtol=1e-5)


def test_kaplan_limits_are_the_papers_single_laws() -> None:
    # eq. 1.1 and 1.2: L(N) = (Nc / N)^alpha_N where data is endless, L(D) = (Dc / D)^alpha_D where size is
    assert float(KAPLAN_2020.predict(1e9, 1e30)) == pytest.approx((6.4e13 / 1e9) ** 0.076, rel=1e-6)
    assert float(KAPLAN_2020.predict(1e40, 1e10)) == pytest.approx((1.8e13 / 1e10) ** 0.103, rel=1e-6)


@given(st.floats(1e17, 1e25))
def test_kaplan_compute_optimal_is_the_least_loss_on_its_budget(flops: float) -> None:
    n, d = KAPLAN_2020.compute_optimal(flops)
    assert 6 * n * d == pytest.approx(flops, rel=1e-12)
    found = minimize_scalar(
        lambda x: float(KAPLAN_2020.predict(math.exp(x), flops / 6 / math.exp(x))),
        bounds=(math.log(n) - 3, math.log(n) + 3),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert math.log(n) == pytest.approx(found.x, abs=1e-4)


def test_kaplan_fit_and_law_refuse_what_cannot_be() -> None:
    with pytest.raises(ScalingError, match="at least 4"):
        fit_kaplan([RunRecord(1e6, 1e8, 3.0)])
    with pytest.raises(ScalingError, match="different"):
        fit_kaplan([RunRecord(1e6, 1e8 * k, 3.0 / k) for k in (1, 2, 3, 4)])
    with pytest.raises(ScalingError, match="critical_tokens"):
        KaplanLaw(1e13, 0, 0.1, 0.1)


@pytest.fixture(scope="module")
def isoflops(scaling_data: Path) -> list[RunRecord]:
    rows = json.loads((scaling_data / "isoflops_curves.json").read_text())
    return [
        RunRecord(
            r["parameters"], r["compute_budget"] / 6 / r["parameters"], r["final_loss"], flops=r["compute_budget"]
        )
        for r in rows
    ]


def test_isoflop_parabolas_match_a_polynomial_fit_and_agree_with_the_law(isoflops: list[RunRecord]) -> None:
    fit = fit_isoflops(isoflops, nearest=5)
    law = fit_chinchilla(isoflops).law
    assert len(fit.parabolas) == 9
    assert all(parabola.inside and parabola.num_runs == 5 for parabola in fit.parabolas)
    for parabola in fit.parabolas:
        group = sorted((r for r in isoflops if r.flops == pytest.approx(parabola.flops)), key=lambda r: r.loss)
        near = sorted(group, key=lambda r: abs(math.log(r.parameters / group[0].parameters)))[:5]
        c2, c1, c0 = np.polyfit([math.log(r.parameters) for r in near], [r.loss for r in near], 2)
        # polyfit works in raw log N, near 20: 1e-6 of conditioning
        assert math.log(parabola.parameters) == pytest.approx(-c1 / (2 * c2), rel=1e-6)
        assert parabola.loss == pytest.approx(c0 - c1**2 / (4 * c2), rel=1e-6)
    # the two approaches answer the same question; a parabola is a little off the law's lopsided valley
    assert fit.parameter_exponent == pytest.approx(law.parameter_exponent, abs=0.01)
    assert fit.parameter_exponent + fit.token_exponent == pytest.approx(1, abs=1e-9)
    assert fit.compute_optimal(1e23)[0] == pytest.approx(law.compute_optimal(1e23)[0], rel=0.15)


def test_isoflop_groups_budgets_that_differ_by_rounding_and_orders_them(isoflops: list[RunRecord]) -> None:
    rng = np.random.default_rng(0)
    shuffled = [
        RunRecord(r.parameters, r.tokens, r.loss, flops=r.flops * float(rng.uniform(0.98, 1.02)))  # type: ignore[operator]
        for r in isoflops
    ]
    rng.shuffle(shuffled)  # type: ignore[arg-type]
    flops = [parabola.flops for parabola in fit_isoflops(shuffled).parabolas]
    assert len(flops) == 9
    assert flops == sorted(flops)


def test_isoflop_marks_optima_outside_the_sizes_run() -> None:
    law = ChinchillaLaw(1.8, 480, 2080, 0.35, 0.37)
    records = [
        RunRecord(float(n), budget / 6 / n, float(law.predict(n, budget / 6 / n)))
        for budget, span in ((1e18, (0.3, 3)), (1e19, (0.3, 3)), (1e20, (2.0, 6)))
        for n in law.compute_optimal(budget)[0] * np.geomspace(*span, 5)
    ]
    fit = fit_isoflops(records, inside_only=True)
    assert [parabola.inside for parabola in fit.parabolas] == [True, True, False]
    assert fit.parameter_exponent == pytest.approx(law.parameter_exponent, abs=0.02)


def test_isoflop_refuses_budgets_without_a_valley() -> None:
    hill = [RunRecord(n, c / 6 / n, 3 - 0.1 * math.log(n / 1e7) ** 2) for c in (1e18, 1e20) for n in (5e6, 1e7, 2e7)]
    with pytest.raises(ScalingError, match="does not curve upwards"):
        fit_isoflops(hill)
    with pytest.raises(ScalingError, match="a parabola needs 3"):
        fit_isoflops(hill[:2])
    with pytest.raises(ScalingError, match="0 usable budgets"):
        fit_isoflops([])
    with pytest.raises(ScalingError, match="nearest=2"):
        fit_isoflops(hill, nearest=2)
