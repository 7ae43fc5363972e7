"""What can be trained on: texts, UTF-8 files, and columns of Parquet and JSON Lines files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from octad_tokenizer.errors import TokenizerError

_JSON_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Column:
    """The texts of one column, read a few rows at a time; each is a document of its own.

    Args:
        path: a `.parquet` file (needs the extra `parquet`, that is pyarrow), or JSON Lines (`.jsonl`, `.ndjson`).
        name: the column, or the key in each line's object.

    Raises:
        TokenizerError: the suffix is none of these.
    """

    path: str | Path
    name: str

    def __post_init__(self) -> None:
        if Path(self.path).suffix not in (".parquet", *_JSON_LINES):
            raise TokenizerError(f"{self.path} is neither .parquet nor .jsonl nor .ndjson; rename or convert it")

    def __iter__(self) -> Iterator[str]:
        """The texts in order. Rows without one (null) are left out, and a warning tells how many they were.

        Raises:
            TokenizerError: no such column, a value that is no text, a line that is no JSON object, or no pyarrow.
            OSError: the file cannot be read.
        """
        path = Path(self.path)
        values = _parquet_values(path, self.name) if path.suffix == ".parquet" else _json_values(path, self.name)
        missing = 0
        for row, value in enumerate(values, start=1):
            if value is None:
                missing += 1
            elif isinstance(value, str):
                yield value
            else:
                raise TokenizerError(f"{path}, row {row}: {self.name!r} is a {type(value).__name__}, not a text")
        if missing:
            warnings.warn(f"{path}: {missing} rows have no {self.name!r} and were left out", stacklevel=2)


Texts: TypeAlias = Iterable[str | Path | Column]


def checked_sources(texts: Texts | Path | Column) -> Texts:
    """`texts`, or a list of it if it is one file or column.

    Raises:
        TokenizerError: one str instead of an iterable.
    """
    if isinstance(texts, (str, bytes)):
        raise TokenizerError(f"texts is one {type(texts).__name__}; pass [text], or [Path(...)] for a file")
    return [texts] if isinstance(texts, (Path, Column)) else texts


def _parquet_values(path: Path, name: str) -> Iterator[Any]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]  # heavy, and only Parquet needs it
        import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise TokenizerError(
            f"reading {path} needs pyarrow, which is not installed: pip install octad-tokenizer[parquet]"
        ) from error
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if name not in names:
                raise TokenizerError(f"{path} has no column {name!r}; its columns are {names}")
            for batch in file.iter_batches(batch_size=1024, columns=[name]):
                yield from batch.column(0).to_pylist()
    except pa.ArrowInvalid as error:
        raise TokenizerError(f"{path} is not a Parquet file: {error}") from error


def _json_values(path: Path, name: str) -> Iterator[Any]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except ValueError as error:  # UnicodeDecodeError too
                raise TokenizerError(f"{path}, line {number} is not JSON: {error}") from error
            if not isinstance(found, dict) or name not in found:
                keys = f"its keys are {list(found)}" if isinstance(found, dict) else "it is no object"
                raise TokenizerError(f"{path}, line {number} has no {name!r}; {keys}")
            yield found[name]
