"""Position-wise feed-forward blocks."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from .activation import (
    Activation,
    Gating,
    LearnedActivation,
    activation_of,
    gated_numbers,
    gelu,
    kept_numbers,
    learned_numbers,
    silu,
)
from .cost import Cost, dense
from .errors import require_positive
from .linear import ResidualOutput
from .parts import part


@dataclass(frozen=True)
class SwiGLU:
    """down(activation(gate(x)) * up(x)), with silu as the activation of the gate.

    Args:
        d_ff: width inside.
        bias: offsets of the three maps.
        activation: of the gate. silu: SwiGLU; gelu: GeGLU (`gelu_tanh` in Gemma); relu: ReGLU; sigmoid: GLU.
        gating: what becomes of gate and up in place of activation(gate) * up.
    Source: Shazeer 2020 (arXiv 2002.05202).
    """

    d_ff: int
    bias: bool = False
    activation: Activation | LearnedActivation = silu
    gating: Gating | None = None

    def __post_init__(self) -> None:
        require_positive(d_ff=self.d_ff)

    def build(self, d_model: int) -> "SwiGLUModule":
        """The module for a model of that width."""
        return SwiGLUModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """Three matrices and their offsets."""
        learned = 0 if self.gating is not None else learned_numbers(self.activation)
        kept = d_model + self.d_ff * (1 + gated_numbers(self.activation, self.gating))
        return dense(3 * d_model * self.d_ff, self.bias * (2 * self.d_ff + d_model) + learned, kept)


@part("swiglu")
def swiglu(gate: Float[Tensor, "... d_ff"], up: Float[Tensor, "... d_ff"]) -> Float[Tensor, "... d_ff"]:
    """Silu(gate) * up."""
    return silu(gate) * up


class SwiGLUModule(nn.Module):
    """`SwiGLU` with its weights."""

    def __init__(self, spec: SwiGLU, d_model: int) -> None:
        super().__init__()
        self.gating = spec.gating
        self.is_swiglu = spec.gating is None and spec.activation is silu
        if self.is_swiglu:
            self.swiglu = swiglu
        self.activation = None if spec.gating is not None else activation_of(spec.activation)
        self.gate = nn.Linear(d_model, spec.d_ff, bias=spec.bias)
        self.up = nn.Linear(d_model, spec.d_ff, bias=spec.bias)
        self.down = ResidualOutput(spec.d_ff, d_model, bias=spec.bias)

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Each position by itself."""
        gate, up = self.gate(x), self.up(x)
        if self.is_swiglu:
            gated = self.swiglu(gate, up)
        elif self.activation is not None:
            gated = self.activation(gate) * up
        else:
            assert self.gating is not None
            gated = self.gating(gate, up)
        output: Tensor = self.down(gated)
        return output


@dataclass(frozen=True)
class MLP:
    """down(activation(up(x))): the feed-forward block of the first transformer.

    Args:
        d_ff: width inside.
        activation: the function between the two maps, or one that learns, such as `XIELU`.
        bias: offsets of both.
    Source: Vaswani et al. 2017, eq. 2 (arXiv 1706.03762).
    """

    d_ff: int
    activation: Activation | LearnedActivation = gelu
    bias: bool = False

    def __post_init__(self) -> None:
        require_positive(d_ff=self.d_ff)

    def build(self, d_model: int) -> "MLPModule":
        """The module for a model of that width."""
        return MLPModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """Two matrices and their offsets."""
        kept = d_model + self.d_ff * (1 + kept_numbers(self.activation))
        return dense(
            2 * d_model * self.d_ff, self.bias * (self.d_ff + d_model) + learned_numbers(self.activation), kept
        )


class MLPModule(nn.Module):
    """`MLP` with its weights."""

    def __init__(self, spec: MLP, d_model: int) -> None:
        super().__init__()
        self.activation = activation_of(spec.activation)
        self.up = nn.Linear(d_model, spec.d_ff, bias=spec.bias)
        self.down = ResidualOutput(spec.d_ff, d_model, bias=spec.bias)

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Each position by itself."""
        output: Tensor = self.down(self.activation(self.up(x)))
        return output
