"""The files that a stage made, by size and checksum: one that was deleted or damaged between two runs is seen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

RECORD = "stage.json"


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Name in the folder -> size, time of change and BLAKE2 checksum. Cost: reads every file once.

    Checkpoints (`step-*`) are left out: they check themselves, and may be deleted once the stage is done.
    """
    return {file.relative_to(folder).as_posix(): _facts(file) for file in _files(folder)}


def damage(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> str:
    """What is wrong with the first file that is not as it was, or nothing. Cost: reads those with a newer time only."""
    for name, facts in files.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        status = file.stat()
        if status.st_size != facts["size"]:
            return f"{name} has {status.st_size:,} bytes instead of {facts['size']:,}"
        if status.st_mtime_ns != facts["mtime_ns"] and checksum(file) != facts["blake2"]:
            return f"{name} differs from its checksum"
    return ""


def checksum(file: Path) -> str:
    """BLAKE2b of a file, 16 bytes in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _facts(file: Path) -> dict[str, Any]:
    status = file.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "blake2": checksum(file)}


def _files(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.is_file() and entry.name != RECORD:
            yield entry
        elif entry.is_dir() and not entry.name.startswith("step-"):
            yield from sorted(path for path in entry.rglob("*") if path.is_file())
