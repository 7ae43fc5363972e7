"""Rows of Parquet files as records."""

from collections.abc import Iterator
from pathlib import Path

from octad_data.errors import DataError
from octad_data.raw_record import RawRecord, Skip

ROWS_AT_ONCE = 1000


def parquet_records(file: Path, name: str, column: str, max_bytes: int, skip: Skip) -> Iterator[RawRecord]:
    """A record for each row, a row group after the other; only the text is read.

    Raises:
        DataError: `missing extra`, `broken Parquet`, or `no column`.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise DataError("missing extra: Parquet needs pyarrow; pip install 'octad-data[engine]'") from None
    try:
        table = pq.ParquetFile(file)
        if column not in table.schema_arrow.names:
            known = ", ".join(map(repr, table.schema_arrow.names[:8]))
            raise DataError(f"no column {column!r}: the file has {known}; give text_column=")
        number = 0
        for batch in table.iter_batches(ROWS_AT_ONCE, columns=[column]):
            for text in batch.column(0).to_pylist():
                if not isinstance(text, str) or not text.strip():
                    skip(f"{name}:{number}", "empty" if text is None or isinstance(text, str) else "no text")
                elif len(data := text.encode()) > max_bytes:
                    skip(f"{name}:{number}", f"too large: a row of more than {max_bytes:,} bytes")
                else:
                    yield RawRecord(f"{name}:{number}", data, "row", "", {"row": str(number)})
                number += 1
    except pa.ArrowException as error:
        raise DataError(f"broken Parquet: {' '.join(str(error).split())[:200]}") from None
