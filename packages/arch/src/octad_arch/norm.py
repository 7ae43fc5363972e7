"""Normalisation of the last axis: RMSNorm and LayerNorm."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .cost import Cost, dense
from .errors import require_positive
from .parts import part


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
        return dense(0, d_model if self.gain else 0, d_model * (1 + self.gain) + 1)


@part("rms_norm")
def rms_norm(
    x: Float[Tensor, "... d_model"], weight: Float[Tensor, "d_model"] | None, eps: float
) -> Float[Tensor, "... d_model"]:
    """X / sqrt(mean(x²) + eps) * weight, normalised in float32 at least and rounded to x's type before the gain."""
    size = x.shape[-1:]
    if x.dtype in (torch.float32, torch.float64):
        return F.rms_norm(x, size, weight, eps)
    normalised = F.rms_norm(x.float(), size, None, eps).to(x.dtype)
    return normalised if weight is None else weight * normalised


class RMSNormModule(nn.Module):
    """`RMSNorm` with its gain."""

    def __init__(self, spec: RMSNorm, d_model: int) -> None:
        super().__init__()
        self.eps, self.rms_norm = spec.eps, rms_norm
        self.weight = nn.Parameter(torch.ones(d_model)) if spec.gain else None

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Normalise in float32 at least, round to the type of x, then apply the gain: the order of Llama and Qwen."""
        return self.rms_norm(x, self.weight, self.eps)

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
        return dense(0, d_model * (self.gain + self.bias), d_model + 2)


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


@dataclass(frozen=True)
class OffsetRMSNorm:
    """y = x / sqrt(mean(x²) + eps) * (1 + weight), so that weight decay pulls the gain to 1 and not to 0 (Gemma).

    Args:
        eps: added to the mean square, > 0.
    """

    eps: float = 1e-6

    def __post_init__(self) -> None:
        require_positive(eps=self.eps)

    def build(self, d_model: int) -> "OffsetRMSNormModule":
        """The module for vectors of `d_model` numbers."""
        return OffsetRMSNormModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """`d_model` weights."""
        return dense(0, d_model, 2 * d_model + 1)


class OffsetRMSNormModule(nn.Module):
    """`OffsetRMSNorm` with its weight."""

    def __init__(self, spec: OffsetRMSNorm, d_model: int) -> None:
        super().__init__()
        self.eps = spec.eps
        self.weight = nn.Parameter(torch.zeros(d_model))

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """Weights start at 0, gains therefore at 1."""
        self.weight.detach().zero_()

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Normalise and scale in float32 at least, then round to the type of x: the order of Gemma."""
        wide = torch.promote_types(x.dtype, torch.float32)
        gain = 1.0 + self.weight.to(wide)
        return F.rms_norm(x.to(wide), x.shape[-1:], gain, self.eps).to(x.dtype)


@dataclass(frozen=True)
class DyT:
    """y = tanh(alpha * x) * gain + bias: no statistics at all.

    Args:
        alpha: where the one learned scale starts, > 0.
    Source: Zhu et al. 2025 (arXiv 2503.10622).
    """

    alpha: float = 0.5

    def __post_init__(self) -> None:
        require_positive(alpha=self.alpha)

    def build(self, d_model: int) -> "DyTModule":
        """The module for vectors of `d_model` numbers."""
        return DyTModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """Gain, bias and alpha."""
        return dense(0, 2 * d_model + 1, 2 * d_model)


class DyTModule(nn.Module):
    """`DyT` with its parameters."""

    def __init__(self, spec: DyT, d_model: int) -> None:
        super().__init__()
        self.start = spec.alpha
        self.alpha = nn.Parameter(torch.empty(1))
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """Gain 1, bias 0."""
        self.alpha.detach().fill_(self.start)
        self.weight.detach().fill_(1.0)
        self.bias.detach().zero_()

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Squash, then scale each channel."""
        return torch.tanh(self.alpha * x) * self.weight + self.bias
