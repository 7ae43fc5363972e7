"""What to learn, in the words that the engine and the reference share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from octad_tokenizer.byte_spelling import BYTE_ORDER
from octad_tokenizer.errors import TokenizerError

TieBreak: TypeAlias = Literal["greatest", "least", "lowest_ids", "lowest_raw_ids"]
Progress: TypeAlias = Callable[[int, int], object]
Pairs: TypeAlias = list[tuple[int, int]]
"""Pairs of ids; bytes have the ids of `TrainingPlan.byte_order`, and the k-th pair makes 256 + k."""

NOTHING_TO_LEARN = "the texts hold nothing but special tokens; give a text to learn from"


def nothing_matched(pattern: str) -> TokenizerError:
    """The error that names a pattern of one's own which no text matches."""
    return TokenizerError(
        f"pattern={pattern!r} matches nothing in the texts, so each would be one pre-token; "
        "give a pattern that matches words, such as GPT2"
    )


@dataclass(frozen=True)
class TrainingPlan:
    """The arguments of `train_bpe` that decide what is learned.

    Raises:
        TokenizerError: one of them is out of its range.
    """

    size: int
    pattern: str
    tie_break: TieBreak
    min_frequency: int
    progress: Progress | None
    superwords_from: int | None
    superword_pattern: str

    def __post_init__(self) -> None:
        if self.tie_break not in get_args(TieBreak):
            raise TokenizerError(f"tie_break={self.tie_break!r} is unknown; use one of {', '.join(get_args(TieBreak))}")
        if self.min_frequency < 1:
            raise TokenizerError(f"min_frequency={self.min_frequency} is less than 1; a pair occurs at least once")
        if self.superwords_from is not None and not 256 <= self.superwords_from <= self.size:
            raise TokenizerError(
                f"superwords_from={self.superwords_from} is not between 256 bytes and the {self.size} bytes and merges "
                "of the vocabulary; set it to about three quarters of vocab_size"
            )

    @property
    def patterns(self) -> list[str]:
        """Of each phase: how its pre-tokens are split."""
        return [self.pattern] if self.superwords_from is None else [self.pattern, self.superword_pattern]

    @property
    def sizes(self) -> list[int]:
        """Of each phase: how many bytes and merges there are at its end."""
        return [self.size] if self.superwords_from is None else [self.superwords_from, self.size]

    @property
    def byte_order(self) -> bytes:
        """The byte of each id below 256 while we learn."""
        return bytes(range(256)) if self.tie_break == "lowest_raw_ids" else BYTE_ORDER

    def progress_of(self, size: int) -> Progress | None:
        """What to call in the phase that ends with `size` tokens; the total is that of all phases."""
        progress, total = self.progress, self.size - 256
        if progress is None or size == self.size:
            return progress
        return lambda done, _: progress(done, total)
