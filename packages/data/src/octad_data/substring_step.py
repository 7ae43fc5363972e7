"""Exact substrings of a whole corpus in a recipe: what occurred before, in any document, is cut out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from octad_data.errors import DataError
from octad_data.parts import read_kept, write_table
from octad_data.step import DROPPED_BY, DROPPED_VALUE, Resources, Step, Unchanged
from octad_data.substrings import MIN_BYTES, Spans, cut, duplicate_substrings_of_shards
from octad_data.texts import Texts

if TYPE_CHECKING:
    import pyarrow as pa

RULE = "duplicates.substrings"
SPANS = "repeated_spans"  # start and end in turn, of bytes of the text
LEAST_MEMORY = 64_000_000


@dataclass(frozen=True)
class DuplicateSubstrings:
    """Cuts out of each text the substrings of `min_bytes` or more that occurred before in the corpus.

    A document of which nothing but white space is left is dropped by the rule `duplicates.substrings`, with the share
    of its bytes that were repeated.

    Attributes:
        min_bytes: the shortest repeat, >= 1.

    Source: Lee et al. 2021 (arXiv 2107.06499), without a suffix array of everything: see
    `duplicate_substrings_of_shards`.
    """

    min_bytes: int = MIN_BYTES

    def __post_init__(self) -> None:
        if self.min_bytes < 1:
            raise DataError(f"min_bytes={self.min_bytes} is not positive; use {MIN_BYTES}")

    def signature(self) -> Step:
        """Adds nothing."""
        return Unchanged()

    def decide(self, parts: Sequence[Path], into: Path, resources: Resources) -> None:
        """Find the spans part by part; half of the memory holds hashes, a byte of disk stands for each of text."""
        import pyarrow as pa

        def shards() -> Iterator[Texts]:
            return (Texts.from_arrow(read_kept(part, ["text"]).column("text").combine_chunks()) for part in parts)

        memory = max(resources.memory_mb * 500_000, LEAST_MEMORY)
        found = duplicate_substrings_of_shards(shards, self.min_bytes, memory, resources.scratch / "substrings")
        for part, spans in zip(parts, found, strict=True):
            bounds = np.stack((spans.starts, spans.ends), 1).ravel()
            nothing = [None] * len(spans)
            columns: dict[str, Any] = {
                SPANS: pa.ListArray.from_arrays(pa.array(2 * spans.offsets, pa.int32()), pa.array(bounds, pa.int64())),
                DROPPED_BY: pa.array(nothing, pa.string()),
                DROPPED_VALUE: pa.array(nothing, pa.float64()),
            }
            write_table(into / part.name, pa.table(columns))

    def ending(self) -> Step:
        """Cuts the spans out, in the batches after."""
        return _CutSpans()


@dataclass(frozen=True)
class _CutSpans:
    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch without the spans, with `repeated_bytes`."""
        column: Any = batch.column(SPANS)
        bounds = column.flatten().to_numpy().reshape(-1, 2)
        sizes = column.value_lengths().fill_null(0).to_numpy() // 2
        offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        spans = Spans(np.ascontiguousarray(bounds[:, 0]), np.ascontiguousarray(bounds[:, 1]), offsets)
        batch = cut(batch, Texts.from_arrow(batch.column("text")), spans, RULE)
        return batch.select([name for name in batch.schema.names if name != SPANS])
