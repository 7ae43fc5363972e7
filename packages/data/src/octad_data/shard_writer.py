"""Writing token shards so that a folder is either whole or not there."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import index
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.open_shard import OpenShard, sync_folder, umask
from octad_data.shards import MANIFEST, Manifest, ShardFile, TokenShards, token_dtype


@dataclass(frozen=True)
class TokenDocument:
    """The ids of one document, and how many bytes of UTF-8 they stand for."""

    tokens: Sequence[int] | NDArray[np.integer[Any]]
    source_bytes: int | None = None


class ShardWriter:
    """Writes documents of token ids into a folder of shards.

    Everything goes to a hidden folder beside the wanted one; `close` flushes it to the disk, writes the manifest and
    renames. Until then, and after any error, what was at `folder` is untouched. As a context manager it closes on
    success and aborts on an exception.

    Args:
        folder: made by `close`; its parents are made now.
        vocab_size: decides between uint16 and uint32; every id must be below it.
        tokenizer_fingerprint: kept for readers to compare.
        separator_id: written after each document when given.
        shard_tokens: a shard that a document would take past this is closed first. One longer document is one shard.
        mix: kept in the manifest; must be JSON.
        overwrite: replace token shards that are there. Any other non-empty folder is never replaced.

    Raises:
        DataError: an argument is out of range, the folder is taken, the disk is full.
    """

    def __init__(
        self,
        folder: Path | str,
        vocab_size: int,
        tokenizer_fingerprint: str,
        *,
        separator_id: int | None = None,
        shard_tokens: int = 1 << 28,
        mix: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        vocab_size = index(vocab_size)  # a numpy integer is welcome, but is no JSON
        separator_id = None if separator_id is None else index(separator_id)
        self._dtype = token_dtype(vocab_size)
        if separator_id is not None and not 0 <= separator_id < vocab_size:
            raise DataError(f"separator_id={separator_id} is not in 0 .. {vocab_size - 1} (vocab_size={vocab_size})")
        if shard_tokens < 1:
            raise DataError(f"shard_tokens={shard_tokens} is not positive; 2**28 gives files of 512 MB")
        self.folder = Path(folder)
        self._manifest = Manifest(vocab_size, tokenizer_fingerprint, separator_id, None, dict(mix or {}))
        self._check_json()
        self._shard_tokens, self._overwrite = shard_tokens, overwrite
        self._check_target()
        self._files: list[ShardFile] = []
        self._shard: OpenShard | None = None
        self._source_bytes: int | None = 0
        self._partial = self._make_partial()
        self._is_open = True

    def add(self, tokens: Sequence[int] | NDArray[np.integer[Any]], source_bytes: int | None = None) -> None:
        """Append one document, which may be empty.

        Args:
            tokens: ids, one axis; a CPU tensor will do.
            source_bytes: of its text in UTF-8. Once left out, the manifest's total is None.

        Raises:
            DataError: ids are not whole numbers inside the vocabulary, the writer is closed, or the disk is full (then
                the writer has aborted).
        """
        if not self._is_open:
            raise DataError(f"the writer of {self.folder} is closed; make another one")
        ids = self._checked(tokens)
        if source_bytes is not None and source_bytes < 0:
            raise DataError(f"source_bytes={source_bytes} is negative; give len(text.encode())")
        try:
            if self._shard and self._shard.num_tokens and self._shard.num_tokens + len(ids) > self._shard_tokens:
                self._finish_shard()
            if self._shard is None:
                self._shard = OpenShard(self._partial / f"shard-{len(self._files):05d}")
            self._shard.append(ids)
        except OSError as error:
            raise self._failed(error) from error
        if source_bytes is None or self._source_bytes is None:
            self._source_bytes = None
        else:
            self._source_bytes += source_bytes

    def close(self) -> TokenShards:
        """Make the folder appear, whole, and open it.

        Raises:
            DataError: the disk is full, the folder was taken meanwhile, or the writer is closed.
        """
        if not self._is_open:
            raise DataError(f"the writer of {self.folder} is closed; make another one")
        try:
            self._finish_shard()
            manifest = replace(self._manifest, files=tuple(self._files), source_bytes=self._source_bytes)
            with (self._partial / MANIFEST).open("w", encoding="utf-8") as file:
                file.write(manifest.to_json())
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._partial)
            self._check_target()
            self._swap_in()
        except OSError as error:
            raise self._failed(error) from error
        except DataError:
            self.abort()
            raise
        self._is_open = False
        return TokenShards(self.folder)

    def abort(self) -> None:
        """Drop what was written; what was at the folder before stays. Safe to call twice."""
        self._is_open = False
        if self._shard is not None:
            with suppress(OSError):  # a full disk refuses the buffered rest, which is unwanted anyway
                self._shard.file.close()
            self._shard = None
        shutil.rmtree(self._partial, ignore_errors=True)

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()
        elif self._is_open:
            self.close()

    def _checked(self, tokens: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[Any]:
        try:
            ids = np.asarray(tokens)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"tokens are not a row of whole numbers: {error}") from error
        if ids.size == 0 and ids.ndim == 1:
            ids = ids.astype(np.int64)
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise DataError(f"tokens have shape {ids.shape} and dtype {ids.dtype}; give one axis of whole numbers")
        vocab_size, separator = self._manifest.vocab_size, self._manifest.separator_id
        if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= vocab_size):
            wrong = int(ids.min()) if int(ids.min()) < 0 else int(ids.max())
            raise DataError(
                f"token id {wrong} is not in 0 .. {vocab_size - 1}; is vocab_size={vocab_size} the tokenizer's?"
            )
        ids = ids.astype(self._dtype)
        return ids if separator is None else np.append(ids, self._dtype.type(separator)).astype(self._dtype)

    def _check_json(self) -> None:
        try:
            self._manifest.to_json()
        except (TypeError, ValueError) as error:
            raise DataError(
                f"mix cannot be written as JSON: {error}; keep strings, numbers, lists and dicts"
            ) from error

    def _check_target(self) -> None:
        if not self.folder.exists() or (self.folder.is_dir() and not any(self.folder.iterdir())):
            return
        if not (self.folder / MANIFEST).is_file():
            raise DataError(
                f"{self.folder} exists and holds no token shards; it is not replaced, choose another folder"
            )
        if not self._overwrite:
            raise DataError(f"{self.folder} holds token shards already; choose another folder or pass overwrite=True")

    def _make_partial(self) -> Path:
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}.partial-", dir=self.folder.parent))
            partial.chmod(0o777 & ~umask(partial))
        except OSError as error:
            raise DataError(
                f"cannot write beside {self.folder}: {error.strerror}; choose a folder you may write"
            ) from error
        return partial

    def _finish_shard(self) -> None:
        if self._shard is not None:
            self._files.append(self._shard.finish())
            self._shard = None

    def _swap_in(self) -> None:
        """Rename; between the two renames of a replacement the old shards lie beside, and `TokenShards` says so."""
        previous = None
        if self.folder.exists():
            previous = self.folder.with_name(self._partial.name.replace(".partial-", ".previous-"))
            self.folder.rename(previous)
        try:
            self._partial.rename(self.folder)
        except OSError:
            if previous is not None:
                previous.rename(self.folder)
            raise
        sync_folder(self.folder.parent)
        if previous is not None:
            shutil.rmtree(previous, ignore_errors=True)

    def _failed(self, error: OSError) -> DataError:
        written = sum(file.tokens for file in self._files) + (self._shard.num_tokens if self._shard else 0)
        self.abort()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "no space left on the disk"
        else:
            reason = error.strerror or str(error)
        return DataError(
            f"writing {self.folder} stopped after {written:,} tokens ({written * self._dtype.itemsize:,} bytes): "
            f"{reason}; nothing was left behind, free some space or choose another folder"
        )


def write_shards(
    token_documents: Iterable[Sequence[int] | NDArray[np.integer[Any]] | TokenDocument],
    folder: Path | str,
    *,
    vocab_size: int,
    tokenizer_fingerprint: str,
    separator_id: int | None = None,
    shard_tokens: int = 1 << 28,
    mix: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> TokenShards:
    """Write every document and return the opened shards; see `ShardWriter` for the arguments.

    Args:
        token_documents: ids of each, or `TokenDocument` where the bytes of the text are known.
        folder: appears when all is written.
        vocab_size: every id is below it.
        tokenizer_fingerprint: kept for readers to compare.
        separator_id: written after each document when given.
        shard_tokens: about how many tokens a file.
        mix: kept in the manifest.
        overwrite: replace token shards that are there.

    Raises:
        DataError: as `ShardWriter`.
    """
    writer = ShardWriter(
        folder,
        vocab_size,
        tokenizer_fingerprint,
        separator_id=separator_id,
        shard_tokens=shard_tokens,
        mix=mix,
        overwrite=overwrite,
    )
    with writer:
        for document in token_documents:
            if isinstance(document, TokenDocument):
                writer.add(document.tokens, document.source_bytes)
            else:
                writer.add(document)
        return writer.close()
