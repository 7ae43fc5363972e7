"""Several optimisers that a training loop, a scheduler and a checkpoint see as one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from octad_optim.errors import OptimError, require
from octad_optim.optimizer import Group

OptimizerFactory = Callable[[list[Group]], torch.optim.Optimizer]


class Combined(torch.optim.Optimizer):
    """One optimiser whose groups are those of its members, in order.

    Groups and state are shared with the members, not copied: a scheduler that sets `group["lr"]` here sets it
    there, and `state_dict` is one ordinary torch state dict, so whatever prepares, saves or shards an optimiser
    handles this one.

    Args:
        optimizers: the members; no parameter may be in two of them.

    Raises:
        OptimError: no members, or a shared parameter.
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        require(len(optimizers) > 0, "optimizers=[]", "give at least one optimiser")
        self.optimizers = list(optimizers)
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        parameters = [id(p) for group in groups for p in group["params"]]
        shared = len(parameters) - len(set(parameters))
        require(
            shared == 0, f"{shared} parameters in two optimisers", "a tied weight belongs to one: see parameter_groups"
        )
        self._is_composed = False
        super().__init__(groups, {})
        self._is_composed = True
        for optimizer in self.optimizers:
            self.state.update(optimizer.state)
        self._share()

    @classmethod
    def from_groups(cls, groups: Iterable[Group], factories: Mapping[str, OptimizerFactory]) -> "Combined":
        """Build each member from the groups that name it.

        Args:
            groups: of `parameter_groups(model, muon=True)`; the key "optimizer" of each names its member.
            factories: from that name to a function of a list of groups, e.g. `partial(Muon, lr=1e-3)`.

        Returns:
            The members that have a group, combined.

        Raises:
            OptimError: a group names no optimiser, or one without a factory.
        """
        by_optimizer: dict[str, list[Group]] = {}
        for group in groups:
            name = group.get("optimizer")
            require(name in factories, f"a group of optimizer={name!r}", f"factories has {sorted(factories)}")
            by_optimizer.setdefault(str(name), []).append(group)
        return cls([factories[name](members) for name, members in by_optimizer.items()])

    def _share(self) -> None:
        """Make the members work on this object's groups and state."""
        start = 0
        for optimizer in self.optimizers:
            stop = start + len(optimizer.param_groups)
            optimizer.__setstate__({"state": self.state, "param_groups": self.param_groups[start:stop]})
            start = stop

    def add_param_group(self, param_group: Group) -> None:
        """Refuse: a new group would not say which member it belongs to."""
        if self._is_composed:
            raise OptimError("add_param_group on Combined; add the group to a member, then combine the members again")
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Compute the closure's loss once, then step every member.

        Returns:
            The closure's loss, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load what `state_dict` of an equally composed object returned; the next step is bit-equal."""
        super().load_state_dict(dict(state_dict))
        self._share()

    def __getstate__(self) -> dict[str, Any]:
        members = {"optimizers": self.optimizers, "_is_composed": self._is_composed}
        return {**super().__getstate__(), **members}
