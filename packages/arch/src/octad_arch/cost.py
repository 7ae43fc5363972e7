"""What a part of a model costs, counted from its specification: no tensor is made."""

import math
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
        activation_elements: numbers a token that training keeps from the forward to the backward pass, in a sequence of
            the context's length: every distinct tensor once, parameters, indices, masks and what rows share left out.
            A part counts what it reads, where it keeps that, and not what it gives. As torch keeps them in float32; in
            16 bits some norms keep 32 of a few. NaN: not counted for some part.
        checkpoint_elements: the same where each layer keeps its input alone and computes the rest again.
    """

    parameters: int = 0
    active_parameters: int = 0
    matmul_flops: int = 0
    attention_flops: int = 0
    cache_elements: int = 0
    state_elements: int = 0
    activation_elements: float = 0
    checkpoint_elements: float = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.parameters + other.parameters,
            self.active_parameters + other.active_parameters,
            self.matmul_flops + other.matmul_flops,
            self.attention_flops + other.attention_flops,
            self.cache_elements + other.cache_elements,
            self.state_elements + other.state_elements,
            self.activation_elements + other.activation_elements,
            self.checkpoint_elements + other.checkpoint_elements,
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

    def activation_bytes(self, element_bytes: float = 2, checkpointed: bool = False) -> float:
        """Bytes a token that training keeps for the backward pass, for elements of that many bytes.

        Args:
            element_bytes: 2: bf16, 4: float32.
            checkpointed: each layer keeps its input alone; one at a time also keeps its own, which `layer.cost(...)`
                tells, while it is computed again.
        """
        require_positive(element_bytes=element_bytes)
        return (self.checkpoint_elements if checkpointed else self.activation_elements) * element_bytes

    def kv_bytes(self, element_bytes: float = 2) -> float:
        """Bytes of cache a token of the past, for elements of that many bytes (2: bf16, 1: int8, 0.5: int4)."""
        require_positive(element_bytes=element_bytes)
        return self.cache_elements * element_bytes


def dense(weights: int, others: int = 0, kept: float = 0) -> Cost:
    """Cost of matrices with so many weights in all, each used once a token, and of other parameters (biases, gains).

    Args:
        weights: numbers of the matrices.
        others: further parameters.
        kept: numbers a token that the backward pass needs.
    """
    return Cost(weights + others, weights + others, matmul_flops=2 * weights, activation_elements=kept)


UNCOUNTED = Cost(activation_elements=math.nan, checkpoint_elements=math.nan)
"""Added by a part of which the activations are not counted, so that no sum claims to know them."""
