"""Rows of CSV and TSV files as records, one at a time."""

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from octad_data.compressed import open_unpacked
from octad_data.encoding import decode_text
from octad_data.errors import DataError
from octad_data.raw_record import RawRecord, Skip

SNIFFED = 1 << 16
DELIMITERS = ",\t;|"
SNIFFED_ROWS = 50


def csv_records(
    file: Path, name: str, column: str, max_bytes: int, skip: Skip, encoding: str | None = None
) -> Iterator[RawRecord]:
    """A record for each row; the first row names the columns.

    Delimiter, quoting and encoding are found in the first 64 kB: the delimiter by which the column is named there, of
    several the one that cuts rows alike. A row that cannot be read is named and passed over; one line is in memory at a
    time, or the lines of one quoted field.

    Args:
        file: plain or packed.
        name: of the file, with which those of its records begin.
        column: that holds the text.
        max_bytes: of a line and of a field; a larger one is passed over.
        skip: told of each row that is left out.
        encoding: of the file, where it is known.

    Raises:
        DataError: `no column`, where the first row does not name it; `unknown encoding`, `binary file`.
    """
    with open_unpacked(file) as stream:
        head = stream.read(SNIFFED)
    if not head.strip():
        raise DataError("empty")
    whole = head if len(head) < SNIFFED else head[: head.rfind(b"\n") + 1] or head
    sample, found = _decoded(whole, encoding)
    csv.field_size_limit(min(max_bytes, sys.maxsize))
    with open_unpacked(file) as stream, io.TextIOWrapper(stream, found, errors="replace", newline="") as text:
        rows = csv.reader(_lines(text, name, max_bytes, skip), **_dialect(sample, column))
        header = _next_row(rows, name, 1, skip) or []
        header = [cell.strip().removeprefix("\ufeff") for cell in header]
        if column not in header:
            known = ", ".join(map(repr, header[:8]))
            raise DataError(f"no column {column!r}: the first row has {known}; give text_column=")
        place, number = header.index(column), 1
        while True:
            number += 1
            row = _next_row(rows, name, number, skip)
            if row is None:
                return
            cell = row[place] if place < len(row) else ""
            if cell.strip():
                yield RawRecord(f"{name}:{number}", cell.encode("utf-8", "replace"), "row", "", {"line": str(number)})
            elif row:
                skip(f"{name}:{number}", "empty")


def _decoded(head: bytes, encoding: str | None) -> tuple[str, str]:
    """Text and encoding; UTF-8 is believed although cells hold a few zeros and control characters."""
    if encoding is None and head.count(0) <= 0.01 * len(head):
        try:
            return head.decode("utf-8-sig"), "utf-8-sig"
        except UnicodeDecodeError:
            pass  # one of the others
    return decode_text(head, encoding)


def _next_row(rows: Any, name: str, number: int, skip: Skip) -> list[str] | None:
    """The next row; an empty one in the place of one that is broken, None at the end."""
    try:
        row: list[str] | None = next(rows, None)
    except csv.Error as error:
        skip(f"{name}:{number}", f"broken row: {error}")
        return []
    return row


def _lines(text: io.TextIOWrapper, name: str, max_bytes: int, skip: Skip) -> Iterator[str]:
    """Lines up to a length; in the place of a longer one an empty line."""
    number = 0
    while line := text.readline(max_bytes):
        number += 1
        if len(line) < max_bytes or line.endswith(("\n", "\r")):
            yield line
            continue
        skip(f"{name}, line {number}", f"too large: a line of more than {max_bytes:,} characters")
        while line and not line.endswith(("\n", "\r")):
            line = text.readline(SNIFFED)
        yield "\n"  # so that the rows behind it keep their numbers


def _dialect(sample: str, column: str) -> dict[str, Any]:
    """What `csv.reader` is to be told."""
    is_escaped = '\\"' in sample and '""' not in sample.replace('\\""', "")
    options: dict[str, Any] = {"doublequote": not is_escaped, "escapechar": "\\" if is_escaped else None}

    def fitness(delimiter: str) -> tuple[bool, float, int]:
        rows = _sample_rows(sample, {**options, "delimiter": delimiter})
        widths = Counter(len(row) for row in rows if row)
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        names = [cell.strip() for cell in rows[0]] if rows else []
        return column in names, count / max(widths.total(), 1) if width > 1 else 0.0, width

    return {**options, "delimiter": max(DELIMITERS, key=fitness)}


def _sample_rows(sample: str, options: dict[str, Any]) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        rows.extend(islice(csv.reader(io.StringIO(sample, newline=""), **options), SNIFFED_ROWS))
    except csv.Error:
        return rows
    return rows
