"""Positions as a bias of the attention scores: ALiBi, and the learned relative bias of T5."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .cost import Cost, dense
from .errors import require, require_positive


class PositionBias(Protocol):
    """A value that builds a bias of attention scores from positions."""

    def build(self, num_heads: int) -> nn.Module:
        """The module: (queries, keys) -> (rows, heads, queries, keys), an `AttentionBias`."""
        ...

    def cost(self, num_heads: int) -> Cost:
        """What it adds to the model."""
        ...


@dataclass(frozen=True)
class ALiBi:
    """-scale * slope_h * distance; slopes 2**(-8h / H), h from 1, for H heads (BLOOM, MPT).

    Where H is no power of two the missing slopes are every other one of the next power's.

    Args:
        scale: factor of the bias; 1 / sqrt(d_head) where it is added before the scores are scaled (Falcon).
        is_rounded: slope_h and slope_h * key position, which the softmax cannot tell from -slope_h * distance, are
            rounded to bfloat16, as Falcon was trained.
    Source: Press et al. 2021 (arXiv 2108.12409).
    """

    scale: float = 1.0
    is_rounded: bool = False

    def __post_init__(self) -> None:
        require_positive(scale=self.scale)

    def build(self, num_heads: int) -> "ALiBiModule":
        """The module, without parameters."""
        return ALiBiModule(self, self.slopes(num_heads))

    def cost(self, num_heads: int) -> Cost:
        """Nothing."""
        return Cost()

    def slopes(self, num_heads: int) -> tuple[float, ...]:
        """One a head."""
        power = 2 ** math.floor(math.log2(num_heads))
        first = [2.0 ** (-8 * h / power) for h in range(1, power + 1)]
        rest = [2.0 ** (-4 * h / power) for h in range(1, 2 * power + 1, 2)]
        return tuple((first + rest)[:num_heads])


class ALiBiModule(nn.Module):
    """`ALiBi` for so many heads."""

    def __init__(self, spec: ALiBi, slopes: tuple[float, ...]) -> None:
        super().__init__()
        self.spec, self.slopes = spec, slopes

    def forward(
        self, queries: Int[Tensor, "rows seq"], keys: Int[Tensor, "rows slots"]
    ) -> Float[Tensor, "rows heads seq slots"]:
        """The bias of each query position towards each key position."""
        slopes_H11 = torch.tensor(self.slopes, device=keys.device)[:, None, None]
        if self.spec.is_rounded:
            bias = (slopes_H11.bfloat16() * keys[:, None, None, :]).float()
            return (bias * self.spec.scale).expand(-1, -1, queries.shape[1], -1)
        distance = (queries[:, :, None] - keys[:, None, :])[:, None]
        return -distance * slopes_H11 * self.spec.scale


@dataclass(frozen=True)
class RelativeBias:
    """table[bucket(key - query), head]: near distances have a bucket each, far ones share them logarithmically (T5).

    Of the B buckets of a direction the first B/2 are the distances 0 .. B/2 - 1; distance n from there on is in
    B/2 + floor(log(n / (B/2)) / log(max_distance / (B/2)) * B/2), at most B - 1.

    Args:
        buckets: in all; half of them for each direction where both are seen.
        max_distance: from here on all distances share the last bucket.
        both_directions: later keys have buckets of their own (an encoder); otherwise they count as distance 0.
    Source: Raffel et al. 2019, section 2.1 (arXiv 1910.10683).
    """

    buckets: int = 32
    max_distance: int = 128
    both_directions: bool = False

    def __post_init__(self) -> None:
        require_positive(buckets=self.buckets, max_distance=self.max_distance)
        near = self.buckets // (4 if self.both_directions else 2)
        require(
            0 < near < self.max_distance,
            f"buckets={self.buckets} has {near} exact distances; use at least {4 if self.both_directions else 2} "
            f"buckets and a max_distance above {near} (is {self.max_distance})",
        )

    def build(self, num_heads: int) -> "RelativeBiasModule":
        """The table."""
        return RelativeBiasModule(self, num_heads)

    def cost(self, num_heads: int) -> Cost:
        """One number a bucket and head."""
        return dense(0, self.buckets * num_heads)

    def bucket(self, offset: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
        """The bucket of key position - query position."""
        buckets = self.buckets // 2 if self.both_directions else self.buckets
        later = (offset > 0).long() * buckets if self.both_directions else torch.zeros_like(offset)
        distance = offset.abs() if self.both_directions else (-offset).clamp(min=0)
        near = buckets // 2
        far = torch.log(distance.clamp(min=1).float() / near) / math.log(self.max_distance / near) * (buckets - near)
        return later + torch.where(distance < near, distance, (near + far.long()).clamp(max=buckets - 1))


class RelativeBiasModule(nn.Module):
    """`RelativeBias` with its table."""

    def __init__(self, spec: RelativeBias, num_heads: int) -> None:
        super().__init__()
        self.spec = spec
        self.table = nn.Embedding(spec.buckets, num_heads)

    def forward(
        self, queries: Int[Tensor, "rows seq"], keys: Int[Tensor, "rows slots"]
    ) -> Float[Tensor, "rows heads seq slots"]:
        """The bias of each query position towards each key position."""
        bias: Tensor = self.table(self.spec.bucket(keys[:, None, :] - queries[:, :, None]))
        return bias.movedim(-1, 1)


def _num_heads(layers: Sequence[object]) -> int:
    """Query heads of the layers, which a bias that they share must serve alike."""
    counts = {getattr(getattr(layer, "mixer", None), "num_heads", None) for layer in layers}
    require(
        len(counts) == 1 and None not in counts,
        f"a position_bias for all layers needs attention with one number of heads in each; the layers have {counts}",
    )
    count = counts.pop()
    assert isinstance(count, int)
    return count


def build_bias(bias: PositionBias | None, layers: Sequence[object]) -> nn.Module | None:
    """The module of a bias that all layers share."""
    return None if bias is None else bias.build(_num_heads(layers))


def bias_cost(bias: PositionBias | None, layers: Sequence[object]) -> Cost:
    """What it adds to the model, once."""
    return Cost() if bias is None else bias.cost(_num_heads(layers))
