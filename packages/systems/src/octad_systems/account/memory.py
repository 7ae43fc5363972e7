"""Bytes that training and inference of a transformer hold, by purpose."""

from dataclasses import dataclass
from typing import Literal

from octad_systems.account.shape import TransformerShape, count_active_parameters, count_parameters
from octad_systems.errors import SystemsError

Optimizer = Literal["adamw", "muon", "sgd", "sgd_momentum"]
OPTIMIZERS: tuple[Optimizer, ...] = ("adamw", "muon", "sgd", "sgd_momentum")
_FLOAT32 = 4


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of a training step by purpose.

    `block_gradients` are those of one block's inner values, alive while the backward pass goes through it. `total` is
    an upper bound of the peak: gradients fill while activations drain, so the two are never full together unless
    gradients are kept from step to step (accumulation).
    """

    weights: int
    master_weights: int
    gradients: int
    optimizer_states: int
    activations: int
    block_gradients: int
    logits: int

    @property
    def total(self) -> int:
        """All purposes together."""
        return self.state + self.activations + self.block_gradients + self.logits

    @property
    def state(self) -> int:
        """What does not depend on the batch: weights, their float32 copy, gradients, optimizer states."""
        return self.weights + self.master_weights + self.gradients + self.optimizer_states


def training_memory(
    shape: TransformerShape,
    batch_size: int,
    seq_len: int,
    *,
    element_bytes: int = 4,
    optimizer: Optimizer = "adamw",
    has_master_weights: bool | None = None,
    has_recomputation: bool = False,
    has_fused_head: bool = False,
    has_fused_attention: bool = True,
    head_chunk_tokens: int = 1024,
) -> TrainingMemory:
    """Bytes of one training step on one device, nothing sharded.

    Args:
        shape: the model.
        batch_size: sequences of one forward pass (a micro-batch).
        seq_len: tokens of each.
        element_bytes: of weights, gradients and activations: 4 for float32, 2 for bfloat16.
        optimizer: states are float32. "adamw": two a parameter; "muon": one for each parameter of the blocks' matrices
            and AdamW's two for embeddings, head and vectors; "sgd_momentum": one; "sgd": none.
        has_master_weights: a float32 copy of the weights; by default when element_bytes is below 4.
        has_recomputation: keep each block's input only, and one block's activations while it is recomputed.
        has_fused_head: head and loss in chunks, the gradient computed in the forward pass.
        has_fused_attention: FlashAttention or kin: no seq_len x seq_len matrix is kept.
        head_chunk_tokens: tokens of such a chunk.

    Raises:
        SystemsError: a count below 1 or an unknown optimizer.
    """
    counts = {
        "batch_size": batch_size,
        "seq_len": seq_len,
        "element_bytes": element_bytes,
        "head_chunk_tokens": head_chunk_tokens,
    }
    for name, value in counts.items():
        if value < 1:
            raise SystemsError(f"{name}={value} must be at least 1")
    parameters, tokens = count_parameters(shape).total, batch_size * seq_len
    has_master = element_bytes < _FLOAT32 if has_master_weights is None else has_master_weights
    layer = activation_bytes_per_token_and_layer(
        shape, element_bytes=element_bytes, attention_keys=0 if has_fused_attention else seq_len
    )
    kept = shape.num_layers * layer
    if has_recomputation and shape.num_layers:
        kept = shape.num_layers * shape.d_model * element_bytes + layer
    return TrainingMemory(
        weights=parameters * element_bytes,
        master_weights=parameters * _FLOAT32 if has_master else 0,
        gradients=parameters * element_bytes,
        optimizer_states=optimizer_state_bytes(shape, optimizer),
        activations=tokens * (kept + _ends_bytes_per_token(shape, element_bytes)),
        block_gradients=tokens * _block_gradient_bytes_per_token(shape, element_bytes),
        logits=_logits_bytes(shape, tokens, element_bytes, head_chunk_tokens if has_fused_head else None),
    )


def optimizer_state_bytes(shape: TransformerShape, optimizer: Optimizer) -> int:
    """Bytes of the optimizer's float32 states; see `training_memory` for the choices.

    Raises:
        SystemsError: an optimizer that is not in OPTIMIZERS.
    """
    parameters = count_parameters(shape)
    if optimizer == "adamw":
        return 2 * _FLOAT32 * parameters.total
    if optimizer == "muon":
        return _FLOAT32 * (2 * parameters.total - parameters.hidden_matrices)
    if optimizer == "sgd_momentum":
        return _FLOAT32 * parameters.total
    if optimizer == "sgd":
        return 0
    raise SystemsError(f"optimizer={optimizer!r} is none of {', '.join(OPTIMIZERS)}")


def activation_bytes_per_token_and_layer(
    shape: TransformerShape, *, element_bytes: int = 4, attention_keys: int = 0
) -> int:
    """Bytes that autograd keeps of one token in one block until its backward pass.

    In elements: the inputs of both norms and their outputs, 4 d_model; queries and the attention's result, 2 d_query;
    keys and values, 2 d_kv; the MLP's hidden values, 4 d_ff if gated (gate, its activation, up, their product),
    otherwise 2 d_ff; and float32 for each head's softmax normaliser and each norm's scale. Norms of queries and keys
    keep their inputs as well, norms after a sublayer theirs. Norms are fused: one composed of single operations keeps
    d_model more each (torch's RMSNorm on a CPU), and repeating keys and values for their groups 2 (d_query - d_kv).

    Args:
        shape: the model.
        element_bytes: of an activation.
        attention_keys: keys whose attention weights are kept, for attention that is not fused; scores are not kept.
    """
    d, per_mlp = shape.d_model, (4 if shape.is_gated else 2) * shape.d_ff
    inputs_of_norms = shape.norms_per_layer * d
    attention = 2 * shape.d_query + 2 * shape.d_kv + shape.num_heads * attention_keys
    qk_norm = shape.d_query + shape.d_kv if shape.has_qk_norm else 0
    elements = inputs_of_norms + 2 * d + attention + qk_norm + shape.visited_mlps * per_mlp + shape.num_experts
    scales = shape.norms_per_layer * (2 if shape.has_norm_bias else 1) + (0 if attention_keys else shape.num_heads)
    return elements * element_bytes + scales * _FLOAT32


def _ends_bytes_per_token(shape: TransformerShape, element_bytes: int) -> int:
    """Token ids and targets (int64 each), and the final norm's input and output."""
    return 16 + (2 if shape.has_final_norm else 1) * shape.d_model * element_bytes


def _block_gradient_bytes_per_token(shape: TransformerShape, element_bytes: int) -> int:
    """The gradients of the MLP's hidden values, one for each matrix, and of its input and the residual stream."""
    if not shape.num_layers:
        return 0
    return (shape.visited_mlps * shape.mlp_matrices * shape.d_ff + 2 * shape.d_model) * element_bytes


def _logits_bytes(shape: TransformerShape, tokens: int, element_bytes: int, chunk_tokens: int | None) -> int:
    """Logits, float32 log-probabilities and the float32 gradient of each; chunked: a chunk's, and d hidden."""
    if chunk_tokens is not None:
        chunk = min(chunk_tokens, tokens)
        return chunk * shape.vocab_size * (element_bytes + _FLOAT32) + tokens * shape.d_model * element_bytes
    return tokens * shape.vocab_size * (element_bytes + 3 * _FLOAT32)


def kv_cache_bytes_per_token(shape: TransformerShape, *, element_bytes: float = 2) -> float:
    """Bytes that one token adds to the cache: 2 * num_layers * num_kv_heads * d_head elements.

    Args:
        shape: the model.
        element_bytes: 2 for bfloat16, 1 for int8, 0.5 for 4 bits (scales not counted).
    """
    if element_bytes <= 0:
        raise SystemsError(f"element_bytes={element_bytes} must be positive")
    return 2 * shape.num_layers * shape.d_kv * element_bytes


def kv_cache_bytes(shape: TransformerShape, batch_size: int, seq_len: int, *, element_bytes: float = 2) -> float:
    """Bytes of the cache of `batch_size` sequences of `seq_len` tokens; a window keeps its last tokens only."""
    if batch_size < 0 or seq_len < 0:
        raise SystemsError(f"batch_size={batch_size} and seq_len={seq_len} must be at least 0")
    kept = seq_len if shape.window is None else min(seq_len, shape.window)
    return batch_size * kept * kv_cache_bytes_per_token(shape, element_bytes=element_bytes)


def decode_bytes(
    shape: TransformerShape,
    context_len: int,
    *,
    batch_size: int = 1,
    weight_bytes: float = 2,
    cache_bytes: float = 2,
) -> float:
    """Bytes that one decode step of a batch must read: each weight once, and every sequence's cache.

    The embedding table counts only where it is the output head too: otherwise a step reads `batch_size` of its rows.
    In a mixture a batch touches at most `batch_size` times the active experts, and never more than all.
    """
    parameters = count_parameters(shape)
    outside = parameters.positions + (0 if shape.tied_embeddings else parameters.embedding)
    active, total = count_active_parameters(shape), parameters.total
    expert_share = shape.num_layers * (shape.held_mlps - shape.visited_mlps)
    per_expert = (total - active) // expert_share if expert_share else 0
    routed = min(batch_size * shape.num_active_experts, shape.num_experts) - shape.num_active_experts
    weights = active - outside + shape.num_layers * max(routed, 0) * per_expert
    return weights * weight_bytes + kv_cache_bytes(shape, batch_size, context_len, element_bytes=cache_bytes)
