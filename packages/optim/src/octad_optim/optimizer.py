"""What every optimiser here shares: one `step` that collects dense gradients, and checked groups."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from octad_optim.errors import OptimError, require

Group = dict[str, Any]


def check_nonnegative(group: Group, *names: str) -> None:
    """Raise `OptimError` unless every named setting of the group is a finite number >= 0."""
    for name in names:
        require(0.0 <= group[name] < float("inf"), f"{name}={group[name]}", "it must be finite and at least 0")


def check_fraction(name: str, value: float) -> None:
    """Raise `OptimError` unless 0 <= value < 1, the range of a decay rate."""
    require(0.0 <= value < 1.0, f"{name}={value}", "a decay rate must lie in [0, 1), e.g. 0.9")


def check_dense(parameter: Tensor, optimizer: str) -> None:
    """Raise `OptimError` where the parameter is complex or its gradient is sparse."""
    shape = tuple(parameter.shape)
    if parameter.is_complex():
        raise OptimError(f"a complex parameter of shape {shape}; {optimizer} updates real numbers: use view_as_real")
    if parameter.grad is not None and parameter.grad.layout != torch.strided:
        raise OptimError(
            f"a {parameter.grad.layout} gradient of shape {shape}; {optimizer} needs dense gradients: "
            "build the embedding with sparse=False or use torch.optim.SparseAdam"
        )


class DenseOptimizer(torch.optim.Optimizer):
    """An optimiser that updates one group at a time from dense gradients.

    A subclass states `check` (its rules on a group's settings) and `update` (its formula). Settings are plain
    numbers, strings and tuples and state is tensors in the parameter's dtype, so `state_dict` needs no pickle and
    a resumed run takes bit-equal steps. Parameters whose gradient is None are left alone, decay included.
    """

    @abstractmethod
    def check(self, group: Group) -> None:
        """Raise `OptimError` where a setting of the group is out of its range."""

    @abstractmethod
    def update(self, group: Group, parameters: list[Tensor]) -> None:
        """Update the parameters in place; each has a dense gradient."""

    def add_param_group(self, param_group: Group) -> None:
        """Check the settings of a new group, then add it; what it leaves out comes from the defaults."""
        self.check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a state written by torch's class of the same name lacks our own settings
            for name in self.defaults.keys() - {"differentiable"}:  # torch adds that one by itself
                group.setdefault(name, self.defaults[name])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient, once.

        Args:
            closure: recomputes the loss and its gradients first; optional.

        Returns:
            The closure's loss, or None.

        Raises:
            OptimError: a gradient is sparse or a parameter complex; nothing has been updated then.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        trainable = [[p for p in group["params"] if p.grad is not None] for group in self.param_groups]
        for parameter in (p for parameters in trainable for p in parameters):
            check_dense(parameter, type(self).__name__)
        for group, parameters in zip(self.param_groups, trainable, strict=True):
            if parameters:
                self.update(group, parameters)
        return loss


def gradient(parameter: Tensor) -> Tensor:
    """Return the gradient in the parameter's dtype."""
    assert parameter.grad is not None
    return parameter.grad.to(parameter.dtype)


def by_device_and_dtype(parameters: list[Tensor]) -> list[list[Tensor]]:
    """Split parameters into lists that one multi-tensor (`foreach`) call can take, in their first order."""
    lists: dict[tuple[type, torch.device, torch.dtype], list[Tensor]] = {}
    for parameter in parameters:  # the type keeps sharded tensors (DTensor) apart from whole ones
        lists.setdefault((type(parameter), parameter.device, parameter.dtype), []).append(parameter)
    return list(lists.values())
