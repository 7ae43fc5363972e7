"""Files of ids, one after another as fixed-size unsigned integers: what training reads by memory map."""

from __future__ import annotations

import os
import sys
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType

from octad_tokenizer.errors import TokenizerError

_READ = 1 << 16
_BLOCK = 1 << 13
_TYPES = {"uint16": ("H", 1 << 16), "uint32": ("I", 1 << 32)}


def array_of(ids: list[int]) -> array[int]:
    """The ids as unsigned 4-byte integers.

    Raises:
        TokenizerError: an id needs more.
    """
    try:
        return array("I", ids)
    except OverflowError:
        raise TokenizerError(f"id {max(ids)} needs more than 4 bytes; use encode, which has no limit") from None


def blocks_of(ids: Iterator[int]) -> Iterator[array[int]]:
    """The ids in arrays of 8,192, the last one shorter.

    Raises:
        TokenizerError: as `array_of`.
    """
    while block := list(islice(ids, _BLOCK)):
        yield array_of(block)


def item_type(dtype: str, vocab_size: int) -> str:
    """The array module's code of `dtype`.

    Raises:
        TokenizerError: an unknown name, or ids up to `vocab_size` - 1 need more.
    """
    if dtype not in _TYPES:
        raise TokenizerError(f"dtype={dtype!r} is unknown; use {' or '.join(map(repr, _TYPES))}")
    code, limit = _TYPES[dtype]
    if vocab_size > limit:
        raise TokenizerError(f"dtype={dtype!r} holds ids below {limit}, the vocabulary has {vocab_size}; use 'uint32'")
    return code


class FileChunks:
    """The bytes of a file in pieces, and word of how far it is."""

    def __init__(self, path: Path, progress: Callable[[int, int], object] | None) -> None:
        self._file = path.open("rb")
        self._size = os.fstat(self._file.fileno()).st_size
        self._progress = progress

    def __enter__(self) -> FileChunks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[bytes]:
        done = 0
        while chunk := self._file.read(_READ):
            yield chunk
            done += len(chunk)
            if self._progress is not None:
                self._progress(done, max(done, self._size))


def write_blocks(blocks: Iterable[array[int]], path: Path, item: str) -> int:
    """Write the ids aside, then put the file in its place; return how many ids there are.

    Raises:
        OSError: the file cannot be written; whatever was at `path` is still there.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    count = 0
    try:
        with aside.open("wb") as file:
            for block in blocks:
                file.write(block if item == block.typecode else _lower_halves(block))
                count += len(block)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return count


def _lower_halves(block: array[int]) -> bytes:
    """4-byte integers below 65,536 as 2-byte ones."""
    return memoryview(block).cast("B").cast("H")[sys.byteorder == "big" :: 2].tobytes()
