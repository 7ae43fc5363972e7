"""All suffixes of a sequence in order, in linear time (induced sorting; Nong, Zhang and Chan 2009)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.kernel import allocating_kernel, kernel

Values = NDArray[np.integer[Any]]
Places = NDArray[np.int32]
MAX_SIZE = 2**31 - 2
EMPTY = -1


def suffix_array(values: Values) -> Places:
    """Where each suffix of values begins, the smallest suffix first; int32, shape (len(values),).

    A suffix is smaller than another that it begins.

    Args:
        values: bytes (uint8), or whole numbers >= 0 such as tokens.

    Raises:
        DataError: 2**31 - 2 values or more, or a negative one.
    Cost: about 0.15 microseconds and 10 bytes of memory a byte, the answer included.
    """
    if len(values) > MAX_SIZE:
        raise DataError(f"{len(values)} values do not fit 32-bit places; split them in parts of less than {MAX_SIZE}")
    if len(values) and int(values.min()) < 0:
        raise DataError(f"values reach down to {values.min()}; give bytes or tokens, which are not negative")
    if values.dtype != np.uint8:
        distinct, values = np.unique(values, return_inverse=True)
        return _suffix_array(values.astype(np.int32), len(distinct))
    return _suffix_array(np.ascontiguousarray(values), 256)


def _suffix_array(values: Values, alphabet: int) -> Places:
    suffixes = np.full(len(values), EMPTY, dtype=np.int32)
    if len(values) < 2:
        suffixes[:] = 0
        return suffixes
    is_small = _small_types(values)
    counts = np.bincount(values, minlength=alphabet)
    starts = _leftmost(is_small)  # in the order of the text
    _induce(values, is_small, counts, starts, suffixes)
    count = _keep_leftmost(is_small, suffixes)
    names, distinct = _name(values, is_small, suffixes, count, starts)
    if distinct < count:
        order = _suffix_array(names, distinct)
        starts = starts[order]
    else:
        starts = suffixes[:count].copy()
    del names
    suffixes[:] = EMPTY
    _induce(values, is_small, counts, starts, suffixes)
    return suffixes


@allocating_kernel
def _small_types(values: Values) -> NDArray[np.bool_]:
    """Whether each suffix is smaller than the next; the empty suffix is the smallest of all."""
    is_small = np.zeros(len(values), dtype=np.bool_)
    for place in range(len(values) - 2, -1, -1):
        here, following = values[place], values[place + 1]
        is_small[place] = here < following or (here == following and is_small[place + 1])
    return is_small


@kernel
def _is_leftmost(is_small: NDArray[np.bool_], place: int) -> bool:
    return place > 0 and is_small[place] and not is_small[place - 1]


@allocating_kernel
def _leftmost(is_small: NDArray[np.bool_]) -> Places:
    """Places of small suffixes that follow a large one: what all others are induced from."""
    count = 0
    for place in range(1, len(is_small)):
        count += is_small[place] and not is_small[place - 1]
    starts = np.empty(count, dtype=np.int32)
    at = 0
    for place in range(1, len(is_small)):
        if is_small[place] and not is_small[place - 1]:
            starts[at] = place
            at += 1
    return starts


@allocating_kernel
def _induce(
    values: Values, is_small: NDArray[np.bool_], counts: NDArray[np.int64], starts: Places, suffixes: Places
) -> None:
    """Sort all suffixes by their beginnings, given the leftmost small ones in order; suffixes comes in empty."""
    size = len(values)
    ends = np.cumsum(counts)
    for at in range(len(starts) - 1, -1, -1):
        value = values[starts[at]]
        ends[value] -= 1
        suffixes[ends[value]] = starts[at]
    heads = np.cumsum(counts) - counts
    last = values[size - 1]
    suffixes[heads[last]] = size - 1
    heads[last] += 1
    for at in range(size):
        before = suffixes[at] - 1
        if before >= 0 and not is_small[before]:
            value = values[before]
            suffixes[heads[value]] = before
            heads[value] += 1
    ends = np.cumsum(counts)
    for at in range(size - 1, -1, -1):
        before = suffixes[at] - 1
        if before >= 0 and is_small[before]:
            value = values[before]
            ends[value] -= 1
            suffixes[ends[value]] = before


@kernel
def _keep_leftmost(is_small: NDArray[np.bool_], suffixes: Places) -> int:
    """Move the leftmost small suffixes to the front, in order; how many they are."""
    count = 0
    for at in range(len(suffixes)):
        if _is_leftmost(is_small, suffixes[at]):
            suffixes[count] = suffixes[at]
            count += 1
    return count


@allocating_kernel
def _name(
    values: Values, is_small: NDArray[np.bool_], suffixes: Places, count: int, starts: Places
) -> tuple[Places, int]:
    """Number the stretches between leftmost small suffixes by their order, equal ones alike; and how many differ.

    The sorted ones are suffixes[:count]; the rest of that array is free: two starts are two places apart at least, so
    the number of the stretch at p is put at count + p // 2.
    """
    size = len(values)
    suffixes[count:] = EMPTY
    name, previous, previous_end = 0, EMPTY, EMPTY
    for at in range(count):
        start = suffixes[at]
        end = start + 1
        while end < size and not _is_leftmost(is_small, end):
            end += 1
        is_new = previous == EMPTY or end == size or previous_end == size or end - start != previous_end - previous
        offset = 0
        while not is_new and offset <= end - start:
            is_new = values[start + offset] != values[previous + offset]
            offset += 1
        name += is_new
        suffixes[count + start // 2] = name - 1
        previous, previous_end = start, end
    names = np.empty(count, dtype=np.int32)
    for at in range(count):
        names[at] = suffixes[count + starts[at] // 2]
    return names, name


@allocating_kernel
def common_prefixes(values: Values, suffixes: Places) -> Places:
    """How many values each suffix shares with the one before it in the order; at the place of the suffix in the text.

    Cost: linear (Kärkkäinen, Manzini and Puglisi 2009); 4 bytes a value.
    """
    size = len(values)
    shared = np.empty(size, dtype=np.int32)  # first the suffix before, then the answer in its place
    for at in range(size):
        shared[suffixes[at]] = suffixes[at - 1] if at else EMPTY
    length = 0
    for place in range(size):
        other = shared[place]
        if other == EMPTY:
            length = 0
        else:
            while max(place, other) + length < size and values[place + length] == values[other + length]:
                length += 1
        shared[place] = length
        length = max(length - 1, 0)
    return shared
