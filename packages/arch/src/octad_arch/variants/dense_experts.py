"""A dense block and experts side by side, each between norms of its own, on the same stream (Gemma 4)."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..cost import Cost, dense
from ..feed_forward import SwiGLU
from ..norm import RMSNorm
from .moe import Choice, MoE, MoEModule


@dataclass(frozen=True)
class NormedMoE(MoE):
    """`MoE` of norm(x), with router logits W (g * x̂ / sqrt(d_model)) and each expert's weight times a learned factor.

    x̂ is x / sqrt(mean(x²) + eps), g a gain a channel: the router normalises x by itself.

    Args:
        norm: of what the experts read; the router takes its eps.
    Source: Gemma 4, as transformers builds it (`Gemma4TextRouter`).
    """

    norm: RMSNorm = field(default=RMSNorm())

    def build(self, d_model: int) -> "NormedMoEModule":
        """The module for a model of that width."""
        return NormedMoEModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """That of the experts, the norm, the router's gains and the factors."""
        kept = d_model + 1 + 2 * self.router.top_k  # of the router's own norm, and the factors
        return super().cost(d_model) + self.norm.cost(d_model) + dense(0, d_model + self.num_experts, kept)


class NormedMoEModule(MoEModule):
    """`NormedMoE` with its weights."""

    def __init__(self, spec: NormedMoE, d_model: int) -> None:
        super().__init__(spec, d_model)
        self.norm = spec.norm.build(d_model)
        self.router_gain = nn.Parameter(torch.ones(d_model))
        self.factors = nn.Parameter(torch.ones(spec.num_experts))

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """Gains and factors start at 1, the rest as in `MoE`."""
        super().initialize(std, residual_std, generator)
        self.router_gain.detach().fill_(1.0)
        self.factors.detach().fill_(1.0)

    def _choose(self, x_ND: Tensor) -> Choice:
        d_model = x_ND.shape[-1]
        unit_ND = F.rms_norm(x_ND, (d_model,), None, self.norm.eps)
        logits = self.router(unit_ND * self.router_gain * d_model**-0.5)
        choice = self.spec.router.choose(logits, self.router_bias)
        return choice._replace(weights=choice.weights * self.factors[choice.experts])

    def _experts(self, x_ND: Tensor, choice: Choice) -> Tensor:
        return super()._experts(self.norm(x_ND), choice)


@dataclass(frozen=True)
class DenseAndExperts:
    """norm(dense(norm(x))) + norm(experts(x)): for a placement with no norm in front of it.

    Args:
        dense: for all tokens.
        experts: normalise x by themselves.
        norm: built for each of the three places.
    Source: Gemma 4, as transformers builds it (`Gemma4TextDecoderLayer`).
    """

    dense: SwiGLU
    experts: NormedMoE
    norm: RMSNorm = field(default=RMSNorm())

    def build(self, d_model: int) -> "DenseAndExpertsModule":
        """The module for a model of that width."""
        return DenseAndExpertsModule(self, d_model)

    def cost(self, d_model: int) -> Cost:
        """The sum of its parts."""
        norm = self.norm.cost(d_model)
        once = Cost(activation_elements=-d_model)  # what both read is kept once
        return self.dense.cost(d_model) + self.experts.cost(d_model) + norm + norm + norm + once


class DenseAndExpertsModule(nn.Module):
    """`DenseAndExperts` with its weights."""

    def __init__(self, spec: DenseAndExperts, d_model: int) -> None:
        super().__init__()
        self.dense, self.experts = spec.dense.build(d_model), spec.experts.build(d_model)
        self.dense_norm, self.dense_branch_norm = spec.norm.build(d_model), spec.norm.build(d_model)
        self.experts_branch_norm = spec.norm.build(d_model)

    def forward(self, x: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """Both, from the same x."""
        y: Tensor = self.dense_branch_norm(self.dense(self.dense_norm(x))) + self.experts_branch_norm(self.experts(x))
        return y
