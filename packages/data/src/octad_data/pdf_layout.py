"""From the pieces of a page to its lines in reading order: columns found by the white between them."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from octad_data.kernel import allocating_kernel, kernel
from octad_data.pdf_characters import Piece

X0, X1, BASE, SIZE, LENGTH = range(5)  # columns of the array that the kernels read
SAME_LINE = 0.45  # of the size: base lines this near are one line
ONE_LINE = 0.9  # the same where lines are only counted; they are seldom set nearer
CELL_GAP = 2.2  # sizes; a wider gap within a line parts two cells of a table
NEAR_CELLS = 1.2  # the same in a line that has a wide one
BIN = 2.0  # points; the grain in which white is looked for
MAX_BINS = 50_000
MAX_CROSSING = 0.4  # of the pieces may run across the white: titles, abstracts, wide figures
GUTTER = 0.6  # sizes; the least width of the white between columns
TRIES = 3  # the widest whites that are looked at
STRIP_GAP = 0.9  # sizes; white between lines that may part a table from columns of text
MIN_ROWS = 4  # a column of fewer lines is read as part of its rows
MIN_CHARACTERS, MIN_FILL = 14, 0.5  # of the lines of text in columns; the cells of tables have less
ROWWISE_CHARACTERS, ROWWISE_FILL = 20, 0.62  # the same, where the file itself goes from side to side
LEVEL_ROWS = 0.7  # of the pieces stand on one base line with one across the white in tables, fewer in most columns
JUTS = 1.5  # sizes; how far a line may reach over the middle of the white and still belong to its column
LEFT, RIGHT, ACROSS = 0, 1, 2
SAME_WHITE = 12.0  # points; strips whose white is this near go on as the same columns
MAX_DEPTH = 6
MAX_PIECES = 20_000  # of a page that is laid out; a map or a drawing may have more, and keeps the file's order

Places = NDArray[np.float64]
Indices = NDArray[np.int64]


class Line(NamedTuple):
    """A line of text in its column.

    Attributes:
        x0: where it begins, in points.
        x1: where it ends.
        base: its base line; larger is further up.
        size: of its type.
        text: of the line, cells parted by tabs.
        column: number of the column it stands in, unique on its page.
        turn: of its pieces.
    """

    x0: float
    x1: float
    base: float
    size: float
    text: str
    column: int
    turn: int


def reading_order(pieces: Sequence[Piece]) -> list[Line]:
    """All lines of a page: the text that stands upright, then what is turned.

    Cost: 0.5 ms for a page of 100 pieces.
    """
    lines: list[Line] = []
    for turn, group in by_turn(pieces):
        number = lines[-1].column + 1 if lines else 0
        if turn == 4 or len(group) > MAX_PIECES:
            lines += [Line(p.x0, p.x1, p.base, p.size, p.text, number, turn) for p in group]
            continue
        is_mirrored = sum(map(_right_to_left, group)) * 2 > len(group)
        if is_mirrored:  # columns and lines of Arabic and Hebrew begin at the right
            group = [piece._replace(x0=-piece.x1, x1=-piece.x0) for piece in group]
        places = places_of(group)
        for column in _columns(places, np.arange(len(group)), 0):
            found = [_line([group[index] for index in row], number, is_mirrored) for row in level(places, column)]
            lines += _without_lone_cells(found) if any("\t" in line.text for line in found) else found
            number += 1
    return lines


def by_turn(pieces: Sequence[Piece]) -> list[tuple[int, list[Piece]]]:
    """The pieces of each direction, the most usual direction of the page first."""
    if pieces and len({piece.turn for piece in pieces}) == 1:
        return [(pieces[0].turn, list(pieces))]
    groups: dict[int, list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(piece.turn, []).append(piece)
    return sorted(groups.items(), key=lambda group: -sum(len(piece.text) for piece in group[1]))


def places_of(pieces: Sequence[Piece]) -> Places:
    """What the kernels read of the pieces: x0, x1, base, size, characters; shape (pieces, 5)."""
    x0, x1, base, size, _, texts = zip(*pieces, strict=True) if pieces else ((),) * 6
    return np.array((x0, x1, base, size, tuple(map(len, texts))), dtype=np.float64).T.copy()


def level(places: Places, indices: Indices) -> list[list[int]]:
    """Indices of the pieces of each line, the lines from the top down."""
    order = indices[np.argsort(-places[indices, BASE], kind="stable")]
    ends = np.flatnonzero(np.diff(line_numbers(places, order))) + 1
    ordered = order.tolist()
    return [ordered[a:b] for a, b in pairwise([0, *ends.tolist(), len(ordered)])]


@allocating_kernel
def line_numbers(places: Places, order: Indices) -> Indices:
    """The number of the line of each piece, for pieces from the top down.

    A piece is on the line above where their base lines are near, unless it would stand on top of one that is there.
    """
    numbers = np.zeros(len(order), dtype=np.int64)
    first = 0
    for place in range(1, len(order)):
        x0, x1, base, size, _ = places[order[place]]
        near = places[order[first], BASE] - base < SAME_LINE * max(places[order[first], SIZE], size)
        width = 0.5 * min(x1 - x0, 3 * size)
        other = first
        while near and other < place:
            above = places[order[other]]
            shared = min(above[X1], x1) - max(above[X0], x0)
            near = not (shared > width and above[BASE] - base > 0.2 * above[SIZE])
            other += 1
        if not near:
            first = place
        numbers[place] = numbers[place - 1] + (0 if near else 1)
    return numbers


def _line(row: list[Piece], column: int, is_mirrored: bool) -> Line:
    if len(row) == 1:
        piece = row[0]
        return Line(piece.x0, piece.x1, piece.base, piece.size, piece.text, column, piece.turn)
    row.sort(key=lambda piece: piece.x0)
    if (sum(map(_right_to_left, row)) * 2 > len(row)) != is_mirrored:
        row.reverse()
    largest = max(row, key=lambda piece: (piece.size, len(piece.text)))
    gaps = [max(b.x0 - a.x1, a.x0 - b.x1) / max(a.size, b.size) for a, b in pairwise(row)]
    stretched = len(gaps) > 1 and max(gaps) - min(gaps) < 0.15  # words of a justified line, not cells
    least = max(gaps) if stretched else CELL_GAP if max(gaps) < CELL_GAP else NEAR_CELLS
    text = row[0].text
    for piece, gap in zip(row[1:], gaps, strict=True):
        text += ("\t" if gap > least else "" if gap < 0.12 else " ") + piece.text
    size = max(row, key=lambda piece: len(piece.text)).size
    return Line(min(p.x0 for p in row), max(p.x1 for p in row), largest.base, size, text, column, largest.turn)


def _without_lone_cells(lines: list[Line]) -> list[Line]:
    """A line alone among lines of text as wide as itself holds no cells: its words were set apart to fill the width."""
    found = list(lines)
    for number in range(1, len(lines) - 1):
        line, around = lines[number], (lines[number - 1], lines[number + 1])
        if "\t" not in line.text or any("\t" in other.text for other in around):
            continue
        if any(abs(line.x0 - other.x0) + abs(line.x1 - other.x1) < 0.5 * line.size for other in around):
            found[number] = line._replace(text=line.text.replace("\t", " "))
    return found


def _right_to_left(piece: Piece) -> bool:
    middle = piece.text[len(piece.text) // 2]
    if middle < "\u0590":
        return False
    return "\u0590" <= middle <= "\u08ff" or "\ufb1d" <= middle <= "\ufdff" or "\ufe70" <= middle <= "\ufefc"


def _columns(places: Places, indices: Indices, depth: int) -> list[Indices]:
    """The pieces as columns in the order in which they are read; each keeps the order of the file."""
    if depth >= MAX_DEPTH or len(indices) < 2 * MIN_ROWS:
        return [indices]
    white = find_white(places, indices)
    if not np.isnan(white):
        return _split(places, indices, white, depth)
    groups: list[tuple[float, list[Indices]]] = []
    for strip in _strips(places, indices):
        white = find_white(places, strip) if len(strip) >= 2 * MIN_ROWS else np.nan
        if groups and ((np.isnan(white) and np.isnan(groups[-1][0])) or abs(white - groups[-1][0]) < SAME_WHITE):
            groups[-1][1].append(strip)
        else:
            groups.append((white, [strip]))
    if all(np.isnan(white) for white, _ in groups):
        return [indices]
    columns: list[Indices] = []
    for white, strips in groups:
        together = np.sort(np.concatenate(strips))
        columns += [together] if np.isnan(white) else _split(places, together, white, depth)
    return columns


def _split(places: Places, indices: Indices, white: float, depth: int) -> list[Indices]:
    """Left column, then right column, between the lines that run across both."""
    sides = sides_of(places, indices, white)
    if not (sides == ACROSS).any():
        return [part for side in (LEFT, RIGHT) for part in _columns(places, indices[sides == side], depth + 1)]
    side_of = dict(zip(indices.tolist(), sides.tolist(), strict=True))
    columns: list[Indices] = []
    for is_wide, rows in groupby(level(places, indices), lambda row: any(side_of[index] == ACROSS for index in row)):
        band = sorted(index for row in rows for index in row)
        if is_wide:
            columns.append(np.array(band))
            continue
        for side in (LEFT, RIGHT):
            part = [index for index in band if side_of[index] == side]
            if part:
                columns += _columns(places, np.array(part), depth + 1)
    return columns


def _strips(places: Places, indices: Indices) -> list[Indices]:
    """Pieces between the white bands that run across the whole width, from the top down."""
    tops = places[indices, BASE] + 0.75 * places[indices, SIZE]
    order = np.argsort(-tops, kind="stable")
    bottoms = np.minimum.accumulate((places[indices, BASE] - 0.25 * places[indices, SIZE])[order])
    apart = bottoms[:-1] - tops[order][1:] > STRIP_GAP * places[indices, SIZE][order][1:]
    return [np.sort(part) for part in np.split(indices[order], np.flatnonzero(apart) + 1)]


@kernel
def side_of_white(x0: float, x1: float, size: float, white: float) -> int:
    """Left or right of the white, or across it; a line that only juts into the white is not across it."""
    if min(white - x0, x1 - white) > JUTS * size:
        return ACROSS
    return LEFT if x0 + x1 < 2 * white else RIGHT


@allocating_kernel
def sides_of(places: Places, indices: Indices, white: float) -> Indices:
    """The side of each piece: LEFT, RIGHT or ACROSS."""
    sides = np.empty(len(indices), dtype=np.int64)
    for number, index in enumerate(indices):
        sides[number] = side_of_white(places[index, X0], places[index, X1], places[index, SIZE], white)
    return sides


@allocating_kernel
def find_white(places: Places, indices: Indices) -> float:
    """Where white runs down between two columns of text: the middle of it, or NaN."""
    part = places[indices]
    origin, right_end = part[:, X0].min(), part[:, X1].max()
    count = int((right_end - origin) / BIN) + 2
    if not (8 < count < MAX_BINS):
        return np.nan
    begins, ends = np.zeros(count + 2, dtype=np.int64), np.zeros(count + 2, dtype=np.int64)
    for piece in part:
        first = int((piece[X0] - origin) / BIN)
        begins[first] += 1
        ends[max(int((piece[X1] - origin) / BIN), first) + 1] += 1
    begins, ends = np.cumsum(begins), np.cumsum(ends)
    crossing = begins - ends
    fits = (crossing <= MAX_CROSSING * len(part)) & (ends >= MIN_ROWS) & (len(part) - begins >= MIN_ROWS)
    fits[count:] = False
    if not fits.any():
        return np.nan
    lowest = crossing[fits].min()
    fits &= crossing <= lowest + 0.02 * len(part)
    least = (GUTTER * np.median(part[:, SIZE]) - BIN) / BIN
    for _ in range(TRIES):
        begin, end = _widest(fits)
        if end - begin < max(least, 1):
            return np.nan
        white = origin + BIN * (begin + end) / 2
        if is_text(part, white):
            return float(white)
        fits[begin:end] = False
    return np.nan


@kernel
def _widest(fits: NDArray[np.bool_]) -> tuple[int, int]:
    """Begin and end of the longest run of True."""
    best, best_end, length = 0, 0, 0
    for place in range(len(fits)):
        length = length + 1 if fits[place] else 0
        if length > best:
            best, best_end = length, place + 1
    return best_end - best, best_end


@allocating_kernel
def is_text(part: Places, white: float) -> bool:
    """Whether both sides of the white are columns of running text, not the cells of a table.

    No more lines may run across than stand in the shorter column. A side is judged by the line in which a
    mean character stands, so that a small table in a long column does not count much.
    """
    sides = np.empty(len(part), dtype=np.int64)
    switches, last = 0, ACROSS
    for number in range(len(part)):
        sides[number] = side_of_white(part[number, X0], part[number, X1], part[number, SIZE], white)
        if sides[number] != ACROSS:
            switches += 1 if last not in (ACROSS, sides[number]) else 0
            last = sides[number]
    counts, longs, fills = np.zeros(2), np.zeros(2), np.zeros(2)
    for side in (LEFT, RIGHT):
        chosen = part[sides == side]
        if len(chosen) < MIN_ROWS:
            return False
        counts[side], longs[side], fills[side] = _measured(chosen)
    across = (sides == ACROSS).sum()
    if across > counts.min():
        return False
    rowwise = switches > 0.5 * counts.min() and _level_share(part, sides) > LEVEL_ROWS
    long, fill = (ROWWISE_CHARACTERS, ROWWISE_FILL) if rowwise else (MIN_CHARACTERS, MIN_FILL)
    return bool(counts.min() >= MIN_ROWS and longs.min() >= long and fills.min() >= fill)


@allocating_kernel
def _level_share(part: Places, sides: Indices) -> float:
    """The share of the pieces on the side with fewer that have one on their own base line on the other side."""
    left, right = np.sort(part[sides == LEFT, BASE]), np.sort(part[sides == RIGHT, BASE])
    fewer, more = (left, right) if len(left) <= len(right) else (right, left)
    near = 0.1 * np.median(part[:, SIZE])
    count, place = 0, 0
    for base in fewer:
        while place < len(more) and more[place] < base - near:
            place += 1
        count += place < len(more) and more[place] <= base + near
    return count / len(fewer)


@allocating_kernel
def _measured(side: Places) -> tuple[float, float, float]:
    """Number of lines; characters and share of the width filled, of the line in which a mean character stands.

    Lines of columns that stand side by side count as one though their base lines differ.
    """
    side = side[np.argsort(-side[:, BASE], kind="mergesort")]
    width = side[:, X1].max() - side[:, X0].min()
    near = ONE_LINE * np.median(side[:, SIZE])
    lines, characters, drawn, first = 0, 0.0, 0.0, 0
    long = full = total = 0.0
    for number in range(len(side) + 1):
        if number == len(side) or side[first, BASE] - side[number, BASE] > near:
            lines, first = lines + 1, number
            long += characters * characters
            full += characters * drawn
            total += characters
            characters = drawn = 0.0
        if number < len(side):
            characters += side[number, LENGTH]
            drawn += side[number, X1] - side[number, X0]
    return lines, long / total, full / total / max(width, 1e-9)
