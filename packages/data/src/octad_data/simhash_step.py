"""Duplicates by SimHash in a recipe: documents of which the 64 bits differ in few places."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from octad_data.clusters import join, roots
from octad_data.decisions import best_of, write_decisions
from octad_data.errors import DataError
from octad_data.parts import read_kept
from octad_data.simhash import SimHash, simhash_pairs
from octad_data.step import Resources, Step, with_column
from octad_data.survivors import rank_of_rows

if TYPE_CHECKING:
    import pyarrow as pa

RULE = "simhash_duplicates"
CLUSTER = "simhash_cluster"  # the number of the cluster's first document, counted over the whole corpus


@dataclass(frozen=True)
class SimHashDuplicates:
    """Of each cluster of documents whose SimHashes differ in at most `distance` bits one stays.

    Clusters are the connected components of such pairs, none of which is missed (`simhash_pairs`). 8 bytes a document
    are cheaper than the keys of `NearDuplicates`, but a few bits say less than an exact J: short texts are mixed up.

    Attributes:
        distance: bits that may differ, in [0, 16].
        ngram: words in a shingle; see `SimHash`.
        seed: of the hashes.
        keep: columns by which the survivor is chosen, as in `NearDuplicates`.
    """

    distance: int = 3
    ngram: int = 3
    seed: int = 0
    keep: tuple[str, ...] = ("-length",)

    def __post_init__(self) -> None:
        SimHash(self.ngram, self.seed)
        if not 0 <= self.distance <= 16:
            raise DataError(f"distance={self.distance} is not in [0, 16]; 3 of 64 bits is usual")

    def signature(self) -> Step:
        """Adds `simhash` and `length`."""
        return _SimHashAndLength(self.ngram, self.seed)

    def decide(self, parts: Sequence[Path], into: Path, resources: Resources) -> None:
        """Find the pairs and their components; the number of a dropped row is its distance to the one that stays.

        Memory: about 80 bytes a document, and 24 a pair.
        """
        columns = [read_kept(part, ["simhash"]).column("simhash") for part in parts]
        counts = [len(column) for column in columns]
        total = sum(counts)
        known = np.concatenate([np.zeros(0, bool), *(column.is_valid().to_numpy() for column in columns)])
        filled = [column.fill_null(0).to_numpy().astype(np.uint64) for column in columns]
        hashes = np.concatenate([np.zeros(0, np.uint64), *filled])
        places = np.flatnonzero(known)
        first, second, _ = simhash_pairs(hashes[places], self.distance)
        parents = np.arange(total)
        join(parents, places[first], places[second])
        clusters = roots(parents, np.arange(total))
        survivor = best_of(clusters, rank_of_rows(parts, counts, self.keep))[clusters]
        differing = np.unpackbits((hashes ^ hashes[survivor])[:, None].view(np.uint8), axis=1).sum(1)
        write_decisions(parts, counts, survivor != np.arange(total), RULE, differing * 1.0, into, {CLUSTER: clusters})


@dataclass(frozen=True)
class _SimHashAndLength:
    ngram: int
    seed: int

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with both columns."""
        import pyarrow.compute as pc

        batch = SimHash(self.ngram, self.seed)(batch)
        return with_column(batch, "length", pc.binary_length(batch.column("text")))
