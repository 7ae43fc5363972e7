"""Running heads and page numbers: what stands apart at the edge of a page and comes back on others."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import numpy as np

from octad_data.pdf_characters import Piece
from octad_data.pdf_layout import MAX_PIECES, by_turn, level, places_of

MAX_ROWS = 3  # of a head or foot
APART = 1.25  # usual distances of lines; a head stands further from the text
SAME_PLACE = 4.0  # points
MARGIN = 0.09  # of the page's height, where a lone number is a page number
LARGE = 1.15  # times the usual size: a numbered heading, not a running head
FEW_PAGES = 6  # a longer file must show a head three times
ROMAN = re.compile(r"[ivxl]{1,7}", re.IGNORECASE)
NUMBER = re.compile(r"\d+")
LONE_NUMBER = re.compile(
    r"\W*(?:(?:page|seite|pagina|página|p\.?)\s*)?(\d{1,4}|[ivxl]{1,7})(?:\s*(?:of|/|von|de|sur)\s*\d{1,4})?\W*", re.I
)
AT_EDGE = re.compile(r"(?:^\W*(\d{1,4})\b(?!\.\d))|(?:\b(\d{1,4})\W*$)")


class _Row(NamedTuple):
    page: int
    is_head: bool
    base: float
    text: str
    key: str
    is_large: bool
    pieces: list[Piece]


def without_running_heads(pages: Sequence[list[Piece]], heights: Sequence[float]) -> list[list[Piece]]:
    """The pages without the rows at their edges that repeat, or count the pages.

    Only rows that stand apart from the text are looked at, up to three at either edge. They go where the same words
    (numbers aside) come at the same place on another page, where they hold a number that grows with the pages, or where
    they are a lone number in the margin.

    Args:
        pages: pieces of each page.
        heights: of the pages, in points.
    """
    rows = [_rows(page) for page in pages]
    out = set[int]()
    for _ in range(2):  # a number under a head shows only when the head is gone
        candidates = [row for number, page in enumerate(rows) for row in _edges(page, number)]
        gone = _repeated(candidates, len(pages)) | _counted(candidates) | _lone(candidates, heights)
        if not gone:
            break
        removed = {id(candidates[index].pieces) for index in gone}
        out |= {id(piece) for index in gone for piece in candidates[index].pieces}
        rows = [[row for row in page if id(row) not in removed] for page in rows]
    return [[piece for piece in page if id(piece) not in out] for page in pages]


def _rows(page: Sequence[Piece]) -> list[list[Piece]]:
    """The lines of what stands upright, from the top down; none of a page with more pieces than are laid out."""
    if not page:
        return []
    upright = by_turn(page)[0][1]
    if len(upright) > MAX_PIECES:
        return []
    return [[upright[index] for index in row] for row in level(places_of(upright), np.arange(len(upright)))]


def _edges(found: list[list[Piece]], number: int) -> Iterator[_Row]:
    if not found:
        return
    bases = [row[0].base for row in found]
    gaps = [above - below for above, below in pairwise(bases)]
    size = median(piece.size for row in found for piece in row)
    usual = median(gaps) if len(gaps) > 2 else 1.3 * found[0][0].size
    for is_head in (True, False):
        block: list[list[Piece]] = []
        for step in range(min(MAX_ROWS, len(found))):
            place = step if is_head else len(found) - 1 - step
            block.append(found[place])
            gap = place if is_head else place - 1
            inner = found[place + 1 if is_head else place - 1] if 0 <= gap < len(gaps) else None
            if inner is None or gaps[gap] > APART * usual or abs(inner[0].size - found[place][0].size) > 0.8:
                break
        else:
            block = block[: 1 if LONE_NUMBER.fullmatch(_text(block[0])) else 0]
        if len(block) == len(found):  # nothing but the head: then it is the text
            block = [row for row in block if LONE_NUMBER.fullmatch(_text(row))]
        for row in block:
            text = _text(row)
            key = "#" if ROMAN.fullmatch(text) else NUMBER.sub("#", text.lower())
            yield _Row(number, is_head, row[0].base, text, key, row[0].size > LARGE * size, row)


def _text(row: list[Piece]) -> str:
    return " ".join(piece.text for piece in sorted(row, key=lambda piece: piece.x0))


def _repeated(candidates: Sequence[_Row], num_pages: int) -> set[int]:
    places = defaultdict(list)
    for index, row in enumerate(candidates):
        places[row.is_head, row.key].append(index)
    gone: set[int] = set()
    for indices in places.values():
        indices.sort(key=lambda index: candidates[index].base)
        bases = [candidates[index].base for index in indices]
        for place, index in enumerate(indices):
            near = {
                candidates[indices[other]].page
                for other in range(max(0, place - 8), min(len(indices), place + 9))
                if abs(bases[other] - bases[place]) <= SAME_PLACE
            }
            if len(near) >= (2 if num_pages <= FEW_PAGES else 3):
                gone.add(index)
    return gone


def _counted(candidates: Sequence[_Row]) -> set[int]:
    """Rows with a number at either end that is the page's own, plus a constant."""
    offsets: dict[tuple[bool, int], set[int]] = defaultdict(set)
    rows = []
    for index, row in enumerate(candidates):
        for begins, ends in () if row.is_large else AT_EDGE.findall(row.text):
            offset = int(begins or ends) - row.page
            offsets[row.is_head, offset].add(row.page)
            rows.append((index, row.is_head, offset))
    usual = {
        zone: offset
        for (zone, offset), pages in sorted(offsets.items(), key=lambda item: len(item[1]))
        if len(pages) > 2
    }
    return {index for index, zone, offset in rows if usual.get(zone) == offset}


def _lone(candidates: Sequence[_Row], heights: Sequence[float]) -> set[int]:
    gone = set()
    counts = Counter((row.page, row.is_head) for row in candidates)
    for index, row in enumerate(candidates):
        inner = MARGIN * heights[row.page] if row.is_head else 2 * MARGIN * heights[row.page]
        outside = row.base > heights[row.page] - inner if row.is_head else 0 < row.base < inner
        if counts[row.page, row.is_head] == 1 and outside and LONE_NUMBER.fullmatch(row.text):
            gone.add(index)
    return gone
