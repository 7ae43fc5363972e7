"""An exponential moving average of a model's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from octad_optim.errors import OptimError
from octad_optim.optimizer import check_fraction


class ExponentialMovingAverage:
    """w̄ ← d·w̄ + (1 − d)·w with d = min(decay, (1 + t) / (10 + t)) at update t = 0, 1, ... of a warmed-up average.

    The warm-up lets the average forget the initial weights: it spans about the last tenth of the run until that
    is longer than 1 / (1 − decay). Averages are at least float32: in bfloat16 a step of (1 − d) would round away.

    Args:
        model: whose parameters are averaged, each tied weight once; buffers are not.
        decay: d, in [0, 1).
        warmup: whether d rises to `decay`.

    Raises:
        OptimError: decay is out of its range.

    Cost: one more copy of the weights; an update reads both and writes one.
    Source: Polyak and Juditsky 1992; the warm-up is TensorFlow's `ExponentialMovingAverage(num_updates)`.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999, warmup: bool = True) -> None:
        check_fraction("decay", decay)
        self.decay = decay
        self.warmup = warmup
        self.updates = 0
        self.averages: dict[str, Tensor] = {
            name: p.detach().to(torch.promote_types(p.dtype, torch.float32), copy=True)
            for name, p in model.named_parameters()
        }

    @property
    def current_decay(self) -> float:
        """The d of the next update."""
        return min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Average the model's present weights in.

        Raises:
            OptimError: the model has other parameters than the average.
        """
        weights = self._matched(model)
        averages = list(self.averages.values())
        current = [w.to(a) for w, a in zip(weights, averages, strict=True)]
        if averages:
            torch._foreach_lerp_(averages, current, 1.0 - self.current_decay)
        self.updates += 1

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Write the averages into the model, rounded to its dtype."""
        for weight, average in zip(self._matched(model), self.averages.values(), strict=True):
            weight.copy_(average)

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[nn.Module]:
        """Give the model the averaged weights inside a `with` block and its own, bit by bit, after it.

        What the block does to the weights is lost; the averages are not changed by it.
        """
        own = [weight.detach().clone() for weight in self._matched(model)]
        try:
            self.copy_to(model)
            yield model
        finally:
            with torch.no_grad():
                for weight, saved in zip(self._matched(model), own, strict=True):
                    weight.copy_(saved)

    def state_dict(self) -> dict[str, Any]:
        """Return the settings, the count and the averages; tensors are not copied."""
        averages = dict(self.averages)
        return {"decay": self.decay, "warmup": self.warmup, "updates": self.updates, "averages": averages}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned; the next update is bit-equal.

        Raises:
            OptimError: the state is of another model.
        """
        check_fraction("decay", state["decay"])
        loaded: Mapping[str, Tensor] = state["averages"]
        self._check_names(list(loaded), [tuple(t.shape) for t in loaded.values()])
        self.decay, self.warmup, self.updates = state["decay"], state["warmup"], state["updates"]
        self.averages = {name: loaded[name].to(mine, copy=True) for name, mine in self.averages.items()}

    def _matched(self, model: nn.Module) -> list[Tensor]:
        named = dict(model.named_parameters())
        self._check_names(list(named), [tuple(p.shape) for p in named.values()])
        return [named[name] for name in self.averages]

    def _check_names(self, names: list[str], shapes: list[tuple[int, ...]]) -> None:
        given = dict(zip(names, shapes, strict=True))
        mine = {name: tuple(average.shape) for name, average in self.averages.items()}
        if given != mine:
            different = sorted(name for name in given.keys() | mine.keys() if given.get(name) != mine.get(name))
            raise OptimError(f"parameters {different[:3]} differ from the averaged model's; build a new average for it")
