"""AdamW: the textbook rule as a pure function, and an optimiser that takes the fused kernel where it can."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from octad_optim.errors import OptimError
from octad_optim.optimizer import (
    DenseOptimizer,
    Group,
    by_device_and_dtype,
    check_fraction,
    check_nonnegative,
    gradient,
)

FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")


def adamw(
    theta: Float[Tensor, "*shape"],
    grad: Float[Tensor, "*shape"],
    first: Float[Tensor, "*shape"],
    second: Float[Tensor, "*shape"],
    step: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """One update of AdamW, from values to values.

        m ← β₁m + (1 − β₁)g          v ← β₂v + (1 − β₂)g²
        m̂ = m / (1 − β₁ᵗ)            v̂ = v / (1 − β₂ᵗ)
        θ ← (1 − ηλ)θ − η·m̂ / (√v̂ + ε)

    Args:
        theta: θ, the parameter; not changed.
        grad: g, its gradient.
        first: m, the running mean of g; zeros before the first step.
        second: v, the running mean of g²; zeros before the first step.
        step: t, the number of this update, counted from 1.
        lr: η.
        betas: β₁ and β₂.
        eps: ε, added outside the root.
        weight_decay: λ, decoupled from the gradient and scaled by η.

    Returns:
        The new θ, m and v.

    Raises:
        OptimError: step < 1.

    Source: Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019, algorithm 2.
    """
    if step < 1:
        raise OptimError(f"step={step}; updates are counted from 1, or the bias correction divides by zero")
    beta1, beta2 = betas
    first = beta1 * first + (1 - beta1) * grad
    second = beta2 * second + (1 - beta2) * grad**2
    mean = first / (1 - beta1**step)
    root_mean_square = (second / (1 - beta2**step)).sqrt()
    return (1 - lr * weight_decay) * theta - lr * mean / (root_mean_square + eps), first, second


class AdamW(DenseOptimizer):
    """θ ← (1 − ηλ)θ − η·m̂ / (√v̂ + ε), see `adamw`; the state has the names of torch.optim.AdamW and loads from it.

    Args:
        params: parameters, or groups of them.
        lr: η, the learning rate, >= 0.
        betas: decay rates of the means of g and g², each in [0, 1).
        eps: ε, >= 0.
        weight_decay: λ, decoupled, >= 0.
        fused: None takes one kernel for all tensors that allow it (contiguous, on a device that has it) and the
            textbook rule for the others; True insists on the kernel; False insists on the textbook.

    Raises:
        OptimError: a setting is out of its range; fused=True and a tensor does not allow it.

    Cost: two extra tensors a parameter. The kernel passes over memory once (4 reads and 3 writes of the
    parameter's size); the textbook makes a dozen temporaries and was measured 14 times slower on a CPU core.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "fused": fused})

    def check(self, group: Group) -> None:
        """Raise `OptimError` where a setting of the group is out of its range."""
        check_nonnegative(group, "lr", "eps", "weight_decay")
        for i, beta in enumerate(group["betas"], start=1):
            check_fraction(f"beta{i}", beta)

    def update(self, group: Group, parameters: list[Tensor]) -> None:
        """Apply the rule of the class to one group."""
        fused: list[Tensor] = []
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {
                    "step": torch.zeros((), dtype=torch.float32),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
            if group["fused"] is not False and self._allows_fused(parameter):
                fused.append(parameter)
            elif group["fused"]:
                raise OptimError(
                    f"fused=True with a {parameter.device.type} tensor of shape {tuple(parameter.shape)} and strides "
                    f"{parameter.stride()}; the kernel needs contiguous tensors on {FUSED_DEVICES}: use fused=None"
                )
            else:
                self._textbook(group, parameter)
        for same in by_device_and_dtype(fused):
            self._fused(group, same)

    def _allows_fused(self, parameter: Tensor) -> bool:
        state = self.state[parameter]
        tensors = (parameter, gradient(parameter), state["exp_avg"], state["exp_avg_sq"])
        return parameter.device.type in FUSED_DEVICES and all(t.is_contiguous() for t in tensors)

    def _textbook(self, group: Group, parameter: Tensor) -> None:
        state = self.state[parameter]
        state["step"] += 1
        theta, first, second = adamw(
            parameter,
            gradient(parameter),
            state["exp_avg"],
            state["exp_avg_sq"],
            int(state["step"]),
            lr=float(group["lr"]),
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
        )
        parameter.copy_(theta)
        state["exp_avg"].copy_(first)
        state["exp_avg_sq"].copy_(second)

    def _fused(self, group: Group, parameters: list[Tensor]) -> None:
        states = [self.state[p] for p in parameters]
        for state in states:
            # The kernel wants the count beside the tensors; kept there, it costs one transfer in a run.
            state["step"] = state["step"].to(state["exp_avg"].device)
        steps = [state["step"] for state in states]
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            parameters,
            [gradient(p) for p in parameters],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            steps,
            lr=float(group["lr"]),
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )
