"""Many texts as one buffer: what every kernel reads."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Texts:
    """UTF-8 of many texts end to end; text i is `data[offsets[i] : offsets[i + 1]]`.

    Attributes:
        data: bytes, uint8, shape (size,).
        offsets: where each text begins, and the end of the last; int64, shape (len + 1,), never falling.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Texts from strings; a lone surrogate, which UTF-8 cannot hold, becomes U+FFFD."""
        encoded = [_utf8(text) for text in texts]
        ends = accumulate(map(len, encoded), initial=0)
        offsets = np.fromiter(ends, dtype=np.int64, count=len(encoded) + 1)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    @classmethod
    def from_arrow(cls, column: "pa.Array[Any] | pa.ChunkedArray[Any]") -> "Texts":
        """Texts of a string or large_string column, without a copy where it is one chunk; null reads as empty.

        Raises:
            DataError: the column holds no strings.
        """
        import pyarrow as pa

        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise DataError(f"column of {column.type} is not text; give one of string or large_string")
        if column.null_count:
            column = column.fill_null("")
        width = np.int64 if pa.types.is_large_string(column.type) else np.int32
        _, places, content = column.buffers()
        if not len(column) or places is None:
            return cls.of([""] * len(column))
        offsets = np.frombuffer(places, dtype=width)[column.offset : column.offset + len(column) + 1].astype(np.int64)
        data = np.frombuffer(content, dtype=np.uint8) if content is not None else np.empty(0, dtype=np.uint8)
        return cls(data, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes().decode("utf-8", "replace")

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    @property
    def num_bytes(self) -> int:
        """Bytes of all texts together."""
        return int(self.offsets[-1] - self.offsets[0])


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
