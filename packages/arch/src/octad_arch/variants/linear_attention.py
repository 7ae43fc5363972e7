"""Linear attention: a state of fixed size instead of a past, as a recurrence and in chunks of matrix products.

A state S of (d_key, d_value) a head is read by queries and written by keys and values:

    linear attention    S_t = exp(g_t) S_{t-1} + k_t v_tᵀ                                   o_t = S_tᵀ q_t
    delta rule          S_t = D_t S_{t-1} + β_t k_t (v_t - (D_t S_{t-1})ᵀ k_t)ᵀ               o_t = S_tᵀ q_t

D_t = exp(g_t) is one number a head (Gated DeltaNet, Mamba-2) or one a key channel (Kimi Delta Attention). The recurrent
forms are the definition and take one step a token; the chunked forms give the same in products of C x C blocks.

Shapes: B batch, H heads, T time, N chunks, C steps of a chunk, K d_key, V d_value.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..errors import require
from ..parts import part

CHUNK, BLOCK = 64, 16

Result = tuple[Float[Tensor, "batch heads seq d_value"], Float[Tensor, "batch heads d_key d_value"]]
"""What every query reads, and the state after the last step."""


def linear_attention_recurrent(
    q: Float[Tensor, "batch heads seq d_key"],
    k: Float[Tensor, "batch heads seq d_key"],
    v: Float[Tensor, "batch heads seq d_value"],
    g: Float[Tensor, "batch heads seq"],
    state: Float[Tensor, "batch heads d_key d_value"] | None = None,
) -> Result:
    """S = exp(g) S + k vᵀ, o = Sᵀ q, one step a token.

    Args:
        q: queries, with their scale.
        k: keys.
        v: values.
        g: logarithm of the decay, <= 0.
        state: before the first step; None means 0.
    """
    S_BHKV, dtype = _start(state, k, v), v.dtype
    q, k, v, decay = (x.to(S_BHKV.dtype) for x in (q, k, v, g.exp()))
    read: list[Tensor] = []
    for t in range(q.shape[2]):
        S_BHKV = decay[:, :, t, None, None] * S_BHKV + k[:, :, t, :, None] * v[:, :, t, None, :]
        read.append((q[:, :, t, None, :] @ S_BHKV).squeeze(2))
    return _stack(read, v).to(dtype), S_BHKV


@part("linear_attention")
def linear_attention(
    q: Float[Tensor, "batch heads seq d_key"],
    k: Float[Tensor, "batch heads seq d_key"],
    v: Float[Tensor, "batch heads seq d_value"],
    g: Float[Tensor, "batch heads seq"],
    state: Float[Tensor, "batch heads d_key d_value"] | None = None,
    chunk: int = CHUNK,
) -> Result:
    """`linear_attention_recurrent` in chunks; q and k may have fewer heads, each of which serves neighbours (Mamba-2).

    Cost: 2 T (C (K + V) + 2 K V) FLOPs a head.
    Source: Dao and Gu 2024, section 6 (arXiv 2405.21060).
    """
    S_BHKV, length, dtype = _start(state, k, v), v.shape[2], v.dtype
    q, k, v, g = (_chunks(x.to(S_BHKV.dtype), chunk) for x in (q, k, v, g))
    shared = v.shape[1] // q.shape[1]
    G_BHNC = g.cumsum(-1)
    scores = (q @ k.transpose(-1, -2)).repeat_interleave(shared, 1) * _decays(G_BHNC)
    q, k = q.repeat_interleave(shared, 1), k.repeat_interleave(shared, 1)
    last = G_BHNC[..., -1:]
    written = (k * (last - G_BHNC).exp()[..., None]).transpose(-1, -2) @ v
    decay = last.exp()[..., None]
    states = [S_BHKV]
    for n in range(v.shape[2]):
        states.append(decay[:, :, n] * states[-1] + written[:, :, n])
    out = scores @ v + (q * G_BHNC.exp()[..., None]) @ torch.stack(states[:-1], 2)
    return out.flatten(2, 3)[:, :, :length].to(dtype), states[-1]


def delta_rule_recurrent(
    q: Float[Tensor, "batch heads seq d_key"],
    k: Float[Tensor, "batch heads seq d_key"],
    v: Float[Tensor, "batch heads seq d_value"],
    g: Float[Tensor, "batch heads seq ..."],
    beta: Float[Tensor, "batch heads seq"],
    state: Float[Tensor, "batch heads d_key d_value"] | None = None,
) -> Result:
    """S = exp(g) S; S = S + β k (v - Sᵀ k)ᵀ; o = Sᵀ q, one step a token.

    Args:
        q: queries, with their scale.
        k: keys of length 1.
        v: values.
        g: logarithm of the decay, <= 0: (batch, heads, seq), or (batch, heads, seq, d_key) for one a channel.
        beta: how much of what the key finds is replaced by the value; 0 writes nothing.
        state: before the first step; None means 0.
    """
    S_BHKV, dtype = _start(state, k, v), v.dtype
    decay = g.exp() if g.ndim == 4 else g.exp()[..., None]
    q, k, v, decay, beta = (x.to(S_BHKV.dtype) for x in (q, k, v, decay, beta))
    read: list[Tensor] = []
    for t in range(q.shape[2]):
        S_BHKV = decay[:, :, t, :, None] * S_BHKV
        key = k[:, :, t, None, :]
        change = beta[:, :, t, None, None] * (v[:, :, t, None, :] - key @ S_BHKV)
        S_BHKV = S_BHKV + key.transpose(-1, -2) * change
        read.append((q[:, :, t, None, :] @ S_BHKV).squeeze(2))
    return _stack(read, v).to(dtype), S_BHKV


@part("delta_rule")
def delta_rule(
    q: Float[Tensor, "batch heads seq d_key"],
    k: Float[Tensor, "batch heads seq d_key"],
    v: Float[Tensor, "batch heads seq d_value"],
    g: Float[Tensor, "batch heads seq ..."],
    beta: Float[Tensor, "batch heads seq"],
    state: Float[Tensor, "batch heads d_key d_value"] | None = None,
    chunk: int = CHUNK,
) -> Result:
    """`delta_rule_recurrent` in chunks.

    Within a chunk, with G the running sum of g, the values that are really written solve a triangular system:

        A_ij = β_i Σ_c k_ic k_jc exp(G_ic - G_jc) for j < i,    (1 + A) u = β (v - (k exp(G)) S)

    so (1 + A)⁻¹ is applied to β v and β k exp(G) for all chunks at once, and only two products a chunk wait for the
    state of the chunk before.

    Cost: 2 T (C (3 K + 2 V) + 3 K V) FLOPs a head, and C² a step for the inverse.
    Source: Yang et al. 2024 (arXiv 2412.06464); a decay a channel: Kimi Linear (arXiv 2510.26692).
    """
    require(chunk % BLOCK == 0 and chunk > 0, f"chunk={chunk} must be a multiple of {BLOCK}")
    S_BHKV, length, dtype = _start(state, k, v), v.shape[2], v.dtype
    q, k, v, g, beta = (_chunks(x.to(S_BHKV.dtype), chunk) for x in (q, k, v, g, beta))
    by_channel = g.ndim == 5
    G = g.cumsum(3)
    weight = (G if by_channel else G[..., None]).exp()  # (B, H, N, C, K or 1)
    if by_channel:
        keys, scores = _decayed_products((k * beta[..., None], q), k, G)
    else:
        decays = _decays(G)
        keys, scores = (k * beta[..., None] @ k.transpose(-1, -2)) * decays, (q @ k.transpose(-1, -2)) * decays
    inverse: Tensor = _UnitInverse.apply(keys)
    new, known = inverse @ (v * beta[..., None]), inverse @ (k * (weight * -beta[..., None]))
    left = (G[:, :, :, -1:] - G).exp()
    write = (k * (left if by_channel else left[..., None])).transpose(-1, -2)
    decay = weight[:, :, :, -1, :, None]
    states, changes = [S_BHKV.flatten(0, 1)], []
    for U, W, K_HKC, D in zip(*(x.flatten(0, 1).unbind(1) for x in (new, known, write, decay)), strict=True):
        changes.append(torch.baddbmm(U, W, states[-1]))
        states.append(torch.baddbmm(D * states[-1], K_HKC, changes[-1]))
    heads = new.shape[:2]
    out = scores @ torch.stack(changes, 1).view(*heads, *new.shape[2:])
    out = out + (q * weight) @ torch.stack(states[:-1], 1).view(*heads, -1, *S_BHKV.shape[2:])
    return out.flatten(2, 3)[:, :, :length].to(dtype), states[-1].view_as(S_BHKV)


class _UnitInverse(torch.autograd.Function):
    """(1 + strictly lower part of A)⁻¹ of square matrices; the rest of A is not read."""

    @staticmethod
    def forward(ctx: Any, A: Tensor) -> Tensor:
        eye = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device).expand_as(A)
        inverse: Tensor = torch.linalg.solve_triangular(A, eye, upper=False, unitriangular=True).contiguous()
        ctx.save_for_backward(inverse)
        return inverse

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (inverse,) = ctx.saved_tensors
        flipped = inverse.transpose(-1, -2)
        change: Tensor = flipped @ grad @ flipped
        return change.tril_(-1).neg_()


def chunks_of(length: int, chunk: int = CHUNK) -> tuple[int, int]:
    """Chunks of a sequence, and its length once it is filled up to whole ones."""
    count = max(-(-length // chunk), 1)
    return count, count * chunk


def _start(state: Tensor | None, k: Tensor, v: Tensor) -> Tensor:
    """The first state, in float32 or wider: it is summed over the whole past."""
    wide = torch.promote_types(v.dtype, torch.float32)
    if state is not None:
        return state.to(wide)
    return torch.zeros(*v.shape[:2], k.shape[-1], v.shape[-1], dtype=wide, device=v.device)


def _stack(read: list[Tensor], v: Tensor) -> Tensor:
    return torch.stack(read, 2) if read else v


def _chunks(x: Tensor, chunk: int) -> Tensor:
    """(B, H, T, ...) -> (B, H, N, C, ...), filled up with zeros, which neither write nor decay."""
    missing = -x.shape[2] % chunk
    if missing:
        x = F.pad(x, (0, 0) * (x.ndim - 3) + (0, missing))
    return _split(x.contiguous(), 2, chunk)


def _split(x: Tensor, axis: int, size: int) -> Tensor:
    """An axis as two, of which the second has that size."""
    return x.reshape(*x.shape[:axis], -1, size, *x.shape[axis + 1 :])


def _decays(G: Float[Tensor, "... chunk"]) -> Float[Tensor, "... chunk chunk"]:
    """exp(G_i - G_j) for j <= i, else 0; hidden before the exponential, which would overflow there."""
    ahead = torch.ones(G.shape[-1], G.shape[-1], dtype=torch.bool, device=G.device).triu(1)
    return (G[..., :, None] - G[..., None, :]).masked_fill(ahead, -torch.inf).exp()


def _decayed_products(
    lefts: tuple[Tensor, Tensor], k: Float[Tensor, "b h n chunk d_key"], G: Float[Tensor, "b h n chunk d_key"]
) -> tuple[Tensor, Tensor]:
    """Σ_c x_ic k_jc exp(G_ic - G_jc) for j <= i, for both x: (b, h, n, chunk, chunk).

    Blocks of 16 steps: between blocks the decay goes through the start of the later one, so that both factors are at
    most 1; within a block it is taken directly.
    """
    chunk = k.shape[-2]
    count = chunk // BLOCK
    G_blocks, k_blocks = (_split(x, 3, BLOCK) for x in (G, k))  # (b, h, n, s, i, k)
    start = F.pad(G_blocks[..., -1, :], (0, 0, 1, 0))[..., :-1, None, :]  # G before each block
    first = torch.arange(count, device=k.device)[:, None, None] * BLOCK
    is_later = torch.arange(chunk, device=k.device)[None, :, None] >= first
    earlier = k[..., None, :, :] * (start - G[..., None, :, :]).masked_fill(is_later, -torch.inf).exp()
    ahead = torch.ones(BLOCK, BLOCK, dtype=torch.bool, device=k.device).triu(1)[..., None]
    within = (G_blocks[..., :, None, :] - G_blocks[..., None, :, :]).masked_fill(ahead, -torch.inf).exp()
    within = within * k_blocks[..., None, :, :]  # (b, h, n, s, i, j, k)
    decayed = (G_blocks - start).exp()
    products: list[Tensor] = []
    for x in lefts:
        x_blocks = _split(x, 3, BLOCK)
        between = (x_blocks * decayed) @ earlier.transpose(-1, -2)  # (b, h, n, s, i, chunk)
        inside = (within @ x_blocks[..., None]).squeeze(-1)  # (b, h, n, s, i, j)
        placed = [F.pad(part, (s * BLOCK, chunk - (s + 1) * BLOCK)) for s, part in enumerate(inside.unbind(3))]
        products.append((between + torch.stack(placed, 3)).flatten(3, 4))
    return products[0], products[1]
