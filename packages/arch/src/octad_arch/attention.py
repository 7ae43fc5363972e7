"""Multi-head attention with grouped key and value heads."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .bias import PositionBias
from .context import Context, Rotary, RotationKey
from .cost import Cost, dense
from .errors import ArchError, require, require_positive
from .linear import ResidualOutput
from .mixing import self_attention
from .norm import Norm
from .rope import RoPE


class ValueMix(Protocol):
    """A value that builds what stands between the value map and the attention.

    One that keeps the values themselves for other layers says so by `keeps_values = True`.
    """

    def build(self, d_model: int, num_kv_heads: int, d_head: int) -> nn.Module:
        """The module `(v, x, context) -> v`: v (batch, kv_heads, seq, d_head), x the input of the attention."""
        ...

    def cost(self, d_model: int, num_kv_heads: int, d_head: int) -> Cost:
        """What it adds to the model."""
        ...


@dataclass(frozen=True)
class AllHeads:
    """A `qk_norm` over all heads together, with a gain for each channel of each (OLMo 2, arXiv 2501.00656)."""

    norm: Norm


@dataclass(frozen=True)
class AfterRotation:
    """A `qk_norm` of each head behind the rotation and not in front of it (Hunyuan)."""

    norm: Norm


@dataclass(frozen=True)
class Attention:
    """softmax(q kᵀ / sqrt(d_head)) v over the positions up to each query's own; then one linear map back.

    num_kv_heads = num_heads is multi-head attention, 1 multi-query, between them grouped-query (Ainslie et al. 2023,
    arXiv 2305.13245). num_heads * d_head need not equal the width of the model.

    Args:
        num_heads: query heads.
        num_kv_heads: key and value heads, a divisor of num_heads; each serves num_heads / num_kv_heads queries.
        d_head: width of a head.
        position: rotary embedding of queries and keys, or None for no position at all.
        qk_norm: normalises each head of q and k before the rotation, with one gain for all heads (Henry et al. 2020,
            arXiv 2010.04245, as Qwen3 does it); or `AllHeads`, `AfterRotation`.
        bias: offsets of the query, key and value maps.
        output_bias: offset of the output map.
        is_causal: False lets every position see all others, as an encoder does; such a layer takes no cache.
        window: see only the last `window` positions, the own one included (Mistral, Gemma 2, gpt-oss).
        scale: factor of the scores; None means 1 / sqrt(d_head).
        softcap: scores become softcap * tanh(scores / softcap) (Gemma 2, arXiv 2408.00118).
        sinks: learn one more logit a head that takes attention and gives nothing (gpt-oss; arXiv 2309.17453).
        position_bias: added to the scores, such as `ALiBi`.
        gate: multiply what the heads give by sigmoid(W x), channel by channel (Qwen3-Next; arXiv 2505.06708).
        value_mix: what is mixed into the values, such as `ValueResidual`.
        key_is_value: values are the keys before their norm and rotation, with no map of their own (Gemma 4).
    """

    num_heads: int
    num_kv_heads: int
    d_head: int
    position: Rotary | None = field(default=RoPE())
    qk_norm: Norm | AllHeads | AfterRotation | None = None
    bias: bool = False
    output_bias: bool = False
    is_causal: bool = True
    window: int | None = None
    scale: float | None = None
    softcap: float | None = None
    sinks: bool = False
    position_bias: PositionBias | None = None
    gate: bool = False
    value_mix: ValueMix | None = None
    key_is_value: bool = False

    def __post_init__(self) -> None:
        require_positive(num_heads=self.num_heads, num_kv_heads=self.num_kv_heads, d_head=self.d_head)
        divisors = ", ".join(str(n) for n in range(1, self.num_heads + 1) if self.num_heads % n == 0)
        require(
            self.num_heads % self.num_kv_heads == 0,
            f"num_kv_heads={self.num_kv_heads} does not divide num_heads={self.num_heads}; use one of {divisors}",
        )
        if self.position is not None:
            self.position.check(self.d_head)
        for name, value in (("window", self.window), ("scale", self.scale), ("softcap", self.softcap)):
            if value is not None:
                require_positive(**{name: value})

    def build(self, d_model: int, layer: int = 0) -> "AttentionModule":
        """The module for a model of that width; `layer` is its index there, under which a cache keeps its past."""
        return AttentionModule(self, d_model, layer)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotations that a forward pass must hold ready for this layer."""
        return () if self.position is None else ((self.position, self.d_head),)

    def cost(self, d_model: int, context_length: int) -> Cost:
        """Four matrices, their offsets, the two head norms, and 4 * num_heads * d_head FLOPs a token attended."""
        inner, kv_inner = self.num_heads * self.d_head, self.num_kv_heads * self.d_head
        heads = self.num_heads + self.num_kv_heads
        offsets = self.bias * (inner + 2 * kv_inner) + self.output_bias * d_model + self.sinks * self.num_heads
        total = dense(2 * d_model * (inner + kv_inner), offsets)
        if self.key_is_value:
            total += dense(-d_model * kv_inner, -self.bias * kv_inner)
        if self.gate:
            total += dense(d_model * inner, self.bias * inner)
        if isinstance(self.qk_norm, AllHeads):
            total += self.qk_norm.norm.cost(inner) + self.qk_norm.norm.cost(kv_inner)
        elif self.qk_norm is not None:
            norm = self.qk_norm.norm if isinstance(self.qk_norm, AfterRotation) else self.qk_norm
            own = norm.cost(self.d_head)
            total += own + own + Cost(activation_elements=(heads - 2) * own.activation_elements)
        if self.position_bias is not None:
            total += self.position_bias.cost(self.num_heads)
        if self.value_mix is not None:
            total += self.value_mix.cost(d_model, self.num_kv_heads, self.d_head)
        seen = context_length if self.window is None else min(context_length, self.window)
        kept = 2 * kv_inner if self.is_causal else 0
        activations = _kept(self, d_model, context_length)
        return total + Cost(attention_flops=4 * inner * seen, cache_elements=kept, activation_elements=activations)


def _kept(spec: Attention, d_model: int, context_length: int) -> int:
    """What the backward pass needs besides the norms' part: x, q, k, v, what was mixed, and how."""
    inner, kv_inner = spec.num_heads * spec.d_head, spec.num_kv_heads * spec.d_head
    gates = 2 * inner * spec.gate
    if spec.softcap is not None or spec.sinks:  # scores are kept whole, keys and values once for each query head
        scores = spec.num_heads * (2 * (context_length + spec.sinks) + context_length * (spec.softcap is not None))
        first = kv_inner * getattr(spec.value_mix, "keeps_values", False)
        return d_model + 4 * inner + scores + gates + first
    is_normed_last = isinstance(spec.qk_norm, AfterRotation)
    is_copied = spec.position is not None or is_normed_last  # into the order of the output map
    shared = spec.position is None if spec.qk_norm is None or is_normed_last else True  # k and v are one tensor
    values = 0 if spec.key_is_value and shared else kv_inner
    return d_model + inner * (2 + is_copied) + kv_inner + values + spec.num_heads + gates


class _AcrossHeads(nn.Module):
    """The norm of `AllHeads` on (..., heads, d_head)."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.norm(x.flatten(-2))
        return normalised.view(x.shape)


def _head_norm(qk_norm: Norm | AllHeads | AfterRotation | None, num_heads: int, d_head: int) -> nn.Module:
    if isinstance(qk_norm, AllHeads):
        return _AcrossHeads(qk_norm.norm.build(num_heads * d_head))
    if isinstance(qk_norm, AfterRotation):
        return qk_norm.norm.build(d_head)
    return nn.Identity() if qk_norm is None else qk_norm.build(d_head)


class AttentionModule(nn.Module):
    """`Attention` with its weights. Shapes: B batch, S seq, D d_model, H heads (K of keys), E d_head."""

    def __init__(self, spec: Attention, d_model: int, layer: int) -> None:
        super().__init__()
        self.spec, self.layer, self.self_attention = spec, layer, self_attention
        inner, kv_inner = spec.num_heads * spec.d_head, spec.num_kv_heads * spec.d_head
        self.query = nn.Linear(d_model, inner, bias=spec.bias)
        self.key = nn.Linear(d_model, kv_inner, bias=spec.bias)
        self.value = None if spec.key_is_value else nn.Linear(d_model, kv_inner, bias=spec.bias)
        self.query_norm = _head_norm(spec.qk_norm, spec.num_heads, spec.d_head)
        self.key_norm = _head_norm(spec.qk_norm, spec.num_kv_heads, spec.d_head)
        self.gate = nn.Linear(d_model, inner, bias=spec.bias) if spec.gate else None
        self.sinks = nn.Parameter(torch.zeros(spec.num_heads)) if spec.sinks else None
        self.position_bias = None if spec.position_bias is None else spec.position_bias.build(spec.num_heads)
        values = spec.value_mix
        self.value_mix = None if values is None else values.build(d_model, spec.num_kv_heads, spec.d_head)
        self.output = ResidualOutput(inner, d_model, bias=spec.output_bias)

    def forward(
        self, x_BSD: Float[Tensor, "batch seq d_model"], context: Context
    ) -> Float[Tensor, "batch seq d_model"]:
        """Attend within the input by order, or over `context.cache` by position."""
        q_BHSE = self._placed(self.query(x_BSD).unflatten(-1, (-1, self.spec.d_head)), self.query_norm, context)
        k_BKSE, v_BKSE = self._keys_and_values(x_BSD, context)
        mixed_BSF = self._mix(q_BHSE, k_BKSE, v_BKSE, context).transpose(1, 2).flatten(2)
        if self.gate is not None:
            mixed_BSF = mixed_BSF * torch.sigmoid(self.gate(x_BSD))
        output: Tensor = self.output(mixed_BSF)
        return output

    def _placed(self, x_BSHE: Tensor, norm: nn.Module, context: Context) -> Tensor:
        """Queries or keys, normalised and turned, as (B, H, S, E)."""
        is_last = isinstance(self.spec.qk_norm, AfterRotation)
        x_BHSE = (x_BSHE if is_last else norm(x_BSHE)).transpose(1, 2)
        for rotary, width in self.spec.rotation_keys:
            x_BHSE = rotary.rotate(x_BHSE, context.rotations[rotary, width])
        return norm(x_BHSE) if is_last else x_BHSE

    def _keys_and_values(self, x_BSD: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        raw_BSKE = self.key(x_BSD).unflatten(-1, (-1, self.spec.d_head))
        k_BKSE = self._placed(raw_BSKE, self.key_norm, context)
        v_BSKE = raw_BSKE if self.value is None else self.value(x_BSD).unflatten(-1, (-1, self.spec.d_head))
        v_BKSE = v_BSKE.transpose(1, 2)
        return k_BKSE, v_BKSE if self.value_mix is None else self.value_mix(v_BKSE, x_BSD, context)

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """Sinks start at 0: as much as a key of which the score is 0."""
        if self.sinks is not None:
            self.sinks.detach().zero_()

    def _mix(self, q_BHSE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, context: Context) -> Tensor:
        spec = self.spec
        options: dict[str, Any] = {
            "scale": spec.scale,
            "window": spec.window,
            "softcap": spec.softcap,
            "sinks": self.sinks,
            "bias": context.bias if self.position_bias is None else self.position_bias,
        }
        options = {name: value for name, value in options.items() if value is not None}
        if context.cache is None:
            return self.self_attention(q_BHSE, k_BKSE, v_BKSE, is_causal=spec.is_causal, keep=context.keep, **options)
        if not spec.is_causal:
            raise ArchError("a layer with is_causal=False cannot run on a cache: its past would depend on its future")
        return self._attend(q_BHSE, k_BKSE, v_BKSE, context, options)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, context: Context, options: dict[str, Any]) -> Tensor:
        assert context.cache is not None
        return context.cache.attend(self.layer, q, k, v, context.positions.expand(len(q), -1), **options)
