"""Rotary position embedding (RoPE), in the two conventions of Hugging Face.

The pairs that turn together are (x[i], x[i + d_head/2]) in Llama and Qwen, and the neighbours (x[2i], x[2i+1]) of the
paper in GPT-J, GLM and Cohere. Both are the same function up to a fixed permutation of the channels, so weights must be
read in the convention they were trained in.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .errors import require, require_positive


class Rotation(NamedTuple):
    """Cosine and sine of every angle, one a pair: what `rotate` needs, computed once a forward pass."""

    cos: Float[Tensor, "... seq half"]
    sin: Float[Tensor, "... seq half"]


class Scaling(Protocol):
    """A value that changes the frequencies of a rotary embedding."""

    @property
    def attention_factor(self) -> float:
        """Factor of cosines and sines."""
        ...

    def frequencies(
        self, plain: Float[Tensor, "pairs"], theta: float, positions: Int[Tensor, "... seq"]
    ) -> Float[Tensor, "... pairs"]:
        """The new frequencies, in radians a position, from theta**(-2i / channels); for all rows or for each."""
        ...


@dataclass(frozen=True)
class RoPE:
    """Turn pair i of each query and key by the angle position * theta**(-2i / channels).

    Args:
        theta: base of the wavelengths, > 0; a larger one suits longer contexts.
        channels: how many channels of a head turn, the first ones; None means all (partial: GPT-NeoX, Phi, GLM).
        scaling: what becomes of the frequencies in a longer context (`rope_scaling`).
        neighbours: the pairs are (x[2i], x[2i+1]) (GPT-J, GLM-4, Cohere) and not (x[i], x[i + channels/2]).
    Source: Su et al. 2021, eq. 34 (arXiv 2104.09864).
    """

    theta: float = 10_000.0
    channels: int | None = None
    scaling: Scaling | None = None
    neighbours: bool = False

    def __post_init__(self) -> None:
        require_positive(theta=self.theta)

    def turned(self, d_head: int) -> int:
        """How many channels of a head turn."""
        return d_head if self.channels is None else self.channels

    def check(self, d_head: int) -> None:
        """Raise `ArchError` where heads of this size cannot be rotated."""
        require(
            d_head % 2 == 0 or self.channels is not None, f"d_head={d_head} must be even for RoPE; use {d_head + 1}"
        )
        channels = self.turned(d_head)
        require(
            0 < channels <= d_head and channels % 2 == 0,
            f"channels={channels} of d_head={d_head} cannot turn; use an even number up to {d_head}",
        )

    def rotation(self, positions: Int[Tensor, "... seq"], d_head: int, dtype: torch.dtype) -> Rotation:
        """Cosines and sines for these positions; the angles are computed in float32 as in every Llama, then rounded."""
        channels = self.turned(d_head)
        exponents = torch.arange(0, channels, 2, dtype=torch.float32, device=positions.device) / channels
        frequencies = 1.0 / self.theta**exponents
        if self.scaling is not None:
            frequencies = self.scaling.frequencies(frequencies, self.theta, positions)
        angles = positions[..., None].float() * frequencies
        cos, sin = angles.cos(), angles.sin()
        if self.scaling is not None and self.scaling.attention_factor != 1:
            cos, sin = cos * self.scaling.attention_factor, sin * self.scaling.attention_factor
        return Rotation(cos.to(dtype), sin.to(dtype))

    def rotate(self, x: Float[Tensor, "... seq d_head"], rotation: Rotation) -> Float[Tensor, "... seq d_head"]:
        """Turn the pairs of queries or keys; the channels behind them pass."""
        channels = 2 * rotation.cos.shape[-1]
        turned = x if channels == x.shape[-1] else x[..., :channels]
        turned = rotate_neighbours(turned, rotation) if self.neighbours else rotate(turned, rotation)
        return turned if channels == x.shape[-1] else torch.cat((turned, x[..., channels:]), dim=-1)


def rotate(x: Float[Tensor, "... seq d_head"], rotation: Rotation) -> Float[Tensor, "... seq d_head"]:
    """Turn each pair (x[i], x[i + d_head/2]) by its angle.

    Args:
        x: queries or keys.
        rotation: cosines and sines of shape (..., seq, d_head/2) that broadcast against x.
    Cost: 3 FLOPs an element.
    """
    first, second = x.chunk(2, dim=-1)
    cos, sin = rotation
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def rotate_neighbours(x: Float[Tensor, "... seq d_head"], rotation: Rotation) -> Float[Tensor, "... seq d_head"]:
    """Turn each pair (x[2i], x[2i+1]) by its angle; arguments as in `rotate`."""
    first, second = x[..., ::2], x[..., 1::2]
    cos, sin = rotation
    return torch.stack((first * cos - second * sin, second * cos + first * sin), dim=-1).flatten(-2)


def rope(
    x: Float[Tensor, "... seq d_head"], positions: Int[Tensor, "... seq"], theta: float = 10_000.0
) -> Float[Tensor, "... seq d_head"]:
    """Turn each pair (x[i], x[i + d_head/2]) by the angle positions * theta**(-2i / d_head).

    Args:
        x: queries or keys.
        positions: absolute token index, (seq,) or any shape that broadcasts against x's leading axes; need not be
            contiguous (a cache may skip).
        theta: base of the wavelengths.

    Raises:
        ArchError: d_head is odd, or theta is not positive.
    Cost: 3 FLOPs an element; angles in float32, result in x.dtype.
    Source: Su et al. 2021, eq. 34 (arXiv 2104.09864), in the half-split convention (see the module).
    """
    embedding = RoPE(theta)
    embedding.check(x.shape[-1])
    return rotate(x, embedding.rotation(positions, x.shape[-1], x.dtype))
