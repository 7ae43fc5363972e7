"""Muon: momentum whose matrices are orthogonalised before they are applied."""

import math
from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor

from octad_optim.errors import OptimError, require
from octad_optim.newton_schulz import QUINTIC, Coefficients, orthogonalise
from octad_optim.optimizer import DenseOptimizer, Group, check_fraction, check_nonnegative, gradient

Scale = Literal["match_rms_adamw", "original", "spectral", "none"]
ComputeDtype = Literal["auto", "float32", "float64", "bfloat16"]


def update_scale(rows: int, cols: int, scale: Scale) -> float:
    """The factor on η for an orthogonal r x c update, whose entries have root mean square 1 / √max(r, c).

    match_rms_adamw: 0.2·√max(r, c), so that they have AdamW's usual 0.2 and its η and λ carry over.
    original: √max(1, r/c).  spectral: √(r/c), so that outputs change as much as inputs allow.  none: 1.

    Args:
        rows: r, the outputs of a Linear.
        cols: c, its inputs.
        scale: which convention.

    Returns:
        The factor.

    Raises:
        OptimError: an unknown convention.

    Source: Liu et al. 2025, eq. 4 (arXiv 2502.16982); Jordan 2024; Bernstein 2025, "Deriving Muon".
    """
    require(scale in get_args(Scale), f"scale={scale!r}", f"it must be one of {get_args(Scale)}")
    if rows == 0 or cols == 0:
        return 1.0
    if scale == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, cols))
    if scale == "original":
        return math.sqrt(max(1.0, rows / cols))
    return math.sqrt(rows / cols) if scale == "spectral" else 1.0


def orthogonalisation_dtype(tensor: Tensor) -> torch.dtype:
    """The fastest dtype that is honest on the tensor's device.

    float64 stays; a CUDA device with bf16 in hardware takes bfloat16; everything else float32, because a CPU
    without bf16 instructions emulates them many times slower. On one that has them (avx512_bf16, amx) a step in
    bfloat16 was measured 1.8 times faster: ask for it with compute_dtype="bfloat16".
    """
    if tensor.dtype == torch.float64:
        return torch.float64
    is_native = tensor.is_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if is_native else torch.float32


class Muon(DenseOptimizer):
    """m ← μm + (1 − μ)g;  u = (1 − μ)g + μm if nesterov else m;  θ ← (1 − ηλ)θ − η·s(r, c)·orthogonalise(u).

    For the hidden matrices of a network; embeddings, heads and vectors belong to AdamW (`parameter_groups`). A
    parameter of more than two axes is a batch of matrices, e.g. (experts, out, in).

    Args:
        params: parameters, or groups of them.
        lr: η, the learning rate, >= 0.
        momentum: μ in [0, 1).
        nesterov: look one momentum step ahead.
        weight_decay: λ, decoupled, >= 0.
        scale: s, see `update_scale`.
        coefficients: the polynomial's (a, b, c) a step: `QUINTIC`, `POLAR_EXPRESS` or your own.
        eps: an update of Frobenius norm below it counts as zero.
        compute_dtype: of the orthogonalisation; "auto" asks the device, see `orthogonalisation_dtype`.

    Raises:
        OptimError: a setting is out of its range, or a parameter has fewer than two axes.

    Cost: one extra tensor a parameter; FLOPs as in `orthogonalise`. Matrices of one shape go through it together.
    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.1,
        scale: Scale = "match_rms_adamw",
        coefficients: Coefficients = QUINTIC,
        eps: float = 1e-7,
        compute_dtype: ComputeDtype = "auto",
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay, "scale": scale}
        polynomial = {"coefficients": coefficients, "eps": eps, "compute_dtype": compute_dtype}
        super().__init__(params, defaults | polynomial)

    def check(self, group: Group) -> None:
        """Raise `OptimError` where a setting of the group is out of its range."""
        check_nonnegative(group, "lr", "weight_decay", "eps")
        check_fraction("momentum", group["momentum"])
        update_scale(1, 1, group["scale"])
        dtypes = get_args(ComputeDtype)
        require(group["compute_dtype"] in dtypes, f"compute_dtype={group['compute_dtype']!r}", f"use one of {dtypes}")
        is_polynomial = len(group["coefficients"]) > 0 and all(len(step) == 3 for step in group["coefficients"])
        require(is_polynomial, f"coefficients={group['coefficients']}", "give one (a, b, c) a step, e.g. QUINTIC")

    def add_param_group(self, param_group: Group) -> None:
        """Check the settings and shapes of a new group, then add it."""
        super().add_param_group(param_group)
        for parameter in param_group["params"]:
            if parameter.ndim < 2:
                self.param_groups.pop()
                raise OptimError(
                    f"a parameter of shape {tuple(parameter.shape)}; Muon updates matrices: give it to AdamW "
                    "(parameter_groups(model, muon=True) sorts them)"
                )

    def update(self, group: Group, parameters: list[Tensor]) -> None:
        """Apply the rule of the class to one group."""
        same_shape: dict[tuple[torch.Size, torch.dtype, torch.device], list[Tensor]] = {}
        for parameter in parameters:
            self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
            same_shape.setdefault((parameter.shape, parameter.dtype, parameter.device), []).append(parameter)
        for same in same_shape.values():
            self._update_same_shape(group, same)

    def _update_same_shape(self, group: Group, parameters: list[Tensor]) -> None:
        grads = [gradient(p) for p in parameters]
        buffers = [self.state[p]["momentum_buffer"] for p in parameters]
        torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
        updates = torch._foreach_lerp(grads, buffers, group["momentum"]) if group["nesterov"] else buffers
        auto = group["compute_dtype"] == "auto"
        dtype = orthogonalisation_dtype(buffers[0]) if auto else getattr(torch, group["compute_dtype"])
        stacked = torch.stack(list(updates))
        orthogonal = orthogonalise(stacked, group["coefficients"], group["eps"], dtype).to(stacked.dtype)
        lr = float(group["lr"])
        rows, cols = parameters[0].shape[-2:]
        torch._foreach_mul_(parameters, 1 - lr * group["weight_decay"])
        torch._foreach_add_(parameters, list(orthogonal.unbind()), alpha=-lr * update_scale(rows, cols, group["scale"]))
