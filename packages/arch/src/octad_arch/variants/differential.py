"""Differential attention: the difference of two attentions, in which what both see cancels."""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..context import Context, Rotary, RotationKey
from ..cost import Cost, dense
from ..errors import require, require_positive
from ..linear import ResidualOutput
from ..mixing import self_attention
from ..rope import RoPE


@dataclass(frozen=True)
class DifferentialAttention:
    """(1 - λ_0) norm((softmax(q₁ k₁ᵀ) - λ softmax(q₂ k₂ᵀ)) v) with values twice as wide as a key.

    λ = exp(a₁·b₁) - exp(a₂·b₂) + λ_0 with four learned vectors, λ_0 = 0.8 - 0.6 exp(-0.3 layer); scores are divided by
    sqrt(d_head), the norm is RMSNorm without gain over each head's 2 d_head channels. Heads h and h + H/2 are a pair,
    key heads likewise.

    Args:
        num_heads: query heads, two for each attention; even.
        num_kv_heads: key heads, an even divisor of num_heads.
        d_head: width of a query and of a key.
        position: rotary embedding, or None.
        bias: offsets of the four maps.
        eps: of the norm.
    Source: Ye et al. 2024 (arXiv 2410.05258).
    """

    num_heads: int
    num_kv_heads: int
    d_head: int
    position: Rotary | None = field(default=RoPE())
    bias: bool = False
    eps: float = 1e-5

    def __post_init__(self) -> None:
        require_positive(num_heads=self.num_heads, num_kv_heads=self.num_kv_heads, d_head=self.d_head, eps=self.eps)
        require(
            self.num_heads % self.num_kv_heads == 0 and self.num_kv_heads % 2 == 0,
            f"num_kv_heads={self.num_kv_heads} must be even and divide num_heads={self.num_heads}",
        )
        if self.position is not None:
            self.position.check(self.d_head)

    def build(self, d_model: int, layer: int = 0) -> "DifferentialAttentionModule":
        """The module for a model of that width; `layer` also decides λ_0."""
        return DifferentialAttentionModule(self, d_model, layer)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotations that a forward pass must hold ready for it."""
        return () if self.position is None else ((self.position, self.d_head),)

    def cost(self, d_model: int, context_length: int) -> Cost:
        """Four matrices, four vectors, and 6 * num_heads * d_head FLOPs a token attended."""
        inner, kv_inner = self.num_heads * self.d_head, self.num_kv_heads * self.d_head
        total = dense(2 * d_model * (inner + kv_inner), self.bias * (inner + 2 * kv_inner + d_model) + 4 * self.d_head)
        activations = d_model + 8 * inner + self.num_heads * context_length + self.num_heads // 2
        flops = 6 * inner * context_length
        return total + Cost(attention_flops=flops, cache_elements=2 * kv_inner, activation_elements=activations)


class DifferentialAttentionModule(nn.Module):
    """`DifferentialAttention` with its weights. Shapes: B batch, S seq, H heads, K key heads, E d_head."""

    def __init__(self, spec: DifferentialAttention, d_model: int, layer: int) -> None:
        super().__init__()
        self.spec, self.layer, self.self_attention = spec, layer, self_attention
        inner, kv_inner = spec.num_heads * spec.d_head, spec.num_kv_heads * spec.d_head
        self.query = nn.Linear(d_model, inner, bias=spec.bias)
        self.key = nn.Linear(d_model, kv_inner, bias=spec.bias)
        self.value = nn.Linear(d_model, kv_inner, bias=spec.bias)
        self.lambdas = nn.Parameter(torch.empty(4, spec.d_head))  # a1, b1, a2, b2
        self.output = ResidualOutput(inner, d_model, bias=spec.bias)
        self.start = 0.8 - 0.6 * math.exp(-0.3 * layer)

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """The four vectors from N(0, 0.1²)."""
        drawn = torch.empty(self.lambdas.shape, device=generator.device).normal_(0.0, 0.1, generator=generator)
        self.lambdas.detach().copy_(drawn)

    def forward(self, x: Float[Tensor, "batch seq d_model"], context: Context) -> Float[Tensor, "batch seq d_model"]:
        """Attend twice and take the difference, within the input or over the cache."""
        spec = self.spec
        q_BHSE, k_BKSE, v_BKSE = (
            part(x).unflatten(-1, (-1, spec.d_head)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        for key in spec.rotation_keys:
            q_BHSE, k_BKSE = (key[0].rotate(y, context.rotations[key]) for y in (q_BHSE, k_BKSE))
        v_BJSV = torch.cat(v_BKSE.chunk(2, 1), -1)  # J = K / 2 pairs of key heads
        if context.cache is None:
            mixed_BHSV = self.self_attention(q_BHSE, k_BKSE, v_BJSV.repeat(1, 2, 1, 1))
        else:
            mixed_BHSV = self._attend(q_BHSE, torch.cat(k_BKSE.chunk(2, 1), -1), v_BJSV, context)
        first, second = mixed_BHSV.chunk(2, 1)
        a1, b1, a2, b2 = self.lambdas.float()
        size = ((a1 @ b1).exp() - (a2 @ b2).exp() + self.start).to(x.dtype)
        difference = F.rms_norm(first - size * second, (2 * spec.d_head,), None, spec.eps)
        output: Tensor = self.output((1 - self.start) * difference.transpose(1, 2).flatten(2))
        return output

    def _attend(self, q_BHSE: Tensor, k_BJSV: Tensor, v_BJSV: Tensor, context: Context) -> Tensor:
        """Over the cache, which keeps a pair's keys side by side, its values once; a query is zero at the other key."""
        assert context.cache is not None
        (batch, _, seq, d_head), pairs = q_BHSE.shape, k_BJSV.shape[1]
        first, second = (half.reshape(batch, pairs, -1, seq, d_head) for half in q_BHSE.chunk(2, 1))
        grouped = torch.cat((F.pad(first, (0, d_head)), F.pad(second, (d_head, 0))), 2).flatten(1, 2)
        positions = context.positions.expand(batch, -1)
        mixed = context.cache.attend(self.layer, grouped, k_BJSV, v_BJSV, positions, scale=d_head**-0.5)
        halves = mixed.reshape(batch, pairs, -1, seq, mixed.shape[-1]).chunk(2, 2)
        return torch.cat([half.flatten(1, 2) for half in halves], 1)
