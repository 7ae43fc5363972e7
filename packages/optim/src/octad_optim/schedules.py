"""Learning-rate schedules as values: a frozen dataclass, called with a step, gives the factor on the peak rate.

Steps count from 0. Warm-up steps are below the peak and above zero, the step after them is the peak, the last
step of `total` has exactly `final`, and later steps keep it. Each equals the transformers function of its name
at `step + 1`, with one more warm-up step: there the first update has rate zero and is wasted.

`apply` needs no object between schedule and optimiser; for torch's LambdaLR pass `schedule.__call__`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from octad_optim.errors import OptimError, require

Schedule = Callable[[int], float]
DecayShape = Literal["linear", "cosine", "sqrt", "1-sqrt"]


def check_step(step: int) -> int:
    """Return the step, or raise `OptimError` where it is negative."""
    require(step >= 0, f"step={step}", "steps count from 0")
    return step


def check_final(final: float) -> None:
    """Raise `OptimError` unless the last factor is in [0, 1]."""
    require(0.0 <= final <= 1.0, f"final={final}", "it is a share of the peak: use a number in [0, 1]")


def check_count(name: str, value: int, least: int) -> None:
    """Raise `OptimError` unless the value is a whole number of steps and large enough."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(is_count, f"{name}={value!r}", f"it must be a whole number of at least {least}")


def decay(progress: float, shape: DecayShape) -> float:
    """A fall from 1 at p = 0 to 0 at p = 1: 1 − p, (1 + cos πp)/2, √(1 − p) or 1 − √p.

    Args:
        progress: p; clamped to [0, 1].
        shape: "linear", "cosine", "sqrt" or "1-sqrt".

    Returns:
        The height at p.

    Raises:
        OptimError: an unknown shape.

    Source: "1-sqrt" is Hägele et al. 2024 (arXiv 2405.18392).
    """
    p = min(max(progress, 0.0), 1.0)
    if shape == "linear":
        return 1.0 - p
    if shape == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * p))
    if shape == "sqrt":
        return math.sqrt(1.0 - p)
    if shape == "1-sqrt":
        return 1.0 - math.sqrt(p)
    raise OptimError(f"decay_shape={shape!r}; it must be one of {get_args(DecayShape)}")


@dataclass(frozen=True)
class Constant:
    """1 at every step."""

    def __call__(self, step: int) -> float:
        """Return the factor of a step."""
        check_step(step)
        return 1.0


@dataclass(frozen=True)
class _Falling:
    """From 1 at step 0 to `final` at step total − 1, and `final` after.

    Args:
        total: steps, >= 1.
        final: the last factor, in [0, 1].
    """

    total: int
    final: float = 0.0

    def __post_init__(self) -> None:
        check_count("total", self.total, 1)
        check_final(self.final)

    def _at(self, step: int, shape: DecayShape) -> float:
        progress = check_step(step) / (self.total - 1) if self.total > 1 else 1.0
        return self.final + (1.0 - self.final) * decay(progress, shape)


@dataclass(frozen=True)
class Linear(_Falling):
    """final + (1 − final)·(1 − p) with p = step / (total − 1): 1 at step 0, `final` at the last and after.

    Args:
        total: steps, >= 1; a schedule of one step is `final`.
        final: the last factor, in [0, 1].
    """

    def __call__(self, step: int) -> float:
        """Return the factor of a step."""
        return self._at(step, "linear")


@dataclass(frozen=True)
class Cosine(_Falling):
    """final + (1 − final)·(1 + cos πp)/2 with p = step / (total − 1): 1 at step 0, `final` at the last and after.

    Args:
        total: steps, >= 1; a schedule of one step is `final`.
        final: the last factor, in [0, 1].

    Source: Loshchilov and Hutter 2017 (arXiv 1608.03983).
    """

    def __call__(self, step: int) -> float:
        """Return the factor of a step."""
        return self._at(step, "cosine")


@dataclass(frozen=True)
class InverseSqrt:
    """√(τ / (step + τ)): 1 at step 0, a half after 3τ steps, no end.

    Args:
        timescale: τ, in steps, >= 1; often the length of the warm-up.

    Source: Vaswani et al. 2017, eq. 3.
    """

    timescale: int

    def __post_init__(self) -> None:
        check_count("timescale", self.timescale, 1)

    def __call__(self, step: int) -> float:
        """Return the factor of a step."""
        return math.sqrt(self.timescale / (check_step(step) + self.timescale))


@dataclass(frozen=True)
class Warmup:
    """(step + 1) / (steps + 1) while step < steps, then `then(step − steps)`.

    So `Warmup(10, Cosine(90))` lasts 100 steps and has its peak at step 10.

    Args:
        steps: of warm-up, >= 0.
        then: a schedule that begins at the peak, as all here do.
    """

    steps: int
    then: Schedule

    def __post_init__(self) -> None:
        check_count("steps", self.steps, 0)
        require(callable(self.then), f"then={self.then!r}", "give a schedule, e.g. Cosine(total=90)")

    def __call__(self, step: int) -> float:
        """Return the factor of a step."""
        if check_step(step) < self.steps:
            return (step + 1) / (self.steps + 1)
        return self.then(step - self.steps)


@dataclass(frozen=True)
class WSD:
    """Warm-up, stable, decay: the steps between the first `warmup` and the last `decay` have factor 1.

    The decay is final + (1 − final)·shape(p), p = (step − (total − decay) + 1) / decay, so that its last step has
    exactly `final`. A run may be continued from any stable step with a larger total.

    Args:
        total: steps of the whole schedule, >= 1.
        warmup: steps below the peak at the start, >= 0.
        decay: steps below the peak at the end, >= 0 and at most total − warmup; with 0 it never falls.
        decay_shape: see `decay`.
        final: the last factor, in [0, 1].

    Source: Hu et al. 2024 (arXiv 2404.06395).
    """

    total: int
    warmup: int = 0
    decay: int = 0
    decay_shape: DecayShape = "linear"
    final: float = 0.0

    def __post_init__(self) -> None:
        check_count("total", self.total, 1)
        check_count("warmup", self.warmup, 0)
        check_count("decay", self.decay, 0)
        check_final(self.final)
        decay(0.0, self.decay_shape)
        given = f"warmup={self.warmup} + decay={self.decay} > total={self.total}"
        require(self.stable >= 0, given, f"use decay={max(self.total - self.warmup, 0)} or a longer total")

    @property
    def stable(self) -> int:
        """Steps at the peak, total − warmup − decay."""
        return self.total - self.warmup - self.decay

    def __call__(self, step: int) -> float:
        """Return the factor of a step."""
        if check_step(step) < self.warmup:
            return (step + 1) / (self.warmup + 1)
        into_decay = step - (self.total - self.decay) + 1
        if into_decay <= 0 or self.decay == 0:
            return 1.0
        return self.final + (1.0 - self.final) * decay(into_decay / self.decay, self.decay_shape)


def apply(optimizer: torch.optim.Optimizer, schedule: Schedule, step: int) -> float:
    """Set lr ← initial_lr · schedule(step) in every group.

    The first call notes each group's lr as its "initial_lr", the peak. It is part of the optimiser's state dict,
    so a resumed run only needs the step. Call it before `optimizer.step()`.

    Args:
        optimizer: any torch optimiser.
        schedule: from step to factor.
        step: the number of the update that follows, counted from 0.

    Returns:
        The factor.
    """
    factor = schedule(step)
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
    return factor
