"""Softmax attention over given positions: the one formula behind every attention form.

softmax(scale * q kᵀ + bias, with what may not be seen at -inf) v
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .cache import AttentionBias
from .parts import part

_PADDING = -1


def mix(
    q: Float[Tensor, "batch heads seq d_head"],
    k: Float[Tensor, "batch kv_heads slots d_head"],
    v: Float[Tensor, "batch kv_heads slots d_value"],
    query_positions: Int[Tensor, "rows seq"],
    key_positions: Int[Tensor, "rows slots"],
    *,
    is_causal: bool = True,
    scale: float | None = None,
    window: int | None = None,
    sinks: Float[Tensor, "heads"] | None = None,
    softcap: float | None = None,
    bias: AttentionBias | None = None,
    keep: Bool[Tensor, "batch slots"] | None = None,
) -> Float[Tensor, "batch heads seq d_value"]:
    """Mix the values that each query may see.

    Args:
        q: queries, normalised and rotated; query head h reads key head h * kv_heads // heads.
        k: keys, likewise.
        v: values.
        query_positions: absolute position of each query, rows = batch or 1.
        key_positions: of each key; -1 is an empty slot that nothing sees.
        is_causal: a key is seen by queries at its position or later.
        scale: factor of the scores; None means 1 / sqrt(d_head).
        window: only keys less than `window` positions away are seen.
        sinks: one more logit a head with no value (gpt-oss; Xiao et al. 2023, arXiv 2309.17453).
        softcap: scores become softcap * tanh(scores / softcap) (Gemma 2, arXiv 2408.00118).
        bias: added to the scores.
        keep: False hides a key.

    A query that may see nothing gives 0.
    """
    seen = _seen(query_positions, key_positions, is_causal, window, keep)
    added = None if bias is None else bias(query_positions, key_positions)
    groups = q.shape[1] // k.shape[1]
    if softcap is None and sinks is None:
        mask = seen if added is None else added.masked_fill(~seen, -torch.inf)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=groups > 1)
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if added is not None:
        scores = scores + added
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32)).masked_fill(~seen, -torch.inf)
    if sinks is not None:
        scores = torch.cat((scores, sinks[:, None, None].to(scores.dtype).expand(*scores.shape[:3], 1)), -1)
    weights = scores.softmax(-1).nan_to_num()[..., : k.shape[2]]
    return weights.to(v.dtype) @ v


@part("self_attention")
def self_attention(
    q: Float[Tensor, "batch heads seq d_head"],
    k: Float[Tensor, "batch kv_heads seq d_head"],
    v: Float[Tensor, "batch kv_heads seq d_value"],
    *,
    is_causal: bool = True,
    scale: float | None = None,
    window: int | None = None,
    sinks: Float[Tensor, "heads"] | None = None,
    softcap: float | None = None,
    bias: AttentionBias | None = None,
    keep: Bool[Tensor, "batch seq"] | None = None,
) -> Float[Tensor, "batch heads seq d_value"]:
    """Mix the values of one input by the order of its tokens; arguments as in `mix`.

    Plain attention is torch's fused kernel without a mask.
    """
    if window is None and sinks is None and softcap is None and bias is None and keep is None:
        is_grouped = q.shape[1] != k.shape[1]
        return F.scaled_dot_product_attention(q, k, v, is_causal=is_causal, enable_gqa=is_grouped, scale=scale)
    order_1S = torch.arange(q.shape[2], device=q.device)[None]
    return mix(
        q,
        k,
        v,
        order_1S,
        order_1S,
        is_causal=is_causal,
        scale=scale,
        window=window,
        sinks=sinks,
        softcap=softcap,
        bias=bias,
        keep=keep,
    )


def _seen(
    queries: Tensor, keys: Tensor, is_causal: bool, window: int | None, keep: Tensor | None
) -> Bool[Tensor, "rows 1 seq slots"]:
    distance = queries[:, :, None] - keys[:, None, :]
    seen = (keys != _PADDING)[:, None, :].expand_as(distance)
    if is_causal:
        seen = seen & (distance >= 0)
    if window is not None:
        seen = seen & (distance.abs() < window)
    if keep is not None:
        seen = seen & keep[:, None, :]
    return seen[:, None]
