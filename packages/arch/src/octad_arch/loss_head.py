"""The head of a language model and its loss together, a chunk of rows at a time: the full logits never exist.

Logits are the largest tensor of a training step (rows x vocabulary). Here a chunk's logits are made, turned into the
loss and its gradient while they are in the cache, and overwritten by the next.
"""

import functools
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal, overload

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from .errors import ArchError, require, require_positive

IGNORE_INDEX = -100
_CPU_CACHED_ELEMENTS = 1 << 20  # 4 MB of float32 logits stay in a core's share of the cache
_CPU_CHUNK_BYTES = 1 << 10  # of a column of a chunk; fewer, and the weight's gradient is read too often
_GPU_CHUNK_ELEMENTS = 1 << 26  # enough rows to fill every multiprocessor


def linear_cross_entropy(
    hidden: Float[Tensor, "... d_model"],
    weight: Float[Tensor, "vocab d_model"],
    targets: Int[Tensor, "..."],
    ignore_index: int = IGNORE_INDEX,
    reduction: Literal["mean", "sum", "none"] = "mean",
    chunk: int | None = None,
) -> Float[Tensor, "..."]:
    """-log softmax(hidden @ weightᵀ)[target], reduced over the targets that are not `ignore_index`.

    Equal to `F.cross_entropy(hidden @ weight.T, targets)`, but for one case: the mean over no targets at all is 0 with
    zero gradients, so that a batch of nothing but prompts does not end a run.

    For "mean" and "sum" the gradients are computed in the forward pass and only scaled in the backward pass; "none"
    computes the logits a second time there. Rows to ignore cost nothing. First derivatives only.

    Args:
        hidden: states that the head reads.
        weight: matrix of the head; cast to hidden's type where they differ.
        targets: ids below vocab, or `ignore_index`.
        ignore_index: the target that does not count.
        reduction: "mean" and "sum" give a scalar, "none" one loss a target, 0 where ignored.
        chunk: rows at a time; None fits the cache of the processor.

    Returns:
        The loss in float32, or float64 where hidden is.

    Raises:
        ArchError: shapes that do not fit, an unknown reduction, a target outside the vocabulary.
    Cost: 6 FLOPs a row and weight, in memory for chunk x vocab logits and one gradient the size of each input.
    """
    if reduction == "none":
        return -token_log_probs(hidden, weight, targets, ignore_index=ignore_index, chunk=chunk)
    if reduction not in ("mean", "sum"):
        raise ArchError(f'reduction={reduction!r} is unknown; use "mean", "sum" or "none"')
    rows, weight, targets = _flatten(hidden, weight, targets)
    kept = (targets != ignore_index).nonzero().squeeze(-1)
    if len(kept) < len(targets):
        rows, targets = rows[kept], targets[kept]
    _check_range(targets, len(weight))
    scale = 1.0 if reduction == "sum" else 1.0 / max(len(targets), 1)
    loss: Tensor = _SummedLoss.apply(rows, weight, targets, scale, _chunk_rows(chunk, weight))
    return loss


@overload
def token_log_probs(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    temperature: float = 1.0,
    *,
    entropy: Literal[False] = False,
    ignore_index: int = IGNORE_INDEX,
    chunk: int | None = None,
) -> Tensor: ...


@overload
def token_log_probs(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    temperature: float = 1.0,
    *,
    entropy: Literal[True],
    ignore_index: int = IGNORE_INDEX,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]: ...


def token_log_probs(
    hidden: Float[Tensor, "... d_model"],
    weight: Float[Tensor, "vocab d_model"],
    targets: Int[Tensor, "..."],
    temperature: float = 1.0,
    *,
    entropy: bool = False,
    ignore_index: int = IGNORE_INDEX,
    chunk: int | None = None,
) -> Float[Tensor, "..."] | tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """The values log softmax(hidden @ weightᵀ / temperature)[target], one a target; with `entropy` also the entropy.

    Both are differentiable, once. The backward pass computes the logits again, chunk by chunk.

    Args:
        hidden: states that the head reads.
        weight: matrix of the head; cast to hidden's type where they differ.
        targets: ids below vocab, or `ignore_index`, where both results are 0.
        temperature: divides the logits, > 0.
        entropy: return -Σ p log p of every row too, in nats.
        ignore_index: the target that does not count.
        chunk: rows at a time; None fits the cache of the processor.

    Raises:
        ArchError: shapes that do not fit, a target outside the vocabulary, a temperature that is not positive.
    Cost: 2 FLOPs a row and weight forward, 6 backward.
    """
    require_positive(temperature=temperature)
    rows, weight, flat = _flatten(hidden, weight, targets)
    kept = (flat != ignore_index).nonzero().squeeze(-1)
    _check_range(flat[kept], len(weight))
    results: tuple[Tensor, Tensor] = _TokenLogProbs.apply(
        rows[kept], weight, flat[kept], 1.0 / temperature, entropy, _chunk_rows(chunk, weight)
    )
    log_probs, entropies = (result.new_zeros(len(flat)).index_put((kept,), result) for result in results)
    return (log_probs.view(targets.shape), entropies.view(targets.shape)) if entropy else log_probs.view(targets.shape)


def _flatten(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    require(
        weight.ndim == 2 and hidden.ndim >= 1 and hidden.shape[-1] == weight.shape[1],
        f"hidden {tuple(hidden.shape)} and weight {tuple(weight.shape)} do not fit; the last axes must agree",
    )
    require(
        hidden.shape[:-1] == targets.shape,
        f"targets has shape {tuple(targets.shape)}; hidden {tuple(hidden.shape)} asks for {tuple(hidden.shape[:-1])}",
    )
    return hidden.reshape(-1, hidden.shape[-1]), weight.to(hidden.dtype), targets.reshape(-1).long()


def _check_range(targets: Tensor, vocab_size: int) -> None:
    if len(targets):
        low, high = (int(bound) for bound in targets.aminmax())
        worst = low if low < 0 else high
        require(0 <= worst < vocab_size, f"target {worst} is outside the vocabulary of {vocab_size}")


def _chunk_rows(chunk: int | None, weight: Tensor) -> int:
    if chunk is not None:
        require_positive(chunk=chunk)
        return chunk
    if weight.device.type == "cpu":
        return max(_CPU_CHUNK_BYTES // weight.itemsize, _CPU_CACHED_ELEMENTS // max(len(weight), 1))
    return max(1, _GPU_CHUNK_ELEMENTS // max(len(weight), 1))


def _accumulator(weight: Tensor) -> Tensor:
    """Zeros for the gradient of the weight, wide enough to add up many chunks."""
    return torch.zeros(weight.shape, dtype=_wide(weight.dtype), device=weight.device)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities, and the logarithm of the sum of exponentials, from one pass of each kind."""
    largest, index = logits.max(dim=-1, keepdim=True)
    probabilities = torch.softmax(logits, dim=-1)
    # The largest probability is exp(largest - logsumexp), at least 1 / vocab, so its logarithm loses nothing.
    return probabilities, (largest - probabilities.gather(1, index).log()).squeeze(1)


def loss_and_gradient(
    logits: Float[Tensor, "rows vocab"], targets: Int[Tensor, "rows"], scale: float
) -> tuple[Float[Tensor, ""], Float[Tensor, "rows vocab"]]:
    """The sum of -log softmax(z)[target], and scale * (softmax(z) - onehot(target)) in the type of z.

    Written for a compiler that fuses it: z is read twice and its gradient written once.
    """
    wide = logits.to(_wide(logits.dtype))
    normalisers = wide.logsumexp(-1)
    loss = (normalisers - wide.gather(1, targets[:, None]).squeeze(1)).sum()
    is_target = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
    gradient = ((wide - normalisers[:, None]).exp() - is_target.to(wide.dtype)) * scale
    return loss, gradient.to(logits.dtype)


@functools.cache
def _fused_loss() -> Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]:
    """`loss_and_gradient` compiled for any number of rows, seconds once a process; as it is where it cannot be."""
    if find_spec("triton") is None or not (shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")):
        return loss_and_gradient
    compiled: Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]] = torch.compile(loss_and_gradient, dynamic=True)
    return compiled


def _replace_by_gradient(logits: Tensor, targets: Tensor, scale: float) -> Tensor:
    """`loss_and_gradient` in place, for the CPU: a few rows at a time, which stay in the cache between the passes."""
    few = max(1, _CPU_CACHED_ELEMENTS // logits.shape[1])
    total = torch.zeros((), dtype=_wide(logits.dtype))
    for piece, index in zip(torch.split(logits, few), torch.split(targets[:, None], few), strict=True):
        wide = piece.to(total.dtype)
        probabilities, normalisers = _softmax(wide)
        total += (normalisers - wide.gather(1, index).squeeze(1)).sum()
        probabilities.scatter_add_(1, index, -torch.ones_like(index, dtype=total.dtype))
        piece.copy_(probabilities.mul_(scale))
    return total


class _SummedLoss(torch.autograd.Function):
    """scale * Σ (logsumexp(z) - z[target]), z = rows @ weightᵀ; dz = scale * (softmax(z) - onehot(target))."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        targets: Tensor,
        scale: float,
        chunk: int,
    ) -> Tensor:
        needs_rows, needs_weight = ctx.needs_input_grad[:2]
        total = torch.zeros((), dtype=_wide(rows.dtype), device=rows.device)
        grad_rows = torch.empty_like(rows) if needs_rows else None
        grad_weight = _accumulator(weight) if needs_weight else None
        for start in range(0, len(rows), chunk):
            span = slice(start, start + chunk)
            logits = F.linear(rows[span], weight)
            if logits.is_cuda:
                loss, logits = _fused_loss()(logits, targets[span], scale)
            else:
                loss = _replace_by_gradient(logits, targets[span], scale)
            total += loss
            _add_products(logits, rows, weight, span, grad_rows, grad_weight)
        ctx.save_for_backward(grad_rows, None if grad_weight is None else grad_weight.to(weight.dtype))
        return total * scale

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        grad_rows, grad_weight = ctx.saved_tensors
        scaled = [None if saved is None else saved * grad.to(saved.dtype) for saved in (grad_rows, grad_weight)]
        return scaled[0], scaled[1], None, None, None


class _TokenLogProbs(torch.autograd.Function):
    """log p[target] and H = -Σ p log p, p = softmax(z), z = scale * rows @ weightᵀ.

    dz = g_logprob (onehot(target) - p) - g_entropy p (log p + H).
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        targets: Tensor,
        scale: float,
        entropy: bool,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        log_probs = torch.zeros(len(rows), dtype=_wide(rows.dtype), device=rows.device)
        entropies = torch.zeros_like(log_probs)
        for start in range(0, len(rows), chunk):
            span = slice(start, start + chunk)
            log_p = F.linear(rows[span], weight).to(log_probs.dtype).mul_(scale).log_softmax(-1)
            log_probs[span] = log_p.gather(1, targets[span, None]).squeeze(1)
            if entropy:
                entropies[span] = torch.special.entr(log_p.exp_()).sum(-1)
        ctx.save_for_backward(rows, weight, targets, entropies)
        ctx.scale, ctx.entropy, ctx.chunk = scale, entropy, chunk
        return log_probs, entropies

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_log_probs: Tensor, grad_entropies: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        rows, weight, targets, entropies = ctx.saved_tensors
        scale, chunk = ctx.scale, ctx.chunk
        needs_rows, needs_weight = ctx.needs_input_grad[:2]
        grad_rows = torch.empty_like(rows) if needs_rows else None
        grad_weight = _accumulator(weight) if needs_weight else None
        for start in range(0, len(rows), chunk):
            span = slice(start, start + chunk)
            logits = F.linear(rows[span], weight).to(entropies.dtype).mul_(scale)
            log_p = logits.log_softmax(-1)
            p = log_p.exp()
            grad_logits = -grad_log_probs[span, None] * p
            grad_logits.scatter_add_(1, targets[span, None], grad_log_probs[span, None])
            if ctx.entropy:
                surprise = log_p.clamp_(min=torch.finfo(log_p.dtype).min)  # 0 * -inf would be nan
                grad_logits -= grad_entropies[span, None] * p * (surprise + entropies[span, None])
            _add_products(grad_logits.mul_(scale), rows, weight, span, grad_rows, grad_weight)
        return grad_rows, None if grad_weight is None else grad_weight.to(weight.dtype), None, None, None, None


def _add_products(
    grad_logits: Tensor, rows: Tensor, weight: Tensor, span: slice, grad_rows: Tensor | None, grad_weight: Tensor | None
) -> None:
    """Write the chunk's gradient of the rows, and add its gradient of the weight."""
    grad_logits = grad_logits.to(rows.dtype)
    if grad_rows is not None:
        torch.mm(grad_logits, weight, out=grad_rows[span])
    if grad_weight is not None:
        if grad_weight.dtype == rows.dtype:
            grad_weight.addmm_(grad_logits.T, rows[span])
        else:
            grad_weight += grad_logits.T @ rows[span]
