"""SimHash: a number of 64 bits for each text, of which few differ where the texts differ little (Charikar 2002)."""

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.kernel import allocating_kernel
from octad_data.shingles import Shingler, ShingleSets
from octad_data.step import with_column
from octad_data.texts import Texts

if TYPE_CHECKING:
    import pyarrow as pa

BITS = 64
MAX_TABLES = 128
CROWD = 8  # as many strangers in a bucket cost as much as another table


def simhash(shingles: ShingleSets, weights: NDArray[np.float64] | None = None) -> NDArray[np.uint64]:
    """Bit b is the sign of the sum of weight * (bit b of the hash ? +1 : -1) over the shingles of a text.

    The chance that a bit of two texts differs is their angle / pi, as vectors of weights.

    Args:
        shingles: of many texts; one that occurs twice counts twice.
        weights: one a shingle, such as an inverse document frequency; 1 by default.

    Raises:
        DataError: there are not as many weights as shingles.
    Cost: about 10 ns a shingle.
    """
    if weights is None:
        return _simhash(shingles.shingles, shingles.offsets, np.ones(1), 0)
    if weights.shape != shingles.shingles.shape:
        raise DataError(f"{weights.shape} weights for {len(shingles.shingles)} shingles; give one for each")
    return _simhash(shingles.shingles, shingles.offsets, weights.astype(np.float64), 1)


@dataclass(frozen=True)
class SimHash:
    """A step that adds the column `simhash` (uint64, null for texts without words).

    Attributes:
        ngram: words in a shingle, >= 1.
        seed: of the hashes.
    """

    ngram: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.ngram < 1:
            raise DataError(f"ngram={self.ngram} is not positive; use ngram=3")

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with the column."""
        import pyarrow as pa

        shingler = Shingler(self.ngram, self.seed)
        shingles = shingler.sets(Texts.from_arrow(batch.column("text")))
        empty = np.diff(shingles.offsets) == 0
        return with_column(batch, "simhash", pa.array(simhash(shingles), mask=empty))


def simhash_pairs(
    hashes: NDArray[np.uint64], distance: int = 3
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of hashes that differ in at most `distance` bits: smaller position, larger position, bits.

    None is missed: the bits are cut into blocks, more of them than `distance`; a pair agrees in all but `distance`
    blocks, and there is a table for each choice of blocks to agree in (Manku et al. 2007). Equal hashes are paired with
    the first of them only, and only the first is paired with others, so that many copies give few pairs; connected
    components are the same.

    Raises:
        DataError: distance is not in [0, 16].
    """
    if not 0 <= distance <= 16:
        raise DataError(f"distance={distance} is not in [0, 16]; 3 of 64 bits is usual")
    distinct, firsts, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    copies = np.flatnonzero(firsts[inverse] != np.arange(len(hashes)))
    found = [(firsts[inverse[copies]], copies, np.zeros(len(copies), dtype=np.int64))]
    for mask in block_masks(distance, len(distinct)) if distance else ():
        order = np.argsort(distinct & mask, kind="stable")
        a, b, bits = _close(distinct[order], mask, distance)
        a, b = firsts[order[a]], firsts[order[b]]
        found.append((np.minimum(a, b), np.maximum(a, b), bits))
    first, second, bits = (np.concatenate(parts).astype(np.int64) for parts in zip(*found, strict=True))
    pairs = np.unique(np.stack((first, second, bits)), axis=1)
    return pairs[0], pairs[1], pairs[2]


def block_masks(distance: int, size: int) -> list[np.uint64]:
    """The bits that each table sorts by: for each choice of blocks, those blocks."""
    blocks = distance + 1
    while blocks < BITS:
        agreeing = blocks + 1 - distance
        tables = len(list(combinations(range(blocks + 1), agreeing)))
        if size <= CROWD << (BITS * (blocks - distance) // blocks) or tables > MAX_TABLES:
            break
        blocks += 1
    bounds = [BITS * block // blocks for block in range(blocks + 1)]
    parts = [(1 << bounds[block + 1]) - (1 << bounds[block]) for block in range(blocks)]
    return [np.uint64(sum(chosen)) for chosen in combinations(parts, blocks - distance)]


@allocating_kernel
def _simhash(
    hashes: NDArray[np.uint64], offsets: NDArray[np.int64], weights: NDArray[np.float64], step: int
) -> NDArray[np.uint64]:
    result = np.zeros(len(offsets) - 1, dtype=np.uint64)
    sums = np.empty(BITS, dtype=np.float64)
    for text in range(len(offsets) - 1):
        sums[:] = 0
        for place in range(offsets[text], offsets[text + 1]):
            weight, value = weights[place * step], hashes[place]
            for bit in range(BITS):
                sums[bit] += weight if value >> np.uint64(bit) & np.uint64(1) else -weight
        for bit in range(BITS):
            if sums[bit] > 0:
                result[text] |= np.uint64(1) << np.uint64(bit)
    return result


@allocating_kernel
def _close(
    hashes: NDArray[np.uint64], mask: np.uint64, distance: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pairs with the same masked bits, which lie together, and at most `distance` others that differ."""
    room = 1024
    first, second, bits = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    count, start = 0, 0
    for place in range(len(hashes)):
        if hashes[place] & mask != hashes[start] & mask:
            start = place
        for other in range(start, place):
            differs, number = hashes[place] ^ hashes[other], 0
            while differs and number <= distance:
                differs &= differs - np.uint64(1)
                number += 1
            if number > distance:
                continue
            if count == len(first):
                first = np.concatenate((first, first))
                second = np.concatenate((second, second))
                bits = np.concatenate((bits, bits))
            first[count], second[count], bits[count] = other, place, number
            count += 1
    return first[:count], second[:count], bits[:count]
