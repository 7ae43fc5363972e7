"""Who of a cluster stays: an order of all documents by columns of the batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.parts import read_kept


def rank_of_rows(parts: Sequence[Path], counts: Sequence[int], keep: Sequence[str]) -> NDArray[np.int64]:
    """The place of each document in the order of the columns, smallest first; equal ones in the order of the parts.

    Args:
        parts: files of kept rows.
        counts: rows of each.
        keep: columns of numbers or text; `-score` puts the largest score first.

    Raises:
        DataError: a part has no such column.
    """
    keys = [_column(parts, name.removeprefix("-"), name.startswith("-")) for name in keep]
    total = sum(counts)
    order = np.lexsort((np.arange(total), *reversed(keys)))
    rank = np.empty(total, dtype=np.int64)
    rank[order] = np.arange(total)
    return rank


def _column(parts: Sequence[Path], name: str, is_reversed: bool) -> NDArray[Any]:
    pieces = []
    for part in parts:
        try:
            table = read_kept(part, [name])
        except (KeyError, ValueError) as error:
            raise DataError(f"keep: there is no column {name!r} to choose survivors by ({error})") from None
        pieces.append(table.column(name).to_numpy())
    values = np.concatenate(pieces) if pieces else np.zeros(0)
    if values.dtype == object:  # text: its place among the different values
        values = np.unique(values.astype(str), return_inverse=True)[1]
    return -values if is_reversed else values
