"""What a verifier is, and what it returns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from octad_align.errors import AlignError

Task = TypeVar("Task", contravariant=True)


@dataclass(frozen=True)
class Reward:
    """A reward in [0, 1] and why it was given.

    Raises:
        AlignError: value is outside [0, 1].
    """

    value: float
    reason: str

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise AlignError(f"value={self.value} must be in [0, 1]; scale the reward")


class Verifier(Protocol[Task]):
    """Anything that judges a completion: (what was asked or expected, what came back) -> Reward.

    It must not raise on any completion: whatever a model writes is worth 0 at least.
    """

    def __call__(self, task: Task, completion: str, /) -> Reward:
        """Judge `completion` as the answer to `task`."""
        ...


def weighted(verifiers: Sequence[tuple[Verifier[Task], float]]) -> Verifier[Task]:
    """Combine verifiers: sum of weight x value, the reasons joined by "; ".

    Args:
        verifiers: pairs (verifier, weight); weights >= 0 that sum to 1.

    Raises:
        AlignError: the weights do not sum to 1 or one is below 0.
    """
    weights = [weight for _, weight in verifiers]
    if any(weight < 0 for weight in weights) or not math.isclose(sum(weights), 1.0):
        raise AlignError(f"weights={weights} must be >= 0 and sum to 1; divide them by {sum(weights)}")

    def combined(task: Task, completion: str, /) -> Reward:
        rewards = [(verifier(task, completion), weight) for verifier, weight in verifiers]
        value = sum(reward.value * weight for reward, weight in rewards)
        return Reward(min(value, 1.0), "; ".join(reward.reason for reward, _ in rewards))

    return combined
