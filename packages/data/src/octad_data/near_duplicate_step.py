"""Near duplicates of a whole corpus in a recipe: signatures batch by batch, then one pass over sorted keys on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octad_data.clusters import join, roots
from octad_data.decisions import best_of, write_decisions
from octad_data.errors import DataError
from octad_data.kernel import kernel
from octad_data.minhash import MinHash, Sketcher, band_keys
from octad_data.parts import read_kept
from octad_data.shingles import Shingler, shared_of_sorted
from octad_data.step import Resources, Step, with_column
from octad_data.survivors import rank_of_rows

if TYPE_CHECKING:
    import pyarrow as pa

RULE = "near_duplicates"
BANDS = "minhash_bands"  # the column of keys; null in a document without words
CLUSTER = "near_duplicate_cluster"  # the number of the cluster's first document, counted over the whole corpus
ALL_PAIRS = 16  # members of a bucket up to which every pair is compared; in larger ones two a member
CHUNK = 20_000  # pairs compared at once: at most 160 MB of pages of the file of shingles


@dataclass(frozen=True)
class NearDuplicates:
    """Of each cluster of documents that are alike (MinHash, then exact Jaccard) one stays.

    Two documents are joined where they share the key of a band and J >= threshold of their sets of shingles; clusters
    are the connected components. In a bucket of more than 16 documents each is compared with the first and with the
    one before it, not with all: other bands join what this one misses.

    Attributes:
        threshold: smallest J that is a duplicate; see `MinHash`, also for bands, rows, ngram and seed.
        keep: columns by which a cluster's survivor is chosen, the first that differs decides; `-` takes the largest.
            `length` is that of the text in bytes; the order of the sources has the last word.
    """

    threshold: float = MinHash.threshold
    bands: int = MinHash.bands
    rows: int = MinHash.rows
    ngram: int = MinHash.ngram
    seed: int = 0
    keep: tuple[str, ...] = ("-length",)

    def __post_init__(self) -> None:
        self.config  # noqa: B018 - checks the fields

    @property
    def config(self) -> MinHash:
        """The fields that the in-memory `near_duplicates` knows."""
        return MinHash(self.bands, self.rows, self.ngram, self.threshold, True, self.seed)

    def signature(self) -> Step:
        """Adds the keys of the bands."""
        return MinHashBands(self.bands, self.rows, self.ngram, self.seed)

    def decide(self, parts: Sequence[Path], into: Path, resources: Resources) -> None:
        """Find the clusters and write who stays.

        Memory: about 60 bytes a document. Disk: 8 bytes a band and document, and 8 bytes a shingle of the documents
        that share a key with another.
        """
        counts = _spool_bands(parts, resources.scratch, self.bands)
        total = sum(counts)
        parents = np.arange(total)
        candidates = _candidates(resources.scratch, self.bands, total)
        sets = _SpooledSets.write(parts, counts, candidates, Shingler(self.ngram, self.seed), resources.scratch)
        for band in range(self.bands):
            first, second = _pairs(_keys(resources.scratch, band))
            is_new = roots(parents, first) != roots(parents, second)
            first, second = first[is_new], second[is_new]
            alike = sets.similarities(first, second) >= self.threshold
            join(parents, first[alike], second[alike])
        clusters = roots(parents, np.arange(total))
        survivor = best_of(clusters, rank_of_rows(parts, counts, self.keep))[clusters]
        goes = survivor != np.arange(total)
        similarity = np.full(total, np.nan)
        similarity[goes] = sets.similarities(np.flatnonzero(goes), survivor[goes])
        write_decisions(parts, counts, goes, RULE, similarity, into, {CLUSTER: clusters})


@dataclass(frozen=True)
class MinHashBands:
    """Adds `minhash_bands`, the keys of the MinHash bands of each text, and `length`, its bytes."""

    bands: int
    rows: int
    ngram: int
    seed: int

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with both columns."""
        import pyarrow as pa
        import pyarrow.compute as pc

        shingler, sketcher = Shingler(self.ngram, self.seed), Sketcher(self.bands * self.rows, self.seed)
        sets = shingler.sets(batch.column("text").to_pylist())
        keys = band_keys(sketcher.signatures(sets), self.bands)
        column = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(8 * self.bands), len(keys), [None, pa.py_buffer(keys.tobytes())]
        )
        has_words = pa.array(np.diff(sets.offsets) > 0)
        batch = with_column(batch, BANDS, pc.if_else(has_words, column, pa.scalar(None, column.type)))
        return with_column(batch, "length", pc.binary_length(batch.column("text")))


def _spool_bands(parts: Sequence[Path], scratch: Path, bands: int) -> list[int]:
    """Write the keys of each band to a file of its own, in the order of the documents; documents a part.

    A document without words gets a key that no other has.
    """
    counts, total = list[int](), 0
    files = [(scratch / f"band-{band:03d}.keys").open("wb", buffering=1 << 16) for band in range(bands)]
    try:
        for part in parts:
            column = read_kept(part, [BANDS]).column(BANDS).combine_chunks()
            keys = np.frombuffer(
                b"".join(value if value is not None else b"\0" * 8 * bands for value in column.to_pylist()), np.uint64
            ).reshape(-1, bands)
            missing = np.asarray(column.is_null())
            alone = np.arange(total, total + len(keys), dtype=np.uint64)
            for band, file in enumerate(files):
                file.write(np.where(missing, alone, keys[:, band]).tobytes())
            counts.append(len(keys))
            total += len(keys)
    except OSError as error:
        raise DataError(
            f"cannot write: {scratch}: {error.strerror}; the keys need {8 * bands} bytes a document"
        ) from error
    finally:
        for file in files:
            file.close()
    return counts


def _keys(scratch: Path, band: int) -> NDArray[np.uint64]:
    return np.fromfile(scratch / f"band-{band:03d}.keys", dtype=np.uint64)


def _candidates(scratch: Path, bands: int, total: int) -> NDArray[np.bool_]:
    """Which documents share a key with another."""
    found = np.zeros(total, dtype=np.bool_)
    for band in range(bands):
        keys = _keys(scratch, band)
        order = np.argsort(keys, kind="stable")
        is_repeat = keys[order[1:]] == keys[order[:-1]]
        found[order[1:][is_repeat]] = True
        found[order[:-1][is_repeat]] = True
    return found


def _pairs(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Documents that share a key: all pairs of a small bucket; in others each with the first and the one before."""
    order = np.argsort(keys, kind="stable")
    is_first = np.append(True, keys[order[1:]] != keys[order[:-1]]) if len(keys) else np.zeros(0, dtype=np.bool_)
    starts = np.flatnonzero(is_first)
    sizes = np.diff(np.append(starts, len(keys)))
    starts, sizes = starts[sizes > 1], sizes[sizes > 1]
    small = np.minimum(sizes, ALL_PAIRS)
    room = int(np.where(sizes <= ALL_PAIRS, small * (small - 1) // 2, 2 * sizes - 3).sum())
    first, second = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    _fill_pairs(order, starts, sizes, first, second)
    return first, second


@kernel
def _fill_pairs(
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> None:
    place = 0
    for bucket in range(len(starts)):
        start, size = starts[bucket], sizes[bucket]
        for later in range(1, size):
            for earlier in range(later):
                if size <= ALL_PAIRS or earlier == 0 or earlier == later - 1:
                    first[place], second[place] = order[start + earlier], order[start + later]
                    place += 1


@dataclass(frozen=True)
class _SpooledSets:
    """Sets of shingles of some documents, sorted and without repeats, in a file.

    Attributes:
        file: uint64, end to end.
        places: of each document's set in `offsets`, -1 where it has none.
        offsets: where each set begins, and the end of the last.
    """

    file: Path
    places: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @classmethod
    def write(
        cls, parts: Sequence[Path], counts: list[int], wanted: NDArray[np.bool_], shingler: Shingler, scratch: Path
    ) -> "_SpooledSets":
        """Read the texts again and put down the sets of those wanted."""
        places = np.where(wanted, np.cumsum(wanted) - 1, -1).astype(np.int32)
        file, sizes, start = scratch / "shingles", list[int](), 0
        try:
            with file.open("wb") as stream:
                for part, count in zip(parts, counts, strict=True):
                    mine = wanted[start : start + count]
                    start += count
                    if mine.any():
                        texts = read_kept(part, ["text"]).column("text").filter(_mask(mine)).to_pylist()
                        sets = shingler.sets(texts)
                        for index in range(len(sets)):
                            members = np.unique(sets[index])
                            sizes.append(len(members))
                            stream.write(members.tobytes())
        except OSError as error:
            raise DataError(f"cannot write: {file}: {error.strerror}; it needs 8 bytes a shingle") from error
        return cls(file, places, np.concatenate([[0], np.cumsum(np.array(sizes, dtype=np.int64))]))

    def similarities(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        """J of each pair."""
        found = np.empty(len(first), dtype=np.float64)
        for start in range(0, len(first), CHUNK):
            # The map is closed after each chunk, so that its pages do not count as this process's memory.
            shingles = np.memmap(self.file, dtype=np.uint64, mode="r") if self.offsets[-1] else np.empty(0, np.uint64)
            chunk = slice(start, start + CHUNK)
            _similarities(self.places[first[chunk]], self.places[second[chunk]], shingles, self.offsets, found[chunk])
            del shingles
        return found


@kernel
def _similarities(
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    shingles: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    found: NDArray[np.float64],
) -> None:
    for pair in range(len(first)):
        a = shingles[offsets[first[pair]] : offsets[first[pair] + 1]]
        b = shingles[offsets[second[pair]] : offsets[second[pair] + 1]]
        shared = shared_of_sorted(a, b)
        found[pair] = shared / (len(a) + len(b) - shared)


def _mask(rows: NDArray[np.bool_]) -> Any:
    import pyarrow as pa

    return pa.array(rows)
