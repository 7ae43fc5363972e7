"""The kept lines of a page written as text or as Markdown."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from octad_data.html_blocks import Blocks, find_blocks
from octad_data.html_encoding import to_utf8
from octad_data.html_places import HEADINGS, Elements, Place, places_of
from octad_data.html_scan import Scan, scan
from octad_data.html_table import data_tables, write_table
from octad_data.html_text import LineTexts

MAX_BYTES = 16 << 20  # of a page of a book
FEW_WORDS_REPEAT = 80  # weight from which a line that was there before is left out
MARKERS = re.compile(r"^(?:([#>|]|[-+*=_~](?=[\s\-*_=~]|$)|```|~~~)|(\d{1,9})([.)])(?=\s|$))", re.MULTILINE)


class Style(NamedTuple):
    """What is written: see `extract_html`; and whether long lines that were there before are written again."""

    tables: bool = True
    headings: bool = False
    markdown: bool = False
    repeats: bool = False


class Line(NamedTuple):
    """A kept line, or a table, with its place."""

    place: Place
    text: str
    is_table: bool = False


def write(texts: LineTexts, page: Scan, blocks: Blocks, kept: list[int], style: Style) -> str:
    """The text of some lines, in order: a line each, or blocks of Markdown.

    Cost: 0.5 ms a page.
    """
    elements = Elements(texts.data, page)
    lines = _lines(texts, elements, blocks, kept, style)
    return _markdown(elements, lines) if style.markdown else _plain(elements, lines, style)


def page_text(page: bytes, style: Style = Style(repeats=True)) -> str:  # noqa: B008 - a value
    """All lines of a page, none of which is boilerplate: a chapter of a book.

    Raises:
        DataError: as `extract_html`.
    """
    data = to_utf8(page, None, MAX_BYTES)
    buffer = np.frombuffer(data, dtype=np.uint8)
    tree = scan(buffer)
    blocks = find_blocks(buffer, tree)
    return write(LineTexts(data, tree, blocks), tree, blocks, list(range(len(blocks.node))), style)


def _lines(texts: LineTexts, elements: Elements, blocks: Blocks, kept: list[int], style: Style) -> Iterator[Line]:
    """The lines that are not repeated, with those of a data table made one."""
    seen: set[int] = set()
    weights, digests = blocks.counts[:, 0].tolist(), blocks.digest.tolist()
    places = places_of(elements, blocks, kept)
    tables = data_tables(weights, places) if style.tables else set()
    cells: dict[int, str] = {}
    open_table = Line(Place(-1, -1, -1, -1, -1, -1, (), 0), "")
    for line in kept:
        place = places[line]
        if weights[line] >= FEW_WORDS_REPEAT and digests[line] in seen and place.code < 0 and not style.repeats:
            continue
        seen.add(digests[line])
        in_table = place.table in tables and place.cell >= 0
        if cells and not (in_table and place.table == open_table.place.table):
            yield open_table._replace(text="\n".join(write_table(elements, open_table.place.table, cells)))
            cells = {}
        text = texts(line) if in_table else texts.code(line) if place.code >= 0 else texts.broken(line)
        if text and in_table:
            open_table = Line(place, "", is_table=True)
            cells[place.cell] = f"{cells[place.cell]} {text}" if place.cell in cells else text
        elif text:
            yield Line(place, text)
    if cells:
        yield open_table._replace(text="\n".join(write_table(elements, open_table.place.table, cells)))


def _plain(elements: Elements, lines: Iterator[Line], style: Style) -> str:
    written, last_item = [], -1
    for place, text, is_table in lines:
        if not is_table and place.code < 0:
            if style.headings and place.heading >= 0:
                text = f"{'#' * HEADINGS[elements.tags[place.heading]]} {text}"
            elif place.item >= 0 and place.item != last_item and place.heading < 0 and text[:2] != "- ":
                text = f"- {text}"
        last_item = place.item
        written.append(text)
    return "\n".join(written)


def _markdown(elements: Elements, lines: Iterator[Line]) -> str:
    """Blocks with an empty line between them; items of one list stand close together."""
    written: list[str] = []
    before: Place | None = None
    open_code = -1
    for place, text, is_table in lines:
        if place.code >= 0 and place.code == open_code:  # a block of code that an element inside it has divided
            written[-1] = _joined_code(written[-1], text, _prefix(elements, place, before)[1])
            continue
        open_code = place.code
        first, rest = _prefix(elements, place, before)
        block = text if is_table else _block(elements, place, text)
        rows = ((rest if number else first) + row for number, row in enumerate(block.split("\n")))
        block = "\n".join(row if row.strip() else row.rstrip() for row in rows)
        if before is not None and not _is_close(elements, before, place):
            written.append("> " * min(before.quotes, place.quotes))
        written.append(block)
        before = place
    return "\n".join(row.rstrip() if row.strip("> ") == "" else row for row in written)


def _block(elements: Elements, place: Place, text: str) -> str:
    if place.code >= 0:
        ticks = max((len(run) for run in re.findall("`{3,}", text)), default=2)
        fence = "`" * max(ticks + 1, 3)
        return f"{fence}{elements.language(place.code)}\n{text}\n{fence}"
    if place.heading >= 0:
        return f"{'#' * HEADINGS[elements.tags[place.heading]]} {' '.join(text.split())}"
    text = MARKERS.sub(lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\{found[3]}", text)
    if place.meaning >= 0:
        text = f": {text}"
    return text.replace("\n", "  \n")  # <br>


def _joined_code(block: str, text: str, indent: str) -> str:
    body, _, fence = block.rpartition("\n")
    return "\n".join((body, *(indent + row for row in text.split("\n")), fence))


def _is_close(elements: Elements, before: Place, place: Place) -> bool:
    """Whether two lines are items of one list, or of lists inside one another, between which no empty line stands."""
    if not before.items or not place.items or before.item == place.item or before.quotes != place.quotes:
        return False
    if len(place.items) > len(before.items) and elements.item_number(place.item) not in (None, 1):
        return False  # of numbered lists only those from 1 may follow a paragraph at once
    return elements.parents[before.items[0]] == elements.parents[place.items[0]] and before.code < 0 and place.code < 0


def _prefix(elements: Elements, place: Place, before: Place | None) -> tuple[str, str]:
    """What stands before the first row of a block and before its other rows."""
    quotes = "> " * place.quotes
    known = set(before.items) if before is not None else set()
    first = rest = ""
    for item in place.items:
        number = elements.item_number(item)
        marker = "- " if number is None else f"{max(number, 0)}. "
        first += " " * len(marker) if item in known else marker
        rest += " " * len(marker)
    return quotes + first, quotes + rest
