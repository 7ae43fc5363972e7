from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from octad_data import Document
from octad_data.errors import DataError
from octad_data.step import apply, drop, map_text, schema, to_batch, to_documents, with_column
from octad_data.texts import Texts

DOCUMENTS = [
    Document("short", "a", "s", metadata={"path": "x", "line": "3"}),
    Document("a longer text", "b", "s", "code"),
    Document("", "c", "s"),
]


@dataclass(frozen=True)
class AtLeast:
    size: int

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        sizes = np.diff(Texts.from_arrow(batch.column("text")).offsets)
        return drop(batch, sizes < self.size, f"at_least_{self.size}", sizes.astype(np.float64))


def test_documents_come_back_from_a_batch() -> None:
    batch = to_batch(DOCUMENTS)
    assert batch.schema == schema()
    assert to_documents(batch) == DOCUMENTS
    assert to_documents(to_batch([])) == []


def test_apply_keeps_the_rows_that_no_step_dropped_and_says_why_the_others_went() -> None:
    kept, dropped = apply([AtLeast(1), AtLeast(6)], to_batch(DOCUMENTS))
    assert kept.column("id").to_pylist() == ["b"]
    reasons = [(row["id"], row["dropped_by"], row["dropped_value"]) for batch in dropped for row in batch.to_pylist()]
    assert reasons == [("c", "at_least_1", 0.0), ("a", "at_least_6", 5.0)]


def test_the_first_reason_stays() -> None:
    batch = drop(to_batch(DOCUMENTS), np.array([True, False, False]), "first", np.array([1.0, 2.0, 3.0]))
    batch = drop(batch, np.array([True, True, False]), "second", np.array([4.0, 5.0, 6.0]))
    assert batch.column("dropped_by").to_pylist() == ["first", "second", None]
    assert batch.column("dropped_value").to_pylist() == [1.0, 5.0, None]


def test_a_step_that_loses_rows_is_refused_by_name() -> None:
    class Loses:
        def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
            return batch.slice(1)

    with pytest.raises(DataError, match="Loses returned 2 rows of 3"):
        apply([Loses()], to_batch(DOCUMENTS))


def test_columns_are_added_or_replaced_in_place() -> None:
    batch = with_column(to_batch(DOCUMENTS), "n", pa.array([1, 2, 3]))
    assert with_column(batch, "n", pa.array([1.5, 2, 3])).schema.field("n").type == pa.float64()
    assert map_text(batch, str.upper).column("text").to_pylist() == ["SHORT", "A LONGER TEXT", ""]
