"""Normalisation of the last axis: RMSNorm and LayerNorm."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .cost import Cost, dense
from .errors import require_positive


class Norm(Protocol):
    """A value that builds a normalisation of vectors of `d_model` numbers."""

    def build(self, d_model: int) -> nn.Module:
        """The module: `(..., d_model) -> (..., d_model)`."""
        ...

    def cost(self, d_model: int) -> Cost:
        """What it adds to the model."""
        ...


@dataclass(frozen=True)
class RMSNorm:
    """y = x / sqrt(mean(x²) + eps) * gain.

    Args:
        eps: added to the mean square, > 0.
        gain: learn one factor a channel (starts at 1).
    Source: Zhang and Sennrich 2019 (arXiv 1910.07467).
    """

    eps: float = 1e-6
    gain: bool = True

    def __post_init__(self) -> None:
        require_positive(eps=self.eps)

    def build(self, d_model: int) -> "RMSNormModule":
        """The module for vectors of `d_model` numbers."""
        return RMSNormModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """`d_model` gains, or nothing."""
        return dense(0, d_model if self.gain else 0)


class RMSNormModule(nn.Module):
    """`RMSNorm` with its gain."""

    def __init__(self, spec: RMSNorm, d_model: int) -> None:
        super().__init__()
        self.eps = spec.eps
        self.weight = nn.Parameter(torch.ones(d_model)) if spec.gain else None

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Normalise in float32 at least, round to the type of x, then apply the gain: the order of Llama and Qwen."""
        size = x.shape[-1:]
        if x.dtype in (torch.float32, torch.float64):
            return F.rms_norm(x, size, self.weight, self.eps)
        normalised = F.rms_norm(x.float(), size, None, self.eps).to(x.dtype)
        return normalised if self.weight is None else self.weight * normalised

    def extra_repr(self) -> str:
        """The constant, for `print(model)`."""
        return f"eps={self.eps}"


@dataclass(frozen=True)
class LayerNorm:
    """y = (x - mean(x)) / sqrt(var(x) + eps) * gain + bias.

    Args:
        eps: added to the variance, > 0.
        gain: learn one factor a channel (starts at 1).
        bias: learn one offset a channel (starts at 0).
    Source: Ba, Kiros and Hinton 2016 (arXiv 1607.06450).
    """

    eps: float = 1e-5
    gain: bool = True
    bias: bool = True

    def __post_init__(self) -> None:
        require_positive(eps=self.eps)

    def build(self, d_model: int) -> "LayerNormModule":
        """The module for vectors of `d_model` numbers."""
        return LayerNormModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """`d_model` gains and as many biases, where they are learned."""
        return dense(0, d_model * (self.gain + self.bias))


class LayerNormModule(nn.Module):
    """`LayerNorm` with its gain and bias."""

    def __init__(self, spec: LayerNorm, d_model: int) -> None:
        super().__init__()
        self.eps = spec.eps
        self.weight = nn.Parameter(torch.ones(d_model)) if spec.gain else None
        self.bias = nn.Parameter(torch.zeros(d_model)) if spec.bias else None

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Normalise; torch's kernel keeps mean and variance in float32 or wider."""
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The constant, for `print(model)`."""
        return f"eps={self.eps}"
