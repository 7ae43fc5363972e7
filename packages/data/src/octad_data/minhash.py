"""Near duplicates by MinHash and locality-sensitive hashing (Broder 1997)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from octad_data.clusters import Clusters, UnionFind, clusters_of_groups, join_two, root_of
from octad_data.document import Document
from octad_data.errors import DataError
from octad_data.kernel import allocating_kernel, kernel
from octad_data.shingles import Shingler, ShingleSets, shared_of_sorted

BLOCK = 1000  # documents sketched at once
MULTIPLIER_A = np.uint32(0x85EBCA6B)  # MurmurHash3's 32-bit finaliser (Appleby 2011)
MULTIPLIER_B = np.uint32(0xC2B2AE35)
ALL_PAIRS = 64  # a larger bucket is compared with its leaders only, of which there are as many at most


@dataclass(frozen=True)
class MinHash:
    """How alike two texts must be, and how surely they are found.

    Two texts with Jaccard similarity J of their word n-grams become candidates with chance 1 - (1 - J**rows)**bands:
    with 24 x 6, J = 0.8 gives 0.9993, J = 0.7 gives 0.95, J = 0.5 gives 0.31. Candidates are then compared exactly and
    merged at `threshold`, so that the curve costs only time; without `verify` every candidate is merged, and 14 x 8
    (J = 0.5: 0.053, J = 0.8: 0.92) is the usual choice.

    Attributes:
        bands: groups of hashes, >= 1.
        rows: hashes in a group, >= 1.
        ngram: words in a shingle, >= 1.
        threshold: smallest J that is a duplicate, in (0, 1]. The usual 0.8, less a hundredth: cutting words otherwise
            moves J by about so much.
        verify: compare candidates exactly. Holds 8 bytes a shingle, about 1.2 times the text.
        seed: of the hash functions.

    Raises:
        DataError: a field is outside its range.
    """

    bands: int = 24
    rows: int = 6
    ngram: int = 5
    threshold: float = 0.79
    verify: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("bands", "rows", "ngram"):
            value = getattr(self, name)
            if value < 1:
                raise DataError(f"{name}={value} is not positive; use {name}={getattr(MinHash, name)}")
        if not 0 < self.threshold <= 1:
            raise DataError(f"threshold={self.threshold} is not in (0, 1]; use 0.8 for near duplicates")

    @property
    def num_hashes(self) -> int:
        """Length of a signature: bands * rows."""
        return self.bands * self.rows

    def candidate_chance(self, similarity: float) -> float:
        """1 - (1 - J**rows)**bands: the chance that a pair of this similarity is compared at all."""
        return 1 - (1 - similarity**self.rows) ** self.bands


class Sketcher:
    """Sets of shingles to MinHash signatures.

    Hash i of x is mix(x ^ key_i), where mix is the finaliser of MurmurHash3, a bijection of 32 bits that keeps no
    order: the minimum of hash i is as likely to fall on any member and says nothing about the minimum of hash j. Then
    P(signatures agree at i) = J. (A hash that keeps order in its input, a plain product say, merges 40 % of the pairs
    that it must not.)

    Args:
        num_hashes: length of a signature.
        seed: of the keys.
    """

    def __init__(self, num_hashes: int, seed: int = 0) -> None:
        self._keys = np.random.default_rng(seed).integers(0, 2**32, size=num_hashes, dtype=np.uint32)

    def __call__(self, shingles: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """Minimum of each hash over the shingles, shape (num_hashes,); all ones for an empty set."""
        signatures = self.signatures(ShingleSets(shingles, np.array([0, len(shingles)], dtype=np.int64)))
        return signatures.reshape(-1)

    def signatures(self, sets: ShingleSets) -> NDArray[np.uint32]:
        """A signature for each set, shape (sets, num_hashes).

        Cost: one nanosecond for 14 hashes of a shingle, with AVX-512.
        """
        found = np.full((len(sets), len(self._keys)), np.iinfo(np.uint32).max, dtype=np.uint32)
        _sketch(sets.shingles, sets.offsets, self._keys, found)
        return found


@kernel
def _sketch(
    shingles: NDArray[np.uint64], offsets: NDArray[np.int64], keys: NDArray[np.uint32], found: NDArray[np.uint32]
) -> None:
    for number in range(len(offsets) - 1):
        signature = found[number]
        for place in range(offsets[number], offsets[number + 1]):
            shingle = np.uint32(shingles[place] & np.uint64(0xFFFFFFFF))
            for index in range(len(keys)):  # one instruction for 8 or 16 of them
                value = shingle ^ keys[index]
                value = np.uint32((value ^ (value >> np.uint32(16))) * MULTIPLIER_A)
                value = np.uint32((value ^ (value >> np.uint32(13))) * MULTIPLIER_B)
                value = np.uint32(value ^ (value >> np.uint32(16)))
                signature[index] = min(signature[index], value)


@kernel
def _band_keys(signatures: NDArray[np.uint32], rows: int, keys: NDArray[np.uint64]) -> None:
    """Fill keys, (documents, bands), with a 64-bit hash of each band's rows."""
    for number in range(len(signatures)):
        for band in range(keys.shape[1]):
            value = np.uint64(band)
            for row in range(rows):
                value = (value ^ np.uint64(signatures[number, band * rows + row])) * np.uint64(0xFF51AFD7ED558CCD)
                value ^= value >> np.uint64(32)
            keys[number, band] = value


def band_keys(signatures: NDArray[np.uint32], bands: int) -> NDArray[np.uint64]:
    """One 64-bit key for each band of each signature; equal when all rows of the band are. Shape (sets, bands)."""
    keys = np.empty((len(signatures), bands), dtype=np.uint64)
    _band_keys(signatures, signatures.shape[1] // bands, keys)
    return keys


def near_duplicates(documents: Iterable[Document], config: MinHash | None = None) -> Clusters:
    """Clusters of documents that are alike: connected components of the pairs with J >= threshold that were found.

    Documents without any word are alike to none. The result depends on the documents and the seed only, not on their
    order.

    Args:
        documents: read once; texts are not held.
        config: the defaults find pairs with J >= 0.8.

    Raises:
        DataError: two documents share an id.
    Cost: about 0.06 ms for a document of 2 kB.
    """
    config = config or MinHash()
    shingler, sketcher = Shingler(config.ngram, config.seed), Sketcher(config.num_hashes, config.seed)
    ids, lengths, blocks, bands = list[str](), list[int](), list[ShingleSets](), list[NDArray[np.uint64]]()
    for block in _blocks(documents):
        sets = shingler.sets(document.text for document in block)
        ids += [document.id for document in block]
        lengths += [len(document.text) for document in block]
        bands.append(band_keys(sketcher.signatures(sets), config.bands))
        blocks.append(sets if config.verify else ShingleSets(np.empty(0, dtype=np.uint64), sets.offsets))
    if not ids:
        return clusters_of_groups(ids, lengths, UnionFind(0))
    sizes = np.concatenate([np.diff(block.offsets) for block in blocks])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    shingles = np.concatenate([block.shingles for block in blocks])
    rank = np.empty(len(ids), dtype=np.int64)
    rank[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    parents = merge(np.concatenate(bands), ShingleSets(shingles, offsets), rank, config)
    return clusters_of_groups(ids, lengths, UnionFind.from_parents(parents.tolist()))


def merge(bands: NDArray[np.uint64], sets: ShingleSets, rank: NDArray[np.int64], config: MinHash) -> NDArray[np.int64]:
    """Union-find parents over the documents: pairs that share a band's key and are alike are joined.

    In a bucket of more than 64 documents each is compared with leaders only: with those before it, in the order of
    rank, that were alike to no leader.

    Args:
        bands: keys, shape (documents, bands).
        sets: shingles of each document; sorted here, in place. Only the sizes are looked at without `verify`.
        rank: of each document, an order that does not depend on how they were given.
        config: what is alike.
    """
    parents = np.arange(len(bands))
    lengths = np.diff(sets.offsets)
    sorted_lengths = np.full(len(bands), -1, dtype=np.int64)
    for band in range(bands.shape[1]):
        keys = bands[:, band]
        order = np.lexsort((rank, keys))
        order = order[lengths[order] > 0]
        _merge_band(keys, order, parents, sets.shingles, sets.offsets, sorted_lengths, config.threshold, config.verify)
    return parents


@allocating_kernel
def _merge_band(
    keys: NDArray[np.uint64],
    order: NDArray[np.int64],
    parents: NDArray[np.int64],
    shingles: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.int64],
    threshold: float,
    verify: bool,
) -> None:
    leaders = np.empty(ALL_PAIRS, dtype=np.int64)
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and keys[order[stop]] == keys[order[start]]:
            stop += 1
        num_leaders = 0
        for place in range(start, stop):
            if stop - start == 1:
                break
            document, is_alike = order[place], False
            for index in range(num_leaders):
                leader = leaders[index]
                if root_of(parents, document) == root_of(parents, leader):
                    is_alike = True
                elif not verify or _alike(document, leader, shingles, offsets, lengths, threshold):
                    join_two(parents, document, leader)
                    is_alike = True
            if num_leaders < ALL_PAIRS and (stop - start <= ALL_PAIRS or not is_alike):
                leaders[num_leaders] = document
                num_leaders += 1
        start = stop


@allocating_kernel
def _alike(
    first: int,
    second: int,
    shingles: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.int64],
    threshold: float,
) -> bool:
    """Whether |A & B| >= threshold * |A | B|; the sets are sorted and made unique when they are first looked at."""
    for document in (first, second):
        if lengths[document] < 0:
            lengths[document] = _sort_unique(shingles[offsets[document] : offsets[document + 1]])
    a = shingles[offsets[first] : offsets[first] + lengths[first]]
    b = shingles[offsets[second] : offsets[second] + lengths[second]]
    if min(len(a), len(b)) < threshold * max(len(a), len(b)):
        return False
    shared = shared_of_sorted(a, b)
    return shared >= threshold * (len(a) + len(b) - shared)


@allocating_kernel
def _sort_unique(values: NDArray[np.uint64]) -> int:
    """Sort in place, put each value once at the front; how many there are."""
    values.sort()
    count = min(len(values), 1)
    for place in range(1, len(values)):
        if values[place] != values[place - 1]:
            values[count] = values[place]
            count += 1
    return count


def _blocks(documents: Iterable[Document]) -> Iterator[list[Document]]:
    remaining = iter(documents)
    while block := list(islice(remaining, BLOCK)):
        yield block
