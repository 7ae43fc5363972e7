"""Attention with windows, soft caps and sinks as one kernel of torch: FlexAttention, for GPUs."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .cache import AttentionBias

_BLOCK = 128  # queries and keys of a tile that is skipped where nothing in it is seen


def flex_self_attention(
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
    """As `self_attention`, never with all scores in memory; tiles outside the window or the past are skipped.

    For `replace_parts(model, self_attention=flex_self_attention)`, where layers have windows, soft caps or sinks: plain
    causal attention is as fast without. Compiled on a GPU, where gradients flow; on a CPU it runs uncompiled, for
    reading and testing, and without gradients.

    A sink is what it takes from the softmax: out * sigmoid(logsumexp - sink).
    Cost: 4 FLOPs a seen pair and channel; memory for the output and one number a query and head.
    Source: Dong et al. 2024 (arXiv 2412.05496).
    """
    from torch.nn.attention.flex_attention import AuxRequest

    seq = q.shape[2]
    order = torch.arange(seq, device=q.device)[None]
    # As a tensor: the compiler takes a second Python number for a variable, which the kernel cannot have.
    cap = None if softcap is None else torch.full((), softcap, device=q.device)
    added = None if bias is None else bias(order, order)

    def score(value: Tensor, row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        if cap is not None:
            value = cap * torch.tanh(value / cap)
        if added is None:
            return value
        return value + added[row if len(added) > 1 else 0, head if added.shape[1] > 1 else 0, query, key]

    mask = _seen_tiles(seq, is_causal, window, q.device) if keep is None else _kept_tiles(keep, is_causal, window)
    mixed: Tensor
    mixed, extra = _run(q.is_cuda)(
        q,
        k,
        v,
        score_mod=None if softcap is None and added is None else score,
        block_mask=mask,
        scale=scale,
        enable_gqa=q.shape[1] != k.shape[1],
        return_aux=AuxRequest(lse=True),
    )
    if sinks is None:
        return mixed
    return mixed * torch.sigmoid(extra.lse - sinks[:, None])[..., None].to(mixed.dtype)


@functools.lru_cache(maxsize=64)
def _seen_tiles(seq: int, is_causal: bool, window: int | None, device: torch.device) -> Any:
    return _tiles(_seen(seq, is_causal, window), None, seq, device)


def _kept_tiles(keep_BS: Tensor, is_causal: bool, window: int | None) -> Any:
    near = _seen(keep_BS.shape[1], is_causal, window)

    def is_seen(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return near(row, head, query, key) & keep_BS[row, key]

    return _tiles(is_seen, len(keep_BS), keep_BS.shape[1], keep_BS.device)


def _seen(seq: int, is_causal: bool, window: int | None) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    reach = seq if window is None else window

    def is_seen(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        near = (query - key).abs() < reach
        return near & (query >= key) if is_causal else near

    return is_seen


def _tiles(is_seen: Callable[..., Tensor], rows: int | None, seq: int, device: torch.device) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    return create_block_mask(is_seen, rows, None, seq, seq, device=str(device), BLOCK_SIZE=_BLOCK)


@functools.cache
def _run(is_compiled: bool) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention) if is_compiled else flex_attention
