"""A text as code points, and these as units (words, marks, line breaks) with 64-bit hashes, for kernels."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from octad_data.characters import MARK, SPACE, UNSPACED, WORD, character_classes, decode_at, lower_case
from octad_data.kernel import kernel

WORD_UNIT, MARK_UNIT, BREAK_UNIT = 1, 2, 4  # a word; a run of one sign of punctuation or symbol; the end of a line
NEW_LINE = 10

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd: 2**64 / golden ratio
MIX_1, MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)  # MurmurHash3's finaliser (Appleby 2011)
SHIFT = np.uint64(33)


@cache
def tables() -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Classes and lower case of every code point, as the kernels want them."""
    return character_classes(), lower_case()


UnitRoom = tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint8], NDArray[np.int64]]


def unit_room(size_bytes: int) -> UnitRoom:
    """Points, places, hashes, kinds and bounds: what `read_points` and `read_units` write for so many bytes."""
    n = size_bytes + 8
    numbers = np.empty(n, np.uint32), np.empty(n, np.int64), np.empty(n, np.uint64)
    return (*numbers, np.empty(n, np.uint8), np.empty(2 * n, np.int64))


@kernel
def mix(x: np.uint64) -> np.uint64:
    """A bijection of 64 bits in which each input bit moves half of the output bits."""
    x = (x ^ (x >> SHIFT)) * MIX_1
    x = (x ^ (x >> SHIFT)) * MIX_2
    return x ^ (x >> SHIFT)


@kernel
def next_hash(before: np.uint64, value: np.uint64) -> np.uint64:
    """The hash of a sequence that is longer by one value; not yet mixed."""
    return (before ^ value) * MULTIPLIER + (before >> SHIFT)


@kernel
def read_points(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    points: NDArray[np.uint32],
    places: NDArray[np.int64],
) -> int:
    """Code points of data[start:end] and where each begins; the number of them. A cut last character is left out.

    `points` and `places` are written, at least end - start + 1 long; the last place is the end.
    """
    n, place, safe = 0, start, len(data) - 4
    while place < end:
        byte = data[place]
        if byte < 0x80:
            points[n] = byte
            places[n] = place
            n += 1
            place += 1
            continue
        point, after = decode_at(data, place) if place <= safe else _careful(data, place)
        if after > end:
            break
        points[n] = point if point <= 0x10FFFF else 0xFFFD  # only broken UTF-8 has more
        places[n] = place
        n += 1
        place = after
    places[n] = place
    return n


@kernel
def _careful(data: NDArray[np.uint8], place: int) -> tuple[int, int]:
    first = int(np.int64(data[place]))
    size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if place + size > len(data):
        return 0xFFFD, place + size
    return decode_at(data, place)


@kernel
def read_units(
    points: NDArray[np.uint32],
    n: int,
    classes: NDArray[np.uint8],
    lower: NDArray[np.uint32],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    bounds: NDArray[np.int64],
) -> int:
    """Units of n code points, lower-cased: hash, kind, first point and point after; the number of them.

    A word is a run of letters, marks and digits; a character of a script without spaces is a word of its own; a sign
    repeated (`!!!`) is one unit, as is a run of line ends. Other white space only separates. `hashes`, `kinds` and
    `bounds` are written, at least n, n and 2 n long.
    """
    units, i = 0, 0
    while i < n:
        first = i
        point = points[i]
        bits = classes[point]
        hashed = np.uint64(0)
        i += 1
        if bits & WORD:
            kind = WORD_UNIT
            hashed = next_hash(hashed, np.uint64(lower[point]))
            if bits & UNSPACED:
                while i < n and classes[points[i]] & MARK and not classes[points[i]] & UNSPACED:
                    i += 1
            else:
                while i < n:
                    point = points[i]
                    bits = classes[point]
                    if not bits & WORD or bits & UNSPACED:
                        break
                    hashed = next_hash(hashed, np.uint64(lower[point]))
                    i += 1
        elif bits & SPACE:
            if point != NEW_LINE:
                continue
            kind = BREAK_UNIT
            while i < n and classes[points[i]] & SPACE:
                i += 1
            hashed = np.uint64(NEW_LINE)
        else:
            kind = MARK_UNIT
            while i < n and points[i] == point:
                i += 1
            hashed = np.uint64(point) | np.uint64(1 << 40)
        hashes[units] = mix(hashed + np.uint64(kind))
        kinds[units] = kind
        bounds[2 * units] = first
        bounds[2 * units + 1] = i
        units += 1
    return units
