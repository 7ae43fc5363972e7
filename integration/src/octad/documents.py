"""Documents on disk between the stages: one JSON line each, written aside and renamed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from octad_data import Document
from octad_systems import write_atomically


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """Write them all or leave what was there."""
    write_atomically(path, "".join(json.dumps(asdict(d), ensure_ascii=False) + "\n" for d in documents).encode())


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a file that `write_documents` made."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield Document(**json.loads(line))


def size_bytes(documents: Iterable[Document]) -> int:
    """Bytes of UTF-8 in their texts."""
    return sum(len(document.text.encode()) for document in documents)
