"""Positions as a bias of the attention scores: ALiBi."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .cost import Cost


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
    """-slope_h * distance; slopes 2**(-8h / H), h from 1, for H heads (BLOOM, MPT).

    Where H is no power of two the missing slopes are every other one of the next power's.
    Source: Press et al. 2021 (arXiv 2108.12409).
    """

    def build(self, num_heads: int) -> "ALiBiModule":
        """The module, without parameters."""
        return ALiBiModule(self.slopes(num_heads))

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

    def __init__(self, slopes: tuple[float, ...]) -> None:
        super().__init__()
        self.slopes = slopes

    def forward(
        self, queries: Int[Tensor, "rows seq"], keys: Int[Tensor, "rows slots"]
    ) -> Float[Tensor, "rows heads seq slots"]:
        """The bias of each query position towards each key position."""
        distance = (queries[:, :, None] - keys[:, None, :])[:, None]
        return -distance * torch.tensor(self.slopes, device=keys.device)[:, None, None]
