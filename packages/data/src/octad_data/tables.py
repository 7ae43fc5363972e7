"""Rows of CSV and Parquet files as records."""

import csv
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from octad_data.compressed import open_unpacked
from octad_data.errors import DataError
from octad_data.raw_record import RawRecord

SNIFFED = 1 << 16
DELIMITERS = ",\t;|"
ROWS_AT_ONCE = 1000

Skip = Callable[[str, str], None]


def csv_records(file: Path, name: str, column: str, max_bytes: int, skip: Skip) -> Iterator[RawRecord]:
    """A record for each row; the delimiter is found in the first lines, the first row names the columns.

    Raises:
        DataError: `no column`, where the first row does not name it; `broken CSV`.
    """
    with open_unpacked(file) as stream, io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="") as lines:
        sample = lines.read(SNIFFED)
        try:
            dialect: type[csv.Dialect] | csv.Dialect = csv.Sniffer().sniff(sample, DELIMITERS)
        except csv.Error:
            dialect = csv.excel_tab if "\t" in sample.partition("\n")[0] else csv.excel
        csv.field_size_limit(min(max_bytes, sys.maxsize))
        rows = csv.DictReader(_Again(sample, lines), dialect=dialect)
        try:
            if column not in (rows.fieldnames or ()):
                known = ", ".join(map(repr, list(rows.fieldnames or ())[:8]))
                raise DataError(f"no column {column!r}: the first row has {known}; give text_column=")
            for number, row in enumerate(rows, 2):
                text = row[column]
                if text and text.strip():
                    yield RawRecord(f"{name}:{number}", text.encode(), "row", "", {"line": str(number)})
                else:
                    skip(f"{name}:{number}", "empty")
        except csv.Error as error:
            raise DataError(f"broken CSV: {error}") from None


class _Again:
    """Lines of a sample that was read already, then of the rest."""

    def __init__(self, sample: str, rest: "io.TextIOWrapper") -> None:
        self._sample, self._rest = sample, rest

    def __iter__(self) -> Iterator[str]:
        lines = self._sample.splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += self._rest.readline()
        yield from lines
        yield from self._rest


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
