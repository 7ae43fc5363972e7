"""Learned factors."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .errors import require_positive


class Gains(nn.Module):
    """Learned factors stored as scale / start of what they are, so that one learning rate fits them and the weights.

    The factor is weight * start / scale, and weight starts at scale.

    Args:
        size: how many.
        start: where the factors start, > 0.
        scale: what is stored at the start, > 0.
    """

    def __init__(self, size: int, start: float, scale: float) -> None:
        super().__init__()
        require_positive(start=start, scale=scale)
        self.start, self.scale = start, scale
        self.weight = nn.Parameter(torch.empty(size))

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """The factors at their start."""
        self.weight.detach().fill_(self.scale)

    def forward(self) -> Float[Tensor, "size"]:
        """The factors."""
        return self.weight * (self.start / self.scale)
