"""The units that an engine shares out: a file of a source, or some parts of the segment before."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from octad_data.errors import DataError
from octad_data.inputs import Source
from octad_data.recipe import Batching
from octad_data.segment import Work
from octad_data.step import Step


class Unit(Protocol):
    """Something that is read in order and gives batches of work; it may be pickled and read elsewhere."""

    def works(self) -> Iterator[Work]:
        """The batches that are not done yet."""
        ...


@dataclass(frozen=True)
class SourceUnit:
    """A large file of a source, or some small ones.

    Attributes:
        source: that it belongs to.
        name: of the unit, as the source gave it.
        number: of the unit in the recipe, which names its parts.
        folder: of the segment's parts.
        steps: of the segment.
        batching: of its records.
    """

    source: Source
    name: tuple[str, ...]
    number: int
    folder: Path
    steps: tuple[Step, ...]
    batching: Batching

    def works(self) -> Iterator[Work]:
        """Batches without a part; the file is not even opened where all were handed out before and are written."""
        counted = self.folder / f"unit-{self.number:06d}.batches"
        if counted.exists():
            number = int(counted.read_text())
            if all(self._part(batch).exists() for batch in range(number)):
                return
        number = 0
        for records in batches(self.source, self.name, self.batching):
            if not self._part(number).exists():
                yield Work(self._part(number), self.steps, self.source, records)
            number += 1
        write_text(counted, str(number))

    def _part(self, batch: int) -> Path:
        return self.folder / f"part-{self.number:06d}-{batch:06d}.parquet"


@dataclass(frozen=True)
class PartUnit:
    """One part of the segment before.

    Attributes:
        part: its file.
        decisions: folder of the barrier between.
        folder: of this segment's parts.
        steps: of this segment.
    """

    part: Path
    decisions: Path
    folder: Path
    steps: tuple[Step, ...]

    def works(self) -> Iterator[Work]:
        """The batch, unless it is done."""
        output = self.folder / self.part.name
        if not output.exists():
            yield Work(output, self.steps, part=self.part, decisions=self.decisions / self.part.name)


def batches(source: Source, unit: tuple[str, ...], batching: Batching) -> Iterator[tuple[Any, ...]]:
    """The raw records of a unit, in batches that are the same on every run."""
    records: list[Any] = []
    size = 0
    for record in source.records(unit):
        records.append(record)
        size += len(getattr(record, "data", b"") or getattr(record, "text", ""))
        if len(records) >= batching.documents or size >= batching.megabytes << 20:
            yield tuple(records)
            records, size = [], 0
    if records:
        yield tuple(records)


def write_text(path: Path, text: str) -> None:
    """A small file, written aside, flushed to the disk and renamed.

    Raises:
        DataError: the file system refused.
    """
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise DataError(f"cannot write: {path}: {error.strerror or error}; what was written before is whole") from error
