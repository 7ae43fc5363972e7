"""Token shards on disk: their layout, and how they are read by memory map.

A folder holds, for each shard, `shard-00000.bin` (token ids, little-endian, uint16 where the vocabulary fits and uint32
otherwise) and `shard-00000.idx` (uint64: where each document ends, in tokens from the start of its shard), and one
`manifest.json` with everything else. A document lies in one shard; its separator, if there is one, is its last token.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError

FORMAT = "octad-token-shards"
VERSION = 1
MANIFEST = "manifest.json"
INDEX_DTYPE = np.dtype("<u8")
MAX_VOCAB_SIZE = 2**32


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Little-endian uint16 for at most 65,536 ids, uint32 above.

    Raises:
        DataError: vocab_size is not in 1 .. 2**32.
    """
    if not 1 <= vocab_size <= MAX_VOCAB_SIZE:
        raise DataError(f"vocab_size={vocab_size} is not in 1 .. 2**32; give the tokenizer's number of ids")
    return np.dtype("<u2") if vocab_size <= 2**16 else np.dtype("<u4")


@dataclass(frozen=True)
class ShardFile:
    """One shard as the manifest knows it: file names are `name` + `.bin` and `.idx`, checksums SHA-256 in hex."""

    name: str
    tokens: int
    documents: int
    tokens_sha256: str
    index_sha256: str


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says.

    Attributes:
        vocab_size: every id is below it.
        tokenizer_fingerprint: any string that changes when the tokenizer does.
        separator_id: the id that ends each document, None where nothing does.
        source_bytes: UTF-8 bytes of the text the tokens stand for, None where the writer was not told. Bits a byte
            are loss in nats * tokens / (source_bytes * ln 2).
        mix: whatever the writer wants to keep about the sources.
        files: the shards, in order.
    """

    vocab_size: int
    tokenizer_fingerprint: str
    separator_id: int | None = None
    source_bytes: int | None = None
    mix: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[ShardFile, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the ids on disk."""
        return token_dtype(self.vocab_size)

    @property
    def num_tokens(self) -> int:
        """Over all shards, separators included."""
        return sum(file.tokens for file in self.files)

    @property
    def num_documents(self) -> int:
        """Over all shards."""
        return sum(file.documents for file in self.files)

    def to_json(self) -> str:
        """The text of the file: the fields, and the format, version, dtype and totals for other readers."""
        head = {"format": FORMAT, "version": VERSION, "dtype": self.dtype.name}
        totals = {"num_tokens": self.num_tokens, "num_documents": self.num_documents}
        return json.dumps({**head, **totals, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest of a folder.

        Raises:
            DataError: there is none, or it is not one of this format and version, or it contradicts itself.
        """
        path = folder / MANIFEST
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(_nothing_there(folder)) from None
        except (OSError, ValueError) as error:
            raise DataError(f"unreadable manifest: {path}: {error}; write the shards again") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise DataError(f"not token shards: {path} does not say format {FORMAT!r}")
        if found.get("version") != VERSION:
            raise DataError(
                f"other version: {path} has version {found.get('version')!r}, this reader knows {VERSION}; "
                "write the shards again or use the octad-data that wrote them"
            )
        try:
            files = tuple(ShardFile(**file) for file in found["files"])
            names = ("vocab_size", "tokenizer_fingerprint", "separator_id", "source_bytes", "mix")
            manifest = cls(**{name: found[name] for name in names}, files=files)
            said = (found["dtype"], found["num_tokens"], found["num_documents"])
            totals = (manifest.dtype.name, manifest.num_tokens, manifest.num_documents)
        except (KeyError, TypeError) as error:
            raise DataError(f"damaged manifest: {path}: {error}; write the shards again") from error
        if said != totals:
            raise DataError(f"damaged manifest: {path}: totals or dtype contradict its files; write the shards again")
        return manifest


def _nothing_there(folder: Path) -> str:
    if not folder.exists():
        beside = sorted(folder.parent.glob(f".{folder.name}.previous-*")) if folder.parent.is_dir() else []
        hint = f"; an earlier copy lies at {beside[-1]}, rename it" if beside else ""
        return f"no token shards: {folder} does not exist{hint}"
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) if folder.is_dir() else "a file"
    return f"no token shards: {folder} has no {MANIFEST} (found: {found or 'nothing'}); write it with `write_shards`"


class TokenShards:
    """A folder of token shards, read by memory map: opening costs no more for terabytes than for kilobytes.

    `len()` is the number of documents. Sizes are checked on opening, contents by `verify()`. Arrays come as stored
    (uint16 or uint32); widen them before arithmetic.

    Args:
        folder: written by `ShardWriter`.

    Raises:
        DataError: no manifest, another version, a shard missing or not of the size that the manifest gives.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.manifest = Manifest.read(self.folder)
        files = self.manifest.files
        self._tokens = [self._map(f"{file.name}.bin", self.manifest.dtype, file.tokens) for file in files]
        self._ends = [self._map(f"{file.name}.idx", INDEX_DTYPE, file.documents) for file in files]
        self._token_starts = [0, *accumulate(file.tokens for file in files)]
        self._document_starts = [0, *accumulate(file.documents for file in files)]

    def __reduce__(self) -> tuple[Callable[..., "TokenShards"], tuple[Path]]:
        return type(self), (self.folder,)  # a worker process maps the files itself

    def __len__(self) -> int:
        return self._document_starts[-1]

    def __repr__(self) -> str:
        return f"TokenShards({str(self.folder)!r}, documents={len(self)}, tokens={self.num_tokens})"

    @property
    def num_tokens(self) -> int:
        """Over all shards, separators included."""
        return self._token_starts[-1]

    @property
    def vocab_size(self) -> int:
        """Every id is below it."""
        return self.manifest.vocab_size

    def document(self, number: int) -> NDArray[np.unsignedinteger[Any]]:
        """The ids of one document without its separator; no copy.

        Args:
            number: 0 .. len - 1; negative counts from the end.

        Raises:
            DataError: there is no such document.
        """
        position = number + len(self) if number < 0 else number
        if not 0 <= position < len(self):
            raise DataError(f"document {number} of {len(self)} does not exist; use 0 .. {len(self) - 1}")
        shard = bisect_right(self._document_starts, position) - 1
        ends, inside = self._ends[shard], position - self._document_starts[shard]
        start, stop = int(ends[inside - 1]) if inside else 0, int(ends[inside])
        return self._tokens[shard][start : stop - (self.manifest.separator_id is not None)]

    def tokens(self, start: int, stop: int) -> NDArray[np.unsignedinteger[Any]]:
        """Ids start .. stop - 1 of all documents laid end to end; a copy only where shards meet.

        Raises:
            DataError: not 0 <= start <= stop <= num_tokens.
        """
        if not 0 <= start <= stop <= self.num_tokens:
            raise DataError(f"tokens {start} .. {stop} are not inside 0 .. {self.num_tokens}")
        pieces = []
        shard = bisect_right(self._token_starts, start) - 1
        while start < stop:
            begin, end = self._token_starts[shard], min(self._token_starts[shard + 1], stop)
            if end > start:
                pieces.append(self._tokens[shard][start - begin : end - begin])
                start = end
            shard += 1
        return pieces[0] if len(pieces) == 1 else np.concatenate([np.empty(0, self.manifest.dtype), *pieces])

    def documents_at(self, start: int, stop: int) -> NDArray[np.int64]:
        """Number of the document of each of the tokens start .. stop - 1; a separator belongs to the one it ends.

        Raises:
            DataError: not 0 <= start <= stop <= num_tokens.
        """
        if not 0 <= start <= stop <= self.num_tokens:
            raise DataError(f"tokens {start} .. {stop} are not inside 0 .. {self.num_tokens}")
        places = np.arange(start, stop)
        numbers = np.empty(stop - start, dtype=np.int64)
        shard = bisect_right(self._token_starts, start) - 1
        while start < stop:
            begin, end = self._token_starts[shard], min(self._token_starts[shard + 1], stop)
            inside = slice(len(numbers) - (stop - start), len(numbers) - (stop - end))
            found = np.searchsorted(self._ends[shard], (places[inside] - begin).astype(INDEX_DTYPE), side="right")
            numbers[inside] = self._document_starts[shard] + found
            start, shard = end, shard + 1
        return numbers

    def verify(self) -> None:
        """Read everything and compare with the manifest.

        Raises:
            DataError: a checksum differs, an index runs backwards or past its shard, an id is out of range.
        Cost: one pass over the files, about 1 GB/s.
        """
        for file, tokens, ends in zip(self.manifest.files, self._tokens, self._ends, strict=True):
            for kind, array, sha256 in (("bin", tokens, file.tokens_sha256), ("idx", ends, file.index_sha256)):
                if hashlib.sha256(array.view(np.uint8).data).hexdigest() != sha256:
                    raise DataError(f"damaged shard: {self.folder / file.name}.{kind} differs from its checksum")
            last = int(ends[-1]) if len(ends) else 0
            if last != file.tokens or np.any(ends[1:] < ends[:-1]):
                raise DataError(f"damaged shard: {self.folder / file.name}.idx does not end at {file.tokens} tokens")
            if len(tokens) and int(tokens.max()) >= self.vocab_size:
                raise DataError(
                    f"damaged shard: {self.folder / file.name}.bin holds id {int(tokens.max())}, "
                    f"vocab_size is {self.vocab_size}"
                )

    def _map(self, name: str, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        path, wanted = self.folder / name, count * dtype.itemsize
        try:
            found = path.stat().st_size
        except OSError as error:
            raise DataError(
                f"missing shard: {path} ({error.strerror}); copy it again or write the shards anew"
            ) from error
        if found != wanted:
            raise DataError(f"torn shard: {path} has {found} bytes, the manifest says {wanted}; copy or write it again")
        return np.memmap(path, dtype=dtype, mode="r", shape=(count,)) if count else np.empty(0, dtype)
