"""Hashes of bytes and open tables of 64-bit keys, for the inside of compiled loops."""

import numpy as np
from numpy.typing import NDArray

from octad_data.kernel import allocating_kernel, kernel

START = np.uint64(0xCBF29CE484222325)
MULTIPLIER = np.uint64(0xFF51AFD7ED558CCD)
MULTIPLIER_2 = np.uint64(0xC4CEB9FE1A85EC53)
SPREAD = np.uint64(0x9E3779B97F4A7C15)
SHIFT = np.uint64(32)
EMPTY = np.uint64(0)


@kernel
def mixed(value: np.uint64) -> np.uint64:
    """A bijection in which each bit of the input changes half of the output's (MurmurHash3 fmix64, as `scramble`)."""
    value = (value ^ (value >> np.uint64(33))) * MULTIPLIER
    value = (value ^ (value >> np.uint64(33))) * MULTIPLIER_2
    return value ^ (value >> np.uint64(33))


@kernel
def finished(value: np.uint64) -> np.uint64:
    """The end of a hash: each bit spread over the others; never 0, which marks an empty place."""
    value = (value ^ (value >> SHIFT)) * MULTIPLIER
    value ^= value >> SHIFT
    return value | np.uint64(1)


@kernel
def eight_bytes(data: NDArray[np.uint8], place: int) -> np.uint64:
    """data[place : place + 8] as one number, the first byte lowest: one load."""
    word = np.uint64(0)
    for index in range(8):
        word |= np.uint64(data[place + index]) << np.uint64(8 * index)
    return word


@kernel
def hash_bytes(data: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """64 bits of data[start:end], never 0; eight bytes a step, the last ones with their number in front."""
    value = START
    place = start
    while place + 8 <= end:
        value = (value ^ eight_bytes(data, place)) * MULTIPLIER
        value ^= value >> SHIFT
        place += 8
    rest = end - place
    word = np.uint64(0)
    if rest and end >= 8:  # with those before, which are shifted out
        word = eight_bytes(data, end - 8) >> np.uint64(64 - 8 * rest)
    else:
        for index in range(rest):
            word |= np.uint64(data[place + index]) << np.uint64(8 * index)
    value = (value ^ (word | np.uint64(rest) << np.uint64(56))) * MULTIPLIER
    return finished(value ^ (value >> SHIFT))


@kernel
def table_size(count: int) -> int:
    """Places of a table with room for so many keys, at most half full; a power of two."""
    size = 16
    while size < 2 * count:
        size *= 2
    return size


@allocating_kernel
def new_table(count: int) -> NDArray[np.uint64]:
    """An empty table with room for so many keys."""
    return np.zeros(table_size(count), dtype=np.uint64)


@kernel
def find(keys: NDArray[np.uint64], key: np.uint64) -> int:
    """The place of a key, -1 where it is not."""
    mask = len(keys) - 1
    place = int(np.int64((key * SPREAD) >> SHIFT) & mask)
    while keys[place] != EMPTY:
        if keys[place] == key:
            return place
        place = (place + 1) & mask
    return -1


@kernel
def add(keys: NDArray[np.uint64], key: np.uint64) -> int:
    """The place of a key, which is put there where it is new."""
    mask = len(keys) - 1
    place = int(np.int64((key * SPREAD) >> SHIFT) & mask)
    while keys[place] != EMPTY and keys[place] != key:
        place = (place + 1) & mask
    keys[place] = key
    return place


@kernel
def is_new(keys: NDArray[np.uint64], key: np.uint64) -> bool:
    """Whether a key was not there; it is now."""
    mask = len(keys) - 1
    place = int(np.int64((key * SPREAD) >> SHIFT) & mask)
    while keys[place] != EMPTY:
        if keys[place] == key:
            return False
        place = (place + 1) & mask
    keys[place] = key
    return True


@kernel
def insert(keys: NDArray[np.uint64], entries: NDArray[np.int32], key: np.uint64, entry: int) -> None:
    """Put a key and its entry into a table."""
    entries[add(keys, key)] = entry
