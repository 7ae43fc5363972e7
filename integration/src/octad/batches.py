"""Rows of different lengths as padded batches, and who takes which rows of a step."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from octad.objective import IGNORE, Batch
from octad.processes import Processes

Row = tuple[Sequence[int], Sequence[bool]]
T = TypeVar("T")


def pad(rows: Sequence[Row], fill: int) -> Batch:
    """Inputs and targets of rows (ids, which of them count): shifted by one, padded on the right.

    A padded position comes after everything that counts, so that causal attention never sees it.
    """
    length = max(len(ids) for ids, _ in rows) - 1
    tokens = torch.full((len(rows), length), fill, dtype=torch.long)
    targets = torch.full((len(rows), length), IGNORE, dtype=torch.long)
    for number, (ids, counts) in enumerate(rows):
        row = torch.tensor(ids, dtype=torch.long)
        tokens[number, : len(ids) - 1] = row[:-1]
        targets[number, : len(ids) - 1] = row[1:].masked_fill(~torch.tensor(counts)[1:], IGNORE)
    return {"tokens": tokens, "targets": targets}


def by_length(rows: Sequence[T], parts: int, length: Callable[[T], int]) -> list[list[T]]:
    """The rows of one step in at most so many parts, shorter ones first: the same rows with less padding."""
    ordered = sorted(rows, key=length)
    size = -(-len(ordered) // parts)
    return [ordered[begin : begin + size] for begin in range(0, len(ordered), size)]


def place(values: Sequence[Sequence[float]], targets: Tensor) -> Tensor:
    """One value for each target that counts, put where the targets are; 0 elsewhere. Shape of targets."""
    result = torch.zeros(targets.shape)
    result[targets != IGNORE] = torch.tensor([value for row in values for value in row])
    return result


class ShuffledRows:
    """Which of `size` rows this process takes at a step: another order each epoch, a function of the step alone."""

    def __init__(self, size: int, batch_size: int, seed: int, processes: Processes) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.rank, self.world_size = processes.rank, processes.world_size
        self._order: tuple[int, list[int]] = (-1, [])

    def rows(self, step: int) -> list[int]:
        """Indices of this process's rows; all processes' together are the step's batch."""
        return [self._row(step * self.batch_size + place) for place in self.places()]

    def places(self) -> range:
        """Where this process's rows stand in the step's batch."""
        return range(self.rank, self.batch_size, self.world_size)

    def _row(self, position: int) -> int:
        epoch, place = divmod(position, self.size)
        if self._order[0] != epoch:
            order = list(range(self.size))
            random.Random(f"{self.seed}:{epoch}").shuffle(order)
            self._order = (epoch, order)
        return self._order[1][place]

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the step says it all."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""
