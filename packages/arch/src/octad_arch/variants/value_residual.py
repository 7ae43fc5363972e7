"""What attention mixes into its values: those of an earlier layer, or an embedding of the tokens.

All are a `ValueMix`, given as `Attention(value_mix=...)`. What a cache keeps are the mixed values, so it need not know.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..context import Context
from ..cost import Cost, dense
from ..errors import ArchError, require, require_positive
from ..norm import Norm

_NOTE = "first_value"


@dataclass(frozen=True)
class KeepValue:
    """v, kept as v_1 for every `ValueResidual` after it: for the first layer."""

    keeps_values: ClassVar = True

    def build(self, d_model: int, num_kv_heads: int, d_head: int) -> "KeepValueModule":
        """The module, without parameters."""
        return KeepValueModule()

    def cost(self, d_model: int, num_kv_heads: int, d_head: int) -> Cost:
        """Nothing."""
        return Cost()


class KeepValueModule(nn.Module):
    """`KeepValue`."""

    def forward(self, v: Float[Tensor, "batch kv_heads seq d_head"], x: Tensor, context: Context) -> Tensor:
        """V itself."""
        context.notes[_NOTE] = v
        return v


@dataclass(frozen=True)
class ValueResidual:
    """v' = λ v + λ_1 v_1, with v_1 the values of the layer that has `KeepValue`; ResFormer.

    Args:
        own: λ, where it starts.
        first: λ_1.
        is_learned: learn the two numbers; False keeps them (Identity-ResFormer).
        is_convex: learn λ_1 alone, with λ = 1 - λ_1 (modded-nanogpt).
    Source: Zhou et al. 2024 (arXiv 2410.17897), eq. 4 and section 3.3.
    """

    own: float = 0.5
    first: float = 0.5
    is_learned: bool = True
    is_convex: bool = False

    def __post_init__(self) -> None:
        fits = not self.is_convex or abs(self.own + self.first - 1) < 1e-9
        require(fits, f"is_convex=True, but own={self.own} and first={self.first} do not add up to 1")
        require(self.is_learned or not self.is_convex, "is_convex=True says what is learned; give is_learned=True")

    def build(self, d_model: int, num_kv_heads: int, d_head: int) -> "ValueResidualModule":
        """The module with its numbers."""
        return ValueResidualModule(self)

    def cost(self, d_model: int, num_kv_heads: int, d_head: int) -> Cost:
        """Two numbers, or one, or none."""
        return dense(0, self.is_learned * (2 - self.is_convex), self.is_learned * num_kv_heads * d_head)


class ValueResidualModule(nn.Module):
    """`ValueResidual` with its weights."""

    def __init__(self, spec: ValueResidual) -> None:
        super().__init__()
        self.spec = spec
        self.lambdas = nn.Parameter(torch.empty(2 - spec.is_convex)) if spec.is_learned else None

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """As the value says."""
        if self.lambdas is not None:
            start = [self.spec.first] if self.spec.is_convex else [self.spec.own, self.spec.first]
            self.lambdas.detach().copy_(torch.tensor(start))

    def forward(self, v: Float[Tensor, "batch kv_heads seq d_head"], x: Tensor, context: Context) -> Tensor:
        """The mixed values."""
        if _NOTE not in context.notes:
            raise ArchError("ValueResidual, but no layer before kept its values; give the first value_mix=KeepValue()")
        first = context.notes[_NOTE]
        if first.shape != v.shape:
            raise ArchError(f"values of shape {tuple(v.shape)} cannot be mixed with the first, {tuple(first.shape)}")
        if self.lambdas is None:
            return self.spec.own * v + self.spec.first * first
        own = 1 - self.lambdas[0] if self.spec.is_convex else self.lambdas[0]
        return own * v + self.lambdas[-1] * first


@dataclass(frozen=True)
class NormedValue:
    """norm(v), each head by itself (Gemma 4).

    Args:
        norm: such as `RMSNorm(gain=False)`.
    """

    norm: Norm

    def build(self, d_model: int, num_kv_heads: int, d_head: int) -> "NormedValueModule":
        """The module with its norm."""
        return NormedValueModule(self.norm.build(d_head))

    def cost(self, d_model: int, num_kv_heads: int, d_head: int) -> Cost:
        """The norm."""
        own = self.norm.cost(d_head)
        return own + Cost(activation_elements=(num_kv_heads - 1) * own.activation_elements)


class NormedValueModule(nn.Module):
    """`NormedValue` with its norm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, v: Float[Tensor, "batch kv_heads seq d_head"], x: Tensor, context: Context) -> Tensor:
        """The normalised values."""
        normalised: Tensor = self.norm(v)
        return normalised


@dataclass(frozen=True)
class ValueEmbedding:
    """v' = v + 2 sigmoid(G x[:c]) E[token], an embedding of the layer's own and a gate a head (nanochat).

    Args:
        vocab_size: rows of E.
        gate_channels: c, how many channels of x the gate reads.
    Source: Karpathy 2025 (nanochat), after Zhou et al. 2024 (arXiv 2410.17897) and modded-nanogpt.
    """

    vocab_size: int
    gate_channels: int = 32

    def __post_init__(self) -> None:
        require_positive(vocab_size=self.vocab_size, gate_channels=self.gate_channels)

    def build(self, d_model: int, num_kv_heads: int, d_head: int) -> "ValueEmbeddingModule":
        """The module with its table and its gate."""
        fits = self.gate_channels <= d_model
        require(fits, f"gate_channels={self.gate_channels} of d_model={d_model}; read fewer")
        return ValueEmbeddingModule(self, num_kv_heads, d_head)

    def cost(self, d_model: int, num_kv_heads: int, d_head: int) -> Cost:
        """The table and the gate."""
        kept = num_kv_heads * (d_head + 2)
        return dense(self.gate_channels * num_kv_heads, self.vocab_size * num_kv_heads * d_head, kept)


class ValueEmbeddingModule(nn.Module):
    """`ValueEmbedding` with its weights."""

    def __init__(self, spec: ValueEmbedding, num_kv_heads: int, d_head: int) -> None:
        super().__init__()
        self.spec, self.d_head = spec, d_head
        self.table = nn.Embedding(spec.vocab_size, num_kv_heads * d_head)
        self.gate = ValueGate(spec.gate_channels, num_kv_heads, bias=False)

    def forward(self, v: Float[Tensor, "batch kv_heads seq d_head"], x: Tensor, context: Context) -> Tensor:
        """The values with the tokens' own added."""
        if context.tokens is None:
            raise ArchError("ValueEmbedding needs context.tokens; give Context(tokens=...)")
        added = self.table(context.tokens).unflatten(-1, (-1, self.d_head))
        gate = 2 * torch.sigmoid(self.gate(x[..., : self.spec.gate_channels]))
        mixed: Tensor = v + (gate[..., None] * added).transpose(1, 2)
        return mixed


class ValueGate(nn.Linear):
    """The gate of `ValueEmbedding`; starts at 0, so that 2 sigmoid is 1."""

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """All 0."""
        self.weight.detach().zero_()
