import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octad_scaling import (
    BESIROGLU_2024,
    KAPLAN_2020,
    MUENNIGHOFF_2023,
    Candidate,
    DataConstrainedLaw,
    Repetition,
    ScalingError,
    plan_for_flops,
    plan_for_time,
)

LAW = BESIROGLU_2024
SMALL, MIDDLE, LARGE = Candidate("small", 1e7, 1e5), Candidate("middle", 3e7, 4e4), Candidate("large", 1e8, 1e4)


@given(st.floats(1e3, 1e13), st.floats(1e3, 1e12))
def test_effective_tokens_match_the_formula_term_by_term(tokens: float, unique: float) -> None:
    got = float(Repetition().effective_tokens(tokens, unique))
    u = min(tokens, unique)
    repeats = tokens / u - 1
    assert got == pytest.approx(u + u * 15.387756 * (1 - math.exp(-repeats / 15.387756)), rel=1e-9)
    assert got <= tokens * (1 + 1e-12)
    assert got <= unique * (1 + 15.387756) * (1 + 1e-12)


def test_effective_tokens_rise_and_four_epochs_are_nearly_fresh() -> None:
    effective = Repetition().effective_tokens(np.linspace(0.5, 60, 200), 1.0)
    assert np.all(np.diff(effective) > 0)
    assert float(Repetition().effective_tokens(4.0, 1.0)) == pytest.approx(3.73, abs=0.01)


def test_data_constrained_law_is_the_papers_with_both_decays() -> None:
    n, d, unique = 9e9, 1e11, 2.5e10
    law = DataConstrainedLaw(MUENNIGHOFF_2023, unique, Repetition(parameter_decay=5.309743))
    u_n = min(n, MUENNIGHOFF_2023.optimal_parameters(unique))
    n_eff = u_n + u_n * 5.309743 * (1 - math.exp(-(n / u_n - 1) / 5.309743))
    d_eff = unique + unique * 15.387756 * (1 - math.exp(-(d / unique - 1) / 15.387756))
    assert float(law.predict(n, d)) == pytest.approx(1.87 + 521 * n_eff**-0.353 + 1488 * d_eff**-0.353, rel=1e-9)
    assert law.predict(np.array([1e9, n]), d).shape == (2,)
    assert float(law.predict(np.array([1e9, n]), d)[1]) == float(law.predict(n, d))


def test_data_constrained_law_with_enough_data_is_the_law() -> None:
    for unique in (1e12, math.inf):
        assert float(DataConstrainedLaw(LAW, unique).predict(1e9, 1e11)) == float(LAW.predict(1e9, 1e11))


def test_plan_for_time_gives_each_candidate_its_own_tokens() -> None:
    plan = plan_for_time(LAW, [SMALL, MIDDLE, LARGE], 36_000)
    for outcome in plan.table:
        assert outcome.tokens == outcome.candidate.tokens_per_s * 36_000
        assert outcome.loss == float(LAW.predict(outcome.candidate.parameters, outcome.tokens))
        assert outcome.stopped_by == "time"
    assert plan.loss == min(outcome.loss for outcome in plan.table)
    assert plan.chosen in (SMALL, MIDDLE, LARGE)


@given(st.permutations([SMALL, MIDDLE, LARGE]), st.floats(1, 1e9), st.floats(1e5, 1e12))
def test_plan_for_time_does_not_depend_on_the_order(order: list[Candidate], seconds: float, unique: float) -> None:
    plan = plan_for_time(LAW, order, seconds, unique_tokens=unique)
    assert plan.chosen == plan_for_time(LAW, [SMALL, MIDDLE, LARGE], seconds, unique_tokens=unique).chosen
    assert [outcome.candidate for outcome in plan.table] == order


def test_plan_for_time_grows_with_the_time() -> None:
    chosen = [plan_for_time(LAW, [SMALL, MIDDLE, LARGE], seconds).chosen.parameters for seconds in (10, 1e4, 1e5, 1e7)]
    assert chosen == sorted(chosen)
    assert chosen[0] < chosen[-1]


def test_plan_for_time_stops_at_the_data_and_says_so() -> None:
    plan = plan_for_time(LAW, [SMALL], 1e6, unique_tokens=1e8, max_epochs=4)
    (outcome,) = plan.table
    assert outcome.stopped_by == "data"
    assert plan.tokens == 4e8
    assert outcome.epochs == 4
    assert outcome.seconds == 4e8 / 1e5
    assert plan.loss == pytest.approx(float(LAW.predict(1e7, Repetition().effective_tokens(4e8, 1e8))))
    assert "data ends after 4 epochs" in plan.reason
    assert "only candidate" in plan.reason


def test_repeated_data_is_worth_less_than_fresh_and_more_than_none() -> None:
    fresh = plan_for_time(LAW, [SMALL], 1e5).loss
    repeated = plan_for_time(LAW, [SMALL], 1e5, unique_tokens=1e9).loss
    once = plan_for_time(LAW, [SMALL], 1e5, unique_tokens=1e9, max_epochs=1).loss
    assert fresh < repeated < once


def test_plan_for_time_settles_a_tie_for_the_smaller_model_and_says_so() -> None:
    flat = type("Flat", (), {"predict": lambda self, n, d: np.float64(2.0)})()
    plan = plan_for_time(flat, [LARGE, SMALL, MIDDLE], 10)
    assert plan.chosen == SMALL
    assert "a tie with 'large', 'middle'" in plan.reason


def test_plan_for_time_warns_of_the_edge_of_its_candidates() -> None:
    assert "largest candidate" in plan_for_time(LAW, [SMALL, LARGE], 1e8).reason
    assert "smallest candidate" in plan_for_time(LAW, [SMALL, LARGE], 10).reason


def test_plan_for_time_takes_any_law() -> None:
    assert plan_for_time(KAPLAN_2020, [SMALL, LARGE], 1e5, unique_tokens=1e8).loss > 0
    with pytest.raises(ScalingError, match="needs a ChinchillaLaw"):
        plan_for_time(KAPLAN_2020, [SMALL], 1e5, unique_tokens=1e8, repetition=Repetition(parameter_decay=5.3))


def test_plan_for_time_refuses_what_cannot_be_planned() -> None:
    with pytest.raises(ScalingError, match="nothing to choose"):
        plan_for_time(LAW, [], 10)
    with pytest.raises(ScalingError, match="seconds=0"):
        plan_for_time(LAW, [SMALL], 0)
    with pytest.raises(ScalingError, match="'small'"):
        plan_for_time(LAW, [SMALL, SMALL], 10)
    with pytest.raises(ScalingError, match="unique_tokens=-1"):
        plan_for_time(LAW, [SMALL], 10, unique_tokens=-1)
    with pytest.raises(ScalingError, match="max_epochs=0"):
        plan_for_time(LAW, [SMALL], 10, unique_tokens=10, max_epochs=0)
    with pytest.raises(ScalingError, match="tokens_per_s"):
        Candidate("x", 1e6, 0)
    with pytest.raises(ScalingError, match="data_decay"):
        Repetition(data_decay=0)


@given(st.floats(1e16, 1e26))
def test_plan_for_flops_is_the_closed_form_while_data_lasts(flops: float) -> None:
    plan = plan_for_flops(LAW, flops)
    assert (plan.parameters, plan.tokens) == LAW.compute_optimal(flops)
    same = plan_for_flops(LAW, flops, unique_tokens=plan.tokens * 1.01)
    assert (same.parameters, same.tokens) == (plan.parameters, plan.tokens)


@given(st.floats(1e18, 1e24), st.floats(0.02, 0.95))
def test_plan_for_flops_with_little_data_is_not_beaten_by_any_size(flops: float, share: float) -> None:
    unique = LAW.compute_optimal(flops)[1] * share
    plan = plan_for_flops(LAW, flops, unique_tokens=unique, max_epochs=16)
    assert 6 * plan.parameters * plan.tokens == pytest.approx(flops)
    assert plan.epochs <= 16 * (1 + 1e-9)
    sizes = np.geomspace(max(flops / 6 / unique / 16, plan.parameters / 30), plan.parameters * 30, 500)
    losses = DataConstrainedLaw(LAW, unique).predict(sizes, flops / 6 / sizes)
    assert plan.loss <= losses.min() + 1e-12
    assert plan.parameters >= LAW.compute_optimal(flops)[0]
