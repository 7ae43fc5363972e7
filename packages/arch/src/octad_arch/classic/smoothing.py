"""What an n-gram model makes of its counts: a weight for every n-gram seen, and one for every context to back off by.

All of them are one recursion from the shortest context to the longest, P_0 = 1 / vocab_size:

    interpolated    P_n(w | c) = mass(c w) + back(c) P_{n-1}(w | c')
    backed off      P_n(w | c) = mass(c w) where c w was seen, else back(c) P_{n-1}(w | c')

c' is c without its oldest symbol. N1+(c •) below is the number of distinct symbols seen after c, N1+(• g) of those seen
before g, and n_r the number of distinct n-grams that occur r times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from octad_arch.classic.counts import Level, NGramCounts, Numbers
from octad_arch.errors import require, require_positive


class Weights(NamedTuple):
    """One order of a model: `mass` an n-gram of the level, `back` a context of it."""

    mass: Numbers
    back: Numbers


class Smoothing(Protocol):
    """A value that turns counts into the weights of the recursion."""

    is_interpolated: ClassVar[bool]
    is_probability: ClassVar[bool]

    @property
    def unseen_back(self) -> float:
        """The weight to back off by from a context that never occurred."""
        ...

    def weigh(self, counts: NGramCounts) -> list[Weights]:
        """One pair of arrays an order, shortest first."""
        ...


class _Probability:
    """A context that never occurred says nothing: the shorter one decides alone."""

    is_interpolated: ClassVar[bool] = True
    is_probability: ClassVar[bool] = True

    @property
    def unseen_back(self) -> float:
        """All the mass is left to the shorter context."""
        return 1.0


@dataclass(frozen=True)
class AddK(_Probability):
    """P(w | c) = (n(c w) + k) / (n(c) + k vocab_size), at the model's own order only.

    k = 1 is Laplace's rule, k = 1/2 that of Jeffreys and Perks. A context that is new, or cut short by the beginning of
    the text, gives 1 / vocab_size.

    Args:
        k: added to every count, > 0.
    Source: Lidstone 1920; Chen and Goodman 1998.
    """

    k: float = 1.0

    def __post_init__(self) -> None:
        require_positive(k=self.k)

    def weigh(self, counts: NGramCounts) -> list[Weights]:
        """Orders below the highest hand everything down to the uniform distribution."""
        *shorter, level = counts.levels
        uniform = self.k * counts.vocab_size
        total = level.total(level.count) + uniform
        through = [Weights(np.zeros(len(each.keys)), np.ones(each.num_contexts)) for each in shorter]
        return [*through, Weights(level.count / total[level.context], uniform / total)]


@dataclass(frozen=True)
class WittenBell(_Probability):
    """P(w | c) = (n(c w) + N1+(c •) P(w | c')) / (n(c) + N1+(c •)).

    The more kinds of continuation a context has had, the more it trusts the shorter one.
    Source: Witten and Bell 1991, method C.
    """

    def weigh(self, counts: NGramCounts) -> list[Weights]:
        """Every order alike."""
        return [_witten_bell(level) for level in counts.levels]


def _witten_bell(level: Level) -> Weights:
    kinds = level.total(np.ones(len(level.keys)))
    total = level.total(level.count) + kinds
    return Weights(level.count / total[level.context], _share(kinds, total))


@dataclass(frozen=True)
class KneserNey(_Probability):
    """P(w | c) = (a(c w) - D) / a(c •) + D N1+(c •) / a(c •) P(w | c'), with D = n_1 / (n_1 + 2 n_2) an order.

    a is the count at the highest order and N1+(• g) below it: a shorter context is asked only where the longer one
    fails, so what matters there is after how many different symbols a word came, not how often.

    Args:
        fallback: D of an order where n_1 is 0, which leaves nothing for unseen words; 0 < fallback <= 1.
    Source: Kneser and Ney 1995; interpolated by Chen and Goodman 1998 (TR-10-98).
    """

    fallback: float = 0.75

    def __post_init__(self) -> None:
        require(0 < self.fallback <= 1, f"fallback={self.fallback}; a discount lies above 0 and at most at 1")

    def discounts(self, adjusted: Numbers) -> tuple[float, float, float]:
        """What is taken off a count of 1, of 2 and of more: D from the counts a of one order."""
        once, twice = (int((adjusted == r).sum()) for r in (1, 2))
        discount = once / (once + 2 * twice) if once else self.fallback
        return discount, discount, discount

    def weigh(self, counts: NGramCounts) -> list[Weights]:
        """Continuation counts below the highest order, discounted."""
        adjusted = [counts.continuations(length) for length in range(1, len(counts.levels) + 1)]
        return [_discounted(level, a, self.discounts(a)) for level, a in zip(counts.levels, adjusted, strict=True)]


@dataclass(frozen=True)
class ModifiedKneserNey(_Probability):
    """Kneser-Ney with three discounts an order, for a = 1, a = 2 and a >= 3.

    D_1 = 1 - 2 Y n_2 / n_1, D_2 = 2 - 3 Y n_3 / n_2, D_3 = 3 - 4 Y n_4 / n_3, with Y = n_1 / (n_1 + 2 n_2).

    Args:
        fallback: the three of an order whose own are not 0 < D_r <= r: few kinds of symbol or little text.
    Source: Chen and Goodman 1998 (TR-10-98); compared at length in Goodman 2001 (arXiv cs/0108005).
    """

    fallback: tuple[float, float, float] = (0.5, 1.0, 1.5)

    def __post_init__(self) -> None:
        fits = all(0 < discount <= r for r, discount in enumerate(self.fallback, 1))
        require(fits and len(self.fallback) == 3, f"fallback={self.fallback}; use three with 0 < D_r <= r")

    def discounts(self, adjusted: Numbers) -> tuple[float, float, float]:
        """D_1, D_2 and D_3 from the counts a of one order."""
        n1, n2, n3, n4 = (int((adjusted == r).sum()) for r in (1, 2, 3, 4))
        if not (n1 and n2 and n3):
            return self.fallback
        y = n1 / (n1 + 2 * n2)
        found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        return found if all(discount > 0 for discount in found) else self.fallback

    def weigh(self, counts: NGramCounts) -> list[Weights]:
        """Continuation counts below the highest order, discounted."""
        adjusted = [counts.continuations(length) for length in range(1, len(counts.levels) + 1)]
        return [_discounted(level, a, self.discounts(a)) for level, a in zip(counts.levels, adjusted, strict=True)]


def _discounted(level: Level, adjusted: Numbers, discounts: tuple[float, float, float]) -> Weights:
    taken = np.array((0.0, *discounts))[np.minimum(adjusted, 3).astype(np.int64)]
    total = level.total(adjusted)
    # a context that only ever began the text has no continuation counted, and total 0
    mass = np.divide(adjusted - taken, total[level.context], out=np.zeros(len(taken)), where=adjusted > 0)
    return Weights(mass, _share(level.total(taken), total))


def _share(part: Numbers, total: Numbers) -> Numbers:
    return np.divide(part, total, out=np.ones(len(total)), where=total > 0)


@dataclass(frozen=True)
class Katz:
    """P(w | c) = d_r r / n(c) where r = n(c w) > 0, else α(c) P(w | c'); α(c) makes the sum 1.

    d_r = (r* / r - A) / (1 - A) for r <= k and 1 above, with the Good-Turing count r* = (r + 1) n_{r+1} / n_r and
    A = (k + 1) n_{k+1} / n_1: what is taken off in all is what Good and Turing give to the unseen, n_1 counts.

    Two cases the paper leaves to the reader. An order whose n_r are too few or too rough for 0 < d_r <= 1 uses the
    largest k below the cutoff for which they are not. Where no count of a context is discounted but words are unseen
    after it, n(c) is taken one larger, so that they do not get probability 0.

    Args:
        cutoff: k, counts above it are trusted as they are; >= 0.
    Source: Katz 1987; Good 1953; k = 5 is the paper's.
    """

    cutoff: int = 5
    is_interpolated: ClassVar[bool] = False
    is_probability: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self.cutoff >= 0, f"cutoff={self.cutoff} must not be negative")

    @property
    def unseen_back(self) -> float:
        """All the mass is left to the shorter context."""
        return 1.0

    def discounts(self, count: Numbers) -> Numbers:
        """d_0 (of no use, 1), d_1, ..., d_k from the counts of one order; its length tells the k in use."""
        n = np.bincount(count[count <= self.cutoff + 1].astype(np.int64), minlength=self.cutoff + 2).astype(float)
        for k in range(self.cutoff, 0, -1):
            r = np.arange(1, k + 1)
            rest = (k + 1) * n[k + 1] / n[1] if n[1] else 1.0
            if rest < 1 and n[1 : k + 1].all():
                factors = ((r + 1) * n[2 : k + 2] / (n[1 : k + 1] * r) - rest) / (1 - rest)
                if (factors > 0).all() and (factors <= 1).all():
                    return np.concatenate(([1.0], factors))
        return np.ones(1)

    def weigh(self, counts: NGramCounts) -> list[Weights]:
        """Each order needs the one below: what its seen words would get there is not for the unseen."""
        found: list[Weights] = []
        for level in counts.levels:
            below = found[-1].mass[level.suffix] if found else np.full(len(level.keys), 1 / counts.vocab_size)
            found.append(self._weigh(level, below))
        return found

    def _weigh(self, level: Level, below: Numbers) -> Weights:
        factors = self.discounts(level.count)
        rank = np.where(level.count < len(factors), level.count, 0).astype(np.int64)
        total = level.total(level.count)
        free = level.total(level.count * (1 - factors[rank]))  # counts taken off and not yet given away
        is_full = level.total(np.ones(len(level.keys))) == level.vocab_size
        free[(free == 0) & ~is_full] = 1.0
        kept = level.total(level.count * factors[rank])
        mass = level.count * factors[rank] / np.where(is_full, kept, kept + free)[level.context]
        left = 1 - level.total(below)  # what the shorter context gives to the words unseen here
        back = np.divide(free / np.maximum(kept + free, 1), left, out=np.zeros(len(total)), where=~is_full)
        return Weights(mass, back)


@dataclass(frozen=True)
class StupidBackoff:
    """S(w | c) = n(c w) / n(c) where c w was seen, else factor S(w | c'); S(w) = n(w) / n: scores, which sum to more.

    Args:
        factor: 0 < factor <= 1.
    Source: Brants et al. 2007, section 4.
    """

    factor: float = 0.4
    is_interpolated: ClassVar[bool] = False
    is_probability: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(0 < self.factor <= 1, f"factor={self.factor}; a score backs off by more than 0 and at most 1")

    @property
    def unseen_back(self) -> float:
        """The same as from any other context."""
        return self.factor

    def weigh(self, counts: NGramCounts) -> list[Weights]:
        """Relative frequencies; a symbol that never occurred has score 0."""
        shares = [level.count / level.total(level.count)[level.context] for level in counts.levels]
        backs = [np.full(level.num_contexts, self.factor if n else 0.0) for n, level in enumerate(counts.levels)]
        return [Weights(share, back) for share, back in zip(shares, backs, strict=True)]
