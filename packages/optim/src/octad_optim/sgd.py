"""Stochastic gradient descent with momentum."""

from collections.abc import Iterable

import torch
from torch import Tensor

from octad_optim.errors import require
from octad_optim.optimizer import (
    DenseOptimizer,
    Group,
    by_device_and_dtype,
    check_fraction,
    check_nonnegative,
    gradient,
)


class SGD(DenseOptimizer):
    """g += λθ;  b ← μb + g;  θ ← θ − η·(g + μb if nesterov else b).

    The first step sets b = g. Weight decay is coupled (it enters the momentum), as in the classic rule.

    Args:
        params: parameters, or groups of them.
        lr: η, the learning rate, >= 0.
        momentum: μ in [0, 1); 0 keeps no state.
        nesterov: look one momentum step ahead; needs momentum > 0.
        weight_decay: λ, >= 0.

    Raises:
        OptimError: a setting is out of its range.

    Cost: one extra tensor a parameter with momentum, none without.
    Source: Sutskever et al. 2013.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-2,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay})

    def check(self, group: Group) -> None:
        """Raise `OptimError` where a setting of the group is out of its range."""
        check_nonnegative(group, "lr", "weight_decay")
        check_fraction("momentum", group["momentum"])
        nesterov_has_momentum = not group["nesterov"] or group["momentum"] > 0
        require(nesterov_has_momentum, "nesterov=True with momentum=0", "set momentum, e.g. 0.9")

    def update(self, group: Group, parameters: list[Tensor]) -> None:
        """Apply the rule of the class to one group."""
        for same in by_device_and_dtype(parameters):
            grads = [gradient(p) for p in same]
            if group["weight_decay"]:
                grads = list(torch._foreach_add(grads, same, alpha=group["weight_decay"]))
            if group["momentum"]:
                grads = self._with_momentum(same, grads, group["momentum"], group["nesterov"])
            torch._foreach_add_(same, grads, alpha=-float(group["lr"]))

    def _with_momentum(self, parameters: list[Tensor], grads: list[Tensor], mu: float, nesterov: bool) -> list[Tensor]:
        for parameter in parameters:
            self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
        buffers = [self.state[p]["momentum_buffer"] for p in parameters]
        torch._foreach_mul_(buffers, mu)
        torch._foreach_add_(buffers, grads)
        return list(torch._foreach_add(grads, buffers, alpha=mu)) if nesterov else buffers
