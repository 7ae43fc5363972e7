"""Parts: what became of one batch, kept rows and dropped ones, in one Parquet file that is whole or not there."""

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octad_data.errors import DataError
from octad_data.step import DROPPED_BY

if TYPE_CHECKING:
    import pyarrow as pa

COUNTS = b"octad_data"  # the key of a part's counts in the file's own metadata


@dataclass
class Counts:
    """Documents and bytes of text that stayed, and that each rule dropped.

    Attributes:
        documents: kept.
        bytes: of their text in UTF-8.
        dropped: rule -> [documents, bytes].
    """

    documents: int = 0
    bytes: int = 0
    dropped: dict[str, list[int]] = field(default_factory=dict)

    def add(self, other: "Counts") -> None:
        """Count what the other counted too."""
        self.documents += other.documents
        self.bytes += other.bytes
        for rule, (documents, size) in other.dropped.items():
            mine = self.dropped.setdefault(rule, [0, 0])
            mine[0] += documents
            mine[1] += size

    def to_json(self) -> str:
        """The fields, rules sorted."""
        return json.dumps({"documents": self.documents, "bytes": self.bytes, "dropped": self.dropped}, sort_keys=True)


def write_part(path: Path, kept: "pa.RecordBatch", dropped: "Sequence[pa.RecordBatch]") -> Counts:
    """Write a batch's rows, kept ones first; aside, flushed to the disk, then renamed.

    Columns that only kept rows have are null in dropped ones.

    Raises:
        DataError: `disk full: ...` or another error of the file system.
    """
    import pyarrow as pa

    counts = _counted(kept, dropped)
    table = pa.concat_tables([pa.Table.from_batches([batch]) for batch in (kept, *dropped)], promote_options="default")
    table = table.replace_schema_metadata({COUNTS: counts.to_json()})
    write_table(path, table)
    return counts


def write_table(path: Path, table: "pa.Table") -> None:
    """A Parquet file, written aside, flushed to the disk and renamed.

    Raises:
        DataError: the file system refused.
    """
    import pyarrow.parquet as pq

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(handle)
    try:
        pq.write_table(
            table, name, compression="zstd", write_statistics=["id"] if "id" in table.column_names else False
        )
        with Path(name).open("rb") as file:
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise DataError(f"cannot write: {path}: {error.strerror or error}; what was written before is whole") from error
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def read_counts(path: Path) -> Counts:
    """The counts of a part, without its rows.

    Raises:
        DataError: the file is no part.
    """
    import pyarrow.parquet as pq

    try:
        return Counts(**json.loads(pq.read_schema(path).metadata[COUNTS]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"damaged part: {path}: {error}; delete it and run again") from error


def read_kept(path: Path, columns: Sequence[str] | None = None) -> "pa.Table":
    """The rows of a part that stayed.

    Raises:
        DataError: the file is no part.
    """
    import pyarrow.parquet as pq

    kept = read_counts(path).documents
    return pq.read_table(path, columns=None if columns is None else list(columns)).slice(0, kept)


def read_dropped(path: Path, columns: Sequence[str] | None = None) -> "pa.Table":
    """The rows of a part that were dropped.

    Raises:
        DataError: the file is no part.
    """
    import pyarrow.parquet as pq

    kept = read_counts(path).documents
    return pq.read_table(path, columns=None if columns is None else list(columns)).slice(kept)


def _counted(kept: "pa.RecordBatch", dropped: "Sequence[pa.RecordBatch]") -> Counts:
    counts = Counts(kept.num_rows, _size(kept))
    for batch in dropped:
        sizes = _sizes(batch)
        for rule, size in zip(batch.column(DROPPED_BY).to_pylist(), sizes, strict=True):
            mine = counts.dropped.setdefault(rule, [0, 0])
            mine[0] += 1
            mine[1] += size
    return counts


def _sizes(batch: "pa.RecordBatch") -> list[int]:
    import pyarrow.compute as pc

    sizes: list[int] = pc.binary_length(batch.column("text")).to_pylist()
    return sizes


def _size(batch: "pa.RecordBatch") -> int:
    import pyarrow.compute as pc

    total: Any = pc.sum(pc.binary_length(batch.column("text"))).as_py()
    return int(total or 0)
