"""Kept documents of a run as one file, written aside and renamed."""

import gzip
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octad_data.engine import Run
from octad_data.errors import DataError
from octad_data.parts import read_kept

if TYPE_CHECKING:
    import pyarrow as pa

INTERNAL = ("dropped_by", "dropped_value")


def export_documents(run: Run, to: Path) -> int:
    """Write the documents in the order of the sources; how many there were.

    Columns that steps added are kept. In JSON lines `metadata` is an object.

    Args:
        run: finished.
        to: `.jsonl`, `.jsonl.gz` or `.parquet`.

    Raises:
        DataError: another ending, or the disk refused.
    """
    writers = {".parquet": _write_parquet, ".jsonl": _write_jsonl, ".gz": _write_jsonl}
    if to.suffix not in writers:
        raise DataError(f"{to.name} is of no known kind; end it in .jsonl, .jsonl.gz or .parquet")
    aside = to.with_name(f".{to.name}-{os.getpid()}")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        writers[to.suffix](run, aside, to.suffix)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(to)
    except OSError as error:
        raise DataError(f"cannot write: {to}: {error.strerror or error}; what was there before is whole") from error
    finally:
        with suppress(FileNotFoundError):
            aside.unlink()
    return run.documents


def _tables(run: Run) -> "Iterator[pa.Table]":
    for part in run.parts:
        table = read_kept(part)
        yield table.drop_columns([name for name in INTERNAL if name in table.column_names])


def _write_parquet(run: Run, aside: Path, suffix: str) -> None:
    import pyarrow.parquet as pq

    writer: Any = None
    for table in _tables(run):
        writer = writer or pq.ParquetWriter(aside, table.schema.remove_metadata(), compression="zstd")
        writer.write_table(table.replace_schema_metadata(None).cast(writer.schema))
    if writer is None:
        raise DataError(f"no documents: {run.folder} has no parts; run it first")
    writer.close()


def _write_jsonl(run: Run, aside: Path, suffix: str) -> None:
    with gzip.open(aside, "wt", encoding="utf-8") if suffix == ".gz" else aside.open("w", encoding="utf-8") as file:
        for table in _tables(run):
            for row in table.to_pylist():
                row["metadata"] = dict(row.get("metadata") or ())
                file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
