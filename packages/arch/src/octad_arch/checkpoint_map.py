"""The name map of a family: which tensors of a file hold which parameters, and how to turn one into the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]


def _unchanged(tensors: Tensors) -> Tensors:
    return tensors


@dataclass(frozen=True)
class Weight:
    """Tensors of a file that together hold parameters of ours.

    Args:
        theirs: names in the file.
        ours: names of the model's parameters; none for tensors that the specification implies, which may be missing.
        read: the parameters from the stored tensors.
        write: the stored tensors from the parameters; its inverse, bit for bit. Both run on "meta" tensors too, which
            is how the shapes of the file are known before it is read.
    """

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    read: Callable[[Tensors], Tensors] = _unchanged
    write: Callable[[Tensors], Tensors] = _unchanged


def same(theirs: str, ours: str) -> Weight:
    """One stored tensor that is one parameter."""
    return Weight((theirs,), (ours,))


def transposed(theirs: str, ours: str) -> Weight:
    """A matrix stored as (in, out), as GPT-2 does."""
    return Weight((theirs,), (ours,), lambda tensors: (tensors[0].t(),), lambda tensors: (tensors[0].t(),))


def stacked(theirs: Sequence[str], ours: str) -> Weight:
    """Tensors stored one by one (the experts of a layer) that are one parameter with an axis in front."""
    return Weight(tuple(theirs), (ours,), lambda tensors: (torch.stack(tensors),), lambda tensors: tensors[0].unbind())


def joined(theirs: str, ours: Sequence[str], sizes: Sequence[int], axis: int = 0) -> Weight:
    """One stored tensor that holds several parameters one after another along an axis (a fused q, k, v)."""
    return Weight(
        (theirs,),
        tuple(ours),
        lambda tensors: torch.split(tensors[0], list(sizes), axis),
        lambda tensors: (torch.cat(tensors, axis),),
    )
