"""Kept documents to token shards: encoded batch by batch, then laid down in an order over the whole corpus."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octad_data.encoders import load_encoder
from octad_data.errors import DataError
from octad_data.parts import read_counts, read_kept
from octad_data.permutation import Permutation
from octad_data.recipe import Tokens
from octad_data.segment import Work
from octad_data.shard_writer import ShardWriter
from octad_data.shards import MANIFEST, Manifest, TokenShards, token_dtype

if TYPE_CHECKING:
    import pyarrow as pa

BUCKETS = 64  # files that a corpus is spread over; one at a time is held in memory


@dataclass(frozen=True)
class EncodeTokens:
    """Adds `tokens` and `source_bytes`, and takes the text away.

    Attributes:
        tokenizer: `bytes` or the path of a `tokenizer.json`.
        separator: the token that ends a document.
        fingerprint: of the tokenizer.
    """

    tokenizer: str
    separator: str
    fingerprint: str

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """Encode each row."""
        import pyarrow as pa
        import pyarrow.compute as pc

        encoder = load_encoder(self.tokenizer, self.separator)
        texts = batch.column("text")
        rows = encoder.encode_batch(texts.to_pylist())
        ends = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=ends[1:])
        dtype = token_dtype(encoder.vocab_size)
        flat = np.concatenate([np.empty(0, dtype), *rows]).astype(dtype)
        kind = pa.large_list(pa.uint16() if dtype.itemsize == 2 else pa.uint32())
        sizes = pc.binary_length(texts)
        columns = {
            "id": batch.column("id"),
            "source": batch.column("source"),
            "tokens": pa.LargeListArray.from_arrays(pa.array(ends), pa.array(flat), type=kind),
            "source_bytes": sizes,
            "text": pa.array([""] * batch.num_rows, pa.large_string()),
            "dropped_by": batch.column("dropped_by"),
        }
        return pa.record_batch(columns)


@dataclass(frozen=True)
class TokenUnit:
    """One part of the result, to be encoded."""

    part: Path
    folder: Path
    step: EncodeTokens

    def works(self) -> Iterator[Work]:
        """The batch, unless it is done."""
        output = self.folder / self.part.name
        if not output.exists():
            yield Work(output, (self.step,), part=self.part)


def encoding_step(tokens: Tokens) -> EncodeTokens:
    """The step for what a recipe says, with the tokenizer's fingerprint as it is now."""
    encoder = load_encoder(tokens.tokenizer, tokens.separator)
    return EncodeTokens(tokens.tokenizer, tokens.separator, encoder.fingerprint)


def write_tokens(parts: list[Path], folder: Path, tokens: Tokens, fingerprint: str, scratch: Path) -> TokenShards:
    """Token shards of encoded parts, in the order of the parts or in one chosen by the seed.

    Document i of n goes to place `Permutation(n, (seed,))(i)`, whatever the parts and the engine were. Documents are
    first spread over 64 files by their place, which then are put in order one after the other, so that a sixty-fourth
    of the tokens is held in memory.

    Args:
        parts: made by `EncodeTokens`.
        folder: of the shards; shards of other tokens there are replaced.
        tokens: what the recipe says.
        fingerprint: of everything before; kept in the manifest's mix, and shards that have it already are left as
            they are.
        scratch: a folder for the spread documents, about the size of the shards.

    Raises:
        DataError: nothing to write, or the disk refused.
    """
    if (folder / MANIFEST).exists() and Manifest.read(folder).mix.get("recipe") == fingerprint:
        return TokenShards(folder)
    encoder = load_encoder(tokens.tokenizer, tokens.separator)
    count = sum(read_counts(part).documents for part in parts)
    if count == 0:
        raise DataError("no documents: every one was dropped; look at the report for the rule that did it")
    documents = _documents(parts)
    if tokens.shuffle:
        documents = _shuffled(documents, count, tokens.seed, scratch, token_dtype(encoder.vocab_size))
    shares: dict[str, list[int]] = {}
    writer = ShardWriter(
        folder, encoder.vocab_size, encoder.fingerprint, separator_id=encoder.separator_id,
        shard_tokens=tokens.shard_tokens, mix={"recipe": fingerprint, "sources": shares}, overwrite=True,
    )  # fmt: skip
    with writer:
        for document in documents:
            writer.add(document.ids, document.source_bytes)
            share = shares.setdefault(document.source, [0, 0])
            share[0] += 1
            share[1] += len(document.ids) + 1
    return TokenShards(folder)


@dataclass(frozen=True)
class _Encoded:
    ids: NDArray[np.unsignedinteger[Any]]
    source_bytes: int
    source: str


def _documents(parts: list[Path]) -> Iterator[_Encoded]:
    for part in parts:
        table = read_kept(part, ["tokens", "source_bytes", "source"]).combine_chunks()
        if table.num_rows == 0:
            continue
        column = table.column("tokens").chunk(0)
        flat, ends = column.values.to_numpy(zero_copy_only=False), column.offsets.to_numpy()
        sizes, sources = table.column("source_bytes").to_pylist(), table.column("source").to_pylist()
        for row, (size, source) in enumerate(zip(sizes, sources, strict=True)):
            yield _Encoded(flat[ends[row] : ends[row + 1]], size, source)


def _shuffled(
    documents: Iterator[_Encoded], count: int, seed: int, scratch: Path, dtype: np.dtype[Any]
) -> Iterator[_Encoded]:
    order = Permutation(count, (seed,))
    spread = _Spread(scratch, count, dtype)
    for number, document in enumerate(documents):
        spread.add(int(order(number)), document)
    yield from spread.in_order()


class _Spread:
    """Documents on their way to their places: one file of ids for each range of places."""

    def __init__(self, scratch: Path, count: int, dtype: np.dtype[Any]) -> None:
        self._dtype, self._count = dtype, count
        self._buckets = min(BUCKETS, count)
        self._files = [(scratch / f"bucket-{number:03d}.bin").open("w+b") for number in range(self._buckets)]
        self._rows: list[list[tuple[int, int, int, int]]] = [[] for _ in range(self._buckets)]
        self._sources: dict[str, int] = {}

    def add(self, place: int, document: _Encoded) -> None:
        """Put a document by."""
        bucket = place * self._buckets // self._count
        source = self._sources.setdefault(document.source, len(self._sources))
        self._rows[bucket].append((place, len(document.ids), document.source_bytes, source))
        self._files[bucket].write(document.ids.astype(self._dtype).tobytes())

    def in_order(self) -> Iterator[_Encoded]:
        """All documents by their places."""
        names = list(self._sources)
        for rows, file in zip(self._rows, self._files, strict=True):
            file.flush()
            file.seek(0)
            flat = np.frombuffer(file.read(), dtype=self._dtype)
            ends = np.cumsum([0, *(row[1] for row in rows)])
            for index in sorted(range(len(rows)), key=rows.__getitem__):
                _, _, size, source = rows[index]
                yield _Encoded(flat[ends[index] : ends[index + 1]], size, names[source])
            file.close()
            Path(file.name).unlink()
