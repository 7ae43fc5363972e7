"""Absolute positions: an embedding that is added to that of the tokens."""

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .cost import Cost, dense
from .errors import ArchError, require, require_positive


class AbsolutePosition(Protocol):
    """A value that builds an embedding of positions."""

    def build(self, d_model: int) -> nn.Module:
        """The module `(rows, seq) -> (rows, seq, d_model)`."""
        ...

    def cost(self, d_model: int) -> Cost:
        """What it adds to the model."""
        ...


@dataclass(frozen=True)
class LearnedPositions:
    """One trained vector a position: GPT-2, BERT.

    Args:
        length: positions in the table.
        offset: position p reads row p + offset (2 in OPT and BART, whose first rows are reserved).
    Source: Gehring et al. 2017 (arXiv 1705.03122).
    """

    length: int
    offset: int = 0

    def __post_init__(self) -> None:
        require_positive(length=self.length)

    def build(self, d_model: int) -> "LearnedPositionsModule":
        """The table."""
        return LearnedPositionsModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """`length + offset` vectors, no product."""
        return dense(0, (self.length + self.offset) * d_model)


class LearnedPositionsModule(nn.Module):
    """`LearnedPositions` with its table."""

    def __init__(self, spec: LearnedPositions, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.table = nn.Embedding(spec.length + spec.offset, d_model)

    def forward(self, positions: Int[Tensor, "rows seq"]) -> Float[Tensor, "rows seq d_model"]:
        """The vector of each position; padding (-1) reads that of position 0."""
        longest = self.spec.length - 1
        if positions.numel() and int(positions.max()) > longest:
            raise ArchError(
                f"position {int(positions.max())} is past the learned table of {self.spec.length} positions; "
                f"use at most {longest}, or build with length={int(positions.max()) + 1}"
            )
        output: Tensor = self.table(positions.clamp(min=0) + self.spec.offset)
        return output


@dataclass(frozen=True)
class SinusoidalPositions:
    """P[p, 2i] = sin(p / theta**(2i / d_model)), P[p, 2i+1] = cos of the same: nothing learned, no longest position.

    Args:
        theta: base of the wavelengths.
    Source: Vaswani et al. 2017, section 3.5 (arXiv 1706.03762).
    """

    theta: float = 10_000.0

    def __post_init__(self) -> None:
        require_positive(theta=self.theta)

    def build(self, d_model: int) -> "SinusoidalPositionsModule":
        """The module, without parameters."""
        require(d_model % 2 == 0, f"d_model={d_model} must be even for sinusoids; use {d_model + 1}")
        return SinusoidalPositionsModule(self.theta, d_model)

    def cost(self, d_model: int) -> Cost:
        """Nothing."""
        return Cost()


class SinusoidalPositionsModule(nn.Module):
    """`SinusoidalPositions` for vectors of that width."""

    def __init__(self, theta: float, d_model: int) -> None:
        super().__init__()
        self.theta, self.d_model = theta, d_model

    def forward(self, positions: Int[Tensor, "rows seq"]) -> Float[Tensor, "rows seq d_model"]:
        """The vector of each position, in float32 where it is added to wider or narrower numbers."""
        exponents = torch.arange(0, self.d_model, 2, device=positions.device) / self.d_model
        angles = positions[..., None].float() / self.theta**exponents
        return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)
