"""The n-gram model as a step: a column of perplexities, a bucket, and the surprising rows dropped."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.ngram_model import NgramModel
from octad_data.step import drop, with_column
from octad_data.texts import Texts
from octad_data.url_lists import state_of

if TYPE_CHECKING:
    import pyarrow as pa

BUCKETS = ("head", "middle", "tail")


@dataclass(frozen=True)
class Perplexity:
    """Add a text's perplexity under a model, and `head`, `middle` or `tail`; drop what is outside.

    A document with nothing to read has neither, and stays.

    Attributes:
        model: a file that `NgramModel.save` wrote.
        column: the name of the column; the bucket's is `<column>_bucket`, the rule's `perplexity.<column>`.
        at_most, at_least: what is kept; text far too easy (`a a a a`) is no better than noise.
        head_at_most, middle_at_most: where the buckets end, from `bucket_limits`; 0 and 0 for no buckets.
        max_bytes: how much of each text is read.

    Raises:
        DataError: a field is outside its range; when called, the model is missing or broken.
    """

    model: str
    column: str = "perplexity"
    at_most: float = math.inf
    at_least: float = 0.0
    head_at_most: float = 0.0
    middle_at_most: float = 0.0
    max_bytes: int = 1 << 17

    def __post_init__(self) -> None:
        if not 0 <= self.at_least <= self.at_most:
            raise DataError(f"at_least={self.at_least}, at_most={self.at_most}: 0 <= at_least <= at_most is needed")
        if not 0 <= self.head_at_most <= self.middle_at_most:
            raise DataError(
                f"head_at_most={self.head_at_most} is above middle_at_most={self.middle_at_most}; give both, rising"
            )
        if not self.model or not self.column or self.max_bytes < 1:
            raise DataError(f"model={self.model!r}, column={self.column!r}, max_bytes={self.max_bytes}: all are needed")

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with the columns, and the rows marked that are outside."""
        import pyarrow as pa

        model = _load(self.model, *state_of(self.model))
        values = model.perplexity(Texts.from_arrow(batch.column("text")), self.max_bytes)
        batch = with_column(batch, self.column, pa.array(values, pa.float64(), from_pandas=True))
        if self.middle_at_most:
            names = [None if math.isnan(value) else self._bucket(value) for value in values.tolist()]
            batch = with_column(batch, f"{self.column}_bucket", pa.array(names, pa.string()))
        outside = (values > self.at_most) | (values < self.at_least)
        return drop(batch, outside, f"perplexity.{self.column}", values)

    def _bucket(self, value: float) -> str:
        return BUCKETS[(value > self.head_at_most) + (value > self.middle_at_most)]


def bucket_limits(perplexities: NDArray[np.float64], head: float = 1 / 3, middle: float = 2 / 3) -> tuple[float, float]:
    """Where `head` and `middle` end so that they hold these shares of a sample of the corpus (CCNet: thirds).

    Raises:
        DataError: no finite perplexity, or shares that do not rise inside [0, 1].
    Source: Wenzek et al. 2020 (arXiv 1911.00359).
    """
    finite = perplexities[np.isfinite(perplexities)]
    if not len(finite):
        raise DataError("there is no finite perplexity; give a sample of the corpus")
    if not 0 <= head <= middle <= 1:
        raise DataError(f"head={head}, middle={middle}: 0 <= head <= middle <= 1 is needed")
    first, second = np.quantile(finite, (head, middle)).tolist()
    return first, second


@lru_cache(maxsize=4)
def _load(path: str, modified_ns: int, size: int) -> NgramModel:
    return NgramModel.load(path)
