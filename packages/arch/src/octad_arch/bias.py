"""Positions as a bias of the attention scores: ALiBi."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .cost import Cost
from .errors import require_positive


class PositionBias(Protocol):
    """A value that builds a bias of attention scores from positions."""

    def build(self, num_heads: int) -> nn.Module:
        """The module: (queries, keys) -> (rows, heads, queries, keys), an `AttentionBias`."""
        ...

    def cost(self, num_heads: int) -> Cost:
        """What it adds to the model."""
        ...


@dataclass(frozen=True)
class ALiBi:
    """-scale * slope_h * distance; slopes 2**(-8h / H), h from 1, for H heads (BLOOM, MPT).

    Where H is no power of two the missing slopes are every other one of the next power's.

    Args:
        scale: factor of the bias; 1 / sqrt(d_head) where it is added before the scores are scaled (Falcon).
        is_rounded: slope_h and slope_h * key position, which the softmax cannot tell from -slope_h * distance, are
            rounded to bfloat16, as Falcon was trained.
    Source: Press et al. 2021 (arXiv 2108.12409).
    """

    scale: float = 1.0
    is_rounded: bool = False

    def __post_init__(self) -> None:
        require_positive(scale=self.scale)

    def build(self, num_heads: int) -> "ALiBiModule":
        """The module, without parameters."""
        return ALiBiModule(self, self.slopes(num_heads))

    def cost(self, num_heads: int) -> Cost:
        """Nothing."""
        return Cost()

    def slopes(self, num_heads: int) -> tuple[float, ...]:
        """One a head."""
        power = 2 ** math.floor(math.log2(num_heads))
        first = [2.0 ** (-8 * h / power) for h in range(1, power + 1)]
        rest = [2.0 ** (-4 * h / power) for h in range(1, 2 * power + 1, 2)]
        return tuple((first + rest)[:num_heads])


class ALiBiModule(nn.Module):
    """`ALiBi` for so many heads."""

    def __init__(self, spec: ALiBi, slopes: tuple[float, ...]) -> None:
        super().__init__()
        self.spec, self.slopes = spec, slopes

    def forward(
        self, queries: Int[Tensor, "rows seq"], keys: Int[Tensor, "rows slots"]
    ) -> Float[Tensor, "rows heads seq slots"]:
        """The bias of each query position towards each key position."""
        slopes_H11 = torch.tensor(self.slopes, device=keys.device)[:, None, None]
        if self.spec.is_rounded:
            bias = (slopes_H11.bfloat16() * keys[:, None, None, :]).float()
            return (bias * self.spec.scale).expand(-1, -1, queries.shape[1], -1)
        distance = (queries[:, :, None] - keys[:, None, :])[:, None]
        return -distance * slopes_H11 * self.spec.scale
