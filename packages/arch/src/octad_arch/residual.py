"""Where the norms stand around a block and its residual connection: the placement, as a value.

All placements are one formula with different norms left out:

    x + branch(block(input(x))), then output(...)
"""

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor, nn

from .cost import Cost
from .errors import require_positive
from .norm import Norm


class Placement(Protocol):
    """A value that puts a block on the residual stream."""

    def build(self, block: nn.Module, norm: Norm, d_model: int, depth: int = 0) -> nn.Module:
        """The module `(x, *inputs of the block) -> x`, both of shape (..., d_model); `depth` blocks come before it."""
        ...

    def cost(self, norm: Norm, d_model: int) -> Cost:
        """What the norms add."""
        ...


class Residual(nn.Module):
    """output(x + branch(block(input(x)))); a norm that a placement leaves out is the identity."""

    def __init__(self, block: nn.Module, input: nn.Module, branch: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.block, self.input_norm, self.branch_norm, self.output_norm = block, input, branch, output

    def forward(self, x: Float[Tensor, "... d_model"], *inputs: object) -> Float[Tensor, "... d_model"]:
        """Add what the block makes of x; further inputs are handed to the block."""
        y: Tensor = self.output_norm(x + self.branch_norm(self.block(self.input_norm(x), *inputs)))
        return y


@dataclass(frozen=True)
class PreNorm:
    """x + block(norm(x)): GPT-2, Llama, Qwen (Xiong et al. 2020, arXiv 2002.04745)."""

    def build(self, block: nn.Module, norm: Norm, d_model: int, depth: int = 0) -> Residual:
        """The block with one norm in front."""
        return Residual(block, norm.build(d_model), nn.Identity(), nn.Identity())

    def cost(self, norm: Norm, d_model: int) -> Cost:
        """One norm."""
        return norm.cost(d_model)


@dataclass(frozen=True)
class PostNorm:
    """norm(x + block(x)): the first transformer, BERT (Vaswani et al. 2017, arXiv 1706.03762)."""

    def build(self, block: nn.Module, norm: Norm, d_model: int, depth: int = 0) -> Residual:
        """The block with one norm after the sum."""
        return Residual(block, nn.Identity(), nn.Identity(), norm.build(d_model))

    def cost(self, norm: Norm, d_model: int) -> Cost:
        """One norm."""
        return norm.cost(d_model)


@dataclass(frozen=True)
class SandwichNorm:
    """x + norm(block(norm(x))): CogView, Gemma 2 (Ding et al. 2021, arXiv 2105.13290)."""

    def build(self, block: nn.Module, norm: Norm, d_model: int, depth: int = 0) -> Residual:
        """The block between two norms."""
        return Residual(block, norm.build(d_model), norm.build(d_model), nn.Identity())

    def cost(self, norm: Norm, d_model: int) -> Cost:
        """Two norms."""
        return norm.cost(d_model) + norm.cost(d_model)


@dataclass(frozen=True)
class ReorderedNorm:
    """x + norm(block(x)): OLMo 2 (Liu et al. 2021, arXiv 2111.09883; OLMo 2, arXiv 2501.00656)."""

    def build(self, block: nn.Module, norm: Norm, d_model: int, depth: int = 0) -> Residual:
        """The block with one norm behind it, on the branch."""
        return Residual(block, nn.Identity(), norm.build(d_model), nn.Identity())

    def cost(self, norm: Norm, d_model: int) -> Cost:
        """One norm."""
        return norm.cost(d_model)


@dataclass(frozen=True)
class NoNorm:
    """x + block(x): the first block of ModernBERT, whose input the embedding's norm has just normalised."""

    def build(self, block: nn.Module, norm: Norm, d_model: int, depth: int = 0) -> Residual:
        """The block alone."""
        return Residual(block, nn.Identity(), nn.Identity(), nn.Identity())

    def cost(self, norm: Norm, d_model: int) -> Cost:
        """Nothing."""
        return Cost()


@dataclass(frozen=True)
class NormedStream:
    """kept * n + added * block(n) with n = norm(x): what goes on is normalised too (MiniMax-01, arXiv 2501.08313).

    Args:
        kept: factor of what goes on, > 0.
        added: factor of the branch, > 0.
    """

    kept: float = 1.0
    added: float = 1.0

    def __post_init__(self) -> None:
        require_positive(kept=self.kept, added=self.added)

    def build(self, block: nn.Module, norm: Norm, d_model: int, depth: int = 0) -> "NormedStreamModule":
        """The block behind one norm."""
        return NormedStreamModule(block, norm.build(d_model), self.kept, self.added)

    def cost(self, norm: Norm, d_model: int) -> Cost:
        """One norm."""
        return norm.cost(d_model)


class NormedStreamModule(nn.Module):
    """`NormedStream` with its norm."""

    def __init__(self, block: nn.Module, input: nn.Module, kept: float, added: float) -> None:
        super().__init__()
        self.block, self.input_norm, self.kept, self.added = block, input, kept, added

    def forward(self, x: Float[Tensor, "... d_model"], *inputs: object) -> Float[Tensor, "... d_model"]:
        """Normalise, then add what the block makes of it; further inputs are handed to the block."""
        x = self.input_norm(x)
        y: Tensor = self.kept * x + self.added * self.block(x, *inputs)
        return y


@dataclass(frozen=True)
class Scaled:
    """x + factor * branch: another placement with its branch scaled (Granite).

    Args:
        placement: the one that is scaled.
        factor: > 0.
    """

    placement: Placement
    factor: float

    def __post_init__(self) -> None:
        require_positive(factor=self.factor)

    @property
    def copies(self) -> int:
        """Copies of the stream that the placement works on."""
        return getattr(self.placement, "copies", 1)

    def build(self, block: nn.Module, norm: Norm, d_model: int, depth: int = 0) -> nn.Module:
        """The placement's own module around a block of which the result is scaled."""
        return self.placement.build(ScaledBlock(block, self.factor), norm, d_model, depth)

    def cost(self, norm: Norm, d_model: int) -> Cost:
        """What the placement costs."""
        return self.placement.cost(norm, d_model)


class ScaledBlock(nn.Module):
    """factor * block(x)."""

    def __init__(self, block: nn.Module, factor: float) -> None:
        super().__init__()
        self.block, self.factor = block, factor

    def forward(self, *inputs: object) -> Tensor:
        """What the block gives, scaled."""
        scaled: Tensor = self.block(*inputs) * self.factor
        return scaled
