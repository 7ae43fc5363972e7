"""Multi-head latent attention: keys and values of all heads are maps of one short latent vector a token."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..cache import AttentionBias
from ..context import Context, Rotary, RotationKey
from ..cost import Cost, dense
from ..errors import require_positive
from ..linear import ResidualOutput
from ..mixing import self_attention
from ..norm import Norm, RMSNorm
from ..rope import RoPE
from .indexer import Indexer


@dataclass(frozen=True)
class LatentAttention:
    """Head h: softmax(scale * ([q_h ; q'_h] · [K_h c ; k'])) V_h c, with c = norm(W x) and one rotated key k' for all.

    A cache keeps (c, k') alone: q_h · K_h c = (K_hᵀ q_h) · c, so the heads attend to the latents themselves, as queries
    of d_latent + d_rope channels on one key head, and V_h maps what they mixed. Without a cache keys and values are
    expanded, which takes fewer FLOPs and memory for whole sequences. Both are the same function.

    Args:
        num_heads: heads.
        d_latent: width of c, what keys and values are made of.
        d_nope: channels of a query and key without position, made from the latent.
        d_rope: channels that are rotated; their key is shared by all heads.
        d_value: channels of a value.
        d_query_latent: width of a normalised latent that the queries are made of; None makes them from x.
        position: rotary embedding of the d_rope channels; None leaves them as they are.
        norm: of the latents.
        bias: offsets of the maps to the latents.
        output_bias: offset of the output map.
        scale: factor of the scores; None means 1 / sqrt(d_nope + d_rope).
        indexer: picks the few positions that each query attends to (DeepSeek-V3.2).
    Source: DeepSeek-V2 (arXiv 2405.04434), section 2.1.
    """

    num_heads: int
    d_latent: int
    d_nope: int
    d_rope: int
    d_value: int
    d_query_latent: int | None = None
    position: Rotary | None = field(default=RoPE(neighbours=True))
    norm: Norm = field(default=RMSNorm())
    bias: bool = False
    output_bias: bool = False
    scale: float | None = None
    indexer: Indexer | None = None

    def __post_init__(self) -> None:
        require_positive(num_heads=self.num_heads, d_latent=self.d_latent, d_nope=self.d_nope, d_rope=self.d_rope)
        require_positive(d_value=self.d_value)
        for name, value in (("d_query_latent", self.d_query_latent), ("scale", self.scale)):
            if value is not None:
                require_positive(**{name: value})
        if self.position is not None:
            self.position.check(self.d_rope)

    def build(self, d_model: int, layer: int = 0) -> "LatentAttentionModule":
        """The module for a model of that width; `layer` is its index there, under which a cache keeps its past."""
        return LatentAttentionModule(self, d_model, layer)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotations that a forward pass must hold ready for this layer."""
        own = () if self.position is None else ((self.position, self.d_rope),)
        return own if self.indexer is None else own + self.indexer.rotation_keys

    def cost(self, d_model: int, context_length: int) -> Cost:
        """The expanded form; the absorbed one has 2 H (2 d_latent + d_rope) FLOPs a token attended, the same weights.

        With an indexer only the chosen positions count as attended.
        """
        d_head, d_query = self.d_nope + self.d_rope, self.d_query_latent
        weights = d_model * (self.d_latent + self.d_rope) + self.num_heads * self.d_value * d_model
        weights += self.d_latent * self.num_heads * (self.d_nope + self.d_value)
        weights += (d_model if d_query is None else d_query) * self.num_heads * d_head
        offsets = self.bias * (self.d_latent + self.d_rope) + self.output_bias * d_model
        total = dense(weights, offsets) + self.norm.cost(self.d_latent)
        if d_query is not None:
            total += dense(d_model * d_query, self.bias * d_query) + self.norm.cost(d_query)
        seen = context_length
        if self.indexer is not None:
            total += self.indexer.cost(d_model, d_query or d_model, context_length)
            seen = min(seen, self.indexer.top_k)
        attention = 2 * self.num_heads * (d_head + self.d_value) * seen
        activations = self._kept(d_model, context_length)
        kept = self.d_latent + self.d_rope
        return total + Cost(attention_flops=attention, cache_elements=kept, activation_elements=activations)

    def _kept(self, d_model: int, context_length: int) -> int:
        """The expanded form; values of another width than keys have no fused attention, so that weights are kept."""
        d_head, d_query = self.d_nope + self.d_rope, self.d_query_latent or 0
        kept = d_model + self.d_rope + self.d_latent + d_query + 2 * self.num_heads * (d_head + self.d_value)
        if d_head != self.d_value:
            return kept + self.num_heads * context_length
        choice = context_length * (self.indexer is not None and self.indexer.top_k < context_length)
        return kept + self.num_heads * (self.d_nope + self.d_value + 1) + choice


class _Parts(NamedTuple):
    """What both forms of the attention are made of; shapes as in the module."""

    queries: Float[Tensor, "B H S N"]
    turned_queries: Float[Tensor, "B H S R"]
    latents: Float[Tensor, "B 1 S L"]
    turned_keys: Float[Tensor, "B 1 S R"]
    bias: AttentionBias | None


class LatentAttentionModule(nn.Module):
    """`LatentAttention` with its weights.

    Shapes: B batch, S seq, D d_model, H heads, L d_latent, N d_nope, R d_rope, V d_value, Q d_query_latent.
    """

    def __init__(self, spec: LatentAttention, d_model: int, layer: int) -> None:
        super().__init__()
        self.spec, self.layer, self.self_attention = spec, layer, self_attention
        d_query = spec.d_query_latent
        self.query_latent = None if d_query is None else nn.Linear(d_model, d_query, bias=spec.bias)
        self.query_norm = nn.Identity() if d_query is None else spec.norm.build(d_query)
        self.query = nn.Linear(d_query or d_model, spec.num_heads * (spec.d_nope + spec.d_rope), bias=False)
        self.latent = nn.Linear(d_model, spec.d_latent + spec.d_rope, bias=spec.bias)
        self.latent_norm = spec.norm.build(spec.d_latent)
        self.key_value = nn.Linear(spec.d_latent, spec.num_heads * (spec.d_nope + spec.d_value), bias=False)
        self.indexer = None if spec.indexer is None else spec.indexer.build(d_model, d_query or d_model, layer)
        self.output = ResidualOutput(spec.num_heads * spec.d_value, d_model, bias=spec.output_bias)

    def forward(
        self, x_BSD: Float[Tensor, "batch seq d_model"], context: Context
    ) -> Float[Tensor, "batch seq d_model"]:
        """Attend within the input by order in the expanded form, or over `context.cache` in the absorbed one."""
        spec = self.spec
        source_BSQ = x_BSD if self.query_latent is None else self.query_norm(self.query_latent(x_BSD))
        q_BHSE = self.query(source_BSQ).unflatten(-1, (spec.num_heads, -1)).transpose(1, 2)
        q_BHSN, q_BHSR = q_BHSE.split((spec.d_nope, spec.d_rope), -1)
        c_BSL, k_BSR = self.latent(x_BSD).split((spec.d_latent, spec.d_rope), -1)
        c_B1SL, k_B1SR = self.latent_norm(c_BSL)[:, None], k_BSR[:, None]
        if spec.position is not None:
            rotation = context.rotations[spec.position, spec.d_rope]
            q_BHSR, k_B1SR = spec.position.rotate(q_BHSR, rotation), spec.position.rotate(k_B1SR, rotation)
        bias = None if self.indexer is None else self.indexer(x_BSD, source_BSQ, context)
        parts = _Parts(q_BHSN, q_BHSR, c_B1SL, k_B1SR, bias)
        mixed_BHSV = self._expanded(parts) if context.cache is None else self._absorbed(parts, context)
        output: Tensor = self.output(mixed_BHSV.transpose(1, 2).flatten(2))
        return output

    def _expanded(self, parts: _Parts) -> Tensor:
        spec = self.spec
        kv_BHSE = self.key_value(parts.latents[:, 0]).unflatten(-1, (spec.num_heads, -1)).transpose(1, 2)
        k_BHSN, v_BHSV = kv_BHSE.split((spec.d_nope, spec.d_value), -1)
        q = torch.cat((parts.queries, parts.turned_queries), -1)
        k = torch.cat((k_BHSN, parts.turned_keys.expand(-1, spec.num_heads, -1, -1)), -1)
        return self.self_attention(q, k, v_BHSV, scale=spec.scale, bias=parts.bias)

    def _absorbed(self, parts: _Parts, context: Context) -> Tensor:
        spec = self.spec
        assert context.cache is not None
        maps_HEL = self.key_value.weight.view(spec.num_heads, spec.d_nope + spec.d_value, spec.d_latent)
        key_HNL, value_HVL = maps_HEL[:, : spec.d_nope], maps_HEL[:, spec.d_nope :]
        q = torch.cat((torch.einsum("bhsn,hnl->bhsl", parts.queries, key_HNL), parts.turned_queries), -1)
        k = torch.cat((parts.latents, parts.turned_keys), -1)
        options: dict[str, Any] = {} if parts.bias is None else {"bias": parts.bias}
        options["scale"] = (spec.d_nope + spec.d_rope) ** -0.5 if spec.scale is None else spec.scale
        positions_BS = context.positions.expand(len(q), -1)
        mixed_BHSL = context.cache.attend(
            self.layer, q, k, parts.latents, positions_BS, latent=spec.d_latent, **options
        )
        return torch.einsum("bhsl,hvl->bhsv", mixed_BHSL, value_HVL)
