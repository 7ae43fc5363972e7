"""Names what is wrong in an alignment run, from the metrics that it logs.

Each check takes a series (oldest first) and answers with a Finding or None. The thresholds are rules of thumb,
stated as defaults; a series too short to judge gives None. Every comparison is written so that NaN is a finding.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from octad_align.errors import AlignError

WINDOW = 5


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        name: short, stable, for a log or a test.
        message: what was seen, against which limit, and what usually helps.
        value: the figure that was judged.
        limit: what it was judged against.
    """

    name: str
    message: str
    value: float
    limit: float


def no_reward_variance(constant_fractions: Sequence[float], *, limit: float = 0.8) -> Finding | None:
    """Most groups have rewards without variance, so most of the batch has no gradient.

    Args:
        constant_fractions: share of the groups without variance at each step, in [0, 1].
        limit: share above which the run is called starved.
    """
    value = _recent_mean(constant_fractions)
    if value is None or value <= limit:
        return None
    advice = "mix in prompts that are neither solved nor hopeless, grade the reward, or sample larger groups"
    return Finding(
        "no_reward_variance", f"{value:.0%} of groups have equal rewards (> {limit:.0%}); {advice}", value, limit
    )


def length_exploding(lengths: Sequence[float], *, limit: float = 2.0) -> Finding | None:
    """Completions have become `limit` times as long as at the start.

    Args:
        lengths: mean completion length at each step, in tokens.
        limit: factor.
    """
    factor = _growth(lengths)
    if factor is None or factor <= limit:
        return None
    advice = "use aggregation='dr_grpo', cap the length, or look whether the end token is in the mask"
    return Finding("length_exploding", f"completions grew {factor:.1f}x (> {limit:g}x); {advice}", factor, limit)


def kl_blow_up(kls: Sequence[float], *, limit: float = 1.0) -> Finding | None:
    """The policy is far from its reference: the recent KL, in nats a token, is above `limit`, or not finite."""
    value = _recent_mean(kls)
    if value is None or value <= limit:
        return None
    advice = "lower the learning rate or raise beta"
    return Finding("kl_blow_up", f"KL is {value:.3g} nats a token (> {limit:g}); {advice}", value, limit)


def chosen_log_prob_falling(chosen_log_probs: Sequence[float], *, limit: float = 5.0) -> Finding | None:
    """DPO lowers the chosen answers too: their log-probability fell by more than `limit` nats an answer.

    The margin can grow all the while, so the loss and the accuracy look well.
    """
    if len(chosen_log_probs) < 2 * WINDOW:
        return None
    fall = _mean(chosen_log_probs[:WINDOW]) - _mean(chosen_log_probs[-WINDOW:])
    if fall <= limit:
        return None
    advice = "add nll_weight, lower the learning rate or raise beta"
    return Finding(
        "chosen_log_prob_falling", f"chosen answers lost {fall:.3g} nats (> {limit:g}); {advice}", fall, limit
    )


def entropy_collapsed(entropies: Sequence[float], *, limit: float = 0.1) -> Finding | None:
    """The policy has stopped exploring: its entropy is below `limit` times what it was at the start."""
    share = _growth(entropies)
    if share is None or share >= limit:
        return None
    advice = "raise clip_high or entropy_weight, or sample at a higher temperature"
    return Finding("entropy_collapsed", f"entropy is {share:.1%} of its start (< {limit:.0%}); {advice}", share, limit)


def clipping_too_often(clip_fractions: Sequence[float], *, limit: float = 0.3) -> Finding | None:
    """Updates are so large that the clip throws away more than `limit` of the tokens."""
    value = _recent_mean(clip_fractions)
    if value is None or value <= limit:
        return None
    advice = "lower the learning rate or make fewer updates on a batch"
    return Finding("clipping_too_often", f"{value:.0%} of tokens are clipped (> {limit:.0%}); {advice}", value, limit)


CHECKS: Mapping[str, Callable[[Sequence[float]], Finding | None]] = {
    "constant_fraction": no_reward_variance,
    "length": length_exploding,
    "kl": kl_blow_up,
    "chosen_log_prob": chosen_log_prob_falling,
    "entropy": entropy_collapsed,
    "clip_fraction": clipping_too_often,
}


def diagnose(history: Mapping[str, Sequence[float]]) -> tuple[Finding, ...]:
    """Every finding of every check whose series is in `history`.

    Args:
        history: series by metric, oldest first; names from CHECKS, all optional.

    Raises:
        AlignError: a metric has no check.
    """
    unknown = sorted(set(history) - set(CHECKS))
    if unknown:
        raise AlignError(f"metric {unknown[0]!r} has no check; use {', '.join(CHECKS)}")
    findings = (CHECKS[metric](series) for metric, series in history.items())
    return tuple(finding for finding in findings if finding is not None)


def _mean(series: Sequence[float]) -> float:
    return sum(series) / len(series)


def _recent_mean(series: Sequence[float]) -> float | None:
    return _mean(series[-WINDOW:]) if len(series) else None


def _growth(series: Sequence[float]) -> float | None:
    """Mean of the last WINDOW over mean of the first; None if they overlap or the first is 0."""
    if len(series) < 2 * WINDOW or _mean(series[:WINDOW]) <= 0:
        return None
    return _mean(series[-WINDOW:]) / _mean(series[:WINDOW])
