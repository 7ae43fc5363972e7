"""What every preference loss returns."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class PreferenceLoss:
    """Losses and implicit rewards of a batch of (chosen, rejected) pairs.

    Attributes:
        losses: one a pair, with gradient.
        chosen_rewards: implicit reward of each chosen answer, detached.
        rejected_rewards: the same for the rejected ones.
    """

    losses: Float[Tensor, " pairs"]
    chosen_rewards: Float[Tensor, " pairs"]
    rejected_rewards: Float[Tensor, " pairs"]

    @property
    def loss(self) -> Float[Tensor, ""]:
        """Mean of the losses; 0 (with a graph) for no pairs."""
        return self.losses.sum() / max(self.losses.numel(), 1)

    @property
    def margins(self) -> Float[Tensor, " pairs"]:
        """Reward of the chosen answer minus reward of the rejected one."""
        return self.chosen_rewards - self.rejected_rewards

    @property
    def is_correct(self) -> Bool[Tensor, " pairs"]:
        """True where the chosen answer has the higher reward; a tie is not correct."""
        return self.chosen_rewards > self.rejected_rewards

    @property
    def margin(self) -> float:
        """Mean margin; 0 for no pairs."""
        return float(self.margins.sum()) / max(self.margins.numel(), 1)

    @property
    def accuracy(self) -> float:
        """Share of the pairs that are ordered correctly; 0 for no pairs."""
        return float(self.is_correct.sum()) / max(self.margins.numel(), 1)
