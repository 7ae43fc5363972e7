"""Activation functions of the field; any function of one tensor serves as well."""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, cast, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .errors import require

Activation = Callable[[Tensor], Tensor]


@runtime_checkable
class LearnedActivation(Protocol):
    """A value that builds an activation with parameters, one for each block that has it: `XIELU`."""

    @property
    def learned(self) -> int:
        """How many numbers it learns."""
        ...

    def build(self) -> nn.Module:
        """The module `(...) -> (...)`."""
        ...


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


def sigmoid(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The function 1 / (1 + exp(-x)): the gate of the first GLU (Dauphin et al. 2016, arXiv 1612.08083)."""
    return torch.sigmoid(x)


def sqrt_softplus(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The function sqrt(log(1 + exp(x))): the scores of DeepSeek-V4's router."""
    return F.softplus(x).sqrt()


def softmax(x: Float[Tensor, "... n"]) -> Float[Tensor, "... n"]:
    """exp(x) / Σ exp(x) over the last axis: the scores of Ernie 4.5's router."""
    return torch.softmax(x, -1)


@dataclass(frozen=True)
class XIELU:
    """a_p x² + b x for x > 0, else a_n (exp(x) - 1 - x) + b x, with a_p > 0 and a_n > b learned, one pair a block.

    a_p = softplus(p), a_n = b + softplus(n), so that the slope at 0 is b from both sides.

    Args:
        positive: where a_p starts, > 0.
        negative: where a_n starts, > b.
        slope: b.
    Source: Huang and Schlag 2024 (arXiv 2411.13010), as Apertus has it.
    """

    positive: float = 0.8
    negative: float = 0.8
    slope: float = 0.5

    def __post_init__(self) -> None:
        require(self.positive > 0, f"positive={self.positive} must be above 0")
        require(self.negative > self.slope, f"negative={self.negative} must be above slope={self.slope}")

    @property
    def learned(self) -> int:
        """One for each side."""
        return 2

    def build(self) -> "XIELUModule":
        """The module with its two numbers."""
        return XIELUModule(self)


class XIELUModule(nn.Module):
    """`XIELU` with its weights."""

    def __init__(self, spec: XIELU) -> None:
        super().__init__()
        self.spec = spec
        self.alpha_p = nn.Parameter(torch.empty(1))
        self.alpha_n = nn.Parameter(torch.empty(1))

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """As the value says."""
        self.alpha_p.detach().fill_(math.log(math.expm1(self.spec.positive)))
        self.alpha_n.detach().fill_(math.log(math.expm1(self.spec.negative - self.spec.slope)))

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Each number by itself."""
        above, below = F.softplus(self.alpha_p), self.spec.slope + F.softplus(self.alpha_n)
        curved = torch.where(x > 0, above * x * x, below * (torch.expm1(x.clamp(max=0.0)) - x))
        return curved + self.spec.slope * x


class Gating(Protocol):
    """What becomes of gate and up where it is not activation(gate) * up; frozen, as all values."""

    def __call__(self, gate: Float[Tensor, "..."], up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """What the map down reads."""
        ...


@dataclass(frozen=True)
class LimitedGating:
    """activation(min(gate, limit)) * u with u = up within ±limit (DeepSeek-V4).

    Args:
        limit: > 0.
        activation: of the gate.
    """

    limit: float
    activation: Activation = silu

    def __post_init__(self) -> None:
        require(self.limit > 0, f"limit={self.limit} must be above 0")

    def __call__(self, gate: Float[Tensor, "..."], up: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """What the map down reads."""
        return self.activation(gate.clamp(max=self.limit)) * up.clamp(-self.limit, self.limit)


def kept_numbers(function: Activation | LearnedActivation | Gating, inputs: int = 1, with_result: bool = False) -> int:
    """Numbers that the backward pass of a function keeps for each that it gives.

    Asked of torch with a few numbers on the CPU, so that it is known for any function.

    Args:
        function: of so many tensors of one shape.
        inputs: 1, or 2 for gate and up.
        with_result: count what it gives too, where it keeps that: where what follows keeps another copy.
    """
    return _kept_numbers(cast(Hashable, function), inputs, with_result)


@lru_cache
def _kept_numbers(function: Hashable, inputs: int, with_result: bool) -> int:
    counts = [_kept(function, inputs, size, with_result) for size in (8, 16)]
    return (counts[1] - counts[0]) // 8


def _kept(function: Any, inputs: int, size: int, with_result: bool) -> int:
    build = getattr(function, "build", None)
    module = function if build is None else build()
    own = {} if build is None else {parameter.data_ptr() for parameter in module.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(x: Tensor) -> Tensor:
        if x.is_floating_point():
            kept[x.untyped_storage().data_ptr()] = x
        return x

    with torch.enable_grad(), torch.device("cpu"):
        given = [torch.linspace(-1, 1, size, requires_grad=True) + 0 for _ in range(inputs)]
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            result = module(*given)
    if not with_result:
        kept.pop(result.untyped_storage().data_ptr(), None)
    return sum(x.untyped_storage().nbytes() // x.element_size() for key, x in kept.items() if key not in own)


def gated_numbers(activation: Activation | LearnedActivation, gating: Gating | None) -> int:
    """`kept_numbers` of gating(gate, up), or of activation(gate) * up."""
    if gating is not None:
        return kept_numbers(gating, 2)
    return kept_numbers(activation) + 2


def activation_of(activation: Activation | LearnedActivation) -> Activation:
    """A function as it is, or the module of one that learns."""
    return activation.build() if isinstance(activation, LearnedActivation) else activation


def learned_numbers(activation: Activation | LearnedActivation) -> int:
    """How many numbers an activation learns."""
    return activation.learned if isinstance(activation, LearnedActivation) else 0
