"""Steps that worker processes can import."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from octad_data.parts import read_kept, write_table
from octad_data.step import Resources, drop, map_text, with_column


@dataclass(frozen=True)
class Upper:
    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return map_text(batch, str.upper)


@dataclass(frozen=True)
class AtLeast:
    size: int = 1

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        sizes = np.array(pc.binary_length(batch.column("text")), dtype=np.int64)
        return drop(batch, sizes < self.size, "at_least", sizes.astype(np.float64))


@dataclass(frozen=True)
class Slow:
    seconds: float = 0.05

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        time.sleep(self.seconds)
        return batch


@dataclass(frozen=True)
class Trap:
    """A parser that some texts kill, stop for ever or make hungry."""

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        for text in batch.column("text").to_pylist():
            if "kill" in text:
                os._exit(9)
            if "hang" in text:
                time.sleep(3600)
            if "hungry" in text:
                bytearray(4 << 30)
        return batch


@dataclass(frozen=True)
class Fails:
    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        raise KeyError("a fault of the step's own")


@dataclass(frozen=True)
class First:
    """Keeps the first document of each text, over all batches."""

    def signature(self) -> "Sizes":
        return Sizes()

    def decide(self, parts: Sequence[Path], into: Path, resources: Resources) -> None:
        seen: set[str] = set()
        for part in parts:
            reasons, values = list[str | None](), list[float | None]()
            for row in read_kept(part, ["text", "size"]).to_pylist():
                reasons.append("first" if row["text"] in seen else None)
                values.append(float(row["size"]) if row["text"] in seen else None)
                seen.add(row["text"])
            columns = {"dropped_by": pa.array(reasons, pa.string()), "dropped_value": pa.array(values, pa.float64())}
            write_table(into / part.name, pa.table({**columns, "seen": pa.array([len(seen)] * len(reasons))}))


@dataclass(frozen=True)
class Sizes:
    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return with_column(batch, "size", pc.binary_length(batch.column("text")))


@dataclass(frozen=True)
class CountWords:
    """An embedding: how often a text has each of some words."""

    words: str = "the lamp oil wick boat harbour fog bell keeper winter letter book city evening small old"

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        vectors = [
            [text.split().count(word) + 0.01 for word in self.words.split()]
            for text in batch.column("text").to_pylist()
        ]
        return with_column(batch, "embedding", pa.array(vectors, pa.list_(pa.float32())))
