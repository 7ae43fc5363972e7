"""Signals of lines and paragraphs."""

import numpy as np
from numpy.typing import NDArray

from octad_data.characters import SPACE, character_classes, decode_at
from octad_data.hashing import hash_bytes, is_new, table_size
from octad_data.kernel import kernel
from octad_data.sentence_marks import LINE_END, mark_classes
from octad_data.texts import Texts
from octad_data.words import Words

SHORT = 30  # characters, the end of a short line (FineWeb)
NEW_LINE = 10
LINE_NAMES = (
    "lines",  # as `str.splitlines` cuts
    "bullet_line_ratio",  # that begin with `-` or `•`
    "ellipsis_line_ratio",  # that end in `...` or `…`
    "repeated_line_ratio",  # lines that came before, among the runs between new lines
    "repeated_line_share",  # of the text's characters
    "repeated_paragraph_ratio",  # between empty lines
    "repeated_paragraph_share",
    "marked_line_ratio",  # lines with a mark at the end that ends sentences, among those not empty
    "short_line_ratio",  # of at most 30 characters
    "repeated_full_line_share",  # characters of repeated lines that are not empty, among those that are no new line
    "new_line_ratio",  # new lines a word
)


def line_signals(texts: Texts, words: Words) -> NDArray[np.float64]:
    """Values in the order of `LINE_NAMES`, shape (texts, names)."""
    found = np.zeros((len(texts), len(LINE_NAMES)))
    room = int((texts.data == NEW_LINE).sum()) + 1
    _fill(
        texts.data, texts.offsets, words.offsets, character_classes(), mark_classes(), np.empty(room, dtype=np.int64),
        np.empty(table_size(room), dtype=np.uint64), found,
    )  # fmt: skip
    return found


@kernel
def _fill(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    offsets: NDArray[np.int64],
    classes: NDArray[np.uint8],
    marks: NDArray[np.uint8],
    breaks: NDArray[np.int64],
    table: NDArray[np.uint64],
    found: NDArray[np.float64],
) -> None:
    for text in range(len(texts) - 1):
        start, stop = texts[text], texts[text + 1]
        characters = _length(data, start, stop)
        if characters == 0:
            continue
        row = found[text]
        row[0], row[1], row[2] = _of_any_line(data, start, stop, classes)
        new_lines = _find_new_lines(data, start, stop, breaks)
        ends = breaks[: new_lines + 1]
        keys = table[: table_size(new_lines + 1)]
        row[3], row[4], row[7], row[8], row[9] = _of_full_lines(data, start, ends, classes, marks, keys)
        row[4] /= characters
        row[9] /= max(characters - new_lines, 1)
        low, high = stripped(data, start, stop, classes)
        row[5], row[6] = _repeated_paragraphs(data, low, high, ends, keys)
        row[6] /= characters
        row[10] = new_lines / max(offsets[text + 1] - offsets[text], 1)


@kernel
def _length(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """Characters between two places."""
    length = 0
    for place in range(start, stop):
        length += (data[place] & 0xC0) != 0x80
    return length


@kernel
def stripped(data: NDArray[np.uint8], start: int, stop: int, classes: NDArray[np.uint8]) -> tuple[int, int]:
    """The places without white space at the ends."""
    while start < stop:
        point, after = decode_at(data, start)
        if classes[point] & SPACE == 0:
            break
        start = after
    while stop > start:
        before = stop - 1
        while data[before] & 0xC0 == 0x80:
            before -= 1
        if classes[decode_at(data, before)[0]] & SPACE == 0:
            break
        stop = before
    return start, stop


@kernel
def next_line(data: NDArray[np.uint8], at: int, stop: int) -> tuple[int, int]:
    """Where the line that begins at a place ends, and where the next begins, as `str.splitlines` has it."""
    while at < stop:
        byte = data[at]
        if 30 < byte < 0xC2:
            at += 1
            continue
        if byte == 13:
            return at, at + 2 if at + 1 < stop and data[at + 1] == 10 else at + 1
        if 10 <= byte <= 12 or 28 <= byte <= 30:
            return at, at + 1
        if byte == 0xC2 and data[at + 1] == 0x85:
            return at, at + 2
        if byte == 0xE2 and data[at + 1] == 0x80 and (data[at + 2] == 0xA8 or data[at + 2] == 0xA9):
            return at, at + 3
        at += 1
    return stop, stop


@kernel
def ends_in_ellipsis(data: NDArray[np.uint8], start: int, stop: int) -> bool:
    """Whether the last characters are `...` or `…`."""
    if stop - start < 3:
        return False
    a, b, c = data[stop - 3], data[stop - 2], data[stop - 1]
    return bool((a == 46 and b == 46 and c == 46) or (a == 0xE2 and b == 0x80 and c == 0xA6))


@kernel
def _of_any_line(
    data: NDArray[np.uint8], start: int, stop: int, classes: NDArray[np.uint8]
) -> tuple[int, float, float]:
    lines, bullets, ellipses = 0, 0, 0
    while start < stop:
        end, after = next_line(data, start, stop)
        lines += 1
        low, high = stripped(data, start, end, classes)
        if high > low and (
            data[low] == 45
            or (high - low > 2 and data[low] == 0xE2 and data[low + 1] == 0x80 and data[low + 2] == 0xA2)
        ):
            bullets += 1
        ellipses += ends_in_ellipsis(data, low, high)
        start = after
    return lines, bullets / max(lines, 1), ellipses / max(lines, 1)


@kernel
def _find_new_lines(data: NDArray[np.uint8], start: int, stop: int, breaks: NDArray[np.int64]) -> int:
    """Write down where each stands, and the end of the text behind them; how many there are."""
    count = 0
    for place in range(start, stop):
        if data[place] == NEW_LINE:
            breaks[count] = place
            count += 1
    breaks[count] = stop
    return count


@kernel
def _of_full_lines(
    data: NDArray[np.uint8],
    start: int,
    ends: NDArray[np.int64],
    classes: NDArray[np.uint8],
    marks: NDArray[np.uint8],
    keys: NDArray[np.uint64],
) -> tuple[float, float, float, float, float]:
    """Of lines that end at `ends`.

    Among what stands between runs of new lines, the share that came before, and its characters; among lines that are
    not empty, the share of those with an end mark, the share of short ones, and characters of repeated ones.
    """
    keys[:] = 0
    pieces, repeats, characters = 0, 0, 0
    lines, marked, short, repeated = 0, 0, 0, 0
    first, stop = start, int(ends[-1])
    for end in ends:
        if end > start:
            length = _length(data, start, end) if end - start <= 4 * SHORT else 4 * SHORT
            came = not is_new(keys, hash_bytes(data, start, end))
            if came:
                length = _length(data, start, end)
                repeats += 1
                characters += length
            pieces += 1
            low, high = stripped(data, start, end, classes)
            if high > low:
                lines += 1
                last = end - 1
                while data[last] & 0xC0 == 0x80:
                    last -= 1
                marked += (marks[decode_at(data, last)[0]] & LINE_END) != 0
                short += length <= SHORT
                repeated += length if came else 0
        start = end + 1
    empty = int(data[first] == NEW_LINE) + int(data[stop - 1] == NEW_LINE)  # pieces at the ends, without characters
    pieces += empty
    repeats += empty == 2
    return repeats / pieces, float(characters), marked / max(lines, 1), short / max(lines, 1), float(repeated)


@kernel
def _repeated_paragraphs(
    data: NDArray[np.uint8], start: int, stop: int, breaks: NDArray[np.int64], keys: NDArray[np.uint64]
) -> tuple[float, float]:
    """Of what stands between runs of two new lines or more: the share that came before, and its characters."""
    keys[:] = 0
    pieces, repeats, characters, index = 0, 0, 0, 0
    while breaks[index] < start:
        index += 1
    while True:
        while breaks[index] < stop and breaks[index + 1] != breaks[index] + 1:
            index += 1
        end = min(breaks[index], stop)
        pieces += 1
        if not is_new(keys, hash_bytes(data, start, end)):
            repeats += 1
            characters += _length(data, start, end)
        if end == stop:
            break
        while breaks[index + 1] == breaks[index] + 1:
            index += 1
        start = breaks[index] + 1
        index += 1
    return repeats / pieces, float(characters)
