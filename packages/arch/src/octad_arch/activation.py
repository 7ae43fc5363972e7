"""Activation functions of the field; any function of one tensor serves as well."""

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Activation = Callable[[Tensor], Tensor]


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
