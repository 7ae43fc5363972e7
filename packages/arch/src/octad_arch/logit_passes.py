"""What is done with logits while they are in the cache: the soft cap, the loss, and the gradient in their place."""

import functools
import shutil
from collections.abc import Callable
from importlib.util import find_spec

import torch
from jaxtyping import Float, Int
from torch import Tensor

CACHED_ELEMENTS = 1 << 18  # 1 MB of float32 logits stays in a core's own cache from pass to pass
MAX_PLAIN_CAP = 60.0  # e^-60 and a vocabulary of e^60 are within float32: no need to look for the largest logit


def soft_cap(logits: Float[Tensor, "..."], softcap: float | None) -> Float[Tensor, "..."]:
    """Softcap * tanh(logits / softcap), or the logits as they are for None (Gemma 2, arXiv 2408.00118)."""
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def through_cap(gradient: Tensor, capped: Tensor, softcap: float | None) -> Tensor:
    """The gradient of what went into `soft_cap`, from that of what came out of it."""
    return gradient if softcap is None else gradient * (1 - (capped / softcap) ** 2)


def wide_type(dtype: torch.dtype) -> torch.dtype:
    """Float32, or wider where dtype is."""
    return torch.promote_types(dtype, torch.float32)


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


@functools.cache
def fused_loss() -> Callable[[Tensor, Tensor, float, float | None], tuple[Tensor, Tensor]]:
    """`loss_and_gradient` compiled for any number of rows, seconds once a process; as it is where it cannot be."""
    if find_spec("triton") is None or not (shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")):
        return loss_and_gradient
    return torch.compile(loss_and_gradient, dynamic=True)


def replace_by_gradient(
    logits: Float[Tensor, "rows vocab"], targets: Int[Tensor, "rows"], scale: float, softcap: float | None = None
) -> Float[Tensor, ""]:
    """`loss_and_gradient` with the gradient in the place of the logits, for the CPU: one exponential an element.

    A few rows at a time, which stay in the cache from pass to pass.
    """
    total = torch.zeros((), dtype=wide_type(logits.dtype))
    few = max(1, CACHED_ELEMENTS // logits.shape[1])
    for piece, index in zip(torch.split(logits, few), torch.split(targets[:, None], few), strict=True):
        wide = piece.to(total.dtype)  # in float32 the piece itself
        capped = wide if softcap is None else wide.div_(softcap).tanh_() * softcap
        own = capped.gather(1, index)
        if softcap is None or softcap > MAX_PLAIN_CAP:
            largest = capped.amax(-1, keepdim=True)
            total += (largest - own).sum()
            powers = capped.sub_(largest).exp_()
        else:
            total -= own.sum()
            powers = capped.exp_()
        sums = powers.sum(-1, keepdim=True)
        total += sums.log().sum()
        powers.mul_(scale / sums).scatter_add_(1, index, torch.full_like(own, -scale))
        if softcap is not None:
            torch.ops.aten.tanh_backward.grad_input(powers, wide, grad_input=piece)  # times 1 - tanh²
        elif powers is not piece:
            piece.copy_(powers)
    return total
