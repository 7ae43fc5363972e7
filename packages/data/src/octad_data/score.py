"""A classifier as a step: a column of probabilities, and the rows below a threshold dropped."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from octad_data.classifier import Classifier
from octad_data.errors import DataError
from octad_data.step import drop, with_column
from octad_data.texts import Texts

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Score:
    """Add the probability of a label as a column; drop the rows outside [at_least, at_most].

    Attributes:
        model: a file that `Classifier.save` wrote.
        column: the name of the column, and of the rule (`score.<column>`).
        label: whose probability; the last of the model's labels if empty.
        at_least, at_most: what is kept; 0 and 1 keep everything. `Classifier.threshold_for` finds a number.

    Raises:
        DataError: a field is outside its range; when called, the model is missing, broken, or has no such label.
    """

    model: str
    column: str = "score"
    label: str = ""
    at_least: float = 0.0
    at_most: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.at_least <= self.at_most <= 1:
            raise DataError(
                f"at_least={self.at_least}, at_most={self.at_most}: 0 <= at_least <= at_most <= 1 is needed"
            )
        if not self.model or not self.column:
            raise DataError(f"model={self.model!r}, column={self.column!r}: neither may be empty")

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with the column, and the rows marked that are outside."""
        import pyarrow as pa

        classifier = load_once(self.model)
        place = classifier.place(self.label or classifier.labels[-1])
        chances = classifier.predict(Texts.from_arrow(batch.column("text")))[:, place]
        batch = with_column(batch, self.column, pa.array(chances.astype("float32")))
        outside = (chances < self.at_least) | (chances > self.at_most)
        return drop(batch, outside, f"score.{self.column}", chances)


def load_once(path: str) -> Classifier:
    """The classifier of a file, read again only when the file has changed.

    Raises:
        DataError: as `Classifier.load`.
    """
    try:
        state = Path(path).stat()
    except OSError as error:
        raise DataError(f"classifier not found: {path}") from error
    return _load(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _load(path: str, modified_ns: int, size: int) -> Classifier:
    return Classifier.load(path)
