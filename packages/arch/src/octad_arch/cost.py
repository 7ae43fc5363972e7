"""What a part of a model costs, counted from its specification: no tensor is made."""

from dataclasses import dataclass

from .errors import require_positive


@dataclass(frozen=True)
class Cost:
    """Parameters, and work and memory for one token that attends to a context of a given length.

    A part counts itself with `part.cost(d_model, context_length)`; costs add: `layer = mixer + feed_forward`.
    One multiplication with its addition counts as two FLOPs; element-wise work (norms, activations, softmax) counts as
    none, which is also the convention of `torch.utils.flop_counter`.

    Args:
        parameters: all trained numbers.
        active_parameters: those that one token uses (fewer than all with sparse experts).
        matmul_flops: forward FLOPs a token in products with weights.
        attention_flops: forward FLOPs a token in products between tokens (QKᵀ and PV), the whole context attended.
            Averaged over a causal sequence of that length a token sees half of it; kernels that skip the masked
            half do half of this.
        cache_elements: numbers that a cache keeps for each token of the past.
        state_elements: numbers that it keeps whatever the past: the states of recurrent layers.
    """

    parameters: int = 0
    active_parameters: int = 0
    matmul_flops: int = 0
    attention_flops: int = 0
    cache_elements: int = 0
    state_elements: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.parameters + other.parameters,
            self.active_parameters + other.active_parameters,
            self.matmul_flops + other.matmul_flops,
            self.attention_flops + other.attention_flops,
            self.cache_elements + other.cache_elements,
            self.state_elements + other.state_elements,
        )

    @property
    def forward_flops(self) -> int:
        """FLOPs of one token's forward pass."""
        return self.matmul_flops + self.attention_flops

    @property
    def backward_flops(self) -> int:
        """FLOPs of one token's backward pass: 2 products for each with a weight, 5 for the 2 of attention.

        The fifth is QKᵀ, which fused attention computes again instead of storing.
        """
        return 2 * self.matmul_flops + 5 * self.attention_flops // 2

    def kv_bytes(self, element_bytes: float = 2) -> float:
        """Bytes of cache a token of the past, for elements of that many bytes (2: bf16, 1: int8, 0.5: int4)."""
        require_positive(element_bytes=element_bytes)
        return self.cache_elements * element_bytes


def dense(weights: int, others: int = 0) -> Cost:
    """Cost of matrices with so many weights in all, each used once a token, and of other parameters (biases, gains)."""
    return Cost(weights + others, weights + others, matmul_flops=2 * weights)
