"""Softmax attention over what a cache holds: grouped, latent, or with what fused kernels do not know.

Legend: B rows, H query heads, K key-value heads, T new tokens, S slots, D head width.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from octad_infer.errors import InferError


def grouped_attention(
    q_BHTD: Tensor, k_BKSD: Tensor, v_BKSD: Tensor, mask: Tensor | None, scale: float | None
) -> Float[Tensor, "batch heads seq d_value"]:
    """Grouped-query attention. One token a row: its H // K queries of a group stand in a line over one shared head.

    That reads the cache as it lies, through a view; repeating key-value heads would copy it at every step.
    """
    batch, heads, seq, _ = q_BHTD.shape
    kv_heads = k_BKSD.shape[1]
    if seq > 1:
        is_grouped = heads != kv_heads
        return F.scaled_dot_product_attention(
            q_BHTD, k_BKSD, v_BKSD, attn_mask=mask, scale=scale, enable_gqa=is_grouped
        )
    line = q_BHTD.reshape(batch, kv_heads, heads // kv_heads, -1)
    mixed = F.scaled_dot_product_attention(line, k_BKSD, v_BKSD, attn_mask=mask, scale=scale)
    return mixed.reshape(batch, heads, 1, -1)


def scored_attention(
    q_BHTD: Tensor,
    k_BKSD: Tensor,
    v_BKSD: Tensor,
    mask: Tensor | None,
    scale: float | None,
    sinks_H: Tensor | None,
    softcap: float | None,
    added: Tensor | None,
) -> Float[Tensor, "batch heads seq d_value"]:
    """With the scores in memory, for what fused kernels do not know; the softmax in float32 at least."""
    groups = q_BHTD.shape[1] // k_BKSD.shape[1]
    k_BHSD, v_BHSD = k_BKSD.repeat_interleave(groups, 1), v_BKSD.repeat_interleave(groups, 1)
    scores_BHTS = q_BHTD @ k_BHSD.transpose(-1, -2) * (q_BHTD.shape[-1] ** -0.5 if scale is None else scale)
    if softcap is not None:
        scores_BHTS = softcap * torch.tanh(scores_BHTS / softcap)
    if added is not None:
        scores_BHTS = scores_BHTS + added
    scores_BHTS = scores_BHTS.to(torch.promote_types(scores_BHTS.dtype, torch.float32))
    if mask is not None:
        scores_BHTS = scores_BHTS.masked_fill(~mask, -torch.inf)
    if sinks_H is not None:
        sink = sinks_H.to(scores_BHTS.dtype)[:, None, None].expand(*scores_BHTS.shape[:3], 1)
        scores_BHTS = torch.cat((scores_BHTS, sink), -1)
    weights_BHTS = scores_BHTS.softmax(-1)[..., : k_BHSD.shape[2]]
    return weights_BHTS.to(v_BHSD.dtype) @ v_BHSD


def check_shapes(q: Tensor, k: Tensor, v: Tensor, positions: Tensor, latent: int | None) -> None:
    """Refuse queries, keys and values that do not fit together, naming their shapes."""
    is_4d = q.ndim == k.ndim == v.ndim == 4
    if not is_4d or k.shape[:3] != v.shape[:3] or q.shape[3] != k.shape[3]:
        raise InferError(
            f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}; give q (batch, heads, seq, d_head), "
            "k and v (batch, kv_heads, seq, ...)"
        )
    if latent is not None and (v.shape[3] != latent or latent > k.shape[3]):
        raise InferError(
            f"latent={latent} with keys {k.shape[3]} and values {v.shape[3]} wide; "
            "the values are the first `latent` channels of the keys"
        )
    batch, heads, seq, _ = q.shape
    if (batch, seq) != (k.shape[0], k.shape[2]) or (batch, seq) != tuple(positions.shape) or heads % k.shape[1]:
        raise InferError(
            f"q {tuple(q.shape)}, k {tuple(k.shape)}, positions {tuple(positions.shape)}: batch and seq must agree and "
            f"kv_heads={k.shape[1]} must divide heads={heads}"
        )
