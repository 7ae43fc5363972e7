"""Attention of a decoder over the states of an encoder."""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .context import Context, RotationKey
from .cost import UNCOUNTED, Cost, dense
from .errors import ArchError, require, require_positive
from .linear import ResidualOutput


@dataclass(frozen=True)
class CrossAttention:
    """softmax(q kᵀ / sqrt(d_head)) v with q from the decoder's stream, k and v from the encoder's states.

    Args:
        num_heads: query heads.
        num_kv_heads: key and value heads, a divisor of num_heads.
        d_head: width of a head.
        bias: offsets of the query, key and value maps.
        output_bias: offset of the output map.
        scale: factor of the scores; None means 1 / sqrt(d_head).
    Source: Vaswani et al. 2017, section 3.2.3 (arXiv 1706.03762).
    """

    num_heads: int
    num_kv_heads: int
    d_head: int
    bias: bool = False
    output_bias: bool = False
    scale: float | None = None

    def __post_init__(self) -> None:
        require_positive(num_heads=self.num_heads, num_kv_heads=self.num_kv_heads, d_head=self.d_head)
        require(
            self.num_heads % self.num_kv_heads == 0,
            f"num_kv_heads={self.num_kv_heads} does not divide num_heads={self.num_heads}",
        )

    def build(self, d_model: int, layer: int = 0) -> "CrossAttentionModule":
        """The module for a model of that width; the memory keeps its keys and values under `layer`."""
        return CrossAttentionModule(self, d_model, layer)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """None: the two sequences have no positions in common."""
        return ()

    def cost(self, d_model: int, context_length: int) -> Cost:
        """Four matrices and their offsets, of which the key's and value's work once a state, not once a token."""
        inner, kv_inner = self.num_heads * self.d_head, self.num_kv_heads * self.d_head
        total = dense(2 * d_model * inner, self.bias * inner + self.output_bias * d_model)
        once = 2 * kv_inner * (d_model + self.bias)
        return total + UNCOUNTED + Cost(once, once, attention_flops=4 * inner * context_length)


class CrossAttentionModule(nn.Module):
    """`CrossAttention` with its weights."""

    def __init__(self, spec: CrossAttention, d_model: int, layer: int) -> None:
        super().__init__()
        self.spec, self.layer = spec, layer
        inner, kv_inner = spec.num_heads * spec.d_head, spec.num_kv_heads * spec.d_head
        self.query = nn.Linear(d_model, inner, bias=spec.bias)
        self.key = nn.Linear(d_model, kv_inner, bias=spec.bias)
        self.value = nn.Linear(d_model, kv_inner, bias=spec.bias)
        self.output = ResidualOutput(inner, d_model, bias=spec.output_bias)

    def forward(self, x: Float[Tensor, "batch seq d_model"], context: Context) -> Float[Tensor, "batch seq d_model"]:
        """Mix the encoder's states into every position.

        Raises:
            ArchError: no memory, or one of another number of rows.
        """
        memory = context.memory
        if memory is None or len(memory.states) != len(x):
            given = "none" if memory is None else f"one of {len(memory.states)} rows"
            raise ArchError(f"cross-attention of {len(x)} rows needs a memory of as many, but was given {given}")
        query = self._heads(self.query(x))
        key, value = memory.project(self.layer, self._keys_and_values)
        mask = None if memory.keep is None else memory.keep[:, None, None, :]
        is_grouped = self.spec.num_kv_heads != self.spec.num_heads
        mixed = F.scaled_dot_product_attention(query, key, value, mask, scale=self.spec.scale, enable_gqa=is_grouped)
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return output

    def _keys_and_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        return self._heads(self.key(states)), self._heads(self.value(states))

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, self.spec.d_head).transpose(1, 2)
