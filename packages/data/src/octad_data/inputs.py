"""Sources as a recipe names them: reading, which is quick and in order, apart from what takes time."""

import glob
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from octad_data.document import Document
from octad_data.errors import DataError
from octad_data.raw import extract, raw_files, raw_records
from octad_data.raw_record import RawRecord

UNIT_BYTES = 64 << 20  # small files are read together up to this size
UNIT_FILES = 1000  # or this many


@dataclass(frozen=True)
class Skipped:
    """A record that gave no document, and why (`reason: detail`)."""

    id: str
    reason: str


class Source(Protocol):
    """Where documents come from. Reading is cheap and in order; `extract` is where the time goes, and pure."""

    def relative_to(self, folder: Path) -> "Source":
        """The same source, with relative paths taken from the folder of the recipe."""
        ...

    def units(self) -> list[tuple[str, ...]]:
        """What is read one after the other: a large file or some small ones, in an order that is always the same."""
        ...

    def identity(self, unit: tuple[str, ...]) -> str:
        """Changes when what the unit holds does."""
        ...

    def records(self, unit: tuple[str, ...]) -> Iterator[Any]:
        """What the unit holds, in order: a raw record, a `Document` or a `Skipped`."""
        ...

    def extract(self, record: Any) -> list[Document | Skipped]:
        """The documents of one record; depends on the record alone."""
        ...


@dataclass(frozen=True)
class Files:
    """Files and folders of any format that the package reads.

    Attributes:
        path: files, folders or patterns (`dumps/*.warc.gz`).
        name: kept as the `source` of each document.
        text_column: of JSON lines, Parquet and CSV.
        encoding: of text and HTML; found for each where empty.
        max_megabytes: a larger record is skipped.
    """

    path: tuple[str, ...]
    name: str = "files"
    text_column: str = "text"
    encoding: str = ""
    max_megabytes: int = 256

    def __post_init__(self) -> None:
        if not self.path:
            raise DataError('path is empty; give path = ["folder", "dumps/*.warc.gz"]')
        if self.max_megabytes < 1:
            raise DataError(f"max_megabytes={self.max_megabytes} is not positive; use 256")

    def relative_to(self, folder: Path) -> "Files":
        """Paths from the folder of the recipe."""
        return replace(self, path=tuple(str(folder / path) for path in self.path))

    def units(self) -> list[tuple[str, ...]]:
        """The files, each once, in the order of their names under each path; small neighbours together."""
        found = list(dict.fromkeys(str(file) for root in self._roots() for file, _ in raw_files(root, _ignore)))
        if not found:
            raise DataError(f"no files: {', '.join(self.path)} match nothing; give files, folders or patterns")
        units: list[tuple[str, ...]] = []
        size = UNIT_BYTES
        for file in found:
            size += _size(file)
            if size > UNIT_BYTES or len(units[-1]) == UNIT_FILES:
                units.append(())
                size = _size(file)
            units[-1] += (file,)
        return units

    def identity(self, unit: tuple[str, ...]) -> str:
        """Sizes and times of the last change."""
        states = [Path(file).stat() for file in unit if Path(file).exists()]
        return " ".join(f"{state.st_size}:{state.st_mtime_ns}" for state in states)

    def records(self, unit: tuple[str, ...]) -> Iterator[RawRecord | Skipped]:
        """Raw bytes of each record of the files; what cannot be read is skipped with its reason."""
        for file in unit:
            skipped: list[Skipped] = []

            def skip(name: str, reason: str, skipped: list[Skipped] = skipped) -> None:
                skipped.append(Skipped(name, reason))

            name = self._name(Path(file))
            try:
                for record in raw_records(Path(file), name, self.text_column, self.max_megabytes << 20, skip):
                    yield from skipped
                    skipped.clear()
                    yield record
            except DataError as error:
                skip(name, str(error))
            except OSError as error:
                skip(name, f"unreadable: {error.strerror or error}")
            yield from skipped

    def extract(self, record: RawRecord) -> list[Document | Skipped]:
        """Decode, find the format, take out the text."""
        try:
            return [extract(record, self.name, self.encoding or None, self.max_megabytes << 20)]
        except DataError as error:
            return [Skipped(record.name, str(error))]

    def _roots(self) -> list[Path]:
        """What the paths and patterns stand for."""
        found = []
        for path in self.path:
            names = [path] if Path(path).exists() else sorted(glob.glob(path, recursive=True))  # noqa: PTH207
            found += [Path(name) for name in names]
        return found

    def _name(self, file: Path) -> str:
        """The path from the folder that was given on, the file's name where a file was given."""
        for root in self._roots():
            if root.is_dir() and root in file.parents:
                return file.relative_to(root).as_posix().encode("utf-8", "backslashreplace").decode()
        return file.name.encode("utf-8", "backslashreplace").decode()


def _ignore(name: str, reason: str) -> None:
    """Hidden files and the like are no documents that were lost."""


def _size(file: str) -> int:
    try:
        return Path(file).stat().st_size
    except OSError:
        return 0  # gone since it was listed: `records` says so


@dataclass(frozen=True)
class StandardLibrary:
    """The running Python's standard library, code and prose, as `standard_library_documents` gives it.

    Attributes:
        kind: `prose`, `code` or `both`.
        name: kept as the `source` of each document.
    """

    kind: str = "both"
    name: str = "standard-library"

    def __post_init__(self) -> None:
        if self.kind not in ("prose", "code", "both"):
            raise DataError(f'kind={self.kind!r} is not known; use "prose", "code" or "both"')

    def relative_to(self, folder: Path) -> "StandardLibrary":
        """Itself."""
        return self

    def units(self) -> list[tuple[str, ...]]:
        """One: its documents depend on each other."""
        return [("standard-library",)]

    def identity(self, unit: tuple[str, ...]) -> str:
        """The version of Python."""
        import sys

        return sys.version

    def records(self, unit: tuple[str, ...]) -> Iterator[Document]:
        """The documents."""
        from octad_data.standard_library import standard_library_documents

        wanted = ("prose", "code") if self.kind == "both" else (self.kind,)
        return (replace(d, source=self.name) for d in standard_library_documents() if d.kind in wanted)

    def extract(self, record: Document) -> list[Document | Skipped]:
        """The document itself."""
        return [record]


@dataclass(frozen=True)
class Hub:
    """A data set of the Hugging Face hub, streamed.

    Attributes:
        data_set: its name (`allenai/c4`).
        config: its configuration, where it has several.
        split: of it.
        text_column: that holds the text.
        limit: at most so many rows; 0 is all.
        name: kept as the `source` of each document; the data set's where empty.
    """

    data_set: str
    config: str = ""
    split: str = "train"
    text_column: str = "text"
    limit: int = 0
    name: str = ""

    def relative_to(self, folder: Path) -> "Hub":
        """Itself."""
        return self

    def units(self) -> list[tuple[str, ...]]:
        """One."""
        return [(self.data_set,)]

    def identity(self, unit: tuple[str, ...]) -> str:
        """The name and split: the hub is not asked."""
        return sha256(repr(self).encode()).hexdigest()

    def records(self, unit: tuple[str, ...]) -> Iterator[Document]:
        """The rows."""
        from octad_data.hub import hub_documents

        rows = hub_documents(self.data_set, self.split, self.text_column, config=self.config or None)
        wanted = islice(rows, self.limit or None)
        return (replace(row, source=self.name or row.source) for row in wanted)

    def extract(self, record: Document) -> list[Document | Skipped]:
        """The document itself."""
        return [record]
