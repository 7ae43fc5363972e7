"""Mamba-2: a state space with one decay a head, as linear attention."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..context import Context, RotationKey
from ..cost import Cost, dense
from ..errors import require, require_positive
from ..linear import ResidualOutput
from .linear_attention import CHUNK, chunks_of, linear_attention, linear_attention_recurrent
from .recurrence import ShortConvolution, inverse_softplus, kept_by, kept_by_convolution, split_heads, uniform, wide


@dataclass(frozen=True)
class Mamba2:
    """S = exp(-Δ a) S + B (Δ x)ᵀ; y = Sᵀ C + d x; output norm(y * silu(z)).

    x, B, C pass a short convolution; Δ = softplus(W u + b) and the learned a, d are one number a head.

    Args:
        num_heads: each with its own state.
        d_head: channels of a head.
        d_state: numbers kept a channel.
        groups: sets of B and C, a divisor of num_heads; the norm is over each group's share.
        width: tokens that the convolution sees.
        bias: offsets of the maps in and out.
        convolution_bias: offsets of the convolution.
        eps: of the norm.
        steps: Δ is held between these two.
    Source: Dao and Gu 2024 (arXiv 2405.21060).
    """

    num_heads: int
    d_head: int
    d_state: int
    groups: int = 1
    width: int = 4
    bias: bool = False
    convolution_bias: bool = True
    eps: float = 1e-5
    steps: tuple[float, float] = (0.0, math.inf)

    def __post_init__(self) -> None:
        require_positive(num_heads=self.num_heads, d_head=self.d_head, d_state=self.d_state, groups=self.groups)
        require_positive(width=self.width, eps=self.eps)
        require(self.num_heads % self.groups == 0, f"groups={self.groups} does not divide num_heads={self.num_heads}")

    def build(self, d_model: int, layer: int = 0) -> "Mamba2Module":
        """The module for a model of that width; a cache keeps its states under `layer`."""
        return Mamba2Module(self, d_model, layer)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """None: the state knows the order."""
        return ()

    def cost(self, d_model: int, context_length: int) -> Cost:
        """Its matrices, and 2 products with the state a token, whatever the context."""
        inner, states = self.num_heads * self.d_head, self.groups * self.d_state
        channels = inner + 2 * states
        total = dense(d_model * (2 * inner + channels + self.num_heads) + channels * self.width)
        others = 3 * self.num_heads + inner + self.convolution_bias * channels
        others += self.bias * (inner + channels + self.num_heads + d_model)
        kept = inner * self.d_state + channels * (self.width - 1)
        return (
            total
            + Cost(others, others, attention_flops=4 * inner * self.d_state, state_elements=kept)
            + Cost(activation_elements=self._kept(d_model, max(context_length, 2)))
        )

    def _kept(self, d_model: int, length: int) -> float:
        """Of a row in chunks, a token's share: the maps, the convolution, the products of the chunks, gate and norm."""
        (count, padded), inner, read = chunks_of(length), self.num_heads * self.d_head, self.num_heads * self.d_state
        states, heads = self.groups * self.d_state, self.num_heads
        channels = inner + 2 * states
        tokens = d_model + 4 * heads + 2 * channels + 6 * inner + self.groups
        products = padded * (2 * states + 4 * read + inner + heads * (3 * CHUNK + 2))
        products += count * (heads + 2 * inner * self.d_state)
        if count == 1:  # nothing is read of a state that is 0
            products -= padded * read
        return tokens + (kept_by_convolution(channels, self.width, length) + products) / length


class Mamba2Module(nn.Module):
    """`Mamba2` with its weights. Shapes: B batch, S seq, H heads, E channels of a head."""

    def __init__(self, spec: Mamba2, d_model: int, layer: int) -> None:
        super().__init__()
        self.spec, self.layer, self.linear_attention = spec, layer, linear_attention
        inner, channels = spec.num_heads * spec.d_head, spec.num_heads * spec.d_head + 2 * spec.groups * spec.d_state
        self.input = nn.Linear(d_model, inner + channels + spec.num_heads, bias=spec.bias)
        self.convolution = ShortConvolution(channels, spec.width, spec.convolution_bias)
        self.log_rate = nn.Parameter(torch.empty(spec.num_heads))
        self.step_bias = nn.Parameter(torch.empty(spec.num_heads))
        self.skip = nn.Parameter(torch.empty(spec.num_heads))
        self.norm_weight = nn.Parameter(torch.empty(inner))
        self.output = ResidualOutput(inner, d_model, bias=spec.bias)

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """Rates 1, 2, 3 ...; steps from 0.001 to 0.1, evenly in the logarithm; skip and gain 1."""
        self.log_rate.detach().copy_(torch.arange(1, self.spec.num_heads + 1).log())
        steps = uniform(self.step_bias.shape, math.log(1e-3), math.log(1e-1), generator).exp()
        self.step_bias.detach().copy_(inverse_softplus(steps))
        self.skip.detach().fill_(1.0)
        self.norm_weight.detach().fill_(1.0)

    def forward(self, u: Float[Tensor, "batch seq d_model"], context: Context) -> Float[Tensor, "batch seq d_model"]:
        """Read and write the state, token by token."""
        spec, kept = self.spec, kept_by(context, self.layer, len(u))
        inner, states = spec.num_heads * spec.d_head, spec.groups * spec.d_state
        z, mixed, step = self.input(kept.gather(u)).split((inner, inner + 2 * states, spec.num_heads), -1)
        x, B, C = self.convolution(mixed, kept).split((inner, states, states), -1)
        x_BHSE = split_heads(x, spec.d_head).transpose(1, 2)
        B, C = (split_heads(y, spec.d_state).transpose(1, 2) for y in (B, C))
        step_BHS = F.softplus(wide(step) + wide(self.step_bias)).clamp(*spec.steps).transpose(1, 2)
        step_BHS = kept.silence(step_BHS)
        g_BHS = -wide(self.log_rate).exp()[:, None] * step_BHS
        scaled = wide(x_BHSE) * step_BHS[..., None]
        if x.shape[1] > 1:
            read, state = self.linear_attention(C, B, scaled, g_BHS, kept.state("space"))
        else:
            B, C = (y.repeat_interleave(spec.num_heads // spec.groups, 1) for y in (B, C))
            read, state = linear_attention_recurrent(C, B, scaled, g_BHS, kept.state("space"))
        kept.keep("space", state)
        y = (read + self.skip[:, None, None] * x_BHSE).transpose(1, 2).flatten(2).to(u.dtype)
        y = split_heads(y * F.silu(z), inner // spec.groups)
        y = F.rms_norm(y, y.shape[-1:], None, spec.eps).flatten(2) * self.norm_weight
        output: Tensor = self.output(y)
        return kept.scatter(output)
