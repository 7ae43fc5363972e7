"""Symbols and their numbers: words, characters or bytes become the ids that the models of this package count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from octad_arch.errors import ArchError, require, require_positive

Symbol = TypeVar("Symbol", bound=Hashable)


@dataclass(frozen=True)
class Vocabulary(Generic[Symbol]):
    """A numbering of symbols: id i is `symbols[i]`.

    Args:
        symbols: distinct hashable values.
        unknown: the one of them that stands for every other value; None makes another value an error.
    """

    symbols: tuple[Symbol, ...]
    unknown: Symbol | None = None
    _ids: dict[Symbol, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {symbol: index for index, symbol in enumerate(self.symbols)}
        require(len(ids) == len(self.symbols), f"{len(self.symbols) - len(ids)} symbols stand twice in the vocabulary")
        known = self.unknown is None or self.unknown in ids
        require(known, f"unknown={self.unknown!r} is none of the symbols; add it to them")
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def of(cls, text: Iterable[Symbol], min_count: int = 1, unknown: Symbol | None = None) -> Vocabulary[Symbol]:
        """The symbols that occur at least `min_count` times, the most frequent first, after `unknown` where given.

        Raises:
            ArchError: `min_count` is not positive, or above 1 without an `unknown` for what it leaves out.
        """
        require_positive(min_count=min_count)
        require(min_count == 1 or unknown is not None, f"min_count={min_count} leaves symbols out; name an `unknown`")
        kept = (symbol for symbol, count in Counter(text).most_common() if count >= min_count and symbol != unknown)
        return cls((*(() if unknown is None else (unknown,)), *kept), unknown)

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: Iterable[Symbol]) -> NDArray[np.int64]:
        """The id of every symbol.

        Raises:
            ArchError: a symbol is not in the vocabulary, which has no `unknown`.
        """
        if self.unknown is not None:
            other = self._ids[self.unknown]
            return np.fromiter((self._ids.get(symbol, other) for symbol in text), np.int64)
        try:
            return np.fromiter((self._ids[symbol] for symbol in text), np.int64)
        except KeyError as error:
            raise ArchError(f"symbol {error.args[0]!r} is not in the vocabulary; give it an `unknown`") from None

    def decode(self, ids: Sequence[int] | NDArray[np.int64]) -> list[Symbol]:
        """The symbol of every id."""
        return [self.symbols[index] for index in ids]
