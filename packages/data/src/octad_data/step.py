"""A recipe is a list of steps; a step is a pure function from record batch to record batch.

A batch has a row for each document, with at least the columns of `SCHEMA`. A step may change `text`, add columns, and
mark rows as dropped by naming the rule and the number that broke it. It keeps every row and their order, reads nothing
but the batch and its own fields, and so gives the same rows on a laptop and on a cluster.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from octad_data.document import Document
from octad_data.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

DROPPED_BY = "dropped_by"  # the rule, null in a row that stays
DROPPED_VALUE = "dropped_value"  # the number that broke it, where there is one


class Step(Protocol):
    """What a recipe is made of: a frozen dataclass that can be called, pickled and written as TOML."""

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The same rows in the same order, with what the step found, changed or dropped."""
        ...


@dataclass(frozen=True)
class Unchanged:
    """A step that does nothing: the signature of a barrier that reads the texts themselves."""

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch."""
        return batch


class Barrier(Protocol):
    """A step that needs all documents before it can speak of one: duplicates, a quantile, a mixture.

    The engine runs `signature()` as the last step on every batch, then `decide` once, then marks the rows. A barrier
    may also have `ending()`, a step that is run on every batch after it with the columns that it decided.
    """

    def signature(self) -> Step:
        """What is computed of each batch alone: columns that `decide` reads."""
        ...

    def decide(self, parts: Sequence[Path], into: Path, resources: "Resources") -> None:
        """Write, for each Parquet file of kept rows, a file of the same name in `into`.

        It has the same number of rows in the same order and the columns `dropped_by` and `dropped_value`; other
        columns are added to the documents. What is written depends on the parts alone.
        """
        ...


@dataclass(frozen=True)
class Resources:
    """What a barrier may use.

    Attributes:
        memory_mb: at most so much; beyond it things go to disk.
        threads: cores.
        scratch: a folder for temporary files, emptied afterwards.
    """

    memory_mb: int
    threads: int
    scratch: Path


def schema() -> "pa.Schema":
    """The columns that every batch has: those of `Document`, and why a row was dropped."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("text", pa.large_string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("metadata", pa.map_(pa.string(), pa.string())),
            pa.field(DROPPED_BY, pa.string()),
            pa.field(DROPPED_VALUE, pa.float64()),
        ]
    )


def to_batch(documents: Iterable[Document]) -> "pa.RecordBatch":
    """A batch of documents, none of them dropped."""
    import pyarrow as pa

    rows = list(documents)
    nothing = [None] * len(rows)
    columns: list[list[Any]] = [
        [row.id for row in rows],
        [row.text for row in rows],
        [row.source for row in rows],
        [row.kind for row in rows],
        [sorted(row.metadata.items()) for row in rows],
        nothing,
        nothing,
    ]
    fields = schema()
    return pa.record_batch([pa.array(c, field.type) for c, field in zip(columns, fields, strict=True)], schema=fields)


def to_documents(batch: "pa.RecordBatch") -> list[Document]:
    """The rows of a batch, dropped ones too, without the columns that steps added."""
    names = ("text", "id", "source", "kind")
    values = zip(*(batch.column(name).to_pylist() for name in names), batch.column("metadata").to_pylist(), strict=True)
    return [Document(text, name, source, kind, dict(metadata or ())) for text, name, source, kind, metadata in values]


def with_column(batch: "pa.RecordBatch", name: str, values: "pa.Array[Any]") -> "pa.RecordBatch":
    """The batch with a column added, or put in the place of the one of that name."""
    place = batch.schema.get_field_index(name)
    if place < 0:
        return batch.append_column(name, values)
    return batch.set_column(place, batch.schema.field(place).with_type(values.type), values)


def drop(
    batch: "pa.RecordBatch", rows: NDArray[np.bool_], rule: str, values: NDArray[np.floating[Any]] | None = None
) -> "pa.RecordBatch":
    """The batch with some rows marked as dropped by a rule; rows that were dropped before keep their first reason.

    Args:
        batch: of any columns.
        rows: which to drop, shape (rows,).
        rule: its name, the same in every batch (`gopher.words`).
        values: the number that broke the rule, one a row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    now = pc.and_(pa.array(rows), batch.column(DROPPED_BY).is_null())
    reason = pc.if_else(now, pa.scalar(rule), batch.column(DROPPED_BY))
    batch = with_column(batch, DROPPED_BY, reason)
    if values is None:
        return batch
    number = pc.if_else(now, pa.array(values.astype(np.float64)), batch.column(DROPPED_VALUE))
    return with_column(batch, DROPPED_VALUE, number)


def apply(steps: Sequence[Step], batch: "pa.RecordBatch") -> "tuple[pa.RecordBatch, list[pa.RecordBatch]]":
    """What is kept after all steps, and what each of them dropped; a step sees only the rows that are kept so far.

    Raises:
        DataError: a step returned other rows than it was given.
    """
    dropped: list[pa.RecordBatch] = []
    batch = _without_dropped(batch, dropped)
    for step in steps:
        after = step(batch)
        if after.num_rows != batch.num_rows:
            raise DataError(
                f"step {type(step).__name__} returned {after.num_rows} rows of {batch.num_rows}; "
                "mark rows with `drop` instead"
            )
        batch = _without_dropped(after, dropped)
    return batch, dropped


def map_text(batch: "pa.RecordBatch", change: Callable[[str], str]) -> "pa.RecordBatch":
    """The batch with each text changed."""
    import pyarrow as pa

    return with_column(
        batch, "text", pa.array([change(text) for text in batch.column("text").to_pylist()], pa.large_string())
    )


def _without_dropped(batch: "pa.RecordBatch", dropped: "list[pa.RecordBatch]") -> "pa.RecordBatch":
    """The rows that stay; the others are put at the end of the list."""
    import pyarrow.compute as pc

    stays = batch.column(DROPPED_BY).is_null()
    if stays.false_count:
        dropped.append(batch.filter(pc.invert(stays)))
        batch = batch.filter(stays)
    return batch
