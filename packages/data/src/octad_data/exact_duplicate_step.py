"""Exact duplicates of a whole corpus in a recipe: of documents, and of paragraphs or lines inside them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from octad_data.decisions import write_decisions
from octad_data.errors import DataError
from octad_data.exact import PARAGRAPH_BREAK, normalised, text_key
from octad_data.parts import read_kept, write_table
from octad_data.step import DROPPED_BY, DROPPED_VALUE, Resources, Step, with_column
from octad_data.survivors import rank_of_rows

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

KEY = "text_key"  # 16 bytes of the normalised text
PIECE_KEYS = "piece_keys"  # 8 bytes of each piece that is long enough, 0 of the others
LINE_BREAK = re.compile(r"\n")


@dataclass(frozen=True)
class ExactDuplicates:
    """Of documents whose normalised texts are equal (see `exact.normalised`) one stays.

    Attributes:
        keep: columns by which it is chosen, as in `NearDuplicates`; the order of the sources has the last word.
    """

    keep: tuple[str, ...] = ()

    def signature(self) -> Step:
        """Adds the key."""
        return _TextKeys()

    def decide(self, parts: Sequence[Path], into: Path, resources: Resources) -> None:
        """Sort the keys; the number of a dropped row is the size of its group.

        Memory: about 60 bytes a document.
        """
        tables = [read_kept(part, [KEY]) for part in parts]
        counts = [table.num_rows for table in tables]
        keys = np.frombuffer(
            b"".join(value for table in tables for value in table.column(KEY).to_pylist()),
            dtype=[("a", "u8"), ("b", "u8")],
        )
        rank = rank_of_rows(parts, counts, self.keep)
        order = np.lexsort((rank, keys["b"], keys["a"]))
        is_first = np.ones(len(keys), dtype=np.bool_)
        is_first[1:] = keys[order[1:]] != keys[order[:-1]]
        starts = np.flatnonzero(is_first)
        sizes = np.diff(np.append(starts, len(keys)))
        stays, size = np.zeros(len(keys), dtype=np.bool_), np.zeros(len(keys))
        stays[order[is_first]] = True
        size[order] = np.repeat(sizes, sizes)
        write_decisions(parts, counts, ~stays, "exact_duplicates", size, into)


@dataclass(frozen=True)
class _TextKeys:
    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with `text_key`."""
        import pyarrow as pa

        keys = [text_key(text) for text in batch.column("text").to_pylist()]
        return with_column(batch, KEY, pa.array(keys, pa.binary(16)))


@dataclass(frozen=True)
class DuplicatePieces:
    """Takes out of each document the paragraphs (or lines) that stand more than `at_most` times in the corpus.

    The first `at_most` occurrences stay, in the order of the sources. A document of which nothing is left is dropped.

    Attributes:
        unit: `paragraph` or `line`.
        at_most: occurrences that stay; 1 keeps the first.
        min_characters: shorter pieces may repeat.
    """

    unit: str = "paragraph"
    at_most: int = 1
    min_characters: int = 40

    def __post_init__(self) -> None:
        if self.unit not in ("paragraph", "line"):
            raise DataError(f"unit={self.unit!r} is not known; use paragraph or line")
        if self.at_most < 1 or self.min_characters < 1:
            raise DataError(f"at_most={self.at_most}, min_characters={self.min_characters}: both must be above 0")

    def signature(self) -> Step:
        """Adds the keys of the pieces."""
        return _PieceKeys(self.unit, self.min_characters)

    def decide(self, parts: Sequence[Path], into: Path, resources: Resources) -> None:
        """Number the occurrences of each key in DuckDB, which spills to disk; write which pieces go."""
        import duckdb
        import pyarrow as pa

        with duckdb.connect(str(resources.scratch / "pieces.duckdb")) as connection:
            connection.execute(f"set memory_limit = '{max(resources.memory_mb // 2, 256)}MB'")
            connection.execute(f"set threads = {resources.threads}")
            connection.execute(f"set temp_directory = '{resources.scratch}'")
            connection.execute("create table pieces (part integer, row_number integer, piece integer, key ubigint)")
            counts = [_insert(connection, number, part) for number, part in enumerate(parts)]
            connection.execute(
                "create table gone as select part, row_number, piece from (select *, row_number() over "
                f"(partition by key order by part, row_number, piece) as seen from pieces) where seen > {self.at_most}"
            )
            for number, (part, count) in enumerate(zip(parts, counts, strict=True)):
                found = connection.execute(
                    "select row_number, piece from gone where part = ? order by all", [number]
                ).fetchnumpy()
                gone: list[list[int]] = [[] for _ in range(count)]
                for row, piece in zip(found["row_number"].tolist(), found["piece"].tolist(), strict=True):
                    gone[row].append(piece)
                nothing = [None] * count
                columns = {
                    "repeated_pieces": pa.array(gone, pa.list_(pa.int32())),
                    DROPPED_BY: pa.array(nothing, pa.string()),
                    DROPPED_VALUE: pa.array(nothing, pa.float64()),
                }
                write_table(into / part.name, pa.table(columns))

    def ending(self) -> Step:
        """Cuts the pieces out, in the batches after."""
        return _CutPieces(self.unit)


@dataclass(frozen=True)
class _PieceKeys:
    unit: str
    min_characters: int

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with `piece_keys`."""
        import pyarrow as pa

        keys = [
            [_piece_key(piece, self.min_characters) for piece in _pieces(text, self.unit)]
            for text in batch.column("text").to_pylist()
        ]
        return with_column(batch, PIECE_KEYS, pa.array(keys, pa.list_(pa.uint64())))


@dataclass(frozen=True)
class _CutPieces:
    unit: str

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch without the pieces that go."""
        import pyarrow as pa

        from octad_data.step import drop

        texts, shares = list[str](), list[float]()
        for text, gone in zip(
            batch.column("text").to_pylist(), batch.column("repeated_pieces").to_pylist(), strict=True
        ):
            if not gone:
                texts.append(text)
                shares.append(0.0)
                continue
            pieces, left_out = _pieces(text, self.unit), set(gone)
            kept = [piece for number, piece in enumerate(pieces) if number not in left_out]
            is_empty = not any(piece.strip() for piece in kept)
            texts.append(text if is_empty else ("\n\n" if self.unit == "paragraph" else "\n").join(kept))
            shares.append(1.0 if is_empty else len(gone) / len(pieces))
        share = np.array(shares)
        batch = with_column(batch, "text", pa.array(texts, pa.large_string()))
        batch = drop(batch, share == 1.0, f"duplicate_{self.unit}s", share)
        return batch.select([name for name in batch.schema.names if name not in (PIECE_KEYS, "repeated_pieces")])


def _pieces(text: str, unit: str) -> list[str]:
    return (PARAGRAPH_BREAK if unit == "paragraph" else LINE_BREAK).split(text)


def _piece_key(piece: str, min_characters: int) -> int:
    plain = normalised(piece)
    if len(plain) < min_characters:
        return 0
    return int.from_bytes(blake2b(plain.encode("utf-8", "replace"), digest_size=8).digest(), "little") | 1


def _insert(connection: "duckdb.DuckDBPyConnection", number: int, part: Path) -> int:
    """Put the keys of a part into the table; how many documents it has."""
    import pyarrow as pa

    column: Any = read_kept(part, [PIECE_KEYS]).column(PIECE_KEYS).combine_chunks()
    sizes = np.diff(column.offsets.to_numpy())
    keys = column.flatten().to_numpy()
    rows = np.repeat(np.arange(len(sizes)), sizes)
    starts = np.repeat(np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else np.zeros(0, int), sizes)
    counted = keys > 0
    pieces = pa.table(
        {
            "part": np.full(counted.sum(), number, dtype=np.int32),
            "row_number": rows[counted].astype(np.int32),
            "piece": (np.arange(len(keys)) - starts)[counted].astype(np.int32),
            "key": keys[counted],
        }
    )
    connection.register("found", pieces)
    connection.execute("insert into pieces select * from found")
    connection.unregister("found")
    return len(sizes)
