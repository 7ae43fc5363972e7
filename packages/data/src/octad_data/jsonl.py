"""Texts out of JSON lines, one row at a time."""

import json
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from octad_data.errors import DataError

HALF_PAIR = re.compile(r"[\ud800-\udfff]")


def read_jsonl(
    file: BinaryIO, column: str, max_bytes: int, skipped: Callable[[int, DataError], None]
) -> Iterator[tuple[int, str]]:
    """(line number from 1, text) of each row that holds a text in the column.

    Args:
        file: lines of UTF-8, a JSON object a line; empty lines do not count.
        column: name of the text.
        max_bytes: a longer line is skipped without being held.
        skipped: told the line number and why, for each row that cannot be read.
    """
    number = 0
    while line := file.readline(max_bytes + 1):
        number += 1
        if len(line) > max_bytes and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(max_bytes)
            skipped(number, DataError(f"too large: a row of more than {max_bytes:,} bytes; raise max_bytes="))
        elif line.strip():
            try:
                yield number, _text(line, column)
            except DataError as error:
                skipped(number, error)


def _text(line: bytes, column: str) -> str:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"broken JSON row: {error}") from None
    if not isinstance(row, dict):
        raise DataError(f"broken JSON row: {type(row).__name__}, not an object")
    if column not in row:
        raise DataError(f"no column {column!r}: the row has {', '.join(map(repr, list(row)[:8]))}; give text_column=")
    text = row[column]
    if not isinstance(text, str):
        raise DataError(f"column {column!r} is no text: it holds {type(text).__name__}")
    if not text.strip():
        raise DataError("empty")
    if HALF_PAIR.search(text):
        raise DataError("broken JSON row: it holds half of a surrogate pair, which is no character")
    return text
