"""Choosing documents for a capability: those like an evaluation's training split, and never its test split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from octad_data.decontamination import read_items
from octad_data.errors import DataError
from octad_data.importance import ImportanceModel, resampled
from octad_data.parts import read_kept, write_table
from octad_data.step import DROPPED_BY, DROPPED_VALUE, Resources, Step

if TYPE_CHECKING:
    import pyarrow as pa

RULE = "select_like"
SCORE = "importance"  # the mean log importance weight of a document's n-grams
SAMPLED_BYTES = 64 << 20  # of the source, for its n-gram model


@dataclass(frozen=True)
class SelectLike:
    """Keeps the share of documents that is drawn by importance towards a target (DSIR, see `importance`).

    A recipe with this step must hold `decontaminate` too, before it: what is drawn towards an evaluation's training
    split would else be drawn towards its test split.

    Attributes:
        target: files of texts like those wanted; see `decontamination.read_items`.
        share: of the documents that stays, in (0, 1].
        fields: of JSON lines in the target.
        sharpness: the weights' logs are multiplied by it; 1 draws in proportion to the weight of each n-gram, larger
            ones come near to taking the best.
        seed: of the drawing.
    """

    target: tuple[str, ...]
    share: float
    fields: tuple[str, ...] = ()
    sharpness: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.target:
            raise DataError('target is empty; give files of texts like those wanted, target = ["gsm8k_train.jsonl"]')
        if not 0 < self.share <= 1 or self.sharpness <= 0:
            raise DataError(f"share={self.share}, sharpness={self.sharpness}: use a share in (0, 1] and sharpness > 0")

    needs_decontamination = True

    def signature(self) -> Step:
        """Nothing: scores need a model of the whole source."""
        return _AsItIs()

    def decide(self, parts: Sequence[Path], into: Path, resources: Resources) -> None:
        """Fit the model, score every document, draw."""
        import pyarrow as pa

        target = [item.text for path in self.target for item in read_items(path, self.fields)]
        model = ImportanceModel.fit(target, _sample(parts))
        scores, ids, counts = list[Any](), list[str](), list[int]()
        for part in parts:
            table = read_kept(part, ["id", "text"])
            scores.append(model.scores(table.column("text").to_pylist(), per_ngram=True))
            ids += table.column("id").to_pylist()
            counts.append(table.num_rows)
        flat = np.concatenate([np.empty(0), *scores])
        wanted = round(self.share * len(flat))
        stays = np.zeros(len(flat), dtype=np.bool_)
        stays[resampled(self.sharpness * flat, ids, wanted, self.seed)] = True
        start = 0
        for part, count in zip(parts, counts, strict=True):
            rows = slice(start, start + count)
            start += count
            rules = pa.array([None if stay else RULE for stay in stays[rows].tolist()], pa.string())
            values = pa.array(flat[rows], pa.float64(), mask=stays[rows])
            columns = {SCORE: pa.array(flat[rows]), DROPPED_BY: rules, DROPPED_VALUE: values}
            write_table(into / part.name, pa.table(columns))


@dataclass(frozen=True)
class _AsItIs:
    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        return batch


def _sample(parts: Sequence[Path]) -> Iterator[str]:
    """Texts of parts spread evenly over the corpus, up to a size."""
    size = 0
    order = np.argsort([(number * 0.6180339887) % 1 for number in range(len(parts))], kind="stable")
    for number in order.tolist():
        for text in read_kept(parts[number], ["text"]).column("text").to_pylist():
            yield text
            size += len(text)
        if size > SAMPLED_BYTES:
            return
