"""Stretching rotary embeddings to contexts longer than those they were trained on: what becomes of each frequency.

Every scaling is a `Scaling`, given as `RoPE(scaling=...)`.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..errors import ArchError, require, require_positive


@dataclass(frozen=True)
class LinearScaling:
    """frequency / factor: positions are interpolated (Chen et al. 2023, arXiv 2306.15595).

    Args:
        factor: by which the context grows, > 0.
    """

    attention_factor: ClassVar = 1.0

    factor: float

    def __post_init__(self) -> None:
        require_positive(factor=self.factor)

    def frequencies(self, plain: Float[Tensor, "pairs"], theta: float, positions: Tensor) -> Float[Tensor, "pairs"]:
        """All by the same factor."""
        return plain / self.factor


@dataclass(frozen=True)
class TurnedShare:
    """frequency / factor for the first `share` of the pairs, 0 for the rest: those never turn (Gemma 4).

    `RoPE(channels=...)` turns the first channels instead, with frequencies that are spread over these alone.

    Args:
        share: of the pairs that turn, > 0 and at most 1.
        factor: by which the context grows, > 0.
    """

    attention_factor: ClassVar = 1.0

    share: float
    factor: float = 1.0

    def __post_init__(self) -> None:
        require_positive(share=self.share, factor=self.factor)
        require(self.share <= 1, f"share={self.share} of the pairs cannot turn; use at most 1")

    def frequencies(self, plain: Float[Tensor, "pairs"], theta: float, positions: Tensor) -> Float[Tensor, "pairs"]:
        """The fast ones, divided."""
        turns = torch.arange(len(plain), device=plain.device) < int(self.share * len(plain))
        return plain * turns / self.factor


@dataclass(frozen=True)
class NTKScaling:
    """theta * factor**(d / (d - 2)): the lowest frequency is interpolated, the highest left alone (bloc97 2023).

    Args:
        factor: by which the context grows, > 0.
    """

    attention_factor: ClassVar = 1.0

    factor: float

    def __post_init__(self) -> None:
        require_positive(factor=self.factor)

    def frequencies(self, plain: Float[Tensor, "pairs"], theta: float, positions: Tensor) -> Float[Tensor, "pairs"]:
        """Those of a larger theta."""
        pairs = len(plain)
        require(pairs > 1, "NTK scaling needs at least 4 channels to rotate")
        exponents = torch.arange(pairs, dtype=plain.dtype, device=plain.device) / pairs
        return plain * self.factor ** (-exponents * pairs / (pairs - 1))


@dataclass(frozen=True)
class Llama3Scaling:
    """Short waves stay, long ones are interpolated, those between are mixed (Llama 3.1, arXiv 2407.21783).

    Args:
        factor: of the long waves.
        low: waves longer than original_context / low are long.
        high: waves shorter than original_context / high are short.
        original_context: tokens of the first training.
    """

    attention_factor: ClassVar = 1.0

    factor: float = 8.0
    low: float = 1.0
    high: float = 4.0
    original_context: int = 8192

    def __post_init__(self) -> None:
        require_positive(factor=self.factor, low=self.low, original_context=self.original_context)
        require(self.high > self.low, f"high={self.high} must be above low={self.low}")

    def frequencies(self, plain: Float[Tensor, "pairs"], theta: float, positions: Tensor) -> Float[Tensor, "pairs"]:
        """Mixed: s * f + (1 - s) * f / factor, s rising from 0 to 1 with the waves a context holds."""
        waves = self.original_context * plain / (2 * math.pi)
        share = ((waves - self.low) / (self.high - self.low)).clamp(0, 1)
        return share * plain + (1 - share) * plain / self.factor


@dataclass(frozen=True)
class YaRN:
    """As Llama 3's, by the number of turns within the first context, with sharper attention (arXiv 2309.00071).

    Args:
        factor: by which the context grows, >= 1.
        original_context: tokens of the first training.
        fast: pairs of more turns than this stay.
        slow: pairs of fewer turns are interpolated.
        attention: factor of cosines and sines; None means 0.1 ln(factor) + 1.
        truncate: round the borders outwards to whole pairs.
    """

    factor: float
    original_context: int
    fast: float = 32.0
    slow: float = 1.0
    attention: float | None = None
    truncate: bool = True

    def __post_init__(self) -> None:
        require_positive(factor=self.factor, original_context=self.original_context, fast=self.fast, slow=self.slow)

    @property
    def attention_factor(self) -> float:
        """Given, or 0.1 ln(factor) + 1."""
        if self.attention is not None:
            return self.attention
        return 1.0 if self.factor <= 1 else 0.1 * math.log(self.factor) + 1.0

    def frequencies(self, plain: Float[Tensor, "pairs"], theta: float, positions: Tensor) -> Float[Tensor, "pairs"]:
        """A ramp over the pairs between the two borders."""
        channels = 2 * len(plain)

        def border(turns: float) -> float:
            return channels * math.log(self.original_context / (turns * 2 * math.pi)) / (2 * math.log(theta))

        first, last = border(self.fast), border(self.slow)
        if self.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, channels - 1)
        pairs = torch.arange(len(plain), dtype=torch.float32, device=plain.device)
        ramp = ((pairs - first) / (last - first if last > first else 0.001)).clamp(0, 1)
        return plain / self.factor * ramp + plain * (1 - ramp)


@dataclass(frozen=True)
class LongRoPE:
    """frequency_i / short_i in rows up to `original_context` tokens, frequency_i / long_i in longer ones.

    A row that grows past the border on a cache would mix keys of both kinds, so the pass that does raises: start the
    row again from position 0 without its past.

    Args:
        short: a factor for each pair, > 0.
        long: likewise.
        original_context: tokens of the first training.
        factor: by which the context grows; it sharpens the attention.
        attention: factor of cosines and sines; None means sqrt(1 + ln(factor) / ln(original_context)).
    Source: Ding et al. 2024 (arXiv 2402.13753), as in Phi-3 (arXiv 2404.14219).
    """

    short: tuple[float, ...]
    long: tuple[float, ...]
    original_context: int
    factor: float
    attention: float | None = None

    def __post_init__(self) -> None:
        require_positive(original_context=self.original_context, factor=self.factor)
        sizes = len(self.short), len(self.long)
        require(sizes[0] == sizes[1], f"short and long have {sizes[0]} and {sizes[1]} factors; give one a pair to each")
        require(min(self.short + self.long, default=1) > 0, f"factors of {self} must be above 0")

    @property
    def attention_factor(self) -> float:
        """Given, or sqrt(1 + ln(factor) / ln(original_context))."""
        if self.attention is not None:
            return self.attention
        return 1.0 if self.factor <= 1 else math.sqrt(1 + math.log(self.factor) / math.log(self.original_context))

    def frequencies(
        self, plain: Float[Tensor, "pairs"], theta: float, positions: Int[Tensor, "... seq"]
    ) -> Float[Tensor, "... pairs"]:
        """Those of each row, by the largest of its positions.

        Raises:
            ArchError: a row that starts after position 0 passes the border.
        """
        if not positions.numel():
            return self._divided(plain, self.short)
        last = positions.amax(-1, keepdim=True)
        first = positions.masked_fill(positions < 0, torch.iinfo(positions.dtype).max).amin(-1, keepdim=True)
        is_long = last >= self.original_context
        if bool((is_long & (first > 0) & (first <= self.original_context)).any()):
            raise ArchError(
                f"a row passes position {self.original_context}, where LongRoPE turns to other factors, but its past "
                "was rotated with the short ones; give the row from position 0 again with an empty cache"
            )
        return torch.where(is_long[..., None], self._divided(plain, self.long), self._divided(plain, self.short))

    def _divided(self, plain: Tensor, factors: tuple[float, ...]) -> Tensor:
        pairs = len(plain)
        require(len(factors) == pairs, f"LongRoPE has {len(factors)} factors for {pairs} pairs; give one a pair")
        return plain / torch.tensor(factors, dtype=plain.dtype, device=plain.device)
