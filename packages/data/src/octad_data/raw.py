"""Raw records of files: what is read quickly and in order, apart from the text that is taken out of it."""

import glob
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from octad_data.document import Document
from octad_data.errors import DataError
from octad_data.read import _files, _Options, _read
from octad_data.report import ReadReport


@dataclass(frozen=True)
class RawRecord:
    """One file or record as bytes."""

    name: str
    data: bytes
    path: str


def raw_files(path: str) -> list[Path]:
    """The files that a path or pattern stands for."""
    roots = [Path(path)] if Path(path).exists() else [Path(p) for p in sorted(glob.glob(path, recursive=True))]  # noqa: PTH207 - the pattern may be absolute
    return [file for root in roots for file, _ in _files(root, ReadReport())]


def raw_records(path: str, max_bytes: int, skipped: Callable[[str, str], None]) -> Iterator[RawRecord]:
    """The records of a file."""
    if path.endswith(".jsonl"):
        with Path(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                yield RawRecord(f"{Path(path).name}:{number}", line, path)
        return
    yield RawRecord(Path(path).name, b"", path)


def extract(record: RawRecord, source: str, text_column: str, encoding: str | None) -> list[Document]:
    """The documents of a record."""
    report = ReadReport()
    if record.data:
        return [Document(json.loads(record.data)[text_column], record.name, source)]
    found = list(_read(Path(record.path), record.name, source, report, _Options(text_column, encoding, 1 << 28)))
    if not found:
        raise DataError("empty")
    return found
