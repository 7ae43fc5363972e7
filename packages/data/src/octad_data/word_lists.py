"""Words and phrases of a list, found at word borders in any language in one compiled pass."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError
from octad_data.kernel import kernel
from octad_data.list_files import read_lines, without_comment
from octad_data.step import drop, with_column
from octad_data.text_units import (
    BREAK_UNIT,
    MARK_UNIT,
    WORD_UNIT,
    mix,
    next_hash,
    read_points,
    read_units,
    tables,
    unit_room,
)
from octad_data.texts import Texts
from octad_data.url_lists import state_of

if TYPE_CHECKING:
    import pyarrow as pa

MAX_WORDS = 16  # in a phrase
WINDOW = 1 << 16  # bytes of a text worked on at once
OVERLAP = 256  # units of a window that are read again in the next, where it holds no line end; a phrase fits in
FILTER_BITS = 15  # at least; the filter has eight slots an entry or more


class WordMatcher:
    """A list, ready to be counted in texts.

    An entry is met where its words stand in a row, in any case, whatever white space or signs (but no line end) are
    between them; never inside a longer word. In scripts without spaces a character is a word, so an entry is met
    wherever its characters stand. An entry of signs only (an emoji) is met where they stand in a
    row, each once or more.

    Args:
        entries: words and phrases; the empty ones are left out.

    Raises:
        DataError: there is no entry, or one has more than 16 words.
    """

    def __init__(self, entries: list[str]) -> None:
        self.entries = tuple(dict.fromkeys(entry for entry in map(str.strip, entries) if entry))
        keys: dict[int, int] = {}
        rows, self._has_signs = [], False
        for number, entry in enumerate(self.entries):
            hashes, is_sign = _hashes(entry)
            rows.append(hashes)
            self._has_signs |= is_sign
            if len(hashes) > MAX_WORDS:
                raise DataError(f"entry {entry[:60]!r} has {len(hashes)} words; at most {MAX_WORDS} are possible")
            if len(hashes):
                keys.setdefault(int(phrase_hash(hashes)), number)
        if not keys:
            raise DataError("the list has no entry; a line an entry is expected")
        size = 1 << (2 * len(keys)).bit_length()
        self._keys, self._numbers = np.zeros(size, dtype=np.uint64), np.full(size, -1, dtype=np.int32)
        lengths = {len(hashes) for hashes in rows}
        self._is_length = np.array([size in lengths for size in range(max(lengths) + 1)], dtype=np.bool_)
        self._filter = np.zeros(1 << max(FILTER_BITS, len(keys).bit_length() + 3), dtype=np.bool_)
        fill_table(np.array(list(keys), dtype=np.uint64), np.array(list(keys.values()), dtype=np.int32),
                   self._keys, self._numbers, self._filter)  # fmt: skip

    def count(self, texts: Texts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How often entries are met in each text, and how many words it has. Overlapping entries count each.

        Cost: linear; over 50 MB/s a core.
        """
        hits, words = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=np.int64)
        room = unit_room(int(min(np.diff(texts.offsets).max(initial=0), WINDOW)))
        arguments = (texts.data, texts.offsets, *tables(), *room, *self._table(), hits, words, NOTHING)
        match_texts(*arguments)
        return hits, words

    def find(self, text: str) -> list[tuple[str, int, int]]:
        """The entry, first and end character of each meeting, in reading order."""
        texts = Texts.of([text])
        hits, _ = self.count(texts)
        found = np.zeros((int(hits[0]), 3), dtype=np.int64)
        none = np.zeros(1, dtype=np.int64)
        room = unit_room(min(texts.num_bytes, WINDOW))
        arguments = (texts.data, texts.offsets, *tables(), *room, *self._table(), none, none.copy(), found)
        match_texts(*arguments)
        meetings = sorted(found.tolist(), key=lambda row: row[1:])
        return [(self.entries[number], first, end) for number, first, end in meetings]

    def _table(self) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.bool_], NDArray[np.bool_], bool]:
        return self._keys, self._numbers, self._filter, self._is_length, self._has_signs


NOTHING = np.zeros((0, 3), dtype=np.int64)


@dataclass(frozen=True)
class WordList:
    """Count a list's entries; drop the rows that have too many.

    Attributes:
        path: the list: a line an entry, `#` comments.
        name: of the columns `words_<name>` (how often) and of the rules (`word_list.<name>`, `word_list.<name>.share`).
        at_most: most meetings that may stay; -1 for no limit, 0 drops any.
        at_most_share: most meetings a word, in [0, 1].

    Raises:
        DataError: a field is outside its range; when called, the list is missing or empty.
    """

    path: str
    name: str = ""
    at_most: int = -1
    at_most_share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.at_most_share <= 1:
            raise DataError(f"at_most_share={self.at_most_share} is not in [0, 1]; 1 sets no limit")

    def __call__(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        """The batch with the column, and the rows marked that have too many."""
        import pyarrow as pa

        matcher = _matcher(self.path, *state_of(self.path))
        hits, words = matcher.count(Texts.from_arrow(batch.column("text")))
        name = self.name or Path(self.path).stem
        batch = with_column(batch, f"words_{name}", pa.array(hits))
        if self.at_most >= 0:
            batch = drop(batch, hits > self.at_most, f"word_list.{name}", hits.astype(np.float64))
        shares = hits / np.maximum(words, 1)
        if self.at_most_share < 1:
            batch = drop(batch, shares > self.at_most_share, f"word_list.{name}.share", shares)
        return batch


@lru_cache(maxsize=16)
def _matcher(path: str, modified_ns: int, size: int) -> WordMatcher:
    return WordMatcher([without_comment(line) for line in read_lines(path)])


def _hashes(entry: str) -> tuple[NDArray[np.uint64], bool]:
    """Hashes of an entry's words; or of its signs, and True, if it has none."""
    texts = Texts.of([entry])
    points, places, hashes, kinds, bounds = unit_room(WINDOW)
    n = read_points(texts.data, 0, min(texts.num_bytes, WINDOW), points, places)
    units = read_units(points, n, *tables(), hashes, kinds, bounds)
    words = hashes[:units][kinds[:units] == WORD_UNIT]
    return (words, False) if len(words) else (hashes[:units][kinds[:units] == MARK_UNIT], True)


@kernel
def phrase_hash(hashes: NDArray[np.uint64]) -> np.uint64:
    """The key of a row of words."""
    key = np.uint64(0)
    for each in hashes:
        key = next_hash(key, each)
    return mix(key)


@kernel
def fill_table(
    keys: NDArray[np.uint64],
    numbers: NDArray[np.int32],
    table: NDArray[np.uint64],
    values: NDArray[np.int32],
    filtered: NDArray[np.bool_],
) -> None:
    """Put keys and their entries' numbers in a table with open addresses, and their upper bits in a filter."""
    size = np.uint64(len(table) - 1)
    for i in range(len(keys)):
        slot = keys[i] & size
        while values[np.int64(slot)] >= 0:
            slot = (slot + np.uint64(1)) & size
        table[np.int64(slot)] = keys[i]
        values[np.int64(slot)] = numbers[i]
        filtered[np.int64(keys[i] >> np.uint64(32)) & (len(filtered) - 1)] = True


@kernel
def match_texts(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    classes: NDArray[np.uint8],
    lower: NDArray[np.uint32],
    points: NDArray[np.uint32],
    places: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    keys: NDArray[np.uint64],
    numbers: NDArray[np.int32],
    filtered: NDArray[np.bool_],
    is_length: NDArray[np.bool_],
    has_signs: bool,
    hits: NDArray[np.int64],
    words: NDArray[np.int64],
    found: NDArray[np.int64],
) -> None:
    """Count meetings and words of all texts; write entry, first and end character of the first len(found) meetings."""
    for row in range(len(offsets) - 1):
        place, end, characters = offsets[row], offsets[row + 1], 0
        while place < end:
            n = read_points(data, place, min(end, place + WINDOW), points, places)
            if n == 0:
                break
            units = read_units(points, n, classes, lower, hashes, kinds, bounds)
            taken = units if places[n] + 3 >= end else units_to_take(kinds, units)
            next_point = bounds[2 * taken] if taken < units else n
            if has_signs:
                hits[row] += match_signs(hashes, kinds, bounds, units, taken, characters, keys, numbers, filtered,
                                         is_length, hits[row], found)  # fmt: skip
            u = 0
            while u < taken:
                u, line_words, starts = gather_line(hashes, kinds, bounds, u, units, taken)
                hits[row] += match_run(hashes, bounds, u - line_words, line_words, starts, characters, keys, numbers,
                                       filtered, is_length, hits[row], found)  # fmt: skip
                words[row] += starts
                u += 1
            characters += next_point
            place = places[next_point]


@kernel
def units_to_take(kinds: NDArray[np.uint8], units: int) -> int:
    """How many units of a window to begin phrases at; the others begin the next window, so that none is cut."""
    for u in range(units - 1, units // 2, -1):
        if kinds[u] == BREAK_UNIT:
            return u
    return max(units - OVERLAP, 1)


@kernel
def gather_line(
    hashes: NDArray[np.uint64], kinds: NDArray[np.uint8], bounds: NDArray[np.int64], u: int, units: int, taken: int
) -> tuple[int, int, int]:
    """Move the words of a line next to each other, to its end; its end, how many, and how many begin before `taken`."""
    line_end = u
    while line_end < units and kinds[line_end] != BREAK_UNIT:
        line_end += 1
    starts, to = 0, line_end
    for v in range(line_end - 1, u - 1, -1):
        if kinds[v] == WORD_UNIT:
            to -= 1
            hashes[to] = hashes[v]
            bounds[2 * to] = bounds[2 * v]
            bounds[2 * to + 1] = bounds[2 * v + 1]
            starts += v < taken
    return line_end, line_end - to, starts


@kernel
def match_signs(
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    units: int,
    taken: int,
    characters: int,
    keys: NDArray[np.uint64],
    numbers: NDArray[np.int32],
    filtered: NDArray[np.bool_],
    is_length: NDArray[np.bool_],
    before: int,
    found: NDArray[np.int64],
) -> int:
    """Meetings of entries that have no words, in runs of signs."""
    count, u = 0, 0
    while u < taken:
        first = u
        while u < units and kinds[u] == MARK_UNIT:
            u += 1
        starts = min(u, taken) - first
        count += match_run(hashes, bounds, first, u - first, starts, characters, keys, numbers, filtered, is_length,
                           before + count, found)  # fmt: skip
        u += 1
    return count


@kernel
def match_run(
    hashes: NDArray[np.uint64],
    bounds: NDArray[np.int64],
    first: int,
    n: int,
    starts: int,
    characters: int,
    keys: NDArray[np.uint64],
    numbers: NDArray[np.int32],
    filtered: NDArray[np.bool_],
    is_length: NDArray[np.bool_],
    before: int,
    found: NDArray[np.int64],
) -> int:
    """Meetings that begin at the first `starts` of n units in a row."""
    size, upper, longest, count = np.uint64(len(keys) - 1), np.uint64(len(filtered) - 1), len(is_length) - 1, 0
    for i in range(first, first + starts):
        hashed = np.uint64(0)
        for k in range(1, min(longest, first + n - i) + 1):
            hashed = next_hash(hashed, hashes[i + k - 1])
            if not is_length[k]:
                continue
            key = mix(hashed)
            if not filtered[key >> np.uint64(32) & upper]:
                continue
            slot = key & size
            while numbers[slot] >= 0 and keys[slot] != key:
                slot = (slot + np.uint64(1)) & size
            if numbers[slot] >= 0:
                if before + count < len(found):
                    found[before + count, 0] = numbers[slot]
                    found[before + count, 1] = characters + bounds[2 * i]
                    found[before + count, 2] = characters + bounds[2 * (i + k - 1) + 1]
                count += 1
    return count
