"""Attention to the last tokens one by one and to all before them in compressed entries (DeepSeek-V4)."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..cache import AttentionBias, ListCache
from ..context import Context, Rotary, RotationKey
from ..cost import Cost, dense
from ..errors import require, require_positive
from ..linear import ResidualOutput
from ..mixing import mix, self_attention
from ..norm import RMSNorm
from ..rope import RoPE, Rotation
from .compressor import Compressor, turn_last
from .indexer import Selection, chosen_by, index_scores


@dataclass(frozen=True)
class EntryIndexer:
    """I_ts = Σ_h w_th relu(q_th · k_s) / sqrt(num_heads * d_head) with compressed keys; a query sees the top_k entries.

    Of equal scores the earlier entry comes first.

    Args:
        num_heads: heads of queries, each with a weight w = W x; keys have one.
        d_head: width of a head.
        top_k: entries that a query sees.
        compressor: of the keys, with the windows of the entries.
    Source: DeepSeek-V4, as transformers builds it (`DeepseekV4Indexer`); DeepSeek-V3.2 (arXiv 2512.02556).
    """

    num_heads: int
    d_head: int
    top_k: int
    compressor: Compressor

    def __post_init__(self) -> None:
        require_positive(num_heads=self.num_heads, d_head=self.d_head, top_k=self.top_k)

    def build(self, d_model: int, d_query: int, layer: int) -> "EntryIndexerModule":
        """The module, with queries from vectors of `d_query` numbers."""
        return EntryIndexerModule(self, d_model, d_query, layer)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotation of its queries."""
        return ((self.compressor.position, self.compressor.d_rope),)

    def cost(self, d_model: int, d_query: int, context_length: int) -> Cost:
        """Two matrices, the compressor, and 2 num_heads (d_head + 1) FLOPs an entry."""
        weights = d_query * self.num_heads * self.d_head + d_model * self.num_heads
        scores = 2 * self.num_heads * (self.d_head + 1) * self.compressor.entries(context_length)
        return dense(weights) + self.compressor.cost(d_model, self.d_head) + Cost(attention_flops=scores)


class EntryIndexerModule(nn.Module):
    """`EntryIndexer` with its weights."""

    def __init__(self, spec: EntryIndexer, d_model: int, d_query: int, layer: int) -> None:
        super().__init__()
        self.spec = spec
        self.query = nn.Linear(d_query, spec.num_heads * spec.d_head, bias=False)
        self.weight = nn.Linear(d_model, spec.num_heads, bias=False)
        self.compressor = spec.compressor.build(d_model, spec.d_head, layer, "index")

    @torch.no_grad()
    def forward(self, x_BSD: Tensor, source_BSQ: Tensor, context: Context) -> Selection | None:
        """The entries that each query chose, or None where it sees all; no gradient passes a choice."""
        spec = self.spec
        k_BGE, ends = self.compressor(x_BSD, context)
        if k_BGE.shape[1] <= spec.top_k:
            return None
        q_BHSE = self.query(source_BSQ).unflatten(-1, (spec.num_heads, -1)).transpose(1, 2)
        q_BHSE = turn_last(
            q_BHSE, spec.compressor.position, context.rotations[spec.compressor.position, spec.compressor.d_rope]
        )
        return chosen_by(index_scores(self.weight(x_BSD), q_BHSE, k_BGE), _queries(x_BSD, context), ends, spec.top_k)


@dataclass(frozen=True)
class CompressedAttention:
    """Head h: softmax([q_h · k_s / sqrt(d_head), s in the window or an entry; sink_h]) v_s, with one k_s = v_s for all.

    Queries come from a normalised latent and have length sqrt(d_head); their last d_rope channels turn, as those of the
    keys do. Since the keys are the values, what was mixed is turned back by the query's own position. Groups of heads
    are mapped to d_output numbers each, and all of those to the stream.

    Args:
        num_heads: query heads.
        d_head: width of a head.
        d_rope: channels that turn, the last ones.
        d_query_latent: width of the latent of the queries.
        window: positions seen one by one, the own one included.
        groups: of heads, a divisor of num_heads.
        d_output: numbers a group.
        position: rotary embedding.
        norm: of the latent and of the keys; the queries' has its eps and no gain.
        compressor: of the entries; None leaves the window alone.
        indexer: picks the entries that each query sees; None means all.
    Source: DeepSeek-V4, as transformers builds it (`DeepseekV4Attention`).
    """

    num_heads: int
    d_head: int
    d_rope: int
    d_query_latent: int
    window: int
    groups: int
    d_output: int
    position: Rotary = field(default=RoPE(neighbours=True))
    norm: RMSNorm = field(default=RMSNorm())
    compressor: Compressor | None = None
    indexer: EntryIndexer | None = None

    def __post_init__(self) -> None:
        require_positive(num_heads=self.num_heads, d_head=self.d_head, d_query_latent=self.d_query_latent)
        require_positive(window=self.window, groups=self.groups, d_output=self.d_output)
        self.position.check(self.d_rope)
        require(self.d_rope <= self.d_head, f"d_rope={self.d_rope} of d_head={self.d_head}; turn fewer channels")
        require(self.num_heads % self.groups == 0, f"groups={self.groups} does not divide num_heads={self.num_heads}")
        require(self.indexer is None or self.compressor is not None, "an indexer without a compressor has no entries")
        if self.indexer is not None and self.compressor is not None:
            rates = self.indexer.compressor.rate, self.compressor.rate
            require(rates[0] == rates[1], f"the indexer has windows of {rates[0]}, the entries of {rates[1]}")

    def build(self, d_model: int, layer: int = 0) -> "CompressedAttentionModule":
        """The module for a model of that width; a cache keeps its past under `layer`."""
        return CompressedAttentionModule(self, d_model, layer)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotations that a forward pass must hold ready for this layer."""
        own = ((self.position, self.d_rope),)
        return own if self.indexer is None else own + self.indexer.rotation_keys

    def cost(self, d_model: int, context_length: int) -> Cost:
        """Its matrices and parts, and 4 num_heads d_head FLOPs for each token of the window and each entry chosen."""
        inner, d_query = self.num_heads * self.d_head, self.d_query_latent
        weights = d_model * (d_query + self.d_head) + d_query * inner + self.d_output * (inner + self.groups * d_model)
        total = dense(weights, self.num_heads) + self.norm.cost(d_query) + self.norm.cost(self.d_head)
        seen = min(context_length, self.window)
        if self.compressor is not None:
            total += self.compressor.cost(d_model, self.d_head)
            entries = self.compressor.entries(context_length)
            seen += entries if self.indexer is None else min(entries, self.indexer.top_k)
        if self.indexer is not None:
            total += self.indexer.cost(d_model, d_query, context_length)
        kept = self._kept(d_model, max(context_length, 1))
        return total + Cost(attention_flops=4 * inner * seen, cache_elements=self.d_head, activation_elements=kept)

    def _kept(self, d_model: int, length: int) -> float:
        """Queries before and after they turn, keys and values once for each head, scores, and the maps behind them."""
        inner, entries = self.num_heads * self.d_head, 0
        kept: float = (
            d_model + self.d_query_latent + inner + self.num_heads + inner + inner + self.groups * self.d_output
        )
        if self.compressor is not None:
            entries = self.compressor.entries(length)
            kept += self.compressor.kept(self.d_head, length)
        seen = length + entries
        return kept + 2 * inner * seen / length + 2 * self.num_heads * (seen + 1)


class CompressedAttentionModule(nn.Module):
    """`CompressedAttention` with its weights. Shapes: B batch, S seq, D d_model, H heads, E d_head, G entries."""

    def __init__(self, spec: CompressedAttention, d_model: int, layer: int) -> None:
        super().__init__()
        self.spec, self.layer, self.self_attention = spec, layer, self_attention
        inner, d_query = spec.num_heads * spec.d_head, spec.d_query_latent
        self.query_latent = nn.Linear(d_model, d_query, bias=False)
        self.query_norm = spec.norm.build(d_query)
        self.query = nn.Linear(d_query, inner, bias=False)
        self.key = nn.Linear(d_model, spec.d_head, bias=False)
        self.key_norm = spec.norm.build(spec.d_head)
        self.sinks = nn.Parameter(torch.empty(spec.num_heads))
        self.compressor = None
        if spec.compressor is not None:
            self.compressor = spec.compressor.build(d_model, spec.d_head, layer, "entry")
        self.indexer = None if spec.indexer is None else spec.indexer.build(d_model, d_query, layer)
        self.group_output = nn.Linear(inner // spec.groups, spec.groups * spec.d_output, bias=False)
        self.output = ResidualOutput(spec.groups * spec.d_output, d_model, bias=False)

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """Sinks start at 0."""
        self.sinks.detach().zero_()

    def forward(
        self, x_BSD: Float[Tensor, "batch seq d_model"], context: Context
    ) -> Float[Tensor, "batch seq d_model"]:
        """Attend by order within the input, or over what `context.cache` keeps."""
        spec, rotation = self.spec, context.rotations[self.spec.position, self.spec.d_rope]
        source_BSQ = self.query_norm(self.query_latent(x_BSD))
        q_BHSE = self.query(source_BSQ).unflatten(-1, (spec.num_heads, -1)).transpose(1, 2)
        q_BHSE = turn_last(F.rms_norm(q_BHSE, (spec.d_head,), None, spec.norm.eps), spec.position, rotation)
        k_B1SE = turn_last(self.key_norm(self.key(x_BSD))[:, None], spec.position, rotation)
        mixed_BHSE = self._mix(q_BHSE, k_B1SE, x_BSD, source_BSQ, context)
        mixed_BHSE = turn_last(mixed_BHSE, spec.position, Rotation(rotation.cos, -rotation.sin))
        grouped = mixed_BHSE.transpose(1, 2).reshape(*x_BSD.shape[:2], spec.groups, -1)
        maps = self.group_output.weight.view(spec.groups, spec.d_output, -1)
        output: Tensor = self.output(torch.einsum("bsgi,goi->bsgo", grouped, maps).flatten(2))
        return output

    def _mix(self, q_BHSE: Tensor, k_B1SE: Tensor, x_BSD: Tensor, source_BSQ: Tensor, context: Context) -> Tensor:
        window, queries = self.spec.window, _queries(x_BSD, context)
        if self.compressor is None and context.cache is not None:
            kept = (q_BHSE, k_B1SE, k_B1SE, queries)
            return context.cache.attend(self.layer, *kept, window=window, sinks=self.sinks, latent=self.spec.d_head)
        if self.compressor is None:
            return self.self_attention(q_BHSE, k_B1SE, k_B1SE, window=window, sinks=self.sinks)
        entries_BGE, ends = self.compressor(x_BSD, context)
        chosen = None if self.indexer is None else self.indexer(x_BSD, source_BSQ, context)
        keys_BJE, positions = k_B1SE[:, 0], queries
        if context.cache is not None:
            assert isinstance(context.cache, ListCache)  # the compressor has asked
            keys_BJE, positions = context.cache.append(self.layer, "key", keys_BJE, queries)
        both_B1JE = torch.cat((keys_BJE, entries_BGE), 1)[:, None]
        bias = _WindowAndEntries(window, positions.shape[1], chosen)
        both = torch.cat((positions, ends), 1)
        return mix(q_BHSE, both_B1JE, both_B1JE, queries, both, sinks=self.sinks, bias=bias)


def _queries(x_BSD: Tensor, context: Context) -> Int[Tensor, "batch seq"]:
    """Where the queries stand: by order without a cache."""
    if context.cache is None:
        return torch.arange(x_BSD.shape[1], device=x_BSD.device).expand(x_BSD.shape[:2])
    return context.positions.expand(len(x_BSD), -1)


class _WindowAndEntries:
    """-inf for those of the first `count` keys that the window has left, and for entries behind them not chosen."""

    def __init__(self, window: int, count: int, chosen: AttentionBias | None) -> None:
        self.window, self.count, self.chosen = window, count, chosen

    def __call__(self, queries: Tensor, keys: Tensor) -> Float[Tensor, "batch 1 seq slots"]:
        tokens, entries = keys[:, : self.count], keys[:, self.count :]
        distance = queries[:, :, None] - tokens[:, None, :]
        left = torch.zeros(distance.shape, device=keys.device).masked_fill(distance >= self.window, -torch.inf)[:, None]
        if self.chosen is not None:
            return torch.cat((left, self.chosen(queries, entries)), -1)
        return F.pad(left, (0, entries.shape[1]))
