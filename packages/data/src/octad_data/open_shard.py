"""One shard on its way to the disk."""

import hashlib
import os
from array import array
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from octad_data.shards import INDEX_DTYPE, ShardFile

BUFFER_BYTES = 1 << 20


class OpenShard:
    """One pair of files being written; the checksum grows with the file.

    Args:
        stem: path without suffix.
    """

    def __init__(self, stem: Path) -> None:
        self._stem = stem
        self.file: BinaryIO = stem.with_suffix(".bin").open("wb", buffering=BUFFER_BYTES)
        self._sha256 = hashlib.sha256()
        self._ends = array("Q")
        self.num_tokens = 0

    def append(self, ids: NDArray[Any]) -> None:
        """Add one document of ids in the dtype of the file."""
        data = ids.tobytes()
        self.file.write(data)
        self._sha256.update(data)
        self.num_tokens += len(ids)
        self._ends.append(self.num_tokens)

    def finish(self) -> ShardFile:
        """Write the index, put both files on the disk and say what they hold."""
        index = np.array(self._ends, dtype=INDEX_DTYPE).tobytes()
        sync(self.file)
        with self._stem.with_suffix(".idx").open("wb") as file:
            file.write(index)
            sync(file)
        sums = self._sha256.hexdigest(), hashlib.sha256(index).hexdigest()
        return ShardFile(self._stem.name, self.num_tokens, len(self._ends), *sums)


def sync(file: BinaryIO) -> None:
    """Close a file whose bytes are on the disk, not in a cache."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def sync_folder(folder: Path) -> None:
    """Put a folder's names on the disk: without it a rename may be forgotten in a power cut."""
    if os.name == "nt":  # Windows cannot open a folder, and needs not: its renames are journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def umask(folder: Path) -> int:
    """The umask of the process, seen on a fresh folder: reading it directly would change it for other threads."""
    probe = folder / "probe"
    probe.mkdir()
    mode = probe.stat().st_mode & 0o777
    probe.rmdir()
    return 0o777 & ~mode
