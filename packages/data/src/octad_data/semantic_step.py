"""Semantic duplicates in a recipe, by embeddings that a step before has put into a column."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octad_data.decisions import write_decisions
from octad_data.errors import DataError
from octad_data.parts import read_kept
from octad_data.semantic import KEEP, semantic_duplicates
from octad_data.step import Resources, Step
from octad_data.survivors import rank_of_rows

if TYPE_CHECKING:
    import pyarrow as pa

RULE = "semantic_duplicates"
GROUP = "semantic_group"


@dataclass(frozen=True)
class SemanticDuplicates:
    """Drops documents whose embedding points where that of another points: `semantic_duplicates` of a whole corpus.

    The embeddings are the caller's: a step of one's own (`use = "module:Class"`) puts them into a column of lists.

    Attributes:
        column: of the embeddings.
        threshold: the smallest cosine of a duplicate, in (-1, 1].
        groups: of k-means, within which documents are compared; 0 takes one for each thousand.
        first: who comes first in a group, and so stays: `far` from its centre, `near` to it, or `first` by `keep`.
        keep: columns by which documents are ordered for `first`, as in `NearDuplicates`.
        seed: of the starting centroids.
    """

    column: str = "embedding"
    threshold: float = 0.95
    groups: int = 0
    first: str = "far"
    keep: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if not -1 < self.threshold <= 1:
            raise DataError(f"threshold={self.threshold} is not a cosine in (-1, 1]; use 0.95")
        if self.first not in KEEP:
            raise DataError(f"first={self.first!r} is unknown; use 'far', 'near' or 'first'")
        if self.keep and self.first != "first":
            raise DataError(f"keep={self.keep!r} with first={self.first!r}; columns order documents for first='first'")
        if self.groups < 0:
            raise DataError(f"groups={self.groups} is negative; 0 takes one for each thousand documents")

    def signature(self) -> Step:
        """Adds nothing, but says at the first batch whether the column is there."""
        return _HasColumn(self.column)

    def decide(self, parts: Sequence[Path], into: Path, resources: Resources) -> None:
        """Compare within groups; the number of a dropped row is its largest cosine with a row that stays before it.

        Memory: 8 bytes a number of the embeddings, which must fit.

        Raises:
            DataError: embeddings of different lengths, missing ones, or more of them than memory holds.
        """
        columns = [self._vectors(part) for part in parts]
        counts = [len(column) for column in columns]
        size_mb = 2 * sum(column.nbytes for column in columns) >> 20
        if resources.memory_mb and size_mb > resources.memory_mb:
            raise DataError(
                f"too large: comparing the embeddings takes {size_mb:,} MB, allowed are {resources.memory_mb:,}; "
                "use shorter embeddings, or allow more memory"
            )
        if len({column.shape[1] for column in columns if len(column)}) > 1:
            raise DataError(f"{self.column}: embeddings of different lengths; one model makes all of them")
        vectors = np.concatenate([column for column in columns if len(column)] or [np.zeros((0, 1), np.float32)])
        order = rank_of_rows(parts, counts, self.keep) if self.keep else None
        found = semantic_duplicates(vectors, self.threshold, self.groups or None, self.first, order, self.seed)
        write_decisions(parts, counts, ~found.keep, RULE, found.similarity, into, {GROUP: found.group})

    def _vectors(self, part: Path) -> NDArray[np.float32]:
        import pyarrow as pa

        column: Any = read_kept(part, [self.column]).column(self.column).combine_chunks()
        if column.null_count:
            raise DataError(f"{self.column}: {column.null_count} documents of {part.name} have no embedding")
        lengths = np.unique(column.value_lengths().to_numpy()) if len(column) else np.zeros(0, np.int64)
        if len(lengths) > 1:
            raise DataError(f"{self.column}: embeddings of lengths {lengths.tolist()}; one model makes all of them")
        flat = column.flatten().cast(pa.float32()).to_numpy(zero_copy_only=False)
        return np.asarray(flat, dtype=np.float32).reshape(len(column), -1 if len(column) else 1)


@dataclass(frozen=True)
class _HasColumn:
    column: str

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch as it is.

        Raises:
            DataError: it has no such column of lists of numbers.
        """
        import pyarrow as pa

        place = batch.schema.get_field_index(self.column)
        kind = batch.schema.field(place).type if place >= 0 else None
        is_list = kind is not None and (
            pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        )
        if not is_list or not pa.types.is_floating(kind.value_type):  # type: ignore[union-attr]  # a list
            raise DataError(
                f"semantic_duplicates: no column {self.column!r} of lists of numbers (found {kind}); a step before it "
                "must add the embeddings"
            )
        return batch
