"""Floating-point operations of a transformer, each matrix product by itself.

A product of (m, k) and (k, n) is 2 m k n operations, a multiplication and an addition each. Norms, activations, softmax
and rotations are left out, as in the published counts: below 1 % at usual widths, and bound by memory, not arithmetic.
"""

from dataclasses import dataclass, fields

from octad_systems.account.shape import TransformerShape, count_active_parameters, count_parameters
from octad_systems.errors import SystemsError


@dataclass(frozen=True)
class ForwardFlops:
    """Operations of one forward pass, all layers together, by matrix product."""

    query: float
    key: float
    value: float
    scores: float
    mixing: float
    output: float
    router: float
    mlp: float
    head: float

    @property
    def total(self) -> float:
        """The sum of all products."""
        return float(sum(getattr(self, field.name) for field in fields(self)))

    @property
    def attention(self) -> float:
        """The part that grows with the context: query-key scores and the mixing of values."""
        return self.scores + self.mixing

    def times(self, factor: float) -> "ForwardFlops":
        """Every part multiplied by `factor` (tokens of a batch, 3 for training)."""
        return ForwardFlops(**{field.name: getattr(self, field.name) * factor for field in fields(self)})


def mean_visible_keys(seq_len: int, *, is_causal: bool = True, window: int | None = None) -> float:
    """Keys a query sees, averaged over a sequence: (S + 1) / 2 if causal, S if not; less with a window.

    With a causal window of W <= S, the query at position t = 1..S sees min(t, W), W - W (W - 1) / (2 S) on average;
    without causality a window reaches W - 1 keys to either side.

    Raises:
        SystemsError: seq_len or window below 1.
    """
    if seq_len < 1 or (window is not None and window < 1):
        raise SystemsError(f"seq_len={seq_len} and window={window} must be at least 1")
    reach = min(seq_len, window or seq_len)
    one_side = reach - reach * (reach - 1) / (2 * seq_len)
    return one_side if is_causal else 2 * one_side - 1


def forward_flops_at(shape: TransformerShape, visible_keys: float, *, has_head: bool = True) -> ForwardFlops:
    """Operations of one token's forward pass when its queries see `visible_keys` keys, its own included.

    For decoding with a cache of C tokens, visible_keys = C + 1. `has_head=False` leaves the vocabulary out, as for
    prompt tokens whose logits nobody reads.
    """
    if visible_keys < 0:
        raise SystemsError(f"visible_keys={visible_keys} must be at least 0")
    layers, d = 2.0 * shape.num_layers, shape.d_model
    return ForwardFlops(
        query=layers * d * shape.d_query,
        key=layers * d * shape.d_kv,
        value=layers * d * shape.d_kv,
        scores=layers * shape.d_query * visible_keys,
        mixing=layers * shape.d_query * visible_keys,
        output=layers * shape.d_query * d,
        router=layers * d * shape.num_experts,
        mlp=layers * shape.visited_mlps * shape.mlp_matrices * d * shape.d_ff,
        head=2.0 * d * shape.vocab_size if has_head else 0.0,
    )


def forward_flops_per_token(shape: TransformerShape, seq_len: int, *, is_causal: bool = True) -> ForwardFlops:
    """Operations a token of one forward pass over sequences of `seq_len`, averaged over the sequence.

    Args:
        shape: the model; its window, if any, limits the keys.
        seq_len: tokens of a sequence, at least 1.
        is_causal: count only the keys up to the query, which is what must be computed. False counts the full square,
            as for an encoder, and as a kernel works that computes everything and masks half of it.
    """
    return forward_flops_at(shape, mean_visible_keys(seq_len, is_causal=is_causal, window=shape.window))


def training_flops_per_token(
    shape: TransformerShape, seq_len: int, *, is_causal: bool = True, has_recomputation: bool = False
) -> float:
    """Operations a token of one training step: 3 forward passes, 4 when activations are recomputed.

    The backward pass does two products for each forward one, for the input's and for the weight's gradient.
    Recomputation repeats the blocks' forward pass, not the head's. Utilisation of a model (MFU) counts without it.
    """
    forward = forward_flops_per_token(shape, seq_len, is_causal=is_causal)
    return 3.0 * forward.total + (forward.total - forward.head if has_recomputation else 0.0)


def six_n_flops_per_token(shape: TransformerShape, *, has_embeddings: bool = False) -> float:
    """The rule C = 6 N: what training costs a token if every parameter is one multiplication and attention is free.

    Args:
        shape: the model.
        has_embeddings: N counts everything, as Hoffmann et al. 2022 do; otherwise N leaves out the token and position
            embeddings and an output head, as Kaplan et al. 2020 do. For a mixture of experts N is the active part.
    """
    parameters = count_parameters(shape)
    outside = 0 if has_embeddings else parameters.embedding + parameters.positions + parameters.head
    return 6.0 * (count_active_parameters(shape) - outside)


def prefill_flops(shape: TransformerShape, prompt_len: int) -> float:
    """Operations to read a prompt of `prompt_len` tokens and give the logits of the next one only."""
    keys = mean_visible_keys(prompt_len, window=shape.window)
    body = forward_flops_at(shape, keys, has_head=False).total
    return prompt_len * body + 2.0 * shape.d_model * shape.vocab_size


def decode_flops(shape: TransformerShape, context_len: int) -> float:
    """Operations to generate one token after `context_len` cached ones."""
    if context_len < 0:
        raise SystemsError(f"context_len={context_len} must be at least 0")
    keys = context_len + 1
    return forward_flops_at(shape, keys if shape.window is None else min(keys, shape.window)).total
