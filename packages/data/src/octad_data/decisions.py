"""What a barrier decided of each row, written part by part; and who of a cluster stays."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octad_data.parts import write_table
from octad_data.step import DROPPED_BY, DROPPED_VALUE

if TYPE_CHECKING:
    import pyarrow as pa


def rows_of_parts(counts: Sequence[int]) -> Iterator[slice]:
    """The rows of each part among those of all."""
    start = 0
    for count in counts:
        yield slice(start, start + count)
        start += count


def best_of(clusters: NDArray[np.int64], rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """For the number of each cluster, its row of the smallest rank; other entries mean nothing.

    Args:
        clusters: of each row the number of its cluster, which is one of its rows.
        rank: of each row, all different.
    """
    best = np.full(len(clusters), len(clusters), dtype=np.int64)
    np.minimum.at(best, clusters, rank)
    row_of_rank = np.empty(len(rank), dtype=np.int64)
    row_of_rank[rank] = np.arange(len(rank))
    is_cluster = best < len(clusters)
    best[is_cluster] = row_of_rank[best[is_cluster]]
    return best


def write_decisions(
    parts: Sequence[Path],
    counts: Sequence[int],
    goes: NDArray[np.bool_],
    rule: str,
    values: NDArray[np.floating[Any]],
    into: Path,
    columns: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write for each part which rows go by a rule, with the number that decided, and what else is known of all rows."""
    import pyarrow as pa

    for part, rows in zip(parts, rows_of_parts(counts), strict=True):
        known = {name: pa.array(column[rows]) for name, column in (columns or {}).items()}
        write_table(into / part.name, pa.table(known | dropped_columns(goes[rows], rule, values[rows])))


def dropped_columns(
    goes: NDArray[np.bool_], rule: str, values: NDArray[np.floating[Any]]
) -> "dict[str, pa.Array[Any]]":
    """The columns `dropped_by` and `dropped_value`."""
    import pyarrow as pa

    rules = pa.array([rule if gone else None for gone in goes.tolist()], pa.string())
    return {DROPPED_BY: rules, DROPPED_VALUE: pa.array(values.astype(np.float64), pa.float64(), mask=~goes)}
