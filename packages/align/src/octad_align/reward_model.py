"""Reward models: the Bradley-Terry likelihood of a human's choice between two answers."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import logsigmoid

from octad_align.checks import check_not_negative, check_same_shape
from octad_align.errors import AlignError
from octad_align.log_probs import widen
from octad_align.preference import PreferenceLoss


def bradley_terry_loss(
    chosen_scores: Float[Tensor, " pairs"],
    rejected_scores: Float[Tensor, " pairs"],
    *,
    margin: Float[Tensor, " pairs"] | float | None = None,
    centering: float = 0.0,
) -> PreferenceLoss:
    """L = -log sigma(r_w - r_l - margin) + centering (r_w + r_l)^2.

    Args:
        chosen_scores: r_w, the model's score of each preferred answer.
        rejected_scores: r_l.
        margin: how much better the preferred answer was judged to be; one a pair, or one for all.
        centering: >= 0; pulls the scores' free offset to 0 (0.01 is usual).

    Returns:
        Losses, with the scores themselves as rewards.

    Raises:
        AlignError: shapes differ or centering is below 0.
    Source: Bradley and Terry 1952; Touvron et al. 2023, eq. 2 for the margin (arXiv 2307.09288); Eisenstein et al.
        2023 for the centering (arXiv 2312.09244).
    """
    check_same_shape(
        chosen_scores=chosen_scores,
        rejected_scores=rejected_scores,
        margin=margin if isinstance(margin, Tensor) and margin.ndim else None,
    )
    check_not_negative(centering=centering)
    chosen, rejected = widen(chosen_scores), widen(rejected_scores)
    difference = chosen - rejected
    losses = -logsigmoid(difference if margin is None else difference - margin)
    if centering:
        losses = losses + centering * (chosen + rejected) ** 2
    return PreferenceLoss(losses, chosen.detach(), rejected.detach())


def last_token_scores(scores: Float[Tensor, "batch seq"], mask: Shaped[Tensor, "batch seq"]) -> Float[Tensor, " batch"]:
    """Score at each sequence's last true position of the mask, whichever side the padding is on.

    Raises:
        AlignError: shapes differ, or a row of the mask is empty.
    """
    check_same_shape(scores=scores, mask=mask)
    keep = mask != 0
    is_empty = ~keep.any(-1)
    if bool(is_empty.any()):
        raise AlignError(f"mask has {int(is_empty.sum())} empty rows; every sequence needs at least one token")
    positions = torch.arange(scores.shape[-1], device=scores.device)
    last = positions.where(keep, -1).amax(-1)
    return scores.gather(-1, last.unsqueeze(-1)).squeeze(-1)
