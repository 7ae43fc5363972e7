"""Signals of lines and paragraphs."""

import numpy as np
from numpy.typing import NDArray

from octad_data.characters import SPACE, character_classes, decode_at
from octad_data.hashing import hash_bytes, is_new, new_table
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
    _fill(texts.data, texts.offsets, words.offsets, character_classes(), mark_classes(), found)
    return found


@kernel
def _fill(
    data: NDArray[np.uint8],
    texts: NDArray[np.int64],
    offsets: NDArray[np.int64],
    classes: NDArray[np.uint8],
    marks: NDArray[np.uint8],
    found: NDArray[np.float64],
) -> None:
    for text in range(len(texts) - 1):
        start, stop = texts[text], texts[text + 1]
        characters = _length(data, start, stop)
        if characters == 0:
            continue
        row = found[text]
        row[0], row[1], row[2] = _of_any_line(data, start, stop, classes)
        row[3], row[4] = _repeats(data, start, stop, 1)
        row[4] /= characters
        low, high = _stripped(data, start, stop, classes)
        row[5], row[6] = _repeats(data, low, high, 2)
        row[6] /= characters
        row[7], row[8], row[9], new_lines = _of_full_lines(data, start, stop, classes, marks)
        row[9] /= max(characters - new_lines, 1)
        row[10] = new_lines / max(offsets[text + 1] - offsets[text], 1)


@kernel
def _length(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """Characters between two places."""
    length = 0
    for place in range(start, stop):
        length += (data[place] & 0xC0) != 0x80
    return length


@kernel
def _stripped(data: NDArray[np.uint8], start: int, stop: int, classes: NDArray[np.uint8]) -> tuple[int, int]:
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
        low, high = _stripped(data, start, end, classes)
        if high > low and (
            data[low] == 45
            or (high - low > 2 and data[low] == 0xE2 and data[low + 1] == 0x80 and data[low + 2] == 0xA2)
        ):
            bullets += 1
        ellipses += ends_in_ellipsis(data, low, high)
        start = after
    return lines, bullets / max(lines, 1), ellipses / max(lines, 1)


@kernel
def _repeats(data: NDArray[np.uint8], start: int, stop: int, new_lines: int) -> tuple[float, float]:
    """Of what stands between runs of so many new lines or more: the share that came before, and its characters."""
    pieces, repeats, characters = 0, 0, 0
    table = new_table(1 + _count_new_lines(data, start, stop))
    at = start
    while True:
        end = at
        while end < stop:
            if data[end] == NEW_LINE and _run(data, end, stop) >= new_lines:
                break
            end += 1 if data[end] != NEW_LINE else _run(data, end, stop)
        pieces += 1
        if not is_new(table, hash_bytes(data, at, end)):
            repeats += 1
            characters += _length(data, at, end)
        if end >= stop:
            break
        at = end + _run(data, end, stop)
    return repeats / pieces, float(characters)


@kernel
def _run(data: NDArray[np.uint8], at: int, stop: int) -> int:
    """New lines in a row from a place on."""
    end = at
    while end < stop and data[end] == NEW_LINE:
        end += 1
    return end - at


@kernel
def _count_new_lines(data: NDArray[np.uint8], start: int, stop: int) -> int:
    count = 0
    for place in range(start, stop):
        count += data[place] == NEW_LINE
    return count


@kernel
def _of_full_lines(
    data: NDArray[np.uint8], start: int, stop: int, classes: NDArray[np.uint8], marks: NDArray[np.uint8]
) -> tuple[float, float, float, int]:
    """Share of lines with an end mark, share of short ones, characters of repeated ones, new lines."""
    lines, marked, short, repeated, new_lines = 0, 0, 0, 0, 0
    table = new_table(1 + _count_new_lines(data, start, stop))
    while start <= stop:
        end = start
        while end < stop and data[end] != NEW_LINE:
            end += 1
        new_lines += end < stop
        low, high = _stripped(data, start, end, classes)
        if high > low:
            lines += 1
            last = end - 1
            while data[last] & 0xC0 == 0x80:
                last -= 1
            marked += (marks[decode_at(data, last)[0]] & LINE_END) != 0
            length = _length(data, start, end)
            short += length <= SHORT
            if not is_new(table, hash_bytes(data, start, end)):
                repeated += length
        start = end + 1
    return marked / max(lines, 1), short / max(lines, 1), float(repeated), new_lines
