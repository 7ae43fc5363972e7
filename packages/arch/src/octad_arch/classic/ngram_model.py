"""An n-gram model over any ids: counts, a smoothing, and what they say about a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from octad_arch.classic.counts import MISSING, Ids, NGramCounts, Numbers, checked, find
from octad_arch.classic.entropy import ranks
from octad_arch.classic.smoothing import ModifiedKneserNey, Smoothing
from octad_arch.errors import ArchError, require

_FORMAT = 1
_CHUNK_ELEMENTS = 1 << 22  # 32 MB of probabilities at a time


class Order(NamedTuple):
    """One order of a model: the n-grams and the weights of `smoothing.py`."""

    keys: Ids
    mass: Numbers
    back: Numbers


@dataclass(frozen=True, eq=False)
class NGramModel:
    """P(w | c) by the recursion of `smoothing.py`, c the order - 1 symbols before w.

    Args:
        vocab_size: number of symbols.
        orders: keys and weights, shortest n-grams first.
        is_interpolated: add the shorter context's part everywhere, or only where the n-gram was not seen.
        is_probability: what comes out sums to 1 over the vocabulary.
        unseen_back: weight to back off by from a context never seen.
    """

    vocab_size: int
    orders: tuple[Order, ...]
    is_interpolated: bool = True
    is_probability: bool = True
    unseen_back: float = 1.0

    @classmethod
    def fit(
        cls, ids: Sequence[int] | Ids, vocab_size: int, order: int = 5, smoothing: Smoothing | None = None
    ) -> NGramModel:
        """Count the text and weigh the counts.

        Args:
            ids: the text, each 0 <= id < vocab_size; a vocabulary numbers symbols of any kind.
            vocab_size: number of symbols.
            order: length of the longest n-grams, >= 1.
            smoothing: one of `smoothing.py`; None means `ModifiedKneserNey()`.

        Raises:
            ArchError: no text, an id outside the vocabulary, an order below 1.
        Cost: `order` sorts of len(ids) integers, and 4 numbers of 8 bytes a distinct n-gram.
        """
        counts = NGramCounts.of(ids, vocab_size, order)
        rule: Smoothing = ModifiedKneserNey() if smoothing is None else smoothing
        weights = rule.weigh(counts)
        orders = tuple(Order(level.keys, *each) for level, each in zip(counts.levels, weights, strict=True))
        return cls(vocab_size, orders, rule.is_interpolated, rule.is_probability, rule.unseen_back)

    @property
    def order(self) -> int:
        """Length of the longest n-grams."""
        return len(self.orders)

    def probabilities(self, ids: Sequence[int] | Ids) -> Numbers:
        """P(ids[i] | the symbols before it) for every i; the first ones have the context that there is."""
        data = checked(ids, self.vocab_size)
        result = np.full(len(data), 1 / self.vocab_size)
        for length, (order, context, place) in enumerate(self._walk(data)):
            seen = place != MISSING
            mass = np.where(seen, order.mass[place], 0.0) if len(order.keys) else np.zeros(len(place))
            longer = mass + self._back(order, context[:-1]) * result[length:]
            result[length:] = longer if self.is_interpolated else np.where(seen, mass, longer)
        return result

    def bits_per_symbol(self, ids: Sequence[int] | Ids) -> float:
        """Mean of -log2 P over the text: an upper bound of its entropy rate; 2 to that power is the perplexity.

        Raises:
            ArchError: no text, or scores that are no probabilities (stupid back-off).
        """
        require(len(ids) > 0, "the text is empty; bits per symbol needs at least one symbol")
        require(self.is_probability, "scores that do not sum to 1 say nothing of bits; use another smoothing")
        with np.errstate(divide="ignore"):  # a symbol that cannot be costs infinitely many
            return float(-np.log2(self.probabilities(ids)).mean())

    def distributions(self, ids: Sequence[int] | Ids, at: Sequence[int] | Ids) -> NDArray[np.float64]:
        """Row i is P(. | ids[: at[i]]) over the whole vocabulary: what may follow each prefix of the text.

        Raises:
            ArchError: a place outside 0 to len(ids).
        Cost: memory for len(at) x vocab_size numbers.
        """
        data, where = checked(ids, self.vocab_size), np.asarray(at, np.int64)
        inside = bool(((where >= 0) & (where <= len(data))).all())
        require(inside, f"at={where.tolist()[:5]}...: a prefix of {len(data)} symbols ends at 0 to {len(data)}")
        result = np.full((len(where), self.vocab_size), 1 / self.vocab_size)
        for length, (order, context, _) in enumerate(self._walk(data)):
            rows = np.flatnonzero(where >= length)
            before = context[where[rows] - length]
            result[rows] *= self._back(order, before)[:, None]
            row, place = _continuations(order.keys, before, self.vocab_size)
            cells = rows[row], order.keys[place] % self.vocab_size
            if self.is_interpolated:
                result[cells] += order.mass[place]
            else:
                result[cells] = order.mass[place]
        return result

    def ranks(self, ids: Sequence[int] | Ids) -> Ids:
        """How many guesses each symbol would take, the likeliest guessed first: Shannon's game played by the model."""
        data = checked(ids, self.vocab_size)
        step = max(1, _CHUNK_ELEMENTS // self.vocab_size)
        found = [np.zeros(0, np.int64)]
        for start in range(0, len(data), step):
            context = max(0, start - self.order + 1)
            chunk = data[context : start + step]
            at = np.arange(start - context, len(chunk))
            found.append(ranks(self.distributions(chunk, at), chunk[start - context :]))
        return np.concatenate(found)

    def generate(self, length: int, generator: np.random.Generator, context: Sequence[int] | Ids = ()) -> list[int]:
        """Draw `length` symbols one after the other; scores that are no probabilities are normalised.

        Args:
            length: number of new symbols.
            generator: source of randomness.
            context: symbols before the first.
        Cost: `order` binary searches and vocab_size additions a symbol.
        """
        text = [int(symbol) for symbol in context]
        for _ in range(length):
            recent = np.array(text[max(0, len(text) - self.order + 1) :], np.int64)
            share = self.distributions(recent, [len(recent)])[0]
            text.append(int(generator.choice(self.vocab_size, p=share / share.sum())))
        return text[len(context) :]

    def save(self, path: str | Path) -> None:
        """Write the model to one `.npz` file of plain arrays."""
        arrays = {f"{name}_{n}": array for n, o in enumerate(self.orders) for name, array in o._asdict().items()}
        head = np.array([_FORMAT, self.vocab_size, self.order, self.is_interpolated, self.is_probability], np.int64)
        with Path(path).open("wb") as file:
            np.savez(file, head=head, unseen_back=np.array(self.unseen_back), **arrays)

    @classmethod
    def load(cls, path: str | Path) -> NGramModel:
        """Read what `save` wrote.

        Raises:
            ArchError: the file is no such model, or torn.
        """
        try:
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                version, vocab_size, order, is_interpolated, is_probability = file["head"].tolist()
                require(version == _FORMAT, f"{path} has format {version}; this is {_FORMAT}")
                orders = [Order(*(file[f"{name}_{n}"] for name in Order._fields)) for n in range(order)]
                unseen = float(file["unseen_back"])
        except (KeyError, BadZipFile, EOFError, ValueError) as error:
            raise error if isinstance(error, ArchError) else ArchError(f"{path} is no n-gram model: {error}") from error
        return cls(vocab_size, tuple(orders), bool(is_interpolated), bool(is_probability), unseen)

    def _walk(self, data: Ids) -> Iterator[tuple[Order, Ids, Ids]]:
        """For every order n, the place of each run of n - 1 symbols and of each of n, MISSING where it never occurred.

        Entry i of the first stands before symbol n - 1 + i, entry i of the second ends with it.
        """
        context = np.zeros(len(data) + 1, np.int64)
        for length, order in enumerate(self.orders):
            if length > len(data):
                return
            before = context[:-1]
            codes = np.where(before == MISSING, MISSING, before * self.vocab_size + data[length:])
            place = find(codes, order.keys)
            yield order, context, place
            context = place

    def _back(self, order: Order, context: Ids) -> Numbers:
        if not len(order.back):
            return np.full(len(context), self.unseen_back)
        return np.where(context == MISSING, self.unseen_back, order.back[context])


def _continuations(keys: Ids, context: Ids, vocab_size: int) -> tuple[Ids, Ids]:
    """Every n-gram that continues each context: (row of the context, place of the n-gram)."""
    known = np.flatnonzero(context != MISSING)
    first = np.searchsorted(keys, context[known] * vocab_size)
    count = np.searchsorted(keys, (context[known] + 1) * vocab_size) - first
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(known, count), np.repeat(first, count) + offset
