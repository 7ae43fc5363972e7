"""What is done to one batch between two barriers: the pure function that every engine runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from octad_data.document import Document
from octad_data.errors import DataError
from octad_data.inputs import Skipped, Source
from octad_data.parts import Counts, read_kept, write_part
from octad_data.step import DROPPED_BY, Step, apply, drop, to_batch, with_column

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Culprit:
    """A record that ended its worker, by its place in the batch."""

    place: int
    reason: str


@dataclass(frozen=True)
class Work:
    """One batch to be done.

    Attributes:
        output: the part to write.
        steps: to apply.
        source: extracts the records; None where the input is a part.
        records: raw, of a source.
        part: input of the segment before.
        decisions: rows for the part's kept rows, of the barrier before; None where there is none.
        culprits: records to drop unseen.
        trace: where to note each record before it is touched, one at a time; None to work on the batch as a whole.
    """

    output: Path
    steps: tuple[Step, ...]
    source: Source | None = None
    records: tuple[Any, ...] = ()
    part: Path | None = None
    decisions: Path | None = None
    culprits: tuple[Culprit, ...] = ()
    trace: Path | None = None


@dataclass(frozen=True)
class Done:
    """A part that was written."""

    name: str
    counts: Counts


def do(work: Work) -> Done:
    """Read the batch, apply the steps, write the part.

    Raises:
        DataError: the input is damaged, a step refused, or the disk did.
    """
    if work.trace is not None:
        _touch_one_by_one(work, work.trace)
    kept, dropped = apply(work.steps, _batch(work, range(_size(work))))
    counts = write_part(work.output, kept, dropped)
    if work.trace is not None:
        work.trace.unlink(missing_ok=True)
    return Done(work.output.name, counts)


def culprit_of(work: Work, reason: str) -> Work:
    """What to do after the worker of a batch died: first one record at a time, then without the one that did it.

    Raises:
        DataError: every record alone was harmless.
    """
    if work.trace is None:
        return replace(work, trace=work.output.with_name(f".{work.output.name}.trace"))
    try:
        place = int(work.trace.read_text())
    except (OSError, ValueError):
        place = _size(work)
    if place >= _size(work) or any(place == culprit.place for culprit in work.culprits):
        raise DataError(
            f"batch {work.output.name}: its worker {reason}, though each record alone is harmless; "
            "use smaller batches or more memory"
        )
    return replace(work, culprits=(*work.culprits, Culprit(place, reason)))


def _size(work: Work) -> int:
    return len(work.records) if work.source is not None else _kept(work).num_rows


def _touch_one_by_one(work: Work, trace: Path) -> None:
    size = _size(work)
    for place in range(size):
        trace.write_text(str(place))
        apply(work.steps, _batch(work, range(place, place + 1)))
    trace.write_text(str(size))


def _batch(work: Work, places: range) -> "pa.RecordBatch":
    """The rows of some places, with those of culprits dropped."""
    culprits = {culprit.place: culprit.reason for culprit in work.culprits}
    if work.source is not None:
        found = [item for place in places for item in _extracted(work, place, culprits)]
        return _with_reasons(found)
    batch = _kept(work).slice(places.start, len(places))
    import numpy as np

    for place, reason in culprits.items():
        if place in places:
            batch = drop(batch, np.arange(len(places)) == place - places.start, f"engine.{reason.replace(' ', '_')}")
    return batch


def _extracted(work: Work, place: int, culprits: dict[int, str]) -> Sequence[Document | Skipped]:
    record = work.records[place]
    if place in culprits:
        name = str(getattr(record, "name", "") or getattr(record, "id", place))
        return [Skipped(name, f"{culprits[place]}: its worker did not survive it")]
    if isinstance(record, Skipped):
        return [record]
    assert work.source is not None
    return work.source.extract(record)


def _with_reasons(found: Sequence[Document | Skipped]) -> "pa.RecordBatch":
    """Documents, and skipped records as rows without text that say why: the number is the place of the reason."""
    import pyarrow as pa

    rows = [
        Document("", item.id, "", metadata={"reason": item.reason}) if isinstance(item, Skipped) else item
        for item in found
    ]
    rules = [
        f"source.{item.reason.partition(':')[0].replace(' ', '_')}" if isinstance(item, Skipped) else None
        for item in found
    ]
    return with_column(to_batch(rows), DROPPED_BY, pa.array(rules, pa.string()))


def _kept(work: Work) -> "pa.RecordBatch":
    """Kept rows of the input part, with what the barrier decided about them."""
    import pyarrow.parquet as pq

    assert work.part is not None
    table = read_kept(work.part)
    if work.decisions is not None:
        decisions = pq.read_table(work.decisions)
        if decisions.num_rows != table.num_rows:
            raise DataError(
                f"damaged decisions: {work.decisions} has {decisions.num_rows} rows for {table.num_rows}; run again"
            )
        for name in decisions.column_names:
            place = table.schema.get_field_index(name)
            column = decisions.column(name)
            table = table.set_column(place, name, column) if place >= 0 else table.append_column(name, column)
    return one_batch(table)


def one_batch(table: "pa.Table") -> "pa.RecordBatch":
    """A table as one record batch."""
    import pyarrow as pa

    whole = table.combine_chunks()
    found = whole.to_batches()
    if found:
        return found[0]
    return pa.RecordBatch.from_pylist([], schema=whole.schema)
