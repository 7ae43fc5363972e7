"""Lion: the sign of an interpolated momentum."""

from collections.abc import Iterable

import torch
from torch import Tensor

from octad_optim.optimizer import (
    DenseOptimizer,
    Group,
    by_device_and_dtype,
    check_fraction,
    check_nonnegative,
    gradient,
)


class Lion(DenseOptimizer):
    """θ ← (1 − ηλ)θ − η·sign(β₁m + (1 − β₁)g);  m ← β₂m + (1 − β₂)g.

    Every coordinate moves by exactly η, so η is 3 to 10 times smaller and λ as much larger than with AdamW.

    Args:
        params: parameters, or groups of them.
        lr: η, the learning rate, >= 0.
        betas: β₁ of the update and β₂ of the momentum, each in [0, 1).
        weight_decay: λ, decoupled, >= 0.

    Raises:
        OptimError: a setting is out of its range.

    Cost: one extra tensor a parameter, half of AdamW's.
    Source: Chen et al. 2023, algorithm 2 (arXiv 2302.06675).
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def check(self, group: Group) -> None:
        """Raise `OptimError` where a setting of the group is out of its range."""
        check_nonnegative(group, "lr", "weight_decay")
        for i, beta in enumerate(group["betas"], start=1):
            check_fraction(f"beta{i}", beta)

    def update(self, group: Group, parameters: list[Tensor]) -> None:
        """Apply the rule of the class to one group."""
        lr, (beta1, beta2) = float(group["lr"]), group["betas"]
        for same in by_device_and_dtype(parameters):
            for parameter in same:
                self.state[parameter].setdefault("exp_avg", torch.zeros_like(parameter))
            grads, averages = [gradient(p) for p in same], [self.state[p]["exp_avg"] for p in same]
            directions = torch._foreach_sign(torch._foreach_lerp(averages, grads, 1 - beta1))
            torch._foreach_mul_(same, 1 - lr * group["weight_decay"])
            torch._foreach_add_(same, directions, alpha=-lr)
            torch._foreach_lerp_(averages, grads, 1 - beta2)
