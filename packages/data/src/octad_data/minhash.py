"""Near duplicates by MinHash and locality-sensitive hashing (Broder 1997)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octad_data.clusters import Clusters, UnionFind, clusters_of_groups
from octad_data.document import Document
from octad_data.errors import DataError
from octad_data.shingles import MULTIPLIER_2, SHIFT, Shingler, jaccard, scramble

MAX_CELLS = 1 << 17  # permutations x shingles worked on at once: 1 MB, which stays in a core's cache


@dataclass(frozen=True)
class MinHash:
    """How alike two texts must be, and how surely they are found.

    Two texts with Jaccard similarity J of their word n-grams become candidates with chance 1 - (1 - J**rows)**bands:
    with 20 x 6, J = 0.8 gives 0.998, J = 0.7 gives 0.92, J = 0.5 gives 0.27. Candidates are then compared exactly and
    merged at `threshold`, so that the curve costs only time; without `verify` every candidate is merged, and 14 x 8
    (J = 0.5: 0.053, J = 0.8: 0.92) is the usual choice.

    Attributes:
        bands: groups of hashes, >= 1.
        rows: hashes in a group, >= 1.
        ngram: words in a shingle, >= 1.
        threshold: smallest J that is a duplicate, in (0, 1].
        verify: compare candidates exactly. Holds 8 bytes a shingle, about 1.2 times the text.
        seed: of the hash functions.

    Raises:
        DataError: a field is outside its range.
    """

    bands: int = 20
    rows: int = 6
    ngram: int = 5
    threshold: float = 0.7
    verify: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("bands", "rows", "ngram"):
            value = getattr(self, name)
            if value < 1:
                raise DataError(f"{name}={value} is not positive; use {name}={getattr(MinHash, name)}")
        if not 0 < self.threshold <= 1:
            raise DataError(f"threshold={self.threshold} is not in (0, 1]; use 0.7 for near duplicates")

    @property
    def num_hashes(self) -> int:
        """Length of a signature: bands * rows."""
        return self.bands * self.rows

    def candidate_chance(self, similarity: float) -> float:
        """1 - (1 - J**rows)**bands: the chance that a pair of this similarity is compared at all."""
        return 1 - (1 - similarity**self.rows) ** self.bands


class Sketcher:
    """Sets of shingles to MinHash signatures.

    Hash i of x is mix(x ^ key_i) with the finaliser of MurmurHash3, a bijection that keeps no order, so that the
    minimum of hash i is as likely to fall on any member and says nothing about the minimum of hash j. Then
    P(signatures agree at i) = J.

    Args:
        num_hashes: length of a signature.
        seed: of the keys.
    """

    def __init__(self, num_hashes: int, seed: int = 0) -> None:
        self._keys = np.random.default_rng(seed).integers(0, 2**64, size=(num_hashes, 1), dtype=np.uint64)

    def __call__(self, shingles: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Minimum of each hash over the shingles, shape (num_hashes,); all ones for an empty set."""
        signature = np.full(len(self._keys), np.iinfo(np.uint64).max, dtype=np.uint64)
        step = max(MAX_CELLS // len(self._keys), 1)
        for start in range(0, len(shingles), step):
            # Shingles are mixed already: one xor-shift and one more product than a plain product would need.
            hashes = shingles[start : start + step] ^ self._keys
            hashes *= MULTIPLIER_2
            hashes ^= hashes >> SHIFT
            hashes *= MULTIPLIER_2
            np.minimum(signature, hashes.min(axis=1), out=signature)
        return signature


def near_duplicates(documents: Iterable[Document], config: MinHash | None = None) -> Clusters:
    """Clusters of documents that are alike: connected components of the pairs with J >= threshold that were found.

    Documents without any word are alike to none. The result depends on the documents and the seed only, not on their
    order.

    Args:
        documents: read once; texts are not held.
        config: the defaults find pairs with J >= 0.7.

    Raises:
        DataError: two documents share an id.
    Cost: about 0.4 ms for a document of 2 kB.
    """
    config = config or MinHash()
    shingler, sketcher = Shingler(config.ngram, config.seed), Sketcher(config.num_hashes, config.seed)
    ids, lengths, sets, bands = list[str](), list[int](), list[NDArray[np.uint64]](), list[NDArray[np.uint64]]()
    for document in documents:
        shingles = shingler(document.text)
        ids.append(document.id)
        lengths.append(len(document.text))
        sets.append(shingles if config.verify else shingles[:1])  # without verify, only whether it is empty
        bands.append(band_keys(sketcher(shingles), config.bands))
    groups = UnionFind(len(ids))
    if ids:
        _merge(np.stack(bands), sets, config, groups)
    return clusters_of_groups(ids, lengths, groups)


def band_keys(signature: NDArray[np.uint64], bands: int) -> NDArray[np.uint64]:
    """One 64-bit key for each band of a signature; equal when all rows of the band are. Shape (bands,)."""
    keys = np.zeros(bands, dtype=np.uint64)
    for row in signature.reshape(bands, -1).T:
        keys = scramble(keys ^ row)
    return keys


def _merge(bands: NDArray[np.uint64], sets: list[NDArray[np.uint64]], config: MinHash, groups: UnionFind) -> None:
    compared: set[tuple[int, int]] = set()
    for band in range(config.bands):
        for bucket in _buckets(bands[:, band]):
            members = [position for position in bucket.tolist() if len(sets[position])]
            for index, later in enumerate(members):
                for earlier in members[:index]:
                    if groups.find(earlier) == groups.find(later):
                        continue  # joined already, through these or through others
                    pair = (earlier, later)
                    if config.verify and (pair in compared or jaccard(sets[earlier], sets[later]) < config.threshold):
                        compared.add(pair)
                        continue
                    groups.union(earlier, later)


def _buckets(keys: NDArray[np.uint64]) -> Iterator[NDArray[np.intp]]:
    """Positions that share a key, ascending, for each key that occurs twice or more."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]]))
    ends = np.append(starts[1:], len(order))
    for run in np.flatnonzero(ends - starts > 1):
        yield order[starts[run] : ends[run]]
