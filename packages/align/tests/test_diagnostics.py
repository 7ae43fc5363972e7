"""Diagnostics: each sick series is named, the healthy one is not."""

import math

import pytest
from octad_align import AlignError, diagnose

HEALTHY = {
    "constant_fraction": [0.3] * 10,
    "length": [10.0, 11, 10, 12, 11, 12, 13, 12, 13, 14],
    "kl": [0.01] * 10,
    "chosen_log_prob": [-20.0] * 5 + [-19.0] * 5,
    "entropy": [1.0] * 5 + [0.6] * 5,
    "clip_fraction": [0.05] * 10,
}
SICK = {
    "constant_fraction": ([0.3] * 5 + [0.95] * 5, "no_reward_variance"),
    "length": ([10.0] * 5 + [40.0] * 5, "length_exploding"),
    "kl": ([0.01] * 5 + [3.0] * 5, "kl_blow_up"),
    "chosen_log_prob": ([-20.0] * 5 + [-40.0] * 5, "chosen_log_prob_falling"),
    "entropy": ([1.0] * 5 + [0.01] * 5, "entropy_collapsed"),
    "clip_fraction": ([0.05] * 5 + [0.6] * 5, "clipping_too_often"),
}


def test_a_healthy_run_has_no_findings():
    assert diagnose(HEALTHY) == ()


@pytest.mark.parametrize("metric", SICK)
def test_a_sick_series_is_named(metric):
    series, name = SICK[metric]
    (finding,) = diagnose(HEALTHY | {metric: series})
    assert finding.name == name
    assert ";" in finding.message  # what was seen; what helps


@pytest.mark.parametrize("metric", SICK)
def test_not_a_number_is_a_finding(metric):
    (finding,) = diagnose({metric: [*HEALTHY[metric][:9], math.nan]})
    assert finding.name == SICK[metric][1]


@pytest.mark.parametrize("metric", SICK)
@pytest.mark.parametrize("length", [0, 1])
def test_a_short_series_is_not_judged_or_judged_by_what_is_there(metric, length):
    assert diagnose({metric: HEALTHY[metric][:length]}) == ()


def test_an_unknown_metric_is_named():
    with pytest.raises(AlignError, match="'reward' has no check"):
        diagnose({"reward": [1.0]})
