"""Attention on the CPU whose scores stay in the cache: an operator of torch around `native/attention.c`."""

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from octad_systems.errors import KernelError
from octad_systems.kernels.library import has_native_kernels, native_library


class _Shape(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_long) for name in ("batch", "heads", "kv_heads", "seq", "width", "value_width", "window")),
        ("scale", ctypes.c_float),
        ("is_causal", ctypes.c_int),
    )


class _Strided(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), *((name, ctypes.c_long) for name in ("batch", "head", "row")))


def attention(
    q: Float[Tensor, "batch heads seq d_head"],
    k: Float[Tensor, "batch kv_heads seq d_head"],
    v: Float[Tensor, "batch kv_heads seq d_value"],
    *,
    is_causal: bool = True,
    scale: float | None = None,
    window: int | None = None,
) -> Float[Tensor, "batch heads seq d_value"]:
    """Softmax(scale q kᵀ) v over the positions that each query sees, differentiable once.

    Equal to `F.scaled_dot_product_attention` to the rounding of float32, never with all scores in memory; works under
    `torch.compile`. The result lies in memory as (batch, seq, heads, d_value), ready for the output map.

    Args:
        q: float32 on the CPU; head h reads key head h * kv_heads // heads.
        k: likewise.
        v: likewise.
        is_causal: query i sees the keys up to i.
        scale: of the scores; None means 1 / sqrt(d_head).
        window: only keys less than `window` positions away are seen.

    Raises:
        KernelError: shapes that do not fit, another type or device, or no compiler on this machine.
    Cost: 4 FLOPs a seen pair and channel forward and 10 backward, in memory for one number a query and head. A batch
        and head of keys is one piece of work for a thread. Written for vectors of 512 bits; with shorter ones torch's
        own may be as fast.
    Source: Dao et al. 2022 (arXiv 2205.14135).
    """
    _check(q, k, v, window)
    rows = (x.transpose(1, 2) for x in (q, k, v))
    mixed: Tensor = _forward(*rows, is_causal, q.shape[-1] ** -0.5 if scale is None else scale, window)[0]
    return mixed.transpose(1, 2)


def attention_or(otherwise: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`attention` for float32 on a CPU with no arguments but its own, `otherwise` for all else or without a compiler.

    Causal unless told otherwise, as `attention` is; `otherwise` is always told.
    For `octad_arch.replace_parts(model, self_attention=attention_or(octad_arch.PARTS["self_attention"]))`.
    """
    is_there = has_native_kernels()

    def choose(
        q: Tensor, k: Tensor, v: Tensor, *, is_causal: bool = True, window: int | None = None, **options: Any
    ) -> Tensor:
        scale = options.get("scale")
        is_plain = all(value is None for name, value in options.items() if name != "scale")
        is_ours = all(x.device.type == "cpu" and x.dtype == torch.float32 for x in (q, k, v))
        if is_there and is_plain and is_ours and q.shape[2] == k.shape[2]:
            return attention(q, k, v, is_causal=is_causal, scale=scale, window=window)
        if window is not None:
            options["window"] = window
        return otherwise(q, k, v, is_causal=is_causal, **options)

    return choose


def _check(q: Tensor, k: Tensor, v: Tensor, window: int | None) -> None:
    shapes = tuple(tuple(x.shape) for x in (q, k, v))
    if any(x.ndim != 4 for x in (q, k, v)):
        raise KernelError(f"q, k, v have shapes {shapes}; attention takes (batch, heads, seq, channels)")
    for x in (q, k, v):
        if x.dtype != torch.float32 or x.device.type != "cpu":
            raise KernelError(f"attention got {x.dtype} on {x.device}; this kernel takes float32 on the CPU")
    fits = k.shape[:3] == v.shape[:3] and q.shape[0] == k.shape[0] and q.shape[2:] == k.shape[2:]
    if not fits or k.shape[1] == 0 or q.shape[1] % max(k.shape[1], 1):
        raise KernelError(
            f"q, k, v have shapes {shapes}: batch, seq and d_head must agree, and kv_heads must divide heads"
        )
    if window is not None and window < 1:
        raise KernelError(f"window={window} must be at least 1, a position's own")


def _rows(x: Tensor) -> Tensor:
    """Itself where its channels are neighbours in memory, as the kernel needs them."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _strided(x_BSHE: Tensor) -> Any:
    batch, row, head, _ = x_BSHE.stride()
    return ctypes.byref(_Strided(x_BSHE.data_ptr(), batch, head, row))


def _shape(q: Tensor, k: Tensor, v: Tensor, is_causal: bool, scale: float, window: int | None) -> Any:
    batch, seq, heads, width = q.shape
    reach = seq if window is None else min(window, seq)
    return ctypes.byref(_Shape(batch, heads, k.shape[2], seq, width, v.shape[-1], reach, scale, is_causal))


def _pointer(x: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(x.data_ptr())


def _call(name: str, *arguments: Any) -> None:
    if getattr(native_library(), name)(*arguments, ctypes.c_int(torch.get_num_threads())):
        raise KernelError(f"{name} found no memory for its buffers; free some, or use fewer threads")


@torch.library.custom_op("octad_systems::attention_forward", mutates_args=())
def _forward(
    q: Tensor, k: Tensor, v: Tensor, is_causal: bool, scale: float, window: int | None
) -> tuple[Tensor, Tensor]:
    """What is mixed, and log2 of the sum of 2^score for each query; q, k, v as (batch, seq, heads, channels)."""
    q, k, v = _rows(q), _rows(k), _rows(v)
    mixed, totals = _forward_like(q, k, v, is_causal, scale, window)
    if mixed.numel() and q.shape[-1]:
        arguments = _shape(q, k, v, is_causal, scale, window), _strided(q), _strided(k), _strided(v)
        _call("attention_forward", *arguments, _pointer(mixed), _pointer(totals))
    return mixed, totals


@_forward.register_fake
def _forward_like(
    q: Tensor, k: Tensor, v: Tensor, is_causal: bool, scale: float, window: int | None
) -> tuple[Tensor, Tensor]:
    batch, seq, heads, _ = q.shape
    return q.new_empty(batch, seq, heads, v.shape[-1]), q.new_empty(batch, heads, seq)


@torch.library.custom_op("octad_systems::attention_backward", mutates_args=())
def _backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mixed: Tensor,
    totals: Tensor,
    is_causal: bool,
    scale: float,
    window: int | None,
) -> tuple[Tensor, Tensor, Tensor]:
    grad, q, k, v = _rows(grad), _rows(q), _rows(k), _rows(v)
    grads = tuple(torch.empty(x.shape, dtype=x.dtype) for x in (q, k, v))
    if mixed.numel() and q.shape[-1]:
        arguments = _shape(q, k, v, is_causal, scale, window), *map(_strided, (q, k, v, grad))
        _call("attention_backward", *arguments, *map(_pointer, (mixed.contiguous(), totals.contiguous(), *grads)))
    return grads  # type: ignore[return-value]  # three of them


@_backward.register_fake
def _(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, mixed: Tensor, totals: Tensor, *options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(x.new_empty(x.shape) for x in (q, k, v))  # type: ignore[return-value]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, *ctx.options = inputs
    ctx.save_for_backward(q, k, v, *output)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, grad: Tensor | None, grad_totals: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 6
    return *_backward(grad, *ctx.saved_tensors, *ctx.options), None, None, None


_forward.register_autograd(_differentiate, setup_context=_keep)
