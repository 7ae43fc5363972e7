"""Direct preference optimisation and its kin: losses on pairs, against a frozen reference.

With the log-ratios w = log pi(y_w) - log pi_ref(y_w) and l likewise for the rejected answer, and delta = w - l:

    sigmoid       -(1 - e) log sigma(beta delta) - e log sigma(-beta delta)               Rafailov 2023; e: cDPO
    sigmoid_norm  the same on w / |y_w| - l / |y_l|                                       Meng 2024, with a reference
    robust        (that with -e in place of +e) / (1 - 2e)                                Chowdhury 2024
    hinge         max(0, 1 - beta delta)                                                  Zhao 2023 (SLiC)
    ipo           (delta - 1 / (2 beta))^2, on w / |y_w| and l / |y_l| if lengths given   Azar 2023, eq. 17
    exo_pair      KL(sigma(beta delta) || 1 - e)                                          Ji 2024, eq. 16
    nca_pair      -log sigma(beta w) - (log sigma(-beta w) + log sigma(-beta l)) / 2      Chen 2024
    sppo_hard     (w - 1 / (2 beta))^2 + (l + 1 / (2 beta))^2                             Wu 2024, eq. 4.7
    apo_zero      1 - sigma(beta w) + sigma(beta l)                                       D'Oosterlinck 2024, eq. 7
    apo_down      sigma(beta w) + 1 - sigma(beta delta)                                   the same, eq. 8
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import logsigmoid

from octad_align.checks import check_choice, check_not_negative, check_positive, check_same_shape
from octad_align.errors import AlignError
from octad_align.log_probs import widen
from octad_align.preference import PreferenceLoss


@dataclass(frozen=True)
class _Ratios:
    chosen: Tensor
    rejected: Tensor
    beta: float
    label_smoothing: float

    @property
    def delta(self) -> Tensor:
        return self.chosen - self.rejected


def _sigmoid(r: _Ratios) -> Tensor:
    return smoothed_logistic(r.beta * r.delta, r.label_smoothing)


def _robust(r: _Ratios) -> Tensor:
    smoothing, score = r.label_smoothing, r.beta * r.delta
    return (smoothing * logsigmoid(-score) - (1 - smoothing) * logsigmoid(score)) / (1 - 2 * smoothing)


def _hinge(r: _Ratios) -> Tensor:
    return (1 - r.beta * r.delta).relu()


def _ipo(r: _Ratios) -> Tensor:
    return (r.delta - 1 / (2 * r.beta)) ** 2


def _exo_pair(r: _Ratios) -> Tensor:
    score = r.beta * r.delta
    chosen_term = score.sigmoid() * (logsigmoid(score) - math.log1p(-r.label_smoothing))
    return chosen_term + (-score).sigmoid() * (logsigmoid(-score) - math.log(r.label_smoothing))


def _nca_pair(r: _Ratios) -> Tensor:
    chosen, rejected = r.beta * r.chosen, r.beta * r.rejected
    return -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)


def _sppo_hard(r: _Ratios) -> Tensor:
    return (r.chosen - 0.5 / r.beta) ** 2 + (r.rejected + 0.5 / r.beta) ** 2


def _apo_zero(r: _Ratios) -> Tensor:
    return 1 - (r.beta * r.chosen).sigmoid() + (r.beta * r.rejected).sigmoid()


def _apo_down(r: _Ratios) -> Tensor:
    return (r.beta * r.chosen).sigmoid() + 1 - (r.beta * r.delta).sigmoid()


_LOSSES: dict[str, Callable[[_Ratios], Tensor]] = {
    "sigmoid": _sigmoid,
    "sigmoid_norm": _sigmoid,
    "robust": _robust,
    "hinge": _hinge,
    "ipo": _ipo,
    "exo_pair": _exo_pair,
    "nca_pair": _nca_pair,
    "sppo_hard": _sppo_hard,
    "apo_zero": _apo_zero,
    "apo_down": _apo_down,
}
DPO_KINDS = tuple(_LOSSES)
_SMOOTHED = ("sigmoid", "sigmoid_norm", "robust", "exo_pair")


def smoothed_logistic(score: Tensor, label_smoothing: float) -> Tensor:
    """-(1 - e) log sigma(score) - e log sigma(-score): the logistic loss when a share e of the labels is wrong."""
    loss = -(1 - label_smoothing) * logsigmoid(score)
    return loss - label_smoothing * logsigmoid(-score) if label_smoothing else loss


def dpo_loss(
    policy_chosen: Float[Tensor, " pairs"],
    policy_rejected: Float[Tensor, " pairs"],
    reference_chosen: Float[Tensor, " pairs"],
    reference_rejected: Float[Tensor, " pairs"],
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    kind: str = "sigmoid",
    nll_weight: float = 0.0,
    chosen_lengths: Shaped[Tensor, " pairs"] | None = None,
    rejected_lengths: Shaped[Tensor, " pairs"] | None = None,
) -> PreferenceLoss:
    """L = -log sigma(beta [(log pi/pi_ref)(y_w) - (log pi/pi_ref)(y_l)]), or a kin of it (the module's table).

    Args:
        policy_chosen: summed log-probabilities of the chosen answers (`sequence_log_probs`), with gradient.
        policy_rejected: the same of the rejected answers.
        reference_chosen: the same under the frozen reference; its gradient is cut.
        reference_rejected: the same.
        beta: > 0; strength of the pull towards the reference (IPO's tau).
        label_smoothing: e in [0, 0.5), the believed share of wrong labels (sigmoid, robust, exo_pair).
        kind: a name from DPO_KINDS.
        nll_weight: weight of the chosen answers' negative log-likelihood, which keeps them likely (RPO). With
            chosen_lengths it is the mean over the batch's tokens, without it the mean over answers.
        chosen_lengths: tokens in each chosen answer; sigmoid_norm needs both lengths, ipo averages by them if given.
        rejected_lengths: the same for the rejected answers.

    Returns:
        Losses and rewards beta log(pi/pi_ref) of each pair.

    Raises:
        AlignError: shapes differ, a number is out of its range, or an argument has no use in this kind.
    Source: Rafailov et al. 2023, eq. 7 (arXiv 2305.18290); Pang et al. 2024 for the NLL term (arXiv 2404.19733).
    """
    check_same_shape(
        policy_chosen=policy_chosen,
        policy_rejected=policy_rejected,
        reference_chosen=reference_chosen,
        reference_rejected=reference_rejected,
        chosen_lengths=chosen_lengths,
        rejected_lengths=rejected_lengths,
    )
    check_positive(beta=beta)
    check_not_negative(nll_weight=nll_weight)
    check_choice("kind", kind, DPO_KINDS)
    _check_smoothing(kind, label_smoothing)
    policy_chosen, policy_rejected = widen(policy_chosen), widen(policy_rejected)
    chosen = policy_chosen - widen(reference_chosen).detach()
    rejected = policy_rejected - widen(reference_rejected).detach()
    scaled = _scale_by_length(kind, chosen, rejected, chosen_lengths, rejected_lengths)
    losses = _LOSSES[kind](_Ratios(*scaled, beta, label_smoothing))
    if nll_weight:
        losses = losses - nll_weight * _token_share(policy_chosen, chosen_lengths)
    return PreferenceLoss(losses, beta * chosen.detach(), beta * rejected.detach())


def _scale_by_length(
    kind: str, chosen: Tensor, rejected: Tensor, chosen_lengths: Tensor | None, rejected_lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    if kind not in ("ipo", "sigmoid_norm"):
        return chosen, rejected
    if chosen_lengths is None or rejected_lengths is None:
        if kind == "ipo" and rejected_lengths is None and chosen_lengths is None:
            return chosen, rejected
        raise AlignError(f"kind={kind!r} divides by the lengths; pass both chosen_lengths and rejected_lengths")
    return chosen / chosen_lengths.clamp(min=1), rejected / rejected_lengths.clamp(min=1)


def _token_share(policy_chosen: Tensor, chosen_lengths: Tensor | None) -> Tensor:
    """Each answer's part, such that the mean over pairs is the mean over the batch's tokens."""
    if chosen_lengths is None:
        return policy_chosen
    return policy_chosen * policy_chosen.numel() / chosen_lengths.sum().clamp(min=1)


def _check_smoothing(kind: str, label_smoothing: float) -> None:
    if not 0 <= label_smoothing < 0.5:
        raise AlignError(f"label_smoothing={label_smoothing} must be in [0, 0.5): a share of wrong labels")
    if label_smoothing and kind not in _SMOOTHED:
        raise AlignError(
            f"label_smoothing={label_smoothing} has no use with kind={kind!r}; use 0 or one of {', '.join(_SMOOTHED)}"
        )
    if kind == "exo_pair" and not label_smoothing:
        raise AlignError("label_smoothing=0 makes exo_pair infinite (it takes its log); use 0.001")
