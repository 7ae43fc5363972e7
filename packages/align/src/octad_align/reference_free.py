"""Preference losses that need no reference model: CPO, SimPO and ORPO."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from octad_align.checks import check_choice, check_not_negative, check_positive, check_same_shape
from octad_align.dpo import smoothed_logistic
from octad_align.errors import AlignError
from octad_align.log_probs import widen
from octad_align.preference import PreferenceLoss

CPO_KINDS = ("sigmoid", "hinge", "ipo")


def cpo_loss(
    policy_chosen: Float[Tensor, " pairs"],
    policy_rejected: Float[Tensor, " pairs"],
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    kind: str = "sigmoid",
    nll_weight: float = 1.0,
) -> PreferenceLoss:
    """L = -log sigma(beta [log pi(y_w) - log pi(y_l)]) - nll_weight log pi(y_w).

    Args:
        policy_chosen: summed log-probabilities of the chosen answers.
        policy_rejected: the same of the rejected answers.
        beta: > 0.
        label_smoothing: in [0, 0.5), for `sigmoid`.
        kind: `sigmoid`, `hinge` or `ipo`.
        nll_weight: >= 0, on the answers' summed negative log-likelihood.

    Raises:
        AlignError: shapes differ or a number is out of its range.
    Source: Xu et al. 2024, eq. 3 and 5 (arXiv 2401.08417).
    """
    chosen, rejected = _checked(policy_chosen, policy_rejected, beta, label_smoothing)
    check_choice("kind", kind, CPO_KINDS)
    check_not_negative(nll_weight=nll_weight)
    if label_smoothing and kind != "sigmoid":
        raise AlignError(f"label_smoothing={label_smoothing} has no use with kind={kind!r}; use kind='sigmoid'")
    delta = chosen - rejected
    if kind == "sigmoid":
        losses = smoothed_logistic(beta * delta, label_smoothing)
    elif kind == "hinge":
        losses = (1 - beta * delta).relu()
    else:
        losses = (delta - 1 / (2 * beta)) ** 2
    return PreferenceLoss(losses - nll_weight * chosen, beta * chosen.detach(), beta * rejected.detach())


def simpo_loss(
    policy_chosen: Float[Tensor, " pairs"],
    policy_rejected: Float[Tensor, " pairs"],
    *,
    beta: float = 2.0,
    gamma: float = 0.5,
    label_smoothing: float = 0.0,
) -> PreferenceLoss:
    """L = -log sigma(beta [log pi(y_w) / |y_w| - log pi(y_l) / |y_l|] - gamma).

    Args:
        policy_chosen: log-probabilities averaged over tokens (`sequence_log_probs(..., average=True)`).
        policy_rejected: the same of the rejected answers.
        beta: > 0.
        gamma: target margin between the rewards, >= 0.
        label_smoothing: in [0, 0.5).

    Raises:
        AlignError: shapes differ or a number is out of its range.
    Source: Meng et al. 2024, eq. 6 (arXiv 2405.14734).
    """
    chosen, rejected = _checked(policy_chosen, policy_rejected, beta, label_smoothing)
    check_not_negative(gamma=gamma)
    losses = smoothed_logistic(beta * (chosen - rejected) - gamma, label_smoothing)
    return PreferenceLoss(losses, beta * chosen.detach(), beta * rejected.detach())


def orpo_loss(
    policy_chosen: Float[Tensor, " pairs"],
    policy_rejected: Float[Tensor, " pairs"],
    *,
    beta: float = 0.1,
    nll_weight: float = 1.0,
) -> PreferenceLoss:
    """L = -nll_weight log p_w - beta log sigma(log odds(p_w) - log odds(p_l)), odds(p) = p / (1 - p).

    Args:
        policy_chosen: log-probabilities averaged over tokens, below 0.
        policy_rejected: the same of the rejected answers.
        beta: > 0, weight of the odds ratio (the paper's lambda).
        nll_weight: >= 0; 1 is the paper's.

    Raises:
        AlignError: shapes differ or a number is out of its range.
    Source: Hong et al. 2024, eq. 4, 6 and 7 (arXiv 2403.07691).
    """
    chosen, rejected = _checked(policy_chosen, policy_rejected, beta, 0.0)
    check_not_negative(nll_weight=nll_weight)
    log_odds_ratio = (chosen - rejected) - (_log1mexp(chosen) - _log1mexp(rejected))
    losses = -beta * logsigmoid(log_odds_ratio) - nll_weight * chosen
    return PreferenceLoss(losses, beta * chosen.detach(), beta * rejected.detach())


def _checked(chosen: Tensor, rejected: Tensor, beta: float, label_smoothing: float) -> tuple[Tensor, Tensor]:
    check_same_shape(policy_chosen=chosen, policy_rejected=rejected)
    check_positive(beta=beta)
    if not 0 <= label_smoothing < 0.5:
        raise AlignError(f"label_smoothing={label_smoothing} must be in [0, 0.5): a share of wrong labels")
    return widen(chosen), widen(rejected)


def _log1mexp(log_p: Tensor) -> Tensor:
    """log(1 - exp(log_p)) for log_p <= 0, by whichever form keeps its digits (Maechler 2012)."""
    # p = 1 has infinite odds: the smallest step below 0 keeps value and gradient finite
    log_p = log_p.clamp(max=-torch.finfo(log_p.dtype).eps)
    is_near_zero = log_p > -0.6931471805599453
    near = torch.where(is_near_zero, log_p, -0.5)
    far = torch.where(is_near_zero, -1.0, log_p)
    return torch.where(is_near_zero, (-torch.expm1(near)).log(), torch.log1p(-far.exp()))
