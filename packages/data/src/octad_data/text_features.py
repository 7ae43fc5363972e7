"""What a linear classifier sees of a text: counts of hashed n-grams, and a few plain signals.

An n-gram is hashed to one of 2**bits columns; the columns are many enough that collisions cost little, and no
vocabulary has to be kept. Words come from `units`, characters are lower-cased with each run of white space as one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from octad_data.characters import DIGIT, LETTER, PUNCTUATION, SPACE, SYMBOL, UPPER
from octad_data.kernel import allocating_kernel, kernel
from octad_data.text_units import (
    BREAK_UNIT,
    MARK_UNIT,
    NEW_LINE,
    mix,
    next_hash,
    read_points,
    read_units,
    tables,
    unit_room,
)
from octad_data.texts import Texts

SIGNALS = (
    "log_characters",
    "log_words",
    "log_lines",
    "word_length",
    "word_length_spread",
    "letters",
    "digits",
    "upper_case",
    "punctuation",
    "symbols",
    "not_ascii",
    "full_stops",
    "commas",
    "exclamation_marks",
    "question_marks",
    "colons",
    "bars",
    "quotation_marks",
    "brackets",
    "slashes",
    "at_and_hash",
    "distinct_words",
    "distinct_words_root",
    "distinct_lines",
    "lines_that_end_a_sentence",
    "lines_of_up_to_3_words",
    "log_mean_line_words",
    "log_longest_line_words",
    "words_in_long_lines",
    "capitalised_words",
    "all_upper_words",
    "one_letter_words",
)
NUM_SIGNALS = len(SIGNALS)
SEEN_BITS = 16  # slots in which distinct words and lines are told apart; collisions only shade a signal
WORD_SALT, CHARACTER_SALT = 0x51ED270B, 0x2545F491


@dataclass(frozen=True)
class Features:
    """Rows of counts in compressed form; row i has `columns[starts[i] : starts[i + 1]]`, ascending, and their counts.

    Attributes:
        starts: int64, shape (rows + 1,).
        columns: int32.
        counts: float32.
        signals: float32, shape (rows, 32), in the order of `SIGNALS`.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    counts: NDArray[np.float32]
    signals: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True)
class Ngrams:
    """Which n-grams are counted.

    Attributes:
        words: the longest run of units, 0 for none.
        min_characters, max_characters: sizes of runs of characters; max 0 for none.
        bits: log2 of the number of columns.
        max_bytes: how much of a text is read, from its beginning.
    """

    words: int
    min_characters: int
    max_characters: int
    bits: int
    max_bytes: int

    def per_byte(self) -> int:
        """n-grams that one byte can begin, at most."""
        return self.words + max(self.max_characters - self.min_characters + 1, 0) if self.max_characters else self.words


def features(texts: Texts, ngrams: Ngrams) -> Features:
    """The counts and signals of all texts."""
    work = Work(texts, ngrams)
    rows, columns, counts = len(texts), [], []
    starts = np.zeros(rows + 1, dtype=np.int64)
    signals = np.zeros((rows, NUM_SIGNALS), dtype=np.float32)
    for row in range(rows):
        found = work.count(texts, row, signals[row])
        order = np.sort(work.touched[:found])
        columns.append(order)
        counts.append(work.counts[order])
        work.counts[order] = 0
        starts[row + 1] = starts[row] + found
    empty = (np.empty(0, np.int32), np.empty(0, np.float32))
    return Features(starts, np.concatenate([empty[0], *columns]), np.concatenate([empty[1], *counts]), signals)


class Work:
    """The arrays that `count_text` writes to, made once for many texts."""

    def __init__(self, texts: Texts, ngrams: Ngrams) -> None:
        longest = int(min(np.diff(texts.offsets).max(initial=0), ngrams.max_bytes))
        self.ngrams = ngrams
        self.room = unit_room(longest)
        self.counts = np.zeros(1 << ngrams.bits, dtype=np.float32)
        self.touched = np.empty(min(1 << ngrams.bits, longest * ngrams.per_byte()) + 1, dtype=np.int32)
        self.origins = np.empty((len(self.touched), 3), dtype=np.int32)
        self.seen = np.zeros(2 << SEEN_BITS, dtype=np.int64)
        self.stamp = 0

    def count(self, texts: Texts, row: int, signals: NDArray[np.float32]) -> int:
        """Count one text into `counts`; the number of columns touched, which are in `touched`."""
        start = int(texts.offsets[row])
        end = int(min(texts.offsets[row + 1], start + self.ngrams.max_bytes))
        self.stamp += 1
        return int(count_text(texts.data, start, end, *self.arguments(), self.stamp, signals))

    def arguments(self) -> "Arguments":
        """What `count_text` takes after the place of the text."""
        n = self.ngrams
        sizes = (n.words, n.min_characters, n.max_characters, n.bits)
        return (*tables(), *sizes, *self.room, self.counts, self.touched, self.origins, self.seen)


Arguments = tuple[
    NDArray[np.uint8],
    NDArray[np.uint32],
    int,
    int,
    int,
    int,
    NDArray[np.uint32],
    NDArray[np.int64],
    NDArray[np.uint64],
    NDArray[np.uint8],
    NDArray[np.int64],
    NDArray[np.float32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int64],
]


@kernel
def count_text(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    classes: NDArray[np.uint8],
    lower: NDArray[np.uint32],
    words: int,
    min_characters: int,
    max_characters: int,
    bits: int,
    points: NDArray[np.uint32],
    places: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    counts: NDArray[np.float32],
    touched: NDArray[np.int32],
    origins: NDArray[np.int32],
    seen: NDArray[np.int64],
    stamp: int,
    signals: NDArray[np.float32],
) -> int:
    """Counts and signals of one text; the number of columns touched.

    `counts` (2**bits long) is all zero before, and `stamp` a number that no earlier text had in `seen`; `touched` gets
    the columns that are not zero now, `origins` the points of the first n-gram in each and
    whether it is one of characters, `signals` the signals.
    """
    n = read_points(data, start, end, points, places)
    units = read_units(points, n, classes, lower, hashes, kinds, bounds)
    read_signals(points, n, classes, hashes, kinds, bounds, units, seen, stamp, signals)
    found = 0
    if words:
        found = count_words(hashes, bounds, units, words, bits, counts, touched, origins, found)
    if max_characters:
        sizes = (min_characters, max_characters)
        found = count_characters(points, n, classes, lower, sizes, bits, counts, touched, origins, found)
    return found


@allocating_kernel
def count_words(
    hashes: NDArray[np.uint64],
    bounds: NDArray[np.int64],
    units: int,
    words: int,
    bits: int,
    counts: NDArray[np.float32],
    touched: NDArray[np.int32],
    origins: NDArray[np.int32],
    found: int,
) -> int:
    """Count the runs of 1..words units."""
    shift = np.uint64(64 - bits)
    last = np.zeros(words + 1, dtype=np.uint64)  # last[k]: hash of the last k units
    last[0] = WORD_SALT
    for i in range(units):
        for k in range(min(words, i + 1), 0, -1):
            last[k] = next_hash(last[k - 1], hashes[i])
            column = np.int64(mix(last[k]) >> shift)
            touched[found] = column  # stays where the column is new
            origins[found, 0] = bounds[2 * (i - k + 1)]
            origins[found, 1] = bounds[2 * i + 1]
            origins[found, 2] = 0
            found += counts[column] == 0
            counts[column] += 1
    return found


@allocating_kernel
def count_characters(
    points: NDArray[np.uint32],
    n: int,
    classes: NDArray[np.uint8],
    lower: NDArray[np.uint32],
    sizes: tuple[int, int],
    bits: int,
    counts: NDArray[np.float32],
    touched: NDArray[np.int32],
    origins: NDArray[np.int32],
    found: int,
) -> int:
    """Count the runs of smallest..largest characters."""
    shift = np.uint64(64 - bits)
    smallest, largest = sizes
    last = np.zeros(largest + 1, dtype=np.uint64)
    last[0] = CHARACTER_SALT
    begins = np.zeros(largest, dtype=np.int64)  # where the last characters that count are, in a ring
    length, ring, was_space = 0, 0, False
    for i in range(n):
        point = lower[points[i]]
        if classes[points[i]] & SPACE:
            if was_space:
                continue
            was_space = True
            if point != NEW_LINE:
                point = np.uint32(32)
        else:
            was_space = False
        begins[ring] = i
        ring = ring + 1 if ring + 1 < largest else 0
        length += 1
        for k in range(min(largest, length), 0, -1):
            last[k] = next_hash(last[k - 1], np.uint64(point))
            if k >= smallest:
                column = np.int64(mix(last[k]) >> shift)
                touched[found] = column  # stays where the column is new; half are, too many to guess
                origins[found, 0] = begins[ring - k if ring >= k else ring - k + largest]
                origins[found, 1] = i + 1
                origins[found, 2] = 1
                found += counts[column] == 0
                counts[column] += 1
    return found


@allocating_kernel
def read_signals(
    points: NDArray[np.uint32],
    n: int,
    classes: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    bounds: NDArray[np.int64],
    units: int,
    seen: NDArray[np.int64],
    stamp: int,
    signals: NDArray[np.float32],
) -> None:
    """Write `SIGNALS` of one text."""
    letters = digits = upper = punctuation = symbols = wide = 0
    ascii_counts = np.zeros(128, dtype=np.int64)
    for i in range(n):
        point = points[i]
        bits = classes[point]
        letters += (bits & LETTER) != 0
        digits += (bits & DIGIT) != 0
        upper += (bits & UPPER) != 0
        punctuation += (bits & PUNCTUATION) != 0
        symbols += (bits & SYMBOL) != 0
        if point < 128:
            ascii_counts[point] += 1
        else:
            wide += 1
    words = length_sum = length_squares = capitalised = shouted = single = distinct = 0
    lines = distinct_lines = sentence_lines = short_lines = longest = in_long = line_words = 0
    line_hash = np.uint64(0)
    last_point = 0
    for u in range(units + 1):
        if u == units or kinds[u] == BREAK_UNIT:
            if line_words or line_hash:
                lines += 1
                slot = (1 << SEEN_BITS) + np.int64(mix(line_hash) >> np.uint64(64 - SEEN_BITS))
                distinct_lines += seen[slot] != stamp
                seen[slot] = stamp
                sentence_lines += last_point in (46, 33, 63, 34, 0x201D, 0x2026, 0x3002, 0xFF01, 0xFF1F, 0x964)
                short_lines += line_words <= 3
                longest = max(longest, line_words)
                in_long += line_words if line_words >= 20 else 0
            line_words, line_hash = 0, np.uint64(0)
            continue
        first, after = bounds[2 * u], bounds[2 * u + 1]
        line_hash = next_hash(line_hash, hashes[u])
        last_point = points[first]
        if kinds[u] == MARK_UNIT:
            continue
        last_point = 0
        words += 1
        line_words += 1
        size = after - first
        length_sum += size
        length_squares += size * size
        single += size == 1
        is_upper = (classes[points[first]] & UPPER) != 0
        capitalised += is_upper
        shouted += is_upper and size > 1 and (classes[points[after - 1]] & UPPER) != 0
        slot = np.int64(hashes[u] >> np.uint64(64 - SEEN_BITS))
        distinct += seen[slot] != stamp
        seen[slot] = stamp
    w, c, ln = max(words, 1), max(n, 1), max(lines, 1)
    mean = length_sum / w
    a = ascii_counts
    values = (
        np.log1p(n), np.log1p(words), np.log1p(lines),
        mean, np.sqrt(max(length_squares / w - mean * mean, 0.0)),
        letters / c, digits / c, upper / c, punctuation / c, symbols / c, wide / c,
        a[46] / w, a[44] / w, a[33] / w, a[63] / w, a[58] / w, a[124] / w,
        (a[34] + a[39]) / w, (a[40] + a[91] + a[123]) / w, a[47] / w, (a[64] + a[35]) / w,
        distinct / w, distinct / np.sqrt(w), distinct_lines / ln,
        sentence_lines / ln, short_lines / ln, np.log1p(words / ln), np.log1p(longest), in_long / w,
        capitalised / w, shouted / w, single / w,
    )  # fmt: skip
    for i in range(NUM_SIGNALS):
        signals[i] = values[i]
