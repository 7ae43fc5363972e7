"""The lines of a page that are kept, written as text: lists, tables, code and headings in Markdown where wanted."""

import re
import unicodedata
from collections.abc import Sequence
from html import unescape
from typing import NamedTuple

import numpy as np

from octad_data.html_blocks import Blocks
from octad_data.html_scan import TAG, TEXT, Scan

BREAK = b"\x1e"  # stands for <br>; control characters are taken out of a page before it is scanned
UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
HEADINGS = {TAG[f"h{level}"]: level for level in range(1, 7)}
CODE = frozenset(TAG[name] for name in ("pre", "xmp", "listing"))
CELLS = frozenset((TAG["td"], TAG["th"]))
ITEM, ROW, TABLE = TAG["li"], TAG["tr"], TAG["table"]
MAX_CELL = 300  # weight of a cell; tables with larger ones, or with headings, lay out the page
MIN_COLUMNS, MIN_ROWS = 2, 2
FEW_WORDS_REPEAT = 80  # weight from which a line that was there before is left out


class Style(NamedTuple):
    """What is written: see `extract_html`."""

    tables: bool = True
    headings: bool = False
    lists: bool = True


class Place(NamedTuple):
    """The elements around a line that matter, -1 where there is none."""

    heading: int
    code: int
    item: int
    cell: int
    row: int
    table: int


class LineTexts:
    """The text of the lines of a page, read from its bytes when it is asked for."""

    def __init__(self, data: bytes, page: Scan, blocks: Blocks) -> None:
        shown = np.flatnonzero(blocks.shown)
        self.data = data
        self.begin, self.end = page.begin[shown].tolist(), page.end[shown].tolist()
        self.is_text = (page.event[shown] == TEXT).tolist()
        self.first = np.searchsorted(shown, blocks.first).tolist()
        self.stop = np.searchsorted(shown, blocks.stop).tolist()

    def _raw(self, line: int) -> str:
        """With <br> as `BREAK` and white space as it is."""
        parts = range(self.first[line], self.stop[line])
        pieces = [self.data[self.begin[n] : self.end[n]] if self.is_text[n] else BREAK for n in parts]
        text = b"".join(pieces).decode("utf-8", "replace")
        return unescape(text) if "&" in text else text

    def __call__(self, line: int) -> str:
        """One line, its spaces and breaks made single spaces."""
        return " ".join(self.broken(line).split())

    def broken(self, line: int) -> str:
        """Lines as <br> breaks them, with single spaces; in NFC."""
        rows = [" ".join(row.split()) for row in self._raw(line).split("\x1e")]
        text = UNWANTED.sub("", "\n".join(row for row in rows if row))
        return text if text.isascii() else unicodedata.normalize("NFC", text)

    def code(self, line: int) -> str:
        """Lines and indentation as they are; in NFC."""
        text = self._raw(line).replace("\r\n", "\n").replace("\r", "\n").replace("\x1e", "\n")
        text = "\n".join(row.rstrip() for row in UNWANTED.sub("", text).split("\n")).strip("\n")
        return unicodedata.normalize("NFC", text)


def write(texts: LineTexts, page: Scan, blocks: Blocks, kept: Sequence[int], style: Style) -> str:
    """The text of some lines, in order, one line each.

    Cost: 0.5 ms a page.
    """
    seen: set[int] = set()
    lines: list[str] = []
    tags, parents, leaves = page.tag.tolist(), page.parent.tolist(), blocks.leaf.tolist()
    weights, digests = blocks.counts[:, 0].tolist(), blocks.digest.tolist()
    places = {line: _place(tags, parents, leaves[line]) for line in kept}
    tables = _data_tables(weights, places) if style.tables else set()
    last_item = last_row = last_cell = -1
    for line in kept:
        place, weight, digest = places[line], weights[line], digests[line]
        if weight >= FEW_WORDS_REPEAT and digest in seen and place.code < 0:
            continue
        seen.add(digest)
        text = texts.code(line) if place.code >= 0 else texts.broken(line)
        if not text:
            continue
        if place.table in tables and place.cell >= 0:
            if place.row == last_row and lines:
                mark = " " if place.cell == last_cell else " | "
                lines[-1] = f"{lines[-1].removesuffix(' |')}{mark}{text} |"
            else:
                lines.append(f"| {text} |")
            text = ""
        elif place.code < 0:
            if style.headings and place.heading >= 0:
                text = f"{'#' * HEADINGS[tags[place.heading]]} {text}"
            elif style.lists and place.item >= 0 and place.item != last_item and place.heading < 0 and text[:2] != "- ":
                text = f"- {text}"
        last_item, last_row, last_cell = place.item, place.row, place.cell
        if text:
            lines.append(text)
    return "\n".join(lines)


def _place(tags: list[int], parents: list[int], leaf: int) -> Place:
    heading = code = item = cell = row = table = -1
    node = leaf
    while node > 0:
        tag = tags[node]
        if tag in HEADINGS:
            heading = node if heading < 0 else heading
        elif tag in CODE:
            code = node
        elif tag == ITEM and item < 0 and table < 0:
            item = node
        elif tag in CELLS and cell < 0 and table < 0:
            cell = node
        elif tag == ROW and row < 0 and table < 0:
            row = node
        elif tag == TABLE and table < 0:
            table = node
        node = parents[node]
    return Place(heading, code, item, cell, row, table)


def _data_tables(weights: list[float], places: dict[int, Place]) -> set[int]:
    """Tables of several rows and columns of short cells: those that do not lay out the page."""
    cells: dict[int, dict[int, float]] = {}
    rows: dict[int, dict[int, set[int]]] = {}
    layout: set[int] = set()
    for line, place in places.items():
        if place.table < 0 or place.cell < 0:
            continue
        sizes = cells.setdefault(place.table, {})
        sizes[place.cell] = sizes.get(place.cell, 0.0) + weights[line]
        rows.setdefault(place.table, {}).setdefault(place.row, set()).add(place.cell)
        if place.heading >= 0 or place.code >= 0 or sizes[place.cell] > MAX_CELL:
            layout.add(place.table)
    return {
        table
        for table, found in rows.items()
        if table not in layout and sum(len(row) >= MIN_COLUMNS for row in found.values()) >= MIN_ROWS
    }
