"""Files as streams of their unpacked bytes, by the ending of the name."""

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

from octad_data.errors import DataError

ENDINGS = (".gz", ".bz2", ".xz", ".zst")
BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)  # what reading a torn file raises, besides OSError


def open_unpacked(file: Path) -> BinaryIO:
    """The bytes inside a file: unpacked where its name ends in .gz, .bz2, .xz or .zst.

    Raises:
        DataError: `missing extra`, for .zst.
        OSError: there is no such file.
    """
    ending = file.suffix.lower()
    if ending == ".gz":
        return cast(BinaryIO, gzip.open(file, "rb"))
    if ending == ".bz2":
        return cast(BinaryIO, bz2.open(file, "rb"))
    if ending == ".xz":
        return cast(BinaryIO, lzma.open(file, "rb"))
    if ending == ".zst":
        try:
            import pyarrow as pa
        except ModuleNotFoundError:
            raise DataError("missing extra: .zst needs pyarrow; pip install 'octad-data[engine]'") from None
        return io.BufferedReader(_Stream(pa.input_stream(str(file), compression="zstd")))
    return file.open("rb")


class _Stream(io.RawIOBase):
    """A stream of Arrow's as one of Python's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except OSError as error:
            raise EOFError(str(error)) from None
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def inner_suffix(file: Path) -> str:
    """The ending that tells the format: `.jsonl` of `rows.jsonl.gz`."""
    return (Path(file.stem) if file.suffix.lower() in ENDINGS else file).suffix.lower()
