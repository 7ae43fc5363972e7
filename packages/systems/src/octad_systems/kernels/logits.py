"""The loss of a chunk of logits and its gradient in one visit: an operator around `native/logits.c`."""

import ctypes
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from octad_systems.errors import KernelError
from octad_systems.kernels.library import has_native_kernels, native_library

_TYPES = {torch.float32: 0, torch.bfloat16: 1}


def logits_to_gradient(
    logits: Float[Tensor, "rows vocab"], targets: Int[Tensor, "rows"], scale: float, softcap: float | None = None
) -> Float[Tensor, ""]:
    """The sum of -log softmax(c)[target], c = softcap tanh(logits / softcap); the logits become their gradient.

    In place: scale * (softmax(c) - onehot(target)) * (1 - (c / softcap)²), in the type of the logits, of which each is
    read once from memory and written once. Not differentiable: it is the derivative.

    Args:
        logits: float32 or bfloat16 on the CPU, contiguous; -inf is a token that cannot be.
        targets: ids, 0 to vocab - 1.
        scale: of the gradient, not of the loss.
        softcap: > 0, or None for the logits as they are (Gemma 2, arXiv 2408.00118).

    Raises:
        KernelError: another type, device or layout, a target outside the vocabulary, or no compiler on this machine;
            the logits are then as they were.
    Cost: one exponential a logit, two more with a cap; room for two rows a thread.
    """
    if logits.dtype not in _TYPES or logits.device.type != "cpu" or logits.ndim != 2 or not logits.is_contiguous():
        raise KernelError(
            f"logits are {logits.dtype} on {logits.device} of shape {tuple(logits.shape)} and strides "
            f"{logits.stride()}; this kernel takes contiguous rows of float32 or bfloat16 on the CPU"
        )
    rows, vocab = logits.shape
    if targets.shape != (rows,):
        raise KernelError(f"targets have shape {tuple(targets.shape)}; {rows} rows of logits ask for ({rows},)")
    if softcap is not None and softcap <= 0:
        raise KernelError(f"softcap={softcap} must be positive; None is no cap")
    if rows == 0:
        return torch.zeros(())
    least, most = (int(x) for x in targets.aminmax())
    if least < 0 or most >= vocab:
        raise KernelError(f"target {least if least < 0 else most} is outside the vocabulary of {vocab}")
    losses, targets = torch.empty(rows), targets.to("cpu", torch.int64).contiguous()
    failed = native_library().logits_to_gradient(
        ctypes.c_void_p(logits.data_ptr()),
        ctypes.c_int(_TYPES[logits.dtype]),
        ctypes.c_void_p(targets.data_ptr()),
        ctypes.c_long(rows),
        ctypes.c_long(vocab),
        ctypes.c_float(scale),
        ctypes.c_float(softcap or 0),
        ctypes.c_void_p(losses.data_ptr()),
        ctypes.c_int(torch.get_num_threads()),
    )
    if failed:
        raise KernelError("logits_to_gradient found no memory for its rows; free some, or use fewer threads")
    return losses.sum()


def logits_to_gradient_or(otherwise: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`logits_to_gradient` for contiguous float32 and bfloat16 on a CPU, `otherwise` for all else or with no compiler.

    For the `to_gradient` of `octad_arch.linear_cross_entropy`.
    """
    if not has_native_kernels():
        return otherwise

    def choose(logits: Tensor, targets: Tensor, scale: float, softcap: float | None = None) -> Tensor:
        is_ours = logits.dtype in _TYPES and logits.device.type == "cpu" and logits.is_contiguous()
        return (logits_to_gradient if is_ours else otherwise)(logits, targets, scale, softcap)

    return choose
