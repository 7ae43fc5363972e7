"""The head of a language model and its loss together, a chunk of rows at a time: the full logits never exist.

Logits are the largest tensor of a training step (rows x vocabulary). Here a chunk's logits are made, turned into the
loss and its gradient while they are in the cache, and overwritten by the next.

The logits of a row are z = cap(hidden @ weightᵀ + bias), cap(z) = softcap tanh(z / softcap), whose slope is
1 - (cap(z) / softcap)²; both the bias and the cap may be absent.
"""

from collections.abc import Callable
from typing import Any, Literal, overload

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from .errors import ArchError, require, require_positive
from .logit_passes import CACHED_ELEMENTS, fused_loss, replace_by_gradient, soft_cap, through_cap, wide_type
from .parts import part

IGNORE_INDEX = -100
_CPU_CHUNK_BYTES = 1 << 11  # of a column of a chunk; fewer, and the weight's gradient is read too often
_GPU_CHUNK_ELEMENTS = 1 << 26  # enough rows to fill every multiprocessor


@part("head_loss")
def linear_cross_entropy(
    hidden: Float[Tensor, "... d_model"],
    weight: Float[Tensor, "vocab d_model"],
    targets: Int[Tensor, "..."],
    ignore_index: int = IGNORE_INDEX,
    reduction: Literal["mean", "sum", "none"] = "mean",
    chunk: int | None = None,
    *,
    bias: Float[Tensor, "vocab"] | None = None,
    softcap: float | None = None,
    to_gradient: Callable[..., Tensor] = replace_by_gradient,
) -> Float[Tensor, "..."]:
    """-log softmax(cap(hidden @ weightᵀ + bias))[target], reduced over the targets that are not `ignore_index`.

    Equal to `F.cross_entropy(hidden @ weight.T, targets)`, but for one case: the mean over no targets at all is 0 with
    zero gradients, so that a batch of nothing but prompts does not end a run.

    For "mean" and "sum" the gradients are computed in the forward pass and only scaled in the backward pass; "none"
    computes the logits a second time there. Rows to ignore cost nothing. First derivatives only.

    Args:
        hidden: states that the head reads.
        weight: matrix of the head; cast to hidden's type where they differ, and both to autocast's where that is on.
        targets: ids below vocab, or `ignore_index`.
        ignore_index: the target that does not count.
        reduction: "mean" and "sum" give a scalar, "none" one loss a target, 0 where ignored.
        chunk: rows at a time; None fits the cache of the processor.
        bias: added to every row's logits.
        softcap: logits become softcap * tanh(logits / softcap), > 0.
        to_gradient: a kernel for a CPU in the place of `replace_by_gradient`, for "mean" and "sum".

    Returns:
        The loss in float32, or float64 where hidden is.

    Raises:
        ArchError: shapes that do not fit, an unknown reduction, a target outside the vocabulary, a cap not positive.
    Cost: 6 FLOPs a row and weight, in memory for chunk x vocab logits and one gradient the size of each input.
    """
    if reduction == "none":
        return -token_log_probs(
            hidden, weight, targets, ignore_index=ignore_index, chunk=chunk, bias=bias, softcap=softcap
        )
    if reduction not in ("mean", "sum"):
        raise ArchError(f'reduction={reduction!r} is unknown; use "mean", "sum" or "none"')
    rows, weight, bias, targets = _flatten(hidden, weight, bias, targets, softcap)
    kept = (targets != ignore_index).nonzero().squeeze(-1)
    if len(kept) < len(targets):
        rows, targets = rows[kept], targets[kept]
    _check_range(targets, len(weight))
    scale = 1.0 if reduction == "sum" else 1.0 / max(len(targets), 1)
    loss: Tensor = _SummedLoss.apply(
        rows, weight, bias, targets, scale, softcap, _chunk_rows(chunk, weight), to_gradient
    )
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
    bias: Tensor | None = None,
    softcap: float | None = None,
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
    bias: Tensor | None = None,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]: ...


@part("head_log_probs")
def token_log_probs(
    hidden: Float[Tensor, "... d_model"],
    weight: Float[Tensor, "vocab d_model"],
    targets: Int[Tensor, "..."],
    temperature: float = 1.0,
    *,
    entropy: bool = False,
    ignore_index: int = IGNORE_INDEX,
    chunk: int | None = None,
    bias: Float[Tensor, "vocab"] | None = None,
    softcap: float | None = None,
) -> Float[Tensor, "..."] | tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Log softmax(cap(hidden @ weightᵀ + bias) / temperature)[target], one a target; with `entropy` also the entropy.

    Both are differentiable, once. The backward pass computes the logits again, chunk by chunk.

    Args:
        hidden: states that the head reads.
        weight: matrix of the head; cast to hidden's type where they differ.
        targets: ids below vocab, or `ignore_index`, where both results are 0.
        temperature: divides the logits, > 0.
        entropy: return -Σ p log p of every row too, in nats.
        ignore_index: the target that does not count.
        chunk: rows at a time; None fits the cache of the processor.
        bias: added to every row's logits.
        softcap: logits become softcap * tanh(logits / softcap), > 0.

    Raises:
        ArchError: shapes that do not fit, a target outside the vocabulary, a temperature or cap that is not positive.
    Cost: 2 FLOPs a row and weight forward, 6 backward.
    """
    require_positive(temperature=temperature)
    rows, weight, bias, flat = _flatten(hidden, weight, bias, targets, softcap)
    kept = (flat != ignore_index).nonzero().squeeze(-1)
    _check_range(flat[kept], len(weight))
    results: tuple[Tensor, Tensor] = _TokenLogProbs.apply(
        rows[kept], weight, bias, flat[kept], 1.0 / temperature, softcap, entropy, _chunk_rows(chunk, weight)
    )
    log_probs, entropies = (result.new_zeros(len(flat)).index_put((kept,), result) for result in results)
    return (log_probs.view(targets.shape), entropies.view(targets.shape)) if entropy else log_probs.view(targets.shape)


def _flatten(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, softcap: float | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    require(
        weight.ndim == 2 and hidden.ndim >= 1 and hidden.shape[-1] == weight.shape[1],
        f"hidden {tuple(hidden.shape)} and weight {tuple(weight.shape)} do not fit; the last axes must agree",
    )
    require(
        hidden.shape[:-1] == targets.shape,
        f"targets has shape {tuple(targets.shape)}; hidden {tuple(hidden.shape)} asks for {tuple(hidden.shape[:-1])}",
    )
    require(
        bias is None or bias.shape == weight.shape[:1],
        f"bias has shape {None if bias is None else tuple(bias.shape)}; the vocabulary asks for ({len(weight)},)",
    )
    if softcap is not None:
        require_positive(softcap=softcap)
    rows = hidden.reshape(-1, hidden.shape[-1])
    kind = rows.device.type
    if torch.is_autocast_enabled(kind) and rows.dtype != torch.float64:
        rows = rows.to(torch.get_autocast_dtype(kind))
    return rows, weight.to(rows.dtype), None if bias is None else bias.to(rows.dtype), targets.reshape(-1).long()


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
        return max(_CPU_CHUNK_BYTES // weight.itemsize, CACHED_ELEMENTS // max(len(weight), 1))
    return max(1, _GPU_CHUNK_ELEMENTS // max(len(weight), 1))


class _Gradients:
    """Of the rows, the matrix and the bias of a head, added up chunk by chunk; None where none is needed."""

    def __init__(self, rows: Tensor, weight: Tensor, bias: Tensor | None, needed: tuple[bool, ...], chunk: int) -> None:
        wide = wide_type(weight.dtype) if len(rows) > chunk else weight.dtype  # enough to add up many chunks
        self.inputs = rows, weight
        self.rows = torch.empty_like(rows) if needed[0] else None
        self.is_written = wide != weight.dtype or len(rows) == 0  # otherwise by the first product
        filled = torch.zeros_like if self.is_written else torch.empty_like
        self.weight = filled(weight, dtype=wide) if needed[1] else None
        self.bias = torch.zeros_like(bias, dtype=wide) if bias is not None and needed[2] else None

    def add(self, span: slice, grad_logits: Tensor) -> None:
        """Write the chunk's gradient of its rows, and add its gradients of the matrix and the bias."""
        rows, weight = self.inputs
        if self.bias is not None:
            self.bias += grad_logits.sum(0, dtype=self.bias.dtype)
        grad_logits = grad_logits.to(rows.dtype)
        if self.rows is not None:
            torch.mm(grad_logits, weight, out=self.rows[span])
        if self.weight is None:
            return
        if self.weight.dtype == rows.dtype:
            self.weight.addmm_(grad_logits.T, rows[span], beta=int(self.is_written))
            self.is_written = True
        else:
            self.weight += grad_logits.T @ rows[span]

    def all(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        dtype = self.inputs[1].dtype
        parameters = (None if gradient is None else gradient.to(dtype) for gradient in (self.weight, self.bias))
        return self.rows, *parameters  # type: ignore[return-value]  # two of them


class _SummedLoss(torch.autograd.Function):
    """scale * Σ (logsumexp(c) - c[target]), c = cap(z), z = rows @ weightᵀ + bias.

    dz = scale * (softmax(c) - onehot(target)) * cap'(z).
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        scale: float,
        softcap: float | None,
        chunk: int,
        to_gradient: Callable[..., Tensor],
    ) -> Tensor:
        total = torch.zeros((), dtype=wide_type(rows.dtype), device=rows.device)
        gradients = _Gradients(rows, weight, bias, ctx.needs_input_grad, chunk)
        room = rows.new_empty(min(chunk, len(rows)), len(weight))
        for start in range(0, len(rows), chunk):
            span = slice(start, start + chunk)
            logits = torch.mm(rows[span], weight.T, out=room[: len(rows) - start])
            if bias is not None:
                logits += bias
            if logits.is_cuda:
                loss, logits = fused_loss()(logits, targets[span], scale, softcap)
            else:
                loss = to_gradient(logits, targets[span], scale, softcap)
            total += loss
            gradients.add(span, logits)
        ctx.save_for_backward(*gradients.all())
        return total * scale

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scaled = (None if saved is None else saved * grad.to(saved.dtype) for saved in ctx.saved_tensors)
        return *scaled, None, None, None, None, None


class _TokenLogProbs(torch.autograd.Function):
    """log p[target] and H = -Σ p log p, p = softmax(scale * c), c = cap(z), z = rows @ weightᵀ + bias.

    dz = scale * (g_logprob (onehot(target) - p) - g_entropy p (log p + H)) * cap'(z).
    """

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        scale: float,
        softcap: float | None,
        entropy: bool,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        log_probs = torch.zeros(len(rows), dtype=wide_type(rows.dtype), device=rows.device)
        entropies = torch.zeros_like(log_probs)
        for start in range(0, len(rows), chunk):
            span = slice(start, start + chunk)
            capped = _capped_logits(rows[span], weight, bias, softcap)
            log_p = (capped if scale == 1 else capped * scale).log_softmax(-1)
            log_probs[span] = log_p.gather(1, targets[span, None]).squeeze(1)
            if entropy:
                entropies[span] = torch.special.entr(log_p.exp_()).sum(-1)
        ctx.save_for_backward(rows, weight, bias, targets, entropies)
        ctx.scale, ctx.softcap, ctx.entropy, ctx.chunk = scale, softcap, entropy, chunk
        return log_probs, entropies

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_log_probs: Tensor, grad_entropies: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, bias, targets, entropies = ctx.saved_tensors
        gradients = _Gradients(rows, weight, bias, ctx.needs_input_grad, ctx.chunk)
        for start in range(0, len(rows), ctx.chunk):
            span = slice(start, start + ctx.chunk)
            capped = _capped_logits(rows[span], weight, bias, ctx.softcap)
            log_p = (capped if ctx.scale == 1 else capped * ctx.scale).log_softmax(-1)
            p = log_p.exp()
            grad_logits = -grad_log_probs[span, None] * p
            grad_logits.scatter_add_(1, targets[span, None], grad_log_probs[span, None])
            if ctx.entropy:
                surprise = log_p.clamp_(min=torch.finfo(log_p.dtype).min)  # 0 * -inf would be nan
                grad_logits -= grad_entropies[span, None] * p * (surprise + entropies[span, None])
            gradients.add(span, through_cap(grad_logits.mul_(ctx.scale), capped, ctx.softcap))
        return *gradients.all(), None, None, None, None, None


def _capped_logits(rows: Tensor, weight: Tensor, bias: Tensor | None, softcap: float | None) -> Tensor:
    return soft_cap(F.linear(rows, weight, bias).to(wide_type(rows.dtype)), softcap)
