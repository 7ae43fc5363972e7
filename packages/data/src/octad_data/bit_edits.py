"""The fewest edits between a pattern and a stretch of a text: 64 rows of the table of edits in a number.

Neighbours in the table differ by -1, 0 or 1, so that a column is two strings of bits, and the next column follows from
it by a few operations on whole numbers (Myers 1999, "A fast bit-vector algorithm for approximate string matching based
on dynamic programming"; several numbers a column: Hyyrö 2003).
"""

import numpy as np
from numpy.typing import NDArray

from octad_data.hashing import add, find, table_size
from octad_data.kernel import allocating_kernel, kernel

ONE = np.uint64(1)
TOP = np.uint64(63)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@allocating_kernel
def edit_share(pattern: NDArray[np.uint64], text: NDArray[np.uint64]) -> float:
    """1 less the share of a pattern that must be edited (put in, taken out, replaced) for it to stand in a text.

    Args:
        pattern: symbols that are not 0, shape (m,).
        text: symbols, shape (n,).

    Cost: about n * (1 + m / 64) * 2 ns.
    """
    keys = np.zeros(table_size(len(pattern)), dtype=np.uint64)
    blocks = (len(pattern) + 63) // 64
    masks = np.zeros((len(pattern) + 1, blocks), dtype=np.uint64)
    numbers = np.empty(len(keys), dtype=np.int64)
    columns = np.empty((2, blocks), dtype=np.uint64)
    return 1.0 - _fewest_edits(pattern, text, keys, numbers, masks, columns[0], columns[1]) / max(len(pattern), 1)


@kernel
def _fewest_edits(
    pattern: NDArray[np.uint64],
    text: NDArray[np.uint64],
    keys: NDArray[np.uint64],
    numbers: NDArray[np.int64],
    masks: NDArray[np.uint64],
    rises: NDArray[np.uint64],
    falls: NDArray[np.uint64],
) -> int:
    """Edits that turn the pattern into the stretch that needs the fewest.

    Args:
        pattern: not 0.
        text: in which a stretch may begin and end anywhere.
        keys: an empty table with room for the pattern.
        numbers: as long, filled with the number of each symbol.
        masks: zeros, shape (symbols + 1, blocks): bits where each symbol stands; the last row stays empty.
        rises: of a column, bits of rows that are one more than the row above.
        falls: one less.
    """
    distinct, blocks = 0, masks.shape[1]
    for row in range(len(pattern)):
        place = find(keys, pattern[row])
        if place < 0:
            place = add(keys, pattern[row])
            numbers[place] = distinct
            distinct += 1
        masks[numbers[place], row >> 6] |= ONE << np.uint64(row & 63)
    for block in range(blocks):
        rises[block], falls[block] = ALL, 0
    last_bit = np.uint64((len(pattern) - 1) & 63)
    edits = fewest = len(pattern)
    for symbol in text:
        place = find(keys, symbol)
        mask = masks[numbers[place] if place >= 0 else len(masks) - 1]
        step = 0  # from the column before to this one in the row above the block: 0 at the top, where all may begin
        for block in range(blocks):
            equal, rise, fall = mask[block], rises[block], falls[block]
            below = equal | fall
            if step < 0:
                equal |= ONE
            along = (((equal & rise) + rise) ^ rise) | equal
            more, less = fall | ~(along | rise), rise & along
            bit = TOP if block + 1 < blocks else last_bit
            above = step
            step = int(np.int64(more >> bit & ONE)) - int(np.int64(less >> bit & ONE))
            more, less = more << ONE, less << ONE
            if above < 0:
                less |= ONE
            elif above > 0:
                more |= ONE
            rises[block], falls[block] = less | ~(below | more), more & below
        edits += step
        fewest = min(fewest, edits)
    return fewest
