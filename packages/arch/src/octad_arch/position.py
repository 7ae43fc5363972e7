"""Absolute positions: an embedding that is added to that of the tokens."""

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor, nn

from .cost import Cost, dense
from .errors import ArchError, require_positive


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
