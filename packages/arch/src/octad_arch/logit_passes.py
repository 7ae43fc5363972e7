"""What is done with logits while they are in the cache: the soft cap, the loss, and the gradient in their place."""

import functools
import shutil
from collections.abc import Callable
from importlib.util import find_spec

import torch
from jaxtyping import Float, Int
from torch import Tensor

CACHED_ELEMENTS = 1 << 20  # 4 MB of float32 logits stay in a core's share of the cache
_PIECE_ELEMENTS = 1 << 19  # of compiled passes, which need less beside the logits


def soft_cap(logits: Float[Tensor, "..."], softcap: float | None) -> Float[Tensor, "..."]:
    """Softcap * tanh(logits / softcap), or the logits as they are for None (Gemma 2, arXiv 2408.00118)."""
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def through_cap(gradient: Tensor, capped: Tensor, softcap: float | None) -> Tensor:
    """The gradient of what went into `soft_cap`, from that of what came out of it."""
    return gradient if softcap is None else gradient * (1 - (capped / softcap) ** 2)


def wide_type(dtype: torch.dtype) -> torch.dtype:
    """Float32, or wider where dtype is."""
    return torch.promote_types(dtype, torch.float32)


def _softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities, and the logarithm of the sum of exponentials, from one pass of each kind."""
    largest, index = logits.max(dim=-1, keepdim=True)
    probabilities = torch.softmax(logits, dim=-1)
    # The largest probability is exp(largest - logsumexp), at least 1 / vocab, so its logarithm loses nothing.
    return probabilities, (largest - probabilities.gather(1, index).log()).squeeze(1)


def loss_and_gradient(
    logits: Float[Tensor, "rows vocab"], targets: Int[Tensor, "rows"], scale: float, softcap: float | None = None
) -> tuple[Float[Tensor, ""], Float[Tensor, "rows vocab"]]:
    """The sum of -log softmax(cap(z))[target], and scale * (softmax(cap(z)) - onehot(target)) * cap'(z), in z's type.

    Written for a compiler that fuses it: z is read twice and its gradient written once.
    """
    wide = soft_cap(logits.to(wide_type(logits.dtype)), softcap)
    normalisers = wide.logsumexp(-1)
    loss = (normalisers - wide.gather(1, targets[:, None]).squeeze(1)).sum()
    is_target = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
    gradient = ((wide - normalisers[:, None]).exp() - is_target.to(wide.dtype)) * scale
    return loss, through_cap(gradient, wide, softcap).to(logits.dtype)


def write_gradient(
    logits: Float[Tensor, "rows vocab"], targets: Int[Tensor, "rows"], scale: float, softcap: float | None = None
) -> Float[Tensor, ""]:
    """`loss_and_gradient` with the gradient in the place of the logits, for a compiler: one exponential an element."""
    wide = soft_cap(logits.to(wide_type(logits.dtype)), softcap)
    largest = wide.amax(-1, keepdim=True)
    powers = (wide - largest).exp()
    total = powers.sum(-1, keepdim=True)
    loss = (total.log() + largest - wide.gather(1, targets[:, None])).sum()
    gradient = powers * (scale / total)
    gradient = gradient.scatter_add(1, targets[:, None], torch.full_like(total, -scale))
    logits.copy_(through_cap(gradient, wide, softcap))
    return loss


@functools.cache
def _compiled_write() -> Callable[[Tensor, Tensor, float, float | None], Tensor] | None:
    """`write_gradient` compiled, or None where there is no compiler."""
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        return None
    return torch.compile(write_gradient, dynamic=True)


@functools.cache
def fused_loss() -> Callable[[Tensor, Tensor, float, float | None], tuple[Tensor, Tensor]]:
    """`loss_and_gradient` compiled for any number of rows, seconds once a process; as it is where it cannot be."""
    if find_spec("triton") is None or not (shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")):
        return loss_and_gradient
    return torch.compile(loss_and_gradient, dynamic=True)


def replace_by_gradient(
    logits: Tensor, targets: Tensor, scale: float, softcap: float | None, is_compiled: bool = False
) -> Tensor:
    """`loss_and_gradient` in place, for the CPU: a few rows at a time, which stay in the cache between the passes."""
    total = torch.zeros((), dtype=wide_type(logits.dtype))
    write = _compiled_write() if is_compiled else None
    few = max(1, (CACHED_ELEMENTS if write is None else _PIECE_ELEMENTS) // logits.shape[1])
    if write is not None:
        for piece, own in zip(torch.split(logits, few), torch.split(targets, few), strict=True):
            total += write(piece, own, scale, softcap)
        return total
    for piece, index in zip(torch.split(logits, few), torch.split(targets[:, None], few), strict=True):
        wide = soft_cap(piece.to(total.dtype), softcap)
        probabilities, normalisers = _softmax(wide)
        total += (normalisers - wide.gather(1, index).squeeze(1)).sum()
        probabilities.scatter_add_(1, index, -torch.ones_like(index, dtype=total.dtype))
        piece.copy_(through_cap(probabilities.mul_(scale), wide, softcap))
    return total
