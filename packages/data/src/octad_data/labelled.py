"""Labelled texts from a file: what a classifier is trained on."""

import csv
import gzip
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from octad_data.encoding import decode_text
from octad_data.errors import DataError

MAX_FIELD = 1 << 27  # bytes of a text in a CSV file


def read_labelled(
    path: str | os.PathLike[str], text: str = "text", label: str = "label"
) -> tuple[list[str], list[str]]:
    """Texts and labels of a .jsonl, .csv or .tsv file, packed (.gz) or not.

    Args:
        path: the file; CSV and TSV have a line of names first.
        text: the field that holds the text.
        label: the field that holds the label; numbers become strings.

    Raises:
        DataError: `labels not readable`, `unknown kind of file`, `broken line` or `missing field`, each with its place.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError) as error:
        raise DataError(f"labels not readable: {path} ({type(error).__name__}: {error})") from error
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    content = decode_text(data)[0]
    if kind in (".jsonl", ".ndjson"):
        rows = _json_rows(content, path)
    elif kind in (".csv", ".tsv"):
        csv.field_size_limit(MAX_FIELD)
        rows = enumerate(csv.DictReader(io.StringIO(content, newline=""), delimiter="\t" if kind == ".tsv" else ","), 2)
    else:
        raise DataError(f"unknown kind of file: {path}; give .jsonl, .csv or .tsv, with .gz or without")
    return _columns(rows, path, text, label)


def _json_rows(content: str, path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"broken line: {path}:{number} is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise DataError(f"broken line: {path}:{number} is {type(row).__name__}, not an object")
        yield number, row


def _columns(
    rows: Iterable[tuple[int, Mapping[str, object]]], path: Path, text: str, label: str
) -> tuple[list[str], list[str]]:
    texts, labels = list[str](), list[str]()
    for number, row in rows:
        for name in (text, label):
            if row.get(name) is None:
                has = ", ".join(str(key) for key in row if key is not None)
                raise DataError(f"missing field: {path}:{number} has no {name!r}, only {has[:200]}")
        texts.append(str(row[text]))
        value = row[label]
        labels.append(str(int(value)) if isinstance(value, bool) else str(value))
    return texts, labels
