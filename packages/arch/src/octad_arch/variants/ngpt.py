"""nGPT: states and weights of length 1, so that every product is a cosine and each layer a step on the sphere."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..cost import Cost, dense
from ..errors import require_positive
from ..gains import Gains
from ..linear import ResidualOutput
from ..norm import Norm


def unit_length(x: Float[Tensor, "... d"], dim: int = -1) -> Float[Tensor, "... d"]:
    """X / |x|."""
    return F.normalize(x, dim=dim)


@dataclass(frozen=True)
class UnitNorm:
    """y = x / |x|, times learned factors of the channels where `start` is given: `Attention(qk_norm=...)`.

    Args:
        start: where the factors start; None for none.
    Source: Loshchilov et al. 2024, eq. 15 (arXiv 2410.01131); there the factors differ from head to head.
    """

    start: float | None = None

    def build(self, d_model: int) -> "UnitNormModule":
        """The module for vectors of `d_model` numbers."""
        return UnitNormModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """One factor a channel, or none."""
        gains = 0 if self.start is None else d_model
        return dense(0, gains, d_model + 2 + gains)


class UnitNormModule(nn.Module):
    """`UnitNorm` with its factors."""

    def __init__(self, spec: UnitNorm, d_model: int) -> None:
        super().__init__()
        self.gains = None if spec.start is None else Gains(d_model, spec.start, d_model**-0.5)

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """The direction of x."""
        y = unit_length(x)
        return y if self.gains is None else y * self.gains()


@dataclass(frozen=True)
class SphereStep:
    """unit(x + α (unit(block(x)) - x)): a placement on the sphere, with a learned step α for each channel.

    The norm of the layer is not built: the states have length 1 already.

    Args:
        step: where α starts, about 1 / depth.
    Source: Loshchilov et al. 2024, eq. 10 and 11 (arXiv 2410.01131).
    """

    step: float = 0.05

    def __post_init__(self) -> None:
        require_positive(step=self.step)

    def build(self, block: nn.Module, norm: Norm, d_model: int, depth: int = 0) -> "SphereStepModule":
        """The block with its steps."""
        return SphereStepModule(block, Gains(d_model, self.step, d_model**-0.5))

    def cost(self, norm: Norm, d_model: int) -> Cost:
        """One step a channel."""
        return dense(0, d_model, 3 * d_model + 4)


class SphereStepModule(nn.Module):
    """`SphereStep` with its weights."""

    def __init__(self, block: nn.Module, step: Gains) -> None:
        super().__init__()
        self.block, self.step = block, step

    def forward(self, x: Float[Tensor, "... d_model"], *inputs: object) -> Float[Tensor, "... d_model"]:
        """Towards what the block says, and back onto the sphere."""
        return unit_length(x + self.step() * (unit_length(self.block(x, *inputs)) - x))


@dataclass(frozen=True)
class SphereGLU:
    """down(silu(s_g gate(x) sqrt(d_model)) * s_u up(x)) with learned factors s, which start at 1.

    Args:
        d_ff: width inside.
    Source: Loshchilov et al. 2024, eq. 20 and 21 (arXiv 2410.01131).
    """

    d_ff: int

    def __post_init__(self) -> None:
        require_positive(d_ff=self.d_ff)

    def build(self, d_model: int) -> "SphereGLUModule":
        """The module for a model of that width."""
        return SphereGLUModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """Three matrices and two factors a unit."""
        return dense(3 * d_model * self.d_ff, 2 * self.d_ff, d_model + 6 * self.d_ff)


class SphereGLUModule(nn.Module):
    """`SphereGLU` with its weights."""

    def __init__(self, spec: SphereGLU, d_model: int) -> None:
        super().__init__()
        self.d_model = d_model
        self.gate = nn.Linear(d_model, spec.d_ff, bias=False)
        self.up = nn.Linear(d_model, spec.d_ff, bias=False)
        self.gate_gains, self.up_gains = Gains(spec.d_ff, 1.0, 1.0), Gains(spec.d_ff, 1.0, 1.0)
        self.down = ResidualOutput(spec.d_ff, d_model, bias=False)

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Each position by itself."""
        gate = self.gate(x) * self.gate_gains() * self.d_model**0.5
        output: Tensor = self.down(F.silu(gate) * (self.up(x) * self.up_gains()))
        return output


@torch.no_grad()
def normalise_weights(model: nn.Module) -> None:
    """Bring every vector of width d_model in the weights back to length 1: to be called after each optimizer step.

    Rows of the embedding and of the maps that read the stream, columns of those that write to it.
    Source: Loshchilov et al. 2024, section 2.5 (arXiv 2410.01131).
    """
    for module in model.modules():
        if isinstance(module, ResidualOutput):
            module.weight.copy_(unit_length(module.weight, 0))
        elif isinstance(module, nn.Linear | nn.Embedding):
            module.weight.copy_(unit_length(module.weight, 1))
