"""Duplicates by a Bloom filter in a recipe: one pass over the corpus in its order, in memory of a fixed size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from octad_data.bloom import BloomFilter, StreamDuplicates, seen_before
from octad_data.decisions import dropped_columns
from octad_data.errors import DataError
from octad_data.parts import read_kept, write_table
from octad_data.pieces import pieces_of
from octad_data.step import Resources, Step, Unchanged, with_column
from octad_data.texts import Texts

if TYPE_CHECKING:
    import pyarrow as pa

RULE = "duplicates.bloom"
GONE = "bloom_pieces"  # the numbers of the lines or paragraphs that go


@dataclass(frozen=True)
class BloomDuplicates:
    """`StreamDuplicates` over a whole corpus: pieces whose word n-grams were mostly seen before go.

    Attributes:
        capacity: n-grams that the filter is sized for, about a word of the corpus each; 1.8 bytes an n-gram at the
            usual rate.
        false_positive_rate: chance that a new n-gram is taken for one seen, once so many are in.
        ngram, threshold, kind: as in `StreamDuplicates`.
        known: a saved `BloomFilter` of what is to go as well, such as another corpus; its size then counts.
        learn: put what stays into the filter; False removes only what `known` holds.
        seed: of the filter's bits.
    """

    capacity: int = 100_000_000
    false_positive_rate: float = 0.001
    ngram: int = 13
    threshold: float = 0.8
    kind: str = "line"
    known: str = ""
    learn: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        self._stream(BloomFilter(64, 1))
        if self.capacity < 1 or not 0 < self.false_positive_rate < 1:
            BloomFilter.sized(self.capacity, self.false_positive_rate)  # which says what is wrong
        if not self.learn and not self.known:
            raise DataError("learn=false without a known filter removes nothing; give known='filter.npz'")

    def _stream(self, filter_: BloomFilter) -> StreamDuplicates:
        return StreamDuplicates(filter_, self.ngram, self.threshold, self.kind, self.learn)

    def signature(self) -> Step:
        """Adds nothing."""
        return Unchanged()

    def decide(self, parts: Sequence[Path], into: Path, resources: Resources) -> None:
        """Go over the texts in the order of the sources; one core.

        Raises:
            DataError: the filter is larger than the memory, or `known` is no filter.
        """
        filter_ = BloomFilter.load(self.known) if self.known else None
        size_mb = (len(filter_.words) * 8 if filter_ else _size_bytes(self.capacity, self.false_positive_rate)) >> 20
        if resources.memory_mb and size_mb > resources.memory_mb:
            raise DataError(
                f"too large: the filter takes {size_mb:,} MB, allowed are {resources.memory_mb:,}; "
                "use a smaller capacity or a higher false_positive_rate, or allow more memory"
            )
        if filter_ is None:
            filter_ = BloomFilter.sized(self.capacity, self.false_positive_rate, self.seed)
        stream = self._stream(filter_)
        for part in parts:
            self._decide_part(part, stream, into)

    def _decide_part(self, part: Path, stream: StreamDuplicates, into: Path) -> None:
        import pyarrow as pa

        texts = Texts.from_arrow(read_kept(part, ["text"]).column("text").combine_chunks())
        found = seen_before(texts, stream)
        goes = found.share >= self.threshold
        starts, gone = found.rows[:-1], np.flatnonzero(found.goes)
        row_of = np.searchsorted(found.rows, gone, side="right") - 1
        offsets = np.searchsorted(row_of, np.arange(len(starts) + 1))
        numbers = pa.ListArray.from_arrays(
            pa.array(offsets, pa.int32()), pa.array((gone - starts[row_of]).astype(np.int32))
        )
        columns: dict[str, Any] = {GONE: numbers}
        write_table(into / part.name, pa.table(columns | dropped_columns(goes, RULE, found.share)))

    def ending(self) -> Step:
        """Cuts the pieces out, in the batches after."""
        return _CutPieces(self.kind)


def _size_bytes(capacity: int, false_positive_rate: float) -> int:
    return int(-capacity * np.log(false_positive_rate) / np.log(2) ** 2) // 8


@dataclass(frozen=True)
class _CutPieces:
    kind: str

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch without the pieces that go."""
        import pyarrow as pa

        texts = Texts.from_arrow(batch.column("text"))
        pieces, rows = pieces_of(texts, self.kind)
        kept = []
        for row, gone in enumerate(batch.column(GONE).to_pylist()):
            left_out = set(gone or ())
            places = range(rows[row], rows[row + 1])
            left = [pieces[place] for number, place in enumerate(places) if number not in left_out]
            kept.append("".join(left) if left_out else texts[row])
        batch = with_column(batch, "text", pa.array(kept, pa.large_string()))
        return batch.select([name for name in batch.schema.names if name != GONE])
