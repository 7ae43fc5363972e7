"""The lightning indexer of sparse attention: small heads score the past, and a query attends to the best alone."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..cache import ListCache
from ..context import Context, Rotary, RotationKey
from ..cost import Cost, dense
from ..errors import ArchError, require_positive
from ..norm import LayerNorm, Norm
from ..rope import RoPE


@dataclass(frozen=True)
class Indexer:
    """I_ts = Σ_h w_th relu(q_th · k_s) / sqrt(num_heads * d_head); query t sees the top_k positions s <= t alone.

    Of equal scores (relu makes many of them 0) the earlier position comes first, so that the choice depends on the
    past alone and not on how it is batched or cached.

    Args:
        num_heads: heads of queries, each with a weight w = W x; keys have one.
        d_head: width of a head.
        top_k: positions that a query sees; with as many as there are, attention is dense.
        position: rotary embedding of q and k.
        norm: of the keys.
    Source: DeepSeek-V3.2 (arXiv 2512.02556), section 2.1.
    """

    num_heads: int
    d_head: int
    top_k: int
    position: Rotary = field(default=RoPE())
    norm: Norm = field(default=LayerNorm(1e-6))

    def __post_init__(self) -> None:
        require_positive(num_heads=self.num_heads, d_head=self.d_head, top_k=self.top_k)
        self.position.check(self.d_head)

    def build(self, d_model: int, d_query: int, layer: int) -> "IndexerModule":
        """The module, with queries from vectors of `d_query` numbers."""
        return IndexerModule(self, d_model, d_query, layer)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotation of its queries and keys."""
        return ((self.position, self.d_head),)

    def cost(self, d_model: int, d_query: int, context_length: int) -> Cost:
        """Three matrices, the norm of the keys, and 2 num_heads (d_head + 1) FLOPs a position; it keeps one key."""
        weights = d_query * self.num_heads * self.d_head + d_model * (self.d_head + self.num_heads)
        scores = 2 * self.num_heads * (self.d_head + 1) * context_length
        kept = Cost(attention_flops=scores, cache_elements=self.d_head)
        untrained = Cost(activation_elements=-self.norm.cost(self.d_head).activation_elements)
        return dense(weights) + self.norm.cost(self.d_head) + untrained + kept


class IndexerModule(nn.Module):
    """`Indexer` with its weights. Shapes: B batch, S seq, J slots, H heads, E d_head."""

    def __init__(self, spec: Indexer, d_model: int, d_query: int, layer: int) -> None:
        super().__init__()
        self.spec, self.layer = spec, layer
        self.query = nn.Linear(d_query, spec.num_heads * spec.d_head, bias=False)
        self.key = nn.Linear(d_model, spec.d_head, bias=False)
        self.key_norm = spec.norm.build(spec.d_head)
        self.weight = nn.Linear(d_model, spec.num_heads, bias=False)

    @torch.no_grad()
    def forward(
        self,
        x_BSD: Float[Tensor, "batch seq d_model"],
        source_BSQ: Float[Tensor, "batch seq d_query"],
        context: Context,
    ) -> "Selection | None":
        """The choice of each query as a bias of its attention, or None where all of the past is chosen.

        No gradient passes a choice; train the indexer on `scores`, as the paper does.
        """
        spec, rotation = self.spec, context.rotations[self.spec.position, self.spec.d_head]
        k_BSE = spec.position.rotate(self.key_norm(self.key(x_BSD))[:, None], rotation)[:, 0]
        if context.cache is None:
            queries = keys = torch.arange(x_BSD.shape[1], device=x_BSD.device).expand(x_BSD.shape[:2])
            k_BJE = k_BSE
        else:
            queries = context.positions.expand(len(x_BSD), -1)
            if not isinstance(context.cache, ListCache):
                raise ArchError(
                    f"layer {self.layer} has an indexer, but {type(context.cache).__name__} keeps only "
                    "keys and values; use a cache with `append`, such as DynamicCache"
                )
            k_BJE, keys = context.cache.append(self.layer, "index", k_BSE, queries)
        if k_BJE.shape[1] <= spec.top_k:
            return None
        q_BHSE = self.query(source_BSQ).unflatten(-1, (spec.num_heads, -1)).transpose(1, 2)
        q_BHSE = spec.position.rotate(q_BHSE, rotation)
        return chosen_by(self.scores(x_BSD, q_BHSE, k_BJE), queries, keys, spec.top_k)

    def scores(
        self,
        x_BSD: Float[Tensor, "batch seq d_model"],
        q_BHSE: Float[Tensor, "batch heads seq d_head"],
        k_BJE: Float[Tensor, "batch slots d_head"],
    ) -> Float[Tensor, "batch seq slots"]:
        """I_ts in float32 at least, nothing hidden yet; q and k are rotated."""
        return index_scores(self.weight(x_BSD), q_BHSE, k_BJE)


def index_scores(
    weights_BSH: Float[Tensor, "batch seq heads"],
    q_BHSE: Float[Tensor, "batch heads seq d_head"],
    k_BJE: Float[Tensor, "batch slots d_head"],
) -> Float[Tensor, "batch seq slots"]:
    """Σ_h w_th relu(q_th · k_s) / sqrt(heads * d_head), in float32 at least."""
    wide = torch.promote_types(q_BHSE.dtype, torch.float32)
    products_BHSJ = (q_BHSE.to(wide) @ k_BJE.to(wide).transpose(-1, -2)[:, None]).relu()
    size = (q_BHSE.shape[1] * q_BHSE.shape[-1]) ** -0.5
    return torch.einsum("bsh,bhsj->bsj", weights_BSH.to(wide) * size, products_BHSJ)


def chosen_by(
    scores_BSJ: Float[Tensor, "batch seq slots"],
    queries: Int[Tensor, "batch seq"],
    keys: Int[Tensor, "batch slots"],
    top_k: int,
) -> "Selection":
    """The `top_k` positions of the highest scores that each query sees; of equal ones the earlier slot."""
    is_hidden = (keys[:, None, :] > queries[:, :, None]) | (keys < 0)[:, None, :]
    best = scores_BSJ.masked_fill(is_hidden, -torch.inf).argsort(stable=True, dim=-1, descending=True)
    return Selection(keys[:, None, :].expand_as(best).gather(-1, best[..., :top_k]))


class Selection:
    """Some positions for each query: 0 for those keys, -inf for all others; an `AttentionBias`.

    Args:
        chosen: positions; a query that chose one it cannot see (or padding, -1) chose all that it can see.
    """

    def __init__(self, chosen: Int[Tensor, "batch seq top_k"]) -> None:
        self.chosen = chosen

    def __call__(
        self, queries: Int[Tensor, "batch seq"], keys: Int[Tensor, "batch slots"]
    ) -> Float[Tensor, "batch 1 seq slots"]:
        """The bias of the queries that chose, in their order, towards any keys."""
        chosen, keys = self.chosen.clamp(min=0), keys.clamp(min=0).expand(len(self.chosen), -1)
        length = 1 + max(int(chosen.max()), int(keys.max()))
        is_chosen = torch.zeros(*chosen.shape[:2], length, dtype=torch.bool, device=keys.device).scatter(
            -1, chosen, True
        )
        is_chosen = is_chosen.gather(-1, keys[:, None, :].expand(-1, chosen.shape[1], -1))
        return torch.zeros(is_chosen.shape, device=keys.device).masked_fill(~is_chosen, -torch.inf)[:, None]
