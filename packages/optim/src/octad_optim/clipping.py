"""Clipping gradients by their global norm, and naming those that are not finite."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from octad_optim.errors import require
from octad_optim.optimizer import by_device_and_dtype, check_dense


def global_norm(tensors: Iterable[Tensor]) -> Float[Tensor, ""]:
    """√(Σ t²) over all elements of all tensors, as if they were one vector.

    Args:
        tensors: of any shapes, dtypes and devices; may be none.

    Returns:
        A scalar on the first tensor's device; at least float32, so that half precision does not overflow.
    """
    tensors = list(tensors)
    if not tensors:
        return torch.zeros(())
    norms: list[Tensor] = []
    for same in by_device_and_dtype(tensors):
        if same[0].dtype in (torch.float32, torch.float64):
            norms.extend(torch._foreach_norm(same, 2))
        else:
            norms.extend(torch.linalg.vector_norm(t, dtype=torch.float32) for t in same)
    total: Tensor = torch.linalg.vector_norm(torch.stack([norm.to(tensors[0].device) for norm in norms]))
    return total


@torch.no_grad()
def clip_grad_norm(parameters: Tensor | Iterable[Tensor], max_norm: float) -> Float[Tensor, ""]:
    """Scale all gradients together: g ← g · min(1, max_norm / (‖g‖ + 1e-6)).

    Where ‖g‖ is not finite no gradient is touched, so that `nonfinite_gradients` can still tell which are at
    fault: test `norm.isfinite()` and skip the step.

    Args:
        parameters: those without a gradient are passed over.
        max_norm: > 0; infinity only measures.

    Returns:
        ‖g‖ before clipping, a scalar tensor on the gradients' device. Nothing here waits for that device; reading
        the value does, once.

    Raises:
        OptimError: max_norm is not above 0, or a gradient is sparse.

    Cost: one read and one write of every gradient; equal to torch.nn.utils.clip_grad_norm_ on finite ones.
    Source: Pascanu et al. 2013 (arXiv 1211.5063).
    """
    require(max_norm > 0, f"max_norm={max_norm}", "it must be above 0, e.g. 1.0; use float('inf') to only measure")
    grads = _gradients([parameters] if isinstance(parameters, Tensor) else parameters)
    norm = global_norm(grads)
    if grads:
        factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        factor = torch.where(norm.isfinite(), factor, torch.ones_like(factor))
        for same in by_device_and_dtype(grads):
            torch._foreach_mul_(same, factor.to(same[0].device))
    whole: Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm  # of sharded gradients (DTensor)
    return whole


def _gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    grads = []
    for parameter in parameters:
        if parameter.grad is not None:
            check_dense(parameter, "clip_grad_norm")
            grads.append(parameter.grad)
    return grads


def nonfinite_gradients(model: nn.Module) -> list[str]:
    """Name the parameters whose gradient holds an infinity or a NaN.

    Args:
        model: after backward.

    Returns:
        Names in the model's order; empty where all is well.

    Cost: one read and one synchronisation a gradient: for the step that went wrong, not for every step.
    """
    grads = ((name, p.grad) for name, p in model.named_parameters() if p.grad is not None)
    return [name for name, grad in grads if not bool(grad.isfinite().all())]
