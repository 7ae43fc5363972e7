"""Activation functions of the field; any function of one tensor serves as well."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .errors import require_positive

Activation = Callable[[Tensor], Tensor]
GatedUnit = Callable[[Tensor, Tensor], Tensor]
"""What a gated block makes of its gate and its up map, where that is more than activation(gate) * up."""


def silu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The function x * sigmoid(x), also called swish (Ramachandran et al. 2017, arXiv 1710.05941)."""
    return F.silu(x)


def gelu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The function x * Φ(x), Φ the normal distribution function (Hendrycks and Gimpel 2016, arXiv 1606.08415)."""
    return F.gelu(x)


def gelu_tanh(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The tanh approximation of `gelu` that GPT-2 and Gemma were trained with; differs from it by up to 5e-4."""
    return F.gelu(x, approximate="tanh")


def relu(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """max(x, 0)."""
    return F.relu(x)


def relu_squared(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """max(x, 0)² (So et al. 2021, arXiv 2109.08668)."""
    return F.relu(x).square()


@dataclass(frozen=True)
class ClampedSwiGLU:
    """g * sigmoid(alpha * g) * (u + offset), with g = min(gate, limit) and u = up within ±limit.

    Args:
        alpha: 1.702 makes the gate nearly a GELU, 1 a silu.
        limit: bound of both, > 0, so that no outlier leaves the range of 16-bit numbers.
        offset: added to u; 1 lets the gate pass by itself where up gives nothing.
    Source: gpt-oss model card (arXiv 2508.10925), section 2.2.
    """

    alpha: float = 1.702
    limit: float = 7.0
    offset: float = 1.0

    def __post_init__(self) -> None:
        require_positive(alpha=self.alpha, limit=self.limit)

    def __call__(self, gate: Float[Tensor, "..."], up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The gated product."""
        g, u = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
        return g * torch.sigmoid(self.alpha * g) * (u + self.offset)
