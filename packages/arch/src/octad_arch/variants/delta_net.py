"""Mixers that overwrite a state by the delta rule: Gated DeltaNet and Kimi Delta Attention."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..context import Context, RotationKey
from ..cost import Cost, dense
from ..errors import require, require_positive
from ..linear import ResidualOutput
from .linear_attention import BLOCK, CHUNK, chunks_of, delta_rule, delta_rule_recurrent
from .recurrence import (
    Kept,
    ShortConvolution,
    inverse_softplus,
    kept_by,
    kept_by_convolution,
    split_heads,
    uniform,
    wide,
)


@dataclass(frozen=True)
class GatedDeltaNet:
    """S = exp(g) S; S = S + β k (v - Sᵀ k)ᵀ; output norm(Sᵀ q) * silu(gate), with a decay g a head.

    q, k, v pass a short convolution, q and k are brought to length 1; g = -exp(a) softplus(W x + b), β = sigmoid(W x).

    Args:
        num_heads: of values, each with its own state.
        num_key_heads: of queries and keys, a divisor of num_heads.
        d_key: width of a key.
        d_value: width of a value.
        width: tokens that the convolution sees.
        eps: of the norm of what is read.
        negative: β up to 2, so that the state's transition may have negative eigenvalues (arXiv 2411.12537).
    Source: Yang, Kautz and Hatamizadeh 2024 (arXiv 2412.06464), as Qwen3-Next has it.
    """

    num_heads: int
    num_key_heads: int
    d_key: int
    d_value: int
    width: int = 4
    eps: float = 1e-6
    negative: bool = False

    def __post_init__(self) -> None:
        require_positive(num_heads=self.num_heads, num_key_heads=self.num_key_heads, width=self.width, eps=self.eps)
        require_positive(d_key=self.d_key, d_value=self.d_value)
        require(
            self.num_heads % self.num_key_heads == 0,
            f"num_key_heads={self.num_key_heads} does not divide num_heads={self.num_heads}",
        )

    def build(self, d_model: int, layer: int = 0) -> "GatedDeltaNetModule":
        """The module for a model of that width; a cache keeps its states under `layer`."""
        return GatedDeltaNetModule(self, d_model, layer)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """None: the state knows the order."""
        return ()

    def cost(self, d_model: int, context_length: int) -> Cost:
        """Its matrices, and 3 products with the state a token, whatever the context."""
        keys, values = self.num_key_heads * self.d_key, self.num_heads * self.d_value
        channels, state = 2 * keys + values, self.num_heads * self.d_key * self.d_value
        total = dense(d_model * (2 * keys + 3 * values + 2 * self.num_heads) + channels * self.width)
        others = 2 * self.num_heads + self.d_value
        kept = state + channels * (self.width - 1)
        activations = self._kept(d_model, max(context_length, 2))
        return total + Cost(
            others, others, attention_flops=6 * state, state_elements=kept, activation_elements=activations
        )

    def _kept(self, d_model: int, length: int) -> float:
        """Of a row in chunks, a token's share: the maps, the convolution, the products of the chunks, gate and norm."""
        (count, padded), heads, values = chunks_of(length), self.num_heads, self.num_heads * self.d_value
        channels, keys = 2 * self.num_key_heads * self.d_key + values, heads * self.d_key
        tokens = d_model + 4 * heads + channels + 2 * self.num_key_heads + 5 * values
        products = padded * (5 * heads * (CHUNK + 1) + 7 * keys + 5 * values) + 2 * count * keys * self.d_value
        if count == 1:  # nothing is read of a state that is 0
            products -= 2 * padded * keys
        return tokens + (kept_by_convolution(channels, self.width, length) + products) / length


class GatedDeltaNetModule(nn.Module):
    """`GatedDeltaNet` with its weights. Shapes: B batch, S seq, D d_model, H heads, E channels of a head."""

    def __init__(self, spec: GatedDeltaNet, d_model: int, layer: int) -> None:
        super().__init__()
        self.spec, self.layer, self.delta_rule = spec, layer, delta_rule
        keys, values = spec.num_key_heads * spec.d_key, spec.num_heads * spec.d_value
        self.query = nn.Linear(d_model, keys, bias=False)
        self.key = nn.Linear(d_model, keys, bias=False)
        self.value = nn.Linear(d_model, values, bias=False)
        self.gate = nn.Linear(d_model, values, bias=False)
        self.strength = nn.Linear(d_model, spec.num_heads, bias=False)
        self.decay = nn.Linear(d_model, spec.num_heads, bias=False)
        self.convolution = ShortConvolution(2 * keys + values, spec.width)
        self.log_rate = nn.Parameter(torch.empty(spec.num_heads))
        self.decay_bias = nn.Parameter(torch.empty(spec.num_heads))
        self.norm_weight = nn.Parameter(torch.empty(spec.d_value))
        self.output = ResidualOutput(values, d_model, bias=False)

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """Rates from 0.01 to 16, steps softplus(bias) from 0.001 to 0.1, evenly in the logarithm; gain 1."""
        initialize_decay(self.log_rate, self.decay_bias, generator)
        self.norm_weight.detach().fill_(1.0)

    def forward(
        self, x_BSD: Float[Tensor, "batch seq d_model"], context: Context
    ) -> Float[Tensor, "batch seq d_model"]:
        """Read and write the state, token by token."""
        spec, kept = self.spec, kept_by(context, self.layer, len(x_BSD))
        x_BSD = kept.gather(x_BSD)
        mixed = self.convolution(torch.cat((self.query(x_BSD), self.key(x_BSD), self.value(x_BSD)), -1), kept)
        keys = spec.num_key_heads * spec.d_key
        q, k, v = mixed.split((keys, keys, spec.num_heads * spec.d_value), -1)
        beta = torch.sigmoid(self.strength(x_BSD)) * (2 if spec.negative else 1)
        rate = wide(self.log_rate).exp()
        g_BSH = -rate * F.softplus(wide(self.decay(x_BSD)) + wide(self.decay_bias))
        read_BHSE = by_delta_rule(spec.d_key, q, k, v, g_BSH, beta, kept, spec.num_heads, self.delta_rule)
        gate_BSHE = split_heads(self.gate(x_BSD), spec.d_value)
        read_BSHE = F.rms_norm(read_BHSE.transpose(1, 2), (spec.d_value,), self.norm_weight, spec.eps)
        output: Tensor = self.output((read_BSHE * F.silu(gate_BSHE)).flatten(2))
        return kept.scatter(output)


@dataclass(frozen=True)
class KimiDeltaAttention:
    """The delta rule with a decay for each channel of a key; output norm(Sᵀ q) * sigmoid(gate).

    g = -exp(a) softplus(W₂ W₁ x + b) a head and channel; the gate passes a bottleneck of the same width.

    Args:
        num_heads: each with its own state.
        d_head: width of keys and values, and of the bottlenecks.
        width: tokens that the convolution sees.
        eps: of the norm of what is read.
    Source: Kimi Team 2025 (arXiv 2510.26692).
    """

    num_heads: int
    d_head: int
    width: int = 4
    eps: float = 1e-6

    def __post_init__(self) -> None:
        require_positive(num_heads=self.num_heads, d_head=self.d_head, width=self.width, eps=self.eps)

    def build(self, d_model: int, layer: int = 0) -> "KimiDeltaAttentionModule":
        """The module for a model of that width; a cache keeps its states under `layer`."""
        return KimiDeltaAttentionModule(self, d_model, layer)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """None: the state knows the order."""
        return ()

    def cost(self, d_model: int, context_length: int) -> Cost:
        """Its matrices, and 3 products with the state a token, whatever the context."""
        inner, state = self.num_heads * self.d_head, self.num_heads * self.d_head**2
        total = dense(d_model * (4 * inner + self.num_heads + 2 * self.d_head) + 2 * self.d_head * inner)
        total += dense(3 * inner * self.width, inner + self.num_heads + self.d_head)
        kept = state + 3 * inner * (self.width - 1)
        activations = self._kept(d_model, max(context_length, 2))
        return total + Cost(attention_flops=6 * state, state_elements=kept, activation_elements=activations)

    def _kept(self, d_model: int, length: int) -> float:
        """As that of `GatedDeltaNet`; decays of channels are kept for each pair of steps in a block of 16."""
        (count, padded), heads, inner = chunks_of(length), self.num_heads, self.num_heads * self.d_head
        tokens = d_model + 4 * heads + 2 * self.d_head + 9 * inner
        products = padded * (2 * heads * (CHUNK + 1) + inner * (18 + 2 * CHUNK // BLOCK + 2 * BLOCK))
        products += 2 * count * inner * self.d_head
        if count == 1:
            products -= 2 * padded * inner
        return tokens + (kept_by_convolution(3 * inner, self.width, length) + products) / length


class KimiDeltaAttentionModule(nn.Module):
    """`KimiDeltaAttention` with its weights; shapes as in `GatedDeltaNetModule`."""

    def __init__(self, spec: KimiDeltaAttention, d_model: int, layer: int) -> None:
        super().__init__()
        self.spec, self.layer, self.delta_rule = spec, layer, delta_rule
        inner = spec.num_heads * spec.d_head
        self.query = nn.Linear(d_model, inner, bias=False)
        self.key = nn.Linear(d_model, inner, bias=False)
        self.value = nn.Linear(d_model, inner, bias=False)
        self.convolution = ShortConvolution(3 * inner, spec.width)
        self.strength = nn.Linear(d_model, spec.num_heads, bias=False)
        self.decay_down = nn.Linear(d_model, spec.d_head, bias=False)
        self.decay_up = nn.Linear(spec.d_head, inner, bias=False)
        self.gate_down = nn.Linear(d_model, spec.d_head, bias=False)
        self.gate_up = nn.Linear(spec.d_head, inner, bias=False)
        self.log_rate = nn.Parameter(torch.empty(spec.num_heads))
        self.decay_bias = nn.Parameter(torch.empty(inner))
        self.norm_weight = nn.Parameter(torch.empty(spec.d_head))
        self.output = ResidualOutput(inner, d_model, bias=False)

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """As `GatedDeltaNetModule.initialize`."""
        initialize_decay(self.log_rate, self.decay_bias, generator)
        self.norm_weight.detach().fill_(1.0)

    def forward(
        self, x_BSD: Float[Tensor, "batch seq d_model"], context: Context
    ) -> Float[Tensor, "batch seq d_model"]:
        """Read and write the state, token by token."""
        spec, kept = self.spec, kept_by(context, self.layer, len(x_BSD))
        x_BSD = kept.gather(x_BSD)
        mixed = self.convolution(torch.cat((self.query(x_BSD), self.key(x_BSD), self.value(x_BSD)), -1), kept)
        q, k, v = mixed.chunk(3, -1)
        beta = torch.sigmoid(self.strength(x_BSD))
        step = F.softplus(wide(self.decay_up(self.decay_down(x_BSD))) + wide(self.decay_bias))
        g_BSHE = -wide(self.log_rate).exp()[:, None] * split_heads(step, spec.d_head)
        read_BHSE = by_delta_rule(spec.d_head, q, k, v, g_BSHE, beta, kept, spec.num_heads, self.delta_rule)
        gate_BSHE = split_heads(self.gate_up(self.gate_down(x_BSD)), spec.d_head)
        read_BSHE = F.rms_norm(read_BHSE.transpose(1, 2), (spec.d_head,), self.norm_weight, spec.eps)
        output: Tensor = self.output((read_BSHE * torch.sigmoid(gate_BSHE)).flatten(2))
        return kept.scatter(output)


def initialize_decay(log_rate: Tensor, decay_bias: Tensor, generator: torch.Generator) -> None:
    """exp(log_rate) even in [0.01, 16]; softplus(decay_bias) in [0.001, 0.1], even in the logarithm."""
    log_rate.detach().copy_(uniform(log_rate.shape, 0.01, 16, generator).log())
    steps = uniform(decay_bias.shape, math.log(1e-3), math.log(1e-1), generator).exp()
    decay_bias.detach().copy_(inverse_softplus(steps))


def by_delta_rule(
    d_key: int,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    beta: Tensor,
    kept: Kept,
    num_heads: int,
    in_chunks: Callable[..., tuple[Tensor, Tensor]],
) -> Float[Tensor, "batch heads seq d_value"]:
    """What queries of length d_key^-1/2 read after keys of length 1 have written; the state goes on in `kept`.

    Several tokens go through `in_chunks`, which is `delta_rule` or computes the same.
    """
    q, k = (unit(wide(split_heads(x, d_key).transpose(1, 2))) for x in (q, k))
    shared = num_heads // k.shape[1]
    q, k = (x.repeat_interleave(shared, 1) if shared > 1 else x for x in (q * d_key**-0.5, k))
    v, g, beta = split_heads(v, v.shape[-1] // num_heads).transpose(1, 2), g.transpose(1, 2), beta.transpose(1, 2)
    run = in_chunks if v.shape[2] > 1 else delta_rule_recurrent
    read, state = run(q, k, v, kept.silence(g), kept.silence(beta), kept.state("delta"))
    kept.keep("delta", state)
    return read


def unit(x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
    """X / sqrt(Σ x² + 1e-6)."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)
